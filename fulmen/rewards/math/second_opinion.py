"""What Math-Verify says of a pair; runs in a worker, and never decides."""

import math_verify  # type: ignore[import-untyped]


def is_equal(answer: str, gold: str) -> bool:
    """Returns its verdict on two extracted answers; its own time limits are off, because the worker has one."""
    sides = [math_verify.parse(rf"\boxed{{{text}}}", parsing_timeout=None) for text in (gold, answer)]
    return bool(math_verify.verify(sides[0], sides[1], timeout_seconds=None))

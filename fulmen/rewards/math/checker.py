r"""The checker: text, then structure and exact arithmetic here, then sympy in a worker; the first that can say decides.

Equal is what is proved equal. Time, memory or wit running out makes an answer different, and says so.
"""

import dataclasses
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fulmen.errors import ConfigError, DataError
from fulmen.rewards.math.compare import Comparison, ExactLeaves, UndecidedError
from fulmen.rewards.math.lexer import Token, tokenize
from fulmen.rewards.math.nodes import Node
from fulmen.rewards.math.parser import parse_answer, parse_tokens
from fulmen.rewards.worker import (
    MIB,
    WorkerCrashError,
    WorkerMemoryError,
    WorkerPool,
    WorkerRaisedError,
    WorkerTimeoutError,
)

Layer = Literal["parse", "text", "exact", "symbolic"]
_COMPARE = "fulmen.rewards.math.symbolic:compare"
_SECOND = "fulmen.rewards.math.second_opinion:is_equal"
WALL_FACTOR = 20.0
"""Wall seconds allowed per processor second, so that a busy machine changes no verdict."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether an answer equals the reference, and why."""

    is_equal: bool
    layer: Layer
    """What decided: `parse` (not readable), `text` (the same text), `exact` (arithmetic and form), `symbolic`."""
    reason: str
    """In a few words."""


class MathChecker:
    """Compares answers; holds the workers for what plain arithmetic cannot decide. Usable from any thread."""

    def __init__(
        self,
        *,
        num_workers: int = 1,
        cpu_s: float = 0.5,
        memory_bytes: int = 1024 * MIB,
        on_disagreement: Callable[[dict[str, Any]], None] | Path | None = None,
    ) -> None:
        """Starts nothing yet.

        Args:
            num_workers: Symbolic comparisons at a time.
            cpu_s: Processor seconds of one symbolic comparison.
            memory_bytes: Address space of a worker.
            on_disagreement: Asks Math-Verify too and hands over every pair it judges otherwise, as a record, or
                appends it to a JSONL file. It never decides.

        Raises:
            ConfigError: a setting is out of range.
        """
        if cpu_s <= 0:
            raise ConfigError(f"cpu_s: {cpu_s}; allowed: above 0")
        self.cpu_s = cpu_s
        self.on_disagreement = on_disagreement
        self.pool = WorkerPool(num_workers=num_workers, memory_bytes=memory_bytes)
        self._log_lock = threading.Lock()

    def warm_up(self) -> None:
        """Starts the workers, so that the first comparison does not wait for them."""
        self.pool.warm_up(_COMPARE)

    def close(self) -> None:
        """Ends the workers."""
        self.pool.close()

    def check(self, answer: str, gold: str) -> Verdict:
        """Returns whether an extracted answer equals the reference.

        Raises:
            WorkerStartError: no worker could be started.
            WorkerTimeoutError: the machine is too busy to say.
        """
        verdict = self._check(answer, gold)
        if self.on_disagreement is not None:
            self._ask_second(answer, gold, verdict)
        return verdict

    def _check(self, answer: str, gold: str) -> Verdict:
        if answer == gold:
            return Verdict(is_equal=True, layer="text", reason="the same text")
        nodes: list[Node] = []
        tokens: list[list[Token]] = []
        try:
            for text in (gold, answer):
                tokens.append(tokenize(text))
            if [(token.kind, token.text) for token in tokens[0]] == [(token.kind, token.text) for token in tokens[1]]:
                return Verdict(is_equal=True, layer="text", reason="the same text but for style")
            nodes.extend(map(parse_tokens, tokens))
        except (DataError, RecursionError) as error:
            return _unreadable(error, is_answer=len(nodes) == 1 or (not nodes and len(tokens) == 1))
        try:
            is_equal = Comparison(ExactLeaves()).is_equal(nodes[1], nodes[0])
        except UndecidedError:
            return self._ask_worker(answer, gold)
        except RecursionError:
            return Verdict(is_equal=False, layer="exact", reason="nested too deep to compare")
        reason = "same value and form" if is_equal else "another value or form"
        return Verdict(is_equal=is_equal, layer="exact", reason=reason)

    def _ask_worker(self, answer: str, gold: str) -> Verdict:
        try:
            found = self.pool.call(_COMPARE, answer, gold, timeout_s=self.cpu_s * WALL_FACTOR, cpu_s=self.cpu_s)
        except WorkerTimeoutError as error:
            if not error.is_cpu:
                raise
            return Verdict(is_equal=False, layer="symbolic", reason=f"not proved equal within {self.cpu_s:g} s")
        except (WorkerMemoryError, WorkerCrashError, WorkerRaisedError) as error:
            return Verdict(is_equal=False, layer="symbolic", reason=f"not proved equal: {error}")
        return Verdict(is_equal=found["is_equal"], layer="symbolic", reason=found["reason"])

    def _ask_second(self, answer: str, gold: str, verdict: Verdict) -> None:
        """Hands over what Math-Verify judges otherwise; where it fails, that it does."""
        try:
            second = self.pool.call(_SECOND, answer, gold, timeout_s=self.cpu_s * WALL_FACTOR, cpu_s=4 * self.cpu_s)
        except WorkerRaisedError as error:
            if error.kind == "ModuleNotFoundError":
                raise ConfigError(
                    "on_disagreement: math_verify is not installed; allowed: pip install math-verify"
                ) from error
            second = f"raised {error.kind}"
        except (WorkerTimeoutError, WorkerMemoryError, WorkerCrashError) as error:
            second = type(error).__name__
        if second == verdict.is_equal:
            return
        record = {"answer": answer, "gold": gold, **dataclasses.asdict(verdict), "math_verify": second}
        if isinstance(self.on_disagreement, Path):
            with self._log_lock, self.on_disagreement.open("a") as log:
                log.write(json.dumps(record) + "\n")
        elif self.on_disagreement is not None:
            self.on_disagreement(record)


def _unreadable(error: DataError | RecursionError, *, is_answer: bool) -> Verdict:
    """Returns the verdict on a pair of which one cannot be read."""
    reason = str(error) if isinstance(error, DataError) else "answer: nested too deep; allowed: less"
    side = "the answer" if is_answer else "the reference"
    return Verdict(is_equal=False, layer="parse", reason=f"{side} cannot be read: {reason}")


def parse(text: str) -> None:
    """Accepts an answer that the checker can read, and so can compare with more than itself.

    Raises:
        DataError: it cannot be read.
    """
    try:
        parse_answer(text)
    except RecursionError as error:
        raise DataError("answer: nested too deep; allowed: less") from error


_default: MathChecker | None = None
_default_lock = threading.Lock()


def check(answer: str, gold: str) -> Verdict:
    r"""Returns whether an extracted answer equals the reference, by a checker that the process shares.

    >>> check("0.5", r"\frac{1}{2}").is_equal
    True
    """
    global _default
    with _default_lock:
        if _default is None:
            _default = MathChecker()
    return _default.check(answer, gold)

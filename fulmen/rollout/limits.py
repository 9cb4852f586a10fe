"""A time limit on what environments do themselves; the policy's time is not theirs.

Left out: code that blocks its thread cannot be ended from within it. Verifiers that may do so belong into a
`rewards.worker.WorkerPool`, tools into a `sandbox`, which kill.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from fulmen.errors import FulmenError, RunError
from fulmen.types import Complete, Completion, Generate, Request

Result = TypeVar("Result")
CLEAN_UP_S = 1.0
"""Seconds that an action which ran out of time gets to put its things away."""


class OutOfTimeError(FulmenError):
    """An environment that took longer than it was given."""


class PolicyClock:
    """A `Generate` whose `now` stands still while it generates: that holds up every environment of its thread."""

    def __init__(self, generate: Generate) -> None:
        """Takes the policy."""
        self._generate, self._policy_s = generate, 0.0

    def __call__(
        self, requests: Sequence[Request], *, on_finish: Callable[[int], None] | None = None
    ) -> list[Completion]:
        """Returns the policy's completions."""
        started = time.monotonic()
        try:
            return self._generate(requests, on_finish=on_finish)
        finally:
            self._policy_s += time.monotonic() - started

    def now(self) -> float:
        """Returns seconds since some moment, without those of the policy."""
        return time.monotonic() - self._policy_s


async def within(
    limit_s: float, act: Callable[[Complete], Awaitable[Result]], *, complete: Complete, now: Callable[[], float]
) -> Result:
    """Returns what an action returns, which is handed a `complete` whose time does not count.

    Raises: OutOfTimeError when the action takes longer; RunError, inside the action, for a completion that the engine
    could not give, so that nobody takes it for the policy's.
    """
    used_s, num_waiting, since = 0.0, 0, now()

    async def complete_untimed(request: Request) -> Completion:
        nonlocal used_s, num_waiting, since
        if not num_waiting:
            used_s += now() - since
        num_waiting += 1
        try:
            completion = await complete(request)
        finally:
            num_waiting -= 1
            since = now()
        if completion.stop_reason == "error":
            raise RunError(f"the engine gave no completion: {completion.error}")
        return completion

    action = asyncio.ensure_future(act(complete_untimed))
    try:
        while not action.done():
            left_s = limit_s - used_s - (0.0 if num_waiting else now() - since)
            if left_s <= 0:
                raise OutOfTimeError(f"the environment took more than {limit_s:g} s of its own")
            await asyncio.wait({action}, timeout=left_s)
        return action.result()
    finally:
        if action.cancel():
            # Whatever it still raises is nobody's.
            action.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            await asyncio.wait({action}, timeout=CLEAN_UP_S)

"""A time limit on what environments do themselves; the policy's time is not theirs.

Left out: code that blocks its thread cannot be ended from within it. Verifiers that may do so belong into a
`rewards.worker.WorkerPool`, tools into a `sandbox`, which kill.
"""

import asyncio
import inspect
import sys
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from fulmen.errors import FulmenError, RunError
from fulmen.types import Complete, Completion, Request

Result = TypeVar("Result")
CLEAN_UP_S = 1.0
"""Seconds that an action which ran out of time gets to put its things away."""


class OutOfTimeError(FulmenError):
    """An environment that took longer than it was given."""


class Policy(Protocol):
    """Whoever answers the requests of an episode."""

    async def complete(self, request: Request) -> Completion:
        """Returns the completion of a request."""
        ...

    def now(self) -> float:
        """Returns seconds of a clock that stands while environments are held up."""
        ...


def begin(action: Awaitable[Result]) -> "asyncio.Future[Result]":
    """Returns the task of an action, from Python 3.12 on with its first piece done: most verifiers have no second."""
    if sys.version_info >= (3, 12) and inspect.iscoroutine(action):
        return asyncio.Task(action, loop=asyncio.get_running_loop(), eager_start=True)
    return asyncio.ensure_future(action)


async def within(limit_s: float, act: Callable[[Complete], Awaitable[Result]], policy: Policy) -> Result:
    """Returns what an action returns, which is handed a `complete` whose time does not count.

    Raises: OutOfTimeError when the action takes longer; RunError, inside the action, for a completion that the engine
    could not give, so that nobody takes it for the policy's.
    """
    used_s, num_waiting, since = 0.0, 0, policy.now()

    async def complete_untimed(request: Request) -> Completion:
        nonlocal used_s, num_waiting, since
        if not num_waiting:
            used_s += policy.now() - since
        num_waiting += 1
        try:
            completion = await policy.complete(request)
        finally:
            num_waiting -= 1
            since = policy.now()
        if completion.stop_reason == "error":
            raise RunError(f"the engine gave no completion: {completion.error}")
        return completion

    action = begin(act(complete_untimed))
    try:
        while not action.done():
            left_s = limit_s - used_s - (0.0 if num_waiting else policy.now() - since)
            if left_s <= 0:
                raise OutOfTimeError(f"the environment took more than {limit_s:g} s of its own")
            await asyncio.wait({action}, timeout=left_s)
        return action.result()
    finally:
        if action.cancel():
            # Whatever it still raises is nobody's.
            action.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            await asyncio.wait({action}, timeout=CLEAN_UP_S)

"""Deltas of several completions in one stream, and clients that go away.

A client's going away reaches the engine by closing what is iterated: nothing here knows of cancellation by id.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing
from typing import Any, Protocol, TypeVar, runtime_checkable

from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from fulmen.serve.http.errors import ApiError, ClientGoneError
from fulmen.serve.stats import EngineStats
from fulmen.types import Delta, Request

T = TypeVar("T")

KEEP_ALIVE_S = 15.0
"""Silence of a streamed answer after which a comment is sent, so that nothing between takes it for dead."""
GRACE_S = 5.0
"""How long after its deadline a request is waited for before the engine counts as stuck."""


@runtime_checkable
class CompletionWorker(Protocol):
    """What the server needs of `fulmen.serve.Worker`."""

    is_draining: bool

    def stream(self, request: Request) -> AsyncIterator[Delta]:
        """Yields what each step adds; the last delta has the completion. Closing it cancels the request."""
        ...

    def stats(self) -> EngineStats:
        """Returns what the engine holds."""
        ...

    async def drain(self, timeout_s: float) -> bool:
        """Takes no new requests, waits for those that run, then stops; returns whether all finished."""
        ...


async def merge(
    worker: CompletionWorker, requests: Sequence[Request], *, timeout_s: float
) -> AsyncGenerator[list[tuple[int, Delta]], None]:
    """Yields the deltas of all requests with their positions, as many as are there at a time.

    Raises: what the worker raises for any of them; ApiError when the engine does not keep a deadline.
    """
    news: asyncio.Queue[tuple[int, Delta | BaseException]] = asyncio.Queue()

    async def pump(index: int, request: Request) -> None:
        deltas = worker.stream(request)
        is_finished = False
        try:
            async for delta in deltas:
                is_finished = delta.completion is not None
                news.put_nowait((index, delta))
            assert is_finished, "the last delta has the completion"
        except Exception as error:
            news.put_nowait((index, error))
        finally:
            if isinstance(deltas, AsyncGenerator):
                await deltas.aclose()

    is_late = ApiError(504, f"no answer within {timeout_s:g} s")
    timer = asyncio.get_running_loop().call_later(timeout_s + GRACE_S, news.put_nowait, (0, is_late))
    tasks = [asyncio.create_task(pump(index, request)) for index, request in enumerate(requests)]
    missing = len(tasks)
    try:
        while missing:
            items = [await news.get()]
            while not news.empty():
                items.append(news.get_nowait())
            deltas: list[tuple[int, Delta]] = []
            for index, item in items:
                if isinstance(item, BaseException):
                    raise item
                deltas.append((index, item))
                missing -= item.completion is not None
            yield deltas
    finally:
        timer.cancel()
        await stop_tasks(tasks)


async def stop_tasks(tasks: Sequence["asyncio.Task[Any]"]) -> None:
    """Cancels tasks and waits until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def while_connected(request: HttpRequest, work: Coroutine[Any, Any, T], *, on_gone: Callable[[], None]) -> T:
    """Returns what the work returns, and cancels it when the client goes away. The body must have been read.

    Raises: ClientGoneError.
    """
    return await _first(work, request.receive, on_gone)


class EventStream(Response):
    """Server-sent events; their source is closed when the last has been sent or the client is gone."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[bytes, None], *, on_gone: Callable[[], None]) -> None:
        super().__init__(headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._events, self._on_gone, self._is_silent = events, on_gone, True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the events."""

        async def pump() -> None:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            ticker = asyncio.create_task(self._tick(send))
            try:
                async for event in self._events:
                    self._is_silent = False
                    await send({"type": "http.response.body", "body": event, "more_body": True})
            finally:
                await stop_tasks([ticker])
            await send({"type": "http.response.body", "body": b""})

        async with aclosing(self._events):
            try:
                await _first(pump(), receive, self._on_gone)
            except ClientGoneError:
                return

    async def _tick(self, send: Send) -> None:
        """Sends a comment after each stretch in which there was no event."""
        while True:
            await asyncio.sleep(KEEP_ALIVE_S)
            if self._is_silent:
                await send({"type": "http.response.body", "body": b": waiting\n\n", "more_body": True})
            self._is_silent = True


async def _first(work: Coroutine[Any, Any, T], receive: Receive, on_gone: Callable[[], None]) -> T:
    task, watcher = asyncio.create_task(work), asyncio.create_task(_disconnect(receive))
    try:
        await asyncio.wait([task, watcher], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        on_gone()
        raise ClientGoneError("the client went away")
    finally:
        await stop_tasks([task, watcher])


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

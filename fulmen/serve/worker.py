"""An engine in a thread of its own, for callers that wait: the HTTP server, and anything else on an asyncio loop.

The thread is the only one that touches the engine. Requests and cancellations reach it through a queue between two
steps; what a step adds reaches each caller's loop at once. A caller that goes away cancels its request.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from fulmen.errors import FulmenError
from fulmen.serve.engine import Engine
from fulmen.serve.stats import EngineStats
from fulmen.types import Delta, Request


class QueueFull(FulmenError):  # noqa: N818 - named as the standard library's queue.Full
    """As many requests wait as may wait."""

    def __init__(self, max_queue: int, retry_after_s: int) -> None:
        super().__init__(f"{max_queue} requests are waiting already; allowed: at most {max_queue}, try again later")
        self.retry_after_s = retry_after_s


class Draining(FulmenError):  # noqa: N818 - a state, not a fault
    """The worker takes no new requests: it is about to stop."""


@dataclass(eq=False, kw_only=True)
class _Call:
    """One request and the loop that waits for it."""

    request: Request
    loop: asyncio.AbstractEventLoop
    news: "asyncio.Queue[Delta | BaseException]" = field(default_factory=asyncio.Queue)
    request_id: int = -1
    is_cancelled: bool = False

    def tell(self, news: Delta | BaseException) -> None:
        try:
            self.loop.call_soon_threadsafe(self.news.put_nowait, news)
        except RuntimeError:
            # Its loop is closed: nobody waits any more.
            self.is_cancelled = True


class Worker:
    """Runs one engine. `start` it before the first request, and `drain` or `stop` it at the end."""

    def __init__(self, engine: Engine, *, max_queue: int = 256) -> None:
        self.engine, self.max_queue = engine, max_queue
        self.is_draining = False
        self._inbox: list[_Call | Callable[[], None]] = []
        self._condition = threading.Condition()
        self._calls: dict[int, _Call] = {}
        self._is_stopped = False
        self._num_open = 0
        self._thread = threading.Thread(target=self._loop, name="fulmen engine", daemon=True)
        self._stats = engine.stats()

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stats(self) -> EngineStats:
        """Returns what the engine held after its last step; any thread may ask."""
        return self._stats

    @property
    def num_calls(self) -> int:
        """Requests on their way."""
        return self._num_open

    def stream(self, request: Request) -> AsyncIterator[Delta]:
        """Yields what each step adds to a request; the last delta has the completion. Closing it cancels the request.

        Raises, at the first step of the iteration: QueueFull, Draining, ConfigError and DataError for bad requests.
        """
        return self._stream(request)

    async def _stream(self, request: Request) -> AsyncIterator[Delta]:
        if self.is_draining or self._is_stopped:
            raise Draining("the server is shutting down; allowed: another server")
        call = _Call(request=request, loop=asyncio.get_running_loop())
        with self._condition:
            if self._num_open >= self.engine.num_slots + self.max_queue:
                raise QueueFull(self.max_queue, retry_after_s=1)
            self._num_open += 1
        is_done = False
        try:
            self._post(call)
            while not is_done:
                news = await call.news.get()
                if isinstance(news, BaseException):
                    is_done = True
                    raise news
                is_done = news.completion is not None
                yield news
        finally:
            with self._condition:
                self._num_open -= 1
            if not is_done:
                call.is_cancelled = True
                self._post(lambda: self._cancel(call))

    async def drain(self, timeout_s: float) -> bool:
        """Takes no new requests, waits for those that run, then stops; returns whether all of them finished."""
        self.is_draining = True
        deadline = asyncio.get_running_loop().time() + timeout_s
        while self.num_calls and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.02)
        is_clean = not self.num_calls
        self.stop()
        return is_clean

    def stop(self) -> None:
        """Ends the thread after the step it is at; requests on their way end with Draining."""
        with self._condition:
            self.is_draining = self._is_stopped = True
            self._condition.notify()
        if self._thread.is_alive():
            self._thread.join()

    def run(self, action: Callable[[], None]) -> None:
        """Has the engine's thread do something between two steps, such as loading weights; returns when it is done.

        Raises: what the action raises; Draining when the thread has ended.
        """
        done = threading.Event()
        raised: list[BaseException] = []

        def act() -> None:
            try:
                action()
            except BaseException as error:
                raised.append(error)
            finally:
                done.set()

        self._post(act)
        while not done.wait(0.1):
            if not self._thread.is_alive():
                raise Draining("the server has stopped; allowed: another server")
        if raised:
            raise raised[0]

    def _post(self, item: "_Call | Callable[[], None]") -> None:
        with self._condition:
            self._inbox.append(item)
            self._condition.notify()

    def _loop(self) -> None:
        error: BaseException = Draining("the server has stopped")
        try:
            while True:
                with self._condition:
                    while not (self._inbox or self.engine.has_work or self._is_stopped):
                        self._condition.wait()
                    if self._is_stopped:
                        break
                    inbox, self._inbox = self._inbox, []
                for item in inbox:
                    self._submit(item) if isinstance(item, _Call) else item()
                for delta in self.engine.step():
                    self._deliver(delta)
                self._stats = self.engine.stats()
        except BaseException as failure:
            # Whoever waits must hear of it: a dead thread answers nobody.
            error = failure
            self.is_draining = self._is_stopped = True
            raise
        finally:
            for call in [*self._calls.values(), *(item for item in self._inbox if isinstance(item, _Call))]:
                call.tell(error)
            for request_id in list(self._calls):
                self.engine.cancel(request_id)
            self._calls.clear()

    def _submit(self, call: _Call) -> None:
        if call.is_cancelled:
            return
        try:
            call.request_id = self.engine.submit(call.request)
        except Exception as error:
            # Whatever is wrong with one request must not end those of others, nor leave its caller waiting.
            call.tell(error)
            return
        self._calls[call.request_id] = call

    def _cancel(self, call: _Call) -> None:
        if self._calls.pop(call.request_id, None) is not None:
            self.engine.cancel(call.request_id)

    def _deliver(self, delta: Delta) -> None:
        call = self._calls.get(delta.request_id)
        if call is None:
            return
        if delta.completion is not None:
            del self._calls[delta.request_id]
        call.tell(delta)
        if call.is_cancelled:
            self._cancel(call)

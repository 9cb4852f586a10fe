"""An engine in a thread: streams, closing one early, a full queue, draining, and a fault of the engine."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from fulmen.errors import DataError
from fulmen.serve import Draining, Engine, QueueFull, Worker
from fulmen.types import Completion, Request
from tests.serve.test_engine import TOKENIZER, ask, assert_same, complete_alone, make_model


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker(Engine(make_model(), TOKENIZER, num_slots=2, max_length=2048), max_queue=2)
    worker.start()
    yield worker
    worker.stop()


async def complete(worker: Worker, request: Request) -> Completion:
    completion = None
    async for delta in worker.stream(request):
        completion = delta.completion
    assert completion is not None
    return completion


def test_streams_at_once_are_what_each_would_be_alone(worker: Worker) -> None:
    requests = [ask("two and two", seed=i, max_tokens=10) for i in range(4)]

    async def run() -> list[Completion]:
        return list(await asyncio.gather(*(complete(worker, request) for request in requests)))

    for mine, request in zip(asyncio.run(run()), requests, strict=True):
        assert_same(mine, complete_alone(request))
    assert worker.num_calls == 0


def test_closing_a_stream_cancels_its_request(worker: Worker) -> None:
    async def run() -> None:
        stream = worker.stream(ask("two", seed=1, max_tokens=1500))
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]
        while worker.engine.has_work or worker.stats().num_running:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(run(), 20))
    assert worker.num_calls == 0
    assert worker.stats().blocks_used == 0


def test_closing_a_stream_takes_its_request_out_of_the_queue(worker: Worker) -> None:
    """One that waits gets no news by which it could be noticed that nobody listens."""

    async def run() -> None:
        running = [worker.stream(ask("two", seed=i, max_tokens=1900)) for i in range(2)]
        for stream in running:
            await anext(stream)
        waiting = asyncio.create_task(anext(worker.stream(ask("b", max_tokens=5))))  # type: ignore[arg-type]
        while worker.stats().num_waiting == 0:
            await asyncio.sleep(0.002)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        while worker.stats().num_waiting:
            await asyncio.sleep(0.002)
        assert worker.stats().num_running == 2
        for stream in running:
            await stream.aclose()  # type: ignore[attr-defined]

    asyncio.run(asyncio.wait_for(run(), 20))


def test_a_full_queue_refuses_at_once_and_a_bad_request_says_why(worker: Worker) -> None:
    async def run() -> None:
        streams = [worker.stream(ask("two", seed=i, max_tokens=1500)) for i in range(4)]
        running = [asyncio.create_task(anext(stream)) for stream in streams]  # type: ignore[arg-type]
        await asyncio.sleep(0)
        with pytest.raises(QueueFull, match="2 requests are waiting already") as caught:
            await anext(worker.stream(ask("two")))
        assert caught.value.retry_after_s >= 1
        await running[0]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for stream in streams:
            await stream.aclose()  # type: ignore[attr-defined]
        with pytest.raises(DataError, match="allowed: at most 2048 together"):
            await anext(worker.stream(ask("two", max_tokens=5000)))

    asyncio.run(run())


def test_draining_finishes_what_runs_and_refuses_the_rest(worker: Worker) -> None:
    async def run() -> tuple[Completion, bool]:
        request = ask("two and two", seed=3, max_tokens=20)
        running = asyncio.create_task(complete(worker, request))
        await asyncio.sleep(0.01)
        draining = asyncio.create_task(worker.drain(20))
        await asyncio.sleep(0)
        with pytest.raises(Draining):
            await anext(worker.stream(ask("two")))
        return await running, await draining

    completion, is_clean = asyncio.run(run())
    assert is_clean
    assert_same(completion, complete_alone(ask("two and two", seed=3, max_tokens=20)))


def test_weights_change_between_two_steps(worker: Worker) -> None:
    worker.run(lambda: worker.engine.weights_changed(4))
    completion = asyncio.run(complete(worker, ask("two", seed=1)))
    assert completion.policy_version == 4
    with pytest.raises(ZeroDivisionError):
        worker.run(lambda: 1 // 0)  # type: ignore[arg-type, return-value]


def test_a_fault_of_the_engine_reaches_everybody_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(make_model(), TOKENIZER, num_slots=2)
    worker = Worker(engine)
    monkeypatch.setattr(engine, "step", lambda: 1 // 0)
    # The thread ends by the exception, so that it is printed.
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    worker.start()

    async def run() -> None:
        with pytest.raises(ZeroDivisionError):
            await complete(worker, ask("two"))
        with pytest.raises(Draining):
            await complete(worker, ask("two"))

    asyncio.run(asyncio.wait_for(run(), 20))
    # Before the hook is put back.
    worker._thread.join()
    assert worker.is_draining
    with pytest.raises(Draining):
        worker.run(lambda: None)

"""The whole way: HTTP, worker, engine and a small model; a crowd of which some go away and some send nonsense."""

import asyncio
import json
from collections.abc import Iterator

import httpx2
import pytest

from fulmen.serve import Engine, Worker
from fulmen.serve.http import AppSettings, create_app
from tests.serve.http.conftest import running
from tests.serve.test_engine import TOKENIZER, make_model

NUM_STREAMS = 256


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    engine = Engine(make_model(), TOKENIZER, num_slots=32, max_length=512, records_routes=False)
    worker = Worker(engine, max_queue=2 * NUM_STREAMS)
    worker.start()
    yield worker
    worker.stop()


async def one(client: httpx2.AsyncClient, index: int) -> str:
    """Returns how one of the crowd fared: every tenth goes away in the middle, every tenth sends nonsense."""
    body: dict[str, object] = {"model": "small", "prompt": f"{index} two and two", "max_tokens": 12, "seed": index}
    if index % 10 == 3:
        wrong: list[dict[str, object]] = [
            {"prompt": ""}, {"max_tokens": 10**9}, {"temperature": -1}, {"bogus": 1}, {"n": 10**6}, {"prompt": [-1]},
        ]  # fmt: skip
        response = await client.post("/v1/completions", json=body | wrong[index // 10 % len(wrong)])
        return f"refused {response.status_code}"
    async with client.stream("POST", "/v1/completions", json=body | {"stream": True}) as response:
        tokens = 0
        async for line in response.aiter_lines():
            if line == "data: [DONE]":
                return "done"
            tokens += line.startswith("data: ")
            if index % 10 == 7 and tokens == 2:
                return "gone"
    return "cut"


def test_a_crowd_on_the_real_engine_leaves_nothing_behind(worker: Worker) -> None:
    app = create_app(worker, TOKENIZER, AppSettings(model_name="small", max_length=512))

    async def crowd(url: str) -> list[str]:
        limits = httpx2.Limits(max_connections=NUM_STREAMS)
        async with httpx2.AsyncClient(base_url=url, limits=limits, timeout=60) as client:
            fared = await asyncio.gather(*(one(client, index) for index in range(NUM_STREAMS)))
        while worker.num_calls or worker.stats().num_running:
            await asyncio.sleep(0.01)
        return fared

    with running(app, worker) as server:
        fared = asyncio.run(crowd(server.url))
    for index, outcome in enumerate(fared):
        expected = {3: ("refused 400",), 7: ("gone", "done")}.get(index % 10, ("done",))
        assert outcome in expected, f"stream {index}: {outcome}"
    stats = worker.stats()
    assert (stats.num_waiting, stats.num_running, stats.blocks_used) == (0, 0, 0)


def test_what_the_server_says_is_what_the_engine_completes(worker: Worker) -> None:
    app = create_app(worker, TOKENIZER, AppSettings(model_name="small", max_length=512))
    body = {"model": "small", "messages": [{"role": "user", "content": "what is two"}], "max_tokens": 9, "seed": 5}

    async def ask() -> tuple[dict[str, object], str]:
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
            whole = (await client.post("/v1/chat/completions", json=body | {"return_token_ids": True})).json()
            streamed = (await client.post("/v1/chat/completions", json=body | {"stream": True})).text
            return whole, streamed

    whole, streamed = asyncio.run(ask())
    parts = [json.loads(line[6:]) for line in streamed.splitlines() if line.startswith("data: {")]
    said = "".join(part["choices"][0]["delta"].get("content") or "" for part in parts if part["choices"])
    message = whole["choices"][0]["message"]  # type: ignore[index]
    assert said == (message["content"] or "")
    assert whole["usage"]["completion_tokens"] <= 9  # type: ignore[index]

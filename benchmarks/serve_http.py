"""A load of concurrent streams over HTTP: time to the first token, time between tokens, tokens per second.

Called by `benchmarks.serve`. Server and clients share one process and one interpreter, so the clients' work counts
against the server.
"""

import asyncio
import json
import time
from typing import Any

import numpy as np

from fulmen.model import Model
from fulmen.serve import Engine, Worker
from fulmen.text import Tokenizer


async def _stream(port: int, index: int, max_tokens: int) -> list[float]:
    """Returns when the request was sent and when each token arrived."""
    request = {
        "model": "bench", "prompt": [20 + (index * 37 + place) % 300 for place in range(64)],
        "max_tokens": max_tokens, "seed": index, "stream": True, "temperature": 1.0,
    }  # fmt: skip
    body = json.dumps(request).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = (
        "POST /v1/completions HTTP/1.1",
        "Host: x",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    )
    head = "\r\n".join((*lines, "", ""))
    times = [time.perf_counter()]
    writer.write(head.encode() + body)
    await writer.drain()
    while True:
        line = await reader.readline()
        if not line or line.startswith(b"data: [DONE]"):
            break
        if line.startswith(b"data: "):
            times.append(time.perf_counter())
    writer.close()
    return times


async def _load(model: Model, tokenizer: Tokenizer, num_streams: int, max_tokens: int) -> dict[str, Any]:
    import uvicorn

    from fulmen.serve.http.app import AppSettings, create_app

    engine = Engine(model, tokenizer, num_slots=num_streams, max_length=1024, records_routes=False)
    worker = Worker(engine)
    worker.start()
    app = create_app(worker, tokenizer, AppSettings(model_name="bench", max_length=engine.max_length))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    await asyncio.gather(*(_stream(port, index, 8) for index in range(num_streams)))
    before = engine.stats().completion_tokens
    start = time.perf_counter()
    times = await asyncio.gather(*(_stream(port, index, max_tokens) for index in range(num_streams)))
    elapsed = time.perf_counter() - start
    tokens = engine.stats().completion_tokens - before
    server.should_exit = True
    await serving
    worker.stop()
    engine.release()
    first = [t[1] - t[0] for t in times]
    between = np.concatenate([np.diff(t[1:]) for t in times])
    return {
        "streams": num_streams, "tokens_each": max_tokens, "tok_per_s": tokens / elapsed,
        "events": sum(len(t) - 1 for t in times), "tokens": tokens,
        "first_s_p50": float(np.median(first)), "first_s_p99": float(np.quantile(first, 0.99)),
        "between_s_p50": float(np.median(between)), "between_s_p99": float(np.quantile(between, 0.99)),
    }  # fmt: skip


def http_load(model: Model, tokenizer: Tokenizer, *, num_streams: int, max_tokens: int = 128) -> dict[str, Any]:
    """Returns latencies and throughput of so many streams at once, after a warm-up."""
    return asyncio.run(_load(model, tokenizer, num_streams, max_tokens))

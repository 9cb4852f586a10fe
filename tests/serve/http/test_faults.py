"""Clients that leave, crowds, bodies that are too large, and the signal to stop: over real sockets."""

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.serve.http.conftest import Running
from tests.serve.http.scripted import SCRIPTS, ScriptedWorker


def body_of(text: str, **fields: Any) -> dict[str, Any]:
    return {"model": "scripted", "messages": [{"role": "user", "content": text}], **fields}


def wait_until(is_true: Callable[[], bool], timeout_s: float = 5.0) -> None:
    until = time.monotonic() + timeout_s
    while not is_true():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.01)


def head_of(host: str, num_bytes: int) -> bytes:
    return (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {num_bytes}\r\n\r\n"
    ).encode()


@contextlib.contextmanager
def raw_request(url: str, body: dict[str, Any]) -> Iterator[socket.socket]:
    """A request by hand, so that the connection can be cut at any moment."""
    host, port = url.removeprefix("http://").split(":")
    data = json.dumps(body).encode()
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(head_of(host, len(data)) + data)
        yield connection


@pytest.mark.parametrize(("text", "stream"), [("slow", True), ("slow", False), ("silent", True), ("silent", False)])
def test_a_client_that_leaves_cancels(served: Running, text: str, stream: bool) -> None:
    worker = served.worker
    before = worker.num_cancelled
    with raw_request(served.url, body_of(text, stream=stream, n=2)) as connection:
        wait_until(lambda: worker.num_open == 2)
        if stream and text == "slow":
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
    wait_until(lambda: worker.num_open == 0)
    assert worker.num_cancelled == before + 2
    metrics = httpx2.get(f"{served.url}/metrics").text
    assert "fulmen_open_requests 0" in metrics
    assert "fulmen_disconnects_total 0" not in metrics


def test_a_client_that_leaves_while_it_sends(served: Running) -> None:
    num_requests = len(served.worker.requests)
    host, port = served.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            b'Content-Length: 1000\r\n\r\n{"model"'
        )
    assert httpx2.get(f"{served.url}/health").status_code == 200
    assert len(served.worker.requests) == num_requests


def test_a_crowd(served: Running) -> None:
    """256 streams at once, of which a tenth disconnect mid-way and a tenth are malformed: all others finish."""
    worker = served.worker
    host, port = served.url.removeprefix("http://").split(":")
    finished, cancelled = worker.num_finished, worker.num_cancelled

    async def one(index: int) -> str:
        content = json.dumps(body_of("slow" if index % 10 == 2 else "steady", stream=True)).encode()
        if index % 10 == 1:
            content = [b"{", b"\xff\xfe", json.dumps(body_of("steady", n=-1)).encode()][index % 3]
        # By hand: a client library would need more time than the server.
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(head_of(host, len(content)) + content)
        text, status = "", (await reader.readline()).split()[1].decode()
        async for line in reader:
            if line == b"data: [DONE]\n":
                break
            if line.startswith(b"data: "):
                text += json.loads(line.removeprefix(b"data: "))["choices"][0]["delta"].get("content", "")
            elif line.startswith(b'{"error"'):
                break
            if index % 10 == 2 and len(text) > 5:
                break
        writer.close()
        await writer.wait_closed()
        return text if status == "200" else status

    async def crowd() -> list[str]:
        return await asyncio.gather(*(one(index) for index in range(256)))

    results = asyncio.run(crowd())
    kinds = [index % 10 for index in range(256)]
    for kind, result in zip(kinds, results, strict=True):
        # Those that left have seen a beginning.
        text = result if kind == 2 else SCRIPTS["steady"].text
        assert result == ("400" if kind == 1 else text)
    wait_until(lambda: worker.num_open == 0)
    assert worker.num_cancelled - cancelled == kinds.count(2)
    assert worker.num_finished - finished == 256 - kinds.count(1) - kinds.count(2)


def test_ten_megabytes(served: Running) -> None:
    """Larger than the limit is refused; within it, a long prompt is refused in time, by its length in tokens."""
    answer = httpx2.post(f"{served.url}/v1/chat/completions", json=body_of("x" * 10_000_000), timeout=10)
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "body_too_large"
    answer = httpx2.post(f"{served.url}/v1/chat/completions", json=body_of("two and " * 20_000), timeout=30)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "context_length_exceeded"


@pytest.fixture(scope="module", autouse=True)
def servers(project_root: Path) -> Iterator[list["subprocess.Popen[str]"]]:
    """Two servers in processes of their own, waiting 10 s and 0.1 s at the end; they start while other tests run."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.serve.http.scripted", drain_s], cwd=project_root, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for drain_s in ("10", "0.1")
    ]  # fmt: skip
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def url_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


async def stream_until_signal(process: "subprocess.Popen[str]", url: str, *texts: str) -> tuple[list[str], int]:
    """Streams all texts, sends SIGTERM once all have begun; returns what came of them and a new request's status."""
    has_begun = [asyncio.Event() for _ in texts]

    async def one(client: httpx2.AsyncClient, index: int) -> str:
        lines = []
        body = body_of(texts[index], stream=True)
        async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
            async for line in answer.aiter_lines():
                has_begun[index].set()
                lines.append(line)
        return "\n".join(lines)

    async with httpx2.AsyncClient(base_url=url, timeout=30) as client:
        tasks = [asyncio.create_task(one(client, index)) for index in range(len(texts))]
        for event in has_begun:
            await event.wait()
        process.send_signal(signal.SIGTERM)
        status = 200
        while status == 200:
            status = (await client.post("/v1/chat/completions", json=body_of("plain"))).status_code
        # Those that come later are told so too, and do not find a closed door.
        await asyncio.sleep(0.5)
        assert (await client.get("/health")).status_code == 503
        return await asyncio.gather(*tasks), status


def test_sigterm_under_load(servers: list["subprocess.Popen[str]"]) -> None:
    """Requests that run end well, new ones are told to go elsewhere, and the process ends with 0."""
    process = servers[0]
    answers, status = asyncio.run(stream_until_signal(process, url_of(process), *["slow"] * 20))
    output, errors = process.communicate(timeout=20)
    assert status == 503
    assert all(answer.endswith("data: [DONE]\n") for answer in answers)
    assert (process.returncode, errors) == (0, "")
    assert output.startswith("finished finished=2")


def test_sigterm_does_not_wait_for_ever(servers: list["subprocess.Popen[str]"]) -> None:
    process = servers[1]
    url = url_of(process)
    with raw_request(url, body_of("silent")) as connection:
        wait_until(lambda: "fulmen_open_requests 1" in httpx2.get(f"{url}/metrics").text)
        process.send_signal(signal.SIGTERM)
        assert b"503 Service Unavailable" in connection.recv(10_000)
        output, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert output.startswith("cut ")


def test_the_worker_of_these_tests_cancels() -> None:
    """What the tests above count on: closing a stream cancels it, and only then."""
    worker = ScriptedWorker()

    async def run() -> None:
        from fulmen.types import Request, Sampling

        deltas = worker.stream(Request(prompt_ids=(1,), sampling=Sampling(), seed=1))
        await anext(deltas)
        await deltas.aclose()

    asyncio.run(run())
    assert (worker.num_open, worker.num_cancelled, worker.num_finished) == (0, 1, 0)

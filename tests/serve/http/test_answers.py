"""What the answers hold, in process: forms, counts, log-probabilities, recorded rollouts, metrics."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from fulmen.serve.http import AppSettings
from fulmen.serve.http.metrics import Histogram
from tests.serve.http.conftest import ask, make_app
from tests.serve.http.scripted import SCRIPTS, TOKENIZER, Script, ScriptedWorker, tokens_of

Post = Callable[..., httpx2.Response]
WEATHER = {"type": "function", "function": {"name": "weather"}}


def chunks_of(response: httpx2.Response) -> list[dict[str, Any]]:
    assert response.headers["content-type"].startswith("text/event-stream")
    events = response.text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    return [json.loads(event.removeprefix("data: ")) for event in events[:-2]]


def test_a_whole_answer(post: Post) -> None:
    answer = post("think").json()
    choice = answer["choices"][0]
    assert answer["object"] == "chat.completion"
    assert answer["id"].startswith("chatcmpl-")
    assert (choice["finish_reason"], choice["stop_reason"], choice["logprobs"]) == ("stop", "stop", None)
    assert choice["message"]["content"] == "It is 4."
    assert choice["message"]["reasoning_content"] == "two and two"
    num_tokens = len(tokens_of(SCRIPTS["think"].text)) + 1
    usage = answer["usage"]
    assert usage["completion_tokens"] == num_tokens
    assert usage["total_tokens"] == usage["prompt_tokens"] + num_tokens
    assert usage["prompt_tokens_details"] == {"cached_tokens": 3}
    assert usage["completion_tokens_details"] == {"reasoning_tokens": len(TOKENIZER.encode("two and two")) + 2}


@pytest.mark.parametrize(
    ("text", "reason", "stop_reason"),
    [("plain", "stop", "stop"), ("long", "length", "length"), ("loop", "length", "repetition"),
     ("call", "tool_calls", "stop")],
)  # fmt: skip
def test_why_it_ended(post: Post, text: str, reason: str, stop_reason: str) -> None:
    tools = [WEATHER] if text == "call" else None
    choice = post(text, tools=tools).json()["choices"][0]
    assert (choice["finish_reason"], choice["stop_reason"]) == (reason, stop_reason)
    last = chunks_of(post(text, tools=tools, stream=True))[-1]["choices"][0]
    assert (last["finish_reason"], last["stop_reason"]) == (reason, stop_reason)


def test_streamed_choices_keep_their_places(post: Post) -> None:
    chunks = chunks_of(post("plain", stream=True, n=3, stream_options={"include_usage": True}))
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    for index in range(3):
        own = [c["choices"][0] for c in chunks[:-1] if c["choices"][0]["index"] == index]
        assert own[0]["delta"] == {"role": "assistant", "content": ""}
        assert "".join(choice["delta"].get("content", "") for choice in own) == SCRIPTS["plain"].text
        assert [choice["finish_reason"] for choice in own] == [None] * (len(own) - 1) + ["stop"]
    assert chunks[-1]["choices"] == []
    # The prompt of several choices is counted once.
    alone = post("plain").json()["usage"]
    assert chunks[-1]["usage"]["prompt_tokens"] == alone["prompt_tokens"]
    assert chunks[-1]["usage"]["completion_tokens"] == 3 * alone["completion_tokens"]
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert all("usage" not in chunk for chunk in chunks_of(post("plain", stream=True)))


def test_first_call_only(post: Post) -> None:
    both = post("two calls", tools=[WEATHER]).json()["choices"][0]["message"]["tool_calls"]
    assert [call["function"]["name"] for call in both] == ["weather", "time"]
    assert len({call["id"] for call in both}) == 2
    one = post("two calls", tools=[WEATHER], parallel_tool_calls=False).json()["choices"][0]["message"]["tool_calls"]
    assert [call["function"]["name"] for call in one] == ["weather"]


def test_calls_are_text_unless_tools_are_there(post: Post) -> None:
    message = post("call", tools=[WEATHER], tool_choice="none").json()["choices"][0]["message"]
    assert "tool_calls" not in message


@pytest.mark.parametrize("stream", [False, True])
def test_logprobs_hold_every_token_of_the_text(post: Post, stream: bool) -> None:
    response = post("plain", logprobs=True, top_logprobs=2, stream=stream)
    if stream:
        entries = [
            entry
            for chunk in chunks_of(response)
            for entry in (chunk["choices"][0]["logprobs"] or {"content": []})["content"]
        ]
    else:
        entries = response.json()["choices"][0]["logprobs"]["content"]
    data = bytes(byte for entry in entries for byte in entry["bytes"])
    assert data.decode() == SCRIPTS["plain"].text
    for entry in entries:
        assert entry["logprob"] == -0.5
        assert [top["logprob"] for top in entry["top_logprobs"]] == [-0.5, -1.5]
        assert bytes(entry["bytes"]).decode("utf-8", "replace") == entry["token"]


def complete(app: Any, **fields: Any) -> httpx2.Response:
    return ask(app, "POST", "/v1/completions", json={"model": "scripted", "max_tokens": 100, **fields})


def test_plain_completions(worker: ScriptedWorker) -> None:
    app = make_app(worker)
    answer = complete(app, prompt=["plain", "think"], n=2).json()
    assert answer["object"] == "text_completion"
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    texts = [choice["text"] for choice in answer["choices"]]
    # Structure is written out: a plain completion has no thinking apart.
    assert texts == [SCRIPTS["plain"].text] * 2 + [SCRIPTS["think"].text] * 2
    assert complete(app, prompt="plain", echo=True).json()["choices"][0]["text"] == "plain" + texts[0]
    ids = TOKENIZER.encode("plain")
    assert complete(app, prompt=ids).json()["choices"][0]["text"] == texts[0]
    assert len(complete(app, prompt=[ids, ids]).json()["choices"]) == 2
    assert len(worker.requests[-1].prompt_ids or ()) == len(ids)
    chunks = chunks_of(complete(app, prompt="plain", echo=True, stream=True))
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == "plain" + texts[0]
    assert complete(app, prompt="a", max_tokens=None).json()["usage"]["completion_tokens"] == 16


def test_every_prompt_counts_whatever_it_says(worker: ScriptedWorker) -> None:
    app = make_app(worker)
    one = complete(app, prompt="plain", n=2).json()["usage"]["prompt_tokens"]
    assert complete(app, prompt=["plain", "plain"], n=2).json()["usage"]["prompt_tokens"] == 2 * one


def test_silence_is_broken_by_comments(worker: ScriptedWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fulmen.serve.http.streams.KEEP_ALIVE_S", 0.05)
    worker.script_of = lambda request: Script(text="a b", step_s=0.2)
    body = {"model": "scripted", "messages": [{"role": "user", "content": "a"}], "stream": True}
    text = ask(make_app(worker), "POST", "/v1/chat/completions", json=body).text
    assert text.count(": waiting\n\n") >= 2
    events = [event for event in text.split("\n\n") if not event.startswith(":")]
    pieces = [json.loads(event.removeprefix("data: "))["choices"][0]["delta"] for event in events[:-2]]
    assert "".join(piece.get("content", "") for piece in pieces) == "a b"
    assert events[-2:] == ["data: [DONE]", ""]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"prompt": ""}, "0 tokens"), ({"prompt": []}, "prompt"), ({"prompt": [[]]}, "prompt"),
        ({}, "prompt is missing"),
        ({"prompt": [TOKENIZER.vocab_size]}, "below"), ({"prompt": [-1]}, "prompt"), ({"prompt": ["a", 1]}, "prompt"),
        ({"prompt": ["a"] * 100, "n": 2}, "at most 128"), ({"prompt": "a", "echo": True, "logprobs": 1}, "echo or"),
        ({"prompt": "a", "best_of": 3}, "best_of"), ({"prompt": "a", "suffix": "b"}, "suffix"),
        ({"prompt": "a", "logprobs": True}, "logprobs"),
    ],
)  # fmt: skip
def test_plain_completions_refuse(worker: ScriptedWorker, fields: dict[str, Any], says: str) -> None:
    response = complete(make_app(worker), **fields)
    assert response.status_code == 400
    assert says in response.json()["error"]["message"]
    assert not worker.requests


def test_logprobs_of_plain_completions(worker: ScriptedWorker) -> None:
    app = make_app(worker)
    logprobs = complete(app, prompt="json", logprobs=1).json()["choices"][0]["logprobs"]
    assert "".join(logprobs["tokens"]) == SCRIPTS["json"].text
    assert logprobs["text_offset"][:2] == [0, len(logprobs["tokens"][0])]
    assert logprobs["token_logprobs"] == [-0.5] * len(logprobs["tokens"])
    assert logprobs["top_logprobs"][0] == {logprobs["tokens"][0]: -0.5}
    chunks = [c["choices"][0]["logprobs"] for c in chunks_of(complete(app, prompt="json", logprobs=1, stream=True))]
    merged = [offset for part in chunks if part for offset in part["text_offset"]]
    assert merged == logprobs["text_offset"]


def test_rollouts_are_recorded_and_returned(worker: ScriptedWorker, tmp_path: Path) -> None:
    app = make_app(worker, AppSettings(model_name="scripted", max_length=2048, record_dir=tmp_path / "new"))
    body = {
        "model": "scripted", "messages": [{"role": "user", "content": "think"}], "n": 2, "return_token_ids": True,
        "metadata": {"task": "t1"},
    }  # fmt: skip
    headers = {"X-Fulmen-Rollout": "run-1/step-2"}
    answer = ask(app, "POST", "/v1/chat/completions", json=body, headers=headers).json()
    streamed = ask(app, "POST", "/v1/chat/completions", json=body | {"stream": True}, headers=headers)
    ask(app, "POST", "/v1/chat/completions", json=body)
    records = [json.loads(line) for line in (tmp_path / "new" / "rollouts.jsonl").read_text().splitlines()]
    assert [record["index"] for record in records] == [0, 1, 0, 1]
    record, returned = records[1], answer["choices"][1]["rollout"]
    assert (record["rollout"], record["answer"], record["metadata"]) == ("run-1/step-2", answer["id"], {"task": "t1"})
    assert {key: record[key] for key in returned} == returned
    assert record["token_ids"] == [*tokens_of(SCRIPTS["think"].text), TOKENIZER.end_id]
    assert record["prompt_ids"] == list(worker.requests[0].prompt_ids or ())
    assert record["logprobs"] == [-0.25] * len(record["token_ids"])
    assert record["model_logprobs"] == [-0.5] * len(record["token_ids"])
    assert (record["policy_version"], record["mask"]) == (3, [True] * len(record["token_ids"]))
    last = [c["choices"][0] for c in chunks_of(streamed) if c["choices"][0]["finish_reason"]]
    assert last[0]["rollout"] == {key: records[2][key] for key in returned}


def test_rollouts_that_cannot_be_recorded(worker: ScriptedWorker, tmp_path: Path) -> None:
    body = {"model": "scripted", "messages": [{"role": "user", "content": "think"}]}
    headers = {"X-Fulmen-Rollout": "a"}
    response = ask(make_app(worker), "POST", "/v1/chat/completions", json=body, headers=headers)
    assert (response.status_code, worker.requests) == (400, [])
    app = make_app(worker, AppSettings(model_name="scripted", max_length=2048, record_dir=tmp_path))
    for bad in ("", "a" * 201, "a\x7f"):
        headers = {"X-Fulmen-Rollout": bad}
        assert ask(app, "POST", "/v1/chat/completions", json=body, headers=headers).status_code == 400


def test_metrics(post: Post, worker: ScriptedWorker) -> None:
    app = make_app(worker)
    body = {"model": "scripted", "messages": [{"role": "user", "content": "plain"}], "n": 2}
    assert ask(app, "POST", "/v1/chat/completions", json=body).status_code == 200
    assert ask(app, "POST", "/v1/chat/completions", json={}).status_code == 400
    ask(app, "GET", '/made"up')
    text = ask(app, "GET", "/metrics").text
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert lines['fulmen_http_requests_total{route="/v1/chat/completions",status="200"}'] == "1"
    assert lines['fulmen_http_requests_total{route="/v1/chat/completions",status="400"}'] == "1"
    assert lines['fulmen_http_requests_total{route="other",status="404"}'] == "1"
    assert lines['fulmen_completions_total{stop_reason="stop"}'] == "2"
    assert lines["fulmen_time_to_first_token_seconds_count"] == "2"
    num_tokens = len(tokens_of(SCRIPTS["plain"].text)) + 1
    assert lines["fulmen_inter_token_seconds_count"] == str(2 * (num_tokens - 1))
    assert lines['fulmen_inter_token_seconds_bucket{le="+Inf"}'] == str(2 * (num_tokens - 1))
    assert (lines["fulmen_open_requests"], lines["fulmen_request_duration_seconds_count"]) == ("0", "1")
    assert (lines["fulmen_blocks"], lines["fulmen_cached_tokens_total"], lines["fulmen_slots"]) == ("64", "3", "8")
    assert text.count("# TYPE fulmen_inter_token_seconds histogram") == 1


def test_histogram_bounds_are_inclusive() -> None:
    histogram = Histogram()
    for duration_s in (0.001, 0.0011, 61.0):
        histogram.observe(duration_s)
    assert (histogram.counts[0], histogram.counts[1], histogram.counts[-1]) == (1, 1, 1)
    assert histogram.sum_s == pytest.approx(61.0021)

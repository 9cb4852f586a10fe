"""The `openai` client against a real server: what it reads is what was said, streamed or not, errors included."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion

from fulmen.serve.http import AppSettings, GateSettings
from tests.serve.http.conftest import Running, make_app, running
from tests.serve.http.scripted import SCRIPTS, TOKENIZER, ScriptedWorker

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "the weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture(scope="module")
def client(served: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="any", max_retries=0) as client:
        yield client


def chat(client: openai.OpenAI, text: str, **fields: Any) -> Any:
    return client.chat.completions.create(model="scripted", messages=[{"role": "user", "content": text}], **fields)


def streamed(client: openai.OpenAI, text: str, **fields: Any) -> ChatCompletion:
    """Returns what the client's own accumulation makes of a stream."""
    messages: Any = [{"role": "user", "content": text}]
    with client.chat.completions.stream(model="scripted", messages=messages, **fields) as stream:
        for _ in stream:
            pass
        return stream.current_completion_snapshot


def test_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["scripted"]
    assert client.models.retrieve("scripted").owned_by == "fulmen"


def test_chat(client: openai.OpenAI) -> None:
    answer = chat(client, "plain")
    assert answer.choices[0].message.content == SCRIPTS["plain"].text
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_reasoning(client: openai.OpenAI) -> None:
    answer = chat(client, "think")
    assert answer.choices[0].message.reasoning_content == "two and two"
    assert answer.choices[0].message.content == "It is 4."
    assert answer.usage.completion_tokens_details.reasoning_tokens > 2
    assert answer.usage.prompt_tokens_details.cached_tokens == 3
    chunks = list(chat(client, "think", stream=True, stream_options={"include_usage": True}))
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join((delta.model_extra or {}).get("reasoning_content") or "" for delta in deltas) == "two and two"
    assert "".join(delta.content or "" for delta in deltas) == "It is 4."
    assert chunks[-1].usage == answer.usage


@pytest.mark.parametrize("text", ["plain", "call", "two calls", "long", "nothing"])
def test_stream_equals_whole(client: openai.OpenAI, text: str) -> None:
    tools = [WEATHER] if "call" in text else openai.NOT_GIVEN
    whole = chat(client, text, tools=tools, logprobs=True, top_logprobs=2, seed=1).choices[0]
    parts = streamed(client, text, tools=tools, logprobs=True, top_logprobs=2, seed=1).choices[0]
    assert (parts.message.content or None) == (whole.message.content or None)
    assert parts.finish_reason == whole.finish_reason
    assert parts.logprobs is not None or not whole.logprobs.content
    assert ((parts.logprobs and parts.logprobs.content) or []) == whole.logprobs.content
    for one, other in zip(parts.message.tool_calls or [], whole.message.tool_calls or [], strict=True):
        assert one.function.name == other.function.name
        assert one.function.arguments == other.function.arguments
        assert one.id.startswith("call_")


def test_tools_there_and_back(client: openai.OpenAI, served: Running) -> None:
    first = chat(client, "call", tools=[WEATHER], tool_choice="auto").choices[0]
    assert first.finish_reason == "tool_calls"
    call = first.message.tool_calls[0]
    assert (call.type, call.function.name) == ("function", "weather")
    assert json.loads(call.function.arguments) == {"city": "Paris"}
    messages: Any = [
        {"role": "user", "content": "call"},
        first.message,
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
    ]
    answer = client.chat.completions.create(model="scripted", messages=messages, tools=[WEATHER])
    assert answer.choices[0].finish_reason in ("stop", "tool_calls")
    assert "sunny" in TOKENIZER.decode(served.worker.requests[-1].prompt_ids or ())


def test_logprobs(client: openai.OpenAI) -> None:
    content = chat(client, "json", logprobs=True, top_logprobs=1).choices[0].logprobs.content
    assert "".join(entry.token for entry in content) == SCRIPTS["json"].text
    assert bytes(byte for entry in content for byte in entry.bytes or []).decode() == SCRIPTS["json"].text
    assert all(entry.logprob == entry.top_logprobs[0].logprob == -0.5 for entry in content)


def test_json_schema(client: openai.OpenAI, served: Running) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    form = {"type": "json_schema", "json_schema": {"name": "place", "schema": schema, "strict": True}}
    answer = chat(client, "json", response_format=form)
    assert json.loads(answer.choices[0].message.content) == {"city": "Paris"}
    grammar = served.worker.requests[-1].sampling.grammar
    assert grammar is not None
    assert (grammar.kind, json.loads(grammar.source)) == ("json_schema", schema)


def test_several_choices(client: openai.OpenAI, served: Running) -> None:
    answer = chat(client, "plain", n=3, seed=4)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    seeds = [request.seed for request in served.worker.requests[-3:]]
    assert len(set(seeds)) == 3
    chat(client, "plain", seed=4)
    assert served.worker.requests[-1].seed == seeds[0]


def test_our_own_fields(client: openai.OpenAI, served: Running) -> None:
    extra = {"thinking_budget": 7, "top_k": 3, "return_token_ids": True}
    choice = chat(client, "think", extra_body=extra).choices[0]
    assert choice.rollout["token_ids"][-1] == TOKENIZER.end_id
    assert choice.stop_reason == "stop"
    assert served.worker.requests[-1].sampling.thinking_budget == 7


def test_plain_completions(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="scripted", prompt="plain", max_tokens=100, logprobs=1)
    assert answer.choices[0].text == SCRIPTS["plain"].text
    assert answer.choices[0].logprobs is not None
    stream = client.completions.create(model="scripted", prompt="plain", max_tokens=100, stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == SCRIPTS["plain"].text


def test_errors(client: openai.OpenAI, served: Running) -> None:
    with pytest.raises(openai.BadRequestError) as bad:
        chat(client, "plain", temperature=9)
    assert (bad.value.param, bad.value.code) == ("temperature", "invalid_value")
    with pytest.raises(openai.BadRequestError, match="unknown field colour"):
        chat(client, "plain", extra_body={"colour": 1})
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="gpt", messages=[{"role": "user", "content": "a"}])
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.InternalServerError) as late:
        chat(client, "late")
    assert late.value.status_code == 504
    served.worker.max_open = 0
    try:
        with pytest.raises(openai.RateLimitError) as full:
            chat(client, "plain", stream=True)
        assert full.value.response.headers["retry-after"] == "7"
    finally:
        served.worker.max_open = 1 << 30
    with pytest.raises(openai.APIError, match="out of memory"):
        list(chat(client, "breaks", stream=True))


def test_key() -> None:
    worker = ScriptedWorker()
    app = make_app(worker, AppSettings(model_name="scripted", max_length=2048, gate=GateSettings(api_key="sesame")))
    with running(app, worker) as server:
        with (
            openai.OpenAI(base_url=f"{server.url}/v1", api_key="wrong", max_retries=0) as client,
            pytest.raises(openai.AuthenticationError) as refused,
        ):
            chat(client, "plain")
        assert refused.value.code == "invalid_api_key"
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key="sesame") as client:
            assert chat(client, "plain").choices[0].message.content == SCRIPTS["plain"].text

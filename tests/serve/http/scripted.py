"""A worker that says what a test wants, token by token, and counts who went away. Runs a server of its own as a script.

What it says depends on the last thing the user wrote: see `SCRIPTS`.
"""

import asyncio
import contextlib
import dataclasses
import functools
import re
import sys
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field

import numpy as np

from fulmen.serve.stats import EngineStats
from fulmen.serve.worker import Draining, QueueFull
from fulmen.text import Tokenizer
from fulmen.text.stream import TextStream
from fulmen.text.tokenizer import END_THINK, HEADERS, THINK
from fulmen.types import Completion, Delta, Message, Request, StopReason, TopLogprob

TOKENIZER = Tokenizer.train(["what is two and two", "the weather in Paris"] * 3, vocab_size=300)
CALLS = '<tool_calls>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_calls>'
TWO_CALLS = CALLS.replace("\n</", '\n{"name": "time", "arguments": {}}\n</')
STRUCTURE = re.compile(
    "|".join(re.escape(text) for text in sorted(TOKENIZER.ids, key=len, reverse=True) if text != "\n")
)


@dataclass(frozen=True, kw_only=True)
class Script:
    """What a completion consists of."""

    text: str
    stop_reason: StopReason = "stop"
    step_s: float = 0.0
    """Between two tokens."""
    first_s: float = 0.0
    """Before the first token."""
    num_cached: int = 0
    per_delta: int = 1
    """Tokens that come at once."""


SCRIPTS: dict[str, Script] = {
    "plain": Script(text="Hello there, é🐈 <b>you</b> & all."),
    "markup": Script(text="<img src=x onerror=alert(1)><b>bold</b>", per_delta=100),
    "think": Script(text=f"{THINK}two and two{END_THINK}It is 4.", num_cached=3),
    "call": Script(text=f"{THINK}look it up{END_THINK}I shall look.\n{CALLS}"),
    "two calls": Script(text=TWO_CALLS),
    "json": Script(text='{"city": "Paris"}'),
    "long": Script(text="word " * 20, stop_reason="length"),
    "loop": Script(text="la " * 20, stop_reason="repetition"),
    "late": Script(text="", stop_reason="deadline"),
    "late but some": Script(text="half an ans", stop_reason="deadline"),
    "broken": Script(text="", stop_reason="error"),
    "breaks": Script(text="some text", stop_reason="error"),
    "slow": Script(text="word " * 20, step_s=0.02),
    "endless": Script(text="word " * 90, step_s=0.1),
    "steady": Script(text="word " * 3, step_s=0.01),
    "silent": Script(text="word", first_s=60.0),
    "nothing": Script(text=""),
}


def tokens_of(text: str) -> list[int]:
    """Returns the tokens of a text, structural ones where they are written out."""
    token_ids: list[int] = []
    start = 0
    for match in STRUCTURE.finditer(text):
        token_ids += [*TOKENIZER.encode(text[start : match.start()]), TOKENIZER.ids[match.group()]]
        start = match.end()
    return token_ids + TOKENIZER.encode(text[start:])


def last_user_text(request: Request) -> str:
    """Returns what the user wrote last, or the whole of a plain prompt."""
    text = TOKENIZER.decode(request.prompt_ids or ())
    return text.rpartition(HEADERS["user"])[2].partition("<end_of_sentence>")[0]


@functools.cache
def token_deltas(token_ids: tuple[int, ...], num_top: int, per_delta: int) -> list[Delta]:
    """Returns deltas of so many tokens each, with text as soon as its characters are whole."""
    deltas: list[Delta] = []
    stream = TextStream(TOKENIZER)
    for start in range(0, len(token_ids), per_delta):
        tokens = token_ids[start : start + per_delta]
        tops = [
            (TopLogprob(token_id=token, logprob=-0.5), TopLogprob(token_id=5, logprob=-1.5))[:num_top]
            for token in tokens
        ]
        deltas.append(
            Delta(
                request_id=start, token_ids=tokens, logprobs=(-0.5,) * len(tokens), top_logprobs=tuple(tops),
                text=stream.feed(token for token in tokens if token != TOKENIZER.end_id),
            )
        )  # fmt: skip
    return deltas


@dataclass(kw_only=True)
class ScriptedWorker:
    """Stands in for `fulmen.serve.Worker`."""

    max_open: int = 1 << 30
    script_of: Callable[[Request], Script] | None = None
    is_draining: bool = False
    num_open: int = 0
    num_finished: int = 0
    num_cancelled: int = 0
    requests: list[Request] = field(default_factory=list)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    failure: Exception | None = None
    """Raised in place of an answer."""

    async def stream(self, request: Request) -> AsyncGenerator[Delta, None]:
        """Yields the script's deltas, one token each."""
        if self.is_draining:
            raise Draining("the server is shutting down")
        if self.failure is not None:
            raise self.failure
        if self.num_open >= self.max_open:
            raise QueueFull(self.max_open, retry_after_s=7)
        self.requests.append(request)
        self.num_open += 1
        is_finished = False
        try:
            script = (
                self.script_of(request) if self.script_of else SCRIPTS.get(last_user_text(request), SCRIPTS["plain"])
            )
            for delta in self._deltas(request, script):
                await self._pause(script.step_s if delta.request_id else script.first_s)
                is_finished = delta.completion is not None
                yield delta
        finally:
            self.num_open -= 1
            self.num_finished += is_finished
            self.num_cancelled += not is_finished

    def _deltas(self, request: Request, script: Script) -> list[Delta]:
        tokens = tokens_of(script.text)[: request.sampling.max_tokens]
        reason = script.stop_reason if len(tokens) < request.sampling.max_tokens else "length"
        if reason == "stop":
            tokens.append(TOKENIZER.end_id)
        deltas = token_deltas(tuple(tokens), request.sampling.top_logprobs, script.per_delta)
        shown = "".join(delta.text for delta in deltas)
        completion = Completion(
            prompt_ids=np.array(request.prompt_ids, dtype=np.int64), token_ids=np.array(tokens, dtype=np.int64),
            logprobs=np.full(len(tokens), -0.25, dtype=np.float32),
            model_logprobs=np.full(len(tokens), -0.5, dtype=np.float32), stop_reason=reason,
            message=Message(role="assistant", content=shown), policy_version=3, num_cached=script.num_cached,
            error="out of memory" if reason == "error" else "",
        )  # fmt: skip
        if not deltas:
            return [Delta(request_id=0, completion=completion)]
        return [*deltas[:-1], dataclasses.replace(deltas[-1], completion=completion)]

    def stats(self) -> EngineStats:
        """Returns numbers that tell the fields apart."""
        return EngineStats(
            num_waiting=0, num_running=self.num_open, num_slots=8, blocks_used=self.num_open, blocks_total=64,
            prompt_tokens=10, completion_tokens=20, drawn_tokens=25, cached_tokens=3, preemptions=1, snapshots=2,
            snapshot_bytes=512,
        )  # fmt: skip

    async def drain(self, timeout_s: float) -> bool:
        """Waits for what runs."""
        self.is_draining = True
        until = asyncio.get_running_loop().time() + timeout_s
        while self.num_open and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(0.01)
        is_clean = not self.num_open
        self.stopped.set()
        return is_clean

    async def _pause(self, duration_s: float) -> None:
        """Waits, unless the worker is stopped."""
        if duration_s < 1:
            await asyncio.sleep(duration_s)
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stopped.wait(), duration_s)
            raise Draining("the server has stopped")


def main() -> None:
    """Serves at a free port of 127.0.0.1, prints the URL, and ends at SIGTERM."""
    from fulmen.serve.http import AppSettings, create_app
    from fulmen.serve.http.server import ServerSettings, bind, serve, url_of

    settings = ServerSettings(port=0, drain_s=float(sys.argv[1]) if len(sys.argv) > 1 else 10.0)
    listener = bind(settings)
    worker = ScriptedWorker()
    app = create_app(worker, TOKENIZER, AppSettings(model_name="scripted", max_length=2048))
    outcome = asyncio.run(
        serve(app, worker, listener, settings=settings, on_start=lambda: print(url_of(listener), flush=True))
    )
    print(f"{outcome} finished={worker.num_finished} cancelled={worker.num_cancelled}", flush=True)


if __name__ == "__main__":
    main()

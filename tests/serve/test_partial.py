"""Interrupted completions go on as if nothing had been: in the same engine, another one, or after new weights.

Compared with `test_engine.py`'s single requests. Float64: rounding never decides a draw.
"""

import dataclasses
import functools
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fulmen.envs import SingleTurn
from fulmen.errors import ConfigError, DataError
from fulmen.model import Model
from fulmen.rollout import Backlog, Collected, CollectSettings, collect
from fulmen.serve import Engine
from fulmen.text.tokenizer import END_THINK, THINK
from fulmen.types import (
    Completion,
    Grammar,
    Message,
    Partial,
    Request,
    Resumable,
    Sampling,
    Score,
    Split,
    StopReason,
    Task,
)
from tests.serve.test_engine import CONFIG, TOKENIZER, ask, make_model

SHAPES: dict[str, dict[str, Any]] = {
    "hybrid experts": {},
    "hybrid dense": {"mlps": "D", "num_experts": 0},
    "softmax dense": {"mlps": "D", "num_experts": 0, "mixers": "S"},
}
END, THINKS, CLOSES = TOKENIZER.end_id, TOKENIZER.ids[THINK], TOKENIZER.ids[END_THINK]


@functools.cache
def model_of(shape: str, seed: int = 1) -> Model:
    if not SHAPES[shape] and seed == 1:
        return make_model()
    model = Model(CONFIG.replace(**SHAPES[shape]), seed=seed)
    with torch.no_grad():
        model.embed_tokens.weight.mul_(30.0)
        model.lm_head.weight.mul_(25.0)
    return model.double()


def make_engine(shape: str = "hybrid experts", **options: Any) -> Engine:
    return Engine(model_of(shape), TOKENIZER, **{"num_slots": 3, "is_debug": True, **options})


def requests_of_all_kinds() -> list[Request]:
    """More than there are slots; what counts beside the tokens is in each: runs, budgets, penalties, texts."""
    open_thinking = ((THINKS, 100.0), (CLOSES, -100.0), (END, -100.0))
    return [
        ask("two", seed=1, max_tokens=12, logit_bias=((END, -100.0),), repetition_window=9, repetition_p=1e-300),
        ask("two and two", seed=2, max_tokens=10, presence_penalty=1.5, repetition_penalty=1.4),
        ask("two", seed=3, max_tokens=11, thinking_budget=4, logit_bias=open_thinking),
        ask("b", seed=4, max_tokens=10, min_tokens=10, logit_bias=((END, 30.0),), top_logprobs=2),
        ask("and so on", seed=5, max_tokens=9, stop=("zzz",)),
        ask("a", seed=6, max_tokens=9, grammar=Grammar(kind="regex", source="[a-z]{6,7}")),
    ]


@functools.cache
def undisturbed(shape: str) -> list[Completion]:
    return make_engine(shape)(requests_of_all_kinds())


def play(engine: Engine, work: Sequence[Request | Partial], *, num_steps: int) -> list[Completion | Partial]:
    """Submits and steps, then interrupts; returns what each has come to, in order."""
    ids = [engine.submit(item, has_text=False) for item in work]
    ended: dict[int, Completion | Partial] = {}
    for _ in range(num_steps):
        if engine.has_work:
            ended |= {delta.request_id: delta.completion for delta in engine.step() if delta.completion is not None}
    ended |= engine.interrupt()
    assert not engine.has_work
    assert engine.stats().blocks_used == 0
    return [ended[request_id] for request_id in ids]


def go_through(engines: Sequence[Engine], work: Sequence[Request], *, num_steps: int) -> list[Completion]:
    """Interrupts every `num_steps` steps and goes on in the next of the engines, until all have ended."""
    state: list[Completion | Partial] = play(engines[0], list(work), num_steps=num_steps)
    for turn in range(1, 100):
        places = [place for place, item in enumerate(state) if isinstance(item, Partial)]
        if not places:
            return [item for item in state if isinstance(item, Completion)]
        engine = engines[turn % len(engines)]
        engine.release()
        parts = [item for item in state if isinstance(item, Partial)]
        for place, item in zip(places, play(engine, parts, num_steps=num_steps), strict=True):
            state[place] = item
    raise AssertionError("it never ends")


def assert_equal(mine: Completion, its: Completion, *, tolerance: float = 1e-10) -> None:
    for field in dataclasses.fields(Completion):
        left, right = getattr(mine, field.name), getattr(its, field.name)
        if field.name in ("logprobs", "model_logprobs"):
            np.testing.assert_allclose(left, right, rtol=0, atol=tolerance, err_msg=field.name)
        elif field.name == "top_logprobs":
            assert [[t.token_id for t in top] for top in left] == [[t.token_id for t in top] for top in right]
        elif field.name != "num_cached":
            assert (left is None) == (right is None), field.name
            assert np.array_equal(left, right), field.name


@pytest.mark.parametrize("num_steps", [1, 5])
@pytest.mark.parametrize("shape", list(SHAPES))
def test_interrupted_completions_are_what_they_would_have_been(shape: str, num_steps: int) -> None:
    """In turns in two engines, with memory given back between; one of them has pieces of prefill and overlap."""
    engines = [make_engine(shape), make_engine(shape, num_slots=2, prefill_tokens=40, is_overlapped=True)]
    expected = undisturbed(shape)
    assert [c.stop_reason for c in expected[:1]] == ["repetition"]
    assert expected[2].mask is not None
    assert re.fullmatch("[a-z]{6,7}", expected[5].message.content)
    for mine, its in zip(go_through(engines, requests_of_all_kinds(), num_steps=num_steps), expected, strict=True):
        assert_equal(mine, its)


def test_a_stop_string_over_the_interruption_still_ends_the_completion() -> None:
    request = ask("two and two", seed=4, max_tokens=40)
    engine = make_engine()
    text = TOKENIZER.decode(engine([request])[0].token_ids.tolist())
    start = next(i for i in range(3, len(text) - 3) if "\ufffd" not in text[i - 2 : i + 4])
    stopped = dataclasses.replace(
        request, sampling=dataclasses.replace(request.sampling, stop=(text[start : start + 3],))
    )
    (expected,), (mine,) = engine([stopped]), go_through([engine], [stopped], num_steps=1)
    assert expected.stop_reason == "stop_string"
    assert_equal(mine, expected)


def test_tokens_carry_the_weights_that_drew_them_and_keep_what_was_recorded() -> None:
    """Two parts under two weights: the first is the old completion's, the second what new weights make of it."""
    old, new = model_of("hybrid experts"), model_of("hybrid experts", 2)
    request = ask("two and two", seed=7, max_tokens=10, logit_bias=((END, -100.0),))
    whole = Engine(old, TOKENIZER)([request])[0]
    first, second = Engine(old, TOKENIZER), Engine(new, TOKENIZER)
    first.policy_version, second.policy_version = 3, 4
    (partial,) = play(first, [request], num_steps=4)
    assert isinstance(partial, Partial)
    assert partial.token_ids.tolist() == whole.token_ids[:4].tolist()
    (completion,) = play(second, [partial], num_steps=99)
    assert isinstance(completion, Completion)
    assert completion.token_versions is not None
    assert completion.expert_ids is not None
    assert whole.expert_ids is not None
    assert completion.token_versions.tolist() == [3] * 4 + [4] * 6
    assert completion.policy_version == 3
    assert np.array_equal(completion.logprobs[:4], partial.logprobs)
    prompt = len(completion.prompt_ids)
    assert np.array_equal(completion.expert_ids[: prompt + 3], whole.expert_ids[: prompt + 3])
    fed = torch.tensor([[*completion.prompt_ids, *completion.token_ids[:-1]]])
    with torch.no_grad():
        output = new(fed)
    logits = output.logits[0, prompt - 1 :]
    logits[:, TOKENIZER.vocab_size :] = -torch.inf
    under_new = logits.log_softmax(-1).gather(1, torch.from_numpy(completion.token_ids)[:, None])[:, 0].numpy()
    assert completion.model_logprobs is not None
    np.testing.assert_allclose(completion.model_logprobs[4:], under_new[4:], rtol=0, atol=1e-10)
    assert np.abs(completion.model_logprobs[:4] - under_new[:4]).max() > 1e-3
    assert np.array_equal(completion.expert_ids[prompt + 3 :], output.expert_ids[0, prompt + 3 :].numpy())


def test_deltas_after_an_interruption_are_of_what_is_new() -> None:
    engine = make_engine()
    request = ask("two and two", seed=4, max_tokens=10, logit_bias=((END, -100.0),))
    (partial,) = play(engine, [request], num_steps=3)
    assert isinstance(partial, Partial)
    engine.submit(partial)
    tokens: list[int] = []
    while engine.has_work:
        tokens += [token for delta in engine.step() for token in delta.token_ids]
    assert tokens == engine([request])[0].token_ids[3:].tolist()


def test_completions_that_nobody_was_told_of_come_with_the_interruption() -> None:
    engine = make_engine(is_overlapped=True)
    request = ask("two", seed=1, max_tokens=3)
    request_id = engine.submit(request, has_text=False)
    for _ in range(3):
        assert not engine.step()
    found = engine.interrupt()
    assert isinstance(found[request_id], Completion)
    assert engine.interrupt() == {}
    assert isinstance(engine, Resumable)


def test_what_does_not_fit_is_refused_before_anything_runs() -> None:
    engine = make_engine()
    request = ask("two", seed=1, max_tokens=8, logit_bias=((END, -100.0),))
    (partial,) = play(engine, [request], num_steps=3)
    assert isinstance(partial, Partial)
    assert len(partial.token_ids) == 3
    for changes, error, message in (
        ({"logprobs": partial.logprobs[:2]}, DataError, "2 logprobs of 3 tokens"),
        ({"counters": {}}, DataError, "allowed: those of 3 tokens"),
        ({"request": ask("two", max_tokens=3)}, DataError, "allowed: fewer than 3"),
        ({"expert_ids": None}, ConfigError, "0 experts a token, for an engine that records 6"),
    ):
        with pytest.raises(error, match=message):
            engine.submit(dataclasses.replace(partial, **changes))  # type: ignore[arg-type]
    assert not engine.has_work


@dataclass(frozen=True, kw_only=True)
class Counting(SingleTurn):
    """Scores a reply by its length, so that groups differ."""

    name: str = "counting"
    times: int = 1

    def task(self, split: Split, *, seed: int, index: int) -> Task:
        """Returns a task whose prompt is its index, so many times."""
        prompt = (Message(role="user", content=f"{index} and two " * self.times),)
        return Task(task_id=f"counting-{split}-{seed}-{index}", env=self.name, prompt=prompt, gold="")

    def check(self, task: Task, answer: Message | str, *, stop_reason: StopReason = "stop") -> Score:
        """Returns a number between 0 and 1."""
        text = answer if isinstance(answer, str) else answer.content
        return Score(value=len(text) % 3 / 2)

    def worked_solution(self, task: Task, rng: random.Random) -> Message:
        """Never asked for."""
        raise AssertionError


def train(shape: str, *, first: int, backlog: Backlog, cursor: int) -> list[Collected]:
    """Collects batches `first` to 2 with a new model and engine, as a process does that was just started.

    Float32; the weights are a function of the batch's number, since each batch trains.
    """
    model, found = Model(CONFIG.replace(**SHAPES[shape]), seed=1), []
    with torch.no_grad():
        model.load_state_dict(model_of(shape).state_dict())
    engine = Engine(model, TOKENIZER, num_slots=5)
    for number in range(3):
        engine.policy_version = 4 * number
        if number >= first:
            result = collect(
                engine, Counting(), CollectSettings(num_groups=1, group_size=3, stride=2),
                sampling=Sampling(max_tokens=9), seed=3, cursor=cursor, keep=lambda group: True, backlog=backlog,
                max_staleness=2, policy_version=engine.policy_version,
            )  # fmt: skip
            found.append(result)
            backlog, cursor = result.backlog, result.cursor
        with torch.no_grad():
            model.lm_head.weight.mul_(0.8)
    return found


def bits(value: Any) -> Any:
    """Returns a record as plain values that are equal only where all bits are."""
    if isinstance(value, np.ndarray):
        return (value.dtype.str, value.shape, value.tobytes())
    if dataclasses.is_dataclass(value):
        return [bits(getattr(value, field.name)) for field in dataclasses.fields(value)]
    if isinstance(value, tuple | list):
        return [bits(item) for item in value]
    return {key: bits(item) for key, item in value.items()} if isinstance(value, dict) else value


@pytest.mark.parametrize("shape", list(SHAPES))
def test_a_killed_run_collects_the_same_bits(shape: str, tmp_path: Path) -> None:
    """Batches over changing weights in float32, undisturbed and from the file of the first one's backlog."""
    whole = train(shape, first=0, backlog=Backlog(), cursor=0)
    parts = [p for g in whole[0].backlog.groups for a in g.attempts for p in a.partials]
    assert parts, "nothing was interrupted"
    whole[0].backlog.save(tmp_path)
    rest = train(shape, first=1, backlog=Backlog.load(tmp_path), cursor=whole[0].cursor)
    assert bits(rest) == bits(whole[1:])
    completions = [r.completion for result in whole for group in result.groups for r in group.rollouts]
    versions = [c.token_versions.tolist() for c in completions if c.token_versions is not None]
    assert versions, "no completion went over an update"
    assert all(v == sorted(v) and set(v) <= {0, 4, 8} for v in versions)
    has_experts = not SHAPES[shape]
    for completion in completions:
        assert (completion.expert_ids is not None) == has_experts
        if completion.expert_ids is not None:
            assert len(completion.expert_ids) == len(completion.prompt_ids) + len(completion.token_ids) - 1


def test_what_an_engine_did_before_does_not_show_in_a_backlog() -> None:
    """A prefix that is cached already would let completions get further in as many steps."""
    engines = [make_engine("softmax dense", num_slots=4, prefill_tokens=64) for _ in range(2)]
    env = Counting(times=12)
    engines[1]([Request(messages=env.task("train", seed=3, index=index).prompt, sampling=Sampling(max_tokens=2), seed=0)
                for index in range(2)])  # fmt: skip
    fresh, used = (
        collect(
            engine, env, CollectSettings(num_groups=1, group_size=2, stride=2), sampling=Sampling(max_tokens=9), seed=3,
            cursor=0, keep=lambda group: True, max_staleness=1,
        )
        for engine in engines
    )  # fmt: skip
    assert bits(used) == bits(fresh)
    assert fresh.backlog.groups

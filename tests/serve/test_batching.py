"""Continuous batching: whatever the engine does to its memory, a completion is what it would be alone.

Compared with `test_engine.py`'s single requests, which are compared with naive loops of full forwards there. Memory
that nobody owns is NaN throughout. Float64: rounding never decides a draw.
"""

import dataclasses
import time
from typing import Any

import numpy as np
import pytest
import torch

from fulmen.errors import ConfigError, DataError
from fulmen.model.cache import BLOCK, block_bytes
from fulmen.serve import Engine
from fulmen.text.tokenizer import END_THINK, THINK
from fulmen.types import Completion, Delta, Request
from tests.serve.test_engine import CONFIG, TEXTS, TOKENIZER, ask, assert_same, complete_alone, make_model

MODES: dict[str, dict[str, Any]] = {
    "plain": {"is_aligned": False},
    "plain overlapped": {"is_aligned": False, "is_overlapped": True},
    "aligned": {"is_aligned": True},
    "aligned overlapped": {"is_aligned": True, "is_overlapped": True},
}


@pytest.fixture(params=list(MODES))
def mode(request: pytest.FixtureRequest) -> dict[str, Any]:
    return MODES[request.param]


def make_engine(num_blocks: int = 64, **options: Any) -> Engine:
    cache_bytes = num_blocks * block_bytes(CONFIG, torch.float64)
    return Engine(make_model(), TOKENIZER, **{"num_slots": 6, "cache_bytes": cache_bytes, "is_debug": True, **options})


def assert_agrees(mine: Completion, its: Completion) -> None:
    """As `assert_same`, for an engine that records no routes."""
    assert mine.token_ids.tolist() == its.token_ids.tolist()
    np.testing.assert_allclose(mine.logprobs, its.logprobs, rtol=0, atol=1e-10)
    assert (mine.stop_reason, mine.message) == (its.stop_reason, its.message)


def assert_empty(engine: Engine) -> None:
    stats = engine.stats()
    assert (stats.num_waiting, stats.num_running, stats.blocks_used) == (0, 0, 0)
    assert not engine.has_work


def long_requests() -> list[Request]:
    return [ask(TEXTS[i % 8], seed=i, max_tokens=100 + 10 * (i % 3)) for i in range(4)]


def test_preempted_sequences_come_back_the_same(mode: dict[str, Any]) -> None:
    """Four sequences of three blocks in five blocks: tokens, routes, counters and noise go on where they were."""
    engine = make_engine(num_blocks=5, **mode)
    for mine, request in zip(engine(long_requests()), long_requests(), strict=True):
        assert_same(mine, complete_alone(request))
    assert engine.stats().preemptions > 0
    assert_empty(engine)


def test_a_preempted_repetition_count_goes_on() -> None:
    """The count of sure tokens is the device's: it has to survive losing the slot."""
    bias = ((TOKENIZER.end_id, -100.0),)
    settings = {"max_tokens": 90, "repetition_window": 75, "repetition_p": 1e-300, "logit_bias": bias}
    engine = make_engine(num_blocks=5)
    for completion in engine([ask("two", seed=i, **settings) for i in range(4)]):
        assert (completion.stop_reason, len(completion.token_ids)) == ("repetition", 75)
    assert engine.stats().preemptions > 0


@pytest.mark.parametrize("prefill_tokens", [1, 7, 64, 65])
def test_prefill_in_pieces_beside_decoding(mode: dict[str, Any], prefill_tokens: int) -> None:
    requests = [ask("what is two and two " * (i + 1), seed=i, max_tokens=9) for i in range(5)]
    engine = make_engine(prefill_tokens=prefill_tokens, **mode)
    for mine, request in zip(engine(requests), requests, strict=True):
        assert_same(mine, complete_alone(request))


@pytest.mark.parametrize("length", [1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK])
def test_prompts_around_a_block_in_slots_that_were_used(mode: dict[str, Any], length: int) -> None:
    """A prompt of one token is a prefill, not a step over what its slot held before."""
    engine = make_engine(num_slots=2, **mode)
    engine([ask("and so on", seed=9, max_tokens=20), ask("b", seed=8, max_tokens=3)])
    prompt = tuple(TOKENIZER.encode("two and two is what it is, " * 30)[:length])
    request = Request(prompt_ids=prompt, sampling=ask("").sampling, seed=5)
    assert_same(engine([request])[0], complete_alone(request))


def test_a_group_shares_one_prefill_and_is_what_its_members_are_alone(mode: dict[str, Any]) -> None:
    requests = [ask("two and two " * 12, seed=seed, max_tokens=20) for seed in range(16)]
    engine = make_engine(num_slots=16, **mode)
    for mine, request in zip(engine(requests), requests, strict=True):
        assert_same(mine, complete_alone(request))
    assert engine.stats().cached_tokens == 15 * len(complete_alone(requests[0]).prompt_ids)


def test_a_group_larger_than_the_slots(mode: dict[str, Any]) -> None:
    requests = [ask("two and two " * 12, seed=seed, max_tokens=5) for seed in range(9)]
    for mine, request in zip(make_engine(num_slots=4, **mode)(requests), requests, strict=True):
        assert_same(mine, complete_alone(request))


@pytest.mark.parametrize("extra", [0, 1, BLOCK - 1, BLOCK])
def test_a_prefix_hit_at_any_depth_equals_a_cold_run(mode: dict[str, Any], extra: int) -> None:
    """E1 of spec/engine.md: snapshots at different depths, reused twice, among other requests."""
    engine = make_engine(records_routes=False, **mode)
    base = TOKENIZER.encode("what is 12 + 30? " * 60)[: 5 * BLOCK]
    for depth in (5, 2, 4, 5, 3):
        prompt = (*base[: depth * BLOCK], *TOKENIZER.encode("so it is, " * 20)[:extra])
        request = Request(prompt_ids=prompt, sampling=ask("", max_tokens=6).sampling, seed=depth)
        assert_agrees(engine([request, ask("a", seed=1, max_tokens=4)])[0], complete_alone(request))
    # A snapshot at the end of a longer extra is of a block that no other prompt has.
    assert extra > 1 or engine.stats().cached_tokens >= 4 * BLOCK
    assert_empty(engine)


def test_the_next_turn_of_a_conversation_reuses_the_last_one() -> None:
    engine = make_engine(records_routes=False, is_aligned=True)
    prompt = tuple(TOKENIZER.encode("what is 12 + 30? " * 30))
    first = engine([Request(prompt_ids=prompt, sampling=ask("", max_tokens=80, temperature=0.9).sampling, seed=1)])[0]
    longer = (*prompt, *first.token_ids.tolist(), *TOKENIZER.encode("and so on"))
    request = Request(prompt_ids=longer, sampling=ask("").sampling, seed=2)
    second = engine([request])[0]
    assert_agrees(second, complete_alone(request))
    assert second.num_cached == (len(prompt) + len(first.token_ids) - 1) // BLOCK * BLOCK > len(prompt)


def test_snapshots_stay_within_their_budget() -> None:
    engine = make_engine(num_blocks=64, records_routes=False, is_aligned=True)
    for index in range(12):
        request = ask(f"{index} " + "what is two " * 40, seed=index, max_tokens=2)
        assert_agrees(engine([request])[0], complete_alone(request))
    stats = engine.stats()
    assert 0 < stats.snapshot_bytes <= 64 * block_bytes(CONFIG, torch.float64) // 8
    assert_empty(engine)


def test_new_weights_are_seen_at_once_and_drop_what_was_cached(mode: dict[str, Any]) -> None:
    """E4: after an update nothing is left of the old weights; in the middle of a completion tokens carry both."""
    model = make_model.__wrapped__()
    engine = Engine(model, TOKENIZER, num_slots=4, records_routes=False, **mode)
    request = ask("what is 12 + 30? " * 20, seed=3, max_tokens=10)
    engine([request])
    changed = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    changed["lm_head.weight"] *= -0.5
    engine.load_weights(changed, version=7)
    mine = engine([request])[0]
    assert (mine.policy_version, mine.num_cached, mine.token_versions) == (7, 0, None)
    fresh = make_model.__wrapped__()
    fresh.load_state_dict(changed)
    assert_agrees(mine, Engine(fresh, TOKENIZER)([request])[0])
    engine.submit(request)
    for _ in range(4):
        engine.step()
    engine.policy_version = 8
    completion = finish(engine)[-1].completion
    assert completion is not None
    assert completion.token_versions is not None
    assert set(completion.token_versions.tolist()) == {7, 8}
    assert completion.policy_version == 7


def test_weights_that_do_not_fit_change_nothing() -> None:
    engine = make_engine()
    before = {name: tensor.clone() for name, tensor in engine.model.state_dict().items()}
    wrong = {name: tensor + 1 for name, tensor in before.items()}
    wrong["norm.weight"] = torch.ones(3)
    with pytest.raises(ConfigError, match=r"\['norm.weight'\] do not fit"):
        engine.load_weights(wrong, version=1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in engine.model.state_dict().items())


def finish(engine: Engine) -> list[Delta]:
    deltas: list[Delta] = []
    while engine.has_work:
        deltas += engine.step()
    return deltas


def test_deltas_add_up_to_the_completion(mode: dict[str, Any]) -> None:
    engine = make_engine(**mode)
    requests = {engine.submit(request): request for request in long_requests()}
    deltas = finish(engine)
    for request_id, request in requests.items():
        own = [delta for delta in deltas if delta.request_id == request_id]
        completion = own[-1].completion
        assert completion is not None
        assert_same(completion, complete_alone(request))
        assert [token for delta in own for token in delta.token_ids] == completion.token_ids.tolist()
        assert completion.model_logprobs is not None
        np.testing.assert_array_equal([x for d in own for x in d.logprobs], completion.model_logprobs)
        ends = completion.stop_reason == "stop"
        shown = completion.token_ids[:-1] if ends else completion.token_ids
        assert "".join(delta.text for delta in own) == TOKENIZER.decode(shown.tolist())


@pytest.mark.parametrize("num_steps", range(8))
def test_cancelling_at_any_step_frees_everything_and_disturbs_nobody(mode: dict[str, Any], num_steps: int) -> None:
    engine = make_engine(num_slots=2, prefill_tokens=5, **mode)
    requests = [ask("two and two", seed=i, max_tokens=12) for i in range(4)]
    ids = [engine.submit(request) for request in requests]
    deltas = []
    for _ in range(num_steps):
        deltas += engine.step()
    engine.cancel(ids[0])
    engine.cancel(ids[3])
    engine.cancel(10**9)
    deltas += finish(engine)
    done = {delta.request_id: delta.completion for delta in deltas if delta.completion is not None}
    assert set(done) == {ids[1], ids[2]}
    for index in (1, 2):
        assert_same(done[ids[index]], complete_alone(requests[index]))
    assert_empty(engine)


@pytest.mark.parametrize("num_steps", [1, 2, 40, 66, 70])
def test_what_a_cancelled_request_has_computed_is_whole_or_not_there(mode: dict[str, Any], num_steps: int) -> None:
    """Its states are kept for the next turn as those of a finished one; a promise of them alone would be read later."""
    engine = make_engine(num_slots=2, records_routes=False, **mode)
    prompt = tuple(TOKENIZER.encode("what is 12 + 30? " * 30)[:200])
    request_id = engine.submit(Request(prompt_ids=prompt, sampling=ask("", max_tokens=200).sampling, seed=1))
    tokens = [token for _ in range(num_steps) for delta in engine.step() for token in delta.token_ids]
    engine.cancel(request_id)
    request = Request(prompt_ids=(*prompt, *tokens, 17, 18), sampling=ask("", max_tokens=8).sampling, seed=2)
    completion = engine([request])[0]
    assert_agrees(completion, complete_alone(request))
    assert not mode["is_aligned"] or num_steps < 2 or completion.num_cached >= 192


def test_news_that_come_while_weights_change_reach_their_callers() -> None:
    """Reading what is on its way may end requests: whoever waits for them must hear of it."""
    engine = make_engine(is_aligned=True, is_overlapped=True)
    requests = {
        engine.submit(ask("two", seed=i, max_tokens=3 + i)): ask("two", seed=i, max_tokens=3 + i) for i in range(3)
    }
    deltas: list[Delta] = []
    for version in range(1, 30):
        deltas += engine.step()
        engine.weights_changed(version)
    deltas += finish(engine)
    done = {delta.request_id: delta.completion for delta in deltas if delta.completion is not None}
    assert set(done) == set(requests)
    for request_id, request in requests.items():
        assert done[request_id].token_ids.tolist() == complete_alone(request).token_ids.tolist()


def test_a_call_leaves_the_news_of_other_requests_alone() -> None:
    engine = make_engine()
    other, own = ask("two", seed=1, max_tokens=5), ask("b", seed=2, max_tokens=30)
    request_id = engine.submit(other)
    assert_same(engine([own])[0], complete_alone(own))
    assert engine.has_work
    (delta,) = finish(engine)
    assert delta.request_id == request_id
    assert delta.completion is not None
    assert_same(delta.completion, complete_alone(other))


def test_a_deadline_ends_a_request_with_what_it_has() -> None:
    engine = make_engine()
    engine.submit(ask("two", seed=1, max_tokens=500, deadline_s=0.05))
    engine.step()
    time.sleep(0.06)
    completion = finish(engine)[-1].completion
    assert completion is not None
    assert completion.stop_reason == "deadline"
    assert 1 <= len(completion.token_ids) < 500
    assert_empty(engine)


def test_weights_that_are_not_finite_end_requests_with_an_error() -> None:
    model = make_model.__wrapped__()
    with torch.no_grad():
        model.norm.weight[3] = torch.nan
    completion = Engine(model, TOKENIZER)([ask("two")])[0]
    assert (completion.stop_reason, completion.error) == ("error", "the model's logits are not finite")


def test_a_prefill_that_does_not_fit_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = make_engine(num_slots=2)
    whole = engine.model.run

    def run(token_ids: torch.Tensor, layout: Any, **options: Any) -> Any:
        if token_ids.numel() > 60:
            raise torch.OutOfMemoryError("no room")
        return whole(token_ids, layout, **options)

    monkeypatch.setattr(engine.model, "run", run)
    small, large = ask("two", seed=1), ask("two and two " * 40, seed=2)
    mine, failed, other = engine([small, large, small])
    assert failed.stop_reason == "error"
    assert "out of memory" in failed.error
    for completion in (mine, other):
        assert_same(completion, complete_alone(small))
    assert_empty(engine)


@pytest.mark.parametrize("budget", [0, 1, 5])
def test_a_spent_thinking_budget_forces_the_end_of_thinking(mode: dict[str, Any], budget: int) -> None:
    """The model is made to open thinking first and never to close it."""
    think, close = TOKENIZER.ids[THINK], TOKENIZER.ids[END_THINK]
    bias = ((think, 100.0), (close, -100.0), (TOKENIZER.end_id, -100.0))
    request = ask("two", seed=1, max_tokens=12, thinking_budget=budget, logit_bias=bias)
    completion = make_engine(**mode)([request])[0]
    tokens = completion.token_ids.tolist()
    assert tokens[0] == think
    assert tokens.index(close) == 1 + budget
    assert completion.mask is not None
    # Thinking that is opened again has nothing left to spend.
    assert (~completion.mask).nonzero()[0].tolist() == list(range(1 + budget, 12, 2))
    assert completion.logprobs[1 + budget] == 0


def test_a_budget_that_is_not_spent_changes_nothing() -> None:
    request = ask("two", seed=1, max_tokens=12)
    bounded = dataclasses.replace(request, sampling=dataclasses.replace(request.sampling, thinking_budget=1000))
    assert_same(make_engine()([bounded])[0], complete_alone(request))


def test_stop_strings_over_token_borders() -> None:
    request = ask("two and two", seed=4, max_tokens=40)
    text = TOKENIZER.decode(complete_alone(request).token_ids.tolist())
    start = next(i for i in range(3, len(text) - 3) if "\ufffd" not in text[i - 2 : i + 4])
    stop = text[start : start + 3]
    bounded = dataclasses.replace(request, sampling=dataclasses.replace(request.sampling, stop=("zzz", stop)))
    engine = make_engine()
    completion = engine([bounded])[0]
    assert completion.stop_reason == "stop_string"
    assert completion.message.content == text[: text.index(stop)].strip("\n")
    engine.submit(bounded)
    assert "".join(delta.text for delta in finish(engine)) == text[: text.index(stop)]
    assert_empty(engine)


def test_top_logprobs_are_the_models() -> None:
    request = ask("two", seed=2, max_tokens=6, top_logprobs=4, temperature=0.5)
    completion = complete_alone(request)
    assert completion.model_logprobs is not None
    assert len(completion.top_logprobs) == len(completion.token_ids)
    for place, top in enumerate(completion.top_logprobs):
        assert len(top) == 4
        assert [t.logprob for t in top] == sorted((t.logprob for t in top), reverse=True)
        for entry in top:
            if entry.token_id == completion.token_ids[place]:
                assert entry.logprob == pytest.approx(completion.model_logprobs[place], abs=1e-9)
        assert completion.model_logprobs[place] <= top[0].logprob + 1e-12


def test_penalties_bias_and_least_length_hold_in_any_batch(mode: dict[str, Any]) -> None:
    requests = [
        ask("two", seed=1, max_tokens=10, presence_penalty=1.5, frequency_penalty=0.5),
        ask("two", seed=1, max_tokens=10),
        ask("two", seed=1, max_tokens=10, repetition_penalty=1.8),
        ask("b", seed=2, max_tokens=10, logit_bias=((5, 100.0),)),
        ask("b", seed=3, max_tokens=10, min_tokens=10, logit_bias=((TOKENIZER.end_id, 30.0),)),
        ask("b", seed=4, max_tokens=10),
    ]
    completions = make_engine(num_slots=3, **mode)(requests)
    for mine, request in zip(completions, requests, strict=True):
        assert_same(mine, complete_alone(request))
    assert set(completions[3].token_ids.tolist()) == {5}
    assert len(completions[4].token_ids) == 10
    assert completions[0].token_ids.tolist() != completions[1].token_ids.tolist()


def test_what_can_never_fit_is_refused_before_anything_runs() -> None:
    engine = make_engine(num_blocks=2)
    with pytest.raises(DataError, match=r"a prompt of \d+ tokens with max_tokens=200; allowed: at most 128 together"):
        engine([ask("two"), ask("two", max_tokens=200)])
    assert_empty(engine)
    for prompt in ((), (REAL_TOO_LARGE,), (-1,)):
        with pytest.raises(DataError, match="prompt_ids of"):
            engine.submit(Request(prompt_ids=prompt, sampling=ask("").sampling, seed=0))


REAL_TOO_LARGE = TOKENIZER.vocab_size


def test_memory_is_given_back_and_taken_again() -> None:
    engine = make_engine()
    request = ask("two", seed=1)
    engine([request])
    engine.release()
    assert engine._runner is None
    assert_same(engine([request])[0], complete_alone(request))
    engine.submit(request)
    with pytest.raises(ConfigError, match="with requests on their way"):
        engine.release()
    finish(engine)


def test_states_are_float32_in_a_bfloat16_engine() -> None:
    """E5: a state in half precision drifts."""
    engine = Engine(make_model.__wrapped__(torch.bfloat16, 25.0), TOKENIZER)
    engine([ask("two")])
    assert engine._runner is not None
    assert engine._runner.pool.states_M_S_H_K_V.dtype == torch.float32

"""The engine against naive loops of full forwards: one forward per token, no cache, no batch.

The model is random with sharpened weights, so that tokens differ in probability and distributions differ in context.
Float64 where results are compared exactly: there, rounding never decides a draw.
"""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fulmen.errors import ConfigError, DataError
from fulmen.model import Model, ModelConfig
from fulmen.model.transformer import Hidden
from fulmen.serve import Engine
from fulmen.serve.sampling import uniform
from fulmen.text import Tokenizer
from fulmen.text.chat import decode_completion, encode_prompt
from fulmen.types import Completion, Generate, Message, Request, Sampling, StopReason

TOKENIZER = Tokenizer.train(["what is two and two"] * 3, vocab_size=272)
CONFIG = ModelConfig(
    vocab_size=288, hidden_size=32, num_layers=3, num_heads=2, num_kv_heads=1, head_dim=16,
    intermediate_size=16, num_experts=4, mixers="LLS", rope_theta=100.0,
)  # fmt: skip
REAL = TOKENIZER.vocab_size
ROUTES = CONFIG.num_layers * CONFIG.num_experts_per_token
TEXTS = ("a", "two and two", "", "what is 12 + 30? " * 3, "é🐈", "what is two", "b", "and so on")


@functools.cache
def make_model(dtype: torch.dtype = torch.float64, sharpness: float = 25.0) -> Model:
    """Returns a random model whose logits are spread by `sharpness`: probabilities from 1e-6 to 0.9."""
    model = Model(CONFIG, seed=1)
    with torch.no_grad():
        model.embed_tokens.weight.mul_(30.0)
        model.lm_head.weight.mul_(sharpness)
        for block in model.blocks():
            block.block_sparse_moe.gate.weight.mul_(3.0)
    return model.to(dtype)


def ask(text: str, seed: int = 0, max_tokens: int = 12, **settings: Any) -> Request:
    sampling = Sampling(max_tokens=max_tokens, **settings)
    return Request(messages=(Message(role="user", content=text),), sampling=sampling, seed=seed)


def mixed_requests(count: int = 20) -> list[Request]:
    """Different prompts, some shared, with different lengths, temperatures, nuclei and bounds."""
    settings: list[dict[str, Any]] = [
        {"max_tokens": 12}, {"max_tokens": 1}, {"max_tokens": 20, "temperature": 0.7}, {"max_tokens": 5, "top_p": 0.8},
        {"max_tokens": 9, "temperature": 0.0}, {"max_tokens": 16, "temperature": 1.5, "top_p": 0.95},
        {"max_tokens": 14, "repetition_window": 2, "repetition_p": 0.05},
    ]  # fmt: skip
    return [ask(TEXTS[i % len(TEXTS)], seed=i, **settings[i % len(settings)]) for i in range(count)]


def complete(requests: Sequence[Request], *, model: Model | None = None, num_slots: int = 64) -> list[Completion]:
    return Engine(model or make_model(), TOKENIZER, num_slots=num_slots)(requests)


@torch.no_grad()
def full_logits(model: Model, token_ids: Sequence[int], expert_ids: np.ndarray | None = None) -> Tensor:
    """Logits `[T, V]` of one forward over all tokens, padded vocabulary rows impossible."""
    routes = None if expert_ids is None else torch.from_numpy(expert_ids)[None]
    logits = model(torch.tensor([list(token_ids)]), expert_ids=routes).logits[0]
    logits[:, REAL:] = -torch.inf
    return logits


def truncate(logp: Tensor, top_p: float) -> Tensor:
    """Renormalised log-probabilities of the smallest set of most probable tokens whose mass reaches `top_p`."""
    if top_p == 1:
        return logp
    order = logp.argsort(descending=True, stable=True)
    before = logp[order].exp().cumsum(0) - logp[order].exp()
    outside = order[before >= top_p]
    kept = logp.clone()
    kept[outside] = -torch.inf
    return kept.log_softmax(-1)


def naive(model: Model, request: Request) -> tuple[list[int], list[float], StopReason]:
    """Completes one request by full forwards alone."""
    sampling, prompt = request.sampling, encode_prompt(TOKENIZER, request.messages)
    tokens: list[int] = []
    logprobs: list[float] = []
    run = 0
    while True:
        logits = full_logits(model, [*prompt, *tokens])[-1].double()
        if sampling.temperature == 0:
            token, logprob = int(logits.argmax()), 0.0
        else:
            logp = truncate((logits / sampling.temperature).log_softmax(-1), sampling.top_p)
            u = uniform(torch.tensor([request.seed]), torch.tensor([len(tokens)])).item()
            token = int(torch.searchsorted(logp.exp().cumsum(0), u, right=True))
            logprob = logp[token].item()
        tokens.append(token)
        logprobs.append(logprob)
        run = run + 1 if logits.softmax(-1)[token] > sampling.repetition_p else 0
        if token == TOKENIZER.end_id:
            return tokens, logprobs, "stop"
        if run >= sampling.repetition_window:
            return tokens, logprobs, "repetition"
        if len(tokens) == sampling.max_tokens:
            return tokens, logprobs, "length"


def assert_same(mine: Completion, its: Completion) -> None:
    assert mine.token_ids.tolist() == its.token_ids.tolist()
    np.testing.assert_allclose(mine.logprobs, its.logprobs, rtol=0, atol=1e-10)
    assert mine.prompt_ids.tolist() == its.prompt_ids.tolist()
    assert mine.stop_reason == its.stop_reason
    assert mine.message == its.message
    assert mine.expert_ids is not None
    assert its.expert_ids is not None
    assert np.array_equal(mine.expert_ids, its.expert_ids)


def test_greedy_output_equals_a_naive_loop_of_full_forwards() -> None:
    requests = [ask(text, temperature=0.0) for text in TEXTS]
    for request, completion in zip(requests, complete(requests, num_slots=3), strict=True):
        tokens, logprobs, reason = naive(make_model(), request)
        assert completion.token_ids.tolist() == tokens
        assert completion.logprobs.tolist() == logprobs == [0.0] * len(tokens)
        assert completion.stop_reason == reason


def test_sampled_output_equals_a_naive_loop_of_full_forwards() -> None:
    """Tokens, logprobs, stop reasons, prompts and messages, with 14 unlike requests through 3 slots."""
    requests = mixed_requests(14)
    completions = complete(requests, num_slots=3)
    assert {c.stop_reason for c in completions} >= {"length", "repetition"}
    for request, completion in zip(requests, completions, strict=True):
        tokens, logprobs, reason = naive(make_model(), request)
        assert completion.token_ids.tolist() == tokens
        np.testing.assert_allclose(completion.logprobs, logprobs, rtol=0, atol=1e-10)
        assert completion.stop_reason == reason
        assert completion.prompt_ids.tolist() == encode_prompt(TOKENIZER, request.messages)
        assert completion.message == decode_completion(TOKENIZER, tokens)


@pytest.mark.parametrize("num_slots", [1, 3, 8, 64])
def test_a_completion_does_not_depend_on_the_number_of_slots(num_slots: int) -> None:
    requests = mixed_requests()
    for mine, alone in zip(complete(requests, num_slots=num_slots), map(complete_alone, requests), strict=True):
        assert_same(mine, alone)


@functools.cache
def complete_alone(request: Request) -> Completion:
    return complete([request])[0]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_completion_does_not_depend_on_order_or_neighbours(seed: int) -> None:
    requests = mixed_requests()
    order = np.random.default_rng(seed).permutation(len(requests))[: 20 - 5 * seed].tolist()
    completions = complete([requests[i] for i in order], num_slots=4)
    for i, completion in zip(order, completions, strict=True):
        assert_same(completion, complete_alone(requests[i]))


def test_asking_twice_gives_the_same() -> None:
    engine = Engine(make_model(), TOKENIZER, num_slots=3)
    requests = mixed_requests(8)
    for mine, its in zip(engine(requests), engine(requests), strict=True):
        assert_same(mine, its)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("replay", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_logprobs_equal_those_of_a_full_forward(
    dtype: torch.dtype, tolerance: float, replay: bool, temperature: float
) -> None:
    """On every completion; with the recorded routing replayed and without."""
    model = make_model(dtype)
    requests = [ask(TEXTS[i % len(TEXTS)], seed=i, max_tokens=16, temperature=temperature) for i in range(24)]
    for completion in complete(requests, model=model, num_slots=7):
        fed = [*completion.prompt_ids, *completion.token_ids[:-1]]
        logits = full_logits(model, fed, completion.expert_ids if replay else None) / temperature
        logp = logits[len(completion.prompt_ids) - 1 :].log_softmax(-1)
        expected = logp.gather(1, torch.from_numpy(completion.token_ids)[:, None])[:, 0].numpy()
        assert completion.logprobs.dtype == expected.dtype
        np.testing.assert_allclose(completion.logprobs, expected, rtol=0, atol=tolerance)
        assert expected.std() > 0.1 or len(expected) < 3, "a model that is sure of everything proves nothing"


def test_recorded_experts_are_those_of_a_full_forward() -> None:
    model = make_model()
    for completion in complete(mixed_requests(), num_slots=3):
        assert completion.expert_ids is not None
        assert completion.expert_ids.dtype == np.int8
        fed = [*completion.prompt_ids.tolist(), *completion.token_ids[:-1].tolist()]
        assert completion.expert_ids.shape == (len(fed), ROUTES)
        with torch.no_grad():
            assert np.array_equal(completion.expert_ids, model(torch.tensor([fed])).expert_ids[0].numpy())


def test_a_group_that_shares_its_prompt_equals_separate_requests() -> None:
    requests = [ask(TEXTS[i // 6], seed=i) for i in range(18)]
    for num_slots in (5, 18):
        for request, completion in zip(requests, complete(requests, num_slots=num_slots), strict=True):
            assert_same(completion, complete_alone(request))
    assert len({tuple(complete_alone(request).token_ids) for request in requests[:6]}) == 6, "seeds make no difference"


def test_the_noise_of_a_position_is_used_once() -> None:
    """With nearly flat distributions a token repeats about once in 270; one draw for all positions would repeat it."""
    flat = make_model(sharpness=1e-6)
    for completion in complete([ask("a", seed=seed, max_tokens=30) for seed in range(4)], model=flat):
        assert len(set(completion.token_ids.tolist())) >= min(20, len(completion.token_ids) - 4)


def make_certain(token: int) -> Model:
    """Returns a model that always says one token with probability almost 1."""
    model = Model(CONFIG, seed=1).double()
    with torch.no_grad():
        model.embed_tokens.weight[:, 0] = 100.0
        for block in model.blocks():
            block.self_attn.init_weights(0.0, torch.Generator())
            block.block_sparse_moe.experts.w2.zero_()
        model.lm_head.weight.zero_()
        model.lm_head.weight[token, 0] = 20.0
    return model


def test_a_model_that_is_sure_of_itself_halts_for_repetition_at_the_window() -> None:
    model = make_certain(TOKENIZER.encode("a")[0])
    requests = [
        ask("a", seed=i, max_tokens=30, repetition_window=window) for i, window in enumerate((1, 7, 29, 30, 31))
    ]
    completions = complete(requests, model=model)
    assert [len(c.token_ids) for c in completions] == [1, 7, 29, 30, 30]
    assert [c.stop_reason for c in completions] == ["repetition"] * 4 + ["length"]
    assert completions[1].message.content == "a" * 7


def test_a_reused_slot_counts_its_run_from_zero() -> None:
    """Three certain tokens each, a window of five: two requests in one slot must not be taken for one."""
    model = make_certain(TOKENIZER.encode("a")[0])
    requests = [ask("a", seed=i, max_tokens=3, repetition_window=5) for i in range(4)]
    completions = complete(requests, model=model, num_slots=1)
    assert [(len(c.token_ids), c.stop_reason) for c in completions] == [(3, "length")] * 4


def test_the_end_token_stops_whatever_else_would() -> None:
    model = make_certain(TOKENIZER.end_id)
    (completion,) = complete([ask("a", max_tokens=1, repetition_window=1)], model=model)
    assert completion.stop_reason == "stop"
    assert completion.token_ids.tolist() == [TOKENIZER.end_id]
    assert completion.message == Message(role="assistant", content="")


def test_every_stop_reason_occurs_and_ends_as_it_should() -> None:
    requests = [ask(TEXTS[i % 8], seed=i, max_tokens=40, repetition_window=3, repetition_p=0.3) for i in range(60)]
    completions = complete(requests, num_slots=16)
    assert {c.stop_reason for c in completions} == {"stop", "length", "repetition"}
    for completion in completions:
        tokens = completion.token_ids.tolist()
        assert len(completion.logprobs) == len(tokens)
        assert (tokens[-1] == TOKENIZER.end_id) == (completion.stop_reason == "stop")
        assert TOKENIZER.end_id not in tokens[:-1]
        assert (len(tokens) == 40) or completion.stop_reason != "length"


def test_a_single_token_may_be_asked_for() -> None:
    """The prefill alone answers; no decoding step is made, and its routing is recorded for the prompt only."""
    requests = [ask(text, seed=i, max_tokens=1) for i, text in enumerate(TEXTS)]
    for request, completion in zip(requests, complete(requests, num_slots=3), strict=True):
        assert len(completion.token_ids) == len(completion.logprobs) == 1
        assert completion.token_ids.tolist() == naive(make_model(), request)[0]
        assert completion.expert_ids is not None
        assert len(completion.expert_ids) == len(completion.prompt_ids)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_vocabulary_rows_beyond_the_tokenizer_are_never_sampled(temperature: float) -> None:
    """Padded rows that would win every draw; logprobs are those of the distribution without them."""
    model = Model(CONFIG, seed=1).double()
    with torch.no_grad():
        model.load_state_dict(make_model().state_dict())
        model.lm_head.weight[REAL:] *= 50.0
    token_ids = torch.tensor([encode_prompt(TOKENIZER, ask("a").messages)])
    with torch.no_grad():
        assert int(model(token_ids).logits[0, -1].argmax()) >= REAL
    requests = [ask(text, seed=i, temperature=temperature) for i, text in enumerate(TEXTS)]
    for request, completion in zip(requests, complete(requests, model=model), strict=True):
        tokens, logprobs, _ = naive(model, request)
        assert max(tokens) < REAL
        assert completion.token_ids.tolist() == tokens
        np.testing.assert_allclose(completion.logprobs, logprobs, rtol=0, atol=1e-10)


def test_freed_slots_are_refilled_while_others_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long request in one slot, five short ones one after the other in the second: nothing waits for the long one."""
    model, steps = make_model(), 0
    finished: list[int] = []
    requests = [ask("a", seed=1, max_tokens=40), *(ask(TEXTS[i], seed=i, max_tokens=8) for i in range(1, 6))]
    encode = model.encode

    def count(*args: Any, **kwargs: Any) -> Hidden:
        nonlocal steps
        steps += 1
        return encode(*args, **kwargs)

    monkeypatch.setattr(model, "encode", count)
    completions = Engine(model, TOKENIZER, num_slots=2)(requests, on_finish=finished.append)
    assert [len(c.token_ids) for c in completions] == [40, 8, 8, 8, 8, 8]
    # 39 decoding steps and at most one prefill per request; draining the batch first would take 16 more.
    assert steps <= 39 + len(requests)
    assert sorted(finished) == [8, 8, 8, 8, 8, 40]
    for request, completion in zip(requests, completions, strict=True):
        assert_same(completion, complete_alone(request))


def test_completions_carry_the_policy_version() -> None:
    engine = Engine(make_model(), TOKENIZER)
    assert engine([ask("a")])[0].policy_version == 0
    engine.policy_version = 7
    assert engine([ask("a")])[0].policy_version == 7


def test_the_engine_sees_new_weights_at_once() -> None:
    model = Model(CONFIG, seed=1).double()
    engine = Engine(model, TOKENIZER)
    before = engine([ask("a", temperature=0.0)])[0]
    with torch.no_grad():
        model.load_state_dict(make_model().state_dict())
    after = engine([ask("a", temperature=0.0)])[0]
    assert after.token_ids.tolist() == complete_alone(ask("a", temperature=0.0)).token_ids.tolist()
    assert after.token_ids.tolist() != before.token_ids.tolist()


def test_results_are_plain_arrays_of_their_own() -> None:
    """No tensor leaves the engine, and no completion is a window into the engine's buffers."""
    completions = complete(mixed_requests(6), num_slots=2)
    for completion in completions:
        for array in (completion.prompt_ids, completion.token_ids, completion.logprobs, completion.expert_ids):
            assert isinstance(array, np.ndarray)
            assert array.base is None
        assert completion.token_ids.dtype == completion.prompt_ids.dtype == np.int64


def test_no_requests_give_no_completions() -> None:
    assert complete([]) == []


def test_the_engine_is_a_generate() -> None:
    assert isinstance(Engine(make_model(), TOKENIZER), Generate)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -0.1}, "temperature=-0.1; allowed: at least 0"),
        ({"temperature": float("nan")}, "temperature=nan; allowed: at least 0"),
        ({"top_p": 0.0}, "top_p=0.0; allowed: above 0, at most 1"),
        ({"top_p": 1.1}, r"top_p=1\.1; allowed: above 0, at most 1"),
        ({"max_tokens": 0}, "max_tokens=0; allowed: at least 1"),
        ({"repetition_window": 0}, "repetition_window=0; allowed: at least 1"),
        ({"seed": 2**63}, "seed=9223372036854775808; allowed: 64 bits"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        complete([ask("a"), ask("a", **settings)])


def test_a_prompt_without_a_question_is_refused() -> None:
    with pytest.raises(DataError, match="a prompt needs at least one message"):
        complete([Request(messages=(), sampling=Sampling(), seed=0)])


def test_an_engine_that_cannot_work_is_refused() -> None:
    with pytest.raises(ConfigError, match="num_slots=0; allowed: at least 1"):
        Engine(make_model(), TOKENIZER, num_slots=0)
    with torch.device("meta"):
        small = Model(CONFIG.replace(vocab_size=REAL - 1))
    with pytest.raises(ConfigError, match=f"the tokenizer has {REAL} tokens; allowed: at most the model's"):
        Engine(small, TOKENIZER)

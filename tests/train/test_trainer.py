"""One optimizer step against the same step written out, document by document; axes as in `fulmen.train.trainer`."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fulmen.errors import ConfigError, DataError
from fulmen.model import Model
from fulmen.rl.losses import cispo
from fulmen.serve import Engine
from fulmen.text import Tokenizer
from fulmen.train import AdamW, LossOutput, Trainer
from fulmen.train.packing import Document, pack
from fulmen.train.sft import cross_entropy, sft_batch
from fulmen.train.trainer import split_batch
from fulmen.types import Batch, Message, Request, Sampling
from tests.train.examples import (
    CONFIG,
    PlainAdam,
    clipped,
    document_logprobs,
    parameters_of,
    random_documents,
    tiny_model,
)

LENGTHS = (7, 3, 12, 2, 9, 5)
LR = 1e-3


class RecordingAdamW(AdamW):
    """Keeps the gradients it was last given."""

    gradients: list[Tensor]

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Records, then steps."""
        self.gradients = [p.grad.clone() for group in self.param_groups for p in group["params"]]
        super().step(closure)

    def norm(self) -> float:
        """Returns the joint norm of the gradients."""
        return float(torch.cat([g.flatten() for g in self.gradients]).norm())


def make_trainer(dtype: torch.dtype = torch.float64, **settings: float) -> tuple[Trainer, RecordingAdamW]:
    model = tiny_model(dtype)
    optimizer = RecordingAdamW(model.parameters(), lr=LR)
    return Trainer(model, optimizer, **settings), optimizer  # type: ignore[arg-type]


def loss_by_hand(model: Model, documents: Sequence[Document], *, weight_max: float = 5.0) -> Tensor:
    """Returns CISPO over documents, each run alone, from the formula."""
    total = torch.zeros((), dtype=torch.float64)
    for document in documents:
        logprobs = document_logprobs(model, document.token_ids)
        assert document.old_logprobs is not None
        assert document.advantage is not None
        for t in range(1, len(document.token_ids)):
            if document.mask[t]:
                # The batch holds float32.
                ratio = float(torch.exp(logprobs[t - 1].detach() - float(np.float32(document.old_logprobs[t]))))
                weight = float(np.float32(document.token_weight)) * min(ratio, weight_max)
                total = total - weight * float(np.float32(document.advantage)) * logprobs[t - 1]
    return total


@pytest.mark.parametrize("micro_batch_tokens", [1, 8, 16, 10_000])
def test_a_step_is_that_of_the_formula_however_the_batch_is_cut(micro_batch_tokens: int) -> None:
    documents = random_documents(LENGTHS)
    trainer, optimizer = make_trainer(clip_norm=0.25, micro_batch_tokens=micro_batch_tokens)
    results = [trainer.step(pack(documents), cispo) for _ in range(2)]

    model = tiny_model()
    plain = PlainAdam(model.parameters(), lr=LR)
    gradients_clipped: list[Tensor] = []
    for result in results:
        loss = loss_by_hand(model, documents)
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        norm = float(torch.cat([g.flatten() for g in gradients]).norm())
        assert result.metrics["loss"] == pytest.approx(loss.item(), rel=1e-10)
        assert result.metrics["grad_norm"] == pytest.approx(norm, rel=1e-10)
        assert norm > 0.25
        gradients_clipped = clipped(gradients, 0.25)
        plain.step(gradients_clipped)
    # Not the parameters alone: Adam's first step hardly depends on the size of the gradient.
    for ours, by_hand in zip(optimizer.gradients, gradients_clipped, strict=True):
        torch.testing.assert_close(ours, by_hand, rtol=1e-5, atol=1e-10)
    # Where a gradient is zero but for rounding, Adam divides rounding by rounding.
    is_moved = torch.cat([g.flatten().abs() > 1e-10 for g in gradients_clipped])
    assert is_moved.float().mean() > 0.5
    difference = parameters_of(trainer.model) - parameters_of(model)
    assert difference[is_moved].abs().max() < 1e-8


@pytest.mark.parametrize("micro_batch_tokens", [1, 8, 16])
def test_gradient_and_parameters_do_not_depend_on_micro_batches(micro_batch_tokens: int) -> None:
    batch = pack(random_documents(LENGTHS))
    whole, whole_optimizer = make_trainer(micro_batch_tokens=10_000)
    parts, parts_optimizer = make_trainer(micro_batch_tokens=micro_batch_tokens)
    expected, result = whole.step(batch, cispo), parts.step(batch, cispo)
    for ours, theirs in zip(parts_optimizer.gradients, whole_optimizer.gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0.0, atol=1e-12)
    torch.testing.assert_close(parameters_of(parts.model), parameters_of(whole.model), rtol=0.0, atol=1e-10)
    # The balance loss is no sum over tokens, so its value is that of the micro-batches.
    assert result.metrics | {"balance_loss": 0.0} == pytest.approx(expected.metrics | {"balance_loss": 0.0}, rel=1e-10)
    for name, values in expected.tokens.items():
        np.testing.assert_allclose(result.tokens[name], values, rtol=1e-10, err_msg=name)


def test_weights_are_not_rescaled_by_the_number_of_tokens_or_of_steps() -> None:
    documents = random_documents(LENGTHS)
    doubled = [dataclasses.replace(d, token_weight=2 * d.token_weight) for d in documents]
    norms = []
    for variant in (documents, doubled, [*documents, *documents]):
        trainer, optimizer = make_trainer(clip_norm=1e9, micro_batch_tokens=8)
        trainer.step(pack(variant), cispo)
        norms.append(optimizer.norm())
    assert norms[1] == pytest.approx(2 * norms[0], rel=1e-9)
    assert norms[2] == pytest.approx(2 * norms[0], rel=1e-9)


def test_token_quantities_are_in_batch_order_and_those_of_the_documents() -> None:
    documents = random_documents(LENGTHS)
    batch = pack(documents)
    trainer, _ = make_trainer(micro_batch_tokens=8)
    logprobs = torch.cat([document_logprobs(trainer.model, d.token_ids) for d in documents]).detach().numpy()
    result = trainer.step(batch, cispo)
    assert batch.old_logprobs_T is not None
    assert batch.advantages_T is not None
    trained = batch.mask_T
    np.testing.assert_array_equal(result.tokens["target_ids"], batch.target_ids_T[trained])
    np.testing.assert_array_equal(result.tokens["advantage"], batch.advantages_T[trained])
    np.testing.assert_allclose(result.tokens["logprobs"], logprobs[trained], rtol=1e-10)
    log_ratio = logprobs[trained] - batch.old_logprobs_T[trained]
    np.testing.assert_allclose(result.tokens["log_ratio"], log_ratio, rtol=1e-8, atol=1e-12)
    assert result.metrics["num_tokens"] == len(batch.token_ids_T)


def test_entropy_is_that_of_the_models_distribution() -> None:
    documents = random_documents((6,))
    trainer, _ = make_trainer()
    logits = trainer.model(torch.from_numpy(documents[0].token_ids)[None, :-1]).logits[0]
    expected = torch.distributions.Categorical(logits=logits).entropy().detach().numpy()
    result = trainer.step(pack(documents), cispo)
    np.testing.assert_allclose(result.tokens["entropy"], expected[documents[0].mask[1:]], rtol=1e-10)


def test_untrained_documents_and_micro_batches_change_nothing() -> None:
    documents = random_documents(LENGTHS)
    untrained = [dataclasses.replace(d, mask=np.zeros_like(d.mask)) for d in random_documents((4, 6), seed=9)]
    plain, plain_optimizer = make_trainer(micro_batch_tokens=4)
    mixed, mixed_optimizer = make_trainer(micro_batch_tokens=4)
    plain.step(pack(documents), cispo)
    mixed.step(pack([untrained[0], *documents, untrained[1]]), cispo)
    for ours, theirs in zip(mixed_optimizer.gradients, plain_optimizer.gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0.0, atol=1e-12)


def test_a_batch_without_trained_tokens_is_refused_and_changes_nothing() -> None:
    documents = [dataclasses.replace(d, mask=np.zeros_like(d.mask)) for d in random_documents((4, 6))]
    trainer, _ = make_trainer()
    before = parameters_of(trainer.model)
    with pytest.raises(DataError, match="without trained tokens"):
        trainer.step(pack(documents), cispo)
    assert torch.equal(parameters_of(trainer.model), before)


def test_gradients_of_an_interrupted_step_do_not_enter_the_next() -> None:
    batch = pack(random_documents(LENGTHS))
    calls = 0

    def failing(
        logprobs_B_T: Tensor,
        old_logprobs_B_T: Tensor,
        advantages_B_T: Tensor,
        mask_B_T: Tensor,
        *,
        token_weights_B_T: Tensor,
        document_ids_B_T: Tensor | None = None,
        ref_logprobs_B_T: Tensor | None = None,
    ) -> LossOutput:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return cispo(logprobs_B_T, old_logprobs_B_T, advantages_B_T, mask_B_T, token_weights_B_T=token_weights_B_T)

    trainer, optimizer = make_trainer(micro_batch_tokens=8)
    with pytest.raises(KeyboardInterrupt):
        trainer.step(batch, failing)
    trainer.step(batch, cispo)
    fresh, fresh_optimizer = make_trainer(micro_batch_tokens=8)
    fresh.step(batch, cispo)
    assert all(torch.equal(a, b) for a, b in zip(optimizer.gradients, fresh_optimizer.gradients, strict=True))
    assert all(p.grad is None for p in trainer.model.parameters())


def test_the_gradient_is_clipped_to_the_norm_and_left_alone_below_it() -> None:
    batch = pack(random_documents(LENGTHS))
    free, free_optimizer = make_trainer(clip_norm=1e9)
    norm = free.step(batch, cispo).metrics["grad_norm"]
    assert free_optimizer.norm() == pytest.approx(norm, rel=1e-9)
    tight, tight_optimizer = make_trainer(clip_norm=norm / 4)
    assert tight.step(batch, cispo).metrics["grad_norm"] == pytest.approx(norm, rel=1e-9)
    assert tight_optimizer.norm() == pytest.approx(norm / 4, rel=1e-5)
    for ours, whole in zip(tight_optimizer.gradients, free_optimizer.gradients, strict=True):
        torch.testing.assert_close(ours, whole / 4, rtol=1e-4, atol=1e-12)


def test_tiny_gradients_are_counted_as_the_optimizer_sees_them() -> None:
    batch = pack(random_documents(LENGTHS))
    trainer, optimizer = make_trainer(clip_norm=1e-13)
    tiny = trainer.step(batch, cispo).metrics["tiny_grad_frac"]
    entries = torch.cat([g.flatten() for g in optimizer.gradients])
    assert tiny == pytest.approx(float((entries.abs() < 1e-15).double().mean()), rel=1e-6)
    assert 0.5 < tiny < 1.0


def test_the_learning_rate_of_a_step_is_the_one_given_and_stays() -> None:
    batch = pack(random_documents(LENGTHS))
    trainer, _ = make_trainer()
    before = parameters_of(trainer.model)
    assert trainer.step(batch, cispo, lr=0.0).metrics["lr"] == 0.0
    assert torch.equal(parameters_of(trainer.model), before)
    assert trainer.step(batch, cispo, lr=0.5).metrics["lr"] == 0.5
    assert trainer.step(batch, cispo).metrics["lr"] == 0.5
    # Adam moves a parameter by at most about lr.
    assert (parameters_of(trainer.model) - before).abs().max() > 0.4


def test_recorded_routes_are_replayed() -> None:
    rng = np.random.default_rng(0)
    documents = [
        dataclasses.replace(
            d,
            expert_ids=np.stack(
                [np.concatenate([rng.permutation(4)[:2] for _ in range(2)]) for _ in d.token_ids[1:]]
            ).astype(np.int8),
        )
        for d in random_documents((5, 8))
    ]
    trainer, _ = make_trainer(micro_batch_tokens=1)
    expected = []
    for d in documents:
        assert d.expert_ids is not None
        tokens = torch.from_numpy(d.token_ids)
        routes = torch.from_numpy(d.expert_ids).long()[None]
        logp = torch.log_softmax(trainer.model(tokens[None, :-1], expert_ids=routes).logits[0], dim=-1)
        expected.append(logp.gather(1, tokens[1:, None])[:, 0].detach().numpy()[d.mask[1:]])
    free = np.concatenate(
        [document_logprobs(trainer.model, d.token_ids).detach().numpy()[d.mask[1:]] for d in documents]
    )
    replayed = trainer.step(pack(documents), cispo).tokens["logprobs"]
    np.testing.assert_allclose(replayed, np.concatenate(expected), rtol=1e-10)
    assert np.abs(replayed - free).max() > 1e-4


def test_the_balance_loss_enters_the_gradient_with_its_coefficient() -> None:
    batch = pack(random_documents((9,)))
    trainer, optimizer = make_trainer(clip_norm=1e9, balance_coefficient=0.5)
    result = trainer.step(batch, cispo)
    model = tiny_model()
    balance = model.encode(torch.from_numpy(batch.token_ids_T)[None]).balance_loss
    gradients = torch.autograd.grad(
        loss_by_hand(model, random_documents((9,))) + 0.5 * balance, list(model.parameters())
    )
    assert result.metrics["balance_loss"] == pytest.approx(balance.item(), rel=1e-10)
    for ours, by_hand in zip(optimizer.gradients, gradients, strict=True):
        torch.testing.assert_close(ours, by_hand, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dtypes_are_unchanged_by_rollouts_and_steps(dtype: torch.dtype) -> None:
    trainer, _ = make_trainer(dtype)
    dtypes = {name: tensor.dtype for name, tensor in trainer.model.state_dict().items()}
    buffers = {name: tensor.dtype for name, tensor in trainer.model.named_buffers()}
    request = Request(messages=(Message(role="user", content="2"),), sampling=Sampling(max_tokens=3), seed=0)
    Engine(trainer.model, Tokenizer.train(["1 2"], vocab_size=270), num_slots=2)([request])
    trainer.step(pack(random_documents(LENGTHS)), cispo)
    assert {name: tensor.dtype for name, tensor in trainer.model.state_dict().items()} == dtypes
    assert {name: tensor.dtype for name, tensor in trainer.model.named_buffers()} == buffers
    assert set(dtypes.values()) == {dtype}


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"clip_norm": 0.0}, r"clip_norm=0\.0"),
        ({"balance_coefficient": -0.1}, r"balance_coefficient=-0\.1"),
        ({"micro_batch_tokens": 0}, "micro_batch_tokens=0"),
        ({"vocab_size": 0}, "vocab_size=0; allowed: from 1 to the head's 290"),
        ({"vocab_size": 291}, "vocab_size=291"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        make_trainer(**settings)  # type: ignore[arg-type]


def batch_of(lengths: Sequence[int]) -> Batch:
    """Returns a batch in which every number tells its place."""
    total = sum(lengths)
    numbers = np.arange(total)
    return Batch(
        token_ids_T=numbers,
        target_ids_T=numbers + 1,
        cu_seqlens=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        mask_T=numbers % 3 != 0,
        token_weights_T=numbers.astype(np.float32),
        old_logprobs_T=-numbers.astype(np.float32),
        expert_ids_T_LK=np.stack([numbers, numbers + 7], axis=1).astype(np.int8),
    )


@given(lengths=st.lists(st.integers(1, 12), min_size=1, max_size=12), max_tokens=st.integers(1, 40))
def test_a_batch_is_split_between_documents_and_nothing_is_lost(lengths: list[int], max_tokens: int) -> None:
    batch = batch_of(lengths)
    pieces = list(split_batch(batch, max_tokens))
    for field in dataclasses.fields(Batch):
        values = getattr(batch, field.name)
        if field.name == "cu_seqlens" or values is None:
            assert values is not None or all(getattr(piece, field.name) is None for piece in pieces)
            continue
        np.testing.assert_array_equal(np.concatenate([getattr(piece, field.name) for piece in pieces]), values)
    own_lengths = [np.diff(piece.cu_seqlens).tolist() for piece in pieces]
    assert [length for own in own_lengths for length in own] == lengths
    for piece, own in zip(pieces, own_lengths, strict=True):
        assert piece.cu_seqlens[0] == 0
        assert piece.cu_seqlens[-1] == len(piece.token_ids_T)
        assert sum(own) <= max_tokens or len(own) == 1
    # No piece could have taken the next document.
    for own, following in itertools.pairwise(own_lengths):
        assert sum(own) + following[0] > max_tokens


CONVERSATIONS = (
    (Message(role="user", content="1 + 2"), Message(role="assistant", content="3", thinking="one and two")),
    (
        Message(role="user", content="7"),
        Message(role="assistant", content="seven"),
        Message(role="user", content="8"),
        Message(role="assistant", content="eight is after seven"),
    ),
)


def test_sft_loss_is_torchs_cross_entropy_of_the_assistants_tokens() -> None:
    tokenizer = Tokenizer.train(["1 2 3 seven"], vocab_size=280)
    batch = sft_batch(tokenizer, CONVERSATIONS)
    trainer, optimizer = make_trainer(clip_norm=1e9, micro_batch_tokens=4)
    result = trainer.step(batch, cross_entropy)
    model = tiny_model()
    # Only with the documents apart does this know nothing of packing.
    logits, targets = [], []
    for start, stop in zip(batch.cu_seqlens[:-1], batch.cu_seqlens[1:], strict=True):
        trained = batch.mask_T[start:stop]
        logits.append(model(torch.from_numpy(batch.token_ids_T[start:stop])[None]).logits[0, trained])
        targets.append(torch.from_numpy(batch.target_ids_T[start:stop][trained]))
    expected = torch.nn.functional.cross_entropy(torch.cat(logits), torch.cat(targets))
    assert result.metrics["loss"] == pytest.approx(expected.item(), rel=1e-6)
    for ours, theirs in zip(optimizer.gradients, torch.autograd.grad(expected, list(model.parameters())), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-10)


def test_sft_trains_what_the_assistant_says_and_its_end_token_each_with_equal_weight() -> None:
    tokenizer = Tokenizer.train(["1 2 3 seven"], vocab_size=280)
    batch = sft_batch(tokenizer, CONVERSATIONS)
    said = tokenizer.decode(batch.target_ids_T[batch.mask_T].tolist())
    end = "<end_of_sentence>"
    assert said == f"<think>\none and two\n</think>\n3{end}seven{end}eight is after seven{end}"
    weights = batch.token_weights_T[batch.mask_T]
    np.testing.assert_allclose(weights, 1 / len(weights), rtol=1e-6)


def test_a_loss_needs_no_rl_fields() -> None:
    documents = [
        dataclasses.replace(d, old_logprobs=None, advantage=None, token_weight=1.0) for d in random_documents((5, 8))
    ]
    trainer, _ = make_trainer()
    expected = -sum(
        document_logprobs(trainer.model, d.token_ids)[torch.from_numpy(d.mask[1:])].sum().item() for d in documents
    )
    seen: list[Tensor] = []

    def spying(
        logprobs_B_T: Tensor,
        old_logprobs_B_T: Tensor,
        advantages_B_T: Tensor,
        mask_B_T: Tensor,
        *,
        token_weights_B_T: Tensor,
        document_ids_B_T: Tensor | None = None,
        ref_logprobs_B_T: Tensor | None = None,
    ) -> LossOutput:
        seen.extend([logprobs_B_T.detach() - old_logprobs_B_T, advantages_B_T])
        return cross_entropy(
            logprobs_B_T, old_logprobs_B_T, advantages_B_T, mask_B_T, token_weights_B_T=token_weights_B_T
        )

    assert trainer.step(pack(documents), spying).metrics["loss"] == pytest.approx(expected, rel=1e-10)
    # Without recorded log-probabilities the policy is its own anchor.
    assert not seen[0].any()
    assert bool((seen[1] == 1).all())


def test_loss_settings_are_bound_with_partial() -> None:
    documents = random_documents(LENGTHS)
    trainer, _ = make_trainer()
    expected = loss_by_hand(trainer.model, documents, weight_max=1.01).item()
    result = trainer.step(pack(documents), functools.partial(cispo, weight_max=1.01))
    assert result.metrics["loss"] == pytest.approx(expected, rel=1e-10)
    assert CONFIG.mixers == "LS"

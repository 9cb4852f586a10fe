"""Padded passes against passes over what is real, and CUDA graphs against neither."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fulmen.model import Model, ModelConfig
from fulmen.rl.losses import cispo
from fulmen.train import AdamW, Trainer
from fulmen.train.arrange import Shape, arrange, round_up, shape_for
from fulmen.train.packing import pack
from tests.train.examples import random_documents, tiny_model

LENGTHS = (7, 3, 70, 2, 9, 5)
DENSE = ModelConfig(
    vocab_size=290, hidden_size=64, num_layers=3, num_heads=4, num_kv_heads=2, head_dim=16, intermediate_size=96,
    num_experts=0, mlps="D", mixers="S", rotary_dim=16, residual="plain", tied_head=True,
)  # fmt: skip


@given(st.integers(1, 10**6))
def test_sizes_are_rounded_up_by_at_most_a_thirty_second_or_eight(size: int) -> None:
    rounded = round_up(size)
    assert size <= rounded < size + max(8, size / 16 + 1)
    assert rounded - size <= max(7, size / 32 * 2)
    assert round_up(rounded) == rounded


@given(st.lists(st.integers(2, 40), min_size=1, max_size=6))
@settings(max_examples=25)
def test_padding_leaves_what_is_real_in_its_place(lengths: list[int]) -> None:
    batch = pack(random_documents(lengths))
    shape = shape_for(batch)
    plain, padded = arrange(batch), arrange(batch, shape)
    assert plain.keys() == padded.keys()
    for name, values in plain.items():
        if name not in ("cu_seqlens", "tiles"):
            np.testing.assert_array_equal(padded[name][: len(values)], values, err_msg=name)
    assert not padded["mask"][len(plain["mask"]) :].any()
    assert not padded["weights"][len(plain["mask"]) :].any()
    assert padded["cu_seqlens"][-1] == shape.tokens == len(padded["token_ids"])
    assert (np.diff(padded["cu_seqlens"]) >= 0).all()
    assert sum(map(len, (padded["token_ids"], padded["trained"]))) == shape.tokens + shape.trained


def test_a_padded_pass_has_the_gradient_and_the_numbers_of_the_plain_one() -> None:
    """Of a model that graphs are made of."""
    batch = pack(random_documents(LENGTHS))
    results = []
    for shape in (None, shape_for(batch), Shape(160, 100, 12, 20)):
        model = Model(DENSE, seed=1).double()
        trainer = Trainer(model, AdamW(model.parameters(), lr=0.0))
        inputs = {name: torch.from_numpy(x) for name, x in arrange(batch, shape).items()}
        found = trainer._pass(inputs, cispo, share=1.0, longest=max(LENGTHS))
        gradient = torch.cat([p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None])
        count = int(batch.mask_T.sum())
        results.append((gradient, found["loss"], found["logprobs"][:count], found["weight"][:count]))
    for other in results[1:]:
        for mine, its in zip(results[0], other, strict=True):
            torch.testing.assert_close(mine, its, rtol=1e-11, atol=1e-13)


@pytest.mark.gpu
def test_on_the_gpu_graphs_step_as_plain_passes_do() -> None:
    """Shapes that come again, and some that do not; the gradients of several micro-batches."""
    sizes = [(30, 20, 61), (30, 21, 60), (9, 80), (30, 20, 61), (31, 20, 60), (9, 80), (9, 80)]
    weights, seen = [], []
    for has_graphs in (True, False):
        model = Model(DENSE, seed=3).cuda().bfloat16()
        trainer = Trainer(model, AdamW(model.parameters(), lr=1e-3), micro_batch_tokens=70)
        if not has_graphs:
            trainer._graphs = None
        for step, lengths in enumerate(sizes):
            result = trainer.step(pack(random_documents(lengths, seed=step)), cispo)
            seen.append((result.metrics["loss"], result.metrics["grad_norm"], result.tokens["logprobs"]))
        if trainer._graphs is not None:
            assert trainer._graphs._graphs, "no pass was captured"
        assert trainer.optimizer.masters is not None  # type: ignore[union-attr]
        weights.append(trainer.optimizer.masters.flat.detach())  # type: ignore[union-attr]
    for mine, its in zip(seen[: len(sizes)], seen[len(sizes) :], strict=True):
        assert mine[0] == pytest.approx(its[0], rel=2e-2, abs=1e-4)
        assert mine[1] == pytest.approx(its[1], rel=2e-2)
        np.testing.assert_allclose(mine[2], its[2], atol=0.02)
    start = torch.cat([p.flatten().float() for p in Model(DENSE, seed=3).cuda().bfloat16().parameters()])
    moved = (weights[0] - weights[1]).norm() / (weights[1] - start).norm()
    assert moved < 0.1, moved


def test_masters_move_where_half_precision_would_not() -> None:
    model = tiny_model(torch.bfloat16)
    trainer = Trainer(model, AdamW(model.parameters(), lr=1e-5), micro_batch_tokens=8)
    before = [p.detach().clone() for p in model.parameters()]
    for seed in range(3):
        trainer.step(pack(random_documents(LENGTHS, seed=seed)), cispo)
    masters = trainer.optimizer.masters  # type: ignore[union-attr]
    assert masters is not None
    views = masters.views(masters.flat)
    assert all(torch.equal(p, view.bfloat16()) for p, view in zip(model.parameters(), views, strict=True))
    moved = [(view - old.float()).abs().amax().item() for view, old in zip(views, before, strict=True)]
    assert all(0 < m < 1e-4 for m in moved)
    assert all(p.grad is None and p.dtype == torch.bfloat16 for p in model.parameters())


def test_masters_add_up_the_gradients_of_all_micro_batches() -> None:
    """The norm in pieces is the whole's, up to what bfloat16 rounds."""
    batch = pack(random_documents(LENGTHS))
    norms = []
    for micro_batch_tokens in (10_000, 8):
        model = tiny_model(torch.bfloat16)
        trainer = Trainer(model, AdamW(model.parameters(), lr=0.0), micro_batch_tokens=micro_batch_tokens)
        norms.append([trainer.step(batch, cispo).metrics["grad_norm"] for _ in range(2)])
    assert norms[0][0] == norms[0][1], "a step begins at zero"
    assert norms[1] == pytest.approx(norms[0], rel=3e-2)

"""What holds for every token mixer, in float64. A new one is one line of `MIXERS`.

Axes: `T` tokens of all documents, `D` model width, `N` documents.
"""

import dataclasses
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fulmen.errors import DataError
from fulmen.model import Cache, ModelConfig
from fulmen.model.config import MlaShape
from fulmen.model.layout import make_layout
from fulmen.model.mixers.lightning import LightningMixer
from fulmen.model.mixers.mla import MlaMixer
from fulmen.model.mixers.softmax import SoftmaxMixer
from fulmen.model.rope import RopeScaling

SCALING = RopeScaling(kind="yarn", factor=4.0, original_length=16, beta_fast=4.0, mscale=0.7, mscale_all_dim=1.0)
MIXERS: dict[str, tuple[type[nn.Module], dict[str, Any]]] = {
    "L": (LightningMixer, {}),
    "S": (SoftmaxMixer, {}),
    "S with options": (SoftmaxMixer, {"qk_norm": True, "attention_bias": "qkvo", "rope_scaling": SCALING}),
    "M": (MlaMixer, {"mla": MlaShape(kv_rank=6, rope_dim=4, value_dim=5, q_rank=7), "rope_scaling": SCALING}),
    "M without query latent": (MlaMixer, {"mla": MlaShape(kv_rank=6, rope_dim=2, value_dim=8)}),
}
"""The first letter is the mixer's in `ModelConfig.mixers`; its class, and fields of the config."""

LENGTH = 40
"""Longer than a chunk of the lightning mixer (32)."""
DOCUMENTS = (1, 7, 33, 2)
LAYER, CACHE_INDEX = 2, 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bench:
    """One mixer of a stack of four, and the way to call it."""

    config: ModelConfig
    mixer: nn.Module
    """Called with `[T, D]` and a layout; has `init_weights`."""

    def input(self, length: int, seed: int = 1) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(length, self.config.hidden_size, dtype=torch.float64, generator=generator)

    def cache(self, num_rows: int = 1, max_length: int = LENGTH) -> Cache:
        """Returns an empty cache in which the layers beside the mixer's own are NaN, and all keys and values too."""
        cache = Cache.allocate(self.config, num_rows=num_rows, max_length=max_length, dtype=torch.float64)
        cache.pool.poison()
        if len(cache.pool.states_M_S_H_K_V):
            cache.pool.states_M_S_H_K_V[1] = 0
        return cache

    def __call__(self, x: Tensor, lengths: tuple[int, ...] | None = None, cache: Cache | None = None) -> Tensor:
        """Returns the mixed tokens; a cache is continued as the model does it."""
        cu_seqlens = torch.tensor([0, *(lengths or (len(x),))]).cumsum(0)
        layout = make_layout(torch.zeros(1, len(x), dtype=torch.int64), cu_seqlens, cache)
        output: Tensor = self.mixer(x, layout)
        if cache is not None:
            cache.lengths_R.add_(cu_seqlens.diff())
        return output


@pytest.fixture(params=list(MIXERS))
def bench(request: pytest.FixtureRequest) -> Bench:
    kind, options = MIXERS[request.param]
    config = ModelConfig(
        vocab_size=64, hidden_size=32, num_layers=4, num_heads=4, num_kv_heads=2, head_dim=8,
        intermediate_size=16, num_experts=2, mixers=request.param[0], rope_theta=100.0, **options,
    )  # fmt: skip
    mixer: Any = kind(config, LAYER, CACHE_INDEX)
    mixer.init_weights(1.0, torch.Generator().manual_seed(0))
    return Bench(config=config, mixer=mixer.double())


def assert_same(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("changed", [0, 1, 20, 31, 32, LENGTH - 1])
def test_a_token_changes_itself_and_what_follows_only(bench: Bench, changed: int) -> None:
    x = bench.input(LENGTH)
    before = bench(x)
    x[changed] += 1.0
    after = bench(x)
    assert_same(after[:changed], before[:changed])
    assert ((after - before)[changed:].abs().amax(-1) > 1e-6).all()


def test_packed_documents_equal_each_document_alone(bench: Bench) -> None:
    x = bench.input(sum(DOCUMENTS)).requires_grad_()
    cotangent = bench.input(sum(DOCUMENTS), seed=2)
    packed = bench(x, DOCUMENTS)
    (gradient,) = torch.autograd.grad(packed, x, cotangent)
    for start, stop in pairwise([0, *torch.tensor(DOCUMENTS).cumsum(0).tolist()]):
        alone = x.detach()[start:stop].requires_grad_()
        output = bench(alone)
        assert_same(packed[start:stop], output)
        assert_same(gradient[start:stop], torch.autograd.grad(output, alone, cotangent[start:stop])[0])


@torch.no_grad()
def test_prefill_and_decoding_equal_one_forward_at_every_cut(bench: Bench) -> None:
    x = bench.input(LENGTH)
    expected = bench(x)
    for cut in range(LENGTH):
        cache = bench.cache()
        outputs = [bench(x[:cut], cache=cache)] if cut else []
        outputs += [bench(x[t : t + 1], cache=cache) for t in range(cut, LENGTH)]
        assert_same(torch.cat(outputs), expected)
        assert cache.lengths_R.tolist() == [LENGTH]


@torch.no_grad()
@pytest.mark.parametrize("pieces", [(20, 20), (1, 39), (39, 1), (33, 2, 5), (2,) * 20])
def test_chunked_prefill_equals_one_prefill(bench: Bench, pieces: tuple[int, ...]) -> None:
    x = bench.input(LENGTH)
    whole, cut = bench.cache(), bench.cache()
    expected = bench(x, cache=whole)
    assert_same(expected, bench(x))
    assert_same(torch.cat([bench(part, cache=cut) for part in x.split(pieces)]), expected)
    for mine, its in (
        (cut.pool.states_M_S_H_K_V, whole.pool.states_M_S_H_K_V),
        (cut.pool.keys_W_P_J_C_D, whole.pool.keys_W_P_J_C_D),
        (cut.pool.values_W_P_J_C_V, whole.pool.values_W_P_J_C_V),
    ):
        torch.testing.assert_close(mine, its, rtol=1e-11, atol=1e-11, equal_nan=True)


@torch.no_grad()
def test_rows_that_stand_at_different_lengths_continue_together(bench: Bench) -> None:
    """A batch of rows of 3, 20 and 33 tokens: one decoding step, then unequal pieces, then a step again."""
    lengths = (3, 20, 33)
    rows = [bench.input(length + 6, seed=length) for length in lengths]
    expected = [bench(row) for row in rows]
    cache = bench.cache(num_rows=3, max_length=LENGTH)
    bench(torch.cat([row[:n] for row, n in zip(rows, lengths, strict=True)]), lengths, cache)
    position = list(lengths)
    for new in ((1, 1, 1), (2, 1, 4), (1, 1, 1)):
        x = torch.cat([row[p : p + n] for row, p, n in zip(rows, position, new, strict=True)])
        output = bench(x, new, cache).split(new)
        for i, n in enumerate(new):
            assert_same(output[i], expected[i][position[i] : position[i] + n])
            position[i] += n
    assert cache.lengths_R.tolist() == position


@torch.no_grad()
def test_a_row_of_nan_poisons_no_other_row(bench: Bench) -> None:
    rows = [bench.input(12, seed=seed) for seed in range(3)]
    expected = [bench(row) for row in rows]
    rows[1][:] = torch.nan
    cache = bench.cache(num_rows=3)
    prefill = bench(torch.cat([row[:10] for row in rows]), (10, 10, 10), cache).split(10)
    step = bench(torch.stack([row[10] for row in rows]), (1, 1, 1), cache)
    piece = bench(torch.stack([row[11] for row in rows]), (1, 1, 1), cache)
    for i in (0, 2):
        assert_same(torch.cat((prefill[i], step[i : i + 1], piece[i : i + 1])), expected[i])
    assert torch.cat((prefill[1], step[1:2], piece[1:2])).isnan().all()


@torch.no_grad()
def test_only_the_given_rows_of_a_larger_cache_are_touched(bench: Bench) -> None:
    x = bench.input(10)
    cache = bench.cache(num_rows=4)
    for tensor in (cache.pool.states_M_S_H_K_V, cache.pool.keys_W_P_J_C_D, cache.pool.values_W_P_J_C_V):
        tensor[:, [0, 1, 4]] = torch.nan
    view = cache.rows(1, 3)
    output = bench(x, (6, 4), view)
    assert_same(output, bench(x, (6, 4)))
    assert cache.lengths_R.tolist() == [0, 6, 4, 0]
    for tensor in (cache.pool.states_M_S_H_K_V, cache.pool.keys_W_P_J_C_D, cache.pool.values_W_P_J_C_V):
        assert tensor[:, [0, 1, 4]].isnan().all()


def test_gradient_reaches_every_row_of_every_weight(bench: Bench) -> None:
    output = bench(bench.input(sum(DOCUMENTS)), DOCUMENTS)
    names, parameters = zip(*bench.mixer.named_parameters(), strict=True)
    gradients = torch.autograd.grad(output, parameters, bench.input(sum(DOCUMENTS), seed=2))
    for name, gradient in zip(names, gradients, strict=True):
        assert (gradient.abs().reshape(len(gradient), -1).amax(-1) > 1e-9).all(), f"{name} has rows without a gradient"


@torch.no_grad()
def test_constants_stay_float32_in_a_bfloat16_module(bench: Bench) -> None:
    """Decay rates and rotary frequencies rounded to bfloat16 would be off by up to 0.4 %."""
    exact = {name: buffer.clone() for name, buffer in bench.mixer.named_buffers()}
    rounded = bench.mixer.bfloat16()
    for name, buffer in rounded.named_buffers():
        assert buffer.dtype == torch.float32
        assert torch.equal(buffer, exact[name].float())
    x = bench.input(300).bfloat16()
    output = bench(x)
    assert output.dtype == torch.bfloat16
    reference = dataclasses.replace(bench, mixer=rounded.double())(x.double())
    assert (output - reference)[-50:].norm() / reference[-50:].norm() < 0.02


@torch.no_grad()
def test_bfloat16_decoding_follows_the_full_forward(bench: Bench) -> None:
    """The lightning state is float32 whatever the weights are: a bfloat16 one would drift away over 200 tokens."""
    rounded = dataclasses.replace(bench, mixer=bench.mixer.bfloat16())
    x = bench.input(200).bfloat16()
    cache = Cache.allocate(bench.config, num_rows=1, max_length=200, dtype=torch.bfloat16)
    assert cache.pool.states_M_S_H_K_V.dtype == torch.float32
    assert cache.pool.keys_W_P_J_C_D.dtype == cache.pool.values_W_P_J_C_V.dtype == torch.bfloat16
    output = torch.cat([rounded(part, cache=cache) for part in x.split([100, *[1] * 100])])
    expected = rounded(x)
    assert output.dtype == torch.bfloat16
    # A latent mixer decodes by other products than it trains with; each rounds its own way.
    bound = 5e-3 if bench.config.mla else 2e-3
    assert (output - expected).double().norm() / expected.double().norm() < bound


def test_a_layout_that_does_not_fit_is_refused(bench: Bench) -> None:
    tokens = torch.zeros(1, 8, dtype=torch.int64)
    for cu_seqlens in ([0], [0, 0, 8], [0, 5, 3, 8], [1, 8], [0, 7], [0, 9]):
        with pytest.raises(DataError, match="must rise strictly from 0 to 8"):
            make_layout(tokens, torch.tensor(cu_seqlens), None)
    with pytest.raises(DataError, match="packed documents need B = 1"):
        make_layout(tokens.reshape(2, 4), torch.tensor([0, 8]), None)
    with pytest.raises(DataError, match="at least one token"):
        make_layout(tokens[:, :0], None, None)
    with pytest.raises(DataError, match="1 documents for a cache of 2 rows"):
        make_layout(tokens, None, bench.cache(num_rows=2))
    with pytest.raises(DataError, match="a row would hold 65 tokens; allowed: at most 64"):
        make_layout(tokens.new_zeros(1, 65), None, bench.cache(max_length=7))

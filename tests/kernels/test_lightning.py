"""Lightning attention: the recurrence against its closed sum, and every other form against the recurrence.

Float64 throughout unless a test is about another dtype. Axes as in the kernels: `T N H K V`.
"""

import inspect
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from fulmen.errors import ConfigError
from fulmen.kernels.lightning import Backend, lightning_attention, lightning_decode, slopes
from fulmen.kernels.lightning.chunk import CHUNK, chunk_lightning

HEADS, KEYS, VALUES = 3, 4, 6
SLOPE = torch.tensor([0.9, 0.1, 0.004], dtype=torch.float64)
LENGTHS = (1, 31, 32, 33, 63, 64, 65, 500)
DOCUMENTS = (1, 33, 5, 64, 1, 97)
BACKENDS: tuple[Backend, ...] = ("naive", "chunk")


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Random q, k, v `[1, T, H, .]` and one state per document; all of them leaves that take gradients."""

    q: Tensor
    k: Tensor
    v: Tensor
    state: Tensor

    def all(self) -> tuple[Tensor, ...]:
        return self.q, self.k, self.v, self.state

    def document(self, start: int, stop: int, index: int) -> "Inputs":
        """Returns one document as inputs of its own."""
        parts = [x.detach()[:, start:stop].clone().requires_grad_() for x in (self.q, self.k, self.v)]
        return Inputs(q=parts[0], k=parts[1], v=parts[2], state=self.state.detach()[index : index + 1].requires_grad_())


def make_inputs(length: int, num_documents: int = 1, batch: int = 1, seed: int = 0) -> Inputs:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_()

    return Inputs(
        q=draw(batch, length, HEADS, KEYS),
        k=draw(batch, length, HEADS, KEYS),
        v=draw(batch, length, HEADS, VALUES),
        state=draw(num_documents, HEADS, KEYS, VALUES),
    )


@dataclass(frozen=True, kw_only=True)
class Result:
    """Outputs, final states, and gradients of q, k, v and the initial state under fixed random cotangents."""

    output: Tensor
    state: Tensor
    gradients: tuple[Tensor, ...]


def run(
    inputs: Inputs,
    backend: Backend,
    cu_seqlens: Tensor | None = None,
    cotangents: tuple[Tensor, Tensor] | None = None,
) -> Result:
    output, state = lightning_attention(
        inputs.q, inputs.k, inputs.v, SLOPE,
        initial_state=inputs.state, cu_seqlens=cu_seqlens, output_final_state=True, backend=backend,
    )  # fmt: skip
    assert state is not None
    if cotangents is None:
        generator = torch.Generator().manual_seed(99)
        cotangents = (
            torch.randn(output.shape, dtype=torch.float64, generator=generator),
            torch.randn(state.shape, dtype=torch.float64, generator=generator),
        )
    gradients = torch.autograd.grad((output, state), inputs.all(), cotangents)
    return Result(output=output.detach(), state=state.detach(), gradients=gradients)


def assert_same(actual: Result, expected: Result) -> None:
    torch.testing.assert_close(actual.output, expected.output, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(actual.state, expected.state, rtol=1e-12, atol=1e-12)
    for name, gradient, oracle in zip(("q", "k", "v", "state"), actual.gradients, expected.gradients, strict=True):
        error = (gradient - oracle).abs() / (1 + oracle.abs())
        assert error.max() < 1e-11, f"gradient of {name}: off by {error.max()}"


def borders(lengths: tuple[int, ...]) -> Tensor:
    return torch.tensor([0, *lengths]).cumsum(0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_output_is_the_sum_over_the_past_weighted_by_decay(backend: Backend) -> None:
    """o_t = e^(-s(t+1)) q_t S_0 + sum_(j<=t) e^(-s(t-j)) (q_t . k_j) v_j, with no scale and no denominator."""
    inputs = make_inputs(40)
    with torch.no_grad():
        q, k, v = inputs.q[0], inputs.k[0], inputs.v[0]
        output, state = lightning_attention(
            inputs.q, inputs.k, inputs.v, SLOPE, initial_state=inputs.state, output_final_state=True, backend=backend
        )
        for t in (0, 1, 31, 32, 39):
            age = torch.arange(t, -1, -1, dtype=torch.float64)[:, None]
            weights = (q[t] * k[: t + 1]).sum(-1) * torch.exp(-SLOPE * age)
            started = torch.einsum("hk,hkv->hv", q[t], inputs.state[0]) * torch.exp(-SLOPE * (t + 1))[:, None]
            torch.testing.assert_close(output[0, t], torch.einsum("jh,jhv->hv", weights, v[: t + 1]) + started)
        decay = torch.exp(-SLOPE * torch.arange(39, -1, -1, dtype=torch.float64)[:, None])
        expected = (
            torch.einsum("th,thk,thv->hkv", decay, k, v) + torch.exp(-SLOPE * 40)[:, None, None] * inputs.state[0]
        )
        torch.testing.assert_close(state, expected[None])


@pytest.mark.parametrize("length", LENGTHS)
def test_chunks_equal_the_recurrence_in_outputs_states_and_gradients(length: int) -> None:
    assert_same(run(make_inputs(length), "chunk"), run(make_inputs(length), "naive"))


@pytest.mark.parametrize("chunk", [1, 3, 64, 1000])
def test_chunk_length_does_not_change_the_result(chunk: int) -> None:
    inputs = make_inputs(101, num_documents=3)
    cu_seqlens = borders((1, 65, 35))
    with torch.no_grad():
        q, k, v = inputs.q[0], inputs.k[0], inputs.v[0]
        expected = chunk_lightning(q, k, v, SLOPE, cu_seqlens, inputs.state, chunk=CHUNK)
        actual = chunk_lightning(q, k, v, SLOPE, cu_seqlens, inputs.state, chunk=chunk)
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


def test_without_an_initial_state_documents_start_from_zero() -> None:
    inputs = make_inputs(70, num_documents=2)
    zero = torch.zeros_like(inputs.state)
    for backend in BACKENDS:
        started = lightning_attention(
            inputs.q, inputs.k, inputs.v, SLOPE,
            initial_state=zero, cu_seqlens=borders((30, 40)), output_final_state=True, backend=backend,
        )  # fmt: skip
        bare = lightning_attention(
            inputs.q, inputs.k, inputs.v, SLOPE, cu_seqlens=borders((30, 40)), output_final_state=True, backend=backend
        )
        assert bare.final_state is not None
        assert started.final_state is not None
        assert torch.equal(bare.output, started.output)
        assert torch.equal(bare.final_state, started.final_state)
        assert lightning_attention(inputs.q, inputs.k, inputs.v, SLOPE, backend=backend).final_state is None


@pytest.mark.parametrize("backend", BACKENDS)
def test_packed_documents_equal_each_document_alone(backend: Backend) -> None:
    total, cu_seqlens = sum(DOCUMENTS), borders(DOCUMENTS)
    inputs = make_inputs(total, num_documents=len(DOCUMENTS))
    generator = torch.Generator().manual_seed(1)
    d_output = torch.randn(1, total, HEADS, VALUES, dtype=torch.float64, generator=generator)
    d_state = torch.randn(inputs.state.shape, dtype=torch.float64, generator=generator)
    packed = run(inputs, backend, cu_seqlens, (d_output, d_state))
    for index, (start, stop) in enumerate(zip(cu_seqlens[:-1].tolist(), cu_seqlens[1:].tolist(), strict=True)):
        alone = run(
            inputs.document(start, stop, index), "naive", None,
            (d_output[:, start:stop], d_state[index : index + 1]),
        )  # fmt: skip
        cut = slice(start, stop)
        mine = Result(
            output=packed.output[:, cut],
            state=packed.state[index : index + 1],
            gradients=(*(g[:, cut] for g in packed.gradients[:3]), packed.gradients[3][index : index + 1]),
        )
        assert_same(mine, alone)


@pytest.mark.parametrize("backend", BACKENDS)
def test_dense_rows_equal_each_row_alone(backend: Backend) -> None:
    inputs = make_inputs(45, num_documents=3, batch=3)
    rows = run(inputs, backend)
    for row in range(3):
        one = slice(row, row + 1)
        with torch.no_grad():
            output, state = lightning_attention(
                inputs.q[one], inputs.k[one], inputs.v[one], SLOPE,
                initial_state=inputs.state[one], output_final_state=True, backend="naive",
            )  # fmt: skip
        torch.testing.assert_close(rows.output[one], output, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(rows.state[one], state, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_views_of_one_projection_are_read_right_and_left_alone(backend: Backend) -> None:
    """q, k, v as the model has them: slices of `[B, T, H, 3, K]`, not contiguous."""
    generator = torch.Generator().manual_seed(2)
    qkv = torch.randn(2, 70, HEADS, 3, KEYS, dtype=torch.float64, generator=generator).requires_grad_()
    before = qkv.detach().clone()
    q, k, v = qkv.unbind(3)
    assert not q.is_contiguous()
    output, state = lightning_attention(q, k, v, SLOPE, output_final_state=True, backend=backend)
    assert state is not None
    (gradient,) = torch.autograd.grad(output.square().sum() + state.square().sum(), qkv)
    copies = [x.detach().contiguous().requires_grad_() for x in (q, k, v)]
    expected, expected_state = lightning_attention(
        copies[0], copies[1], copies[2], SLOPE, output_final_state=True, backend="naive"
    )
    assert expected_state is not None
    gradients = torch.autograd.grad(expected.square().sum() + expected_state.square().sum(), copies)
    torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient, torch.stack(gradients, dim=3), rtol=1e-11, atol=1e-11)
    assert torch.equal(qkv.detach(), before)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("poisoned", [0, 2, 5])
def test_a_document_of_nan_poisons_no_other_document(backend: Backend, poisoned: int) -> None:
    cu_seqlens = borders(DOCUMENTS)
    clean = make_inputs(sum(DOCUMENTS), num_documents=len(DOCUMENTS))
    expected = run(clean, backend, cu_seqlens)
    cut = slice(int(cu_seqlens[poisoned]), int(cu_seqlens[poisoned + 1]))
    dirty = make_inputs(sum(DOCUMENTS), num_documents=len(DOCUMENTS))
    with torch.no_grad():
        for x in (dirty.q, dirty.k, dirty.v):
            x[:, cut] = torch.nan
        dirty.state[poisoned] = torch.nan
    actual = run(dirty, backend, cu_seqlens)
    is_clean_T = torch.ones(sum(DOCUMENTS), dtype=torch.bool)
    is_clean_T[cut] = False
    is_clean_N = torch.arange(len(DOCUMENTS)) != poisoned
    assert torch.equal(actual.output[:, is_clean_T], expected.output[:, is_clean_T])
    assert torch.equal(actual.state[is_clean_N], expected.state[is_clean_N])
    for gradient, oracle in zip(actual.gradients[:3], expected.gradients[:3], strict=True):
        assert torch.equal(gradient[:, is_clean_T], oracle[:, is_clean_T])
    assert torch.equal(actual.gradients[3][is_clean_N], expected.gradients[3][is_clean_N])
    assert actual.output[:, cut].isnan().all()


@pytest.mark.parametrize("length", [1, 31, 33, 65])
def test_padding_of_chunks_reaches_nothing(length: int) -> None:
    """conftest fills torch.empty with NaN: whatever reads a cell of the padded layout it never wrote shows it."""
    result = run(make_inputs(length), "chunk")
    assert all(x.isfinite().all() for x in (result.output, result.state, *result.gradients))


def test_decoding_steps_equal_the_recurrence_in_place() -> None:
    length, rows = 300, 5
    inputs = make_inputs(length, num_documents=rows, batch=rows)
    with torch.no_grad():
        expected, final = lightning_attention(
            inputs.q, inputs.k, inputs.v, SLOPE, initial_state=inputs.state, output_final_state=True, backend="naive"
        )
        # A slice of a larger cache, as the engine passes it.
        cache = torch.full((2, rows + 3, HEADS, KEYS, VALUES), torch.nan, dtype=torch.float64)
        state = cache[1, 1 : rows + 1]
        state.copy_(inputs.state)
        for t in range(length):
            output = lightning_decode(inputs.q[:, t], inputs.k[:, t], inputs.v[:, t], SLOPE, state)
            torch.testing.assert_close(output, expected[:, t], rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(cache[1, 1 : rows + 1], final, rtol=1e-11, atol=1e-11)
    assert cache[0].isnan().all()
    assert cache[1, [0, -1]].isnan().all()


def test_a_decoding_row_of_nan_poisons_no_other_row() -> None:
    inputs = make_inputs(1, num_documents=3, batch=3)
    with torch.no_grad():
        clean, dirty = inputs.state.clone(), inputs.state.clone()
        dirty[1] = torch.nan
        expected = lightning_decode(inputs.q[:, 0], inputs.k[:, 0], inputs.v[:, 0], SLOPE, clean)
        actual = lightning_decode(inputs.q[:, 0], inputs.k[:, 0], inputs.v[:, 0], SLOPE, dirty)
    assert torch.equal(actual[[0, 2]], expected[[0, 2]])
    assert torch.equal(dirty[[0, 2]], clean[[0, 2]])


def assert_only_rounded(output: Tensor, exact: Tensor) -> None:
    """Nothing but the result was rounded to bfloat16: 2^-8 of each element, and float32's share of the largest."""
    assert ((output - exact).abs() <= 2**-8 * exact.abs() + 1e-5 * exact.abs().max()).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_bfloat16_inputs_keep_a_float32_state(backend: Backend) -> None:
    """The slowest head of M1's layer 72 forgets 0.03 % per token: a bfloat16 state would round that to nothing."""
    slope = slopes(64, 72, 80)[-1:].double()
    generator = torch.Generator().manual_seed(3)
    q, k, v = (torch.randn(1, 700, 1, 8, generator=generator).bfloat16() for _ in range(3))
    exact, exact_state = lightning_attention(
        q.double(), k.double(), v.double(), slope, output_final_state=True, backend="naive"
    )
    output, state = lightning_attention(q, k, v, slope.float(), output_final_state=True, backend=backend)
    assert state is not None
    assert exact_state is not None
    assert output.dtype == torch.bfloat16
    assert state.dtype == torch.float32
    assert (state - exact_state).norm() / exact_state.norm() < 1e-4
    assert_only_rounded(output, exact)


def test_bfloat16_decoding_keeps_a_float32_state() -> None:
    slope = slopes(64, 72, 80)[-1:].double()
    generator = torch.Generator().manual_seed(4)
    q, k, v = (torch.randn(1, 700, 1, 8, generator=generator).bfloat16() for _ in range(3))
    exact, exact_state = lightning_attention(
        q.double(), k.double(), v.double(), slope, output_final_state=True, backend="naive"
    )
    assert exact_state is not None
    state, outputs = torch.zeros(1, 1, 8, 8), []
    for t in range(700):
        output = lightning_decode(q[:, t], k[:, t], v[:, t], slope.float(), state)
        assert output.dtype == torch.bfloat16
        outputs.append(output)
    assert_only_rounded(torch.stack(outputs, dim=1), exact)
    assert (state - exact_state).norm() / exact_state.norm() < 1e-4


def test_float32_slopes_lose_nothing_over_long_documents() -> None:
    """Every exponent is at most 0: no overflow at any length, for the fastest and the slowest head."""
    generator = torch.Generator().manual_seed(5)
    q, k, v = (torch.randn(1, 3000, 2, 2, generator=generator) for _ in range(3))
    slope = torch.stack((slopes(64, 0, 80)[0], slopes(64, 78, 80)[-1]))
    output, state = lightning_attention(q, k, v, slope, output_final_state=True)
    exact, exact_state = lightning_attention(
        q.double(), k.double(), v.double(), slope.double(), output_final_state=True, backend="naive"
    )
    assert state is not None
    torch.testing.assert_close(output.double(), exact, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(state.double(), exact_state, rtol=1e-4, atol=1e-4)


def test_gradcheck_over_chunk_and_document_borders() -> None:
    generator = torch.Generator().manual_seed(6)
    q, k, v = (torch.randn(5, 1, 2, dtype=torch.float64, generator=generator).requires_grad_() for _ in range(3))
    state = torch.randn(2, 1, 2, 2, dtype=torch.float64, generator=generator).requires_grad_()
    cu_seqlens = borders((2, 3))

    def chunked(q: Tensor, k: Tensor, v: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return chunk_lightning(q, k, v, SLOPE[:1], cu_seqlens, state, chunk=2)

    assert torch.autograd.gradcheck(chunked, (q, k, v, state))


def test_slopes_are_those_of_the_released_model() -> None:
    first = slopes(64, 0, 80)
    assert first.dtype == torch.float32
    assert first[0].item() == pytest.approx(0.9170 * 1.00001, abs=5e-5)
    assert first[63].item() == pytest.approx(0.00390625 * 1.00001, rel=1e-7)
    factors = {0: 1.00001, 40: 0.49368, 72: 0.08862, 76: 0.03798, 78: 0.012668}
    for layer, factor in factors.items():
        assert slopes(64, layer, 80)[63].item() * 256 == pytest.approx(factor, abs=5.1e-6)
    assert slopes(64, 79, 80)[63].item() * 256 == pytest.approx(1e-5, rel=1e-6)


@pytest.mark.parametrize(
    ("num_heads", "exponents"),
    [
        (1, [8]),
        (2, [4, 8]),
        (3, [4, 8, 2]),
        (6, [2, 4, 6, 8, 1, 3]),
        (8, [1, 2, 3, 4, 5, 6, 7, 8]),
        (12, [1, 2, 3, 4, 5, 6, 7, 8, 0.5, 1.5, 2.5, 3.5]),
    ],
)
def test_slopes_of_other_head_counts_take_the_alibi_list(num_heads: int, exponents: list[float]) -> None:
    assert slopes(num_heads, 0, 5).tolist() == pytest.approx([2**-e * 1.00001 for e in exponents], rel=1e-6)


def test_a_single_layer_decays_like_the_first() -> None:
    assert torch.equal(slopes(8, 0, 1), slopes(8, 0, 80))


@pytest.mark.parametrize(("num_heads", "layer", "num_layers"), [(0, 0, 8), (4, 8, 8), (4, -1, 8)])
def test_slopes_outside_the_stack_are_refused(num_heads: int, layer: int, num_layers: int) -> None:
    with pytest.raises(ConfigError, match=f"num_heads={num_heads}, layer={layer}, num_layers={num_layers}"):
        slopes(num_heads, layer, num_layers)


@pytest.mark.parametrize("cu_seqlens", [[0], [0, 0, 8], [0, 5, 3, 8], [1, 8], [0, 7], [0, 9], [0, 8, 8]])
def test_borders_that_do_not_partition_the_tokens_are_refused(cu_seqlens: list[int]) -> None:
    inputs = make_inputs(8)
    with pytest.raises(ConfigError, match=r"must rise strictly from 0 to T = 8"):
        lightning_attention(inputs.q, inputs.k, inputs.v, SLOPE, cu_seqlens=torch.tensor(cu_seqlens))


@pytest.mark.parametrize("cu_seqlens", [None, torch.tensor([0]), torch.tensor([0, 0])])
def test_no_tokens_are_refused(cu_seqlens: Tensor | None) -> None:
    inputs = make_inputs(0)
    with pytest.raises(ConfigError, match=r"T = 0; allowed: at least one token"):
        lightning_attention(inputs.q, inputs.k, inputs.v, SLOPE, cu_seqlens=cu_seqlens)


def test_borders_with_several_rows_are_refused() -> None:
    inputs = make_inputs(8, batch=2)
    with pytest.raises(ConfigError, match=r"B = 2; packed documents need B = 1"):
        lightning_attention(inputs.q, inputs.k, inputs.v, SLOPE, cu_seqlens=torch.tensor([0, 8]))


def test_a_wrong_number_of_states_is_refused() -> None:
    inputs = make_inputs(8, num_documents=3)
    with pytest.raises(ConfigError, match=r"initial_state of shape \[3, 3, 4, 6\]; allowed: \[2, 3, 4, 6\]"):
        lightning_attention(inputs.q, inputs.k, inputs.v, SLOPE, cu_seqlens=borders((3, 5)), initial_state=inputs.state)


def test_an_unknown_backend_is_refused() -> None:
    inputs = make_inputs(8)
    # Without the type checker of the tests, which would refuse the name first.
    unchecked = inspect.unwrap(lightning_attention)
    with pytest.raises(ConfigError, match="backend='tritron'; allowed: None, 'naive', 'chunk', 'triton'"):
        unchecked(inputs.q, inputs.k, inputs.v, SLOPE, backend="tritron")

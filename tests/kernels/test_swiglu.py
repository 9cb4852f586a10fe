"""swiglu and weighted_swiglu against the formula in float64: torch's path, and the Triton kernels (interpreted, and on
the GPU).

Axes: `X` rows, `F` width.
"""

import inspect

import pytest
import torch
from torch import Tensor

from fulmen.errors import DataError
from fulmen.kernels.swiglu import swiglu, weighted_swiglu
from fulmen.kernels.swiglu_triton import BLOCK_MAX, swiglu_triton, weighted_swiglu_triton
from tests.kernels.reference import relative_error

NAMES = ("y", "d_gate_up", "d_weight")


def draw(num_rows: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns gate and up, weights of either sign and the output's gradient, in float64."""
    generator = torch.Generator().manual_seed(width)
    shapes = ((num_rows, 2 * width), (num_rows,), (num_rows, width))
    gate_up, weight, dy = (torch.randn(*shape, dtype=torch.float64, generator=generator) for shape in shapes)
    return 3 * gate_up, weight, dy


def formula(gate_up: Tensor, weight: Tensor) -> Tensor:
    gate, up = gate_up.chunk(2, dim=1)
    return weight[:, None] * gate / (1 + (-gate).exp()) * up


def plain_formula(gate_up: Tensor) -> Tensor:
    return formula(gate_up, torch.ones_like(gate_up[:, 0]))


def run(function, inputs: tuple[Tensor, ...], *, is_strided: bool = False) -> list[Tensor]:
    """Returns output and gradients; strided rows lie among NaN."""
    gate_up, weight, dy = inputs
    leaves = [t.detach().clone().requires_grad_() for t in (gate_up, weight)]
    x = leaves[0]
    if is_strided:
        wide = torch.full((len(x), x.shape[1] + 24), torch.nan, dtype=x.dtype, device=x.device)
        wide[:, 8 : 8 + x.shape[1]] = x
        x = wide[:, 8 : 8 + x.shape[1]]
    y = function(x, leaves[1])
    return [y.detach(), *torch.autograd.grad(y, leaves, dy)]


def run_plain(function, inputs: tuple[Tensor, ...], *, is_strided: bool = False) -> list[Tensor]:
    """Returns output and gradient of a function without weights."""
    y, d_gate_up, _ = run(lambda x, w: function(x) + 0 * w[:, None].to(x.dtype), inputs, is_strided=is_strided)
    return [y, d_gate_up]


SHAPES = [(1, 1), (1, 96), (5, 200), (3, BLOCK_MAX + 52)]


@pytest.mark.parametrize(("num_rows", "width"), SHAPES)
def test_torch_path_is_the_formula_with_gradients(num_rows: int, width: int) -> None:
    inputs = draw(num_rows, width)
    for found, expected in zip(run(weighted_swiglu, inputs), run(formula, inputs), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    for found, expected in zip(run_plain(swiglu, inputs), run_plain(plain_formula, inputs), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("num_rows", "width"), SHAPES)
@pytest.mark.parametrize("is_strided", [False, True])
@pytest.mark.skipif(torch.cuda.is_available(), reason="runs under the interpreter")
def test_triton_kernels_are_the_formula_with_gradients(num_rows: int, width: int, is_strided: bool) -> None:
    """Outputs come from torch.empty, which the suite fills with NaN: an element never written would show."""
    inputs = draw(num_rows, width)
    found = run(weighted_swiglu_triton, tuple(t.float() for t in inputs), is_strided=is_strided)
    for name, actual, exact in zip(NAMES, found, run(formula, inputs), strict=True):
        assert relative_error(actual, exact) < 1e-6, name
    found = run_plain(swiglu_triton, tuple(t.float() for t in inputs), is_strided=is_strided)
    for name, actual, exact in zip(NAMES, found, run_plain(plain_formula, inputs), strict=False):
        assert relative_error(actual, exact) < 1e-6, name


@pytest.mark.skipif(torch.cuda.is_available(), reason="runs under the interpreter")
def test_no_rows_give_empty_results() -> None:
    y, d_gate_up, d_weight = run(weighted_swiglu_triton, tuple(t.float() for t in draw(0, 8)))
    assert (y.shape, d_gate_up.shape, d_weight.shape) == ((0, 8), (0, 16), (0,))


def test_bad_input_is_named() -> None:
    gate_up, weight, _ = draw(3, 4)
    with pytest.raises(DataError, match=r"gate_up has shape \(3, 7\)"):
        weighted_swiglu(gate_up[:, :7], weight)
    with pytest.raises(DataError, match=r"swiglu: gate_up has shape \(3, 7\)"):
        swiglu(gate_up[:, :7])
    with pytest.raises(DataError, match=r"weight has shape \(3,\) on meta"):
        weighted_swiglu(gate_up, weight.to("meta"))
    with pytest.raises(DataError, match=r"weight has shape \(2,\)"):
        inspect.unwrap(weighted_swiglu)(gate_up, weight[:2])


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("num_rows", "width"), [*SHAPES, (1000, 2816), (0, 64)])
@pytest.mark.parametrize("is_strided", [False, True])
def test_on_the_gpu_every_type_is_within_its_rounding(
    num_rows: int, width: int, is_strided: bool, dtype: torch.dtype
) -> None:
    gate_up, weight, dy = (t.cuda() for t in draw(num_rows, width))
    inputs = (gate_up.to(dtype), weight.float(), dy.to(dtype))
    first, second = (run(weighted_swiglu, inputs, is_strided=is_strided) for _ in range(2))
    exact = run(formula, tuple(t.double() for t in inputs))
    assert [t.dtype for t in first] == [dtype, dtype, torch.float32]
    for name, actual, again, reference in zip(NAMES, first, second, exact, strict=True):
        assert torch.equal(actual, again), f"{name}: two runs differ"
        is_rounded = actual.dtype == torch.bfloat16
        # One number alone may be off by half a unit in the last place, 3.9e-3.
        assert relative_error(actual, reference) < (4e-3 if is_rounded else 1e-5), name
    first, second = (run_plain(swiglu, inputs, is_strided=is_strided) for _ in range(2))
    exact = run_plain(plain_formula, tuple(t.double() for t in inputs))
    for name, actual, again, reference in zip(NAMES, first, second, exact, strict=False):
        assert torch.equal(actual, again), f"{name}: two runs differ"
        assert relative_error(actual, reference) < (4e-3 if dtype == torch.bfloat16 else 1e-5), name

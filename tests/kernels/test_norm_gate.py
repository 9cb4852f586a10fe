"""norm_gate against the formula in float64: torch's path, and the Triton kernels (interpreted, and under -m gpu).

Axes: `T` tokens, `W` width.
"""

import inspect

import pytest
import torch
from torch import Tensor

from fulmen.errors import ConfigError, DataError
from fulmen.kernels.norm_gate import WIDTH_MAX, norm_gate
from fulmen.kernels.norm_gate_triton import NUM_PARTIALS_MAX, norm_gate_triton
from tests.kernels.reference import relative_error

EPS = 1e-3
NAMES = ("y", "dx", "dgate", "dweight")


def draw(num_tokens: int, width: int, *, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns x, gate, weight and the output's gradient in float64; rows of x differ in size, weights in sign."""
    generator = torch.Generator().manual_seed(seed)
    x, gate, dy = (torch.randn(num_tokens, width, dtype=torch.float64, generator=generator) for _ in range(3))
    scale = torch.logspace(-2, 2, num_tokens, dtype=torch.float64)[:, None]
    return x * scale, 2 * gate, torch.randn(width, dtype=torch.float64, generator=generator), dy


def formula(x: Tensor, gate: Tensor, weight: Tensor, eps: float = EPS) -> Tensor:
    return weight * x / (x.square().mean(-1, keepdim=True) + eps).sqrt() / (1 + (-gate).exp())


def strided(x: Tensor) -> Tensor:
    """Returns the values of x as the middle columns of a wider tensor whose other elements are NaN."""
    wide = torch.full((x.shape[0], x.shape[1] + 48), torch.nan, dtype=x.dtype, device=x.device)
    wide[:, 16 : 16 + x.shape[1]] = x
    return wide[:, 16 : 16 + x.shape[1]]


def run(kernel, inputs: tuple[Tensor, ...], *, eps: float = EPS, is_strided: bool = False) -> list[Tensor]:
    """Returns the output and the three gradients."""
    x, gate, weight, dy = inputs
    leaves = [t.detach().clone().requires_grad_() for t in (x, gate, weight)]
    x, gate, weight = leaves
    if is_strided:
        x, gate, dy = strided(x), strided(gate), strided(dy)
    y = kernel(x, gate, weight, eps)
    return [y.detach(), *torch.autograd.grad(y, leaves, dy)]


def exact(inputs: tuple[Tensor, ...]) -> list[Tensor]:
    return run(formula, tuple(t.double() for t in inputs))


def public(x: Tensor, gate: Tensor, weight: Tensor, eps: float) -> Tensor:
    return norm_gate(x, gate, weight, eps=eps)


@pytest.mark.parametrize(("num_tokens", "width"), [(1, 1), (1, 96), (7, 200), (5, 256)])
@pytest.mark.parametrize("is_strided", [False, True])
def test_torch_path_is_the_formula_with_gradients(num_tokens: int, width: int, is_strided: bool) -> None:
    inputs = draw(num_tokens, width)
    for found, expected in zip(run(public, inputs, is_strided=is_strided), exact(inputs), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


def test_a_row_of_ones_under_an_open_gate_has_a_known_value() -> None:
    """x = 1: the norm is 1 / sqrt(1 + eps), and sigmoid(0) = 1/2."""
    ones = torch.ones(1, 4, dtype=torch.float64)
    y = norm_gate(ones, torch.zeros_like(ones), 3 * ones[0], eps=3.0)
    assert y.tolist() == [[0.75] * 4]


def test_gradients_pass_gradcheck() -> None:
    x, gate, weight, _ = (t.requires_grad_() for t in draw(3, 5))
    assert torch.autograd.gradcheck(lambda *inputs: norm_gate(*inputs, eps=EPS), (x, gate, weight))


def test_torch_path_has_the_bits_of_the_modules_it_replaces() -> None:
    x, gate, weight, _ = (t.float() for t in draw(9, 96))
    norm = torch.nn.RMSNorm(96, eps=EPS)
    norm.weight.data.copy_(weight)
    assert torch.equal(norm_gate(x, gate, weight, eps=EPS), torch.sigmoid(gate) * norm(x))


@pytest.mark.parametrize(
    ("num_tokens", "width"), [(1, 1), (1, 96), (3, 200), (NUM_PARTIALS_MAX + 2, 40), (2, 2048), (2, WIDTH_MAX)]
)
@pytest.mark.parametrize("is_strided", [False, True])
@pytest.mark.skipif(torch.cuda.is_available(), reason="runs under the interpreter")
def test_triton_kernels_are_the_formula_with_gradients(num_tokens: int, width: int, is_strided: bool) -> None:
    """Outputs come from torch.empty, which the suite fills with NaN: an element never written would show."""
    inputs = tuple(t.float() for t in draw(num_tokens, width))
    found, expected = run(norm_gate_triton, inputs, is_strided=is_strided), exact(inputs)
    for name, actual, reference in zip(NAMES, found, expected, strict=True):
        # At width 1 the normed value hardly depends on x: dx is the small difference of two large numbers.
        assert relative_error(actual, reference) < (1e-6 if width > 1 else 3e-5), name


@pytest.mark.skipif(torch.cuda.is_available(), reason="runs under the interpreter")
def test_no_rows_give_zero_gradients() -> None:
    y, dx, dgate, dweight = run(norm_gate_triton, tuple(t.float() for t in draw(0, 8)))
    assert y.shape == dx.shape == dgate.shape == (0, 8)
    assert dweight.tolist() == [0.0] * 8


def test_bad_input_is_named() -> None:
    x, gate, weight, _ = draw(3, 8)
    with pytest.raises(ConfigError, match=r"eps=-1.0.*at least 0"):
        norm_gate(x, gate, weight, eps=-1.0)
    with pytest.raises(ConfigError, match="eps=nan"):
        norm_gate(x, gate, weight, eps=float("nan"))
    with pytest.raises(DataError, match=r"gate is torch.float32.*torch.float64"):
        norm_gate(x, gate.float(), weight, eps=EPS)
    with pytest.raises(DataError, match=r"weight is .* on meta"):
        norm_gate(x, gate, weight.to("meta"), eps=EPS)
    # Shapes are checked by jaxtyping too, but only in tests.
    unchecked = inspect.unwrap(norm_gate)
    with pytest.raises(DataError, match=r"gate has shape \(2, 8\)"):
        unchecked(x, gate[:2], weight, eps=EPS)
    with pytest.raises(DataError, match=r"weight has shape \(7,\)"):
        unchecked(x, gate, weight[:7], eps=EPS)


# Rounding an exact result once to bfloat16 costs 1.7e-3 on average and up to 2.3e-3 where the numbers are just above
# powers of two. Inputs are rounded before the reference sees them.
GPU_BOUNDS = {torch.float32: 2e-6, torch.bfloat16: 2.4e-3, torch.float16: 3e-4}


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", list(GPU_BOUNDS))
@pytest.mark.parametrize(
    ("num_tokens", "width"), [(1, 96), (7, 200), (1000, 1536), (1, 8192), (265, 8192), (4099, 8192)]
)
@pytest.mark.parametrize("is_strided", [False, True])
def test_on_the_gpu_every_type_is_within_its_rounding(
    num_tokens: int, width: int, dtype: torch.dtype, is_strided: bool
) -> None:
    inputs = tuple(t.to("cuda", dtype) for t in draw(num_tokens, width))
    first, second = (run(public, inputs, is_strided=is_strided) for _ in range(2))
    for name, actual, again, reference in zip(NAMES, first, second, exact(inputs), strict=True):
        assert actual.dtype == dtype
        assert torch.equal(actual, again), f"{name}: two runs differ"
        assert relative_error(actual, reference) < GPU_BOUNDS[dtype], name


@pytest.mark.gpu
def test_on_the_gpu_rows_beyond_2_31_elements_are_reached() -> None:
    num_tokens, width = (1 << 18) + 3, 8192
    x = torch.ones(num_tokens, width, dtype=torch.bfloat16, device="cuda")
    x[-1] = -2.0
    y = norm_gate(x, torch.zeros_like(x), x[0], eps=0.0)
    assert (y[-1] == -0.5).all()
    assert (y[0] == 0.5).all()


@pytest.mark.gpu
def test_on_the_gpu_a_wider_row_says_that_torch_runs_it() -> None:
    inputs = tuple(t.to("cuda", torch.float32) for t in draw(2, WIDTH_MAX + 8))
    with pytest.warns(UserWarning, match=str(WIDTH_MAX)):
        y = public(*inputs[:3], EPS)
    assert relative_error(y, formula(*(t.double() for t in inputs[:3]))) < 2e-6

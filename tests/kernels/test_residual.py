"""add_norm against torch's separate steps: the torch path, and the Triton kernel (interpreted, and on the GPU).

Axes: `T` tokens, `D` width.
"""

import inspect

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fulmen.errors import DataError
from fulmen.kernels.residual import WIDTH_MAX, add_norm
from fulmen.kernels.residual_triton import add_norm_triton, add_norm_with_gradients

ALPHA, BETA, EPS = 3.5565588200778455, 0.7, 1e-5


def draw(num_rows: int, width: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Returns residual, branch and weight."""
    generator = torch.Generator().manual_seed(width)
    shapes = ((num_rows, width), (num_rows, width), (width,))
    residual, branch, weight = (torch.randn(shape, dtype=torch.float64, generator=generator) for shape in shapes)
    return residual.to(dtype), (3 * branch).to(dtype), weight.to(dtype)


def exact(stream: Tensor, weight: Tensor) -> Tensor:
    """Returns the norm in float64, of the stream as it was rounded."""
    x = stream.double()
    return x / (x.square().mean(-1, keepdim=True) + EPS).sqrt() * weight.double()


def check_rounded_once(found: Tensor, expected: Tensor) -> None:
    """Half a unit in the last place of the dtype, and what float32 adds to it."""
    bound = {torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11, torch.float32: 1e-6}[found.dtype]
    assert ((found.double() - expected).abs() <= expected.abs() * bound * 1.001 + 1e-7).all()


@pytest.mark.parametrize("has_branch", [True, False])
def test_the_torch_path_is_the_formula_with_gradients(has_branch: bool) -> None:
    residual, branch, weight = (x.requires_grad_() for x in draw(5, 24, torch.float64))
    inputs = [residual, branch, weight] if has_branch else [residual, weight]
    found = add_norm(residual, branch if has_branch else None, weight, alpha=ALPHA, beta=BETA, eps=EPS)
    stream = ALPHA * residual + BETA * branch if has_branch else residual
    normed = stream / (stream.square().mean(-1, keepdim=True) + EPS).sqrt() * weight
    torch.testing.assert_close(found.stream, stream, rtol=0, atol=0)
    torch.testing.assert_close(found.normed, normed, rtol=1e-13, atol=1e-13)
    ours = torch.autograd.grad((found.stream * 0.3 + found.normed.cos()).sum(), inputs)
    theirs = torch.autograd.grad((stream * 0.3 + normed.cos()).sum(), inputs)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


SHAPES = [(1, 1), (3, 96), (2, 200), (5, 1024)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize(("num_rows", "width"), [*SHAPES, (0, 8)])
@pytest.mark.parametrize("has_branch", [True, False])
@pytest.mark.skipif(torch.cuda.is_available(), reason="runs under the interpreter")
def test_the_kernel_rounds_as_torch_does(num_rows: int, width: int, has_branch: bool, dtype: torch.dtype) -> None:
    """Without bfloat16, which the interpreter rounds towards zero."""
    residual, branch, weight = draw(num_rows, width, dtype)
    stream, normed = add_norm_triton(residual, branch if has_branch else None, weight, ALPHA, BETA, EPS)
    assert torch.equal(stream, ALPHA * residual + BETA * branch if has_branch else residual)
    assert stream.dtype == normed.dtype == dtype
    check_rounded_once(normed, exact(stream, weight))


@pytest.mark.skipif(torch.cuda.is_available(), reason="runs under the interpreter")
def test_rows_may_lie_apart() -> None:
    """Among NaN, and at 16 bytes or off them."""
    residual, branch, weight = draw(4, 96, torch.float32)
    expected = add_norm_triton(residual, branch, weight, ALPHA, BETA, EPS)
    for first in (4, 7):
        wide = torch.full((4, 110), torch.nan)
        wide[:, first : first + 96] = residual
        found = add_norm_triton(wide[:, first : first + 96], branch, weight, ALPHA, BETA, EPS)
        assert all(torch.equal(mine, its) for mine, its in zip(found, expected, strict=True))


def test_a_branch_that_does_not_fit_is_named() -> None:
    residual, branch, weight = draw(3, 8, torch.float32)
    with pytest.raises(DataError, match=r"branch is torch\.float64 \(3, 8\); allowed: torch\.float32 \(3, 8\)"):
        add_norm(residual, branch.double(), weight, alpha=1.0, beta=1.0, eps=EPS)
    with pytest.raises(DataError, match=r"branch is torch\.float32 \(2, 8\)"):
        inspect.unwrap(add_norm)(residual, branch[:2], weight, alpha=1.0, beta=1.0, eps=EPS)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("num_rows", "width"), [*SHAPES, (0, 8), (1000, 2048), (3, WIDTH_MAX), (3, WIDTH_MAX + 8)])
@pytest.mark.parametrize("has_branch", [True, False])
def test_on_the_gpu_the_stream_is_torchs_bit_by_bit(
    num_rows: int, width: int, has_branch: bool, dtype: torch.dtype
) -> None:
    residual, branch, weight = (x.cuda() for x in draw(num_rows, width, dtype))
    found = add_norm(residual, branch if has_branch else None, weight, alpha=ALPHA, beta=BETA, eps=EPS)
    assert torch.equal(found.stream, ALPHA * residual + BETA * branch if has_branch else residual)
    check_rounded_once(found.normed, exact(found.stream, weight))
    torch.testing.assert_close(found.normed, F.rms_norm(found.stream, (width,), weight, EPS))


@pytest.mark.gpu
def test_on_the_gpu_gradients_are_there_when_asked_for() -> None:
    residual, branch, weight = (x.cuda().requires_grad_() for x in draw(5, 64, torch.float32))
    found = add_norm(residual, branch, weight, alpha=ALPHA, beta=BETA, eps=EPS)
    assert len(torch.autograd.grad(found.normed.sum(), (residual, branch, weight))) == 3
    with torch.no_grad():
        assert not add_norm(residual, branch, weight, alpha=ALPHA, beta=BETA, eps=EPS).normed.requires_grad


@pytest.mark.parametrize("has_branch", [True, False])
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (ALPHA, BETA)])
@pytest.mark.parametrize(("num_rows", "width"), [(1, 1), (3, 96), (5, 200), (0, 8)])
@pytest.mark.skipif(torch.cuda.is_available(), reason="runs under the interpreter")
def test_the_kernels_gradients_are_autograds(
    num_rows: int, width: int, alpha: float, beta: float, has_branch: bool
) -> None:
    check_gradients(num_rows, width, torch.float32, alpha, beta, has_branch, device="cpu", tolerance=3e-6)


@pytest.mark.gpu
@pytest.mark.parametrize("has_branch", [True, False])
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (ALPHA, BETA)])
@pytest.mark.parametrize(("num_rows", "width"), [*SHAPES, (0, 8), (5000, 576), (3000, 2048)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 3e-6), (torch.bfloat16, 6e-3)])
def test_on_the_gpu_gradients_are_autograds(
    num_rows: int, width: int, alpha: float, beta: float, has_branch: bool, dtype: torch.dtype, tolerance: float
) -> None:
    check_gradients(num_rows, width, dtype, alpha, beta, has_branch, device="cuda", tolerance=tolerance)


def check_gradients(
    num_rows: int, width: int, dtype: torch.dtype, alpha: float, beta: float, has_branch: bool, *,
    device: str, tolerance: float,
) -> None:  # fmt: skip
    """Compares with float64, the gradient of the stream absent and there."""
    inputs = [x.to(device) for x in draw(num_rows, width, dtype)]
    if not has_branch:
        inputs[1] = None  # type: ignore[call-overload]
    d_normed, d_stream, _ = (x.to(device) for x in draw(num_rows, width, dtype))
    for with_stream in (True, False) if has_branch else (False,):
        results = []
        for kind in (dtype, torch.float64):
            leaves = [None if x is None else x.detach().to(kind).requires_grad_() for x in inputs]
            run = add_norm_with_gradients if kind == dtype else formula
            stream, normed = run(leaves[0], leaves[1], leaves[2], alpha, beta, EPS)
            total = (normed * d_normed.to(kind)).sum()
            if with_stream:
                total = total + (stream * d_stream.to(kind)).sum()
            results.append(torch.autograd.grad(total, [x for x in leaves if x is not None]))
        for found, expected in zip(*results, strict=True):
            # One channel's norm is its sign: its gradient is what rounding leaves of 0.
            scale = expected.abs().max().clamp(min=1e-30 if width > 1 else 1e3) if expected.numel() else 1.0
            assert not expected.numel() or ((found.double() - expected).abs() / scale).max().item() < tolerance


def formula(
    residual: Tensor, branch: Tensor | None, weight: Tensor, alpha: float, beta: float, eps: float
) -> tuple[Tensor, Tensor]:
    """Returns stream and normed in torch."""
    stream = residual if branch is None else alpha * residual + beta * branch
    return stream, stream / (stream.square().mean(-1, keepdim=True) + eps).sqrt() * weight


@pytest.mark.gpu
def test_on_the_gpu_gradients_are_the_same_bits_each_time() -> None:
    residual, branch, weight = (x.cuda().requires_grad_() for x in draw(5000, 576, torch.bfloat16))
    found = [
        torch.autograd.grad(
            add_norm(residual, branch, weight, alpha=ALPHA, beta=BETA, eps=EPS).normed.sum(), (residual, weight)
        )
        for _ in range(2)
    ]
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))

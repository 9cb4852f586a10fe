"""Rows moved about: values, zeros, and that `spread` and `collect_rows` are each other's gradient."""

import pytest
import torch
from torch import Tensor

from fulmen.kernels.ragged import collect_rows, permute_rows, spread, sum_copies, take_copies
from fulmen.kernels.ragged_triton import BLOCK_MAX, gather_sum

CELLS = torch.tensor([6, 0, 3, 2])


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_spread_puts_rows_into_their_cells_and_zeros_elsewhere() -> None:
    x = draw(4, 2, 3)
    expected = torch.zeros(8, 2, 3, dtype=torch.float64)
    for row, cell in enumerate(CELLS.tolist()):
        expected[cell] = x[row]
    assert torch.equal(spread(x, CELLS, 8), expected)


def test_spread_keeps_integers() -> None:
    assert spread(torch.tensor([5, 6, 7, 8]), CELLS, 7).tolist() == [6, 0, 8, 7, 0, 0, 5]


def test_collect_takes_rows_from_their_cells() -> None:
    x = draw(8, 3)
    assert torch.equal(collect_rows(x, CELLS), torch.stack([x[cell] for cell in CELLS.tolist()]))


def test_collect_undoes_spread() -> None:
    x = draw(4, 3)
    assert torch.equal(collect_rows(spread(x, CELLS, 9), CELLS), x)


def test_spread_and_collect_are_adjoint() -> None:
    """<spread(x), y> = <x, collect(y)>, so the gradient of one is the other."""
    x, y = draw(4, 3).requires_grad_(), draw(8, 3).requires_grad_()
    torch.testing.assert_close((spread(x, CELLS, 8) * y).sum(), (x * collect_rows(y, CELLS)).sum(), rtol=1e-14, atol=0)
    (gradient_x,) = torch.autograd.grad(spread(x, CELLS, 8), x, y.detach())
    (gradient_y,) = torch.autograd.grad(collect_rows(y, CELLS), y, x.detach())
    assert torch.equal(gradient_x, collect_rows(y.detach(), CELLS))
    assert torch.equal(gradient_y, spread(x.detach(), CELLS, 8))


def test_gradcheck() -> None:
    x, y = draw(4, 2).requires_grad_(), draw(7, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: spread(x, CELLS, 7), (x,))
    assert torch.autograd.gradcheck(lambda y: collect_rows(y, CELLS), (y,))


def test_cells_of_nan_that_are_not_collected_leave_no_trace() -> None:
    y = torch.full((8, 2), torch.nan, dtype=torch.float64)
    y[CELLS] = draw(4, 2)
    y.requires_grad_()
    collected = collect_rows(y, CELLS)
    (gradient,) = torch.autograd.grad(collected.square().sum(), y)
    assert collected.isfinite().all()
    assert gradient.isfinite().all()
    assert torch.equal(gradient[[1, 4, 5, 7]], torch.zeros(4, 2, dtype=torch.float64))


def test_strided_rows_are_read_right() -> None:
    x = draw(3, 4).T
    assert torch.equal(spread(x, CELLS, 8)[CELLS], x)


def copies_case(num_rows: int, num_copies: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns rows in float64, a permutation of their copies, and its inverse."""
    generator = torch.Generator().manual_seed(num_rows)
    order = torch.randperm(num_rows * num_copies, generator=generator)
    return torch.randn(num_rows, width, dtype=torch.float64, generator=generator), order, order.argsort()


@pytest.mark.parametrize(("num_rows", "num_copies", "width"), [(1, 1, 1), (4, 3, 5), (7, 2, 6)])
def test_copies_are_taken_and_summed_as_torchs_indexing_does(num_rows: int, num_copies: int, width: int) -> None:
    x, order, inverse = copies_case(num_rows, num_copies, width)
    x.requires_grad_()
    copies = x.repeat_interleave(num_copies, 0)[order]
    assert torch.equal(take_copies(x, order, inverse, num_copies), copies)
    y = torch.randn(num_rows * num_copies, width, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    sums = y[inverse].unflatten(0, (num_rows, num_copies)).sum(1)
    torch.testing.assert_close(sum_copies(y, order, inverse, num_copies), sums, rtol=1e-14, atol=1e-14)
    assert torch.autograd.gradcheck(lambda t: take_copies(t, order, inverse, num_copies), (x,))
    assert torch.autograd.gradcheck(lambda t: sum_copies(t, order, inverse, num_copies), (y.requires_grad_(),))
    assert torch.autograd.gradcheck(lambda t: permute_rows(t, order, inverse), (y,))


@pytest.mark.parametrize(("num_rows", "num_copies", "width"), [(1, 1, 1), (4, 3, 96), (3, 2, BLOCK_MAX + 8)])
@pytest.mark.skipif(torch.cuda.is_available(), reason="runs under the interpreter")
def test_the_triton_kernel_sums_gathered_rows(num_rows: int, num_copies: int, width: int) -> None:
    _, order, _ = copies_case(num_rows, num_copies, width)
    x = torch.randn(num_rows * num_copies, width + 7, generator=torch.Generator().manual_seed(2))
    x[:, width:] = torch.nan
    exact = x[:, :width].double()[order].unflatten(0, (num_rows, num_copies)).sum(1)
    torch.testing.assert_close(gather_sum(x[:, :width], order, num_copies).double(), exact, rtol=1e-6, atol=1e-6)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("num_rows", "num_copies", "width"), [(1, 1, 1), (1000, 2, 2056), (7, 3, 96)])
def test_on_the_gpu_gathered_rows_are_summed_in_float32(
    num_rows: int, num_copies: int, width: int, dtype: torch.dtype
) -> None:
    _, order, inverse = (t.cuda() for t in copies_case(num_rows, num_copies, width))
    x = torch.randn(num_rows * num_copies, width, device="cuda").to(dtype)
    exact = x.double()[inverse].unflatten(0, (num_rows, num_copies)).sum(1)
    torch.testing.assert_close(sum_copies(x, order, inverse, num_copies).double(), exact, rtol=4e-3, atol=1e-6)

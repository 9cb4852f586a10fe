"""`spread` and `collect_rows`: values, zeros, and that each is the other's gradient."""

import torch

from fulmen.kernels.ragged import collect_rows, spread

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

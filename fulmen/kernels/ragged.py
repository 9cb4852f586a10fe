"""Rows of a packed batch to the cells of a padded layout and back, as a pair of adjoint, deterministic operators.

torch's own indexing accumulates in its backward pass, which is slow and needless where no row is used twice.
Axes: `T` packed rows, `X` cells of the padded layout.
"""

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, cell_T, num_cells):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(cell_T)
        return x.new_zeros(num_cells, *x.shape[1:]).index_copy_(0, cell_T, x)

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        (cell_T,) = ctx.saved_tensors
        return gradient.index_select(0, cell_T), None, None


class _Collect(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, cell_T):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(cell_T)
        ctx.num_cells = x.shape[0]
        return x.index_select(0, cell_T)

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        (cell_T,) = ctx.saved_tensors
        return gradient.new_zeros(ctx.num_cells, *gradient.shape[1:]).index_copy_(0, cell_T, gradient), None


def spread(x: Shaped[Tensor, "T *rest"], cell_T: Int[Tensor, "T"], num_cells: int) -> Shaped[Tensor, "X *rest"]:
    """Returns `[num_cells, ...]` with row t of x in cell `cell_T[t]` and zeros elsewhere; cells must be distinct."""
    return _Spread.apply(x, cell_T, num_cells)


def collect_rows(x: Float[Tensor, "X *rest"], cell_T: Int[Tensor, "T"]) -> Float[Tensor, "T *rest"]:
    """Returns the rows of x in cells `cell_T`, which must be distinct; the adjoint of `spread`."""
    return _Collect.apply(x, cell_T)

"""Rows moved about, by operators whose backward pass is deterministic: to the cells of a padded layout and back, and
into another order, one row or several copies of it.

torch's own indexing accumulates in its backward pass, which is slow and needless where no row is used twice.
Axes: `T` packed rows, `X` cells of the padded layout, or rows in the new order.
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


class _Permute(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, order_X, inverse_X):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(inverse_X)
        return x.index_select(0, order_X)

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        (inverse_X,) = ctx.saved_tensors
        return gradient.index_select(0, inverse_X), None, None


class _TakeCopies(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, order_X, inverse_X, num_copies):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(inverse_X)
        ctx.num_copies = num_copies
        return x.index_select(0, order_X.div(num_copies, rounding_mode="floor"))

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        (inverse_X,) = ctx.saved_tensors
        return _gather_sum(gradient, inverse_X, ctx.num_copies), None, None, None


class _SumCopies(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, order_X, inverse_X, num_copies):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(order_X)
        ctx.num_copies = num_copies
        return _gather_sum(x, inverse_X, num_copies)

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        (order_X,) = ctx.saved_tensors
        return gradient.index_select(0, order_X.div(ctx.num_copies, rounding_mode="floor")), None, None, None


def _gather_sum(x: Tensor, rows: Tensor, num_copies: int) -> Tensor:
    """Returns sums of `num_copies` rows of x each, in the order of `rows`; half precision is summed in float32."""
    if not x.is_cuda or x.dtype == torch.float64 or x.ndim != 2:
        return x.index_select(0, rows).unflatten(0, (-1, num_copies)).sum(1)
    from fulmen.kernels.ragged_triton import gather_sum

    return gather_sum(x, rows, num_copies)


def spread(x: Shaped[Tensor, "T *rest"], cell_T: Int[Tensor, "T"], num_cells: int) -> Shaped[Tensor, "X *rest"]:
    """Returns `[num_cells, ...]` with row t of x in cell `cell_T[t]` and zeros elsewhere; cells must be distinct."""
    return _Spread.apply(x, cell_T, num_cells)


def collect_rows(x: Float[Tensor, "X *rest"], cell_T: Int[Tensor, "T"]) -> Float[Tensor, "T *rest"]:
    """Returns the rows of x in cells `cell_T`, which must be distinct; the adjoint of `spread`."""
    return _Collect.apply(x, cell_T)


def permute_rows(
    x: Shaped[Tensor, "X *rest"], order_X: Int[Tensor, "X"], inverse_X: Int[Tensor, "X"]
) -> Shaped[Tensor, "X *rest"]:
    """Returns row `order_X[i]` of x as row i; `inverse_X` is the inverse permutation, so that both passes gather."""
    return _Permute.apply(x, order_X, inverse_X)


def take_copies(
    x: Float[Tensor, "T *rest"], order_X: Int[Tensor, "X"], inverse_X: Int[Tensor, "X"], num_copies: int
) -> Float[Tensor, "X *rest"]:
    """Returns the rows of x, each repeated `num_copies` times in place, in the order `order_X` (a permutation).

    The gradient of a row is the sum over its copies in their first order, whatever the permutation.
    """
    return _TakeCopies.apply(x, order_X, inverse_X, num_copies)


def sum_copies(
    x: Float[Tensor, "X *rest"], order_X: Int[Tensor, "X"], inverse_X: Int[Tensor, "X"], num_copies: int
) -> Float[Tensor, "T *rest"]:
    """Returns each row's sum over its copies, the adjoint of `take_copies`."""
    return _SumCopies.apply(x, order_X, inverse_X, num_copies)

"""Matrix products whose rows do not know each other: a row's result is the same, bit for bit, beside any other rows.

Libraries choose the program of a product by its shape, so a token's numbers depend on how many tokens are computed with
it. Under `batch_invariant()` every matrix product of a forward pass runs in one program per weight: on CUDA a Triton
kernel of fixed tiles that sums over the inner axis in one order (`invariant_triton.py`); elsewhere, and for float64,
the library's product of exactly ROWS rows, short blocks being filled up with zeros.

Leaves out what is no matrix product, attention foremost: its callers lay it out by document. Products inside a
backward pass are replaced too while the manager is open, which makes them slower and no better.
Axes: `M` rows, `K` inner axis, `N` columns, `B` batch, `E` groups of rows.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_depth = 0
ROWS = 64
"""Rows of every product that a library computes."""


@contextmanager
def batch_invariant() -> Iterator[None]:
    """Replaces matrix products by ones whose rows are computed alike whatever the number of rows.

    With and without gradients, in inference mode, and while a CUDA graph is captured (which keeps the kernels, so
    that replaying needs no manager). Nothing waits for the device, but for a grouped product in float64 or on CPU.

        with batch_invariant():
            logits = model(token_ids).logits

    Source: Thinking Machines, "Defeating nondeterminism in LLM inference", 2025 (the idea).
    Cost: on CUDA, tiles that suit few rows, no split of the inner axis; elsewhere, work for up to ROWS - 1 more rows.
    """
    global _depth
    _depth += 1
    try:
        with _Invariant():
            yield
    finally:
        _depth -= 1


def is_batch_invariant() -> bool:
    """Returns whether `batch_invariant` is on: who does not go through torch's products must ask."""
    return _depth > 0


def mm(
    a: Float[Tensor, "M K"], b: Float[Tensor, "K N"], *, out_dtype: torch.dtype | None = None
) -> Float[Tensor, "M N"]:
    """Returns a b, summed in float32 (float64 for float64) and rounded once, to `out_dtype` or the dtype of a."""
    if _has_kernel(a, b):
        from fulmen.kernels.invariant_triton import mm_triton

        return mm_triton(a[None], b[None], out_dtype or a.dtype)[0]
    if out_dtype is not None and out_dtype != a.dtype:
        a, b = a.to(out_dtype), b.to(out_dtype)
    if not len(a):
        return a.new_zeros(0, b.shape[1])
    return torch.cat([torch.mm(block, b)[:count] for block, count in _blocks(a)])


def bmm(
    a: Float[Tensor, "B M K"], b: Float[Tensor, "B K N"], *, out_dtype: torch.dtype | None = None
) -> Float[Tensor, "B M N"]:
    """Returns the product of each pair, as `mm` does."""
    if _has_kernel(a, b):
        from fulmen.kernels.invariant_triton import mm_triton

        return mm_triton(a, b, out_dtype or a.dtype)
    if not len(a):
        return a.new_zeros(0, a.shape[1], b.shape[2], dtype=out_dtype or a.dtype)
    # Of one size of batch or another, torch makes or spares a copy, and strides decide the program too.
    return torch.stack([mm(x, y, out_dtype=out_dtype) for x, y in zip(a, b.contiguous(), strict=True)])


def grouped_mm(
    a: Float[Tensor, "M K"], b: Float[Tensor, "E K N"], ends_E: Int[Tensor, "E"], *, out_dtype: torch.dtype | None
) -> Float[Tensor, "M N"]:
    """Returns the product of rows `ends_E[e - 1]` to `ends_E[e]` of a with b_e, for all e."""
    if _has_kernel(a, b):
        from fulmen.kernels.invariant_triton import grouped_mm_triton

        return grouped_mm_triton(a, b, ends_E, out_dtype or a.dtype)
    borders = [0, *ends_E.tolist()]
    parts = [mm(a[i:j], y, out_dtype=out_dtype) for i, j, y in zip(borders, borders[1:], b, strict=False)]
    return torch.cat([*parts, parts[0].new_zeros(len(a) - borders[-1], b.shape[2])])


def _has_kernel(a: Tensor, b: Tensor) -> bool:
    return a.is_cuda and a.dtype == b.dtype and a.dtype in (torch.float32, torch.bfloat16, torch.float16)


def _blocks(a: Float[Tensor, "M K"]) -> Iterator[tuple[Float[Tensor, "R K"], int]]:
    """Yields blocks of ROWS rows and how many of them are a's; each is a copy, since alignment can decide the program.

    A row must not depend on its place in the block either; of the libraries' programs for a fixed shape that holds,
    and the tests check it.
    """
    for rows in a.split(ROWS):
        block = a.new_zeros(ROWS, a.shape[1])
        block[: len(rows)] = rows
        yield block, len(rows)


def _scaled(product: Tensor, bias: Tensor, beta: float | int, alpha: float | int) -> Tensor:
    """Returns beta bias + alpha product in the bias's dtype; element by element, so rows do not matter."""
    total = product if alpha == 1 else alpha * product
    if beta != 0:
        total = total + (bias if beta == 1 else beta * bias)
    return total.to(bias.dtype)


def _wide(x: Tensor) -> torch.dtype:
    """Returns the dtype in which a product is kept until something is added to it."""
    return torch.promote_types(x.dtype, torch.float32)


def _mm_aten(a: Tensor, b: Tensor, out_dtype: torch.dtype | None = None) -> Tensor:
    return mm(a, b, out_dtype=out_dtype)


def _bmm_aten(a: Tensor, b: Tensor, out_dtype: torch.dtype | None = None) -> Tensor:
    return bmm(a, b, out_dtype=out_dtype)


def _mv_aten(a: Tensor, x: Tensor) -> Tensor:
    return mm(a, x[:, None])[:, 0]


def _addmm_aten(bias: Tensor, a: Tensor, b: Tensor, *, beta: float | int = 1, alpha: float | int = 1) -> Tensor:
    return _scaled(mm(a, b, out_dtype=_wide(a)), bias, beta, alpha)


def _baddbmm_aten(bias: Tensor, a: Tensor, b: Tensor, *, beta: float | int = 1, alpha: float | int = 1) -> Tensor:
    return _scaled(bmm(a, b, out_dtype=_wide(a)), bias, beta, alpha)


def _addmv_aten(bias: Tensor, a: Tensor, x: Tensor, *, beta: float | int = 1, alpha: float | int = 1) -> Tensor:
    return _scaled(mm(a, x[:, None], out_dtype=_wide(a))[:, 0], bias, beta, alpha)


def _grouped_mm_aten(
    a: Tensor,
    b: Tensor,
    offs: Tensor | None = None,
    bias: Tensor | None = None,
    out_dtype: torch.dtype | None = None,
) -> Tensor:
    if a.ndim == 2 and b.ndim == 3 and offs is not None and bias is None:
        return grouped_mm(a, b, offs, out_dtype=out_dtype)
    if a.ndim == 3 and b.ndim == 3 and bias is None:
        return bmm(a, b, out_dtype=out_dtype)
    # A weight's gradient, which sums over the rows.
    result: Tensor = torch.ops.aten._grouped_mm.default(a, b, offs, bias, out_dtype)
    return result


_ATEN = torch.ops.aten
_PRODUCTS: Mapping[Any, Callable[..., Tensor]] = {
    _ATEN.mm.default: _mm_aten,
    _ATEN.mm.dtype: _mm_aten,
    _ATEN.bmm.default: _bmm_aten,
    _ATEN.bmm.dtype: _bmm_aten,
    _ATEN.mv.default: _mv_aten,
    _ATEN.addmm.default: _addmm_aten,
    _ATEN.baddbmm.default: _baddbmm_aten,
    _ATEN.addmv.default: _addmv_aten,
    _ATEN._grouped_mm.default: _grouped_mm_aten,
}
_OUT_PRODUCTS: Mapping[Any, Callable[..., Tensor]] = {
    _ATEN.mm.out: _mm_aten,
    _ATEN.bmm.out: _bmm_aten,
    _ATEN.addmm.out: _addmm_aten,
}
# Made of the above; inference mode hands them over whole.
_COMPOSITES = frozenset(
    (
        _ATEN.linear.default,
        _ATEN.matmul.default,
        _ATEN.einsum.default,
        _ATEN.inner.default,
        _ATEN.tensordot.default,
        _ATEN.scaled_dot_product_attention.default,
    )
)


class _Invariant(TorchDispatchMode):
    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in _PRODUCTS:
            return _PRODUCTS[func](*args, **kwargs)
        if func in _OUT_PRODUCTS:
            out: Tensor = kwargs.pop("out")
            return out.copy_(_OUT_PRODUCTS[func](*args, **kwargs))
        if func in _COMPOSITES:
            with self:
                return func.decompose(*args, **kwargs)
        return func(*args, **kwargs)

"""The joined projections of a training step against three products and apply_rope, with gradients.

Axes: `T` tokens, `D` model width, `H`/`J` heads, `W` head width.
"""

import pytest
import torch
from torch import Tensor

from fulmen.kernels.projection import project_rotate
from fulmen.kernels.rotary import apply_rope
from fulmen.kernels.rotary_triton import join_gradients, rotate_

pytestmark = [pytest.mark.filterwarnings("ignore::DeprecationWarning")]
CASES = [(5, 3, 1, 8, 4), (9, 4, 2, 16, 4), (1, 2, 2, 8, 2)]
"""Tokens, query heads, key heads, head width, rotated pairs."""


def draw(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def angles(num_tokens: int, pairs: int) -> tuple[Tensor, Tensor]:
    positions = torch.randint(0, 900, (num_tokens,), generator=torch.Generator().manual_seed(7))
    return positions, 10_000.0 ** (-torch.arange(pairs).float() / pairs)


@pytest.mark.parametrize(("num_tokens", "heads", "kv_heads", "width", "pairs"), CASES)
@pytest.mark.skipif(torch.cuda.is_available(), reason="runs under the interpreter")
def test_the_kernels_rotate_and_rotate_back(num_tokens: int, heads: int, kv_heads: int, width: int, pairs: int) -> None:
    positions, frequencies = angles(num_tokens, pairs)
    sizes = (heads, kv_heads, kv_heads)
    product = draw((num_tokens, sum(sizes) * width), 1).float()
    leaf = product.clone().requires_grad_()
    parts = [part.unflatten(1, (-1, width)) for part in leaf.split([n * width for n in sizes], dim=1)]
    expected = [apply_rope(x, positions, frequencies, amplitude=1.5) for x in parts[:2]] + [parts[2]]
    rotate_(product, positions, frequencies, num_heads=heads + kv_heads, width=width, amplitude=1.5)
    torch.testing.assert_close(product, torch.cat([x.flatten(1) for x in expected], 1), rtol=1e-6, atol=1e-6)
    gradients = [draw((num_tokens, n, width), 2 + i).float() for i, n in enumerate(sizes)]
    (truth,) = torch.autograd.grad(expected, leaf, gradients)
    found = join_gradients(*gradients, positions, frequencies, amplitude=1.5)
    torch.testing.assert_close(found, truth, rtol=1e-6, atol=1e-6)


@pytest.mark.gpu
@pytest.mark.parametrize("is_joined", [True, False])
@pytest.mark.parametrize(("num_tokens", "heads", "kv_heads", "width", "pairs"), [*CASES, (3000, 9, 3, 64, 32)])
def test_on_the_gpu_it_is_three_products_and_apply_rope(
    num_tokens: int, heads: int, kv_heads: int, width: int, pairs: int, is_joined: bool
) -> None:
    positions, frequencies = (x.cuda() for x in angles(num_tokens, pairs))
    sizes = (heads, kv_heads, kv_heads)
    x, whole = (draw(shape, 3).cuda().bfloat16() for shape in ((num_tokens, 32), (sum(sizes) * width, 32)))
    gradients = [draw((num_tokens, n, width), 4 + i).cuda().bfloat16() for i, n in enumerate(sizes)]
    results = []
    for is_ours in (True, False):
        kind = torch.bfloat16 if is_ours else torch.float64
        leaves = [t.to(kind).requires_grad_() for t in (x, *whole.split([n * width for n in sizes]))]
        if is_ours:
            outputs = project_rotate(
                *leaves, positions, frequencies, whole=whole if is_joined else None, head_width=width
            )
        else:
            q, k, v = ((leaves[0] @ w.T).unflatten(1, (-1, width)) for w in leaves[1:])
            outputs = (apply_rope(q, positions, frequencies), apply_rope(k, positions, frequencies), v)
        own = torch.autograd.grad(outputs, leaves, [g.to(kind) for g in gradients])
        results.append([*(y.detach() for y in outputs), *own])
    for found, expected in zip(*results, strict=True):
        assert (found.double() - expected).norm() / expected.norm() < 6e-3

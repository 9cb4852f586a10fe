"""Products under `batch_invariant()`: right, and a row alone is the same bits as the row beside any others.

Axes: `M` rows, `K` inner axis, `N` columns, `E` groups.
"""

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fulmen.kernels.invariant import ROWS, batch_invariant
from fulmen.kernels.invariant_triton import BM, grouped_mm_triton, mm_triton
from fulmen.model import Model, ModelConfig
from tests.kernels.reference import relative_error

DTYPES = [torch.float64, torch.float32, torch.bfloat16]
PRECISION = {torch.float64: 1e-14, torch.float32: 1e-6, torch.bfloat16: 4e-3}
COUNTS = (1, 2, 7, ROWS - 1, ROWS, ROWS + 1, 150)


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


PRODUCTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "linear": F.linear,
    "linear with bias": lambda x, w: F.linear(x, w, w[:, 0]),
    "linear of rows in a batch": lambda x, w: F.linear(x[None], w)[0],
    "matmul": lambda x, w: x @ w.T,
    "bmm": lambda x, w: torch.bmm(x.expand(3, -1, -1), w.T.expand(3, -1, -1))[1],
    "einsum": lambda x, w: torch.einsum("mk,nk->mn", x, w),
    "out": lambda x, w: torch.mm(x, w.T, out=x.new_empty(len(x), len(w))),
    "vector": lambda x, w: (x @ w[0])[:, None],
}


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", PRODUCTS)
def test_rows_alone_equal_rows_in_any_batch(name: str, dtype: torch.dtype, mode: Callable) -> None:
    x, w = draw(COUNTS[-1], 200, dtype=dtype), draw(72, 200, seed=1, dtype=dtype)
    with mode(), batch_invariant():
        whole = PRODUCTS[name](x, w)
        for count in COUNTS:
            for first in {0, (len(x) - count) // 2, len(x) - count}:
                part = slice(first, first + count)
                assert torch.equal(PRODUCTS[name](x[part], w), whole[part])
    assert whole.dtype == dtype
    exact = PRODUCTS[name](x.double(), w.double())
    assert relative_error(whole, exact) < PRECISION[dtype]


def test_gradients_pass_through() -> None:
    x, w = draw(70, 40).requires_grad_(), draw(24, 40, seed=1).requires_grad_()
    bias = draw(24, seed=2).requires_grad_()
    with batch_invariant():
        y = F.linear(x, w, bias)
    cotangent = draw(70, 24, seed=3)
    expected = torch.autograd.grad(F.linear(x, w, bias), (x, w, bias), cotangent)
    torch.testing.assert_close(torch.autograd.grad(y, (x, w, bias), cotangent), expected, rtol=1e-12, atol=1e-12)


def test_scales_of_a_sum_are_kept() -> None:
    c, a, b = draw(5, 6), draw(5, 40, seed=1), draw(40, 6, seed=2)
    with batch_invariant():
        found = torch.addmm(c, a, b, beta=0.5, alpha=-2.0), torch.baddbmm(c[None], a[None], b[None], beta=0, alpha=3.0)
        vector = torch.addmv(c[:, 0], a, b[:, 0], beta=2.0)
    torch.testing.assert_close(found, (0.5 * c - 2 * a @ b, 3 * (a @ b)[None]), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(vector, 2 * c[:, 0] + a @ b[:, 0], rtol=1e-12, atol=1e-12)


def test_no_rows_give_no_rows() -> None:
    with batch_invariant():
        assert (draw(0, 5) @ draw(5, 3)).shape == (0, 3)
        assert torch.bmm(draw(0, 2, 5), draw(0, 5, 3)).shape == (0, 2, 3)


SIZES = (0, 1, 70, 5, 0, 64)


def grouped(a: Tensor, b: Tensor, ends: Tensor) -> Tensor:
    return torch.cat([a[i:j] @ b[e] for e, (i, j) in enumerate(pairwise([0, *ends.tolist()]))])


def test_a_group_does_not_depend_on_the_size_of_any() -> None:
    a, b = draw(sum(SIZES), 40, dtype=torch.bfloat16), draw(len(SIZES), 40, 16, seed=1, dtype=torch.bfloat16)
    ends = torch.tensor(SIZES).cumsum(0).int()
    with batch_invariant():
        whole = F.grouped_mm(a, b, offs=ends)
        for e, (i, j) in enumerate(pairwise([0, *ends.tolist()])):
            for row in range(i, min(j, i + 3)):
                assert torch.equal(whole[row : row + 1], a[row : row + 1] @ b[e])
    assert relative_error(whole, grouped(a.double(), b.double(), ends)) < 4e-3


@pytest.mark.skipif(torch.cuda.is_available(), reason="runs under the interpreter")
@pytest.mark.parametrize(("num_rows", "inner", "columns"), [(1, 1, 1), (3, 130, 40), (BM + 5, 64, 33), (5, 256, 32)])
def test_the_kernel_multiplies(num_rows: int, inner: int, columns: int) -> None:
    """Both layouts of the second operand, and rows of the first that lie apart among NaN."""
    a, b = draw(2, num_rows, inner), draw(2, inner, columns, seed=1)
    wide = torch.full((2, num_rows, inner + 8), torch.nan)
    wide[..., :inner] = a
    for right in (b.float(), b.float().mT.contiguous().mT):
        assert relative_error(mm_triton(wide[..., :inner], right, torch.float32), a @ b) < 1e-6


@pytest.mark.skipif(torch.cuda.is_available(), reason="runs under the interpreter")
def test_rows_of_the_kernel_do_not_depend_on_each_other() -> None:
    """Rows keep their place in a tile: numpy, which multiplies for the interpreter, rounds by place."""
    a, b = draw(1, 2 * BM + 3, 96, dtype=torch.float32), draw(1, 96, 48, seed=1, dtype=torch.float32)
    whole = mm_triton(a, b, torch.float32)
    for part in (slice(0, 1), slice(0, 9), slice(BM, BM + 1), slice(BM, 2 * BM + 3)):
        assert torch.equal(mm_triton(a[:, part], b, torch.float32), whole[:, part])


@pytest.mark.skipif(torch.cuda.is_available(), reason="runs under the interpreter")
def test_the_grouped_kernel_multiplies_each_group() -> None:
    a, b = draw(sum(SIZES), 40), draw(len(SIZES), 24, 40, seed=1).mT
    ends = torch.tensor(SIZES).cumsum(0).int()
    found = grouped_mm_triton(a.float(), b.float(), ends, torch.float32)
    assert relative_error(found, grouped(a, b, ends)) < 1e-6


CONFIG = ModelConfig(
    vocab_size=64, hidden_size=32, num_layers=3, num_heads=2, num_kv_heads=1, head_dim=16,
    intermediate_size=16, num_experts=4, mixers="LSL", rope_theta=50.0,
)  # fmt: skip


@torch.no_grad()
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_document_has_the_same_logits_whatever_it_is_packed_with(dtype: torch.dtype) -> None:
    """Of one length, since softmax attention on CPU lays documents out at the length of the longest."""
    model = Model(CONFIG).to(dtype)
    length = 20
    token_ids = torch.randint(64, (1, 7 * length), generator=torch.Generator().manual_seed(0))
    with batch_invariant():
        parts = []
        for count in (1, 3, 7):
            encoded = model.encode(
                token_ids[:, : count * length],
                cu_seqlens=torch.arange(0, (count + 1) * length, length),
                is_invariant=True,
            )
            parts.append(model.logits(encoded.hidden)[0, :length])
    assert torch.equal(parts[0], parts[1])
    assert torch.equal(parts[0], parts[2])
    assert parts[0].isfinite().all()


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("inner", "columns"), [(200, 72), (1024, 9000), (512, 20000), (96, 8)])
def test_on_the_gpu_rows_alone_equal_rows_in_any_batch(inner: int, columns: int, dtype: torch.dtype) -> None:
    x, w = draw(300, inner, dtype=dtype).cuda(), draw(columns, inner, seed=1, dtype=dtype).cuda()
    groups, ends = w.expand(2, -1, -1).mT, torch.tensor([100, 300], dtype=torch.int32, device="cuda")
    with torch.inference_mode(), batch_invariant():
        whole = F.linear(x, w)
        for count in (1, 2, 63, 64, 65, 200):
            assert torch.equal(F.linear(x[7 : 7 + count], w), whole[7 : 7 + count])
        if dtype == torch.bfloat16 and inner % 8 == 0:
            assert torch.equal(F.grouped_mm(x, groups, offs=ends), whole)
            assert torch.equal(torch.mm(x, w.T, out_dtype=torch.float32).bfloat16(), whole)
    assert relative_error(whole, x.double() @ w.double().T) < (4e-3 if dtype == torch.bfloat16 else 1e-5)


@pytest.mark.gpu
def test_a_graph_keeps_the_kernels() -> None:
    x, w = draw(3, 256, dtype=torch.bfloat16).cuda(), draw(512, 256, seed=1, dtype=torch.bfloat16).cuda()
    with torch.inference_mode(), batch_invariant():
        expected = F.linear(x, w)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            found = F.linear(x, w)
    graph.replay()
    assert torch.equal(found, expected)

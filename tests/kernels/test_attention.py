"""Softmax attention against a plain softmax in float64, packed and over a cache.

Axes: `T` tokens, `H` query heads, `J` key/value heads, `D` head width, `N` rows, `S` cache length.
"""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from fulmen.kernels.attention import SHORT_MAX, Borders, cached_attention, packed_attention, padded_cells
from fulmen.kernels.attention_triton import short_attention

HEADS, WIDTH = 4, 8
DOCUMENTS = (1, 7, 3, 16, 1)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def make_qkv(length: int, num_kv_heads: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    heads = (HEADS, num_kv_heads, num_kv_heads)
    q, k, v = (draw(length, h, WIDTH, seed=seed + i).requires_grad_() for i, h in enumerate(heads))
    return q, k, v


def borders(lengths: tuple[int, ...]) -> Tensor:
    return torch.tensor([0, *lengths]).cumsum(0)


def plain(q: Tensor, k: Tensor, v: Tensor, cu_seqlens: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(D)) v, one query of one head at a time."""
    per_group = q.shape[1] // k.shape[1]
    outputs = []
    for start, stop in pairwise(cu_seqlens.tolist()):
        for t in range(start, stop):
            seen = slice(start, t + 1)
            row = []
            for head in range(q.shape[1]):
                scores = k[seen, head // per_group] @ q[t, head] / q.shape[2] ** 0.5
                row.append(scores.softmax(0) @ v[seen, head // per_group])
            outputs.append(torch.stack(row))
    return torch.stack(outputs)


@pytest.mark.parametrize("num_kv_heads", [4, 2, 1])
@pytest.mark.parametrize("lengths", [(1,), (20,), DOCUMENTS])
def test_packed_attention_equals_a_plain_softmax_with_gradients(lengths: tuple[int, ...], num_kv_heads: int) -> None:
    q, k, v = make_qkv(sum(lengths), num_kv_heads)
    cu_seqlens = borders(lengths)
    output, expected = packed_attention(q, k, v, cu_seqlens), plain(q, k, v, cu_seqlens)
    torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)
    cotangent = draw(*output.shape, seed=9)
    gradients = torch.autograd.grad(output, (q, k, v), cotangent)
    oracles = torch.autograd.grad(expected, (q, k, v), cotangent)
    torch.testing.assert_close(gradients, oracles, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("num_kv_heads", [4, 2])
def test_float32_takes_another_path_to_the_same_result(num_kv_heads: int) -> None:
    q, k, v = make_qkv(sum(DOCUMENTS), num_kv_heads)
    cu_seqlens = borders(DOCUMENTS)
    expected = plain(q, k, v, cu_seqlens)
    output = packed_attention(q.float(), k.float(), v.float(), cu_seqlens)
    assert output.dtype == torch.float32
    torch.testing.assert_close(output.double(), expected, rtol=1e-5, atol=1e-6)


def test_large_scores_do_not_overflow() -> None:
    q, k, v = make_qkv(9, 4)
    expected = plain(q * 1e3, k, v, borders((9,)))
    torch.testing.assert_close(packed_attention(q * 1e3, k, v, borders((9,))), expected)


@pytest.mark.parametrize("poisoned", [0, 1, 3])
def test_a_document_of_nan_poisons_no_other_document(poisoned: int) -> None:
    cu_seqlens = borders(DOCUMENTS)
    q, k, v = make_qkv(sum(DOCUMENTS), 2)
    expected = packed_attention(q, k, v, cu_seqlens)
    oracles = torch.autograd.grad(expected.square().sum(), (q, k, v))
    is_clean_T = torch.ones(sum(DOCUMENTS), dtype=torch.bool)
    is_clean_T[cu_seqlens[poisoned] : cu_seqlens[poisoned + 1]] = False
    with torch.no_grad():
        for x in (q, k, v):
            x[~is_clean_T] = torch.nan
    output = packed_attention(q, k, v, cu_seqlens)
    gradients = torch.autograd.grad(output.square().sum(), (q, k, v))
    assert torch.equal(output[is_clean_T], expected[is_clean_T])
    assert output[~is_clean_T].isnan().all()
    for gradient, oracle in zip(gradients, oracles, strict=True):
        assert torch.equal(gradient[is_clean_T], oracle[is_clean_T])


def fill_cache(k: Tensor, v: Tensor, cu_seqlens: Tensor, length: int, filler: float) -> tuple[Tensor, Tensor]:
    """Keys and values `[N, J, S, D]` of packed documents; what no token wrote holds `filler`."""
    shape = (len(cu_seqlens) - 1, k.shape[1], length, WIDTH)
    keys, values = torch.full(shape, filler, dtype=k.dtype), torch.full(shape, filler, dtype=k.dtype)
    for row, (start, stop) in enumerate(pairwise(cu_seqlens.tolist())):
        keys[row, :, : stop - start] = k[start:stop].transpose(0, 1)
        values[row, :, : stop - start] = v[start:stop].transpose(0, 1)
    return keys, values


@pytest.mark.parametrize("num_kv_heads", [4, 2, 1])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_last_tokens_over_a_cache_equal_packed_attention(num_kv_heads: int, dtype: torch.dtype) -> None:
    """Every way of cutting documents of different lengths into cached tokens and new ones, unwritten cells filled."""
    lengths = (5, 9, 6)
    cu_seqlens = borders(lengths)
    q, k, v = (x.detach().to(dtype) for x in make_qkv(sum(lengths), num_kv_heads))
    expected = packed_attention(q, k, v, cu_seqlens)
    keys, values = fill_cache(k, v, cu_seqlens, 12, filler=1e4)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    for new in [(1, 1, 1), (5, 9, 6), (5, 1, 3), (2, 8, 1), (1, 9, 1)]:
        picked: list[int] = []
        positions: list[int] = []
        for start, length, count in zip(cu_seqlens.tolist(), lengths, new, strict=False):
            picked += range(start + length - count, start + length)
            positions += range(length - count, length)
        output = cached_attention(q[picked], keys, values, torch.tensor(positions), borders(new))
        torch.testing.assert_close(output, expected[picked], rtol=tolerance, atol=tolerance)


def test_a_cache_row_of_nan_poisons_no_other_row() -> None:
    lengths = (5, 9, 6)
    cu_seqlens = borders(lengths)
    q, k, v = (x.detach() for x in make_qkv(sum(lengths), 2))
    keys, values = fill_cache(k, v, cu_seqlens, 9, filler=0.0)
    last, positions = cu_seqlens[1:] - 1, torch.tensor(lengths) - 1
    expected = cached_attention(q[last], keys, values, positions, torch.arange(4))
    keys[1], values[1] = torch.nan, torch.nan
    output = cached_attention(q[last], keys, values, positions, torch.arange(4))
    assert torch.equal(output[[0, 2]], expected[[0, 2]])
    assert output[1].isnan().all()


def test_padded_cells_are_row_times_width_plus_column() -> None:
    cells, shape = padded_cells(torch.tensor([0, 1, 4, 6]))
    assert shape == (3, 3)
    assert cells.tolist() == [0, 3, 4, 5, 6, 7]


@pytest.mark.gpu
@pytest.mark.parametrize("num_kv_heads", [1, 3, 9])
@pytest.mark.parametrize("kernel", ["short", "flash"])
@pytest.mark.parametrize("lengths", [(3,), (5, 2, 130), (262,) * 5, (1000, 63, 64, 65)])
def test_on_the_gpu_packed_attention_needs_no_padding(lengths: tuple[int, ...], num_kv_heads: int, kernel: str) -> None:
    """In bfloat16, against float64, with gradients; a bound beyond SHORT_MAX chooses torch's kernel."""
    longest = max(lengths) if kernel == "short" else SHORT_MAX + 1
    q, k, v = (draw(sum(lengths), n, 64, seed=i).cuda() for i, n in enumerate((9, num_kv_heads, num_kv_heads)))
    cu_seqlens = borders(lengths).cuda()
    results = []
    for kind in (torch.bfloat16, torch.float64):
        leaves = [x.bfloat16().to(kind).requires_grad_() for x in (q, k, v)]
        known = Borders(cu_seqlens=cu_seqlens.int(), longest=longest) if kind == torch.bfloat16 else None
        output = packed_attention(*leaves, cu_seqlens, borders=known)
        results.append([output.detach(), *torch.autograd.grad(output, leaves, q.sin().bfloat16().to(kind))])
    for found, expected in zip(*results, strict=True):
        assert (found.double() - expected).norm() / expected.norm() < 1.5e-2


@pytest.mark.parametrize("lengths", [(1,), (5, 1, 66), (130, 64)])
@pytest.mark.skipif(torch.cuda.is_available(), reason="runs under the interpreter")
def test_the_kernels_of_short_documents_are_packed_attention(lengths: tuple[int, ...]) -> None:
    known = Borders(cu_seqlens=borders(lengths).int(), longest=max(lengths), lengths=lengths)
    q, k, v, do = (draw(sum(lengths), heads, 24, seed=heads) for heads in (4, 2, 2, 4))
    k = k + 0.3
    wide = torch.full((sum(lengths), 4 * 24 + 9), torch.nan)
    wide[:, : 4 * 24] = q.flatten(1).float()
    leaves = [x.float().requires_grad_() for x in (wide[:, : 4 * 24].unflatten(1, (4, 24)), k, v)]
    output = short_attention(*leaves, known.cu_seqlens, known.tiles, scale=24**-0.5)
    truth = [x.detach().clone().requires_grad_() for x in (q, k, v)]
    expected = packed_attention(*truth, borders(lengths))
    found = [output, *torch.autograd.grad(output, leaves, do.float())]
    for mine, its in zip(found, [expected, *torch.autograd.grad(expected, truth, do)], strict=True):
        torch.testing.assert_close(mine.double(), its, rtol=2e-5, atol=2e-5)


def test_tiles_cover_every_token_once_longest_first() -> None:
    known = Borders(cu_seqlens=borders((130, 1, 64)).int(), longest=130)
    assert known.tiles.tolist() == [[0, 128], [0, 64], [0, 0], [1, 0], [2, 0]]

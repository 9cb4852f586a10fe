"""Paged attention against a softmax per token in float64: torch's path, and the Triton kernels
(interpreted, and under -m gpu). All cells that no token wrote, and all blocks of nobody, hold NaN.

Axes: `T` new tokens, `N` rows, `L` tokens of a row, `C` tokens of a block, `H`/`J` query and key/value heads, `D`/`V`
widths of keys and values.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

import pytest
import torch
from torch import Tensor

from fulmen.errors import ConfigError, DataError
from fulmen.kernels.paged import (
    SPLITS_MAX,
    WIDTH_MAX,
    decode_splits,
    paged_attention,
    rope_write,
    write_pages,
)
from fulmen.kernels.paged_triton import paged_attention_triton, tile_rows
from fulmen.kernels.step_triton import step_attention_triton
from tests.kernels.reference import draw, relative_error

PAGE = 64
LENGTHS = (0, 1, 63, 64, 65, 500)
SHAPES = [(2, 2, 32, 32), (3, 1, 80, 64), (8, 2, 32, 48), (8, 1, 40, 32)]
"""Query heads, key/value heads, widths of keys and values: groups 1, 3, 4 and 8."""
interpreted = pytest.mark.skipif(torch.cuda.is_available(), reason="runs under the interpreter")


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows of a cache and their new tokens."""

    q: Tensor
    dense: list[tuple[Tensor, Tensor]]
    """Keys `[L, J, D]` and values of each row, the new ones too."""
    keys: Tensor
    values: Tensor
    table_N_X: Tensor
    lengths_N: Tensor
    cu_seqlens: Tensor

    @property
    def is_step(self) -> bool:
        return len(self.q) == len(self.lengths_N)

    def to(self, dtype: torch.dtype, device: str = "cpu") -> "Rows":
        moved = {name: x.to(device) for name, x in vars(self).items() if isinstance(x, Tensor)}
        floats = {name: moved[name].to(dtype) for name in ("q", "keys", "values")}
        return replace(self, **(moved | floats), dense=[(k.to(dtype), v.to(dtype)) for k, v in self.dense])


def make_rows(
    lengths: Sequence[int], counts: Sequence[int], shape: tuple[int, int, int, int], *, seed: int = 0, page: int = PAGE
) -> Rows:
    """Returns rows in float64, their blocks shuffled among more blocks than they need."""
    num_heads, num_kv_heads, width, value_width = shape
    after = [length + count for length, count in zip(lengths, counts, strict=True)]
    num_blocks = [-(-length // page) for length in after]
    generator = torch.Generator().manual_seed(seed)
    order = (1 + torch.randperm(sum(num_blocks) + 3, generator=generator)).tolist()
    keys, values = (
        torch.full((len(order) + 1, num_kv_heads, page, size), torch.nan, dtype=torch.float64)
        for size in (width, value_width)
    )
    table_N_X = torch.zeros(len(after), max(num_blocks) + 1, dtype=torch.int32)
    dense = []
    for row, length in enumerate(after):
        k, v = (
            draw(length, num_kv_heads, size, seed=seed + 2 * row + i) for i, size in enumerate((width, value_width))
        )
        dense.append((k, v))
        for i in range(num_blocks[row]):
            block, part = order.pop(), slice(i * page, min((i + 1) * page, length))
            table_N_X[row, i] = block
            keys[block, :, : part.stop - part.start] = k[part].transpose(0, 1)
            values[block, :, : part.stop - part.start] = v[part].transpose(0, 1)
    return Rows(
        q=draw(sum(counts), num_heads, width, seed=seed + 99), dense=dense, keys=keys, values=values,
        table_N_X=table_N_X, lengths_N=torch.tensor(lengths), cu_seqlens=torch.tensor([0, *accumulate(counts)]),
    )  # fmt: skip


def naive(rows: Rows, *, scale: float | None = None) -> Tensor:
    """softmax(scale q k^T) v in float64, one token at a time."""
    outputs = []
    scale = rows.q.shape[2] ** -0.5 if scale is None else scale
    for row, length in enumerate(rows.lengths_N.tolist()):
        k, v = (x.double().repeat_interleave(rows.q.shape[1] // x.shape[1], dim=1) for x in rows.dense[row])
        for i, t in enumerate(range(*rows.cu_seqlens[row : row + 2].tolist())):
            seen = slice(0, length + i + 1)
            scores = torch.einsum("hd,lhd->hl", rows.q[t].double().cpu(), k[seen]) * scale
            outputs.append(torch.einsum("hl,lhv->hv", scores.softmax(1), v[seen]))
    return torch.stack(outputs)


def attend(
    rows: Rows, *, num_splits: int = 1, is_invariant: bool = False, scale: float | None = None,
    function: Callable[..., Tensor] = paged_attention,
) -> Tensor:  # fmt: skip
    return function(
        rows.q, rows.keys, rows.values, rows.table_N_X, rows.lengths_N, None if rows.is_step else rows.cu_seqlens,
        scale=rows.q.shape[2] ** -0.5 if scale is None else scale, num_splits=num_splits, is_invariant=is_invariant,
    )  # fmt: skip


def interpret(rows: Rows, *, num_splits: int = 1, is_invariant: bool = False, scale: float | None = None) -> Tensor:
    return attend(rows, num_splits=num_splits, is_invariant=is_invariant, scale=scale, function=paged_attention_triton)


def window(rows: Rows, start: int, stop: int) -> Rows:
    """Returns new tokens start..stop-1 of the only row; the cache holds later ones too, as garbage may."""
    return replace(
        rows, q=rows.q[start:stop], lengths_N=rows.lengths_N + start, cu_seqlens=torch.tensor([0, stop - start])
    )


def with_padding(rows: Rows) -> Rows:
    """Returns the rows with a row of padding of one token before, between and after them; its length is garbage."""
    order = torch.tensor([-1, 0, -1, *range(1, len(rows.lengths_N)), -1])
    pick = order.clamp(min=0)
    counts = torch.where(order < 0, 1, rows.cu_seqlens.diff()[pick])
    tokens = [
        rows.q[:1] if row < 0 else rows.q[rows.cu_seqlens[row] : rows.cu_seqlens[row + 1]] for row in order.tolist()
    ]
    return replace(
        rows, q=torch.cat(tokens), table_N_X=torch.where(order[:, None] < 0, 0, rows.table_N_X[pick]),
        lengths_N=torch.where(order < 0, 70, rows.lengths_N[pick]),
        cu_seqlens=torch.nn.functional.pad(counts.cumsum(0), (1, 0)),
    )  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("counts", [(1,) * 6, (5, 1, 64, 2, 70, 3)])
def test_torch_path_is_a_softmax_per_token(shape: tuple[int, int, int, int], counts: tuple[int, ...]) -> None:
    rows = make_rows(LENGTHS, counts, shape)
    torch.testing.assert_close(attend(rows), naive(rows), rtol=1e-12, atol=1e-12)
    found = paged_attention(
        rows.q, rows.keys, rows.values, rows.table_N_X, rows.lengths_N, rows.cu_seqlens, scale=0.3, longest=550
    )
    torch.testing.assert_close(found, naive(rows, scale=0.3), rtol=1e-12, atol=1e-12)


@interpreted
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("num_splits", [1, 2, 5])
def test_kernel_steps_are_a_softmax_per_token(shape: tuple[int, int, int, int], num_splits: int) -> None:
    rows = make_rows(LENGTHS, (1,) * 6, shape).to(torch.float32)
    for scale in (None, 0.3):
        assert relative_error(interpret(rows, num_splits=num_splits, scale=scale), naive(rows, scale=scale)) < 1e-6


@interpreted
@pytest.mark.parametrize(("shape", "num_splits"), [*((shape, 1) for shape in SHAPES), (SHAPES[1], 5)])
def test_kernel_prefill_is_a_softmax_per_token(shape: tuple[int, int, int, int], num_splits: int) -> None:
    rows = make_rows((500, 0, 63, 64, 1), (3, 5, 1, 9, 5 if num_splits > 1 else 33), shape).to(torch.float32)
    assert relative_error(interpret(rows, num_splits=num_splits), naive(rows)) < 1e-6


@interpreted
@pytest.mark.parametrize(("counts", "num_rows"), [((1, 1, 1, 1), 16), ((9, 1, 20, 30), 64), ((90, 1, 30, 60), 128)])
def test_larger_tiles_of_half_precision(counts: tuple[int, ...], num_rows: int) -> None:
    shape = (3, 1, 32, 32)
    assert tile_rows(sum(counts), 4, 3, is_wide=False, is_invariant=False) == num_rows
    rows = make_rows((65, 0, 63, 0), counts, shape).to(torch.float16)
    assert relative_error(interpret(rows), naive(rows)) < 5e-4


@interpreted
def test_a_split_that_starts_inside_a_tile() -> None:
    """Positions 125..129 are one tile, and the second of two splits starts at 128."""
    rows = make_rows((125,), (5,), SHAPES[1]).to(torch.float32)
    assert relative_error(interpret(rows, num_splits=2), naive(rows)) < 1e-6


@interpreted
@pytest.mark.parametrize("num_splits", [1, 5])
def test_large_scores_do_not_overflow(num_splits: int) -> None:
    rows = make_rows((500, 64), (1, 1), SHAPES[1]).to(torch.float32)
    assert relative_error(interpret(rows, num_splits=num_splits, scale=30.0), naive(rows, scale=30.0)) < 1e-4


@interpreted
def test_short_blocks() -> None:
    rows = make_rows((0, 15, 16, 33), (1, 17, 3, 1), (4, 2, 32, 32), page=16).to(torch.float32)
    assert relative_error(interpret(rows), naive(rows)) < 1e-6


@pytest.mark.parametrize("counts", [(1, 1, 1), (3, 1, 9)])
@pytest.mark.parametrize("num_splits", [0, 1, 5])
def test_rows_of_padding_are_zero_and_change_no_other(counts: tuple[int, ...], num_splits: int) -> None:
    """0 splits stand for torch's path. Block 0 holds NaN, and the padding has a length and queries."""
    if num_splits and torch.cuda.is_available():
        pytest.skip("runs under the interpreter")
    rows = make_rows((64, 5, 130), counts, (2, 1, 32, 32)).to(torch.float32 if num_splits else torch.float64)
    padded = with_padding(rows)

    def run(case: Rows) -> Tensor:
        return interpret(case, num_splits=num_splits) if num_splits else attend(case)

    found, expected = run(padded), run(rows)
    is_padding = torch.zeros(len(padded.q), dtype=torch.bool)
    is_padding[padded.cu_seqlens[:-1][padded.table_N_X[:, 0] == 0]] = True
    assert int(is_padding.sum()) == 3
    assert (found[is_padding] == 0).all()
    torch.testing.assert_close(found[~is_padding], expected, rtol=1e-6, atol=1e-6)


@interpreted
@pytest.mark.parametrize(("group", "dtype"), [(1, torch.float32), (3, torch.float32), (3, torch.float16)])
def test_invariant_tokens_have_the_same_bits_in_any_pieces(group: int, dtype: torch.dtype) -> None:
    rows = make_rows((0,), (140,), (group, 1, 48, 32)).to(dtype)
    at_once = interpret(rows, is_invariant=True)
    assert relative_error(at_once, naive(rows)) < (1e-6 if dtype == torch.float32 else 5e-4)
    for borders in [(0, 1, 63, 66, 140), (0, 7, 139, 140)]:
        pieces = [interpret(window(rows, *pair), is_invariant=True) for pair in pairwise(borders)]
        assert torch.equal(torch.cat(pieces), at_once)
    for t in (0, 1, 63, 64, 139):
        assert torch.equal(interpret(window(rows, t, t + 1), is_invariant=True), at_once[t : t + 1])


@interpreted
@pytest.mark.parametrize("num_splits", [1, 2, 5])
def test_a_row_of_a_step_has_the_same_bits_alone(num_splits: int) -> None:
    rows = make_rows((500, 3, 64, 700), (1,) * 4, (4, 2, 32, 32)).to(torch.float32)
    together = interpret(rows, num_splits=num_splits)
    for row in range(4):
        alone = replace(
            rows, q=rows.q[row : row + 1], lengths_N=rows.lengths_N[row : row + 1],
            table_N_X=rows.table_N_X[row : row + 1], cu_seqlens=torch.tensor([0, 1]),
        )  # fmt: skip
        assert torch.equal(interpret(alone, num_splits=num_splits)[0], together[row])


def test_nothing_to_do() -> None:
    rows = make_rows((3,), (1,), (2, 1, 32, 32)).to(torch.float32)
    for function in [paged_attention] if torch.cuda.is_available() else [paged_attention, paged_attention_triton]:
        empty = replace(rows, q=rows.q[:0], lengths_N=rows.lengths_N[:0], table_N_X=rows.table_N_X[:0])
        assert attend(empty, function=function).shape == (0, 2, 32)
        # A step of padding where no row has a block yet.
        blockless = replace(rows, table_N_X=rows.table_N_X[:, :0])
        assert (attend(blockless, function=function) == 0).all()


def test_splits_fill_a_gpu_and_no_more() -> None:
    assert decode_splits(256, 4, 132) == 1
    assert decode_splits(32, 4, 132) == 2
    assert decode_splits(1, 8, 132) == 33
    assert decode_splits(1, 1, 132) == SPLITS_MAX
    assert decode_splits(0, 1, 132) == SPLITS_MAX


def test_bad_input_is_named() -> None:
    rows = make_rows((3,), (1,), (4, 2, 32, 32))
    for num_splits, is_invariant in ((0, False), (SPLITS_MAX + 1, False), (2, True)):
        with pytest.raises(ConfigError, match=rf"num_splits={num_splits}; allowed: 1 to 64"):
            attend(rows, num_splits=num_splits, is_invariant=is_invariant)
    with pytest.raises(DataError, match=r"3 query heads; allowed: multiples of 2"):
        attend(replace(rows, q=rows.q[:, :3]))
    with pytest.raises(DataError, match="contiguous"):
        attend(replace(rows, keys=rows.keys.transpose(1, 2).contiguous().transpose(1, 2)))
    # Shapes are checked by jaxtyping too, but only in tests.
    unchecked = inspect.unwrap(write_pages)
    with pytest.raises(DataError, match="agree in all axes but the last"):
        unchecked(rows.q, rows.q, rows.keys, rows.values[1:], torch.zeros(1, dtype=torch.int64))


# Against float64, of inputs rounded first: one rounding of the output, and the rounding of probabilities.
GPU_BOUNDS = {torch.float32: 2e-6, torch.bfloat16: 5e-3, torch.float16: 6e-4}
GPU_SHAPES = [*SHAPES, (16, 4, 128, 128), (4, 2, 256, 256), (12, 3, 96, 96)]


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", list(GPU_BOUNDS))
@pytest.mark.parametrize("shape", GPU_SHAPES)
def test_on_the_gpu_every_type_is_within_its_rounding(shape: tuple[int, int, int, int], dtype: torch.dtype) -> None:
    for counts, splits in [((1,) * 6, (1, 2, 5, 64)), ((5, 1, 64, 2, 70, 3), (1, 5)), ((300, 1, 64, 2, 270, 3), (1,))]:
        rows = make_rows(LENGTHS, counts, shape).to(dtype)
        expected, on_gpu = naive(rows), rows.to(dtype, "cuda")
        for num_splits in splits:
            found, again = (attend(on_gpu, num_splits=num_splits) for _ in range(2))
            assert torch.equal(found, again)
            assert relative_error(found.cpu(), expected) < GPU_BOUNDS[dtype], (counts, num_splits)
        invariant = attend(on_gpu, is_invariant=True)
        assert relative_error(invariant.cpu(), expected) < GPU_BOUNDS[dtype], counts


@pytest.mark.gpu
def test_on_the_gpu_float64_takes_the_torch_path() -> None:
    rows = make_rows(LENGTHS, (1,) * 6, SHAPES[1])
    assert relative_error(attend(rows.to(torch.float64, "cuda")).cpu(), naive(rows)) < 1e-12


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", list(GPU_BOUNDS))
@pytest.mark.parametrize("shape", GPU_SHAPES)
def test_on_the_gpu_invariant_tokens_have_the_same_bits(shape: tuple[int, int, int, int], dtype: torch.dtype) -> None:
    """Steps, pieces and one go, alone and beside other rows."""
    if shape[2] > WIDTH_MAX[dtype]:
        pytest.skip("torch's path")
    rows = make_rows((0,), (333,), shape).to(dtype, "cuda")
    at_once = attend(rows, is_invariant=True)

    def part(start: int, stop: int) -> Tensor:
        piece = window(rows, start, stop)
        return attend(replace(piece, cu_seqlens=piece.cu_seqlens.cuda()), is_invariant=True)

    assert torch.equal(torch.cat([part(t, t + 1) for t in range(333)]), at_once)
    borders = (0, 1, 63, 64, 65, 66, 138, 140, 333)
    pieces = [part(*pair) for pair in pairwise(borders)]
    assert torch.equal(torch.cat(pieces), at_once)
    # All tokens as rows of one step.
    step = replace(
        rows, lengths_N=torch.arange(333, device="cuda"), cu_seqlens=torch.arange(334, device="cuda"),
        table_N_X=rows.table_N_X.expand(333, -1),
    )  # fmt: skip
    assert torch.equal(attend(step, is_invariant=True), at_once)


@pytest.mark.gpu
@pytest.mark.parametrize("num_splits", [1, 5])
def test_on_the_gpu_a_graph_follows_its_tensors(num_splits: int) -> None:
    """A captured step sees new lengths, tables and queries; padding rows come and go."""
    rows = make_rows((500, 3, 64, 700), (1,) * 4, (8, 2, 64, 64)).to(torch.bfloat16, "cuda")
    static = replace(rows, lengths_N=torch.zeros_like(rows.lengths_N), table_N_X=torch.zeros_like(rows.table_N_X))
    attend(static, num_splits=num_splits)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = attend(static, num_splits=num_splits)
    graph.replay()
    assert (output == 0).all()
    static.lengths_N.copy_(rows.lengths_N)
    static.table_N_X.copy_(rows.table_N_X)
    graph.replay()
    assert torch.equal(output, attend(rows, num_splits=num_splits))


@pytest.mark.gpu
def test_on_the_gpu_blocks_beyond_2_31_elements_are_reached() -> None:
    num_blocks, width = (1 << 31) // (PAGE * 128) + 4, 128
    keys = torch.zeros(num_blocks, 1, PAGE, width, dtype=torch.bfloat16, device="cuda")
    values = torch.zeros_like(keys)
    block = num_blocks - 1
    cells = torch.tensor([block * PAGE], device="cuda")
    v = torch.full((1, 1, width), 3.0, dtype=torch.bfloat16, device="cuda")
    write_pages(v, v, keys, values, cells)
    assert (keys[block, :, 0] == 3).all()
    table_N_X = torch.tensor([[block]], dtype=torch.int32, device="cuda")
    output = paged_attention(v, keys, values, table_N_X, torch.zeros(1, dtype=torch.int64, device="cuda"), None)
    assert (output == 3).all()


def step_by_parts(rows: Rows, q: Tensor, k: Tensor, v: Tensor, frequencies: Tensor, amplitude: float) -> Tensor:
    """Rotation, writing and attention one after the other; the pages are changed."""
    cells = (
        rows.table_N_X[torch.arange(len(q), device=q.device), rows.lengths_N // PAGE].long() * PAGE
        + rows.lengths_N % PAGE
    )
    q = rope_write(q, k, v, rows.lengths_N, cells, frequencies, rows.keys, rows.values, amplitude=amplitude)
    return paged_attention(q, rows.keys, rows.values, rows.table_N_X, rows.lengths_N, None)


def check_step(heads: tuple[int, int], width: int, dtype: torch.dtype, device: str, tolerance: float) -> None:
    lengths = (0, 1, 63, 64, 65, 200)
    rows = make_rows(lengths, (1,) * len(lengths), (*heads, width, width)).to(dtype, device)
    rows.table_N_X[1] = 0
    sizes = (heads[0], heads[1], heads[1])
    product = draw(len(lengths), sum(sizes) * width, seed=9).to(dtype).to(device)
    q, k, v = (part.unflatten(1, (-1, width)) for part in product.split([n * width for n in sizes], dim=1))
    frequencies = 100.0 ** (-torch.arange(width // 2, device=device).float() / width)
    other = replace(rows, keys=rows.keys.clone(), values=rows.values.clone())
    expected = step_by_parts(other, q, k, v, frequencies, 1.2)
    found = step_attention_triton(
        q, k, v, rows.lengths_N, frequencies, rows.keys, rows.values, rows.table_N_X, scale=width**-0.5, amplitude=1.2
    )
    assert not found[1].any(), "a row without pages gives 0"
    assert relative_error(found, expected) < tolerance
    for mine, its in ((rows.keys, other.keys), (rows.values, other.values)):
        assert torch.equal(mine.isnan(), its.isnan())
        torch.testing.assert_close(mine.nan_to_num(), its.nan_to_num(), rtol=1e-6, atol=1e-6)


@interpreted
@pytest.mark.parametrize("heads", [(2, 2), (6, 2), (8, 1)])
def test_a_whole_step_is_its_parts(heads: tuple[int, int]) -> None:
    check_step(heads, 32, torch.float32, "cpu", 1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("heads", [(2, 2), (9, 3), (16, 1)])
@pytest.mark.parametrize("width", [32, 64, 128])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_on_the_gpu_a_whole_step_is_its_parts(heads: tuple[int, int], width: int, dtype: torch.dtype) -> None:
    check_step(heads, width, dtype, "cuda", 6e-3)

"""The Triton kernels of lightning attention under the interpreter, in float32, against the recurrence in float64.

On a device: `test_lightning_gpu.py`. Small tiles, so that chunks, segments and documents all end inside a short batch.
Axes as in the kernels: `T N H D`.
"""

import inspect

import hypothesis
import pytest
import torch
from hypothesis import strategies
from torch import Tensor

from fulmen.errors import ConfigError
from fulmen.kernels.lightning import (
    CHUNK,
    LightningPool,
    decode_pool,
    extend_pool,
    lightning_attention,
    lightning_decode,
    plan_extension,
)
from fulmen.kernels.lightning.naive import naive_lightning
from fulmen.kernels.lightning.plan import Split, choose_segments, host_copy, make_plan
from fulmen.kernels.lightning.scan import TABLE, Tile, Tiles, make_launch, row_aligned, segment_starts, triton_lightning
from fulmen.kernels.lightning.steps import open_tile, triton_decode, triton_extend
from tests.kernels.lightning_cases import Case, Values, exact, make_case, relative_error, values

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="under the interpreter, which a device switches off")

SLOPE = torch.tensor([0.9, 0.004])
WIDTH = 32
TILE = Tile(value_width=16, num_warps=4, num_stages=1)
SMALL = Tiles(scan=TILE, narrow=TILE, gradient=TILE, piece=TILE, chunk=16)
DOCUMENTS = (0, 1, 34, 50, 82, 83, 120)


def run(case: Case, *, tiles: Tiles = SMALL, num_slots: int | None = None, is_invariant: bool = False) -> Values:
    leaves = case.leaves()
    output, state = triton_lightning(
        *(x[None] for x in leaves[:3]), case.slope, case.borders, leaves[3],
        output_final_state=True, is_invariant=is_invariant, tiles=tiles, num_slots=num_slots,
    )  # fmt: skip
    assert state is not None
    output = output[0]
    return values(output, state, torch.autograd.grad((output, state), leaves, (case.d_output, case.d_state)))


def assert_exact(actual: Values, expected: Values) -> None:
    for (name, tensor), (_, oracle) in zip(actual.items(), expected.items(), strict=True):
        assert relative_error(tensor, oracle) < 1e-6, name


@pytest.mark.parametrize("length", [1, 63, 64, 65, 200])
def test_outputs_states_and_gradients_are_those_of_the_recurrence(length: int) -> None:
    case = make_case((0, length), SLOPE, WIDTH)
    assert_exact(run(case), exact(case))


def test_the_tile_of_the_device_gives_the_same() -> None:
    case = make_case((0, 150), SLOPE, 64)
    tile = Tile(value_width=64, num_warps=4, num_stages=1)
    assert_exact(run(case, tiles=Tiles(scan=tile, narrow=tile, gradient=tile, piece=tile)), exact(case))


def test_packed_documents_start_from_their_own_states() -> None:
    case = make_case(DOCUMENTS, SLOPE, WIDTH)
    assert_exact(run(case), exact(case))


def test_segments_are_folded_to_the_same_result() -> None:
    """Slow and fast heads: the state of far segments counts for one and is left out for the other."""
    case = make_case((0, 20, 700), torch.tensor([0.9, 0.02, 0.0005]), 16)
    _, plan = make_launch(case.borders, case.q.device, 16, False, SMALL, 64).plan_scan(case.q)
    assert plan.num_items > 3
    assert plan.split is not None
    many = run(case, num_slots=64)
    assert_exact(many, exact(case))
    one = run(case, num_slots=64, is_invariant=True)
    assert_exact(one, exact(case))
    assert not torch.equal(many.output, one.output)


def test_segments_start_from_pieces_that_still_count() -> None:
    """Two pieces a segment: the older one is unwritten, small but present, or large, depending on the head's decay."""
    slope = torch.tensor([0.9, 0.05, 0.02, 0.0005])
    case = make_case((0, 2176), slope, 16)
    launch = make_launch(case.borders, case.q.device, 16, False, SMALL, 64)
    plan = make_plan(case.borders, 2, 4, 64, case.q.device, False)
    assert plan.split is not None
    assert plan.split.pieces_per_segment == 2
    starts = segment_starts(case.k, case.v, slope, plan, launch, case.state)
    assert starts is not None
    border = int(plan.items_I_5[1, 1])
    q, k, v = (x[:border].double() for x in (case.q, case.k, case.v))
    _, expected = naive_lightning(q, k, v, slope.double(), torch.tensor([0, border]), case.state.double())
    assert torch.equal(starts[0], case.state[0])
    for head in range(4):
        assert relative_error(starts[1, head], expected[0, head]) < 1e-6


def test_one_of_the_two_gradients_writes_that_of_the_initial_state() -> None:
    """Both scans know it, with other rounding; if both wrote it, it would be whichever came last."""
    case = make_case((0, 70), SLOPE, WIDTH)
    actual = run(case, is_invariant=True)
    backwards = [x.flip(0)[None] for x in (case.k, case.q, case.d_output)]
    initial = case.d_state * torch.exp(SLOPE)[:, None, None]
    with torch.no_grad():
        _, state = triton_lightning(
            *backwards, SLOPE, (0, 70), initial, output_final_state=True, is_invariant=True, tiles=SMALL
        )
    assert state is not None
    assert torch.equal(actual.d_initial, state * torch.exp(-SLOPE)[:, None, None])


def test_an_invariant_document_does_not_know_its_batch() -> None:
    case = make_case(DOCUMENTS, SLOPE, WIDTH)
    packed = run(case, is_invariant=True)
    start, end = DOCUMENTS[2], DOCUMENTS[3]
    cut = slice(start, end)
    alone = Case(
        q=case.q[cut], k=case.k[cut], v=case.v[cut], state=case.state[2:3], d_output=case.d_output[cut],
        d_state=case.d_state[2:3], slope=case.slope, borders=(0, end - start),
    )  # fmt: skip
    mine = run(alone, is_invariant=True)
    for name in ("output", "dq", "dk", "dv"):
        assert torch.equal(getattr(packed, name)[cut], getattr(mine, name)), name
    assert torch.equal(packed.state[2:3], mine.state)
    assert torch.equal(packed.d_initial[2:3], mine.d_initial)


def test_without_states_documents_start_from_zero_and_nothing_is_returned() -> None:
    case = make_case(DOCUMENTS, SLOPE, WIDTH)
    q, k, v, _ = case.leaves()
    output, state = triton_lightning(
        q[None], k[None], v[None], SLOPE, DOCUMENTS, None, output_final_state=False, tiles=SMALL
    )
    output = output[0]
    assert state is None
    zero = Case(**{**vars(case), "state": torch.zeros_like(case.state), "d_state": torch.zeros_like(case.state)})
    expected = exact(zero)
    assert relative_error(output.detach(), expected.output) < 1e-6
    gradients = torch.autograd.grad(output, (q, k, v), case.d_output)
    for gradient, oracle in zip(gradients, (expected.dq, expected.dk, expected.dv), strict=True):
        assert relative_error(gradient, oracle) < 1e-6


def test_a_final_state_alone_sends_its_gradient_back() -> None:
    case = make_case((0, 70), SLOPE, WIDTH)
    q, k, v, initial = case.leaves()
    _, state = triton_lightning(
        q[None], k[None], v[None], SLOPE, (0, 70), initial, output_final_state=True, tiles=SMALL
    )
    gradients = torch.autograd.grad(state, (k, v, initial), case.d_state)
    silent = Case(**{**vars(case), "d_output": torch.zeros_like(case.d_output)})
    expected = exact(silent)
    for gradient, oracle in zip(gradients, (expected.dk, expected.dv, expected.d_initial), strict=True):
        assert relative_error(gradient, oracle) < 1e-6


@pytest.mark.parametrize("poisoned", [0, 3])
def test_a_document_of_nan_poisons_no_other_document(poisoned: int) -> None:
    case = make_case(DOCUMENTS, SLOPE, WIDTH)
    expected = run(case)
    cut = slice(DOCUMENTS[poisoned], DOCUMENTS[poisoned + 1])
    for x in (case.q, case.k, case.v, case.d_output):
        x[cut] = torch.nan
    case.state[poisoned], case.d_state[poisoned] = torch.nan, torch.nan
    actual = run(case)
    is_clean_T = torch.ones(DOCUMENTS[-1], dtype=torch.bool)
    is_clean_T[cut] = False
    is_clean_N = torch.arange(len(DOCUMENTS) - 1) != poisoned
    for name in ("output", "dq", "dk", "dv"):
        assert torch.equal(getattr(actual, name)[is_clean_T], getattr(expected, name)[is_clean_T]), name
    for name in ("state", "d_initial"):
        assert torch.equal(getattr(actual, name)[is_clean_N], getattr(expected, name)[is_clean_N]), name


def test_views_of_one_projection_are_read_in_place() -> None:
    case = make_case(DOCUMENTS, SLOPE, WIDTH)
    qkv = torch.stack((case.q, case.k, case.v), dim=2)[None].requires_grad_()
    q, k, v = qkv.unbind(3)
    assert all(row_aligned(x).data_ptr() == x.data_ptr() for x in (q, k, v))
    output, _ = triton_lightning(q, k, v, SLOPE, DOCUMENTS, case.state, output_final_state=False, tiles=SMALL)
    (gradient,) = torch.autograd.grad(output, qkv, case.d_output[None])
    plain = Case(**{**vars(case), "d_state": torch.zeros_like(case.d_state)})
    expected = exact(plain)
    assert relative_error(output[0].detach(), expected.output) < 1e-6
    assert relative_error(gradient[0], torch.stack((expected.dq, expected.dk, expected.dv), dim=2)) < 1e-6


def test_slopes_slots_and_states_may_be_strided() -> None:
    case = make_case((0, 40), SLOPE, WIDTH)
    sparse = torch.stack((SLOPE, torch.full_like(SLOPE, 0.5)), dim=1)[:, 0]
    swapped = case.state.transpose(-1, -2).contiguous().transpose(-1, -2)
    assert not sparse.is_contiguous()
    assert not swapped.is_contiguous()
    strided = run(Case(**{**vars(case), "slope": sparse, "state": swapped}))
    assert_exact(strided, exact(case))
    slots = torch.tensor([[1, 0], [2, 0]])[:, 0]
    state = torch.stack((torch.full_like(case.state[0], torch.nan), case.state[0], case.state[0]))
    q, k, v = (x[:2] for x in (case.q, case.k, case.v))
    output = triton_decode(q, k, v, sparse, state, slots, False)
    expected = lightning_decode(q, k, v, SLOPE, case.state.repeat(2, 1, 1, 1))
    torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-5)


def test_rows_off_the_grid_of_16_bytes_are_copied_first() -> None:
    wide = torch.zeros(4, 2, WIDTH + 1)
    assert row_aligned(wide[..., 1:]).is_contiguous()
    assert row_aligned(wide[..., :WIDTH].transpose(0, 2)).is_contiguous()


@hypothesis.given(
    lengths=strategies.lists(strategies.integers(1, 5000), min_size=1, max_size=12),
    num_segments=strategies.integers(1, 16),
    num_heads=strategies.integers(1, 64),
    is_reversed=strategies.booleans(),
)
def test_a_plan_covers_every_token_once_in_chunks_from_document_starts(
    lengths: list[int], num_segments: int, num_heads: int, is_reversed: bool
) -> None:
    borders = tuple(torch.tensor([0, *lengths]).cumsum(0).tolist())
    plan = make_plan(borders, num_segments, num_heads, 132, torch.device("cpu"), is_reversed)
    rows = plan.items_I_5.tolist()
    assert (num_segments > 1 and max(lengths) > CHUNK) or plan.split is None
    assert plan.num_items == len(rows)
    seen = []
    for index, (document, start, end, is_last, document_start) in enumerate(rows):
        own = (borders[document], borders[document + 1])
        if is_reversed:
            own = (borders[-1] - own[1], borders[-1] - own[0])
        assert document_start == own[0]
        assert (start - own[0]) % CHUNK == 0
        assert start == own[0] or rows[index - 1][2] == start
        assert is_last == (end == own[1])
        seen += range(start, end)
    assert sorted(seen) == list(range(borders[-1]))
    if plan.split is not None:
        assert_pieces_cover_all_but_last_segments(rows, plan.split)


def assert_pieces_cover_all_but_last_segments(rows: list[list[int]], split: Split) -> None:
    """Each segment that another follows is its pieces, in order; a piece knows how far the next segment is."""
    pieces = split.pieces_J_2.tolist()
    for document, first_item, num_items, first_piece in split.documents_N_4.tolist():
        own = rows[first_item : first_item + num_items]
        assert all(row[0] == document for row in own)
        assert [row[3] for row in own] == [0] * (num_items - 1) + [1]
        expected = []
        for _, start, end, *_ in own[:-1]:
            starts = range(start, end, split.piece_length)
            assert len(starts) == split.pieces_per_segment
            expected += [[first, end - first - split.piece_length] for first in starts]
        assert pieces[first_piece : first_piece + len(expected)] == expected


def test_segments_are_made_where_programs_are_few() -> None:
    """M1's 64 heads: two segments fill 128 of 132 processors; 2,048 tokens are quicker in more, narrower programs."""
    assert choose_segments((32768,), 64, 1, 132).num_segments == 2
    assert choose_segments((32768,), 16, 1, 132).num_segments == 8
    assert choose_segments((8192,) * 4, 64, 1, 132).num_segments == 1
    assert choose_segments((40,), 64, 1, 132).num_segments == 1
    x = torch.empty(1, 1, 64, 128)
    for length, width, num_items in ((2048, 64, 1), (8192, 128, 2), (32768, 128, 2)):
        launch = make_launch((0, length), x.device, 128, False, TABLE["sm90", 128], 132)
        tile, plan = launch.plan_scan(x)
        assert (tile.value_width, plan.num_items) == (width, num_items)
        if plan.split is not None:
            assert len(plan.split.pieces_J_2) * plan.split.piece_length == length // 2
    alone = make_launch((0, 32768), x.device, 128, True, TABLE["sm90", 128], 132).plan_scan(x)[1]
    assert alone.split is None


def test_values_on_the_host_are_read_again_once_they_change() -> None:
    slope = torch.tensor([0.5, 0.25])
    assert host_copy(slope).values == (0.5, 0.25)
    slope[0] = 0.75
    assert host_copy(slope).values == (0.75, 0.25)
    assert (host_copy(slope).lowest, host_copy(slope).highest) == (0.25, 0.75)
    assert host_copy(slope) is host_copy(slope)


def steps_of(case: Case, length: int, rows: int) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Returns q, k, v of each position, `[rows, H, D]`."""
    parts = [x.unflatten(0, (rows, length)) for x in (case.q, case.k, case.v)]
    return [(parts[0][:, t], parts[1][:, t], parts[2][:, t]) for t in range(length)]


def test_the_plain_step_is_the_recurrence_in_place() -> None:
    case = make_case((0, 5, 10), SLOPE, WIDTH)
    expected = exact(case)
    pool = torch.full((4, 2, WIDTH, WIDTH), torch.nan)
    slots = torch.tensor([3, 0, 1], dtype=torch.int32)
    pool[[3, 1]] = case.state
    for t, qkv in enumerate(steps_of(case, 5, 2)):
        q, k, v = (torch.stack((x[0], torch.full_like(x[0], torch.nan), x[1])) for x in qkv)
        output = triton_decode(q, k, v, SLOPE, pool, slots, False)
        assert relative_error(output[[0, 2]], expected.output.unflatten(0, (2, 5))[:, t]) < 1e-6
        assert (output[1] == 0).all()
    assert relative_error(pool[[3, 1]], expected.state) < 1e-6
    assert pool[[0, 2]].isnan().all()


@pytest.mark.parametrize("with_slots", [True, False])
def test_a_step_takes_the_projection_as_it_is(with_slots: bool) -> None:
    """SiLU inside the kernel, and in the torch path, is SiLU before it."""
    generator = torch.Generator().manual_seed(3)
    raw = torch.randn(2, 2, 3, WIDTH, generator=generator)
    slots = torch.tensor([1, 2]) if with_slots else None
    state = torch.randn(3 if with_slots else 2, 2, WIDTH, WIDTH, generator=generator)
    by_kernel, by_torch, by_hand = state.clone(), state.clone(), state.clone()
    output = triton_decode(*raw.unbind(2), SLOPE, by_kernel, slots, True)
    expected = lightning_decode(*torch.nn.functional.silu(raw).unbind(2), SLOPE, by_hand, slots=slots)
    same = lightning_decode(*raw.unbind(2), SLOPE, by_torch, slots=slots, is_silu=True)
    torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(by_kernel, by_hand, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(same, expected)
    torch.testing.assert_close(by_torch, by_hand)


def test_a_padded_row_of_the_torch_step_is_skipped() -> None:
    state = torch.full((2, 2, WIDTH, WIDTH), torch.nan)
    state[1] = 1.0
    x = torch.ones(2, 2, WIDTH)
    output = lightning_decode(x, x, x, SLOPE, state, slots=torch.tensor([0, 1]))
    assert (output[0] == 0).all()
    assert output[1].isfinite().all()
    assert state[0].isnan().all()


POOL_WIDTH = 16


def new_pool(num_slots: int = 5) -> LightningPool:
    """A pool whose rings hold NaN wherever no token was put."""
    pool = LightningPool.allocate(num_slots=num_slots, num_heads=2, head_dim=POOL_WIDTH, dtype=torch.float32)
    pool.ring_S_H_2_C_D.fill_(torch.nan)
    return pool


def extend(backend: str, qkv: tuple[Tensor, ...], pool: LightningPool, *where: Tensor) -> Tensor:
    q, k, v = qkv
    if backend == "torch":
        return extend_pool(q, k, v, SLOPE, pool, plan_extension(*where))
    return triton_extend(q, k, v, SLOPE, pool, plan_extension(*where), tiles=POOL_TILES)


POOL_TILES = Tiles(scan=TILE, narrow=TILE, gradient=TILE, piece=TILE)


@pytest.mark.parametrize("backend", ["torch", "triton"])
@pytest.mark.parametrize("cuts", [(150,), (30, 120), (64, 86), (1, 62, 1, 86), (63, 87), (0, 70, 80)])
def test_a_prompt_gives_the_same_states_however_it_is_cut(backend: str, cuts: tuple[int, ...]) -> None:
    case = make_case((0, 150), SLOPE, POOL_WIDTH)
    start = Case(**{**vars(case), "state": torch.zeros_like(case.state)})
    expected = exact(start)
    pool, slots, length, outputs = new_pool(), torch.tensor([3, 0]), 0, []
    for cut in cuts:
        qkv = tuple(x[length : length + cut] for x in (case.q, case.k, case.v))
        where = torch.tensor([length, 0]), torch.tensor([0, cut, cut])
        outputs.append(extend(backend, qkv, pool, slots, *where))
        length += cut
    assert relative_error(torch.cat(outputs), expected.output) < 1e-6
    state = pool.read(slots[:1], torch.tensor([150]), SLOPE)
    assert relative_error(state, expected.state) < 1e-6
    q, k, v = (x[:128].double() for x in (case.q, case.k, case.v))
    _, committed = naive_lightning(q, k, v, SLOPE.double(), torch.tensor([0, 128]), None)
    assert relative_error(pool.state_S_H_D_D[3:4], committed) < 1e-6
    torch.testing.assert_close(pool.shadow_S_H_D_D, pool.state_S_H_D_D.transpose(-1, -2))
    assert (pool.state_S_H_D_D[[0, 1, 2, 4]] == 0).all()


@pytest.mark.parametrize("backend", ["torch", "triton"])
def test_rows_at_different_places_of_their_chunks_decode_like_the_recurrence(backend: str) -> None:
    """Row 0 starts at 60 tokens, row 2 at 3: commits fall on different steps. Row 1 is padding."""
    total = 72
    case = make_case((0, total, 2 * total), SLOPE, POOL_WIDTH)
    start = Case(**{**vars(case), "state": torch.zeros_like(case.state)})
    expected = exact(start).output.unflatten(0, (2, total))
    pool, slots = new_pool(), torch.tensor([4, 0, 2])
    prefixes = torch.tensor([60, 3])
    index = torch.cat([torch.arange(row * total, row * total + int(prefixes[row])) for row in range(2)])
    where = slots[[0, 2]], torch.zeros(2, dtype=torch.int64), torch.tensor([0, 60, 63])
    extend(backend, (case.q[index], case.k[index], case.v[index]), pool, *where)
    rows = [x.unflatten(0, (2, total)) for x in (case.q, case.k, case.v)]
    for step in range(12):
        lengths = prefixes + step
        q, k, v = (torch.stack((x[0, lengths[0]], torch.full_like(x[0, 0], torch.nan), x[1, lengths[1]])) for x in rows)
        all_lengths = torch.tensor([int(lengths[0]), 7, int(lengths[1])])
        if backend == "torch":
            output = decode_pool(q, k, v, SLOPE, pool, slots=slots, lengths=all_lengths)
        else:
            output = torch.full_like(v, torch.nan)
            states = pool.state_S_H_D_D, pool.shadow_S_H_D_D, pool.ring_S_H_2_C_D
            open_tile(q, k, v, output, SLOPE, *states, slots, all_lengths)
        for row, place in ((0, 0), (1, 2)):
            assert relative_error(output[place], expected[row, lengths[row]]) < 1e-6
        assert (output[1] == 0).all()
    states = pool.read(slots[[0, 2]], prefixes + 12, SLOPE)
    exact_states = []
    for row, length in enumerate((prefixes + 12).tolist()):
        q, k, v = (x[row, :length].double() for x in rows)
        exact_states.append(naive_lightning(q, k, v, SLOPE.double(), torch.tensor([0, length]), None)[1])
    assert relative_error(states, torch.cat(exact_states)) < 1e-6


def test_going_back_inside_a_chunk_is_a_shorter_length() -> None:
    """A draft of three tokens is refused; the next step simply names the old length."""
    case = make_case((0, 20), SLOPE, POOL_WIDTH)
    pools = new_pool(), new_pool()
    slots, steps = torch.tensor([1]), steps_of(case, 20, 1)
    for pool, path in zip(pools, ([0, 1, 2, 3], [0, 1, 10, 11, 12]), strict=True):
        for length, t in enumerate(path):
            decode_pool(*steps[t], SLOPE, pool, slots=slots, lengths=torch.tensor([length]))
    outputs = []
    for pool in pools:
        for length in (2, 3, 4):
            output = decode_pool(*steps[length], SLOPE, pool, slots=slots, lengths=torch.tensor([length]))
        outputs.append(output)
    assert torch.equal(*outputs)


def test_a_cleared_slot_has_seen_nothing() -> None:
    case = make_case((0, 70), SLOPE, POOL_WIDTH)
    fresh, used = new_pool(), new_pool()
    where = torch.tensor([2]), torch.tensor([0]), torch.tensor([0, 70])
    qkv = case.q, case.k, case.v
    expected = extend("torch", qkv, fresh, *where)
    extend("torch", tuple(x.flip(0) for x in qkv), used, *where)
    used.clear(torch.tensor([2]))
    assert torch.equal(extend("torch", qkv, used, *where), expected)


ATTENTION = inspect.unwrap(lightning_attention)
DECODE = inspect.unwrap(lightning_decode)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"q": torch.zeros(8, 2, 4)}, r"q of shape \[8, 2, 4\]; allowed: 4 axes"),
        ({"q": torch.zeros(1, 8, 2, 4, dtype=torch.int64)}, "q of dtype torch.int64; allowed: that of v"),
        ({"k": torch.zeros(1, 8, 2, 4).double()}, "k of dtype torch.float64; allowed: that of v"),
        ({"k": torch.zeros(1, 8, 2, 5)}, r"k of shape \[1, 8, 2, 5\]; allowed: that of q, \[1, 8, 2, 4\]"),
        ({"v": torch.zeros(1, 7, 2, 4)}, r"v of shape \[1, 7, 2, 4\]; allowed: \[1, 8, 2\] and any width"),
        ({"slope": torch.ones(3)}, r"slope of shape \[3\]; allowed: \[2\]"),
        ({"slope": torch.ones(2, 2)}, r"slope of shape \[2, 2\]; allowed: \[2\]"),
        ({"slope": torch.tensor([0.5, 0.0])}, r"slope \[0.5, 0.0\]; allowed: finite decay rates > 0"),
        ({"slope": torch.tensor([0.5, -1.0])}, "allowed: finite decay rates > 0"),
        ({"slope": torch.tensor([0.5, float("nan")])}, "allowed: finite decay rates > 0"),
        ({"slope": torch.ones(2).bfloat16()}, "slope: torch.bfloat16 on cpu; allowed: float32 or float64"),
        ({"initial_state": torch.zeros(2, 2, 4, 4)}, r"initial_state of shape \[2, 2, 4, 4\]; allowed: \[1, 2, 4, 4\]"),
        ({"initial_state": torch.zeros(1, 2, 4, 4).bfloat16()}, "initial_state of dtype torch.bfloat16; allowed: "),
        ({"cu_seqlens": torch.tensor([0.0, 8.0])}, "cu_seqlens: torch.float32"),
        ({"cu_seqlens": torch.tensor([0, 5, 5, 8])}, r"cu_seqlens \[0, 5, 5, 8\] must rise strictly from 0 to T = 8"),
        ({"backend": "triton"}, "backend='triton' with tensors on cpu; allowed: a CUDA device"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_by_name(changes: dict[str, object], message: str) -> None:
    arguments = {name: torch.zeros(1, 8, 2, 4) for name in ("q", "k", "v")} | {"slope": torch.ones(2)} | changes
    with pytest.raises(ConfigError, match=message):
        ATTENTION(arguments.pop("q"), arguments.pop("k"), arguments.pop("v"), arguments.pop("slope"), **arguments)


@pytest.mark.parametrize(
    ("state", "slots", "message"),
    [
        (torch.zeros(3, 2, 4, 4), None, "state of 3 rows; allowed: 2, or slots"),
        (torch.zeros(2, 2, 4, 5), None, r"state of shape \[2, 2, 4, 5\]; allowed: \[2, 2, 4, 4\]"),
        (torch.zeros(2, 2, 4, 4).bfloat16(), None, "state of dtype torch.bfloat16; allowed: torch.float32"),
        (torch.zeros(3, 2, 4, 4), torch.tensor([1]), r"slots: torch.int64 \[1\] on cpu; allowed: int32 or int64 \[2\]"),
        (torch.zeros(3, 2, 4, 4), torch.tensor([1.0, 2.0]), "slots: torch.float32"),
    ],
)
def test_bad_states_of_a_step_are_refused_by_name(state: Tensor, slots: Tensor | None, message: str) -> None:
    x = torch.zeros(2, 2, 4)
    with pytest.raises(ConfigError, match=message):
        DECODE(x, x, x, torch.ones(2), state, slots=slots)


def test_a_pool_of_another_dtype_is_refused() -> None:
    pool = LightningPool.allocate(num_slots=2, num_heads=2, head_dim=4, dtype=torch.bfloat16)
    x, one = torch.zeros(1, 2, 4), torch.tensor([1])
    with pytest.raises(ConfigError, match=r"v of dtype torch.float32; allowed: that of the pool, torch.bfloat16"):
        inspect.unwrap(decode_pool)(x, x, x, torch.ones(2), pool, slots=one, lengths=one)
    with pytest.raises(ConfigError, match=r"lengths: torch.int64 \[1\] on cpu; allowed: int32 or int64 \[2\]"):
        inspect.unwrap(plan_extension)(torch.tensor([1, 2]), one, torch.tensor([0, 1, 2]))

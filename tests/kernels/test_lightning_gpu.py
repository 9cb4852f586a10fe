"""The Triton kernels of lightning attention on a device: every configuration against float64, and what must be equal.

Run with `-m gpu`. Inputs go through SiLU, as the model's do; limits are those of bfloat16 operands with float32 sums.
"""

import dataclasses
from itertools import pairwise

import hypothesis
import pytest
import torch
from hypothesis import strategies
from torch import Tensor

from fulmen.kernels.lightning import (
    CHUNK,
    LightningPool,
    decode_pool,
    extend_pool,
    lightning_attention,
    lightning_decode,
    plan_extension,
    slopes,
)
from fulmen.kernels.lightning.naive import naive_lightning
from fulmen.kernels.lightning.scan import Tiles, all_tiles, triton_lightning
from tests.kernels.lightning_cases import Case, Values, exact_fast, make_case, relative_error, values

pytestmark = pytest.mark.gpu

LIMITS = {"output": 2e-3, "state": 1e-3, "dq": 2.5e-3, "dk": 3e-3, "dv": 2.7e-3, "d_initial": 3e-3}
LAYERS = (0, 40, 78)
CONFIGURATIONS = all_tiles()


def some_slopes(layer: int, num_heads: int = 4) -> Tensor:
    """The fastest, two middle and the slowest of M1's 64 heads of a layer."""
    return slopes(64, layer, 80)[[0, 20, 42, 63][:num_heads]]


def bf16_case(borders: tuple[int, ...], layer: int, width: int, *, num_heads: int = 4, seed: int = 0) -> Case:
    return make_case(borders, some_slopes(layer, num_heads), width, dtype=torch.bfloat16, device="cuda", seed=seed)


def run(case: Case, tiles: Tiles | None = None, *, num_slots: int | None = None, is_invariant: bool = False) -> Values:
    leaves = case.leaves()
    output, state = triton_lightning(
        *(x[None] for x in leaves[:3]), case.slope, case.borders, leaves[3], output_final_state=True,
        is_invariant=is_invariant, tiles=tiles, num_slots=num_slots,
    )  # fmt: skip
    assert state is not None
    output = output[0]
    return values(output, state, torch.autograd.grad((output, state), leaves, (case.d_output, case.d_state)))


def assert_within_limits(actual: Values, expected: Values) -> None:
    """Short documents are mostly their initial state, read in bfloat16: half as much again."""
    slack = 1.0 if actual.output.shape[0] > 500 else 1.5
    errors = {name: relative_error(tensor, getattr(expected, name)) for name, tensor in actual.items()}
    assert all(errors[name] <= slack * limit for name, limit in LIMITS.items()), errors


def assert_equal(actual: Values, expected: Values) -> None:
    for name, tensor in actual.items():
        assert torch.equal(tensor, getattr(expected, name)), name


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("name", CONFIGURATIONS)
@pytest.mark.parametrize("num_slots", [1, 2048])
def test_every_configuration_is_right(name: str, layer: int, num_slots: int) -> None:
    """2048 slots: as many segments as there are; 1: one."""
    for length in (1, 63, 64, 65, 549, 1100):
        case = bf16_case((0, length), layer, int(name.split("K")[1].split()[0]), seed=length)
        assert_within_limits(run(case, CONFIGURATIONS[name], num_slots=num_slots), exact_fast(case))


@pytest.mark.parametrize("width", [64, 128])
def test_configurations_agree_bit_by_bit(width: int) -> None:
    """So the width of a tile, its warps and stages are no part of the result."""
    case = bf16_case((0, 300, 777), 40, width)
    results = [run(case, tiles, is_invariant=True) for name, tiles in CONFIGURATIONS.items() if f"K{width} " in name]
    for other in results[1:]:
        assert_equal(other, results[0])


@pytest.mark.parametrize("width", [64, 128])
def test_two_runs_are_equal_bit_by_bit(width: int) -> None:
    case = bf16_case((0, 1, 900, 5000, 5064), 0, width)
    first = run(case)
    for _ in range(3):
        assert_equal(run(case), first)


@hypothesis.settings(max_examples=30)
@hypothesis.given(
    lengths=strategies.lists(strategies.integers(1, 700), min_size=1, max_size=6),
    width=strategies.sampled_from([64, 128]), layer=strategies.sampled_from(LAYERS),
    num_slots=strategies.sampled_from([1, 132, 2048]), seed=strategies.integers(0, 1000),
)  # fmt: skip
def test_packed_documents_are_their_own(lengths: list[int], width: int, layer: int, num_slots: int, seed: int) -> None:
    borders = tuple(torch.tensor([0, *lengths]).cumsum(0).tolist())
    case = bf16_case(borders, layer, width, seed=seed)
    packed = run(case, num_slots=num_slots)
    for index, (start, end) in enumerate(pairwise(borders)):
        cut, one = slice(start, end), slice(index, index + 1)
        alone = dataclasses.replace(
            case, q=case.q[cut], k=case.k[cut], v=case.v[cut], d_output=case.d_output[cut], state=case.state[one],
            d_state=case.d_state[one], borders=(0, end - start),
        )  # fmt: skip
        mine = Values(
            output=packed.output[cut], state=packed.state[one], dq=packed.dq[cut], dk=packed.dk[cut],
            dv=packed.dv[cut], d_initial=packed.d_initial[one],
        )  # fmt: skip
        if end - start >= 16:
            assert_within_limits(mine, exact_fast(alone))
        invariant = run(alone, is_invariant=True)
        whole = run(case, is_invariant=True)
        assert torch.equal(whole.output[cut], invariant.output)
        assert torch.equal(whole.dk[cut], invariant.dk)


def test_views_of_one_projection_need_no_copies() -> None:
    qkv = torch.nn.functional.silu(torch.randn(2, 700, 4, 3, 128, device="cuda")).bfloat16().requires_grad_()
    slope = some_slopes(0).cuda()
    q, k, v = qkv.unbind(3)
    output = lightning_attention(q, k, v, slope).output
    copies = [x.detach().contiguous().requires_grad_() for x in (q, k, v)]
    expected = lightning_attention(copies[0], copies[1], copies[2], slope).output
    d_output = torch.randn_like(output)
    assert torch.equal(output, expected)
    (gradient,) = torch.autograd.grad(output, qkv, d_output)
    assert torch.equal(gradient, torch.stack(torch.autograd.grad(expected, copies, d_output), dim=3))
    with torch.no_grad():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        lightning_attention(q, k, v, slope, is_invariant=True)
        assert torch.cuda.max_memory_allocated() - before < 1.5 * output.numel() * 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_other_dtypes_take_the_torch_path_and_say_so(dtype: torch.dtype) -> None:
    x = torch.randn(1, 70, 2, 64, device="cuda").to(dtype)
    slope = some_slopes(0, 2).cuda()
    with pytest.warns(UserWarning, match=f"plain torch: dtype {dtype}"):
        output = lightning_attention(x, x, x, slope).output
    expected, _ = naive_lightning(*[x[0].double()] * 3, slope.double(), torch.tensor([0, 70], device="cuda"), None)
    assert relative_error(output[0], expected) < (1e-6 if dtype == torch.float32 else 1e-3)


def test_offsets_beyond_31_bits() -> None:
    """2^31 + 2^21 elements a tensor: the last document's outputs are those it has alone."""
    length, tail = (2**31 + 2**21) // (64 * 128), 1000
    slope = slopes(64, 40, 80).cuda()
    q, k, v = (torch.empty(1, length, 64, 128, dtype=torch.bfloat16, device="cuda").normal_() for _ in range(3))
    borders = torch.tensor([0, length - tail, length], device="cuda")
    with torch.no_grad():
        output = lightning_attention(q, k, v, slope, cu_seqlens=borders, is_invariant=True).output
        alone = lightning_attention(*(x[:, -tail:].clone() for x in (q, k, v)), slope, is_invariant=True).output
        assert torch.equal(output[:, -tail:], alone)
        assert output.isfinite().all()


@pytest.mark.parametrize("width", [32, 64, 128])
def test_the_plain_step_is_the_recurrence_and_leaves_padding_alone(width: int) -> None:
    slope = some_slopes(40).cuda()
    generator = torch.Generator("cuda").manual_seed(0)
    pool = torch.full((9, 4, width, width), torch.nan, device="cuda")
    slots = torch.tensor([5, 0, 2, 0, 8], device="cuda")
    used = slots > 0
    pool[slots[used]] = torch.randn(3, 4, width, width, device="cuda", generator=generator)
    expected = pool[slots].double()
    for _ in range(50):
        raw = torch.randn(5, 4, 3, width, device="cuda", generator=generator)
        output = lightning_decode(*raw.unbind(2), slope, pool, slots=slots, is_silu=True)
        q, k, v = torch.nn.functional.silu(raw.double()).unbind(2)
        expected = expected * torch.exp(-slope.double())[:, None, None] + k[..., None] * v[..., None, :]
        step = torch.einsum("nhk,nhkv->nhv", q, expected)
        assert relative_error(output[used], step[used]) < 1e-6
        assert (output[~used] == 0).all()
    assert relative_error(pool[slots[used]], expected[used]) < 1e-6
    assert pool[[0, 1, 3, 4, 6, 7]].isnan().all()


def poisoned_pool(num_slots: int, num_heads: int, width: int) -> LightningPool:
    pool = LightningPool.allocate(
        num_slots=num_slots, num_heads=num_heads, head_dim=width, dtype=torch.bfloat16, device="cuda"
    )
    pool.ring_S_H_2_C_D.fill_(torch.nan)
    return pool


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("width", [64, 128])
def test_decoding_a_token_is_training_it_bit_by_bit(width: int, layer: int) -> None:
    """Outputs of 200 single steps, and the states they commit, equal those of one forward pass."""
    length, slope = 200, slopes(64, layer, 80).cuda()
    case = make_case((0, length), slope, width, dtype=torch.bfloat16, device="cuda")
    whole = lightning_attention(case.q[None], case.k[None], case.v[None], slope, is_invariant=True).output[0]
    full = length // CHUNK * CHUNK
    committed = lightning_attention(
        case.q[None, :full], case.k[None, :full], case.v[None, :full], slope,
        is_invariant=True, output_final_state=True,
    ).final_state  # fmt: skip
    pool, slots = poisoned_pool(3, 64, width), torch.tensor([2], device="cuda")
    for t in range(length):
        one = slice(t, t + 1)
        step = decode_pool(
            case.q[one], case.k[one], case.v[one], slope, pool,
            slots=slots, lengths=torch.tensor([t], device="cuda"),
        )  # fmt: skip
        assert torch.equal(step, whole[one]), t
    assert committed is not None
    assert torch.equal(pool.state_S_H_D_D[2:3], committed)
    assert torch.equal(pool.shadow_S_H_D_D[2:3], committed.transpose(-1, -2).bfloat16())


@pytest.mark.parametrize("width", [64, 128])
def test_a_prompt_cut_anywhere_leaves_one_state_bit_by_bit(width: int) -> None:
    length, slope = 330, some_slopes(40).cuda()
    case = make_case((0, length), slope, width, dtype=torch.bfloat16, device="cuda")
    whole = lightning_attention(case.q[None], case.k[None], case.v[None], slope, is_invariant=True).output[0]
    states, slots = [], torch.tensor([1, 0], device="cuda")
    for cut in range(1, 130):
        pool, outputs, seen = poisoned_pool(2, 4, width), [], 0
        for count in (cut, length - cut - 7, 7):
            span = slice(seen, seen + count)
            extension = plan_extension(
                slots, torch.tensor([seen, 5], device="cuda"), torch.tensor([0, count, count], device="cuda")
            )
            outputs.append(extend_pool(case.q[span], case.k[span], case.v[span], slope, pool, extension))
            seen += count
        assert torch.equal(torch.cat(outputs), whole), cut
        assert torch.equal(pool.shadow_S_H_D_D, pool.state_S_H_D_D.transpose(-1, -2).bfloat16())
        states.append((pool.state_S_H_D_D, pool.ring_S_H_2_C_D[1, :, :, : length % CHUNK]))
    for state, ring in states:
        assert torch.equal(state, states[0][0])
        assert torch.equal(ring, states[0][1])


@pytest.mark.parametrize("layer", LAYERS)
def test_prefill_chunked_prefill_and_both_decodes_agree_after_8k_tokens(layer: int) -> None:
    length, rest, slope = 8192 + 100, 100, some_slopes(layer).cuda()
    case = make_case((0, length), slope, 128, dtype=torch.bfloat16, device="cuda")
    one_q, one_k, one_v = case.q[None], case.k[None], case.v[None]
    prefill = lightning_attention(one_q, one_k, one_v, slope, output_final_state=True)
    parts, state = [], None
    for start in range(0, length, 1000):
        cut = slice(start, start + 1000)
        part = lightning_attention(
            one_q[:, cut], one_k[:, cut], one_v[:, cut], slope, initial_state=state, output_final_state=True
        )
        parts.append(part.output)
        state = part.final_state
    last = slice(length - rest, length)
    assert state is not None
    assert prefill.final_state is not None
    assert relative_error(torch.cat(parts, dim=1), prefill.output.double()) < 3e-3
    assert relative_error(state, prefill.final_state.double()) < 3e-3
    plain = torch.zeros(1, 4, 128, 128, device="cuda")
    pool, slots = poisoned_pool(2, 4, 128), torch.tensor([1], device="cuda")
    steps, pooled = [], []
    for t in range(length):
        one = slice(t, t + 1)
        q, k, v = case.q[one], case.k[one], case.v[one]
        steps.append(lightning_decode(q, k, v, slope, plain))
        pooled.append(decode_pool(q, k, v, slope, pool, slots=slots, lengths=torch.tensor([t], device="cuda")))
    exact_output, exact_state = closed_end(case, rest)
    for output in (
        prefill.output[0, last],
        torch.cat(parts, dim=1)[0, last],
        torch.cat(steps)[last],
        torch.cat(pooled)[last],
    ):
        assert relative_error(output, exact_output) < 3e-3
    for final in (prefill.final_state, state, plain, pool.read(slots, torch.tensor([length], device="cuda"), slope)):
        assert relative_error(final, exact_state[None]) < 1e-3


def closed_end(case: Case, rest: int) -> tuple[Tensor, Tensor]:
    """Returns the last outputs and the last state of a document that starts from zero, in float64."""
    q, k, v = case.q.double(), case.k.double(), case.v.double()
    length, rate_H1 = q.shape[0], case.slope.double()[:, None]
    t = torch.arange(length, device=q.device, dtype=torch.float64)
    gap = t[-rest:, None] - t
    decay = torch.where(gap >= 0, torch.exp(-rate_H1[..., None] * gap.clamp(min=0)), 0.0)
    output = torch.einsum("htj,jhv->thv", torch.einsum("thk,jhk->htj", q[-rest:], k) * decay, v)
    return output, torch.einsum("ht,thk,thv->hkv", torch.exp(-rate_H1 * (length - 1 - t)), k, v)


def test_steps_live_in_a_cuda_graph() -> None:
    """Both forms are captured once and replayed with other inputs, slots and lengths, padding included."""
    slope = some_slopes(0).cuda()
    qkv = torch.zeros(4, 4, 3, 128, dtype=torch.bfloat16, device="cuda")
    slots, lengths = torch.zeros(4, dtype=torch.int32, device="cuda"), torch.zeros(4, dtype=torch.int64, device="cuda")
    pool, plain = poisoned_pool(6, 4, 128), torch.zeros(6, 4, 128, 128, device="cuda")

    def step() -> tuple[Tensor, Tensor]:
        q, k, v = qkv.unbind(2)
        aligned = decode_pool(q, k, v, slope, pool, slots=slots, lengths=lengths, is_silu=True)
        return aligned, lightning_decode(q, k, v, slope, plain, slots=slots, is_silu=True)

    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        aligned, recurrent = step()
    slots.copy_(torch.tensor([3, 0, 5, 1]))
    used = slots > 0
    for t in range(130):
        qkv.normal_()
        lengths.fill_(t)
        graph.replay()
        assert relative_error(aligned[used], recurrent[used].double()) < 5e-3
        assert (aligned[~used] == 0).all()
        assert (recurrent[~used] == 0).all()


def test_a_model_trains_and_decodes_on_the_device() -> None:
    """A hybrid with heads of width 64 in bfloat16: finite gradients, and cached steps that follow the full forward."""
    from fulmen.model import Cache, Model
    from fulmen.model.config import preset

    config = preset("tiny").replace(head_dim=64, vocab_size=64)
    model = Model(config, seed=0).to("cuda", torch.bfloat16)
    token_ids = torch.randint(0, 64, (2, 150), generator=torch.Generator().manual_seed(0)).cuda()
    logits = model(token_ids).logits
    logits.float().logsumexp(-1).mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)
    cache = Cache.allocate(config, num_rows=2, max_length=150, dtype=torch.bfloat16, device="cuda")
    with torch.inference_mode():
        parts = [model(token_ids[:, :100], cache=cache).logits]
        parts += [model(token_ids[:, t : t + 1], cache=cache).logits for t in range(100, 150)]
    assert relative_error(torch.cat(parts, dim=1), logits.detach().double()) < 2e-2

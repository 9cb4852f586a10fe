"""The Triton kernel that draws tokens: one program a row, no sort, nothing read back to the host.

The row is read once for its greatest logit and the model's normaliser, once for the mass of each tile, and the one tile
that the noise falls into again. Where a row is truncated the edge is searched for first, on the integers that are
ordered as float32 numbers are: four intervals a pass, until the edge is one token or one value. Of tokens at the edge
with the same logit the first in the vocabulary stay, as many as are needed.

What is rounded: exponentials are float32, sums of them for the draw float64; the mass that decides what the nucleus is
sums in float32, to about 1e-6. Axes: `V` vocabulary; `BV` columns of a tile, `P` pivots of a pass.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

BLOCK, SEARCH_BLOCK, NUM_WARPS, PER_WARP = 4096, 2048, 16, 256
NUM_TILES_MAX = 256
GOLDEN = tl.constexpr(0x9E3779B97F4A7C15)
MIX_1, MIX_2 = tl.constexpr(0xBF58476D1CE4E5B9), tl.constexpr(0x94D049BB133111EB)
LOWEST = tl.constexpr(-(2**31))


@triton.jit
@no_type_check
def mix(x):
    """SplitMix64's finaliser, of unsigned integers."""
    x = (x ^ (x >> 30)) * MIX_1
    x = (x ^ (x >> 27)) * MIX_2
    return x ^ (x >> 31)


@triton.jit
@no_type_check
def draw_noise(seed, position):
    """`fulmen.serve.sampling.uniform`, bit by bit."""
    x = mix(seed.to(tl.uint64, bitcast=True)) + (position + 1).to(tl.uint64, bitcast=True) * GOLDEN
    return (mix(x) >> 11).to(tl.float64) * (1.0 / 9007199254740992.0)


@triton.jit
@no_type_check
def load_row(p_row, o_v, num_real, i_barred):
    """Logits of the columns `o_v`, -inf where they cannot be drawn."""
    b_z = tl.load(p_row + o_v, mask=o_v < num_real, other=float("-inf"))
    return tl.where(o_v == i_barred, float("-inf"), b_z)


@triton.jit
@no_type_check
def order_of(b_z):
    """int32 that is ordered as float32 is, -0 and 0 alike."""
    b_bits = tl.where(b_z == 0.0, 0.0, b_z).to(tl.int32, bitcast=True)
    return b_bits ^ ((b_bits >> 31) & 0x7FFFFFFF)


@triton.jit
@no_type_check
def is_kept(b_key, o_v, k_edge, i_last):
    """Whether tokens are above the edge, or among the first at it."""
    return (b_key > k_edge) | ((b_key == k_edge) & (o_v <= i_last))


@triton.jit
@no_type_check
def find_edge(
    p_row, num_real, i_barred, z_max, temperature, goal, k_edge, i_last, IS_MASS: tl.constexpr, BV: tl.constexpr
):  # fmt: skip
    """The last token of the smallest set of greatest logits, among those kept, whose mass or number reaches `goal`.

    Returns its place in the order and its place in the vocabulary.
    """
    o_p, o_block = tl.arange(0, 4), tl.arange(0, BV)
    k_first = tl.full([], LOWEST, tl.int32)
    k_end = k_first
    above = tl.full([], 0.0, tl.float32)
    num_above = tl.full([], 0, tl.int32)
    inside = above
    num_inside = tl.full([], 2, tl.int32)
    shift = tl.full([], 30, tl.int32)
    while (shift >= 0) & (num_inside > 1):
        # Wraps round where it must: the integers have 32 bits.
        o_pivot = k_first + (o_p << shift)
        b_mass = tl.zeros([4, BV], dtype=tl.float32)
        b_count = tl.zeros([4, BV], dtype=tl.int32)
        for i_v in range(0, num_real, BV):
            o_v = i_v + o_block
            b_z = load_row(p_row, o_v, num_real, i_barred)
            b_key = order_of(b_z)
            b_own = is_kept(b_key, o_v, k_edge, i_last) & (o_v < num_real)
            b_is = (b_key[None, :] >= o_pivot[:, None]) & b_own[None, :]
            b_count += b_is.to(tl.int32)
            if IS_MASS:
                b_mass += tl.where(b_is, tl.exp((b_z - z_max) / temperature)[None, :], 0.0)
        b_counts = tl.sum(b_count, axis=1)
        b_masses = tl.sum(b_mass, axis=1) if IS_MASS else b_counts.to(tl.float32)
        # All that is above the first pivot reaches the goal, whatever rounding says.
        i_p = tl.max(tl.where((b_masses >= goal) | (o_p == 0), o_p, 0), axis=0)
        if i_p < 3:
            above = tl.sum(tl.where(o_p == i_p + 1, b_masses, 0.0), axis=0)
            num_above = tl.sum(tl.where(o_p == i_p + 1, b_counts, 0), axis=0)
        inside = tl.sum(tl.where(o_p == i_p, b_masses, 0.0), axis=0) - above
        num_inside = tl.sum(tl.where(o_p == i_p, b_counts, 0), axis=0) - num_above
        k_first += i_p << shift
        k_end = k_first + ((1 << shift) - 1)
        shift -= 2
    # Where several tokens are inside they have one logit, and one mass.
    num_needed = tl.ceil((goal - above) * (num_inside / inside)).to(tl.int32)
    num_needed = tl.minimum(tl.maximum(num_needed, 1), num_inside)
    k_found, i_found = tl.full([], LOWEST, tl.int32), num_real
    num_before = tl.full([], 0, tl.int32)
    for i_v in range(0, num_real, BV):
        o_v = i_v + o_block
        b_key = order_of(load_row(p_row, o_v, num_real, i_barred))
        b_is = (b_key >= k_first) & (b_key <= k_end) & is_kept(b_key, o_v, k_edge, i_last) & (o_v < num_real)
        b_last = b_is & (num_before + tl.cumsum(b_is.to(tl.int32), axis=0) == num_needed)
        k_found = tl.maximum(k_found, tl.max(tl.where(b_last, b_key, LOWEST), axis=0))
        i_found = tl.minimum(i_found, tl.min(tl.where(b_last, o_v, num_real), axis=0))
        num_before += tl.sum(b_is.to(tl.int32), axis=0)
    return k_found, i_found


@triton.jit
@no_type_check
def load_mass(p_row, o_v, num_real, i_barred, z_max, temperature, min_p, k_edge, i_last):
    """Mass of the columns `o_v` in float64, relative to that of the most probable token; 0 where they are cut off."""
    b_z = load_row(p_row, o_v, num_real, i_barred)
    b_e = tl.exp((b_z - z_max) / temperature)
    b_kept = is_kept(order_of(b_z), o_v, k_edge, i_last) & (b_e >= min_p) & (o_v < num_real)
    return tl.where(b_kept, b_e, 0.0).to(tl.float64)


@triton.jit
@no_type_check
def sample_kernel(
    logits, model_logits, temperature, top_p, top_k, min_p, noise, position, barred,
    token_ids, logprob, model_logprob, model_p,
    stride_logits, stride_model, stride_temperature, stride_top_p, stride_top_k, stride_min_p, stride_noise,
    stride_position, num_real,
    HAS_MODEL: tl.constexpr, HAS_TOP_K: tl.constexpr, HAS_MIN_P: tl.constexpr, HAS_BARRED: tl.constexpr,
    HAS_SEED: tl.constexpr, NT: tl.constexpr, BV: tl.constexpr, BS: tl.constexpr,
):  # fmt: skip
    """One row; `noise` holds seeds where HAS_SEED."""
    i_r = tl.program_id(0).to(tl.int64)
    p_row = logits + i_r * stride_logits
    p_model = model_logits + i_r * stride_model if HAS_MODEL else p_row
    i_barred = tl.load(barred + i_r).to(tl.int32) if HAS_BARRED else -1
    b_best = tl.full([BV], float("-inf"), tl.float32)
    b_place = tl.zeros([BV], dtype=tl.int32)
    b_max, b_sum = b_best, tl.zeros([BV], dtype=tl.float32)
    for i_v in range(0, num_real, BV):
        o_v = i_v + tl.arange(0, BV)
        b_z = tl.load(p_row + o_v, mask=o_v < num_real, other=float("-inf"))
        b_raw = b_z
        if HAS_MODEL:
            b_raw = tl.load(p_model + o_v, mask=o_v < num_real, other=float("-inf"))
        b_new = tl.maximum(b_max, b_raw)
        b_shift = tl.where(b_new == float("-inf"), 0.0, b_new)
        b_sum = b_sum * tl.exp(b_max - b_shift) + tl.exp(b_raw - b_shift)
        b_max = b_new
        b_z = tl.where(o_v == i_barred, float("-inf"), b_z)
        b_place = tl.where(b_z > b_best, o_v, b_place)
        b_best = tl.maximum(b_best, b_z)
    z_max, raw_max = tl.max(b_best, axis=0), tl.max(b_max, axis=0)
    raw_total = tl.sum(b_sum * tl.exp(b_max - raw_max), axis=0)
    token = tl.min(tl.where(b_best == z_max, b_place, num_real - 1), axis=0)
    sampled = tl.full([], 0.0, tl.float32)
    b_temperature = tl.load(temperature + i_r * stride_temperature).to(tl.float32)
    if b_temperature > 0.0:
        b_top_p = tl.load(top_p + i_r * stride_top_p).to(tl.float32)
        b_min_p = tl.load(min_p + i_r * stride_min_p).to(tl.float32) if HAS_MIN_P else 0.0
        k_edge, i_last = tl.full([], LOWEST, tl.int32), num_real
        if HAS_TOP_K:
            b_top_k = tl.load(top_k + i_r * stride_top_k)
            if (b_top_k > 0) & (b_top_k < num_real):
                k_edge, i_last = find_edge(
                    p_row, num_real, i_barred, z_max, b_temperature, b_top_k.to(tl.float32), k_edge, i_last,
                    IS_MASS=False, BV=BS,
                )  # fmt: skip
        if b_top_p < 1.0:
            b_kept = tl.zeros([BV], dtype=tl.float64)
            for i_v in range(0, num_real, BV):
                o_v = i_v + tl.arange(0, BV)
                b_kept += load_mass(p_row, o_v, num_real, i_barred, z_max, b_temperature, 0.0, k_edge, i_last)
            goal = b_top_p * tl.sum(b_kept, axis=0).to(tl.float32)
            k_edge, i_last = find_edge(
                p_row, num_real, i_barred, z_max, b_temperature, goal, k_edge, i_last, IS_MASS=True, BV=BS
            )
        o_t = tl.arange(0, NT)
        b_tiles = tl.zeros([NT], dtype=tl.float64)
        for i_t in range(0, tl.cdiv(num_real, BV)):
            o_v = i_t * BV + tl.arange(0, BV)
            b_mass = load_mass(p_row, o_v, num_real, i_barred, z_max, b_temperature, b_min_p, k_edge, i_last)
            b_tiles = tl.where(o_t == i_t, tl.sum(b_mass, axis=0), b_tiles)
        b_until = tl.cumsum(b_tiles, axis=0)
        total = tl.sum(tl.where(o_t == NT - 1, b_until, 0.0), axis=0)
        if HAS_SEED:
            u = draw_noise(tl.load(noise + i_r * stride_noise), tl.load(position + i_r * stride_position))
        else:
            u = tl.load(noise + i_r * stride_noise).to(tl.float64)
        goal = u * total
        # Rounding may leave the goal above all sums: then the last token that can be drawn is.
        i_tile = tl.min(tl.where(b_until > goal, o_t, NT), axis=0)
        i_tile = tl.where(i_tile == NT, tl.max(tl.where(b_tiles > 0.0, o_t, 0), axis=0), i_tile)
        o_v = i_tile * BV + tl.arange(0, BV)
        b_mass = load_mass(p_row, o_v, num_real, i_barred, z_max, b_temperature, b_min_p, k_edge, i_last)
        b_reached = tl.sum(tl.where(o_t == i_tile - 1, b_until, 0.0), axis=0) + tl.cumsum(b_mass, axis=0)
        place = tl.min(tl.where((b_reached > goal) & (b_mass > 0.0), o_v, num_real), axis=0)
        place = tl.where(place == num_real, tl.max(tl.where(b_mass > 0.0, o_v, 0), axis=0), place)
        token = tl.minimum(place, num_real - 1)
        sampled = (tl.load(p_row + token) - z_max) / b_temperature - tl.log(total.to(tl.float32))
    b_logp = tl.load(p_model + token) - raw_max - tl.log(raw_total)
    tl.store(token_ids + i_r, token.to(tl.int64))
    tl.store(logprob + i_r, sampled)
    tl.store(model_logprob + i_r, b_logp)
    tl.store(model_p + i_r, tl.exp(b_logp))


def sample_triton(
    logits: Float[Tensor, "R V"],
    temperature_R: Float[Tensor, "R"],
    top_p_R: Float[Tensor, "R"],
    noise_R: Tensor,
    *,
    position_R: Int[Tensor, "R"] | None,
    top_k_R: Int[Tensor, "R"] | None,
    min_p_R: Float[Tensor, "R"] | None,
    model_logits: Float[Tensor, "R V"] | None,
    num_real: int,
    barred_R: Int[Tensor, "R"] | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns tokens, their log-probabilities, and those and the probabilities under the model.

    `noise_R` holds seeds where there are positions. On CPU tensors only under Triton's interpreter.
    """
    rows = len(logits)
    block = min(triton.next_power_of_2(num_real), BLOCK)
    num_tiles = triton.next_power_of_2(triton.cdiv(num_real, block))
    assert num_tiles <= NUM_TILES_MAX, f"a vocabulary of {num_real} is more than {NUM_TILES_MAX} tiles of {BLOCK}"
    token_ids = torch.empty(rows, dtype=torch.int64, device=logits.device)
    logprob, model_logprob, model_p = (
        torch.empty(rows, dtype=torch.float32, device=logits.device) for _ in range(3)
    )  # fmt: skip
    if not rows:
        return token_ids, logprob, model_logprob, model_p
    logits = logits if logits.stride(1) == 1 else logits.contiguous()
    if model_logits is not None and model_logits.stride(1) != 1:
        model_logits = model_logits.contiguous()
    optional = (model_logits, top_k_R, min_p_R, position_R)
    stride_model, stride_top_k, stride_min_p, stride_position = (0 if x is None else x.stride(0) for x in optional)
    sample_kernel[(rows,)](
        logits, model_logits, temperature_R, top_p_R, top_k_R, min_p_R, noise_R, position_R,
        None if barred_R is None else barred_R.contiguous(), token_ids, logprob, model_logprob, model_p,
        logits.stride(0), stride_model, temperature_R.stride(0), top_p_R.stride(0), stride_top_k, stride_min_p,
        noise_R.stride(0), stride_position, num_real,
        HAS_MODEL=model_logits is not None, HAS_TOP_K=top_k_R is not None, HAS_MIN_P=min_p_R is not None,
        HAS_BARRED=barred_R is not None, HAS_SEED=position_R is not None,
        NT=max(num_tiles, 2), BV=block, BS=min(block, SEARCH_BLOCK),
        num_warps=min(max(block // PER_WARP, 1), NUM_WARPS),
    )  # fmt: skip
    return token_ids, logprob, model_logprob, model_p

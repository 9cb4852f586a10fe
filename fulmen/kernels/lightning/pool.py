"""Chunk-aligned decoding: the state moves on at multiples of `CHUNK` tokens only, and the open chunk waits in a ring.

So the state does not depend on how a prompt was cut, on the batch or on where decoding began; every token's output
comes from the tile that training computes it with; going back inside a chunk is a shorter length; and a step reads the
state in the inputs' dtype (the shadow: just what the tile's product takes) and writes it once per chunk.

How many tokens a slot has seen is the caller's to keep: `lengths`, before the new tokens.
Axes: `S` slots (0 is nobody's), `N` rows or documents, `T` tokens of all documents, `H` heads, `D` head width,
`C` chunk.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from fulmen.errors import ConfigError
from fulmen.kernels.lightning.checks import check_index, check_inputs, check_states, triton_obstacle
from fulmen.kernels.lightning.chunk import chunk_lightning
from fulmen.kernels.lightning.naive import state_dtype
from fulmen.kernels.lightning.plan import CHUNK


@dataclass(frozen=True, kw_only=True)
class LightningPool:
    """Decoding states of one layer. Slot 0 belongs to nobody: padded rows name it and are skipped."""

    state_S_H_D_D: Tensor
    """State (keys by values) at the last multiple of `CHUNK`; float32, or float64 for float64 inputs."""
    shadow_S_H_D_D: Tensor
    """The state transposed (values by keys), in the dtype of the inputs."""
    ring_S_H_2_C_D: Tensor
    """k and v of the tokens since then, in the dtype of the inputs."""

    @classmethod
    def allocate(
        cls, *, num_slots: int, num_heads: int, head_dim: int, dtype: torch.dtype, device: torch.device | str = "cpu"
    ) -> "LightningPool":
        """Returns a pool whose slots have seen nothing; `dtype` is that of q, k, v.

        Memory per slot and head: 6 D^2 + 4 C D bytes in bfloat16, twice the plain state's at D = 128.
        """
        square = (num_slots, num_heads, head_dim, head_dim)
        return cls(
            state_S_H_D_D=torch.zeros(square, dtype=state_dtype(dtype), device=device),
            shadow_S_H_D_D=torch.zeros(square, dtype=dtype, device=device),
            ring_S_H_2_C_D=torch.zeros(num_slots, num_heads, 2, CHUNK, head_dim, dtype=dtype, device=device),
        )

    def clear(self, slots: Int[Tensor, "N"]) -> None:
        """Makes slots ones that have seen nothing. Their rings need no clearing: a length says what is valid."""
        index = slots.long()
        self.state_S_H_D_D[index] = 0
        self.shadow_S_H_D_D[index] = 0

    def read(
        self, slots: Int[Tensor, "N"], lengths: Int[Tensor, "N"], slope: Float[Tensor, "H"]
    ) -> Float[Tensor, "N H D D"]:
        """Returns the plain states after `lengths` tokens.

        e^(-s m) S + sum_i e^(-s(m-1-i)) k_i v_i^T over the m = length mod C tokens of the ring.
        """
        dtype = self.state_S_H_D_D.dtype
        state, ring = self.state_S_H_D_D[slots.long()], self.ring_S_H_2_C_D[slots.long()].to(dtype)
        num_open_N = lengths % CHUNK
        decay_NH = torch.exp(-slope.to(dtype) * num_open_N[:, None])
        weight_NHC = _ring_weights(num_open_N - 1, slope.to(dtype))
        keys, values = _valid_rows(ring, num_open_N).unbind(2)
        return decay_NH[..., None, None] * state + torch.einsum("nhc,nhck,nhcv->nhkv", weight_NHC, keys, values)


@dataclass(frozen=True, kw_only=True)
class Extension:
    """How new tokens of documents fall on the grid of chunks; made once per forward pass, used by every layer."""

    slots_N: Tensor
    lengths_N: Tensor
    cu_seqlens: Tensor
    head_N_5: Tensor
    """int32 items of `open_tile_kernel`: the tokens that go on with an open chunk."""
    body_N_5: Tensor
    """int32 items of `scan_kernel`: whole chunks."""
    tail_N_5: Tensor
    """int32 items of `open_tile_kernel`: the tokens that open a chunk."""


def plan_extension(slots: Int[Tensor, "N"], lengths: Int[Tensor, "N"], cu_seqlens: Int[Tensor, "N1"]) -> Extension:
    """Returns where the tokens between `cu_seqlens` of slots with `lengths` go; nothing is read back to the host.

    Documents may be empty; padding names slot 0 and brings no tokens.
    Raises: ConfigError for shapes and dtypes that do not fit.
    """
    num_documents = cu_seqlens.shape[0] - 1
    check_index("slots", slots, num_documents, cu_seqlens)
    check_index("lengths", lengths, num_documents, cu_seqlens)
    start_N, count_N = cu_seqlens[:-1], cu_seqlens.diff()
    num_ring_N = lengths % CHUNK
    head_N = torch.minimum(count_N, (CHUNK - num_ring_N) % CHUNK)
    tail_N = (count_N - head_N) % CHUNK
    body_end_N = start_N + count_N - tail_N
    zero_N, one_N = torch.zeros_like(count_N), torch.ones_like(count_N)
    # A tail starts an empty ring; where the head did not fill its chunk there is none.
    body_start_N = start_N + head_N
    has_body_N = (body_end_N > body_start_N).to(count_N.dtype)
    return Extension(
        slots_N=slots, lengths_N=lengths, cu_seqlens=cu_seqlens,
        head_N_5=_table(slots, start_N, head_N, num_ring_N, zero_N),
        body_N_5=_table(slots, body_start_N, body_end_N, one_N, body_start_N),
        tail_N_5=_table(slots, body_end_N, tail_N, zero_N, has_body_N),
    )  # fmt: skip


def _table(*columns: Tensor) -> Tensor:
    return torch.stack([column.to(torch.int32) for column in columns], dim=1).contiguous()


@torch.no_grad()
def extend_pool(
    q: Float[Tensor, "T H D"],
    k: Float[Tensor, "T H D"],
    v: Float[Tensor, "T H D"],
    slope: Float[Tensor, "H"],
    pool: LightningPool,
    extension: Extension,
) -> Float[Tensor, "T H D"]:
    """Returns outputs of many new tokens per document (prefill), in place on the pool.

    On CUDA in bfloat16 the result, bit by bit, does not depend on how the tokens were cut into calls.
    Raises: ConfigError for shapes, dtypes and devices that do not fit.
    """
    check_inputs(q, k, v, slope, num_axes=3)
    _check_pool(pool, v)
    if triton_obstacle(q, v, slope) is None:
        from fulmen.kernels.lightning.steps import triton_extend

        return triton_extend(q, k, v, slope, pool, extension)
    outputs = torch.empty_like(v)
    borders = extension.cu_seqlens.tolist()
    rows = zip(extension.slots_N.tolist(), extension.lengths_N.tolist(), pairwise(borders), strict=True)
    for slot, length, (start, end) in rows:
        if end > start:
            outputs[start:end] = _extend_one(q[start:end], k[start:end], v[start:end], slope, pool, slot, length)
    return outputs


def _extend_one(q: Tensor, k: Tensor, v: Tensor, slope: Tensor, pool: LightningPool, slot: int, length: int) -> Tensor:
    """Returns outputs of one document's new tokens; the ring's tokens are put in front of them."""
    num_ring = length % CHUNK
    ring = pool.ring_S_H_2_C_D[slot, :, :, :num_ring].permute(1, 2, 0, 3)
    q, k, v = torch.cat((torch.zeros_like(ring[0]), q)), torch.cat((ring[0], k)), torch.cat((ring[1], v))
    total = q.shape[0]
    num_full = total // CHUNK * CHUNK
    state = pool.state_S_H_D_D[slot : slot + 1].clone()
    outputs = []
    for begin, end in ((0, num_full), (num_full, total)):
        if end > begin:
            borders = torch.tensor([0, end - begin], device=q.device)
            output, after = chunk_lightning(q[begin:end], k[begin:end], v[begin:end], slope, borders, state, CHUNK)
            outputs.append(output.to(v.dtype))
            state = after if end == num_full else state
    if num_full > 0:
        pool.state_S_H_D_D[slot] = state[0]
        pool.shadow_S_H_D_D[slot] = state[0].transpose(-1, -2).to(v.dtype)
    rest = torch.stack((k[num_full:], v[num_full:])).permute(2, 0, 1, 3)
    pool.ring_S_H_2_C_D[slot, :, :, : total - num_full] = rest
    return torch.cat(outputs)[num_ring:]


@torch.no_grad()
def decode_pool(
    q: Float[Tensor, "N H D"],
    k: Float[Tensor, "N H D"],
    v: Float[Tensor, "N H D"],
    slope: Float[Tensor, "H"],
    pool: LightningPool,
    *,
    slots: Int[Tensor, "N"],
    lengths: Int[Tensor, "N"],
    is_silu: bool = False,
) -> Float[Tensor, "N H D"]:
    """Returns outputs of one new token per row, in place on the pool; rows of slot 0 give 0.

    With m = length mod C tokens in the ring: o = e^(-s(m+1)) q S + sum_(i<=m) e^(-s(m-i)) (q . k_i) v_i, and the chunk
    is committed when m = C - 1. `is_silu`: q, k, v go through SiLU first. A CUDA graph can hold it.

    Raises: ConfigError for shapes, dtypes and devices that do not fit.
    Cost: reads 2 D^2 + 4 D m bytes per row and head (bfloat16), and 6 D^2 + 4 D^2 more once every C tokens.
    """
    check_inputs(q, k, v, slope, num_axes=3)
    _check_pool(pool, v)
    check_index("slots", slots, v.shape[0], v)
    check_index("lengths", lengths, v.shape[0], v)
    if triton_obstacle(q, v, slope) is None:
        from fulmen.kernels.lightning.steps import triton_decode_pool

        return triton_decode_pool(q, k, v, slope, pool, slots, lengths, is_silu)
    if is_silu:
        q, k, v = F.silu(q), F.silu(k), F.silu(v)
    used = (slots > 0).nonzero().squeeze(1)
    output = torch.zeros_like(v)
    if len(used):
        output[used] = _decode_rows(q[used], k[used], v[used], slope, pool, slots[used].long(), lengths[used])
    return output


def _decode_rows(
    q: Tensor, k: Tensor, v: Tensor, slope: Tensor, pool: LightningPool, slots: Tensor, lengths: Tensor
) -> Tensor:
    """Returns the outputs of rows that all own a slot."""
    dtype = pool.state_S_H_D_D.dtype
    slope, last_N = slope.to(dtype), lengths % CHUNK
    pool.ring_S_H_2_C_D[slots, :, 0, last_N] = k
    pool.ring_S_H_2_C_D[slots, :, 1, last_N] = v
    keys, values = _valid_rows(pool.ring_S_H_2_C_D[slots].to(dtype), last_N + 1).unbind(2)
    state = pool.state_S_H_D_D[slots]
    weight_NHC = _ring_weights(last_N, slope)
    scores = torch.einsum("nhd,nhcd->nhc", q.to(dtype), keys) * weight_NHC
    decay = torch.exp(-slope * (last_N[:, None] + 1))[..., None]
    output = torch.einsum("nhc,nhcd->nhd", scores, values) + torch.einsum("nhk,nhkv->nhv", q.to(dtype), state) * decay
    full = (last_N == CHUNK - 1).nonzero().squeeze(1)
    update = torch.einsum("nhc,nhck,nhcv->nhkv", weight_NHC[full], keys[full], values[full])
    after = decay[full][..., None] * state[full] + update
    pool.state_S_H_D_D[slots[full]] = after
    pool.shadow_S_H_D_D[slots[full]] = after.transpose(-1, -2).to(v.dtype)
    return output.to(v.dtype)


def _ring_weights(last_N: Tensor, slope: Tensor) -> Tensor:
    """Returns e^(-s(last - i)) for ring rows i <= last, `[N, H, C]`; 0 beyond."""
    age_N_C = last_N[:, None] - torch.arange(CHUNK, device=last_N.device)
    weights = torch.exp(-slope[:, None] * age_N_C.clamp(min=0)[:, None, :])
    return torch.where(age_N_C[:, None, :] >= 0, weights, 0)


def _valid_rows(ring: Tensor, num_open_N: Tensor) -> Tensor:
    """Returns the ring `[N, H, 2, C, D]` with zeros where no token lies: what lies there may be anything."""
    is_valid_N_C = torch.arange(CHUNK, device=ring.device) < num_open_N[:, None]
    return torch.where(is_valid_N_C[:, None, None, :, None], ring, 0)


def _check_pool(pool: LightningPool, v: Tensor) -> None:
    num_slots, num_heads, width = pool.state_S_H_D_D.shape[0], v.shape[1], v.shape[2]
    check_states("pool.state_S_H_D_D", pool.state_S_H_D_D, (num_slots, num_heads, width, width), v)
    if pool.ring_S_H_2_C_D.dtype != v.dtype:
        raise ConfigError(f"v of dtype {v.dtype}; allowed: that of the pool, {pool.ring_S_H_2_C_D.dtype}")

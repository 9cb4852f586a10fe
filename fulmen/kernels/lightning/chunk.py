"""Lightning attention in block form, in plain torch: the CPU path and the fallback everywhere.

Documents are cut into chunks of C tokens that start at document starts. Inside a chunk the operator is a masked
product; between chunks only the state S travels. Every exponent is <= 0, so nothing overflows at any length.
Axes: `T` tokens, `N` documents, `G` chunks of all documents, `C` chunk length, `H` heads, `K`/`V` widths.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fulmen.kernels.lightning.naive import state_dtype
from fulmen.kernels.ragged import collect_rows, spread

CHUNK = 32


def chunk_lightning(
    q: Float[Tensor, "T H K"],
    k: Float[Tensor, "T H K"],
    v: Float[Tensor, "T H V"],
    slope: Float[Tensor, "H"],
    cu_seqlens: Int[Tensor, "N1"],
    initial_state: Float[Tensor, "N H K V"] | None,
    chunk: int = CHUNK,
) -> tuple[Float[Tensor, "T H V"], Float[Tensor, "N H K V"]]:
    """Returns outputs and final states; differentiable in q, k, v and `initial_state`.

    O = (Q K^T o M) V + (Q o a) S;  S <- e^(-s m) S + (K o b)^T V for a chunk of m <= C tokens, with
    M_ij = e^(-s(i-j)) for i >= j else 0, a_i = e^(-s(i+1)), b_j = e^(-s(m-1-j)).
    """
    dtype = state_dtype(v.dtype)
    lengths_N = cu_seqlens.diff()
    chunk = min(chunk, int(lengths_N.max()))
    num_chunks_N = (lengths_N + chunk - 1) // chunk
    document_G = torch.repeat_interleave(num_chunks_N)
    rank_G = torch.arange(len(document_G), device=q.device) - (num_chunks_N.cumsum(0) - num_chunks_N)[document_G]
    size_G = (lengths_N[document_G] - rank_G * chunk).clamp(max=chunk)

    offset_C = torch.arange(chunk, device=q.device)
    cell_T = (offset_C < size_G[:, None]).flatten().nonzero().squeeze(1)

    def to_chunks(x: Tensor) -> Tensor:
        cells = spread(x.to(dtype), cell_T, len(size_G) * chunk)
        return cells.unflatten(0, (len(size_G), chunk)).transpose(1, 2)

    q_GHCK, k_GHCK, v_GHCV = to_chunks(q), to_chunks(k), to_chunks(v)

    slope = slope.to(dtype)
    gap_C_C = offset_C[:, None] - offset_C
    mask_HCC = torch.exp(-slope[:, None, None] * gap_C_C.clamp(min=0)).tril()
    a_HC1 = torch.exp(-slope[:, None] * (offset_C + 1)).unsqueeze(-1)
    b_GHC1 = torch.exp(-slope[:, None] * (size_G[:, None] - 1 - offset_C).clamp(min=0)[:, None, :]).unsqueeze(-1)
    carry_GH11 = torch.exp(-slope * size_G[:, None])[:, :, None, None]

    update_GHKV = (k_GHCK * b_GHC1).transpose(-1, -2) @ v_GHCV
    state_GHKV, final_NHKV = _scan(update_GHKV, carry_GH11, rank_G, document_G, initial_state)
    output_GHCV = ((q_GHCK @ k_GHCK.transpose(-1, -2)) * mask_HCC) @ v_GHCV + (q_GHCK * a_HC1) @ state_GHKV
    return collect_rows(output_GHCV.transpose(1, 2).flatten(0, 1), cell_T), final_NHKV


def _scan(
    update_GHKV: Tensor, carry_GH11: Tensor, rank_G: Tensor, document_G: Tensor, initial_state: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Returns the state before each chunk and after each document; one step per chunk rank, all documents at once."""
    num_documents = int(document_G[-1]) + 1
    if initial_state is None:
        state_NHKV = update_GHKV.new_zeros(num_documents, *update_GHKV.shape[1:])
    else:
        state_NHKV = initial_state.to(update_GHKV.dtype)
    before, order = [], []
    for rank in range(int(rank_G.max()) + 1):
        index = (rank_G == rank).nonzero().squeeze(1)
        documents = document_G[index]
        state = state_NHKV if len(documents) == num_documents else collect_rows(state_NHKV, documents)
        before.append(state)
        order.append(index)
        after = carry_GH11[index] * state + collect_rows(update_GHKV, index)
        state_NHKV = after if len(documents) == num_documents else state_NHKV.index_copy(0, documents, after)
    if len(before) == 1:
        return before[0], state_NHKV
    return collect_rows(torch.cat(before), torch.cat(order).argsort()), state_NHKV

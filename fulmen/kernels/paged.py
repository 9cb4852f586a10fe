"""provisional"""

import torch
import torch.nn.functional as F
from torch import Tensor
from fulmen.kernels.attention import cached_attention


def gather_pages(pages: Tensor, table_N_X: Tensor, length: int) -> Tensor:
    C = pages.shape[2]
    rows = pages[table_N_X[:, : -(-length // C)].long()]
    return rows.transpose(1, 2).flatten(2, 3)[:, :, :length]


def write_pages(k, v, keys, values, cells_T):
    C = keys.shape[2]
    own = cells_T >= C
    block, place = cells_T // C, cells_T % C
    if not bool(own.all()):
        k, v, block, place = k[own], v[own], block[own], place[own]
    keys[block, :, place] = k.to(keys.dtype)
    if values.shape[-1]:
        values[block, :, place] = v.to(values.dtype)


def paged_attention(
    q, keys, values, table_N_X, lengths_N, cu_seqlens, *, scale=None, num_splits=1, longest=None, is_invariant=False
):
    counts = torch.ones_like(lengths_N) if cu_seqlens is None else cu_seqlens.diff()
    if cu_seqlens is None:
        cu_seqlens = torch.arange(len(lengths_N) + 1, device=q.device)
    if longest is None:
        longest = int((lengths_N + counts).max())
    k, v = gather_pages(keys, table_N_X, longest), gather_pages(values, table_N_X, longest)
    valid = (torch.arange(longest, device=q.device) < (lengths_N + counts)[:, None])[:, None, :, None]
    k, v = torch.where(valid, k, 0), torch.where(valid, v, 0)
    doc = torch.repeat_interleave(counts, output_size=len(q))
    pos = torch.arange(len(q), device=q.device) - cu_seqlens[doc] + lengths_N[doc]
    return cached_attention(q, k, v, pos, cu_seqlens, scale=scale)

"""Attention that a learner and an engine compute alike: packed documents laid out as pages."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from fulmen.kernels.attention import packed_attention
from fulmen.kernels.invariant import batch_invariant
from fulmen.kernels.paged import as_pages, invariant_attention, paged_attention, write_pages
from fulmen.model import Model, ModelConfig
from tests.kernels.reference import draw

BORDERS = (0, 1, 64, 65, 190, 193)


def inputs(device: str = "cpu", dtype: torch.dtype = torch.float64, width: int = 32) -> tuple[Tensor, ...]:
    """Returns q of 6 heads, k and v of 2, and the borders of five documents."""
    q, k, v = (
        draw(BORDERS[-1], heads, width, seed=heads + seed).to(device, dtype) for heads, seed in ((6, 0), (2, 1), (2, 2))
    )
    return q, k, v, torch.tensor(BORDERS, device=device)


def test_documents_lie_in_blocks_of_their_own() -> None:
    _, k, v, cu_seqlens = inputs()
    keys, values, table = as_pages(k, v, cu_seqlens)
    used = table[table > 0].tolist()
    assert len(set(used)) == len(used), "a block of two documents"
    assert max(used) < len(keys)
    for row, (start, end) in enumerate(pairwise(BORDERS)):
        for place in range(end - start):
            block = int(table[row, place // 64])
            assert torch.equal(keys[block, :, place % 64], k[start + place])
            assert torch.equal(values[block, :, place % 64], v[start + place])


def test_it_is_packed_attention_with_its_gradients() -> None:
    *leaves, cu_seqlens = inputs()
    results = []
    for attend in (invariant_attention, packed_attention):
        own = [leaf.clone().requires_grad_() for leaf in leaves]
        output = attend(*own, cu_seqlens, scale=0.3)
        results.append((output, *torch.autograd.grad(output, own, draw(*output.shape, seed=9))))
    for mine, its in zip(*results, strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-11, atol=1e-11)


@torch.no_grad()
def test_a_document_of_a_model_is_the_same_alone_and_packed_on_cpu() -> None:
    """Products have one program here; attention's sums depend on the longest document, so to rounding."""
    config = ModelConfig(
        vocab_size=64, hidden_size=32, num_layers=3, num_heads=2, num_kv_heads=1, head_dim=16, intermediate_size=16,
        num_experts=4, mixers="LLS",
    )  # fmt: skip
    model = Model(config, seed=1).double()
    tokens = torch.arange(BORDERS[-1])[None] * 7 % 64
    with batch_invariant():
        packed = model.encode(tokens, cu_seqlens=torch.tensor(BORDERS), is_invariant=True).hidden[0]
        for start, end in pairwise(BORDERS):
            alone = model.encode(tokens[:, start:end], is_invariant=True).hidden[0]
            torch.testing.assert_close(packed[start:end], alone, rtol=1e-12, atol=1e-12)


@pytest.mark.gpu
@torch.no_grad()
@pytest.mark.parametrize("width", [64, 128])
def test_on_the_gpu_it_has_the_bits_of_decoding(width: int) -> None:
    """Token after token from a cache of its own, against all documents at once."""
    q, k, v, cu_seqlens = inputs("cuda", torch.bfloat16, width)
    expected = invariant_attention(q, k, v, cu_seqlens)
    for start, end in ((1, 64), (65, 190)):
        blocks = torch.tensor([[2, 1, 3]], dtype=torch.int32, device="cuda")
        keys, values = (torch.full((4, 2, 64, width), torch.nan, dtype=k.dtype, device="cuda") for _ in range(2))
        for place in range(end - start):
            cell = blocks[0, place // 64].long() * 64 + place % 64
            write_pages(k[start + place][None], v[start + place][None], keys, values, cell[None])
            seen = torch.tensor([place], device="cuda")
            output = paged_attention(q[start + place][None], keys, values, blocks, seen, None, is_invariant=True)
            assert torch.equal(output[0], expected[start + place]), f"token {place}"

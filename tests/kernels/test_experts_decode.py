"""The kernels of a decoding step's experts against expert_mlp and the router in float64 (interpreted, and on the GPU).

Axes: `T` tokens, `D` model width, `E` experts, `F` expert width, `A` experts per token.
"""

import dataclasses

import pytest
import torch
from torch import Tensor

from fulmen.kernels import experts, experts_decode_triton
from fulmen.kernels.experts import expert_mlp
from fulmen.kernels.experts_decode import TOKENS_MAX, decode_experts, is_decoding, route
from fulmen.model import Cache, Model
from fulmen.model.config import RouterShape
from fulmen.model.moe import Router
from tests.kernels.reference import relative_error
from tests.kernels.test_experts import wide_case
from tests.model.test_transformer import CONFIG

interpreted = pytest.mark.skipif(torch.cuda.is_available(), reason="runs under the interpreter")


def exact(inputs: tuple[Tensor, ...], expert_ids: Tensor) -> Tensor:
    x, w13, w2, weights = (t.double().cpu() for t in inputs)
    return expert_mlp(x, w13, w2, expert_ids.cpu(), weights)


@interpreted
@pytest.mark.parametrize(
    ("num_tokens", "per_token", "width", "inner"), [(1, 1, 24, 40), (1, 3, 24, 40), (20, 2, 24, 40), (3, 2, 300, 17)]
)
def test_products_are_those_of_expert_mlp(num_tokens: int, per_token: int, width: int, inner: int) -> None:
    """An expert without tokens, one with more than a tile of them; widths that fill no tile. Memory begins as NaN."""
    inputs, expert_ids = wide_case(num_tokens, per_token, width=width, inner=inner)
    if num_tokens == 20:
        expert_ids[:, 0] = 3
    x, w13, w2, weights = (t.float() for t in inputs)
    shared = torch.randn(num_tokens, width, generator=torch.Generator().manual_seed(1))
    found = experts_decode_triton.decode_experts(x, w13, w2, expert_ids, weights, None)
    assert relative_error(found, exact(inputs, expert_ids)) < 1e-6
    found = experts_decode_triton.decode_experts(x, w13, w2, expert_ids, weights, shared)
    assert relative_error(found, exact(inputs, expert_ids) + shared) < 1e-6


@interpreted
def test_a_token_does_not_depend_on_the_others() -> None:
    inputs, expert_ids = wide_case(9, 2)
    x, w13, w2, weights = (t.float() for t in inputs)
    together = experts_decode_triton.decode_experts(x, w13, w2, expert_ids, weights, None)
    x[5] = torch.nan
    for rows in (slice(2, 3), slice(2, 7)):
        alone = experts_decode_triton.decode_experts(x[rows], w13, w2, expert_ids[rows], weights[rows], None)
        assert torch.equal(alone[0], together[2])


SHAPES = [
    RouterShape(),
    RouterShape(renormalise=False, scale=2.5),
    RouterShape(score="sigmoid", scale=2.5),
    RouterShape(score="sigmoid", has_bias=True, renormalise=False),
    RouterShape(has_bias=True),
]


def make_router(shape: RouterShape, width: int, num_experts: int, per_token: int) -> Router:
    config = dataclasses.replace(
        CONFIG, hidden_size=width, num_experts=num_experts, num_experts_per_token=per_token, router=shape
    )
    router, generator = Router(config).double(), torch.Generator().manual_seed(0)
    torch.nn.init.normal_(router.weight, std=width**-0.5, generator=generator)
    if router.bias is not None:
        router.bias.normal_(generator=generator)
    return router


@interpreted
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("width", "num_experts", "per_token"), [(40, 5, 2), (300, 32, 3), (24, 8, 8)])
def test_the_router_chooses_and_weighs_as_in_torch(
    shape: RouterShape, width: int, num_experts: int, per_token: int
) -> None:
    router = make_router(shape, width, num_experts, per_token)
    x = torch.randn(4, width, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    expected, routing = router(x, None, has_statistics=False)
    weights, expert_ids = route(
        x.float(), router.weight.detach().float(), router.bias, per_token=per_token,
        is_sigmoid=shape.score == "sigmoid", renormalise=shape.renormalise, scale=shape.scale,
    )  # fmt: skip
    assert torch.equal(expert_ids, routing.expert_ids)
    assert relative_error(weights, expected) < 1e-6


@interpreted
def test_of_equal_experts_the_first_are_chosen() -> None:
    x, weight = torch.ones(2, 16), torch.zeros(6, 16)
    weight[[2, 5]] = 1.0
    weights, expert_ids = route(x, weight, None, per_token=4, is_sigmoid=False, renormalise=True, scale=1.0)
    assert expert_ids.tolist() == [[2, 5, 0, 1]] * 2
    torch.testing.assert_close(weights.sum(-1), torch.ones(2))


@interpreted
@pytest.mark.parametrize(("num_tokens", "per_token"), [(1, 1), (37, 2), (64, 3)])
def test_pairs_are_sorted_as_torch_sorts_them(num_tokens: int, per_token: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experts_decode_triton, "SORT_BLOCK", 32)
    _, expert_ids = wide_case(num_tokens, per_token)
    for found, expected in zip(
        experts_decode_triton.sort_pairs(expert_ids, 5), experts._sort_pairs(expert_ids, 5), strict=True
    ):
        assert found.dtype == expected.dtype
        assert torch.equal(found, expected)


@interpreted
def test_pairs_of_experts_that_do_not_exist_come_last() -> None:
    order, inverse, ends = experts_decode_triton.sort_pairs(torch.tensor([[7], [1], [-1], [0], [1]]), 2)
    assert (order.tolist(), ends.tolist()) == ([3, 1, 4, 0, 2], [1, 3])
    assert torch.equal(order[inverse], torch.arange(5))


def test_only_small_steps_on_cuda_without_gradients_are_decoded() -> None:
    """What can be told without a GPU: nothing on CPU is."""
    assert not is_decoding(torch.zeros(1, 8, dtype=torch.bfloat16), 2)


def test_statistics_are_left_out_with_a_cache_and_the_rest_is_the_same() -> None:
    model, token_ids = Model(CONFIG, seed=0).double(), torch.arange(6)[None]
    cache = Cache.allocate(CONFIG, num_rows=1, max_length=8, dtype=torch.float64, device=torch.device("cpu"))
    routings = []
    model.layers[0].register_forward_hook(lambda _, inputs, outputs: routings.append(outputs[1]))
    with torch.no_grad():
        plain, cached = model.encode(token_ids), model.encode(token_ids, cache=cache)
    assert [routing.load_E is None for routing in routings] == [False, True]
    assert [routing.balance_loss is None for routing in routings] == [False, True]
    assert plain.balance_loss.shape == () and plain.loads.shape[1] == CONFIG.num_experts  # noqa: PT018
    assert cached.balance_loss.numel() == cached.loads.numel() == 0
    assert torch.equal(plain.expert_ids, cached.expert_ids)


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("num_tokens", "per_token", "width", "inner", "num_experts"),
    [(1, 2, 1024, 704, 32), (7, 2, 512, 704, 8), (TOKENS_MAX, 8, 512, 256, 64)],
)
def test_on_the_gpu_a_step_is_within_its_rounding(
    num_tokens: int, per_token: int, width: int, inner: int, num_experts: int
) -> None:
    inputs, expert_ids = wide_case(num_tokens, per_token, width=width, inner=inner, num_experts=num_experts)
    x, w13, w2, weights = (t.to("cuda", torch.bfloat16) for t in inputs)
    weights, expert_ids = weights.float(), expert_ids.cuda()
    first, second = (decode_experts(x, w13, w2, expert_ids, weights) for _ in range(2))
    assert torch.equal(first, second), "two runs differ"
    assert relative_error(first.cpu(), exact((x, w13, w2, weights), expert_ids)) < 1e-2
    assert torch.equal(decode_experts(x[:1], w13, w2, expert_ids[:1], weights[:1]), first[:1])
    with torch.no_grad():
        assert is_decoding(x, per_token, w13, w2)
        assert not is_decoding(x.repeat(TOKENS_MAX + 1, 1)[: TOKENS_MAX + 1], per_token, w13, w2)
    assert not is_decoding(x, per_token, w13.requires_grad_(), w2)


@pytest.mark.gpu
@pytest.mark.parametrize("shape", SHAPES)
def test_on_the_gpu_the_router_weighs_as_in_torch(shape: RouterShape) -> None:
    router = make_router(shape, 1024, 128, 8).cuda().bfloat16()
    x = torch.randn(16, 1024, device="cuda", dtype=torch.bfloat16)
    with torch.no_grad():
        expected, routing = router(x, None)
        weights, found = router(x, None, has_statistics=False, may_decode=True)
    assert torch.equal(found.expert_ids, routing.expert_ids)
    torch.testing.assert_close(weights, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.gpu
@pytest.mark.parametrize(("num_tokens", "per_token"), [(1, 1), (1000, 2), (8192, 8)])
def test_on_the_gpu_pairs_are_sorted_as_torch_sorts_them(num_tokens: int, per_token: int) -> None:
    _, expert_ids = wide_case(num_tokens, per_token, num_experts=64)
    for found, expected in zip(
        experts._sort_pairs(expert_ids.cuda(), 64), experts._sort_pairs(expert_ids, 64), strict=True
    ):
        assert torch.equal(found.cpu(), expected)

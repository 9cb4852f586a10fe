"""The kernels for few tokens against the general path in float64: interpreted, and on the GPU.

Axes: `T` tokens, `D` model width, `E` experts, `F` expert width, `A` experts per token.
"""

import pytest
import torch
from torch import Tensor

from fulmen.kernels.experts import expert_mlp
from fulmen.kernels.experts_decode import MAX_TOKENS, can_decode, decode_mlp, route
from fulmen.kernels.experts_decode_triton import decode_mlp_triton, route_triton
from fulmen.model import ModelConfig
from fulmen.model.config import RouterShape
from fulmen.model.moe import MoE, Router
from tests.kernels.reference import relative_error

interpreted = pytest.mark.skipif(torch.cuda.is_available(), reason="runs under the interpreter")
SHAPES = [(1, 32, 48, 5, 2), (3, 48, 16, 4, 4), (20, 32, 32, 8, 3), (MAX_TOKENS, 16, 48, 9, 1)]
"""T, D, F, E, A."""


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def draw_case(shape: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Returns x, w13, w2, experts that leave some out, positive weights, and what is added."""
    tokens, width, inner, experts, per_token = shape
    scores = draw(tokens, experts, seed=3)
    scores[:, 0] -= 100.0 * (per_token < experts)
    return (
        draw(tokens, width),
        draw(experts, 2 * inner, width, seed=1) / width**0.5,
        draw(experts, width, inner, seed=2) / inner**0.5,
        scores.topk(per_token).indices,
        draw(tokens, per_token, seed=4).abs(),
        draw(tokens, width, seed=5),
    )


@interpreted
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("has_base", [False, True])
def test_products_are_those_of_the_general_path(shape: tuple[int, ...], has_base: bool) -> None:
    """Rows of x and of what is added lie apart among NaN."""
    x, w13, w2, ids, weights, base = draw_case(shape)
    exact = expert_mlp(x, w13, w2, ids, weights) + (base if has_base else 0.0)
    wide = torch.full((2, len(x), x.shape[1] + 16), torch.nan)
    wide[0, :, : x.shape[1]], wide[1, :, : x.shape[1]] = x, base
    apart, added = wide[..., : x.shape[1]]
    found = decode_mlp_triton(apart, w13.float(), w2.float(), ids, weights.float(), added if has_base else None)
    assert relative_error(found, exact) < 1e-6


def make_config(*, experts: int = 6, per_token: int = 2, **router: object) -> ModelConfig:
    return ModelConfig(
        vocab_size=64, hidden_size=32, num_layers=1, num_heads=2, num_kv_heads=1, head_dim=16, intermediate_size=16,
        num_experts=experts, num_experts_per_token=per_token, mixers="L", router=RouterShape(**router),
    )  # fmt: skip


ROUTERS = [
    {},
    {"renormalise": False, "scale": 2.5},
    {"score": "sigmoid", "has_bias": True, "scale": 2.5},
    {"score": "sigmoid", "renormalise": False},
]


@interpreted
@pytest.mark.parametrize("kind", range(len(ROUTERS)))
@pytest.mark.parametrize(("experts", "per_token"), [(6, 2), (8, 8), (5, 1), (33, 3)])
def test_routes_are_those_of_the_router(kind: int, experts: int, per_token: int) -> None:
    router = Router(make_config(experts=experts, per_token=per_token, **ROUTERS[kind])).double()
    with torch.no_grad():
        router.weight.copy_(draw(experts, 32, seed=1))
        if router.bias is not None:
            router.bias.copy_(0.3 * draw(experts, seed=2))
        x = draw(9, 32)
        weights, routing = router(x, None)
    found = route_triton(
        x.float(), router.weight.detach().float(), router.bias, per_token=per_token,
        is_sigmoid=router.shape.score == "sigmoid", is_renormalised=router.shape.renormalise, scale=router.shape.scale,
    )  # fmt: skip
    assert torch.equal(found[0], routing.expert_ids)
    assert relative_error(found[1], weights) < 1e-6


@interpreted
@pytest.mark.filterwarnings("ignore:invalid value")
def test_what_is_no_number_chooses_experts_that_exist() -> None:
    ids, weights = route_triton(
        torch.full((2, 8), torch.nan), torch.ones(5, 8), None,
        per_token=3, is_sigmoid=False, is_renormalised=True, scale=1.0,
    )  # fmt: skip
    assert ids.min() >= 0
    assert ids.max() < 5
    assert weights.isnan().all()


def test_serving_leaves_statistics_out_and_changes_nothing_else() -> None:
    layer = MoE(make_config(balance="batch")).double()
    layer.init_weights(1.0, torch.Generator().manual_seed(0))
    x = draw(7, 32)
    with torch.no_grad():
        (output, routing), (lean, bare) = layer(x, None), layer(x, None, has_statistics=False)
    assert torch.equal(output, lean)
    assert torch.equal(routing.expert_ids, bare.expert_ids)
    assert routing.load_E is not None
    assert routing.load_E.sum() == 14
    assert bare.balance_loss is None
    assert bare.load_E is None


@pytest.mark.gpu
@pytest.mark.parametrize("shape", [*SHAPES, (1, 2048, 768, 64, 8), (64, 1024, 512, 32, 2), (7, 4096, 1536, 128, 8)])
def test_on_the_gpu_layers_agree_with_float64(shape: tuple[int, ...]) -> None:
    x, w13, w2, ids, weights, base = (t.cuda() for t in draw_case(shape))
    rounded = [t.bfloat16() for t in (x, w13, w2)]
    with torch.no_grad():
        assert can_decode(rounded[0], rounded[2], per_token=ids.shape[1])
        found = decode_mlp(*rounded, ids, weights.float(), base.bfloat16())
        assert torch.equal(found, decode_mlp(*rounded, ids, weights.float(), base.bfloat16()))
        gate = draw(shape[3], shape[1], seed=6).cuda().bfloat16()
        choice = route(
            rounded[0], gate, None, per_token=shape[4], is_sigmoid=False, is_renormalised=True, scale=1.0
        )  # fmt: skip
    exact = expert_mlp(*(t.double() for t in rounded), ids, weights) + base.bfloat16().double()
    assert relative_error(found, exact) < 1e-2
    kept = (rounded[0].double() @ gate.double().T).softmax(-1).topk(shape[4])
    assert torch.equal(choice.expert_ids, kept.indices)
    torch.testing.assert_close(
        choice.weights.double(), kept.values / kept.values.sum(-1, keepdim=True), rtol=1e-4, atol=1e-5
    )

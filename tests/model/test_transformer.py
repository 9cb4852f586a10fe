"""The decoder against a reference written out by hand in float64, and what must hold for it as a whole.

Axes: `B` rows, `T` tokens, `D` model width, `H`/`J` heads, `K` head width, `E` experts, `A` experts per token.
"""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from fulmen.errors import ConfigError, DataError
from fulmen.model import PRESETS, Cache, Model, ModelConfig
from fulmen.model.config import preset
from fulmen.model.layout import make_layout
from fulmen.model.moe import Router
from fulmen.model.transformer import Block, Carried

CONFIG = ModelConfig(
    vocab_size=64, hidden_size=32, num_layers=3, num_heads=2, num_kv_heads=1, head_dim=16,
    intermediate_size=16, num_experts=4, mixers="LSL", rope_theta=50.0,
)  # fmt: skip
PER_TOKEN = CONFIG.num_experts_per_token
ROUTES = CONFIG.num_layers * PER_TOKEN
LENGTH = 36
DOCUMENTS = (1, 9, 35, 2)


def make_model(config: ModelConfig = CONFIG, seed: int = 0) -> Model:
    """Returns a float64 model whose norms are not all ones and whose logits are worth telling apart."""
    model = Model(config, seed=seed).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("norm.weight"):
                parameter.uniform_(0.5, 1.5, generator=generator)
        model.embed_tokens.weight.mul_(20.0)
        model.lm_head.weight.mul_(20.0)
    return model


def draw_tokens(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(CONFIG.vocab_size, shape, generator=torch.Generator().manual_seed(seed))


def borders(lengths: tuple[int, ...]) -> Tensor:
    return torch.tensor([0, *lengths]).cumsum(0)


def assert_same(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)


# The reference: formulas of MiniMax-Text-01 token by token, sharing nothing with fulmen but the names of the weights.


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * weight


def reference_lightning(x: Tensor, weights: dict[str, Tensor], config: ModelConfig, layer: int) -> Tensor:
    heads, width = config.num_heads, config.head_dim
    raw = x @ weights["self_attn.qkv_proj.weight"].T
    qkv = raw * torch.sigmoid(raw)
    outputs = []
    for head in range(heads):
        q, k, v = (qkv[:, (3 * head + i) * width : (3 * head + i + 1) * width] for i in range(3))
        slope = 2.0 ** (-8 * (head + 1) / heads) * (1 - layer / (config.num_layers - 1) + 1e-5)
        decay = torch.exp(-torch.tensor(slope).float().double())
        state, rows = torch.zeros(width, width, dtype=x.dtype), []
        for t in range(len(x)):
            state = decay * state + torch.outer(k[t], v[t])
            rows.append(q[t] @ state)
        outputs.append(torch.stack(rows))
    normed = rms_norm(torch.cat(outputs, dim=-1), weights["self_attn.norm.weight"], 1e-6)
    gate = torch.sigmoid(x @ weights["self_attn.output_gate.weight"].T)
    return (gate * normed) @ weights["self_attn.out_proj.weight"].T


def rotate(x: Tensor, config: ModelConfig) -> Tensor:
    """Turns the pairs (i, i + R/2) of a head's first R channels by t theta^(-2i/R), for every token t."""
    half = config.rotary_width // 2
    rotated = x.clone()
    for i in range(half):
        frequency = torch.tensor(config.rope_theta ** (-2 * i / config.rotary_width)).float().double()
        angle = torch.arange(len(x)) * frequency
        rotated[:, i] = x[:, i] * angle.cos() - x[:, i + half] * angle.sin()
        rotated[:, i + half] = x[:, i + half] * angle.cos() + x[:, i] * angle.sin()
    return rotated


def reference_softmax(x: Tensor, weights: dict[str, Tensor], config: ModelConfig) -> Tensor:
    width, outputs = config.head_dim, []
    q, k, v = (x @ weights[f"self_attn.{name}_proj.weight"].T for name in "qkv")
    for head in range(config.num_heads):
        kv_head = head * config.num_kv_heads // config.num_heads
        mine, theirs = slice(head * width, (head + 1) * width), slice(kv_head * width, (kv_head + 1) * width)
        scores = rotate(q[:, mine], config) @ rotate(k[:, theirs], config).T / width**0.5
        future = torch.ones(len(x), len(x)).triu(1).bool()
        outputs.append(scores.masked_fill(future, -torch.inf).softmax(-1) @ v[:, theirs])
    return torch.cat(outputs, dim=-1) @ weights["self_attn.o_proj.weight"].T


def reference_moe(x: Tensor, weights: dict[str, Tensor], routes: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Returns outputs, expert ids, and the balance loss E sum_e f_e P_e."""
    probabilities = (x @ weights["block_sparse_moe.gate.weight"].T).softmax(-1)
    rows, chosen = [], []
    for t in range(len(x)):
        ids = probabilities[t].topk(PER_TOKEN).indices if routes is None else routes[t]
        kept = probabilities[t, ids] / probabilities[t, ids].sum()
        total = torch.zeros_like(x[t])
        for expert, weight in zip(ids.tolist(), kept, strict=True):
            w1, w3 = weights["block_sparse_moe.experts.w13"][expert].chunk(2)
            gate = w1 @ x[t]
            inner = gate * torch.sigmoid(gate) * (w3 @ x[t])
            total = total + weight * (weights["block_sparse_moe.experts.w2"][expert] @ inner)
        rows.append(total)
        chosen.append(ids)
    ids_T_A = torch.stack(chosen)
    share = torch.stack([(ids_T_A == expert).double().mean() for expert in range(probabilities.shape[1])])
    return torch.stack(rows), ids_T_A, probabilities.shape[1] * (share * probabilities.mean(0)).sum()


def reference_block(
    h: Tensor, weights: dict[str, Tensor], config: ModelConfig, layer: int,
    *, routes: Tensor | None = None, residual: str = "normed",
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    u = rms_norm(h, weights["input_layernorm.weight"], config.rms_norm_eps)
    is_lightning = config.mixers[layer % len(config.mixers)] == "L"
    mixed = reference_lightning(u, weights, config, layer) if is_lightning else reference_softmax(u, weights, config)
    alpha = (2 * config.num_layers) ** 0.25
    h = alpha * (u if residual == "normed" else h) + mixed
    w = rms_norm(h, weights["post_attention_layernorm.weight"], config.rms_norm_eps)
    output, ids, balance = reference_moe(w, weights, routes)
    return alpha * (w if residual == "normed" else h) + output, ids, balance


def layer_weights(model: Model, layer: int) -> dict[str, Tensor]:
    prefix = f"layers.{layer}."
    return {n.removeprefix(prefix): p.detach() for n, p in model.named_parameters() if n.startswith(prefix)}


def reference_model(model: Model, token_ids: Tensor, routes: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Returns logits, expert ids `[T, L A]` and the balance loss of one document."""
    h, chosen, balances = model.embed_tokens.weight.detach()[token_ids], [], []
    for layer in range(CONFIG.num_layers):
        asked = None if routes is None else routes[:, layer * PER_TOKEN : (layer + 1) * PER_TOKEN]
        h, ids, balance = reference_block(h, layer_weights(model, layer), CONFIG, layer, routes=asked)
        chosen.append(ids)
        balances.append(balance)
    logits = rms_norm(h, model.norm.weight.detach(), 1e-5) @ model.lm_head.weight.detach().T
    return logits, torch.cat(chosen, dim=-1), torch.stack(balances).mean()


@pytest.mark.parametrize("layer", range(CONFIG.num_layers))
def test_a_block_is_the_reference_with_the_normed_residual(layer: int) -> None:
    model = make_model()
    h = 3.0 * torch.randn(LENGTH, CONFIG.hidden_size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    layout = make_layout(torch.zeros(1, LENGTH, dtype=torch.int64), None, None)
    block = model.layers[layer]
    assert isinstance(block, Block)
    carried, routing = block(Carried(h), layout)
    output, weights = block.close(carried, model.norm).stream, layer_weights(model, layer)
    expected, ids, balance = reference_block(h, weights, CONFIG, layer)
    assert_same(output, expected)
    assert torch.equal(routing.expert_ids, ids)
    assert_same(routing.balance_loss, balance)
    raw, _, _ = reference_block(h, weights, CONFIG, layer, residual="raw")
    assert (raw - expected).abs().mean() > 1.0, "the inputs cannot tell the two residuals apart"


def test_the_model_is_the_reference() -> None:
    model, token_ids = make_model(), draw_tokens(1, LENGTH)
    encoded = model.encode(token_ids)
    logits, expert_ids, balance = reference_model(model, token_ids[0])
    assert_same(model(token_ids).logits[0], logits)
    assert torch.equal(encoded.expert_ids[0], expert_ids)
    assert_same(encoded.balance_loss, balance)
    assert logits.std() > 1


def test_rotary_on_the_whole_head_and_on_none() -> None:
    """The extremes of `rotary_dim`, against the same reference."""
    h = torch.randn(20, CONFIG.hidden_size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    layout = make_layout(torch.zeros(1, 20, dtype=torch.int64), None, None)
    outputs = []
    for rotary_dim in (0, 4, 16):
        config = CONFIG.replace(rotary_dim=rotary_dim)
        model = make_model(config)
        block = list(model.blocks())[1]
        output = block.close(block(Carried(h), layout)[0], model.norm).stream
        assert_same(output, reference_block(h, layer_weights(model, 1), config, 1)[0])
        outputs.append(output)
    assert (outputs[0] - outputs[1]).abs().max() > 1e-3
    assert (outputs[2] - outputs[1]).abs().max() > 1e-3


def test_alpha_is_deepnorms_unless_given_and_beta_scales_the_branches() -> None:
    assert CONFIG.alpha == pytest.approx(6**0.25)
    assert PRESETS["m1_456b"].alpha == 3.5565588200778455
    assert PRESETS["m1_456b"].replace(residual_alpha=None).alpha == pytest.approx(3.5565588200778455, rel=1e-15)
    h = torch.randn(5, CONFIG.hidden_size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    layout = make_layout(torch.zeros(1, 5, dtype=torch.int64), None, None)
    block = next(make_model(CONFIG.replace(residual_alpha=7.0, residual_beta=0.0)).blocks())
    normed = rms_norm(h, block.input_layernorm.weight, 1e-5)
    output = block.close(block(Carried(h), layout)[0], block.input_layernorm).stream
    assert_same(output, 7.0 * rms_norm(7.0 * normed, block.post_attention_layernorm.weight, 1e-5))


@torch.no_grad()
def test_a_token_changes_no_earlier_logit() -> None:
    model, token_ids = make_model(), draw_tokens(1, LENGTH)
    before = model(token_ids).logits[0]
    for changed in range(LENGTH):
        other = token_ids.clone()
        other[0, changed] = (other[0, changed] + 1) % CONFIG.vocab_size
        after = model(other).logits[0]
        assert_same(after[:changed], before[:changed])
        assert ((after - before)[changed:].abs().amax(-1) > 1e-6).all()


def test_packed_documents_equal_each_document_alone_with_gradients() -> None:
    model, token_ids = make_model(), draw_tokens(1, sum(DOCUMENTS))
    parameters = list(model.parameters())
    cotangent = torch.randn(sum(DOCUMENTS), CONFIG.vocab_size, dtype=torch.float64)
    packed = model(token_ids, cu_seqlens=borders(DOCUMENTS))
    gradients = torch.autograd.grad(packed.logits[0], parameters, cotangent)
    sums = [torch.zeros_like(p) for p in parameters]
    for start, stop in pairwise(borders(DOCUMENTS).tolist()):
        alone = model(token_ids[:, start:stop])
        assert_same(packed.logits[0, start:stop], alone.logits[0])
        assert torch.equal(packed.expert_ids[0, start:stop], alone.expert_ids[0])
        for total, g in zip(sums, torch.autograd.grad(alone.logits[0], parameters, cotangent[start:stop]), strict=True):
            total += g
    for gradient, total in zip(gradients, sums, strict=True):
        assert_same(gradient, total)


@torch.no_grad()
def test_dense_rows_equal_each_row_alone() -> None:
    model, token_ids = make_model(), draw_tokens(3, 20)
    rows = model(token_ids)
    assert rows.logits.shape == (3, 20, CONFIG.vocab_size)
    assert rows.expert_ids.shape == (3, 20, ROUTES)
    for row in range(3):
        alone = model(token_ids[row : row + 1])
        assert_same(rows.logits[row], alone.logits[0])
        assert torch.equal(rows.expert_ids[row], alone.expert_ids[0])


@torch.no_grad()
@pytest.mark.parametrize("mixers", ["LSL", "L", "S"])
def test_prefill_and_decoding_equal_one_forward_at_every_cut(mixers: str) -> None:
    config = CONFIG.replace(mixers=mixers)
    model, token_ids = make_model(config), draw_tokens(1, LENGTH)
    expected = model(token_ids)
    for cut in range(0, LENGTH, 1 if mixers == "LSL" else 7):
        cache = Cache.allocate(config, num_rows=1, max_length=LENGTH, dtype=torch.float64)
        parts = [token_ids[:, :cut]] if cut else []
        parts += list(token_ids[:, cut:].split(1, dim=1))
        outputs = [model(part, cache=cache) for part in parts]
        assert_same(torch.cat([o.logits for o in outputs], dim=1), expected.logits)
        assert torch.equal(torch.cat([o.expert_ids for o in outputs], dim=1), expected.expert_ids)
        assert cache.lengths_R.tolist() == [LENGTH]


@torch.no_grad()
def test_replaying_the_recorded_experts_gives_identical_outputs() -> None:
    model, token_ids = make_model(), draw_tokens(2, LENGTH)
    recorded = model(token_ids)
    replayed = model(token_ids, expert_ids=recorded.expert_ids.to(torch.int8))
    assert torch.equal(replayed.logits, recorded.logits)
    assert torch.equal(replayed.expert_ids, recorded.expert_ids)


def test_replay_uses_the_experts_it_is_given_with_fresh_weights() -> None:
    model, token_ids = make_model(), draw_tokens(1, 12)
    generator = torch.Generator().manual_seed(5)
    scores = torch.rand(12, CONFIG.num_layers, CONFIG.num_experts, generator=generator)
    asked = scores.topk(PER_TOKEN).indices.flatten(1)
    replayed = model(token_ids, expert_ids=asked[None].to(torch.int8))
    assert torch.equal(replayed.expert_ids[0], asked)
    assert_same(replayed.logits[0], reference_model(model, token_ids[0], asked)[0])
    assert (replayed.logits - model(token_ids).logits).abs().max() > 0.1
    router = next(model.blocks()).block_sparse_moe.gate.weight
    assert torch.autograd.grad(replayed.logits.square().sum(), router)[0].any(), "the weights are not computed afresh"


def test_replay_of_another_shape_is_refused() -> None:
    with pytest.raises(DataError, match=r"expert_ids \[1, 12, 5\]; allowed: \[1, 12, 6\]"):
        make_model()(draw_tokens(1, 12), expert_ids=torch.zeros(1, 12, ROUTES - 1, dtype=torch.int64))


def test_bfloat16_weights_give_float32_logits_close_to_the_exact_ones() -> None:
    model, token_ids = make_model().bfloat16(), draw_tokens(1, LENGTH)
    with torch.no_grad():
        rounded = model(token_ids)
        exact = model.double()(token_ids, expert_ids=rounded.expert_ids)
    assert rounded.logits.dtype == torch.float32
    assert (rounded.logits - exact.logits).norm() / exact.logits.norm() < 0.02


def test_the_router_of_a_bfloat16_model_weighs_in_float32() -> None:
    """The router logits 256 and 257 are one number in bfloat16: the choice and the weights would be a tie."""
    router = Router(CONFIG).bfloat16()
    x = torch.zeros(1, CONFIG.hidden_size).bfloat16()
    x[0, :2] = 1.0
    with torch.no_grad():
        router.weight.zero_()
        router.weight[:2, 0] = 256.0
        router.weight[1, 1] = 1.0
        weights, routing = router(x, None)
    assert routing.expert_ids.tolist() == [[1, 0]]
    assert weights.dtype == torch.float32
    torch.testing.assert_close(weights[0, 0], torch.tensor(1.0).sigmoid())


def test_initial_weights_follow_the_seed_and_deepnorms_gains() -> None:
    config = CONFIG.replace(hidden_size=64, num_heads=4, intermediate_size=64, num_experts=8)
    state, gain = Model(config, seed=1).state_dict(), (8 * config.num_layers) ** -0.25
    again, other = Model(config, seed=1).state_dict(), Model(config, seed=2).state_dict()
    assert all(torch.equal(state[name], again[name]) for name in state)
    assert not torch.equal(state["lm_head.weight"], other["lm_head.weight"])
    qkv = state["layers.0.self_attn.qkv_proj.weight"].unflatten(0, (4, 3, 16))
    for tensor, fans, factor in (
        (qkv[:, 0], (64, 64), 1.0),
        (qkv[:, 1], (64, 64), 1.0),
        (qkv[:, 2], (64, 64), gain),
        (state["layers.0.self_attn.out_proj.weight"], (64, 64), gain),
        (state["layers.0.self_attn.output_gate.weight"], (64, 64), 1.0),
        (state["layers.1.self_attn.q_proj.weight"], (64, 64), 1.0),
        (state["layers.1.self_attn.k_proj.weight"], (64, 16), 1.0),
        (state["layers.1.self_attn.v_proj.weight"], (64, 16), gain),
        (state["layers.1.self_attn.o_proj.weight"], (64, 64), gain),
        (state["layers.1.block_sparse_moe.experts.w13"], (64, 64), gain),
        (state["layers.1.block_sparse_moe.experts.w2"], (64, 64), gain),
    ):
        assert tensor.std().item() == pytest.approx(factor * (2 / sum(fans)) ** 0.5, rel=0.08)
    assert all((state[name] == 1).all() for name in state if name.endswith("norm.weight"))


def test_m1_has_456b_parameters_of_which_a_token_touches_45_9b() -> None:
    config = PRESETS["m1_456b"]
    assert config.num_parameters() == 456_089_655_296
    assert config.num_active_parameters() == pytest.approx(45.9e9, rel=0.002)
    with torch.device("meta"):
        model = Model(config)
    assert sum(p.numel() for p in model.parameters()) == 456_089_655_296
    attention = [sum(p.numel() for p in block.self_attn.parameters()) for block in model.blocks()]
    assert attention == ([251_666_432] * 7 + [113_246_208]) * 10
    assert config.num_lightning_layers == 70


@pytest.mark.parametrize(("name", "least", "most"), [("tiny", 1e6, 3e6), ("small", 45e6, 55e6)])
def test_small_presets_have_the_promised_size(name: str, least: float, most: float) -> None:
    with torch.device("meta"):
        model = Model(PRESETS[name])
    assert sum(p.numel() for p in model.parameters()) == PRESETS[name].num_parameters()
    assert least <= PRESETS[name].num_parameters() <= most


def test_presets_stay_in_the_envelope_that_exports_exactly() -> None:
    for config in PRESETS.values():
        assert "".join(map(config.mixer, range(config.num_layers))) == "LLLLLLLS" * (config.num_layers // 8)
        assert config.num_heads & (config.num_heads - 1) == 0
        assert config.rotary_width * 2 == config.head_dim
        assert config.residual_beta == 1.0
        assert (config.rms_norm_eps, config.lightning_norm_eps) == (1e-5, 1e-6)


def test_active_parameters_leave_out_the_other_experts_embedding_and_head() -> None:
    model = make_model()
    idle = (CONFIG.num_experts - PER_TOKEN) * 3 * CONFIG.hidden_size * CONFIG.intermediate_size * CONFIG.num_layers
    ends = model.embed_tokens.weight.numel() + model.lm_head.weight.numel()
    assert CONFIG.num_active_parameters() == sum(p.numel() for p in model.parameters()) - idle - ends


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *[({name: 0}, f"{name}=0; allowed: at least 1") for name in (
            "vocab_size", "hidden_size", "num_layers", "num_heads", "num_kv_heads", "head_dim", "intermediate_size",
            "num_experts", "num_experts_per_token",
        )],
        ({"num_experts_per_token": 5}, "num_experts_per_token=5; allowed: at most num_experts=4"),
        ({"num_heads": 3, "num_kv_heads": 2}, "num_kv_heads=2; allowed: divisors of num_heads=3"),
        ({"mixers": ""}, "mixers=''; allowed: a non-empty pattern"),
        ({"mixers": "LXS"}, "mixers='LXS'; allowed: a non-empty pattern"),
        ({"rotary_dim": 3}, "rotary_dim=3; allowed: even, from 0 to head_dim=16"),
        ({"rotary_dim": 18}, "rotary_dim=18; allowed: even, from 0 to head_dim=16"),
        ({"rotary_dim": -2}, "rotary_dim=-2; allowed: even, from 0 to head_dim=16"),
    ],
)  # fmt: skip
def test_a_shape_that_cannot_work_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CONFIG.replace(**changes)


def test_an_unknown_preset_is_refused_with_the_known_ones() -> None:
    assert preset("tiny") is PRESETS["tiny"]
    with pytest.raises(ConfigError, match="preset='huge'; allowed: tiny, small, m1_456b"):
        preset("huge")

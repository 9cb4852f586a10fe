"""DeepSeek's pieces in training: load by bias alone, sequence-wise balance, shared experts, several tokens ahead."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from fulmen.errors import ConfigError
from fulmen.model import Model, ModelConfig
from fulmen.model.block import Carried
from fulmen.model.checkpoint import load_model, save_model
from fulmen.model.config import RouterShape
from fulmen.model.layout import make_layout
from fulmen.model.moe import max_violation, sequence_balance
from fulmen.train import AdamW, Trainer
from fulmen.train.packing import Document, pack
from fulmen.train.sft import cross_entropy

SIGMOID = RouterShape(score="sigmoid", scale=2.5, num_groups=4, num_kept_groups=2, has_bias=True, balance="sequence")
CONFIG = ModelConfig(
    vocab_size=48, hidden_size=24, num_layers=3, num_heads=2, num_kv_heads=1, head_dim=8, intermediate_size=12,
    num_experts=8, num_experts_per_token=2, mixers="LS", mlps="DEE", num_shared_experts=1, router=SIGMOID,
    rope_theta=100.0,
)  # fmt: skip
LENGTHS = (9, 4, 17, 6)


def make_model(config: ModelConfig = CONFIG, seed: int = 0) -> Model:
    model = Model(config, seed=seed).double()
    with torch.no_grad():
        model.embed_tokens.weight.mul_(20.0)
        model.lm_head.weight.mul_(20.0)
    return model


def make_batch(lengths: tuple[int, ...] = LENGTHS, seed: int = 0):  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(seed)
    return pack(
        [
            Document(token_ids=rng.integers(0, 48, n), mask=np.arange(n) >= 2, token_weight=1 / sum(lengths))
            for n in lengths
        ]
    )


def test_the_bias_alone_evens_a_skewed_router() -> None:
    """MaxVio under 0.3 within 200 steps, no auxiliary loss: the router is made to prefer two of eight experts."""
    router = dataclasses.replace(SIGMOID, num_groups=1, num_kept_groups=1)
    config = CONFIG.replace(num_layers=1, mlps="E", mixers="S", router=router, vocab_size=2000)
    model = Model(config, seed=0)
    with torch.no_grad():
        model.embed_tokens.weight.add_(0.01)
        model.layers[0].block_sparse_moe.gate.weight[:2] += 0.3
    trainer = Trainer(model, AdamW(model.parameters(), lr=0.0), router_bias_rate=0.01)
    rng = np.random.default_rng(0)
    found = []
    for _ in range(90):
        documents = [
            Document(token_ids=rng.integers(0, 2000, 60), mask=np.arange(60) == 59, token_weight=1.0) for _ in range(8)
        ]
        found.append(trainer.step(pack(documents), cross_entropy).metrics["max_violation"])
    assert found[0] > 1.5
    assert np.mean(found[-20:]) < 0.3


def test_a_bias_moves_by_the_sign_of_the_load_of_the_whole_step() -> None:
    """However the batch is cut; gradients, and so weights, are not touched by it."""
    batch = make_batch()
    biases, weights = [], []
    for micro_batch_tokens in (4, 10_000):
        model = make_model()
        trainer = Trainer(
            model, AdamW(model.parameters(), lr=0.0), router_bias_rate=0.125, micro_batch_tokens=micro_batch_tokens
        )
        loads = model.encode(
            torch.from_numpy(batch.token_ids_T)[None], cu_seqlens=torch.from_numpy(batch.cu_seqlens)
        ).loads
        trainer.step(batch, cross_entropy)
        routers = [block.block_sparse_moe.gate for block in model.blocks() if block.has_experts]
        for router, load in zip(routers, loads.double(), strict=True):
            expected = 0.125 * torch.sign(load.mean() - load)
            assert torch.equal(router.bias, expected.float())
        biases.append(torch.stack([router.bias for router in routers]))
        weights.append(routers[0].weight.detach().clone())
    assert torch.equal(*biases)
    assert torch.equal(*weights)
    assert biases[0].abs().max() > 0


def test_the_bias_is_saved_with_the_model_and_not_trained(tmp_path) -> None:  # type: ignore[no-untyped-def]
    model = make_model().float()
    with torch.no_grad():
        for block in model.blocks():
            if block.has_experts:
                block.block_sparse_moe.gate.bias.uniform_(-1, 1)
    save_model(model, tmp_path / "m")
    again = load_model(tmp_path / "m", dtype=torch.bfloat16)
    assert again.config == CONFIG
    for name, tensor in model.state_dict().items():
        if name.endswith("gate.bias"):
            assert again.state_dict()[name].dtype == torch.float32
            assert torch.equal(again.state_dict()[name], tensor)
    assert not any(name.endswith("gate.bias") for name, _ in model.named_parameters())


def test_sequence_balance_by_hand() -> None:
    """Two documents of two tokens, three experts, top 1: sum_e f_e P_e of each, averaged."""
    p = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.5, 0.3, 0.2], [0.8, 0.1, 0.1]], dtype=torch.float64)
    document = torch.tensor([0, 0, 1, 1])
    top = p.argmax(-1, keepdim=True)
    first = 1.5 * 0.4 + 1.5 * 0.5  # f = 3/2 for experts 0 and 1
    second = 3.0 * 0.65  # f = 3 for expert 0
    assert float(sequence_balance(top, p, document)) == pytest.approx((first + second) / 2, abs=1e-12)
    even = torch.full((4, 4), 0.25, dtype=torch.float64)
    spread = torch.tensor([[0], [1], [2], [3]])
    assert float(sequence_balance(spread, even, torch.zeros(4, dtype=torch.int64))) == pytest.approx(1.0)


def test_packed_balance_is_the_mean_of_the_documents_own() -> None:
    model = make_model()
    batch = make_batch()
    packed = model.encode(
        torch.from_numpy(batch.token_ids_T)[None], cu_seqlens=torch.from_numpy(batch.cu_seqlens)
    ).balance_loss
    borders = batch.cu_seqlens.tolist()
    alone = [
        model.encode(torch.from_numpy(batch.token_ids_T[a:b])[None]).balance_loss.item() for a, b in pairwise(borders)
    ]
    assert packed.item() == pytest.approx(np.mean(alone), rel=1e-10)
    assert max(alone) - min(alone) > 1e-3


def test_max_violation() -> None:
    loads = torch.tensor([[5, 5, 5, 5], [20, 0, 0, 0], [8, 4, 4, 4]])
    assert max_violation(loads).tolist() == pytest.approx([0.0, 3.0, 0.6])


def test_shared_experts_see_every_token() -> None:
    model = make_model()
    moe = model.layers[1].block_sparse_moe
    x = torch.randn(5, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with_shared, _ = moe(x, None)
    gate, up = (x @ moe.shared_experts.w13.weight.T).chunk(2, dim=-1)
    shared = (gate * torch.sigmoid(gate) * up) @ moe.shared_experts.w2.weight.T
    moe.has_shared = False
    torch.testing.assert_close(with_shared - moe(x, None)[0], shared, rtol=1e-10, atol=1e-12)


MTP = CONFIG.replace(mtp_depth=2)


def mtp_loss_by_hand(model: Model, tokens: list[int], targets: list[int], trained: list[bool]) -> Tensor:
    """Returns the sum of -log p of each module over one document, from the formula."""
    hidden: list[Tensor] = []
    last = model.layers[-1]
    handle = last.register_forward_hook(
        lambda _, inputs, outputs: hidden.append(last.close(outputs[0], model.norm).stream)
    )
    model(torch.tensor([tokens]))
    handle.remove()
    h, total = hidden[0], torch.zeros((), dtype=torch.float64)
    for depth, module in enumerate(model.mtp, start=1):
        count = len(tokens) - depth
        ahead = model.embed_tokens(torch.tensor(tokens[depth:]))
        if count < 1:
            break
        joined = torch.cat((module.enorm(ahead), module.hnorm(h[:count])), dim=-1) @ module.eh_proj.weight.T
        layout = make_layout(torch.zeros(1, count, dtype=torch.int64), None, None)
        h = module.block.close(module.block(Carried(joined), layout)[0], module.norm).stream
        logp = (module.norm(h) @ model.lm_head.weight.T).log_softmax(-1)
        for i in range(count):
            if trained[i + depth]:
                total = total - logp[i, targets[i + depth]]
    return total


@pytest.mark.parametrize("micro_batch_tokens", [4, 10_000])
def test_mtp_loss_of_packed_documents_is_that_of_each_alone(micro_batch_tokens: int) -> None:
    model, batch = make_model(MTP), make_batch()
    trainer = Trainer(
        model, AdamW(model.parameters(), lr=0.0), mtp_coefficient=0.3, micro_batch_tokens=micro_batch_tokens
    )
    metrics = trainer.step(batch, cross_entropy).metrics
    borders = batch.cu_seqlens.tolist()
    by_hand = sum(
        mtp_loss_by_hand(
            model, batch.token_ids_T[a:b].tolist(), batch.target_ids_T[a:b].tolist(), batch.mask_T[a:b].tolist()
        )
        for a, b in pairwise(borders)
    )
    weight = float(batch.token_weights_T[batch.mask_T][0])
    assert metrics["mtp_loss"] == pytest.approx(weight * by_hand.item() / 2, rel=1e-6)


def test_mtp_changes_no_logit_shares_embedding_and_head_and_learns() -> None:
    model, plain = make_model(MTP), make_model()
    state = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("mtp.")}
    plain.load_state_dict(state)
    tokens = torch.arange(12)[None]
    assert torch.equal(model(tokens).logits, plain(tokens).logits)
    assert sum("embed" in name or "head" in name for name in model.state_dict()) == 2
    assert MTP.num_parameters() == sum(p.numel() for p in model.parameters())
    trainer = Trainer(model, AdamW(model.parameters(), lr=3e-3), mtp_coefficient=1.0, router_bias_rate=0.001)
    found = [trainer.step(make_batch(), cross_entropy).metrics["mtp_loss"] for _ in range(12)]
    assert found[-1] < 0.8 * found[0]
    assert all(model.mtp[depth].block.block_sparse_moe.gate.bias.any() for depth in (0, 1))


def test_the_order_of_embedding_and_hidden_matters() -> None:
    model = make_model(MTP)
    tokens = torch.arange(12)[None]
    before = model.encode(tokens, with_mtp=True).mtp[0]
    with torch.no_grad():
        weight = model.mtp[0].eh_proj.weight
        weight.copy_(torch.cat(weight.chunk(2, dim=1)[::-1], dim=1))
    assert (model.encode(tokens, with_mtp=True).mtp[0] - before).abs().max() > 0.1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mtp_coefficient": 0.3}, "mtp_coefficient=0.3; allowed: 0 without MTP modules"),
        ({"router_bias_rate": -1.0}, "router_bias_rate=-1.0; allowed: at least 0"),
        ({"mtp_coefficient": -1.0}, "mtp_coefficient=-1.0; allowed: at least 0"),
    ],
)
def test_settings_that_the_model_lacks_are_refused(settings: dict[str, float], message: str) -> None:
    model = make_model()
    with pytest.raises(ConfigError, match=message):
        Trainer(model, AdamW(model.parameters(), lr=0.0), **settings)
    bare = make_model(CONFIG.replace(router=RouterShape()))
    with pytest.raises(ConfigError, match=r"router_bias_rate=0\.1; allowed: 0 for routers without a bias"):
        Trainer(bare, AdamW(bare.parameters(), lr=0.0), router_bias_rate=0.1)

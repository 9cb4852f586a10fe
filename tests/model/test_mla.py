"""Latent attention: the two ways of computing it, what it caches, and YaRN's numbers. The rest is conformance."""

import pytest
import torch

from fulmen.model import Cache, ModelConfig
from fulmen.model.cache import BLOCK, block_bytes
from fulmen.model.config import MlaShape
from fulmen.model.layout import make_layout
from fulmen.model.mixers.mla import MlaMixer
from fulmen.model.rope import RopeScaling, inverse_frequencies, yarn_borders

DEEPSEEK = RopeScaling(kind="yarn", factor=40.0, original_length=4096, mscale=1.0, mscale_all_dim=1.0)
CONFIG = ModelConfig(
    vocab_size=64, hidden_size=64, num_layers=1, num_heads=4, num_kv_heads=4, head_dim=24, intermediate_size=32,
    num_experts=0, mlps="D", mixers="M", mla=MlaShape(kv_rank=16, rope_dim=8, value_dim=16, q_rank=24),
    residual="plain", rope_theta=1e4, rope_scaling=DEEPSEEK,
)  # fmt: skip


@torch.no_grad()
def test_absorbed_equals_naive_in_float64() -> None:
    generator = torch.Generator().manual_seed(0)
    mixer = MlaMixer(CONFIG, 0, 0)
    mixer.init_weights(1.0, generator)
    mixer.double()
    cache = Cache.allocate(CONFIG, num_rows=3, max_length=40, dtype=torch.float64)
    cache.pool.keys_W_P_J_C_D.normal_(generator=generator)
    cache.lengths_R.copy_(torch.tensor([39, 20, 7]))
    x = torch.randn(3, 64, dtype=torch.float64, generator=generator)
    layout = make_layout(torch.zeros(1, 3, dtype=torch.int64), torch.arange(4), cache)
    stored = cache.pool.keys_W_P_J_C_D[0, 1:]
    q = mixer.q_b_proj(mixer.q_a_layernorm(mixer.q_a_proj(x))).unflatten(-1, (4, 24)) * 5
    absorbed, naive = (f(q[..., :16], q[..., 16:], stored, layout) for f in (mixer._absorbed, mixer._naive))
    assert naive.abs().max() > 0.5
    assert (absorbed - naive).abs().max() < 1e-10


def test_the_cache_holds_the_latent_and_one_rotated_key_per_token() -> None:
    config = CONFIG.replace(head_dim=192, mla=MlaShape(kv_rank=512, rope_dim=64, value_dim=128, q_rank=1536))
    assert block_bytes(config, torch.bfloat16) == BLOCK * 576 * 2


def test_yarn_of_deepseek_v3() -> None:
    assert yarn_borders(64, 1e4, DEEPSEEK) == (10.0, 23.0)
    assert DEEPSEEK.softmax_factor == pytest.approx(1.87385, abs=1e-5)
    assert DEEPSEEK.amplitude == 1.0
    assert 192**-0.5 * DEEPSEEK.softmax_factor == pytest.approx(0.135234, abs=1e-6)
    ratio = inverse_frequencies(64, 1e4, None) / inverse_frequencies(64, 1e4, DEEPSEEK)
    assert (ratio[:11] == 1).all()
    torch.testing.assert_close(ratio[23:], torch.full((9,), 40.0))
    assert (ratio.diff() >= -1e-5).all()

"""A hybrid made of a softmax model: most attention layers become lightning attention, everything else is kept.

q, k, v and o carry over (key/value heads repeated for their query heads); rotation is dropped, since the decay tells
near from far. Two choices make a new layer start near the old one. v is made small, where silu is nearly linear (the
norm divides the factor out again), and the gate starts at one half everywhere, so that the norm's weight is the only
unknown: it is the least-squares fit, channel by channel, of the old layer's output on given tokens.
Axes: `T` tokens, `D` model width, `H` heads, `K` head width, `C` = H K channels.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from fulmen.errors import ConfigError
from fulmen.model.block import Carried
from fulmen.model.cache import Cache
from fulmen.model.config import ModelConfig
from fulmen.model.layout import Layout, make_layout
from fulmen.model.mixers.lightning import LightningMixer
from fulmen.model.mixers.softmax import SoftmaxMixer
from fulmen.model.transformer import Model

SMALL = 0.1
"""Root mean square of the carried-over v before silu; silu(z) = z/2 + z^2/4 - ..."""


def hybrid_config(config: ModelConfig, mixers: str) -> ModelConfig:
    """Returns the shape of the hybrid.

    Raises: ConfigError for a source that is not all softmax attention, or has biases that lightning attention lacks.
    """
    stack = {config.mixer(layer) for layer in range(config.num_layers)}
    if stack != {"S"}:
        raise ConfigError(f"the source has mixers={config.mixers!r}; allowed: softmax attention (S) in every layer")
    if config.attention_bias != "none":
        raise ConfigError(f"the source has attention_bias={config.attention_bias!r}; allowed: 'none'")
    if set(mixers) - set("LS") or "L" not in mixers:
        raise ConfigError(f"mixers={mixers!r}; allowed: a pattern of L and S with at least one L")
    return config.replace(mixers=mixers)


@torch.no_grad()
def make_hybrid(source: Model, mixers: str, token_ids: Int[Tensor, "B T"]) -> Model:
    """Returns the hybrid of a softmax model; `token_ids` are what the norms of its new layers are fitted on.

    Layers are converted first to last and each is fitted on the source's own activations, so none depends on another.

    Raises: ConfigError for a source that cannot be converted.
    """
    with torch.device("meta"):
        hybrid = Model(hybrid_config(source.config, mixers))
    first = source.embed_tokens.weight
    hybrid = hybrid.to(first.dtype).to_empty(device=first.device)
    state = source.state_dict()
    missing = hybrid.load_state_dict(
        {name: tensor for name, tensor in state.items() if name in hybrid.state_dict()}, strict=False
    ).missing_keys
    assert all(".self_attn." in name for name in missing), "only mixers differ"
    layout = make_layout(token_ids, None, None)
    carried = Carried(source.embed_tokens(token_ids.flatten()))
    for old, new in zip(source.blocks(), hybrid.blocks(), strict=True):
        mixer = new.self_attn
        if isinstance(mixer, LightningMixer):
            assert isinstance(old.self_attn, SoftmaxMixer), "hybrid_config has checked the source"
            x = old.close(carried, old.input_layernorm).normed
            target = old.self_attn.mix(x, layout)
            _carry_over(old.self_attn, mixer, v_scale=SMALL / float(old.self_attn.v_proj(x).square().mean().sqrt()))
            nn.init.ones_(mixer.norm.weight)
            mixer.norm.weight.copy_(_fit(0.5 * _normed_output(mixer, x, layout), target))
        carried, _ = old(carried, layout)
    return hybrid


@torch.no_grad()
def sample_text(
    model: Model, *, first_id: int, vocab_size: int, num_rows: int, num_tokens: int, seed: int
) -> Int[Tensor, "B T"]:
    """Returns what the model writes by itself after `first_id`, at temperature 1: text to fit on when there is none."""
    device = model.embed_tokens.weight.device
    generator = torch.Generator().manual_seed(seed)
    cache = Cache.allocate(
        model.config, num_rows=num_rows, max_length=num_tokens, dtype=model.embed_tokens.weight.dtype, device=device
    )
    rows = [torch.full((num_rows, 1), first_id, dtype=torch.int64, device=device)]
    while len(rows) < num_tokens:
        p = model(rows[-1], cache=cache).logits[:, -1, :vocab_size].softmax(-1).cpu()
        rows.append(torch.multinomial(p, 1, generator=generator).to(device))
    return torch.cat(rows, dim=1)


def _carry_over(old: SoftmaxMixer, new: LightningMixer, *, v_scale: float) -> None:
    config = old.config
    share = config.num_heads // config.num_kv_heads
    per_head = new.qkv_proj.weight.unflatten(0, (config.num_heads, 3, config.head_dim))
    q, k, v = (
        projection.weight.unflatten(0, (-1, config.head_dim)).repeat_interleave(count, dim=0)
        for projection, count in ((old.q_proj, 1), (old.k_proj, share), (old.v_proj, share))
    )
    for part, weight in enumerate((q, k, v_scale * v)):
        per_head[:, part] = weight
    nn.init.zeros_(new.output_gate.weight)
    new.out_proj.weight.copy_(old.o_proj.weight)


def _normed_output(mixer: LightningMixer, x: Tensor, layout: Layout) -> Tensor:
    """Returns the normed heads of a mixer whose gate is still one half everywhere."""
    return 2.0 * mixer.mix(x, layout)


def _fit(basis: Float[Tensor, "T C"], target: Float[Tensor, "T C"]) -> Float[Tensor, "C"]:
    """Returns the factor of each channel that brings `basis` nearest to `target` in squares."""
    basis, target = basis.float(), target.float()
    return (basis * target).sum(0) / basis.square().sum(0).clamp_min(1e-12)

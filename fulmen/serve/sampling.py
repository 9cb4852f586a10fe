"""From logits to tokens: temperature, nucleus, and noise that belongs to the request.

Noise is counter-based: a hash of (request seed, position). A completion is therefore a function of its request and
the weights, whatever else is in the batch. Axes: `R` rows, `V` vocabulary.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
MIX_1 = 0xBF58476D1CE4E5B9 - (1 << 64)
MIX_2 = 0x94D049BB133111EB - (1 << 64)


class Sampled(NamedTuple):
    """One token per row."""

    token_ids: Tensor
    """int64 `[R]`."""
    logprob: Tensor
    """float32 `[R]`, under the distribution sampled from (after temperature and nucleus)."""
    model_p: Tensor
    """float32 `[R]`, probability of the token under the model itself."""


def uniform(seed_R: Int[Tensor, "R"], position_R: Int[Tensor, "R"]) -> Float[Tensor, "R"]:
    """Returns float64 noise in [0, 1) that depends on (seed, position) alone: SplitMix64 of a counter.

    Source: Steele, Lea and Flood, OOPSLA 2014.
    """
    x = _mix(seed_R) + (position_R + 1) * GOLDEN
    return _shift(_mix(x), 11).double() * 2.0**-53


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shift(x, 30)) * MIX_1
    x = (x ^ _shift(x, 27)) * MIX_2
    return x ^ _shift(x, 31)


def _shift(x: Tensor, bits: int) -> Tensor:
    """Returns x shifted right as an unsigned integer; torch shifts int64 with its sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def sample(
    logits: Float[Tensor, "R V"],
    temperature_R: Float[Tensor, "R"],
    top_p_R: Float[Tensor, "R"],
    uniform_R: Float[Tensor, "R"],
) -> Sampled:
    """Returns one token per row by inverting the distribution function at `uniform_R`.

    Temperature 0 takes the most probable token (its sampling log-probability is 0). The nucleus is the smallest set
    of most probable tokens, after temperature, whose mass reaches `top_p`.
    """
    greedy_R = temperature_R == 0
    scale_R1 = torch.where(greedy_R, 1.0, temperature_R)[:, None]
    logp = torch.log_softmax(logits / scale_R1, dim=-1)
    p = logp.exp()
    if bool((top_p_R < 1).any()):
        ranked, order = p.sort(dim=-1, descending=True, stable=True)
        # Rounding lets the mass before the tail reach 1: rows without a nucleus must not lose their tail to that.
        outside = (ranked.cumsum(-1) - ranked >= top_p_R[:, None]) & (top_p_R < 1)[:, None]
        p = p.masked_fill(torch.zeros_like(outside).scatter(-1, order, outside), 0.0)
    cumulative = p.double().cumsum(-1)
    mass_R1 = cumulative[:, -1:]
    drawn = torch.searchsorted(cumulative, uniform_R[:, None] * mass_R1, right=True)
    last = (p > 0).double().cumsum(-1).argmax(-1, keepdim=True)
    drawn = torch.where(greedy_R[:, None], logits.argmax(-1, keepdim=True), torch.minimum(drawn, last))
    sampled_logp = logp.gather(-1, drawn).squeeze(-1)
    # Without truncation the mass is 1 up to rounding; dividing by it would only add that rounding.
    sampled_logp = torch.where(top_p_R < 1, sampled_logp - mass_R1.squeeze(-1).log().to(logp.dtype), sampled_logp)
    model_p = logp.gather(-1, drawn).squeeze(-1).exp()
    if bool((temperature_R != 1).any()):
        # Row by row: a row at temperature 1 must not be rounded otherwise because of its neighbours.
        tempered = torch.softmax(logits, dim=-1).gather(-1, drawn).squeeze(-1)
        model_p = torch.where(temperature_R == 1, model_p, tempered)
    return Sampled(drawn.squeeze(-1), torch.where(greedy_R, 0.0, sampled_logp), model_p)

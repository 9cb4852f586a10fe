"""From logits to tokens: temperature, truncation, and noise that belongs to the request.

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
    """float32 `[R]`, under the distribution sampled from (after temperature and truncation)."""
    model_logprob: Tensor
    """float32 `[R]`, under the model itself: its own logits at temperature 1."""
    model_p: Tensor
    """float32 `[R]`, the same as a probability."""


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
    uniform_R: Float[Tensor, "R"] | None = None,
    *,
    seed_R: Int[Tensor, "R"] | None = None,
    position_R: Int[Tensor, "R"] | None = None,
    top_k_R: Int[Tensor, "R"] | None = None,
    min_p_R: Float[Tensor, "R"] | None = None,
    model_logits: Float[Tensor, "R V"] | None = None,
    num_real: int | None = None,
    barred_R: Int[Tensor, "R"] | None = None,
) -> Sampled:
    """Returns one token per row by inverting the distribution function at its noise, in the order of the vocabulary.

    Noise is `uniform_R`, or that of (seed_R, position_R). Temperature 0 takes the most probable token, the first of
    equals (its sampling log-probability is 0). Else, after temperature: the `top_k` most probable tokens stay (0 keeps
    all); of these the smallest set of most probable ones whose mass reaches `top_p` of theirs; of these the ones that
    are at least `min_p` times as probable as the most probable token. Of equal tokens at an edge the first stay.

    `model_logits` are what the model said, where `logits` were adjusted since. Columns from `num_real` on are padding;
    `barred_R` holds a token of each row that cannot be drawn, -1 for none, which the model's probability knows nothing
    of. A row's result depends on that row alone.

    On CUDA float32 logits go to one kernel, and nothing is read back to the host; edges and borders may there fall
    otherwise where they are within rounding (1e-6 of the mass for top_p, 1e-7 elsewhere).
    """
    noise_R, is_seed = (uniform_R, False) if uniform_R is not None else (seed_R, True)
    assert noise_R is not None, "noise comes as numbers, or as seeds and positions"
    assert position_R is not None or not is_seed, "noise comes as numbers, or as seeds and positions"
    num_real = logits.shape[1] if num_real is None else num_real
    if logits.is_cuda and logits.dtype == torch.float32:
        from fulmen.kernels.sample_triton import sample_triton

        return Sampled(
            *sample_triton(
                logits, temperature_R, top_p_R, noise_R, position_R=position_R if is_seed else None, top_k_R=top_k_R,
                min_p_R=min_p_R, model_logits=model_logits, num_real=num_real, barred_R=barred_R,
            )
        )  # fmt: skip
    if is_seed and position_R is not None:
        noise_R = uniform(noise_R, position_R)
    columns = torch.arange(logits.shape[1], device=logits.device)
    if num_real < logits.shape[1]:
        logits = logits.masked_fill(columns >= num_real, -torch.inf)
        model_logits = None if model_logits is None else model_logits.masked_fill(columns >= num_real, -torch.inf)
    if barred_R is not None:
        model_logits = logits if model_logits is None else model_logits
        logits = logits.masked_fill(columns == barred_R[:, None], -torch.inf)
    greedy_R = temperature_R == 0
    scale_R1 = torch.where(greedy_R, 1.0, temperature_R)[:, None]
    logp = torch.log_softmax(logits / scale_R1, dim=-1)
    p = logp.exp()
    is_cut_R = top_p_R < 1
    if top_k_R is not None:
        is_cut_R = is_cut_R | (top_k_R > 0)
    if _may_hold(is_cut_R):
        p = _truncate(p, top_p_R, torch.zeros_like(top_p_R, dtype=torch.int64) if top_k_R is None else top_k_R)
    if min_p_R is not None:
        is_cut_R = is_cut_R | (min_p_R > 0)
        p = p.masked_fill(p < min_p_R[:, None] * p.amax(-1, keepdim=True), 0.0)
    cumulative = p.double().cumsum(-1)
    mass_R1 = cumulative[:, -1:]
    drawn = torch.searchsorted(cumulative, noise_R[:, None] * mass_R1, right=True)
    last = (p > 0).double().cumsum(-1).argmax(-1, keepdim=True)
    drawn = torch.where(greedy_R[:, None], logits.argmax(-1, keepdim=True), torch.minimum(drawn, last))
    sampled_logp = logp.gather(-1, drawn).squeeze(-1)
    # Without truncation the mass is 1 up to rounding; dividing by it would only add that rounding.
    sampled_logp = torch.where(is_cut_R, sampled_logp - mass_R1.squeeze(-1).log().to(logp.dtype), sampled_logp)
    model_logp, model_p = _under_model(logits, logp, drawn, temperature_R, model_logits)
    return Sampled(drawn.squeeze(-1), torch.where(greedy_R, 0.0, sampled_logp), model_logp, model_p)


def _truncate(p: Float[Tensor, "R V"], top_p_R: Float[Tensor, "R"], top_k_R: Int[Tensor, "R"]) -> Float[Tensor, "R V"]:
    """Returns probabilities without what top_k and then top_p cut off."""
    ranked, order = p.sort(dim=-1, descending=True, stable=True)
    reached = ranked.cumsum(-1)
    has_k_R1 = (top_k_R > 0)[:, None]
    outside = (torch.arange(p.shape[1], device=p.device) >= top_k_R[:, None]) & has_k_R1
    mass_R1 = torch.where(has_k_R1, reached.gather(-1, (top_k_R[:, None] - 1).clamp(0, p.shape[1] - 1)), 1.0)
    # Rounding lets the mass before the tail reach 1: rows without a nucleus must not lose their tail to that.
    outside |= (reached - ranked >= top_p_R[:, None] * mass_R1) & (top_p_R < 1)[:, None]
    return p.masked_fill(torch.zeros_like(outside).scatter(-1, order, outside), 0.0)


def _under_model(
    logits: Tensor, logp: Tensor, drawn: Tensor, temperature_R: Tensor, model_logits: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Returns log-probability and probability of the drawn tokens at temperature 1, without adjustments."""
    if model_logits is not None:
        model_logp = model_logits.log_softmax(-1).gather(-1, drawn).squeeze(-1)
        return model_logp, model_logp.exp()
    model_logp = logp.gather(-1, drawn).squeeze(-1)
    model_p = model_logp.exp()
    if _may_hold(temperature_R != 1):
        # Row by row: a row at temperature 1 must not be rounded otherwise because of its neighbours.
        is_plain_R = temperature_R == 1
        model_p = torch.where(is_plain_R, model_p, torch.softmax(logits, dim=-1).gather(-1, drawn).squeeze(-1))
        model_logp = torch.where(is_plain_R, model_logp, logits.log_softmax(-1).gather(-1, drawn).squeeze(-1))
    return model_logp, model_p


def _may_hold(condition_R: Tensor) -> bool:
    """Returns whether some row may fulfil the condition; on CUDA nobody looks, for that would stall the queue."""
    return condition_R.is_cuda or bool(condition_R.any())

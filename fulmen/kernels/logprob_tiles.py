"""Elementwise work on a tile of logits, in torch: what `token_logprobs` needs of it forward and backward.

Per row, four running sums over the vocabulary so far, with z = logits / temperature: the maximum m of z, sum e^(z-m),
sum e^(z-m) (z-m), and z of the target. From them log p = z_y - m - log(sum) and H = log(sum) - weighted / sum, which
unlike lse - sum p z loses nothing where logits are large.
Axes: `T` tokens, `R` rows and `C` columns of a tile, `S` the four sums.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

MAXIMUM, TOTAL, WEIGHTED, TARGET = range(4)


def empty_sums(num_rows: int, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "S T"]:
    """Returns the sums over no column. The target starts as NaN, and stays so if it is in no tile.

    The maximum starts finite: -inf would make NaN of 0 * (m - m').
    """
    sums = torch.zeros(4, num_rows, dtype=dtype, device=device)
    sums[MAXIMUM].fill_(torch.finfo(dtype).min / 2)
    sums[TARGET].fill_(torch.nan)
    return sums


def fold_tile(
    logits: Float[Tensor, "R C"],
    target_ids: Int[Tensor, "R"],
    sums: Float[Tensor, "S R"],
    *,
    first_col: int,
    temperature: float,
) -> None:
    """Adds the columns of a tile, which start at `first_col` of the vocabulary, to `sums`. Overwrites `logits`."""
    if temperature != 1.0:
        logits /= temperature
    cols = target_ids - first_col
    is_inside = (cols >= 0) & (cols < logits.shape[1])
    target = logits.gather(1, cols.clamp(0, logits.shape[1] - 1)[:, None]).squeeze(1)
    maximum = torch.maximum(sums[MAXIMUM], logits.amax(1))
    fall = sums[MAXIMUM] - maximum
    logits -= maximum[:, None]
    e = logits.exp()
    # e^z (z - m) is 0, not NaN, where z is -inf.
    weighted = torch.where(e == 0, e, e * logits).sum(1)
    sums[WEIGHTED] = fall.exp() * (sums[WEIGHTED] + fall * sums[TOTAL]) + weighted
    sums[TOTAL] = fall.exp() * sums[TOTAL] + e.sum(1)
    sums[MAXIMUM] = maximum
    sums[TARGET] = torch.where(is_inside, target, sums[TARGET])


def finish(sums: Float[Tensor, "S T"]) -> tuple[Float[Tensor, "T"], Float[Tensor, "T"], Float[Tensor, "T"]]:
    """Returns log p(target), the entropy, and log sum e^z."""
    log_total = sums[TOTAL].log()
    return (
        sums[TARGET] - sums[MAXIMUM] - log_total,
        log_total - sums[WEIGHTED] / sums[TOTAL],
        sums[MAXIMUM] + log_total,
    )


def tile_gradient(
    logits: Float[Tensor, "R C"],
    target_ids: Int[Tensor, "R"],
    lse: Float[Tensor, "R"],
    entropy: Float[Tensor, "R"],
    d_logprob: Float[Tensor, "R"],
    d_entropy: Float[Tensor, "R"] | None,
    *,
    first_col: int,
    temperature: float,
    dtype: torch.dtype,
) -> Float[Tensor, "R C"]:
    """Returns the logits' gradient in `dtype`: (dlogp (1[y] - p) - dH p (log p + H)) / temperature.

    Overwrites `logits`, and returns them where `dtype` is theirs.
    """
    if temperature != 1.0:
        logits /= temperature
    logp = logits.sub_(lse[:, None])
    p = logp.exp()
    gradient = p * -d_logprob[:, None]
    cols = target_ids - first_col
    is_target = torch.arange(logits.shape[1], device=logits.device) == cols[:, None]
    gradient += torch.where(is_target, d_logprob[:, None], 0.0)
    if d_entropy is not None:
        gradient -= torch.where(p == 0, p, p * (logp + entropy[:, None])) * d_entropy[:, None]
    return torch.div(gradient, temperature, out=logits).to(dtype)

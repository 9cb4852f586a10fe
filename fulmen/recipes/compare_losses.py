"""What the same two numbers do to a token in each public framework's CISPO.

One formula, and a dozen readings of its bounds: `epsilon_high=5` is a cap of 5 here and of 6 there, and 0.2 one of 0.2
or of 1.2. Read from the sources of mid-2026, not run; docs/rl.md has the places.
"""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table

from fulmen.errors import ConfigError
from fulmen.rl import ppo
from fulmen.run import write_json
from fulmen.train import Loss

Convention = Literal["offset", "cap", "cap_offset", "pair", "fixed"]
"""What a framework makes of (low, high): `offset` [1 - low, 1 + high]; `cap` [0, high]; `cap_offset` [0, 1 + high];
`pair` [low, high]; `fixed` its own numbers whatever is asked."""


@dataclass(frozen=True, kw_only=True)
class Framework:
    """How one framework clamps the weight, and what it puts around it."""

    name: str
    convention: Convention
    low: float
    """Its default, in its own convention."""
    high: float
    aggregation: str
    anchor: str
    setting: str
    """What to write for weights in [0, CAP]; {cap} is CAP, {offset} CAP - 1."""
    note: str = ""

    def bounds(self, low: float | None, high: float | None) -> tuple[float, float]:
        """Returns the range of the weight for the user's numbers; None is the framework's default."""
        if self.convention == "fixed":
            return self.low, self.high
        low, high = self.low if low is None else low, self.high if high is None else high
        if self.convention == "offset":
            return 1.0 - low, 1.0 + high
        return (low if self.convention == "pair" else 0.0), (high + 1.0 if self.convention == "cap_offset" else high)


OFFSETS = "low=1, high={offset:g}"
FRAMEWORKS = (
    Framework(
        name="fulmen", convention="cap", low=0.0, high=5.0, aggregation="prompt_token", anchor="rollout",
        setting="weight_max={cap:g}",
    ),
    Framework(
        name="TRL 1.16", convention="cap", low=0.0, high=0.2, aggregation="batch token, rescaled", anchor="recomputed",
        setting="epsilon_high={cap:g}",
        note="without epsilon_high it takes epsilon, 0.2, and says nothing; r = 1 with one update per batch",
    ),
    Framework(
        name="swift, Liger, unsloth", convention="cap", low=0.0, high=0.2, aggregation="batch token",
        anchor="recomputed", setting="epsilon_high={cap:g}", note="its documentation says to set 5.0",
    ),
    Framework(
        name="verl 0.9.1", convention="offset", low=0.2, high=0.2, aggregation="batch token",
        anchor="recomputed x rollout weight", setting=OFFSETS, note="its example has low=10, a bound of -9",
    ),
    Framework(
        name="SkyRL", convention="offset", low=1.0, high=4.0, aggregation="batch token", anchor="old or rollout",
        setting=OFFSETS, note="until 2026-07-18 its floor was 1",
    ),
    Framework(
        name="slime", convention="offset", low=0.2, high=0.2, aggregation="sequence", anchor="recomputed or rollout",
        setting=OFFSETS, note="warns that 1.0 and 4.0 are canonical",
    ),
    Framework(
        name="AReaL", convention="offset", low=0.2, high=4.0, aggregation="batch token",
        anchor="proximal x behaviour weight", setting=OFFSETS, note="high must be given; 4.0 is what its help says",
    ),
    Framework(
        name="NeMo-RL", convention="offset", low=0.2, high=0.2, aggregation="batch token",
        anchor="previous x exp(previous - generated)", setting=OFFSETS, note="its recipe has 1.0 and 5.0: a cap of 6",
    ),
    Framework(
        name="open-instruct", convention="cap_offset", low=0.0, high=0.2, aggregation="accumulation group",
        anchor="old or vLLM x ratio", setting="high={offset:g}",
    ),
    Framework(
        name="ROLL", convention="offset", low=0.1, high=0.1, aggregation="sequence", anchor="old", setting=OFFSETS,
        note="its mask, if on, has the same eps as the weight",
    ),
    Framework(
        name="PipelineRL", convention="cap_offset", low=0.0, high=0.2, aggregation="its own", anchor="rollout",
        setting="high={offset:g}", note="its base file has 0.02",
    ),
    Framework(
        name="tinker, SkyRL-tx", convention="pair", low=0.0, high=4.0, aggregation="sum", anchor="sampler",
        setting="low=0, high={cap:g}", note="no default of its own: the cookbook's pair",
    ),
    Framework(
        name="minimind", convention="fixed", low=0.0, high=5.0, aggregation="sequence", anchor="rollout",
        setting="min(r, {cap:g}) in its code", note="cap in the code; adds a KL penalty",
    ),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Args:
    """fulmen compare-losses: what each public framework's CISPO would do with your numbers."""

    eps_low: float | None = None
    """The lower number, as you would write it there; each framework's default if absent."""
    eps_high: float | None = None
    """The upper number, as you would write it there; each framework's default if absent."""
    ratios: tuple[float, ...] = (0.1, 0.5, 1.0, 1.2, 2.0, 5.0, 10.0)
    """Importance ratios pi / pi_old of the tokens to weigh."""
    advantages: tuple[float, ...] = ()
    """One per ratio: print weight x advantage, what multiplies each token's gradient, in place of the weight."""
    cap: float = 5.0
    """The cap that the last column is to reach, with no floor."""
    out: Path | None = None
    """Also write the numbers to this JSON file."""

    def __post_init__(self) -> None:
        for name in ("eps_low", "eps_high"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ConfigError(f"{name}={value}; allowed: at least 0")
        if not self.ratios or not all(0 < ratio < math.inf for ratio in self.ratios):
            raise ConfigError(f"ratios={self.ratios}; allowed: at least one, each above 0")
        if self.advantages and len(self.advantages) != len(self.ratios):
            raise ConfigError(
                f"advantages={self.advantages}; allowed: none, or one for each of {len(self.ratios)} ratios"
            )
        if not all(math.isfinite(advantage) for advantage in self.advantages):
            raise ConfigError(f"advantages={self.advantages}; allowed: finite numbers")
        if not 1 < self.cap < math.inf:
            raise ConfigError(f"cap={self.cap}; allowed: above 1")


def main(args: Args, console: Console) -> None:
    """Runs the recipe."""
    rows = [measure(framework, args) for framework in FRAMEWORKS]
    reference = {"name": "PPO's clip, 0.8 to 1.2", **weights_of(ppo, args)}
    console.print(
        "CISPO weighs each token's gradient by A clip(r). One formula; below, the range of the clip that each "
        "framework makes of your numbers, or of its defaults where you gave none.",
        style="dim",
    )
    console.print(_weight_table([*rows, reference], args))
    around, beware = _table("framework", "mean over", "pi_old", f"for [0, {args.cap:g}]"), _table("", "beware")
    for row in rows:
        around.add_row(row["name"], row["aggregation"], row["anchor"], row["for_cap"])
        if row["warnings"]:
            beware.add_row(row["name"], "; ".join(row["warnings"]))
    console.print(around)
    console.print(beware)
    if args.out is not None:
        given = {"eps_low": args.eps_low, "eps_high": args.eps_high, "cap": args.cap}
        write_json(args.out, {**given, "ratios": args.ratios, "frameworks": rows, "reference": reference})


def measure(framework: Framework, args: Args) -> dict[str, Any]:
    """Returns one framework's range, its weights for both signs of the advantage, and what to beware of."""
    low, high = framework.bounds(args.eps_low, args.eps_high)
    weights = np.clip(args.ratios, low, high).tolist()
    return {
        **asdict(framework),
        "weight_min": low,
        "weight_max": high,
        "positive": weights,
        "negative": weights,
        "for_cap": framework.setting.format(cap=args.cap, offset=args.cap - 1),
        "warnings": [*faults(low, high), *([framework.note] if framework.note else [])],
    }


def faults(low: float, high: float) -> list[str]:
    """Returns what is wrong with a range of the weight, if anything."""
    found = []
    if low > high:
        found.append(f"an empty range: every token weighs {high:g}")
    elif high < 1:
        found.append(f"on-policy tokens too weigh {high:g}: the step shrinks, silently")
    elif high <= 1.3:
        found.append(f"a cap of {high:g}: rare tokens that grow hardly count")
    if low >= 1:
        found.append(f"a floor of {low:g}: no token is attenuated, however unlikely it became")
    elif low > 0:
        found.append(f"a floor of {low:g}: tokens that became unlikely still count")
    elif low < 0:
        found.append(f"a floor of {low:g} never acts")
    return found


def weights_of(loss: Loss, args: Args) -> dict[str, list[float]]:
    """Returns the weights that a loss of ours reports for tokens of these ratios, for either sign of the advantage."""
    log_ratio = torch.tensor([args.ratios], dtype=torch.float64).log()
    ones = torch.ones_like(log_ratio)
    return {
        name: loss(log_ratio, 0 * ones, sign * ones, ones.bool(), token_weights_B_T=ones).tokens["weight"][0].tolist()
        for name, sign in (("positive", 1.0), ("negative", -1.0))
    }


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column)
    return table


def _weight_table(rows: list[dict[str, Any]], args: Args) -> Table:
    caption = "w A of each token" if args.advantages else "w at each ratio; for A > 0 / A < 0 where the sign matters"
    table = Table(box=box.SIMPLE_HEAD, title=caption, title_justify="left", title_style="dim")
    table.add_column("framework")
    table.add_column("range of w", no_wrap=True)
    for index, ratio in enumerate(args.ratios):
        header = f"{ratio:g}\nA {args.advantages[index]:g}" if args.advantages else f"{ratio:g}"
        table.add_column(header, justify="right", no_wrap=True)
    for row in rows:
        pairs = list(zip(row["positive"], row["negative"], strict=True))
        cells = [f"{above:.3g}" if above == below else f"{above:.3g}/{below:.3g}" for above, below in pairs]
        if args.advantages:
            cells = [f"{(w[0] if a >= 0 else w[1]) * a:.3g}" for w, a in zip(pairs, args.advantages, strict=True)]
        span = f"{row['weight_min']:.3g} to {row['weight_max']:.3g}" if "weight_min" in row else ""
        table.add_row(row["name"], span, *cells)
    return table

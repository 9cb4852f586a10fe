"""One loss and its numbers, chosen by name: what is not said is the loss's published default.

The defaults themselves are those of the loss functions; here is only which numbers a loss has, and what goes with it.
"""

import functools
import warnings
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

import torch
import tyro

from fulmen.errors import ConfigError
from fulmen.rl.advantages import Advantage
from fulmen.rl.anchor import Anchor, check_anchor
from fulmen.rl.batch import Aggregation
from fulmen.rl.losses.cispo import cispo
from fulmen.rl.losses.dapo import dapo
from fulmen.rl.losses.dr_grpo import dr_grpo
from fulmen.rl.losses.grpo import grpo
from fulmen.rl.losses.gspo import gspo
from fulmen.rl.losses.ppo import ppo
from fulmen.rl.losses.reinforce import reinforce
from fulmen.rl.losses.unified import unified
from fulmen.train import Loss

LossName = Literal["cispo", "reinforce", "unified", "ppo", "grpo", "dapo", "dr_grpo", "gspo"]

CAP = ("weight_max", "weight_min", "mask_ratio_min", "mask_ratio_max")
CLIP = ("ratio_min", "ratio_max")
NUMBERS = (*CAP, *CLIP, "kl_coefficient")


@dataclass(frozen=True, kw_only=True)
class Published:
    """A loss with what its source puts around it."""

    function: Loss
    numbers: tuple[str, ...]
    """Which of the settings' numbers it has."""
    aggregation: Aggregation
    advantage: Advantage


PUBLISHED: dict[LossName, Published] = {
    "cispo": Published(function=cispo, numbers=CAP, aggregation="prompt_token", advantage="group_std"),
    "reinforce": Published(function=reinforce, numbers=("weight_max",), aggregation="sequence", advantage="group_std"),
    "unified": Published(function=unified, numbers=CAP, aggregation="prompt_token", advantage="group_std"),
    "ppo": Published(function=ppo, numbers=CLIP, aggregation="sequence", advantage="value"),
    "grpo": Published(function=grpo, numbers=(*CLIP, "kl_coefficient"), aggregation="sequence", advantage="group_std"),
    "dapo": Published(function=dapo, numbers=CLIP, aggregation="batch_token", advantage="group_std"),
    "dr_grpo": Published(function=dr_grpo, numbers=CLIP, aggregation="constant", advantage="group_mean"),
    "gspo": Published(function=gspo, numbers=CLIP, aggregation="sequence", advantage="group_std"),
}


@dataclass(frozen=True, kw_only=True)
class LossSettings:
    """A policy loss. None is the published default of that loss; all bounds are absolute values of r = pi / pi_old.

    Raises: ConfigError naming the field for a number the loss does not have, one out of range, or two that contradict.
    Warns when weight_max < 1.
    """

    name: Annotated[LossName, tyro.conf.arg(name="loss")] = "cispo"
    """Which loss: fulmen/rl/losses/, one file each."""
    weight_max: float | None = None
    """Cap on the weight r, 1 + eps_high of eq. (5): cispo and unified 5, reinforce inf."""
    weight_min: float | None = None
    """Floor of the weight, eq. (5): cispo and unified 0, which is none."""
    mask_ratio_min: float | None = None
    """Eq. (7) drops tokens with A < 0 and r below it: cispo off, unified 0.8."""
    mask_ratio_max: float | None = None
    """Eq. (7) drops tokens with A > 0 and r above it: cispo off, unified 1.2."""
    ratio_min: float | None = None
    """Lower bound of the clip, eq. (1): 0.8, gspo 1 - 3e-4."""
    ratio_max: float | None = None
    """Upper bound of the clip, eq. (1): 1.2, dapo 1.28, gspo 1 + 4e-4."""
    kl_coefficient: float | None = None
    """beta of eq. (1), grpo alone: 0; DeepSeekMath takes 0.04, which needs a reference policy."""
    aggregation: Aggregation | None = None
    """Weight of a token (fulmen/rl/batch.py): cispo and unified prompt_token, the normaliser of eq. (4); reinforce,
    ppo, grpo and gspo sequence; dapo batch_token; dr_grpo constant."""
    combined_share: float | None = None
    """Share of the sequence mean in aggregation combined: 0.5."""
    advantage: Advantage | None = None
    """Rewards to advantages (fulmen/rl/advantages.py), eq. (2): group_std; dr_grpo group_mean; ppo value."""
    anchor: Anchor = "rollout"
    """pi_old: the policy that sampled, or the learner before its updates."""
    mismatch_max: float | None = None
    """Cap on pi_recomputed / pi_rollout; with anchor recomputed alone, which needs it."""

    def __post_init__(self) -> None:
        if self.name not in get_args(LossName):
            raise ConfigError(f"name={self.name!r}; allowed: {', '.join(get_args(LossName))}")
        published = PUBLISHED[self.name]
        for number in NUMBERS:
            if getattr(self, number) is not None and number not in published.numbers:
                raise ConfigError(
                    f"{number}={getattr(self, number)}; allowed: None with the loss {self.name}, "
                    f"which has {', '.join(published.numbers)}"
                )
        for field, kinds in (("aggregation", get_args(Aggregation)), ("advantage", get_args(Advantage)),
                             ("anchor", get_args(Anchor))):  # fmt: skip
            if getattr(self, field) not in (None, *kinds):
                raise ConfigError(f"{field}={getattr(self, field)!r}; allowed: {', '.join(kinds)}")
        if self.combined_share is not None:
            if self.token_aggregation != "combined":
                raise ConfigError(
                    f"combined_share={self.combined_share}; allowed: None with aggregation={self.token_aggregation!r}"
                )
            if not 0 <= self.combined_share <= 1:
                raise ConfigError(f"combined_share={self.combined_share}; allowed: from 0 to 1")
        if self.advantage == "value" and self.name in ("grpo", "dapo", "dr_grpo", "gspo"):
            raise ConfigError(f"advantage='value'; allowed: one of a group with the loss {self.name}")
        check_anchor(self.anchor, self.mismatch_max)
        self._check_numbers()

    @property
    def token_aggregation(self) -> Aggregation:
        """The aggregation, that of the loss's source unless said otherwise."""
        return self.aggregation or PUBLISHED[self.name].aggregation

    @property
    def advantage_kind(self) -> Advantage:
        """How rewards become advantages, as the loss's source does unless said otherwise."""
        return self.advantage or PUBLISHED[self.name].advantage

    @property
    def needs_reference(self) -> bool:
        """Whether batches must carry log-probabilities of a reference policy."""
        return bool(self.kl_coefficient)

    def loss(self) -> Loss:
        """Returns the loss with its numbers bound."""
        given = {name: getattr(self, name) for name in NUMBERS if getattr(self, name) is not None}
        return functools.partial(PUBLISHED[self.name].function, **given)

    def check(self, *, num_updates: int, group_size: int) -> None:
        """Warns when r can only be 1, so that no cap or clip ever acts.

        Raises: ConfigError for groups of one with advantages taken within the group: they would all be 0.
        """
        if group_size == 1 and self.advantage_kind != "value":
            raise ConfigError(
                f"group_size=1; allowed: at least 2 with advantage={self.advantage_kind!r}, a group's own baseline"
            )
        if num_updates == 1 and self.anchor == "recomputed":
            warnings.warn(
                "anchor='recomputed' with num_updates=1: r = 1 for every token, so no cap or clip ever acts; "
                "take more updates or anchor='rollout'",
                stacklevel=2,
            )

    def _check_numbers(self) -> None:
        """Calls the loss on no tokens: each loss refuses its own numbers."""
        row = torch.zeros(1, 0)
        self.loss()(row, row, row, row.bool(), token_weights_B_T=row, document_ids_B_T=row.long(), ref_logprobs_B_T=row)

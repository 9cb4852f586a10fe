"""Choosing a loss by name: published defaults, and one clear refusal for everything that contradicts itself."""

import inspect
import math
import warnings
from typing import Any, get_args

import pytest
import torch

from fulmen.errors import ConfigError
from fulmen.rl import Aggregation, LossSettings, rl_batch
from fulmen.rl import losses as losses_module
from fulmen.rl.advantages import Advantage
from fulmen.rl.losses.choose import NUMBERS, PUBLISHED, LossName
from fulmen.train import Loss
from tests.conformance.losses import close, random_tokens, run

NAMES: tuple[LossName, ...] = get_args(LossName)


def gradient(loss: Loss) -> torch.Tensor:
    # Near 1 for the clip of sequences, and far away for caps.
    return torch.cat([run(loss, random_tokens(40, 20, spread=spread))[1] for spread in (0.002, 1.0)])


@pytest.mark.parametrize("name", NAMES)
def test_every_loss_is_chosen_by_its_name_and_has_its_own_defaults(name: LossName) -> None:
    function = vars(losses_module)[name]
    assert torch.equal(gradient(LossSettings(name=name).loss()), gradient(function))
    own = set(inspect.signature(function).parameters) & set(NUMBERS)
    assert own == set(PUBLISHED[name].numbers)


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("cispo", {"weight_max": 5.0, "weight_min": 0.0}),
        ("reinforce", {"weight_max": math.inf}),
        ("unified", {"weight_max": 5.0, "weight_min": 0.0, "mask_ratio_min": 0.8, "mask_ratio_max": 1.2}),
        ("ppo", {"ratio_min": 0.8, "ratio_max": 1.2}),
        ("grpo", {"ratio_min": 0.8, "ratio_max": 1.2, "kl_coefficient": 0.0}),
        ("dapo", {"ratio_min": 0.8, "ratio_max": 1.28}),
        ("dr_grpo", {"ratio_min": 0.8, "ratio_max": 1.2}),
        ("gspo", {"ratio_min": 0.9997, "ratio_max": 1.0004}),
    ],
)
def test_published_defaults_said_aloud_change_nothing(name: LossName, numbers: dict[str, float]) -> None:
    assert torch.equal(
        gradient(LossSettings(name=name, **numbers).loss()),  # type: ignore[arg-type]
        gradient(LossSettings(name=name).loss()),
    )


@pytest.mark.parametrize(
    ("name", "aggregation", "advantage"),
    [
        ("cispo", "prompt_token", "group_std"),
        ("reinforce", "sequence", "group_std"),
        ("unified", "prompt_token", "group_std"),
        ("ppo", "sequence", "value"),
        ("grpo", "sequence", "group_std"),
        ("dapo", "batch_token", "group_std"),
        ("dr_grpo", "constant", "group_mean"),
        ("gspo", "sequence", "group_std"),
    ],
)
def test_what_a_paper_puts_around_its_loss_is_the_default_and_can_be_changed(
    name: LossName, aggregation: Aggregation, advantage: Advantage
) -> None:
    settings = LossSettings(name=name)
    assert (settings.token_aggregation, settings.advantage_kind) == (aggregation, advantage)
    changed = LossSettings(name=name, aggregation="combined", combined_share=0.25, advantage="batch_std")
    assert (changed.token_aggregation, changed.advantage_kind) == ("combined", "batch_std")


@pytest.mark.parametrize(
    ("changes", "name", "number"),
    [
        ({"weight_max": 1.25}, "cispo", "weight_max"),
        ({"weight_min": 0.5}, "cispo", "weight_min"),
        ({"mask_ratio_min": 0.5}, "cispo", "mask_ratio_min"),
        ({"mask_ratio_max": 1.1}, "unified", "mask_ratio_max"),
        ({"weight_max": 2.0}, "reinforce", "weight_max"),
        ({"ratio_min": 0.5}, "ppo", "ratio_min"),
        ({"ratio_max": 1.5}, "dapo", "ratio_max"),
        ({"ratio_max": 1.5}, "gspo", "ratio_max"),
        ({"kl_coefficient": 0.1}, "grpo", "kl_coefficient"),
    ],
)
def test_every_number_reaches_its_loss(changes: dict[str, Any], name: LossName, number: str) -> None:
    changed = gradient(LossSettings(name=name, **changes).loss())
    assert not torch.equal(changed, gradient(LossSettings(name=name).loss()))
    assert changes[number] != inspect.signature(vars(losses_module)[name]).parameters[number].default


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "ppo", "weight_max": 5.0}, r"weight_max=5\.0; allowed: None with the loss ppo, which has ratio_min"),
        ({"name": "gspo", "weight_min": 0.0}, r"weight_min=0\.0; allowed: None with the loss gspo"),
        ({"name": "cispo", "ratio_max": 1.2}, r"ratio_max=1\.2; allowed: None with the loss cispo, which has weight_m"),
        ({"name": "cispo", "ratio_min": 0.8}, r"ratio_min=0\.8; allowed: None with the loss cispo"),
        ({"name": "reinforce", "mask_ratio_max": 1.2}, r"mask_ratio_max=1\.2; allowed: None with the loss reinforce"),
        ({"name": "dapo", "kl_coefficient": 0.0}, r"kl_coefficient=0\.0; allowed: None with the loss dapo"),
        ({"mask_ratio_min": 1.2, "mask_ratio_max": 0.8}, r"mask_ratio_min=1\.2; allowed: at most mask_ratio_max=0\.8"),
        ({"weight_max": -9.0}, r"weight_max=-9\.0; allowed: 0 <= weight_min < weight_max"),
        ({"weight_max": math.nan}, "weight_max=nan"),
        ({"weight_min": 6.0}, r"weight_min=6\.0, weight_max=5\.0"),
        ({"mask_ratio_min": -0.2}, r"mask_ratio_min=-0\.2; allowed: None or an absolute ratio"),
        ({"name": "grpo", "ratio_max": 0.2}, r"ratio_max=0\.2; allowed: 0 <= ratio_min <= 1 <= ratio_max"),
        ({"name": "gspo", "ratio_min": -3e-4}, r"ratio_min=-0\.0003"),
        ({"name": "grpo", "kl_coefficient": -1.0}, r"kl_coefficient=-1\.0; allowed: at least 0"),
        ({"combined_share": 0.5}, r"combined_share=0\.5; allowed: None with aggregation='prompt_token'"),
        ({"aggregation": "combined", "combined_share": 1.5}, r"combined_share=1\.5; allowed: from 0 to 1"),
        ({"name": "grpo", "advantage": "value"}, "advantage='value'; allowed: one of a group with the loss grpo"),
        ({"mismatch_max": 2.0}, r"mismatch_max=2\.0; allowed: None with anchor='rollout'"),
        ({"anchor": "recomputed"}, "mismatch_max=None; allowed: at least 1 with anchor='recomputed'"),
        ({"anchor": "recomputed", "mismatch_max": 0.5}, r"mismatch_max=0\.5; allowed: at least 1"),
    ],
)
def test_what_contradicts_itself_is_refused_by_name(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refusal:
        LossSettings(**settings)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("field", ["name", "aggregation", "advantage", "anchor"])
def test_unknown_words_are_refused_with_the_known_ones(field: str) -> None:
    settings = LossSettings()
    # In production, where no call is checked.
    object.__setattr__(settings, field, "cospi")
    with pytest.raises(ConfigError, match=f"{field}='cospi'; allowed: [a-z_]+, "):
        settings.__post_init__()


@pytest.mark.parametrize("name", NAMES)
def test_groups_of_one_need_a_value_model(name: LossName) -> None:
    for advantage in ("group_std", "group_mean", "batch_std"):
        settings = LossSettings(name=name, advantage=advantage)
        with pytest.raises(ConfigError, match=f"group_size=1; allowed: at least 2 with advantage='{advantage}'"):
            settings.check(num_updates=16, group_size=1)
        settings.check(num_updates=16, group_size=2)
    LossSettings(name="ppo").check(num_updates=16, group_size=1)


def test_an_anchor_that_makes_the_cap_inert_warns_and_no_other_does() -> None:
    recomputed = LossSettings(anchor="recomputed", mismatch_max=2.0)
    with pytest.warns(UserWarning, match="anchor='recomputed' with num_updates=1: r = 1 for every token"):
        recomputed.check(num_updates=1, group_size=8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recomputed.check(num_updates=2, group_size=8)
        LossSettings().check(num_updates=1, group_size=8)


def test_only_a_penalty_needs_a_reference() -> None:
    assert LossSettings(name="grpo", kl_coefficient=0.04).needs_reference
    assert not LossSettings(name="grpo", kl_coefficient=0.0).needs_reference
    assert not LossSettings(name="grpo").needs_reference


def test_the_settings_go_where_batches_are_made() -> None:
    # Names agree with the arguments they are handed to.
    parameters = inspect.signature(rl_batch).parameters
    assert {"aggregation", "combined_share"} <= set(parameters)
    close(torch.tensor(parameters["combined_share"].default), torch.tensor(0.5))

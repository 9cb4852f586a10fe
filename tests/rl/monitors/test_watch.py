"""Metrics of whole steps, bounds that pause, and states that resume exactly; synthetic runs, healthy and not."""

import dataclasses
import json
import math
import time
from collections.abc import Mapping

import numpy as np
import pytest

from fulmen.errors import ConfigError, RunError, RunPaused
from fulmen.rl.monitors import Monitors, MonitorSettings
from fulmen.rl.monitors.watch import WATCHES
from fulmen.types import RolloutGroup
from tests.rl.examples import make_group
from tests.rl.monitors.examples import FakeUpdate, make_table, make_update

GROUPS = [make_group([1.0, 0.0], lengths=[3, 4])]
NOTHING = MonitorSettings(pearson_min=None, tail_rise_max=None, halted_max=None)


def number(metrics: Mapping[str, object], name: str) -> float:
    value = metrics[name]
    assert isinstance(value, float)
    return value


def run_until_pause(monitors: Monitors, updates: list[FakeUpdate], groups: list[RolloutGroup] = GROUPS) -> int | None:
    """Returns the step that paused, or None."""
    for step, update in enumerate(updates):
        try:
            monitors.observe(step, groups, update)
        except RunPaused:
            return step
    return None


def generated(step: int, *, garbled_frac: float = 0.0, num_completions: int = 16) -> FakeUpdate:
    """Returns an update on completions of 80 to 200 tokens, some of whose last 15 % are noise over 200 words.

    Sound text starts at a perplexity of about 2.5 and becomes easier to foretell, as reasoning does.
    """
    rng = np.random.default_rng(step)
    lengths = rng.integers(80, 200, num_completions).tolist()
    tokens = make_table(lengths, advantages=rng.choice([-1.0, 1.0], num_completions).tolist())
    place = tokens["position"] / tokens["length"]
    scale = 0.9 - 0.4 * place
    is_garbled = (tokens["document"] < round(garbled_frac * num_completions)) & (place > 0.85)
    surprise = np.where(is_garbled, math.log(200), scale) * rng.exponential(size=len(place))
    tokens |= {"old_logprobs": -surprise, "logprobs": -surprise}
    return make_update(tokens, seed=step)


def test_the_collapse_detector_fires_on_tails_that_turn_to_garble() -> None:
    collapsing = [generated(step, garbled_frac=max(0, step - 20) / 20) for step in range(41)]
    paused = run_until_pause(Monitors(MonitorSettings()), collapsing)
    assert paused is not None
    # Not before the first garble, and before all completions end in it.
    assert 25 < paused < 40


def test_the_collapse_detector_is_silent_on_a_healthy_run() -> None:
    assert run_until_pause(Monitors(MonitorSettings()), [generated(step) for step in range(60)]) is None


def test_endings_that_are_harder_by_nature_do_not_count_as_collapse() -> None:
    """A fixed opening and a free ending: the ratio is large from the first step, and does not rise."""
    lengths = [100] * 8
    logprobs = np.tile(np.where(np.arange(100) < 90, -0.01, -1.5), 8)
    update = make_update(make_table(lengths, logprobs=logprobs))
    monitors = Monitors(MonitorSettings())
    metrics = monitors.observe(0, GROUPS, update)
    assert number(metrics, "tail_perplexity_ratio") > 4
    assert metrics["tail_perplexity_ratio_rise"] == 1.0
    assert run_until_pause(monitors, [update] * 20) is None


def test_a_mismatch_pauses_after_its_patience_and_says_what_to_do() -> None:
    monitors = Monitors(MonitorSettings(patience=3, ema_decay=0.0))
    good, bad = (make_update(make_table([40] * 5), noise=noise) for noise in (0.001, 0.4))
    assert run_until_pause(monitors, [good] * 4) is None
    monitors.observe(4, GROUPS, bad)
    monitors.observe(5, GROUPS, bad)
    # In a row: one good step forgives.
    monitors.observe(6, GROUPS, good)
    monitors.observe(7, GROUPS, bad)
    monitors.observe(8, GROUPS, bad)
    with pytest.raises(RunPaused) as paused:
        monitors.observe(9, GROUPS, bad)
    assert isinstance(paused.value, RunError)
    pearson = number(paused.value.metrics, "logprob_pearson")
    assert 0.5 < pearson < 0.99
    assert paused.value.metrics["logprob_pearson_ema"] == pearson
    message = str(paused.value)
    assert message.startswith(
        f"paused at step 9: logprob_pearson_ema={pearson:.6g}, below pearson_min=0.99 for 3 steps. To do: engine and "
    )
    assert message.endswith("go on with another pearson_min (None: unwatched)")


def test_a_paused_run_that_goes_on_has_its_patience_again() -> None:
    settings = MonitorSettings(patience=3, ema_decay=0.0)
    bad = make_update(make_table([40] * 5), noise=0.4)
    monitors = Monitors(settings)
    assert run_until_pause(monitors, [bad] * 9) == 2
    resumed = Monitors(settings)
    resumed.load(monitors.state())
    assert run_until_pause(resumed, [bad] * 9) == 2


def watch_for_long(monitors: Monitors, groups: list[RolloutGroup], update: FakeUpdate) -> None:
    for step in range(1, 10):
        monitors.observe(step, groups, update)


@pytest.mark.parametrize("watch", WATCHES, ids=lambda watch: watch.metric)
def test_every_bound_pauses_and_none_switches_it_off(watch: object) -> None:
    """A broken run breaks all bounds; each pauses it alone, under its own name."""
    setting: str = watch.setting  # type: ignore[attr-defined]
    rollouts = make_group([0.0, 1.0], lengths=[100, 300]).rollouts
    looping = [
        dataclasses.replace(r, completion=dataclasses.replace(r.completion, stop_reason="repetition")) for r in rollouts
    ]
    groups = [dataclasses.replace(GROUPS[0], rollouts=tuple(looping)), GROUPS[0]]
    logprobs = np.concatenate([np.full(100, -1.0), np.full(270, -1.0), np.full(30, -9.0)])
    sound = make_update(make_table([100, 300], advantages=[1.0, 1.0]), noise=0.3)
    broken = make_update(make_table([100, 300], advantages=[1.0, -1.0], logprobs=logprobs), noise=0.3)
    bound = {"pearson_min": 0.99, "tail_rise_max": 2.0}.get(setting, 0.1)
    off: dict[str, float | None] = dict.fromkeys((w.setting for w in WATCHES), None)
    monitors = Monitors(MonitorSettings(**{**off, setting: bound}, patience=2))  # type: ignore[arg-type]
    monitors.observe(0, GROUPS, sound)
    message = rf"^paused at step [1-9]: {watch.shown}=[^;]* {setting}={bound} for"  # type: ignore[attr-defined]
    with pytest.raises(RunPaused, match=message):
        watch_for_long(monitors, groups, broken)
    unwatched = Monitors(MonitorSettings(**off))  # type: ignore[arg-type]
    assert run_until_pause(unwatched, [sound, *[broken] * 12], groups) is None


def test_several_bounds_at_once_are_all_named() -> None:
    halted = dataclasses.replace(GROUPS[0].rollouts[0].completion, stop_reason="repetition")
    rollouts = tuple(dataclasses.replace(r, completion=halted) for r in GROUPS[0].rollouts)
    monitors = Monitors(MonitorSettings(patience=1))
    with pytest.raises(RunPaused, match=r"pearson_min=0\.99.*; paused at step 0: halted_frac_ema=1, above"):
        monitors.observe(0, [dataclasses.replace(GROUPS[0], rollouts=rollouts)], make_update(make_table([40]), noise=1))


def test_averages_weigh_recent_steps_more_and_the_first_ones_are_not_drawn_to_zero() -> None:
    monitors = Monitors(dataclasses.replace(NOTHING, ema_decay=0.5))
    pearsons, averages = [], []
    for step, noise in enumerate((0.1, 0.3, 0.2, 0.5)):
        metrics = monitors.observe(step, GROUPS, make_update(make_table([60]), noise=noise, seed=step))
        pearsons.append(number(metrics, "logprob_pearson"))
        averages.append(number(metrics, "logprob_pearson_ema"))
    weights = 0.5 ** np.arange(4)[::-1]
    expected = [np.average(pearsons[: n + 1], weights=weights[-n - 1 :]) for n in range(4)]
    np.testing.assert_allclose(averages, expected, rtol=1e-12)


def test_steps_that_say_nothing_neither_count_nor_forgive() -> None:
    monitors = Monitors(MonitorSettings(patience=2, ema_decay=0.0))
    bad = make_update(make_table([40] * 5), noise=0.4)
    monitors.observe(0, GROUPS, bad)
    # No group was trained on, then every probability is the same.
    before = monitors.state()
    metrics = monitors.observe(1, GROUPS, None)
    assert "logprob_pearson" not in metrics
    assert metrics["discarded_frac"] == 1.0
    constant = np.full(200, -1.0)
    same = dataclasses.replace(bad, sampler_logprobs=constant, learner_logprobs=constant)
    assert "logprob_pearson_ema" not in monitors.observe(2, GROUPS, same)
    assert monitors.state()["logprob_pearson"] == before["logprob_pearson"]
    with pytest.raises(RunPaused, match="paused at step 3"):
        monitors.observe(3, GROUPS, bad)


def test_a_state_through_json_goes_on_exactly_as_the_run_would_have() -> None:
    updates = [generated(step, garbled_frac=max(0, step - 5) / 20) for step in range(40)]
    whole = Monitors(MonitorSettings())
    expected = []
    for step, update in enumerate(updates):
        try:
            expected.append(whole.observe(step, GROUPS, update))
        except RunPaused as paused:
            expected.append(paused.metrics)
            break
    assert len(expected) > 12
    monitors = Monitors(MonitorSettings())
    for step, metrics in enumerate(expected):
        resumed = Monitors(MonitorSettings())
        resumed.load(json.loads(json.dumps(monitors.state(), allow_nan=False)))
        monitors = resumed
        if step == len(expected) - 1:
            with pytest.raises(RunPaused):
                monitors.observe(step, GROUPS, updates[step])
        else:
            assert json.dumps(monitors.observe(step, GROUPS, updates[step])) == json.dumps(metrics)
    assert monitors.state() == whole.state()


def test_a_metric_that_a_state_lacks_begins_anew() -> None:
    monitors = Monitors(NOTHING)
    monitors.observe(0, GROUPS, make_update(make_table([40]), noise=0.5))
    state = monitors.state()
    del state["logprob_pearson"]
    monitors.load(state)
    metrics = monitors.observe(1, GROUPS, make_update(make_table([40]), noise=0.1))
    assert metrics["logprob_pearson_ema"] == metrics["logprob_pearson"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pearson_min": 1.5}, r"pearson_min=1.5; allowed: None, or from -1 to 1"),
        ({"tail_rise_max": 0.5}, r"tail_rise_max=0.5; allowed: None, or at least 1"),
        ({"halted_max": -0.1}, r"halted_max=-0.1; allowed: None, or from 0 to 1"),
        ({"late_negative_max": 2.0}, r"late_negative_max=2.0; allowed"),
        ({"length_corr_max": math.nan}, r"length_corr_max=nan; allowed"),
        ({"min_length": 9}, r"min_length=9; allowed: at least 10"),
        ({"ema_decay": 1.0}, r"ema_decay=1.0; allowed: at least 0, below 1"),
        ({"patience": 0}, r"patience=0; allowed: at least 1"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MonitorSettings(**settings)  # type: ignore[arg-type]


def test_all_monitors_of_65536_tokens_take_milliseconds() -> None:
    """The goal is 20 ms on an idle core; the bound here is for a loaded one, and still far from loops over tokens."""
    rng = np.random.default_rng(0)
    tokens = make_table([256] * 256, advantages=rng.normal(size=256).tolist(), logprobs=-rng.exponential(size=65_536))
    groups = [make_group(rng.integers(0, 2, 16).astype(float).tolist(), lengths=[256] * 16) for _ in range(16)]
    update = make_update(tokens, noise=0.01)
    monitors = Monitors(MonitorSettings())
    times = []
    for step in range(5):
        started = time.process_time()
        monitors.observe(step, groups, update)
        times.append(time.process_time() - started)
    assert min(times) < 0.1

"""Pass rates: which rollouts count, which tasks are left out, and what a calibration leaves."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulmen.envs.puzzle import LEVELS
from fulmen.errors import CheckpointError, ConfigError, DataError
from fulmen.evals.calibrate import Calibration, Measured
from fulmen.recipes.calibrate import _to_json
from fulmen.rl.pass_rates import PassRates, PassRateSettings, levels_between, read_calibration
from fulmen.run import write_json
from fulmen.types import RolloutGroup, Task
from tests.rl.attempts import scored
from tests.rl.examples import make_task

SMALL = PassRateSettings(num_rollouts=6, retire_after=2, max_tasks=3)
RIGHT, HALF, WRONG = (1.0, 1.0), (1.0, 0.0), (0.0, 0.0)


def task(name: str, *, env: str = "set") -> Task:
    return replace(make_task(name), env=env, content_hash=name)


def observe(rates: PassRates, name: str, *groups: tuple[float | None, ...]) -> None:
    rates.observe([scored(task(name), rewards) for rewards in groups], finite={"set"})


def test_the_rate_is_that_of_the_last_scored_rollouts() -> None:
    rates = PassRates(SMALL)
    assert rates.rate("set") is None
    assert rates.num_seen("set") == 0
    rates.observe([scored(task("a"), [1.0, 1.0, None]), scored(task("b"), [0.0])])
    assert rates.rate("set") == pytest.approx(2 / 3)
    assert rates.num_seen("set") == 3
    assert rates.settled_rate("set") is None
    rates.observe([scored(task("c"), [0.0, 0.999, 0.5, 1.0])])
    # Six are kept: one of the first two has gone.
    assert rates.settled_rate("set") == pytest.approx(2 / 6)
    assert rates.num_seen("set") == 7
    rates.observe([scored(task("d", env="other"), [1.0])])
    assert rates.rate("set") == pytest.approx(2 / 6)
    assert rates.rate("other") == 1.0
    rates.forget("set")
    assert rates.num_seen("set") == 0
    assert rates.rate("set") is None
    assert rates.settled_rate("set") is None
    assert rates.rate("other") == 1.0


def test_what_counts_as_right_is_a_setting() -> None:
    rates = PassRates(replace(SMALL, right_from=0.5))
    rates.observe([scored(task("a"), [0.49, 0.5, 0.7])])
    assert rates.rate("set") == pytest.approx(2 / 3)


def test_an_environment_that_is_solved_too_often_weighs_less_once_that_is_settled() -> None:
    rates = PassRates(SMALL)
    observe(rates, "a", RIGHT, RIGHT)
    assert rates.scale("set", pass_rate_max=0.8) == 1.0
    observe(rates, "a", RIGHT)
    assert rates.scale("set", pass_rate_max=0.8) == 0.1
    assert rates.scale("set", pass_rate_max=1.0) == 1.0
    observe(rates, "a", HALF)
    assert rates.scale("set", pass_rate_max=0.8) == 0.1
    observe(rates, "a", HALF)
    assert rates.scale("set", pass_rate_max=0.8) == 1.0
    assert rates.scale("unknown", pass_rate_max=0.8) == 1.0


def test_a_task_is_retired_when_all_got_it_right_often_enough_in_a_row() -> None:
    rates = PassRates(SMALL)
    observe(rates, "a", RIGHT, HALF, RIGHT)
    assert rates.dropped(pass_rate_max=1.0) == frozenset()
    observe(rates, "a", RIGHT)
    observe(rates, "b", RIGHT)
    assert rates.dropped(pass_rate_max=1.0) == {"a"}
    never = PassRates(replace(SMALL, retire_after=0))
    observe(never, "a", RIGHT, RIGHT, RIGHT, RIGHT)
    assert never.dropped(pass_rate_max=1.0) == frozenset()


def test_members_that_were_lost_or_not_scored_neither_retire_a_task_nor_begin_its_count_again() -> None:
    rates = PassRates(SMALL)
    observe(rates, "a", RIGHT, (1.0, None), (None, None))
    rates.observe([scored(task("a"), RIGHT, num_lost=1)], finite={"set"})
    assert rates.dropped(pass_rate_max=1.0) == frozenset()
    observe(rates, "a", RIGHT)
    assert rates.dropped(pass_rate_max=1.0) == {"a"}


def test_a_threshold_leaves_out_tasks_whose_last_group_was_right_more_often() -> None:
    rates = PassRates(SMALL)
    observe(rates, "a", WRONG, RIGHT)
    observe(rates, "b", (1.0, 1.0, 0.0, 0.0))
    observe(rates, "c", RIGHT, WRONG)
    assert rates.dropped(pass_rate_max=0.4) == {"a", "b"}
    assert rates.dropped(pass_rate_max=0.5) == {"a"}
    assert rates.dropped(pass_rate_max=1.0) == frozenset()


def test_only_finite_sets_are_remembered_and_the_oldest_are_forgotten() -> None:
    rates = PassRates(SMALL)
    rates.observe([scored(task("a", env="endless"), RIGHT)] * 2, finite={"set"})
    assert rates.dropped(pass_rate_max=0.5) == frozenset()
    for name in "abc":
        observe(rates, name, RIGHT, RIGHT)
    observe(rates, "a", RIGHT)
    observe(rates, "d", RIGHT, RIGHT)
    # Nothing is known of a task that nobody solved: it takes nobody's place.
    observe(rates, "e", WRONG)
    # b, not a, was seen longest ago.
    assert rates.dropped(pass_rate_max=1.0) == {"a", "c", "d"}


groups_drawn = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "d", "e"]),
        st.sampled_from(["set", "endless"]),
        st.lists(st.sampled_from([0.0, 0.5, 1.0, 1.0, 1.0, None]), min_size=1, max_size=4),
    ),
    max_size=40,
)


@given(drawn=groups_drawn, cut=st.integers(0, 39))
def test_any_cut_of_any_run_leaves_the_rates_as_they_were(
    drawn: list[tuple[str, str, list[float | None]]], cut: int
) -> None:
    groups: list[RolloutGroup] = [scored(task(name, env=env), rewards) for name, env, rewards in drawn]
    whole, parted = PassRates(SMALL), PassRates(SMALL)
    whole.observe(groups, finite={"set"})
    parted.observe(groups[:cut], finite={"set"})
    text = json.dumps(parted.state(), sort_keys=True)
    parted = PassRates(SMALL)
    parted.load(json.loads(text))
    for group in groups[cut:]:
        parted.observe([group], finite={"set"})
    assert parted.state() == whole.state()
    state = whole.state()
    assert len(state["tasks"]) <= 3
    assert all(len(outcomes) <= 6 for outcomes in state["outcomes"].values())
    # The rolling rate is that of the last six, counted plainly.
    for env in ("set", "endless"):
        values = [v for _, of, rewards in drawn if of == env for v in rewards if v is not None][-6:]
        assert whole.rate(env) == (sum(value == 1.0 for value in values) / len(values) if values else None)


def test_broken_states_are_refused() -> None:
    state = PassRates(SMALL).state()
    for broken in ({}, {**state, "tasks": [["a", 1]]}, {**state, "outcomes": None}):
        with pytest.raises(CheckpointError, match="what PassRates"):
            PassRates(SMALL).load(broken)


@pytest.mark.parametrize(
    "changed",
    [
        {"num_rollouts": 0}, {"retire_after": -1}, {"max_tasks": 0}, {"right_from": float("nan")},
        {"solved_scale": -0.1}, {"solved_scale": 1.1},
    ],
)  # fmt: skip
def test_settings_that_cannot_work(changed: dict[str, Any]) -> None:
    (name,) = changed
    with pytest.raises(ConfigError, match=f"{name}=.*allowed: "):
        replace(SMALL, **changed)


def calibration(rates: dict[str, float], *, high: str | None = "expert") -> dict[str, Any]:
    base = {level: {"pass_rate": rate, "solved_frac": rate} for level, rate in rates.items()}
    return {"low": "easy", "high": high, "levels": [], "base": base, "strong": {}}


def test_levels_that_are_too_easy_or_too_hard_are_left_out() -> None:
    measured = calibration({"intro": 0.95, "easy": 0.8, "medium": 0.4, "hard": 0.05, "expert": 0.0})
    assert levels_between(measured) == LEVELS
    assert levels_between(measured, pass_rate_max=0.9) == ("easy", "medium", "hard", "expert")
    assert levels_between(measured, pass_rate_min=0.1, pass_rate_max=0.5) == ("medium",)
    assert levels_between(measured, pass_rate_min=0.05, pass_rate_max=0.4) == ("medium", "hard")
    assert levels_between(measured, pass_rate_min=0.5, pass_rate_max=0.6) == ()


def test_levels_between_measured_ones_stay_until_excluded() -> None:
    # Bisection measured these alone.
    measured = calibration({"medium": 0.6, "expert": 0.0})
    assert levels_between(measured, pass_rate_min=0.1, pass_rate_max=0.9) == ("intro", "easy", "medium", "hard")
    assert levels_between(measured, pass_rate_min=0.1, pass_rate_max=0.5) == ("hard",)
    # No attempt had a score: says nothing.
    assert levels_between(calibration({"medium": float("nan")}), pass_rate_min=0.1, pass_rate_max=0.5) == LEVELS


def test_levels_that_no_model_solves_are_left_out() -> None:
    assert levels_between(calibration({"intro": 0.5}, high="medium")) == ("intro", "easy", "medium")
    assert levels_between(calibration({"intro": 0.5}, high=None)) == ()


def test_bounds_that_are_none() -> None:
    for low, high in ((-0.1, 1.0), (0.5, 0.4), (0.0, 1.1)):
        with pytest.raises(ConfigError, match="allowed: 0 <= min <= max <= 1"):
            levels_between(calibration({}), pass_rate_min=low, pass_rate_max=high)


def test_reads_what_the_recipe_writes(tmp_path: Path) -> None:
    base = {"intro": Measured(pass_rate=0.9, solved_frac=1.0), "easy": Measured(pass_rate=0.3, solved_frac=0.5)}
    found = Calibration(low="easy", high="medium", base=base, strong={})
    write_json(tmp_path / "levels.json", {"sudoku": _to_json(found)})
    read = read_calibration(tmp_path / "levels.json")
    assert list(read) == ["sudoku"]
    assert levels_between(read["sudoku"], pass_rate_max=0.5) == ("easy", "medium") == found.levels


def test_files_that_no_calibration_wrote(tmp_path: Path) -> None:
    path = tmp_path / "levels.json"
    with pytest.raises(DataError, match=r"levels.json.*fulmen calibrate --out"):
        read_calibration(path)
    good = {"sudoku": calibration({"easy": 0.5})}
    path.write_text(json.dumps(good))
    assert read_calibration(path) == good
    for text in (
        "not json", "[]", '{"sudoku": 1}', '{"sudoku": {"high": "easy"}}', '{"sudoku": {"high": "x", "base": {}}}',
        '{"sudoku": {"high": "easy", "base": {"x": {"pass_rate": 1}}}}',
        '{"sudoku": {"high": "easy", "base": {"easy": {}}}}',
    ):  # fmt: skip
        path.write_text(text)
        with pytest.raises(DataError, match=r"levels.json.*fulmen calibrate --out"):
            read_calibration(path)

"""Windows: both criteria and nothing else move a run on; resumed at any step, it decides the same."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulmen.errors import CheckpointError, ConfigError, DataError
from fulmen.rl.window import (
    Decision,
    Evidence,
    WindowSchedule,
    WindowSettings,
    evidence_of,
    report_windows,
)
from fulmen.types import Completion, Message, Rollout, RolloutGroup
from tests.rl.examples import make_group, make_rollout, make_task

SIX = WindowSettings(
    windows=report_windows(first=40, last=80),
    weight_max=(5.0, 5.0, 4.5, 4.5, 4.0, 4.0),
    clip_norm=(1.0, 1.0, 0.8, 0.8, 0.5, 0.5),
    synthetic_scale=(1.0, 0.8, 0.6, 0.5, 0.4, 0.3),
    pass_rate_max=(1.0, 0.9, 0.9, 0.9, 0.8, 0.8),
    perplexity_steps=6,
    num_evaluations=3,
    evaluate_every=2,
)
SMALL = WindowSettings(windows=(10, 20, 40), perplexity_steps=3, num_evaluations=2, evaluate_every=2)
CALM, LONG = 2.0, 0.97
"""A perplexity that does not move, and a 99th percentile, as a share of the window, that is near it."""


class Policy:
    """A policy whose completions lengthen until the window cuts them, and whose perplexity jumps with the window."""

    def __init__(self, seed: int) -> None:
        self.seed, self.window, self.age = seed, 0, 0

    def evidence(self, step: int, window: int) -> Evidence:
        rng = np.random.default_rng((self.seed, step))
        if window != self.window:
            self.window, self.age = window, 0
        self.age += 1
        typical = window * (1 - 0.6 * math.exp(-self.age / 8))
        lengths = np.minimum(rng.lognormal(math.log(typical * 0.6), 0.35, size=128), window)
        perplexity = 1.5 + 0.5 * math.exp(-self.age / 5) + 0.002 * rng.standard_normal()
        return Evidence(perplexity=float(perplexity), length_p99=float(np.quantile(lengths, 0.99)))


def run(schedule: WindowSchedule, evidence: Callable[[int, int], Evidence], steps: Sequence[int]) -> list[Decision]:
    """Returns every decision of some steps."""
    decisions = (schedule.observe(step, evidence(step, schedule.stage.window)) for step in steps)
    return [decision for decision in decisions if decision is not None]


def steady(step: int, window: int) -> Evidence:
    return Evidence(perplexity=CALM, length_p99=LONG * window)


def test_a_growing_policy_goes_through_all_six_stages() -> None:
    schedule = WindowSchedule(SIX)
    decisions = run(schedule, Policy(0).evidence, range(400))
    grown = [decision for decision in decisions if decision.verdict == "advance"]
    assert [(d.window, d.next_window) for d in grown] == [(40, 48), (48, 56), (56, 64), (64, 72), (72, 80)]
    assert schedule.stage.window == 80
    assert decisions[-1].verdict == "last"
    # The policy needs about 20 steps to settle: no stage is rushed through, none is stuck.
    starts = np.diff([0, *(decision.step for decision in grown)])
    assert starts.min() >= 12
    assert starts.max() <= 80
    for decision in grown:
        assert decision.num_held == decision.num_needed == len(decision.evaluations) == 3
        for evaluation in decision.evaluations:
            assert evaluation.perplexity_change is not None
            assert evaluation.perplexity_change < decision.perplexity_change_max == 0.01
            assert evaluation.length_p99 >= decision.length_p99_min == pytest.approx(0.95 * decision.window)


def test_each_stage_trains_with_its_own_values() -> None:
    schedule = WindowSchedule(SIX)
    seen = []
    for step in range(200):
        if schedule.stage not in seen:
            seen.append(schedule.stage)
        schedule.observe(step, steady(step, schedule.stage.window))
    assert tuple(stage.window for stage in seen) == SIX.windows
    for name in ("weight_max", "clip_norm", "synthetic_scale", "pass_rate_max"):
        assert tuple(getattr(stage, name) for stage in seen) == getattr(SIX, name)
    assert [stage.index for stage in seen] == list(range(6))


@pytest.mark.parametrize(
    ("perplexity", "share"),
    [(lambda step: CALM, 0.949), (lambda step: 1.05**step, LONG), (lambda step: 0.95**step, LONG)],
    ids=["short", "rising", "falling"],
)
def test_one_criterion_alone_never_moves_on(perplexity: Callable[[int], float], share: float) -> None:
    schedule = WindowSchedule(SMALL)

    def evidence(step: int, window: int) -> Evidence:
        return Evidence(perplexity=perplexity(step), length_p99=share * window)

    decisions = run(schedule, evidence, range(100))
    assert len(decisions) == 50
    assert schedule.stage.index == 0
    assert {decision.verdict for decision in decisions} == {"wait"}
    # One of the two did hold, from the moment there was enough to compare with.
    last = decisions[-1].evaluations[-1]
    assert last.is_converged != last.is_near_limit


def test_the_first_advance_comes_exactly_when_both_have_held_long_enough() -> None:
    # The change over 3 steps exists from the fourth step on; evaluations fall on the second of each pair of steps.
    decisions = run(WindowSchedule(SMALL), steady, range(6))
    assert [(d.step, d.verdict, d.num_held) for d in decisions] == [(1, "wait", 0), (3, "wait", 1), (5, "advance", 2)]
    assert decisions[0].evaluations[-1].perplexity_change is None
    assert decisions[0].reason == "the stage is not yet 3 steps old"
    assert decisions[1].reason == "both criteria held at 1 of 2 evaluations"


def test_one_bad_evaluation_begins_the_count_again() -> None:
    def evidence(step: int, window: int) -> Evidence:
        return Evidence(perplexity=CALM, length_p99=(0.5 if step in (4, 5) else LONG) * window)

    decisions = run(WindowSchedule(SMALL), evidence, range(10))
    assert [decision.num_held for decision in decisions] == [0, 1, 0, 1, 2]
    assert decisions[2].reason == "p99 of lengths is 50.0% of the window, not 95.0%"
    assert decisions[4].verdict == "advance"


def test_numbers_of_an_evaluation_by_hand() -> None:
    settings = WindowSettings(windows=(10, 20), perplexity_steps=2, num_evaluations=1, evaluate_every=3)
    perplexities, p99s = [4.0, 1.0, 2.0], [9.0, 3.0, 3.0]
    schedule = WindowSchedule(settings)
    evidence = [Evidence(perplexity=p, length_p99=q) for p, q in zip(perplexities, p99s, strict=True)]
    assert schedule.observe(0, evidence[0]) is None
    assert schedule.observe(1, evidence[1]) is None
    decision = schedule.observe(2, evidence[2])
    assert decision is not None
    evaluation = decision.evaluations[-1]
    # Weights halve with each step back, and are normalised: (4/4 + 1/2 + 2) / (1/4 + 1/2 + 1), against 4 two before.
    assert evaluation.perplexity == pytest.approx(3.5 / 1.75)
    assert evaluation.perplexity_change == pytest.approx(abs(2.0 / 4.0 - 1))
    assert evaluation.length_p99 == pytest.approx(5.0)
    assert decision.reason == (
        "perplexity changed by 50.00% of 1.00%; p99 of lengths is 50.0% of the window, not 95.0%"
    )


def test_nothing_of_an_earlier_stage_counts() -> None:
    # Two evaluations, two steps apart; with the longer memory the first of a stage has nothing to compare with.
    for perplexity_steps, expected in ((3, [5, 11]), (1, [3, 7])):
        schedule = WindowSchedule(replace(SMALL, perplexity_steps=perplexity_steps))
        decisions = run(schedule, steady, range(12))
        assert [decision.step for decision in decisions if decision.verdict == "advance"] == expected


def test_a_person_can_hold_the_window_and_let_it_go() -> None:
    schedule = WindowSchedule(SMALL)
    schedule.hold()
    held = run(schedule, steady, range(20))
    assert schedule.stage.index == 0
    assert held[-1].verdict == "on_hold"
    assert held[-1].num_held == 2
    assert held[-1].next_window == 10
    resumed = WindowSchedule(SMALL)
    resumed.load(json.loads(json.dumps(schedule.state())))
    assert run(resumed, steady, range(20, 22))[-1].verdict == "on_hold"
    resumed.hold(False)
    assert run(resumed, steady, range(22, 24))[-1].verdict == "advance"


def test_the_last_window_stays() -> None:
    schedule = WindowSchedule(SMALL)
    decisions = run(schedule, steady, range(60))
    assert schedule.stage.window == 40
    assert decisions[-1].verdict == "last"
    assert decisions[-1].next_window == 40
    alone = WindowSchedule(WindowSettings(windows=(10,), perplexity_steps=1, num_evaluations=1, evaluate_every=1))
    assert {decision.verdict for decision in run(alone, steady, range(9))} == {"wait", "last"}


def test_decisions_are_json_with_all_their_evidence() -> None:
    decision = run(WindowSchedule(SMALL), steady, range(6))[-1]
    assert json.loads(json.dumps(decision.to_json())) == {
        "step": 5, "verdict": "advance", "reason": "both criteria held at 2 of 2 evaluations", "window": 10,
        "next_window": 20, "perplexity_change_max": 0.01, "length_p99_min": 9.5, "num_held": 2, "num_needed": 2,
        "evaluations": [
            {
                "step": step, "perplexity": 2.0, "perplexity_change": 0.0, "length_p99": pytest.approx(9.7),
                "is_converged": True, "is_near_limit": True,
            }
            for step in (3, 5)
        ],
    }  # fmt: skip


def test_resumed_at_any_step_it_decides_the_same() -> None:
    whole = WindowSchedule(SIX)
    policy = Policy(1)
    evidence, decisions, states = [], [], []
    for step in range(200):
        states.append(json.dumps(whole.state()))
        evidence.append(policy.evidence(step, whole.stage.window))
        decisions.append(whole.observe(step, evidence[-1]))
    assert whole.stage.index == 5
    # From every state one step on; by induction, the whole rest.
    for step in range(199):
        resumed = WindowSchedule(SIX)
        resumed.load(json.loads(states[step]))
        assert resumed.observe(step, evidence[step]) == decisions[step]
        assert json.dumps(resumed.state()) == states[step + 1]


steps_of_evidence = st.lists(
    st.tuples(st.sampled_from([1.0, 1.001, 1.5, 7.3]), st.sampled_from([0.1, 0.9, 0.951, 0.99, 1.0])),
    min_size=1,
    max_size=60,
)


@given(
    drawn=steps_of_evidence, cut=st.integers(0, 59), steps=st.integers(1, 4), needed=st.integers(1, 3),
    every=st.integers(1, 3), held=st.booleans(),
)  # fmt: skip
def test_any_cut_of_any_run_leaves_the_decisions_as_they_were(
    drawn: list[tuple[float, float]], cut: int, steps: int, needed: int, every: int, held: bool
) -> None:
    settings = replace(SMALL, perplexity_steps=steps, num_evaluations=needed, evaluate_every=every)
    whole, parted = WindowSchedule(settings), WindowSchedule(settings)
    whole.hold(held)
    parted.hold(held)
    windows = []
    for step, (perplexity, share) in enumerate(drawn):
        if step == cut:
            text = json.dumps(parted.state())
            parted = WindowSchedule(settings)
            parted.load(json.loads(text))
        evidence = Evidence(perplexity=perplexity, length_p99=share * whole.stage.window)
        assert parted.observe(step, evidence) == whole.observe(step, evidence)
        windows.append(whole.stage.window)
        # Bounded, whatever the length of the run.
        state = whole.state()
        assert len(state["smoothed"]) <= steps + 1
        assert len(state["evaluations"]) <= needed
        assert len(state["p99s"]) < every
    assert parted.state() == whole.state()
    assert windows == sorted(windows)
    assert set(windows) <= set(settings.windows)
    assert not (held and windows[-1] > 10)


def test_metrics_name_the_stage_and_the_last_evaluation() -> None:
    schedule = WindowSchedule(SMALL)
    assert schedule.metrics() == {"window/stage": 0.0, "window/tokens": 10.0}
    run(schedule, steady, range(5))
    assert schedule.metrics() == pytest.approx(
        {
            "window/stage": 0.0, "window/tokens": 10.0, "window/perplexity": 2.0, "window/perplexity_change": 0.0,
            "window/length_p99_frac": 0.97, "window/num_held": 1.0,
        }
    )  # fmt: skip


def test_halt_and_length_penalty_follow_the_window_where_told_to() -> None:
    base = WindowSettings(windows=(100, 200), repetition_window=30, soft_zone_frac=0.2)
    assert [(base.stage(i).repetition_window, base.stage(i).soft_zone_frac) for i in (0, 1)] == [(30, 0.2), (30, 0.2)]
    other = replace(base, scales_repetition=True, scales_soft_zone=False)
    assert [(other.stage(i).repetition_window, other.stage(i).soft_zone_frac) for i in (0, 1)] == [(30, 0.2), (60, 0.1)]


def test_the_reports_proportions_at_any_scale() -> None:
    assert report_windows(first=40_960, last=81_920) == (40_960, 49_152, 57_344, 65_536, 73_728, 81_920)
    assert report_windows(first=100, last=105) == (100, 101, 102, 103, 104, 105)
    for first, last in ((0, 10), (10, 14), (10, 10), (10, 5)):
        with pytest.raises(ConfigError, match=f"first={first}, last={last}; allowed"):
            report_windows(first=first, last=last)


@given(first=st.integers(1, 10**6), more=st.integers(5, 10**6))
def test_windows_in_the_reports_proportions_always_work(first: int, more: int) -> None:
    windows = report_windows(first=first, last=first + more)
    assert WindowSettings(windows=windows).windows[0] == first
    assert windows[-1] == first + more
    assert max(np.diff(windows)) - min(np.diff(windows)) <= 1


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"windows": ()}, "windows="),
        ({"windows": (0, 10, 20)}, "windows="),
        ({"windows": (10, 10, 20)}, "windows="),
        ({"windows": (20, 10, 30)}, "windows="),
        ({"weight_max": (5.0, 4.0)}, "weight_max=.*allowed: 1 value, or 3"),
        ({"weight_max": ()}, "weight_max=.*allowed: 1 value, or 3"),
        ({"clip_norm": (1.0, 1.0, 1.0, 1.0)}, "clip_norm="),
        ({"clip_norm": (0.0,)}, "clip_norm=.*allowed: above 0"),
        ({"clip_norm": (math.inf,)}, "clip_norm="),
        ({"synthetic_scale": (1.1,)}, "synthetic_scale=.*at most 1"),
        ({"pass_rate_max": (0.0,)}, "pass_rate_max=.*above 0"),
        ({"repetition_window": 0}, "repetition_window=0; allowed: at least 1"),
        ({"soft_zone_frac": 0.0}, "soft_zone_frac="),
        ({"length_p99_frac": 1.01}, "length_p99_frac="),
        ({"length_p99_frac": math.nan}, "length_p99_frac=nan"),
        ({"perplexity_change_max": 0.0}, "perplexity_change_max="),
        ({"perplexity_steps": 0}, "perplexity_steps="),
        ({"num_evaluations": 0}, "num_evaluations="),
        ({"evaluate_every": -1}, "evaluate_every="),
    ],
)
def test_settings_that_cannot_work(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(SMALL, **changed)


def test_all_faults_come_in_one_error() -> None:
    with pytest.raises(ConfigError, match=r"windows=\(2, 1\).*clip_norm=.*evaluate_every=0"):
        WindowSettings(windows=(2, 1), clip_norm=(1.0, 1.0, 1.0), evaluate_every=0)


@pytest.mark.parametrize(("perplexity", "p99"), [(math.nan, 1.0), (math.inf, 1.0), (0.0, 1.0), (1.0, math.nan)])
def test_evidence_is_finite(perplexity: float, p99: float) -> None:
    with pytest.raises(DataError, match="Evidence: "):
        Evidence(perplexity=perplexity, length_p99=p99)


def test_states_of_other_windows_are_refused() -> None:
    schedule = WindowSchedule(SMALL)
    run(schedule, steady, range(6))
    state = schedule.state()
    for settings in (replace(SMALL, windows=(10,)), replace(SMALL, windows=(10, 21, 40))):
        with pytest.raises(CheckpointError, match="window 20 in stage 1"):
            WindowSchedule(settings).load(state)
    for broken in ({}, {**state, "evaluations": [{"step": 1}]}, {**state, "smoothed": None}):
        with pytest.raises(CheckpointError, match="what WindowSchedule"):
            WindowSchedule(SMALL).load(broken)


def test_evidence_of_rollouts_by_hand() -> None:
    first = make_group([1.0, 0.0], lengths=[1, 3])
    evidence = evidence_of([first])
    assert evidence is not None
    assert (evidence.perplexity, evidence.length_p99) == pytest.approx((math.e, 2.98))
    assert evidence_of([]) is None
    assert evidence_of([RolloutGroup(task=make_task("t"), rollouts=())]) is None


def test_evidence_counts_drawn_tokens_under_the_model_and_the_longest_turn() -> None:
    forced = Completion(
        prompt_ids=np.array([1]),
        token_ids=np.array([5, 6, 7]),
        logprobs=np.array([-9.0, -9.0, 0.0], np.float32),
        model_logprobs=np.array([-1.0, -2.0, -50.0], np.float32),
        mask=np.array([True, True, False]),
        stop_reason="stop",
        message=Message(role="assistant", content=""),
    )
    later = make_rollout(1.0, token_ids=(3,), logprobs=(-3.0,))
    rollout = Rollout(task=later.task, completion=later.completion, score=later.score, earlier=(forced,))
    evidence = evidence_of([RolloutGroup(task=later.task, rollouts=(rollout,))])
    assert evidence is not None
    assert (evidence.perplexity, evidence.length_p99) == pytest.approx((math.exp(2.0), 3.0))

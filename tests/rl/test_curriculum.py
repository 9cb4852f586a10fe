"""Curricula: draws follow the weights, levels follow pass rates and rest, a step is a function of the state."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulmen.envs import Env, SingleTurn, load, load_mixture
from fulmen.errors import CheckpointError, ConfigError, DataError
from fulmen.rl.curriculum import Curriculum, CurriculumSettings, Source, StepMixture, load_sources, sources_of
from fulmen.rl.pass_rates import PassRateSettings
from fulmen.types import Message, RolloutGroup, Score, Split, StopReason, Task, stable_seed
from tests.rl.attempts import scored

FEW = PassRateSettings(num_rollouts=32, retire_after=2)


@dataclass(frozen=True, kw_only=True)
class Fake(SingleTurn):
    """Tasks without content, of which there are `num_tasks`; 0 is no bound."""

    name: str
    num_tasks: int = 0

    def task(self, split: Split, *, seed: int, index: int) -> Task:
        number = stable_seed(self.name, split, seed, index)
        return Task(
            task_id=f"{self.name}-{split}-{seed}-{index}", env=self.name,
            prompt=(Message(role="user", content="?"),), gold="",
            content_hash=f"{self.name}/{number % self.num_tasks if self.num_tasks else number}",
        )  # fmt: skip

    def check(self, task: Task, answer: Message | str, *, stop_reason: StopReason = "stop") -> Score:
        return Score(value=1.0)


def fake(name: str, *, num_levels: int = 1, **changed: Any) -> Source:
    names = [name] if num_levels == 1 else [f"{name}@{level}" for level in range(1, num_levels + 1)]
    return Source(**{"name": name, "envs": tuple(Fake(name=own) for own in names), **changed})


def draw(mixture: StepMixture, num: int, *, seed: int = 0, start: int = 0) -> list[Task]:
    return [mixture.task("train", seed=seed, index=index) for index in range(start, start + num)]


def groups_of(rates: dict[str, float], tasks: Sequence[Task], *, size: int = 8) -> list[RolloutGroup]:
    """Returns groups whose members are right with the probability of their environment, by the task's own dice."""
    groups = []
    for task in tasks:
        rng = np.random.default_rng(stable_seed(task.task_id))
        groups.append(scored(task, [float(value) for value in rng.random(size) < rates[task.env]]))
    return groups


RULES_THEN_GENERAL = (
    fake("rules", weights=((0, 2.0),)),
    fake("puzzles", weights=((0, 2.0), (400, 1.0)), is_synthetic=True),
    fake("general", weights=((100, 0.0), (300, 3.0))),
)


@pytest.mark.parametrize(
    ("step", "scale", "expected"),
    [
        (0, 1.0, (2, 2, 0)),
        (100, 1.0, (2, 1.75, 0)),
        (200, 1.0, (2, 1.5, 1.5)),
        (200, 0.5, (2, 0.75, 1.5)),
        (300, 1.0, (2, 1.25, 3)),
        (10_000, 0.1, (2, 0.1, 3)),
    ],
)
def test_what_is_drawn_follows_the_weights_of_the_step(
    step: int, scale: float, expected: tuple[float, float, float]
) -> None:
    curriculum = Curriculum(RULES_THEN_GENERAL)
    mixture = curriculum.mixture(step, synthetic_scale=scale)
    names = ("rules", "puzzles", "general")
    shares = dict(zip(names, np.array(expected) / sum(expected), strict=True))
    metrics = curriculum.metrics(mixture)
    assert {name: metrics[f"curriculum/weight/{name}"] for name in names} == pytest.approx(shares)
    num = 2000
    counts = Counter(task.env for task in draw(mixture, num, seed=step))
    for name, share in shares.items():
        # Four standard deviations of a binomial draw; exactly none where there is no weight.
        assert abs(counts[name] - num * share) <= 4 * math.sqrt(num * share * (1 - share))


def test_general_tasks_come_in_gradually() -> None:
    curriculum = Curriculum(RULES_THEN_GENERAL)
    shares = [curriculum.metrics(curriculum.mixture(step))["curriculum/weight/general"] for step in range(90, 320)]
    assert shares[0] == 0
    assert shares[-1] == pytest.approx(3 / 6.2375, rel=0.01)
    steps = np.diff(shares)
    assert steps[:10].max() == 0
    assert steps[11:209].min() > 0
    assert steps.max() < 0.01


def simulate(curriculum: Curriculum, skill: Sequence[float], *, gap: float, start: int = 0) -> list[int]:
    """Returns the level of "deep" at each step, under a policy that is right half of the time at level = skill.

    `gap` is the difference of the log-odds of being right from one level to the next.
    """
    levels = []
    for step, own in enumerate(skill, start):
        rates = {f"deep@{level}": 1 / (1 + math.exp(gap * (level - own))) for level in range(1, 6)}
        mixture = curriculum.mixture(step)
        levels.append(int(curriculum.metrics(mixture)["curriculum/level/deep"]))
        curriculum.observe(groups_of(rates, draw(mixture, 2, start=2 * step), size=16))
    return levels


def deep(num_rollouts: int = 32) -> Curriculum:
    return Curriculum([fake("deep", num_levels=5)], pass_rates=replace(FEW, num_rollouts=num_rollouts))


def test_levels_follow_a_growing_and_a_fading_policy() -> None:
    curriculum = deep(64)
    up = simulate(curriculum, [step / 30 for step in range(180)], gap=2.0)
    assert up == sorted(up)
    assert set(up) == {1, 2, 3, 4, 5}
    # Level 2 begins when three quarters are right at level 1, which is at a skill of 1.55: step 47.
    assert abs(up.index(2) - 47) < 15
    down = simulate(curriculum, [6 - step / 30 for step in range(180)], gap=2.0, start=180)
    assert down == sorted(down, reverse=True)
    assert set(down) == {1, 2, 3, 4, 5}
    # Level 4 comes back when 0.15 are right at level 5, which is at a skill of 4.13: step 56.
    assert abs(down.index(4) - 56) < 15


@pytest.mark.parametrize("skill", [1.0, 2.0, 2.5, 3.0, 4.0])
def test_levels_rest_where_the_policy_is_neither_too_good_nor_too_bad(skill: float) -> None:
    levels = simulate(deep(128), [skill] * 300, gap=2.0)
    assert len(set(levels[100:])) == 1
    assert 0.15 < 1 / (1 + math.exp(2.0 * (levels[-1] - skill))) < 0.75


def test_between_a_level_too_easy_and_one_too_hard_it_tries_ever_more_rarely() -> None:
    # Right nearly always at level 2, nearly never at level 3; one step's rollouts fill the window.
    levels = simulate(deep(), [2.5] * 400, gap=12.0)
    times = np.flatnonzero(np.diff(levels) > 0)[1:]
    # The first waits 1 step, then 2, 4, 8, 16, 16, ...; then comes the one step at level 3.
    assert list(np.diff(times)) == [3, 5, 9, *[17] * (len(times) - 4)]
    assert np.mean(np.array(levels) == 3) < 0.08


def test_one_step_moves_a_level_by_one_and_only_after_enough_rollouts() -> None:
    curriculum = deep()
    (source,) = curriculum.sources
    task = source.envs[0].task("train", seed=0, index=0)
    curriculum.observe([scored(task, [1.0] * 31)])
    assert curriculum.env(source).name == "deep@1"
    curriculum.observe([scored(task, [1.0])])
    assert curriculum.env(source).name == "deep@2"
    # Late rollouts of the level before do not move the one of now.
    curriculum.observe([scored(task, [1.0] * 100)])
    assert curriculum.env(source).name == "deep@2"


@pytest.mark.parametrize(("num_right", "level"), [(24, 2), (25, 3), (5, 2), (4, 1)])
def test_bounds_of_the_levels_are_exclusive(num_right: int, level: int) -> None:
    # Of 32: 0.75 is 24, 0.15 is 4.8.
    curriculum = deep()
    (source,) = curriculum.sources
    for env, num in ((source.envs[0], 32), (source.envs[1], num_right)):
        task = env.task("train", seed=0, index=0)
        curriculum.observe([scored(task, [1.0] * num + [0.0] * (32 - num))])
    assert curriculum.env(source).name == f"deep@{level}"


def test_solved_sources_weigh_less_and_nothing_is_left_out_when_all_are() -> None:
    curriculum = Curriculum([fake("a"), fake("b")], pass_rates=replace(FEW, solved_scale=0.0))

    def weights(pass_rate_max: float) -> tuple[float, ...]:
        return curriculum.mixture(1, pass_rate_max=pass_rate_max).weights

    a, b = (source.envs[0].task("train", seed=0, index=0) for source in curriculum.sources)
    curriculum.observe([scored(a, [1.0] * 32), scored(b, [1.0] * 16 + [0.0] * 16)])
    assert weights(0.9) == (0.0, 1.0)
    assert weights(1.0) == (0.5, 0.5)
    curriculum.observe([scored(b, [1.0] * 32)])
    assert weights(0.9) == (0.5, 0.5)


def test_retired_tasks_are_passed_over_within_their_environment() -> None:
    envs: tuple[Env, ...] = (Fake(name="set", num_tasks=10),)
    curriculum = Curriculum([fake("set", envs=envs, is_finite=True), fake("endless")], pass_rates=FEW)
    before = curriculum.mixture(0)
    seen = {task.content_hash: task for task in draw(before, 400) if task.env == "set"}
    assert len(seen) == 10
    retired = sorted(seen)[:7]
    curriculum.observe([scored(seen[name], [1.0, 1.0]) for name in retired] * 2)
    after = curriculum.mixture(1)
    assert curriculum.metrics(after)["curriculum/num_dropped"] == 7
    pairs = list(zip(draw(before, 400), draw(after, 400), strict=True))
    for old, new in pairs:
        # The environment of a place stays, and so does a task that is not retired.
        assert old.env == new.env
        assert new.content_hash not in retired
        assert old == new or old.content_hash in retired
    assert len({new.task_id for _, new in pairs}) == 400
    assert {new.content_hash for _, new in pairs if new.env == "set"} == set(seen) - set(retired)
    # Held-out tasks stay as they are.
    assert all(
        before.task("heldout", seed=0, index=index) == after.task("heldout", seed=0, index=index) for index in range(50)
    )
    curriculum.observe([scored(task, [1.0, 1.0]) for task in seen.values()] * 2)
    assert draw(curriculum.mixture(2), 50) == draw(before, 50)


def test_a_mixture_is_a_snapshot_that_can_score_what_others_drew() -> None:
    curriculum = deep()
    first = curriculum.mixture(0)
    tasks = draw(first, 8)
    curriculum.observe([scored(task, [1.0] * 32) for task in tasks])
    later = curriculum.mixture(0)
    assert draw(first, 8) == tasks
    assert {task.env for task in draw(later, 8)} == {"deep@2"}
    assert all(later.env_of(task).name == "deep@1" for task in tasks)
    assert [first.task("train", seed=0, index=index) for index in (5, 2)] == [tasks[5], tasks[2]]
    assert [env.name for env in curriculum.heldout.envs] == ["deep@1"]


def busy() -> Curriculum:
    envs: tuple[Env, ...] = (Fake(name="set", num_tasks=8),)
    sources = [
        fake("deep", num_levels=5, is_synthetic=True), fake("set", envs=envs, is_finite=True),
        fake("late", weights=((5, 0.0), (30, 1.0))),
    ]  # fmt: skip
    return Curriculum(sources, pass_rates=FEW)


def test_resumed_at_any_step_it_draws_the_same() -> None:
    def advance(curriculum: Curriculum, step: int) -> tuple[list[str], dict[str, float]]:
        rates = {f"deep@{level}": 1 / (1 + math.exp(2.0 * (level - step / 12))) for level in range(1, 6)}
        mixture = curriculum.mixture(step, synthetic_scale=0.7, pass_rate_max=0.9)
        tasks = draw(mixture, 6, start=6 * step)
        curriculum.observe(groups_of({**rates, "set": 0.9, "late": 0.3}, tasks))
        return [task.task_id for task in tasks], curriculum.metrics(mixture)

    whole = busy()
    states, results = [], []
    for step in range(80):
        states.append(json.dumps(whole.state(), sort_keys=True))
        results.append(advance(whole, step))
    # Something of everything has happened.
    assert results[-1][1]["curriculum/level/deep"] >= 4
    assert results[-1][1]["curriculum/num_dropped"] > 0
    for step in range(79):
        resumed = busy()
        resumed.load(json.loads(states[step]))
        assert advance(resumed, step) == results[step]
        assert json.dumps(resumed.state(), sort_keys=True) == states[step + 1]


@given(
    rewards=st.lists(st.lists(st.sampled_from([0.0, 1.0, 1.0, None]), min_size=1, max_size=40), max_size=12),
    cut=st.integers(0, 11),
)
def test_any_cut_of_any_rewards_leaves_the_curriculum_as_it_was(rewards: list[list[float | None]], cut: int) -> None:
    whole, parted = busy(), busy()
    for step, own in enumerate(rewards):
        if step == cut:
            text = json.dumps(parted.state(), sort_keys=True)
            parted = busy()
            parted.load(json.loads(text))
        tasks = draw(whole.mixture(step), 4, start=4 * step)
        assert draw(parted.mixture(step), 4, start=4 * step) == tasks
        before = [whole.sources[0].envs.index(curriculum.env(whole.sources[0])) for curriculum in (whole, parted)]
        for curriculum in (whole, parted):
            curriculum.observe([scored(task, own) for task in tasks])
        after = [whole.sources[0].envs.index(curriculum.env(whole.sources[0])) for curriculum in (whole, parted)]
        assert before[0] == before[1]
        assert after[0] == after[1]
        assert abs(after[0] - before[0]) <= 1
        assert sum(whole.mixture(step, pass_rate_max=0.5).weights) == pytest.approx(1.0)
    assert parted.state() == whole.state()


def test_plain_texts_draw_what_a_mixture_draws() -> None:
    specs = ["mini_countdown=2", "mini_brackets", "sudoku@1=0.5"]
    plain = load_mixture(specs)
    for sources in (load_sources(specs), sources_of(plain)):
        mixture = Curriculum(sources).mixture(17)
        assert [env.name for env in mixture.envs] == ["countdown", "brackets", "sudoku@1"]
        assert draw(mixture, 60) == [plain.task("train", seed=0, index=index) for index in range(60)]


def test_texts_with_ranges_of_levels_and_weights() -> None:
    deep, ramp, named = load_sources(["survo@2..4=2", "constraints=0..0.5:100..200", "futoshiki@easy..hard"])
    assert [env.name for env in deep.envs] == ["survo@easy", "survo@medium", "survo@hard"]
    assert deep.envs[1] == load("survo", level=3, name="survo@medium")
    assert (deep.first_level, deep.is_synthetic, deep.is_finite) == (2, True, False)
    assert deep.weights == ((0, 2.0),)
    assert [ramp.weight(step) for step in (0, 100, 150, 200, 900)] == [0.0, 0.0, 0.25, 0.5, 0.5]
    assert not ramp.is_synthetic
    assert [env.name for env in ramp.envs] == ["constraints"]
    assert [env.name for env in named.envs] == ["futoshiki@easy", "futoshiki@medium", "futoshiki@hard"]
    curriculum = Curriculum([deep])
    assert curriculum.metrics(curriculum.mixture(0))["curriculum/level/survo@2..4"] == 2


def test_a_calibration_leaves_the_levels_worth_training_on(tmp_path: Path) -> None:
    path = tmp_path / "levels.json"
    base = {"intro": {"pass_rate": 0.97}, "medium": {"pass_rate": 0.5}, "expert": {"pass_rate": 0.01}}
    path.write_text(json.dumps({"survo": {"high": "expert", "base": base}}))
    kept, other = load_sources(
        ["survo@1..5", "futoshiki@1..2"], calibration=path, pass_rate_min=0.02, pass_rate_max=0.9
    )
    assert [env.name for env in kept.envs] == ["survo@easy", "survo@medium", "survo@hard"]
    assert kept.first_level == 2
    assert len(other.envs) == 2
    with pytest.raises(ConfigError, match=r"'survo@1'; allowed by .*: easy, medium, hard"):
        load_sources(["survo@1"], calibration=path, pass_rate_min=0.02, pass_rate_max=0.9)
    with pytest.raises(DataError, match="fulmen calibrate"):
        load_sources(["survo@1"], calibration=tmp_path / "none.json")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("sudoku@0", "levels '0'"),
        ("sudoku@6", "levels '6'"),
        ("sudoku@4..2", "levels '4..2'"),
        ("sudoku@1..9", "levels '1..9'"),
        ("sudoku@", "levels ''"),
        ("sudoku@x", "levels 'x'"),
        ("mini_countdown@2", "has no levels"),
        ("nothing", "environment: 'nothing'"),
        ("sudoku=x", "weight 'x'"),
        ("sudoku=0..1", "weight '0..1'"),
        ("sudoku=0..1:5", "weight '0..1:5'"),
        ("sudoku=0..1:5..4", r"weights=\(\(5, 0.0\), \(4, 1.0\)\)"),
        ("sudoku=-1", "weights of 0 or more"),
        ("sudoku=nan", "weights of 0 or more"),
        ("sudoku=inf", "weights of 0 or more"),
    ],
)
def test_texts_that_say_nothing(spec: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"(?s)(?=.*{message}).*allowed: "):
        load_sources([spec])


def test_sources_that_cannot_work() -> None:
    with pytest.raises(ConfigError, match="envs: empty"):
        Curriculum([])
    with pytest.raises(ConfigError, match="each name once"):
        Curriculum([fake("a"), fake("a")])
    with pytest.raises(ConfigError, match=r"sources: \['a', 'a'\]; allowed: each name once"):
        Curriculum([fake("a"), fake("a", envs=(Fake(name="b"),))])
    with pytest.raises(ConfigError, match="none has weight at step 0"):
        Curriculum([fake("a", weights=((0, 0.0), (5, 1.0)))])
    with pytest.raises(ConfigError, match="none has weight at step 7"):
        Curriculum([fake("a", weights=((0, 1.0), (7, 0.0))), fake("b", weights=((7, 0.0), (9, 1.0)))])
    for changed in ({"envs": ()}, {"name": ""}, {"weights": ()}, {"weights": ((-1, 1.0),)}):
        with pytest.raises(ConfigError, match="allowed: "):
            replace(fake("a"), **changed)
    for low, high in ((0.5, 0.5), (-0.1, 0.5), (0.1, 1.1), (float("nan"), 0.5)):
        with pytest.raises(ConfigError, match="allowed: 0 <= level_down < level_up <= 1"):
            CurriculumSettings(level_down=low, level_up=high)


def test_states_of_other_sources_are_refused() -> None:
    state = busy().state()
    for sources in ([fake("deep", num_levels=5)], [fake("deep"), fake("set"), fake("late"), fake("more")]):
        with pytest.raises(CheckpointError, match="allowed: places in"):
            Curriculum(sources).load(state)
    state["places"]["deep"]["level"] = 5
    with pytest.raises(CheckpointError, match="allowed: places in"):
        busy().load(state)
    for broken in ({}, {"places": {}}, {"places": {"deep": {"floor": 1}}, "pass_rates": {}}, {"places": []}):
        with pytest.raises(CheckpointError):
            busy().load(broken)

"""Evaluation numbers by hand, from a scripted engine; pass@k against counting every subset."""

import itertools
import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from fulmen.envs import Brackets, Countdown, Mixture, SingleTurn, Sudoku
from fulmen.errors import ConfigError
from fulmen.evals.run import EvalSettings, evaluate, heldout_tasks, pass_at_k
from fulmen.rollout import Patience
from fulmen.types import Completion, Message, Request, Sampling, Score, Split, StopReason, Task


@dataclass(frozen=True, kw_only=True)
class Verdicts(SingleTurn):
    """A fake environment whose answers say what they are worth; every `num_equal` tasks are one problem."""

    name: str
    num_equal: int = 1

    def task(self, split: Split, *, seed: int, index: int) -> Task:
        """Returns a task that asks by its id."""
        task_id = f"{self.name}-{split}-{seed}-{index}"
        prompt = (Message(role="user", content=task_id),)
        problem = str(index // self.num_equal)
        return Task(task_id=task_id, env=self.name, prompt=prompt, gold="1", content_hash=problem)

    def check(self, task: Task, answer: Message | str, *, stop_reason: StopReason = "stop") -> Score:
        """Returns right, wrong, half right or beyond judging."""
        text = answer if isinstance(answer, str) else answer.content
        value = {"1": 1.0, "0": 0.0, "h": 0.5, "?": None}[text]
        return Score(value=value, status="ok" if value is not None else "invalid_verifier")

    def worked_solution(self, task: Task, rng: random.Random) -> Message:
        """Never asked for."""
        raise AssertionError


class Scripted:
    """A fake engine: a list of answers per task for samples, one answer for greedy; answer k has k + 1 tokens."""

    def __init__(self, samples: dict[str, str], greedy: dict[str, str]) -> None:
        self.samples, self.greedy = samples, greedy
        self.requests: list[Request] = []

    def __call__(
        self, requests: Sequence[Request], *, on_finish: Callable[[int], None] | None = None
    ) -> list[Completion]:
        """Returns the scripted completions; answers of 4 tokens count as cut off."""
        self.requests += requests
        attempts: Counter[str] = Counter()
        completions = []
        for request in requests:
            task_id = request.messages[0].content
            attempt = attempts[task_id]
            attempts[task_id] += 1
            answers = self.samples if request.sampling.temperature > 0 else self.greedy
            completions.append(
                Completion(
                    prompt_ids=np.array([0]),
                    token_ids=np.arange(attempt + 1),
                    logprobs=np.zeros(attempt + 1, dtype=np.float32),
                    stop_reason="length" if attempt == 3 else "stop",
                    message=Message(role="assistant", content=answers[task_id][attempt]),
                )
            )
            if on_finish is not None:
                on_finish(attempt + 1)
        return completions


ENV = Mixture([Verdicts(name="a"), Verdicts(name="b")])
SETTINGS = EvalSettings(num_tasks=2, num_samples=4, seed=9)
SAMPLES = {"a-heldout-9-0": "1010", "a-heldout-9-1": "0000", "b-heldout-9-0": "1111", "b-heldout-9-1": "?1h0"}
GREEDY = {"a-heldout-9-0": "1", "a-heldout-9-1": "0", "b-heldout-9-0": "?", "b-heldout-9-1": "h"}
AT_ONCE = Patience(retries=0)
LIMITS = Sampling(max_tokens=77, repetition_window=33, repetition_p=0.9)


def evaluated(settings: EvalSettings = SETTINGS) -> tuple[dict[str, dict[str, float]], list[Request]]:
    generate = Scripted(SAMPLES, GREEDY)
    tasks = heldout_tasks(ENV, num_tasks=2, seed=9)
    return evaluate(generate, ENV, tasks, settings, sampling=LIMITS, patience=AT_ONCE).tasks, generate.requests


def test_numbers_are_those_counted_by_hand() -> None:
    results, _ = evaluated()
    assert set(results) == {"a", "b"}
    # a: 2 of 4 and 0 of 4. b: 4 of 4, and 1 of 3: half a point is not right, a failed verifier says nothing.
    assert results["a"]["pass@1"] == 0.25
    assert results["b"]["pass@1"] == (1.0 + 1 / 3) / 2
    # Deviation of the sample over tasks / sqrt(2) = half the distance of two.
    assert results["a"]["pass@1_se"] == pytest.approx(0.25)
    assert results["b"]["pass@1_se"] == pytest.approx(1 / 3)
    assert results["a"]["pass@4"] == 0.5
    assert results["b"]["pass@4"] == 1.0
    assert results["a"]["greedy"] == 0.5
    assert results["b"]["greedy"] == 0.0
    for row in results.values():
        assert row["mean_length"] == 2.5
        assert row["truncated_frac"] == 0.25
        assert row["num_tasks"] == 2.0
    assert (results["a"]["invalid_frac"], results["b"]["invalid_frac"]) == (0.0, 0.125)


def test_greedy_is_asked_once_per_task_at_temperature_zero_and_samples_with_the_settings() -> None:
    _, requests = evaluated()
    assert len(requests) == 4 * 4 + 4
    samples, greedy = requests[:16], requests[16:]
    assert {(r.sampling.temperature, r.sampling.top_p) for r in samples} == {(1.0, 0.95)}
    assert {(r.sampling.temperature, r.sampling.top_p) for r in greedy} == {(0.0, 1.0)}
    limits = {(r.sampling.max_tokens, r.sampling.repetition_window, r.sampling.repetition_p) for r in requests}
    assert limits == {(77, 33, 0.9)}
    assert len({r.seed for r in samples}) == 16


def test_temperature_and_nucleus_come_from_the_settings() -> None:
    _, requests = evaluated(EvalSettings(num_tasks=2, num_samples=2, temperature=0.6, top_p=0.5, greedy=False, seed=9))
    assert {(r.sampling.temperature, r.sampling.top_p) for r in requests} == {(0.6, 0.5)}
    assert len(requests) == 4 * 2


def test_without_greedy_there_is_no_greedy_number() -> None:
    results, _ = evaluated(EvalSettings(num_tasks=2, num_samples=4, greedy=False, seed=9))
    assert all("greedy" not in row for row in results.values())


def test_one_task_has_no_standard_error_and_groups_are_returned() -> None:
    generate = Scripted(SAMPLES, GREEDY)
    tasks = [ENV.env_of(task).task("heldout", seed=9, index=0) for task in heldout_tasks(ENV, num_tasks=1, seed=9)]
    result = evaluate(generate, ENV, tasks[:1], SETTINGS, sampling=LIMITS)
    assert set(result.tasks) == {"a"}
    assert math.isnan(result.tasks["a"]["pass@1_se"])
    assert [group.task for group in result.groups] == tasks[:1]
    assert [rollout.score.value for rollout in result.groups[0].rollouts] == [1.0, 0.0, 1.0, 0.0]


def test_every_completion_is_reported_while_it_runs() -> None:
    lengths: list[int] = []
    tasks = heldout_tasks(ENV, num_tasks=2, seed=9)
    evaluate(Scripted(SAMPLES, GREEDY), ENV, tasks, SETTINGS, sampling=LIMITS, on_finish=lengths.append)
    assert lengths == [1, 2, 3, 4] * 4 + [1] * 4


def test_pass_at_k_is_the_share_of_subsets_with_a_right_answer() -> None:
    for num_samples in range(1, 8):
        for num_correct in range(num_samples + 1):
            outcomes = [True] * num_correct + [False] * (num_samples - num_correct)
            for k in range(1, num_samples + 1):
                subsets = list(itertools.combinations(outcomes, k))
                expected = sum(any(subset) for subset in subsets) / len(subsets)
                assert pass_at_k(num_samples, num_correct, k) == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("arguments", [(4, 2, 0), (4, 2, 5), (4, 5, 1), (4, -1, 1)])
def test_pass_at_k_refuses_impossible_counts(arguments: tuple[int, int, int]) -> None:
    with pytest.raises(ConfigError, match="pass_at_k"):
        pass_at_k(*arguments)


@pytest.mark.parametrize("name", ["num_tasks", "num_samples"])
def test_settings_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}=0; allowed: at least 1"):
        EvalSettings(**{name: 0})  # type: ignore[arg-type]


def test_heldout_tasks_are_as_many_of_every_environment_and_the_same_every_time() -> None:
    env = Mixture([Countdown(), Sudoku(), Brackets()], [1.0, 0.0, 2.0])
    tasks = heldout_tasks(env, num_tasks=5, seed=1)
    assert Counter(task.env for task in tasks) == {member.name: 5 for member in env.envs}
    assert tasks == heldout_tasks(env, num_tasks=5, seed=1)
    assert tasks[:3] == heldout_tasks(env, num_tasks=3, seed=1)[:3]
    assert not {t.task_id for t in tasks} & {t.task_id for t in heldout_tasks(env, num_tasks=5, seed=2)}


def test_heldout_tasks_are_different_problems_or_refused() -> None:
    tasks = heldout_tasks(Mixture([Verdicts(name="a", num_equal=3)]), num_tasks=3, seed=9)
    assert [task.task_id for task in tasks] == ["a-heldout-9-0", "a-heldout-9-3", "a-heldout-9-6"]
    with pytest.raises(ConfigError, match="num_tasks=3; allowed: at most about 1 for a"):
        heldout_tasks(Mixture([Verdicts(name="a", num_equal=100)]), num_tasks=3, seed=9)


def test_no_heldout_task_is_a_training_task_under_any_seed() -> None:
    env = Mixture([Countdown(), Sudoku(), Brackets()])
    heldout = {task.content_hash for task in heldout_tasks(env, num_tasks=60, seed=EvalSettings().seed)}
    for seed in (0, EvalSettings().seed):
        train = {member.task("train", seed=seed, index=i).content_hash for member in env.envs for i in range(150)}
        assert not heldout & train
    assert len(heldout) > 150

"""Collecting groups, against a scripted engine and a fake environment: no model, no torch."""

import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import fulmen.types
from fulmen.envs import Mixture, SingleTurn
from fulmen.errors import ConfigError, DataError
from fulmen.rollout import Collected, CollectSettings, Patience, collect, sample_groups
from fulmen.types import (
    Completion,
    Message,
    Request,
    RolloutGroup,
    Sampling,
    Score,
    Split,
    StopReason,
    Task,
    stable_seed,
)

SAMPLING = Sampling(max_tokens=8)


@dataclass(frozen=True, kw_only=True)
class Echo(SingleTurn):
    """A fake environment: task i asks for "i", and the answer "i:1" is right, "i:0" wrong, "i:?" beyond judging.

    An answer to another task is an error of the test.
    """

    name: str = "echo"

    def task(self, split: Split, *, seed: int, index: int) -> Task:
        """Returns the task that asks for its index."""
        prompt = (Message(role="user", content=str(index)),)
        return Task(task_id=f"{self.name}-{split}-{seed}-{index}", env=self.name, prompt=prompt, gold=f"{index}:1")

    def check(self, task: Task, answer: Message | str, *, stop_reason: StopReason = "stop") -> Score:
        """Returns what the answer says."""
        text = answer if isinstance(answer, str) else answer.content
        asked, _, verdict = text.partition(":")
        assert asked == task.prompt[0].content, "an answer reached another task"
        if stop_reason == "length":
            return Score(value=0.0, status="truncated")
        return Score(value=None, status="invalid_verifier") if verdict == "?" else Score(value=float(verdict))

    def worked_solution(self, task: Task, rng: random.Random) -> Message:
        """Never asked for."""
        raise AssertionError


ENV = Mixture([Echo()])


class Scripted:
    """A fake engine: attempt k at prompt i is answered by `script(i, k)`; completions end in a shuffled order."""

    def __init__(self, script: Callable[[int, int], str], *, lose: int = 0) -> None:
        self.script, self.lose = script, lose
        self.calls: list[list[Request]] = []

    def __call__(
        self, requests: Sequence[Request], *, on_finish: Callable[[int], None] | None = None
    ) -> list[Completion]:
        """Returns the scripted completions."""
        self.calls.append(list(requests))
        attempts: Counter[int] = Counter()
        texts = []
        for request in requests:
            index = int(request.messages[0].content)
            texts.append(f"{index}:{self.script(index, attempts[index])}")
            attempts[index] += 1
        ended: dict[int, Completion] = {}
        for position in random.Random(len(self.calls)).sample(range(len(requests)), len(requests)):
            ended[position] = complete(texts[position], requests[position].seed)
            if on_finish is not None:
                on_finish(len(ended[position].token_ids))
        return [ended[position] for position in range(len(requests) - self.lose)]


def complete(text: str, seed: int) -> Completion:
    """Returns a completion whose tokens hold the request's seed."""
    return Completion(
        prompt_ids=np.array([0]),
        token_ids=np.array([seed % 1000, 1]),
        logprobs=np.zeros(2, dtype=np.float32),
        stop_reason="stop",
        message=Message(role="assistant", content=text),
    )


def by_index(*, right: set[int], wrong: set[int]) -> Callable[[int, int], str]:
    """Returns a script with all-right and all-wrong tasks; the others are answered rightly every other time."""

    def script(index: int, attempt: int) -> str:
        return "1" if index in right else "0" if index in wrong else str(attempt % 2)

    return script


def is_mixed(group: RolloutGroup) -> bool:
    return len({rollout.score.value for rollout in group.rollouts}) > 1


def collected(
    generate: Scripted,
    *,
    num_groups: int = 4,
    cursor: int = 0,
    max_rounds: int = 4,
    seed: int = 5,
    expected_keep_frac: float = 1.0,
    on_finish: Callable[[int], None] | None = None,
) -> Collected:
    return collect(
        generate, ENV, CollectSettings(num_groups=num_groups, group_size=2, max_rounds=max_rounds),
        sampling=SAMPLING, seed=seed, cursor=cursor, keep=is_mixed, expected_keep_frac=expected_keep_frac,
        on_finish=on_finish,
    )  # fmt: skip


def indices(groups: Sequence[RolloutGroup]) -> list[int]:
    return [int(group.task.prompt[0].content) for group in groups]


def contents(groups: Sequence[RolloutGroup]) -> list[list[str]]:
    return [[rollout.completion.message.content for rollout in group.rollouts] for group in groups]


def test_groups_that_are_all_right_or_all_wrong_are_replaced_by_fresh_tasks() -> None:
    generate = Scripted(by_index(right={0, 5}, wrong={2}))
    result = collected(generate)
    # 0 and 2 are replaced by 4 and 5, and 5 by 6.
    assert indices(result.groups) == [1, 3, 4, 6]
    assert indices(result.sampled) == [0, 1, 2, 3, 4, 5, 6]
    assert [len(call) for call in generate.calls] == [8, 4, 2]
    assert (result.cursor, result.num_kept) == (7, 4)
    assert all(is_mixed(group) for group in result.groups)


def test_the_cursor_moves_past_every_task_used_so_that_none_comes_twice() -> None:
    script = by_index(right={1, 4, 8}, wrong={2, 9})
    seen: list[int] = []
    cursor = 0
    for _ in range(3):
        result = collected(Scripted(script), cursor=cursor)
        assert indices(result.sampled) == list(range(cursor, result.cursor))
        seen += indices(result.sampled)
        cursor = result.cursor
    assert len(set(seen)) == len(seen) == cursor


def test_a_full_first_round_is_the_last() -> None:
    generate = Scripted(by_index(right=set(), wrong=set()))
    assert indices(collected(generate, cursor=10).groups) == [10, 11, 12, 13]
    assert len(generate.calls) == 1


def test_rounds_end_at_max_rounds_with_what_there_is() -> None:
    generate = Scripted(by_index(right=set(range(100)) - {1}, wrong=set()))
    result = collected(generate, max_rounds=3)
    assert indices(result.groups) == [1]
    assert [len(call) for call in generate.calls] == [8, 6, 6]
    assert (result.cursor, result.num_kept, len(result.sampled)) == (10, 1, 10)


def test_surplus_groups_are_counted_and_left_out_in_order_of_tasks_not_of_finishing() -> None:
    generate = Scripted(by_index(right={0}, wrong=set()))
    # Half are expected to be kept: 8 asked for, 7 kept, 4 wanted.
    result = collected(generate, expected_keep_frac=0.5)
    assert indices(result.groups) == [1, 2, 3, 4]
    assert (result.num_kept, len(result.sampled), result.cursor) == (7, 8, 8)


@pytest.mark.parametrize(("expected_keep_frac", "asked"), [(1.5, 4), (1.0, 4), (0.9, 5), (0.5, 8), (0.1, 8), (0.0, 8)])
def test_a_round_asks_for_what_is_missing_by_the_expected_share_and_at_most_twice_the_batch(
    expected_keep_frac: float, asked: int
) -> None:
    generate = Scripted(by_index(right=set(), wrong=set()))
    assert len(collected(generate, expected_keep_frac=expected_keep_frac).sampled) == asked


def test_a_small_missing_rest_asks_for_at_most_four_times_itself() -> None:
    generate = Scripted(by_index(right={3}, wrong=set()))
    result = collected(generate, num_groups=40, expected_keep_frac=1.0)
    assert result.cursor == 41
    generate = Scripted(by_index(right=set(range(80)) - set(range(39)), wrong=set()))
    collected(generate, num_groups=40, expected_keep_frac=0.01, max_rounds=2)
    assert [len(call) // 2 for call in generate.calls] == [80, 4]


def test_collecting_is_deterministic_in_seed_and_cursor() -> None:
    script = by_index(right={1}, wrong={6})
    first, second = Scripted(script), Scripted(script)
    results = [collected(generate, cursor=3) for generate in (first, second)]
    assert first.calls == second.calls
    assert contents(results[0].groups) == contents(results[1].groups)
    other = Scripted(script)
    collected(other, cursor=3, seed=6)
    assert [r.messages for r in other.calls[0]] == [r.messages for r in first.calls[0]]
    assert not {r.seed for r in other.calls[0]} & {r.seed for r in first.calls[0]}


def test_each_completion_meets_its_own_request_whatever_ends_first() -> None:
    generate = Scripted(lambda index, attempt: "10?"[(index + attempt) % 3])
    tasks = [ENV.task("train", seed=5, index=index) for index in (7, 3, 5)]
    groups = sample_groups(generate, ENV, tasks, 4, SAMPLING, seed=5, patience=Patience(retries=0))
    assert indices(groups) == [7, 3, 5]
    for group, index in zip(groups, (7, 3, 5), strict=True):
        expected = ["10?"[(index + attempt) % 3] for attempt in range(4)]
        assert [r.completion.message.content for r in group.rollouts] == [f"{index}:{verdict}" for verdict in expected]
        assert [r.score.value for r in group.rollouts] == [{"1": 1.0, "0": 0.0, "?": None}[v] for v in expected]
        seeds = [stable_seed(5, group.task.task_id, attempt) % 1000 for attempt in range(4)]
        assert [int(r.completion.token_ids[0]) for r in group.rollouts] == seeds
        assert all(rollout.task is group.task for rollout in group.rollouts)


def test_attempts_have_distinct_seeds_that_depend_on_nothing_else() -> None:
    generate = Scripted(lambda index, attempt: "1")
    tasks = [ENV.task("train", seed=5, index=index) for index in range(20)]
    sample_groups(generate, ENV, tasks, 16, SAMPLING, seed=5)
    sample_groups(generate, ENV, tasks[3:4], 2, SAMPLING, seed=5)
    many, few = generate.calls
    assert len({request.seed for request in many}) == 20 * 16
    assert [request.seed for request in few] == [request.seed for request in many[48:50]]
    # The same on every machine, and from one version to the next.
    assert few[0].seed == stable_seed(5, "echo-train-5-3", 0) == 2164246222361639003
    assert all(request.sampling is SAMPLING for request in many)


def test_every_finished_completion_is_reported() -> None:
    lengths: list[int] = []
    collected(Scripted(by_index(right={0}, wrong=set())), on_finish=lengths.append)
    assert lengths == [2] * 10


def test_the_stop_reason_reaches_the_verifier() -> None:
    class Cut(Scripted):
        def __call__(
            self, requests: Sequence[Request], *, on_finish: Callable[[int], None] | None = None
        ) -> list[Completion]:
            completions = super().__call__(requests, on_finish=on_finish)
            return [Completion(**(vars(c) | {"stop_reason": "length"})) for c in completions]

    groups = sample_groups(
        Cut(lambda index, attempt: "1"), ENV, [ENV.task("train", seed=0, index=0)], 2, SAMPLING, seed=0
    )
    assert [rollout.score.status for rollout in groups[0].rollouts] == ["truncated", "truncated"]


def test_a_lost_completion_is_an_error_not_a_shift() -> None:
    with pytest.raises(DataError, match="7 completions for 8 requests"):
        collected(Scripted(by_index(right=set(), wrong=set()), lose=1))


@pytest.mark.parametrize("sampling", [Sampling(top_p=0.8), Sampling(temperature=0.7), Sampling(temperature=0.0)])
def test_a_distribution_the_learner_does_not_know_is_refused(sampling: Sampling) -> None:
    generate = Scripted(by_index(right=set(), wrong=set()))
    with pytest.raises(ConfigError, match="allowed in training: 1 and 1"):
        collect(generate, ENV, CollectSettings(), sampling=sampling, seed=0, cursor=0, keep=is_mixed)
    assert not generate.calls


@pytest.mark.parametrize("name", ["num_groups", "group_size", "max_rounds", "min_valid"])
def test_settings_out_of_range_are_refused(name: str) -> None:
    least = {"num_groups": 1, "group_size": 2, "max_rounds": 1, "min_valid": 2}[name]
    with pytest.raises(ConfigError, match=f"{name}={least - 1}; allowed: at least {least}"):
        CollectSettings(**{name: least - 1})
    CollectSettings(**{name: least})


def test_import_pulls_no_torch() -> None:
    root = Path(fulmen.types.__file__).parents[1]
    code = "import sys, fulmen.rollout; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(root)}, timeout=30)

"""Groups that go on over several batches: none lost, none doubled, none too old, none preferred; and the same again.

A fake engine of token-long steps, and no model, but for `tests/serve/test_partial.py`'s real ones at the end.
"""

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fulmen.errors import CheckpointError, ConfigError, SandboxError
from fulmen.rollout import Backlog, Collected, CollectSettings, Patience, collect, sample_groups
from fulmen.rollout.backlog import ARRAYS, RECORDS
from fulmen.types import (
    Attempt,
    Complete,
    Completion,
    Delta,
    Episode,
    Message,
    Partial,
    Request,
    RolloutGroup,
    Sampling,
    Score,
    Split,
    Task,
)

SAMPLING = Sampling(max_tokens=64)


def length_of(seed: int) -> int:
    """Returns a length with a long tail."""
    return 80 + seed % 90 if seed % 11 == 0 else 1 + seed % 12


class Stepper:
    """A fake engine: a request has 1 to 12 tokens by its seed, or over 80; a step draws one for the first `num_slots`.

    Token t of a request is a function of its seed and t, so that what goes on can be told from what begins anew.
    """

    def __init__(self, *, num_slots: int = 8) -> None:
        self.num_slots, self.version, self.num_ids, self.num_drawn = num_slots, 0, 0, 0
        self.queue: dict[int, tuple[Request, list[int]]] = {}
        """Requests and the versions of their tokens so far."""

    def __call__(
        self, requests: Sequence[Request], *, on_finish: Callable[[int], None] | None = None
    ) -> list[Completion]:
        """Returns one completion per request."""
        ids = [self.submit(request) for request in requests]
        done: dict[int, Completion] = {}
        while self.queue:
            done |= {delta.request_id: delta.completion for delta in self.step() if delta.completion is not None}
        return [done[number] for number in ids]

    @property
    def has_work(self) -> bool:
        """Whether a request is there."""
        return bool(self.queue)

    def submit(self, request: Request | Partial, *, has_text: bool = True) -> int:
        """Puts a request in the queue."""
        self.num_ids += 1
        if isinstance(request, Partial):
            expected = to_partial(request.request, request.token_versions.tolist())
            assert same(request, expected), "not what was interrupted"
            self.queue[self.num_ids] = (request.request, request.token_versions.tolist())
        else:
            self.queue[self.num_ids] = (request, [])
        return self.num_ids

    def step(self) -> list[Delta]:
        """Draws a token for each of the first."""
        deltas = []
        for number in list(self.queue)[: self.num_slots]:
            request, versions = self.queue[number]
            versions.append(self.version)
            self.num_drawn += 1
            if len(versions) == length_of(request.seed):
                del self.queue[number]
                deltas.append(Delta(request_id=number, completion=to_completion(to_partial(request, versions))))
        return deltas

    def interrupt(self) -> dict[int, Completion | Partial]:
        """Takes every request out."""
        queue, self.queue = self.queue, {}
        return {number: to_partial(*item) for number, item in queue.items()}


def to_partial(request: Request, versions: list[int]) -> Partial:
    """Returns a request that has drawn so many tokens."""
    count, seed = len(versions), request.seed
    places = np.arange(count)
    return Partial(
        request=request, prompt_ids=np.array([7]), token_ids=(seed % 1000 + places) % 1000,
        logprobs=(-1 / (1 + places + seed % 7)).astype(np.float32), model_logprobs=(-0.1 * places).astype(np.float32),
        token_versions=np.array(versions, np.int64), forced=np.zeros(0, np.int64),
        expert_ids=np.full((count, 2), seed % 100, np.int8), counters={"drawn": count},
    )  # fmt: skip


def to_completion(partial: Partial) -> Completion:
    return Completion(
        prompt_ids=partial.prompt_ids, token_ids=partial.token_ids, logprobs=partial.logprobs,
        model_logprobs=partial.model_logprobs, token_versions=partial.token_versions, stop_reason="stop",
        expert_ids=partial.expert_ids, policy_version=int(partial.token_versions[0]),
        message=Message(role="assistant", content=f"{partial.request.seed % 9}é"),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Talk:
    """Task i has 1 to 3 turns; a third of the groups is all wrong, and a seventh of the attempts cannot be played."""

    name: str = "talk"
    loses: bool = True

    def task(self, split: Split, *, seed: int, index: int) -> Task:
        """Returns the task that asks for its index."""
        prompt = (Message(role="user", content=str(index)),)
        return Task(task_id=f"talk-{split}-{seed}-{index}", env="talk", prompt=prompt, gold="", meta={"a": [1, 2.5]})

    async def rollout(self, task: Task, complete: Complete, attempt: Attempt) -> Episode:
        """Returns the replies; the environment takes its time between them."""
        index = int(task.prompt[0].content)
        if self.loses and (index + attempt.index) % 7 == 0:
            raise SandboxError("gone")
        messages, replies = list(task.prompt), []
        for turn in range(1 + index % 3):
            replies.append(await complete(attempt.request(task, messages, turn=turn)))
            messages += [replies[-1].message, Message(role="user", content="go on")]
            await asyncio.sleep(0.0005 * (attempt.index % 2))
        return Episode(completions=tuple(replies), messages=tuple(messages))

    async def score(self, task: Task, episode: Episode) -> Score:
        """Returns a number that the last reply decides."""
        index = int(task.prompt[0].content)
        value = float(index % 3 > 0) * float(sum(len(c.token_ids) for c in episode.completions) % 5)
        return Score(value=value, info="é", parts={"x": (value, 2.0)})


def is_mixed(group: RolloutGroup) -> bool:
    return len({rollout.score.value for rollout in group.rollouts}) > 1


def batches(
    engine: Any,
    *,
    num_batches: int,
    max_staleness: int,
    num_groups: int = 3,
    env: Talk | None = None,
    between: Callable[[int, Collected], Backlog] | None = None,
    begin: tuple[int, int, Backlog] = (0, 0, Backlog()),
) -> list[Collected]:
    """Collects batch after batch, each trained on where there is something to train on; as a loop would."""
    first, cursor, backlog = begin
    found = []
    for number in range(first, num_batches):
        result = collect(
            engine, env or Talk(), CollectSettings(
                num_groups=num_groups, group_size=3, stride=4, max_rounds=2, patience=Patience(retries=0)
            ),
            sampling=SAMPLING, seed=5, cursor=cursor, keep=is_mixed, backlog=backlog, max_staleness=max_staleness,
            policy_version=engine.version,
        )  # fmt: skip
        found.append(result)
        cursor = result.cursor
        backlog = result.backlog if between is None else between(number, result)
        engine.version += 8 * bool(result.groups)
    return found


def index_of(group: RolloutGroup) -> int:
    return int(group.task.prompt[0].content)


def same(left: object, right: object) -> bool:
    """Returns whether two records are equal, arrays with their types."""
    if isinstance(left, np.ndarray):
        return isinstance(right, np.ndarray) and left.dtype == right.dtype and np.array_equal(left, right)
    if dataclasses.is_dataclass(left):
        return type(left) is type(right) and all(
            same(getattr(left, field.name), getattr(right, field.name)) for field in dataclasses.fields(left)
        )
    if isinstance(left, tuple | list):
        return isinstance(right, tuple | list) and len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return isinstance(right, dict) and left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    return left == right


@settings(max_examples=8)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 12))
def test_every_task_is_trained_or_found_uninformative_once_and_in_time(
    max_staleness: int, num_groups: int, num_slots: int
) -> None:
    """Over random schedules: nothing lost, nothing doubled, nothing too old, and no length preferred."""
    engine = Stepper(num_slots=num_slots)
    found = batches(engine, num_batches=6, max_staleness=max_staleness, num_groups=num_groups)
    trained = [index_of(group) for result in found for group in result.groups]
    completed = [index_of(group) for result in found for group in result.sampled]
    left = [group.index for group in found[-1].backlog.groups]
    surplus = [g.index for g in found[-1].backlog.groups if all(a.rollout or a.is_lost for a in g.attempts)]
    dropped = [index_of(g) for r in found for g in r.sampled if not (g.num_valid >= 2 and is_mixed(g))]
    assert Counter(trained + dropped + left) == Counter(range(found[-1].cursor))
    assert sorted(completed) == sorted(set(trained + dropped + surplus))
    begun = {i: n for n, r in enumerate(found) for i in range(found[n - 1].cursor if n else 0, r.cursor)}
    for number, result in enumerate(found):
        assert [index_of(group) for group in result.groups] == sorted(map(index_of, result.groups))
        assert len(result.groups) == num_groups
        assert result.ages == [number - begun[index_of(group)] for group in result.groups]
        assert max(result.ages) <= max_staleness
        assert all(number - begun[index_of(group)] <= max_staleness for group in result.sampled)
        assert len(result.backlog.groups) <= num_groups
    # What was begun so long ago that it had to be decided is decided, whatever its length.
    assert min(left, default=10**9) >= min(i for i, n in begun.items() if n > 5 - max_staleness)


def test_a_group_that_may_not_get_older_is_waited_for() -> None:
    def oldest(max_staleness: int) -> int:
        found = batches(Stepper(), num_batches=6, max_staleness=max_staleness, num_groups=2)
        return max(age for result in found for age in result.ages)

    assert [oldest(1), oldest(2), oldest(9)] == [1, 2, 2]
    # Where nothing is trained nothing ages.
    engine = Stepper()
    cursor, backlog = 0, Backlog()
    for _ in range(4):
        (result,) = batches(engine, num_batches=1, max_staleness=1, num_groups=2, begin=(0, cursor, backlog))
        engine.version, cursor, backlog = 0, result.cursor, result.backlog
        assert result.ages == [0, 0]
        assert {group.age for group in backlog.groups} == {0}


def test_completions_are_what_they_are_without_interruption_but_for_their_versions() -> None:
    found = batches(Stepper(), num_batches=5, max_staleness=2)
    groups = [group for result in found for group in result.groups]
    versions = [c.token_versions for g in groups for r in g.rollouts for c in r.completions]
    assert any(len(set(v.tolist())) > 1 for v in versions if v is not None), "nothing was ever interrupted"
    for group in groups:
        (alone,) = sample_groups(Stepper(), Talk(), [group.task], 3, SAMPLING, seed=5, patience=Patience(retries=0))
        assert alone.num_lost == group.num_lost
        for mine, its in zip(group.rollouts, alone.rollouts, strict=True):
            assert mine.score == its.score
            for left, right in zip(mine.completions, its.completions, strict=True):
                assert left.token_ids.tolist() == right.token_ids.tolist()
                assert np.array_equal(left.logprobs, right.logprobs)
                assert left.token_versions is not None
                assert (np.diff(left.token_versions) >= 0).all()


def test_nothing_is_drawn_twice() -> None:
    """Turns that ended and tokens that were drawn are not paid for again."""
    engine = Stepper()
    found = batches(engine, num_batches=5, max_staleness=2, env=Talk(loses=False))
    whole = [r.num_tokens for result in found for group in result.sampled for r in group.rollouts]
    parts = [a for group in found[-1].backlog.groups for a in group.attempts if a.rollout is None]
    parts_tokens = sum(len(c.token_ids) for a in parts for c in (*a.completions.values(), *a.partials))
    # Groups that are complete but for some attempts are in neither.
    over = [a.rollout for g in found[-1].backlog.groups for a in g.attempts if a.rollout is not None]
    surplus = {id(r) for result in found for g in result.sampled for r in g.rollouts}
    assert engine.num_drawn == sum(whole) + parts_tokens + sum(r.num_tokens for r in over if id(r) not in surplus)


def test_the_clock_does_not_matter() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Slow(Talk):
        async def score(self, task: Task, episode: Episode) -> Score:
            await asyncio.sleep(0.002 * (len(episode.completions[0].token_ids) % 4))
            return await super().score(task, episode)

    for mine, its in zip(
        batches(Stepper(), num_batches=3, max_staleness=1, env=Slow()),
        batches(Stepper(), num_batches=3, max_staleness=1), strict=True,
    ):  # fmt: skip
        assert same(mine, its)


def test_staleness_zero_is_the_synchronous_batch() -> None:
    """Equal to the last bit, whatever is said of versions, to groups sampled task by task."""
    for version in (0, 9):
        engine = Stepper()
        engine.version = version
        result = batches(engine, num_batches=1, max_staleness=0)[0]
        alone = Stepper()
        alone.version = version
        tasks = [Talk().task("train", seed=5, index=index) for index in range(result.cursor)]
        groups = sample_groups(alone, Talk(), tasks, 3, SAMPLING, seed=5, patience=Patience(retries=0))
        kept = [group for group in groups if group.num_valid >= 2 and is_mixed(group)]
        expected = Collected(
            groups=kept[:3], sampled=groups, cursor=len(tasks), num_kept=len(kept), ages=[0] * len(kept[:3])
        )
        assert same(result, expected)


@pytest.mark.parametrize("stop", [0, 1, 3])
def test_a_killed_run_goes_on_from_the_file_as_if_nothing_had_been(stop: int, tmp_path: Path) -> None:
    whole = batches(Stepper(), num_batches=5, max_staleness=2)
    engine = Stepper()

    def write(number: int, result: Collected) -> Backlog:
        if number == stop:
            result.backlog.save(tmp_path)
        return result.backlog

    before = batches(engine, num_batches=stop + 1, max_staleness=2, between=write)
    assert whole[stop].backlog.groups
    loaded = Backlog.load(tmp_path)
    assert same(loaded, whole[stop].backlog)
    resumed = Stepper()
    resumed.version = engine.version
    after = batches(resumed, num_batches=5, max_staleness=2, begin=(stop + 1, before[-1].cursor, loaded))
    assert same([*before, *after], whole)


def test_a_backlog_shares_its_tasks_after_loading(tmp_path: Path) -> None:
    backlog = batches(Stepper(), num_batches=2, max_staleness=2)[-1].backlog
    backlog.save(tmp_path)
    rollouts = [(g, a.rollout) for g in Backlog.load(tmp_path).groups for a in g.attempts if a.rollout is not None]
    assert rollouts
    assert all(rollout.task is group.task for group, rollout in rollouts)
    Backlog().save(tmp_path)
    assert Backlog.load(tmp_path) == Backlog()


@pytest.mark.parametrize("name", [RECORDS, ARRAYS])
@pytest.mark.parametrize("damage", ["gone", "short", "flipped"])
def test_damage_is_named(name: str, damage: str, tmp_path: Path) -> None:
    batches(Stepper(), num_batches=1, max_staleness=1)[0].backlog.save(tmp_path)
    path = tmp_path / name
    data = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    elif damage == "short":
        path.write_bytes(data[:-40])
    else:
        place = data.rindex(b"8") if name == RECORDS else len(data) - 3
        data[place] ^= 1
        path.write_bytes(data)
    with pytest.raises(CheckpointError, match=name):
        Backlog.load(tmp_path)


def test_an_environment_that_asks_otherwise_the_second_time_goes_on_from_there() -> None:
    count = iter(range(10**6))

    @dataclass(frozen=True, kw_only=True)
    class Fickle(Talk):
        async def rollout(self, task: Task, complete: Complete, attempt: Attempt) -> Episode:
            request = attempt.request(task, (*task.prompt, Message(role="user", content=str(next(count)))))
            return Episode(completions=(await complete(request),))

    found = batches(Stepper(), num_batches=4, max_staleness=1, env=Fickle())
    indices = [index_of(g) for r in found for g in r.sampled] + [
        g.index for g in found[-1].backlog.groups if not all(a.rollout or a.is_lost for a in g.attempts)
    ]
    assert sorted(indices) == list(range(found[-1].cursor))


def test_what_cannot_be_is_refused() -> None:
    engine = Stepper()

    def once(generate: Any, **options: Any) -> Collected:
        return collect(
            generate, Talk(), CollectSettings(), sampling=SAMPLING, seed=0, cursor=0, keep=is_mixed, **options
        )

    with pytest.raises(ConfigError, match="max_staleness=1 with function; allowed: 0, or an engine"):
        once(lambda requests, on_finish=None: [], max_staleness=1)
    backlog = batches(Stepper(), num_batches=1, max_staleness=1)[0].backlog
    with pytest.raises(ConfigError, match=rf"max_staleness=0 with {len(backlog.groups)} groups left over"):
        once(engine, backlog=backlog)
    with pytest.raises(ConfigError, match="max_staleness=-1"):
        once(engine, max_staleness=-1)
    engine.submit(Request(messages=(), sampling=SAMPLING, seed=0))
    with pytest.raises(ConfigError, match="an engine that has other work"):
        once(engine, max_staleness=1)
    with pytest.raises(ConfigError, match="stride=0; allowed: at least 1"):
        CollectSettings(stride=0)


def test_a_stop_request_ends_collecting_and_leaves_the_engine_empty() -> None:
    class Stop(Exception):  # noqa: N818
        pass

    def stop(num_tokens: int) -> None:
        raise Stop

    engine = Stepper()
    with pytest.raises(Stop):
        collect(
            engine, Talk(), CollectSettings(num_groups=2, group_size=2), sampling=SAMPLING, seed=0, cursor=0,
            keep=is_mixed, max_staleness=1, on_finish=stop,
        )  # fmt: skip
    assert not engine.has_work

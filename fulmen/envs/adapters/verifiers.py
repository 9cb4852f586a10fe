"""Tasksets of `verifiers` (interface v1) as environments: `load("verifiers:my_taskset")`. Needs the extra `verifiers`.

Our rollout, their score: the reply is written into a trace by hand, and the task's own rewards read it. That works for
tasks of one reply whose rewards need no runtime; a task that wants a harness or a container is refused.
The other way round, `fulmen_tasks` is a taskset of ours for their trainers and evaluations.
"""

import functools
import importlib.util
import itertools
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fulmen.envs.base import SingleTurn, read_meta, require_between, split_of, stream
from fulmen.errors import ConfigError, VerifierError
from fulmen.types import Attempt, Complete, Episode, Message, Score, Split, Task, content_hash, stable_seed


@dataclass(frozen=True, kw_only=True)
class VerifiersTaskset:
    """One installed taskset."""

    name: str
    """What `Task.env` says."""
    dataset: str
    """Id of the taskset: the module that exports it."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Its own settings, as JSON."""
    max_tasks: int = 10_000
    """Tasks read of it, from the first on."""
    success: float = 1.0
    """Total reward from which a reply counts as 1; 0 hands on the reward itself."""

    def __post_init__(self) -> None:
        """Checks the settings and reads the tasks."""
        require_between("max_tasks", self.max_tasks, low=1, high=1_000_000)
        if importlib.util.find_spec("verifiers") is None:
            raise ConfigError("verifiers: not installed; allowed after: pip install 'fulmen[verifiers]'")
        _read(self.dataset, json.dumps(dict(self.config), sort_keys=True), self.max_tasks)

    def task(self, split: Split, *, seed: int, index: int) -> Task:
        """Returns the task at a place of the stream, which passes through the taskset in an order of the seed's.

        Raises: ConfigError for a negative index, or a split without a task.
        """
        if index < 0:
            raise ConfigError(f"index: {index}; allowed: 0 or more")
        places = [place for place, entry in enumerate(self._entries()) if split_of(_hash_of(entry)) == split]
        if not places:
            raise ConfigError(f"{self.name}: no '{split}' task among {len(self._entries())}; allowed: larger tasksets")
        turn, place = divmod(index, len(places))
        random.Random(stable_seed(self.name, split, seed, turn)).shuffle(places)
        entry = self._entries()[places[place]]
        return Task(
            task_id=f"{self.name}-{split}-{seed}-{index}", env=self.name, prompt=_prompt_of(entry.data), gold="",
            meta={"place": places[place]}, content_hash=_hash_of(entry),
        )  # fmt: skip

    def tasks(self, split: Split, *, seed: int, start: int = 0) -> Iterator[Task]:
        """Yields the stream of tasks from a place on, without end."""
        return stream(self, split, seed=seed, start=start)

    async def rollout(self, task: Task, complete: Complete, attempt: Attempt) -> Episode:
        """Returns the episode of one reply to the prompt."""
        return await SingleTurn().rollout(task, complete, attempt)

    async def score(self, task: Task, episode: Episode) -> Score:
        """Returns the task's own reward. Raises: VerifierError when its scoring raises."""
        stop_reason = episode.completions[-1].stop_reason
        if stop_reason == "length":
            return Score(value=0.0, status="truncated", info="no room left for an answer")
        entry = self._entries()[read_meta(task, "place", kind=int, env=self.name)]
        trace = _make_trace(entry, task, episode.reply, stop_reason=stop_reason)
        try:
            await entry.score(trace)
        except Exception as error:  # whatever a foreign reward raises says nothing of the reply
            raise VerifierError(f"{self.dataset}: {type(error).__name__}: {error}") from error
        parts = {name: (reward.score, reward.weight) for name, reward in trace.rewards.items() if reward is not None}
        if not parts:
            raise VerifierError(f"{self.dataset}: no reward that needs no runtime; allowed: tasks with one")
        value = float(trace.reward >= self.success) if self.success else float(trace.reward)
        return Score(value=value, info=f"reward {trace.reward:g}", parts=parts)

    def _entries(self) -> list[Any]:
        return _read(self.dataset, json.dumps(dict(self.config), sort_keys=True), self.max_tasks)


@functools.lru_cache(maxsize=8)
def _read(dataset: str, config: str, max_tasks: int) -> list[Any]:
    """Returns the tasks of a taskset. Raises: ConfigError when it cannot be loaded or needs what we do not have."""
    from verifiers.v1.configs.taskset import TasksetConfig
    from verifiers.v1.utils.generic import concrete_type
    from verifiers.v1.utils.loaders import taskset_class

    try:
        found = taskset_class(dataset)
        settings = concrete_type(found, TasksetConfig) or TasksetConfig
        tasks = list(itertools.islice(iter(found(settings(id=dataset, **json.loads(config)))), max_tasks))
    except Exception as error:  # a foreign package may raise anything
        said = f"{type(error).__name__}: {error}"
        raise ConfigError(f"dataset: {dataset!r}; allowed: an installed taskset ({said})") from None
    if not tasks:
        raise ConfigError(f"dataset: {dataset!r} has no task; allowed: one with tasks")
    if tasks[0].NEEDS_CONTAINER or tasks[0].data.prompt is None:
        raise ConfigError(f"dataset: {dataset!r} needs a container or a user; allowed: tasks with a prompt alone")
    return tasks


def _prompt_of(data: Any) -> tuple[Message, ...]:
    from verifiers.v1.types import content_text

    system = (Message(role="system", content=data.system_prompt),) if data.system_prompt else ()
    if isinstance(data.prompt, str):
        return (*system, Message(role="user", content=data.prompt))
    return (*system, *(Message(role=m.role, content=content_text(m.content)) for m in data.prompt))


def _hash_of(entry: Any) -> str:
    return content_hash("verifiers", [[message.role, message.content] for message in _prompt_of(entry.data)])


def _make_trace(entry: Any, task: Task, reply: Message, *, stop_reason: str) -> Any:
    """Returns a finished trace of one reply, as a harness would have left it."""
    from verifiers.v1.configs.agent import WireAgentConfig
    from verifiers.v1.graph import MessageNode
    from verifiers.v1.trace import AgentInfo, Trace, TraceTask
    from verifiers.v1.types import AssistantMessage, SystemMessage, UserMessage

    kinds = {"system": SystemMessage, "user": UserMessage, "assistant": AssistantMessage}
    said = [kinds[message.role](content=message.content) for message in task.prompt]
    nodes = [MessageNode(parent=i - 1 if i else None, message=message) for i, message in enumerate(said)]
    answer = AssistantMessage(content=reply.content, reasoning_content=reply.thinking or None)
    nodes.append(MessageNode(parent=len(nodes) - 1, message=answer, sampled=True))
    record = TraceTask(type=type(entry).__name__, data=entry.data, key=entry.key, hash=entry.hash)
    return Trace(
        task=record, agent=AgentInfo(config=WireAgentConfig()), nodes=nodes, is_completed=True, ok=True,
        stop_condition=stop_reason,
    )  # fmt: skip

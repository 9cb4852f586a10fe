"""Tasksets of `verifiers` read by us, and our tasks read by it. Runs where the package is installed."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("verifiers")

from fulmen.envs import load
from fulmen.envs.conformance import dump
from fulmen.errors import ConfigError, VerifierError
from fulmen.types import Completion, Episode, Message, StopReason

FOREIGN = """
from verifiers.v1.task import Task, TaskData
from verifiers.v1.taskset import Taskset
from verifiers.v1.utils.decorators import reward

__all__ = ["Doubles"]

class Data(TaskData):
    answer: str

class Double(Task[Data]):
    @reward(weight=0.75)
    async def right(self, trace) -> float:
        text = trace.nodes[-1].message.content
        if text == "boom":
            raise ValueError("boom")
        return float(text == self.data.answer)

    @reward(weight=0.25)
    async def short(self, trace) -> float:
        return float(len(trace.nodes[-1].message.content) < 5)

class Doubles(Taskset[Double]):
    def load(self):
        for n in range(40):
            yield Double(Data(prompt=f"Double {n}.", system_prompt="Be brief.", answer=str(2 * n)), self.config.task)
"""


def episode(text: str, stop_reason: StopReason = "stop") -> Episode:
    nothing = np.zeros(0, np.int64)
    message = Message(role="assistant", content=text)
    return Episode(
        completions=(
            Completion(
                prompt_ids=nothing, token_ids=nothing, logprobs=np.zeros(0, np.float32), stop_reason=stop_reason,
                message=message,
            ),
        )
    )  # fmt: skip


@pytest.fixture
def taskset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "doubles_taskset.py").write_text(FOREIGN)
    monkeypatch.syspath_prepend(tmp_path)
    return "verifiers:doubles_taskset"


def test_a_foreign_taskset_is_an_environment(taskset: str) -> None:
    env = load(taskset)
    tasks = [env.task("train", seed=0, index=index) for index in range(60)]
    heldout = [env.task("heldout", seed=0, index=index) for index in range(10)]
    assert len({task.content_hash for task in tasks}) + len({task.content_hash for task in heldout}) == 40
    assert not {task.content_hash for task in tasks} & {task.content_hash for task in heldout}
    assert dump(env.task("train", seed=0, index=7)) == dump(tasks[7])
    task = tasks[0]
    assert [message.role for message in task.prompt] == ["system", "user"]
    number = int(task.prompt[1].content.split()[1].rstrip("."))
    right = asyncio.run(env.score(task, episode(str(2 * number))))
    assert (right.value, right.parts) == (1.0, {"right": (1.0, 0.75), "short": (1.0, 0.25)})
    assert asyncio.run(env.score(task, episode("-1"))).value == 0.0
    graded = load(taskset, success=0.0)
    assert asyncio.run(graded.score(task, episode("-1"))).value == 0.25
    assert asyncio.run(env.score(task, episode(str(2 * number), "length"))).status == "truncated"
    with pytest.raises(VerifierError, match="boom"):
        asyncio.run(env.score(task, episode("boom")))


def test_a_taskset_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="'no_such_taskset'; allowed: an installed taskset"):
        load("verifiers:no_such_taskset")


def test_our_tasks_are_a_taskset_of_theirs() -> None:
    """Through their loader, and back through our adapter: the same tasks, the same verdicts."""
    env = load("verifiers:fulmen_tasks", max_tasks=12, config={"env": "mini_countdown", "seed": 5})
    ours = load("mini_countdown")
    task = env.task("train", seed=0, index=0)
    place = task.meta["place"]
    original = ours.task("train", seed=5, index=place)
    assert task.prompt[-1] == original.prompt[-1]
    assert asyncio.run(env.score(task, episode(original.gold))).value == 1.0
    assert asyncio.run(env.score(task, episode("1+1"))).value == 0.0

"""fulmen's environments of one reply as a taskset of `verifiers` (interface v1): its id is `fulmen_tasks`.

    vf-eval fulmen_tasks --env.taskset.env futoshiki --env.taskset.level 2

The package stands beside `fulmen`, since a taskset's id is the name of a module without dots.
"""

from collections.abc import Iterator

from pydantic import Field
from verifiers.v1.configs.taskset import TasksetConfig
from verifiers.v1.task import Task, TaskData
from verifiers.v1.taskset import Taskset
from verifiers.v1.trace import Trace
from verifiers.v1.utils.decorators import reward

from fulmen import types
from fulmen.envs import SingleTurnEnv, load

__all__ = ["FulmenTaskset"]


class FulmenTasksetConfig(TasksetConfig):
    """Which tasks are made."""

    env: str = "game_of_24"
    """A name that `fulmen envs` lists."""
    level: str = ""
    """1 to 5, or intro, easy, medium, hard, expert; empty: the environment's defaults."""
    knobs: dict[str, bool | int | float | str] = Field(default_factory=dict)
    """Settings of the environment to change."""
    split: types.Split = "train"
    seed: int = 0


class FulmenData(TaskData):
    """A task of fulmen on its way through records."""

    fulmen_task: dict[str, object]
    """The task, as JSON."""
    level: str = ""
    knobs: dict[str, bool | int | float | str] = Field(default_factory=dict)
    env: str = ""


class FulmenTask(Task[FulmenData]):
    """Checks the last reply by the rules of the task."""

    @reward(weight=1.0)
    async def right(self, trace: Trace) -> float:
        """Returns 1.0 for a right answer."""
        task = types.Task.from_json(self.data.fulmen_task)
        env = _env(self.data.env, self.data.level, self.data.knobs)
        reply = trace.nodes[-1].message
        score = env.check(task, reply.content or "")
        if score.value is None:
            raise RuntimeError(f"{task.task_id}: {score.status}: {score.info}")
        return score.value


class FulmenTaskset(Taskset[FulmenTask, FulmenTasksetConfig]):
    """The stream of an environment's tasks; it does not end."""

    INFINITE = True

    def load(self) -> Iterator[FulmenTask]:
        """Yields the tasks of the stream."""
        config = self.config
        env = _env(config.env, config.level, config.knobs)
        index = 0
        while True:
            task = env.task(config.split, seed=config.seed, index=index)
            data = FulmenData(
                id=task.content_hash, name=task.task_id, prompt=task.prompt[-1].content, fulmen_task=task.to_json(),
                env=config.env, level=config.level, knobs=config.knobs,
            )  # fmt: skip
            yield FulmenTask(data, config.task)
            index += 1


def _env(name: str, level: str, knobs: dict[str, bool | int | float | str]) -> SingleTurnEnv:
    at = (int(level) if level.isdecimal() else level) or None
    env = load(name, level=at, **knobs)
    if not isinstance(env, SingleTurnEnv):
        raise TypeError(f"env: {name} has episodes of several turns; allowed: environments of one reply")
    return env

"""Rollouts and groups made by hand, for the tests of this folder."""

from collections.abc import Sequence

import numpy as np

from fulmen.types import Completion, Message, Rollout, RolloutGroup, Score, Task


def make_task(name: str) -> Task:
    """Returns a task without content."""
    return Task(task_id=name, env="fake", prompt=(Message(role="user", content=name),), gold="")


def make_rollout(
    reward: float | None,
    *,
    prompt_ids: Sequence[int] = (1, 2),
    token_ids: Sequence[int] = (3, 4, 5),
    logprobs: Sequence[float] | None = None,
    expert_ids: np.ndarray | None = None,
    task: Task | None = None,
) -> Rollout:
    """Returns a scored completion; log-probabilities are -1 unless given."""
    completion = Completion(
        prompt_ids=np.array(prompt_ids, dtype=np.int64),
        token_ids=np.array(token_ids, dtype=np.int64),
        logprobs=np.array([-1.0] * len(token_ids) if logprobs is None else logprobs, dtype=np.float32),
        stop_reason="stop",
        message=Message(role="assistant", content=""),
        expert_ids=expert_ids,
    )
    score = Score(value=reward, status="invalid_verifier" if reward is None else "ok")
    return Rollout(task=task or make_task("task"), completion=completion, score=score)


def make_group(rewards: Sequence[float | None], *, lengths: Sequence[int] | None = None) -> RolloutGroup:
    """Returns a group with these rewards and completion lengths (3 unless given)."""
    task = make_task("task")
    lengths = [3] * len(rewards) if lengths is None else lengths
    rollouts = [
        make_rollout(reward, token_ids=range(10, 10 + length), task=task)
        for reward, length in zip(rewards, lengths, strict=True)
    ]
    return RolloutGroup(task=task, rollouts=tuple(rollouts))

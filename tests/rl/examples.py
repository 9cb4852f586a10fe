"""Rollouts and groups made by hand, for the tests of this folder."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fulmen.envs import SingleTurn
from fulmen.text import Tokenizer
from fulmen.types import Completion, Message, Rollout, RolloutGroup, Score, Split, StopReason, Task, content_hash

TOKENIZER = Tokenizer.train(["0 1 2 3"], vocab_size=270)


@dataclass(frozen=True, kw_only=True)
class Lengths(SingleTurn):
    """A fake environment: answers of an odd number of characters are right."""

    name: str = "lengths"

    def task(self, split: Split, *, seed: int, index: int) -> Task:
        """Returns the index as a prompt."""
        prompt = (Message(role="user", content=str(index)),)
        name = f"{self.name}-{split}-{seed}-{index}"
        return Task(task_id=name, env=self.name, prompt=prompt, gold="", content_hash=content_hash(split, index))

    def check(self, task: Task, answer: Message | str, *, stop_reason: StopReason = "stop") -> Score:
        """Returns 1 for an odd length."""
        text = answer if isinstance(answer, str) else answer.content
        return Score(value=float(len(text) % 2))

    def worked_solution(self, task: Task, rng: random.Random) -> Message:
        """Never asked for."""
        raise AssertionError


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

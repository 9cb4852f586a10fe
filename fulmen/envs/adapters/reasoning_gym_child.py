"""What runs in a worker beside reasoning-gym: entries by place, and their scores."""

import functools
import json
from typing import Any

import reasoning_gym
from reasoning_gym.factory import DATASETS


def names() -> list[str]:
    """Returns the names of all datasets that need no other."""
    return sorted(name for name in DATASETS if name != "composite")


def make(dataset: str, config: dict[str, Any], size: int, place: int) -> dict[str, str | None]:
    """Returns question and answer at a place."""
    entry = _dataset(dataset, json.dumps(config, sort_keys=True), size)[place]
    answer = entry["answer"]
    return {"question": entry["question"], "answer": answer if isinstance(answer, str) else None}


def grade(dataset: str, config: dict[str, Any], size: int, place: int, answers: list[str]) -> list[float]:
    """Returns the library's score of each answer."""
    found = _dataset(dataset, json.dumps(config, sort_keys=True), size)
    entry = found[place]
    return [float(found.score_answer(answer, entry)) for answer in answers]


@functools.lru_cache(maxsize=8)
def _dataset(dataset: str, config: str, size: int) -> Any:
    return reasoning_gym.create_dataset(dataset, seed=0, size=size, **json.loads(config))

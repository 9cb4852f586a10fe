"""reasoning-gym's generators as environments: `load("reasoning_gym:gcd")`. Needs the extra `reasoning-gym`.

Generators and scorers run in killable workers, since some hang or raise on odd input. Only a score of 1.0 counts: the
library's own scorer gives len(gold) / len(answer) to any text that contains the gold answer.
"""

import functools
import importlib.util
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fulmen.envs.base import Puzzle, SingleTurn, draw_task, read_meta, require_between
from fulmen.envs.puzzle import FORM_SENTENCES, require_one_of
from fulmen.errors import ConfigError, DataError, TaskError, VerifierError
from fulmen.rewards.answer import MAX_ANSWER_CHARS, AnswerForm, clean_answer, find_answer
from fulmen.rewards.worker import WorkerError, WorkerPool, WorkerRaisedError
from fulmen.types import Message, Score, Split, StopReason, Task

CHILD = "fulmen.envs.adapters.reasoning_gym_child"
MAKE_S, GRADE_S = 60.0, 10.0
"""Seconds that a task may take to make, and an answer to be graded."""
UNSOUND = {"game_of_life_halting": "its scorer accepts any text where the gold answer is False"}
"""Datasets of 0.1.25 that cannot be trained on, and why."""


@functools.cache
def _pool() -> WorkerPool:
    return WorkerPool(num_workers=2, memory_bytes=4 << 30)


@dataclass(frozen=True, kw_only=True)
class ReasoningGym(SingleTurn):
    """One dataset of reasoning-gym."""

    name: str
    """What `Task.env` says."""
    dataset: str
    """Its name there."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Its own settings, as JSON."""
    size: int = 10_000
    """Different places of the dataset that tasks are drawn from."""
    answer_form: AnswerForm = "bare"
    """Where the answer stands in a reply: bare (it is all of it), tags (<answer>...</answer>) or boxed."""

    def __post_init__(self) -> None:
        """Checks the settings, the dataset's own included, by making it."""
        require_between("size", self.size, low=1, high=1_000_000)
        require_one_of("answer_form", self.answer_form, allowed=tuple(FORM_SENTENCES))
        if importlib.util.find_spec("reasoning_gym") is None:
            raise ConfigError("reasoning_gym: not installed; allowed after: pip install 'fulmen[reasoning-gym]'")
        if self.dataset in UNSOUND:
            raise ConfigError(f"dataset: {self.dataset}; allowed: others, since {UNSOUND[self.dataset]}")
        known = _call("names", timeout_s=MAKE_S)
        require_one_of("dataset", self.dataset, allowed=known)
        try:
            self._entry(0)
        except VerifierError as error:
            raise ConfigError(f"config: {json.dumps(dict(self.config))}; allowed: what it takes ({error})") from None

    def task(self, split: Split, *, seed: int, index: int) -> Task:
        """Returns the task at a place of the stream. Raises: VerifierError when the generator breaks."""
        kind = f"reasoning_gym:{self.dataset}"
        return draw_task(self._draw, kind=kind, name=self.name, split=split, seed=seed, index=index)

    def check(self, task: Task, answer: Message | str, *, stop_reason: StopReason = "stop") -> Score:
        """Returns 1.0 where the library's scorer says exactly that, for the answer as it stands or cleaned.

        An answer on which the scorer raises is no answer. Raises: VerifierError when it hangs or dies.
        """
        if stop_reason == "length":
            return Score(value=0.0, status="truncated", info="no room left for an answer")
        if stop_reason == "repetition":
            return Score(value=0.0, status="repetition", info="halted while repeating itself")
        place = read_meta(task, "place", kind=int, env=self.name)
        try:
            text = find_answer(answer if isinstance(answer, str) else answer.content, self.answer_form).strip()
            texts = list(dict.fromkeys((text, clean_answer(text))))
        except TaskError:
            raise
        except DataError as error:
            return Score(value=0.0, status="policy_error", info=str(error))
        if not text or len(text) > MAX_ANSWER_CHARS:
            return Score(value=0.0, status="policy_error", info="answer: empty or too long; allowed: an answer")
        try:
            grades = _call("grade", self.dataset, dict(self.config), self.size, place, texts, timeout_s=GRADE_S)
        except WorkerRaisedError as error:
            return Score(value=0.0, status="policy_error", info=f"the scorer refuses it: {error}"[:200])
        best = max(grades)
        return Score(value=float(best == 1.0), info="right" if best == 1.0 else f"scores {best:g} there")

    def _draw(self, rng: random.Random) -> Puzzle:
        place = rng.randrange(self.size)
        entry = self._entry(place)
        prompt = entry["question"] + FORM_SENTENCES[self.answer_form]["en"]
        return Puzzle(key=(entry["question"],), prompt=prompt, gold=entry["answer"] or "", meta={"place": place})

    def _entry(self, place: int) -> dict[str, Any]:
        try:
            found: dict[str, Any] = _call("make", self.dataset, dict(self.config), self.size, place, timeout_s=MAKE_S)
        except WorkerRaisedError as error:
            raise VerifierError(f"{self.dataset} at place {place}: {error}") from None
        return found


def _call(function: str, *args: Any, timeout_s: float) -> Any:
    """Returns what a function of the worker returns.

    Raises: WorkerRaisedError as it is; VerifierError for every other failure.
    """
    try:
        return _pool().call(f"{CHILD}:{function}", *args, timeout_s=timeout_s)
    except WorkerRaisedError:
        raise
    except WorkerError as error:
        raise VerifierError(f"reasoning_gym: {error}") from None

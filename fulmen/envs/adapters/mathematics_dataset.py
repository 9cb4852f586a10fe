"""DeepMind's school mathematics as environments: `load("mathematics_dataset:arithmetic__mul")`. Needs its extra.

Problems are made in killable workers. An answer is right if it is the gold answer letter by letter (white space and
case apart), or the same number. Equal expressions are not enough: the question itself is one.
"""

import functools
import importlib.util
import random
from dataclasses import dataclass

from fulmen.envs.base import Puzzle, SingleTurn, draw_task, judge, require_between
from fulmen.envs.puzzle import FORM_SENTENCES, require_one_of
from fulmen.errors import ConfigError, DataError, TaskError, VerifierError
from fulmen.rewards.answer import AnswerForm
from fulmen.rewards.fields import read_number
from fulmen.rewards.worker import WorkerError, WorkerPool
from fulmen.types import Message, Score, Split, StopReason, Task

CHILD = "fulmen.envs.adapters.mathematics_dataset_child"
MAKE_S = 60.0
"""Seconds that a problem may take to make."""


@functools.cache
def _pool() -> WorkerPool:
    return WorkerPool(num_workers=2, memory_bytes=4 << 30)


@dataclass(frozen=True, kw_only=True)
class MathematicsDataset(SingleTurn):
    """One module of the mathematics dataset. Source: Saxton et al. (arXiv 1904.01557)."""

    name: str
    """What `Task.env` says."""
    dataset: str
    """The module, such as arithmetic__mul."""
    difficulty: int = 0
    """0 to 2: easy, medium and hard thirds of its range."""
    answer_form: AnswerForm = "bare"
    """Where the answer stands in a reply: bare (it is all of it), tags (<answer>...</answer>) or boxed."""

    def __post_init__(self) -> None:
        """Checks the settings."""
        require_between("difficulty", self.difficulty, low=0, high=2)
        require_one_of("answer_form", self.answer_form, allowed=tuple(FORM_SENTENCES))
        if importlib.util.find_spec("mathematics_dataset") is None:
            raise ConfigError("mathematics_dataset: not installed; allowed after: pip install mathematics-dataset")
        try:
            known = _pool().call(f"{CHILD}:names", timeout_s=MAKE_S)
        except WorkerError as error:
            raise VerifierError(f"mathematics_dataset: {error}") from None
        require_one_of("dataset", self.dataset, allowed=known)

    def task(self, split: Split, *, seed: int, index: int) -> Task:
        """Returns the task at a place of the stream. Raises: VerifierError when the generator breaks."""
        kind = f"mathematics_dataset:{self.dataset}"
        return draw_task(self._draw, kind=kind, name=self.name, split=split, seed=seed, index=index)

    def check(self, task: Task, answer: Message | str, *, stop_reason: StopReason = "stop") -> Score:
        """Returns 1.0 for the right answer."""
        if task.env != self.name:
            raise TaskError(f"task.env: {task.env!r}; allowed: {self.name!r}")
        return judge(
            answer,
            stop_reason=stop_reason,
            find_fault=lambda text: "" if is_same(text, task.gold) else "another answer",
            form=self.answer_form,
        )

    def _draw(self, rng: random.Random) -> Puzzle:
        try:
            made = _pool().call(f"{CHILD}:make", self.dataset, self.difficulty, rng.getrandbits(32), timeout_s=MAKE_S)
        except WorkerError as error:
            raise VerifierError(f"{self.dataset}: {error}") from None
        prompt = made["question"] + FORM_SENTENCES[self.answer_form]["en"]
        return Puzzle(key=(made["question"],), prompt=prompt, gold=made["answer"])


def is_same(text: str, gold: str) -> bool:
    """Returns whether an answer is the gold answer, by letters or as a number."""
    if "".join(text.lower().split()) == "".join(gold.lower().split()):
        return True
    try:
        return read_number(text) == read_number(gold)
    except DataError:
        return False

'''`PuzzleEnv`: problems that are drawn from a generator and checked by their rules, with named levels of difficulty.

A subclass is one file: settings as fields, `draw`, `find_fault`, and two tables.

    @dataclass(frozen=True, kw_only=True)
    class Sums(PuzzleEnv):
        """Sums of whole numbers."""

        name: str = "sums"
        num_terms: int = 3
        """Terms, 2 to 20."""

        rule: ClassVar[str] = "add the numbers"
        verifier: ClassVar[VerifierKind] = "number"
        levels: ClassVar[Levels] = tuple({"num_terms": n} for n in (2, 3, 5, 8, 12))
        phrases: ClassVar[Phrases] = {"en": ("What is {terms}?",), "zh": ("{terms} 等于多少？",)}

        def draw(self, rng: random.Random) -> Puzzle:
            numbers = [rng.randint(1, 99) for _ in range(self.num_terms)]
            prompt = self.phrase(rng, terms=" + ".join(map(str, numbers)))
            return Puzzle(key=(numbers,), prompt=prompt, gold=str(sum(numbers)), meta={"sum": sum(numbers)})

        def find_fault(self, task: Task, text: str) -> str:
            return "" if read_integer(text) == read_meta(task, "sum", kind=int) else "another sum"
'''

import abc
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, TypeVar, get_args

from fulmen.envs.base import Puzzle, SingleTurn, draw_task, judge
from fulmen.errors import ConfigError, TaskError
from fulmen.rewards.answer import AnswerForm
from fulmen.types import Message, Score, Split, StopReason, Task

PuzzleEnvT = TypeVar("PuzzleEnvT", bound="PuzzleEnv")
Language = Literal["en", "zh"]
VerifierKind = Literal["constraints", "exact", "number"]
"""Any answer that keeps the rules; the one answer, proved unique; a number."""
Levels = tuple[Mapping[str, Any], ...]
"""Settings at each of `LEVELS`."""
Phrases = Mapping[Language, tuple[str, ...]]
"""Prompt templates for `str.format`."""

LEVELS = ("intro", "easy", "medium", "hard", "expert")
"""Names of levels 1 to 5."""
FORM_SENTENCES: Mapping[AnswerForm, Mapping[Language, str]] = {
    "bare": {"en": "", "zh": ""},
    "tags": {
        "en": "\n\nPut the final answer, and nothing else, between <answer> and </answer>.",
        "zh": "\n\n请把最终答案（且仅答案）写在 <answer> 和 </answer> 之间。",
    },
    "boxed": {
        "en": "\n\nPut the final answer, and nothing else, in \\boxed{}.",
        "zh": "\n\n请把最终答案（且仅答案）写在 \\boxed{} 中。",
    },
}


@dataclass(frozen=True, kw_only=True)
class PuzzleEnv(SingleTurn, abc.ABC):
    """A generator with a verifier. Subclasses give `name` a default: the name of the rules."""

    name: str
    """What `Task.env` says."""
    language: Language = "en"
    """Of the prompts: en or zh."""
    answer_form: AnswerForm = "bare"
    """Where the answer stands in a reply: bare (it is all of it), tags (<answer>...</answer>) or boxed."""

    rule: ClassVar[str]
    """The task in one line."""
    verifier: ClassVar[VerifierKind]
    levels: ClassVar[Levels]
    phrases: ClassVar[Phrases]
    is_free_text: ClassVar[bool] = False
    """Whether the whole reply is judged, so that a wrapper or a second answer changes what is judged."""

    def __post_init__(self) -> None:
        """Checks the settings all have; subclasses call it before they check their own."""
        require_one_of("language", self.language, allowed=get_args(Language))
        require_one_of("answer_form", self.answer_form, allowed=get_args(AnswerForm))
        if not self.name:
            raise ConfigError("name: empty; allowed: a name")

    @abc.abstractmethod
    def draw(self, rng: random.Random) -> Puzzle:
        """Returns a puzzle; `rng` is the only source of chance."""

    @abc.abstractmethod
    def find_fault(self, task: Task, text: str) -> str:
        """Returns what is wrong with a cleaned answer, or an empty string if it is right.

        Raises:
            DataError: the answer is not in the grammar.
            TaskError: the task lacks what is needed.
        """

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns the thoughts that lead to `task.gold`, or an empty string where none are written."""
        return ""

    @classmethod
    def at_level(cls: type[PuzzleEnvT], level: int | str, **knobs: Any) -> PuzzleEnvT:
        """Returns the environment at a level (1 to 5, or its name), single settings changed by `knobs`.

        Raises:
            ConfigError: an unknown level or setting.
        """
        number = LEVELS.index(level) + 1 if level in LEVELS else level
        if not isinstance(number, int) or not 1 <= number <= len(LEVELS):
            raise ConfigError(f"level: {level!r}; allowed: 1 to {len(LEVELS)}, or {', '.join(LEVELS)}")
        require_fields(cls, knobs)
        return cls(**{**cls.levels[number - 1], **knobs})

    def phrase(self, rng: random.Random, **values: object) -> str:
        """Returns one of the prompt templates, filled."""
        return rng.choice(self.phrases[self.language]).format(**values)

    def task(self, split: Split, *, seed: int, index: int) -> Task:
        """Returns the task at a place of the stream."""
        kind = next(field.default for field in fields(self) if field.name == "name")
        assert isinstance(kind, str), "a subclass names its rules"
        return draw_task(self._draw_with_form, kind=kind, name=self.name, split=split, seed=seed, index=index)

    def check(self, task: Task, answer: Message | str, *, stop_reason: StopReason = "stop") -> Score:
        """Returns 1.0 for a right answer, else 0.0."""
        if task.env != self.name:
            raise TaskError(f"task.env: {task.env!r}; allowed: {self.name!r}")
        return judge(
            answer, stop_reason=stop_reason, find_fault=lambda text: self.find_fault(task, text), form=self.answer_form
        )

    def worked_solution(self, task: Task, rng: random.Random) -> Message | None:
        """Returns the thoughts and the answer; None where no thoughts are written."""
        thinking = self.solve_aloud(task, rng)
        return Message(role="assistant", content=self.write_answer(task.gold), thinking=thinking) if thinking else None

    def write_answer(self, answer: str) -> str:
        """Returns a reply that holds an answer as `answer_form` wants it."""
        return {"bare": answer, "tags": f"<answer>{answer}</answer>", "boxed": f"\\boxed{{{answer}}}"}[self.answer_form]

    def _draw_with_form(self, rng: random.Random) -> Puzzle:
        puzzle = self.draw(rng)
        prompt = puzzle.prompt + FORM_SENTENCES[self.answer_form][self.language]
        return Puzzle(key=puzzle.key, prompt=prompt, gold=puzzle.gold, meta=puzzle.meta)


def require_one_of(field_name: str, value: str, *, allowed: Sequence[str]) -> None:
    """Accepts a setting that is one of a few texts. Raises: ConfigError."""
    if value not in allowed:
        raise ConfigError(f"{field_name}: {value!r}; allowed: {', '.join(allowed)}")


def require_fields(env: type[Any], knobs: Mapping[str, Any]) -> None:
    """Accepts settings that an environment has. Raises: ConfigError."""
    names = [field.name for field in fields(env)]
    for knob in knobs:
        if knob not in names:
            raise ConfigError(f"{knob}: no setting of {env.__name__}; allowed: {', '.join(names)}")

"""Instructions that a program can check: write about an everyday subject and keep some constraints of form.

A reply scores 1 if it keeps all of them; the fraction kept goes along as a part of weight 0. Sets of constraints are
drawn together with a text that keeps them (`Task.gold`), so none is impossible.
Left out: whether the reply is about its subject, or good; multiply the score by a judge's for that. Hence no worked
solutions either: the composed texts keep the constraints, but say nothing.
"""

import random
from dataclasses import dataclass
from typing import ClassVar, get_args

from fulmen.envs.base import Puzzle, read_meta, require_between
from fulmen.envs.puzzle import Language, Levels, Phrases, PuzzleEnv, VerifierKind, require_one_of
from fulmen.envs.topics import INTRODUCTIONS, REQUESTS, SUBJECTS
from fulmen.errors import DataError, TaskError
from fulmen.rewards.constraints import (
    MAX_CONSTRAINTS,
    MAX_LEVEL,
    Constraint,
    check_all,
    describe,
    draw_with_example,
    from_json,
)
from fulmen.rewards.constraints.reading import read
from fulmen.types import Message, Score, StopReason, Task

ECHO_WORDS = 4
"""Words in a row that count as taken from the request."""
ECHO_FRAC_MAX = 0.5
"""Largest fraction of a reply's different runs of `ECHO_WORDS` words that may stand in the request."""


@dataclass(frozen=True, kw_only=True)
class Constraints(PuzzleEnv):
    """Everyday writing under constraints of form."""

    name: str = "constraints"
    """What `Task.env` says."""
    num_constraints: int = 3
    """Constraints of a task, 1 to `MAX_CONSTRAINTS`."""
    difficulty: int = 2
    """How tight each is, 0 to `MAX_LEVEL`."""

    is_free_text: ClassVar[bool] = True
    rule: ClassVar[str] = "write about a subject and keep every constraint of form"
    verifier: ClassVar[VerifierKind] = "constraints"
    levels: ClassVar[Levels] = tuple(
        {"num_constraints": num, "difficulty": difficulty}
        for num, difficulty in ((1, 0), (2, 1), (3, 2), (4, 3), (6, 4))
    )
    phrases: ClassVar[Phrases] = REQUESTS

    def __post_init__(self) -> None:
        super().__post_init__()
        # The whole reply is the answer: marks around it would break what is asked of its first and last words.
        require_one_of("answer_form", self.answer_form, allowed=("bare",))
        require_between("num_constraints", self.num_constraints, low=1, high=MAX_CONSTRAINTS)
        require_between("difficulty", self.difficulty, low=0, high=MAX_LEVEL)

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns a subject and constraints that some text keeps."""
        while True:
            place = rng.randrange(len(SUBJECTS))
            constraints, example = draw_with_example(
                rng, num=self.num_constraints, level=self.difficulty, language=self.language
            )
            request = self.phrase(rng, subject=SUBJECTS[place][get_args(Language).index(self.language)])
            introduction = rng.choice(INTRODUCTIONS[self.language])
            told = describe(constraints, language=self.language, rng=rng)
            prompt = f"{request}\n\n{introduction}\n{told}"
            if not find_echo(example, prompt):
                break
        records = [constraint.to_json() for constraint in constraints]
        key = (self.language, place, sorted(records, key=lambda record: str(record["kind"])))
        return Puzzle(key=key, prompt=prompt, gold=example, meta={"constraints": records})

    def find_fault(self, task: Task, text: str) -> str:
        """Returns which constraints a reply breaks."""
        return find_echo(text, _request(task)) or "; ".join(check_all(read_constraints(task), text).faults)

    def check(self, task: Task, answer: Message | str, *, stop_reason: StopReason = "stop") -> Score:
        """Returns 1.0 if the whole reply keeps all constraints, else 0.0, with the fraction kept as a part."""
        if task.env != self.name:
            raise TaskError(f"task.env: {task.env!r}; allowed: {self.name!r}")
        constraints = read_constraints(task)
        if stop_reason == "length":
            return Score(value=0.0, status="truncated", info="cut off")
        if stop_reason == "repetition":
            return Score(value=0.0, status="repetition", info="halted while repeating itself")
        text = answer if isinstance(answer, str) else answer.content
        verdict = check_all(constraints, text)
        echo = find_echo(text, _request(task))
        fault = echo or "; ".join(verdict.faults)
        kept_frac = 0.0 if echo else verdict.kept_frac
        return Score(value=0.0 if fault else 1.0, info=fault or "all kept", parts={"kept_frac": (kept_frac, 0.0)})


def read_constraints(task: Task) -> tuple[Constraint, ...]:
    """Returns the constraints of a task.

    Raises:
        TaskError: it has none, or one that cannot be read.
    """
    records = read_meta(task, "constraints", kind=list)
    try:
        constraints = tuple(from_json(record if isinstance(record, dict) else {}) for record in records)
    except TaskError:
        raise
    except DataError as error:
        raise TaskError(f"task.meta['constraints'] of {task.task_id}: {error}") from error
    if not constraints:
        raise TaskError(f"task.meta['constraints'] of {task.task_id}: none; allowed: one or more")
    return constraints


def find_echo(text: str, request: str) -> str:
    """Returns a fault if most of a reply is taken from the request, else an empty string."""
    own, given = _runs(text), _runs(request)
    return "repeats the request" if len(own & given) > ECHO_FRAC_MAX * len(own) else ""


def _runs(text: str) -> set[tuple[str, ...]]:
    """Returns the different runs of `ECHO_WORDS` words of a text."""
    keys = read(text).keys
    return {keys[at : at + ECHO_WORDS] for at in range(len(keys) - ECHO_WORDS + 1)}


def _request(task: Task) -> str:
    """Returns all the user said."""
    return "\n".join(message.content for message in task.prompt)

"""What holds for every environment of one reply. A new one that `fulmen.envs.names()` knows is checked by itself."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fulmen.types
from fulmen.envs import Brackets, Countdown, Env, Mixture, PuzzleEnv, SingleTurn, SingleTurnEnv, Sudoku, load, names
from fulmen.envs.catalogue import env_class
from fulmen.envs.conformance import CHECKS, find_faults, make_tasks
from fulmen.envs.puzzle import LEVELS
from fulmen.types import Message, Score, Split, StopReason, Task

SLOW_LEVELS = (2, 4, 5)
ALPHABET = "0123456789+-*/()[]{}<>_ \n$\\boxed.,:;|abcxyzABC,é٣"


def puzzle_names() -> list[str]:
    return [name for name in names() if issubclass(env_class(name), PuzzleEnv)]


def every_env() -> Iterator[object]:
    """Yields each puzzle at each level, languages and answer forms taking turns, and the demo's environments."""
    for env in (
        Countdown(),
        Countdown(name="countdown-hard", num_numbers=5, max_number=50, max_target=199),
        Sudoku(),
        Brackets(),
        Mixture([Countdown(), Sudoku(), Brackets()]),
    ):
        yield pytest.param(env, id=env.name)
    for name in puzzle_names():
        for level in range(1, len(LEVELS) + 1):
            label = f"{name}-{level}"
            form = "bare" if env_class(name).is_free_text else ("bare", "tags", "boxed")[level % 3]
            env = load(name, level=level, name=label, language="zh" if level % 2 == 0 else "en", answer_form=form)
            yield pytest.param(env, id=label, marks=pytest.mark.slow if level in SLOW_LEVELS else ())


CLOSED = [load(name) for name in puzzle_names() if not env_class(name).is_free_text]
each_env = pytest.mark.parametrize("env", list(every_env()))
each_closed = pytest.mark.parametrize("env", [Countdown(), Sudoku(), Brackets(), *CLOSED], ids=lambda env: env.name)


@each_env
def test_conforms(env: SingleTurnEnv) -> None:
    assert find_faults(env, num_tasks=4) == []


@each_closed
@settings(max_examples=60, deadline=None, derandomize=True)
@given(text=st.one_of(st.text(), st.text(alphabet=ALPHABET)))
def test_arbitrary_text_never_raises_nor_scores(env: SingleTurnEnv, text: str) -> None:
    for task in make_tasks(env, 2):
        score = env.check(task, text)
        assert score.value == 0.0 or text.strip() == task.gold
        assert score.status in ("ok", "policy_error")
        assert env.check(task, Message(role="assistant", content=text)) == score


@pytest.mark.slow
@each_closed
def test_a_hundred_thousand_random_replies(env: SingleTurnEnv) -> None:
    """Random text, cut and spliced pieces of the gold answer and of the prompt: no exception, and no false positive.

    A spliced reply may be right where several answers are; then it must be right twice, and be a whole answer.
    """
    rng = random.Random(0)
    (task,) = make_tasks(env, 1, seed=3)
    pieces = [*task.gold, *task.gold.split(), *task.prompt[0].content.split(), *ALPHABET]
    num_right = 0
    for _ in range(100_000):
        text = "".join(rng.choice(pieces) for _ in range(rng.randint(0, 12)))
        score = env.check(task, text)
        if score.value == 1.0:
            num_right += 1
            assert env.check(task, text + " 0 x").value == 0.0
    assert num_right < 40_000


def test_payloads_of_code_have_no_effect(tmp_path: Path) -> None:
    target = tmp_path / "touched"
    code = f"open({str(target)!r},'w').write('x')"
    payloads = (
        f"__import__('os').system('touch {target}')",
        code,
        f"1 or {code}",
        f"[{code}]",
        f"{{{{{code}}}}}",
        f"(lambda: {code})()",
        f"{{1: {code}}}",
        f"!!python/object/apply:os.system ['touch {target}']",
    )
    for env in (Countdown(), *map(load, puzzle_names())):
        assert isinstance(env, SingleTurnEnv)
        (task,) = make_tasks(env, 1)
        for payload in payloads:
            assert env.check(task, payload).value == 0.0
            assert env.check(task, f"{task.gold} or {payload}").value == 0.0
    assert not target.exists()


def test_import_pulls_no_torch() -> None:
    root = Path(fulmen.types.__file__).parents[1]
    code = (
        "import sys, fulmen.envs as e; from fulmen.envs.catalogue import env_class; [env_class(n) for n in e.names()]; "
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules or 'sympy' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(root)}, timeout=60)


@pytest.mark.parametrize("name", puzzle_names())
def test_what_a_puzzle_says_of_itself(name: str) -> None:
    found = env_class(name)
    assert found.__doc__
    assert len(found.rule.split()) >= 3
    assert found.verifier in ("constraints", "exact", "number")
    assert len(found.levels) == len(LEVELS)
    assert found.at_level(3) == found()
    assert len({json.dumps(dict(level), sort_keys=True) for level in found.levels}) == len(LEVELS)
    assert len(found.phrases["en"]) >= 3
    assert len(found.phrases["zh"]) >= 2
    env = load(name)
    assert len({task.prompt[0].content for task in make_tasks(env, 30)}) > 20  # type: ignore[arg-type]


# A sound environment, and one broken environment per check: the checks are checked.


@dataclass(frozen=True, kw_only=True)
class Echo(SingleTurn):
    """Task i asks for i."""

    name: str = "echo"
    log: list[int] = field(default_factory=list)

    def task(self, split: Split, *, seed: int, index: int) -> Task:
        """Returns the task that asks for its place."""
        return Countdown(name=self.name, num_numbers=4).task(split, seed=seed, index=index)

    def check(self, task: Task, answer: Message | str, *, stop_reason: StopReason = "stop") -> Score:
        """Returns Countdown's score."""
        return Countdown(name=self.name).check(task, answer, stop_reason=stop_reason)


class RejectsGold(Echo):
    def check(self, task: Task, answer: Message | str, *, stop_reason: StopReason = "stop") -> Score:
        return Score(value=0.0)


class BadTeacher(Echo):
    def worked_solution(self, task: Task, rng: random.Random) -> Message:
        return Message(role="assistant", content="1", thinking="so")


class Strict(Echo):
    def check(self, task: Task, answer: Message | str, *, stop_reason: StopReason = "stop") -> Score:
        text = answer if isinstance(answer, str) else answer.content
        return super().check(task, answer if text == text.strip(" $.") else "", stop_reason=stop_reason)


class Hunter(Echo):
    def check(self, task: Task, answer: Message | str, *, stop_reason: StopReason = "stop") -> Score:
        text = answer if isinstance(answer, str) else answer.content
        return super().check(task, task.gold if task.gold in text else text, stop_reason=stop_reason)


class Raises(Echo):
    def check(self, task: Task, answer: Message | str, *, stop_reason: StopReason = "stop") -> Score:
        text = answer if isinstance(answer, str) else answer.content
        if "nan" in text:
            raise ValueError("nan")
        return super().check(task, answer, stop_reason=stop_reason)


class Deaf(Echo):
    def check(self, task: Task, answer: Message | str, *, stop_reason: StopReason = "stop") -> Score:
        return super().check(task, answer)


class Moody(Echo):
    def task(self, split: Split, *, seed: int, index: int) -> Task:
        self.log.append(0)
        return super().task(split, seed=seed, index=index + len(self.log) % 2)


class Leaky(Echo):
    def task(self, split: Split, *, seed: int, index: int) -> Task:
        return super().task("train", seed=0, index=index)


class Forgetful(Echo):
    def task(self, split: Split, *, seed: int, index: int) -> Task:
        task = super().task(split, seed=seed, index=index)
        return Task(**{**vars(task), "meta": {**task.meta, "pair": (1, 2)}})


class Backwards(Echo):
    def task(self, split: Split, *, seed: int, index: int) -> Task:
        return super().task(split, seed=seed, index=abs(index))


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (RejectsGold, "gold"),
        (BadTeacher, "gold"),
        (Strict, "wrappers"),
        (Hunter, "garbage"),
        (Raises, "garbage"),
        (Deaf, "stop_reasons"),
        (Moody, "determinism"),
        (Leaky, "splits"),
        (Forgetful, "json"),
        (Backwards, "bad_index"),
    ],
)
def test_a_broken_environment_is_found_out(broken: Callable[[], SingleTurnEnv], check: str) -> None:
    assert check in {fault.check for fault in find_faults(broken(), num_tasks=8)}


def test_a_sound_environment_has_no_faults() -> None:
    assert find_faults(Echo(), num_tasks=20) == []
    assert isinstance(Echo(), Env)
    assert len(CHECKS) == 8

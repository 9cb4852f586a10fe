"""`PuzzleEnv` and the catalogue: levels, forms of answers, languages, names and their errors."""

import random
from dataclasses import dataclass
from typing import ClassVar

import pytest

from fulmen.envs import load, load_mixture, names
from fulmen.envs.base import Puzzle, read_meta
from fulmen.envs.catalogue import logic_names, math_names
from fulmen.envs.puzzle import LEVELS, Levels, Phrases, PuzzleEnv, VerifierKind
from fulmen.errors import ConfigError, DataError, TaskError
from fulmen.rewards.fields import read_integer
from fulmen.types import Message, Task


@dataclass(frozen=True, kw_only=True)
class Sums(PuzzleEnv):
    """Sums of whole numbers."""

    name: str = "sums"
    num_terms: int = 5

    rule: ClassVar[str] = "add the numbers"
    verifier: ClassVar[VerifierKind] = "number"
    levels: ClassVar[Levels] = tuple({"num_terms": n} for n in (2, 3, 5, 8, 12))
    phrases: ClassVar[Phrases] = {"en": ("What is {terms}?", "Add {terms}."), "zh": ("{terms} 等于多少？",)}

    def draw(self, rng: random.Random) -> Puzzle:
        numbers = [rng.randint(1, 99) for _ in range(self.num_terms)]
        prompt = self.phrase(rng, terms=" + ".join(map(str, numbers)))
        return Puzzle(key=(numbers,), prompt=prompt, gold=str(sum(numbers)), meta={"sum": sum(numbers)})

    def find_fault(self, task: Task, text: str) -> str:
        return "" if read_integer(text) == read_meta(task, "sum", kind=int) else "another sum"


def first(env: PuzzleEnv) -> Task:
    return env.task("train", seed=0, index=0)


@pytest.mark.parametrize(
    ("form", "right", "wrong"),
    [
        ("bare", ["{}", "${}$", "\\boxed{{{}}}"], ["<answer>{}</answer>", "It is {}."]),
        (
            "tags",
            ["<answer>{}</answer>", "I think <answer> ${}$ </answer> it is"],
            ["{}", "<answer>{}", "<answer>{}</answer><answer>{}</answer>", "</answer>{}<answer>", "\\boxed{{{}}}"],
        ),
        (
            "boxed",
            ["So \\boxed{{{}}}.", "\\boxed{{{}}}, yes, \\boxed{{ {} }}", "\\boxed{{\\text{{{}}}}}"],
            ["{}", "\\boxed{{{}", "\\boxed{{1}} or \\boxed{{{}}}", "\\boxed{{}}"],
        ),
    ],
)
def test_forms_of_answers(form: str, right: list[str], wrong: list[str]) -> None:
    env = Sums(answer_form=form)  # type: ignore[arg-type]
    task = first(env)
    assert env.check(task, env.write_answer(task.gold)).value == 1.0
    for text in right:
        assert env.check(task, text.format(task.gold, task.gold)).value == 1.0, text
        assert env.check(task, text.format("0", "0")).value == 0.0, text
    for text in wrong:
        score = env.check(task, text.format(task.gold, task.gold))
        assert (score.value, score.status) == (0.0, "policy_error"), text
    assert env.check(task, Message(role="assistant", content="", thinking=env.write_answer(task.gold))).value == 0.0


def test_the_form_is_asked_for_in_the_language_of_the_prompt() -> None:
    assert "<answer> and </answer>" in first(Sums(answer_form="tags")).prompt[0].content
    assert "最终答案" in first(Sums(answer_form="boxed", language="zh")).prompt[0].content
    assert first(Sums()).content_hash == first(Sums(answer_form="tags")).content_hash
    wordings = {Sums().task("train", seed=0, index=index).prompt[0].content.split()[0] for index in range(30)}
    assert wordings == {"What", "Add"}


def test_levels_have_numbers_and_names() -> None:
    assert [Sums.at_level(level).num_terms for level in range(1, 6)] == [2, 3, 5, 8, 12]
    assert [Sums.at_level(level).num_terms for level in LEVELS] == [2, 3, 5, 8, 12]
    assert Sums.at_level("easy", num_terms=4, language="zh") == Sums(num_terms=4, language="zh")
    for level in (0, 6, "huge", "1"):
        with pytest.raises(ConfigError, match=r"level: .*; allowed: 1 to 5, or intro, easy"):
            Sums.at_level(level)
    with pytest.raises(ConfigError, match="terms: no setting of Sums; allowed: name, language"):
        Sums.at_level(1, terms=3)


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match="language: 'fr'; allowed: en, zh"):
        Sums(language="fr")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="answer_form: 'xml'; allowed: bare, tags, boxed"):
        Sums(answer_form="xml")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="name: empty"):
        Sums(name="")


def test_a_broken_task_is_no_fault_of_the_reply() -> None:
    with pytest.raises(TaskError, match=r"task\.env: 'others'; allowed: 'sums'"):
        Sums().check(first(Sums(name="others")), "1")
    with pytest.raises(TaskError, match=r"meta\['sum'\]"):
        Sums().check(Task(task_id="x", env="sums", prompt=(), gold=""), "1")
    # No thoughts, no teacher.
    assert Sums().worked_solution(first(Sums()), random.Random(0)) is None


def test_names_and_loading() -> None:
    assert len(logic_names()) == 41
    assert len(math_names()) >= 24
    assert {*logic_names(), *math_names(), "code", "constraints", "mini_countdown"} <= set(names())
    assert len(set(names())) == len(names())
    assert load("futoshiki", level="easy") == load("futoshiki", level=2)
    with pytest.raises(ConfigError, match=r"environment: 'futo' \(did you mean futoshiki\?\); allowed: arc_agi"):
        load("futo")
    with pytest.raises(ConfigError, match="level: 2; allowed: none, mini_sudoku has no levels"):
        load("mini_sudoku", level=2)
    with pytest.raises(ConfigError, match="sizes: no setting of Futoshiki"):
        load("futoshiki", sizes=4)


def test_mixtures_by_text_have_names_levels_and_weights() -> None:
    mixture = load_mixture(["futoshiki@easy=3", "futoshiki@5", "mini_countdown=0"])
    assert [env.name for env in mixture.envs] == ["futoshiki@easy", "futoshiki@5", "countdown"]
    assert mixture.weights == (0.75, 0.25, 0.0)
    assert mixture.task("train", seed=0, index=0).env.startswith("futoshiki@")
    for spec, said in (
        ("futoshiki=much", "weight 'much' of futoshiki"),
        ("futoshiki@9", "level: 9"),
        ("nope", "environment: 'nope'"),
    ):
        with pytest.raises(ConfigError, match=said):
            load_mixture([spec])
    with pytest.raises((ConfigError, DataError), match="each name once"):
        load_mixture(["futoshiki", "futoshiki"])

"""Writing under constraints: gold texts, echoes, cut replies, parts of the score, broken tasks, subjects."""

import dataclasses
import json
import random
import re
from functools import cache

import pytest

from fulmen.envs.base import SingleTurnEnv
from fulmen.envs.conformance import GARBAGE, check_bad_index, check_determinism, check_json, check_stop_reasons
from fulmen.envs.constraints import Constraints, find_echo, read_constraints
from fulmen.envs.puzzle import LEVELS, Language
from fulmen.envs.topics import INTRODUCTIONS, REQUESTS, SUBJECTS
from fulmen.errors import ConfigError, TaskError
from fulmen.rewards.constraints import LANGUAGES
from fulmen.rewards.constraints.length import WordsExactly
from fulmen.rewards.constraints.words import NoDigits, WordsForbidden
from fulmen.types import Message, Task

SHORT = Constraints(num_constraints=1, difficulty=0)
SEVEN = "The quick brown fox sees a dog."


@cache
def make(language: Language, level: int) -> tuple[Task, ...]:
    env = Constraints.at_level(level, language=language)
    return tuple(env.task("train", seed=1, index=index) for index in range(3))


def task_of(*constraints: object, prompt: str = "Write about a cup.") -> Task:
    records = [constraint.to_json() for constraint in constraints]  # type: ignore[attr-defined]
    return Task(
        task_id="x",
        env="constraints",
        prompt=(Message(role="user", content=prompt),),
        gold="",
        meta={"constraints": records},
    )


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("level", [1, 3, 5])
def test_gold_keeps_all_and_the_prompt_says_all(language: Language, level: int) -> None:
    env = Constraints.at_level(level, language=language)
    for task in make(language, level):
        score = env.check(task, task.gold)
        assert (score.value, score.status, score.parts) == (1.0, "ok", {"kept_frac": (1.0, 0.0)})
        assert env.find_fault(task, task.gold) == ""
        constraints = read_constraints(task)
        assert len(constraints) == env.num_constraints
        prompt = task.prompt[0].content
        for constraint in constraints:
            assert any(
                f"- {phrase.format(**constraint.values(language))}" in prompt for phrase in constraint.PHRASES[language]
            )
        assert sum(pair[LANGUAGES.index(language)] in prompt.split("\n")[0] for pair in SUBJECTS) >= 1
        assert sum(introduction in prompt for introduction in INTRODUCTIONS[language]) >= 1


@pytest.mark.parametrize("check", [check_bad_index, check_json, check_stop_reasons])
def test_conformance(check: object) -> None:
    assert isinstance(SHORT, SingleTurnEnv)
    assert list(check(SHORT, 4)) == []  # type: ignore[operator]


@pytest.mark.slow
def test_conformance_of_the_stream() -> None:
    assert list(check_determinism(SHORT, 20)) == []


def test_garbage_and_echoes_score_nothing() -> None:
    env = Constraints(num_constraints=1, difficulty=0)
    for constraint in (NoDigits(), WordsForbidden(words=("very",))):
        prompt = (
            "Write about a cup of tea.\n\nRequirements:\n- Do not use digits.\n- Never shout or whistle at the cat."
        )
        task = task_of(constraint, prompt=prompt)
        for text in (
            *GARBAGE,
            prompt,
            prompt.upper(),
            prompt.replace("cup", "mug"),
            prompt + " Yes of course.",
            "\n\n",
        ):
            score = env.check(task, text)
            assert score.value == 0.0, text[:80]
            assert score.parts["kept_frac"][0] == 0.0, text[:80]
        assert env.check(task, Message(role="assistant", content="", thinking=SEVEN)).value == 0.0
        assert env.check(task, "A cup of tea is a calm thing; do not use a mug.").value == 1.0


def test_echo_by_hand() -> None:
    request = "one two three four five six seven"
    assert find_echo("one two three four nine ten", request) == ""  # 1 of 3 runs
    assert find_echo("one two three four five nine", request) == "repeats the request"  # 2 of 3 runs
    assert find_echo("ONE, two; three! four-five six", request) == "repeats the request"
    assert find_echo("one two three", request) == ""
    assert find_echo("请写一写漏水的水龙头", "请写一写漏水的水龙头。要求：不得使用逗号") == "repeats the request"


def test_fraction_kept_is_a_part_and_not_the_value() -> None:
    task = task_of(WordsExactly(num=7), NoDigits())
    env = Constraints()
    assert env.check(task, SEVEN).value == 1.0
    half = env.check(task, SEVEN.replace("a dog", "9 dogs"))
    assert (half.value, half.parts) == (0.0, {"kept_frac": (0.5, 0.0)})
    assert half.info == "no_digits: has a digit"
    none = env.check(task, SEVEN + " 9")
    assert (none.value, none.parts) == (0.0, {"kept_frac": (0.0, 0.0)})
    assert none.info == "words_exactly: 8 words, not 7; no_digits: has a digit"
    assert env.find_fault(task, SEVEN + " 9") == none.info


def test_replies_that_were_cut() -> None:
    task, env = task_of(NoDigits()), Constraints()
    assert (env.check(task, SEVEN, stop_reason="length").value, env.check(task, SEVEN).value) == (0.0, 1.0)
    assert env.check(task, SEVEN, stop_reason="length").status == "truncated"
    assert env.check(task, SEVEN, stop_reason="repetition").status == "repetition"


@pytest.mark.parametrize(
    "meta",
    [
        {},
        {"constraints": []},
        {"constraints": "no"},
        {"constraints": [3]},
        {"constraints": [{"kind": "words_exactly"}]},
    ],
)
def test_tasks_that_cannot_be_checked(meta: dict[str, object]) -> None:
    task = dataclasses.replace(task_of(NoDigits()), meta=meta)
    with pytest.raises(TaskError, match="allowed"):
        Constraints().check(task, SEVEN)


def test_tasks_of_others() -> None:
    with pytest.raises(TaskError, match=r"task.env: 'constraints'; allowed: 'other'"):
        Constraints(name="other").check(task_of(NoDigits()), SEVEN)


@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ({"num_constraints": 0}, "num_constraints: 0"),
        ({"num_constraints": 9}, "num_constraints: 9"),
        ({"difficulty": 5}, "difficulty: 5"),
        ({"difficulty": -1}, "difficulty: -1"),
        ({"answer_form": "tags"}, "answer_form: 'tags'"),
    ],
)
def test_settings(knobs: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        Constraints.at_level(1, **knobs)


def test_levels_grow() -> None:
    envs = [Constraints.at_level(level) for level in LEVELS]
    assert [env.num_constraints for env in envs] == [1, 2, 3, 4, 6]
    assert [env.difficulty for env in envs] == [0, 1, 2, 3, 4]


def test_no_teacher_pretends_to_know() -> None:
    assert SHORT.worked_solution(task_of(NoDigits()), random.Random(0)) is None


def test_subjects_are_many_different_and_in_both_languages() -> None:
    assert len(SUBJECTS) >= 120
    english, chinese = zip(*SUBJECTS, strict=True)
    assert len(set(english)) == len(set(chinese)) == len(SUBJECTS)
    assert all(subject.isascii() and not subject.endswith(".") for subject in english)
    assert not any(re.search("[A-Za-z]", subject) for subject in chinese)
    for language in LANGUAGES:
        assert all("{subject}" in request for request in REQUESTS[language])
        assert json.dumps(INTRODUCTIONS[language])

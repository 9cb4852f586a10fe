"""The bundled problems: what each promises, checked without and with the sandbox."""

import json
import random
from collections import Counter

import pytest

from fulmen.envs.code.authoring import Given, Problem, check_ints, check_word
from fulmen.envs.code.build import build, candidates, check_samples
from fulmen.envs.code.bundled import SUITES, authored, bundled_problems, find_input, limits_of, load_trial
from fulmen.envs.code.mutants import make_mutants
from fulmen.errors import DataError
from fulmen.rewards.code import run_trial
from fulmen.rewards.judge import find_fault, load_special
from fulmen.sandbox import Sandbox, Submission
from fulmen.types import content_hash

PROBLEMS = pytest.mark.parametrize("problem", authored().values(), ids=lambda problem: problem.name)
QUICK = ("median_stall", "nesting_depth", "course_order")
"""Proved in the default suite; the slow one proves all."""


def test_there_are_enough_of_every_kind() -> None:
    problems = authored().values()
    assert len(problems) >= 60
    assert min(Counter(problem.level for problem in problems).values()) >= 20
    assert sum(bool(problem.function) for problem in problems) >= 15
    assert sum(bool(problem.cpp) for problem in problems) >= 10
    assert sum(problem.judge.kind == "special" for problem in problems) >= 3
    assert sum(problem.zh is not None for problem in problems) >= 20
    assert len({problem.statements["en"] for problem in bundled_problems()}) == len(problems)


@PROBLEMS
def test_inputs_are_valid_and_the_same_each_time(problem: Problem) -> None:
    places = [
        place for group in candidates(problem).values() for place in group if place.get("size", 0) <= 4 * problem.small
    ]
    rng = random.Random(problem.name)
    places += [{"size": rng.randint(1, problem.small), "seed": seed} for seed in range(10)]
    for place in places:
        given = find_input(problem, place)
        problem.check_input(given)
        assert find_input(problem, place) == given
    assert len({find_input(problem, {"size": problem.small, "seed": seed}) for seed in range(10)}) > 1


@PROBLEMS
def test_damaged_inputs_are_refused(problem: Problem) -> None:
    given = problem.dump_input(problem.samples[0][0])
    damaged = ["[]", "[1, 2, 3, 4]"] if problem.function else ["", given + "1\n", given.rstrip("\n"), "x" + given]
    for text in damaged:
        with pytest.raises((DataError, ValueError, AssertionError)):
            problem.check_input(text)


@PROBLEMS
def test_stored_suites_are_whole_and_score(problem: Problem) -> None:
    trial = load_trial(problem)
    stored = json.loads((SUITES / f"{problem.name}.json").read_text(encoding="utf-8"))
    assert 6 <= len(trial.cases) <= 40
    assert (trial.function, trial.judge, trial.limits) == (problem.function, problem.judge, limits_of(problem))
    sizes = [test["input"].get("size", 0) for test in stored["tests"]]
    assert max(sizes) == problem.large
    report = stored["report"]
    assert report["killed"] >= 0.9 * (report["killed"] + len(report["missed"]))
    assert report["killed"] >= 0.6 * report["mutants"]
    assert report["mutants"] >= min(2, len(make_mutants(problem.solution)))
    assert report["refused"].keys() == problem.wrong.keys()
    assert not {"accepted", "compile_error", "infra"} & set(report["refused"].values())
    for case, (given, wanted) in zip(trial.cases, problem.samples, strict=False):
        assert case.given == problem.dump_input(given)
        shown = problem.dump_output(wanted)
        assert find_fault(problem.judge, shown.encode(), given=case.given, expected=case.expected) == ""
        assert find_fault(problem.judge, case.expected.encode(), given=case.given, expected=shown) == ""


def test_a_changed_generator_is_noticed() -> None:
    problem = authored()["tide_marks"]
    changed = {name: problem.__dict__[name] for name in problem.__dataclass_fields__}
    with pytest.raises(DataError, match="has changed"):
        load_trial(Problem(**{**changed, "generate": lambda rng, size: f"{size}\n" + "0 " * (size - 1) + "0\n"}))
    with pytest.raises(DataError, match="suite of none_such: none"):
        load_trial(Problem(**{**changed, "name": "none_such"}))


@pytest.mark.parametrize(
    ("name", "given", "right", "wrong"),
    [
        ("course_order", "3 1\n3 1\n", ("2 3 1", "3\n1\n2"), ("1 3 2", "3 1", "3 1 2 2", "x y z", "IMPOSSIBLE", "")),
        ("twin_offsets", "3 2\n5 3 1\n", ("1 2", "2 3"), ("2 1", "1 3", "1", "0 1", "1 4", "1 ٢", "NONE", "")),
        (
            "two_choirs",
            "4 3\n1 2\n2 3\n3 1\n",
            ("NO\n1 2 3", "NO 3 1 2"),
            ("NO\n1 2 4", "NO 1 2", "NO", "NO 1 2 3 1 2", "YES\n1 2 1 1", "", "NO 1 2 9999999999"),
        ),
        ("two_choirs", "3 1\n1 2\n", ("YES\n1 2 2", "YES 2 1 1"), ("YES 1 1 1", "YES 1 2", "YES 1 3 1", "NO 1 2 3")),
        ("plough_route", "3 3\n1 2\n2 3\n3 3\n", ("1 2 3 3", "3 3 2 1"), ("1 2 3", "1 2 3 1", "3 3 3 2", "NONE", "x")),
    ],
)
def test_special_judges_accept_all_right_answers_only(
    name: str, given: str, right: tuple[str, ...], wrong: tuple[str, ...]
) -> None:
    accept = load_special(authored()[name].judge.special)
    for output in right:
        assert accept(given, output, right[0]) == ""
    for output in wrong:
        assert accept(given, output, right[0])


def test_a_wrong_sample_is_noticed(sandbox: Sandbox) -> None:
    problem = authored()["plank_path"]
    changed = {name: problem.__dict__[name] for name in problem.__dataclass_fields__}
    with pytest.raises(DataError, match=r"plank_path, sample 0: token 1: '4', not '3'"):
        check_samples(sandbox, Problem(**{**changed, "samples": (("4\n", "4\n"),)}))
    check_samples(sandbox, problem)


def test_a_strict_reader_of_inputs() -> None:
    given = Given("2\n-1 5\nab\n", is_call=False)
    assert given.ints(1, low=1, high=9) == [2]
    assert given.ints(2, low=-1, high=5) == [-1, 5]
    assert given.word(low=2, high=2, alphabet="ab") == "ab"
    given.end()
    for text in ("", "1", " 1\n", "1 \n", "01\n", "+1\n", "-0\n", "1  2\n", "٣\n", "1.0\n", "1 2 3\n", "10 2\n", "\n"):
        with pytest.raises(DataError):
            Given(text, is_call=False).ints(2, low=1, high=9)
    for value in ([1, True], [1, 2.0], [0], "12", [1, 10]):
        with pytest.raises(DataError):
            check_ints(value, low=1, high=9)
    for word in ("", "abc", "ax", 5):
        with pytest.raises(DataError):
            check_word(word, low=1, high=2, alphabet="ab")


def prove(sandbox: Sandbox, problem: Problem) -> None:
    """Builds the suite anew: the reference, its twins, validator, samples and wrong solutions are all checked there."""
    suite, places = build(sandbox, problem)
    stored = load_trial(problem)
    assert [find_input(problem, place) for place in places] == [case.given for case in suite.cases]
    # What is kept hangs on time limits too; what is right does not.
    fresh = {content_hash(case.given): case.expected for case in suite.cases}
    common = [case for case in stored.cases if content_hash(case.given) in fresh]
    assert len(common) >= len(problem.samples) + len(problem.edges) + 2
    for case in common:
        found = fresh[content_hash(case.given)].encode()
        assert find_fault(problem.judge, found, given=case.given, expected=case.expected) == ""
    assert not {"accepted", "compile_error"} & set(suite.refused.values())
    assert suite.score >= 0.9


def judge_all(sandbox: Sandbox, problem: Problem) -> None:
    """Judges right and wrong solutions on the stored tests."""
    trial = load_trial(problem)
    right = [Submission(language="python", source=problem.solution, function=problem.function)]
    right += [Submission(language="cpp", source=problem.cpp)] if problem.cpp else []
    for submission in right:
        assert run_trial(sandbox, submission, trial).verdict == "accepted"
    for name, source in problem.wrong.items():
        submission = Submission(language="python", source=source, function=problem.function)
        assert run_trial(sandbox, submission, trial).verdict not in ("accepted", "compile_error"), name


@pytest.mark.parametrize("name", QUICK)
def test_right_solutions_pass_and_wrong_ones_fail(sandbox: Sandbox, name: str) -> None:
    judge_all(sandbox, authored()[name])


@pytest.mark.slow
@PROBLEMS
def test_every_problem_is_proved(sandbox: Sandbox, problem: Problem) -> None:
    judge_all(sandbox, problem)
    prove(sandbox, problem)

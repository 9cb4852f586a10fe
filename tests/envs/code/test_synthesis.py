"""Mutants, and suites of tests made with them."""

import ast
from collections.abc import Sequence

import pytest

from fulmen.envs.code.mutants import make_mutants
from fulmen.envs.code.synthesis import Blueprint, choose, run_generator, run_validator, synthesise
from fulmen.errors import DataError, SandboxError
from fulmen.rewards.code import Case
from fulmen.rewards.judge import Judge
from fulmen.sandbox import ExecResult, Limits, Sandbox, Submission, TestInput

LARGEST = "n = int(input())\na = list(map(int, input().split()))\nprint(max(a[:n]))\n"
BRUTE = (
    "input()\nbest = None\nfor x in map(int, input().split()):\n    if best is None or x > best:\n        best = x\n"
)
BLUEPRINT = Blueprint(
    reference="n = int(input())\nbest = -10\nfor x in input().split():\n    if int(x) > best:\n        best = int(x)\n"
    "print(best)\n",
    others=(Submission(language="python", source=LARGEST),),
    brute=BRUTE + "print(best)\n",
    wrong={"the last": "input()\nprint(input().split()[-1])\n", "as texts": "input()\nprint(max(input().split()))\n"},
    limits=Limits(cpu_s=2.0),
)
INPUTS = ["1\n4\n", "2\n4 5\n", "2\n5 4\n", "3\n1 1 1\n", "2\n9 10\n", "3\n2 7 1\n", "2\n-9 -3\n"]


@pytest.mark.parametrize(
    ("source", "changes"),
    [
        ("a < b", {"a <= b", "a > b"}),
        ("a == b", {"a != b"}),
        ("a in b", {"a not in b"}),
        ("a is not b", {"a is b"}),
        ("a and b or c", {"(a and b) and c", "(a or b) or c"}),
        ("not a", {"+bool(a)"}),
        ("a + b", {"a - b"}),
        ("a // b", {"a * b"}),
        ("a += 1", {"a -= 1", "a += 2", "a += 0"}),
        ("f(7, True, 'x')", {"f(8, True, 'x')", "f(6, True, 'x')", "f(7, False, 'x')"}),
        ("a < b < c", {"a <= b < c", "a > b < c", "a < b <= c", "a < b > c"}),
        ("x = 'nothing to change'", set()),
    ],
)
def test_each_mutant_has_one_fault(source: str, changes: set[str]) -> None:
    mutants = make_mutants(source)
    assert {mutant.source.strip() for mutant in mutants} == changes
    assert len(mutants) == len(changes)


def test_mutants_are_programs_in_order_of_place() -> None:
    mutants = make_mutants(BLUEPRINT.reference)
    lines = [int(mutant.change.split(":")[0].removeprefix("line ")) for mutant in mutants]
    assert lines == sorted(lines)
    assert "line 4: Gt becomes GtE" in {mutant.change for mutant in mutants}
    for mutant in mutants:
        ast.parse(mutant.source)
    with pytest.raises(DataError, match="a Python program"):
        make_mutants("print((")


def test_choose_keeps_what_matters() -> None:
    kills = [frozenset({0, 1}), frozenset({1, 2}), frozenset({3}), frozenset()]
    assert choose(kills, depth=1) == (1, 3)
    assert choose(kills, depth=2) == (0, 1, 2, 3)
    assert choose(kills, always=(0, 4), depth=1) == (0, 1, 3, 4)
    assert choose([], always=()) == ()


def test_a_suite_is_small_right_and_scored(sandbox: Sandbox) -> None:
    suite = synthesise(sandbox, BLUEPRINT, INPUTS, num_always=1)
    assert suite.kept[0] == 0
    assert [case.given for case in suite.cases] == [INPUTS[place] for place in suite.kept]
    assert all(case.expected.strip() == str(max(map(int, case.given.split()[1:]))) for case in suite.cases)
    assert 2 <= len(suite.kept) < len(INPUTS)
    assert suite.refused == {"the last": "wrong_answer", "as texts": "wrong_answer"}
    # Where > becomes >=, the maximum stays what it is.
    assert "line 4: Gt becomes GtE" in suite.equivalent


def test_mutants_that_only_fresh_inputs_kill_lower_the_score(sandbox: Sandbox) -> None:
    blueprint = Blueprint(reference="x = int(input())\nprint(x * 2 if x < 100 else 7)\n", limits=Limits(cpu_s=2.0))
    blind = synthesise(sandbox, blueprint, ["0\n", "1\n", "2\n"], fresh=["99\n", "100\n", "101\n"])
    assert blind.missed
    assert 0 < blind.score < 1
    assert blind.num_killed + len(blind.missed) + len(blind.equivalent) == blind.num_mutants
    sharp = synthesise(sandbox, blueprint, ["1\n", "99\n", "100\n", "101\n", "3\n"], fresh=["5\n"])
    assert sharp.score == 1.0
    assert not sharp.missed


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"brute": BRUTE + "print(best - (best == 5))\n"}, r"brute: token 1: '4', not '5'"),
        ({"others": (Submission(language="python", source="print(1)"),)}, r"others\[0\]"),
        ({"others": (Submission(language="python", source="1 / 0"),)}, r"others\[0\]: nonzero"),
        ({"wrong": {"right": LARGEST, "none": "print(1)"}}, r"wrong\['right'\]: passes all 7"),
        ({"reference": "print(input()[9])"}, "reference: nonzero"),
    ],
)
def test_broken_blueprints_are_named(sandbox: Sandbox, changes: dict[str, object], named: str) -> None:
    settings = {name: BLUEPRINT.__dict__[name] for name in BLUEPRINT.__dataclass_fields__}
    with pytest.raises(DataError, match=named):
        synthesise(sandbox, Blueprint(**{**settings, **changes}), INPUTS)
    with pytest.raises(DataError, match="inputs: none"):
        synthesise(sandbox, BLUEPRINT, [])


class Overloaded:
    """A sandbox on a machine that is too busy."""

    name, guarantees = "overloaded", ()

    def run(self, argv: Sequence[str], **_: object) -> ExecResult:
        raise NotImplementedError

    async def exec(self, argv: Sequence[str], **_: object) -> ExecResult:
        raise NotImplementedError

    def run_tests(self, submission: Submission, inputs: Sequence[TestInput], **_: object) -> list[ExecResult]:
        busy = ExecResult(
            status="infra", returncode=None, stdout=b"", stderr=b"", cpu_s=0.0, wall_s=0.0, info="overloaded"
        )
        return [busy] * len(inputs)


def test_infrastructure_says_nothing_of_programs() -> None:
    with pytest.raises(SandboxError, match="overloaded"):
        synthesise(Overloaded(), BLUEPRINT, INPUTS)
    with pytest.raises(SandboxError, match="overloaded"):
        run_generator(Overloaded(), "print(1)", [(1, 1)], limits=Limits())
    with pytest.raises(SandboxError, match="overloaded"):
        run_validator(Overloaded(), "", ["1"], limits=Limits())


def test_generators_and_validators_of_others_run_in_the_sandbox(sandbox: Sandbox) -> None:
    generator = "import random\nsize, seed = map(int, input().split())\nrng = random.Random(seed)\nprint(size)\n"
    generator += "print(*(rng.randint(-9, 9) for _ in range(size)))\n"
    places = [(1, 1), (3, 1), (3, 2), (8, 5)]
    inputs = run_generator(sandbox, generator, places, limits=Limits(cpu_s=2.0))
    assert inputs == run_generator(sandbox, generator, places, limits=Limits(cpu_s=2.0))
    assert [given.split()[0] for given in inputs] == ["1", "3", "3", "8"]
    assert len(set(inputs)) == 4
    validator = "n = int(input())\na = input().split()\nassert len(a) == n and all(-9 <= int(x) <= 9 for x in a)\n"
    bad = ["2\n1\n", "1\n10\n", "x\n"]
    assert run_validator(sandbox, validator, [*inputs, *bad], limits=Limits()) == [True] * 4 + [False] * 3
    with pytest.raises(DataError, match="generator: nonzero at size 1, seed 1"):
        run_generator(sandbox, "1 / 0", places, limits=Limits(cpu_s=2.0))
    with pytest.raises(DataError, match="validator: "):
        run_validator(sandbox, "((", inputs, limits=Limits(cpu_s=2.0))
    suite = synthesise(sandbox, BLUEPRINT, inputs + INPUTS)
    assert suite.score == 1.0
    assert Case(given=INPUTS[0], expected="4\n") not in suite.cases or suite.kept


def test_functions_are_called_and_judged_as_json(sandbox: Sandbox) -> None:
    blueprint = Blueprint(
        reference="def half(x):\n    return [x / 2, x > 3]\n",
        brute="def half(x):\n    return (0.5 * x, not x <= 3)\n",
        wrong={"rounds": "def half(x):\n    return [x // 2, x > 3]\n"},
        function="half",
        judge=Judge(kind="json"),
    )
    suite = synthesise(sandbox, blueprint, ["[2]", "[3]", "[4]", "[5]"])
    assert {case.given: case.expected for case in suite.cases}["[3]"] == "[1.5, false]"
    assert suite.score == 1.0

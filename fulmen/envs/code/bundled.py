"""The problems that come with fulmen: modules of `problems`, each with its tests in `suites/<name>.json`.

Inputs are not stored but drawn again from size and seed, and compared with the hash that was stored with them.

    python -m fulmen.envs.code.bundled [name ...]       builds the suites anew, in the sandbox, and reports on them
"""

import importlib
import json
import math
import pkgutil
import sys
from collections.abc import Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from fulmen.envs.code import problems
from fulmen.envs.code.authoring import Problem, Text
from fulmen.envs.code.record import LEVELS, CodeProblem
from fulmen.envs.code.synthesis import Blueprint, Suite, synthesise
from fulmen.errors import DataError
from fulmen.rewards.code import Case, Trial
from fulmen.sandbox import Limits, Sandbox, Submission, open_sandbox
from fulmen.types import content_hash, stable_seed

SUITES = Path(__file__).parent / "suites"
NUM_SMALL, NUM_MEDIUM, NUM_LARGE, NUM_FRESH = 24, 4, 2, 16
"""Inputs that are drawn of each size."""
HEADINGS = {"en": ("Input", "Output", "Arguments", "Result"), "zh": ("输入", "输出", "参数", "返回值")}
Place = Mapping[str, Any]
"""Where an input is: {"sample": i}, {"edge": i} or {"size": n, "seed": s}."""


@cache
def authored() -> Mapping[str, Problem]:
    """Returns the problems as they are written, by name, easy ones first."""
    names = [module.name for module in pkgutil.iter_modules(problems.__path__)]
    found = [importlib.import_module(f"{problems.__name__}.{name}").PROBLEM for name in names]
    for name, problem in zip(names, found, strict=True):
        assert problem.name == name, f"{name}: its problem is called {problem.name}"
    return {problem.name: problem for problem in sorted(found, key=lambda p: (LEVELS.index(p.level), p.name))}


@cache
def bundled_problems() -> tuple[CodeProblem, ...]:
    """Returns the problems as they are served."""
    return tuple(map(serve, authored().values()))


def serve(problem: Problem) -> CodeProblem:
    """Returns a problem as it is served; its tests are read when they are needed."""
    texts = {"en": problem.en} | ({"zh": problem.zh} if problem.zh else {})
    return CodeProblem(
        name=problem.name,
        level=problem.level,
        statements={language: state(problem, text, language) for language, text in texts.items()},
        make_trial=partial(load_trial, problem),
        function=problem.function,
        signature=problem.signature,
        limits=limits_of(problem),
        solution=problem.solution,
        idea=problem.idea,
    )


def state(problem: Problem, text: Text, language: str) -> str:
    """Returns a problem as the model reads it."""
    given, wanted = HEADINGS[language][2:] if problem.function else HEADINGS[language][:2]
    parts = [text.task, f"{given}: {text.given}", f"{wanted}: {text.wanted}"]
    for sample_in, sample_out in problem.samples:
        if problem.function:
            arguments = ", ".join(map(repr, sample_in))
            parts.append(f">>> {problem.function}({arguments})\n{sample_out!r}")
        else:
            parts.append(f"{given}:\n{str(sample_in).rstrip()}\n{wanted}:\n{str(sample_out).rstrip()}")
    return "\n\n".join(parts)


def limits_of(problem: Problem) -> Limits:
    """Returns the limits of one test."""
    return Limits(cpu_s=problem.cpu_s, wall_s=5 * problem.cpu_s, memory_bytes=problem.memory_mb << 20)


def find_input(problem: Problem, place: Place) -> str:
    """Returns the input at a place."""
    if "sample" in place:
        return problem.dump_input(problem.samples[place["sample"]][0])
    if "edge" in place:
        return problem.dump_input(problem.edges[place["edge"]])
    return problem.draw(place["size"], place["seed"])


def load_trial(problem: Problem) -> Trial:
    """Returns the stored tests of a problem.

    Raises:
        DataError: there are none, or an input is not what it was when they were built.
    """
    path = SUITES / f"{problem.name}.json"
    if not path.exists():
        raise DataError(f"suite of {problem.name}: none; allowed: one built by `python -m {__name__}`")
    cases = []
    for test in json.loads(path.read_text(encoding="utf-8"))["tests"]:
        given = find_input(problem, test["input"])
        if content_hash(given) != test["hash"]:
            raise DataError(f"suite of {problem.name}: input {test['input']} has changed; allowed: a suite built anew")
        cases.append(Case(given=given, expected=test["expected"]))
    return Trial(cases=tuple(cases), function=problem.function, judge=problem.judge, limits=limits_of(problem))


def candidates(problem: Problem) -> dict[str, list[Place]]:
    """Returns the places of all inputs that a suite is made of: always, inputs, large and fresh."""

    def draw(kind: str, count: int, low: int, high: int) -> list[Place]:
        # Sizes spread over the whole range, the largest included.
        step = (high - low) / max(1, count - 1)
        return [{"size": round(high - i * step), "seed": stable_seed(kind, i) % 10**6} for i in range(count)]

    return {
        "always": [
            *({"sample": i} for i in range(len(problem.samples))),
            *({"edge": i} for i in range(len(problem.edges))),
        ],
        "inputs": [
            *draw("small", NUM_SMALL, 1, problem.small),
            *draw("medium", NUM_MEDIUM, problem.small, min(problem.large, 4 * problem.small)),
        ],
        "large": draw("large", NUM_LARGE, math.ceil(problem.large / 2), problem.large),
        "fresh": draw("fresh", NUM_FRESH, 1, problem.small),
    }


def build(sandbox: Sandbox, problem: Problem) -> tuple[Suite, list[Place]]:
    """Returns the tests of a problem, made and proved anew, and the places of their inputs.

    Raises:
        DataError: the problem is broken: an input its validator refuses, a wrong sample, solutions that disagree.
    """
    places = candidates(problem)
    inputs = {kind: [find_input(problem, place) for place in group] for kind, group in places.items()}
    for kind, group in inputs.items():
        for place, given in zip(places[kind], group, strict=True):
            try:
                problem.check_input(given)
            except DataError as error:
                raise DataError(f"{problem.name}, {place}: {error}") from None
    cpp = (Submission(language="cpp", source=problem.cpp),) if problem.cpp else ()
    blueprint = Blueprint(
        reference=problem.solution,
        others=cpp,
        brute=problem.brute,
        wrong=problem.wrong,
        function=problem.function,
        judge=problem.judge,
        limits=limits_of(problem),
    )
    suite = synthesise(
        sandbox,
        blueprint,
        [*inputs["always"], *inputs["inputs"]],
        large=inputs["large"],
        fresh=inputs["fresh"],
        num_always=len(inputs["always"]),
    )
    order = [*places["always"], *places["inputs"], *places["large"]]
    return suite, [order[kept] for kept in suite.kept]


def write(problem: Problem, suite: Suite, places: list[Place]) -> None:
    """Stores the tests of a problem and what is known of them."""
    tests = ",\n".join(
        json.dumps({"input": place, "hash": content_hash(case.given), "expected": case.expected}, ensure_ascii=False)
        for place, case in zip(places, suite.cases, strict=True)
    )
    report = {
        "inputs_tried": suite.num_inputs,
        "mutants": suite.num_mutants,
        "killed": suite.num_killed,
        "missed": suite.missed,
        "equivalent": suite.equivalent,
        "refused": dict(suite.refused),
    }
    text = f'{{"report": {json.dumps(report, ensure_ascii=False)},\n"tests": [\n{tests}\n]}}\n'
    (SUITES / f"{problem.name}.json").write_text(text, encoding="utf-8")


def report_lines(names: list[str]) -> Iterator[str]:
    """Builds and stores the suites of some problems; yields one line on each."""
    sandbox = open_sandbox()
    for name in names or authored():
        suite, places = build(sandbox, authored()[name])
        write(authored()[name], suite, places)
        yield (
            f"{name}: {len(places)} of {suite.num_inputs} tests, score {suite.score:.2f} "
            f"({suite.num_killed} of {suite.num_mutants} mutants, {len(suite.equivalent)} equivalent)"
        )


if __name__ == "__main__":
    for line in report_lines(sys.argv[1:]):
        print(line, flush=True)

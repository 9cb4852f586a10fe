"""The problems that come with fulmen: modules of `problems`, each with its tests in `suites/<name>.json`.

Inputs are not stored but drawn again from size and seed, and compared with the hash that was stored with them.
`build.py` makes the suites.
"""

import importlib
import json
import pkgutil
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from fulmen.envs.code import problems
from fulmen.envs.code.authoring import Problem, Text
from fulmen.envs.code.record import LEVELS, CodeProblem
from fulmen.errors import DataError
from fulmen.rewards.code import Case, Trial
from fulmen.sandbox import Limits
from fulmen.types import content_hash

SUITES = Path(__file__).parent / "suites"
HEADINGS = {
    "en": {
        "given": "Input: ",
        "wanted": "Output: ",
        "arguments": "Arguments: ",
        "result": "Result: ",
        "example": "Example input:\n{given}\n\nExample output:\n{wanted}",
    },
    "zh": {
        "given": "输入：",
        "wanted": "输出：",
        "arguments": "参数：",
        "result": "返回值：",
        "example": "输入示例：\n{given}\n\n输出示例：\n{wanted}",
    },
}
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
    heading = HEADINGS[language]
    given, wanted = ("arguments", "result") if problem.function else ("given", "wanted")
    parts = [text.task, heading[given] + text.given, heading[wanted] + text.wanted]
    for sample_in, sample_out in problem.samples:
        if problem.function:
            arguments = ", ".join(map(repr, sample_in))
            parts.append(f">>> {problem.function}({arguments})\n{sample_out!r}")
        else:
            parts.append(heading["example"].format(given=str(sample_in).rstrip(), wanted=str(sample_out).rstrip()))
    return "\n\n".join(parts)


def limits_of(problem: Problem) -> Limits:
    """Returns the limits of one test."""
    return Limits(cpu_s=problem.cpu_s, wall_s=10 * problem.cpu_s, memory_bytes=problem.memory_mb << 20)


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
        raise DataError(f"suite of {problem.name}: none; allowed: one that fulmen.envs.code.build made")
    cases = []
    for test in json.loads(path.read_text(encoding="utf-8"))["tests"]:
        given = find_input(problem, test["input"])
        if content_hash(given) != test["hash"]:
            raise DataError(f"suite of {problem.name}: input {test['input']} has changed; allowed: a suite built anew")
        cases.append(Case(given=given, expected=test["expected"]))
    return Trial(cases=tuple(cases), function=problem.function, judge=problem.judge, limits=limits_of(problem))

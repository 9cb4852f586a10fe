"""Builds the tests of the bundled problems: validated inputs, outputs that all solutions agree on, a mutation score.

python -m fulmen.envs.code.build [name ...]     builds, stores and reports on the suites of all problems, or of some
"""

import json
import math
import sys
from collections.abc import Iterator
from dataclasses import replace

from fulmen.envs.code.authoring import Problem
from fulmen.envs.code.bundled import SUITES, Place, authored, find_input, limits_of
from fulmen.envs.code.synthesis import Blueprint, Suite, answer, synthesise
from fulmen.errors import ConfigError, DataError, SandboxError
from fulmen.rewards.judge import find_fault
from fulmen.sandbox import Sandbox, Submission, open_sandbox
from fulmen.types import content_hash, stable_seed

NUM_SMALL, NUM_MEDIUM, NUM_LARGE, NUM_FRESH = 24, 3, 2, 16
"""Inputs that are drawn of each size."""
PATIENCE = 3
"""Times a problem is built again after the sandbox failed."""


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
    check_samples(sandbox, problem)
    places = candidates(problem)
    inputs = {kind: [find_input(problem, place) for place in group] for kind, group in places.items()}
    for kind, group in inputs.items():
        for place, given in zip(places[kind], group, strict=True):
            try:
                problem.check_input(given)
            except DataError as error:
                raise DataError(f"{problem.name}, {place}: {error}") from None
    suite = synthesise(
        sandbox,
        blueprint_of(problem),
        [*inputs["always"], *inputs["inputs"]],
        large=inputs["large"],
        fresh=inputs["fresh"],
        num_always=len(inputs["always"]),
    )
    order = [*places["always"], *places["inputs"], *places["large"]]
    return suite, [order[kept] for kept in suite.kept]


def check_samples(sandbox: Sandbox, problem: Problem) -> None:
    """Accepts samples that say what the reference says. Raises: DataError, SandboxError."""
    inputs = [problem.dump_input(given) for given, _ in problem.samples]
    cases = answer(sandbox, replace(blueprint_of(problem), others=()), inputs)
    for place, (case, (_, wanted)) in enumerate(zip(cases, problem.samples, strict=True)):
        shown = problem.dump_output(wanted).encode()
        if fault := find_fault(problem.judge, shown, given=case.given, expected=case.expected):
            raise DataError(f"{problem.name}, sample {place}: {fault}; allowed: what the reference says")


def blueprint_of(problem: Problem) -> Blueprint:
    """Returns what the tests of a problem are made of."""
    return Blueprint(
        reference=problem.solution,
        others=(Submission(language="cpp", source=problem.cpp),) if problem.cpp else (),
        brute=problem.brute,
        wrong=problem.wrong,
        function=problem.function,
        judge=problem.judge,
        limits=limits_of(problem),
    )


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


def _build_patiently(sandbox: Sandbox, problem: Problem) -> tuple[Suite, list[Place]]:
    """Returns what `build` does; a machine that was too busy is asked again."""
    for _ in range(PATIENCE):
        try:
            return build(sandbox, problem)
        except SandboxError:
            continue
    return build(sandbox, problem)


def report_lines(names: list[str]) -> Iterator[str]:
    """Builds and stores the suites of some problems; yields one line on each."""
    sandbox = open_sandbox()
    for name in names:
        if name not in authored():
            raise ConfigError(f"name: {name!r}; allowed: {', '.join(authored())}")
    for name in names or authored():
        try:
            suite, places = _build_patiently(sandbox, authored()[name])
        except DataError as error:
            yield f"{name}: broken: {error}"
            continue
        write(authored()[name], suite, places)
        yield (
            f"{name}: {len(places)} of {suite.num_inputs} tests, score {suite.score:.2f} "
            f"({suite.num_killed} of {suite.num_mutants} mutants, {len(suite.equivalent)} equivalent)"
        )


if __name__ == "__main__":
    for line in report_lines(sys.argv[1:]):
        print(line, flush=True)

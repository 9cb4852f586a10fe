"""Tests for a problem that has none: inputs that matter, outputs that independent solutions agree on, and a score.

    inputs      from a generator, each passed by a validator
    outputs     of the reference; every other solution must agree, the slow one at least on what it can do
    selection   an input stays if it kills a mutant or a wrong solution that fewer than `DEPTH` kept ones kill
    score       of the mutants that any input kills, fresh ones included, the part that the kept tests kill

A mutant that nothing kills counts as equivalent: it is reported, not scored. All programs run in the sandbox, trusted
or not. Source: mutation testing (DeMillo, Lipton, Sayward 1978); generators and validators as at programming contests.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from fulmen.envs.code.mutants import make_mutants
from fulmen.errors import DataError, SandboxError
from fulmen.rewards.code import Case, Trial, Verdict, judge_result, last_line, make_input, run_trial
from fulmen.rewards.judge import Judge, find_fault
from fulmen.sandbox import ExecResult, Limits, Sandbox, Submission

HURRIED_CPU_S = 0.5
"""Of one test of a mutant or of the slow solution: loops that never end are common among them."""
MAX_MUTANTS = 60
"""Mutants of one reference that are run, evenly spread over its text."""
DEPTH = 2
"""Tests by which each fault is found, where there are as many."""
Killed = frozenset[int]
"""Places of the inputs that a faulty program fails on."""


@dataclass(frozen=True, kw_only=True)
class Blueprint:
    """What tests are made of."""

    reference: str
    """A right and fast program, in Python."""
    others: tuple[Submission, ...] = ()
    """Further right programs; each must agree on every input."""
    brute: str = ""
    """An independent program for small inputs; where it runs out of time it has no say."""
    wrong: Mapping[str, str] = field(default_factory=dict)
    """Programs that some test must refuse, by what is wrong with them."""
    function: str = ""
    judge: Judge = field(default_factory=Judge)
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, kw_only=True)
class Suite:
    """Tests, and how good they are."""

    kept: tuple[int, ...]
    """Places of the inputs that are kept, in order."""
    cases: tuple[Case, ...]
    """What they became."""
    num_inputs: int
    """Inputs that were tried."""
    num_mutants: int
    num_killed: int
    """Mutants that the kept tests kill."""
    missed: tuple[str, ...]
    """Mutants that only fresh inputs killed."""
    equivalent: tuple[str, ...]
    """Mutants that nothing killed."""
    refused: Mapping[str, Verdict]
    """Wrong solution to its verdict."""

    @property
    def score(self) -> float:
        """Part of the mutants known to differ that the kept tests kill; 1 without any."""
        differing = self.num_killed + len(self.missed)
        return self.num_killed / differing if differing else 1.0


def synthesise(
    sandbox: Sandbox,
    blueprint: Blueprint,
    inputs: Sequence[str],
    *,
    large: Sequence[str] = (),
    fresh: Sequence[str] = (),
    num_always: int = 0,
    num_threads: int = 2,
) -> Suite:
    """Returns the tests that inputs make.

    The first `num_always` inputs stay, of the others those that matter. The `large` ones, all of which stay, are there
    for their size: neither the slow solution nor mutants meet them. Mutants meet the `fresh` ones, which never stay.

    Raises:
        DataError: solutions disagree, the reference fails, or a wrong solution passes every input.
        SandboxError: the sandbox failed.
    """
    if not inputs:
        raise DataError("inputs: none; allowed: one or more")
    quick = answer(sandbox, blueprint, [*inputs, *fresh])
    slow = answer(sandbox, replace(blueprint, brute=""), large) if large else []
    mutants = make_mutants(blueprint.reference)
    mutants = mutants[:: -(-len(mutants) // MAX_MUTANTS)] if mutants else []
    hurried = replace(blueprint, limits=hurry(blueprint.limits))
    with ThreadPoolExecutor(num_threads) as pool:
        kills = list(pool.map(lambda mutant: find_kills(sandbox, mutant.source, hurried, quick), mutants))
        cases = [*quick[: len(inputs)], *slow]
        refusals = list(pool.map(lambda src: find_kills(sandbox, src, blueprint, cases), blueprint.wrong.values()))
    for name, killed in zip(blueprint.wrong, refusals, strict=True):
        if not killed:
            raise DataError(f"wrong[{name!r}]: passes all {len(cases)} inputs; allowed: a program that one refuses")
    usable = [frozenset(place for place in killed if place < len(inputs)) for killed in kills]
    always = (*range(min(num_always, len(inputs))), *range(len(inputs), len(cases)))
    kept = choose([*usable, *refusals], always=always)
    hit = [bool(killed & set(kept)) for killed in usable]
    return Suite(
        kept=kept,
        cases=tuple(cases[place] for place in kept),
        num_inputs=len(cases),
        num_mutants=len(mutants),
        num_killed=sum(hit),
        missed=tuple(m.change for m, killed, is_hit in zip(mutants, kills, hit, strict=True) if killed and not is_hit),
        equivalent=tuple(m.change for m, killed in zip(mutants, kills, strict=True) if not killed),
        refused=find_verdicts(sandbox, blueprint, [cases[place] for place in kept]),
    )


def hurry(limits: Limits) -> Limits:
    """Returns the limits of programs that may never end."""
    return replace(limits, cpu_s=min(HURRIED_CPU_S, limits.cpu_s))


def answer(sandbox: Sandbox, blueprint: Blueprint, inputs: Sequence[str]) -> list[Case]:
    """Returns each input with the reference's output, once all solutions agree on it.

    Raises:
        DataError: they do not, or the reference fails.
        SandboxError: the sandbox failed.
    """
    reference = Submission(language="python", source=blueprint.reference, function=blueprint.function)
    tests = [make_input(given, blueprint.function) for given in inputs]
    cases = []
    for given, result in zip(inputs, sandbox.run_tests(reference, tests, limits=blueprint.limits), strict=True):
        if result.status == "infra":
            raise SandboxError(f"reference: {result.info}")
        if result.status != "ok":
            said = last_line(result.stderr)
            raise DataError(f"reference: {result.status} on {given[:60]!r} ({said}); allowed: a right program")
        cases.append(Case(given=given, expected=result.stdout.decode("utf-8")))
        if fault := find_fault(blueprint.judge, result.stdout, given=given, expected=cases[-1].expected):
            raise DataError(f"reference: {fault} on {given[:60]!r}; allowed: output that its own judge accepts")
    others = [(f"others[{i}]", submission, False) for i, submission in enumerate(blueprint.others)]
    if blueprint.brute:
        slow = Submission(language="python", source=blueprint.brute, function=blueprint.function)
        others.append(("brute", slow, True))
    for name, submission, may_be_slow in others:
        _require_agreement(sandbox, blueprint, cases, name=name, submission=submission, may_be_slow=may_be_slow)
    return cases


def find_kills(sandbox: Sandbox, source: str, blueprint: Blueprint, cases: Sequence[Case]) -> Killed:
    """Returns the places of the tests that a program fails, up to one that it never ends. Raises: SandboxError."""
    verdicts: list[Verdict] = []

    def judge_next(index: int, result: ExecResult) -> bool:
        verdicts.append(judge_result(result, cases[index], blueprint.judge)[0])
        # What never ends, or ends all, would do so on every test, and each costs a second.
        return verdicts[-1] not in ("accepted", "wrong_answer", "runtime_error")

    submission = Submission(language="python", source=source, function=blueprint.function)
    tests = [make_input(case.given, blueprint.function) for case in cases]
    sandbox.run_tests(submission, tests, limits=blueprint.limits, stop_early=judge_next)
    if "infra" in verdicts:
        raise SandboxError(f"test {verdicts.index('infra') + 1} of {len(cases)}: the sandbox failed")
    return frozenset(place for place, verdict in enumerate(verdicts) if verdict != "accepted")


def choose(kills: Sequence[Killed], *, always: Sequence[int] = (), depth: int = DEPTH) -> tuple[int, ...]:
    """Returns the places to keep: those of `always`, then greedily, until each fault is found `depth` times if it can.

    Ties go to the earlier place.
    """
    kept = set(always)
    while True:
        counts: dict[int, int] = {}
        for killed in kills:
            if len(killed & kept) < depth:
                for place in killed - kept:
                    counts[place] = counts.get(place, 0) + 1
        if not counts:
            return tuple(sorted(kept))
        kept.add(min(counts, key=lambda place: (-counts[place], place)))


def find_verdicts(sandbox: Sandbox, blueprint: Blueprint, cases: Sequence[Case]) -> dict[str, Verdict]:
    """Returns the verdict on each wrong solution. Raises: SandboxError."""
    trial = Trial(cases=tuple(cases), function=blueprint.function, judge=blueprint.judge, limits=blueprint.limits)
    return {
        name: run_trial(
            sandbox, Submission(language="python", source=source, function=blueprint.function), trial
        ).verdict
        for name, source in blueprint.wrong.items()
    }


def run_generator(sandbox: Sandbox, source: str, places: Sequence[tuple[int, int]], *, limits: Limits) -> list[str]:
    """Returns what a generator program prints for each (size, seed), which it reads as two integers from stdin.

    Raises:
        DataError: it fails, or prints what is not UTF-8.
        SandboxError: the sandbox failed.
    """
    submission = Submission(language="python", source=source)
    tests = [make_input(f"{size} {seed}\n", "") for size, seed in places]
    inputs = []
    for (size, seed), result in zip(places, sandbox.run_tests(submission, tests, limits=limits), strict=True):
        if result.status == "infra":
            raise SandboxError(f"generator: {result.info}")
        if result.status != "ok":
            raise DataError(f"generator: {result.status} at size {size}, seed {seed}; allowed: an input on stdout")
        try:
            inputs.append(result.stdout.decode("utf-8"))
        except UnicodeDecodeError:
            raise DataError(f"generator: no UTF-8 at size {size}, seed {seed}; allowed: a text on stdout") from None
    return inputs


def run_validator(sandbox: Sandbox, source: str, inputs: Sequence[str], *, limits: Limits) -> list[bool]:
    """Returns which inputs a validator program accepts: it reads one from stdin and exits with 0 or not.

    Raises:
        DataError: it runs out of time or memory, which says nothing of the input.
        SandboxError: the sandbox failed.
    """
    submission = Submission(language="python", source=source)
    results = sandbox.run_tests(submission, [make_input(given, "") for given in inputs], limits=limits)
    for given, result in zip(inputs, results, strict=True):
        if result.status == "infra":
            raise SandboxError(f"validator: {result.info}")
        if result.status not in ("ok", "nonzero") or result.info == "does not compile":
            raise DataError(f"validator: {result.info or result.status} on {given[:60]!r}; allowed: exit code 0 or not")
    return [result.status == "ok" for result in results]


def _require_agreement(
    sandbox: Sandbox,
    blueprint: Blueprint,
    cases: Sequence[Case],
    *,
    name: str,
    submission: Submission,
    may_be_slow: bool,
) -> None:
    """Raises DataError where a solution says something else than the reference."""
    slow_at = 0
    results = sandbox.run_tests(
        submission,
        [make_input(case.given, blueprint.function) for case in cases],
        limits=hurry(blueprint.limits) if may_be_slow else blueprint.limits,
    )
    for case, result in zip(cases, results, strict=True):
        if result.status == "infra":
            raise SandboxError(f"{name}: {result.info}")
        if may_be_slow and result.status in ("timeout_cpu", "timeout_wall", "oom"):
            slow_at += 1
            continue
        if result.status != "ok":
            said = last_line(result.stderr)
            raise DataError(f"{name}: {result.status} on {case.given[:60]!r} ({said}); allowed: a right program")
        if fault := find_fault(blueprint.judge, result.stdout, given=case.given, expected=case.expected):
            raise DataError(f"{name}: {fault}, on {case.given[:60]!r}; allowed: what the reference says")
    if slow_at == len(cases):
        raise DataError(f"{name}: out of time on all {len(cases)} inputs; allowed: some that it can do")

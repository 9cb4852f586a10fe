"""What a program is worth: taken from a reply, run on every test in a sandbox, judged outside it.

The program of a reply is its last fenced code block; the tag after the fence names the language, and a block without
one is Python. A fence is a line of three or more backticks or tildes, and ends at the next line of at least as many,
or with the reply (CommonMark). Nothing else in a reply is ever run.

A program is accepted if every test is. What it did to itself (compile error, time, memory) is a verdict; what happened
to the sandbox is none: it raises `SandboxError` and never becomes a zero.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from fulmen.errors import ConfigError, DataError, SandboxError
from fulmen.rewards.judge import Judge, find_fault
from fulmen.sandbox import ExecResult, Limits, Sandbox, Submission, TestInput
from fulmen.types import Score

Language = Literal["python", "cpp"]
Verdict = Literal[
    "accepted",
    "wrong_answer",
    "time_limit",
    "memory_limit",
    "runtime_error",
    "compile_error",
    "output_limit",
    "infra",
]
Credit = Literal["all", "fraction"]
"""1 if every test passes, else 0; or the fraction of tests passed, all of which then run."""

LANGUAGES: tuple[Language, ...] = get_args(Language)
TAGS: dict[str, Language] = {
    "": "python",
    "python": "python",
    "python3": "python",
    "py": "python",
    "cpp": "cpp",
    "c++": "cpp",
    "cc": "cpp",
    "cxx": "cpp",
}
"""Tag of a fence to language."""
MAX_REPLY_CHARS = 1 << 20
"""Longest reply in which a program is looked for."""
MAX_SOURCE_BYTES = 64 << 10
"""Longest program that is run."""
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})[ \t]*([^`\s]*)[^`]*")
_NO_COMPILE = "does not compile"
"""What the sandbox says in `ExecResult.info` of source that a compiler refuses."""
_VERDICTS: dict[str, Verdict] = {
    "nonzero": "runtime_error",
    "killed": "runtime_error",
    "timeout_cpu": "time_limit",
    "timeout_wall": "time_limit",
    "oom": "memory_limit",
    "output_limit": "output_limit",
    "infra": "infra",
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One test: what goes in, and one right result."""

    given: str
    """Of stdin; or a JSON list of arguments, where a function is called."""
    expected: str
    """On stdout; or the JSON value that is returned."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """All that decides whether a program is right."""

    cases: tuple[Case, ...]
    """At least one."""
    function: str = ""
    """Empty: programs on stdin and stdout; else the function, or method of `Solution`, that is called."""
    judge: Judge = field(default_factory=Judge)
    limits: Limits = field(default_factory=Limits)
    """Of one test."""

    def __post_init__(self) -> None:
        """Raises ConfigError for a trial that everything would pass."""
        if not self.cases:
            raise ConfigError("cases: none; allowed: one or more")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one program."""

    verdict: Verdict
    """That of the first test that was not accepted."""
    verdicts: tuple[Verdict, ...]
    """Per test that ran, in order."""
    num_cases: int
    """Tests there are."""
    info: str = ""
    """What went wrong first, in a few words; never the expected output as a whole."""

    @property
    def passed_frac(self) -> float:
        """Fraction of all tests that ran and were accepted."""
        return self.verdicts.count("accepted") / self.num_cases


def find_program(reply: str) -> tuple[Language, str]:
    """Returns language and source of the program in a reply: its last fenced code block.

    Raises:
        DataError: there is no block, it is empty or too long, or its tag names another language.
    """
    if len(reply) > MAX_REPLY_CHARS:
        raise DataError(f"reply: {len(reply)} characters; allowed: up to {MAX_REPLY_CHARS}")
    tag, fence, lines, found = "", "", [""], False
    for line in reply.split("\n"):
        match = _FENCE.fullmatch(line.rstrip("\r"))
        if fence:
            if match and match[1].startswith(fence) and not match[2]:
                fence = ""
            else:
                lines.append(line)
        elif match:
            tag, fence, lines, found = match[2].lower(), match[1], [], True
    if not found:
        raise DataError("reply: no fenced code block; allowed: the program in a block of ```")
    language = TAGS.get(tag)
    if language is None:
        raise DataError(f"reply: code block of {tag[:20]!r}; allowed: {', '.join(filter(None, TAGS))}, or no tag")
    source = "\n".join(lines) + "\n"
    if not source.strip():
        raise DataError("reply: its last code block is empty; allowed: a program")
    try:
        num_bytes = len(source.encode("utf-8"))
    except UnicodeEncodeError:
        raise DataError("reply: half a surrogate pair in its program; allowed: Unicode text") from None
    if num_bytes > MAX_SOURCE_BYTES:
        raise DataError(f"reply: program of {num_bytes} bytes; allowed: up to {MAX_SOURCE_BYTES}")
    return language, source


def run_trial(sandbox: Sandbox, submission: Submission, trial: Trial, *, stop_early: bool = True) -> Outcome:
    """Returns what came of a program on all tests, or on those up to the first that it fails.

    Raises:
        SandboxError: the sandbox failed before anything was decided.
        VerifierError: the problem's special judge broke.
    """
    judged: list[tuple[Verdict, str]] = []

    def judge_next(index: int, result: ExecResult) -> bool:
        assert index == len(judged), "the sandbox reports tests in their order"
        judged.append(judge_result(result, trial.cases[index], trial.judge))
        verdict = judged[-1][0]
        return verdict == "infra" or (stop_early and verdict != "accepted")

    inputs = [make_input(case.given, submission.function) for case in trial.cases]
    results = sandbox.run_tests(submission, inputs, limits=trial.limits, stop_early=judge_next)
    if len(results) != len(judged):
        raise SandboxError(f"run_tests: {len(results)} results, {len(judged)} reported; allowed: each once")
    for place, (verdict, info) in enumerate(judged, start=1):
        if verdict == "infra":
            raise SandboxError(f"test {place} of {len(inputs)}: {info}")
    verdicts = tuple(verdict for verdict, _ in judged)
    failed = next((place for place, verdict in enumerate(verdicts) if verdict != "accepted"), None)
    if failed is None:
        if len(verdicts) != len(inputs):
            raise SandboxError(f"run_tests: {len(verdicts)} results; allowed: {len(inputs)}, one per test")
        return Outcome(verdict="accepted", verdicts=verdicts, num_cases=len(inputs))
    info = f"test {failed + 1} of {len(inputs)}: {judged[failed][1]}"
    return Outcome(verdict=verdicts[failed], verdicts=verdicts, num_cases=len(inputs), info=info)


def make_input(given: str, function: str) -> TestInput:
    """Returns what the sandbox feeds to a program, or to the function it calls."""
    return TestInput(arguments=given) if function else TestInput(stdin=given.encode())


def judge_result(result: ExecResult, case: Case, judge: Judge) -> tuple[Verdict, str]:
    """Returns the verdict on one run, and why."""
    if result.status == "ok":
        fault = find_fault(judge, result.stdout, given=case.given, expected=case.expected)
        return ("wrong_answer", fault) if fault else ("accepted", "")
    verdict = _VERDICTS[result.status]
    if verdict == "runtime_error" and result.info == _NO_COMPILE:
        verdict = "compile_error"
    said = last_line(result.stderr) if verdict in ("runtime_error", "compile_error") else ""
    return verdict, said or result.info or result.status


def score_outcome(outcome: Outcome, credit: Credit = "all") -> Score:
    """Returns the score of a program: what a wrong answer is worth, and what a program that broke is."""
    accepted = outcome.verdict == "accepted"
    value = outcome.passed_frac if credit == "fraction" else float(accepted)
    status: Literal["ok", "policy_error"] = "ok" if outcome.verdict in ("accepted", "wrong_answer") else "policy_error"
    return Score(value=value, status=status, info=f"{outcome.verdict}: {outcome.info}" if outcome.info else "accepted")


def score_reply(
    sandbox: Sandbox,
    reply: str,
    trial: Trial,
    *,
    credit: Credit = "all",
    languages: Sequence[Language] = LANGUAGES,
) -> Score:
    """Returns the score of a reply; no text makes it raise anything but what `run_trial` does."""
    try:
        language, source = find_program(reply)
        if language not in languages:
            raise DataError(f"reply: a {language} program; allowed: {', '.join(languages)}")
        submission = Submission(language=language, source=source, function=trial.function)
    except DataError as error:
        return Score(value=0.0, status="policy_error", info=str(error))
    return score_outcome(run_trial(sandbox, submission, trial, stop_early=credit == "all"), credit)


def last_line(stderr: bytes) -> str:
    """Returns what a program said last."""
    lines = stderr.decode("utf-8", "replace").strip().split("\n")
    return lines[-1][:200]

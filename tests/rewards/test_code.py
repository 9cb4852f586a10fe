"""Programs taken from replies, and verdicts made of what a sandbox reports."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulmen.errors import ConfigError, DataError, SandboxError
from fulmen.rewards.code import Case, Trial, find_program, run_trial, score_reply
from fulmen.rewards.judge import Judge
from fulmen.sandbox import ExecResult, Limits, Submission, TestInput

CASES = tuple(Case(given=f"{i}\n", expected=f"{2 * i}\n") for i in range(4))
TRIAL = Trial(cases=CASES)
REPLY = "So:\n```python\nprint(2 * int(input()))\n```\n"
PROGRAM = Submission(language="python", source="print(2 * int(input()))\n")


class Replay:
    """Reports given results, one per test."""

    name, guarantees = "replay", ()

    def run(self, argv: Sequence[str], **_: object) -> ExecResult:
        raise NotImplementedError

    async def exec(self, argv: Sequence[str], **_: object) -> ExecResult:
        raise NotImplementedError

    def __init__(self, *results: ExecResult) -> None:
        self.results, self.seen = results, []

    def run_tests(
        self,
        submission: Submission,
        inputs: Sequence[TestInput],
        *,
        limits: Limits,
        stop_early: Callable[[int, ExecResult], bool],
    ) -> list[ExecResult]:
        done = []
        for index, (test, result) in enumerate(zip(inputs, self.results, strict=False)):
            self.seen.append((submission, test, limits))
            done.append(result)
            if stop_early(index, result):
                break
        return done


def result(status: str, stdout: str | bytes = b"", *, info: str = "", stderr: bytes = b"") -> ExecResult:
    data = stdout.encode() if isinstance(stdout, str) else stdout
    return ExecResult(status=status, returncode=0, stdout=data, stderr=stderr, cpu_s=0.0, wall_s=0.0, info=info)


RIGHT = tuple(result("ok", case.expected) for case in CASES)


@pytest.mark.parametrize(
    ("reply", "language", "source"),
    [
        ("```python\na\n```", "python", "a\n"),
        ("```\na\n```", "python", "a\n"),
        ("``` Py \na\n```", "python", "a\n"),
        ("x\n```py\na\n```\ny\n```c++\nb\n```\nz", "cpp", "b\n"),
        ("```cpp\n#include <x>\n```", "cpp", "#include <x>\n"),
        ("~~~python\na\n```\nb\n~~~", "python", "a\n```\nb\n"),
        ("````python\na\n```\nb\n````", "python", "a\n```\nb\n"),
        ("```python\na = '''\n```py\n'''\n```", "python", "a = '''\n```py\n'''\n"),
        ("```python\na", "python", "a\n"),
        ("```python\r\na\r\n```\r\n", "python", "a\r\n"),
        ("  ```python title=x\n  a\n  ```", "python", "  a\n"),
        ("use ``` as a fence\n```python\na\n```", "python", "a\n"),
        ("```python\na\n```\n\nPrints ```a```.", "python", "a\n"),
    ],
)
def test_the_last_fenced_block_is_the_program(reply: str, language: str, source: str) -> None:
    found, text = find_program(reply)
    assert (found, text.rstrip("\n")) == (language, source.rstrip("\n"))


@pytest.mark.parametrize(
    ("reply", "named"),
    [
        ("", "no fenced"),
        ("print(1)", "no fenced"),
        ("`print(1)`", "no fenced"),
        ("```python print(1)```", "no fenced"),
        ("    ```python\n    a\n    ```", "no fenced"),
        ("```python\n\n```", "empty"),
        ("```python\na\n```\n```python", "empty"),
        ("```python\na\n```\n```text\n5\n```", "'text'"),
        ("```java\na\n```", "'java'"),
        ("```python\n" + "a" * 70_000 + "\n```", "bytes"),
        ("```python\n'\ud800'\n```", "surrogate"),
        ("x" * (1 << 20) + "\n```python\na\n```", "characters"),
    ],
)
def test_replies_without_a_program(reply: str, named: str) -> None:
    with pytest.raises(DataError, match=named):
        find_program(reply)
    score = score_reply(Replay(*RIGHT), reply, TRIAL)
    assert (score.value, score.status) == (0.0, "policy_error")


@given(st.text(alphabet="`~ python\n\rc+ab", max_size=80))
def test_arbitrary_fences_never_raise_anything_else(reply: str) -> None:
    try:
        language, source = find_program(reply)
    except DataError:
        return
    assert language in ("python", "cpp")
    assert source.strip()


def test_all_tests_right_is_one() -> None:
    sandbox = Replay(*RIGHT)
    score = score_reply(sandbox, REPLY, TRIAL)
    assert (score.value, score.status, score.info) == (1.0, "ok", "accepted")
    assert [test.stdin for _, test, _ in sandbox.seen] == [b"0\n", b"1\n", b"2\n", b"3\n"]
    assert {submission for submission, _, _ in sandbox.seen} == {PROGRAM}
    assert {limits for _, _, limits in sandbox.seen} == {TRIAL.limits}


def test_functions_get_arguments_and_the_settings_limits() -> None:
    limits = Limits(cpu_s=1.5)
    trial = Trial(cases=(Case(given="[3]", expected="6"),), function="double", judge=Judge(kind="json"), limits=limits)
    sandbox = Replay(result("ok", " 6 "))
    assert score_reply(sandbox, "```\ndef double(x): return 2 * x\n```", trial).value == 1.0
    submission, test, given_limits = sandbox.seen[0]
    assert (submission.function, test.arguments, test.stdin, given_limits) == ("double", "[3]", b"", limits)


@pytest.mark.parametrize(
    ("broken", "verdict", "status"),
    [
        (result("ok", "7"), "wrong_answer", "ok"),
        (result("ok", b"\xff"), "wrong_answer", "ok"),
        (result("ok", ""), "wrong_answer", "ok"),
        (result("nonzero", "2", stderr=b"...\nValueError: x"), "runtime_error", "policy_error"),
        (result("killed", "2"), "runtime_error", "policy_error"),
        (result("timeout_cpu", "2"), "time_limit", "policy_error"),
        (result("timeout_wall", "2"), "time_limit", "policy_error"),
        (result("oom", "2"), "memory_limit", "policy_error"),
        (result("output_limit", "2"), "output_limit", "policy_error"),
        (result("nonzero", info="does not compile"), "compile_error", "policy_error"),
    ],
)
def test_one_bad_test_is_zero_with_its_verdict(broken: ExecResult, verdict: str, status: str) -> None:
    results = (RIGHT[0], broken, *RIGHT[2:])
    sandbox = Replay(*results)
    score = score_reply(sandbox, REPLY, TRIAL)
    assert (score.value, score.status) == (0.0, status)
    assert score.info.startswith(f"{verdict}: test 2 of 4")
    assert len(sandbox.seen) == 2
    assert score_reply(Replay(*results), REPLY, TRIAL, credit="fraction").value == 0.75
    outcome = run_trial(Replay(*results), PROGRAM, TRIAL, stop_early=False)
    assert outcome.verdicts == ("accepted", verdict, "accepted", "accepted")


def test_what_a_program_last_said_is_told() -> None:
    broken = result("nonzero", stderr=b"Traceback\n  line\nValueError: \xff bad\n")
    assert score_reply(Replay(broken), REPLY, TRIAL).info.endswith("ValueError: \ufffd bad")


def test_broken_infrastructure_is_never_zero() -> None:
    infra = result("infra", info="host overloaded")
    for credit in ("all", "fraction"):
        for results in ((infra,), (RIGHT[0], infra), (*RIGHT[:3], infra)):
            with pytest.raises(SandboxError, match="host overloaded"):
                score_reply(Replay(*results), REPLY, TRIAL, credit=credit)
    # Decided before the sandbox broke.
    assert score_reply(Replay(result("ok", "9"), infra), REPLY, TRIAL).value == 0.0


def test_missing_results_are_the_sandboxes_fault() -> None:
    with pytest.raises(SandboxError, match="3 results"):
        score_reply(Replay(*RIGHT[:3]), REPLY, TRIAL)


def test_languages_can_be_refused() -> None:
    reply = "```cpp\nint main() {}\n```"
    score = score_reply(Replay(*RIGHT), reply, TRIAL, languages=("python",))
    assert (score.value, score.status) == (0.0, "policy_error")
    assert "cpp" in score.info
    function = Trial(cases=CASES, function="f")
    assert score_reply(Replay(*RIGHT), reply, function).status == "policy_error"


def test_a_trial_without_tests_is_refused() -> None:
    with pytest.raises(ConfigError, match="cases"):
        Trial(cases=())

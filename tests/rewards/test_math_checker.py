"""The checker around its layers: the second opinion, threads, failures of workers, and nothing heavy imported here."""

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fulmen.errors import ConfigError
from fulmen.rewards import math
from fulmen.rewards.math import MathChecker
from fulmen.rewards.worker import WorkerCrashError, WorkerMemoryError, WorkerRaisedError, WorkerTimeoutError
from tests.rewards.math_tables import checker


def test_module_level_check() -> None:
    assert math.check("0.5", r"\frac{1}{2}").is_equal
    assert not math.check("0.5", r"\frac{1}{3}").is_equal


def test_works_in_threads() -> None:
    pairs = [(rf"\sqrt{{{4 * n}}}", rf"2\sqrt{{{n}}}") for n in range(2, 18)]
    wrong = [(rf"\sqrt{{{4 * n}}}", rf"3\sqrt{{{n}}}") for n in range(2, 18)]
    with ThreadPoolExecutor(4) as threads:
        assert all(verdict.is_equal for verdict in threads.map(lambda pair: checker().check(*pair), pairs))
        assert not any(verdict.is_equal for verdict in threads.map(lambda pair: checker().check(*pair), wrong))


def test_neither_sympy_nor_torch_is_imported_by_the_caller(project_root: Path) -> None:
    script = (
        "import sys; from fulmen.rewards.math import check\n"
        r"assert check(r'\sqrt{8}', r'2\sqrt{2}').is_equal"
        "\nprint([name for name in ('sympy', 'mpmath', 'torch', 'math_verify') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=project_root, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stderr


def test_second_opinion_is_recorded_where_it_differs(tmp_path: Path) -> None:
    pytest.importorskip("math_verify")
    seen: list[dict[str, Any]] = []
    with_callback = MathChecker(on_disagreement=seen.append)
    assert not with_callback.check("0.3333333", "1/3").is_equal, "the second opinion does not decide"
    assert with_callback.check("0.5", r"\frac{1}{2}").is_equal
    assert [(record["answer"], record["is_equal"], record["math_verify"]) for record in seen] == [
        ("0.3333333", False, True)
    ]
    with_callback.on_disagreement = tmp_path / "disagreements.jsonl"
    with_callback.check("0.3333333", "1/3")
    with_callback.check("1/3", "1/3")
    with_callback.check(r"\sqrt{-1}", "i")
    records = [json.loads(line) for line in (tmp_path / "disagreements.jsonl").read_text().splitlines()]
    assert [record["gold"] for record in records] == ["1/3", "i"]
    with_callback.close()


class _FakePool:
    """A pool whose calls fail."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def call(self, *_: Any, **__: Any) -> Any:
        raise self.error


@pytest.mark.parametrize(
    "error",
    [
        WorkerTimeoutError("late", is_cpu=True),
        WorkerMemoryError("full"),
        WorkerCrashError("gone"),
        WorkerRaisedError("raised", kind="RecursionError"),
    ],
)
def test_a_failed_proof_is_no_equality(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    made = MathChecker()
    monkeypatch.setattr(made, "pool", _FakePool(error))
    verdict = made.check(r"\sqrt{8}", r"2\sqrt{2}")
    assert (verdict.is_equal, verdict.layer) == (False, "symbolic")
    assert "not proved equal" in verdict.reason


def test_a_busy_machine_is_not_a_wrong_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    made = MathChecker()
    monkeypatch.setattr(made, "pool", _FakePool(WorkerTimeoutError("late", is_cpu=False)))
    with pytest.raises(WorkerTimeoutError):
        made.check(r"\sqrt{8}", r"2\sqrt{2}")


def test_a_missing_math_verify_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    made = MathChecker(on_disagreement=lambda record: None)
    monkeypatch.setattr(made, "pool", _FakePool(WorkerRaisedError("no", kind="ModuleNotFoundError")))
    with pytest.raises(ConfigError, match="pip install math-verify"):
        made.check("1", "2")


def test_a_bad_limit_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"cpu_s: 0\.0; allowed"):
        MathChecker(cpu_s=0.0)


def test_verdicts_are_the_same_in_every_thread_and_run() -> None:
    found: list[bool] = []
    lock = threading.Lock()

    def check() -> None:
        verdict = checker().check(r"\cos 36^\circ", r"\frac{1+\sqrt{5}}{4}")
        with lock:
            found.append(verdict.is_equal)

    threads = [threading.Thread(target=check) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 4

"""The order of backends, what each promises here, and that the weaker ones hold what they say."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from fulmen.errors import SandboxError
from fulmen.sandbox import Limits, Sandbox, Submission, TestInput, open_sandbox, probe
from fulmen.sandbox import bubblewrap as bubblewrap_module
from fulmen.sandbox.bubblewrap import Bubblewrap, find_launchers
from fulmen.sandbox.cpp import Store
from fulmen.sandbox.execute import LaunchedSandbox
from fulmen.sandbox.launch import classify
from fulmen.sandbox.plain import open_plain
from tests.sandbox.hostile import CANARY, CONTAINED, HOSTILE, PRELUDE, Hostile

LIMITS = Limits(cpu_s=1.0, wall_s=8.0, memory_bytes=96 << 20)
# Held by a control group alone: files and memory files are in no process's count.
NEEDS_GROUP = {"memory_bomb_in_memfd", "eight_hogs", "inode_bomb", "busy_children_unwaited", "deep_recursion"}
ELSEWHERE = {"memory_bomb": ("nonzero", "oom"), "stack_overflow": ("killed", "oom", "nonzero")}


@pytest.fixture(scope="module")
def without_groups(sandbox: Sandbox) -> LaunchedSandbox:
    """Returns bubblewrap as it is where no control group can be made."""
    assert isinstance(sandbox, LaunchedSandbox)
    assert isinstance(sandbox.launcher, Bubblewrap)
    return LaunchedSandbox(replace(sandbox.launcher, hierarchy=None), name="without groups", guarantees=())


def test_strongest_comes_first(sandbox: Sandbox) -> None:
    """Control groups before none, none before no isolation; where we are root it runs as somebody else."""
    names = [report.name for report in probe()]
    order = ["bubblewrap", "bubblewrap without control groups", "unsafe plain subprocess"]
    assert [name for name in order if name in names] == sorted(set(names), key=names.index)
    assert names[-1] == order[-1]
    if os.geteuid() == 0 and bubblewrap_module.CHROOT:
        assert "user of its own" in sandbox.guarantees


def test_reports_are_one_line() -> None:
    """Each says whether it works and what it holds."""
    for report in probe():
        assert "\n" not in report.line()
        assert (", ".join(report.guarantees) in report.line()) is report.works


def test_no_backend_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what was tried and what to install; the unsafe one comes only when asked for."""
    monkeypatch.setattr("fulmen.sandbox.backends.find_launchers", list)
    with pytest.raises(SandboxError, match=r"Tried: bubblewrap does not work: not found.*Install: apt install"):
        open_sandbox()
    assert open_sandbox(allow_unsafe=True).name == "unsafe plain subprocess"


def test_broken_launcher_is_infra(sandbox: Sandbox, tmp_path: Path) -> None:
    """A launcher that fails says nothing about the program, neither alone nor for tests."""
    assert isinstance(sandbox, LaunchedSandbox)
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho broken >&2\nexit 1\n")
    broken.chmod(0o755)
    tmp_path.chmod(0o755)
    launcher = replace(sandbox.launcher, path=broken, drops_user=False)
    result = LaunchedSandbox(launcher, name="broken", guarantees=()).run(["true"], limits=LIMITS)
    assert result.status == "infra"
    submission = Submission(language="python", source="print(1)")
    results = LaunchedSandbox(launcher, name="broken", guarantees=()).run_tests(submission, [TestInput()] * 2)
    assert [result.status for result in results] == ["infra"] * 2


def test_every_launcher_works(sandbox: Sandbox) -> None:
    """The system's bubblewrap and the package's."""
    assert isinstance(sandbox, LaunchedSandbox)
    for path in find_launchers():
        launcher = replace(sandbox.launcher, path=path)
        result = LaunchedSandbox(launcher, name=str(path), guarantees=()).run(["/bin/echo", "a"], limits=LIMITS)
        assert (result.status, result.stdout) == ("ok", b"a\n"), path


@pytest.mark.parametrize(
    "hostile", [one for one in HOSTILE if one.name not in NEEDS_GROUP], ids=lambda hostile: hostile.name
)
@pytest.mark.slow
def test_contained_without_groups(
    without_groups: LaunchedSandbox, hostile: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Limits per process and the watcher hold what they can."""
    monkeypatch.setenv(CANARY, "1")
    result = without_groups.run(["python3", "-I", "-S", "-c", PRELUDE + hostile.source], limits=LIMITS)
    assert result.status in ELSEWHERE.get(hostile.name, hostile.ends), result
    assert result.status != "ok" or result.stdout == CONTAINED, result


def test_watcher_bounds_memory_of_all(without_groups: LaunchedSandbox) -> None:
    """Four processes of 40 MiB are over 96 MiB, though no one of them is."""
    source = "import os, time\nfor _ in range(2): os.fork()\nx = bytearray(40 << 20)\ntime.sleep(5)"
    result = without_groups.run(["python3", "-I", "-S", "-c", source], limits=LIMITS)
    assert result.status == "oom", result


def test_tests_without_groups(without_groups: LaunchedSandbox) -> None:
    """The zygote's own limits need no control group."""
    source = "n = int(input())\nx = bytearray(n << 20)\nwhile n == 2: pass\nprint(n)"
    inputs = [TestInput(stdin=stdin) for stdin in (b"1", b"2", b"1000", b"3")]
    results = without_groups.run_tests(
        Submission(language="python", source=source), inputs, limits=replace(LIMITS, cpu_s=0.4)
    )
    assert [result.status for result in results] == ["ok", "timeout_cpu", "nonzero", "ok"]
    assert b"MemoryError" in results[2].stderr


def test_plain_runs_programs_and_tests() -> None:
    """No isolation, the same results, and no folder left."""
    plain = open_plain()
    files = {"a/b": b"x"}
    assert plain.run(["/bin/cat", "a/b", "-"], files=files, stdin=b"y", limits=LIMITS).stdout == b"xy"
    assert plain.run(["/bin/sh", "-c", "kill -11 $$"], limits=LIMITS).returncode == -11
    submission = Submission(language="python", source="def f(x): return x + 1", function="f")
    results = plain.run_tests(submission, [TestInput(arguments=f"[{i}]") for i in range(3)], limits=LIMITS)
    assert [result.stdout for result in results] == [b"1", b"2", b"3"], results
    assert not list(Path("/tmp").glob(f"fulmen-plain-{os.getpid()}-*"))


@pytest.mark.parametrize(("wait_s", "status"), [(0.0, "timeout_wall"), (4.9, "timeout_wall"), (5.1, "infra")])
def test_sleeping_is_not_a_busy_machine(wait_s: float, status: str) -> None:
    """What tells them apart is whether a thread was ready to run and did not get to."""
    found, _ = classify(
        "wall", returncode=None, cpu_s=0.1, wall_s=10.0, wait_s=wait_s, is_oom=False, limits=Limits(wall_s=10.0)
    )
    assert found == status


def test_store_keeps_the_recently_used(tmp_path: Path) -> None:
    """When it is full the least recently used programs go."""
    store = Store(folder=tmp_path / "store", max_bytes=250)
    for i, key in enumerate("abc"):
        store.write(key, key.encode() * 100)
        os.utime(store.folder / key, (i, i)) if key != "c" else None
    assert [store.read(key) for key in "abc"] == [b"", b"b" * 100, b"c" * 100]

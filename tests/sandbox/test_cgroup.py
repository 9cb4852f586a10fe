"""Control groups: found, made, limited, removed, and swept up after a dead owner."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fulmen.sandbox import Limits, cgroup
from fulmen.sandbox.cgroup import Group, Hierarchy, find_hierarchy, is_alive, start_time, sweep

V1 = "5:memory:/mine\n4:cpuacct,cpu:/mine\n3:pids:/\n0::/\n"


def _make(folder: Path, *files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in files:
        (folder / name).touch()
    return folder


@pytest.fixture
def hierarchy() -> Hierarchy:
    """Returns where this machine lets us make groups."""
    found = find_hierarchy()
    if found is None:
        pytest.skip("no control group can be made here")
    return found


def test_candidates_of_version_1(tmp_path: Path) -> None:
    """First below our own groups, then at the top of each hierarchy."""
    for name in ("memory", "pids", "cpuacct"):
        _make(tmp_path / name)
    (tmp_path / "self").write_text(V1)
    own, top = cgroup._candidates(tmp_path, tmp_path / "self")
    assert own == Hierarchy(
        version=1, memory=tmp_path / "memory/mine", pids=tmp_path / "pids", cpu=tmp_path / "cpuacct/mine"
    )
    assert top == Hierarchy(version=1, memory=tmp_path / "memory", pids=tmp_path / "pids", cpu=tmp_path / "cpuacct")


def test_candidates_of_version_2(tmp_path: Path) -> None:
    """Ours, the one above, the top; controllers are switched on for the groups below."""
    own = _make(tmp_path / "user" / "scope", "cgroup.subtree_control")
    for folder in (tmp_path / "user", tmp_path):
        _make(folder, "cgroup.subtree_control")
    (tmp_path / "cgroup.controllers").write_text("memory pids\n")
    (tmp_path / "self").write_text("0::/user/scope\n")
    found = list(cgroup._candidates(tmp_path, tmp_path / "self"))
    assert [hierarchy.memory for hierarchy in found] == [own, tmp_path / "user", tmp_path]
    assert {hierarchy.folders for hierarchy in found} == {(own,), (tmp_path / "user",), (tmp_path,)}
    assert all("+pids" in (folder / "cgroup.subtree_control").read_text() for folder in (own, own.parent, tmp_path))


def test_none_where_nothing_is_mounted(tmp_path: Path) -> None:
    """No guess is made."""
    (tmp_path / "self").write_text("0::/\n")
    assert find_hierarchy(tmp_path, tmp_path / "self") is None
    assert find_hierarchy(tmp_path, tmp_path / "missing") is None


def test_group_counts_and_is_removed(hierarchy: Hierarchy) -> None:
    """A process that enters is seen, its time is counted, and removing kills it."""
    group = Group(hierarchy, Limits())
    enter = " && ".join(f"echo 0 >{path}" for path in group.entrances())
    child = subprocess.Popen(["/bin/sh", "-c", f"{enter} && echo in && while :; do :; done"], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"in\n"
    assert group.pids() == [child.pid]
    while (group.cpu_s() or 0.0) < 0.05:
        assert child.poll() is None
    folders = [path.parent for path in group.entrances()]
    assert all(folder.is_dir() for folder in folders)
    group.remove()
    assert child.wait(timeout=5) == -9
    assert not any(folder.exists() for folder in folders)
    child.stdout.close()


def test_sweep_removes_groups_of_the_dead_alone(hierarchy: Hierarchy) -> None:
    """A process that is killed leaves its group and the group's process; a later one removes both."""
    program = (
        "import os, subprocess, sys, time\n"
        "from fulmen.sandbox import Limits\n"
        "from fulmen.sandbox.cgroup import Group, find_hierarchy\n"
        "group = Group(find_hierarchy(), Limits())\n"
        "enter = ' && '.join(f'echo 0 >{path}' for path in group.entrances())\n"
        "held = subprocess.Popen(['/bin/sh', '-c', enter + ' && echo in && exec sleep 60'], stdout=subprocess.PIPE)\n"
        "held.stdout.readline(); print(held.pid, group.entrances()[0].parent, flush=True); time.sleep(60)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=Path.cwd())
    assert owner.stdout is not None
    held, folder = owner.stdout.readline().split()
    started = start_time(int(held))
    assert started is not None
    mine = Group(hierarchy, Limits())
    sweep(hierarchy)
    assert Path(folder).is_dir()
    owner.kill()
    owner.wait()
    owner.stdout.close()
    assert sweep(hierarchy) >= 1
    assert not Path(folder).exists()
    assert not is_alive(int(held), started) or "zombie" in Path(f"/proc/{held}/status").read_text()
    assert all(path.parent.is_dir() for path in mine.entrances())
    mine.remove()


def test_start_time_tells_processes_apart() -> None:
    """A number that is used again is not taken for the one before."""
    mine = start_time(os.getpid())
    assert mine is not None
    assert is_alive(os.getpid(), mine)
    assert not is_alive(os.getpid(), mine + 1)
    assert start_time(2**22 + 1) is None

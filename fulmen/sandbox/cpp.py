"""C++ programs: compiled inside a sandbox, kept by the hash of their source.

Only this process writes the store; a candidate's own process sees neither it nor any other program in it.
"""

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fulmen.errors import SandboxError
from fulmen.sandbox.base import ExecResult, Limits, Sandbox

FLAGS = ("-O2", "-std=c++17", "-pipe")
COMPILER = "g++"
COMPILE_LIMITS = Limits(
    cpu_s=30.0,
    wall_s=90.0,
    memory_bytes=1 << 30,
    file_bytes=64 << 20,
    disk_bytes=256 << 20,
    output_bytes=32 << 20,
)
_MESSAGE_BYTES = 1 << 14
_SCRIPT = f"{COMPILER} {' '.join(FLAGS)} -o program main.cpp && cat program"


@dataclass(frozen=True, kw_only=True)
class Store:
    """A folder of compiled programs, the least recently used of which go when it is full."""

    folder: Path
    max_bytes: int = 1 << 30

    def read(self, key: str) -> bytes:
        """Returns the program, empty if it is not there."""
        path = self.folder / key
        try:
            program = path.read_bytes()
            os.utime(path)
        except OSError:
            return b""
        return program

    def write(self, key: str, program: bytes) -> None:
        """Keeps a program; a reader sees all of it or nothing."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(dir=self.folder, prefix=".")
        with os.fdopen(handle, "wb") as file:
            file.write(program)
        os.replace(name, self.folder / key)
        self._make_room()

    def _make_room(self) -> None:
        entries = []
        for entry in os.scandir(self.folder):
            try:
                entries.append((entry.stat().st_mtime, entry.stat().st_size, entry.path))
            except FileNotFoundError:
                continue
        num_bytes = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if num_bytes <= self.max_bytes:
                return
            Path(path).unlink(missing_ok=True)
            num_bytes -= size


def default_store() -> Store:
    """Returns the user's store."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Store(folder=Path(root, "fulmen", "cpp"))


def compile_cpp(sandbox: Sandbox, source: str, *, store: Store | None = None) -> bytes | ExecResult:
    """Returns the compiled program, or the result that every test of a source that does not compile gets.

    Raises:
        SandboxError: there is no compiler.
    """
    store = store or default_store()
    text = source.encode("utf-8", "surrogatepass")
    key = hashlib.sha256(b"\0".join((_compiler().encode(), _SCRIPT.encode(), text))).hexdigest()
    if program := store.read(key):
        return program
    result = sandbox.run(["/bin/sh", "-c", _SCRIPT], files={"main.cpp": text}, limits=COMPILE_LIMITS)
    if result.status == "ok":
        store.write(key, result.stdout)
        return result.stdout
    if result.status == "nonzero":
        return does_not_compile(result.stderr[:_MESSAGE_BYTES], wall_s=result.wall_s)
    return ExecResult(
        status=result.status,
        returncode=None,
        stdout=b"",
        stderr=result.stderr[:_MESSAGE_BYTES],
        cpu_s=result.cpu_s,
        wall_s=result.wall_s,
        info=f"while it was compiled: {result.info}",
    )


def does_not_compile(message: bytes, *, wall_s: float) -> ExecResult:
    """Returns the result of every test of a submission that the compiler refuses."""
    return ExecResult(
        status="nonzero", returncode=1, stdout=b"", stderr=message, cpu_s=0.0, wall_s=wall_s, info="does not compile"
    )


@cache
def _compiler() -> str:
    """Returns what tells one compiler from another: where it is, and when it was installed."""
    path = shutil.which(COMPILER, path="/usr/bin:/bin")
    if path is None:
        raise SandboxError(f"C++: no {COMPILER} in /usr/bin or /bin; install it (apt install g++)")
    stat = Path(path).stat()
    return f"{Path(path).resolve()} {stat.st_size} {stat.st_mtime_ns}"

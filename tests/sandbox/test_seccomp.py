"""The filter, interpreted here instruction by instruction, and its numbers against the kernel's headers."""

import errno
import re
import struct
from pathlib import Path

import pytest

from fulmen.errors import SandboxError
from fulmen.sandbox import seccomp

ALLOW, KILL = 0x7FFF0000, 0x80000000
ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}


def _decide(program: bytes, number: int, *arguments: int, arch: int) -> int:
    """Returns what the kernel would do with a system call."""
    data = struct.pack("=iIQ6Q", number, arch, 0, *(arguments + (0,) * 6)[:6])
    codes = list(struct.iter_unpack("=HBBI", program))
    place = accumulator = 0
    while True:
        code, if_true, if_false, constant = codes[place]
        place += 1
        if code == 0x06:
            return constant
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, constant)
            continue
        holds = {0x15: accumulator == constant, 0x35: accumulator >= constant, 0x45: bool(accumulator & constant)}[code]
        place += if_true if holds else if_false


def _refused(code: int) -> int:
    return 0x00050000 | code


@pytest.fixture(params=ARCH)
def machine(request: pytest.FixtureRequest) -> str:
    """Returns each processor in turn."""
    return str(request.param)


def _numbers(machine: str) -> dict[str, int]:
    if not HEADERS[machine].exists():
        pytest.skip(f"no {HEADERS[machine]}")
    text = HEADERS[machine].read_text()
    return {name: int(number) for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text)}


def test_numbers_are_the_kernels(machine: str) -> None:
    """Each denied call has the number that the kernel's header gives it, where the header knows it."""
    known = _numbers(machine)
    column = list(ARCH).index(machine)
    ours = {name: numbers[column] for name, numbers in seccomp._DENIED.items() if name in known}
    assert len(ours) > 50
    assert ours == {name: known[name] for name in ours}


def test_denies_and_allows(machine: str) -> None:
    """What contestants need passes; what is on the list does not; another processor's calls kill."""
    program, known, arch = seccomp.assemble(machine), _numbers(machine), ARCH[machine]
    for name in ("read", "write", "mmap", "execve", "futex", "exit_group", "wait4", "getrandom", "statx", "kill"):
        assert _decide(program, known[name], arch=arch) == ALLOW, name
    for name in ("ptrace", "mount", "bpf", "keyctl", "io_uring_setup", "unshare", "setns", "pidfd_getfd", "shmget"):
        assert _decide(program, known[name], arch=arch) == _refused(errno.EPERM), name
    assert _decide(program, known["read"], arch=0x40000003) == KILL


def test_looks_at_arguments(machine: str) -> None:
    """Namespaces by clone, families of sockets, limits of others, typing into terminals."""
    program, known, arch = seccomp.assemble(machine), _numbers(machine), ARCH[machine]

    def decide(name: str, *arguments: int) -> int:
        return _decide(program, known[name], *arguments, arch=arch)

    assert decide("clone", 0x01200011) == ALLOW
    for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert decide("clone", flag | 17) == _refused(errno.EPERM)
    assert decide("clone3") == _refused(errno.ENOSYS)
    assert [decide("socket", family) == ALLOW for family in (1, 2, 10, 16, 17, 38, 40)] == [True] * 3 + [False] * 4
    assert decide("prlimit64", 0, 7, 0x1000) == ALLOW
    assert decide("prlimit64", 5, 7, 0) == ALLOW
    assert decide("prlimit64", 5, 7, 0x1000) == _refused(errno.EPERM)
    assert decide("prlimit64", 5, 7, 0x7F00_0000_0000) == _refused(errno.EPERM)
    assert decide("ioctl", 0, 0x5401) == ALLOW
    assert decide("ioctl", 0, 0x5412) == decide("ioctl", 0, 0x541C) == _refused(errno.EPERM)


def test_x32_calls_do_not_exist() -> None:
    """The second table of numbers on x86_64 would pass by the list."""
    program = seccomp.assemble("x86_64")
    assert _decide(program, 0x40000000 | 101, arch=ARCH["x86_64"]) == _refused(errno.ENOSYS)


def test_unknown_processor() -> None:
    """The message names it."""
    with pytest.raises(SandboxError, match="'riscv64'"):
        seccomp.assemble("riscv64")

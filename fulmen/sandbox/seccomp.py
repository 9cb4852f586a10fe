"""A seccomp filter, assembled here, that refuses system calls no contestant needs.

A deny list: most programs run unchanged, and what the kernel's namespaces do not hold apart is refused: tracing, keys,
bpf, perf, io_uring, mounts, modules, clocks, System V memory, vsock. Other processes' limits cannot be set either.
Source: linux/filter.h, linux/seccomp.h, and the kernel's tables of system call numbers.
"""

import errno
import platform
import struct
from dataclasses import dataclass

from fulmen.errors import SandboxError

_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_KILL = 0x80000000
# Codes of linux/bpf_common.h: load a word, compare, return.
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
# Offsets in struct seccomp_data; arguments are 64 bits, low word first on both machines.
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16
_X32_BIT = 0x40000000
_NEW_NAMESPACES = 0x7E020000  # CLONE_NEW*: mount, cgroup, uts, ipc, user, pid, network
_FAMILIES = (1, 2, 10)  # AF_UNIX, AF_INET, AF_INET6; vsock would reach the machine's host
_TERMINAL_REQUESTS = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX: type into somebody's terminal

# name: (x86_64, aarch64); None where the machine has no such call.
_DENIED: dict[str, tuple[int | None, int | None]] = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "setns": (308, 268),
    "unshare": (272, 97),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "acct": (163, 89),
    "syslog": (103, 116),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "fanotify_init": (300, 262),
    "lookup_dcookie": (212, 18),
    "vhangup": (153, 58),
    "memfd_secret": (447, 447),
    # Would outlive a test, or hold memory that no process shows.
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    # Would slow down the process that watches.
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274),
    "sched_setaffinity": (203, 122),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
}


@dataclass(frozen=True, kw_only=True)
class _Machine:
    """What differs between processors."""

    audit_arch: int
    column: int
    """Of `_DENIED`."""
    clone: int
    clone3: int
    socket: int
    prlimit64: int
    ioctl: int
    has_x32: bool = False


_MACHINES = {
    "x86_64": _Machine(
        audit_arch=0xC000003E, column=0, clone=56, clone3=435, socket=41, prlimit64=302, ioctl=16, has_x32=True
    ),
    "aarch64": _Machine(audit_arch=0xC00000B7, column=1, clone=220, clone3=435, socket=198, prlimit64=261, ioctl=29),
}

_Code = tuple[int, int, int, int]
"""(code, jump if true, jump if false, constant)."""


def assemble(machine: str | None = None) -> bytes:
    """Returns the filter for a processor (default: this one) as the kernel reads it, 8 bytes per instruction.

    Raises:
        SandboxError: there is no table of system calls for the processor.
    """
    machine = machine or platform.machine()
    if machine not in _MACHINES:
        raise SandboxError(f"seccomp: no filter for processor {machine!r}; there is one for {', '.join(_MACHINES)}")
    cpu = _MACHINES[machine]
    program: list[_Code] = [(_LOAD, 0, 0, _ARCH), (_EQUAL, 1, 0, cpu.audit_arch), (_RETURN, 0, 0, _KILL)]
    program += [(_LOAD, 0, 0, _NUMBER)]
    if cpu.has_x32:
        program += [(_AT_LEAST, 0, 1, _X32_BIT), _refuse(errno.ENOSYS)]
    for numbers in _DENIED.values():
        if (number := numbers[cpu.column]) is not None:
            program += [(_EQUAL, 0, 1, number), _refuse(errno.EPERM)]
    # Its flags lie in memory, where a filter cannot look; the C library then uses clone.
    program += [(_EQUAL, 0, 1, cpu.clone3), _refuse(errno.ENOSYS)]
    program += _for_call(cpu.clone, _no_namespaces())
    program += _for_call(cpu.socket, _only_families())
    program += _for_call(cpu.prlimit64, _only_own_limits())
    program += _for_call(cpu.ioctl, _no_terminal_input())
    program += [(_RETURN, 0, 0, _ALLOW)]
    return b"".join(struct.pack("=HBBI", *code) for code in program)


def _refuse(code: int) -> _Code:
    return (_RETURN, 0, 0, _ERRNO | code)


def _for_call(number: int, body: list[_Code]) -> list[_Code]:
    """Returns `body`, which must end in a return, run for one system call only."""
    assert len(body) < 256, f"a jump over {len(body)} instructions"
    assert body[-1][0] == _RETURN, "runs on into the next call's instructions"
    return [(_EQUAL, 0, len(body), number), *body]


def _load_argument(index: int, *, high: bool = False) -> _Code:
    return (_LOAD, 0, 0, _ARGUMENTS + 8 * index + 4 * high)


def _no_namespaces() -> list[_Code]:
    refuse = _refuse(errno.EPERM)
    return [_load_argument(0), (_ANY_BIT, 0, 1, _NEW_NAMESPACES), refuse, (_RETURN, 0, 0, _ALLOW)]


def _only_families() -> list[_Code]:
    checks: list[_Code] = [
        (_EQUAL, len(_FAMILIES) - i, 0, family) for i, family in enumerate(_FAMILIES)
    ]  # each jumps over the refusal
    return [_load_argument(0), *checks, _refuse(errno.EAFNOSUPPORT), (_RETURN, 0, 0, _ALLOW)]


def _only_own_limits() -> list[_Code]:
    """Refuses a new limit (third argument not null) for any process but the caller (first argument not 0)."""
    return [
        _load_argument(0),
        (_EQUAL, 5, 0, 0),
        _load_argument(2),
        (_EQUAL, 0, 2, 0),
        _load_argument(2, high=True),
        (_EQUAL, 1, 0, 0),
        _refuse(errno.EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]


def _no_terminal_input() -> list[_Code]:
    first, second = _TERMINAL_REQUESTS
    refuse = _refuse(errno.EPERM)
    return [_load_argument(1), (_EQUAL, 1, 0, first), (_EQUAL, 0, 1, second), refuse, (_RETURN, 0, 0, _ALLOW)]

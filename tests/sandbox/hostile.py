"""Programs that try to get out, to take everything, or to stay; each with how its run must end.

A program that is refused everything prints `contained` and ends well; where something gives way it raises, so that its
status is `nonzero`. System calls are named by the kernel's headers, not by the filter under test.
"""

import platform
from dataclasses import dataclass

from fulmen.sandbox import Status

CONTAINED = b"contained\n"
CANARY = "FULMEN_CANARY"
"""Name of a variable that this machine's environment has, and no sandbox."""

# By processor: keyctl, add_key, ... as in <asm/unistd.h>.
_NUMBERS = {
    "x86_64": dict(
        ptrace=101, process_vm_readv=310, keyctl=250, add_key=248, request_key=249, bpf=321, perf_event_open=298,
        userfaultfd=323, io_uring_setup=425, mount=165, umount2=166, pivot_root=155, chroot=161, open_tree=428,
        move_mount=429, fsopen=430, setns=308, unshare=272, clone=56, clone3=435, open_by_handle_at=304,
        kexec_load=246, init_module=175, finit_module=313, swapon=167, reboot=169, settimeofday=164,
        clock_settime=227, sethostname=170, shmget=29, semget=64, msgget=68, mlockall=151, setpriority=141,
        sched_setscheduler=144, pidfd_open=434, pidfd_getfd=438, quotactl=179, acct=163, syslog=103,
    ),
    "aarch64": dict(
        ptrace=117, process_vm_readv=270, keyctl=219, add_key=217, request_key=218, bpf=280, perf_event_open=241,
        userfaultfd=282, io_uring_setup=425, mount=40, umount2=39, pivot_root=41, chroot=51, open_tree=428,
        move_mount=429, fsopen=430, setns=268, unshare=97, clone=220, clone3=435, open_by_handle_at=265,
        kexec_load=104, init_module=105, finit_module=273, swapon=224, reboot=142, settimeofday=170,
        clock_settime=112, sethostname=161, shmget=194, semget=190, msgget=186, mlockall=230, setpriority=140,
        sched_setscheduler=119, pidfd_open=434, pidfd_getfd=438, quotactl=60, acct=89, syslog=116,
    ),
}  # fmt: skip

PRELUDE = f"""\
import ctypes, errno, mmap, os, pathlib, signal, socket, stat, sys, time
NUMBERS = {_NUMBERS.get(platform.machine(), {})}
libc = ctypes.CDLL(None, use_errno=True)
def refused(name, *arguments, code=errno.EPERM):
    result = libc.syscall(NUMBERS.get(name, name), *arguments)
    found = ctypes.get_errno()
    assert (result, found) == (-1, code), f"{{name}} gave {{result}}, {{errno.errorcode.get(found)}}"
def fails(action, *arguments, **options):
    try:
        result = action(*arguments, **options)
    except OSError:
        return
    raise AssertionError(f"{{action}}{{arguments}} gave {{result!r}}")
def spawn(action):
    child = os.fork()
    if child == 0:
        try:
            action()
        finally:
            os._exit(0)
    return child
def contained():
    print("contained", flush=True)
"""


@dataclass(frozen=True, kw_only=True)
class Hostile:
    """One kind of attack."""

    name: str
    source: str
    """Runs after `PRELUDE`."""
    ends: tuple[Status, ...] = ("ok",)
    """How it may end; `ok` only with `contained` printed."""


_REFUSED = {
    "ptrace": "refused('ptrace', 0, 0, 0, 0); refused('ptrace', 16, os.getppid(), 0, 0)",
    "read_memory_of_parent": "refused('process_vm_readv', os.getppid(), 0, 0, 0, 0, 0)",
    "steal_descriptor": "fd = libc.syscall(NUMBERS['pidfd_open'], 1, 0); refused('pidfd_getfd', fd, 1, 0)",
    "keyctl": "refused('keyctl', 0, -3, 1); refused('add_key', b'user', b'a', b'b', 1, -3); "
    "refused('request_key', b'user', b'a', 0, 0)",
    "bpf": "refused('bpf', 0, ctypes.create_string_buffer(128), 128)",
    "perf": "refused('perf_event_open', ctypes.create_string_buffer(128), 0, -1, -1, 0)",
    "userfaultfd": "refused('userfaultfd', 0)",
    "io_uring": "refused('io_uring_setup', 8, ctypes.create_string_buffer(256))",
    "unshare": "[refused('unshare', flag) for flag in (0x10000000, 0x20000, 0x40000000, 0x20000000)]",
    "clone_namespaces": "[refused('clone', flag | 17, 0, 0, 0, 0) for flag in (0x10000000, 0x20000, 0x40000000)]; "
    "refused('clone3', 0, 0, code=errno.ENOSYS)",
    "setns": "refused('setns', os.open('/proc/self/ns/net', os.O_RDONLY), 0)",
    "mount": "refused('mount', b'none', b'/tmp', b'tmpfs', 0, 0); refused('umount2', b'/proc', 2); "
    "refused('pivot_root', b'.', b'.')",
    "new_mount_api": "refused('fsopen', b'tmpfs', 0); refused('open_tree', -100, b'/', 1); "
    "refused('move_mount', -1, b'', -1, b'', 0)",
    "chroot": "refused('chroot', b'/tmp')",
    "open_by_handle": "refused('open_by_handle_at', -100, ctypes.create_string_buffer(64), 0)",
    "kernel_modules": "refused('init_module', 0, 0, b''); refused('finit_module', 0, b'', 0); "
    "refused('kexec_load', 0, 0, 0, 0)",
    "reboot_and_swap": "refused('reboot', 0xfee1dead, 672274793, 0x1234567, 0); refused('swapon', b'/tmp/x', 0); "
    "refused('acct', 0); refused('quotactl', 0, 0, 0, 0)",
    "kernel_log": "refused('syslog', 3, ctypes.create_string_buffer(64), 64); fails(open, '/dev/kmsg')",
    "clock": "refused('settimeofday', ctypes.create_string_buffer(16), 0); "
    "refused('clock_settime', 0, ctypes.create_string_buffer(16))",
    "hostname": "refused('sethostname', b'x', 1)",
    "system_v_memory": "refused('shmget', 0, 1 << 20, 0o1600); refused('semget', 0, 1, 0o1600); "
    "refused('msgget', 0, 0o1600)",
    "priorities": "refused('setpriority', 0, 0, 5); "
    "refused('sched_setscheduler', 0, 1, ctypes.create_string_buffer(64))",
    "mlock": "assert libc.syscall(NUMBERS['mlockall'], 3) == -1; m = mmap.mmap(-1, 1 << 20); "
    "assert libc.mlock(ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(m))), 1 << 20) == -1",
    "socket_families": "[fails(socket.socket, family, kind) for family, kind in "
    "((40, 1), (38, 5), (17, 3), (16, 3), (31, 1), (44, 3))]",
    "limits_of_parent": "import resource; fails(resource.prlimit, 1, resource.RLIMIT_NOFILE, (0, 0)); "
    "resource.prlimit(0, resource.RLIMIT_NOFILE, (20, 20))",
    "raise_own_limits": "import resource\n"
    "for kind in (resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE, resource.RLIMIT_CPU):\n"
    "  soft, hard = resource.getrlimit(kind)\n"
    "  try: resource.setrlimit(kind, (hard + 1, hard + 1))\n"
    "  except ValueError: continue\n"
    "  raise AssertionError(kind)",
    "network": "s = socket.socket(); s.settimeout(1); fails(s.connect, ('192.0.2.1', 80)); "
    "u = socket.socket(type=socket.SOCK_DGRAM); fails(u.sendto, b'x', ('192.0.2.1', 53)); "
    "v = socket.socket(socket.AF_INET6); fails(v.connect, ('2001:db8::1', 80))",
    "dns": "fails(socket.getaddrinfo, 'example.com', 80)",
    "interfaces": "names = open('/proc/net/dev').read().split()\nassert not [n for n in names if n[-1] == ':' "
    "and n != 'lo:'], names",
    "host_files": "seen = set(os.listdir('/')) - {'usr', 'bin', 'sbin', 'lib', 'lib32', 'lib64', 'proc', 'dev', "
    "'tmp', "
    "'run', 'libx32'}\nassert not seen, seen\n"
    "for path in ('/etc/passwd', '/etc/shadow', '/root', '/home', '/var', '/boot', '/sys', '/mnt'): "
    "fails(os.stat, path)",
    "host_files_by_proc": "for path in ('/proc/1/root/etc', '/proc/self/root/etc', '/proc/1/root/root', "
    "'/proc/self/root/..' "
    "'/etc'): fails(os.listdir, path)",
    "environment_of_others": f"for p in pathlib.Path('/proc').glob('[0-9]*/environ'):\n"
    "  try: text = p.read_bytes()\n"
    "  except OSError: continue\n"
    f"  assert b'{CANARY}' not in text, p",
    "processes_of_others": "others = {int(p) for p in os.listdir('/proc') if p.isdecimal()} - {1, os.getpid(), "
    "os.getppid()}\n"
    "assert not others, others",
    "symlinks_out": "for i, target in enumerate(('../' * 40 + 'etc/passwd', '/etc/shadow', '/proc/1/root/etc/passwd', "
    "'/proc/1/cwd/../../etc')):\n"
    "  os.symlink(target, f'link{i}'); fails(open, f'link{i}')",
    "descriptors": "for fd in range(3, 1024):\n  fails(os.write, fd, b'x'); fails(os.fstat, fd)",
    "signal_init": "for number in (9, 15, 19, 11):\n  try: os.kill(1, number)\n  except OSError: "
    "pass\ntime.sleep(0.05)",
    "signal_everybody": "spawn(lambda: time.sleep(9)); os.kill(-1, signal.SIGKILL)",
    "device_nodes": "fails(os.mknod, 'x', 0o600 | stat.S_IFBLK, os.makedev(254, 0)); "
    "fails(os.mknod, 'y', 0o600 | stat.S_IFCHR, os.makedev(1, 1))\n"
    "for name in ('mem', 'kmem', 'port', 'sda', 'vda', 'kvm', 'fuse', 'vsock', 'mapper', 'nvme0', 'tun', 'loop0'): "
    "fails(os.stat, '/dev/' + name)",
    "become_root": "fails(os.setuid, 0); fails(os.setgid, 0); fails(os.setgroups, [0])\n"
    "for status in map(pathlib.Path.read_text, pathlib.Path('/proc').glob('[0-9]*/status')):\n"
    "  assert 'CapEff:\\t0000000000000000' in status and 'NoNewPrivs:\\t1' in status and 'Seccomp:\\t2' in "
    "status, status",
    "setuid_programs": "import subprocess\n"
    "for root in ('/usr/bin', '/usr/sbin', '/usr/lib'):\n"
    "  for entry in os.scandir(root):\n"
    "    if entry.is_file() and entry.stat().st_mode & stat.S_ISUID and entry.name in ('su', 'mount', 'umount', "
    "'newgrp'):\n"
    "      assert subprocess.run([entry.path, '/x'], stdin=subprocess.DEVNULL, capture_output=True).returncode != 0\n"
    "assert os.statvfs('/usr').f_flag & os.ST_NOSUID and os.statvfs('/tmp').f_flag & os.ST_NOSUID",
    "chmod": "fails(os.chmod, '/usr/bin/env', 0o4777); fails(os.chmod, '/', 0o777); fails(os.chown, '/tmp', 0, 0)",
    "write_system": "for path in ('/usr/x', '/x', '/dev/x', '/run/x', '/usr/bin/x', '/proc/x'): fails(open, "
    "path, 'w')\n"
    "fails(os.unlink, '/usr/bin/env'); fails(os.rename, '/usr/bin', '/usr/nib'); fails(os.mkdir, '/new')",
    "kernel_settings": "for name in ('kernel/core_pattern', 'kernel/hostname', 'vm/drop_caches', "
    "'user/max_user_namespaces', "
    "'kernel/ns_last_pid'):\n  fails(pathlib.Path('/proc/sys', name).write_text, '1')\n"
    "fails(pathlib.Path('/proc/sysrq-trigger').write_text, 'b')",
    "terminal": "import fcntl\nfails(open, '/dev/tty')\n"
    "fd = os.open('/dev/ptmx', os.O_RDWR | os.O_NOCTTY); fails(fcntl.ioctl, fd, 0x5412, b'x')",
    "many_files_open": "handles = []\ntry:\n  while len(handles) < 1000: handles.append(open('/dev/null'))\n"
    "except OSError: pass\nassert len(handles) < 100, len(handles)",
    "file_bomb": "def write():\n  with open('big', 'wb') as file:\n"
    "    for _ in range(100): file.write(b'x' * (1 << 20)); file.flush()\n"
    "fails(write)",
    "sparse_file": "fails(os.truncate, os.open('s', os.O_CREAT | os.O_RDWR), 1 << 40); "
    "fails(os.posix_fallocate, os.open('t', os.O_CREAT | os.O_RDWR), 0, 1 << 40)",
    "thread_bomb": "import threading\nthreads = []\ntry:\n"
    "  while len(threads) < 500:\n"
    "    threads.append(threading.Thread(target=time.sleep, args=(60,), daemon=True)); threads[-1].start()\n"
    "except RuntimeError: pass\nassert len(threads) < 60, len(threads)\ncontained(); os._exit(0)",
    "huge_mapping": "try: m = mmap.mmap(-1, 1 << 46)\nexcept (OSError, MemoryError, ValueError): pass\n"
    "else: raise AssertionError('64 TiB')",
    "working_folder_goes": "os.rmdir(os.getcwd()); fails(os.getcwd); os.chdir('/tmp'); os.mkdir('work'); "
    "os.rename('work', 'krow'); os.symlink('/usr', 'work')",
    "working_folder_races": "def race():\n  for _ in range(2000):\n    os.rename('/tmp/a', '/tmp/b'); "
    "os.symlink('/etc', '/tmp/a')\n"
    "    os.unlink('/tmp/a'); os.rename('/tmp/b', '/tmp/a')\n"
    "os.mkdir('/tmp/a'); child = spawn(race)\n"
    "for _ in range(2000):\n"
    "  try: raise AssertionError(os.listdir('/tmp/a/passwd'))\n"
    "  except OSError: pass\n"
    "os.waitpid(child, 0)",
    "zombie_swarm": "for _ in range(20): spawn(lambda: None)\ntime.sleep(0.05)",
    "daemon": "def stay():\n  os.setsid(); signal.signal(15, signal.SIG_IGN); signal.signal(1, signal.SIG_IGN)\n"
    "  spawn(lambda: time.sleep(600)); time.sleep(600)\n"
    "spawn(stay); time.sleep(0.05)",
    "closed_streams": "contained(); [os.close(fd) for fd in (0, 1, 2)]; os._exit(0)",
    "eight_hogs": "children = [spawn(lambda: (bytearray(60 << 20), time.sleep(0.5))) for _ in range(8)]\n"
    "codes = [os.waitpid(child, 0)[1] for child in children]\nassert 9 in codes, codes",
    "memory_file_in_shm": "def fill():\n  for i in range(64): pathlib.Path(f'/dev/shm/{i}').write_bytes(b'x' * "
    "(1 << 20))\n"
    "fails(fill)",
    "exec_from_shm": "import subprocess\npathlib.Path('/tmp/x').write_text('#!/bin/sh\\nid -u\\n'); "
    "os.chmod('/tmp/x', 0o6755)\n"
    "assert subprocess.run(['/tmp/x'], capture_output=True).stdout == b'65534\\n'",
}

_ENDS: tuple[Hostile, ...] = (
    Hostile(name="fork_bomb", source="while True:\n  try: os.fork()\n  except OSError: pass", ends=("timeout_cpu",)),
    Hostile(
        name="fork_bomb_asleep",
        source="while True:\n  try: os.fork()\n  except OSError: time.sleep(60)",
        ends=("timeout_wall",),
    ),
    Hostile(name="memory_bomb", source="x = []\nwhile True: x.append(bytearray(1 << 22))", ends=("oom",)),
    Hostile(
        name="memory_bomb_in_memfd",
        source="fd = os.memfd_create('x')\nfor i in range(40):\n  fd = os.memfd_create('x')\n"
        "  for _ in range(15): os.write(fd, b'x' * (1 << 20))",
        ends=("oom",),
    ),
    Hostile(
        name="disk_bomb",
        source="for i in range(100):\n  pathlib.Path(str(i)).write_bytes(b'x' * (1 << 22))",
        ends=("nonzero", "oom"),
    ),
    Hostile(
        name="inode_bomb",
        source="i = 0\nwhile True:\n  i += 1\n  os.close(os.open(f'{i:0>200}', os.O_CREAT))",
        ends=("oom", "nonzero", "timeout_cpu"),
    ),
    Hostile(name="stdout_flood", source="while True: os.write(1, b'x' * 65536)", ends=("output_limit",)),
    Hostile(name="stderr_flood", source="while True: os.write(2, b'x' * 65536)", ends=("output_limit",)),
    Hostile(
        name="flood_by_daemon",
        source="def flood():\n  os.setsid()\n  while True: os.write(1, b'x' * 65536)\nspawn(flood); time.sleep(60)",
        ends=("output_limit",),
    ),
    Hostile(
        name="deep_recursion",
        source="sys.setrecursionlimit(1 << 30)\ndef f(n): return f(n + 1) + 1\nf(0)",
        ends=("oom", "killed", "timeout_cpu"),
    ),
    Hostile(
        name="stack_overflow",
        source="sys.setrecursionlimit(1 << 30)\nx = []\nfor _ in range(2_000_000): x = [x]\nrepr(x)",
        ends=("killed", "oom"),
    ),
    Hostile(name="kill_self", source="os.kill(os.getpid(), 9)", ends=("killed",)),
    Hostile(name="stop_self", source="os.kill(os.getpid(), 19)", ends=("timeout_wall",)),
    Hostile(name="segfault", source="ctypes.string_at(8)", ends=("killed",)),
    Hostile(name="busy", source="while True: pass", ends=("timeout_cpu",)),
    Hostile(
        name="busy_ignoring_signals",
        source="for n in range(1, 65):\n  try: signal.signal(n, signal.SIG_IGN)\n  except (OSError, "
        "ValueError): pass\n"
        "while True: pass",
        ends=("timeout_cpu",),
    ),
    Hostile(
        name="busy_children_unwaited",
        source="signal.signal(signal.SIGCHLD, signal.SIG_IGN)\ndef work():\n  while time.process_time() < 0.2: pass\n"
        "while True:\n  try: spawn(work)\n  except OSError: time.sleep(0.01)",
        ends=("timeout_cpu",),
    ),
    Hostile(name="asleep", source="time.sleep(600)", ends=("timeout_wall",)),
    Hostile(
        name="asleep_without_streams", source="[os.close(fd) for fd in (0, 1, 2)]; "
        "time.sleep(600)", ends=("timeout_wall",)
    ),
    Hostile(name="deadlock", source="import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()",
            ends=("timeout_wall",)),
    Hostile(
        name="forged_verdict",
        source="print('contained'); print('{\"status\": \"ok\", \"returncode\": 0, \"exit-code\": 0}')\n"
        "for fd in range(64):\n  try: os.write(fd, b'{ \"exit-code\": 0 }\\n')\n  except OSError: pass\nos._exit(3)",
        ends=("nonzero",),
    ),
)  # fmt: skip

_X86 = (
    Hostile(name="x32_calls", source="refused(0x40000000 | 39, code=errno.ENOSYS)\ncontained()"),
    Hostile(
        name="calls_of_32_bits",
        source="code = mmap.mmap(-1, 4096, prot=7); code.write(bytes([0xB8, 20, 0, 0, 0, 0xCD, 0x80, 0xC3]))\n"
        "ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()",
        ends=("killed",),
    ),
)

HOSTILE: tuple[Hostile, ...] = (
    *(Hostile(name=name, source=f"{source}\ncontained()") for name, source in _REFUSED.items()),
    *_ENDS,
    *(_X86 if platform.machine() == "x86_64" else ()),
)

"""Submissions that try to pass without solving: nothing they do reaches the channel on which results travel."""

import hashlib
import secrets
from dataclasses import replace

import pytest

from fulmen.sandbox import ExecResult, Limits, Sandbox, Submission, TestInput, cpp

SHORT = Limits(cpu_s=1.0, wall_s=6.0, memory_bytes=96 << 20)
NONCE = hashlib.sha256(b"a value that occurs nowhere else").digest()[:16]
RIGHT = TestInput(arguments='["right"]')
ANSWER = b'"right"'

PRELUDE = "import ctypes, os, resource, signal, sys, time\nlibc = ctypes.CDLL(None, use_errno=True)\n"

# Each runs as the body of `f(x)` when x is "wrong" and must leave the sandbox able to run the next test.
UNDISTURBED = {
    "kill_parent": "for n in (9, 19, 15, 11, 2):\n  try: os.kill(1, n)\n  except OSError: pass\ntime.sleep(0.05)",
    "kill_group_and_session": "for n in (0, 1): \n  try: os.killpg(n or 1, 9) if n else None\n  except OSError: pass",
    "limit_parent": "try: resource.prlimit(1, resource.RLIMIT_NOFILE, (0, 0))\nexcept PermissionError: pass\n"
    "else: return 'set'",
    "look_into_parent": "for name in ('mem', 'fd', 'environ', 'maps', 'stack', 'fdinfo'):\n"
    "  try: (os.listdir if name.startswith('fd') else open)(f'/proc/1/{name}')\n"
    "  except PermissionError: continue\n  return name",
    "attach_to_parent": "return [libc.ptrace(16, 1, 0, 0), libc.ptrace(0x4206, 1, 0, 0)]",
    "write_everywhere": "for fd in list(range(4, 600)):\n  try: os.write(fd, b'\"right\"')\n"
    "  except OSError: continue\n  return fd",
    "write_to_stdin_and_beyond": "for p in os.listdir('/proc/self/fd'):\n"
    "  try: open(f'/proc/self/fd/{p}', 'wb', 0).write(b'')\n"
    "  except OSError: pass",
    "stay_behind": "if os.fork() == 0:\n  os.setsid(); signal.signal(15, 1)\n  if os.fork() == 0:\n"
    "    while True: time.sleep(9)\n"
    "  os._exit(0)",
    "leave_files": "for i in range(50): open(f'/tmp/{i}', 'w').write('x')\nos.chmod('.', 0)",
    "leave_thousands_of_files": "for i in range(3000): open(f'/tmp/{i}', 'w').close()",
    "leave_deep_folders": "for _ in range(300): os.mkdir('d' * 200); os.chdir('d' * 200)",
    "leave_work_as_link": "os.chdir('/tmp'); os.rmdir('work'); os.symlink('/usr', 'work')",
    "patch_the_runner": "import json\njson.dumps = lambda *a, **k: '7'\nfor m in list(sys.modules.values()):\n"
    "  for k in ('send_frame', '_end', '_clean', 'read_exactly'):\n    if hasattr(m, k): setattr(m, k, None)",
}

# Each as the whole body; how the test may end, and it is never a pass.
DISTURBED = {
    "exit_0": ("os._exit(0)", {"nonzero"}),
    "sys_exit_0": ("sys.exit(0)", {"nonzero"}),
    "exit_in_atexit": ("import atexit\natexit.register(os._exit, 0)\nraise ValueError", {"nonzero"}),
    "exec_true": ("os.execv('/usr/bin/true', ['true'])", {"nonzero"}),
    "result_that_is_not_json": ("return {1, 2}", {"nonzero"}),
    "result_for_ever": ("while True: os.write(3, b'1' * 65536)", {"output_limit"}),
    "print_for_ever": ("while True: print('right' * 1000)", {"output_limit"}),
    "stop": ("os.kill(os.getpid(), 19)", {"timeout_wall"}),
    "fork_bomb": ("while True:\n  try: os.fork()\n  except OSError: pass", {"timeout_cpu", "killed"}),
    "memory_bomb": ("x = []\nwhile True: x.append(bytearray(1 << 22))", {"oom"}),
    "memory_bombs": ("for _ in range(20): os.fork()\nx = []\nwhile True: x.append(bytearray(1 << 22))",
                     {"oom", "killed", "nonzero"}),
    "busy": ("while True: pass", {"timeout_cpu"}),
    "busy_for_a_while_then_well": ("while time.process_time() < 0.45: pass\nreturn 'right'", {"timeout_cpu"}),
    "kill_everybody": ("os.fork(); os.kill(-1, 9); os.kill(os.getpid(), 9)", {"killed"}),
}  # fmt: skip


def _submission(body: str) -> Submission:
    lines = "\n".join("    " + line for line in body.splitlines())
    source = f"{PRELUDE}def attack():\n{lines}\ndef f(x):\n  if x == 'right': return x\n  return attack()\n"
    return Submission(language="python", source=source, function="f")


def _run(sandbox: Sandbox, body: str, limits: Limits = SHORT) -> list[ExecResult]:
    """Returns the results of an attack and of the harmless test after it."""
    return sandbox.run_tests(_submission(body), [TestInput(arguments='["wrong"]'), RIGHT], limits=limits)


@pytest.mark.parametrize("name", UNDISTURBED)
def test_attack_has_no_effect(sandbox: Sandbox, name: str) -> None:
    """The attack gets nothing, and the next test runs as if nothing had been."""
    attacked, after = _run(sandbox, UNDISTURBED[name])
    expected = b"[-1, -1]" if name == "attach_to_parent" else b"null"
    assert (attacked.status, attacked.stdout) == ("ok", expected), attacked
    assert (after.status, after.stdout) == ("ok", ANSWER), after


@pytest.mark.parametrize("name", DISTURBED)
def test_attack_is_no_pass(sandbox: Sandbox, name: str) -> None:
    """The attack ends as foreseen, and the next test is right."""
    body, ends = DISTURBED[name]
    limits = replace(SHORT, wall_s=0.7) if ends == {"timeout_wall"} else replace(SHORT, cpu_s=0.4)
    attacked, after = _run(sandbox, body, limits)
    assert attacked.status in ends, attacked
    assert (after.status, after.stdout) == ("ok", ANSWER), after


def test_no_memory_holds_the_nonce(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that looks through all of its own memory finds what it was sent, but not the nonce of its test."""
    monkeypatch.setattr(secrets, "token_bytes", lambda size: NONCE[:size])
    # The child gets both with all bits turned, so that its looking puts neither into its memory.
    turned = bytes(255 - byte for byte in range(256))
    marker = b"marker of this test"
    source = (
        "import sys\n"
        "turn = bytes(255 - b for b in range(256))\n"
        "wanted, marker = (bytes.fromhex(line) for line in sys.stdin.read().split()[:2])\n"
        "found = [0, 0]\n"
        "memory = open('/proc/self/mem', 'rb', 0)\n"
        "for line in open('/proc/self/maps').readlines():\n"
        "  if 'r' not in line.split()[1] or '[v' in line: continue\n"
        "  start, end = (int(x, 16) for x in line.split()[0].split('-'))\n"
        "  try: memory.seek(start); data = memory.read(end - start).translate(turn)\n"
        "  except (OSError, OverflowError, ValueError): continue\n"
        "  found = [found[0] + data.count(wanted), found[1] + data.count(marker)]\n"
        "print(found[0], found[1] > 0)\n"
    )
    stdin = NONCE.translate(turned).hex() + "\n" + marker.translate(turned).hex() + "\n"
    submission = Submission(language="python", source=f"held = {marker!r}\n{source}")
    limits = Limits(cpu_s=10.0, wall_s=30.0)
    results = sandbox.run_tests(submission, [TestInput(stdin=stdin.encode())] * 2, limits=limits)
    assert [result.stdout for result in results] == [b"0 True\n"] * 2, results


def test_compiler_gets_no_secret(sandbox: Sandbox) -> None:
    """A source that includes a file of this machine finds none."""
    source = '#include "/etc/passwd"\nint main() {}'
    (result,) = sandbox.run_tests(Submission(language="cpp", source=source), [TestInput()], limits=SHORT)
    assert (result.status, result.info) == ("nonzero", "does not compile")
    assert b"No such file" in result.stderr


def test_compiler_that_never_ends(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that takes all memory is the submission's fault."""
    monkeypatch.setattr(cpp, "COMPILE_LIMITS", replace(cpp.COMPILE_LIMITS, memory_bytes=160 << 20))
    (result,) = sandbox.run_tests(
        Submission(language="cpp", source='#include "/dev/zero"\nint main() {}'), [TestInput()], limits=SHORT
    )
    assert result.status in ("nonzero", "oom"), result
    assert "compile" in result.info


def test_cpp_cannot_disturb(sandbox: Sandbox) -> None:
    """A compiled program has three descriptors, and no hold on its parent."""
    source = (
        "#include <signal.h>\n#include <stdio.h>\n#include <unistd.h>\n#include <sys/ptrace.h>\n"
        'int main() { int n = 0; for (int fd = 0; fd < 1024; fd++) n += write(fd, "", 0) == 0 || dup(fd) > 2;\n'
        "kill(1, SIGKILL); kill(1, SIGSTOP); long p = ptrace(PTRACE_ATTACH, 1, 0, 0); kill(-1, SIGKILL);\n"
        'printf("%ld %d\\n", p, getppid()); }'
    )
    results = sandbox.run_tests(Submission(language="cpp", source=source), [TestInput()] * 2, limits=SHORT)
    assert [(result.status, result.stdout) for result in results] == [("ok", b"-1 1\n")] * 2, results

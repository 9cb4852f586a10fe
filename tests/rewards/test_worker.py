"""The worker pool: whatever a function does, its caller gets the right kind of error and the next call works."""

import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fulmen.errors import ConfigError, DataError
from fulmen.rewards.worker import (
    MIB,
    WorkerCrashError,
    WorkerError,
    WorkerMemoryError,
    WorkerPool,
    WorkerRaisedError,
    WorkerTimeoutError,
)

HERE = "tests.rewards.worker_functions"
AMPLE_S = 30.0


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch, project_root: Path) -> None:
    monkeypatch.syspath_prepend(str(project_root))


@pytest.fixture(scope="module")
def shared_pool() -> Iterator[WorkerPool]:
    with WorkerPool(num_workers=2, memory_bytes=256 * MIB) as made:
        yield made


@pytest.fixture
def pool(shared_pool: WorkerPool) -> Iterator[WorkerPool]:
    yield shared_pool
    assert shared_pool.call(f"{HERE}:add", 2, 3, timeout_s=AMPLE_S) == 5, "the pool must work after every test"


def is_gone(process_id: int) -> bool:
    """True where no such process is left, zombies included."""
    for _ in range(200):
        try:
            stat = Path(f"/proc/{process_id}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return True
        # A grandchild's zombie belongs to init, which reaps it when it gets to it.
        if stat.rpartition(")")[2].split()[0] == "Z" and int(stat.rpartition(")")[2].split()[1]) != os.getpid():
            return True
        time.sleep(0.01)
    return False


def children() -> set[int]:
    return {int(pid) for pid in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()}


def test_returns_json_values(pool: WorkerPool) -> None:
    value = {"text": "é\ud800\U0001f600", "list": [1, 2.5, None, True], "big": 10**100}
    assert pool.call(f"{HERE}:echo", value, timeout_s=AMPLE_S) == value
    assert pool.call("math:gcd", 12, 18, timeout_s=AMPLE_S) == 6


def test_large_arguments_and_results(pool: WorkerPool) -> None:
    text = "x" * (3 * MIB)
    assert pool.call(f"{HERE}:echo", text, timeout_s=AMPLE_S) == text


@pytest.mark.parametrize(
    ("function", "args", "expected", "says"),
    [
        ("spin_in_python", (), WorkerTimeoutError, "0.3 s"),
        ("spin_in_c", (), WorkerTimeoutError, "0.3 s"),
        ("sleep", (60,), WorkerTimeoutError, "0.3 s"),
        ("leave", (0,), WorkerCrashError, "ended with 0"),
        ("leave", (7,), WorkerCrashError, "ended with 7"),
        ("kill_itself", (), WorkerCrashError, "ended with -9"),
        ("fail", ("some key",), WorkerRaisedError, "KeyError: 'some key'"),
        ("leave_politely", (), WorkerRaisedError, "SystemExit: 3"),
        ("unserialisable", (), WorkerRaisedError, "TypeError: Object of type set"),
        ("missing", (), WorkerRaisedError, "AttributeError"),
        ("add", (1,), WorkerRaisedError, "TypeError"),
    ],
)
def test_bad_functions(
    pool: WorkerPool, function: str, args: tuple[Any, ...], expected: type[WorkerError], says: str
) -> None:
    timeout_s = 0.3 if expected is WorkerTimeoutError else AMPLE_S
    started = time.monotonic()
    with pytest.raises(expected, match=says):
        pool.call(f"{HERE}:{function}", *args, timeout_s=timeout_s)
    assert time.monotonic() - started < AMPLE_S


def test_memory_bomb(pool: WorkerPool) -> None:
    with pytest.raises(WorkerMemoryError, match="more memory"):
        pool.call(f"{HERE}:eat_memory", timeout_s=AMPLE_S)


def test_processor_time_is_its_own_limit(pool: WorkerPool) -> None:
    assert pool.call(f"{HERE}:sleep", 0.3, timeout_s=AMPLE_S, cpu_s=0.2) == 0.3
    for function in ("spin_in_python", "spin_in_c"):
        started = time.monotonic()
        with pytest.raises(WorkerTimeoutError, match="processor time"):
            pool.call(f"{HERE}:{function}", timeout_s=AMPLE_S, cpu_s=0.2)
        assert time.monotonic() - started < AMPLE_S


def test_missing_module_is_raised(pool: WorkerPool) -> None:
    with pytest.raises(WorkerRaisedError, match="ModuleNotFoundError") as caught:
        pool.call("fulmen.rewards.no_such_module:f", timeout_s=AMPLE_S)
    assert caught.value.kind == "ModuleNotFoundError"


def test_prints_do_not_disturb_the_protocol(pool: WorkerPool) -> None:
    assert pool.call(f"{HERE}:talk", timeout_s=AMPLE_S) == ""


def test_a_worker_is_reused_and_starts_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FULMEN_SECRET", "sesame")
    with WorkerPool(num_workers=1) as pool:
        pids = {pool.call(f"{HERE}:pid", timeout_s=AMPLE_S) for _ in range(3)}
        assert len(pids) == 1
        assert pids != {os.getpid()}
        loaded = pool.call(f"{HERE}:modules", timeout_s=AMPLE_S)
        assert not {"torch", "numpy", "pytest", "fulmen"} & set(loaded)
        found = pool.call(f"{HERE}:environment", timeout_s=AMPLE_S)
        assert "FULMEN_SECRET" not in found
        assert found["PYTHONHASHSEED"] == "0"


def test_a_worker_that_raised_is_kept_and_one_that_failed_is_replaced() -> None:
    with WorkerPool(num_workers=1) as pool:
        first = pool.call(f"{HERE}:pid", timeout_s=AMPLE_S)
        with pytest.raises(WorkerRaisedError):
            pool.call(f"{HERE}:fail", "x", timeout_s=AMPLE_S)
        assert pool.call(f"{HERE}:pid", timeout_s=AMPLE_S) == first
        with pytest.raises(WorkerTimeoutError):
            pool.call(f"{HERE}:sleep", 60, timeout_s=0.1)
        assert is_gone(first)
        assert pool.call(f"{HERE}:pid", timeout_s=AMPLE_S) != first


def test_a_worker_is_replaced_after_max_calls() -> None:
    with WorkerPool(num_workers=1, max_calls=5) as pool:
        pids = [pool.call(f"{HERE}:pid", timeout_s=AMPLE_S) for _ in range(9)]
        assert len(set(pids)) >= 2
        assert all(is_gone(pid) for pid in set(pids) - {pids[-1]})


def test_200_calls_from_8_threads(pool: WorkerPool) -> None:
    def call(index: int) -> tuple[int, int]:
        return pool.call(f"{HERE}:add", index, 1000, timeout_s=AMPLE_S), pool.call(f"{HERE}:pid", timeout_s=AMPLE_S)

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(call, range(200)))
    assert [total for total, _ in found] == [index + 1000 for index in range(200)]
    assert len({pid for _, pid in found}) <= 2, "never more processes than num_workers"


def test_failures_among_threads_stay_with_their_callers(pool: WorkerPool) -> None:
    def call(index: int) -> object:
        try:
            if index % 5 == 0:
                return pool.call(f"{HERE}:leave", index, timeout_s=AMPLE_S)
            return pool.call(f"{HERE}:echo", index, timeout_s=AMPLE_S)
        except WorkerCrashError as error:
            return str(error)

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(call, range(20)))
    for index, result in enumerate(found):
        assert result == (f"{HERE}:leave: the worker ended with {index}" if index % 5 == 0 else index)


def test_warm_up_starts_every_worker() -> None:
    before = children()
    with WorkerPool(num_workers=2) as pool:
        assert children() == before, "nothing starts before it is needed"
        pool.warm_up(f"{HERE}:pid")
        started = children() - before
        assert len(started) == 2
        assert pool.call(f"{HERE}:pid", timeout_s=AMPLE_S) in started
        pool.warm_up(f"{HERE}:add")
        assert children() - before == started


def test_grandchildren_die_with_the_worker() -> None:
    with WorkerPool(num_workers=1) as pool:
        grandchild = pool.call(f"{HERE}:leave_child_behind", timeout_s=AMPLE_S)
        with pytest.raises(WorkerCrashError):
            pool.call(f"{HERE}:leave", 1, timeout_s=AMPLE_S)
        assert is_gone(grandchild)


def test_close_ends_everything_and_running_calls() -> None:
    before = children()
    pool = WorkerPool(num_workers=2)
    caught: list[WorkerError] = []

    def call() -> None:
        try:
            pool.call(f"{HERE}:sleep", 60, timeout_s=AMPLE_S)
        except WorkerError as error:
            caught.append(error)

    pool.warm_up(f"{HERE}:sleep")
    thread = threading.Thread(target=call)
    thread.start()
    time.sleep(0.2)
    pool.close()
    thread.join(AMPLE_S)
    assert isinstance(caught[0], WorkerCrashError)
    assert children() == before, "neither processes nor zombies"
    with pytest.raises(ConfigError, match="closed"):
        pool.call(f"{HERE}:pid", timeout_s=1.0)


def test_a_dropped_pool_ends_its_workers() -> None:
    before = children()
    pool = WorkerPool(num_workers=1)
    pool.call(f"{HERE}:pid", timeout_s=AMPLE_S)
    del pool
    gc.collect()
    assert children() == before


EXIT = """
import sys
sys.path.insert(0, {root!r})
from fulmen.rewards.worker import WorkerPool
pool = WorkerPool()
print(pool.call({function!r}, timeout_s=30.0), flush=True)
{then}
"""


@pytest.mark.parametrize("then", ["", "import os; os._exit(1)", "import os; os.kill(os.getpid(), 9)", "1/0"])
def test_nothing_is_left_after_the_process(project_root: Path, then: str) -> None:
    script = EXIT.format(root=str(project_root), function=f"{HERE}:pid", then=then)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert is_gone(int(done.stdout))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_works_after_a_fork(pool: WorkerPool) -> None:
    parents = pool.call(f"{HERE}:pid", timeout_s=AMPLE_S)
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            found = pool.call(f"{HERE}:pid", timeout_s=AMPLE_S)
            os.write(write_end, str(found).encode())
            pool.close()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(write_end)
    with os.fdopen(read_end) as answer:
        text = answer.read()
    assert text
    assert int(text) != parents
    assert is_gone(int(text))
    assert pool.call(f"{HERE}:add", 1, 1, timeout_s=AMPLE_S) == 2, "the parent's workers are untouched"


@pytest.mark.parametrize(
    "act",
    [
        lambda: WorkerPool(num_workers=0),
        lambda: WorkerPool(memory_bytes=1),
        lambda: WorkerPool().call("no_colon", timeout_s=1.0),
        lambda: WorkerPool().call("math:gcd", 1, 2, timeout_s=0.0),
        lambda: WorkerPool().call("math:gcd", 1, 2, timeout_s=1.0, cpu_s=-1.0),
    ],
)
def test_bad_settings(act: Callable[[], object]) -> None:
    with pytest.raises(ConfigError, match="allowed"):
        act()


def test_arguments_must_be_json(pool: WorkerPool) -> None:
    with pytest.raises(DataError, match="JSON values"):
        pool.call(f"{HERE}:echo", {1, 2}, timeout_s=1.0)

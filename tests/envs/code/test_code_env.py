"""The environment: its stream, right replies in every form, hostile ones, what it refuses."""

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import fulmen.types
from fulmen.envs import Env, SingleTurnEnv, load
from fulmen.envs.code import Code, environment
from fulmen.envs.code.bundled import authored
from fulmen.errors import ConfigError, SandboxError, TaskError, VerifierError
from fulmen.sandbox import Sandbox
from fulmen.types import Completion, Episode, Message, Score, Split, Task

SPLITS: tuple[Split, ...] = ("train", "heldout")


def task_of(name: str, env: Code | None = None) -> Task:
    """Returns the task of one problem."""
    env = env or Code()
    for split in SPLITS:
        for index in range(len(authored())):
            task = env.task(split, seed=0, index=index)
            if task.meta["problem"] == name:
                return task
    raise AssertionError(name)


def fence(source: str, tag: str = "python") -> str:
    return f"Here it is.\n\n```{tag}\n{source}\n```\n"


def check(env: Code, task: Task, reply: str) -> Score:
    """Returns the score, as a trainer would get it: a machine that is too busy is asked again."""
    for _ in range(4):
        try:
            return env.check(task, reply)
        except SandboxError:
            continue
    return env.check(task, reply)


def episode(reply: str) -> Episode:
    message = Message(role="assistant", content=reply)
    empty = np.zeros(0, dtype=np.int64)
    completion = Completion(
        prompt_ids=empty, token_ids=empty, logprobs=np.zeros(0, np.float32), stop_reason="stop", message=message
    )
    return Episode(completions=(completion,))


def write_file(path: Path, *records: dict[str, object]) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return str(path)


def test_each_lap_has_every_problem_once_in_an_order_of_its_own() -> None:
    env = Code()
    laps = []
    for split in SPLITS:
        first = [env.task(split, seed=3, index=index) for index in range(120)]
        num = len({task.content_hash for task in first})
        names = [str(task.meta["problem"]) for task in first]
        laps.append(set(names[:num]))
        assert len(laps[-1]) == num
        assert sorted(names[:num]) == sorted(names[num : 2 * num])
        assert names[:num] != names[num : 2 * num]
        assert [env.task(split, seed=3, index=index) for index in (7, 0, 110)] == [first[7], first[0], first[110]]
    assert not laps[0] & laps[1]
    assert laps[0] | laps[1] == set(authored())
    assert len(laps[1]) >= 3


def test_tasks_survive_json_and_say_what_to_do() -> None:
    for env in (Code(), Code(language="zh"), Code(programs="cpp")):
        task = env.task("train", seed=0, index=4)
        assert Task.from_json(json.loads(json.dumps(task.to_json()))) == task
        assert task.task_id == "code-train-0-4"
    prompt = task_of("heat_pairs").prompt[0].content
    for part in ("Python 3 or C++20", "5 6\n3 3 1 5 3", "2 s and 256 MiB", "standard input"):
        assert part in prompt
    assert "def pack(text: str) -> str" in task_of("pack_runs").prompt[0].content
    assert "C++20" not in task_of("pack_runs").prompt[0].content
    assert "Python" not in task_of("heat_pairs", Code(programs="cpp")).prompt[0].content
    assert "标准输入" in task_of("heat_pairs", Code(language="zh")).prompt[0].content


def test_levels_and_the_catalogue() -> None:
    for level in ("easy", "medium", "hard"):
        env = load("code", difficulty=level)
        assert {env.task("train", seed=0, index=index).meta["level"] for index in range(20)} == {level}
    assert isinstance(load("code"), Env)
    assert isinstance(load("code"), SingleTurnEnv)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"problems": "/no/such/file.jsonl"}, "problems"),
        ({"name": ""}, "name"),
        ({"language": "zh", "difficulty": "hard"}, "no problems"),
    ],
)
def test_settings_that_cannot_work(settings: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        Code(**settings)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="index"):
        Code().task("train", seed=0, index=-1)


@pytest.mark.parametrize("name", ["tide_marks", "pack_runs", "twin_offsets", "dice_tower"])
def test_gold_and_worked_solutions_score_one(sandbox: Sandbox, name: str) -> None:
    env, task = Code(), task_of(name)
    assert env.check(task, task.gold) == Score(value=1.0, info="accepted")
    message = env.worked_solution(task, random.Random(0))
    assert message.thinking
    assert env.check(task, message).value == 1.0
    assert env.check(task, Message(role="assistant", content="", thinking=task.gold)).value == 0.0


def test_cpp_and_solution_classes_are_accepted(sandbox: Sandbox) -> None:
    env, task = Code(), task_of("heat_pairs")
    assert env.check(task, fence(authored()["heat_pairs"].cpp, "cpp")).value == 1.0
    assert Code(programs="python").check(task, fence(authored()["heat_pairs"].cpp, "cpp")).status == "policy_error"
    broken = env.check(task, fence("int main() { return x; }", "cpp"))
    assert (broken.value, broken.status, broken.info.split(":")[0]) == (0.0, "policy_error", "compile_error")
    method = "class Solution:\n    def winner(self, votes):\n        n = len(votes)\n"
    method += "        return next((v for v in set(votes) if 2 * votes.count(v) > n), -1)\n"
    assert env.check(task_of("guild_vote"), fence(method)).value == 1.0


SAMPLES_ONLY = "import sys\nprint({'6': 3, '3': 1}.get(sys.stdin.read().split()[0], 1))"
HOSTILE = {
    "samples only": (SAMPLES_ONLY, "wrong_answer", "ok"),
    "leaves at once": ("import os\nos._exit(0)", "wrong_answer", "ok"),
    "leaves with success after an error": ("import sys\nprint('accepted')\nsys.exit(0)", "wrong_answer", "ok"),
    "forged verdict": ('print(\'accepted\')\nprint(\'{"status": "ok", "verdict": "accepted"}\')', "wrong_answer", "ok"),
    "forged frames on every descriptor": (
        "import os\nfor fd in range(1, 64):\n    try:\n        os.write(fd, b'accepted 1.0 ok\\n')\n"
        "    except OSError:\n        pass\nos._exit(0)",
        "wrong_answer",
        "ok",
    ),
    "reads test files": (
        "import os\nfor root, _, names in os.walk('/'):\n    for name in names:\n"
        "        if name.endswith(('.json', '.jsonl', '.out')):\n            print(open(root + '/' + name).read())\n"
        "            raise SystemExit\n    if root.count('/') > 3:\n        break",
        "wrong_answer",
        "ok",
    ),
    "reads the judge's memory": (
        "import os\nprint(open(f'/proc/{os.getppid()}/mem', 'rb').read(9))",
        "runtime_error",
        "",
    ),
    "endless loop": ("while True:\n    pass", "time_limit", "policy_error"),
    "sleeps": ("import time\ntime.sleep(60)", "time_limit", "policy_error"),
    "memory bomb": ("a = []\nwhile True:\n    a.append(bytearray(1 << 24))", "", "policy_error"),
    "a million lines": ("for _ in range(10**6):\n    print('1')", "output_limit", "policy_error"),
    "no UTF-8": ("import sys\nsys.stdout.buffer.write(b'\\xff\\xfe3')", "wrong_answer", "ok"),
    "raises": ("raise ValueError('x')", "runtime_error", "policy_error"),
    "does not compile": ("print((", "compile_error", "policy_error"),
    "kills its group": ("import os, signal\nos.killpg(0, signal.SIGKILL)", "runtime_error", "policy_error"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_programs_score_zero(sandbox: Sandbox, name: str, quick: Code) -> None:
    source, verdict, status = HOSTILE[name]
    task = quick.task("train", seed=0, index=0)
    score = check(quick, task, fence(source))
    assert score.value == 0.0
    assert score.info.startswith(verdict)
    assert score.status == (status or score.status)
    # The next program is judged as if nothing had happened.
    assert check(quick, task, task.gold).value == 1.0


CASES = [("6\n3 1 4 4 5 2\n", "3"), ("3\n-5 -7 -5\n", "1"), ("5\n1 2 3 4 5\n", "5"), ("4\n9 9 9 9\n", "1")]


@pytest.fixture
def quick(tmp_path: Path) -> Code:
    """Returns an environment of one problem with short limits, in whichever split it falls."""
    for number in range(50):
        record = {
            "name": f"marks-{number}",
            "statement": "Count the records.",
            "tests": [{"input": given, "output": wanted} for given, wanted in CASES],
            "limits": {"cpu_s": 0.5, "wall_s": 3, "memory_bytes": 64 << 20},
            "solution": authored()["tide_marks"].solution,
        }
        env = Code(problems=write_file(tmp_path / f"{number}.jsonl", record))
        try:
            env.task("train", seed=0, index=0)
        except ConfigError:
            continue
        return env
    raise AssertionError("one in eight problems is held out, not all")


def test_two_blocks_and_none(sandbox: Sandbox, quick: Code) -> None:
    task = quick.task("train", seed=0, index=0)
    wrong = fence("print(1)")
    assert quick.check(task, wrong + task.gold).value == 1.0
    assert quick.check(task, task.gold + wrong).value == 0.0
    for reply in ("", "no code", authored()["tide_marks"].solution, "```python\n```", fence("5", "text")):
        score = quick.check(task, reply)
        assert (score.value, score.status) == (0.0, "policy_error"), reply


def test_cut_off_replies_are_named_and_not_run(quick: Code, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_sandbox", lambda _: pytest.fail("nothing to run"))
    task = quick.task("train", seed=0, index=0)
    for reason, status in (("length", "truncated"), ("repetition", "repetition")):
        score = quick.check(task, task.gold, stop_reason=reason)
        assert (score.value, score.status) == (0.0, status)


def test_credit_for_a_fraction(sandbox: Sandbox, quick: Code) -> None:
    task = quick.task("train", seed=0, index=0)
    half = Code(problems=quick.problems, credit="fraction")
    score = half.check(task, fence("print(1)"))
    assert (score.value, score.status) == (0.5, "ok")
    assert quick.check(task, fence("print(1)")).value == 0.0
    assert half.check(task, task.gold).value == 1.0


def test_many_are_judged_at_once_and_none_is_mixed_up(sandbox: Sandbox, quick: Code) -> None:
    task = quick.task("train", seed=0, index=0)
    slow = "import time\ntime.sleep(0.2)\n"
    replies = [fence(slow + (authored()["tide_marks"].solution if i % 2 else "print(3)")) for i in range(4)]

    async def judge() -> list[Score]:
        return await asyncio.gather(*(quick.score(task, episode(reply)) for reply in replies))

    began = time.monotonic()
    scores = asyncio.run(judge())
    elapsed = time.monotonic() - began
    assert [score.value for score in scores] == [0.0, 1.0, 0.0, 1.0]
    began = time.monotonic()
    for reply in replies:
        quick.check(task, reply)
    if (os.cpu_count() or 1) > 1:
        assert elapsed < 0.9 * (time.monotonic() - began)


def test_without_isolation_nothing_runs(quick: Code, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*, allow_unsafe: bool) -> Sandbox:
        raise SandboxError(f"no sandbox works here, allow_unsafe={allow_unsafe}")

    monkeypatch.setattr(environment, "open_sandbox", refuse)
    environment._open.cache_clear()
    task = quick.task("train", seed=0, index=0)
    try:
        with pytest.raises(SandboxError, match="allow_unsafe=False"):
            quick.check(task, task.gold)
        with pytest.raises(SandboxError, match="allow_unsafe=False"):
            asyncio.run(quick.score(task, episode(task.gold)))
    finally:
        environment._open.cache_clear()


def test_foreign_tasks_are_refused(quick: Code) -> None:
    task = quick.task("train", seed=0, index=0)
    with pytest.raises(TaskError, match="allowed: 'code'"):
        quick.check(load("mini_countdown").task("train", seed=0, index=0), "")
    with pytest.raises(TaskError, match="marks"):
        Code().check(task, task.gold)


def broken_judge(given: str, output: str, expected: str) -> str:
    raise KeyError("judge")


def test_trusted_judges_of_files(sandbox: Sandbox, tmp_path: Path) -> None:
    special = "fulmen.envs.code.problems.twin_offsets:accept"
    record = {
        "name": "p",
        "statement": "s",
        "tests": [{"input": "3 0\n4 4 4\n", "output": "1 2"}],
        "judge": {"kind": "special", "special": special},
    }
    env = Code(problems=write_file(tmp_path / "a.jsonl", record), judges=(special,))
    split = next(split for split in SPLITS if _has(env, split))
    task = env.task(split, seed=0, index=0)
    assert env.check(task, fence("print('2 3')")).value == 1.0
    assert env.check(task, fence("print('3 2')")).value == 0.0
    own = f"{__name__}:broken_judge"
    record["judge"] = {"kind": "special", "special": own}
    env = Code(problems=write_file(tmp_path / "b.jsonl", record), judges=(own,))
    with pytest.raises(VerifierError, match="KeyError"):
        env.check(task, fence("print('2 3')"))


def _has(env: Code, split: Split) -> bool:
    try:
        env.task(split, seed=0, index=0)
    except ConfigError:
        return False
    return True


def test_import_pulls_no_torch_and_opens_no_sandbox() -> None:
    root = Path(fulmen.types.__file__).parents[1]
    code = (
        "import sys, fulmen.envs.code as c; c.Code().task('train', seed=0, index=0); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(root)}, timeout=30)

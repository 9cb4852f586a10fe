"""fulmen envs, data, check and calibrate: what they print, write and refuse; calibration against a real HTTP server."""

import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from fulmen import cli
from fulmen.envs import SingleTurnEnv, load, names
from fulmen.errors import RunError
from fulmen.evals.calibrate import first_true
from fulmen.recipes import data
from fulmen.recipes.data import apportion
from fulmen.rollout.remote import RemoteGenerate
from fulmen.types import Message, Request, Sampling, Task

MINE = '''
from fulmen.envs import Countdown

class Good(Countdown):
    """Countdown under another name."""

class Generous(Countdown):
    """Takes anything that holds a digit."""

    def check(self, task, answer, *, stop_reason="stop"):
        text = answer if isinstance(answer, str) else answer.content
        return super().check(task, task.gold if any(c.isdigit() for c in text) else text, stop_reason=stop_reason)
'''


def run(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 0) -> str:
    if code:
        with pytest.raises(SystemExit) as stopped:
            cli.main(list(argv))
        assert stopped.value.code == code
        return capsys.readouterr().err
    cli.main(list(argv))
    return capsys.readouterr().out


def test_the_list_names_every_environment(capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(capsys, "envs")
    assert all(name[:12] in shown for name in names())


def test_a_task_its_gold_answer_and_a_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    task = load("game_of_24", level=3).task("train", seed=7, index=0)
    shown = run(capsys, "envs", "show", "game_of_24", "--level", "3", "--seed", "7")
    assert task.gold in shown
    assert re.search(r"verdict\s+1\.0\s+ok: right", shown)
    shown = run(capsys, "envs", "show", "game_of_24", "--level", "easy", "--answer", "1+1")
    assert re.search(r"verdict\s+0\.0\s+ok: ", shown)
    shown = run(capsys, "envs", "show", "futoshiki", "--knobs", "size=4", "language=zh")
    assert "size=4" in shown


def test_playing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    gold = load("game_of_24", level=1).task("train", seed=7, index=0).gold
    answers = iter(["1+1", gold])
    monkeypatch.setattr("builtins.input", lambda *prompt: next(answers))
    shown = run(capsys, "envs", "play", "game_of_24", "--level", "1", "--seed", "7")
    assert "gold answer  " not in shown
    assert re.findall(r"^> ([01]\.0) ", shown, re.MULTILINE) == ["0.0", "1.0"]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("envs", "show"), "name: empty; allowed: arc_agi"),
        (("envs", "show", "futo"), "did you mean futoshiki?"),
        (("envs", "show", "futoshiki", "--knobs", "size=big"), "size: 'big'; allowed: a value of type int"),
        (("envs", "show", "futoshiki", "--knobs", "sizes=4"), "knobs: 'sizes=4'; allowed: NAME=VALUE"),
        (("envs", "show", "futoshiki", "--level", "9"), "level: 9; allowed: 1 to 5"),
        (("check", "env", "nowhere.py:Env"), "no file nowhere.py"),
        (("data", "logic", "--out", "x.jsonl", "--difficulty", "huge"), "difficulty: 'huge'; allowed: intro, easy"),
        (("data", "logic", "--out", "x.jsonl", "--tasks", "mini_sudoku"), "tasks: mini_sudoku; allowed: arc_agi"),
        (("data", "logic", "--out", "x.jsonl", "--tasks", "survo=-1"), "tasks: 'survo=-1'; allowed: each name once"),
        (("data", "logic", "--out", "x.jsonl", "--num", "0"), "num=0"),
        (("calibrate", "survo", "--base-url", "localhost"), "base_url: 'localhost'; allowed: http://"),
    ],
)
def test_bad_input(
    argv: tuple[str, ...],
    said: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in run(capsys, *argv, code=2)
    assert list(tmp_path.iterdir()) == []


def test_a_file_has_the_shares_and_levels_asked_for(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "tasks.jsonl"
    argv = ("data", "logic", "--out", str(out), "--num", "60", "--tasks", "game_of_24=2", "survo",
            "--difficulty", "intro=3", "medium=1", "--solutions", "--workers", "2")  # fmt: skip
    run(capsys, *argv)
    records = [json.loads(line) for line in out.read_text().splitlines()]
    assert Counter(record["env"] for record in records) == {
        "game_of_24@intro": 30, "game_of_24@medium": 10, "survo@intro": 15, "survo@medium": 5,
    }  # fmt: skip
    assert len({record["content_hash"] for record in records}) == 60
    for record in records[::7]:
        task = Task.from_json({key: value for key, value in record.items() if key != "messages"})
        name, level = task.env.split("@")
        env = load(name, level=level, name=task.env, answer_form="tags")
        assert isinstance(env, SingleTurnEnv)
        assert [message["role"] for message in record["messages"]] == ["user", "assistant"]
        assert env.check(task, Message.from_json(record["messages"][1])).value == 1.0
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    run(capsys, *argv[:-1], "1")
    assert hashlib.sha256(out.read_bytes()).hexdigest() == digest
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize(
    ("shares", "num", "expected"),
    [([1, 1, 1], 10, [4, 3, 3]), ([2, 1], 3, [2, 1]), ([1, 0], 5, [5, 0]), ([1, 1, 2], 2, [1, 0, 1])],
)
def test_apportion(shares: list[float], num: int, expected: list[int]) -> None:
    found = apportion([float(share) for share in shares], num)
    assert sum(found) == num
    assert sorted(found) == sorted(expected)


def test_checking_an_environment_of_ones_own(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(MINE)
    assert "no faults" in run(capsys, "check", "env", f"{mine}:Good", "--num-tasks", "20")
    assert "faults; allowed: none" in run(capsys, "check", "env", f"{mine}:Generous", "--num-tasks", "20", code=2)
    assert "allowed: Countdown, Good, Generous" in run(capsys, "check", "env", f"{mine}:Other", code=2)
    assert "no faults" in run(capsys, "check", "env", "game_of_24", "--num-tasks", "4")


class Handler(BaseHTTPRequestHandler):
    """Answers game_of_24 rightly up to the level that the model's name says; fails the first call with a 503."""

    num_failures = 0

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if body["model"] == "unknown":
            self.answer(404, {"error": {"message": "no such model"}})
        elif Handler.num_failures > 0:
            Handler.num_failures -= 1
            self.answer(503, {"error": {"message": "busy"}})
        else:
            text = GOLD[body["messages"][-1]["content"]]
            level, gold = text.split("|", 1)
            best, is_shaky = int(body["model"][0]), body["model"].endswith("?")
            knows = int(level) < best or (int(level) == best and (not is_shaky or body["seed"] % 4 == 0))
            said = f"<answer>{gold if knows else '0'}</answer>"
            choice = {"message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
            self.answer(200, {"choices": [choice], "usage": {"completion_tokens": 3}})

    def answer(self, status: int, record: object) -> None:
        data = json.dumps(record).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


GOLD: dict[str, str] = {}


@pytest.fixture
def url() -> Iterator[str]:
    for level in range(1, 6):
        env = load("game_of_24", level=level, answer_form="tags")
        for index in range(6):
            task = env.task("train", seed=0, index=index)
            GOLD[task.prompt[-1].content] = f"{level}|{task.gold}"
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()
    thread.join()


def test_calibration_finds_both_bounds(capsys: pytest.CaptureFixture[str], tmp_path: Path, url: str) -> None:
    out = tmp_path / "levels.json"
    run(capsys, "calibrate", "game_of_24", "--base-url", url, "--model", "2?", "--strong-url", url,
        "--strong-model", "4", "--num-tasks", "6", "--num-samples", "4", "--out", str(out))  # fmt: skip
    found = json.loads(out.read_text())["game_of_24"]
    # Sure of level 1, right a quarter of the time at 2, never after; the strong one up to 4.
    assert (found["low"], found["high"], found["levels"]) == ("easy", "hard", ["easy", "medium", "hard"])
    assert 0 < found["base"]["easy"]["pass_rate"] < 0.5
    run(capsys, "calibrate", "game_of_24", "--base-url", url, "--model", "0", "--num-tasks", "2", "--num-samples", "1",
        "--out", str(out))  # fmt: skip
    found = json.loads(out.read_text())["game_of_24"]
    assert (found["low"], found["high"], found["levels"]) == (None, None, [])


def test_a_server_that_fails_is_asked_again_and_a_refusal_is_final(url: str) -> None:
    prompt = next(iter(GOLD))
    request = Request(messages=(Message(role="user", content=prompt),), sampling=Sampling(max_tokens=8), seed=0)
    Handler.num_failures = 2
    told: list[int] = []
    generate = RemoteGenerate(base_url=url, model="5", backoff_s=0.01)
    (completion,) = generate([request], on_finish=told.append)
    assert (completion.message.content, told) == (f"<answer>{GOLD[prompt].split('|')[1]}</answer>", [3])
    Handler.num_failures = 2
    with pytest.raises(RunError, match=r"503: .*busy"):
        RemoteGenerate(base_url=url, model="5", retries=1, backoff_s=0.01)([request])
    Handler.num_failures = 0
    with pytest.raises(RunError, match=r"404: .*no such model"):
        RemoteGenerate(base_url=url, model="unknown", backoff_s=100.0)([request])


@pytest.mark.parametrize("place", range(7))
def test_bisection(place: int) -> None:
    assert first_true(6, lambda index: index >= place) == place


def test_a_level_that_is_used_up_leaves_no_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def three_problems(args: object, portion: object, size: int, start: int) -> list[dict[str, object]]:
        return [{"content_hash": str((start + i) % 3)} for i in range(size)]

    monkeypatch.setattr(data, "ProcessPoolExecutor", ThreadPoolExecutor)
    monkeypatch.setattr(data, "make_chunk", three_problems)
    argv = ("data", "logic", "--out", str(tmp_path / "t.jsonl"), "--tasks", "survo", "--num")
    run(capsys, *argv, "3")
    (tmp_path / "t.jsonl").unlink()
    assert "survo medium has only about 3 problems" in run(capsys, *argv, "4", code=2)
    assert list(tmp_path.iterdir()) == []

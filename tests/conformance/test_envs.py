"""What holds for every environment. A new one is one line of `ENVS`."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fulmen.types
from fulmen.envs import Brackets, Countdown, Env, Mixture, Sudoku
from fulmen.types import Message, Split, Task

ENVS: list[Env] = [
    Countdown(),
    Countdown(name="countdown-hard", num_numbers=5, max_number=50, max_target=199),
    Sudoku(),
    Brackets(),
    Mixture([Countdown(), Sudoku(), Brackets()]),
]
SPLITS: tuple[Split, ...] = ("train", "heldout")
WRAPPERS: dict[str, Callable[[str], str]] = {
    "spaces": lambda text: f" \n{text} \t",
    "dollars": lambda text: f"${text}$",
    "double dollars": lambda text: f"$${text}$$.",
    "boxed": lambda text: rf"\boxed{{{text}}}",
    "boxed text in dollars": lambda text: rf"$\boxed{{\text{{{text}}}}}$",
    "period": lambda text: f"{text}.",
    "ideographic period": lambda text: f"{text}。",
    "full width": lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
}
CODE = "open({path!r},'w').write('x')"
PAYLOADS = (
    "__import__('os').system('touch {raw}')",
    CODE,
    f"1 or {CODE}",
    f"[{CODE}]",
    f"{{{{{CODE}}}}}",
    f"(lambda: {CODE})()",
    "9**9**9**9",
    "2" + "**9" * 100,
    "9" * 1_000_000,
    "9" * 4_000,
    "(" * 100_000,
    "(" * 100_000 + "1" + ")" * 100_000,
    "(" * 2_000 + "1" + ")" * 2_000,
    "[" * 4_096,
    "$" * 4_096,
    r"\boxed{{" * 500 + "}}" * 500,
    "1+" * 2_000 + "1",
    "\x00",
    "\ud800",
    "True",
    "None",
    "nan",
    "inf",
    "1e999",
    "{{0.__class__}}",
    "%s%s%n",
)

pytestmark = pytest.mark.parametrize("env", ENVS, ids=lambda env: env.name)


def make(env: Env, num: int, *, split: Split = "train", seed: int = 0) -> list[Task]:
    return [env.task(split, seed=seed, index=index) for index in range(num)]


@pytest.mark.parametrize("split", SPLITS)
def test_gold_and_worked_solutions_score_one(env: Env, split: Split) -> None:
    for index, task in enumerate(make(env, 200, split=split)):
        assert env.check(task, task.gold).value == 1.0
        message = env.worked_solution(task, random.Random(index))
        assert message.role == "assistant"
        assert message.thinking == message.thinking.strip() != ""
        score = env.check(task, message)
        assert (score.value, score.status) == (1.0, "ok")


def test_empty_and_garbage_score_zero(env: Env) -> None:
    for task in make(env, 20):
        for text in ("", " ", "\n", "$$", r"\boxed{}", ".", "I do not know", "yes", task.prompt[0].content, "()", "0"):
            assert env.check(task, text).value == 0.0, text
        assert env.check(task, "").status == "policy_error"
        assert env.check(task, Message(role="assistant", content="", thinking=task.gold)).value == 0.0


def test_listing_or_repeating_answers_scores_zero(env: Env) -> None:
    first, *others = make(env, 8)
    golds = [first.gold, *(task.gold for task in others if task.env == first.env)]
    for text in (first.gold * 2, f"{first.gold} {first.gold}", " or ".join(golds), f"The answer is {first.gold}"):
        assert env.check(first, text).value == 0.0, text


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_wrappers_change_nothing(env: Env, wrapper: str) -> None:
    for task in make(env, 40):
        assert env.check(task, WRAPPERS[wrapper](task.gold)).value == 1.0, WRAPPERS[wrapper](task.gold)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(text=st.one_of(st.text(), st.text(alphabet="0123456789+-*/()[]{}<>_ \n$\\boxed.")))
def test_arbitrary_text_never_raises_nor_scores(env: Env, text: str) -> None:
    for task in make(env, 3):
        score = env.check(task, text)
        assert score.value in (0.0, 1.0)
        assert score.status in ("ok", "policy_error")
        assert env.check(task, Message(role="assistant", content=text)) == score


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_deleted_character_never_scores_one(env: Env, data: st.DataObject) -> None:
    task = env.task("train", seed=2, index=data.draw(st.integers(0, 500)))
    at = data.draw(st.integers(0, len(task.gold) - 1))
    # Only a separator or a pair of needless parentheses could be spared, and one character is no pair.
    if task.gold[at] not in "/ ":
        assert env.check(task, task.gold[:at] + task.gold[at + 1 :]).value == 0.0


def test_cut_off_completions_are_named_and_score_zero(env: Env) -> None:
    task = make(env, 1)[0]
    truncated = env.check(task, task.gold, stop_reason="length")
    assert (truncated.value, truncated.status) == (0.0, "truncated")
    repetition = env.check(task, task.gold, stop_reason="repetition")
    assert (repetition.value, repetition.status) == (0.0, "repetition")


def test_same_place_same_bytes_in_any_order(env: Env) -> None:
    places = [(split, seed, index) for split in SPLITS for seed in (0, 1) for index in (0, 1, 10**9)]
    first = {place: dump(env.task(place[0], seed=place[1], index=place[2])) for place in places}
    for split, seed, index in reversed(places):
        assert dump(env.task(split, seed=seed, index=index)) == first[split, seed, index]
    assert len(set(first.values())) == len(places)
    task = env.task("train", seed=0, index=0)
    assert env.worked_solution(task, random.Random(4)) == env.worked_solution(task, random.Random(4))


def test_seeds_differ(env: Env) -> None:
    one = [task.content_hash for task in make(env, 50, seed=0)]
    other = [task.content_hash for task in make(env, 50, seed=1)]
    assert sum(a == b for a, b in zip(one, other, strict=True)) < 5


def test_splits_are_disjoint(env: Env) -> None:
    train = {task.content_hash for task in make(env, 2000, seed=0)}
    heldout = {task.content_hash for task in make(env, 2000, split="heldout", seed=1)}
    assert not train & heldout
    assert min(len(train), len(heldout)) > 250


def test_tasks_survive_json(env: Env) -> None:
    for task in make(env, 30):
        copy = Task.from_json(json.loads(dump(task)))
        assert copy == task
        assert env.check(copy, copy.gold).value == 1.0
        assert env.worked_solution(copy, random.Random(0)) == env.worked_solution(task, random.Random(0))
    assert make(env, 1)[0].task_id.endswith("-train-0-0")


def test_payloads_have_no_effect_and_are_fast(env: Env, tmp_path: Path) -> None:
    target = tmp_path / "touched"
    task = make(env, 1)[0]
    start = time.process_time()
    for payload in PAYLOADS:
        text = payload.format(path=str(target), raw=target) if "{" in payload else payload
        assert env.check(task, text).value == 0.0
        assert env.check(task, f"{task.gold} or {text}").value == 0.0
    assert time.process_time() - start < 1.0
    assert not target.exists()


def test_import_pulls_no_torch(env: Env) -> None:
    root = Path(fulmen.types.__file__).parents[1]
    modules = f"import sys, {type(env).__module__}, fulmen.envs, fulmen.rewards.answer, fulmen.rewards.arithmetic"
    code = f"{modules}; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(root)}, timeout=30)


def dump(task: Task) -> str:
    return json.dumps(task.to_json(), sort_keys=True)

"""RL on ten logic tasks, mathematics and code through the real engine, at toy size: every part meets every other."""

import dataclasses
import random
from pathlib import Path

import pytest
from rich.console import Console

from fulmen.envs import Env, Mixture, SingleTurnEnv, load
from fulmen.envs.composite import Composite, Part
from fulmen.errors import SandboxError
from fulmen.model.config import preset
from fulmen.recipes.common import fresh_model
from fulmen.recipes.rl import RlSettings, train_rl
from fulmen.run import Run
from fulmen.sandbox import open_sandbox
from fulmen.types import Episode, Score, Task

LOGIC = (
    "boolean_expressions", "dyck_language", "futoshiki", "game_of_24", "goods_exchange", "knights_and_knaves",
    "nonogram", "object_counting", "sudoku", "word_sorting",
)  # fmt: skip


def letters(task: Task, episode: Episode) -> Score:
    """Returns the share of letters in a reply: a random model's replies differ in it, so every group is informative."""
    text = episode.reply.content
    return Score(value=sum(character.isalpha() for character in text) / max(len(text), 1))


def with_letters(env: Env) -> Composite:
    return Composite(env=env, parts=(Part(name="letters", grade=letters),))


@pytest.fixture(scope="module")
def has_sandbox() -> bool:
    try:
        open_sandbox()
    except SandboxError:
        return False
    return True


def test_ten_logic_tasks_mathematics_and_code_train_together(tmp_path: Path, has_sandbox: bool) -> None:
    names = [*LOGIC, "math_arithmetic"]
    envs: list[Env] = [load(name, level="intro") for name in names]
    if has_sandbox:
        envs.append(load("code"))
    teachers = Mixture([env for env in envs if isinstance(env, SingleTurnEnv) and has_teacher(env)])
    model, tokenizer = fresh_model(dataclasses.replace(preset("tiny"), vocab_size=512), teachers, seed=0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    mixture = Mixture([with_letters(env) for env in envs])
    settings = RlSettings(
        num_steps=1, num_groups=20, group_size=2, num_updates=4, max_rounds=1, window=16, num_slots=64,
        heldout_every=1, heldout_tasks=1, warmup_steps=0,
    )  # fmt: skip
    console = Console(quiet=True)
    with Run.open(tmp_path / "run", recipe="rl", args={}, seed=0) as run:
        # With this seed twenty tasks are of all twelve environments.
        train_rl(run, model, tokenizer, mixture, settings, seed=3, console=console)
        metrics = run.read_lines("metrics.jsonl")
        rollouts = run.read_lines("rollouts.jsonl")
        heldout = run.read_lines("heldout.jsonl")
        assert run.read_lines("quarantine.jsonl") == []
    assert [line["num_updates"] for line in metrics] == [4]
    assert all(line["invalid_frac"] == 0.0 for line in metrics)
    assert all(0.0 < line["reward"] < 1.0 for line in metrics)
    assert {line["task"] for line in rollouts} == {env.name for env in envs} == {line["task"] for line in heldout}
    assert any((model.state_dict()[name] != tensor).any() for name, tensor in before.items())


def has_teacher(env: SingleTurnEnv) -> bool:
    return env.worked_solution(env.task("train", seed=0, index=0), random.Random(0)) is not None

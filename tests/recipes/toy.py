"""A demo small enough for tests, in which a random model already meets right and wrong answers.

`python -m tests.recipes.toy FOLDER` runs it, for tests that kill a process.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from rich.console import Console

from fulmen.envs import Countdown, Env, Mixture
from fulmen.recipes import demo
from fulmen.types import Message, Score, StopReason, Task


@dataclass(frozen=True, kw_only=True)
class EvenLength(Countdown):
    """Countdown's prompts, but an answer of an even number of characters is right."""

    def check(self, task: Task, answer: Message | str, *, stop_reason: StopReason = "stop") -> Score:
        """Returns 1.0 for an even number of characters."""
        text = answer if isinstance(answer, str) else answer.content
        return Score(value=float(len(text) % 2 == 0))


def even_length_mixture(names: object = None) -> Mixture:
    """Returns the toy environment as a mixture; takes and ignores task names."""
    environment: Env = EvenLength()
    return Mixture([environment])


def run_toy_demo(folder: Path) -> None:
    """Runs the whole demo, 6 SFT and 3 RL steps, in a few seconds."""
    args = demo.Args(
        run=folder, sft_steps=6, rl_steps=3, num_groups=3, num_updates=3, eval_tasks=2, eval_samples=2,
        window=16, threads=1,
    )  # fmt: skip
    rl = demo.RlSettings

    def small_rl(**settings: object) -> demo.RlSettings:
        return rl(**{**settings, "heldout_tasks": 2, "heldout_every": 2, "num_slots": 8})  # type: ignore[arg-type]

    def small_sft(**settings: object) -> demo.SftSettings:
        return sft(**{**settings, "batch_size": 3, "save_every": 2})  # type: ignore[arg-type]

    sft = demo.SftSettings
    with (
        mock.patch.object(demo, "make_mixture", even_length_mixture),
        mock.patch.object(demo, "RlSettings", small_rl),
        mock.patch.object(demo, "SftSettings", small_sft),
    ):
        demo.main(args, Console(quiet=True))


if __name__ == "__main__":
    run_toy_demo(Path(sys.argv[1]))

"""Completions of one prompt by a checkpoint, thinking and answer apart."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from fulmen.errors import ConfigError
from fulmen.recipes.common import load_checkpoint, set_threads
from fulmen.serve import Engine
from fulmen.types import Message, Request, Sampling, stable_seed


@dataclass(frozen=True, kw_only=True)
class Args:
    """fulmen generate: complete a prompt, such as "Use 3 7 9 once each to make 30."."""

    prompt: Annotated[str, tyro.conf.Positional]
    """What the user says."""
    checkpoint: Path
    """Folder of the checkpoint."""
    num_samples: int = 1
    """Completions to draw."""
    temperature: float = 1.0
    """0 takes the most probable token."""
    top_p: float = 0.95
    max_tokens: int = 160
    """Longest completion."""
    seed: int = 0
    threads: int = 2
    """CPU threads."""


def main(args: Args, console: Console) -> None:
    """Runs the recipe."""
    set_threads(args.threads)
    if args.num_samples < 1:
        raise ConfigError(f"num_samples={args.num_samples}; allowed: at least 1")
    model, tokenizer = load_checkpoint(args.checkpoint)
    sampling = Sampling(temperature=args.temperature, top_p=args.top_p, max_tokens=args.max_tokens)
    requests = [
        Request(
            messages=(Message(role="user", content=args.prompt),), sampling=sampling,
            seed=stable_seed(args.seed, args.prompt, index),
        )
        for index in range(args.num_samples)
    ]  # fmt: skip
    for completion in Engine(model, tokenizer)(requests):
        if completion.message.thinking:
            console.print(completion.message.thinking, style="dim", markup=False, highlight=False)
        console.print(completion.message.content, markup=False, highlight=False)
        console.print(f"[{len(completion.token_ids)} tokens, {completion.stop_reason}]", style="dim", markup=False)

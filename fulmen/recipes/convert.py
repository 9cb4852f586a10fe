"""A softmax model to a hybrid: most attention layers become lightning attention, close to what they were."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from fulmen.errors import ConfigError
from fulmen.model import Model
from fulmen.model.checkpoint import save_model
from fulmen.model.hybrid import hybrid_config, make_hybrid, sample_text
from fulmen.recipes.common import load_checkpoint, set_threads
from fulmen.text import Tokenizer


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """What the new layers' norms are fitted on: text that the source model writes by itself."""

    fit_rows: int = 8
    """Texts to sample."""
    fit_tokens: int = 128
    """Tokens of each."""

    def __post_init__(self) -> None:
        for name, least in (("fit_rows", 1), ("fit_tokens", 2)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name}={getattr(self, name)}; allowed: at least {least}")


def convert(source: Model, tokenizer: Tokenizer, mixers: str, settings: FitSettings, *, seed: int) -> Model:
    """Returns the hybrid, fitted on text sampled from the source."""
    hybrid_config(source.config, mixers)
    text = sample_text(
        source, first_id=tokenizer.end_id, vocab_size=tokenizer.vocab_size, num_rows=settings.fit_rows,
        num_tokens=settings.fit_tokens, seed=seed,
    )  # fmt: skip
    return make_hybrid(source, mixers, text)


@dataclass(frozen=True, kw_only=True)
class Args(FitSettings):
    """fulmen convert: make a hybrid of a softmax model, ready for distillation (fulmen hybridise) or training."""

    source: Annotated[Path, tyro.conf.Positional]
    """Folder of a checkpoint with softmax attention in every layer."""
    folder: Annotated[Path, tyro.conf.Positional]
    """Where the hybrid goes, in fulmen's own format."""
    mixers: str = "LLLLLLLS"
    """Pattern of lightning (L) and softmax (S) layers, repeated over the stack."""
    seed: int = 0
    threads: int = 2
    """CPU threads."""


def main(args: Args, console: Console) -> None:
    """Runs the recipe."""
    set_threads(args.threads)
    source, tokenizer = load_checkpoint(args.source)
    hybrid = convert(source, tokenizer, args.mixers, args, seed=args.seed)
    save_model(hybrid, args.folder, tokenizer=tokenizer)
    num_lightning, num_layers = hybrid.config.num_lightning_layers, hybrid.config.num_layers
    console.print(f"{args.folder}: {num_lightning} of {num_layers} layers are lightning attention", soft_wrap=True)

"""A checkpoint to files that other tools load: transformers, MiniMaxAI's own names (vLLM), llama.cpp."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro
from rich.console import Console

from fulmen.errors import ConfigError
from fulmen.model import Model, ModelConfig
from fulmen.model.checkpoint import FAMILIES, export_model, load_model, write_folder
from fulmen.model.checkpoint.family import Family
from fulmen.model.checkpoint.gguf_export import check_gguf, read_vocabulary, write_gguf
from fulmen.model.checkpoint.minimax import MINIMAX
from fulmen.model.checkpoint.minimax_original import MINIMAX_ORIGINAL
from fulmen.run import write_json
from fulmen.text import Tokenizer
from fulmen.text.dialect import template_of


@dataclass(frozen=True, kw_only=True)
class Args:
    """fulmen export: write a checkpoint for other tools; every number is kept bit for bit."""

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """Folder of a checkpoint of any family."""
    folder: Annotated[Path, tyro.conf.Positional]
    """Where the export goes; an older export there is replaced."""
    format: Literal["hf", "m1", "gguf"] = "hf"
    """hf: transformers' own classes. m1: MiniMaxAI's names. gguf: llama.cpp's minimax-01."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the exported weights; float32 holds what either holds."""


def main(args: Args, console: Console) -> None:
    """Runs the recipe."""
    config = load_model(args.checkpoint, device="meta").config
    family = choose_family(config, args.format)
    tokenizer = Tokenizer.load(args.checkpoint)
    if args.format == "gguf":
        check_gguf(config)
        read_vocabulary(tokenizer, config.vocab_size)
    model = load_model(args.checkpoint, dtype=getattr(torch, args.dtype))
    if family is None:
        write_folder(args.folder, lambda path: write_gguf(model, path / "model.gguf", tokenizer=tokenizer))
    else:
        export_with_tokenizer(model, args.folder, family, tokenizer, with_index=args.format == "m1")
    what = "llama.cpp's minimax-01" if family is None else family.architectures[0]
    console.print(f"{args.folder}: {what}, {config.num_parameters():,} parameters", markup=False, soft_wrap=True)
    if family is MINIMAX:
        console.print(
            "transformers decodes MiniMax rightly in float32, or one prompt at a time: its cache is wrong for batches",
            style="dim",
        )


def export_with_tokenizer(
    model: Model, folder: Path, family: Family, tokenizer: Tokenizer, *, with_index: bool = False
) -> None:
    """Writes a model of `family` with its tokenizer, chat template and end token; see `export_model`."""
    template = template_of(tokenizer)
    names = {"bos_token_id": "bos_token", "eos_token_id": "eos_token", "pad_token_id": "pad_token"}
    ids = {key: tokenizer.ids[template.tokens[name]] for key, name in names.items() if name in template.tokens}
    changes: dict[str, Any] = {"bos_token_id": None, "pad_token_id": None, **ids}

    def write_more(path: Path) -> None:
        tokenizer.save(path)
        template.save(path)
        write_json(path / "generation_config.json", changes)

    export_model(model, folder, family, with_index=with_index, changes=changes, write_more=write_more)


def choose_family(config: ModelConfig, format: str) -> Family | None:
    """Returns the family to write; None for GGUF. `hf` takes the first of transformers' classes that fits.

    Raises: ConfigError when no class does.
    """
    if format == "gguf":
        return None
    if format == "m1":
        MINIMAX_ORIGINAL.write_config(config)
        return MINIMAX_ORIGINAL
    reasons = {}
    for family in FAMILIES:
        if family is MINIMAX_ORIGINAL:
            continue
        try:
            family.write_config(config)
        except ConfigError as error:
            reasons[family.name] = str(error)
        else:
            return family
    raise ConfigError(
        "no class of transformers is this model; the nearest miss each: "
        + "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    )

"""FLOPs, bytes and memory against generation length: the arithmetic of the report's Figure 1 (right)."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich import box
from rich.console import Console
from rich.table import Table

from fulmen.errors import ConfigError
from fulmen.model import ModelConfig
from fulmen.model.checkpoint import load_model
from fulmen.model.flops import PAPER_SHAPES, SHAPES, Convention, decode_bytes, generation_cost, training_flops
from fulmen.run import write_json

LENGTHS = (8_192, 32_768, 65_536, 102_400, 131_072, 1_048_576)


@dataclass(frozen=True, kw_only=True)
class Args:
    """fulmen flops: cost of generation for presets (m1_456b, deepseek_r1, ...) or checkpoint folders."""

    models: Annotated[tuple[str, ...], tyro.conf.Positional] = PAPER_SHAPES
    """Names of presets, or folders of checkpoints of any family."""
    convention: Convention = "exact-naive"
    """How softmax attention is counted; `paper` is the report's figure."""
    lengths: tuple[int, ...] = LENGTHS
    """Generation lengths, in tokens."""
    out: Path | None = None
    """Also write the numbers to this JSON file."""
    picture: Path | None = None
    """Also draw FLOPs against length into this PNG or SVG file."""


def main(args: Args, console: Console) -> None:
    """Runs the recipe."""
    if not args.models or not args.lengths or min(args.lengths) < 1:
        raise ConfigError(f"models={args.models}, lengths={args.lengths}; allowed: at least one, lengths from 1")
    if args.picture is not None and args.picture.suffix not in (".png", ".svg"):
        raise ConfigError(f"picture={args.picture}; allowed: a name that ends in .png or .svg")
    rows = [row for name in args.models for row in measure(name, shape_of(name), args)]
    table = Table(box=box.SIMPLE_HEAD)
    columns = ("model", "tokens", "PFLOP", "GB/step", "cache GB", "all GB", "train GF")
    for column in columns:
        table.add_column(column, justify="left" if column == "model" else "right", no_wrap=True)
    for row in rows:
        moved = row["weights_bytes"] + row["cache_bytes"] + row["state_bytes"]
        table.add_row(
            Path(row["model"]).name, f"{row['num_tokens']:,}", f"{row['flops'] / 1e15:,.4g}", f"{moved / 1e9:,.4g}",
            f"{row['resident_bytes'] / 1e9:,.3g}", f"{row['model_bytes'] / 1e9:,.4g}",
            f"{row['training_flops_per_token'] / 1e9:,.4g}",
        )  # fmt: skip
    console.print(
        f"convention {args.convention}. PFLOP: all tokens generated one by one; GB/step: moved by the step after them "
        "(one row); all GB: every weight; train GF: forward and backward, GFLOP per token of a document that long. "
        "Weights, keys, values in bfloat16, states in float32.",
        style="dim",
    )
    console.print(table)
    if args.out is not None:
        write_json(args.out, {"convention": args.convention, "rows": rows})
    if args.picture is not None:
        draw(args, args.picture)


def shape_of(name: str) -> ModelConfig:
    """Returns the shape of a preset, or of the checkpoint in a folder (no weight is read).

    Raises: ConfigError when it is neither.
    """
    if name in SHAPES:
        return SHAPES[name]
    if not Path(name).is_dir():
        raise ConfigError(f"models={name!r}; allowed: a checkpoint's folder, or {', '.join(SHAPES)}")
    return load_model(name, device="meta").config


def measure(name: str, config: ModelConfig, args: Args) -> list[dict[str, Any]]:
    """Returns one row per length."""
    cost = generation_cost(config, args.convention)
    return [
        {
            "model": name,
            "num_tokens": length,
            "flops": cost.flops(length),
            "linear": cost.linear,
            "quadratic": cost.quadratic,
            "training_flops_per_token": training_flops(config, [length]) / length,
            "training_flops_per_token_not_halved": training_flops(config, [length], is_halved=False) / length,
            **asdict(decode_bytes(config, length)),
        }
        for length in args.lengths
    ]


def draw(args: Args, path: Path) -> None:
    """Draws FLOPs against length, as in the report's figure."""
    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    longest = min(max(args.lengths), 131_072)
    lengths = [longest * step // 64 for step in range(1, 65)]
    for name in args.models:
        cost = generation_cost(shape_of(name), args.convention)
        axes.plot([n / 1024 for n in lengths], [cost.flops(n) / 1e16 for n in lengths], label=Path(name).name)
    axes.set(xlabel="generated tokens, K", ylabel="FLOPs, 10$^{16}$", title=f"convention {args.convention}")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=160)

"""Draws speed against length from a result of `benchmarks.lightning`: tokens per second, and fraction of the limit.

    python -m benchmarks.lightning_figure RESULT.json [SHORT.json ...] docs/lightning.png

Where several results have a row, the last one's counts. At head width 128. Short calls of lightning attention wait for
the host, which a CUDA graph of a model hides: up to 8K tokens their time is that inside a CUDA graph. Softmax attention
was timed as a whole call at each length.
The background is white, so that the picture reads the same on light and dark pages.
"""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FixedLocator, FuncFormatter, NullLocator, PercentFormatter

Row = dict[str, Any]
Line = dict[int, float]
"""A value by length in tokens."""

WIDTH = 128
SHORT_TOKENS = 8192
FLA = ("fla-chunk", "fla-fused-chunk")
INK, MUTED = "#24292f", "#6e7781"


@dataclass(frozen=True, kw_only=True)
class Style:
    """One implementation in the picture."""

    impls: tuple[str, ...]
    """Rows of the result; the fastest at each length counts."""
    label: str
    color: str


FULMEN = Style(impls=("fulmen",), label="fulmen", color="#0969da")
PEER = Style(impls=FLA, label="fla, faster of two operators", color="#d1570a")
CUDNN = Style(impls=("softmax-cudnn",), label="softmax, cuDNN", color="#57606a")
FA2 = Style(impls=("softmax-fa2",), label="softmax,\nFlashAttention 2", color="#9a5fc4")


def device_ms(row: Row) -> float:
    """Returns the time of a call, for short ones without what the host adds."""
    return row["graph_ms"] if row["T"] <= SHORT_TOKENS and row.get("graph_ms") else row["ms"]


def tokens_per_s(row: Row) -> float:
    """Returns tokens per second."""
    return row["B"] * row["T"] / (device_ms(row) * 1e-3)


def floor_frac(row: Row) -> float:
    """Returns the fraction of the physical limit, in percent, for the time that `device_ms` takes."""
    return 100 * row["floor_frac"] * row["ms"] / device_ms(row)


def line(rows: Sequence[Row], style: Style, direction: str, num_heads: int, value: Callable[[Row], float]) -> Line:
    """Returns the largest value at each length among the implementations of `style`; lengths that did not run lack."""
    points: Line = {}
    for row in rows:
        asked = row["op"] == "attention" and (row["pass"], row["H"], row["K"]) == (direction, num_heads, WIDTH)
        if asked and row["impl"] in style.impls and row["ms"] is not None:
            points[row["T"]] = max(value(row), points.get(row["T"], 0.0))
    return dict(sorted(points.items()))


def draw(axes: Axes, points: Line, style: Style, *, is_dashed: bool = False, is_hollow: bool = False) -> None:
    """Draws one line; hollow marks are forward and backward."""
    axes.plot(
        list(points), list(points.values()), color=style.color, linewidth=1.2 if is_dashed else 2.0,
        linestyle=(0, (3, 2)) if is_dashed else "-", marker="o", markersize=3.5 if is_dashed else 5,
        markerfacecolor="white" if is_hollow else style.color,
    )  # fmt: skip


def write_label(
    axes: Axes, points: Line, text: str, color: str, *, at: int, shift: tuple[float, float], side: str = "center"
) -> None:
    """Writes `text` beside point number `at` of a line, `shift` typographic points away."""
    anchor = list(points.items())[at]
    axes.annotate(
        text, anchor, xytext=shift, textcoords="offset points", color=color, ha=side, va="center", fontsize=8.5,
        linespacing=1.1,
    )  # fmt: skip


def draw_speed(axes: Axes, rows: Sequence[Row], direction: str, title: str) -> None:
    """Draws tokens per second against length, 64 heads."""
    for style, at, shift, side in (
        (FULMEN, 2, (0, 12), "left"), (PEER, 2, (0, 11), "left"),
        (CUDNN, -1, (8, 0), "left"), (FA2, -1, (8, -4), "left"),
    ):  # fmt: skip
        points = line(rows, style, direction, 64, tokens_per_s)
        draw(axes, points, style, is_hollow=direction != "fwd")
        write_label(axes, points, style.label, style.color, at=at, shift=shift, side=side)
    axes.set_yscale("log")
    axes.margins(y=0.1)
    axes.yaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    axes.set_ylabel("tokens per second", color=MUTED)


def draw_limit(axes: Axes, rows: Sequence[Row]) -> None:
    """Draws the fraction of the physical limit against length."""
    for style, direction, at, shift, text in (
        (FULMEN, "fwd", 3, (0, 11), "fulmen, forward"),
        (FULMEN, "fwd+bwd", 4, (0, -11), "fulmen, both"),
        (PEER, "fwd", 3, (0, 11), "fla, forward"),
        (PEER, "fwd+bwd", 3, (0, -12), "fla, both"),
    ):
        points = line(rows, style, direction, 64, floor_frac)
        draw(axes, points, style, is_hollow=direction != "fwd")
        write_label(axes, points, text, style.color, at=at, shift=shift)
    for direction in ("fwd", "fwd+bwd"):
        points = line(rows, FULMEN, direction, 16, floor_frac)
        draw(axes, points, FULMEN, is_dashed=True, is_hollow=direction != "fwd")
    axes.set_ylim(0, 112)
    axes.yaxis.set_major_formatter(PercentFormatter())
    axes.set_title("fraction of the physical limit", loc="left", fontsize=11, color=INK)


def tidy(axes: Axes, lengths: Sequence[int]) -> None:
    """Sets the axis of lengths, a faint grid, and no frame."""
    axes.set_xscale("log", base=2)
    axes.set_xlim(lengths[0] / 1.4, lengths[-1] * 1.4)
    axes.xaxis.set_major_locator(FixedLocator(list(lengths)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda t, _: f"{t / 2**20:g}M" if t >= 2**20 else f"{t / 1024:g}K"))
    axes.set_xlabel("tokens in one document", color=MUTED)
    axes.grid(color="#d8dee4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", color="#d8dee4", labelcolor=MUTED, labelsize=8)
    axes.spines[:].set_visible(False)


def merged_rows(contents: Sequence[Row]) -> list[Row]:
    """Returns the rows of all results, each operator, pass and shape once: the last result's."""
    keys = ("op", "impl", "pass", "B", "T", "H", "K")
    return list({tuple(row[key] for key in keys): row for content in contents for row in content["rows"]}.values())


def main(results: Sequence[Path], picture: Path) -> None:
    """Writes the picture; hardware and limits in its caption are the first result's."""
    contents = [json.loads(result.read_text()) for result in results]
    content, rows = contents[0], merged_rows(contents)
    figure = Figure(figsize=(12, 4.5), dpi=150, facecolor="white")
    forward, both, limit = figure.subplots(1, 3)
    draw_speed(forward, rows, "fwd", "forward")
    draw_speed(both, rows, "fwd+bwd", "forward + backward")
    draw_limit(limit, rows)
    for axes in (forward, both, limit):
        tidy(axes, sorted({row["T"] for row in rows if row["op"] == "attention" and row["K"] == WIDTH}))
    hardware = content["hardware"]
    caption = (
        f"{hardware['gpu']}, {content['date']}: bfloat16, head width {WIDTH}, one document, 64 heads "
        "(thin dashes: 16); filled marks are forward, hollow marks forward + backward.\n"
        "Lines end at the card's memory; softmax was not timed further. Up to 8K tokens, lightning attention is timed "
        "inside a CUDA graph (device time alone), softmax as a whole call.\n"
        "Limit, measured in the same run: what the bytes need at the speed of a copy "
        f"({content['copy_bytes_per_s'] / 1e12:.2f} TB/s) or the products at that of a large one "
        f"({content['matmul_flops_per_s'] / 1e12:.0f} TFLOP/s), whichever is longer."
    )
    figure.text(0.01, 0.02, caption, fontsize=7.5, color=MUTED, va="bottom", linespacing=1.4)
    figure.tight_layout(rect=(0, 0.1, 1, 1), w_pad=2)
    figure.savefig(picture)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: python -m benchmarks.lightning_figure RESULT.json [SHORT.json ...] PICTURE.png")
    main([Path(argument) for argument in sys.argv[1:-1]], Path(sys.argv[-1]))

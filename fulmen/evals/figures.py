"""Small pictures for a run's report, as inline SVG that takes its colours from the page.

Every picture is drawn through matplotlib's object-oriented API with placeholder colours, which are then replaced by CSS
variables (`var(--c0)`): one picture serves light and dark pages. Titles and legends are left to the page, where text
wraps and keeps its size on a phone; the pictures hold axes and data only.
Axis suffixes: `S` steps, `N` tokens, `W` histogram bins.
"""

import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, MaxNLocator, NullFormatter, PercentFormatter

NUM_COLOURS = 6
MAX_VECTOR_POINTS = 2000
"""Scatters with more points are embedded as PNG, for the size of the page."""
MAX_LINE_POINTS = 500
_WIDTH_IN, _HEIGHT_IN = 3.5, 2.35

# A placeholder must survive matplotlib's colour parsing unchanged and be a colour nobody would choose.
_PLACEHOLDERS = {name: f"#01fe{i:02x}" for i, name in enumerate(["ink", "muted", "grid", *map("c{}".format, range(6))])}
# Rasterized points cannot follow the page; this blue is legible on white and on near-black.
_RASTER_BLUE = "#3a8dcc"

MISSING = "\N{EN DASH}"
"""Stands for a number that is not there."""

Unit = Literal["number", "share", "tokens"]
LineStyle = Literal["smoothed", "plain", "marked", "dashed"]
Record = Mapping[str, Any]
Curves = Mapping[str, tuple[str, str, LineStyle]]
"""Key of a metric -> (label, colour, style)."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One curve of a panel."""

    label: str
    """Text of the legend."""
    steps_S: np.ndarray
    """Optimizer steps, ascending."""
    values_S: np.ndarray
    """One value per step; NaN where the run did not report it."""
    colour: str = "c0"
    """`c0` to `c5`, `ink` or `muted`."""
    style: LineStyle = "plain"
    """`smoothed` draws the raw values lightly under their moving average."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A picture with the words the page puts around it."""

    title: str
    svg: str
    """Inline SVG; empty when there is nothing to draw yet."""
    alt: str
    """What the picture shows, for those who cannot see it."""
    legend: Sequence[Line] = ()
    """Curves to name under the title; none when one curve speaks for itself."""


def smooth(values_S: np.ndarray) -> np.ndarray:
    """Returns a centred moving average over about a tenth of the run, NaNs left out, edges averaging what exists."""
    width = max(3, len(values_S) // 10) | 1
    if len(values_S) < width:
        return values_S
    present_S = np.isfinite(values_S)
    kernel = np.ones(width)
    sums_S = np.convolve(np.where(present_S, values_S, 0.0), kernel, mode="same")
    counts_S = np.convolve(present_S.astype(float), kernel, mode="same")
    means_S = np.full_like(sums_S, np.nan)
    np.divide(sums_S, counts_S, out=means_S, where=counts_S > 0.5)
    return means_S


def learning_panels(rl: Sequence[Record], heldout: Sequence[Record], colours: Mapping[str, str]) -> list[Panel]:
    """Returns reward, held-out accuracy and response length over RL steps (figure 4 of the MiniMax-M1 report)."""
    lengths = _metric_lines(rl, {"length_mean": ("training mean", "ink", "smoothed")})
    return [
        _reward_panel(rl, colours),
        lines_panel("Held-out pass@1", _heldout_lines(heldout, "pass@1", colours), unit="share"),
        lines_panel(
            "Response length, tokens", lengths + _heldout_lines(heldout, "mean_length", colours), unit="tokens"
        ),
    ]


def weight_panels(rl: Sequence[Record], cap: float | None) -> list[Panel]:
    """Returns the importance weights of the run: their histogram, what was capped, and their spread over steps."""
    shares: Curves = {
        "capped_frac_pos": ("capped, advantage > 0", "c0", "smoothed"),
        "capped_frac_neg": ("capped, advantage < 0", "c1", "smoothed"),
        "ppo_dropped_frac": ("PPO would drop", "ink", "dashed"),
    }
    return [
        _weight_histogram(rl, cap),
        lines_panel("Tokens capped, or dropped by PPO", _metric_lines(rl, shares), unit="share"),
        lines_panel("Importance weight r, quantiles", _ratio_lines(rl), band=3),
    ]


def mismatch_panels(mismatch: Record, rl: Sequence[Record]) -> list[Panel]:
    """Returns sampler against learner probabilities (figure 3 of the MiniMax-M1 report) and their gap over steps."""
    sampler_N, learner_N = read_numbers(mismatch.get("sampler_p")), read_numbers(mismatch.get("learner_p"))
    num_shown = min(len(sampler_N), len(learner_N))
    scatter = Panel(title="Probability of each sampled token", svg="", alt="Not recorded yet.")
    if num_shown:
        title = f"Probability of each sampled token, Pearson r = {read_number(mismatch.get('pearson')):.6f}"
        scatter = scatter_panel(
            title, x_N=sampler_N[:num_shown], y_N=learner_N[:num_shown], x="sampler p", y="learner p"
        )
    # A perfect match has no place on a log axis; it is drawn near the smallest gap float32 can hold.
    gaps_S = np.maximum(1.0 - read_column(rl, "logprob_pearson"), 1e-8)
    gap = Line(label="1 - r", steps_S=read_column(rl, "step"), values_S=gaps_S, style="smoothed")
    largest: Curves = {"logprob_abs_diff_max": ("largest difference", "c0", "smoothed")}
    return [
        scatter,
        lines_panel("1 - Pearson r, per step", [gap], log_y=True),
        lines_panel("Largest logprob difference, per step", _metric_lines(rl, largest)),
    ]


def sft_panels(sft: Sequence[Record]) -> list[Panel]:
    """Returns the course of supervised fine-tuning."""
    speed = _metric_lines(sft, {"tokens_per_s": ("tokens/s", "c0", "smoothed")})
    return [
        lines_panel("SFT loss", _metric_lines(sft, {"loss": ("loss", "c0", "smoothed")}), x="SFT step"),
        lines_panel("SFT gradient norm", _metric_lines(sft, {"grad_norm": ("norm", "c0", "smoothed")}), x="SFT step"),
        lines_panel("SFT tokens per second", speed, unit="tokens", x="SFT step"),
    ]


def health_panels(rl: Sequence[Record]) -> list[Panel]:
    """Returns what tells a sick RL run from a healthy one."""
    shares: Curves = {
        "accept_frac": ("groups kept by dynamic sampling", "c0", "smoothed"),
        "truncated_frac": ("completions truncated", "c1", "smoothed"),
    }
    speeds: Curves = {
        "tokens_per_s": ("sampled", "c0", "smoothed"),
        "learner_tokens_per_s": ("learned", "c1", "smoothed"),
    }
    durations: Curves = {"rollout_s": ("rollouts", "c0", "smoothed"), "learn_s": ("learning", "c1", "smoothed")}
    tiny: Curves = {"tiny_grad_frac": ("tiny gradients", "c0", "smoothed")}
    return [
        lines_panel("Entropy, nats per token", _metric_lines(rl, {"entropy": ("entropy", "c0", "smoothed")})),
        lines_panel("Gradient norm", _metric_lines(rl, {"grad_norm": ("gradient norm", "c0", "smoothed")})),
        lines_panel("Groups kept, completions truncated", _metric_lines(rl, shares), unit="share"),
        lines_panel("Tokens per second", _metric_lines(rl, speeds), unit="tokens"),
        lines_panel("Seconds per step", _metric_lines(rl, durations)),
        lines_panel("Share of tiny gradients", _metric_lines(rl, tiny), unit="share"),
    ]


def lines_panel(
    title: str, lines: Sequence[Line], *, unit: Unit = "number", log_y: bool = False, band: int = 0, x: str = "step"
) -> Panel:
    """Returns a panel of curves over steps; lines without a finite value are left out.

    `band` shades between the first and last of the first `band` lines.
    """
    lines = [line for line in lines if np.isfinite(line.values_S).any()]
    if not lines:
        return Panel(title=title, svg="", alt=f"{title}: nothing recorded yet.")

    def draw(axes: Axes) -> None:
        for line in lines:
            _draw_line(axes, line)
        if band and len(lines) >= band:
            low, high = lines[0], lines[band - 1]
            colour = _PLACEHOLDERS[low.colour]
            axes.fill_between(low.steps_S, low.values_S, high.values_S, color=colour, alpha=0.15, linewidth=0)
        if log_y:
            values = np.concatenate([line.values_S[line.values_S > 0] for line in lines])
            if len(values):  # a constant line would leave the axis without extent
                axes.set_ylim(values.min() / 3, values.max() * 3)
            axes.set_yscale("log")
        _format_axis(axes, unit, log_y)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        axes.set_xlabel(x)

    alt = f"{title}. " + " ".join(_describe(line, unit) for line in lines)
    return Panel(title=title, svg=_render(draw, title), alt=alt, legend=lines if len(lines) > 1 else ())


def histogram_panel(title: str, *, counts_W: np.ndarray, edges_W: np.ndarray, cap: float | None) -> Panel:
    """Returns the histogram of importance weights on two log axes, with the cap drawn. `edges_W` has one more entry."""
    total = float(counts_W.sum())
    if total <= 0:
        return Panel(title=title, svg="", alt=f"{title}: nothing recorded yet.")
    edges_W = edges_W.astype(float).copy()
    # An open bin (edge 0 or infinity) has no place on a log axis; it is drawn one bin wide.
    if edges_W[0] <= 0:
        edges_W[0] = edges_W[1] ** 2 / edges_W[2] if len(edges_W) > 2 else edges_W[1] / 2
    if not np.isfinite(edges_W[-1]):
        edges_W[-1] = edges_W[-2] ** 2 / edges_W[-3] if len(edges_W) > 2 else edges_W[-2] * 2

    filled = np.flatnonzero(counts_W)
    low = min(1.0, edges_W[filled[0]])
    high = max(1.0, edges_W[filled[-1] + 1], 0.0 if cap is None else cap)

    def draw(axes: Axes) -> None:
        axes.stairs(counts_W, edges_W, fill=True, baseline=0.5, color=_PLACEHOLDERS["c0"], alpha=0.75)
        axes.axvline(1.0, color=_PLACEHOLDERS["muted"], linewidth=0.8)
        if cap is not None:
            axes.axvline(cap, color=_PLACEHOLDERS["c1"], linewidth=1.5, linestyle=(0, (4, 2)))
            axes.annotate(
                f"cap {cap:g}",
                (cap, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(-4 if cap > 0.5 * high else 4, -3),
                textcoords="offset points",
                ha="right" if cap > 0.5 * high else "left",
                va="top",
                color=_PLACEHOLDERS["c1"],
            )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_ylim(bottom=0.5)
        axes.set_xlim(low / 1.1, high * 1.1)
        is_narrow = high / low < 300
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if is_narrow else (1,)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        _format_axis(axes, "tokens", True)
        axes.set_xlabel("importance weight r")
        axes.set_ylabel("tokens")

    above_frac = counts_W[edges_W[:-1] >= cap].sum() / total if cap is not None else 0.0
    above = f", {format_value(above_frac, 'share')} in bins above the cap {cap:g}" if cap is not None else ""
    span = f"from r = {edges_W[filled[0]]:.3g} to {edges_W[filled[-1] + 1]:.3g}"
    alt = f"{title}: histogram of {total:,.0f} tokens {span}{above}."
    return Panel(title=title, svg=_render(draw, title), alt=alt)


def scatter_panel(title: str, *, x_N: np.ndarray, y_N: np.ndarray, x: str, y: str) -> Panel:
    """Returns a scatter of probabilities with its diagonal; embedded as PNG above `MAX_VECTOR_POINTS` points."""
    is_raster = len(x_N) > MAX_VECTOR_POINTS

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=_PLACEHOLDERS["muted"], linewidth=0.8, zorder=1)
        colour = _RASTER_BLUE if is_raster else _PLACEHOLDERS["c0"]
        # A line of markers shares one marker definition, where a scatter writes out every point.
        axes.plot(
            x_N, y_N, "o", color=colour, markersize=2.5, markeredgewidth=0, alpha=0.5, rasterized=is_raster, zorder=2
        )
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.02)
        axes.set_xlabel(x)
        axes.set_ylabel(y)

    alt = f"{title}: scatter of {len(x_N):,} tokens, {y} over {x}, with the diagonal."
    return Panel(title=title, svg=_render(draw, title), alt=alt)


def read_number(value: object) -> float:
    """Returns a JSON value as a float; NaN when it is not a number."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else math.nan  # type: ignore[arg-type]


def read_numbers(values: object) -> np.ndarray:
    """Returns a JSON list as float64, NaN for what is not a number; empty when it is not a list."""
    return np.array([read_number(value) for value in values] if isinstance(values, list) else [], dtype=float)


def read_column(records: Sequence[Record], key: str) -> np.ndarray:
    """Returns one key of every record as float64, NaN where it is missing."""
    return np.array([read_number(record.get(key)) for record in records], dtype=float)


def format_value(value: float, unit: Unit) -> str:
    """Returns a value as people write it in its unit."""
    if not np.isfinite(value):
        return MISSING
    if unit == "share":
        return f"{100 * value:.3g} %" if 0 < abs(value) < 0.001 else f"{100 * value:.1f} %"
    return f"{value:,.0f}" if unit == "tokens" else f"{value:.3g}"


def _metric_lines(records: Sequence[Record], keys: Curves) -> list[Line]:
    steps_S = read_column(records, "step")
    return [
        Line(label=label, steps_S=steps_S, values_S=read_column(records, key), colour=colour, style=style)
        for key, (label, colour, style) in keys.items()
    ]


def _reward_panel(rl: Sequence[Record], colours: Mapping[str, str]) -> Panel:
    keys: Curves = {f"reward/{task}": (task, colour, "smoothed") for task, colour in colours.items()}
    lines = [line for line in _metric_lines(rl, keys) if np.isfinite(line.values_S).any()]
    # With one task the total is that task.
    if len(lines) != 1:
        lines += _metric_lines(rl, {"reward": ("all tasks", "ink", "smoothed")})
    return lines_panel("Training reward", lines)


def _heldout_lines(heldout: Sequence[Record], key: str, colours: Mapping[str, str]) -> list[Line]:
    lines = []
    for task, colour in colours.items():
        records = [record for record in heldout if record.get("task") == task]
        if records:
            steps_S, values_S = read_column(records, "step"), read_column(records, key)
            lines.append(Line(label=task, steps_S=steps_S, values_S=values_S, colour=colour, style="marked"))
    return lines


def _ratio_lines(rl: Sequence[Record]) -> list[Line]:
    rows = [(record["step"], read_numbers(record.get("ratio_q"))) for record in rl]
    rows = [(step, quantiles) for step, quantiles in rows if len(quantiles) == 5]
    steps_S = np.array([step for step, _ in rows], dtype=float)
    values = np.array([quantiles for _, quantiles in rows]).reshape(-1, 5)
    names: Mapping[int, tuple[str, str, LineStyle]] = {
        1: ("1 %", "c0", "dashed"),
        2: ("median", "ink", "plain"),
        3: ("99 %", "c0", "plain"),
    }
    return [
        Line(label=label, steps_S=steps_S, values_S=values[:, i], colour=colour, style=style)
        for i, (label, colour, style) in names.items()
    ]


def _weight_histogram(rl: Sequence[Record], cap: float | None) -> Panel:
    """Returns the histogram of all steps whose bins are those of the last one."""
    title = "Importance weights of all steps"
    counts_W, edges_W = np.zeros(0), np.zeros(0)
    for record in reversed(rl):
        counts, edges = read_numbers(record.get("weight_hist")), read_numbers(record.get("weight_edges"))
        if len(edges) < 2 or len(edges) != len(counts) + 1 or not np.isfinite(counts).all():
            continue
        if not len(edges_W):
            counts_W, edges_W = np.zeros(len(counts)), edges
        if np.array_equal(edges, edges_W):
            counts_W = counts_W + counts
    return histogram_panel(title, counts_W=counts_W, edges_W=edges_W, cap=cap)


def _describe(line: Line, unit: Unit) -> str:
    present = np.flatnonzero(np.isfinite(line.values_S))
    first, last = present[0], present[-1]
    before, after = format_value(line.values_S[first], unit), format_value(line.values_S[last], unit)
    return f"{line.label}: {before} at step {line.steps_S[first]:g}, {after} at step {line.steps_S[last]:g}."


def _draw_line(axes: Axes, line: Line) -> None:
    colour = _PLACEHOLDERS[line.colour]
    steps_S, values_S = _thin(line.steps_S), _thin(line.values_S)
    # A lone point has no length; it is drawn as a dot whatever the style.
    marker = "o" if line.style == "marked" or len(steps_S) == 1 else ""
    if line.style == "smoothed":
        axes.plot(steps_S, values_S, color=colour, linewidth=0.7, alpha=0.3, marker=marker, markersize=3)
        axes.plot(steps_S, _thin(smooth(line.values_S)), color=colour, linewidth=1.7)
        return
    # Marked lines are sparse; they are joined across steps at which they were not measured.
    keep_S = np.isfinite(values_S) if line.style == "marked" else np.ones(len(values_S), dtype=bool)
    dashes = (0, (3, 2)) if line.style == "dashed" else "-"
    axes.plot(
        steps_S[keep_S], values_S[keep_S], color=colour, linewidth=1.4, linestyle=dashes, marker=marker, markersize=3
    )


def _thin(values_S: np.ndarray) -> np.ndarray:
    """Returns at most `MAX_LINE_POINTS` means of neighbouring values (NaNs left out)."""
    stride = -(-len(values_S) // MAX_LINE_POINTS)
    if stride <= 1:
        return values_S
    padded_S = np.full(-(-len(values_S) // stride) * stride, np.nan)
    padded_S[: len(values_S)] = values_S
    rows = np.ma.masked_invalid(padded_S.reshape(-1, stride))
    return np.asarray(rows.mean(axis=1).filled(np.nan), dtype=float)


def _format_axis(axes: Axes, unit: Unit, is_log: bool) -> None:
    if unit == "share":
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    elif unit == "tokens":
        axes.yaxis.set_major_formatter(EngFormatter(sep=""))
    else:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    if is_log:
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5))


def _render(draw: Callable[[Axes], None], name: str) -> str:
    """Returns the drawing as one `<svg>` element without metadata, whose ids no other picture of the page has."""
    settings: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "font.size": 8,
        "font.family": ["DejaVu Sans"],
        "axes.linewidth": 0.7,
        "axes.formatter.useoffset": False,
        "text.parse_math": False,
    }
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(_WIDTH_IN, _HEIGHT_IN), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        figure.patch.set_alpha(0.0)
        axes.patch.set_alpha(0.0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(_PLACEHOLDERS["grid"])
        axes.grid(color=_PLACEHOLDERS["grid"], linewidth=0.5, alpha=0.6)
        axes.set_axisbelow(True)
        draw(axes)
        axes.tick_params(which="both", color=_PLACEHOLDERS["grid"], labelcolor=_PLACEHOLDERS["muted"], length=2.5)
        axes.xaxis.label.set_color(_PLACEHOLDERS["muted"])
        axes.yaxis.label.set_color(_PLACEHOLDERS["muted"])
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", dpi=160, metadata={"Date": None})
    return _inline(buffer.getvalue())


def _inline(svg: str) -> str:
    svg = svg[svg.index("<svg") :]
    # matplotlib's style sheet would apply to the whole page; the page has the same rule for pictures alone.
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", svg).replace("xlink:href", "href")
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*"', r"<svg \1", svg, count=1)
    svg = re.sub(r'<svg ([^>]*?)height="[^"]*"', r"<svg \1", svg, count=1)
    # Group ids (`axes_1`, `line2d_3`) repeat from picture to picture; only those that are referred to are kept.
    used = set(re.findall(r'(?:href="|url\()#([\w-]+)', svg))
    svg = re.sub(r'\sid="([\w.-]+)"', lambda match: match[0] if match[1] in used else "", svg)
    for name, placeholder in _PLACEHOLDERS.items():
        svg = svg.replace(placeholder, f"var(--{name})")
    return re.sub(r"\n\s*", "\n", svg).strip()

"""Picture of `benchmarks.serve`: decoded tokens per second by size of batch, and the fraction of the roofline.

python -m benchmarks.serve_figure benchmarks/results/serve_h100_DATE.json docs/serve.png
"""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

from benchmarks.common import read_figure_arguments


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Writes two panels: tokens per second (lines ours, crosses transformers), and fractions of the roofline."""
    figure, (rates, fractions) = plt.subplots(1, 2, figsize=(9, 3.6))
    decoding = [row for row in rows if row["what"] == "decode" and "tok_per_s" in row]
    for model in dict.fromkeys(row["model"] for row in decoding):
        own = [row for row in decoding if row["model"] == model and row["impl"] == "fulmen"]
        peer = [row for row in decoding if row["model"] == model and row["impl"] == "transformers generate"]
        (line,) = rates.plot([r["B"] for r in own], [r["tok_per_s"] for r in own], marker="o", label=model)
        rates.plot([r["B"] for r in peer], [r["tok_per_s"] for r in peer], "x", color=line.get_color())
        fractions.plot([r["B"] for r in own], [r["roofline_frac"] for r in own], marker="o", color=line.get_color())
    rates.set(xscale="log", yscale="log", xlabel="sequences at once", ylabel="tokens/s (x: transformers generate)")
    fractions.set(xscale="log", xlabel="sequences at once", ylabel="fraction of the roofline", ylim=(0, 1))
    for axis in (rates, fractions):
        axis.set_xticks([1, 64, 256], ["1", "64", "256"])
        axis.minorticks_off()
    rates.legend(fontsize=8)
    figure.suptitle("Decoding at 2,048 tokens of context, one H100, bfloat16", fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    content, picture = read_figure_arguments(str(__doc__))
    draw(content["rows"], picture)

"""Picture of `benchmarks.mismatch`: the probability of each token in training against that in sampling.

python -m benchmarks.mismatch_figure benchmarks/results/mismatch_h100_DATE.json docs/mismatch.png
"""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

from benchmarks.common import read_figure_arguments

TITLES = {"bf16": "bfloat16 head", "fp32_out": "float32 out of the head", "invariant": "batch-invariant"}


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Writes one row of panels per model: before, after, and in the deterministic mode."""
    models = list(dict.fromkeys(row["model"] for row in rows))
    figure, axes = plt.subplots(len(models), len(TITLES), figsize=(9, 3.1 * len(models)), squeeze=False)
    for line, model in zip(axes, models, strict=True):
        for axis, (setting, title) in zip(line, TITLES.items(), strict=True):
            (row,) = [row for row in rows if row["model"] == model and row["setting"] == setting]
            sampled, learnt = zip(*row["points"], strict=True)
            axis.plot((0, 1), (0, 1), color="0.7", linewidth=0.8, zorder=0)
            axis.scatter(sampled, learnt, s=2, alpha=0.4, color="#1f6f8b", rasterized=True)
            quantile, largest = row["abs_diff_quantiles"]["0.99"], row["abs_diff_quantiles"]["1.0"]
            axis.set_title(f"{title}\nr = {row['pearson']:.7f}", fontsize=9)
            axis.text(0.97, 0.05, f"|Δlogprob|: 99 % ≤ {quantile:.1e}\nlargest {largest:.1e}", fontsize=7, ha="right")
            axis.set_xlabel("p in sampling", fontsize=8)
            axis.tick_params(labelsize=7)
        line[0].set_ylabel(f"{model}\np in training", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    content, picture = read_figure_arguments(str(__doc__))
    draw(content["rows"], picture)

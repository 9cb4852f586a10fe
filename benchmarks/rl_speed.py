"""One RL iteration against TRL's: same weights, tasks, tokenizer, reward and optimizer, one GPU, one run.

    python -m benchmarks.rl_speed                                # one GPU, under nine minutes; needs trl and datasets
    python -m benchmarks.rl_speed --impl fulmen --settings bf16  # a part
    python -m benchmarks.rl_speed --selftest                     # CPU, tiny shapes: runs every line, measures nothing

An iteration is 16 prompts x 16 completions of exactly 256 tokens (65,536 drawn, 67,040 trained with the prompts), their
rewards, and 1 or 16 optimizer steps with CISPO. The shape is SmolLM2-135M's (134.5M parameters), weights random,
AdamW (0.9, 0.95, 1e-15), lr 1e-5, clip 1.0, temperature 1. Micro-batches of 64 completions, 16 with 16 updates.
TRL runs as it was best (bfloat16 weights, SDPA attention), as it is by default (float32 weights under autocast), with
a static cache, and with transformers' continuous batching. Rates are medians of the warm iterations; the first one is
excluded and given. Rows are written as soon as they are there; `skipped` names what no longer fits into the budget.
"""

import argparse
import gc
import importlib.metadata
import math
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu import write_result
from benchmarks.rl_speed_fulmen import FULMEN_SETTINGS, parity, run_fulmen
from benchmarks.rl_speed_meter import Meter, Plan
from benchmarks.rl_speed_workload import (
    SMOLLM2_135M,
    TINY,
    Workload,
    fulmen_tokenizer,
    reward,
    transformers_tokenizer,
    write_weights,
)
from fulmen.model.checkpoint import load_model
from fulmen.model.flops import H100_BF16_FLOPS, training_flops

CASES: tuple[tuple[str, str, int], ...] = (
    ("fulmen", "bf16", 0), ("fulmen", "bf16", 1),
    ("trl", "bf16", 0), ("trl", "bf16", 1), ("trl", "fp32", 0), ("trl", "fp32", 1), ("trl", "bf16-static", 0),
    ("trl", "bf16-batching", 0),
)  # fmt: skip
"""(side, setting, which of the workload's numbers of updates), in the order in which they run."""
SETTINGS: dict[str, str] = {
    "bf16": "weights in bfloat16; fulmen's optimizer keeps float32 masters of them, TRL's does not",
    "fp32": "weights in float32, forward pass under bfloat16 autocast (TRL's default)",
    "bf16-static": "weights in bfloat16, static cache of keys and values",
    "bf16-batching": "weights in bfloat16, transformers' continuous batching",
}
"""What the names stand for."""
NUM_WARM = {"fulmen": 10, "trl": 5}
"""Warm iterations wanted."""
LEAST_WARM = 5
"""Warm iterations that fulmen's settings and `BEST` are given even past their share of the time."""
BEST = ("trl", "bf16", 0)
"""TRL's best case, by earlier measurement."""
LEAST_S = {"bf16-batching": 75.0}
"""Seconds without which a setting is not begun: a cold and a warm iteration, where they take longest."""
LEAST_S_DEFAULT = 40.0
STATED_FLOPS_PER_TOKEN = 0.834e9
"""6 x 134.5M weights and attention at 262 tokens; `flops_per_token` in the result is the same by fulmen's formula."""
PACKAGES = ("transformers", "trl", "accelerate", "datasets", "triton", "numpy")
LOGPROB_BOUND = {"fp32": 1e-3, "bf16": 0.05}
"""Largest mean |dlogprob| between fulmen and transformers that counts as the same model."""


def versions() -> dict[str, str]:
    """Returns what is installed of the packages that the numbers depend on."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def save(tag: str, record: dict[str, Any]) -> Path:
    """Writes the result, in place of an earlier one, all of it or nothing; returns its path."""
    part = write_result(f"{tag}.part", {"benchmark": tag, **record})
    path = part.with_name(part.name.replace(".part", "", 1))
    os.replace(part, path)
    return path


def check_sides(workload: Workload, weights: Path, *, device: str) -> dict[str, Any]:
    """Returns whether both sides are the same model, tokenizer and reward; runs before anything is timed."""
    vocab_size = workload.model["vocab_size"]
    own, peer = fulmen_tokenizer(vocab_size), transformers_tokenizer(vocab_size)
    generator = torch.Generator().manual_seed(0)
    # Not the padding token, which TRL leaves out of the text it scores.
    drawn = torch.randint(peer.pad_token_id + 1, vocab_size, (256, workload.num_new), generator=generator).tolist()
    texts = [peer.decode(ids, skip_special_tokens=True) for ids in drawn]
    scores = [reward(text, 110) for text in texts]
    checks: dict[str, Any] = {
        "prompt_ids_equal": own.encode("12+34=") == peer("12+34=")["input_ids"],
        "texts_equal": texts == [own.decode(ids) for ids in drawn],
        "rewards_of_random_completions": {str(value): scores.count(value) for value in sorted(set(scores))},
        "reward_examples": {text: reward(text, 46) for text in ("46", "abc46d", "-46", "9", "abc", "")},
    }
    for name, dtype in FULMEN_SETTINGS.items():
        try:
            checks[f"parity_{name}"] = parity(workload, weights, dtype=dtype, device=device)
        except Exception as error:
            checks[f"parity_{name}"] = {"error": f"{type(error).__name__}: {error}"[:300]}
    return checks


def faults(checks: dict[str, Any], rows: list[dict[str, Any]]) -> list[str]:
    """Returns what makes the numbers no comparison; empty if all is right."""
    wrong = [name for name in ("prompt_ids_equal", "texts_equal") if not checks.get(name, True)]
    wrong += [
        f"parity_{name}" for name, bound in LOGPROB_BOUND.items()
        if f"parity_{name}" in checks and checks[f"parity_{name}"].get("abs_diff_mean", math.inf) > bound
    ]  # fmt: skip
    for row in rows:
        label = f"{row['impl']} {row['setting']} {row['updates']}"
        found = row.get("checks")
        if found is None:
            wrong.append(f"{label}: {row['error']}")
            continue
        expected = {"all_lengths_exact": True, "steps_per_iteration": row["updates"], "generations_per_iteration": 1}
        wrong += [f"{label}: {name}={found[name]}" for name, value in expected.items() if found[name] != value]
        if not found["weights_changed_frac"] > 0:
            wrong.append(f"{label}: no weight changed")
        if not found.get("logprob_pearson_min", 1.0) >= 0.99:
            wrong.append(f"{label}: sampler and learner differ")
    return wrong


def measure(row: dict[str, Any], run: Callable[[], dict[str, Any]], *, meter: Meter, record: dict[str, Any]) -> None:
    """Adds rates and checks to a row, or what went wrong."""
    try:
        row["checks"] = run()
    except Exception as error:
        row["error"] = f"{type(error).__name__}: {error}"[:300]
    if meter.iterations:
        row |= meter.row(
            num_generated=record["generated_tokens"], num_trained=record["trained_tokens"], flops=record["flops"]
        )
    gc.collect()


def train(impl: str, name: str, workload: Workload, **more: Any) -> dict[str, Any]:
    """Trains on a side and returns its checks; TRL is imported no sooner than it is needed."""
    if impl == "fulmen":
        return run_fulmen(name, workload, **more)
    from benchmarks.rl_speed_trl import run_trl

    return run_trl(name, workload, **more)


def describe(row: dict[str, Any], best: float | None) -> str:
    """Returns a line of the table; `best` is TRL's best rate with as many updates."""
    label = f"{row['impl']:7} {row['setting']:14} {row['updates']:>3}"
    if "iterations_per_hour" not in row:
        return f"{label}  {row.get('error', 'no warm iteration')}"
    ratio = "" if best is None else f" {row['iterations_per_hour'] / best:6.2f}x"
    return (
        f"{label} {row['iterations_per_hour']:>9,.1f} it/h {row['rollout_tok_per_s']:>10,.0f} rollout tok/s "
        f"{row['learner_tok_per_s']:>9,.0f} learner tok/s {row['learner_mfu']:6.1%} MFU {row.get('peak_gib', 0.0):5.1f}"
        f" GiB {row['warm_iterations']:>2} warm, cold {row['cold_iteration_s']:.1f} s{ratio}"
    )


def best_of_trl(rows: list[dict[str, Any]], updates: int) -> float | None:
    """Returns TRL's highest iterations per hour with so many updates."""
    rates = [r.get("iterations_per_hour") for r in rows if r["impl"] == "trl" and r["updates"] == updates]
    return max((rate for rate in rates if rate is not None), default=None)


def make_plan(*, num_warm: int, least_warm: int, left_s: float, num_left: int) -> Plan:
    """Returns how long a setting may take: what is left, shared by the settings that are left."""
    now = time.perf_counter()
    return Plan(
        num_warm=num_warm, least_warm=least_warm, share_ends_at=now + left_s / num_left, ends_at=now + left_s
    )  # fmt: skip


def parse_arguments() -> argparse.Namespace:
    """Returns what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--selftest", action="store_true", help="tiny shapes on the CPU")
    parser.add_argument("--impl", nargs="*", default=["fulmen", "trl"], choices=["fulmen", "trl"])
    parser.add_argument("--settings", nargs="*", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--updates", nargs="*", type=int, help="numbers of optimizer steps; all by default")
    parser.add_argument("--budget-s", type=float, default=520.0, help="seconds for everything, checks included")
    parser.add_argument("--no-checks", action="store_true", help="leave out the comparison of both models")
    parser.add_argument("--tag", default="rl_speed")
    return parser.parse_args()


def chosen_cases(args: argparse.Namespace, workload: Workload) -> list[tuple[str, str, int]]:
    """Returns side, setting and number of updates of what is to run."""
    cases = [(impl, name, workload.updates[place]) for impl, name, place in CASES]
    return [
        (impl, name, updates) for impl, name, updates in cases
        if impl in args.impl and name in args.settings
        and not (args.selftest and name == "bf16-batching")  # takes minutes and gigabytes on a CPU
        and (args.updates is None or updates in args.updates)
    ]  # fmt: skip


def describe_run(workload: Workload, weights: Path) -> dict[str, Any]:
    """Returns what the numbers mean."""
    lengths = workload.lengths
    flops = training_flops(load_model(weights, device="meta").config, lengths)
    return {
        "versions": versions(), "settings": SETTINGS, "workload": vars(workload),
        "generated_tokens": workload.num_generated, "trained_tokens": sum(lengths), "flops": float(flops),
        "flops_per_token": flops / sum(lengths), "stated_flops_per_token": STATED_FLOPS_PER_TOKEN,
        "peak_flops": H100_BF16_FLOPS,
    }  # fmt: skip


def main() -> None:
    args, begin = parse_arguments(), time.perf_counter()
    device = "cpu" if args.selftest else "cuda"
    workload = Workload(model=SMOLLM2_135M)
    if args.selftest:
        workload = Workload(model=TINY, num_prompts=4, group_size=4, num_new=8, micro_batch=8, updates=(1, 4))
    cases = chosen_cases(args, workload)
    rows: list[dict[str, Any]] = []
    skipped: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder)
        write_weights(workload, weights)
        record = describe_run(workload, weights) | {"checks": {}, "faults": [], "rows": rows, "skipped": skipped}
        if not args.no_checks:
            record["checks"] = check_sides(workload, weights, device=device)
            print(f"{time.perf_counter() - begin:5.0f}s  checks {record['checks']}", flush=True)
        for index, (impl, name, updates) in enumerate(cases):
            left = args.budget_s - (time.perf_counter() - begin)
            if not args.selftest and left < LEAST_S.get(name, LEAST_S_DEFAULT):
                skipped.append(f"{impl} {name} {updates}: {left:.0f} s left")
                continue
            row: dict[str, Any] = {"impl": impl, "setting": name, "updates": updates}
            is_sure = impl == "fulmen" or (impl, name, workload.updates.index(updates)) == BEST
            plan = make_plan(
                num_warm=NUM_WARM[impl],
                least_warm=LEAST_WARM if is_sure else 1,
                left_s=left,
                num_left=len(cases) - index,
            )
            meter = Meter(plan, device=device)
            run = partial(train, impl, name, workload, updates=updates, weights=weights, meter=meter)
            measure(row, run, meter=meter, record=record)
            rows.append(row)
            record["faults"] = faults(record["checks"], rows)
            print(f"{time.perf_counter() - begin:5.0f}s  {describe(row, None)}  {row.get('checks')}", flush=True)
            save(args.tag, record)
    print(*("skipped " + text for text in skipped), sep="\n")
    print(*(describe(row, best_of_trl(rows, row["updates"])) for row in rows), sep="\n")
    print("\n".join(f"WRONG: {fault}" for fault in record["faults"]) or "all checks passed")
    print(save(args.tag, record))


if __name__ == "__main__":
    main()

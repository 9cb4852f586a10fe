import json
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from fulmen.errors import RunError
from fulmen.evals import figures
from fulmen.evals.report import headline, read_run, summary_table, write_report

PASS_AT_1 = {
    "countdown": {"untrained": 0.0, "sft": 0.314, "rl": 0.627},
    "zebra": {"untrained": 0.05, "sft": 0.5, "rl": 0.412},
    "sorting": {"untrained": 0.021, "sft": 0.4, "rl": 0.409},
}
HOSTILE = '</pre><script>alert("x")</script><img src=http://evil.example/a.png>\x00\ud800{{ 7 * 7 }}$headline'


class Page(HTMLParser):
    """Collects a page's tags, its text, and tags that are not closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, Mapping[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "link", "br", "img"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data


def make_summary() -> dict[str, Any]:
    tasks = {
        task: {
            phase: {
                "pass@1": value,
                "pass@1_se": 0.0123,
                "greedy": value / 2,
                "pass@8": min(1.0, value + 0.3),
                "mean_length": 40 + 100 * value,
                "truncated_frac": 0.037,
            }
            for phase, value in phases.items()
        }
        for task, phases in PASS_AT_1.items()
    }
    return {"wall_s": 754.0, "tasks": tasks, "logprob_pearson": 0.999987, "logprob_abs_diff_max": 0.004}


def make_metrics(num_sft: int, num_rl: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    edges = np.geomspace(1e-2, 1e2, 41)
    records: list[dict[str, Any]] = [
        {
            "phase": "sft",
            "step": i,
            "loss": 3 * float(np.exp(-i / 40)) + 0.4,
            "lr": 1e-3,
            "grad_norm": 1 + float(rng.random()),
            "tokens_per_s": 8000 + 500 * float(rng.random()),
        }
        for i in range(num_sft)
    ]
    for i in range(num_rl):
        growth = 1 - float(np.exp(-i / 60))
        ratios = np.exp(rng.normal(0, 0.02 + 0.2 * growth, 4000))
        record: dict[str, Any] = {"phase": "rl", "step": i, "reward": 0.3 + 0.4 * growth}
        for k, task in enumerate(PASS_AT_1):
            record[f"reward/{task}"] = 0.3 + 0.1 * k + 0.3 * growth + 0.06 * float(rng.normal())
        record |= {
            "length_mean": 60 + 60 * growth + 5 * float(rng.normal()),
            "truncated_frac": 0.05 * float(rng.random()),
            "accept_frac": 0.8 - 0.2 * growth + 0.05 * float(rng.normal()),
            "entropy": 0.9 - 0.5 * growth + 0.03 * float(rng.normal()),
            "grad_norm": 0.3 + 0.1 * float(rng.random()),
            "ratio_q": [float(q) for q in np.quantile(ratios, [0, 0.01, 0.5, 0.99, 1])],
            "weight_hist": np.histogram(ratios, edges)[0].tolist(),
            "weight_edges": edges.tolist(),
            "capped_frac_pos": 0.01 * growth * float(rng.random()),
            "capped_frac_neg": 0.02 * growth * float(rng.random()),
            "ppo_dropped_frac": 0.05 * growth,
            "logprob_pearson": 1 - 1e-5 * float(rng.random()),
            "logprob_abs_diff_max": 0.01 * float(rng.random()),
            "tiny_grad_frac": 0.6 + 0.02 * float(rng.normal()),
            "rollout_s": 2 + 0.2 * float(rng.random()),
            "learn_s": 1 + 0.1 * float(rng.random()),
            "tokens_per_s": 4000 + 300 * float(rng.random()),
            "learner_tokens_per_s": 9000 + 300 * float(rng.random()),
        }
        records.append(record)
    return records


def make_samples() -> list[dict[str, Any]]:
    def sample(phase: str, index: int, score: float | None) -> dict[str, Any]:
        prompt = f"Use 3, 7, 7 and {20 + index} with + - * / to make 63. Answer with one expression."
        thinking = "3 * 7 = 21, and 21 + 7 is 28, not 63. Try 7 * 7 = 49 first, then 63 - 49 is 14. " * (1 + 7 * index)
        return {
            "task": "countdown",
            "prompt": prompt,
            "phase": phase,
            "thinking": "" if phase == "untrained" else thinking,
            "content": "the the the the" if phase == "untrained" else "(7 + 3 - 1) * 7",
            "score": score,
            "stop_reason": "length" if phase == "untrained" else "stop",
            "length": 57 + index,
        }

    scores = {"untrained": 0.0, "sft": 0.25, "rl": 1.0}
    return [sample(phase, index, scores[phase]) for phase in ("rl", "untrained", "sft") for index in range(2)]


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))


def write_lines(path: Path, records: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def write_run(run_dir: Path, *, num_tokens: int = 500, num_rl: int = 120) -> Path:
    run_dir.mkdir(exist_ok=True)
    rng = np.random.default_rng(1)
    args = {"weight_max": 5.0, "lr": 3e-4, "tasks": ["countdown", "zebra"]}
    config = {"name": "demo", "seed": 0, "git_commit": "0123456789abcdef", "started": "2025-11-22 10:00", "args": args}
    write_json(run_dir / "config.json", config | {"num_parameters": 3_456_789, "num_active_parameters": 1_234_567})
    write_json(run_dir / "summary.json", make_summary())
    write_lines(run_dir / "metrics.jsonl", make_metrics(60, num_rl))
    heldout = [
        {"phase": "rl", "step": i, "task": task, "pass@1": a["sft"] + (a["rl"] - a["sft"]) * i / 100, "mean_length": 70}
        for i in range(0, num_rl, 20)
        for task, a in PASS_AT_1.items()
    ]
    write_lines(run_dir / "heldout.jsonl", heldout)
    sampler_p = rng.beta(0.6, 0.3, num_tokens)
    learner_p = np.clip(sampler_p + 0.002 * rng.normal(size=num_tokens), 0, 1)
    mismatch = {"sampler_p": sampler_p.tolist(), "learner_p": learner_p.tolist(), "pearson": 0.9998766}
    write_json(run_dir / "mismatch.json", mismatch | {"abs_diff_logprob_max": 0.01, "num_tokens": num_tokens})
    dropped = [{"token": " wait", "count": 1234, "share": 0.21, "mean_ratio": 2.5}]
    write_json(run_dir / "tokens.json", {"ppo_dropped": dropped})
    write_json(run_dir / "samples.json", make_samples())
    return run_dir


def page_of(run_dir: Path) -> tuple[str, Page]:
    html = write_report(run_dir).read_text(encoding="utf-8")
    page = Page(html)
    assert page.open == []
    return html, page


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Page]:
    """Page of a finished run, for tests that only read it."""
    return page_of(write_run(tmp_path_factory.mktemp("full")))


def test_page_shows_the_numbers_of_the_files(full: tuple[str, Page]) -> None:
    html, page = full
    for phases in PASS_AT_1.values():
        for value in phases.values():
            assert f"{100 * value:.1f} ± 1.2 %" in page.text
            assert f"{100 * value / 2:.1f} %" in page.text
            assert f"width: {100 * value:.1f}%" in html
    assert "3,456,789 (1,234,567 active)" in page.text
    assert "12 min 34 s" in page.text
    assert "60 SFT, 120 RL" in page.text
    assert "Pearson r = 0.999877" in page.text
    assert "r = 0.999987" in page.text
    assert re.search(r"␣wait.*?1,234.*?21.0 %.*?2.5", page.text, re.DOTALL)
    assert "weight_max" in page.text
    assert "cap 5" in page.text


def test_headline_names_what_moved_and_what_did_not(tmp_path: Path) -> None:
    sentence = headline(read_run(write_run(tmp_path))).replace("\N{NO-BREAK SPACE}", " ")
    assert sentence == (
        "RL lifted countdown from 31 % to 63 %; lowered zebra from 50 % to 41 %; "
        "left sorting (40 % to 41 %) within noise."
    )


def test_headline_before_rl_is_measured(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path)
    summary = make_summary()
    for phases in summary["tasks"].values():
        del phases["rl"]
    write_json(run_dir / "summary.json", summary)
    assert headline(read_run(run_dir)).startswith("SFT lifted ")
    (run_dir / "summary.json").unlink()
    assert headline(read_run(run_dir)).startswith("In progress: RL has reached step 119, training reward 0.6")


def test_histogram_sums_the_steps_and_alt_text_counts_above_the_cap(tmp_path: Path) -> None:
    records = [
        {"phase": "rl", "step": i, "weight_hist": [10, 80, 10 + i], "weight_edges": [0, 0.5, 5.0, 50.0]}
        for i in range(3)
    ]
    records.append({"phase": "rl", "step": 2, "weight_hist": [10, 80, 10], "weight_edges": [0, 0.5, 5.0, 50.0]})
    write_lines(tmp_path / "metrics.jsonl", records)
    write_json(tmp_path / "config.json", {"args": {"weight_max": 5.0}})
    _, page = page_of(tmp_path)
    alts = [attrs["aria-label"] or "" for _, attrs in page.tags if "aria-label" in attrs]
    # Steps 0 and 1 hold 100 and 101 tokens; step 2 was repeated by a resumed run, and its later record counts.
    assert any("301 tokens" in alt and "10.3 % in bins above the cap 5" in alt for alt in alts)


def test_every_picture_has_alt_text_with_its_numbers(full: tuple[str, Page]) -> None:
    html, page = full
    pictures = [attrs for _, attrs in page.tags if attrs.get("role") == "img"]
    assert len(pictures) == html.count("<svg") == 18
    alts = [attrs["aria-label"] or "" for attrs in pictures]
    assert any("countdown: 31.4 % at step 0, 62.7 % at step 100." in alt for alt in alts)


@pytest.mark.parametrize("num_tokens", [500, 5000])
def test_page_is_self_contained_and_small(tmp_path: Path, num_tokens: int) -> None:
    html, page = page_of(write_run(tmp_path, num_tokens=num_tokens, num_rl=300))
    links = [value for _, attrs in page.tags for name, value in attrs.items() if name in {"src", "href", "xlink:href"}]
    assert links
    assert all(value is not None and value.startswith(("#", "data:")) for value in links)
    assert "http://" not in html
    assert "https://" not in html
    assert "@import" not in html
    assert "script" not in {tag for tag, _ in page.tags}
    assert ("data:image/png;base64," in html) == (num_tokens > figures.MAX_VECTOR_POINTS)
    assert len(html) < 1_500_000


def test_ids_are_unique_and_every_reference_resolves(full: tuple[str, Page]) -> None:
    html, page = full
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="|url\()#([\w-]+)', html)) <= set(ids)


def test_pictures_take_every_colour_from_the_page(full: tuple[str, Page]) -> None:
    html, _ = full
    svgs = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert not [colour for svg in svgs for colour in re.findall(r"#[0-9a-f]{6}\b", svg)]
    names = set(re.findall(r"var\(--(\w+)\)", html))
    assert names <= set(re.findall(r"--(\w+):", html))


def test_rollouts_are_side_by_side_in_the_order_of_training(full: tuple[str, Page]) -> None:
    _, page = full
    rollouts = page.text[page.text.index("The same tasks, before and after") :]
    verdicts = re.findall(r"(untrained|SFT|RL)(✓ right|✗ wrong|◐ partial)", rollouts)
    assert verdicts == [("untrained", "✗ wrong"), ("SFT", "◐ partial"), ("RL", "✓ right")] * 2
    assert "thinking, 640 characters" in rollouts  # the long ones fold
    assert "thinking, 80 characters" not in rollouts


def test_hostile_text_is_escaped_everywhere(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path)
    row = make_summary()["tasks"]["countdown"]
    write_json(run_dir / "summary.json", {"tasks": {HOSTILE: row}})
    write_json(run_dir / "config.json", {"name": HOSTILE, "git_commit": HOSTILE, "args": {HOSTILE: HOSTILE}})
    sample = dict.fromkeys(("task", "prompt", "phase", "thinking", "content", "stop_reason"), HOSTILE)
    write_json(run_dir / "samples.json", [sample])
    write_json(run_dir / "tokens.json", {"ppo_dropped": [{"token": HOSTILE}]})
    write_lines(run_dir / "heldout.jsonl", [{"step": 1, "task": HOSTILE, "pass@1": 0.5}])
    html, page = page_of(run_dir)
    assert not {"script", "img"} & {tag for tag, _ in page.tags}
    assert page.text.count("{{ 7 * 7 }}$headline") > 8
    assert "\x00" not in html


def test_half_done_run_says_what_is_missing(tmp_path: Path) -> None:
    html, page = page_of(tmp_path)
    assert "Nothing is measured yet." in page.text
    assert "summary.json" in page.text
    assert page.text.count("Not there yet") == 6
    assert "<svg" not in html
    write_lines(tmp_path / "metrics.jsonl", make_metrics(5, 1))
    html, page = page_of(tmp_path)
    assert "In progress: RL has reached step 0" in page.text
    assert html.count("<svg") > 10


def test_cut_off_lines_are_skipped_and_said(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path)
    with (run_dir / "metrics.jsonl").open("ab") as file:
        file.write('{"phase": "rl", "step": 120, "task": "é'.encode()[:-1])
    (run_dir / "mismatch.json").write_text('{"sampler_p": [0.1, 0.')
    _, page = page_of(run_dir)
    assert "60 SFT, 120 RL" in page.text
    assert "metrics.jsonl: 1 unreadable line skipped" in page.text
    assert "mismatch.json is not JSON" in page.text


def test_odd_values_do_not_stop_the_page(tmp_path: Path) -> None:
    records: list[dict[str, Any]] = [
        {"phase": "rl", "step": 0, "reward": None, "entropy": float("nan"), "grad_norm": float("inf")},
        {"phase": "rl", "reward": 1.0},
        {"phase": "rl", "step": 1, "ratio_q": [1, 2], "weight_hist": [1], "weight_edges": "x", "reward/a": True},
        {"phase": "rl", "step": 2, "ratio_q": None, "weight_hist": [0, 0], "weight_edges": [0.5, 1, float("inf")]},
        {"phase": "rl", "step": 3, "capped_frac_pos": 0.0, "logprob_pearson": 1.0},
    ]
    write_lines(tmp_path / "metrics.jsonl", records)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write("[1, 2]\n")
    write_json(tmp_path / "summary.json", {"tasks": {"a": {"rl": {}, "sft": None}, "b": 3}, "wall_s": "long"})
    write_json(tmp_path / "config.json", [])
    write_json(tmp_path / "samples.json", [{}, 3])
    _, page = page_of(tmp_path)
    assert "config.json does not hold a dict" in page.text
    assert "0 SFT, 4 RL" in page.text


def test_failed_write_leaves_the_old_page_and_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = write_run(tmp_path, num_rl=5)
    before = write_report(run_dir).read_bytes()
    names = sorted(path.name for path in run_dir.iterdir())

    def fail(*paths: object) -> None:
        raise OSError("disk full")

    write_json(run_dir / "config.json", {"name": "other"})
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", fail)
        with pytest.raises(OSError, match="disk full"):
            write_report(run_dir)
    assert (run_dir / "report.html").read_bytes() == before
    assert sorted(path.name for path in run_dir.iterdir()) == names


def test_same_files_give_the_same_page(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path, num_rl=5)
    assert write_report(run_dir).read_bytes() == write_report(run_dir).read_bytes()


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="nowhere"):
        write_report(tmp_path / "nowhere")


def test_summary_table_has_a_row_for_each_task_and_phase() -> None:
    table = summary_table(make_summary())
    console = Console(width=120)
    with console.capture() as capture:
        console.print(table)
    lines = capture.get().splitlines()
    rows = [re.split(r" {2,}", line.strip()) for line in lines if re.search(r"untrained|SFT|RL", line)]
    assert rows[0] == ["countdown", "untrained", "0.0 ± 1.2 %", "0.0 %", "30.0 %", "40", "3.7 %"]
    assert rows[2] == ["RL", "62.7 ± 1.2 %", "31.4 %", "92.7 %", "103", "3.7 %"]
    assert len(rows) == 9


def test_smooth_averages_what_exists() -> None:
    values = np.array([1.0, np.nan, 3.0, 5.0])
    np.testing.assert_allclose(figures.smooth(values), [1.0, 2.0, 4.0, 4.0])

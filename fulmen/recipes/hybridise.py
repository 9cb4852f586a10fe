"""Distils a softmax model into its hybrid: layer by layer, then end to end; perplexity on held-out text at each stage.

A short run (minutes on one GPU): it keeps everything in memory, writes the checkpoint once at the end, and does not
resume. Text comes from files: plain text, or JSON lines with a field `text`; .gz of either.
"""

import gzip
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from rich import box
from rich.console import Console
from rich.table import Table
from torch import Tensor

from fulmen.errors import ConfigError, DataError
from fulmen.model import Model
from fulmen.model.checkpoint import load_model, write_folder, write_model
from fulmen.model.hybrid import hybrid_config
from fulmen.recipes.common import set_threads
from fulmen.recipes.convert import FitSettings, convert
from fulmen.run import progress_bar, write_json
from fulmen.text import Tokenizer
from fulmen.train.distil import changed_layers, logit_loss, mean_loss, mixer_losses
from fulmen.train.optim import AdamW, Schedule

HELDOUT_EVERY = 20
"""Every so many documents one is held out."""


@dataclass(frozen=True, kw_only=True)
class Args(FitSettings):
    """fulmen hybridise: distil a softmax model into a hybrid of it, and report the perplexity gap."""

    source: Annotated[Path, tyro.conf.Positional]
    """Folder of the softmax model."""
    folder: Annotated[Path, tyro.conf.Positional]
    """Where the hybrid and results.json go."""
    text: tuple[Path, ...]
    """Files of text (.txt, .jsonl, .gz of either)."""
    mixers: str = "LLLLLLLS"
    """Pattern of lightning (L) and softmax (S) layers, repeated over the stack."""
    layer_steps: int = 150
    """Steps in which each new mixer learns the old one's output."""
    end_steps: int = 450
    """Steps in which the whole learns the source's next-token distribution."""
    max_s: float = math.inf
    """Both parts together end after so many seconds, wherever they are; the schedule is drawn in."""
    layer_lr: float = 2e-3
    end_lr: float = 3e-4
    batch_rows: int = 64
    """Windows of text per step."""
    micro_rows: int = 16
    """Windows per backward pass."""
    window: int = 512
    """Tokens of a window."""
    heldout_windows: int = 64
    device: str = "cpu"
    seed: int = 0
    threads: int = 2
    """CPU threads."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("layer_steps", 0), ("end_steps", 0), ("batch_rows", 1), ("micro_rows", 1), ("window", 2),
                            ("heldout_windows", 1), ("max_s", 0)):  # fmt: skip
            if getattr(self, name) < least:
                raise ConfigError(f"{name}={getattr(self, name)}; allowed: at least {least}")
        if self.device not in ("cpu", "cuda"):
            raise ConfigError(f"device={self.device!r}; allowed: cpu, cuda")


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Tokens of the training and of the held-out documents, int64 `[T]`."""

    train_T: Tensor
    heldout_T: Tensor

    def batch(self, *, rows: int, window: int, seed: int, step: int) -> Tensor:
        """Returns `[rows, window]` tokens from random places: a function of (seed, step)."""
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        starts = torch.randint(len(self.train_T) - window + 1, (rows, 1), generator=generator)
        return self.train_T[starts + torch.arange(window)]

    def heldout(self, *, rows: int, window: int) -> Tensor:
        """Returns `[rows, window]` held-out tokens, evenly spread."""
        starts = torch.linspace(0, len(self.heldout_T) - window, rows).long()[:, None]
        return self.heldout_T[starts + torch.arange(window)]


def read_documents(paths: Sequence[Path]) -> Iterator[str]:
    """Yields the documents of text files; a plain file is cut at blank lines into pieces of about 8,000 characters.

    Raises: DataError for a file that is missing or has another form.
    """
    for path in paths:
        opener: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
        kind = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
        if kind not in (".txt", ".jsonl"):
            raise DataError(f"{path}; allowed: names that end in .txt, .jsonl, .txt.gz or .jsonl.gz")
        try:
            with opener(path, "rt", encoding="utf-8") as file:
                if kind == ".jsonl":
                    yield from (json.loads(line)["text"] for line in file)
                    continue
                piece = ""
                for line in file:
                    piece += line
                    if len(piece) > 8000 and not line.strip():
                        yield piece
                        piece = ""
                yield piece
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}: unreadable ({error!r}); allowed: text, or JSON lines with a field text"
            ) from error


def read_corpus(tokenizer: Tokenizer, args: Args) -> Corpus:
    """Returns as many tokens as the run can use, one document in twenty held out.

    Raises: DataError when there is less than two windows of either.
    """
    wanted = (args.layer_steps + args.end_steps) * args.batch_rows * args.window
    parts: tuple[list[int], list[int]] = ([], [])
    for number, document in enumerate(read_documents(args.text)):
        parts[number % HELDOUT_EVERY == 0].extend([*tokenizer.encode(document), tokenizer.end_id])
        if len(parts[0]) > wanted and len(parts[1]) > args.heldout_windows * args.window:
            break
    if min(map(len, parts)) < 2 * args.window:
        raise DataError(
            f"text: {len(parts[0])} training and {len(parts[1])} held-out tokens; allowed: at least two windows of "
            f"{args.window} each"
        )
    return Corpus(train_T=torch.tensor(parts[0]), heldout_T=torch.tensor(parts[1]))


def train(
    args: Args,
    corpus: Corpus,
    optimizer: AdamW,
    loss: Callable[[Tensor], Tensor],
    *,
    num_steps: int,
    peak_lr: float,
    label: str,
    first_step: int,
    max_s: float,
    console: Console,
) -> list[float]:
    """Returns the loss of every step of one part."""
    schedule = Schedule(peak=peak_lr, num_steps=1000, warmup_steps=30, final_frac=0.1)
    losses: list[float] = []
    start = time.monotonic()
    with progress_bar(console) as bar:
        task = bar.add_task(label, total=num_steps, note="")
        for step in range(num_steps):
            elapsed = (time.monotonic() - start) / max_s
            if step and elapsed >= 1:
                break
            optimizer.set_lr(schedule.lr(int(1000 * max(step / num_steps, elapsed))))
            rows = corpus.batch(rows=args.batch_rows, window=args.window, seed=args.seed, step=first_step + step)
            total = 0.0
            for micro in rows.to(args.device).split(args.micro_rows):
                value = loss(micro) * (len(micro) / len(rows))
                value.backward()
                total += float(value.detach())
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            losses.append(total)
            bar.update(task, advance=1, note=f"loss {total:.4f}")
    return losses


def distil(args: Args, source: Model, hybrid: Model, corpus: Corpus, console: Console) -> dict[str, Any]:
    """Trains the hybrid in place; returns losses and perplexities of every stage."""
    heldout = corpus.heldout(rows=args.heldout_windows, window=args.window).to(args.device)

    def perplexity(model: Model) -> float:
        torch.set_float32_matmul_precision("highest")
        value = math.exp(mean_loss(model, heldout))
        torch.set_float32_matmul_precision("high" if args.device == "cuda" else "highest")
        return value

    results: dict[str, Any] = {"ppl_source": perplexity(source), "ppl_converted": perplexity(hybrid)}
    blocks = list(hybrid.blocks())
    mixers = [p for layer in changed_layers(hybrid, source) for p in blocks[layer].self_attn.parameters()]
    share = args.layer_steps / max(args.layer_steps + args.end_steps, 1)
    start = time.monotonic()
    results["layer_losses"] = train(
        args, corpus, AdamW(mixers, lr=args.layer_lr),
        lambda rows: torch.stack(list(mixer_losses(hybrid, source, rows).values())).mean(),
        num_steps=args.layer_steps, peak_lr=args.layer_lr, label="layer by layer", first_step=0,
        max_s=args.max_s * share, console=console,
    )  # fmt: skip
    results["ppl_layers"] = perplexity(hybrid)
    results["end_losses"] = train(
        args, corpus, AdamW(hybrid.parameters(), lr=args.end_lr), lambda rows: logit_loss(hybrid, source, rows),
        num_steps=args.end_steps, peak_lr=args.end_lr, label="end to end", first_step=args.layer_steps,
        max_s=max(args.max_s - (time.monotonic() - start), 1e-9), console=console,
    )  # fmt: skip
    results |= {"ppl_hybrid": perplexity(hybrid), "train_s": time.monotonic() - start}
    torch.set_float32_matmul_precision("highest")
    results["num_tokens"] = (len(results["layer_losses"]) + len(results["end_losses"])) * args.batch_rows * args.window
    return results


def main(args: Args, console: Console) -> None:
    """Runs the recipe."""
    set_threads(args.threads)
    if args.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device='cuda'; allowed here: cpu (torch finds no CUDA device)")
    hybrid_config(load_model(args.source, device="meta").config, args.mixers)
    tokenizer = Tokenizer.load(args.source)
    corpus = read_corpus(tokenizer, args)
    console.print(f"{len(corpus.train_T):,} tokens to learn from, {len(corpus.heldout_T):,} held out", highlight=False)
    source = load_model(args.source, device=args.device).requires_grad_(False)
    hybrid = convert(source, tokenizer, args.mixers, args, seed=args.seed).requires_grad_(True)
    results = distil(args, source, hybrid, corpus, console)
    results["args"] = {name: str(value) for name, value in asdict(args).items()}
    if args.device == "cuda":
        results |= {"gpu": torch.cuda.get_device_name(), "peak_bytes": torch.cuda.max_memory_allocated()}

    def write(path: Path) -> None:
        write_model(hybrid, path, tokenizer=tokenizer)
        write_json(path / "results.json", results)

    write_folder(args.folder, write)
    table = Table("model", "perplexity", "against the source", box=box.SIMPLE_HEAD)
    for label, key in (("source", "ppl_source"), ("converted", "ppl_converted"), ("after its layers", "ppl_layers"),
                       ("after end to end", "ppl_hybrid")):  # fmt: skip
        table.add_row(label, f"{results[key]:.3f}", f"x {results[key] / results['ppl_source']:.3f}")
    console.print(table)
    console.print(f"{args.folder}: {results['num_tokens']:,} tokens in {results['train_s']:.0f} s", highlight=False)

"""Completions by a checkpoint: of one prompt, to the terminal, or of a file of prompts, to a file that can go on."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TextIO

import tyro
from rich.console import Console

from fulmen.errors import ConfigError, DataError
from fulmen.recipes.common import Device, Precision, load_checkpoint, place, set_threads
from fulmen.run import progress_bar
from fulmen.serve import Engine
from fulmen.types import Completion, Message, Request, Sampling, stable_seed


@dataclass(frozen=True, kw_only=True)
class Args:
    """fulmen generate: complete a prompt, such as "Use 3 7 9 once each to make 30.", or every line of a JSONL file."""

    prompt: Annotated[str, tyro.conf.Positional] = ""
    """What the user says; without it, --input is read."""
    checkpoint: Path
    """Folder of the checkpoint."""
    input: Path | None = None
    """JSONL: {"prompt": text} or {"messages": [{"role", "content"}, ...]}; other keys are kept."""
    output: Path | None = None
    """JSONL of completions, as they end; what is there already is not made again. Default: INPUT.out.jsonl."""
    num_samples: int = 1
    """Completions to draw of each prompt."""
    temperature: float = 1.0
    """0 takes the most probable token."""
    top_p: float = 0.95
    top_k: int = 0
    """Keeps the so many most probable tokens; 0 keeps all."""
    max_tokens: int = 160
    """Longest completion."""
    thinking_budget: int | None = None
    """Tokens of thinking after which its end is forced."""
    seed: int = 0
    num_slots: int = 64
    """Completions that run at once."""
    device: Device = "auto"
    dtype: Precision = "auto"
    threads: int = 2
    """CPU threads."""


def main(args: Args, console: Console) -> None:
    """Runs the recipe."""
    set_threads(args.threads)
    if args.num_samples < 1:
        raise ConfigError(f"num_samples={args.num_samples}; allowed: at least 1")
    if bool(args.prompt) == (args.input is not None):
        raise ConfigError(f"prompt={args.prompt!r}, input={args.input}; allowed: one of the two")
    sampling = Sampling(
        temperature=args.temperature, top_p=args.top_p, top_k=args.top_k, max_tokens=args.max_tokens,
        thinking_budget=args.thinking_budget,
    )  # fmt: skip
    tasks = [] if args.input is None else read_prompts(args.input)
    device, dtype = place(args.device, args.dtype)
    model, tokenizer = load_checkpoint(args.checkpoint, device=device, dtype=dtype)
    engine = Engine(model, tokenizer, num_slots=args.num_slots, records_routes=False)
    if args.input is None:
        say = (Message(role="user", content=args.prompt),)
        seeds = [stable_seed(args.seed, args.prompt, index) for index in range(args.num_samples)]
        for completion in engine([Request(messages=say, sampling=sampling, seed=seed) for seed in seeds]):
            show(completion, console)
        return
    output = args.input.with_suffix(".out.jsonl") if args.output is None else args.output
    requests = {
        (line, sample): Request(messages=messages, sampling=sampling, seed=stable_seed(args.seed, line, sample))
        for line, (messages, _) in enumerate(tasks)
        for sample in range(args.num_samples)
    }
    complete_file(engine, requests, [record for _, record in tasks], output, console)


def show(completion: Completion, console: Console) -> None:
    """Prints a completion, its thinking dimmed."""
    if completion.message.thinking:
        console.print(completion.message.thinking, style="dim", markup=False, highlight=False)
    console.print(completion.message.content, markup=False, highlight=False)
    console.print(f"[{len(completion.token_ids)} tokens, {completion.stop_reason}]", style="dim", markup=False)


def read_prompts(path: Path) -> list[tuple[tuple[Message, ...], dict[str, Any]]]:
    """Returns messages and the whole record of each line.

    Raises: DataError naming the line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: unreadable ({error}); allowed: a JSONL file in UTF-8") from error
    tasks = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            if "messages" in record:
                messages = tuple(Message(role=m["role"], content=str(m["content"])) for m in record["messages"])
            else:
                messages = (Message(role="user", content=str(record["prompt"])),)
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(f'{path}, line {number}: {error!r}; allowed: {{"prompt"}} or {{"messages"}}') from error
        tasks.append((messages, record))
    if not tasks:
        raise DataError(f"{path}: no prompts; allowed: at least one line")
    return tasks


def complete_file(
    engine: Engine,
    requests: dict[tuple[int, int], Request],
    records: list[dict[str, Any]],
    output: Path,
    console: Console,
) -> None:
    """Completes what `output` does not have yet and appends each completion as it ends, under a progress bar."""
    done = set(finished(output))
    missing = {key: request for key, request in requests.items() if key not in done}
    if len(missing) < len(requests):
        console.print(f"{output}: {len(requests) - len(missing)} of {len(requests)} are there already")
    keys = {engine.submit(request): key for key, request in missing.items()}
    num_tokens = 0
    with output.open("a", encoding="utf-8") as file, progress_bar(console) as bar:
        task = bar.add_task("generate", total=len(requests), completed=len(requests) - len(missing), note="")
        while engine.has_work:
            for delta in engine.step():
                num_tokens += len(delta.token_ids)
                if delta.completion is not None:
                    write_line(file, keys[delta.request_id], records, delta.completion)
                    bar.advance(task)
            seconds = bar.tasks[0].elapsed or 0
            bar.update(task, note=f"{num_tokens / seconds:,.0f} tokens/s" if seconds else "")
    console.print(f"{output}: {len(requests)} completions", markup=False, highlight=False)


def write_line(file: TextIO, key: tuple[int, int], records: list[dict[str, Any]], completion: Completion) -> None:
    """Appends one completion; a line is there whole or not at all."""
    record = {
        **records[key[0]], "line": key[0], "sample": key[1], "content": completion.message.content,
        "thinking": completion.message.thinking, "stop_reason": completion.stop_reason,
        "num_tokens": len(completion.token_ids),
    }  # fmt: skip
    file.write(json.dumps(record, ensure_ascii=False) + "\n")
    file.flush()
    os.fsync(file.fileno())


def finished(output: Path) -> Iterator[tuple[int, int]]:
    """Yields (line, sample) of the completions in a file; a last line that was cut short is taken off.

    Raises: DataError for a file that this recipe has not written.
    """
    if not output.exists():
        return
    whole = output.read_bytes()
    kept = whole[: whole.rfind(b"\n") + 1]
    if kept != whole:
        with output.open("r+b") as file:
            file.truncate(len(kept))
    for number, line in enumerate(kept.splitlines(), start=1):
        try:
            record = json.loads(line)
            yield int(record["line"]), int(record["sample"])
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(
                f"{output}, line {number}: not one of our completions; allowed: another --output"
            ) from error

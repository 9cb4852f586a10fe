"""A conversation with a checkpoint in the terminal: streamed, thinking dimmed, settings changed as one talks."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from fulmen.errors import DataError, FulmenError
from fulmen.recipes.common import Device, Precision, load_checkpoint, place, set_threads
from fulmen.serve import Engine
from fulmen.text.parse import CompletionParser, ContentDelta, Part, ThinkingDelta, style_of
from fulmen.types import Completion, Message, Request, Sampling, stable_seed

HELP = """/system TEXT  /temperature X  /top_p X  /top_k N  /budget N|none  /max N  /seed N  /clear  /show  /quit
Ctrl-C stops an answer; the next prompt goes on from what was said."""


@dataclass(frozen=True, kw_only=True)
class Args:
    """fulmen chat: talk to a checkpoint."""

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """Folder of the checkpoint."""
    system: str = ""
    """System message."""
    temperature: float = 1.0
    top_p: float = 0.95
    max_tokens: int = 1024
    """Longest answer."""
    thinking_budget: int | None = None
    """Tokens of thinking after which its end is forced."""
    max_length: int = 16_384
    """Longest conversation, in tokens."""
    seed: int = 0
    device: Device = "auto"
    dtype: Precision = "auto"
    threads: int = 2
    """CPU threads."""


@dataclass(kw_only=True)
class Talk:
    """What was said, and how the next answer is drawn."""

    messages: list[Message]
    sampling: Sampling
    seed: int

    def command(self, line: str) -> str:
        """Returns what to print after a line that begins with /.

        Raises: DataError for an unknown command or a value out of place.
        """
        name, _, value = line[1:].partition(" ")
        numbers: dict[str, tuple[str, Callable[[str], object]]] = {
            "temperature": ("temperature", float), "top_p": ("top_p", float), "top_k": ("top_k", int),
            "max": ("max_tokens", int), "budget": ("thinking_budget", lambda v: None if v == "none" else int(v)),
        }  # fmt: skip
        if name in numbers:
            field, convert = numbers[name]
            try:
                self.sampling = dataclasses.replace(self.sampling, **{field: convert(value)})  # type: ignore[arg-type]
            except ValueError as error:
                raise DataError(f"/{name} {value}; allowed: a number") from error
        elif name == "seed" and value.isdigit():
            self.seed = int(value)
        elif name == "system":
            rest = [message for message in self.messages if message.role != "system"]
            self.messages = [*([Message(role="system", content=value)] if value else []), *rest]
        elif name == "clear":
            self.messages = [message for message in self.messages if message.role == "system"]
        elif name == "help":
            return HELP
        elif name != "show":
            raise DataError(f"/{name}; allowed: {HELP.splitlines()[0]}")
        s = self.sampling
        return (
            f"temperature {s.temperature}, top_p {s.top_p}, top_k {s.top_k}, at most {s.max_tokens} tokens, thinking "
            f"budget {s.thinking_budget}, seed {self.seed}, {len(self.messages)} messages"
        )


def main(args: Args, console: Console) -> None:
    """Runs the recipe."""
    set_threads(args.threads)
    device, dtype = place(args.device, args.dtype)
    model, tokenizer = load_checkpoint(args.checkpoint, device=device, dtype=dtype)
    engine = Engine(model, tokenizer, num_slots=1, max_length=args.max_length, records_routes=False)
    sampling = Sampling(
        temperature=args.temperature, top_p=args.top_p, max_tokens=args.max_tokens, thinking_budget=args.thinking_budget
    )
    system = [Message(role="system", content=args.system)] if args.system else []
    talk = Talk(messages=system, sampling=sampling, seed=args.seed)
    console.print(
        f"{args.checkpoint.name}: {model.config.num_parameters():,} parameters on {device}. /help", style="dim"
    )
    while True:
        try:
            line = console.input("[bold]> [/bold]").strip()
        except (EOFError, KeyboardInterrupt):
            return
        if line in ("/quit", "/exit"):
            return
        try:
            if line.startswith("/"):
                console.print(talk.command(line), style="dim", markup=False, highlight=False)
            elif line:
                answer(engine, talk, line, console)
        except FulmenError as error:
            console.print(f"fulmen: {error}", style="red", markup=False, highlight=False)


def answer(engine: Engine, talk: Talk, line: str, console: Console) -> None:
    """Streams the answer to a line and adds both to the talk; Ctrl-C keeps what was said so far.

    Raises: ConfigError and DataError as `Engine.submit`; the talk is as it was then.
    """
    asked = [*talk.messages, Message(role="user", content=line)]
    seed = stable_seed(talk.seed, len(asked))
    request_id = engine.submit(Request(messages=tuple(asked), sampling=talk.sampling, seed=seed))
    parser = CompletionParser(style_of(engine.tokenizer), has_tools=False)
    completion: Completion | None = None
    try:
        while completion is None:
            for delta in engine.step():
                show(parser.feed(delta.text), console)
                completion = delta.completion
    except KeyboardInterrupt:
        engine.cancel(request_id)
    show(parser.finish(), console)
    talk.messages = [*asked, parser.message]
    if completion is None:
        console.print("\n\\[stopped]", style="dim")
        return
    rest = f"{len(completion.token_ids)} tokens, {completion.num_cached} of {len(completion.prompt_ids)} cached"
    console.print(f"\n\\[{rest}, {completion.stop_reason}]", style="dim", highlight=False)


def show(parts: Sequence[Part], console: Console) -> None:
    """Prints parts of an answer as they come, thinking dimmed."""
    for part in parts:
        if isinstance(part, ThinkingDelta):
            console.print(part.text, style="dim", end="", markup=False, highlight=False, soft_wrap=True)
        elif isinstance(part, ContentDelta):
            console.print(part.text, end="", markup=False, highlight=False, soft_wrap=True)

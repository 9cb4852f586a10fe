"""A checkpoint behind an OpenAI-compatible HTTP server."""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from fulmen.errors import ConfigError, RunError
from fulmen.recipes.common import Device, Precision, load_checkpoint, place, set_threads
from fulmen.serve import Engine, Worker
from fulmen.serve.http import AppSettings, GateSettings, ServerSettings, bind, create_app, serve, url_of
from fulmen.serve.http.gate import LOOPBACK

KEY_VARIABLE = "FULMEN_API_KEY"


@dataclass(frozen=True, kw_only=True)
class Args:
    """fulmen serve: answer OpenAI's API with a checkpoint, until Ctrl-C or SIGTERM."""

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """Folder of the checkpoint."""
    host: str = "127.0.0.1"
    """Address to listen at; others than this machine's own want a key."""
    port: int = 8000
    """0 takes any that is free."""
    api_key: str = ""
    """Key that clients must send; better given by the environment variable FULMEN_API_KEY, which ps does not show."""
    model_name: str = ""
    """What clients call the model; the folder's name unless given."""
    max_queue: int = 256
    """Completions that may wait for a slot; more are refused with 429."""
    num_slots: int = 256
    """Completions that run at once."""
    max_length: int = 16_384
    """Most tokens of prompt and completion together."""
    max_body_mb: float = 8.0
    """Largest request, in MB."""
    timeout_s: float = 600.0
    """Longest time of a request; what is there by then is the answer."""
    drain_s: float = 30.0
    """How long running requests may go on after SIGTERM."""
    record_dir: Path | None = None
    """Folder for rollouts.jsonl: completions whose request has the header X-Fulmen-Rollout."""
    device: Device = "auto"
    dtype: Precision = "auto"
    threads: int = 2
    """CPU threads."""


def main(args: Args, console: Console) -> None:
    """Runs the recipe."""
    set_threads(args.threads)
    if args.max_queue < 0 or args.drain_s < 0:
        raise ConfigError(f"max_queue={args.max_queue}, drain_s={args.drain_s}; allowed: at least 0")
    is_local = args.host in ("localhost", "127.0.0.1", "::1")
    key = args.api_key or os.environ.get(KEY_VARIABLE) or None
    if not is_local and key is None:
        raise ConfigError(f"host={args.host} without a key; allowed: --api-key or {KEY_VARIABLE}, or 127.0.0.1")
    # Before the model, so that a port in use is known at once.
    listening = ServerSettings(host=args.host, port=args.port, drain_s=args.drain_s)
    listener = bind(listening)
    device, dtype = place(args.device, args.dtype)
    model, tokenizer = load_checkpoint(args.checkpoint, device=device, dtype=dtype)
    engine = Engine(
        model, tokenizer, num_slots=args.num_slots, max_length=args.max_length, records_routes=False,
    )  # fmt: skip
    name = args.model_name or args.checkpoint.resolve().name
    settings = AppSettings(
        model_name=name, max_length=engine.max_length, vocab_size=model.config.vocab_size, timeout_s=args.timeout_s,
        record_dir=args.record_dir,
        gate=GateSettings(
            api_key=key, max_body_bytes=int(args.max_body_mb * 1e6), allowed_hosts=LOOPBACK if is_local else None
        ),
    )  # fmt: skip
    worker = Worker(engine, max_queue=args.max_queue)
    app = create_app(worker, tokenizer, settings)

    def announce() -> None:
        console.print(
            f"{name} at {url_of(listener)} ({'key needed' if key else 'no key'}); {engine.memory.describe()}",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip

    worker.start()
    try:
        outcome = asyncio.run(serve(app, worker, listener, settings=listening, on_start=announce))
    finally:
        worker.stop()
    if outcome == "failed":
        raise RunError("the engine failed; its error is above")
    console.print("stopped" if outcome == "finished" else f"stopped; some requests took longer than {args.drain_s:g} s")

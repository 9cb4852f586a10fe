"""`fulmen rl` on a toy, killed where a plan says; for the tests that prove that a kill loses nothing.

`python -m tests.recipes.kills FOLDER PLAN [FOLDER PLAN ...]` takes each PLAN, {"num_steps": ..., "sessions": [...]} in
JSON, and starts the recipe once per session in a process of its own, forked from one that has imported torch and used
none of it. A session

    "NAME"     dies by SIGKILL within its first call of POINTS[NAME], when half of the call is done
    "NAME+k"   the same, k calls later
    SECONDS    dies so long after its start
    -SECONDS   gets SIGTERM so long after its start
    "TERM"     gets SIGTERM in the middle of its first optimizer step
    null       runs to its end

It prints a JSON list of exit statuses per plan: 0, an exit code, or a negative signal.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import torch

# Imported by the first step of torch's optimizers; here it is not on the clock of every session.
import torch._dynamo

import fulmen.run
from fulmen.cli import main
from fulmen.model import Model
from fulmen.model.checkpoint import native, save_model
from fulmen.model.config import preset
from fulmen.recipes import common, rl_input
from fulmen.rl.curriculum import sources_of
from fulmen.serve import Engine
from fulmen.train import Trainer
from tests.recipes.toy import even_length_mixture

OPTIONS = (
    "--num-groups", "3", "--group-size", "4", "--num-updates", "3", "--window", "12", "--num-slots",
    "8", "--heldout-every", "2", "--heldout-tasks", "2", "--threads", "1",
)  # fmt: skip

POINTS: dict[str, tuple[Any, str]] = {
    "rollout": (Engine, "_advance"),
    "update": (Trainer, "_forward"),
    "lines": (fulmen.run, "_append"),
    "checkpoint": (native, "_write_manifest"),
    "rename": (native, "_put_in_place"),
    "prune": (fulmen.run.shutil, "rmtree"),
}


def write_init(folder: Path) -> None:
    """Writes the checkpoint that every run starts from."""
    small = preset("tiny").replace(num_layers=2, hidden_size=32, intermediate_size=16, vocab_size=300, mixers="LS")
    model, tokenizer = common.fresh_model(small, even_length_mixture(), seed=0)
    assert isinstance(model, Model)
    save_model(model, folder, tokenizer=tokenizer)


def start(folder: Path, num_steps: int) -> None:
    """Runs the recipe."""
    torch.set_num_threads(1)
    with mock.patch.object(rl_input, "load_sources", return_value=sources_of(even_length_mixture())):
        where = ["--init", str(folder.parent / "init"), "--run", str(folder)]
        main(["rl", *where, "--num-steps", str(num_steps), *OPTIONS])


def arm(entry: object) -> None:
    """Arranges the death of this process."""
    if isinstance(entry, int | float):
        signum, delay_s = (signal.SIGKILL, entry) if entry > 0 else (signal.SIGTERM, -entry)
        me = os.getpid()
        if os.fork() == 0:
            time.sleep(delay_s)
            if os.getppid() == me:
                os.kill(me, signum)
            os._exit(0)
    elif isinstance(entry, str):
        name, _, later = entry.partition("+")
        owner, attribute = POINTS["update" if name == "TERM" else name]
        setattr(owner, attribute, dying(getattr(owner, attribute), calls=int(later or 0), is_term=name == "TERM"))


def dying(action: Callable[..., Any], *, calls: int, is_term: bool) -> Callable[..., Any]:
    """Returns an action that ends the process in its call number `calls`."""
    count = 0

    def act(*args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        if count == calls + 1 and is_term:
            os.kill(os.getpid(), signal.SIGTERM)
        elif count == calls + 1:
            do_half(action, *args, **kwargs)
            os.kill(os.getpid(), signal.SIGKILL)
        return action(*args, **kwargs)

    return act


def do_half(action: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Does half of an action on files, and all of another."""
    if action.__name__ == "_append":
        path, content = args
        action(path, content[: len(content) // 2])
    elif action.__name__ == "_write_manifest":
        largest = max(args[0].iterdir(), key=lambda path: path.stat().st_size)
        os.truncate(largest, largest.stat().st_size // 2)
    elif action.__name__ == "rmtree":
        for path in [path for path in Path(args[0]).rglob("*") if path.is_file()][:1]:
            path.unlink()
    elif action.__name__ != "_put_in_place":
        action(*args, **kwargs)


def run_sessions(folder: Path, plan: dict[str, Any]) -> list[int]:
    """Returns the exit statuses of the sessions of a plan."""
    statuses = []
    for entry in plan["sessions"]:
        child = os.fork()
        if child == 0:
            try:
                arm(entry)
                start(folder, plan["num_steps"])
            except SystemExit as leaving:
                os._exit(int(leaving.code or 0))
            except BaseException:
                sys.excepthook(*sys.exc_info())
                os._exit(70)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        statuses.append(os.waitstatus_to_exitcode(status))
    return statuses


def make_init(folder: Path) -> None:
    """Writes the checkpoint that every run starts from, in a process of its own: this one has not used torch yet."""
    if (writer := os.fork()) == 0:
        write_init(folder)
        os._exit(0)
    os.waitpid(writer, 0)


if __name__ == "__main__":
    pairs = list(zip(map(Path, sys.argv[1::2]), map(json.loads, sys.argv[2::2]), strict=True))
    make_init(pairs[0][0].parent / "init")
    print(json.dumps([run_sessions(folder, plan) for folder, plan in pairs]))

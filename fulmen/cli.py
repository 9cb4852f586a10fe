"""The `fulmen` command: one subcommand per recipe, its options read from the recipe's `Args`."""

import dataclasses
import sys
from collections.abc import Callable
from typing import Annotated, Any

import tyro
from rich.console import Console

from fulmen.errors import FulmenError
from fulmen.recipes import (
    calibrate,
    chat,
    check,
    compare_losses,
    convert,
    data,
    demo,
    envs,
    evaluate,
    export,
    flops,
    generate,
    hybridise,
    import_model,
    rl,
    serve,
    sft,
)
from fulmen.run import Stopped

MAINS: dict[type, Callable[[Any, Console], None]] = {
    demo.Args: demo.main,
    sft.Args: sft.main,
    rl.Args: rl.main,
    evaluate.Args: evaluate.main,
    generate.Args: generate.main,
    chat.Args: chat.main,
    serve.Args: serve.main,
    import_model.Args: import_model.main,
    flops.Args: flops.main,
    convert.Args: convert.main,
    hybridise.Args: hybridise.main,
    export.Args: export.main,
    envs.Args: envs.main,
    data.Args: data.main,
    check.Args: check.main,
    calibrate.Args: calibrate.main,
    compare_losses.Args: compare_losses.main,
}

Command = (
    Annotated[demo.Args, tyro.conf.subcommand("demo")]
    | Annotated[sft.Args, tyro.conf.subcommand("sft")]
    | Annotated[rl.Args, tyro.conf.subcommand("rl")]
    | Annotated[evaluate.Args, tyro.conf.subcommand("eval")]
    | Annotated[generate.Args, tyro.conf.subcommand("generate")]
    | Annotated[chat.Args, tyro.conf.subcommand("chat")]
    | Annotated[serve.Args, tyro.conf.subcommand("serve")]
    | Annotated[import_model.Args, tyro.conf.subcommand("import")]
    | Annotated[export.Args, tyro.conf.subcommand("export")]
    | Annotated[convert.Args, tyro.conf.subcommand("convert")]
    | Annotated[hybridise.Args, tyro.conf.subcommand("hybridise")]
    | Annotated[flops.Args, tyro.conf.subcommand("flops")]
    | Annotated[envs.Args, tyro.conf.subcommand("envs")]
    | Annotated[data.Args, tyro.conf.subcommand("data")]
    | Annotated[check.Args, tyro.conf.subcommand("check")]
    | Annotated[calibrate.Args, tyro.conf.subcommand("calibrate")]
    | Annotated[compare_losses.Args, tyro.conf.subcommand("compare-losses")]
)


def main(argv: list[str] | None = None) -> None:
    """Runs a subcommand.

    Exit codes: 0 done, 2 bad input or a run that cannot go on (one line says why), 130 stopped by Ctrl-C, 143 by
    SIGTERM; a stopped run is saved, and the same command goes on with it.
    """
    console, errors = Console(), Console(stderr=True)
    try:
        args: Any = tyro.cli(Command, prog="fulmen", args=argv, config=(tyro.conf.OmitSubcommandPrefixes,))
        assert dataclasses.is_dataclass(args), "tyro returns one of the Args"
        MAINS[type(args)](args, console)
    except FulmenError as error:
        errors.print(f"fulmen: {error}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
    except (Stopped, KeyboardInterrupt) as stop:
        errors.print("fulmen: stopped; the same command goes on from the last step")
        sys.exit(stop.exit_code if isinstance(stop, Stopped) else 130)


if __name__ == "__main__":
    main()

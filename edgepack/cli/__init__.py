"""The command line: a command parses, calls one room, prints. Rooms are imported inside command bodies.

`main` holds the one translation of errors to exit codes.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
import types
from pathlib import Path
from typing import Any, Final

import click

from edgepack import __version__, errors
from edgepack.cli.visible import say

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "init": ("edgepack.cli.init", "Write a commented starting recipe for a model and some data."),
    "build": ("edgepack.cli.build", "Compress, quantize, check, benchmark and pack a model."),
    "tune": ("edgepack.cli.tune", "Search what a recipe leaves open; freeze the best."),
    "check": ("edgepack.cli.check", "Validate a recipe and show its plan, without TensorFlow."),
    "inspect": ("edgepack.cli.inspect", "Show what is in a model file or a package."),
    "eval": ("edgepack.cli.eval", "Measure a model or a package on a recipe's evaluation data."),
    "report": ("edgepack.cli.report", "Show a run or a package as one page."),
    "diff": ("edgepack.cli.diff", "Compare two releases; 10 where one got worse."),
    "view": ("edgepack.cli.view", "Open a model in Netron or Model Explorer."),
    "explain": (
        "edgepack.cli.explain",
        "Say why a package is this big, slow and accurate, and what would help.",
    ),
    "bench": (
        "edgepack.cli.bench",
        "Measure latency and memory of a .tflite or a package, here or on devices.",
    ),
    "slim": ("edgepack.cli.slim", "Write a .tflite in fewer bytes, with the same answers."),
    "keygen": ("edgepack.cli.keygen", "Make a key pair to sign packages with."),
    "sign": ("edgepack.cli.sign", "Sign a package."),
    "verify": ("edgepack.cli.verify", "Verify a package's signature and every byte of it."),
    "deliver": (
        "edgepack.cli.deliver",
        "Write a package as its receiver expects it: app, board, system, release.",
    ),
    "flash": ("edgepack.cli.flash", "Write a package's model into a board's flash and read it back."),
    "channel": ("edgepack.cli.channel", "Publish packages for devices that update over the air."),
    "delta": ("edgepack.cli.delta", "Write the difference between two releases, for an update."),
    "patch": ("edgepack.cli.patch", "Apply a delta."),
    "shrink": ("edgepack.cli.shrink", "Cut dead channels out of a .tflite, with the same answers."),
    "devices": ("edgepack.cli.devices", "List, show, measure and emulate devices."),
    "schema": ("edgepack.cli.schema", "Print the JSON Schema of recipes or devices, for editors."),
    "completion": ("edgepack.cli.completion", "Print the completion script of a shell."),
    "doctor": ("edgepack.cli.doctor", "Say what is installed and what is missing."),
    "store": ("edgepack.cli.store", "Keep the cache of stage results in order."),
}


COMPLETE: Final = "_EDGEPACK_COMPLETE"
"""Set by a shell that asks what could stand next; see `edgepack completion`."""
INTERRUPTED, OUTPUT_CLOSED, TERMINATED = 130, 141, 143
"""Exit codes of a process that a signal ended, as shells count them: 128 + SIGINT, SIGPIPE, SIGTERM."""


class Terminated(KeyboardInterrupt):
    """SIGTERM: everything is put away as after Ctrl-C."""


class LazyGroup(click.Group):
    """Imports a command's module only when that command runs, so that --help stays quick."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[name][0]).command
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "; see 'edgepack --help'"
            raise click.UsageError(f"no such command {args[0]!r}{hint}", context)
        return super().resolve_command(context, args)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes: 0 passed, 2 usage, 10 budget or invariant missed, 65 bad input, 69 device or dependency missing, "
    "70 a child crashed, 74 read/write/disk, 77 not trusted, 80–92 a device failed (devices/README.md).",
)
@click.version_option(__version__, prog_name="edgepack")
def group() -> None:
    """From a trained Keras model to a small, measured, checked .tflite package for an edge device."""


def main(arguments: list[str] | None = None) -> None:
    """Runs the command and ends the process with the promised exit code."""
    _without_plugins()
    if asked := os.environ.get(COMPLETE):
        from click.shell_completion import shell_complete

        sys.exit(shell_complete(group, {}, "edgepack", COMPLETE, asked))
    gc.disable()  # imports make many objects that all stay: looking for garbage among them is a third of `check`
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output (a pager, head) left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = OUTPUT_CLOSED
    gc.freeze()  # nor at the end
    sys.exit(code)


def _without_plugins() -> None:
    """pydantic validates without plugins of others, as PYDANTIC_DISABLE_PLUGINS asks of it in children, too.

    Looking for them reads every distribution; the module that looks imports parsers of e-mail, and is not loaded at all.
    """
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    looking = types.ModuleType("pydantic.plugin._loader")
    looking.get_plugins = tuple  # type: ignore[attr-defined]
    sys.modules.setdefault(looking.__name__, looking)


def run(arguments: list[str] | None = None, commands: click.Group | None = None) -> int:
    """Runs the command (of `group` where no other is given); returns the exit code instead of raising."""
    try:
        # Not group.main: that has its own answers to Ctrl-C, to a broken pipe and to the end of a file.
        given = sys.argv[1:] if arguments is None else list(arguments)
        chosen = group if commands is None else commands
        with chosen.make_context("edgepack" if commands is None else "edgepack-agent", given) as context:
            result: Any = chosen.invoke(context)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.ClickException as error:
        error.show()
        return 2
    except KeyboardInterrupt as error:
        terminated = isinstance(error, Terminated)
        click.echo(f"edgepack: {'terminated' if terminated else 'interrupted'}", err=True)
        return TERMINATED if terminated else INTERRUPTED
    except BrokenPipeError:
        raise
    except SystemExit as exit_:  # how rich answers a broken pipe
        if isinstance(exit_.__context__, BrokenPipeError):
            return OUTPUT_CLOSED
        raise
    except Exception as error:
        return _told(error)


def _told(error: Exception) -> int:
    from edgepack.cli.next_steps import next_step

    own = translated(error)
    say(f"edgepack: {own}", err=True)
    say(f"next: {next_step(own)}", err=True)
    if os.environ.get("EDGEPACK_DEBUG"):
        raise error
    return own.exit_code


def _terminate(number: int, frame: types.FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # whoever says it twice does not want to wait
    raise Terminated


def translated(error: Exception) -> errors.EdgepackError:
    """Any exception as one of ours: the only place where foreign ones get an exit code."""
    if isinstance(error, errors.EdgepackError):
        return error
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return errors.StorageError(f"{where}{error.strerror or error}")
    if isinstance(error, MemoryError):
        return errors.ChildCrashError("out of memory; close other programs or use smaller data")
    where = ""
    trace = error.__traceback__
    while trace is not None:
        where = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return errors.EdgepackError(
        f"internal error, {type(error).__name__} at {where}: {error}. This is a defect of edgepack; "
        "set EDGEPACK_DEBUG=1 for the whole trace and report it"
    )

"""The root command: what becomes of errors, of Ctrl-C, and of ``--debug`` wherever it stands."""

import shlex
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import typer
from typer.core import TyperGroup

from likethat.cli.console import notes, one_line_warnings, say_error
from likethat.errors import LikethatError

__all__ = ["RootGroup", "Stopped", "terminate_as_interrupt"]

BAD_CALL, INTERRUPTED = 2, 130
_ARGUMENTS = "likethat.arguments"
_ORDER = (
    "demo",
    "split",
    "fit",
    "explain",
    "show",
    "evaluate",
    "exemplars",
    "counterfactual",
    "attribute",
    "train-generator",
)  # as one would type them


class Stopped(KeyboardInterrupt):
    """The user stopped work that left a checkpoint."""


class RootGroup(TyperGroup):
    """Runs a command; says each of our errors in one red sentence."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Remember the arguments, and let ``--debug`` stand anywhere before ``--``."""
        ctx.meta[_ARGUMENTS] = list(args)
        end = args.index("--") if "--" in args else len(args)
        before = [argument for argument in args[:end] if argument != "--debug"]
        debug = ["--debug"] if len(before) < end else []
        return super().parse_args(ctx, [*debug, *before, *args[end:]])

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the commands in the order in which one would type them."""
        known = [name for name in _ORDER if name in self.commands]
        return [*known, *(name for name in super().list_commands(ctx) if name not in known)]

    def invoke(self, ctx: Any) -> Any:
        """Run the command; exit code 2 for an error of ours, 130 when stopped."""
        try:
            with terminate_as_interrupt(), one_line_warnings():
                return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            _say_stopped(ctx.meta[_ARGUMENTS], can_resume=isinstance(stop, Stopped))
            raise typer.Exit(INTERRUPTED) from stop
        except LikethatError as error:
            if ctx.params.get("debug"):
                notes.print_exception(show_locals=False)
            say_error(str(error) or type(error).__name__)
            raise typer.Exit(BAD_CALL) from error


def _say_stopped(arguments: list[str], *, can_resume: bool) -> None:
    if not can_resume:
        notes.print("stopped")
        return
    resumed = arguments if "--resume" in arguments else [*arguments, "--resume"]
    notes.print(f"stopped; go on with: {shlex.join(['likethat', *resumed])}", soft_wrap=True, markup=False)


@contextmanager
def terminate_as_interrupt() -> Iterator[None]:
    """Let SIGTERM stop the work as Ctrl-C does, so that it leaves its checkpoint."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

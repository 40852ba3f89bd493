"""The root command: what becomes of errors, of Ctrl-C, and of ``--debug`` wherever it stands."""

import copy
import shlex
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from likethat.cli.console import Answer, answering, notes, one_line_warnings, say_error
from likethat.errors import LikethatError

FAULT, BAD_CALL, FAILED_IF, INTERRUPTED = 1, 2, 3, 130
"""What shells expect: 1 a fault, 2 a bad call, 128 + 2 for SIGINT; 3 is a gate's no, which no shell gives itself."""
_ANYWHERE = ("--debug", "--json")  # options that may stand behind the command too
ARGUMENTS = "likethat.arguments"
"""Where a call's context keeps its words, as they were typed."""
_FIRST = ("demo", "split", "fit")  # a group among the commands: the last of them else


class Stopped(KeyboardInterrupt):
    """The user stopped work that can go on.

    Args:
        again: words to add to those of the command.
    """

    def __init__(self, again: tuple[str, ...] = ("--resume",)) -> None:
        super().__init__()
        self.again = again


class Command(TyperCommand):
    """A command that refuses two targets where it takes one: elsewhere the last word counts, as in any script."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Count the targets, then go on as usual."""
        order: list[Any] = self.make_parser(ctx).parse_args(args=list(args))[2]
        targets = [one for one in order if one.name == "target" and not one.multiple]
        if len(targets) > 1:
            ctx.fail(f"--target must be given once, got it {len(targets)} times. Leave all but one out.")
        return super().parse_args(ctx, args)


class Group(TyperGroup):
    """Commands of one kind; without a word after it there is help, and with ``--json`` an error to read."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse ``--json`` without a command, as the root does."""
        if not args and "--json" in ctx.meta[ARGUMENTS]:
            ctx.fail("Missing command.")
        return super().parse_args(ctx, args)


class RootGroup(TyperGroup):
    """Runs a command; says each of our errors in one red sentence, or, with ``--json``, in a document."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        declared = next((option for option in self.params if option.name == "json"), None)
        if declared is None:  # a group of its own, without the library's options
            return
        shown = copy.copy(declared)
        shown.expose_value = False  # no command sees it: the document is made here
        for command in _commands_below(self):
            command.params.append(shown)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Remember the arguments, and let ``--debug`` and ``--json`` stand anywhere before ``--``."""
        ctx.meta[ARGUMENTS] = list(args)
        end = args.index("--") if "--" in args else len(args)
        before = [argument for argument in args[:end] if argument not in _ANYWHERE]
        first = [option for option in _ANYWHERE if option in args[:end]]
        try:
            return super().parse_args(ctx, [*first, *before, *args[end:]])
        except Exception as error:
            with answering(is_json="--json" in first and hasattr(error, "format_message")) as answer:
                _fail_words(answer, error)
            raise

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the commands in the order in which one would type them."""
        known = [name for name in _FIRST if name in self.commands]
        return [*known, *(name for name in super().list_commands(ctx) if name not in known)]

    def invoke(self, ctx: Any) -> Any:
        """Run the command; exit code 2 for an error of ours, 130 when stopped."""
        with answering(is_json=ctx.params.get("json", False)) as answer:
            answer.command = self._command_of(ctx.meta[ARGUMENTS])
            return self._run(ctx, answer)

    def _run(self, ctx: Any, answer: Answer) -> Any:
        try:
            with terminate_as_interrupt(), one_line_warnings():
                return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            said = _stopped(ctx.meta[ARGUMENTS], stop)
            notes.print(said, soft_wrap=True, markup=False)
            answer.fail("Interrupted", said, INTERRUPTED)
            raise typer.Exit(INTERRUPTED) from stop
        except LikethatError as error:
            if ctx.params.get("debug"):
                notes.print_exception(show_locals=False)
            say_error(str(error) or type(error).__name__)
            answer.fail(type(error).__name__, str(error) or type(error).__name__, BAD_CALL)
            raise typer.Exit(BAD_CALL) from error
        except Exception as error:  # of the words themselves, said by the library that parsed them; or a fault of ours
            if not _fail_words(answer, error) and not isinstance(error, typer.Exit):
                answer.fail(type(error).__name__, str(error), FAULT)
            raise

    def _command_of(self, arguments: list[str]) -> str:
        """Return the words of the command: "explain", "fit epic"."""
        group: Any = self
        found: list[str] = []
        for word in arguments:
            if word in getattr(group, "commands", {}):
                group = group.commands[word]
                found.append(word)
        return " ".join(found)


def _commands_below(group: Any) -> Iterator[Any]:
    for command in group.commands.values():
        if hasattr(command, "commands"):
            yield from _commands_below(command)
        else:
            yield command


def _fail_words(answer: Answer, error: Any) -> bool:
    """Note what the library that parses words says of them; return whether the error is one of its own."""
    if not hasattr(error, "format_message"):
        return False
    answer.fail("UsageError", error.format_message(), error.exit_code)
    return True


def _stopped(arguments: list[str], stop: KeyboardInterrupt) -> str:
    if not isinstance(stop, Stopped):
        return "stopped"
    resumed = [*arguments, *(word for word in stop.again if word not in arguments)]
    return f"stopped; go on with: {shlex.join(['likethat', *resumed])}"


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

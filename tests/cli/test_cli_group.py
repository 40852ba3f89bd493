"""What becomes of errors, Ctrl-C and --debug."""

import signal
import warnings

import pytest
import typer
from typer.testing import CliRunner

from likethat.cli.group import RootGroup, Stopped, terminate_as_interrupt
from likethat.errors import InputError, LikethatError, MissingExtraError, StorageError


def an_app(raised: BaseException | None) -> typer.Typer:
    app = typer.Typer(cls=RootGroup, pretty_exceptions_enable=False)

    @app.command()
    def work(word: str = "", resume: bool = False) -> None:
        if raised is not None:
            raise raised

    @app.command()
    def warn() -> None:
        warnings.warn("the disk is nearly full", stacklevel=2)

    @app.callback()
    def root(debug: bool = False) -> None: ...

    return app


@pytest.mark.parametrize(
    "error",
    [
        InputError("`top` must be 1, got 0."),
        StorageError("`top` must be 1, got 0."),
        MissingExtraError("`top` must be 1, got 0."),
        LikethatError("`top` must be 1, got 0."),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_of_ours_is_one_sentence_and_code_2(error: LikethatError) -> None:
    result = CliRunner().invoke(an_app(error), ["work"])
    assert result.exit_code == 2
    assert result.stderr == "`top` must be 1, got 0.\n"
    assert result.stdout == ""


def test_the_sentence_is_not_read_as_markup() -> None:
    result = CliRunner().invoke(an_app(InputError("the class [bold]x[/] is none.")), ["work"])
    assert result.stderr == "the class [bold]x[/] is none.\n"


@pytest.mark.parametrize("arguments", [["--debug", "work"], ["work", "--debug"], ["work", "--word", "a", "--debug"]])
def test_debug_shows_the_traceback_wherever_it_stands(arguments: list[str]) -> None:
    result = CliRunner().invoke(an_app(InputError("no.")), arguments)
    assert result.exit_code == 2
    assert "Traceback" in result.stderr
    assert "InputError" in result.stderr


def test_debug_after_two_dashes_is_a_word() -> None:
    result = CliRunner().invoke(an_app(None), ["work", "--", "--debug"])
    assert result.exit_code == 2
    assert "--debug" in result.stderr


def test_an_error_that_is_not_ours_keeps_its_traceback() -> None:
    result = CliRunner().invoke(an_app(ZeroDivisionError("a bug")), ["work"])
    assert isinstance(result.exception, ZeroDivisionError)


def test_stopped_says_how_to_go_on() -> None:
    result = CliRunner().invoke(an_app(Stopped()), ["work", "--word", "two words"])
    assert result.exit_code == 130
    assert result.stderr == "stopped; go on with: likethat work --word 'two words' --resume\n"
    again = CliRunner().invoke(an_app(Stopped()), ["work", "--resume"])
    assert again.stderr.count("--resume") == 1
    same = CliRunner().invoke(an_app(Stopped(again=())), ["work", "--word", "a"])
    assert same.stderr == "stopped; go on with: likethat work --word a\n"


def test_stopped_with_nothing_left_promises_nothing() -> None:
    result = CliRunner().invoke(an_app(KeyboardInterrupt()), ["work"])
    assert result.exit_code == 130
    assert result.stderr == "stopped\n"


def test_a_request_to_terminate_stops_as_ctrl_c_does() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), terminate_as_interrupt():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_warnings_are_one_line_without_file_names() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        result = CliRunner().invoke(an_app(None), ["warn"])
    assert result.stderr == "warning: the disk is nearly full\n"

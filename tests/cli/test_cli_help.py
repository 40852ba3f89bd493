"""Help that teaches, and the version."""

import pytest
from command_line import likethat

import likethat as lt


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["demo"],
        ["split"],
        ["fit"],
        ["fit", "epic"],
        ["fit", "parts"],
        ["fit", "prodg"],
        ["explain"],
        ["show"],
        ["evaluate"],
        ["audit"],
        ["compare"],
    ],
    ids=str,
)
def test_help_of_every_command_has_examples(command: list[str]) -> None:
    result = likethat(*command, "--help")
    assert result.exit_code == 0
    assert "Usage: likethat" in result.stdout.replace("root", "likethat")
    if command != ["fit"]:
        assert "Examples" in result.stdout
        assert f"$ likethat {' '.join(command)}".rstrip() in result.stdout
    assert "[bold]" not in result.stdout


def test_commands_stand_in_the_order_of_use() -> None:
    text = likethat("--help").stdout
    places = [text.index(f"│ {name} ") for name in ("demo", "split", "fit", "explain", "show", "evaluate")]
    assert places == sorted(places)


def test_version() -> None:
    result = likethat("--version")
    assert (result.exit_code, result.stdout) == (0, f"likethat {lt.__version__}\n")


def test_a_command_that_is_none_suggests_one() -> None:
    result = likethat("explian")
    assert result.exit_code == 2
    assert "explain" in result.stderr


def test_no_words_show_the_help() -> None:
    result = likethat()
    assert "fit" in result.stdout + result.stderr

"""Calling the command line in this process."""

from pathlib import Path

from typer.testing import CliRunner, Result

from likethat.cli.main import app


def likethat(*arguments: object) -> Result:
    """Run ``likethat`` with these words."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "120"})


def fit_words(folder: Path, weights: Path, out: Path) -> list[object]:
    """The words of a small fit."""
    words: list[object] = ["fit", "epic", "--model", "toy:cnn", "--weights", weights, "--images", folder]
    return [*words, "--out", out, "--n-prototypes", 2]

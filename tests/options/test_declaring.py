"""Options that are declared once: checks, docstrings, flags and the tables in the docs."""

import dataclasses
import inspect
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import likethat as lt
from likethat import options, papers
from likethat._calls import public
from likethat.cli.flags import add, command
from likethat.errors import ArgumentError, InputError
from likethat.options.declaring import Declared, given, option, options_of, seed_option
from likethat.options.tables import with_tables

METHODS: list[Any] = [lt.EPIC, papers.EPIC, lt.ProDG, papers.ProDG, lt.PartPrototypes, papers.PartPrototypes]
METHODS += [options.ImageTraining, options.TableTraining, options.TextTraining, options.VaeRecipe, options.FlowRecipe]
METHODS += [lt.FreeMCG, papers.FreeMCG, lt.Exemplars]


@dataclass(frozen=True, eq=False)
class Told(Declared):
    """What a made-up method can be told."""

    moved = {"colour": "It is `paint` now."}  # noqa: RUF012 (a declaration in a test)

    maker: Any = given("makes inputs", metavar="NAME")
    n: int = option(3, "how many", low=2)
    _: KW_ONLY
    size: int | Literal["auto"] = option(4, "of a part", low=1)
    share: float | None = option(None, "of the images", high=1.0, with_low=False)
    algorithm: Literal["fast", "slow"] = option("fast", "how it is done")
    is_loud: bool = option(True, "tells of it")
    seed: int = seed_option()

    def check_together(self) -> None:
        """Refuse what excludes each other."""
        if self.algorithm == "slow" and self.is_loud:
            raise InputError("`is_loud` must be False for algorithm='slow', got True.")


@public
@dataclass(frozen=True, eq=False)
class Method(Told):
    """Does something.

    Source:
        None.
    """


def test_values_become_plain_and_stay() -> None:
    told = Method("m", np.int64(5), share=np.float32(0.5), seed=np.uint8(7))  # type: ignore[arg-type]
    assert (type(told.n), told.n, type(told.share), told.share, type(told.seed)) == (int, 5, float, 0.5, int)
    assert told.options() == {"n": 5, "size": 4, "share": 0.5, "algorithm": "fast", "is_loud": True}
    assert Method("m", size="auto").size == "auto"
    with pytest.raises(dataclasses.FrozenInstanceError):
        told.n = 4  # type: ignore[misc]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n": 1}, "`n` must be a whole number of at least 2, got 1"),
        ({"n": True}, "`n` must be a whole number of at least 2, got True"),
        ({"size": 0}, "`size` must be a whole number of at least 1, got 0"),
        ({"size": "all"}, "`size` must be a whole number of at least 1, or 'auto', got 'all'"),
        ({"share": 0}, "`share` must be a number above 0 and at most 1, got 0"),
        ({"algorithm": "fats"}, "`algorithm` must be one of 'fast', 'slow', got 'fats'. Did you mean 'fast'"),
        ({"algorithm": 3}, "`algorithm` must be one of 'fast', 'slow', got 3"),
        ({"is_loud": "no"}, "`is_loud` must be True or False, got 'no'"),
        ({"seed": 2**32}, "`seed` must be a whole number from 0 to 4,294,967,295"),
        ({"algorithm": "slow"}, "`is_loud` must be False for algorithm='slow'"),
    ],
    ids=str,
)
def test_every_option_is_checked(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Method("m", **wrong)


def test_an_option_that_was_renamed_is_said_to_be() -> None:
    with pytest.raises(ArgumentError, match=r"`colour` is no argument of Method\. It is `paint` now\."):
        Method("m", colour="red")  # type: ignore[call-arg]
    with pytest.raises(ArgumentError, match=r"`solver` is no argument of EPIC\. .* likethat\.papers\.EPIC"):
        lt.EPIC(solver="adam")  # type: ignore[call-arg]


def test_flags_of_a_command_are_the_options() -> None:
    app, seen = typer.Typer(), {}

    @command("likethat made-up --maker zoo")
    def made_up(told: Annotated[dict[str, Any], Told], *, more: int = 1) -> None:
        seen.update(told, more=more)

    add(app, made_up)

    done = CliRunner().invoke(app, ["--maker", "zoo", "--size", "auto", "--algorithm", "slow", "--no-is-loud"])
    assert done.exit_code == 0, done.output
    assert seen == {
        "maker": "zoo", "n": 3, "size": "auto", "share": None, "algorithm": "slow", "is_loud": False, "seed": 0,
        "more": 1,
    }  # fmt: skip
    CliRunner().invoke(app, ["--maker", "zoo", "--size", "7", "--share", "0.5", "--more", "2"])
    assert (seen["size"], seen["share"], seen["more"]) == (7, 0.5, 2)
    assert CliRunner().invoke(app, ["--maker", "zoo", "--algorithm", "fats"]).exit_code == 2


@pytest.mark.parametrize("method", METHODS, ids=lambda method: f"{method.__module__}.{method.__name__}")
def test_a_method_shows_its_options(method: Any) -> None:
    # In help(), for an IDE and for mypy: by name in the signature, with what each does in the docstring.
    told = {each.name: each for each in options_of(method)}
    assert told
    assert list(inspect.signature(method).parameters) == list(told)
    head, _, tail = str(method.__doc__).partition("\nArgs:\n")
    assert "Source:" not in head
    for name, each in told.items():
        assert f"    {name}: {each.help}." in tail
        assert not each.help.endswith(".")


def test_the_tables_in_the_docs_are_those_of_the_declarations() -> None:
    docs, text = Path(__file__).parents[2] / "docs", ""
    for page in ("methods.md", "generators.md"):
        renew = f"python -c 'from likethat.options.tables import renew; renew(\"docs/{page}\")'"
        own = (docs / page).read_text(encoding="utf-8")
        assert with_tables(own) == own, f"write them anew: {renew}"
        text += own
    for name in options.__all__:
        assert f"<!-- options: {name} -->" in text, f"docs has no table of {name}"


def test_options_stand_in_their_classs_panel() -> None:
    @dataclass(frozen=True, kw_only=True, eq=False)
    class Placed(Told, panel="The place"):
        out: str = given("where", flags=("--out", "-o"))
        size: int = option(3, "of it", panel="The size")

    panels = {each.name: each.panel for each in options_of(Placed)}
    assert (panels["out"], panels["size"], panels["n"]) == ("The place", "The size", None)

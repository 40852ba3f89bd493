"""``likethat counterfactual``: what would have to be different for another class."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from likethat.cli._asking import OUT_HELP, TARGET_FLAGS, Asked, Searched, conclude, search
from likethat.cli.console import say
from likethat.cli.flags import command
from likethat.cli.targets import TARGET_HELP
from likethat.errors import InputError
from likethat.options import FreeMCGOptions
from likethat.options.declaring import given, option


@dataclass(frozen=True, kw_only=True, eq=False)
class Change(Searched):
    """What is to be changed, how far, and by which generator."""

    generator: str = given(
        "zoo:digits-flow, diffusers:NAME, a trained folder, or texts (.txt)",
        flags=("--generator", "-g"), metavar="NAME|DIR|FILE",
    )  # fmt: skip
    target: str | None = option(
        None, f"index or name, any other class by default; {TARGET_HELP}", flags=TARGET_FLAGS, metavar="CLASS|LINE"
    )
    out: Path = option(Path("counterfactual.html"), OUT_HELP, flags=("--out", "-o"), metavar="FILE|DIR")
    n: int = option(1, "how many different ones", flags=("-n",))
    budget: int = option(200, "queries, at most")
    keep: list[str] | None = option(None, "a column, or word of a text, that stays; may repeat", metavar="COLUMN")
    up: list[str] | None = option(None, "a column that may only rise", metavar="COLUMN")
    down: list[str] | None = option(None, "a column that may only fall", metavar="COLUMN")
    within: list[str] | None = option(None, "what a column may be", flags=("--range",), metavar="COLUMN=LOW:HIGH")
    mask: Path | None = option(
        None, "a picture of the image's size: only where it is white, may it change", metavar="FILE"
    )


@command(
    "likethat counterfactual -m zoo:digits -g zoo:digits-flow -i zoo:digits:7 --target 3",
    "likethat counterfactual -m model.onnx -g customers/ -i customers.csv:12 --target good --keep sex --up age",
    "likethat counterfactual -m model.onnx -g customers/ -i customers.csv --out changes/",
    "likethat counterfactual -m prices.onnx -g houses/ -i houses.csv:12 --target '20 % less' --keep area",
    "likethat counterfactual -m zoo:creatures -g zoo:creatures-flow -i zoo:creatures:3 --target 1 --mask head.png",
    "likethat counterfactual -m https://host/v2/models/reviews -g reviews.txt -i review.txt --confidence 0.8",
    "likethat counterfactual -m https://host/v2/models/scan -g diffusers:my/ddpm -i scan.png",
)
def counterfactual(told: Change, options: Annotated[dict[str, Any], FreeMCGOptions], asked: Asked) -> None:
    """Change an image, a row or a text just so far that the model gives it to another class, by asking it alone."""
    from likethat.explainers import FreeMCG

    limits: dict[str, Any] = {
        "n": told.n,
        "budget": told.budget,
        "mask": told.mask,
        "immutable": tuple(told.keep or ()),
        "ranges": _ranges(told.within or []) or None,
        "directions": dict.fromkeys(told.up or [], "up") | dict.fromkeys(told.down or [], "down") or None,
    }
    found = search(lambda made: FreeMCG(made, **options).counterfactual, told, asked, **limits)
    if found is None:
        return
    say_changed(found)
    conclude(found, told.out, asked, overwrite=told.overwrite)


def say_changed(found: Any) -> None:
    """Print what became of the input, and by which changes."""
    chance, measured = found.probability(found.best), found.measured
    came = f"probability {chance:.3f}" if measured is None else f"{measured.name} {measured.number(chance)}"
    say(f"{found.target_name}: {found.status.reason}, {came}, {found.queries} queries", style="bold")
    if found.kind == "text":
        _say_text(found)
    else:
        for each in found.best.changes:
            say(str(each))
    for dependence in found.best.broken:
        say(f"breaks, as the source does: {dependence}")
    if found.curve:
        say("columns by confidence: " + ", ".join(f"{at.n_columns} at {at.confidence:g}" for at in found.curve))


def _say_text(found: Any) -> None:
    """Print the edits as a line, and the nearest real text."""
    from likethat.report.diffs import diff_line
    from likethat.report.text import clean

    say(clean(diff_line(found.source[0], found.best.input[0])))
    if found.real is not None:
        say(f"nearest real text: {clean(found.real.input[0])}")


def _ranges(words: list[str]) -> dict[str, tuple[float | str, float | str]]:
    """Return the ranges that words such as ``age=18:65`` or ``since=2019-01-01:2020-06-30`` stand for.

    Raises:
        InputError: another form.

    Example:
        >>> _ranges(["age=18:65", "grade=C:A"])
        {'age': (18.0, 65.0), 'grade': ('C', 'A')}
    """
    found: dict[str, tuple[float | str, float | str]] = {}
    for word in words:
        name, _, bounds = word.rpartition("=")
        low, _, high = bounds.partition(":")
        if not name or not low or not high:
            raise InputError(f"`--range` must be such as age=18:65 or since=2019-01-01:2020-06-30, got {word!r}.")
        try:
            found[name] = (float(low), float(high))
        except ValueError:
            found[name] = (low, high)  # dates, or ordered categories
    return found

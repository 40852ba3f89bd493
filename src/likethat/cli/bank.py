"""Commands on a saved bank: show it, measure it, name its units."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from likethat.cli.console import give, notes, say, say_path, say_table
from likethat.cli.flags import command
from likethat.cli.opening import open_bank_with_model, open_images
from likethat.cli.options import OVERWRITE_HELP, WORK_PANEL, OfBank, class_index_or_name
from likethat.cli.places import check_page
from likethat.cli.progress import progress_bar
from likethat.errors import InputError
from likethat.options.declaring import Declared, given, option, seed_option

if TYPE_CHECKING:
    from likethat.metrics import Measures

BankArgument = Annotated[Path, typer.Argument(metavar="BANK", help="Folder that likethat fit wrote.")]


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown(Declared):
    """What of a bank is shown, and where."""

    out: Path = option(Path("bank.html"), "the page, one HTML file", flags=("--out", "-o"), metavar="FILE")
    by_class: bool = option(False, "class by class: banks of parts only")
    classes: list[str] | None = option(
        None, "with --by-class: this class; may be repeated", flags=("--class",), metavar="CLASS"
    )
    overwrite: bool = option(False, OVERWRITE_HELP, panel=WORK_PANEL)


@command(
    "likethat show bank --out bank.html",
    "likethat show parts-bank --by-class --class owl --out owl.html",
)
def show(bank: BankArgument, told: Shown) -> None:
    """Write the page of a bank: every channel with its prototypes. The model is not needed."""
    from likethat.explanations import open_bank
    from likethat.report import save_classes

    check_page(told.out, overwrite=told.overwrite)
    if told.classes and not told.by_class:
        raise InputError("`--class` must stand with --by-class, got it alone. Add --by-class.")
    opened = open_bank(bank)
    give(opened)
    if told.by_class:
        targets = [class_index_or_name(name, opened.class_names) for name in told.classes or []]
        wanted = [target for target in targets if target is not None] or None
        save_classes(opened, told.out, wanted, overwrite=told.overwrite)
    else:
        opened.save(told.out, overwrite=told.overwrite)
    say_path("page", told.out)


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured(Declared):
    """What a bank is measured on."""

    images: str = given("held-out images: a folder, zoo:creatures, zoo:digits", flags=("--images", "-i"), metavar="DIR")
    n_explained: int = option(200, "how many of them are explained", low=1)
    top: int = option(4, "rows an explanation", low=1)
    seed: int = seed_option("of the random windows and the noise")


@command(
    "likethat evaluate bank --images held-out-photos/",
    "likethat evaluate creatures-bank --images zoo:creatures",
    "likethat evaluate digits-bank --images zoo:digits --n-explained 50 --json",
)
def evaluate(bank: BankArgument, of: OfBank, told: Measured) -> None:
    """Measure a bank on images that it was not fitted on.

    Measures against true parts need a source that knows them, such as zoo:creatures.
    """
    from likethat import metrics

    source = open_images(told.images, held_out=True)
    opened = open_bank_with_model(bank, **vars(of))
    notes.print(f"{len(source):,} images in {told.images}", markup=False, soft_wrap=True)
    many = {"n_explained": told.n_explained, "n_deleted": max(1, told.n_explained // 2)}
    with progress_bar() as watch:
        measures = metrics.evaluate(opened, source, top=told.top, seed=told.seed, watch=watch, **many)
    give(values=measures.row())
    _say_measures(measures)


def _say_measures(measures: "Measures") -> None:
    row, meanings = measures.row(), measures.meanings()
    say(f"measured on {row.pop('n_images')} explanations", style="bold")
    say_table(
        {
            name.replace("_", " "): f"{value:<8.3g} {meanings.get(name, '')}".rstrip()
            for name, value in row.items()
            if value is not None
        }
    )


@command(
    'likethat rename bank 12=beak 40="left wing"',
    "likethat rename bank 12=  # its own name again",
    "likethat rename bank --from names.json",
)
def rename(
    bank: Annotated[Path, typer.Argument(metavar="BANK", help="Folder that likethat fit wrote; its names change.")],
    names: Annotated[
        list[str] | None, typer.Argument(metavar="UNIT=NAME...", help="Units by number, or by what they are called.")
    ] = None,
    *,
    source: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help='Names as JSON, {"12": "beak", "40": null}.')
    ] = None,
) -> None:
    """Give units of a bank names of your own, which every page and explanation then shows.

    Without names it says which units have one. All names are given, or none.
    """
    from likethat.explanations import open_bank
    from likethat.explanations.names import read_names

    opened = open_bank(bank)
    wanted: list[tuple[int | str, str | None]] = [*(read_names(source).items() if source is not None else ())]
    wanted += [_pair(one) for one in names or []]
    before = [opened.rename(unit, name) for unit, name in wanted]
    if wanted:
        opened.save(bank, overwrite=True)
    give(values={"named": {str(unit): name for unit, name in opened.named.items()}, "before": before})
    for unit, name in opened.named.items():
        say(f"unit {unit}: {name}")
    if not opened.named:
        say("no unit has a name that people gave")


def _pair(words: str) -> tuple[int | str, str | None]:
    unit, sign, name = words.partition("=")
    if not sign or not unit.strip():
        raise InputError(f"`UNIT=NAME` must be a unit and its name, such as 12=beak, got {words[:60]!r}.")
    unit = unit.strip()
    return (int(unit) if unit.isascii() and unit.isdigit() and len(unit) < 10 else unit), name.strip() or None

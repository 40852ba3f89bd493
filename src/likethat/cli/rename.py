"""``likethat rename BANK 12=beak``: names that people give a bank's units, kept in its folder."""

from pathlib import Path
from typing import Annotated

import typer

from likethat.cli.console import give, say
from likethat.cli.options import examples
from likethat.errors import InputError

EXAMPLES = examples(
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

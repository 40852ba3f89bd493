"""``likethat split MODEL``: can this model be explained exactly, and how is it cut?"""

from pathlib import Path
from typing import Annotated, Any

import typer

from likethat.cli.console import give, say, say_table
from likethat.cli.flags import command
from likethat.cli.options import OfNetwork
from likethat.errors import InputError


@command(
    "likethat split zoo:creatures",
    "likethat split timm:resnet18",
    "likethat split torchvision:resnet34 --weights mine.safetensors --layer layer3",
    "likethat split timm:resnet18 --layer finer",
    "likethat split --all --rows rows.jsonl",
)
def split(
    of: OfNetwork,
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="torchvision:NAME, timm:NAME, hf:ORG/NAME, zoo:creatures, …")
    ] = "",
    every: Annotated[
        bool, typer.Option("--all", help="Cut 200 architectures of three libraries, with random weights: hours.")
    ] = False,
    rows: Annotated[
        Path, typer.Option("--rows", metavar="FILE", help="With --all: lines of JSON, from which it goes on.")
    ] = Path("likethat-split.jsonl"),
) -> None:
    """Cut a model into feature map, pooling and head, check it on the model itself, and print the cut.

    [bold]error[/bold] is the largest relative difference between the network's logits and those put together again.
    """
    if bool(model) == every:
        raise InputError("`likethat split` takes one MODEL, or --all and none. Example: likethat split zoo:creatures")
    if every:
        _split_all(rows)
    else:
        _split_one(of.opened(model).row(), model)


def _split_one(row: dict[str, Any], model: str) -> None:
    give(values=row)
    say(str(row.pop("name", model)), style="bold")
    say_table({name: _in_words(value) for name, value in row.items() if value != ""})


def _split_all(path: Path) -> None:
    """Print a line for each architecture as it is cut."""
    from likethat.models.survey import survey

    counts: dict[str, int] = {}
    for row in survey(path):
        kind = row["kind"]
        counts[kind] = counts.get(kind, 0) + 1
        cut = f"{row['layer']}, {row['pooling']}, {row['grid']}" if "layer" in row else row.get("note", "")
        figures = [f"error {row['error']:.0e}"] if "error" in row else []
        figures += [f"{row['located']:.0%} located"] if "located" in row else []
        figures += [f"{row['forwards']:.1f} forwards"] if "forwards" in row else []
        say(f"{row['name']}  {kind}  {' '.join([cut, *figures])}")
    give(values={"counts": counts, "rows": str(path)})


def _in_words(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.1e}" if isinstance(value, float) else str(value)

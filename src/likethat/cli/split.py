"""``likethat split MODEL``: can this model be explained exactly, and how is it cut?"""

from typing import Annotated, Any

import typer

from likethat.cli.console import give, say, say_table
from likethat.cli.flags import with_flags
from likethat.cli.opening import open_model
from likethat.cli.options import OfModel, examples

__all__ = ["EXAMPLES", "split"]

EXAMPLES = examples(
    "likethat split zoo:creatures",
    "likethat split timm:resnet18",
    "likethat split torchvision:resnet34 --weights mine.safetensors --layer layer3",
)


@with_flags(of=OfModel)
def split(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="torchvision:NAME, timm:NAME, hf:ORG/NAME, zoo:creatures, …")
    ],
    of: dict[str, Any],
) -> None:
    """Cut a model into feature map, pooling and head, check it on the model itself, and print the cut.

    [bold]error[/bold] is the largest relative difference between the network's logits and those put together again.
    """
    row = open_model(model, **of).row()
    give(values=row)
    say(str(row.pop("name", model)), style="bold")
    say_table({name: _in_words(value) for name, value in row.items() if value != ""})


def _in_words(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.1e}" if isinstance(value, float) else str(value)

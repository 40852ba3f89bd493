"""Options that several commands share, and how their words become values."""

import re
from pathlib import Path
from typing import Annotated

import typer

from likethat.cli.flags import sentence

__all__ = [
    "CLASS_NAMES_HELP",
    "DEVICE_HELP",
    "LAYER_HELP",
    "MODEL_PANEL",
    "WEIGHTS_HELP",
    "WORK_PANEL",
    "ClassNamesOption",
    "DeviceOption",
    "LayerOption",
    "OverwriteOption",
    "ResumeOption",
    "SeedOption",
    "WeightsOption",
    "class_index_or_name",
    "examples",
]

MODEL_PANEL, WORK_PANEL = "The model", "The work"
WEIGHTS_HELP = "your own file (.safetensors, or a saved state dictionary), a set's name, or random; trained by default"
LAYER_HELP = "read the feature map from this module instead"
CLASS_NAMES_HELP = "class names, one a line; the model's own by default"
DEVICE_HELP = "where it runs: cpu, cuda, cuda:1, mps; auto takes a GPU where there is one"

WeightsOption = Annotated[
    str | None, typer.Option(metavar="NAME|FILE", help=sentence(WEIGHTS_HELP), rich_help_panel=MODEL_PANEL)
]
LayerOption = Annotated[
    str | None, typer.Option(metavar="NAME", help=sentence(LAYER_HELP), rich_help_panel=MODEL_PANEL)
]
ClassNamesOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help=sentence(CLASS_NAMES_HELP), rich_help_panel=MODEL_PANEL)
]
DeviceOption = Annotated[str, typer.Option(metavar="NAME", help=sentence(DEVICE_HELP), rich_help_panel=MODEL_PANEL)]
SeedOption = Annotated[int, typer.Option(help="The same seed gives the same result.", rich_help_panel=WORK_PANEL)]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Go on from where it was stopped.", rich_help_panel=WORK_PANEL)
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace what stands at OUT.", rich_help_panel=WORK_PANEL)
]


def class_index_or_name(text: str | None, class_names: tuple[str, ...]) -> int | str | None:
    """Return a class name where one is meant, else the index that a number gives.

    ``name:7`` and ``index:7`` leave no doubt.

    Raises:
        TargetError: a number that is one class's name and another's index.

    Example:
        >>> class_index_or_name("7", ("cat", "dog")), class_index_or_name("7", ("6", "7"))
        (7, '7')
        >>> class_index_or_name("name:1", ("1", "2")), class_index_or_name("index:1", ("1", "2"))
        ('1', '2')
    """
    kind, _, word = (text or "").partition(":")
    if text is not None and text not in class_names and kind in ("name", "index") and word:
        is_known = kind == "index" and word.isdecimal() and int(word) < len(class_names)
        return class_names[int(word)] if is_known else int(word) if kind == "index" and word.isdecimal() else word
    if text is None or not re.fullmatch(r"-?\d+", text):
        return text
    if not 0 <= int(text) < len(class_names):
        return text if text in class_names else int(text)
    from likethat._checks import resolve_target  # late: it brings torch

    index = resolve_target(int(text), class_names)
    return text if text in class_names else index


def examples(*lines: str) -> str:
    """Return the block of examples at the end of a command's help."""
    return "\n\n".join(["[bold]Examples[/bold]", *(f"  [cyan]$ {line}[/cyan]" for line in lines)])

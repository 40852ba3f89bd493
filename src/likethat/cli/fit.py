"""``likethat fit METHOD``: one command a method.

A further method is one function here, or in its own file with ``from likethat.cli.fit import app`` and
``@app.command(...)``; that file is then named in `likethat.cli.main`, which imports it.
"""

from typing import Any

import typer

from likethat.cli.fitting import FitJob, fit_and_save
from likethat.cli.flags import with_flags
from likethat.cli.options import examples
from likethat.options import EPICOptions

__all__ = ["app"]

app = typer.Typer(
    help="Find the prototypes of a model and save them as a [bold]bank[/bold].",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@app.callback()
def fit() -> None:
    """Find the prototypes of a model and save them as a [bold]bank[/bold]."""


@app.command(
    epilog=examples(
        "likethat fit epic --model zoo:digits --images zoo:digits --out digits-bank",
        "likethat fit epic -m timm:resnet18 -i photos/ -o bank --workers 2",
        "likethat fit epic -m timm:resnet18 --weights mine.safetensors --class-names names.txt -i photos/ -o bank",
        "likethat fit epic -m timm:resnet18 -i photos/ -o bank --usage-weight 0.5 --resume",
    )
)
@with_flags(options=EPICOptions, job=FitJob)
def epic(options: dict[str, Any], job: dict[str, Any]) -> None:
    """Turn a network's channels so that each shows one thing, and find the images that show it.

    The network sees every image once and is not changed; no labels are needed.
    Ctrl-C leaves a checkpoint beside OUT.
    The same command with [bold]--resume[/bold] goes on from it, to the same bank.
    """
    from likethat.explainers import EPIC

    fit_and_save(EPIC(**options), FitJob(**job))

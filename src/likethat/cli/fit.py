"""``likethat fit METHOD``: one command a method.

A further method is one function here, or in its own file with ``from likethat.cli.fit import app`` and
``@app.command(...)``; that file is then named in `likethat.cli.main`, which imports it.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from likethat.cli.fitting import FitJob, fit_and_save
from likethat.cli.options import (
    BatchOption,
    BudgetOption,
    ClassNamesOption,
    DeviceOption,
    ImagesOption,
    LayerOption,
    ModelOption,
    OverwriteOption,
    ResumeOption,
    SeedOption,
    WeightsOption,
    WorkersOption,
    examples,
)

__all__ = ["app"]

app = typer.Typer(
    help="Find the prototypes of a model and save them as a [bold]bank[/bold].",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

OutOption = Annotated[
    Path, typer.Option("--out", "-o", metavar="FOLDER", help="The bank; its checkpoint lies beside it meanwhile.")
]


class Solver(StrEnum):
    """How the rotation is found."""

    procrustes = "procrustes"
    adam = "adam"


class Mixing(StrEnum):
    """What kind of matrix the channels are mixed with."""

    orthogonal = "orthogonal"
    invertible = "invertible"
    whitened = "whitened"


class ScheduleName(StrEnum):
    """How the number of prototypes falls while fitting."""

    ours = "ours"
    paper = "paper"


@app.callback()
def fit() -> None:
    """Find the prototypes of a model and save them as a [bold]bank[/bold]."""


@app.command(
    epilog=examples(
        "likethat fit epic --model zoo:digits --images zoo:digits --out digits-bank",
        "likethat fit epic -m timm:resnet18 -i photos/ -o bank --workers 2",
        "likethat fit epic -m timm:resnet18 --weights mine.safetensors --class-names names.txt -i photos/ -o bank",
        "likethat fit epic -m timm:resnet18 -i photos/ -o bank --solver adam --schedule paper --resume",
    )
)
def epic(
    *,
    model: ModelOption,
    images: ImagesOption,
    out: OutOption,
    weights: WeightsOption = None,
    layer: LayerOption = None,
    class_names: ClassNamesOption = None,
    device: DeviceOption = "auto",
    n_prototypes: Annotated[int, typer.Option(help="Images a channel.")] = 5,
    solver: Annotated[Solver, typer.Option(help="procrustes: one SVD a round; adam: as in the paper.")] = (
        Solver.procrustes
    ),
    mixing: Annotated[Mixing, typer.Option(help="invertible needs adam, whitened needs procrustes.")] = (
        Mixing.orthogonal
    ),
    schedule: Annotated[ScheduleName, typer.Option(help="ours stops at 14 prototypes, paper at 5.")] = (
        ScheduleName.ours
    ),
    usage_weight: Annotated[float, typer.Option(help="Above 0, channels that logits use most count more.")] = 0.0,
    seed: SeedOption = 0,
    batch_size: BatchOption = 32,
    workers: WorkersOption = 0,
    memory_budget: BudgetOption = "2GB",
    resume: ResumeOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Turn a network's channels so that each shows one thing, and find the images that show it.

    The network sees every image once and is not changed; no labels are needed.
    Ctrl-C leaves a checkpoint beside OUT.
    The same command with [bold]--resume[/bold] goes on from it, to the same bank.
    """
    from likethat.explainers import EPIC

    method = EPIC(
        n_prototypes,
        solver=solver.value,
        mixing=mixing.value,
        schedule=schedule.value,
        usage_weight=usage_weight,
        seed=seed,
    )
    job = FitJob(
        model=model,
        images=images,
        out=out,
        weights=weights,
        layer=layer,
        class_names=class_names,
        device=device,
        batch_size=batch_size,
        workers=workers,
        memory_budget=memory_budget,
        resume=resume,
        overwrite=overwrite,
    )
    fit_and_save(method, job)

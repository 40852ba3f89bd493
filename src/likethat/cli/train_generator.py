"""``likethat train-generator KIND``: a generator of images, table rows or texts from your own data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from likethat.cli.console import duration, give, say, say_path, say_table
from likethat.cli.flags import add, command, epilog
from likethat.cli.group import Group
from likethat.cli.opening import open_images
from likethat.cli.options import CHECKPOINT_HELP, WORK_PANEL
from likethat.cli.places import check_folder, checkpoint_of, left_behind, may_replace
from likethat.cli.progress import Estimate, progress_bar
from likethat.options import ImageTraining, TableTraining, TextTraining
from likethat.options.declaring import Declared, given, option

_MARK = "generator.json"


@dataclass(frozen=True, kw_only=True, eq=False)
class Job(Declared, panel=WORK_PANEL):
    """Where the generator goes, and what to do with what lies there."""

    out: Path = given("folder for the generator", flags=("--out", "-o"), metavar="DIR")
    resume: bool = option(False, "go on from where it was stopped")
    checkpoint_every: float = option(5.0, CHECKPOINT_HELP, metavar="SECONDS")
    overwrite: bool = option(False, "replace an earlier generator at OUT")


@command("likethat train-generator image photos/ --out faces --size 64")
def image(
    data: Annotated[str, typer.Argument(metavar="DIR", help="A folder of images, zoo:creatures or zoo:digits.")],
    told: Annotated[dict[str, Any], ImageTraining],
    job: Job,
) -> None:
    """Train a generator of images: one pass, or a denoiser (crisper, slower)."""
    _train("image", told, job, open_images(data))


@command("likethat train-generator table customers.csv --out customers --date since")
def table(
    data: Annotated[str, typer.Argument(metavar="FILE", help="A CSV or Parquet file, without the labels.")],
    told: Annotated[dict[str, Any], TableTraining],
    job: Job,
) -> None:
    """Train a generator of table rows, each of which is valid."""
    _train("table", told, job, data)


@command("likethat train-generator text reviews.txt --out reviews")
def text(
    data: Annotated[str, typer.Argument(metavar="FILE", help="A text file, one text a line.")],
    told: Annotated[dict[str, Any], TextTraining],
    job: Job,
) -> None:
    """Train a generator of texts, of any script."""
    _train("text", told, job, data)


app = typer.Typer(
    help="Train a generator of images, table rows or texts on your data; it needs no model and no labels.\n\n"
    "The folder holds weights (safetensors), a card, and a sheet of samples to look at.",
    epilog=epilog(
        "likethat train-generator image photos/ --out faces --size 64",
        "likethat train-generator image photos/ --algorithm flow --out faces-flow",
        "likethat train-generator table customers.csv --out customers",
        "likethat train-generator text reviews.txt --out reviews",
    ),
    cls=Group,
    no_args_is_help=True,
    rich_markup_mode="rich",
)
add(app, image, table, text)


def _train(kind: str, told: dict[str, Any], job: Job, data: Any) -> None:
    from likethat.generators import train_generator as train
    from likethat.generators import write_samples

    replaces = {"resume": job.resume, "overwrite": job.overwrite}
    check_folder(job.out, mark=_MARK, work="training", **replaces)
    with left_behind(job.out):
        with progress_bar(Estimate(stage="training", after=3.0, sentence=_left)) as watch:
            told |= {"watch": watch, "resume": job.resume}
            told |= {"checkpoint": checkpoint_of(job.out), "checkpoint_every": job.checkpoint_every}
            generator = train(data, kind=kind, **told)
        generator.save(job.out, overwrite=may_replace(job.out, _MARK, **replaces))
    give(values=generator.card)
    say_table({key: value for key, value in generator.card.items() if isinstance(value, str | int | float)})
    say_quality(generator.quality)
    say_path("generator", job.out)
    say_path("samples", write_samples(generator, job.out, seed=told["seed"]))


def say_quality(quality: Any) -> None:
    """Print how real what a generator makes is, or why nobody knows."""
    if not quality.is_measured:
        say(f"quality not measured: {quality.why}")
        return
    say(f"quality, on {quality.kept_back_in_words()}: made, and real in brackets")
    say_table({name: f"{made} ({real})  {about}" for name, made, real, about in quality.lines()})


def _left(seconds: float, _report: object) -> str:
    return f"about {duration(seconds)} of training, less if it stops improving"

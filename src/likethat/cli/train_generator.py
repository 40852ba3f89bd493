"""``likethat train-generator``: a generator of images, table rows or texts from your own data."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from likethat._progress import Progress, Watcher
from likethat.cli.answer import give
from likethat.cli.console import duration, notes, say_path, say_table
from likethat.cli.group import Stopped
from likethat.cli.opening import open_images
from likethat.cli.options import OverwriteOption, ResumeOption, SeedOption, examples
from likethat.cli.places import check_folder, checkpoint_of, may_replace
from likethat.cli.progress import Estimate, progress_bar

__all__ = ["EXAMPLES", "train_generator"]

EXAMPLES = examples(
    "likethat train-generator image photos/ --out faces --size 64",
    "likethat train-generator image photos/ --method flow --out faces-flow",
    "likethat train-generator table customers.csv --out customers",
    "likethat train-generator text reviews.txt --out reviews",
)
_MARK = "generator.json"


class Kind(StrEnum):
    """What the generator makes."""

    image = "image"
    table = "table"
    text = "text"


class Method(StrEnum):
    """How images are made."""

    vae = "vae"
    flow = "flow"


def train_generator(
    kind: Annotated[Kind, typer.Argument(help="What to make: images, table rows or texts.", show_default=False)],
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A folder of images (or zoo:creatures, zoo:digits), a CSV or Parquet file, a text file.",
            show_default=False,
        ),
    ],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the generator.")],
    method: Annotated[Method, typer.Option(help="For images: one pass, or a denoiser (crisper, slower).")] = Method.vae,
    latent_dim: Annotated[int | None, typer.Option(help="Length of a latent; by the data when left out.")] = None,
    size: Annotated[int | None, typer.Option(help="For images: pixels a side; at most 64 when left out.")] = None,
    steps: Annotated[int | None, typer.Option(help="For images: steps of training; by the data when left out.")] = None,
    mirror: Annotated[bool, typer.Option(help="For images: learn them left to right as well.")] = False,
    dates: Annotated[
        list[str] | None, typer.Option("--date", metavar="COLUMN", help="For a CSV file: a column of dates; repeat it.")
    ] = None,
    seed: SeedOption = 0,
    resume: ResumeOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Train a generator on your data; it needs no model and no labels.

    The folder holds weights (safetensors), a card, and a sheet of samples to look at.
    """
    from likethat.generators import train_generator as train

    check_folder(out, mark=_MARK, work="training", resume=resume, overwrite=overwrite)
    checkpoint = checkpoint_of(out)
    options: dict[str, Any] = {"seed": seed, "checkpoint": checkpoint, "resume": resume}
    options |= {} if latent_dim is None or method is Method.flow else {"latent_dim": latent_dim}
    if kind is Kind.image:
        options |= _image_options(size=size, steps=steps, mirror=mirror)
    source = _source(kind, data, dates or [])
    try:
        with progress_bar() as watch:
            generator = train(source, kind=kind.value, method=method.value, watch=_with_estimate(watch), **options)
        generator.save(out, overwrite=may_replace(out, _MARK, resume=resume, overwrite=overwrite))
    except KeyboardInterrupt as stop:
        if checkpoint.exists():
            raise Stopped from stop
        raise
    give(values=generator.card)
    say_table({key: value for key, value in generator.card.items() if isinstance(value, str | int | float)})
    say_path("generator", out)
    say_path("samples", _write_samples(generator, out, seed=seed))


def _source(kind: Kind, data: str, dates: list[str]) -> Any:
    if kind is Kind.image:
        return open_images(data)
    if kind is Kind.text:
        return Path(data)
    from likethat.generators.table.files import read_table

    return read_table(data, dates=dates)


def _image_options(*, size: int | None, steps: int | None, mirror: bool) -> dict[str, Any]:
    options: dict[str, Any] = {"mirror": mirror, "size": size}
    if steps is not None:
        options["steps"] = steps
    return options


def _with_estimate(watch: Watcher) -> Watcher:
    estimate = Estimate(stage="training", after=3.0)

    def both(report: Progress) -> None:
        left = estimate.seconds_left(report)
        if left is not None:
            notes.print(f"about {duration(left)} of training, less if it stops improving")
        watch(report)

    return both


def _write_samples(generator: Any, out: Path, *, seed: int) -> Path:
    from likethat.generators import write_samples

    return write_samples(generator, out, seed=seed)

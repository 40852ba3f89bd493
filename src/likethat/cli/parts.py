"""``likethat fit parts``: every class's parts, found or marked."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from likethat._progress import Watcher
from likethat.cli.fit import OutOption, app
from likethat.cli.fitting import FitJob, fit_and_save
from likethat.cli.options import (
    BatchOption,
    BudgetOption,
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
from likethat.errors import InputError

if TYPE_CHECKING:
    from likethat.explainers import PartPrototypes
    from likethat.explanations import Bank
    from likethat.models import SplitModel

__all__ = ["app", "parts"]


class Way(StrEnum):
    """How parts that are found become parts that add up."""

    ownership = "ownership"
    shared = "shared"


class Sharing(StrEnum):
    """How the residual is shared."""

    closed_form = "closed-form"
    nelder_mead = "nelder-mead"
    equal = "equal"


class Labels(StrEnum):
    """Which class an image is for."""

    given = "given"
    predicted = "predicted"


@app.command(
    epilog=examples(
        "likethat fit parts --model zoo:creatures --images zoo:creatures --out parts-bank",
        "likethat fit parts -m timm:resnet18 -i photos/ -o bank --labels predicted --n-parts auto",
        "likethat fit parts -m timm:resnet18 -i photos/ -o bank --marks annotations.json",
    )
)
def parts(
    *,
    model: ModelOption,
    images: ImagesOption,
    out: OutOption,
    weights: WeightsOption = None,
    layer: LayerOption = None,
    device: DeviceOption = "auto",
    n_parts: Annotated[
        str, typer.Option(metavar="N|auto", help="Parts a class, or auto: as many as are stable.")
    ] = "4",
    way: Annotated[Way | None, typer.Option(help="ownership: by regression, the default; shared: the paper's.")] = None,
    sharing: Annotated[Sharing, typer.Option(help="Of what the parts do not explain (--way shared).")] = (
        Sharing.closed_form
    ),
    marks: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Name parts by marks on a few images: COCO or LabelMe JSON, a folder of those or masks, or truth:N.",
        ),
    ] = None,
    labels: Annotated[
        Labels | None,
        typer.Option(help="Images of a class: by label, or by the model's prediction. By label where there are any."),
    ] = None,
    n_prototypes: Annotated[int, typer.Option(help="Images a part.")] = 5,
    seed: SeedOption = 0,
    batch_size: BatchOption = 32,
    workers: WorkersOption = 0,
    memory_budget: BudgetOption = "2GB",
    resume: ResumeOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Split what a network looks for in each class into parts that add up to its logit.

    Parts are found without marks; with [bold]--marks[/bold] on as few as 20 images they are the ones you name. The
    network sees every image once and is not changed.
    """
    from likethat.explainers import PartPrototypes

    if marks is not None and way is not None:
        raise InputError("`--way` must be left out with --marks, which name the parts.")
    method = PartPrototypes(
        _count(n_parts),
        way="named" if marks is not None else (way or Way.ownership).value,
        sharing=sharing.value,
        n_prototypes=n_prototypes,
        seed=seed,
    )
    job = FitJob(
        model=model,
        images=images,
        out=out,
        weights=weights,
        layer=layer,
        device=device,
        batch_size=batch_size,
        workers=workers,
        memory_budget=memory_budget,
        resume=resume,
        overwrite=overwrite,
    )
    fit_and_save(_WithMarks(method, marks, labels), job)


def _count(text: str) -> Any:
    """Return ``"auto"`` or the number that a word stands for.

    Raises:
        InputError: neither.
    """
    if text == "auto":
        return text
    if not text.isdecimal():
        raise InputError(f"`--n-parts` must be a whole number or auto, got {text!r}.")
    return int(text)


class _WithMarks:
    """The method, with what the command says of marks and labels."""

    def __init__(self, method: "PartPrototypes", marks: str | None, labels: Labels | None) -> None:
        self.method, self.labels = method, labels
        self.marks = marks if marks is None or marks.startswith("truth:") else _read(Path(marks))

    def fit(
        self,
        model: "SplitModel",
        images: Any,
        *,
        memory_budget: int = 2 * 2**30,
        batch_size: int = 32,
        workers: int = 0,
        checkpoint: str | Path | None = None,
        resume: bool = False,
        watch: Watcher | None = None,
    ) -> "Bank":
        """Fit on the images and the marks on them."""
        return self.method.fit(
            model,
            images,
            labels=None if self.labels is None else self.labels.value,
            parts=self._true_marks(images) if isinstance(self.marks, str) else self.marks,
            memory_budget=memory_budget,
            batch_size=batch_size,
            workers=workers,
            checkpoint=checkpoint,
            resume=resume,
            watch=watch,
        )

    def _true_marks(self, images: Any) -> Any:
        from likethat.sources import Creatures, Marks

        number = str(self.marks).removeprefix("truth:")
        if not isinstance(images, Creatures) or not number.isdecimal():
            raise InputError(f"`--marks` must be a path, or truth:N for zoo:creatures, got {self.marks!r}.")
        return Marks.from_truth(images, int(number), seed=self.method.seed)


def _read(path: Path) -> Any:
    from likethat.sources import Marks

    return Marks.read(path)

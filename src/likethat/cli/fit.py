"""``likethat fit METHOD``: one command a method, in this file or its own, added at the end of this one."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from likethat.cli.fitting import FitJob, fit_and_save
from likethat.cli.flags import add, command
from likethat.cli.group import Group
from likethat.cli.prodg import prodg
from likethat.errors import InputError
from likethat.options import EPICOptions, PartsOptions
from likethat.options.declaring import Declared, option

if TYPE_CHECKING:
    from likethat.explainers import PartPrototypes
    from likethat.explanations import Bank
    from likethat.models import SplitModel


@command(
    "likethat fit epic --model zoo:digits --images zoo:digits --out digits-bank",
    "likethat fit epic -m timm:resnet18 -i photos/ -o bank --workers 2",
    "likethat fit epic -m timm:resnet18 --weights mine.safetensors --class-names names.txt -i photos/ -o bank",
    "likethat fit epic -m timm:resnet18 -i photos/ -o bank --usage-weight 0.5 --resume",
)
def epic(options: Annotated[dict[str, Any], EPICOptions], job: FitJob) -> None:
    """Turn a network's channels so that each shows one thing, and find the images that show it.

    The network sees every image once and is not changed; no labels are needed.
    Ctrl-C leaves a checkpoint beside OUT.
    The same command with [bold]--resume[/bold] goes on from it, to the same bank.
    """
    from likethat.explainers import EPIC

    fit_and_save(EPIC(**options), job)


@dataclass(frozen=True, kw_only=True, eq=False)
class Labelled(Declared):
    """What the images show, as far as it is said."""

    marks: str | None = option(
        None,
        "name parts by marks on a few images: COCO or LabelMe JSON, a folder of those or masks, or truth:N",
        metavar="PATH",
    )
    labels: Literal["given", "predicted"] | None = option(
        None, "images of a class: by label, or by the model's prediction; by label where there are any"
    )


@command(
    "likethat fit parts --model zoo:creatures --images zoo:creatures --out parts-bank",
    "likethat fit parts -m timm:resnet18 -i photos/ -o bank --labels predicted --n-parts auto",
    "likethat fit parts -m timm:resnet18 -i photos/ -o bank --marks annotations.json",
)
def parts(options: Annotated[dict[str, Any], PartsOptions], labelled: Labelled, job: FitJob) -> None:
    """Split what a network looks for in each class into parts that add up to its logit.

    Parts are found without marks; with [bold]--marks[/bold] on as few as 20 images they are the ones you name. The
    network sees every image once and is not changed.
    """
    from likethat.explainers import PartPrototypes

    if labelled.marks is not None:
        if options["algorithm"] not in ("auto", "named"):
            raise InputError("`--algorithm` must be left out with --marks, which name the parts.")
        options["algorithm"] = "named"
    fit_and_save(_WithMarks(PartPrototypes(**options), labelled), job)


class _WithMarks:
    """The method, with what the command says of marks and labels."""

    def __init__(self, method: "PartPrototypes", told: Labelled) -> None:
        from likethat.sources import Marks

        self.method, self.labels = method, told.labels
        self.marks: Any = told.marks
        if told.marks is not None and not told.marks.startswith("truth:"):
            self.marks = Marks.read(Path(told.marks))  # before the model is opened

    def fit(self, model: "SplitModel", images: Any, **reading: Any) -> "Bank":
        """Fit on the images and the marks on them."""
        marks = self._true_marks(images) if isinstance(self.marks, str) else self.marks
        return self.method.fit(model, images, labels=self.labels, parts=marks, **reading)

    def _true_marks(self, images: Any) -> Any:
        from likethat.sources import Creatures, Marks

        number = str(self.marks).removeprefix("truth:")
        if not isinstance(images, Creatures) or not number.isdecimal():
            raise InputError(f"`--marks` must be a path, or truth:N for zoo:creatures, got {self.marks!r}.")
        return Marks.from_truth(images, int(number), seed=self.method.seed)


app = typer.Typer(
    help="Find the prototypes of a model and save them as a [bold]bank[/bold].",
    cls=Group,
    no_args_is_help=True,
    rich_markup_mode="rich",
)
add(app, epic, parts, prodg)

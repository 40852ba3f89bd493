"""``likethat evaluate BANK``: how good are a bank's prototypes on images it has not seen?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from likethat.cli.answer import give
from likethat.cli.console import notes, say, say_table
from likethat.cli.opening import open_bank_with_model, open_images
from likethat.cli.options import DeviceOption, LayerOption, WeightsOption, examples
from likethat.cli.progress import progress_bar

if TYPE_CHECKING:
    from likethat.metrics import Measures

__all__ = ["EXAMPLES", "evaluate"]

EXAMPLES = examples(
    "likethat evaluate bank --images held-out-photos/",
    "likethat evaluate creatures-bank --images zoo:creatures",
    "likethat evaluate digits-bank --images zoo:digits --n-explained 50 --json",
)
_MEANINGS = {
    "purity": "top images consist of their channel alone: 1; have nothing of it: 0",
    "coverage": "share of the evidence that the shown rows carry",
    "gap": "largest relative error of a sum of contributions",
    "deletion_agreement": "rank correlation of contributions with the logit's drop when their windows are blanked",
    "deletion_drop": "mean drop for a shown window",
    "random_drop": "mean drop for a random window of that size",
    "part_consistency": "channels whose boxes show one true part",
    "modal_share": "a channel's boxes on its most frequent part",
    "surroundings": "boxes on no part",
    "box_match": "shown boxes on the part that the channel's top images show",
}


def evaluate(
    bank: Annotated[Path, typer.Argument(metavar="BANK", help="Folder that likethat fit wrote.")],
    *,
    images: Annotated[
        str, typer.Option("--images", "-i", metavar="DIR", help="Held-out images: a folder, zoo:creatures, zoo:digits.")
    ],
    n_explained: Annotated[int, typer.Option(help="How many of them are explained.")] = 200,
    top: Annotated[int, typer.Option(help="Rows an explanation.")] = 4,
    seed: Annotated[int, typer.Option(help="Of the random windows and the noise.")] = 0,
    model: Annotated[
        str | None, typer.Option("--model", "-m", metavar="NAME", help="The bank remembers it; give it if that fails.")
    ] = None,
    weights: WeightsOption = None,
    layer: LayerOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Measure a bank on images that it was not fitted on.

    Measures against true parts need a source that knows them, such as zoo:creatures.
    """
    from likethat import metrics

    source = open_images(images, held_out=True)
    opened = open_bank_with_model(bank, model=model, weights=weights, layer=layer, device=device)
    notes.print(f"{len(source):,} images in {images}", markup=False, soft_wrap=True)
    with progress_bar() as watch:
        measures = metrics.evaluate(
            opened, source, top=top, n_explained=n_explained, n_deleted=max(1, n_explained // 2), seed=seed, watch=watch
        )
    give(values=measures.row())
    _say(measures)


def _say(measures: "Measures") -> None:
    row = measures.row()
    say(f"measured on {row.pop('n_images')} explanations", style="bold")
    say_table(
        {
            name.replace("_", " "): f"{value:<8.3g} {_MEANINGS.get(name, '')}".rstrip()
            for name, value in row.items()
            if value is not None
        }
    )

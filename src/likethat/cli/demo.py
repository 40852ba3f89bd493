"""``likethat demo``: two small networks explained from nothing, on a laptop, without the network."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from likethat._files import new_folder, try_folder
from likethat._options import check_path
from likethat.cli.console import duration, give, notes, say, say_path
from likethat.cli.options import examples
from likethat.cli.progress import progress_bar
from likethat.errors import InputError

if TYPE_CHECKING:
    from likethat.explanations import Bank, Explanation
    from likethat.models import SplitModel

__all__ = ["EXAMPLES", "annotated", "demo"]

EXAMPLES = examples("likethat demo", "likethat demo --out somewhere --quick")
_MARKER = "report.html"


def demo(
    *,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where the report goes.")] = Path(
        "likethat-demo"
    ),
    quick: Annotated[bool, typer.Option("--quick", help="Fewer images, seconds instead of minutes.")] = False,
) -> None:
    """Explain a network on drawn creatures, whose true parts are known, and one on real handwritten digits.

    No download, no GPU, under three minutes on two cores.
    """
    _check_place(out)
    with new_folder(out, overwrite=True) as folder:
        found = _made(folder, quick=quick)
    give(*found)
    _say_found(found)
    say(f"next: likethat explain {out}/digits-bank {out}/digits.png --top 6 --out why.html", style="green")
    for name in ("creatures-bank.html", "digits-bank.html", _MARKER):
        say_path("page  " if "bank" in name else "report", out / name)


def _check_place(out: Path) -> None:
    """Refuse what likethat did not write, and what it wrote that is no demo: a bank of hours is not given up for it."""
    check_path(out, name="--out")
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not (out / _MARKER).exists()):
        raise InputError(f"`--out` must be a new folder, or that of an earlier demo, got {out}. Choose another.")
    try_folder(out, overwrite=True, name="--out")


def _made(folder: Path, *, quick: bool) -> list["Explanation"]:
    """Fill the demo's folder and return what was explained."""
    from likethat.report import save_gallery
    from likethat.sources import creatures, digits

    chapters: dict[str, tuple[Any, Any]] = {  # images to find prototypes in, and to explain, of a model of the zoo
        "creatures": (creatures(300 if quick else 1200, seed=1), creatures(60, seed=2)),
        "digits": (digits(split="train"), digits(split="test")),
    }
    found = []
    for name, (given, held_out) in chapters.items():
        bank = _fit(f"zoo:{name}", given)
        found += _explained(bank, held_out, folder / f"{name}.png")
        bank.save(folder / f"{name}-bank")
        bank.save(folder / f"{name}-bank.html")
    save_gallery(found, folder / _MARKER, title="What two small networks look for")
    return found


def _fit(model: str, images: Any) -> "Bank":
    from likethat.explainers import EPIC
    from likethat.models import load

    notes.print(f"{model}: {len(images):,} images")
    with progress_bar() as watch:
        return EPIC(seed=0).fit(load(model), images, watch=watch)


def _explained(bank: "Bank", images: Any, picture: Path) -> list["Explanation"]:
    """Explain a typical held-out image, and why the most narrowly decided one is not of the next class."""
    from likethat._pictures import png_of

    typical, narrow = _typical_and_narrow(bank.model, images)
    picture.write_bytes(png_of(images[typical].image))
    return [
        annotated(bank.explain(images[typical]), images, typical),
        annotated(bank.contrast(images[narrow]), images, narrow),
    ]


def _typical_and_narrow(model: "SplitModel", images: Any, *, among: int = 60) -> tuple[int, int]:
    """Return the rightly classified images of the median and of the smallest margin."""
    import torch

    samples = [images[index] for index in range(min(among, len(images)))]
    with torch.no_grad():
        logits = model.logits(torch.stack([model.preprocess.view(sample.image) for sample in samples])).cpu()
    best = logits.topk(2, dim=1)
    margin = best.values[:, 0] - best.values[:, 1]
    right = torch.tensor([sample.label for sample in samples]) == best.indices[:, 0]
    order = torch.where(right, margin, torch.inf).argsort(stable=True)
    return int(order[int(right.sum()) // 2]), int(order[0])


def annotated(why: "Explanation", source: Any, index: int) -> "Explanation":
    """Return the explanation with the true part under each box, where the source knows it."""
    if not hasattr(source, "true_part"):
        return why
    rows = tuple(
        dataclasses.replace(row, true_part=source.true_part(index, row.box) or "surroundings") for row in why.rows
    )
    return dataclasses.replace(why, rows=rows)


def _say_found(found: list["Explanation"]) -> None:
    from likethat.report.sentences import truth_sentence

    for why in found:
        about = why.provenance
        if why.against is None:
            purity, time = about.measures["purity"], duration(about.seconds)
            say(f"{about.model}: {about.n_images:,} images, mean purity {purity:.2f}, in {time}", style="bold")
        against = "" if why.against is None else f" and not {why.class_names[why.against]}"
        say(f"  why {why.target_name}{against}: logit {why.logit:.2f}, {why.coverage:.0%} of the evidence shown")
        if sentence := truth_sentence(why):
            say(f"  {sentence[0].lower()}{sentence[1:]}")

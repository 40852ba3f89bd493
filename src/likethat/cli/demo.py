"""``likethat demo``: two small networks explained from nothing, on a laptop, without the network."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from likethat._files import new_folder, try_folder
from likethat._options import check_path
from likethat.cli.console import give, notes, say, say_path
from likethat.cli.flags import command
from likethat.cli.progress import progress_bar
from likethat.errors import InputError

if TYPE_CHECKING:
    from likethat.explanations import Bank, Explanation
    from likethat.models import SplitModel

_Told: TypeAlias = tuple[str, str, str, Any]  # name of the page, question, what is said to it, what was found
_MARKER = "report.html"
_AMONG = 60  # pictures, the one that the network decided most narrowly is told of
_CHANNELS = 4  # that climb, and are shown: more is another half minute, and a longer page


@command("likethat demo", "likethat demo --out somewhere --quick")
def demo(
    *,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where the report goes.")] = Path(
        "likethat-demo"
    ),
    quick: Annotated[bool, typer.Option("--quick", help="Fewer images, seconds instead of minutes.")] = False,
) -> None:
    """Ask a network that knows drawn creatures what it looks for, by all five methods, on one page.

    The true parts of the drawings are known, and check the answers. No download, no GPU, under four minutes.
    """
    _check_place(out)
    with new_folder(out, overwrite=True) as folder:
        found = _made(folder, quick=quick)
    give(*found)
    _say_found(found)
    words = f"likethat explain {out}/digits-bank {out}/digits.png --top 6 --out why.html"
    say(f"explain one of its pictures yourself: {words}", style="green")
    for name in ("creatures-bank.html", "digits-bank.html", _MARKER):
        say_path("page  " if "bank" in name else "report", out / name)


def _check_place(out: Path) -> None:
    """Refuse what likethat did not write, and what it wrote that is no demo: a bank of hours is not given up for it."""
    check_path(out, name="--out")
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not (out / _MARKER).exists()):
        raise InputError(f"`--out` must be a new folder, or that of an earlier demo, got {out}. Choose another.")
    try_folder(out, overwrite=True, name="--out")


def _made(folder: Path, *, quick: bool) -> list[Any]:
    """Fill the demo's folder and return what was found, in the order told."""
    from likethat.report import save_bank
    from likethat.report.story import Chapter, save_story
    from likethat.sources import creatures, digits

    drawings = creatures(120 if quick else 1200, seed=1)
    channels, bank = _fit("zoo:creatures", drawings), _fit("zoo:digits", digits(split="train"))
    told = (*_of_drawings(channels, drawings, folder, quick=quick), _of_digits(bank, folder))
    chapters, results = [], []
    for name, question, text, found in told:
        page = folder / f"{name}.html"
        if name == "without-data":
            save_bank(found, page, limit=_CHANNELS)
        else:
            found.save(page)
        chapters.append(Chapter(question=question, told=text, page=page))
        results.append(found)
    for name, each in (("creatures", channels), ("digits", bank)):
        each.save(folder / f"{name}-bank")
        each.save(folder / f"{name}-bank.html")
    lead = "A small network that tells drawn creatures apart, trained on labels alone. One picture, five methods."
    save_story(chapters, folder / _MARKER, title="What does this network look for?", lead=lead)
    return results


def _fit(model: str, images: Any) -> "Bank":
    from likethat.explainers import EPIC
    from likethat.models import load

    notes.print(f"{model}: {len(images):,} images")
    with progress_bar() as watch:
        return EPIC(seed=0).fit(load(model), images, watch=watch)


def _of_drawings(channels: "Bank", drawings: Any, folder: Path, *, quick: bool) -> Iterator[_Told]:
    """Tell of one picture by all five methods, and of the drawings by an audit."""
    from likethat.auditing import audit
    from likethat.explainers import Exemplars, FreeMCG, PartPrototypes, ProDG
    from likethat.generators import load_generator
    from likethat.models import BlackBox
    from likethat.sources import creatures

    model, held_out = channels.model, creatures(60, seed=2)
    generator, box = load_generator("zoo:creatures"), BlackBox(model)
    place = _narrow(model, held_out)
    image = held_out[place]
    _write_picture(folder / "creatures.png", image)
    contrast = annotated(channels.contrast(image), held_out, place)
    assert contrast.against is not None
    target, other = contrast.target_name, contrast.class_names[contrast.against]
    text = (
        "EPIC turns the network's channels until each answers to one thing. The differences of all channels add up "
        "to the difference of the two logits; the boxes are checked against the parts that the drawing knows."
    )
    yield "why", f"Why {target} and not {other}?", text, contrast

    with progress_bar() as watch:
        parts = PartPrototypes(seed=0).fit(model, drawings, labels="predicted", watch=watch)
    text = "Part prototypes take the class's own row of the head apart: four parts carry all of the evidence."
    yield "parts", f"What does it look for in a {target}?", text, annotated(parts.explain(image), held_out, place)

    sizes: dict[str, Any] = {"n_samples": 60, "steps": 2} if quick else {"n_samples": 400, "steps": 8}
    with progress_bar() as watch:
        made = ProDG(generator, n_prototypes=3, seed=0, **sizes).fit(
            model, target=target, n_channels=_CHANNELS, watch=watch
        )
    text = (
        "ProDG makes its prototypes: a generator draws, the network says what to draw next. The warnings are part "
        "of it: two controls say how much of this is the network, and how much the generator."
    )
    yield "without-data", "And where no picture may be opened?", text, made

    with progress_bar() as watch:
        ideal = Exemplars(generator, seed=0).search(box, target, n=1 if quick else 3, watch=watch)
    text = "Exemplars ask the network about drawings that a generator makes. From here on only its answers are used."
    yield "ideal", f"What would be its ideal {target}?", text, ideal

    with progress_bar() as watch:
        change = FreeMCG(generator, confidence=0.85, seed=0).counterfactual(box, image.image, other, watch=watch)
    text = "FreeMCG looks for the smallest change that the network gives to the other class, and that stays a drawing."
    yield "change", f"What would make it a {other}?", text, change

    with progress_bar() as watch:
        where = FreeMCG(seed=0).attribute(box, image.image, target, watch=watch)
    text = "Parts are hidden, or shown alone; a regression of the answers says what each pixel adds, with an error."
    yield "where", "Where does it look, asked from outside?", text, where

    with progress_bar() as watch:
        audited = audit(model, drawings, n_shortcuts=1, watch=watch)
    text = "An audit looks for shortcuts and doubtful labels. This network was trained cleanly: it should find none."
    yield "audit", "Is it right for the right reason?", text, audited


def _of_digits(bank: "Bank", folder: Path) -> _Told:
    """Tell of EPIC on real handwriting."""
    from likethat.sources import digits

    images = digits(split="test")
    place = _narrow(bank.model, images)
    _write_picture(folder / "digits.png", images[place])
    why = bank.contrast(images[place])
    text = "Another network, on real handwritten digits: the one of sixty that it decided most narrowly, and rightly."
    return "digits", f"The same on handwriting: why {why.target_name}?", text, why


def _write_picture(path: Path, sample: Any) -> None:
    from likethat._pictures import png_of

    path.write_bytes(png_of(sample.image))


def _narrow(model: "SplitModel", images: Any) -> int:
    """Return the rightly classified image of the smallest margin."""
    import torch

    samples = [images[index] for index in range(min(_AMONG, len(images)))]
    with torch.no_grad():
        logits = model.logits(torch.stack([model.preprocess.view(sample.image) for sample in samples])).cpu()
    best = logits.topk(2, dim=1)
    margin = best.values[:, 0] - best.values[:, 1]
    right = torch.tensor([sample.label for sample in samples]) == best.indices[:, 0]
    return int(torch.where(right, margin, torch.inf).argmin())


def annotated(why: "Explanation", source: Any, index: int) -> "Explanation":
    """Return the explanation with the true part under each box, where the source knows it."""
    if not hasattr(source, "true_part"):
        return why
    rows = tuple(
        dataclasses.replace(row, true_part=source.true_part(index, row.box) or "surroundings") for row in why.rows
    )
    return dataclasses.replace(why, rows=rows)


def _say_found(found: list[Any]) -> None:
    from likethat.report.sentences import truth_sentence

    for each in found:
        say(f"  {each!r}"[:160])
        if hasattr(each, "against") and (sentence := truth_sentence(each)):
            say(f"  {sentence[0].lower()}{sentence[1:]}")

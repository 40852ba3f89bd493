"""``likethat demo``: two small networks explained from nothing, on a laptop, without the network."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from likethat._files import new_folder, try_folder
from likethat._options import check_path
from likethat.cli.console import give, notes, say, say_path
from likethat.cli.options import examples
from likethat.cli.progress import progress_bar
from likethat.errors import InputError

if TYPE_CHECKING:
    from likethat.explanations import Bank, Explanation
    from likethat.models import SplitModel
    from likethat.report.story import Chapter

EXAMPLES = examples("likethat demo", "likethat demo --out somewhere --quick")
_MARKER = "report.html"
_CHANNELS = 4  # that climb, and are shown: more is another half minute, and a longer page


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
    say(f"next: likethat explain {out}/digits-bank {out}/digits.png --top 6 --out why.html", style="green")
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
    from likethat.report.story import save_story
    from likethat.sources import creatures, digits

    drawings = creatures(120 if quick else 1200, seed=1)
    channels = _fit("zoo:creatures", drawings)
    told = _Told(folder, channels, drawings, creatures(60, seed=2), quick=quick)
    chapters = [told.why(), told.parts(), told.without_data(), told.ideal(), told.change(), told.where(), told.audit()]
    bank = _fit("zoo:digits", digits(split="train"))
    chapters.append(told.digits(bank, digits(split="test")))
    for name, each in (("creatures", channels), ("digits", bank)):
        each.save(folder / f"{name}-bank")
        each.save(folder / f"{name}-bank.html")
    lead = "A small network that tells drawn creatures apart, trained on labels alone. One picture, five methods."
    save_story(chapters, folder / _MARKER, title="What does this network look for?", lead=lead)
    return told.found


def _fit(model: str, images: Any) -> "Bank":
    from likethat.explainers import EPIC
    from likethat.models import load

    notes.print(f"{model}: {len(images):,} images")
    with progress_bar() as watch:
        return EPIC(seed=0).fit(load(model), images, watch=watch)


class _Told:
    """One picture through all five methods, a page each in the demo's folder."""

    def __init__(self, folder: Path, channels: "Bank", drawings: Any, held_out: Any, *, quick: bool) -> None:
        from likethat.generators import load_generator
        from likethat.models import BlackBox

        self.folder, self.model, self.drawings, self.quick = folder, channels.model, drawings, quick
        self.held_out, self.place = held_out, _narrow(channels.model, held_out)
        self.image = held_out[self.place]
        self.generator, self.box = load_generator("zoo:creatures"), BlackBox(self.model)
        self.found: list[Any] = []
        self.contrast = annotated(channels.contrast(self.image), held_out, self.place)
        assert self.contrast.against is not None
        self.target, self.other = self.contrast.target_name, self.contrast.class_names[self.contrast.against]
        _write_picture(folder / "creatures.png", self.image)

    def why(self) -> "Chapter":
        """EPIC: the two classes that were nearest to each other on this picture."""
        told = (
            "EPIC turns the network's channels until each answers to one thing. The differences of all channels add up "
            "to the difference of the two logits; the boxes are checked against the parts that the drawing knows."
        )
        return self._chapter(
            f"Why {self.target} and not {self.other}?",
            told,
            self.contrast,
            self.contrast.save(self.folder / "why.html"),
        )

    def parts(self) -> "Chapter":
        """Part prototypes: the whole logit in a few rows."""
        from likethat.explainers import PartPrototypes

        with progress_bar() as watch:
            bank = PartPrototypes(seed=0).fit(self.model, self.drawings, labels="predicted", watch=watch)
        why = annotated(bank.explain(self.image), self.held_out, self.place)
        told = "Part prototypes take the class's own row of the head apart: four parts carry all of the evidence."
        return self._chapter(
            f"What does it look for in a {self.target}?", told, why, why.save(self.folder / "parts.html")
        )

    def without_data(self) -> "Chapter":
        """ProDG: prototypes that a generator makes."""
        from likethat.explainers import ProDG
        from likethat.report import save_bank

        method = ProDG(
            self.generator, n_prototypes=3, n_samples=60 if self.quick else 400, steps=2 if self.quick else 8, seed=0
        )
        with progress_bar() as watch:
            bank = method.fit(self.model, target=self.target, n_channels=_CHANNELS, watch=watch)
        told = (
            "ProDG makes its prototypes: a generator draws, the network says what to draw next. The warnings are part "
            "of it: two controls say how much of this is the network, and how much the generator."
        )
        page = save_bank(bank, self.folder / "without-data.html", limit=_CHANNELS)
        return self._chapter("And where no picture may be opened?", told, bank, page)

    def ideal(self) -> "Chapter":
        """Exemplars: from answers alone."""
        from likethat.explainers import Exemplars

        with progress_bar() as watch:
            found = Exemplars(self.generator, seed=0).search(
                self.box, self.target, n=1 if self.quick else 3, watch=watch
            )
        told = (
            "Exemplars ask the network about drawings that a generator makes. From here on only its answers are used."
        )
        return self._chapter(
            f"What would be its ideal {self.target}?", told, found, found.save(self.folder / "ideal.html")
        )

    def change(self) -> "Chapter":
        """FreeMCG: the nearest picture of the other class."""
        from likethat.explainers import FreeMCG

        with progress_bar() as watch:
            found = FreeMCG(self.generator, confidence=0.85, seed=0).counterfactual(
                self.box, self.image.image, self.other, watch=watch
            )
        told = (
            "FreeMCG looks for the smallest change that the network gives to the other class, and that stays a drawing."
        )
        return self._chapter(
            f"What would make it a {self.other}?", told, found, found.save(self.folder / "change.html")
        )

    def where(self) -> "Chapter":
        """A heat map of answers."""
        from likethat.explainers import FreeMCG

        with progress_bar() as watch:
            found = FreeMCG(seed=0).attribute(self.box, self.image.image, self.target, watch=watch)
        told = "Parts are hidden, or shown alone; a regression of the answers says what each pixel adds, with an error."
        return self._chapter(
            "Where does it look, asked from outside?", told, found, found.save(self.folder / "where.html")
        )

    def audit(self) -> "Chapter":
        """The audit of the drawings."""
        from likethat.auditing import audit

        with progress_bar() as watch:
            found = audit(self.model, self.drawings, n_shortcuts=1, watch=watch)
        told = (
            "An audit looks for shortcuts and doubtful labels. This network was trained cleanly: it should find none."
        )
        return self._chapter("Is it right for the right reason?", told, found, found.save(self.folder / "audit.html"))

    def digits(self, bank: "Bank", images: Any) -> "Chapter":
        """EPIC on real handwriting."""
        place = _narrow(bank.model, images)
        _write_picture(self.folder / "digits.png", images[place])
        why = bank.contrast(images[place])
        told = (
            "Another network, on real handwritten digits: the one of sixty that it decided most narrowly, and rightly."
        )
        return self._chapter(
            f"The same on handwriting: why {why.target_name}?", told, why, why.save(self.folder / "digits.html")
        )

    def _chapter(self, question: str, told: str, found: Any, page: Path) -> "Chapter":
        from likethat.report.story import Chapter

        self.found.append(found)
        return Chapter(question=question, told=told, page=page)


def _write_picture(path: Path, sample: Any) -> None:
    from likethat._pictures import png_of

    path.write_bytes(png_of(sample.image))


def _narrow(model: "SplitModel", images: Any, *, among: int = 60) -> int:
    """Return the rightly classified image of the smallest margin."""
    import torch

    samples = [images[index] for index in range(min(among, len(images)))]
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

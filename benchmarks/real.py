"""Measure what prototypes say of published networks on photos that they were not fitted to, with standard errors.

    python benchmarks/real.py                  # everything; a quarter of an hour on one core
    python benchmarks/real.py parts            # one: rotation, choice, parts, imagenet, few, boxes, finer, pages,
                                               # maps or maps-224

Photos and weights lie beside the repository (benchmarks/_real.py says where); without them there is one sentence.
Writes benchmarks/results/real.md. Rows that a stopped run has finished stay; `--fresh` measures them again.
"""

import dataclasses
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import _real_boxes as boxes_of
import _torchvision  # noqa: F401 - before anything imports torchvision
import numpy as np
import torch
from _craft import Concepts
from _finer import CHECKED, CHOSEN, Maps, Mixture, compared, scores
from _real import (
    CIFAR_CLASSES,
    CIFAR_MEAN,
    CIFAR_STD,
    ROOT,
    NoRealMaterial,
    cifar_folder,
    imagenet_folder,
    real_folder,
    resnet20,
)
from _real_maps import LARGE, METHODS, OURS, Photos, row_beside, scores_of
from _rows import Row, Rows, run
from torch import Tensor

import likethat as lt
from likethat.coordinates import Coordinates, HeadParts, Rotation
from likethat.explainers.parts.few import Few
from likethat.explainers.parts.fit import PartFit
from likethat.explainers.parts.judging import WEAK_BELOW, deletions, judge_by_deletion
from likethat.features import Features, collect
from likethat.fitting.held_out import Estimate, judge, kept_back, own_channels
from likethat.fitting.rotation import Schedule, fit_procrustes
from likethat.functional import contributions, coverage
from likethat.sources import ImageSource, as_source

SCHEDULE = Schedule(first=100, last=14, rounds=8)
SECTIONS = {
    "rotation": "EPIC on ResNet-20, CIFAR-10",
    "choice": "How far the rotation goes, four draws of photos each",
    "parts": "Part prototypes on ResNet-20, CIFAR-10",
    "weak": "Which parts hold little evidence",
    "imagenet": "EfficientNet-Lite0, 500 ImageNet photos",
    "few": "One photo a class: EfficientNet-Lite0, 1,000 classes",
    "maps-32": "Heat maps of a black box: ResNet-20, CIFAR-10, 32 x 32",
    "maps-224": "Heat maps of a black box: EfficientNet-Lite0, ImageNet, 224 x 224",
    "boxes": "Heat maps of a detector's box: windows of ResNet-20, mosaics of CIFAR-10",
    "mixtures": "Finer maps: the mixture chosen, ResNet-20",
    "finer": "Finer maps: the mixture judged",
    "pages": "Pages of large banks: EfficientNet-Lite0, 500 ImageNet photos",
}
NOTES = {
    "pages": "\n\nOne file. *On the page*: units that have a card or a line of their own. *s*: fit and page.",
    "rotation": "\n\nJudged on 1,500 test photos. *Always turned* is what EPIC did before: the rotation of the photos "
    "alone (lambda 0), whatever others say. Lambda is what halves of the fit's own photos chose. The weight "
    "left out (.06), and with how many prototypes the rounds end, were chosen on folds of the 6,000 training photos.",
    "choice": "\n\nJudged on 1,500 test photos; the worst of four draws, *less own* beside the network's own channels.",
    "parts": "\n\nJudged on 1,500 test photos; deletion on 215 of them: Spearman between what rows supply and what it "
    "costs to fill the cells that a part owns with the mean colour (*agreement*), and of their area (*of area*). "
    "*Read by their summands*: cells are found by alpha times the look plus a share of the residual, as before; where "
    "alpha is below 0 the part is shown where it is absent (*against their look*). *Drop*: mean cost in logits, "
    "*elsewhere* with the mask half a picture further. *Factors*: those of the cells of a class, none negative, "
    "after CRAFT; what they leave of a cell is counted as evidence not covered (they do not add up to the logit). "
    "*s*: with much other work beside it.",
    "weak": "\n\n*Truly weak*: over 1,000 test photos, deleting the cells that the part owns costs less than .75 of "
    "what the same mask costs half a picture further. The rule was chosen on this network.",
    "few": "\n\nFive folds: each of 500 photos is explained by what the 400 others gave, none of its class among "
    "them, so no photo is its own prototype. *Animals of its kind*: share of the prototypes of four rows, of photos "
    "that the network takes for an animal, that show a fish, bird, amphibian, reptile, arthropod, other invertebrate, "
    "dog or other mammal as it is (ImageNet's own order); *of its family*: of 20 narrower kinds. *Places*: different "
    "cells in which four rows are strongest. *With itself*: all 500 are in the bank, and rows are counted in which the "
    "explained photo stands as its own prototype; *gap*, the largest of the sum to the logit.",
    "maps-32": "\n\nInsertion less deletion of the predicted class's probability, hidden pixels showing the mean "
    "colour, the picture out of focus or noise; beside ours photo by photo. The design was chosen on other photos. "
    "Numbers behind names are questions; the white boxes read the weights. *s*: to make one map.",
    "maps-224": "\n\nAs above, with eight points a curve; photos are cut from the middle. Questions are answered "
    "by the same network in onnxruntime (logits differ by less than 1e-3; these rows by OpenVINO, in float32 too); "
    "*s* is made beside other work. The design was chosen on 60 other photos.",
    "boxes": "\n\nInsertion less deletion of the score of the strongest detection in a mosaic of four test photos: "
    "overlap times cosine of the probabilities, of the best match among what the detector finds (25 windows, a "
    "threshold of .5, suppression). Beside ours mosaic by mosaic, with standard errors; hidden pixels as above. "
    "D-RISE is written anew from its paper, with grids of 16 x 16; behind names are questions (the paper asks 5,000).",
    "mixtures": "\n\nResNet-20, insertion less deletion of 100 training photos, with the mean colour and with "
    "the picture out of focus in place of what is hidden. *Weight*: of the finer map; *spread*: standard deviation of "
    "its Gaussian, in finer cells. *Gain*: paired, with a 95 % interval.",
    "finer": '\n\n`layer="finer"` beside the map that `split` finds by itself, which is CAM: both exact, both '
    "interpolated to pixels. *Gain*: paired, on the same photos, with a 95 % interval. *Off*: largest difference, on "
    "three photos, between the maps measured (one pass back for one class) and the model's own, of the largest cell. "
    "The mixture was chosen on ResNet-20's training photos alone; scores of EfficientNet-Lite0 were not looked at.",
    "imagenet": "\n\nJudged on 100 photos, 400 are fitted to; one photo a class. EPIC looks at halves of the 400 and "
    "keeps the network's own channels.",
}


def shown(value: Estimate) -> str:
    """Return a mean with its standard error."""
    return f"{value.mean:.3f} ± {value.error:.3f}" if value.error == value.error else f"{value.mean:.3f}"


@cache
def cifar() -> lt.SplitModel:
    preprocess = lt.Preprocess(mean=CIFAR_MEAN, std=CIFAR_STD)
    return lt.split(resnet20(), preprocess=preprocess, class_names=CIFAR_CLASSES, example=torch.rand(2, 3, 32, 32))


@cache
def seen(part: str) -> Features:
    return collect(cifar(), as_source(cifar_folder(part)))


def some(features: Features, n: int, seed: int = 1) -> Features:
    """Return features of some of the photos, drawn at random."""
    rows = torch.randperm(len(features), generator=torch.Generator().manual_seed(seed))[:n].sort().values
    return of_rows(features, rows)


def of_rows(features: Features, rows: Tensor) -> Features:
    tensors = {name: getattr(features, name)[rows] for name in ("means", "pooled", "predicted", "labels", "indices")}
    return dataclasses.replace(
        features, **tensors, names=[features.names[row] for row in rows.tolist()], kept=torch.arange(len(rows)),
        maps=features.maps[rows], views=features.views[rows],
    )  # fmt: skip


def row_of(coordinates: Coordinates, features: Features, classes: Tensor | None = None) -> Row:
    found = judge(features, torch.arange(len(features)), coordinates, classes=classes)
    entropy = {} if classes is not None else {"class entropy, bits": shown(found.entropy)}
    return {"purity": shown(found.purity), "coverage of 4": shown(found.coverage), **entropy}


def rotation(rows: Rows) -> None:
    head = cifar().head.weight.cpu()
    rows.add("rotation", "the network's own channels", lambda: row_of(own_channels(head), seen("test")))
    for n in (6000, 300) if rows.quick else (6000, 1000, 300, 100):

        def chosen(n: int = n, **options: Any) -> Row:
            found = lt.EPIC(**options).find(cifar(), some(seen("train"), n))
            return {"photos": n, "lambda": f"{found.shrinkage:g}", **row_of(found.rotation, seen("test"))}

        def always(n: int = n) -> Row:
            mixing = fit_procrustes(some(seen("train"), n), SCHEDULE.for_images(n))
            return {"photos": n, "lambda": "0", **row_of(Rotation(mixing, head), seen("test"))}

        rows.add("rotation", f"EPIC, {n:,} photos", chosen)
        rows.add("rotation", f"always turned, {n:,} photos", always)
    for weight in (0.0, 0.5, 1.0):
        rows.add("rotation", f"EPIC, usage_weight {weight:g}", lambda w=weight: chosen(6000, usage_weight=w))


def choice(rows: Rows) -> None:
    """The worst that the choice of halves does over draws of few photos."""

    def of(n: int) -> Row:
        every = torch.arange(len(seen("test")))
        own = judge(seen("test"), every, own_channels(cifar().head.weight.cpu()))
        found = [lt.EPIC().find(cifar(), some(seen("train"), n, seed)) for seed in range(4)]
        judged = [judge(seen("test"), every, item.rotation) for item in found]
        return {
            "photos": n, "lambda": ", ".join(f"{item.shrinkage:g}" for item in found),
            "purity less own": min(item.purity.mean - own.purity.mean for item in judged),
            "coverage less own": min(item.coverage.mean - own.coverage.mean for item in judged),
        }  # fmt: skip

    for n in (60, 400) if rows.quick else (60, 100, 200, 400, 1000):
        rows.add("choice", f"EPIC, {n:,} photos", lambda n=n: of(n))


def fitted(**options: Any) -> HeadParts:
    train = seen("train")
    method = lt.PartPrototypes(**options)
    back = kept_back(train, train.labels, seed=method.seed)
    return PartFit(
        model=cifar(), source=as_source(cifar_folder("train")), features=train, classes=train.labels, options=method,
        shares=method.shares, back=back,
    ).run(None)  # fmt: skip


def deletion_row(judged: dict[str, float]) -> Row:
    agreement = Estimate(mean=judged["deletion_agreement"], error=judged["deletion_agreement_error"])
    return {
        "agreement": shown(agreement), "of area": f"{judged['area_agreement']:.3f}",
        "drop": f"{judged['deletion_drop']:.2f}", "elsewhere": f"{judged['shifted_drop']:.2f}",
    }  # fmt: skip


def parts(rows: Rows) -> None:
    every_fifth = torch.arange(0, 1500, 50 if rows.quick else 7)

    def row(found: HeadParts) -> Row:
        detectors = found.detectors(torch.arange(found.n_units))
        cosines = torch.nn.functional.cosine_similarity(detectors, found.centroids)
        judged = judge_by_deletion(cifar(), seen("test"), every_fifth, found, most=len(every_fifth))
        return {
            "parts": found.n_units, "against their look": int((cosines < 0).sum()),
            **row_of(found, seen("test"), seen("test").labels), **deletion_row(judged),
        }  # fmt: skip

    def by_summands() -> Row:
        found = fitted()
        shared = fitted(algorithm="shared").vectors
        head = cifar().head.weight.cpu()
        return row(
            HeadParts(found.vectors, found.class_of, head, centroids=found.centroids, detectors=_matched(shared, found))
        )

    rows.add("parts", "parts, read by their looks", lambda: row(fitted()))
    rows.add("parts", "parts, read by their summands", by_summands)
    if not rows.quick:
        rows.add("parts", "parts, number chosen", lambda: row(fitted(n_parts="auto")))

    def factors() -> Row:
        found = Concepts(seen("train"), cifar().head.weight.cpu(), n=4)
        amounts = found.amounts_of(seen("test"))
        return {
            "parts": found.looks.shape[0] * found.looks.shape[1], "purity": shown(found.purity(seen("test"))),
            "coverage of 4": shown(found.coverage(seen("test"))),
            **deletion_row(judge_by_deletion(cifar(), amounts, every_fifth, found.as_parts(), most=len(every_fifth))),
        }  # fmt: skip

    rows.add("parts", "factors of a class's cells (CRAFT-like NMF), 4 a class", factors)
    rows.add("weak", f"density of evidence below {WEAK_BELOW:g}", lambda: _weak(fitted(), 30 if rows.quick else 1000))


def _matched(vectors: Tensor, found: HeadParts) -> Tensor:
    """Return the summands of the paper's sharing in the order of the parts: both come from the same looks."""
    other = fitted(algorithm="shared")
    same = torch.nn.functional.cosine_similarity(found.centroids[:, None], other.centroids[None], dim=2)
    same[found.class_of[:, None] != other.class_of[None]] = -2
    return vectors[same.argmax(1)]


def _weak(found: HeadParts, n: int) -> Row:
    slots = torch.randperm(len(seen("test")), generator=torch.Generator().manual_seed(0))[:n]
    drops, shifted = torch.zeros(found.n_units).double(), torch.zeros(found.n_units).double()
    for taken in deletions(cifar(), seen("test"), slots, found):
        drops.index_add_(0, taken.units, taken.drops)
        shifted.index_add_(0, taken.units, taken.shifted)
    truly, said = (drops < 0.75 * shifted).numpy(), found.surroundings.numpy()
    both = int(np.sum(truly & said))
    return {"parts": found.n_units, "said": int(said.sum()), "truly weak": int(truly.sum()),
            "precision": both / max(int(said.sum()), 1), "recall": both / max(int(truly.sum()), 1)}  # fmt: skip


@cache
def lite0_split() -> lt.SplitModel:
    return lt.load("timm:tf_efficientnet_lite0", weights=real_folder() / "tf_efficientnet_lite0.safetensors")


@cache
def cifar_finer() -> lt.SplitModel:
    preprocess = lt.Preprocess(mean=CIFAR_MEAN, std=CIFAR_STD)
    return lt.split(resnet20(), preprocess=preprocess, example=torch.rand(2, 3, 32, 32), layer="finer")


@cache
def lite0_finer() -> lt.SplitModel:
    weights = real_folder() / "tf_efficientnet_lite0.safetensors"
    return lt.load("timm:tf_efficientnet_lite0", weights=weights, layer="finer")


def imagenet(rows: Rows) -> None:
    model = lite0_split

    @cache
    def halves() -> tuple[Features, Features]:
        photos = collect(model(), as_source(imagenet_folder()))
        order = torch.randperm(len(photos), generator=torch.Generator().manual_seed(0))
        return of_rows(photos, order[100:].sort().values), of_rows(photos, order[:100].sort().values)

    def row(coordinates: Coordinates, shrinkage: str) -> Row:
        return {"lambda": shrinkage, **row_of(coordinates, halves()[1])}

    def chosen() -> Row:
        found = lt.EPIC().find(model(), halves()[0])
        return row(found.rotation, f"{found.shrinkage:g}")

    def always() -> Row:
        mixing = fit_procrustes(halves()[0], SCHEDULE.for_images(400))
        return row(Rotation(mixing, model().head.weight), "0")

    rows.add("imagenet", "the network's own channels", lambda: row(own_channels(model().head.weight.cpu()), ""))
    rows.add("imagenet", "EPIC", chosen)
    rows.add("imagenet", "always turned", always)


_KINDS = {
    "fish": ((0, 6), (389, 397)), "bird": ((7, 24), (80, 100), (127, 146)), "amphibian": ((25, 32),),
    "reptile": ((33, 68),), "arthropod": ((69, 79), (118, 126), (300, 326)), "invertebrate": ((107, 117), (327, 329)),
    "dog": ((151, 268),), "mammal": ((101, 106), (147, 150), (269, 299), (330, 388)),
}  # fmt: skip
_FAMILIES = {
    "fish": ((0, 6), (389, 397)), "bird": ((7, 24), (80, 100), (127, 146)), "amphibian": ((25, 32),),
    "reptile": ((33, 68),), "spider": ((69, 79),), "pouched": ((102, 106),), "mollusc": ((107, 126),),
    "sea mammal": ((147, 150),), "dog": ((151, 268),), "wild dog": ((269, 280),), "cat": ((281, 293),),
    "bear": ((294, 299),), "insect": ((300, 326),), "starfish": ((327, 329),), "rodent": ((330, 338),),
    "hoofed": ((339, 355),), "weasel": ((356, 364),), "primate": ((365, 384),), "elephant": ((101, 101), (385, 386)),
    "panda": ((387, 388),),
}  # fmt: skip


def _kinds(table: dict[str, tuple[tuple[int, int], ...]]) -> Tensor:
    """Return (class,) the kind of each ImageNet class; -1 for what is no animal of the table."""
    found = torch.full((1000,), -1)
    for kind, ranges in enumerate(table.values()):
        for first, last in ranges:
            found[first : last + 1] = kind
    return found


@dataclasses.dataclass(frozen=True)
class _Shown:
    """What an explanation of one photo shows: four rows' share of the evidence, their places, their photos."""

    covered: float
    places: int
    photos: Tensor  # rows of the features


def few(rows: Rows) -> None:
    """Four rows where 1,000 classes have one photo each."""
    model = lite0_split

    @cache
    def photos() -> Features:
        return collect(model(), as_source(imagenet_folder()))

    @cache
    def folds() -> list[tuple[Tensor, Tensor]]:
        drawn = torch.randperm(len(photos()), generator=torch.Generator().manual_seed(0)) % 5
        every = torch.arange(len(photos()))
        return [(every[drawn != fold], every[drawn == fold]) for fold in range(1 if rows.quick else 5)]

    def row(show: Callable[[Tensor, Tensor], list[_Shown]]) -> Row:
        shown = [
            (int(one), what) for given, asked in folds() for one, what in zip(asked, show(given, asked), strict=True)
        ]
        truth = torch.tensor([int(name[:3]) for name in photos().names])
        found: Row = {"four rows carry": shown_mean([what.covered for _, what in shown])}
        for name, table in (("animals of its kind", _KINDS), ("of its family", _FAMILIES)):
            kinds = _kinds(table)
            asked = [(int(kinds[photos().predicted[one]]), kinds[truth[what.photos]]) for one, what in shown]
            same = [float((others == kind).double().mean()) for kind, others in asked if kind >= 0 and len(others)]
            found |= {"animals": len(same), name: shown_mean(same)}
        return found | {"places of 4": shown_mean([float(what.places) for _, what in shown])}

    rows.add("few", "the network's own channels", lambda: row(lambda given, asked: _by_channels(
        photos(), given, asked, own_channels(model().head.weight.cpu()))))  # fmt: skip
    rows.add("few", "EPIC's rotation (lambda 0)", lambda: row(lambda given, asked: _by_channels(
        photos(), given, asked, Rotation(fit_procrustes(of_rows(photos(), given), SCHEDULE.for_images(400)),
        model().head.weight.cpu()))))  # fmt: skip
    for name in ("superclasses", "regions"):
        rows.add("few", f'parts, algorithm="{name}"', lambda name=name: row(lambda given, asked: _by_cells(
            model(), photos(), given, asked, name)))  # fmt: skip
    rows.add("few", "with itself, as auto chooses", lambda: _with_itself(model(), 20 if rows.quick else 500))


def shown_mean(values: list[float]) -> str:
    return shown(Estimate.of(torch.tensor(values, dtype=torch.float64)))


def _by_channels(photos: Features, given: Tensor, asked: Tensor, found: Rotation) -> list[_Shown]:
    """Four largest contributions, the five strongest photos of each channel."""
    shown, matrix = [], found.matrix()
    strongest = given[(photos.means[given] @ matrix.T).topk(5, dim=0).indices]
    for one in asked.tolist():
        terms = contributions(photos.pooled[one], found.summands(int(photos.predicted[one])))
        top = terms.topk(4).indices
        places = len(set((matrix[top] @ photos.maps[one]).argmax(1).tolist()))
        shown.append(_Shown(float(coverage(terms, top=4)), places, strongest[:, top].flatten()))
    return shown


def _by_cells(model: lt.SplitModel, photos: Features, given: Tensor, asked: Tensor, name: Any) -> list[_Shown]:
    """Four largest rows of shared cells, the prototypes beside each."""
    some = of_rows(photos, given)
    options = lt.PartPrototypes(algorithm=name)
    work = Few(model=model, features=some, source=None, classes=some.predicted, options=options)
    found = work.superclasses() if name == "superclasses" else work.regions()
    of_unit: dict[int, list[int]] = {}
    row_of_index = {int(index): row for row, index in enumerate(photos.indices)}
    for prototype in work.prototypes(found)[0]:
        of_unit.setdefault(prototype.unit, []).append(row_of_index[prototype.index])
    shown = []
    for one in asked.tolist():
        target = int(photos.predicted[one])
        divided = found.divide(photos.maps[one], target)
        evidence = model.head.weight[target].cpu().double() @ photos.maps[one].double() / photos.maps.shape[2]
        terms = divided.shares @ evidence
        top = terms.topk(min(4, len(terms))).indices.tolist()
        rows = [[photo for unit in divided.alike[place] for photo in of_unit.get(unit, [])] for place in top]
        beside = [photo for row in rows for photo in row[:5]]
        places = len(set(divided.presence[top].argmax(1).tolist()))
        shown.append(_Shown(float(coverage(terms, top=4)), places, torch.tensor(beside).long()))
    return shown


def _with_itself(model: lt.SplitModel, n: int) -> Row:
    """Explain photos that the bank was made from, through what a user calls."""
    source = as_source(imagenet_folder())
    bank = lt.PartPrototypes().fit(model, source)
    whys = [bank.explain(source[index]) for index in range(n)]
    own = sum(any(item.source == why.source for item in row.prototypes) for why in whys for row in why.rows)
    return {
        "four rows carry": shown_mean([why.coverage for why in whys]),
        "places of 4": shown_mean([float(len({row.cell for row in why.rows})) for why in whys]),
        "own prototypes": own, "gap": f"{max(abs(why.gap()) for why in whys):.0e}",
        "prototypes a row": np.mean([len(row.prototypes) for why in whys for row in why.rows]),
        "chosen": bank.provenance.unit,
    }  # fmt: skip


def maps(rows: Rows) -> None:
    """A black box's maps beside those of others, for networks of both sizes."""
    _beside(rows, "maps-32", cache(lambda: Photos.cifar(cifar(), 4 if rows.quick else 100, finer=cifar_finer)))
    large_maps(rows)


def large_maps(rows: Rows) -> None:
    """Those of 224 x 224 alone, without three that are never near."""
    n = 2 if rows.quick else 80
    _beside(rows, "maps-224", cache(lambda: Photos.imagenet(lite0_split(), n, finer=lite0_finer)), LARGE)


def _beside(rows: Rows, section: str, photos: Callable[[], Photos], names: Sequence[str] = tuple(METHODS)) -> None:
    def judged(name: str, ours: np.ndarray | None) -> Row:
        named = re.sub("[^A-Za-z0-9]+", "-", name).strip("-")
        store = ROOT / "out" / f"real-{section}-{named}{'-quick' if rows.quick else ''}.jsonl"
        return row_beside(scores_of(photos(), name, store, fresh=rows.fresh), ours, shown_mean)

    rows.add(section, OURS, lambda: judged(OURS, None))
    ours = np.array(rows.row(section, OURS)["_values"])
    for name in names:
        if name != OURS:
            rows.add(section, name, lambda name=name: judged(name, ours))


def boxes(rows: Rows) -> None:
    """The maps of a detector's box beside D-RISE's."""
    n, ours = 2 if rows.quick else 20, boxes_of.OURS
    rows.add("boxes", ours, lambda: row_beside(boxes_of.scores_of(ours, n), None, shown_mean))
    values = np.array(rows.row("boxes", ours)["_values"])
    for name in boxes_of.METHODS:
        if name != ours:
            rows.add("boxes", name, lambda name=name: row_beside(boxes_of.scores_of(name, n), values, shown_mean))


_MIXTURES = [
    Mixture(weight=weight, sigma=sigma)
    for weight, sigma in ((0.1, 2**0.5), (0.2, 1), (0.2, 2**0.5), (0.33, 2**0.5), (0.5, 2**0.5))
]


def finer(rows: Rows) -> None:
    """Maps of a finer grid: which mixture, on some photos, and whether it is better than the last map, on others."""

    @cache
    def mixed(name: str) -> Maps:
        return Maps(cifar_finer() if name == "ResNet-20" else lite0_finer())

    def drawn(name: str, part: str) -> tuple[ImageSource, list[int]]:
        n = 3 if rows.quick else 400 if (name, part) == ("ResNet-20", "judged") else 100
        if name == "ResNet-20":
            source = as_source(cifar_folder("train" if part == "chosen" else "test"))
        else:
            source = as_source(imagenet_folder())
        return source, torch.randperm(len(source), generator=torch.Generator().manual_seed(0))[:n].tolist()

    def measured(name: str, part: str, mixtures: list[Mixture]) -> np.ndarray:
        store = ROOT / "out" / f"real-finer-{name}-{part}{'-quick' if rows.quick else ''}.jsonl"
        if rows.fresh:
            store.unlink(missing_ok=True)
        return scores(mixed(name), *drawn(name, part), [None, *mixtures], store)

    def judged(name: str) -> Row:
        source, photos = drawn(name, "judged")
        views = [mixed(name).model.preprocess.view(source[row].image) for row in photos[:CHECKED]]
        off = max(mixed(name).gap(view, CHOSEN) for view in views)
        grid = " x ".join(map(str, mixed(name).model.grid))
        return {"map": grid, **compared(measured(name, "judged", [CHOSEN])), "off": f"{off:.0e}"}

    def chosen(place: int) -> Row:
        return compared(measured("ResNet-20", "chosen", _MIXTURES)[:, [0, place]])

    for place, mixture in enumerate(_MIXTURES, start=1):
        name = f"weight {mixture.weight:g}, spread {mixture.sigma:.2g}"
        rows.add("mixtures", name, lambda place=place: chosen(place))
    for name in ("ResNet-20", "EfficientNet-Lite0"):
        rows.add("finer", name, lambda name=name: judged(name))


def pages(rows: Rows) -> None:
    """How large the page of a large bank is, and how many of its units stand on it."""

    def row(method: Any) -> Row:
        bank = method.fit(lite0_split(), as_source(imagenet_folder()))
        with tempfile.TemporaryDirectory() as folder:
            page = bank.save(Path(folder) / "bank.html")
            size = page.stat().st_size / 1e6
            reached = len(set(re.findall(r' id="u(\d+)"', page.read_text("utf-8"))))
        shown = {prototype.unit for prototype in bank.prototypes}
        return {
            "units": len(shown),
            "on the page": reached,
            "MB": size,
            "prototypes": len(bank.prototypes),
            "s": seconds,
        }

    rows.add("pages", "EPIC", lambda: row(lt.EPIC(seed=0)))
    rows.add("pages", "PartPrototypes", lambda: row(lt.PartPrototypes(seed=0)))


WORK = {
    "rotation": rotation,
    "choice": choice,
    "parts": parts,
    "imagenet": imagenet,
    "few": few,
    "maps": maps,
    "maps-224": large_maps,
    "boxes": boxes,
    "finer": finer,
    "pages": pages,
}


def main() -> None:
    """Parse the command line and measure."""
    try:
        real_folder()
    except NoRealMaterial as why:
        print(f"skipped: {why}")
        sys.exit(0)
    folder = Path(__file__).parent
    run(
        WORK, store=folder.parent / "out" / "real.json", results=folder / "results" / "real.md",
        title="Real networks and photos, measured", headings=SECTIONS, notes=NOTES, description=__doc__,
        unless_named=["maps-224"],
    )  # fmt: skip


if __name__ == "__main__":
    main()

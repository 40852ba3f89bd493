"""Comparisons of networks whose differences are known: themselves, quantised, trained again, trained with a mark.

    python benchmarks/compare.py            # all that is measured; goes on where it was stopped
    python benchmarks/compare.py planted
    python benchmarks/compare.py chosen     # the networks that the limits were chosen on
    python benchmarks/compare.py --quick

The small networks are those of `benchmarks/audit.py`, trained once, half a minute each on an idle core. Real networks
and photos lie beside the repository; where they are not, only creatures are measured.
"""

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _real import CIFAR_MEAN, CIFAR_STD, NoRealMaterial, cifar_folder, real_folder, resnet20
from _rows import Row, Rows, run
from _shortcuts import Case, load, pictures_of
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

import likethat as lt
from likethat.coordinates import Rotation

SECTIONS = {
    "same": "The same network, in other coordinates, in fewer bits",
    "retrained": "Trained again with another seed on the same pictures: nothing new to find",
    "planted": "Trained again with a mark planted: one thing new to find",
    "chosen": "Networks that the limits were chosen on",
}
_WHAT = (
    "\n`no partner` counts the second bank's units without a clear partner: new by partners alone, as matching by "
    "correlation (Li et al. 2016) would have it. `new` and `lost` are units that the other model's features do not "
    "foretell, `directions` those that are clear, new and lost; `share` is the largest new one's, with its interval, "
    "`foretold` how much of it the first model's features foretell all the same, and `lost share` the largest lost "
    "one's. `flips` are in % of the predictions."
)
NOTES = {
    "same": f"{_WHAT} `gap` is the largest that the terms of a shown flip leave of its margin.\n",
    "retrained": f"{_WHAT}\n",
    "planted": (
        f"{_WHAT} `first` says whether the new direction has the largest share of all, clear or not; `AUC` is that of "
        "its reading for the mark, on 600 other pictures, each without it and with it; `most` are the six pictures "
        "shown that have most of it, of which so many carry the mark. `rank` is the place, among the listed units, of "
        "the unit that the mark moves most on the other pictures, and `of the mark` how much of all units' movement is "
        "its own: a mark is spread over all channels. `lost back` is the share with the two models exchanged. That "
        "evidence is compared, not features, was decided on the chosen networks, after the cast and the texture of "
        "seed 0 had been seen to stay below the limit by features (.14 and .08).\n"
    ),
}
NOTES["chosen"] = NOTES["planted"]


def clean(pictures: str, group: int, seed: int) -> Case:
    """Return a network without a mark."""
    return Case(pictures=pictures, group=group, mark="", strength=0.5, seed=seed)


def marked(pictures: str, group: int, mark: str, strength: float = 0.95, seed: int = 0) -> Case:
    """Return one with a mark."""
    return Case(pictures=pictures, group=group, mark=mark, strength=strength, seed=seed)


PLANTED = (
    marked("photos", 1, "badge"), marked("photos", 2, "cast"), marked("photos", 1, "texture"),
    marked("photos", 2, "roaming badge"), marked("creatures", 0, "badge"), marked("photos", 1, "badge", 0.75),
    marked("creatures", 0, "texture"), marked("photos", 2, "badge", seed=1), marked("photos", 1, "cast", seed=1),
)  # fmt: skip
RETRAINED = tuple(
    (clean(kind, group, first), clean(kind, group, second))
    for kind, group, first, second in (("photos", 1, 0, 1), ("photos", 2, 0, 1), ("creatures", 0, 0, 1))
)
CHOSEN = (marked("photos", 0, "badge"), marked("photos", 0, "texture"), clean("photos", 0, 1))
"""On these, beside the clean network of seed 0, the limits .2 and a half were chosen."""


def data_of(case: Case) -> tuple[lt.Images, Tensor]:
    """Return what a network was trained on and what was kept back, marked as usual, and the first pictures."""
    learned, held, _ = pictures_of(case)
    images, labels = torch.cat([learned.images, held.images]), torch.cat([learned.labels, held.labels])
    return lt.Images(images, labels=labels.tolist(), class_names=list(learned.class_names)), images


def bank_of(network: nn.Module, data: lt.Images, images: Tensor) -> lt.Bank:
    """Fit EPIC on the pictures that are compared."""
    names = list(data.class_names)
    return lt.EPIC().fit(lt.split(network, example=images[:4], class_names=names), data)


def said(found: lt.Comparison) -> Row:
    """Return what a comparison says."""
    values = found.values
    states = [one.state for one in found.units if one.b is not None]
    new, lost = ([one for one in found.directions if one.side == side] for side in ("new", "lost"))
    return {
        "units": len(states),
        "no partner": states.count("shared") + states.count("new"),
        "new": int(values["new_units"]),
        "lost": int(values["lost_units"]),
        "stronger, weaker": f"{int(values['stronger_units'])}, {int(values['weaker_units'])}",
        "directions": f"{int(values['new_directions'])}, {int(values['lost_directions'])}",
        "share": f"{new[0].share:.3f} ({new[0].interval[0]:.3f} to {new[0].interval[1]:.3f})",
        "foretold": new[0].foretold,
        "lost share": lost[0].share,
        "flips": 100 * values["flipped"],
    }


def halved(network: nn.Module) -> nn.Module:
    """Return the network with weights as half precision has them."""
    return copy.deepcopy(network).half().float()


def in_bits(network: nn.Module, bits: int = 8) -> nn.Module:
    """Return the network with the weights of each output channel as whole numbers of so many bits."""
    made = copy.deepcopy(network)
    most = 2 ** (bits - 1) - 1
    with torch.no_grad():
        for weight in made.parameters():
            if weight.ndim > 1:
                scale = weight.abs().amax(tuple(range(1, weight.ndim)), keepdim=True) / most
                weight.copy_((weight / scale.clamp_min(1e-12)).round() * scale)
    return made.eval()


def turned(bank: lt.Bank) -> lt.Bank:
    """Return a bank of the same network in coordinates turned at random."""
    n = bank.n_units
    mixing = torch.linalg.qr(torch.randn(n, n, generator=torch.Generator().manual_seed(0))).Q
    names = ("prototypes", "images", "head", "class_names", "provenance", "usage", "settings")
    kept: dict[str, Any] = {name: getattr(bank, name) for name in names}
    return lt.Bank(coordinates=Rotation(mixing, bank.head.weight), model=bank.model, **kept)


def same(rows: Rows) -> None:
    """Compare networks with themselves: real ones first."""
    for name, make in (("ResNet-20, CIFAR", _resnet), ("photos 1, clean", partial(_small, clean("photos", 1, 0)))):
        try:
            real_folder()
        except NoRealMaterial as why:
            print(f"{name} is skipped: {why}")
            continue
        for change in ("itself", "turned coordinates", "fp16", "int8", "int4"):
            if not (rows.quick and change != "int8"):
                rows.add("same", f"{name}, {change}", partial(_same, make, change))


def _resnet() -> tuple[nn.Module, Callable[[nn.Module], lt.Bank], lt.ImageFolder]:
    data = lt.ImageFolder(cifar_folder("test"))

    def fit(network: nn.Module) -> lt.Bank:
        how = lt.Preprocess(mean=CIFAR_MEAN, std=CIFAR_STD, size=32)
        return lt.EPIC().fit(lt.split(network, preprocess=how, class_names=data.class_names), data)

    return resnet20(), fit, data


def _small(case: Case) -> tuple[nn.Module, Callable[[nn.Module], lt.Bank], lt.Images]:
    data, images = data_of(case)
    return load(case), lambda network: bank_of(network, data, images), data


def _same(make: Callable[[], tuple[nn.Module, Callable[[nn.Module], lt.Bank], Any]], change: str) -> Row:
    network, fit, data = make()
    bank = fit(network)
    others: dict[str, Callable[[], lt.Bank]] = {
        "itself": lambda: bank,
        "turned coordinates": lambda: turned(bank),
        "fp16": lambda: fit(halved(network)),
        "int8": lambda: fit(in_bits(network)),
        "int4": lambda: fit(in_bits(network, 4)),
    }
    found = lt.compare(bank, others[change](), data)
    return said(found) | {"gap": max((abs(flip.gap) for flip in found.flips), default=0.0)}


def retrained(rows: Rows) -> None:
    """Compare networks of two seeds."""
    for before, after in RETRAINED[:1] if rows.quick else RETRAINED:
        rows.add("retrained", f"{before.name} and seed {after.seed}", partial(_pair, before, after))


def _pair(before: Case, after: Case) -> Row:
    data, images = data_of(after)
    banks = [bank_of(load(case), data, images) for case in (before, after)]
    return said(lt.compare(*banks, data))


def planted(rows: Rows) -> None:
    """Compare clean networks with marked ones."""
    for case in PLANTED[:1] if rows.quick else PLANTED:
        rows.add("planted", case.name, partial(_planted, case))


def chosen(rows: Rows) -> None:
    """Compare those that the limits were chosen on."""
    for case in CHOSEN:
        make = partial(_planted, case) if case.mark else partial(_pair, clean("photos", 0, 0), case)
        rows.add("chosen", case.name, make)


def _planted(case: Case) -> Row:
    learned, held, judged = pictures_of(case)
    data, images = data_of(case)
    a, b = (bank_of(load(one), data, images) for one in (clean(case.pictures, case.group, 0), case))
    found, back = lt.compare(a, b, data), lt.compare(b, a, data)
    new = next(one for one in found.directions if one.side == "new")
    features = b.model.pooled(judged.images).detach().numpy()
    auc = roc_auc_score(judged.marked.numpy(), features @ new.reader)
    has_mark = torch.cat([learned.marked, held.marked])
    n = len(features) // 2
    by_mark = np.abs((features[n:] - features[:n]).mean(0) @ b.mixing.numpy().T)
    moved = by_mark * b.coordinates.mixed_head.abs().amax(0).numpy()  # type: ignore[union-attr]  # a rotation
    listed = [one.b for one in found.units if one.state in ("new", "lost", "stronger", "weaker")]
    unit = int(moved.argmax())
    return said(found) | {
        "first": "yes" if found.directions[0] is new else "",
        "AUC": max(auc, 1 - auc),
        "most": f"{sum(bool(has_mark[one.index]) for one in new.most)} of {len(new.most)}",
        "rank": listed.index(unit) + 1 if unit in listed else None,
        "of the mark": float(moved.max() / moved.sum()),
        "lost back": max(one.share for one in back.directions if one.side == "lost"),
    }


WORK: dict[str, Callable[[Rows], None]] = {
    "same": same,
    "retrained": retrained,
    "planted": planted,
    "chosen": chosen,
}


def main() -> None:
    """Parse the command line and measure."""
    folder = Path(__file__).parent
    run(
        WORK, store=folder.parent / "out" / "compare.json", results=folder / "results" / "compare.md",
        title="Comparisons of networks whose differences are known", headings=SECTIONS, notes=NOTES,
        description=__doc__,
    )  # fmt: skip


if __name__ == "__main__":
    main()

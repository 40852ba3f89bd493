"""What the parts show, on drawn creatures whose true parts are known: a section of benchmarks/parts.py."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from _parts_common import N_FIT, N_HELD_OUT, Book, books, creatures_model, fit_features, table
from torch import Tensor

import likethat as lt
from likethat import metrics
from likethat.coordinates import Coordinates, Rotation
from likethat.explanations import Provenance
from likethat.fitting.prototypes import gather_prototypes
from likethat.functional import cell_box
from likethat.metrics import SURROUNDINGS
from likethat.metrics.deletion import blank, window_round

__all__ = ["creatures"]


def creatures() -> list[str]:
    """All methods on the drawn creatures, in one table."""
    book, held_out = books()
    ways: dict[str, Callable[[], lt.Bank]] = {
        "identity": lambda: _identity_bank(book),
        "EPIC": lambda: lt.EPIC(n_prototypes=10).fit(creatures_model(), book),
        "parts, ownership, 3": lambda: _parts(3),
        "parts, ownership, 4 (default)": lambda: _parts(4),
        "parts, shared, 4": lambda: _parts(4, algorithm="shared"),
        "parts, ownership, auto": lambda: _parts("auto"),
    }
    for n_marked in (20, 100):
        ways[f"named, {n_marked} marked images"] = lambda n=n_marked: _parts(
            algorithm="named", marks=lt.Marks.from_truth(book, n, seed=0)
        )
    rows = [_grad_cam(book, held_out)]
    notes = []
    for name, fit in ways.items():
        started = time.perf_counter()
        bank = fit()
        rows.append({"": name, "fit s": time.perf_counter() - started, **_measures(bank, book, held_out)})
        kept = {key: value for key, value in bank.provenance.measures.items() if key in _OF_PARTS}
        if kept:
            notes.append(f"| {name} | " + " | ".join(f"{kept.get(key, float('nan')):.2f}" for key in _OF_PARTS) + " |")
    head = [f"{N_FIT} images to fit, {N_HELD_OUT} others to measure; four rows an explanation.", "", *table(rows), ""]
    residual = ["| | " + " | ".join(_OF_PARTS.values()) + " |", "|---|" + "---|" * len(_OF_PARTS), *notes]
    return [*head, *residual, "", *_EXPLAINED]


_OF_PARTS = {
    "parts_per_class": "parts a class",
    "residual": "residual",
    "moved": "heat map moved",
    "between_starts": "stable between starts",
    "between_halves": "stable between halves",
}
_EXPLAINED = [
    "- *modal share*: mean share of a unit's five prototypes on one true part (or the surroundings); *consistent*: "
    "units with four of five on one true part (surroundings are none). *box match*: the held-out image's box shows "
    "the unit's most frequent part; *of parts*: where that is not the surroundings.",
    "- *rank*: Spearman of the shown contributions with the logit's drops when their windows (72/224) are blanked; "
    "*drop, random*: mean drop for a shown window, and for windows of the same area at random.",
    "- *residual*, *moved*, *stable*: see `likethat.explainers.parts.splitting.described`.",
]


def _parts(n_parts: Any = 4, *, way: Any = "ownership", marks: lt.Marks | None = None) -> lt.Bank:
    return lt.PartPrototypes(n_parts, algorithm=way, n_prototypes=10).fit(creatures_model(), books()[0], parts=marks)


def _identity_bank(book: Book) -> lt.Bank:
    model = creatures_model()
    coordinates: Coordinates = Rotation(torch.eye(model.n_channels), model.head.weight)
    prototypes, pictures = gather_prototypes(model, book, fit_features(), coordinates, n=10)
    about = Provenance(
        method="EPIC", options={}, seed=0, fingerprint=model.fingerprint, model=model.name, n_images=len(book)
    )
    return lt.Bank(
        coordinates=coordinates, prototypes=prototypes, images=pictures, head=model.head, provenance=about,
        class_names=model.class_names, usage=np.zeros(model.n_channels, dtype=np.float32), model=model,
    )  # fmt: skip


def _measures(bank: lt.Bank, book: Book, held_out: Book) -> dict[str, float]:
    shown = {unit: list(bank.prototypes_of(unit)) for unit in range(bank.n_units)}
    parts = {unit: [item.true_part or SURROUNDINGS for item in items[:5]] for unit, items in shown.items()}
    consistency = metrics.part_consistency(parts)
    explained = [(index, bank.explain(held_out[index])) for index in range(len(held_out))]
    pairs = [(row.unit, held_out.truth.at(index, row.box)) for index, why in explained for row in why.rows]
    of_parts = [pair for pair in pairs if consistency.modal.get(pair[0]) != SURROUNDINGS]
    found = metrics.evaluate(bank, held_out, n_explained=len(held_out), n_deleted=len(held_out) // 2)
    return {
        "modal share": consistency.modal_share,
        "consistent": consistency.consistent,
        "PIP-Net purity": _pip_net_purity(shown, book),
        "box match": metrics.box_match(pairs, consistency.modal),
        "of parts": metrics.box_match(of_parts, consistency.modal),
        "Huang cons.": found.huang_consistency or 0.0,
        "Huang stab.": found.huang_stability or 0.0,
        "coverage": found.coverage,
        "rank": found.deletion_agreement,
        "drop": found.deletion_drop,
        "random": found.random_drop,
        "gap": found.gap,
    }


def _pip_net_purity(shown: dict[int, list[Any]], book: Book) -> float:
    items = [item for group in shown.values() for item in group]
    peaks = np.array([[(item.box[0] + item.box[2]) / 2, (item.box[1] + item.box[3]) / 2] for item in items])
    centres = np.stack([book.truth.centres(item.index) for item in items])
    inside = metrics.parts_in_windows(peaks, centres, window=32 / 224 * book.size)
    return metrics.pip_net_purity(np.array([item.unit for item in items]), inside)


def _grad_cam(book: Book, held_out: Book) -> dict[str, float]:
    """Captum's Grad-CAM: one heat map an image, so one unit a class; its peak is the box."""
    from captum.attr import LayerGradCam

    model = creatures_model()
    layer = model.network.get_submodule(model.layer)
    cam = LayerGradCam(lambda views: model.network(model.preprocess.normalise(views)), layer)
    features = fit_features()
    first = [(features.labels == target).nonzero()[:5, 0].tolist() for target in range(model.n_classes)]
    modal = {
        target: metrics.part_consistency({0: [_peak_part(cam, book, row)[1] for row in rows]})
        for target, rows in enumerate(first)
    }  # fmt: skip
    drops, hits, parts = [], [], []
    rng = np.random.default_rng(0)
    for index in range(0, len(held_out), 2):
        target, part, drop = *_peak_part(cam, held_out, index), _drops(cam, held_out, index, rng)
        hits.append(part == modal[target].modal[0])
        parts += [hits[-1]] if modal[target].modal[0] != SURROUNDINGS else []
        drops.append(drop)
    return {
        "": "Grad-CAM (captum)", "fit s": 0.0,
        "modal share": float(np.mean([item.modal_share for item in modal.values()])),
        "consistent": float(np.mean([item.consistent for item in modal.values()])),
        "box match": float(np.mean(hits)), "of parts": float(np.mean(parts)),
        "drop": float(np.mean([drop[0] for drop in drops])), "random": float(np.mean([drop[1] for drop in drops])),
    }  # fmt: skip


def _cam_of(cam: Any, book: Book, index: int) -> tuple[int, Tensor]:
    view = creatures_model().preprocess.view(book[index].image)[None]
    with torch.no_grad():
        target = int(creatures_model().logits(view)[0].argmax())
    return target, cam.attribute(view, target=target, relu_attributions=True)[0, 0].detach()


def _peak_part(cam: Any, book: Book, index: int) -> tuple[int, str]:
    target, heat = _cam_of(cam, book, index)
    cell = divmod(int(heat.argmax()), heat.shape[1])
    box = cell_box(cell, grid=(heat.shape[0], heat.shape[1]), size=(book.size, book.size))
    return target, book.truth.at(index, box)


def _drops(cam: Any, book: Book, index: int, rng: np.random.Generator) -> tuple[float, float]:
    target, heat = _cam_of(cam, book, index)
    grid, view = (heat.shape[0], heat.shape[1]), creatures_model().preprocess.view(book[index].image)
    cells = [divmod(int(heat.argmax()), grid[1])]
    cells += [(int(rng.integers(grid[0])), int(rng.integers(grid[1]))) for _ in range(4)]
    changed = [blank(view, window_round(cell, grid=grid, size=(book.size, book.size))) for cell in cells]
    with torch.no_grad():
        logits = creatures_model().logits(torch.stack([view, *changed]))[:, target]
    drops = (logits[0] - logits[1:]).tolist()
    return drops[0], float(np.mean(drops[1:]))

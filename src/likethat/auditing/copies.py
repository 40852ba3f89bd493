"""Pictures to test on that are near copies of pictures to learn from."""

import torch
from torch import Tensor

from likethat.auditing.pixels import sketches_of
from likethat.auditing.shortcuts import picture_of
from likethat.explanations.audit import Finding
from likethat.features import Features
from likethat.functional.likeness import coarse, likeness
from likethat.functional.shares import share_interval
from likethat.search import top_rows

_ALIKE = 0.85
"""Likeness of copies: 200 photos compressed again, dimmed, smoothed, mirrored or made grey have .94 and more; of those
moved by two pixels of 32 nine in ten have .74. Of 1,500 test photos of CIFAR-10 five lie above, and are copies."""
_LOOKED_UP = 5  # nearest by their coarse picture; of the same 200 the original was among them in 98 to 100 %
_USUAL, _SAMPLE = 0.05, 2048  # share, and number, of training pictures that may have a twin among themselves
_BLOCK = 4096  # pairs compared at a time
_NEAR = 0.01  # of the training pictures: the copy is among as many that the network finds most alike


def find_copies(learned: Features, tested: Features, *, n_pictures: int) -> Finding | None:
    """Look for test pictures that are near copies of training pictures, mirrored or not; None where none are alike.

    The limit is `_ALIKE`; what the test pictures reach upside down, where nothing is a copy; or where pictures are much
    alike, what all but `_USUAL` of the training pictures reach among themselves: the highest of these.

    Source:
        Barz and Denzler (2020), Do we train on test data?, who found 3.3 % of CIFAR-10's test pictures in its training
        pictures.

    Differs:
        They looked up by a network's features and judged by eye. Features of a copy that was compressed again are often
        not the nearest; the pictures themselves are.

    Args:
        learned: of the training pictures, with sketches.
        tested: of the test pictures, with sketches.
        n_pictures: pairs shown.
    """
    ours, theirs = sketches_of(learned), sketches_of(tested)
    found, rows = _best(theirs, ours)
    some = torch.linspace(0, len(ours) - 1, min(len(ours), _SAMPLE), dtype=torch.float64).long()
    usual = float(_best(ours[some], ours, but=some)[0].double().quantile(1 - _USUAL))
    limit = max(_ALIKE, float(_best(theirs.flip(1), ours)[0].max()))
    null = 1 / (len(tested) + 1) if usual <= limit else _USUAL
    limit = max(limit, usual)
    copies = (found > limit).nonzero()[:, 0]
    if not len(copies):
        return None
    order = copies[found[copies].argsort(descending=True, stable=True)].tolist()
    is_right = (tested.predicted == tested.labels) & (tested.labels >= 0)
    others = torch.ones(len(tested), dtype=torch.bool)
    others[copies] = False
    pairs = [
        picture
        for row in order[:n_pictures]
        for picture in (
            picture_of(tested, row, is_on=True, of="test"),
            picture_of(learned, int(rows[row])),
        )
    ]
    return Finding(
        kind="copies",
        score=len(copies) / len(tested),
        interval=share_interval(len(copies), len(tested)),
        null=null,
        agreement=_agreement(learned, tested, copies, rows),
        n_pictures=len(copies),
        n_predictions=len(copies),
        facts={
            "likeness": float(found[copies].median()),
            "limit": limit,
            "accuracy": _rate(is_right, tested.labels >= 0),
            "accuracy_without": _rate(is_right & others, (tested.labels >= 0) & others),
        },
        pictures=tuple(pairs),
    )


def _best(sketches: Tensor, others: Tensor, *, but: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the likeness of the most alike of the others, mirrored or not, and its row; `but` are rows left out."""
    known = coarse(others)
    best = torch.full((len(sketches),), -1.0)
    rows = torch.zeros(len(sketches), dtype=torch.long)
    for turned in (sketches, sketches.flip(2)):
        near = top_rows(known, coarse(turned), min(_LOOKED_UP + (but is not None), len(known)))[0]
        for each in near.T:
            parts = zip(turned.split(_BLOCK), each.split(_BLOCK), strict=True)
            alike = torch.cat([likeness(part, others[some]) for part, some in parts])
            is_better = alike > best if but is None else (alike > best) & (each != but)
            best, rows = torch.where(is_better, alike, best), torch.where(is_better, each, rows)
    return best, rows


def _agreement(learned: Features, tested: Features, copies: Tensor, rows: Tensor) -> float:
    """Return of how many copies the network too finds the original most alike, among `_NEAR` of all."""
    mean, width = learned.pooled.mean(0), learned.pooled.std(0).clamp_min(1e-6)
    known = (learned.pooled - mean) / width
    near = 0
    for row, original in zip(copies.tolist(), rows[copies].tolist(), strict=True):
        apart = (known - (tested.pooled[row] - mean) / width).square().sum(1)
        near += int((apart < apart[original]).sum()) < max(1.0, _NEAR * len(known))
    return near / len(copies)


def _rate(hits: Tensor, among: Tensor) -> float:
    return float(hits.sum() / among.sum()) if bool(among.any()) else float("nan")

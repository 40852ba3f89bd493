"""Pictures that share something and are wrong more often than their classes: by light, detail, colour, or a unit."""

from dataclasses import dataclass

import torch
from torch import Tensor

from likethat.auditing.pixels import STATISTICS, pixel_statistics
from likethat.auditing.search import components, whitened
from likethat.auditing.shortcuts import picture_of
from likethat.explanations.audit import Finding
from likethat.features import Features
from likethat.features.rows import priority
from likethat.models import Head

_MOST = 8192  # pictures searched, drawn by hash: a share of right answers in a twentieth of them is known to .02
_SHARES = (0.05, 0.1, 0.2)  # of the pictures, in a slice: with fewer, chance finds more than there is
_FEWEST = 20  # wrong pictures, and right ones, of classes that have both: of fewer none is too many
_PERMUTED = 10  # draws of errors for the null
_DRAW = 13  # another draw of pictures than those of the other searches
_TWO_SIDED = 1.96  # standard errors to each side of 95 %


@dataclass(frozen=True, kw_only=True, eq=False)
class _Slices:
    """All slices that are tried: ends of columns.

    Attributes:
        columns: (candidate, image) values; the highest are in the slice.
        names: of each candidate.
        excess: (image,) 1 where it is wrong, less the share of its class that is.
        halves: (image,) which half each is in.
    """

    columns: Tensor
    names: list[str]
    excess: Tensor
    halves: Tensor

    def inside(self, rows: Tensor) -> Tensor:
        """Return (share and candidate, image): what is in each slice, whose cut is that of some rows."""
        cuts = [
            self.columns[:, rows].kthvalue(max(1, round((1 - share) * int(rows.sum()))), dim=1).values
            for share in _SHARES
        ]
        return torch.cat([self.columns > cut[:, None] for cut in cuts])

    def best(self, inside: Tensor, excess: Tensor, rows: Tensor) -> int:
        """Return the slice that is wrong most often, in standard errors, among some rows."""
        here = inside[:, rows].double()
        return int(((here @ excess[rows]) / here.sum(1).clamp_min(1).sqrt()).argmax())

    def crossed(self, inside: tuple[Tensor, Tensor], excess: Tensor) -> Tensor:
        """Return (image,) what is in the slice that was found on the half that the picture is not in."""
        first, second = (
            each[self.best(each, excess, rows)] for each, rows in zip(inside, (~self.halves, self.halves), strict=True)
        )
        return torch.where(self.halves, first, second)


def find_slice(features: Features, head: Head, *, n_pictures: int, seed: int, of: str = "image") -> Finding | None:
    """Look for what the pictures share that a model gets wrong; None where too few are wrong, or right.

    Slices are the ends of columns: five statistics of the pixels, and independent components of the class-centred
    features less what the logits foretell. A slice found on one half is measured on the other, and back.

    Source:
        Eyuboglu et al. (2022), Domino: slices of low accuracy found in a representation and described.

    Differs:
        One end of one column a slice, so that it can be said in words; and no unit that the evidence itself foretells,
        since pictures of little evidence are wrong more often in every network.

    Args:
        features: of pictures with labels, with sketches.
        head: of the model.
        n_pictures: of each side.
        seed: of the halves, the components and the null.
        of: begins the pictures' keys.
    """
    order = sorted(
        (features.labels >= 0).nonzero()[:, 0].tolist(),
        key=lambda row: priority(seed + _DRAW, int(features.indices[row])),
    )
    rows = torch.tensor(sorted(order[:_MOST]), dtype=torch.long)
    labels = features.labels[rows]
    wrong = (features.predicted[rows] != labels).double()
    expected = _means(wrong[:, None], labels, len(head.bias))[labels, 0]
    has_both = (expected > 0) & (expected < 1)  # a class that is all right, or all wrong, says nothing of slices
    if min(int(wrong[has_both].sum()), int((1 - wrong)[has_both].sum())) < _FEWEST:
        return None
    second = set(order[:_MOST:2])
    halves = torch.tensor([row in second for row in rows.tolist()])
    columns, names = _columns(features, head, rows, seed=seed)
    work = _Slices(columns=columns, names=names, excess=wrong - expected, halves=halves)
    inside = (work.inside(~halves), work.inside(halves))
    is_in = work.crossed(inside, work.excess)
    taken = work.excess[is_in]
    everyone = torch.ones_like(halves)
    whole = work.inside(everyone)
    best = work.best(whole, work.excess, everyone)
    error = float(taken.std() / len(taken) ** 0.5) if len(taken) > 1 else 1.0
    score, members = float(taken.mean()) if len(taken) else 0.0, whole[best]
    found = torch.where(members)[0]
    return Finding(
        kind="slice",
        score=score,
        interval=(score - _TWO_SIDED * error, score + _TWO_SIDED * error),
        null=_null(work, inside, labels, seed=seed),
        agreement=float(is_in[members].double().mean()),
        n_pictures=len(found),
        n_predictions=max(0, round(float(work.excess[members].sum()))),
        facts={
            "share": _SHARES[best // len(names)],
            "accuracy": float(1 - wrong[members].mean()),
            "accuracy_expected": float(1 - expected[members].mean()),
            "pictures_searched": float(len(rows)),
        },
        pictures=tuple(
            picture_of(features, int(rows[row]), is_on=is_on, of=of)
            for row, is_on in _shown(columns[best % len(names)], members, labels, wrong, n=n_pictures)
        ),
        what=names[best % len(names)],
    )


def _columns(features: Features, head: Head, rows: Tensor, *, seed: int) -> tuple[Tensor, list[str]]:
    """Return (candidate, image) what slices are cut from, both ends of each column, and the candidates' names."""
    labels, n_groups = features.labels[rows], len(head.bias)
    white = whitened(features.pooled[rows], labels, n_groups=n_groups)
    logits = white.features @ head.weight.cpu().double().T
    logits = logits - _means(logits, labels, n_groups)[labels]
    foretold = logits @ (torch.linalg.pinv(logits) @ white.values)
    rest = white.values - foretold
    left, sizes, _ = torch.linalg.svd(rest, full_matrices=False)
    rest = left[:, sizes > 1e-3 * sizes[:1].clamp_min(1e-9)] * len(rows) ** 0.5  # relative: directions of nothing
    units = rest @ components(rest, seed).T if rest.shape[1] > 1 else rest
    values = torch.cat([pixel_statistics(features)[rows], units], dim=1).T
    names = [*STATISTICS, *(f"unit {number}" for number in range(units.shape[1]))]
    both = [f"{end} {'of ' if name.startswith('unit') else ''}{name}" for end in ("most", "least") for name in names]
    return torch.cat([values, -values]), both


def _means(values: Tensor, labels: Tensor, n_groups: int) -> Tensor:
    """Return (class, column) means."""
    sums = torch.zeros(n_groups, values.shape[1], dtype=torch.float64).index_add(0, labels, values)
    return sums / torch.bincount(labels, minlength=n_groups).clamp_min(1)[:, None]


def _null(work: _Slices, inside: tuple[Tensor, Tensor], labels: Tensor, *, seed: int) -> float:
    """Return the mean score of the same search where errors are dealt out again within each class."""
    rng = torch.Generator().manual_seed(seed)
    scores = []
    for _ in range(_PERMUTED):
        dealt = torch.empty_like(work.excess)
        for label in labels.unique().tolist():
            own = (labels == label).nonzero()[:, 0]
            dealt[own] = work.excess[own[torch.randperm(len(own), generator=rng)]]
        is_in = work.crossed(inside, dealt)
        scores.append(float(dealt[is_in].mean()) if bool(is_in.any()) else 0.0)
    return sum(scores) / len(scores)


def _shown(column: Tensor, members: Tensor, labels: Tensor, wrong: Tensor, *, n: int) -> list[tuple[int, bool]]:
    """Return the wrong pictures deepest in the slice, and right ones of the same classes in the middle outside it."""
    inner = [row for row in column.argsort(descending=True, stable=True).tolist() if members[row] and wrong[row]][:n]
    middle = (column - column.median()).abs().argsort(stable=True).tolist()
    others: list[int] = []
    for row in inner:
        same = (each for each in middle if labels[each] == labels[row] and not members[each] and not wrong[each])
        others += [each for each in [next((one for one in same if one not in others), -1)] if each >= 0]
    return [(row, True) for row in inner] + [(row, False) for row in others]

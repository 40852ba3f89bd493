"""Shortcuts of a model as a finding: what was found, counter-checked on other pictures, and what taking it out does."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from likethat._progress import Stage, Watcher
from likethat.auditing.search import Direction, White, gaussian_like, search, states_along, whitened
from likethat.explanations.audit import AuditedPicture, Shortcut
from likethat.features import Features
from likethat.features.rows import priority
from likethat.functional.removal import match_frequencies, without_direction
from likethat.models import Head

_MOST = 8192  # pictures searched, drawn by hash: a direction is known to a hundredth from as many; states are of all
_DRAWS = 400  # of the bootstrap: ends of an interval move by less than a hundredth of it with more
_DRAW = 11  # another draw of pictures than those of the features and of what fits keep back


@dataclass(frozen=True, kw_only=True, eq=False)
class _Checked:
    """A direction found again from one half of the pictures and measured on the other, both ways.

    Attributes:
        gains: (image,) each picture's, by the direction of the half that it is not in.
        spread: mean of the two halves.
        is_same: (image,) whether its state is that of the direction found on all pictures.
    """

    gains: Tensor
    spread: float
    is_same: Tensor

    @property
    def score(self) -> float:
        """Mean gain times spread."""
        return float(self.gains.mean()) * self.spread


def find_shortcuts(
    features: Features,
    head: Head,
    *,
    n: int,
    n_pictures: int,
    seed: int,
    fingerprint: str,
    watch: Watcher | None = None,
) -> list[Shortcut]:
    """Search the pooled features for two-state directions, most predictions first.

    Pictures are grouped by their label, and by the model's class where they have none.

    Args:
        features: of one pass.
        head: of the model.
        n: directions at most.
        n_pictures: of each state.
        seed: of halves, components, null and intervals.
        fingerprint: of the model.
        watch: called as directions are found and checked.
    """
    groups = torch.where(features.labels >= 0, features.labels, features.predicted)
    n_groups = len(head.bias)
    order = _drawn(features, seed=seed)
    rows = torch.tensor(sorted(order[:_MOST]), dtype=torch.long)
    white = whitened(features.pooled[rows], groups[rows], n_groups=n_groups)
    if white.values.shape[1] < 2:
        return []
    stage = Stage("looking for shortcuts", watch, total=n + 2)  # the search, the null and each direction
    halves = _halves(order, groups)
    directions = search(white, n=n, seed=seed, predicted=features.predicted[rows])
    stage.add(1)
    null = _null(white, halves[rows], seed=seed)
    stage.add(1)
    work = _Work(features=features, head=head, groups=groups, rows=rows, halves=halves, seed=seed)
    found = []
    for direction in directions:
        found.append(work.shortcut(direction, white, null=null, n_pictures=n_pictures, fingerprint=fingerprint))
        stage.add(1)
    stage(n + 2)
    return sorted(found, key=lambda one: -one.n_predictions)


def _drawn(features: Features, *, seed: int) -> list[int]:
    """Return all rows in an order that hashes of seed and number give."""
    indices = features.indices.tolist()
    return sorted(range(len(indices)), key=lambda row: priority(seed + _DRAW, indices[row]))


def _halves(order: list[int], groups: Tensor) -> Tensor:
    """Return (image,) which half each picture is in: every second of its class, in a drawn order."""
    is_second, seen = torch.zeros(len(order), dtype=torch.bool), dict.fromkeys(groups.unique().tolist(), 0)
    for row in order:
        group = int(groups[row])
        is_second[row] = seen[group] % 2 == 1
        seen[group] += 1
    return is_second


def _null(white: White, halves: Tensor, *, seed: int) -> float:
    """Return what the search makes of features in which nothing comes in states, counter-checked in the same way."""
    gaussian = gaussian_like(white, seed=seed)
    found = search(gaussian, n=1, seed=seed)
    return _check(found[0], gaussian, halves, seed=seed).score if found else 0.0


def _check(direction: Direction, white: White, halves: Tensor, *, seed: int) -> _Checked:
    gains, is_on = torch.zeros(len(halves), dtype=torch.float64), torch.zeros(len(halves), dtype=torch.bool)
    spreads = []
    for side in (False, True):
        here, there = halves == side, halves != side
        half = whitened(white.features[here], white.groups[here], n_groups=white.n_groups)
        again = search(half, n=1, seed=seed, begin=direction.reader[None])[0]
        reader = again.reader if float(again.reader @ direction.written) > 0 else -again.reader
        states = states_along(reader, white.features[there], white.groups[there], n_groups=white.n_groups)
        gains[there], is_on[there] = states.gains[0], states.on[0] > 0.5
        spreads.append(float(states.spread[0]))
    return _Checked(gains=gains, spread=sum(spreads) / 2, is_same=is_on == (direction.states.on[0] > 0.5))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Work:
    """What a direction is judged with."""

    features: Features
    head: Head
    groups: Tensor
    rows: Tensor  # that were searched
    halves: Tensor
    seed: int

    def shortcut(
        self, direction: Direction, white: White, *, null: float, n_pictures: int, fingerprint: str
    ) -> Shortcut:
        """Return a direction as a finding."""
        checked = _check(direction, white, self.halves[self.rows], seed=self.seed)
        states = states_along(
            direction.reader, self.features.pooled, self.groups, n_groups=white.n_groups
        )  # of all pictures, those beyond the search too
        is_on = states.on[0] > 0.5
        weight = without_direction(self.head.weight.cpu().double(), direction.written, direction.reader)
        bias = self._bias(weight)
        before = self.features.predicted
        after = (self.features.pooled.double() @ weight.T + bias).argmax(1)
        kept = self.halves & (self.features.labels >= 0)
        return Shortcut(
            reader=direction.reader.float().numpy(),
            direction=direction.written.float().numpy(),
            cut=states.cut[0].float().numpy(),
            share=states.share[0].masked_fill(self.is_empty, torch.nan).float().numpy(),
            score=checked.score,
            interval=self._interval(checked),
            null=null,
            gain=float(checked.gains.mean()),
            separation=float(states.separation[0]),
            agreement=float(checked.is_same.double().mean()),
            n_on=int(is_on.sum()),
            n_predictions=int((before != after).sum()),
            counts=self._counted(kept, is_on),
            right_before=self._counted(kept & (before == self.features.labels), is_on),
            right_after=self._counted(kept & (after == self.features.labels), is_on),
            bias=bias.float().numpy(),
            pictures=self._pictures(direction, states.cut[0], is_on, n=n_pictures),
            fingerprint=fingerprint,
        )

    @property
    def is_empty(self) -> Tensor:
        """(class,) whether no picture is of it."""
        return torch.bincount(self.groups, minlength=len(self.head.bias)) == 0

    def _bias(self, weight: Tensor) -> Tensor:
        """Return the bias that makes classes as frequent as labels on the half that accuracy is not measured on."""
        rows = ~self.halves
        logits = self.features.pooled[rows].double() @ weight.T + self.head.bias.cpu().double()
        wanted = torch.bincount(self.groups[rows], minlength=len(self.head.bias))
        return self.head.bias.cpu().double() + match_frequencies(logits, wanted)

    def _interval(self, checked: _Checked) -> tuple[float, float]:
        rng = torch.Generator().manual_seed(self.seed)
        n = len(checked.gains)
        means = torch.stack([checked.gains[torch.randint(0, n, (n,), generator=rng)].mean() for _ in range(_DRAWS)])
        low, high = torch.quantile(means, torch.tensor([0.025, 0.975], dtype=torch.float64)) * checked.spread
        return float(low), float(high)

    def _counted(self, rows: Tensor, is_on: Tensor) -> np.ndarray:
        cells = 2 * self.features.labels[rows] + is_on[rows].long()
        counts = torch.bincount(cells, minlength=2 * len(self.head.bias))
        return counts.reshape(-1, 2).numpy()

    def _pictures(self, direction: Direction, cut: Tensor, is_on: Tensor, *, n: int) -> tuple[AuditedPicture, ...]:
        """Return pictures of both states: of each, class by class in turn, those that are surest of their state."""
        reading = self.features.pooled.double() @ direction.reader
        apart = reading - cut[self.groups]
        rows = [row for state in (True, False) for row in self._surest(apart if state else -apart, n=n)]
        return tuple(picture_of(self.features, row, is_on=bool(is_on[row])) for row in rows)

    def _surest(self, apart: Tensor, *, n: int) -> list[int]:
        order = [row for row in apart.argsort(descending=True, stable=True).tolist() if float(apart[row]) > 0]
        turns: dict[int, int] = {}
        ranked = []
        for row in order:
            group = int(self.groups[row])
            turns[group] = turns.get(group, -1) + 1
            ranked.append((turns[group], row))
        return [row for _, row in sorted(ranked, key=lambda pair: pair[0])[:n]]


def picture_of(features: Features, row: int, *, is_on: bool = False, of: str = "image") -> AuditedPicture:
    """Return what is said of one picture; `of` begins its key."""
    label, index = int(features.labels[row]), int(features.indices[row])
    return AuditedPicture(
        image=f"{of}-{index:07d}",
        source=features.names[row],
        index=index,
        label=label if label >= 0 else None,
        predicted=int(features.predicted[row]),
        is_on=is_on,
    )

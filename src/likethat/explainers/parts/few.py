"""Few images a class: parts of superclasses, or regions of each image; both share out what every cell supplies."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.cluster.hierarchy import linkage
from torch import Tensor

from likethat._progress import Stage, Watcher
from likethat._vectors import rows_of
from likethat.coordinates import Divided, PhotoRegions, SuperclassParts
from likethat.errors import InputError
from likethat.explainers.parts.cells import cells_of, is_signed
from likethat.explanations import ImageStore, Prototype
from likethat.features import Features
from likethat.fitting.held_out import Estimate, judge, kept_back, own_channels
from likethat.fitting.prototypes import Seen, as_picture, facts_of, prototype_of, seen_of
from likethat.functional import coverage
from likethat.functional.factorisation import non_negative, regions_of
from likethat.models import SplitModel
from likethat.options import PartsOptions

Chosen = Literal["ownership", "superclasses", "regions"]
"""What ``algorithm="auto"`` can stand for."""

MOST_CLASSES = 5000
"""Whose rows of the head are compared all with all: 100 MB of distances, and a few seconds."""
_ENOUGH = 5
"""Images from which a class has parts of its own: one of them can be kept back for measuring."""
_MANY_CLASSES = 20  # from which classes can be gathered: of fewer, a superclass would be a good part of them all
_FEWEST_SUPERCLASSES = 10  # fewer say little more than "an animal": regions choose the nearest images instead
_BLOCK = 32  # images divided at once: 8 MB of a common network's cells
_REGIONS = 4  # parts of a superclass or regions of an image where n_parts="auto": as many as an explanation shows


def chosen_algorithm(classes: Int[Tensor, " image"], n_classes: int) -> tuple[Chosen, str]:
    """Return what ``algorithm="auto"`` stands for, and a sentence that says why; "" where it is what it always was.

    Args:
        classes: the class of each image; -1 for none.
        n_classes: of the model.
    """
    counts = torch.bincount(classes[classes >= 0], minlength=n_classes)
    given = counts[counts > 0]
    typical = int(given.median()) if len(given) else 0
    if len(given) < _MANY_CLASSES or typical >= _ENOUGH:
        return "ownership", ""
    start = f"{len(given):,} classes have {_images(typical)} each, typically: too few to find parts of each class."
    least = f"Of {_ENOUGH} images a class or more they would be the classes' own."
    if int(given.sum()) >= _FEWEST_SUPERCLASSES * (_ENOUGH + 1) and n_classes <= MOST_CLASSES:
        return "superclasses", (
            f"{start} These are parts of superclasses, of classes whose rows of the head are alike. {least}"
        )
    return "regions", (
        f"{start} There are too few images to gather, too: these are regions of each picture, beside look-alikes "
        f"among images of the nearest classes. {least}"
    )


def _images(n: int) -> str:
    return f"{n} image{'' if n == 1 else 's'}"


def superclasses(
    head_weight: Float[Tensor, "cls channel"], counts: Int[Tensor, " cls"], *, least: int
) -> list[tuple[Int[Tensor, " member"], Int[Tensor, " cls"]]]:
    """Gather classes: for each, the smallest branch of the tree of head rows that holds enough images.

    Args:
        head_weight: rows of the head; only their directions count.
        counts: images of each class.
        least: images that a superclass holds at least, where there are so many.

    Returns:
        Of each superclass the classes whose images it holds, and those that it is the superclass of (of the others a
        smaller branch is).

    Source:
        The tree: Ward (1963), hierarchical grouping, on rows of length 1.
    """
    n = len(counts)
    rows = torch.nn.functional.normalize(head_weight.cpu().double(), dim=1)
    members = [[one] for one in range(n)]
    totals, waiting = counts.tolist(), [[one] for one in range(n)]
    found = []
    for place, (left, right) in enumerate([(-1, one) for one in range(n)] + _merges(rows)):
        if place >= n:
            members.append(members[left] + members[right])
            totals.append(totals[left] + totals[right])
            waiting.append(waiting[left] + waiting[right])
        is_enough = totals[place] >= least or (place == 2 * n - 2 and totals[place] > 0)
        if is_enough and waiting[place]:
            found.append((torch.tensor(sorted(members[place])), torch.tensor(sorted(waiting[place]))))
            waiting[place] = []
    return found


def _merges(rows: Float[Tensor, "cls channel"]) -> list[tuple[int, int]]:
    if len(rows) < 2:
        return []
    return [(int(left), int(right)) for left, right in linkage(rows.numpy(), "ward")[:, :2]]


@dataclass(kw_only=True, eq=False)
class Few:
    """The work of one fit.

    Attributes:
        model, features: what is explained, and one pass over the images.
        source: of the images.
        classes: (image,) the class of each; -1 for none.
        options: what was chosen.
        watch: called as the work goes on.
        notes: sentences for the reader.
        measures: figures of the fit.
    """

    model: SplitModel
    features: Features
    source: object
    classes: Tensor
    options: PartsOptions
    watch: Watcher | None = None
    notes: list[str] = field(default_factory=list)
    measures: dict[str, float] = field(default_factory=dict)
    _groups: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    _slots: list[int] = field(default_factory=list)

    @cached_property
    def _back(self) -> Tensor:
        """The held maps that are kept back for measuring parts of superclasses."""
        return kept_back(self.features, torch.where(self.classes >= 0, 0, -1), seed=self.options.seed)

    @cached_property
    def _n(self) -> int:
        return _REGIONS if self.options.n_parts == "auto" else int(self.options.n_parts)

    @cached_property
    def _is_signed(self) -> bool:
        return is_signed(self.features.maps)

    @cached_property
    def _held(self) -> Tensor:
        """The class of each held map; -1 for none."""
        return self.classes[self.features.kept]

    def _bases(self, cells: Tensor) -> list[Tensor]:
        """Return the parts of each set of cells (set, cell, channel)."""
        positive = non_negative(cells, signed=self._is_signed)
        return [basis.cpu() for basis in regions_of(positive.to(self.model.device), self._n)]

    def superclasses(self) -> SuperclassParts:
        """Find the parts of every superclass.

        Raises:
            InputError: more classes than can be compared, or no image of any.
        """
        n_classes = self.model.n_classes
        if n_classes > MOST_CLASSES:
            raise InputError(
                f"`algorithm` must be another than 'superclasses' for more than {MOST_CLASSES:,} classes, got "
                f"{n_classes:,}. Take 'regions'."
            )
        learned = self.classes.clone()
        learned[self.features.kept[self._back]] = -1
        counts = torch.bincount(learned[self.features.kept] + 1, minlength=n_classes + 1)[1:]
        groups = superclasses(self.model.head.weight, counts, least=self.options.n_prototypes + 1)
        self._groups = groups
        if not groups:
            raise _no_class()
        class_groups = torch.zeros(n_classes, dtype=torch.long)
        bases, names = [], []
        stage = Stage("splitting classes", self.watch, total=len(groups))
        for group, (members, own) in enumerate(groups):
            class_groups[own] = group
            inside = torch.where(torch.isin(learned, members), group, -1)
            cells = cells_of(
                self.features, inside, group, limit=self.options.cells_per_class, seed=self.options.seed
            ).cells
            bases += self._bases(cells[None])
            seen = own[counts[own] > 0]  # its own: images may be another superclass's too
            names += self._named(seen if len(seen) else own, len(bases[-1]))
            stage(group + 1)
        self.measures["superclasses"] = float(len(groups))
        return SuperclassParts(
            torch.cat(bases),
            _owners(bases),
            class_groups,
            n_channels=self.model.n_channels,
            unit_names=names,
            n_shown=self.options.n_prototypes,
        )

    def _named(self, members: Tensor, n: int) -> list[str]:
        """Name parts by one class: a row of a page has no room for two, and its prototypes show the others."""
        more = f" and {len(members) - 1} alike" if len(members) > 1 else ""
        return [f"part {place + 1} of {self._short(int(members[0]))!r}{more}" for place in range(n)]

    def _short(self, target: int) -> str:
        return self.model.class_names[target].partition(",")[0]

    def regions(self) -> PhotoRegions:
        """Find the regions of every image: of a class with many, of the surest ones.

        Raises:
            InputError: no image of any class.
        """
        slots = self._surest()
        if not slots:
            raise _no_class()
        bases: list[Tensor] = []
        stage = Stage("dividing images", self.watch, total=len(slots))
        for block in torch.tensor(slots).split(_BLOCK):
            bases += self._bases(self.features.maps[block].mT)
            stage(len(bases))
        images = [self.features.names[int(self.features.kept[slot])] for slot in slots]
        counts = [len(basis) for basis in bases]
        self._slots = slots
        return PhotoRegions(
            torch.cat(bases),
            _owners(bases),
            self._held[slots],
            head_weight=self.model.head.weight,
            unit_names=[f"region {k + 1} of {name}" for name, n in zip(images, counts, strict=True) for k in range(n)],
            n_regions=self._n,
            n_shown=self.options.n_prototypes,
        )

    def _surest(self) -> list[int]:
        """Return held maps: of each class, as many as a row shows, those with the highest logit of it."""
        pooled = rows_of(self.features.pooled, self.features.kept)
        head = self.model.head
        chosen: list[int] = []
        for target in sorted(set(self._held.tolist()) - {-1}):
            slots = (self._held == target).nonzero()[:, 0]
            logits = pooled[slots] @ head.weight[target].cpu()
            order = logits.sort(descending=True, stable=True).indices[: self.options.n_prototypes]
            chosen += slots[order].tolist()
        return sorted(chosen)

    def prototypes(self, coordinates: SuperclassParts | PhotoRegions) -> tuple[list[Prototype], ImageStore]:
        """Return what shows each unit: a part's strongest images of its superclass, a region's own image."""
        strongest: dict[int, list[tuple[float, int, Divided, int]]] = {}
        for slot, divided, units in self._divided(coordinates):
            for place, unit in enumerate(units):
                value = float(divided.presence[place].mean())
                strongest.setdefault(unit, []).append((value, slot, divided, place))
        found, pictures = [], ImageStore()
        for unit, choices in sorted(strongest.items()):
            choices.sort(key=lambda item: (-item[0], item[1]))
            for rank, (value, slot, divided, place) in enumerate(choices[: self.options.n_prototypes]):
                seen = seen_of(
                    self.features, int(self.features.kept[slot]), self.features.maps[slot], self.features.views[slot]
                )
                found.append(self._prototype(seen, unit, rank, value, divided, place))
                if seen.key not in pictures:
                    pictures.add(seen.key, as_picture(seen.view))
        return found, pictures

    def _divided(self, coordinates: SuperclassParts | PhotoRegions) -> Iterator[tuple[int, Divided, list[int]]]:
        """Yield held maps, how they are shared, and which units of the bank each may show."""
        if isinstance(coordinates, PhotoRegions):
            for owner, slot in enumerate(self._slots):
                units = (coordinates.owners == owner).nonzero()[:, 0]
                divided = coordinates.divide_into(self.features.maps[slot], coordinates.basis[units])
                yield slot, divided, units.tolist()
            return
        for group, (members, _) in enumerate(self._groups):
            for slot in torch.isin(self._held, members).nonzero()[:, 0].tolist():
                divided = coordinates.divide_among(self.features.maps[slot], group)
                yield slot, divided, divided.units.tolist()

    def _prototype(self, seen: Seen, unit: int, rank: int, value: float, divided: Divided, place: int) -> Prototype:
        presence = divided.presence[place]
        cell = int(presence.argmax())
        vector = seen.feature_map[:, cell]
        purity = torch.nn.functional.cosine_similarity(vector, divided.centroids[place], dim=0, eps=1e-12)
        return prototype_of(
            self.source,
            self.features,
            seen,
            facts_of(self.model, self.features, seen),
            unit=unit,
            rank=rank,
            kind="positive",
            cell=cell,
            activation=value,
            peak=float(presence[cell]),
            purity=float(purity),
            activations=presence,
        )

    def use(self, coordinates: SuperclassParts | PhotoRegions) -> Float[Tensor, " unit"]:
        """Return the mean absolute contribution of each unit to the predicted class over the images."""
        total = torch.zeros(coordinates.n_units, dtype=torch.float64)
        if isinstance(coordinates, PhotoRegions):
            shared = self._divided(coordinates)
        else:
            shared = (
                (slot, divided, divided.units.tolist())
                for slot, cells in enumerate(self.features.maps)
                for divided in [coordinates.divide(cells, self._predicted(slot))]
            )
        for slot, divided, units in shared:
            total.index_add_(0, torch.tensor(units), self._contributions(slot, divided).abs())
        return total / max(len(self.features.kept), 1)

    def _predicted(self, slot: int) -> int:
        return int(self.features.predicted[int(self.features.kept[slot])])

    def _contributions(self, slot: int, divided: Divided) -> Tensor:
        head = (self.model.head.weight[self._predicted(slot)] * self.model.spatial_weight).cpu().double()
        maps = self.features.maps[slot].double()
        return divided.shares @ (head @ maps) / maps.shape[1]

    def judged(self, coordinates: SuperclassParts | PhotoRegions) -> dict[str, float]:
        """Return what rows are worth on images that were not fitted to; a region's image is fitted to by itself alone.

        Coverage of four rows, purity at their places, and how many different places four rows have.
        """
        if isinstance(coordinates, PhotoRegions):
            shared = [(slot, divided) for slot, divided, _ in self._divided(coordinates)]
        else:
            maps = self.features.maps
            shared = [(slot, coordinates.divide(maps[slot], self._predicted(slot))) for slot in self._back.tolist()]
        rows = [self._judged(slot, divided) for slot, divided in shared]
        found = {"held_out_images": float(len(rows))}
        if not rows:
            return found
        for name, column in zip(("coverage_of_4", "purity", "places_of_4"), np.array(rows).T, strict=True):
            estimate = Estimate.of(torch.from_numpy(column))
            found |= {f"held_out_{name}": estimate.mean, f"held_out_{name}_error": estimate.error}
        slots = torch.tensor([slot for slot, _ in shared])
        return found | judge(self.features, slots, own_channels(self.model.head.weight.cpu())).measures("own")

    def _judged(self, slot: int, divided: Divided) -> tuple[float, float, float]:
        maps = self.features.maps[slot]
        rows = self._contributions(slot, divided)
        top = rows.topk(min(4, len(rows))).indices
        cells = divided.presence[top].argmax(1)
        purity = torch.nn.functional.cosine_similarity(maps[:, cells].T, divided.centroids[top], dim=1, eps=1e-12)
        return float(coverage(rows, top=4)), float(purity.mean()), float(len(set(cells.tolist())))


def _owners(bases: Sequence[Tensor]) -> Tensor:
    return torch.arange(len(bases)).repeat_interleave(torch.tensor([len(one) for one in bases]))


def _no_class() -> InputError:
    return InputError("`labels` must give at least one image a class, got none. Leave them out for the predictions.")

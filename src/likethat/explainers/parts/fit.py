"""The work of one fit of part prototypes: class by class, with a sentence for each that could not be split."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from likethat._progress import Stage, Watcher
from likethat._vectors import rows_of
from likethat.coordinates import HeadParts
from likethat.explainers.parts.cells import ClassCells, blocks, cells_of, is_signed
from likethat.explainers.parts.discovery import MOST_PARTS, Found, count_limit, discover, left_out_error
from likethat.explainers.parts.judging import WEAK_BELOW, evidence_density
from likethat.explainers.parts.named import NamedParts, learn_names
from likethat.explainers.parts.splitting import (
    ClassParts,
    described,
    join,
    ordered,
    split_by_ownership,
    split_by_sharing,
    whole,
)
from likethat.features import Features
from likethat.functional.sharing import centroid_detectors
from likethat.models import SplitModel
from likethat.options import PartsOptions
from likethat.sources import IterableSource
from likethat.sources.base import ImageSource
from likethat.sources.marks.records import SURROUNDINGS

_PRESENT = 0.2  # a named part occurs in a class where it holds at least this share of one cell


@dataclass(kw_only=True, eq=False)
class PartFit:
    """What a fit works on, and what it has to say.

    Attributes:
        model, source, features: what is explained, and one pass over the images.
        classes: (image,) the class whose parts each image is for; -1 for none.
        options: what was chosen.
        shares: of the residual.
        back: (map,) held maps that are kept back for measuring.
        watch: called class by class.
        notes: sentences for the reader, once it has run.
        skipped: (name, reason) of marks that were left out.
        measures: figures of the fit.
    """

    model: SplitModel
    source: ImageSource | IterableSource
    features: Features
    classes: Tensor
    options: PartsOptions
    shares: Callable[[Tensor], Tensor]
    back: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.long))
    watch: Watcher | None = None
    notes: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    measures: dict[str, float] = field(default_factory=dict)
    _without_images: list[int] = field(default_factory=list)
    _without_features: list[int] = field(default_factory=list)
    _fewer: list[int] = field(default_factory=list)
    _one_image: list[int] = field(default_factory=list)
    _alike: list[int] = field(default_factory=list)
    _undivided: list[int] = field(default_factory=list)

    def run(self, marks: Any) -> HeadParts:
        """Split every class and join the parts."""
        found = list(self._named(marks) if marks is not None else self._discovered())
        head = self.model.head
        coordinates = join(found, head.weight, self.model.class_names)
        for name in ("residual", "moved", "between_starts", "between_halves"):
            values = coordinates.measures.get(name, torch.empty(0, dtype=torch.float32))
            if not bool(values.isnan().all()):
                self.measures[name] = float(values.nanmean())
        self._say()
        return coordinates

    @cached_property
    def _learned(self) -> Tensor:
        """The class of each image that is fitted to; -1 for those that are kept back."""
        learned = self.classes.clone()
        learned[self.features.kept[self.back]] = -1
        return learned

    def _weighted(self, cells: Tensor) -> Tensor:
        """Return cells as the head sees them."""
        return cells * self.model.spatial_weight.cpu()

    def _members(self) -> Iterator[ClassCells]:
        stage = Stage("splitting classes", self.watch, total=self.model.n_classes)
        for target in range(self.model.n_classes):
            member = cells_of(
                self.features, self._learned, target, limit=self.options.cells_per_class, seed=self.options.seed
            )
            yield member
            stage(target + 1)

    def _discovered(self) -> Iterator[ClassParts]:
        for block in blocks(self._members(), self._count, on_gpu=self.model.device.type == "cuda"):
            count = self._count(block[0])
            if not count:
                yield from (self._whole(member) for member in block)
                continue
            wanted = self.options.n_parts if self.options.n_parts == "auto" else count
            found = discover(block, wanted, signed=self._is_signed, seed=self.options.seed, device=self.model.device)
            yield from (self._split(member, parts) for member, parts in zip(block, found, strict=True))

    def _count(self, member: ClassCells) -> int:
        """Return how many parts to look for in a class; 0 where nothing can be told apart."""
        limit = count_limit(member)
        return min(limit, MOST_PARTS if self.options.n_parts == "auto" else int(self.options.n_parts))

    @cached_property
    def _is_signed(self) -> bool:
        return is_signed(self.features.maps)

    def _whole(self, member: ClassCells) -> ClassParts:
        (self._without_features if len(member) else self._without_images).append(member.target)
        return whole(member.target, self.model.head.weight[member.target].cpu(), member)

    def _split(self, member: ClassCells, found: Found) -> ClassParts:
        """Make the found parts of a class add up to its head vector."""
        options, head_vector = self.options, self.model.head.weight[member.target].cpu()
        cells, shares = self._weighted(member.cells), found.shares
        if options.algorithm != "shared":
            vectors = split_by_ownership(cells, shares, head_vector, ridge=options.ridge)
        else:
            vectors = split_by_sharing(cells, found.centroids, head_vector, shares=self.shares)
        measures = described(cells, found.centroids, vectors, head_vector)
        measures |= {"between_starts": found.between_starts, "between_halves": found.between_halves}
        measures["error"] = torch.full((len(vectors),), found.error, dtype=torch.float32)
        if member.n_all > len(member):
            measures["error_left_out"] = torch.full((len(vectors),), self._left_out(member, found), dtype=torch.float32)
        if options.n_parts != "auto" and len(vectors) < int(options.n_parts):
            self._fewer.append(member.target)
        if options.n_parts == "auto" and len(vectors) == 1:
            self._undivided.append(member.target)
        self._remark(member)
        detectors = centroid_detectors(found.centroids)
        measures["density"] = evidence_density(member.cells, detectors, cells @ head_vector)
        parts = ClassParts(
            target=member.target,
            vectors=vectors,
            centroids=found.centroids,
            detectors=detectors,
            surroundings=measures["density"] < WEAK_BELOW,
            measures=measures,
            curves={"error": found.errors, "agreement": found.agreements} if found.errors else {},
        )
        return ordered(parts, cells)

    def _remark(self, member: ClassCells) -> None:
        means = rows_of(self.features.means, member.rows)
        if len(means) == 1:
            self._one_image.append(member.target)
        elif bool((means == means[:1]).all()):
            self._alike.append(member.target)

    def _left_out(self, member: ClassCells, found: Found) -> float:
        """Return the reconstruction error of as many cells that took no part."""
        other = cells_of(
            self.features, self._learned, member.target, limit=self.options.cells_per_class, seed=self.options.seed + 1
        )
        used = set(zip(member.images.tolist(), member.places.tolist(), strict=True))
        pairs = zip(other.images.tolist(), other.places.tolist(), strict=True)
        return left_out_error(found.centroids, other.cells[torch.tensor([pair not in used for pair in pairs])])

    def _named(self, marks: Any) -> Iterator[ClassParts]:
        taught = learn_names(self.model, self.source, self.features, marks, self.skipped)
        self.notes += taught.notes
        self.measures |= {"marked_images": float(taught.n_images), "probe_accuracy": taught.probe.accuracy}
        for member in self._members():
            if not count_limit(member):
                yield self._whole(member)
                continue
            self._remark(member)
            yield self._split_by_names(member, taught)

    def _split_by_names(self, member: ClassCells, taught: NamedParts) -> ClassParts:
        """Give each named part its share of the class's evidence; names that hardly occur in the class are left out."""
        head_vector = self.model.head.weight[member.target].cpu()
        cells, shares = self._weighted(member.cells), taught.probe.shares(member.cells)
        present = shares.amax(0) >= _PRESENT
        present[-1] = True
        shares = shares[:, present] / shares[:, present].sum(1, keepdim=True)
        names = tuple(name for name, here in zip(taught.names, present.tolist(), strict=True) if here)
        centroids = shares.T @ member.cells / shares.sum(0)[:, None].clamp_min(1e-12)
        vectors = split_by_ownership(cells, shares, head_vector, ridge=self.options.ridge)
        parts = ClassParts(
            target=member.target,
            vectors=vectors,
            centroids=centroids,
            detectors=taught.probe.detectors()[present],
            names=names,
            surroundings=torch.tensor([name == SURROUNDINGS for name in names]),
            measures=described(cells, centroids, vectors, head_vector),
        )
        return ordered(parts, cells)

    def _say(self) -> None:
        """Turn what happened into sentences, one a kind."""
        one = "the head vector of each is one part, so its contributions stay exact."
        for targets, text in (
            (self._without_images, f"no image of {{}} was given (or predicted): {one}"),
            (self._without_features, f"the features of {{}} are all zero: {one}"),
            (self._fewer, "the cells of {} tell fewer parts apart than asked for: it has fewer parts."),
            (
                self._undivided,
                "the images of {} bear out no more than one part: its row is the whole class. Give more images of it, "
                "or a number of parts.",
            ),
            (self._alike, "the images of {} are all alike: its parts may be that picture's alone."),
            (self._one_image, "one image stands for {}: its parts may be that image's alone."),
        ):
            if targets:
                sentence = text.format(self._listed(targets))
                self.notes.append(sentence[0].upper() + sentence[1:])
        if self.model.held:
            self.notes.append(
                f"With {self.model.held} held as on each image, parts add up exactly; the {self.model.remainder_name}, "
                "which has no place, is split with them."
            )
        elif not self.model.spatially_additive:
            self.notes.append(
                f"The head reads its {self.model.remainder_name or 'pooled vector'}, not the map alone: parts add up "
                "exactly, but what is not localised is split with them."
            )
        if not self.features.is_complete:
            self.notes.append(
                f"Parts were learned on {len(self.features.kept):,} of {len(self.features):,} images, as the memory "
                "budget allows; prototypes were chosen among all of them."
            )

    def _listed(self, targets: Sequence[int]) -> str:
        names = [repr(self.model.class_names[target]) for target in targets[:5]]
        more = f" and {len(targets) - 5} more classes" if len(targets) > 5 else ""
        return ("class " if len(targets) == 1 else "classes ") + ", ".join(names) + more

"""What a fit of EPIC does whoever finds its mixing: images kept for measuring, prototypes, a bank."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from likethat._checkpoint import Checkpoint
from likethat._progress import Clock, Watcher
from likethat._vectors import blocks
from likethat.coordinates import Rotation
from likethat.errors import InputError
from likethat.explanations import Bank, Prototype, Provenance
from likethat.features import Features
from likethat.fitting.fitting import begin, provenance_of
from likethat.fitting.held_out import (
    FEWEST,
    judge,
    kept_back,
    little_sentence,
    nothing_sentence,
    own_channels,
    own_kept_sentence,
    too_few_sentence,
)
from likethat.fitting.prototypes import gather_prototypes
from likethat.fitting.shrinkage import OWN, choose_shrinkage
from likethat.fitting.usage import usage_of
from likethat.functional.familiarity import familiar
from likethat.models import SplitModel
from likethat.options import EPICOptions, PaperEPICOptions

_ROUNDS_TO_CHOOSE = 2
"""Of the fits to halves: in 20 fits to 100 to 5,000 CIFAR photos two chose as three did in 15, and the others lost and
won held-out purity alike (.009 at most); one kept the network's own channels where a rotation was worth .016 more."""


class Solver(Protocol):
    """Finds a mixing."""

    def __call__(
        self,
        features: Features,
        slots: Tensor,
        head: Tensor,
        *,
        shrinkage: float,
        rounds: int | None = None,
        checkpoint: Checkpoint | None = None,
        watch: Watcher | None = None,
    ) -> Tensor:
        """Return the mixing that suits the maps at `slots`."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class EPICFit:
    """A fit as it was chosen.

    Attributes:
        method: its name.
        chosen: its options.
        solve: finds the mixing.
        is_orthogonal: the inverse of the mixing is its transpose.
        can_shrink: the mixing can be drawn to the network's own channels.
        coverage_weight: of coverage beside purity, where it is chosen how far.
    """

    method: str
    chosen: EPICOptions | PaperEPICOptions
    solve: Solver
    is_orthogonal: bool
    can_shrink: bool = False
    coverage_weight: float = 0.0

    def run(self, model: SplitModel | nn.Module, images: Any, *, watch: Watcher | None = None, **reading: Any) -> Bank:
        """Run the model over the images and make a bank; `reading` is as `begin` takes it."""
        clock = Clock()
        options, seed = self.chosen.options(), self.chosen.seed
        begun = begin(model, images, method=self.method, options=options, seed=seed, watch=watch, **reading)
        model, source, features, checkpoint = begun.model, begun.source, begun.features, begun.checkpoint
        with begun.work():
            _check_enough(features, self.chosen.n_prototypes)
            found = self.find(model, features, checkpoint=checkpoint, watch=watch)
            rotation = found.rotation
            prototypes, pictures = gather_prototypes(
                model, source, features, rotation, n=self.chosen.n_prototypes, watch=watch
            )
            use = usage_of(features, rotation)
            bank = Bank(
                coordinates=rotation,
                prototypes=prototypes,
                images=pictures,
                head=model.head,
                class_names=model.class_names,
                provenance=self._provenance(model, features, prototypes, use.coverage, found, clock.seconds),
                usage=use.per_channel,
                familiar=familiar(features.pooled),
                model=model,
            )
        return begun.finished(bank, found.back)

    def find(
        self,
        model: SplitModel,
        features: Features,
        *,
        checkpoint: Checkpoint | None = None,
        watch: Watcher | None = None,
    ) -> "Found":
        """Fit to four fifths of the images, as far as halves of them bear it out, and judge on the others."""
        head = model.head.weight.cpu()
        back = kept_back(features, torch.zeros_like(features.predicted), seed=self.chosen.seed)
        if len(back) < FEWEST:
            back = back[:0]
        slots = torch.arange(len(features.kept))
        slots = slots[~torch.isin(slots, back)]
        shrinkage = self._shrinkage(features, slots, head) if len(back) else 0.0
        if shrinkage == OWN:
            mixing = own_channels(head).matrix()
        else:
            mixing = self.solve(features, slots, head, shrinkage=shrinkage, checkpoint=checkpoint, watch=watch)
        rotation = Rotation(mixing, model.head.weight, orthogonal=self.is_orthogonal)
        measures = {"held_out_images": float(len(back))}
        if len(back):
            measures |= judge(features, back, rotation).measures("held_out")
            measures |= judge(features, back, own_channels(head)).measures("own")
        return Found(rotation=rotation, shrinkage=shrinkage, measures=measures, back=back)

    def _shrinkage(self, features: Features, slots: Tensor, head: Tensor) -> float:
        """Return how far the rotation is drawn to the network's own channels."""
        if not self.can_shrink:
            return 0.0

        def solve(half: Tensor, shrinkage: float) -> Tensor:
            return self.solve(features, half, head, shrinkage=shrinkage, rounds=_ROUNDS_TO_CHOOSE)

        return choose_shrinkage(features, slots, head, solve, coverage_weight=self.coverage_weight).shrinkage

    def _provenance(
        self,
        model: SplitModel,
        features: Features,
        prototypes: Sequence[Prototype],
        coverage: float,
        found: "Found",
        seconds: float,
    ) -> Provenance:
        n_dead = features.n_channels - len({prototype.unit for prototype in prototypes})
        positive = [item.purity for item in prototypes if item.kind == "positive"]
        shrunk = {} if found.shrinkage == OWN else {"shrinkage": found.shrinkage}
        return provenance_of(
            model,
            features,
            method=self.method,
            options=self.chosen.options(),
            seed=self.chosen.seed,
            seconds=seconds,
            measures={
                "purity": float(np.mean(positive)) if positive else 0.0,
                "coverage_of_4": coverage,
                "dead_channels": float(n_dead),
                **shrunk,
                **found.measures,
            },
            notes=_notes(features, n_dead, self.chosen.n_prototypes),
            verdict=found.verdict,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """A rotation, how far it was drawn to the network's own channels, and what it is worth on other images.

    Attributes:
        rotation: of the channels.
        shrinkage: lambda; infinite where the network's own channels were kept.
        measures: figures by name, as in `Provenance.measures`.
        back: (map,) the held maps of these other images.
    """

    rotation: Rotation
    shrinkage: float
    measures: Mapping[str, float]
    back: Tensor

    @property
    def verdict(self) -> str:
        """One sentence where the rotation brings nothing, or nobody can know; else ""."""
        if not self.measures["held_out_images"]:
            return too_few_sentence()
        if self.shrinkage == OWN:
            return own_kept_sentence(self.measures)
        return nothing_sentence(self.measures) or little_sentence(self.measures)


def _check_enough(features: Features, n_prototypes: int) -> None:
    if len(features) < n_prototypes:
        raise InputError(
            f"`images` must hold at least n_prototypes = {n_prototypes} images that can be used, got {len(features)} "
            f"({len(features.skipped)} skipped). Give more images, or lower n_prototypes."
        )
    if len(features) > 1 and _are_all_the_same(features.means):
        raise InputError(
            f"`images` must differ, got {len(features)} images with the same features. Give images of what the model "
            "was trained to tell apart."
        )


def _are_all_the_same(vectors: Tensor) -> bool:
    first = vectors[:1].clone()
    return all(bool((part == first).all()) for _, part in blocks(vectors))


def _notes(features: Features, n_dead: int, n_prototypes: int) -> list[str]:
    notes = []
    if n_dead:
        notes.append(f"{_counted(n_dead, 'channel')} without variation on these images: no prototypes to show.")
    if not features.is_complete:
        notes.append(
            f"The mixing was learned on {len(features.kept):,} of {len(features):,} images, as the memory budget "
            "allows; prototypes were chosen among all of them."
        )
    if len(features) < 4 * n_prototypes:
        notes.append(f"With {len(features)} images, prototypes of different channels share many pictures.")
    if features.skipped:
        notes.append(f"{_counted(len(features.skipped), 'item')} could not be used; the list is below.")
    return notes


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"

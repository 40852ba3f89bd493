"""EPIC: prototypes of a pretrained network, without retraining it.

Source:
    Borycki, Trędowicz, Janusz, Tabor, Spurek, Lewicki, Struski (2026), EPIC, AAAI, arXiv 2505.12897. Written from the
    paper's equations.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from likethat._calls import public
from likethat._checkpoint import Checkpoint
from likethat._checks import check_choice, check_count, check_seed
from likethat._options import check_number
from likethat._progress import Watcher
from likethat._session import in_own_session
from likethat.coordinates import Rotation
from likethat.errors import InputError
from likethat.explanations import Bank, Prototype, Provenance
from likethat.features import Features
from likethat.fitting.fitting import begin, provenance_of
from likethat.fitting.held_out import (
    FEWEST,
    judge,
    kept_back,
    nothing_sentence,
    own_channels,
    own_kept_sentence,
    too_few_sentence,
)
from likethat.fitting.prototypes import gather_prototypes
from likethat.fitting.rotation import AdamSolver, Schedule, fit_procrustes
from likethat.fitting.shrinkage import OWN, choose_shrinkage
from likethat.fitting.usage import usage_of
from likethat.functional.familiarity import familiar
from likethat.models import SplitModel

__all__ = ["EPIC"]

_OURS = Schedule(first=100, last=14, rounds=8)
_PAPER = Schedule(first=100, last=5, rounds=10)
_ROUNDS_TO_CHOOSE = 3
"""Of the fits to halves: with EfficientNet-Lite0 three rounds gave the held-out purity of eight (.145)."""


@in_own_session(grad=True)
@public
class EPIC:
    """Find a mixing of a network's channels whose prototypes are pure, and the prototypes of each channel.

    The logits stay the network's own: the head takes the inverse of the mixing.

    A fifth of the images takes no part in the fit: purity, coverage and the classes a channel stands for are measured
    there, beside the network's own channels (`Provenance.measures`). How far the rotation leaves these is chosen by
    halves of the other images; where no rotation does better, the bank keeps them and says so.

    Args:
        n_prototypes: images a channel, of the highest and of the lowest activation each.
        solver: ``"procrustes"``, one singular value decomposition a round; or ``"adam"``, the paper's gradient ascent.
        mixing: ``"orthogonal"``; ``"invertible"``, the paper's expm(R), for Adam alone; ``"whitened"``, a rotation
            after whitening up to `condition`.
        schedule: ``"ours"`` (N from 100 to 14 in 8 rounds) or ``"paper"`` (N from 100 to 5 in 10 selections).
        usage_weight: 0 for purity alone; towards 1 the channels that the logits use most count more, whatever their
            number, which buys coverage with purity.
        condition: largest condition number of the whitening.
        epochs, learning_rate, weight_decay, batch: Adam's; the defaults are the paper's.
        seed: of Adam's batches, and of the draw when the maps of all images exceed the memory budget.

    Source:
        Borycki et al. (2026), EPIC, section 3: maximise the mean purity of the current prototypes over U; prototypes
        are chosen anew as U changes, their number falling from 100 to 5.

    Differs:
        The default solver is orthogonal Procrustes, exact for a fixed selection (docs/methods.md), and stops at
        N = 14, because five patches a channel are learned by heart; it takes the polar factor of M + lambda I, lambda
        chosen on other images, where few images speak of many channels. The backbone sees every image once.
        Contributions keep their sign, so they add up to the logit.

    Example:
        >>> import torch, likethat as lt
        >>> images = torch.rand(40, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        >>> network = torch.nn.Sequential(
        ...     torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
        ...     torch.nn.Linear(8, 2)).eval()
        >>> bank = lt.EPIC(n_prototypes=3).fit(lt.split(network, example=images[:4]), images)
        >>> abs(bank.explain(images[0]).gap()) < 1e-4
        True
    """

    def __init__(
        self,
        n_prototypes: int = 5,
        *,
        solver: Literal["procrustes", "adam"] = "procrustes",
        mixing: Literal["orthogonal", "invertible", "whitened"] = "orthogonal",
        schedule: Literal["ours", "paper"] = "ours",
        usage_weight: float = 0.0,
        condition: float = 10.0,
        epochs: int = 20,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-5,
        batch: int = 512,
        seed: int = 0,
    ) -> None:
        self.n_prototypes = check_count(n_prototypes, name="n_prototypes")
        self.solver = check_choice(solver, name="solver", choices=("procrustes", "adam"))
        self.mixing = check_choice(mixing, name="mixing", choices=("orthogonal", "invertible", "whitened"))
        self.schedule = check_choice(schedule, name="schedule", choices=("ours", "paper"))
        self.usage_weight = check_number(usage_weight, name="usage_weight")
        self.condition = check_number(condition, name="condition", low=1.0)
        self.epochs = check_count(epochs, name="epochs")
        self.learning_rate = check_number(learning_rate, name="learning_rate")
        self.weight_decay = check_number(weight_decay, name="weight_decay")
        self.batch = check_count(batch, name="batch")
        self.seed = check_seed(seed)
        if self.mixing == "invertible" and self.solver == "procrustes":
            raise InputError(
                "`solver` must be 'adam' for mixing='invertible', got 'procrustes', which finds rotations. Choose "
                "mixing='whitened' for an invertible mixing in closed form."
            )
        if self.mixing == "whitened" and self.solver == "adam":
            raise InputError("`solver` must be 'procrustes' for mixing='whitened', got 'adam'. Leave solver out.")
        if self.usage_weight > 0 and self.solver == "adam":
            raise InputError("`usage_weight` must be 0 for solver='adam', got a weight. Use solver='procrustes'.")

    def options(self) -> dict[str, Any]:
        """Return the hyper-parameters, by name."""
        return {name: value for name, value in vars(self).items() if name != "seed"}

    def fit(
        self,
        model: SplitModel | nn.Module,
        images: Any,
        *,
        memory_budget: int | str = 2 * 2**30,
        batch_size: int = 32,
        workers: int = 0,
        checkpoint: str | Path | None = None,
        resume: bool = False,
        watch: Watcher | None = None,
    ) -> Bank:
        """Find the mixing and its prototypes on a set of images; no labels are needed.

        Args:
            model: from `likethat.split` or `likethat.load`; a network is split, as `likethat.split` would.
            images: a folder, arrays, tensors in [0, 1], a data set, or any `ImageSource`.
            memory_budget: bytes for feature maps, or a text such as "2GB"; past it the mixing is learned on a random
                part of the images, while prototypes are still chosen among all of them.
            batch_size: images decoded at a time; the result does not depend on it.
            workers: threads that decode; the result does not depend on it.
            checkpoint: folder to leave unfinished work in, first after 5 seconds; removed when the bank is saved.
            resume: go on from `checkpoint`.
            watch: called with a `Progress` as the work goes on.

        Raises:
            NotLinearError: the model's head is not linear in its pooled features.
            InputError: too few images, or images that cannot be told apart.
        """
        started = time.perf_counter()
        begun = begin(
            model,
            images,
            method="EPIC",
            options=self.options(),
            seed=self.seed,
            checkpoint=checkpoint,
            resume=resume,
            memory_budget=memory_budget,
            batch_size=batch_size,
            workers=workers,
            watch=watch,
        )
        model, source, features, left = begun.model, begun.source, begun.features, begun.left
        with begun.work():
            _check_enough(features, self.n_prototypes)
            found = self._find(model, features, left, watch)
            rotation = found.rotation
            prototypes, pictures = gather_prototypes(
                model, source, features, rotation, n=self.n_prototypes, watch=watch
            )
            use = usage_of(features, rotation)
            bank = Bank(
                coordinates=rotation,
                prototypes=prototypes,
                images=pictures,
                head=model.head,
                class_names=model.class_names,
                provenance=self._provenance(
                    model, features, prototypes, use.coverage, found, time.perf_counter() - started
                ),
                usage=use.per_channel,
                familiar=familiar(features.pooled),
                model=model,
            )
        return begun.finished(bank)

    def _find(self, model: SplitModel, features: Features, left: Checkpoint | None, watch: Watcher | None) -> "_Found":
        """Fit to four fifths of the images, as far as halves of them bear it out, and judge on the others."""
        head = model.head.weight.cpu()
        back = kept_back(features, torch.zeros_like(features.predicted), seed=self.seed)
        if len(back) < FEWEST:
            back = back[:0]
        slots = torch.arange(len(features.kept))
        slots = slots[~torch.isin(slots, back)]
        shrinkage = self._shrinkage(features, slots, head) if len(back) else 0.0
        if shrinkage == OWN:
            mixing = own_channels(head).matrix()
        else:
            mixing = self._solve(features, slots, head, shrinkage=shrinkage, left=left, watch=watch)
        rotation = Rotation(mixing, model.head.weight, orthogonal=self.mixing == "orthogonal")
        measures = {"held_out_images": float(len(back))}
        if len(back):
            measures |= judge(features, back, rotation).measures("held_out")
            measures |= judge(features, back, own_channels(head)).measures("own")
        return _Found(rotation=rotation, shrinkage=shrinkage, measures=measures)

    def _shrinkage(self, features: Features, slots: Tensor, head: Tensor) -> float:
        """Return how far the rotation is drawn to the network's own channels; whitened ones are another space."""
        if self.solver == "adam" or self.mixing != "orthogonal":
            return 0.0

        def solve(half: Tensor, shrinkage: float) -> Tensor:
            return self._solve(features, half, head, shrinkage=shrinkage, rounds=_ROUNDS_TO_CHOOSE)

        return choose_shrinkage(features, slots, head, solve, coverage_weight=self.usage_weight).shrinkage

    def _solve(
        self,
        features: Features,
        slots: Tensor,
        head: Tensor,
        *,
        shrinkage: float,
        rounds: int | None = None,
        left: Checkpoint | None = None,
        watch: Watcher | None = None,
    ) -> Tensor:
        schedule = (_OURS if self.schedule == "ours" else _PAPER).for_images(len(slots))
        if self.solver == "adam":
            solver = AdamSolver(
                orthogonal=self.mixing == "orthogonal",
                epochs=self.epochs,
                learning_rate=self.learning_rate,
                weight_decay=self.weight_decay,
                batch=self.batch,
                seed=self.seed,
            )
            return solver.fit(features, schedule, among=slots, checkpoint=left, watch=watch)
        return fit_procrustes(
            features,
            replace(schedule, rounds=rounds or schedule.rounds),
            among=slots,
            shrinkage=shrinkage,
            condition=self.condition if self.mixing == "whitened" else 1.0,
            head_weight=head if self.usage_weight else None,
            usage_weight=self.usage_weight,
            watch=watch,
        )

    def _provenance(
        self,
        model: SplitModel,
        features: Features,
        prototypes: Sequence[Prototype],
        coverage: float,
        found: "_Found",
        seconds: float,
    ) -> Provenance:
        n_dead = features.n_channels - len({prototype.unit for prototype in prototypes})
        positive = [item.purity for item in prototypes if item.kind == "positive"]
        shrunk = {} if found.shrinkage == OWN else {"shrinkage": found.shrinkage}
        return provenance_of(
            model,
            features,
            method="EPIC",
            options=self.options(),
            seed=self.seed,
            seconds=seconds,
            measures={
                "purity": float(np.mean(positive)) if positive else 0.0,
                "coverage_of_4": coverage,
                "dead_channels": float(n_dead),
                **shrunk,
                **found.measures,
            },
            notes=_notes(features, n_dead, self.n_prototypes),
            verdict=found.verdict,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Found:
    """A rotation, how far it was drawn to the network's own channels, and what it is worth on other images."""

    rotation: Rotation
    shrinkage: float
    measures: Mapping[str, float]

    @property
    def verdict(self) -> str:
        """One sentence where the rotation brings nothing, or nobody can know; else ""."""
        if not self.measures["held_out_images"]:
            return too_few_sentence()
        return own_kept_sentence(self.measures) if self.shrinkage == OWN else nothing_sentence(self.measures)


def _check_enough(features: Features, n_prototypes: int) -> None:
    if len(features) < n_prototypes:
        raise InputError(
            f"`images` must hold at least n_prototypes = {n_prototypes} images that can be used, got {len(features)} "
            f"({len(features.skipped)} skipped). Give more images, or lower n_prototypes."
        )
    if len(features) > 1 and float((features.means - features.means[0]).abs().max()) == 0:
        raise InputError(
            f"`images` must differ, got {len(features)} images with the same features. Give images of what the model "
            "was trained to tell apart."
        )


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

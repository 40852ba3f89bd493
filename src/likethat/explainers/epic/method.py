"""EPIC: prototypes of a pretrained network, without retraining it.

Source:
    Borycki, Trędowicz, Janusz, Tabor, Spurek, Lewicki, Struski (2026), EPIC, AAAI, arXiv 2505.12897. Written from the
    paper's equations.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from likethat._calls import public
from likethat._checkpoint import EVERY, Checkpoint
from likethat._progress import Watcher
from likethat._session import in_own_session
from likethat.explainers.epic.fit import EPICFit, Found
from likethat.explanations import Bank
from likethat.features import Features
from likethat.fitting.rotation import Schedule, fit_procrustes
from likethat.models import SplitModel
from likethat.options import EPICOptions

_SCHEDULE = Schedule(first=100, last=14, rounds=8)
"""Falling slowly, as early rounds average over many patches; five a channel, the paper's last, are learned by heart."""
_MOST_LAST = 30
"""Prototypes a channel in the last round, where a hundredth of the images is more. With 4,000 and 6,000 CIFAR photos 20
to 30 had .001 to .006 more held-out purity than 14, with 300 .004 less; 1,600 drawings, 1,200 digits: no difference."""


@in_own_session(grad=True)
@public
@dataclass(frozen=True, eq=False)
class EPIC(EPICOptions):
    """Find a mixing of a network's channels whose prototypes are pure, and the prototypes of each channel.

    The logits stay the network's own: the head takes the inverse of the mixing.

    A fifth of the images takes no part in the fit: purity, coverage and the classes a channel stands for are measured
    there, beside the network's own channels (`Provenance.measures`). How far the rotation leaves these is chosen by
    halves of the other images; where no rotation does better, the bank keeps them and says so.

    Source:
        Borycki et al. (2026), EPIC, section 3: maximise the mean purity of the current prototypes over U; prototypes
        are chosen anew as U changes, their number falling from 100 to 5.

    Differs:
        Orthogonal Procrustes in place of gradient ascent (that is `likethat.papers.EPIC`): exact for a fixed selection
        (docs/methods.md), and stops at N = 14 to 30, because five patches a channel are learned by heart; it takes the
        polar factor of M + lambda I, lambda chosen on other images, where few images speak of many channels; channels
        that the logits use count a little more (`usage_weight`). The backbone sees every image once. Contributions
        keep their sign, so they add up to the logit.

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

    def fit(
        self,
        model: SplitModel | nn.Module,
        images: Any,
        *,
        memory_budget: int | str = 2 * 2**30,
        batch_size: int = 32,
        workers: int | str = 0,
        checkpoint: str | Path | None = None,
        checkpoint_every: float = EVERY,
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
            workers: threads that decode; or ``"ray"``, ``"ray:2"``, ``"ray://host:port"``: processes, GPUs and machines
                that Ray runs (docs/guide/workers.md). The result does not depend on it, to the byte.
            checkpoint: folder to leave unfinished work in; removed when the bank is saved.
            checkpoint_every: seconds until its first piece, and between two; more where writing takes more than a
                tenth of the time.
            resume: go on from `checkpoint`.
            watch: called with a `Progress` as the work goes on.

        Raises:
            NotLinearError: the model's head is not linear in its pooled features.
            InputError: too few images, or images that cannot be told apart.
        """
        return self._fit().run(
            model,
            images,
            memory_budget=memory_budget,
            batch_size=batch_size,
            workers=workers,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
            resume=resume,
            watch=watch,
        )

    def find(self, model: SplitModel, features: Features) -> Found:
        """Find the mixing alone, from a pass that was made before: several options from one pass.

        Args:
            model: that the features are of.
            features: from `likethat.features.collect`.
        """
        return self._fit().find(model, features)

    def _fit(self) -> EPICFit:
        return EPICFit(
            method="EPIC",
            chosen=self,
            solve=self._solve,
            is_orthogonal=self.mixing == "orthogonal",
            can_shrink=self.mixing == "orthogonal",  # whitened channels are another space
            coverage_weight=self.usage_weight,
        )

    def _solve(
        self,
        features: Features,
        slots: Tensor,
        head: Tensor,
        *,
        shrinkage: float,
        rounds: int | None = None,
        checkpoint: Checkpoint | None = None,  # noqa: ARG002 (a second or two: nothing to leave)
        watch: Watcher | None = None,
    ) -> Tensor:
        last = min(max(_SCHEDULE.last, len(slots) // 100), _MOST_LAST)
        schedule = replace(_SCHEDULE, last=last, rounds=rounds or _SCHEDULE.rounds)
        return fit_procrustes(
            features,
            schedule.for_images(len(slots)),
            among=slots,
            shrinkage=shrinkage,
            condition=self.condition if self.mixing == "whitened" else 1.0,
            head_weight=head if self.usage_weight else None,
            usage_weight=self.usage_weight,
            precision=torch.float32 if rounds and shrinkage else torch.float64,  # only compared, and well-conditioned
            watch=watch,
        )

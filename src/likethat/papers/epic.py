"""EPIC as published: gradient ascent on purity, the number of prototypes falling to five."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from likethat._calls import public
from likethat._checkpoint import Checkpoint
from likethat._progress import Watcher
from likethat._session import in_own_session
from likethat.explainers.epic.fit import EPICFit
from likethat.explanations import Bank
from likethat.features import Features
from likethat.fitting.rotation import PAPER_SCHEDULE, AdamSolver
from likethat.models import SplitModel
from likethat.options import PaperEPICOptions


@in_own_session(grad=True)
@public
@dataclass(frozen=True, eq=False)
class EPIC(PaperEPICOptions):
    """Find a mixing of a network's channels by Adam; slower than `likethat.EPIC`, and less pure on unseen images.

    Source:
        Borycki et al. (2026), EPIC, section 3, with the paper's numbers.

    Differs:
        Steps on cached peak vectors (`AdamSolver`); prototypes, contributions and bank are those of `likethat.EPIC`.

    Example:
        >>> import torch, likethat as lt
        >>> from likethat import papers
        >>> images = torch.rand(40, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        >>> network = torch.nn.Sequential(
        ...     torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
        ...     torch.nn.Linear(8, 2)).eval()
        >>> model = lt.split(network, example=images[:4])
        >>> bank = papers.EPIC(n_prototypes=3, epochs=2).fit(model, images)
        >>> abs(bank.explain(images[0]).gap()) < 1e-4
        True
    """

    def fit(self, model: SplitModel | nn.Module, images: Any, **reading: Any) -> Bank:
        """Find the mixing and its prototypes on a set of images.

        Args:
            model: as `likethat.EPIC.fit` takes it.
            images: as `likethat.EPIC.fit` takes them.
            **reading: `memory_budget`, `batch_size`, `workers`, `checkpoint`, `checkpoint_every`, `resume`, `watch`.
        """
        is_orthogonal = self.mixing == "orthogonal"
        fit = EPICFit(method="EPIC as published", chosen=self, solve=self._solve, is_orthogonal=is_orthogonal)
        return fit.run(model, images, **reading)

    def _solve(
        self,
        features: Features,
        slots: Tensor,
        head: Tensor,  # noqa: ARG002 (as every `Solver`)
        *,
        checkpoint: Checkpoint | None = None,
        watch: Watcher | None = None,
        **_: Any,
    ) -> Tensor:
        return adam_of(self).fit(
            features, PAPER_SCHEDULE.for_images(len(slots)), among=slots, checkpoint=checkpoint, watch=watch
        )


def adam_of(options: PaperEPICOptions) -> AdamSolver:
    """Return the solver with these numbers."""
    return AdamSolver(
        orthogonal=options.mixing == "orthogonal",
        epochs=options.epochs,
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        batch=options.batch,
        seed=options.seed,
    )

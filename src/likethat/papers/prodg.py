"""ProDG with the paper's rotation: gradient ascent on purity, on the generator's samples."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from likethat._calls import public
from likethat._checkpoint import Checkpoint
from likethat._progress import Watcher
from likethat._session import in_own_session
from likethat.explainers import prodg
from likethat.features import Features
from likethat.fitting.rotation import PAPER_SCHEDULE
from likethat.options import PaperEPICOptions
from likethat.papers.epic import adam_of


@in_own_session(grad=True)
@public
@dataclass(frozen=True, eq=False)
class ProDG(prodg.ProDG):
    """`likethat.ProDG`, its rotation found by Adam with EPIC's numbers: slower, and no purer.

    Source:
        Borycki et al. (2026), ProDG: U by gradient ascent on generated images.

    Differs:
        As `likethat.ProDG` does, the rotation alone excepted; the paper's turns of U and prompts are in
        `benchmarks/_reference_prodg.py`.
    """

    name: ClassVar[str] = "ProDG, rotation as published"

    def find_mixing(self, features: Features, checkpoint: Checkpoint | None, watch: Watcher | None) -> Tensor:
        """Return the rotation of the channels, by Adam."""
        solver = adam_of(PaperEPICOptions(seed=self.seed))
        return solver.fit(features, PAPER_SCHEDULE.for_images(len(features.kept)), checkpoint=checkpoint, watch=watch)

"""Whether what an explanation shows is what the logit depends on: measured by taking it away."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor

from likethat._session import in_own_session
from likethat.explanations import Box, Explanation
from likethat.models import SplitModel

Fill = Literal["mean", "blur"]
"""What a window is filled with: the picture's mean colour, or the picture out of focus."""
_BLUR = 0.1  # standard deviation, as a share of the shorter side


@in_own_session
def rank_agreement(first: Sequence[float], second: Sequence[float]) -> float:
    """Return Spearman's rank correlation, 0 where one side is constant.

    1: the same order; 0: no relation; -1: the reverse.

    Example:
        >>> rank_agreement([1.0, 2.0, 3.0], [10.0, 20.0, 40.0])
        1.0
    """
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return round(float(spearmanr(first, second).statistic), 12)


@in_own_session
def window_round(
    cell: tuple[int, int], *, grid: tuple[int, int], size: tuple[int, int], share: float = 72 / 224
) -> Box:
    """Return a square round a cell's centre, a share of the image's side wide, moved inside the image."""
    (row, column), (rows, columns), (height, width) = cell, grid, size
    side = max(1, round(share * min(height, width)))
    top = min(max(round((row + 0.5) * height / rows - side / 2), 0), height - side)
    left = min(max(round((column + 0.5) * width / columns - side / 2), 0), width - side)
    return left, top, left + side, top + side


@in_own_session
def blank(
    view: Float[Tensor, "channel height width"], box: Box, *, fill: Fill = "mean"
) -> Float[Tensor, "channel height width"]:
    """Return the picture with a box filled with the picture's mean colour, or with the picture out of focus."""
    left, top, right, bottom = box
    filling = view.mean((1, 2))[:, None, None].expand_as(view) if fill == "mean" else _blurred(view)
    changed = view.clone()
    changed[:, top:bottom, left:right] = filling[:, top:bottom, left:right]
    return changed


def _blurred(view: Tensor) -> Tensor:
    """Return a Gaussian blur, edges repeated."""
    sigma = _BLUR * min(view.shape[1:])
    reach = max(1, round(3 * sigma))
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=torch.float32) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).to(view)
    padded = torch.nn.functional.pad(view[:, None], [reach] * 4, mode="replicate")
    across = torch.nn.functional.conv2d(padded, kernel[None, None, None, :])
    return torch.nn.functional.conv2d(across, kernel[None, None, :, None])[:, 0]


@dataclass(frozen=True, kw_only=True)
class Deletion:
    """What happens to the logit when the shown places are blanked.

    Attributes:
        agreement: Spearman between the rows' contributions and the drops, in [-1, 1].
        shown_drop: mean drop of the logit for a shown window.
        random_drop: mean drop for windows of the same area at random places: the baseline.
    """

    agreement: float
    shown_drop: float
    random_drop: float


@in_own_session
@torch.no_grad()
def delete_rows(
    model: SplitModel, why: Explanation, *, rng: np.random.Generator, n_random: int = 4, fill: Fill = "mean"
) -> Deletion:
    """Blank a window round each shown row's peak, and as many windows of the same area at random.

    Rankings change with what the windows are filled with: look at both fills.

    Source:
        The window is that of Huang et al. (2023), 72 of 224 pixels.
    """
    view = torch.from_numpy(why.image)
    size = (view.shape[1], view.shape[2])
    grid = (why.rows[0].heat_map.shape[0], why.rows[0].heat_map.shape[1])
    shown = [window_round(row.cell, grid=grid, size=size) for row in why.rows]
    cells = [(int(rng.integers(grid[0])), int(rng.integers(grid[1]))) for _ in range(n_random)]
    windows = [*shown, *(window_round(cell, grid=grid, size=size) for cell in cells)]
    logits = model.logits(torch.stack([view, *(blank(view, box, fill=fill) for box in windows)]))[:, why.target].cpu()
    drops: NDArray[np.float64] = (logits[0] - logits[1:]).double().numpy()
    return Deletion(
        agreement=rank_agreement([row.total for row in why.rows], list(drops[: len(shown)])),
        shown_drop=float(drops[: len(shown)].mean()),
        random_drop=float(drops[len(shown) :].mean()),
    )

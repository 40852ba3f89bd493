"""How good a heat map is: by showing and hiding pixels in its order, and by disturbing the picture a little."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from likethat._checks import check_choice, check_count
from likethat._session import in_own_session
from likethat.errors import InputError
from likethat.functional.blur import gaussian_blur
from likethat.functional.inpainting import inpainted

Replacement = Literal["mean", "blur", "noise", "inpainting"]
"""What hidden pixels show: the mean colour, the picture out of focus, noise, or what is seen around them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Curves:
    """The target's probability as pixels are shown, and as they are hidden, the most important first.

    Attributes:
        insertion: area under the first curve, in [0, 1]: 1 if the first pixels bring the class back, 0 if none does.
        deletion: area under the second: 0 if the first pixels take the class away, 1 if none does.
    """

    insertion: float
    deletion: float

    @property
    def score(self) -> float:
        """Insertion less deletion, in [-1, 1]; about 0 for a random order."""
        return self.insertion - self.deletion


@in_own_session
def replaced_by(
    image: Float[Tensor, "channel height width"],
    replacement: Replacement,
    hidden: Bool[Tensor, "n 1 height width"],
    *,
    rng: torch.Generator,
) -> Float[Tensor, "n channel height width"]:
    """Return the picture as each mask leaves it: where it is true, something else takes the pixels' place."""
    check_choice(replacement, name="replacement", choices=("mean", "blur", "noise", "inpainting"))
    if replacement == "inpainting":
        return inpainted(image, hidden.to(image))
    return torch.where(hidden, _elsewhere(image, replacement, rng), image)


def _elsewhere(image: Tensor, replacement: Replacement, rng: torch.Generator) -> Tensor:
    """Return a picture whose pixels stand for hidden ones, whichever they are."""
    if replacement == "mean":
        return image.mean(dim=(1, 2), keepdim=True).expand_as(image)
    if replacement == "noise":
        return torch.rand(image.shape, generator=rng, dtype=torch.float32).to(image)
    return gaussian_blur(image[None], 0.1 * min(image.shape[1:]), repeat_edges=True)[0]


@in_own_session
def insertion_deletion(
    predict: Callable[[Tensor], Tensor],
    image: Float[Tensor, "channel height width"],
    heat_map: Float[NDArray[np.float32], "height width"],
    target: int,
    *,
    replacement: Replacement = "mean",
    n_steps: int = 32,
    rng: torch.Generator,
) -> Curves:
    """Show and hide pixels from the largest value of the heat map to the smallest.

    Rankings of methods change with the replacement: look at several.

    Args:
        predict: images to probabilities (n, class), such as a `BlackBox`.
        image: what the heat map explains.
        heat_map: of its size.
        target: class explained.
        replacement: what hidden pixels show.
        n_steps: points of each curve.
        rng: of the noise.

    Raises:
        InputError: a heat map of another size.

    Source:
        Petsiuk, Das, Saenko (2018), RISE.
    """
    check_count(n_steps, name="n_steps")
    if tuple(heat_map.shape) != tuple(image.shape[1:]):
        raise InputError(
            f"`heat_map` must be (height, width) = {tuple(image.shape[1:])} as the image, got {tuple(heat_map.shape)}."
        )
    rank = np.empty(heat_map.size, dtype=np.int64)
    rank[np.argsort(-heat_map, axis=None, kind="stable")] = np.arange(heat_map.size)
    counts = np.linspace(0, heat_map.size, n_steps + 1).round()
    first = torch.from_numpy(rank.reshape(heat_map.shape) < counts[:, None, None])[:, None].to(image.device)
    p = predict(replaced_by(image, replacement, torch.cat([~first, first]), rng=rng))[:, target]
    shown, taken = p.cpu().double().split(n_steps + 1)
    area = [float((curve[1:] + curve[:-1]).mean() / 2) for curve in (shown, taken)]
    return Curves(insertion=area[0], deletion=area[1])


@in_own_session
def sensitivity(
    explain: Callable[[Tensor], NDArray[np.float32]],
    image: Float[Tensor, "channel height width"],
    *,
    radius: float = 0.02,
    n: int = 4,
    rng: torch.Generator,
) -> float:
    """Return how far a heat map moves, at most, when the picture is disturbed a little.

    0: not at all; 1: by its own size.

    Source:
        Yeh et al. (2019), On the (in)fidelity and sensitivity of explanations: maximum sensitivity.
    """
    before = explain(image)
    size = float(np.linalg.norm(before))
    moved = 0.0
    for _ in range(check_count(n, name="n")):
        noise = radius * (2 * torch.rand(image.shape, generator=rng, dtype=torch.float32).to(image) - 1)
        moved = max(moved, float(np.linalg.norm(explain((image + noise).clamp(0, 1)) - before)))
    return moved / size if size else 0.0

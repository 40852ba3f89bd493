"""How much two cells of a picture are expected to say the same: near ones, and more so those of one colour."""

import torch
from jaxtyping import Float
from torch import Tensor

_REACH = 0.25  # standard deviation, as a share of the shorter side, over which cells go together
_ANY = 0.25  # share that near cells have in common whatever their colours: things have more than one
_COLOUR = 0.6  # standard deviation of colour over which cells go together, in the picture's own
_LEAST = 1e-8  # of a variance of colours that is divided by: a picture of one colour has cells that are all alike


def nearness(cells: Float[Tensor, "channel row column"]) -> Float[Tensor, "cell cell"]:
    """Return a covariance of what cells say: 1 with itself, less with what is far away or has another colour.

    A thing is a region of few colours, so a map that follows them is known from fewer answers.

    Args:
        cells: mean colours.

    Source:
        Tomasi and Manduchi (1998), Bilateral filtering: nearness in place times nearness in colour. A product and a sum
        of Gaussian kernels is a kernel.

    Example:
        >>> halves = torch.tensor([[[0.0, 0.0, 1.0, 1.0]]])
        >>> [round(float(one), 2) for one in nearness(halves.expand(1, 4, 4))[5]][4:8]
        [0.61, 1.0, 0.15, 0.03]
    """
    rows, columns = cells.shape[1:]
    side = min(rows, columns)
    place = torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).float() / side
    colour = cells.flatten(1).T
    spread = colour.var(dim=0, unbiased=False).sum().clamp_min(_LEAST)
    alike = torch.exp(-_apart(colour) / (2 * _COLOUR**2 * spread))
    return torch.exp(-_apart(place) / (2 * _REACH**2)) * (_ANY + (1 - _ANY) * alike)


def _apart(points: Float[Tensor, "point axis"]) -> Float[Tensor, "point point"]:
    """Return squared distances."""
    found: Tensor = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist").square()
    return found

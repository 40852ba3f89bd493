"""Whether two small grey pictures are copies of one: what stays when brightness, place and compression differ."""

import torch
from jaxtyping import Float
from torch import Tensor

_NOISE = 4 / 255  # grey: detail of less is a compression's, which would else count as much as what is seen
_WIDE = 4  # cells a side of what is taken away as the light and shade of the whole


def coarse(sketches: Float[Tensor, "image side side"]) -> Float[Tensor, "image cell"]:
    """Return what to look copies up with: half as many cells a side, mean 0 and length 1; inner products are cosines.

    Example:
        >>> coarse(torch.tensor([[[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]] * 2])).tolist()
        [[-0.5, 0.5, -0.5, 0.5]]
    """
    cells = torch.nn.functional.avg_pool2d(sketches[:, None], 2).flatten(1)
    return torch.nn.functional.normalize(cells - cells.mean(1, keepdim=True), dim=1)


def likeness(
    sketches: Float[Tensor, "pair side side"], others: Float[Tensor, "pair side side"]
) -> Float[Tensor, " pair"]:
    """Return how much two pictures have the same detail: 1 for the same, about 0 for two of nothing in common.

    Light and shade of the whole are taken away, and each place is weighed by the detail round it, so that two dark
    shapes on two skies are not alike; the highest correlation of nine shifts by up to a cell counts.

    Args:
        sketches: in [0, 1].
        others: likewise, row by row.
    """
    first, second = _detail(sketches), _detail(others)
    side = first.shape[1]
    inner = _unit(first[:, 1:-1, 1:-1])
    shifts = [(top, left) for top in range(3) for left in range(3)]
    parts = [_unit(second[:, top : side - 2 + top, left : side - 2 + left]) for top, left in shifts]
    return torch.stack([(inner * part).sum(1) for part in parts]).amax(0)


def _detail(sketches: Tensor) -> Tensor:
    pictures = sketches[:, None]
    wide = torch.nn.functional.adaptive_avg_pool2d(pictures, _WIDE)
    detail = pictures - torch.nn.functional.interpolate(wide, size=pictures.shape[2:], mode="bilinear")
    padded = torch.nn.functional.pad(detail.square(), [2] * 4, mode="reflect")
    energy = torch.nn.functional.avg_pool2d(padded, 5, stride=1)
    return (detail / (energy + _NOISE**2).sqrt())[:, 0]


def _unit(cells: Tensor) -> Tensor:
    flat = cells.flatten(1)
    return torch.nn.functional.normalize(flat - flat.mean(1, keepdim=True), dim=1)

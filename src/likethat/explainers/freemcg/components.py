"""The change from a source to a counterfactual, cut into components that can be reverted one by one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from likethat._inputs import Inputs
from likethat.functional.blur import gaussian_blur

if TYPE_CHECKING:
    from likethat.explainers.freemcg.log import Archive

_ALIKE = 0.07  # a difference, of 1, that is hardly seen: beyond it a place counts as changed


@dataclass(frozen=True, kw_only=True, eq=False)
class Components:
    """A change in components.

    Attributes:
        sizes: how much each component adds to the distance from the source; 0 for nothing.
        compose: (n, component) in [0, 1], how much of each component stays, to n inputs.
    """

    sizes: Float[Tensor, " component"]
    compose: Callable[[Float[Tensor, "n component"]], Inputs]


def patches(size: tuple[int, int], cells: int) -> Float[Tensor, "patch height width"]:
    """Return soft square patches that add up to 1 everywhere.

    Example:
        >>> patches((4, 4), 2).sum(dim=0).unique()
        tensor([1.])
    """

    def ramps(n_pixels: int) -> Tensor:
        centres = ((torch.arange(n_pixels, dtype=torch.float32) + 0.5) * cells / n_pixels - 0.5).clamp(0, cells - 1)
        return (1 - (centres[:, None] - torch.arange(cells)).abs()).clamp_min(0)

    down, across = ramps(size[0]), ramps(size[1])
    return torch.einsum("hi,wj->ijhw", down, across).flatten(0, 1)


def image_components(
    source: Float[Tensor, "channel height width"], changed: Float[Tensor, "channel height width"], cells: int
) -> Components:
    """Cut the change of an image into soft patches; a patch taken back wholly is the source again, bit for bit."""
    parts = patches((source.shape[1], source.shape[2]), cells).to(source)
    difference = changed - source

    def compose(stay: Float[Tensor, "n component"]) -> Tensor:
        weight = torch.tensordot(stay.to(parts), parts, dims=1)[:, None]
        return torch.where(weight == 0, source, source + weight * difference).clamp(0, 1)

    return Components(sizes=(parts[:, None] * difference.abs()).mean(dim=(1, 2, 3)), compose=compose)


def revert_least_changed(
    source: Float[Tensor, "channel height width"],
    changed: Float[Tensor, "channel height width"],
    share: float,
) -> Float[Tensor, "channel height width"]:
    """Return a changed image whose least changed pixels are the source's again, bit for bit.

    Args:
        source: the image that was changed.
        changed: what it became.
        share: of the pixels, those that go back; the edge between both is soft.

    Example:
        >>> source, changed = torch.zeros(1, 8, 8), torch.zeros(1, 8, 8)
        >>> changed[0, 2:6, 2:6], changed[0, 0, 0] = 1.0, 0.01
        >>> left = revert_least_changed(source, changed, 0.5)
        >>> float(left[0, 0, 0]), float(left[0, 3, 3])
        (0.0, 1.0)
    """
    gap = (changed - source).abs().mean(dim=0)
    scale = _softness(source)
    size = gaussian_blur(gap[None, None], scale, repeat_edges=True)[0]
    least = torch.quantile(size, share)
    stays = (1 + (size - least) / (0.3 * least).clamp_min(1e-6)).clamp(0, 1)
    stays = gaussian_blur(stays[None], 2 * scale / 3, repeat_edges=True)[0]
    return torch.where(stays < 0.02, source, source + stays * (changed - source)).clamp(0, 1)


def with_details(
    source: Float[Tensor, "channel height width"],
    changed: Float[Tensor, "n channel height width"],
    *,
    rebuilt: Float[Tensor, "channel height width"] | None = None,
) -> Float[Tensor, "n channel height width"]:
    """Return changed images with the source's own details wherever they show what it shows.

    A generator rebuilds any image only about, and a denoised one is a little off everywhere: neither is a change. The
    less a place has changed, the more of the source is there again.

    Args:
        source: the image that was changed.
        changed: what it became.
        rebuilt: what the generator makes of the source when nothing is changed; what lies between the two is added to
            the images. Without it the images themselves go back to the source.

    Example:
        >>> source, rebuilt = torch.full((1, 8, 8), 0.7), torch.full((1, 8, 8), 0.5)
        >>> changed = rebuilt.clone()[None]
        >>> changed[0, 0, 3:5, 3:5] = 0.0
        >>> detailed = with_details(source, changed, rebuilt=rebuilt)[0, 0]
        >>> round(float(detailed[0, 0]), 3), round(float(detailed[3, 3]), 3)
        (0.7, 0.0)
    """
    gap = (changed - (source if rebuilt is None else rebuilt)).abs().mean(dim=1, keepdim=True)
    keep = torch.exp(-((gaussian_blur(gap, _softness(source)) / _ALIKE) ** 2))
    return (changed + keep * (source - (changed if rebuilt is None else rebuilt))).clamp(0, 1)


def _softness(source: Float[Tensor, "channel height width"]) -> float:
    """Return the width of a soft edge in pixels: an eye of a small picture is one of its pixels."""
    return max(0.7, min(source.shape[1:]) / 64)


def revert(
    archive: "Archive",
    components: Components,
    margin: float,
    *,
    target_margin: float,
    left: float = 0.0,
    share: float = 0.02,
) -> None:
    """Revert the components that the target does not need: first each alone, then the least needed together.

    Each component alone shows what margin it carries; in the order of margin lost for distance won they are reverted
    one by one, and the most that can go is found by halving. Everything asked lands in `archive`.

    Args:
        archive: what was asked.
        components: of a counterfactual that has `margin`.
        margin: of the counterfactual.
        target_margin: the margin that must stay.
        left: how much of a component stays when it is reverted.
        share: components smaller than this share of the whole change are reverted without asking about them alone.
    """
    total = float(components.sizes.sum())
    live = (components.sizes > share * total).nonzero()[:, 0]
    if not len(live):
        return
    alone = (components.sizes > 0).float().repeat(len(live), 1)
    alone[:, components.sizes <= share * total] = left
    alone[torch.arange(len(live)), live] = left
    found = archive.ask(components.compose(alone))
    if len(found) < len(live):
        return
    order = live[((margin - found) / components.sizes[live].double()).argsort()]
    stays = alone.max(dim=0).values.repeat(len(order), 1)
    for place in range(len(order)):
        stays[place:, order[place]] = left
    enough, too_many = -1, len(order)
    while too_many - enough > 1:
        middle = (enough + too_many) // 2
        asked = archive.ask(components.compose(stays[middle : middle + 1]))
        if not len(asked):
            return
        holds = float(asked[0]) >= target_margin and bool(archive.reals[-1])
        enough, too_many = (middle, too_many) if holds else (enough, middle)

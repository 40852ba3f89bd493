"""Where the cells of a map lie in the picture: seen by putting strips of another picture into it.

A network may flip, turn, transpose or roll what it is given before its map; cell (r, c) is then of another place than
pixel block (r, c). Six strips, three that divide the picture's height and three its width, change each cell by how much
of the strip it shows: of all ways in which a map may lie, one explains the changes, or none does. Where the rim of the
picture changes nothing at all the network cuts it off: the map lies in what is left, and has empty cells around it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from likethat._double import double
from likethat.errors import InputError

_STRIPS = 3  # along each side: the fewest that tell a flip from a roll
_ALIKE = 0.7
"""Correlation of the changes with those foretold, along both sides: .82 to .99 in 60 architectures with random weights,
below .7 in 99 of 100 maps whose cells were shuffled."""
_ROLLED = 0.85
"""The same of tokens that are rolled: more, for every second patch, cut off between layers and laid out anew, looks so
with .73 to .81."""
_PLAINER = 0.05  # of that correlation: the same, so that the plainer way is meant
_SEEN = 0.03
"""By how much more than elsewhere a strip must change the cells that show it: latents that no place belongs to gave .01
to .02 (Perceiver), patches .05 and more (mixers with random weights)."""

_AGAIN = 0.5  # correlation of the changes in several pictures, or of those with the plainest way, that is no chance

_SAME = 1e-3  # of the largest change of a cell: the others change by as much, which no latents of one image do

_RIM = 16  # part of a side: the rim that is looked at. Strides leave less of it unread
_UNREAD = 1e-6  # of the largest change: what rounding leaves of a change that is none
_OFF = 0.5  # cells of the map that are cut off before it, so that something is done
_LEFT = 1.0  # cells that are cut off behind it: strides that begin at the first pixel leave up to one unread
_FINER = 2  # parts of a cell's side, so that its border lies within a quarter of a cell of where it should

Axis = tuple[bool, float]  # whether it runs backwards, and by which share of its length it is rolled
Window = tuple[float, float]  # begin and end, as shares of a side
Part = tuple[int, int, int]  # axis, begin and end, in pixels
_WHOLE: Window = (0.0, 1.0)  # from one end of a side to the other
_ALL = _WHOLE, _WHOLE


@dataclass(frozen=True, kw_only=True)
class Facing:
    """How a map lies, beside the picture.

    Attributes:
        rows: how the map's rows run, as the network gives them.
        columns: how its columns do.
        is_transposed: whether its rows are the picture's columns.
        is_scattered: whether its cells follow no places: `upright` gives one cell then, their mean.
        window: begin and end, as shares of the picture's height and width, of what the network looks at.
    """

    rows: Axis = (False, 0.0)
    columns: Axis = (False, 0.0)
    is_transposed: bool = False
    is_scattered: bool = False
    window: tuple[Window, Window] = _ALL

    def upright(self, feature_map: Float[Tensor, "batch channel h w"]) -> Float[Tensor, "batch channel row column"]:
        """Return a map of the network with its cells where the picture's are."""
        if self.is_scattered:
            return feature_map.mean(dim=(2, 3), keepdim=True)
        for axis, (is_backwards, share) in ((2, self.rows), (3, self.columns)):
            feature_map = feature_map.roll(-_cells(share, feature_map, axis), axis) if share else feature_map
            feature_map = feature_map.flip(axis) if is_backwards else feature_map
        feature_map = feature_map.transpose(2, 3) if self.is_transposed else feature_map
        return self._around(feature_map)

    def _around(self, feature_map: Tensor) -> Tensor:
        """Put empty cells around what the network looks at; the mean over cells stays."""
        n_cells = feature_map[0, 0].numel()
        for axis, window in ((2, self.window[0]), (3, self.window[1])):
            if window != _WHOLE:
                inside = feature_map.repeat_interleave(_FINER, axis) / _FINER
                length = round(inside.shape[axis] / (window[1] - window[0]))
                begin = min(round(window[0] * length), length - inside.shape[axis])
                shape = [length if place == axis else n for place, n in enumerate(inside.shape)]
                where = torch.arange(begin, begin + inside.shape[axis], device=inside.device)
                feature_map = inside.new_zeros(shape).index_copy(axis, where, inside)
        return feature_map * (feature_map[0, 0].numel() / n_cells)

    def _inside(self, feature_map: Tensor) -> Tensor:
        """Take away the cells around what the network looks at: the inverse."""
        n_cells = feature_map[0, 0].numel()
        for axis, window in ((2, self.window[0]), (3, self.window[1])):
            if window != _WHOLE:
                length = feature_map.shape[axis]
                inside = _FINER * round(length * (window[1] - window[0]) / _FINER)
                begin = min(round(window[0] * length), length - inside)
                feature_map = feature_map.narrow(axis, begin, inside).unflatten(axis, (-1, _FINER)).sum(axis + 1)
        return feature_map * (feature_map[0, 0].numel() / n_cells)

    def own(self, feature_map: Float[Tensor, "batch channel row column"]) -> Float[Tensor, "batch channel h w"]:
        """Return a map as the network gives it: the inverse of `upright`."""
        feature_map = self._inside(feature_map)
        feature_map = feature_map.transpose(2, 3) if self.is_transposed else feature_map
        for axis, (is_backwards, share) in ((2, self.rows), (3, self.columns)):
            feature_map = feature_map.flip(axis) if is_backwards else feature_map
            feature_map = feature_map.roll(_cells(share, feature_map, axis), axis) if share else feature_map
        return feature_map

    @property
    def is_at_any_size(self) -> bool:
        """Whether the map lies so in images of any size: turned, and neither cut nor rolled."""
        return self.is_scattered or (self.window == _ALL and not any(share for _, (_, share) in self._sides()))

    @property
    def note(self) -> str:
        """What was done to show the map as the picture is, or ""."""
        if self in (UPRIGHT, SCATTERED):
            return ""
        words = [f"{name} back to front" for name, (is_backwards, _) in self._sides() if is_backwards]
        words += [f"{name} rolled by {share:.0%}" for name, (_, share) in self._sides() if share]
        words += ["rows for columns"] if self.is_transposed else []
        cut = [
            f"{begin:.0%} to {end:.0%} of its {name}"
            for name, (begin, end) in zip(("height", "width"), self.window, strict=True)
            if (begin, end) != _WHOLE
        ]
        seen = [f"The network looks at {' and '.join(cut)}: cells around that are empty."] if cut else []
        moved = [
            f"The network moves the picture before its map ({', '.join(words)}), as strips of another picture show; "
            "cells are put where their pixels are."
        ]
        return " ".join(seen + (moved if words else []))

    @property
    def kind(self) -> tuple[bool, ...]:
        """What is moved, but for how far."""
        return self.is_transposed, *(bool(value) for _, axis in self._sides() for value in axis)

    def _sides(self) -> tuple[tuple[str, Axis], ...]:
        return ("rows", self.rows), ("columns", self.columns)


UPRIGHT, SCATTERED = Facing(), Facing(is_scattered=True)


def _cells(share: float, feature_map: Tensor, axis: int) -> int:
    return round(share * feature_map.shape[axis])


def facings(
    maps: Callable[[Tensor], Sequence[Tensor]], first: Tensor, second: Tensor, *, of_tokens: Sequence[bool]
) -> list[Facing | None]:
    """Return how each of some maps lies; None where its cells follow no place of the picture each.

    One pass of eleven pictures where all is as it should be; two of seven where it is not, some where it is cut off.

    Args:
        maps: from images to maps (batch, channel, height, width).
        first: two images or more, as the network takes them.
        second: others.
        of_tokens: whether a map was made of tokens, which may be latents: something must show then that it lies.
    """
    size = (first.shape[2], first.shape[3])
    pairs = ((first[0], first[1]), (second[0], second[1]), (second[-1], first[0]))
    strips = _changed(maps, pairs[0], [*_strips(size), *_rims(size, [max(1, n // _RIM) for n in size for _ in "ab"])])
    seen, rims = [_shown(one[: 2 * _STRIPS]) for one in strips], [one[2 * _STRIPS :].flatten(1) for one in strips]
    windows = [
        _window(maps, number, pairs, size) if bool(_are_unread(rim, one).any()) and not _is_still(shown) else _ALL
        for number, (rim, one, shown) in enumerate(zip(rims, strips, seen, strict=True))
    ]
    clear = [_is_clear(one, size, window) for one, window in zip(seen, windows, strict=True)]
    found: list[Facing | None] = [UPRIGHT for _ in seen]
    if not all(clear):
        others = [[_shown(one) for one in _changed(maps, pair, _strips(size))] for pair in pairs[1:]]
        found = [
            _decided(torch.stack(each), size, window, is_of_tokens=is_of_tokens)
            for *each, window, is_of_tokens in zip(seen, *others, windows, of_tokens, strict=True)
        ]
    lies = [
        facing and replace(facing, window=_counted(window, facing, one))
        for facing, window, one in zip(found, windows, seen, strict=True)
    ]
    # Tokens that are left out leave pixels unread too: which ones, a rim does not say.
    return [
        None if one is not None and one.window != _ALL and is_of_tokens else one
        for one, is_of_tokens in zip(lies, of_tokens, strict=True)
    ]


def _counted(window: tuple[Window, Window], facing: Facing, seen: Tensor) -> tuple[Window, Window]:
    """Return what a network looks at, each side whole where its cells lie nearly as over all of it."""
    cells = seen.shape[:0:-1] if facing.is_transposed else seen.shape[1:]
    sides = [
        (begin, end) if begin * n_cells > _OFF * (end - begin) or (1 - end) * n_cells >= _LEFT else _WHOLE
        for (begin, end), n_cells in zip(window, cells, strict=True)
    ]
    return sides[0], sides[1]


def _strips(size: tuple[int, int]) -> list[Part]:
    """Return the strips that divide the height, and those that divide the width."""
    return [
        (axis, strip * length // _STRIPS, (strip + 1) * length // _STRIPS)
        for axis, length in enumerate(size)
        for strip in range(_STRIPS)
    ]


def _rims(size: tuple[int, int], widths: Sequence[int]) -> list[Part]:
    """Return what lies within some width of the upper, the lower, the left and the right border."""
    (height, width), (top, bottom, left, right) = size, widths
    return [(0, 0, top), (0, height - bottom, height), (1, 0, left), (1, width - right, width)]


def _changed(
    maps: Callable[[Tensor], Sequence[Tensor]], pair: tuple[Tensor, Tensor], parts: Sequence[Part]
) -> list[Float[Tensor, "part h w"]]:
    """Return by how much each cell of each map changes, squared, with each part of another image put into an image."""
    image, other = pair
    changed = image.repeat(1 + len(parts), 1, 1, 1)
    for number, (axis, begin, end) in enumerate(parts, start=1):
        changed[number].narrow(1 + axis, begin, end - begin).copy_(other.narrow(1 + axis, begin, end - begin))
    return [double(seen[1:] - seen[:1]).square().sum(1) for seen in maps(changed)]


def _shown(moved: Float[Tensor, "strip h w"]) -> Float[Tensor, "strip h w"]:
    """Return which share of the change that each strip makes lies in each cell; 0 for no change."""
    return moved / moved.sum((1, 2), keepdim=True).clamp_min(torch.finfo(moved.dtype).tiny)


def _are_unread(rims: Float[Tensor, "side change"], all_changes: Tensor) -> Tensor:
    """Return which sides change nothing, but for rounding."""
    most = all_changes.max()
    return (rims.amax(1) <= _UNREAD**2 * most) & (most > 0)  # what nothing changes says nothing of its rim


def _window(
    maps: Callable[[Tensor], Sequence[Tensor]],
    number: int,
    pairs: Sequence[tuple[Tensor, Tensor]],
    size: tuple[int, int],
) -> tuple[Window, Window]:
    """Return the part of the picture that a map looks at: beyond it no other image changes anything at all.

    Borders are found by halving, and must hold for all pairs of images.
    """
    least, most = [0, 0, 0, 0], [size[0]] * 2 + [size[1]] * 2
    while any(high - low > 1 for low, high in zip(least, most, strict=True)):
        middle = [max(1, (low + high) // 2) for low, high in zip(least, most, strict=True)]
        unread = torch.ones(4, dtype=torch.bool)
        for pair in pairs:
            changes = _changed(maps, pair, [*_rims(size, middle), (0, 0, size[0])])[number].flatten(1)
            unread &= _are_unread(changes[:4], changes).cpu()
        least = [mid if bool(one) else low for mid, low, one in zip(middle, least, unread, strict=True)]
        most = [high if bool(one) else mid for mid, high, one in zip(middle, most, unread, strict=True)]
    top, bottom, left, right = least
    if top + bottom >= size[0] or left + right >= size[1]:
        return _ALL
    return (top / size[0], 1 - bottom / size[0]), (left / size[1], 1 - right / size[1])


def _is_clear(seen: Float[Tensor, "strip h w"], size: tuple[int, int], window: tuple[Window, Window]) -> bool:
    """Whether a map lies as the picture does, or shows nothing else: fresh weights leave cells alike, or still."""
    facing, alike, change = _explained(seen, size, window)
    are_alike = bool((seen.amax((1, 2)) - seen.amin((1, 2)) <= _SAME * seen.amax((1, 2))).all())
    return are_alike or (facing == UPRIGHT and (_is_still(seen) or (alike >= _ALIKE and change >= _SEEN)))


def _is_still(seen: Float[Tensor, "strip h w"]) -> bool:
    return 2 * int(seen.any(0).sum()) < seen[0].numel()


def _decided(
    seen: Float[Tensor, "pair strip h w"],
    size: tuple[int, int],
    window: tuple[Window, Window],
    *,
    is_of_tokens: bool,
) -> Facing | None:
    """Return how a map lies, or None for one of latents, or whose cells show, again and again, other places."""
    facing, alike, change = _explained(seen.mean(0), size, window)
    each = {_explained(one, size, window)[0].kind for one in seen}  # of few cells chance alone may foretell much
    is_rolled = bool(facing.rows[1] or facing.columns[1])
    enough = _AGAIN if facing == UPRIGHT else _ROLLED if is_of_tokens and is_rolled else _ALIKE
    if change >= _SEEN and (facing == UPRIGHT or each == {facing.kind}) and alike >= enough:
        return facing
    if _is_still(seen.mean(0)):
        return UPRIGHT
    return None if is_of_tokens or _agreement(seen) >= _AGAIN else UPRIGHT


def _agreement(seen: Float[Tensor, "pair strip h w"]) -> float:
    """Return how alike what strips of the first image and of others change is: 1 where cells show the same again."""
    rows = []
    for one in (seen[0], seen[1:].mean(0)):
        shares = one / one.mean(0).clamp_min(torch.finfo(one.dtype).tiny)
        sides = shares.split(_STRIPS)
        rows.append(torch.cat([side - side.mean(0) for side in sides]).flatten())
    return float(torch.nn.functional.cosine_similarity(rows[0], rows[1], dim=0))


def _explained(
    seen: Float[Tensor, "strip h w"], size: tuple[int, int], window: tuple[Window, Window]
) -> tuple[Facing, float, float]:
    """Return the way in which a map lies that explains changes best, how well it does, and how large they are."""
    ways = []
    for is_transposed in (False, True):
        sources = (1, 0) if is_transposed else (0, 1)
        sides = [
            _side(seen, axis, source=source, length=size[source], window=window[source])
            for axis, source in enumerate(sources)
        ]
        plain = sum(side[0] for side in sides) - 2 * _PLAINER * is_transposed
        facing = Facing(rows=sides[0][1], columns=sides[1][1], is_transposed=is_transposed)
        ways.append((plain, facing, min(side[2] for side in sides), min(side[3] for side in sides)))
    return max(ways, key=lambda way: way[0])[1:]


def _side(
    seen: Float[Tensor, "strip h w"], axis: int, *, source: int, length: int, window: Window
) -> tuple[float, Axis, float, float]:
    """Return how one axis of a map runs if it shows one side of the picture: rank, way, correlation and size."""
    along = seen.sum(2 - axis)
    along = along / along.mean(0).clamp_min(torch.finfo(along.dtype).tiny)  # some cells answer to whatever changes
    along = along[source * _STRIPS : (source + 1) * _STRIPS]
    along = along - along.mean(0)
    n_cells = along.shape[1]
    if n_cells < 2:
        return 1.0, (False, 0.0), 1.0, float("inf")
    ways = []
    for is_backwards in (False, True):
        shown = _shares(n_cells, length, window).to(along)
        shown = shown.flip(1) if is_backwards else shown
        for shift in range(n_cells):
            foretold = shown.roll(shift, 1)
            common, size = float((along * foretold).sum()), float(foretold.square().sum())
            alike = common / max(float(along.norm()) * size**0.5, torch.finfo(along.dtype).tiny)
            rank = alike - _PLAINER * (is_backwards + 2 * (shift > 0))  # of two cells a roll is a flip
            ways.append((rank, (is_backwards, shift / n_cells), alike, common / size))
    return max(ways, key=lambda way: way[0])


def _shares(n_cells: int, length: int, window: Window) -> Float[Tensor, "strip cell"]:
    """Return which share of each cell each strip of whole pixels is, less the mean over strips."""
    width = (window[1] - window[0]) / n_cells
    cells = window[0] + width * torch.arange(n_cells + 1, dtype=torch.float64)
    strips = torch.arange(_STRIPS + 1, dtype=torch.float64).mul(length).div(_STRIPS).floor() / length
    ends = torch.minimum(cells[1:], strips[1:, None]) - torch.maximum(cells[:-1], strips[:-1, None])
    shares = ends.clamp_min(0) / width
    return shares - shares.mean(0)


class UprightReader:
    """Reads what another reader does, with the cells of its map where the picture's are."""

    def __init__(self, inner: Any, facing: Facing, size: tuple[int, int]) -> None:
        self.inner, self.facing, self.seen_at = inner, facing, size

    def __getattr__(self, name: str) -> Any:
        if name == "inner" or name.startswith("__"):  # a copy that is not filled yet
            raise AttributeError(name)
        return getattr(self.inner, name)

    def read(self, inputs: Tensor) -> Any:
        """Return map, pooled vector and logits of normalised views.

        Raises:
            InputError: images of another size, where what is cut off or rolled may be so many pixels, or a share.
        """
        size = (inputs.shape[2], inputs.shape[3])
        if size != self.seen_at and not self.facing.is_at_any_size:
            raise InputError(
                f"`images` must be {self.seen_at[0]} x {self.seen_at[1]} pixels, got {size[0]} x {size[1]}: this "
                "network cuts or rolls the picture, and where its map lies was seen at that size. Split it anew with "
                "images of this size: split(network, example=images)."
            )
        return self._upright(self.inner.read(inputs))

    def error(self, inputs: Tensor) -> tuple[Any, float]:
        """Return the output, and how far the reading is from it."""
        output, error = self.inner.error(inputs)
        return self._upright(output), error

    def replay(self, feature_map: Tensor, inputs: Tensor | None) -> Tensor:
        """Return the logits with the map replaced."""
        logits: Tensor = self.inner.replay(self.facing.own(feature_map), inputs)
        return logits

    def _upright(self, output: Any) -> Any:
        return replace(output, feature_map=self.facing.upright(output.feature_map))


def upright(found: Any, size: tuple[int, int]) -> Any:
    """Return a verified split, of images of a size, with the cells of its map where the picture's are."""
    if found.facing == UPRIGHT:
        return found
    reader = UprightReader(found.reader, found.facing, size)
    return replace(found, reader=reader, output=reader._upright(found.output), facing=UPRIGHT)

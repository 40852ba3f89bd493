"""The records a method returns: prototypes, the rows of an explanation, and how a bank was made."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

HALF = 0.5  # of the peak: the width by which a bump is measured
Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels of the image as the network saw it; right and bottom are exclusive."""


@dataclass(frozen=True, kw_only=True)
class Original:
    """The picture that a view was made from, which a bank does not keep.

    Attributes:
        width: in pixels.
        height: in pixels.
        frame: left, top, right and bottom of what the view shows, in pixels of the original; beyond its edges where the
            view is padded.
    """

    width: int
    height: int
    frame: tuple[float, float, float, float]

    def box_of(self, box: Box, *, width: int, height: int) -> tuple[float, float, float, float]:
        """Return a box of the view in pixels of the original, cut at its edges.

        Args:
            box: in pixels of the view.
            width: of the view.
            height: of the view.

        Example:
            >>> original = Original(width=24, height=16, frame=(8.0, 4.0, 16.0, 12.0))
            >>> original.box_of((0, 0, 2, 4), width=4, height=4)
            (8.0, 4.0, 12.0, 12.0)
        """
        left, top, right, bottom = self.frame
        x, y = (right - left) / width, (bottom - top) / height
        sides = (left + box[0] * x, top + box[1] * y, left + box[2] * x, top + box[3] * y)
        first, second, third, fourth = sides
        return (
            min(max(first, 0.0), self.width), min(max(second, 0.0), self.height),
            min(max(third, 0.0), self.width), min(max(fourth, 0.0), self.height),
        )  # fmt: skip


def region_of(activation: Float[NDArray[np.float32], "row column"], peak: float) -> str:
    """Return the cells that are at least half as strong as the peak, in few signs: rows, columns, bits in hexadecimal.

    Args:
        activation: of a unit on one image.
        peak: its value at the peak; of a low one, what lies as far below 0 counts.

    Example:
        >>> region_of(np.array([[4.0, 1.0, 2.0], [-9.0, 0.0, 3.0]]), 4.0)
        '2x3:a4'
        >>> region_of(np.array([[0.0, 0.0]]), 0.0)
        ''
    """
    if not peak:
        return ""
    rows, columns = activation.shape
    return f"{rows}x{columns}:{np.packbits(activation / peak >= HALF).tobytes().hex()}"


@dataclass(frozen=True, kw_only=True)
class Prototype:
    """An image that shows what one channel (or part) of a model responds to.

    Attributes:
        unit: index of the channel or part within its bank.
        rank: 0 is the strongest of its kind.
        kind: ``"positive"`` for the highest activations, ``"negative"`` for the lowest.
        source: where the image came from (a path below the folder, ``"image 17"``, a prompt).
        index: the item's number in its source; -1 for a generated image.
        image: key of the picture in ``bank.images``.
        cell: row and column of the peak on the feature map.
        box: the peak's place in the picture, in pixels.
        activation: mean over the feature map of the channel's values (the sum of EPIC over the cell count).
        peak: the channel's value at the peak cell.
        purity: cosine between the feature vector at the peak and the channel's axis, in [-1, 1].
        label: the model's class index that the data gives, where it gives one that the model has.
        predicted: class index the model gives.
        true_part: name of the drawn part under the box, where the truth is known.
        label_name: what the data calls that class, or one that the model has not.
        original: the picture that was read; None for a generated image, and in banks of likethat before 0.2.
        region: cells where the unit is at least half as strong as at the peak, see `region_of`; "" in older banks.
    """

    unit: int
    rank: int
    kind: Literal["positive", "negative"]
    source: str
    index: int
    image: str
    cell: tuple[int, int]
    box: Box
    activation: float
    peak: float
    purity: float
    label: int | None = None
    predicted: int | None = None
    true_part: str | None = None
    label_name: str | None = None
    original: Original | None = None
    region: str = ""

    def cells(self) -> NDArray[np.bool_]:
        """Return the region as (row, column); nothing where it is not known."""
        grid, _, digits = self.region.partition(":")
        rows, _, columns = grid.partition("x")
        if not digits:
            return np.zeros((0, 0), dtype=np.bool_)
        size = int(rows) * int(columns)
        return np.unpackbits(np.frombuffer(bytes.fromhex(digits), np.uint8))[:size].astype(bool).reshape(int(rows), -1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Contribution:
    """One row of an explanation: what one channel or part supplies to the logit, and where.

    Attributes:
        unit: index of the channel or part within its bank.
        name: what to call it in a report, e.g. ``"channel 17"`` or ``"beak"``.
        contribution: what it supplies to the logit from places in the image, signed.
        unlocated: what it supplies from outside the feature map (a class token); 0 for additive models.
        activation: mean of its activation map on this image.
        purity: cosine at the peak cell of this image, in [-1, 1].
        cell: row and column of the peak on the feature map; where the activation is negative and the unit has
            prototypes of the lowest activations, of the lowest cell.
        box: the peak's place in the image, in pixels.
        heat_map: (row, column) share of each cell in `contribution`, signed; they sum to it.
        activation_map: (row, column) the unit's activation at each cell: where it is active, also where the head does
            not read the feature map and `heat_map` is 0.
        prototypes: what the unit looks for, strongest first; where the activation is negative, those of the lowest.
        true_part: name of the drawn part under the box, where the truth is known.
    """

    unit: int
    name: str
    contribution: float
    unlocated: float
    activation: float
    purity: float
    cell: tuple[int, int]
    box: Box
    heat_map: Float[NDArray[np.float32], "row column"] = field(repr=False)
    activation_map: Float[NDArray[np.float32], "row column"] = field(repr=False)
    prototypes: tuple[Prototype, ...] = field(repr=False)
    true_part: str | None = None

    @property
    def is_low(self) -> bool:
        """Whether it supplies by a negative activation: peak and prototypes are those of the lowest then."""
        return bool(self.prototypes) and self.prototypes[0].kind == "negative"

    @property
    def total(self) -> float:
        """All the unit supplies to the logit: `contribution` + `unlocated`."""
        return self.contribution + self.unlocated


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """How a bank was made: all that is needed to make it again, or to refuse the wrong model.

    Attributes:
        method: ``"EPIC"``, ``"PartPrototypes"``, ...
        options: the method's hyper-parameters.
        seed: the seed.
        fingerprint: of the model (its weights and split), hexadecimal.
        model: the model's printable name.
        n_images: how many images took part.
        skipped: (name, reason) of items that were left out.
        versions: of likethat, torch and python.
        created: ISO 8601 time, UTC.
        seconds: wall time of the fit.
        measures: what was measured while fitting, e.g. ``{"purity": 0.27}``.
        notes: sentences a reader of the report should see.
        data: what the images were like: counts, sizes, bands, brightness, duplicates, labels; see `likethat.features`.
        warning: a sentence where the model's accuracy on the labels says that something is wrong, and one where the
            method brings nothing on images that it was not fitted to, or they are too few to know; else "".
        is_made: whether a generator made all images, so that none was opened.
        unit: what a unit of the bank is called: ``"channel"`` or ``"part"``.
        weights: the file that the model's weights were read from, or "" where its name stands for them.
    """

    method: str
    options: Mapping[str, Any]
    seed: int
    fingerprint: str
    model: str
    n_images: int
    skipped: tuple[tuple[str, str], ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    created: str = ""
    seconds: float = 0.0
    measures: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    warning: str = ""
    is_made: bool = False
    unit: str = "channel"
    weights: str = ""

    @property
    def agreement(self) -> str:
        """How far claims of places agree with what filling them costs, in one sentence; "" where nothing is held.

        Measured where contributions hold for one image alone: `measures` has the figures.
        """
        found = self.measures
        if "agreement_rank" not in found:
            few = "How far that is was not measured: too few images were kept back for it."
            return few if "agreement_images" in found else ""
        images = "samples" if self.is_made else "images that were not fitted to"
        return (
            f"Measured on {found['agreement_images']:.0f} {images}: filling a boxed cell with the picture's mean "
            f"colour lowers the logit by {found['boxed_falls']:.3g} where the cell claims {found['boxed_claims']:.3g}, "
            f"a cell elsewhere by {found['elsewhere_falls']:.3g} where it claims {found['elsewhere_claims']:.3g}; "
            f"ranks of claims and falls agree by {found['agreement_rank']:.2f} ± {found['agreement_rank_error']:.2f} "
            "(1: the same order, 0: no relation)."
        )

"""What one pass over the images leaves behind."""

from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float, Int, UInt8
from torch import Tensor

from likethat._vectors import rows_of
from likethat.sources.base import Skipped


@dataclass(kw_only=True, eq=False)
class Features:
    """Cached features of a source's images.

    Attributes:
        means: (image, channel) mean of the feature map over its cells: all that selection needs, under any mixing.
        pooled: (image, channel) what the head reads; the same tensor as `means` when the model is additive.
        predicted: (image,) class the model gives.
        labels: (image,) the model's class that the source gives, matched by name; -1 where it gives none.
        label_names: what the source calls the class it gives, None where it does not say.
        indices: (image,) the item's number in its source.
        names: the item's name in its source.
        kept: (map,) rows of the images whose maps are held, ascending.
        maps: (map, channel, cell) their feature maps, cells row by row.
        views: (map, colour, height, width) the same images as the network saw them, 8 bit.
        grid: rows and columns of the feature map.
        skipped: items that were left out.
        seconds: of the pass; `backbone_seconds` of it inside the network.
        notes: sentences for the report.
        data: what the images are like (see `likethat.features.data`), plain values for JSON.
        remarks: sentences on the images and their labels.
        warning: that of them which says what is likely wrong with the labels or the preprocessing, or "".
        is_made: whether a generator made them (`likethat.Generated`): no image was opened.
        facts: (image, 9) as `Rows` has them: channels, height and width as they came, then what `FACTS` names.
        sketches: (image, SKETCH * SKETCH) 8 bit, small and grey; None where the pass was not asked for them.
    """

    means: Float[Tensor, "image channel"]
    pooled: Float[Tensor, "image channel"]
    predicted: Int[Tensor, " image"]
    labels: Int[Tensor, " image"]
    indices: Int[Tensor, " image"]
    names: list[str]
    kept: Int[Tensor, " map"]
    maps: Float[Tensor, "map channel cell"]
    views: UInt8[Tensor, "map colour height width"]
    grid: tuple[int, int]
    skipped: list[Skipped] = field(default_factory=list)
    seconds: float = 0.0
    backbone_seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    label_names: list[str | None] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    warning: str = ""
    is_made: bool = False
    facts: Float[Tensor, "image 9"] | None = None
    sketches: UInt8[Tensor, "image cell"] | None = None

    def __len__(self) -> int:
        """Return the number of images that took part."""
        return len(self.names)

    @property
    def n_channels(self) -> int:
        """The number of channels."""
        return self.means.shape[1]

    @property
    def is_complete(self) -> bool:
        """Whether every image's map is held."""
        return len(self.kept) == len(self)

    @property
    def kept_means(self) -> Float[Tensor, "map channel"]:
        """Rows of `means` for the held maps."""
        return self.means if self.is_complete else rows_of(self.means, self.kept)

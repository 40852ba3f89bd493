"""What a bank's manifest and rows must be, whoever wrote them."""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from likethat._documents import Damaged, digest_of, parse_json, typed
from likethat.coordinates import Rotation, SuperclassParts, Units
from likethat.explanations.records import Box, Original, Prototype, Provenance
from likethat.models import Head
from likethat.models.settings import Settings

_MOST_PIXELS = 2**24  # of a box's edge; beyond, numbers of a picture are no longer exact in float32
_LONGEST_VERSION = 40  # characters; longer, and it is none
_ORTHOGONAL = 1e-2
"""How far a rotation may change the length of a vector, relative; fits end below 1e-5."""


class TooNew(Exception):  # noqa: N818 - tells one refusal from another
    """The schema version, which is newer than this library, and who wrote it where that is said."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The first file of a bank.

    Attributes:
        schema_version: of the folder.
        coordinates: ``"rotation"``, ``"mixing"``, ``"parts"``, ``"superclasses"`` or ``"regions"``.
        class_names: of the model.
        provenance: how the bank was made.
        n_images: how many pictures were saved.
        sha256: of the other files, by name.
        library: that wrote it.
        unit_names: of parts.
        digest: of the manifest itself; None in a bank that an earlier likethat wrote.
        is_intact: whether the manifest has that digest.
        settings: how the model was split; None in banks of an earlier version.
        named: names that people gave units, by number; None where they gave none.
    """

    schema_version: int
    coordinates: str
    class_names: list[str]
    provenance: Provenance
    n_images: int
    sha256: dict[str, str]
    library: Literal["likethat"] = "likethat"
    unit_names: list[str] | None = None
    digest: str | None = None
    is_intact: bool = True
    settings: Settings | None = None
    named: dict[str, str] | None = None


def read_manifest(data: bytes, *, newest: int) -> Manifest:
    """Return a manifest.

    Raises:
        Damaged: no JSON, or a value is missing or of another type.
        TooNew: of a schema beyond `newest`.
    """
    document = parse_json(data, nan=True)  # what was measured may be NaN: "not measured"
    version = document.get("schema_version") if isinstance(document, dict) else None
    if isinstance(version, int) and version > newest:
        raise TooNew(f"{version}{_writer_of(document)}")
    if isinstance(version, int) and version < 1:
        raise Damaged(f"has the schema version {version}")
    manifest = typed(document, Manifest)
    has_digest = manifest.digest is not None or any(
        "/" in name for name in manifest.sha256
    )  # as has one with pictures'
    is_intact = not has_digest or digest_of(document) == manifest.digest
    return replace(manifest, is_intact=is_intact, provenance=_completed(manifest, document["provenance"]))


def _completed(manifest: Manifest, written: Mapping[str, Any]) -> Provenance:
    """Fill in what banks before 0.2 do not say of themselves; there, the method's name told it."""
    about = manifest.provenance
    if "is_made" not in written:
        about = replace(about, is_made=about.method == "ProDG")
    return about if "unit" in written else replace(about, unit="part" if manifest.coordinates == "parts" else "channel")


def _writer_of(document: Mapping[str, Any]) -> str:
    """Return " (written by likethat X)" where a manifest of any schema says so in the usual place."""
    about = document.get("provenance")
    versions = about.get("versions") if isinstance(about, dict) else None
    writer = versions.get("likethat") if isinstance(versions, dict) else None
    is_version = isinstance(writer, str) and writer.isprintable() and 0 < len(writer) <= _LONGEST_VERSION
    return f" (written by likethat {writer})" if is_version else ""


def read_prototypes(rows: bytes, n_units: int, n_classes: int, images: Collection[str]) -> list[Prototype]:
    """Return the prototypes, one a line of JSON.

    Raises:
        Damaged: a row that does not fit its bank; its number is named.
    """
    found = []
    for number, line in enumerate(rows.split(b"\n")):
        if not line.strip():
            continue
        try:
            row = typed(parse_json(line), Prototype)
            check_prototype(row, n_units, n_classes, images)
            found.append(row)
        except Damaged as error:
            raise Damaged(f"row {number + 1} of its prototypes {error}") from error
    return found


def check_prototype(row: Prototype, n_units: int, n_classes: int, images: Collection[str]) -> None:
    """Raise `Damaged` where a prototype is none of a bank with so many units and classes, and these pictures."""
    check_place(row.cell, row.box)
    for holds, what in (
        (0 <= row.unit < n_units, f"has the unit {row.unit}, of {n_units}"),
        (row.rank >= 0, f"has the rank {row.rank}"),
        (row.index >= -1, f"has the index {row.index}"),
        (row.image in images, f"names the picture {row.image[:60]!r}, which is not there"),
        (all(map(math.isfinite, (row.activation, row.peak, row.purity))), "holds a number that is not finite"),
        (abs(row.purity) <= 1 + 1e-3, f"has the purity {row.purity}, which lies in [-1, 1]"),
        (row.label is None or row.label >= 0, f"has the label {row.label}"),
        (_is_region(row.region, row.cell), f"has the region {row.region[:60]!r}"),
        (_is_whole(row.original), f"has the original {row.original}"),
        (row.predicted is None or 0 <= row.predicted < n_classes, f"has the class {row.predicted}, of {n_classes}"),
    ):
        if not holds:
            raise Damaged(what)


def _is_region(text: str, cell: tuple[int, int]) -> bool:
    """Return whether a region has a bit a cell, and holds the peak."""
    if not text:
        return True
    found = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,3}):((?:[0-9a-f]{2})+)", text)
    if found is None:
        return False
    rows, columns, digits = int(found[1]), int(found[2]), found[3]
    return len(digits) == 2 * math.ceil(rows * columns / 8) and cell[0] < rows and cell[1] < columns


def _is_whole(original: Original | None) -> bool:
    """Return whether an original has a size, and a frame that shows some of it."""
    if original is None:
        return True
    left, top, right, bottom = original.frame
    sizes = 0 < original.width <= _MOST_PIXELS and 0 < original.height <= _MOST_PIXELS
    return sizes and math.isfinite(sum(original.frame)) and left < right and top < bottom


def check_place(cell: tuple[int, int], box: Box) -> None:
    """Raise `Damaged` where a cell or a box lies in no picture."""
    left, top, right, bottom = box
    if min(cell) < 0:
        raise Damaged(f"has the cell {cell}")
    if not (0 <= left < right <= _MOST_PIXELS and 0 <= top < bottom <= _MOST_PIXELS):
        raise Damaged(f"has the box {box}")


def check_fit(coordinates: Units, head: Head, usage: NDArray[Any], class_names: Sequence[str]) -> None:
    """Check that the tensors of a bank are of one model.

    Raises:
        Damaged: shapes or types that do not fit each other, or a rotation that is none.
    """
    n_classes, n_channels = head.weight.shape
    for holds, what in (
        (n_classes > 0 and n_channels > 0, "its head is empty"),
        (head.weight.is_floating_point() and head.bias.is_floating_point(), "its head holds whole numbers"),
        (head.bias.shape == (n_classes,), f"its bias is {tuple(head.bias.shape)}, not ({n_classes},)"),
        (len(class_names) == n_classes, f"it has {len(class_names)} class names for {n_classes} classes"),
        (usage.shape == (coordinates.n_units,), f"its usage is {usage.shape}, not ({coordinates.n_units},)"),
        (usage.dtype == np.float32, f"its usage holds {usage.dtype}"),
        (
            not isinstance(coordinates, SuperclassParts) or len(coordinates.class_groups) == n_classes,
            "its superclasses are of other classes",
        ),
    ):
        if not holds:
            raise Damaged(what)
    if isinstance(coordinates, Rotation):
        _check_mixing(coordinates)


def _check_mixing(coordinates: Rotation) -> None:
    """Check one direction: a rotation keeps its length, another mixing can be undone."""
    matrix = coordinates.matrix().double()
    direction = torch.linspace(-1, 1, len(matrix), dtype=torch.float64) + 0.5
    back = matrix.T @ (matrix @ direction) if coordinates.orthogonal else coordinates.inverse() @ (matrix @ direction)
    if not float((back - direction).norm()) <= _ORTHOGONAL * float(direction.norm()):
        raise Damaged("its mixing cannot be undone" if not coordinates.orthogonal else "its mixing is no rotation")

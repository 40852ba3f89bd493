"""What the images of a pass are like: sizes, bands, brightness, duplicates, and how many there are."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from likethat.features.rows import Rows
from likethat.sources.base import Skipped

_DARK = 0.25  # the brightest value of 14-bit data in 16 bits; what is darker yet wastes at least two bits
_FLAT = 1e-6  # contrast of one colour in every channel, resized: rounding is a tenth of it
_LISTED = 5  # duplicates that are named


def describe(rows: Rows, skipped: Sequence[Skipped], *, n_channels: int, view: tuple[int, int]) -> dict[str, Any]:
    """Return what the images are like, as plain values that JSON keeps.

    Args:
        rows: of all images that took part.
        skipped: items that did not.
        n_channels: of the feature map.
        view: height and width of what the network sees.
    """
    sizes = Counter((int(width), int(height)) for _, height, width in rows.facts[:, :3].tolist())
    by_area = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    low, high, mean, contrast = rows.facts[:, 3:7].double().unbind(1)
    copies = _copies(rows)
    return {
        "images": len(rows.names) + len(skipped),
        "used": len(rows.names),
        "not_used": dict(Counter(item.reason for item in skipped).most_common(20)),
        "sizes": {"smallest": list(by_area[0]), "largest": list(by_area[-1]), "different": len(sizes)},
        "seen_at": [view[1], view[0]],
        "enlarged": sum(n for (width, height), n in sizes.items() if width < view[1] and height < view[0]),
        "bands": {str(int(bands)): n for bands, n in sorted(Counter(rows.facts[:, 0].tolist()).items())},
        "brightness": {
            "lowest": _rounded(low.min()),
            "highest": _rounded(high.max()),
            "mean": _rounded(mean.mean()),
            "flat": int((contrast <= _FLAT).sum()),
        },
        "duplicates": {
            "images": sum(len(group) - 1 for group in copies),
            "under_several_labels": sum(len({_label(rows, row) for row in group}) > 1 for group in copies),
            "first": [[rows.names[row] for row in group[:3]] for group in copies[:_LISTED]],
        },
        "channels": n_channels,
    }


def _copies(rows: Rows) -> list[list[int]]:
    """Return groups of images whose pixels are the same, as the network sees them."""
    groups: dict[int, list[int]] = {}
    for row, digest in enumerate(rows.digests.tolist()):
        groups.setdefault(digest, []).append(row)
    return [group for group in groups.values() if len(group) > 1]


def _label(rows: Rows, row: int) -> str | int:
    name = rows.label_names[row]
    return int(rows.labels[row]) if name is None else name


def _rounded(value: Any) -> float:
    return round(float(value), 4)


def remarks(data: dict[str, Any]) -> list[str]:
    """Return sentences on what of the images a reader should know before trusting a fit.

    Args:
        data: from `describe`.
    """
    used, channels, notes = data["used"], data["channels"], []
    if used < channels:
        few = f"There are fewer images ({used:,}) than channels ({channels:,}): what is learned of the channels is"
        notes.append(f"{few} partly learned by heart. Give more images.")
    bright = data["brightness"]
    if bright["highest"] <= _DARK:
        notes.append(
            f"The images are dark: their brightest value is {bright['highest']:.3g} of full scale, as where 10- or "
            "12-bit values lie in 16 bits. Divide them by their own full scale."
        )
    if bright["flat"]:
        notes.append(f"{_are(bright['flat'])} of one flat colour.")
    if data["duplicates"]["images"]:
        notes.append(_on_copies(**data["duplicates"]))
    return notes


def _on_copies(*, images: int, under_several_labels: int, first: list[list[str]]) -> str:
    what = "a copy" if images == 1 else "copies"
    sentence = f"{_are(images)} {what} of another, pixel for pixel, as {' = '.join(first[0])}."
    if not under_several_labels:
        return sentence
    lie = "picture lies" if under_several_labels == 1 else "pictures lie"
    return f"{sentence} {under_several_labels:,} {lie} in several classes."


def _are(n: int) -> str:
    return f"{n:,} image is" if n == 1 else f"{n:,} images are"

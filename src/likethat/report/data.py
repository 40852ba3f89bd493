"""What the images of a fit were like, in words: for the page and the console."""

from collections.abc import Mapping
from typing import Any


def data_rows(data: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return (what, how it is) of a bank's data report; empty for banks that have none.

    Args:
        data: `Provenance.data`. What is not there, or is of another kind, is left out: the file may be anybody's.
    """
    rows = []
    for name, said in _ROWS:
        try:
            value = said(data)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError):
            continue
        if value:
            rows.append((name, value))
    return tuple(rows)


def _used(data: Mapping[str, Any]) -> str:
    images, used, channels = int(data["images"]), int(data["used"]), int(data["channels"])
    among = f" of {images:,}" if images != used else ""
    return f"{used:,}{among}, for {channels:,} channels"


def _not_used(data: Mapping[str, Any]) -> str:
    return "; ".join(f"{int(n):,} × {reason}" for reason, n in list(data["not_used"].items())[:5])


def _sizes(data: Mapping[str, Any]) -> str:
    sizes, seen = data["sizes"], _size(data["seen_at"])
    smallest, largest = _size(sizes["smallest"]), _size(sizes["largest"])
    span = smallest if smallest == largest else f"{smallest} to {largest}"
    enlarged = int(data["enlarged"])
    more = f" ({enlarged:,} enlarged)" if enlarged else ""
    return f"{span} pixels, seen at {seen}{more}"


def _size(size: Any) -> str:
    return f"{int(size[0])} × {int(size[1])}"


def _bands(data: Mapping[str, Any]) -> str:
    names = {"1": "grey", "3": "colour"}
    counts = data["bands"].items()
    return ", ".join(f"{int(n):,} {names.get(bands, f'with {int(bands)} bands')}" for bands, n in counts)


def _brightness(data: Mapping[str, Any]) -> str:
    bright = data["brightness"]
    flat = f", {int(bright['flat']):,} of one flat colour" if bright["flat"] else ""
    return f"{bright['lowest']:.2f} to {bright['highest']:.2f} of full scale, mean {bright['mean']:.2f}{flat}"


def _reading(data: Mapping[str, Any]) -> str:
    said = data["reading"]
    rows = [f"{said['white']:g} is white"] if "white" in said else []
    if "background" in said:
        behind = said["background"]
        rows.append(
            "four channels kept"
            if behind is None
            else "transparent pictures on "
            + "#{:02x}{:02x}{:02x}".format(*(round(255 * float(part)) for part in behind))
        )
    return ", ".join(rows)


def _duplicates(data: Mapping[str, Any]) -> str:
    copies = data["duplicates"]
    under = int(copies["under_several_labels"])
    return f"{int(copies['images']):,}{f', {under:,} of them in several classes' if under else ''}"


def _labels(data: Mapping[str, Any]) -> str:
    labels = data["labels"]
    if not labels:
        return "none"
    by = "by name" if labels["by"] == "name" else "by number"
    return (
        f"{int(labels['matched']):,} of {int(labels['given']):,} are classes of the model, {by} "
        f"({int(labels['classes']):,} of its {int(labels['of']):,} classes)"
    )


def _renamed(data: Mapping[str, Any]) -> str:
    pairs = list(data["labels"]["renamed"].items())
    listed = ", ".join(f"{name} is {ours}" for name, ours in pairs[:5])
    return f"{listed}{f' and {len(pairs) - 5:,} more' if len(pairs) > 5 else ''}"


def _unmatched(data: Mapping[str, Any]) -> str:
    pairs = list(data["labels"]["unmatched"].items())
    listed = ", ".join(f"{name} ({int(n):,})" for name, n in pairs[:5])
    return f"{listed}{f' and {len(pairs) - 5:,} more' if len(pairs) > 5 else ''}"


def _accuracy(data: Mapping[str, Any]) -> str:
    labels = data["labels"]
    share, matched = float(labels["accuracy"]), int(labels["matched"])
    return f"{100 * share:.1f} % ({round(share * matched):,} of {matched:,})"


_ROWS = (
    ("Images", _used),
    ("Not used", _not_used),
    ("Sizes", _sizes),
    ("Bands", _bands),
    ("Brightness", _brightness),
    ("Read with", _reading),
    ("Duplicates", _duplicates),
    ("Labels", _labels),
    ("Called otherwise", _renamed),
    ("No class of the model", _unmatched),
    ("Accuracy on them", _accuracy),
)

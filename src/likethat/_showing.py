"""How a result becomes a page or a figure: results know this port, and the report is plugged into it.

So results need not know the report, which knows them: `likethat` plugs it when it is imported.
"""

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol

from likethat._cells import csv_of
from likethat._files import try_file, write_whole
from likethat._options import check_path
from likethat.errors import InputError

_PAGES, _FIGURES = (".html", ".htm"), (".png", ".svg", ".pdf")
_FILES = re.compile(
    r"\.(jsonl|tsv|parquet|txt|md|xlsx|zip|npz|npy|pt|pkl|safetensors|jpe?g|gif|webp|tiff?)", re.IGNORECASE
)
"""Ends of names that mean a file of a kind which is not written: a folder of that name would surprise."""


class Reporter(Protocol):
    """What draws results."""

    def save_page(self, result: Any, path: Path, *, overwrite: bool = False) -> Path:
        """Write a result as one self-contained HTML file."""
        ...

    def figure(self, result: Any) -> Any:
        """Draw a result as a matplotlib figure."""
        ...


_plugged: list[Callable[[], Reporter]] = []


def plug(reporter: Callable[[], Reporter]) -> None:
    """Say who draws results; called when the first is drawn, so that importing stays quick."""
    _plugged[:] = [reporter]


def figure_of(result: Any) -> Any:
    """Return a result as a matplotlib figure, which a notebook shows without ``%matplotlib inline`` too."""
    figure = _plugged[0]().figure(result)
    figure._repr_png_ = lambda: _drawn(figure, "png")
    return figure


def save(
    result: Any, path: str | Path, *, overwrite: bool = False, folder: Callable[[Path], Path] | None = None
) -> Path:
    """Write a result as what the end of the path's name says, and return the path.

    Args:
        result: what is written.
        path: ``.html`` gives its page; ``.png``, ``.svg`` and ``.pdf`` its figure; ``.json`` its plain
            values; ``.csv`` its table; ``.coco.json`` the boxes of a bank; all else a folder.
        overwrite: whether another file than one that likethat wrote, and nobody changed, may be replaced.
        folder: writes the folder; None for results that have none.

    Raises:
        InputError: the name ends in what the result cannot be, or something else stands there.
        StorageError: the disk did not take it; nothing is left behind.
    """
    path = check_path(path)
    kind = kind_of(path)
    if kind == "page":
        return _plugged[0]().save_page(result, path, overwrite=overwrite)
    if kind == "file":
        if path.suffix.lower() in _FIGURES:
            try_file(path, overwrite=overwrite)  # drawing takes a second
        return write_whole(path, _data_of(result, path), overwrite=overwrite)
    if folder is None or kind == "unknown":
        also = "" if folder is None else ", or a folder's name without an ending"
        raise InputError(
            f"`path` must end in .html for a page, in .png, .svg or .pdf for a figure, in .json or .csv for numbers"
            f"{also}, got {path.name!r}. Choose one of them."
        )
    return folder(path)


def kind_of(path: Path) -> Literal["page", "file", "folder", "unknown"]:
    """Return what `save` writes under a name: a page, another file, a folder, or a file that it does not know.

    Example:
        >>> kind_of(Path("why.html")), kind_of(Path("why.json")), kind_of(Path("bank")), kind_of(Path("bank.zip"))
        ('page', 'file', 'folder', 'unknown')
    """
    suffix = path.suffix.lower()
    if suffix in _PAGES:
        return "page"
    if suffix in (*_FIGURES, ".json", ".csv"):
        return "file"
    return "unknown" if _FILES.fullmatch(suffix) else "folder"


def _data_of(result: Any, path: Path) -> bytes:
    """Return a result as the file of numbers or the figure that a name asks for."""
    suffix = path.suffix.lower()
    if suffix in _FIGURES:
        return _drawn(figure_of(result), suffix[1:])
    if suffix == ".csv":
        return csv_of(result.to_frame()).encode("utf-8", "surrogatepass")
    if path.name.lower().endswith(".coco.json"):
        return json.dumps(_coco_of(result, path)).encode()
    return json.dumps(result.to_dict(), indent=1, allow_nan=False).encode()


def _coco_of(result: Any, path: Path) -> dict[str, Any]:
    if not hasattr(result, "to_coco"):
        raise InputError(
            f"`path` must end in something else than .coco.json, got {path.name!r}: boxes on pictures that were kept "
            f"are in a bank, not in a result of the kind {type(result).__name__}. Save it as .json."
        )
    document: dict[str, Any] = result.to_coco()
    return document


def _drawn(figure: Any, kind: str) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, bbox_inches="tight")
    return buffer.getvalue()

"""Write explanations and banks as pages that need no network, no script and no other file."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from likethat._checks import check_count
from likethat._files import write_whole
from likethat._options import check_flag
from likethat.errors import InputError
from likethat.explanations.explanation import Explanation
from likethat.report.bank_page import BankLike, bank_view
from likethat.report.explanation_page import explanation_view
from likethat.report.pixels import LEAST_CLOSE_UP
from likethat.report.sheet import PictureSheet
from likethat.report.text import clean, shorten

_PROTOTYPE_LIMIT = 320  # pixels a side: close-ups are cut from it
_GALLERY_LIMIT = 176  # pixels a side of all pictures, for a hundred explanations on a page: below 20 MB
_THUMBNAIL_LIMIT = 128  # pixels a side, for thousands of prototypes on a page


def save_explanation(explanation: Explanation, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write an explanation as one self-contained HTML file and return its path.

    Args:
        explanation: what is shown.
        path: where the file goes.
        overwrite: replace any file of that name, not only one that likethat wrote.

    Raises:
        InputError: a file stands there that likethat did not write, or that was changed since.
        StorageError: the disk did not take it; nothing is left behind.
    """
    sheet = PictureSheet(_PROTOTYPE_LIMIT)
    view = explanation_view(explanation, sheet)
    return Page("explanation.html.jinja", sheet, {"title": view.headline, "view": view}).write(
        path, overwrite=overwrite
    )


def save_gallery(
    items: Iterable[Explanation], path: str | Path, title: str = "This looks like that", *, overwrite: bool = False
) -> Path:
    """Write several explanations on one page and return its path.

    Args:
        items: explanations, in the order shown.
        path: where the file goes.
        title: of the page.
        overwrite: replace any file of that name, not only one that likethat wrote.

    Raises:
        InputError: there is no explanation, or a file stands there that likethat did not write, or that was changed.
        StorageError: the disk did not take it; nothing is left behind.
    """
    explanations = list(items)
    if not explanations:
        raise InputError("`items` must hold one explanation or more, got none. Make one with bank.explain(image).")
    sheet = PictureSheet(_GALLERY_LIMIT, own=_GALLERY_LIMIT)
    views = [explanation_view(item, sheet) for item in explanations]
    one_bank = all(item.provenance == explanations[0].provenance for item in explanations)
    shown = {"title": shorten(title, 120), "views": views, "one_bank": one_bank}
    return Page("gallery.html.jinja", sheet, shown).write(path, overwrite=overwrite)


def save_bank(bank: BankLike, path: str | Path, *, limit: int = 60, overwrite: bool = False) -> Path:
    """Write a bank's prototypes as one self-contained HTML file and return its path.

    Args:
        bank: what is shown.
        path: where the file goes.
        limit: how many units are shown in full at most, the most used first. The others have a line each, with small
            pictures, and all are listed by class: a page of a thousand units of photographs stays below 5 MB.
        overwrite: replace any file of that name, not only one that likethat wrote.

    Raises:
        InputError: a file stands there that likethat did not write, or that was changed since.
        StorageError: the disk did not take it; nothing is left behind.
    """
    sheet = PictureSheet(_THUMBNAIL_LIMIT)
    view = bank_view(bank, sheet, limit=check_count(limit, name="limit"))
    return Page("bank.html.jinja", sheet, {"title": view.headline, "view": view}).write(path, overwrite=overwrite)


@dataclass(frozen=True, eq=False)
class Page:
    """A page before it is written.

    Attributes:
        template: its file.
        sheet: the pictures on it.
        context: what the template shows.
    """

    template: str
    sheet: PictureSheet
    context: dict[str, Any]

    def write(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Fill the template and write the page whole."""
        check_flag(overwrite, name="overwrite")
        text = fill_page(self.template, self.sheet, **self.context)
        return write_whole(path, text.encode("utf-8"), overwrite=overwrite)


def fill_page(template: str, sheet: PictureSheet, **context: Any) -> str:
    """Fill a template; with `layout`, a page stands in that template instead of one that is a file of its own."""
    return _environment().get_template(template).render(sprites=sheet.sprites, **context)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("likethat.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: clean(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["least_close_up"] = LEAST_CLOSE_UP
    return environment

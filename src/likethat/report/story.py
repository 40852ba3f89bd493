"""One page of many results: each result's own page is a chapter."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from likethat.errors import InputError
from likethat.report.pages import Page
from likethat.report.sheet import PictureSheet

_LEVELS = 2  # a page's h1 is an h3 of the story, below its title and the chapter's question


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """A question and the page that answers it.

    Attributes:
        question: the heading.
        told: a sentence or two under it.
        page: a page that a result of ours wrote.
    """

    question: str
    told: str
    page: Path


def save_story(
    chapters: Sequence[Chapter], path: str | Path, *, title: str, lead: str, overwrite: bool = False
) -> Path:
    """Write the pages of several results as one self-contained HTML file and return its path.

    Args:
        chapters: in the order told; every page was written by likethat.
        path: where the file goes.
        title: of the page.
        lead: a sentence under it.
        overwrite: replace any file of that name, not only one that likethat wrote.

    Raises:
        InputError: no chapter, a page that is not one of ours, or a file stands there that likethat did not write.
        StorageError: the disk did not take it; nothing is left behind.
    """
    if not chapters:
        raise InputError("`chapters` must hold one chapter or more, got none.")
    shown = [(each, Markup(_inside(each.page, number))) for number, each in enumerate(chapters, start=1)]  # noqa: S704
    sheet = PictureSheet(1)  # the chapters bring their own pictures
    page = Page("story.html.jinja", sheet, {"title": title, "lead": lead, "chapters": shown})
    return page.write(path, overwrite=overwrite)


def _inside(page: Path, number: int) -> str:
    """Return what a page of ours shows, headings below the chapter's, names and styles of its own.

    What users wrote is escaped there, so no tag is theirs.
    """
    text = page.read_text(encoding="utf-8")
    found = re.search(r"<body>\n(.*?)<main>\n(.*)</main>", text, flags=re.DOTALL)
    if not found:
        raise InputError(f"`chapters` must name pages of likethat's results, got {page}.")
    inside = "".join(found.groups())
    inside = inside.replace("<style>", f"<style>#chapter-{number} {{").replace("</style>", "}</style>")
    inside = re.sub(r"(<details[^>]*) open\b", r"\1", inside)
    inside = re.sub(r"<(/?)h([1-4])\b", lambda tag: f"<{tag[1]}h{int(tag[2]) + _LEVELS}", inside)
    return re.sub(r'\b(id="|href="#)(?=\w)', rf"\1c{number}-", inside)

"""The tables of options in docs/methods.md, as the declarations print them."""

import re
from pathlib import Path
from typing import Any

from likethat import options
from likethat.options.declaring import REQUIRED, options_of

_PLACE = re.compile(r"<!-- options: (\w+) -->\n.*?<!-- end of options -->", re.DOTALL)


def table(declared: type[Any]) -> str:
    """Return a table in Markdown: the options of a method, what each may be and what it does."""
    rows = [
        f"| `{each.name}` | {'' if each.default is REQUIRED else f'`{each.default!r}`'} | {each.allowed()} "
        f"| {each.help} |"
        for each in options_of(declared)
    ]
    return "\n".join(["| option | when left out | may be | what it does |", "|---|---|---|---|", *rows])


def with_tables(text: str) -> str:
    """Return a page with every table as it is now; its place is between two comments, the first of which names it."""

    def written(place: re.Match[str]) -> str:
        return f"<!-- options: {place[1]} -->\n{table(getattr(options, place[1]))}\n<!-- end of options -->"

    return _PLACE.sub(written, text)


def renew(path: str | Path) -> None:
    """Write the tables of a page anew."""
    page = Path(path)
    page.write_text(with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")

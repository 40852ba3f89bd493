"""Pages of banks: units and classes, found by words; their pictures."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from likethat.explanations.suggestions import suggested_names
from likethat.report.bank_page import unit_view
from likethat.report.text import shorten
from likethat.report.views import class_name, provenance_view, tile
from likethat.serve.downloads import as_file
from likethat.serve.explaining import class_of
from likethat.serve.shelf import Shelved
from likethat.serve.site import Site, site_of

_UNITS = 24  # a page: divides by 2, 3 and 4, the columns of a screen
_SUGGESTED = 5  # names: one line
_TILES = 6  # pictures of a unit among others; its own page shows all
_CLASSES = 120  # a page: names and counts alone
_FOREVER = "private, max-age=31536000, immutable"  # the address of a picture holds the stamp of its bank
_KINDS = {"png": "image/png", "jpg": "image/jpeg"}
_ORDERS = {"usage": "the most used first", "purity": "the purest first", "name": "by name"}


@dataclass(frozen=True, kw_only=True)
class Paging:
    """Where one is in a long list.

    Attributes:
        number: of the page, from 1.
        total: pages.
        before: address of the page before; "" on the first.
        after: of the next; "" on the last.
    """

    number: int
    total: int
    before: str
    after: str


def paged(request: Request, n: int, size: int) -> tuple[Paging, slice]:
    """Return where a request is in a list of `n`, and which of them it shows."""
    total = max(1, math.ceil(n / size))
    word = request.query_params.get("page", "1")
    number = min(max(int(word), 1), total) if word.isdecimal() and len(word) < 10 else 1

    def address(page: int) -> str:
        others = [(name, value) for name, value in request.query_params.multi_items() if name != "page"]
        return f"?{urlencode([*others, ('page', page)])}" if 1 <= page <= total else ""

    paging = Paging(number=number, total=total, before=address(number - 1), after=address(number + 1))
    return paging, slice((number - 1) * size, number * size)


async def home(request: Request) -> Response:
    """Lead to the first bank."""
    return RedirectResponse(f"/banks/{site_of(request).shelf.names[0]}", 307)


async def units(request: Request) -> Response:
    """Show a bank's units."""
    site = site_of(request)
    return await run_in_threadpool(partial(_units, site, site.shelved(request), request))


def _units(site: Site, shelved: Shelved, request: Request) -> HTMLResponse:
    asked, bank = request.query_params, shelved.bank
    target = class_of(bank, asked.get("class", ""))
    order = asked.get("order", "usage") if asked.get("order") in _ORDERS else "usage"
    found = shelved.found(asked.get("q", "")[:200], target, _purity(asked.get("purity", "")), order)
    paging, shown = paged(request, len(found), _UNITS)
    sheet = site.sheet()
    places = {unit: place for place, unit in enumerate(shelved.units, start=1)}
    views = [
        (unit, unit_view(bank, unit, places[unit], bank.prototypes_of(unit)[:_TILES], sheet)) for unit in found[shown]
    ]
    return site.page(
        "served/units.html.jinja",
        shelved,
        title=f"What {shorten(bank.provenance.model, 80)} looks for",
        units=views,
        n_found=len(found),
        n_units=len(shelved.units),
        order=_ORDERS[order],
        orders=_ORDERS,
        asked={name: asked.get(name, "")[:200] for name in ("q", "class", "order", "purity")},
        paging=paging,
        is_reviewed="reviewed" in asked,
        warning=shorten(bank.provenance.warning, 1000),
        about=f"{bank.provenance.method}, {len(bank.class_names):,} classes",
    )


def _purity(word: str) -> float:
    """Return the least purity that is asked for; -1 where none is."""
    try:
        value = float(word) if len(word) < 20 else -1.0
    except ValueError:
        return -1.0
    return value if math.isfinite(value) else -1.0


async def unit(request: Request) -> Response:
    """Show one unit with all its prototypes."""
    site = site_of(request)
    return await run_in_threadpool(
        partial(_unit, site, site.shelved(request), int(request.path_params["unit"]), request)
    )


def _unit(site: Site, shelved: Shelved, number: int, request: Request) -> HTMLResponse:
    bank = shelved.bank
    if number not in shelved.units:
        raise HTTPException(404, f"No {bank.provenance.unit} of that number has prototypes in this bank.")
    sheet, place = site.sheet(), shelved.units.index(number) + 1
    view = unit_view(bank, number, place, (), sheet)
    name = shorten(bank.unit_names[number], 60)
    tiles = {
        kind: [tile(item, sheet, bank.images, class_names=bank.class_names, unit_name=name) for item in items]
        for kind in ("positive", "negative")
        if (items := bank.prototypes_of(number, kind))
    }
    classes = [(index, shorten(class_name(bank.class_names, index), 60)) for index in sorted(shelved.classes[number])]
    return site.page(
        "served/unit.html.jinja",
        shelved,
        sheet=sheet,
        title=name,
        number=number,
        unit=view,
        tiles=tiles,
        classes=classes,
        before=shelved.units[place - 2] if place > 1 else None,
        after=shelved.units[place] if place < len(shelved.units) else None,
        n_units=len(shelved.units),
        naming=_naming(site, shelved, number, request),
    )


def _naming(site: Site, shelved: Shelved, number: int, request: Request) -> dict[str, Any]:
    """Return what the form shows that gives a unit a name."""
    named = site.notebook.named(site.visitor(request), shelved)
    return {
        "given": named.get(number, ""),
        "own": shelved.bank.coordinates.unit_names[number],
        "suggested": suggested_names(shelved.bank, number)[:_SUGGESTED],
        "writes": site.notebook.writes(shelved),
        "is_review": "review" in request.query_params,
        "n_named": len([unit for unit in shelved.units if unit in named]),
    }


async def classes(request: Request) -> Response:
    """Show the classes of a model, found by words."""
    site = site_of(request)
    return await run_in_threadpool(partial(_classes, site, site.shelved(request), request))


def _classes(site: Site, shelved: Shelved, request: Request) -> HTMLResponse:
    words = request.query_params.get("q", "")[:200]
    names = shelved.bank.class_names
    wanted = words.casefold().split()
    found = [index for index, name in enumerate(names) if all(word in name.casefold() for word in wanted)]
    paging, shown = paged(request, len(found), _CLASSES)
    counts: dict[int, int] = {}
    for own in shelved.classes.values():
        for index in own:
            counts[index] = counts.get(index, 0) + 1
    listed = [(index, shorten(class_name(names, index), 60), counts.get(index, 0)) for index in found[shown]]
    return site.page(
        "served/classes.html.jinja",
        shelved,
        title="Classes",
        listed=listed,
        n_found=len(found),
        n_classes=len(names),
        words=words,
        paging=paging,
    )


async def picture(request: Request) -> Response:
    """Serve a picture of a bank as it is kept."""
    shelved, key = site_of(request).shelved(request), request.path_params["key"]
    if request.path_params["stamp"] != shelved.stamp or key not in shelved.bank.images:
        raise HTTPException(404, "No such picture is in this bank.")
    ending, data = await run_in_threadpool(shelved.bank.images.encode, key)
    return Response(data, media_type=_KINDS[ending], headers={"Cache-Control": _FOREVER})


async def about(request: Request) -> Response:
    """Say how a bank was made."""
    site = site_of(request)
    shelved = site.shelved(request)
    made = provenance_view(shelved.bank.provenance)
    return site.page("served/about.html.jinja", shelved, title="How this bank was made", made=made)


async def download(request: Request) -> Response:
    """Hand a bank out as a page, as numbers, or its boxes as COCO."""
    site = site_of(request)
    shelved, ending = site.shelved(request), request.path_params["ending"]
    return await site.desk.run(partial(as_file, shelved.bank, shelved.name, ending))


ROUTES = (
    Route("/", home),
    Route("/banks/{bank}", units),
    Route("/banks/{bank}/units/{unit:int}", unit),
    Route("/banks/{bank}/classes", classes),
    Route("/banks/{bank}/about", about),
    Route("/banks/{bank}/pictures/{stamp}/{key}", picture),
    Route("/banks/{bank}/download/{ending}", download),
)

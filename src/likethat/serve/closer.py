"""Pages that look closer at a picture: a marked part of it, and why of it twice, side by side; and both as files."""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from likethat.explanations import Explanation
from likethat.explanations.coco import coco_of
from likethat.explanations.regions import Region
from likethat.explanations.result import SCHEMA_VERSION, plain
from likethat.report.explanation_page import explanation_view
from likethat.report.pages import fill_page
from likethat.report.region_page import region_view
from likethat.report.sheet import PictureSheet
from likethat.report.text import shorten
from likethat.serve.downloads import one_of, sent
from likethat.serve.dropped import Dropped
from likethat.serve.explaining import Question, mark_of
from likethat.serve.shelf import Shelved
from likethat.serve.site import Site
from likethat.serve.why import asked_about

_LIMIT = 320  # pixels a side of a report's pictures
_Sides = tuple[tuple[Shelved, Explanation], tuple[Shelved, Explanation]]


async def region(request: Request) -> Response:
    """Show what a marked part of a picture adds, and what looks like it."""
    site, shelved, picture, found, part = await _part(request)

    def filled() -> Response:
        sheet, words = site.sheet(), request.query_params
        return site.page(
            "region.html.jinja",
            shelved,
            sheet=sheet,
            picture=picture.key,
            asked={name: words.get(name, "")[:200] for name in ("target", "against")},
            mark=[f"{100 * side:.4g}" for side in part.mark],
            n_units=shelved.bank.n_units,
            back=urlencode({name: words[name] for name in ("bank", "target", "against", "top") if name in words}),
            query=urlencode(dict(words)),
            **_region_view(picture, found, part, sheet),
        )

    return await run_in_threadpool(filled)


async def _part(request: Request) -> tuple[Site, Shelved, Dropped, Explanation, Region]:
    """Return what a request says of a part of a picture, and what there is to say of it."""
    site, shelved, picture, question = asked_about(request)
    mark = mark_of(request.query_params)

    def work() -> tuple[Explanation, Region]:
        explainer = site.explainer
        return explainer.explain(shelved, picture, question), explainer.region(shelved, picture, question, mark)

    return site, shelved, picture, *(await site.desk.run(work))


def _region_view(picture: Dropped, found: Explanation, part: Region, sheet: PictureSheet) -> Mapping[str, Any]:
    return {
        "title": f"A part of {shorten(picture.name, 60)}",
        "seen": explanation_view(found, PictureSheet(sheet.limit)),
        "view": region_view(part, found, sheet),
    }


async def region_file(request: Request) -> Response:
    """Hand a marked part out as a page, as numbers, or what looks like it as COCO's boxes on the bank's pictures."""
    ending = one_of(request, "html", "json", "coco.json")
    _, shelved, picture, found, part = await _part(request)

    def written() -> str:
        if ending == "html":
            sheet = PictureSheet(_LIMIT)
            view = _region_view(picture, found, part, sheet)
            return fill_page("region.html.jinja", sheet, noun=shelved.bank.provenance.unit, **view)
        if ending == "json":
            about = {"picture": picture.name, "target": found.target, "against": found.against}
            return _json("Region", about | plain(part))
        places = [replace(one.prototype, box=one.box, unit=0) for one in part.alike]
        boxes = coco_of(places, shelved.bank.images, [f"looks like the marked part of {picture.name}"])
        for box, one in zip(boxes["annotations"], part.alike, strict=True):
            box["score"] = one.similarity
        return json.dumps(boxes)

    return sent(await run_in_threadpool(written), f"part-of-{picture.name}", ending)


async def beside(request: Request) -> Response:
    """Show why of one picture twice: by two classes, or by two models."""
    site, picture, sides = await _sides(request)

    def filled() -> Response:
        sheet = site.sheet()
        (bank, first), (other, second) = sides
        contrast = ""
        if bank is other and first.target != second.target:
            classes = {"target": f"index:{first.target}", "against": f"index:{second.target}"}
            contrast = urlencode({"bank": bank.name, **classes})
        return site.page(
            "beside.html.jinja",
            bank,
            sheet=sheet,
            picture=picture.key,
            contrast=contrast,
            is_kept=bool(picture.kept),
            query=urlencode(dict(request.query_params)),
            **_beside_view(picture, sides, sheet),
        )

    return await run_in_threadpool(filled)


async def _sides(request: Request) -> tuple[Site, Dropped, _Sides]:
    """Return both answers that a request asks for, each with its bank."""
    site, shelved, picture, question = asked_about(request)
    words = request.query_params
    other = site.shelf.named(words.get("beside_bank", "") or shelved.name)
    second = Question.of(other.bank, words.get("beside_target", ""), "", words.get("top", ""))
    first = await site.desk.run(partial(site.explainer.explain, shelved, picture, replace(question, against=None)))
    return (
        site,
        picture,
        ((shelved, first), (other, await site.desk.run(partial(site.explainer.explain, other, picture, second)))),
    )


def _beside_view(picture: Dropped, sides: _Sides, sheet: PictureSheet) -> Mapping[str, Any]:
    return {
        "title": f"{shorten(picture.name, 60)}, side by side",
        "sides": [(one.name, explanation_view(found, sheet), found.target) for one, found in sides],
    }


async def beside_file(request: Request) -> Response:
    """Hand both answers out as a page or as numbers."""
    ending = one_of(request, "html", "json")
    _, picture, sides = await _sides(request)

    def written() -> str:
        if ending == "json":
            told = [{"bank": one.name, "explanation": found.to_dict()} for one, found in sides]
            return _json("SideBySide", {"picture": picture.name, "sides": told})
        sheet = PictureSheet(_LIMIT)
        return fill_page("beside.html.jinja", sheet, **_beside_view(picture, sides, sheet))

    return sent(await run_in_threadpool(written), f"side-by-side-{picture.name}", ending)


def _json(kind: str, about: Mapping[str, Any]) -> str:
    return json.dumps({"schema": SCHEMA_VERSION, "kind": kind, **about}, indent=1, allow_nan=False)


ROUTES = (
    Route("/why/{picture}/region", region),
    Route("/why/{picture}/region/download/{ending}", region_file),
    Route("/why/{picture}/beside", beside),
    Route("/why/{picture}/beside/download/{ending}", beside_file),
)

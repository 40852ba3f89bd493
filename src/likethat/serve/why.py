"""Pages of dropped pictures: why the model says what it says."""

from functools import partial
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from likethat.explanations import Explanation
from likethat.report.explanation_page import explanation_view
from likethat.report.text import shorten
from likethat.report.views import class_name
from likethat.serve.body import read_body
from likethat.serve.downloads import as_file
from likethat.serve.dropped import Dropped
from likethat.serve.explaining import Question
from likethat.serve.shelf import Shelved
from likethat.serve.site import Site, site_of

_MARK = ("25", "25", "75", "75")  # percent: left, top, right and bottom of the mark before it is moved
_STRONGEST = 5  # answers of the model that are shown beside the explained one


async def drop(request: Request) -> Response:
    """Take a picture, look at it once, and say where its explanation is."""
    site = site_of(request)
    shelved, visitor = site.shelved(request), site.visitor(request)
    data = await read_body(request, most=site.limits.upload, seconds=site.limits.seconds)
    picture = site.dropbox.put(visitor, request.headers.get("x-file-name", ""), data)
    try:
        await site.desk.run(partial(site.explainer.explain, shelved, picture, Question()))
    except Exception:
        site.dropbox.forget(visitor, picture.key)
        raise
    answer = JSONResponse({"address": f"/why/{picture.key}?{urlencode({'bank': shelved.name})}"}, 201)
    return site.known(request, answer, visitor)


def asked_about(request: Request) -> tuple[Site, Shelved, Dropped, Question]:
    """Return what a request is about."""
    site = site_of(request)
    shelved, picture, words = site.shelved(request), site.picture(request), request.query_params
    target, against, top = (words.get(name, "") for name in ("target", "against", "top"))
    return site, shelved, picture, Question.of(shelved.bank, target, against, top)


async def why(request: Request) -> Response:
    """Show why a model gives a picture its class."""
    site, shelved, picture, question = asked_about(request)
    found = await site.desk.run(partial(site.explainer.explain, shelved, picture, question))
    return await run_in_threadpool(partial(_why, site, shelved, picture, found, request))


def _why(site: Site, shelved: Shelved, picture: Dropped, found: Explanation, request: Request) -> HTMLResponse:
    sheet = site.sheet()
    view = explanation_view(found, sheet)
    return site.page(
        "served/why.html.jinja",
        shelved,
        sheet=sheet,
        title=view.headline,
        view=view,
        picture=picture.key,
        asked={name: request.query_params.get(name, "")[:200] for name in ("target", "against", "top")},
        query=urlencode({"bank": shelved.name, **dict(request.query_params)}),
        strongest=_strongest(found),
        mark=_MARK,
    )


def _strongest(found: Explanation) -> list[tuple[int, str, float]]:
    """Return the classes that the model gives most to: index, name, probability."""
    order = (-found.probabilities).argsort(kind="stable")[:_STRONGEST]
    return [
        (int(index), shorten(class_name(found.class_names, int(index)), 60), float(found.probabilities[index]))
        for index in order
    ]


async def download(request: Request) -> Response:
    """Hand an explanation out as a page, as numbers or as a table."""
    site, shelved, picture, question = asked_about(request)
    ending = request.path_params["ending"]

    def written() -> Response:
        return as_file(site.explainer.explain(shelved, picture, question), f"why-{picture.name}", ending)

    return await site.desk.run(written)


ROUTES = (
    Route("/pictures", drop, methods=["POST"]),
    Route("/why/{picture}", why),
    Route("/why/{picture}/download/{ending}", download),
)

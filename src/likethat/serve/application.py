"""The application: who may ask, which address leads where, and what becomes of errors."""

import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from likethat._calls import public
from likethat.errors import LikethatError
from likethat.explanations import Bank
from likethat.serve import browse, naming, protocol, why
from likethat.serve.desk import Desk
from likethat.serve.dropped import Dropbox
from likethat.serve.explaining import Explainer
from likethat.serve.guard import LOOPBACK, Guard, check_token
from likethat.serve.limits import Limits
from likethat.serve.shelf import Shelf
from likethat.serve.site import Site, site_of

__all__ = ["application"]

_STYLE = Path(__file__).parents[1] / "report" / "templates" / "style.css"


@public
def application(
    banks: Mapping[str, Bank],
    *,
    token: str | None = None,
    hosts: Iterable[str] = LOOPBACK,
    limits: Limits | None = None,
    folders: Mapping[str, str | Path] | None = None,
) -> Starlette:
    """Return an ASGI application that serves banks.

    Args:
        banks: by name, each with its model.
        token: what visitors must bring; None where nobody but this machine's user can reach it.
        hosts: names that it goes by, without port; others are refused, which keeps pages of other sites out.
        limits: how much it takes on.
        folders: where names that visitors give units are kept, by bank; names of other banks are each visitor's own.

    Raises:
        InputError: no bank, or a token that can be guessed.
    """
    limits = limits or Limits()
    mark = secrets.token_hex(4)  # cookies do not tell ports apart: two servers on one machine have names of their own
    if token is not None:
        check_token(token)
    app = Starlette(
        routes=[
            *browse.ROUTES,
            *why.ROUTES,
            *protocol.ROUTES,
            *naming.ROUTES,
            Route("/static/style.css", _style),
            _static(),
        ],
        middleware=[Middleware(Guard, hosts=hosts, token=token, cookie=f"likethat-key-{mark}")],
        exception_handlers={LikethatError: _said, HTTPException: _refused},
    )
    app.state.site = Site(
        shelf=Shelf(banks),
        dropbox=Dropbox(limits),
        explainer=Explainer(limits),
        desk=Desk(limits),
        notebook=naming.Notebook(folders or {}, limits),
        limits=limits,
        cookie=f"likethat-visitor-{mark}",
    )
    return app


def _static() -> Mount:
    return Mount("/static", StaticFiles(directory=Path(__file__).parent / "static"))


async def _style(_request: Request) -> Response:
    """Serve the report's own style."""
    return Response(_STYLE.read_bytes(), media_type="text/css", headers={"Cache-Control": "no-cache"})


async def _said(request: Request, error: Any) -> Response:
    """Say an error of ours: the request asks for what cannot be."""
    return _answer(request, 422, str(error), {})


async def _refused(request: Request, error: Any) -> Response:
    return _answer(request, error.status_code, str(error.detail), dict(error.headers or {}))


def _answer(request: Request, status: int, said: str, headers: dict[str, str]) -> Response:
    """Return a sentence as a page to a reader, as JSON to a program or a script."""
    is_page = request.headers.get("accept", "").startswith("text/html")
    if not is_page:
        return JSONResponse({"error": said}, status, headers)
    site = site_of(request)
    page = site.page("served/error.html.jinja", site.shelf.named(""), status=status, title="Not to be had", said=said)
    page.headers.update(headers)
    return page

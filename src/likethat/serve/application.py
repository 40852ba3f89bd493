"""The application: who may ask, which address leads where, and what becomes of errors."""

import secrets
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from likethat._calls import public
from likethat.errors import LikethatError
from likethat.explanations import Bank
from likethat.serve import browse, closer, naming, protocol, searching, why
from likethat.serve.desk import Desk
from likethat.serve.dropped import Dropbox
from likethat.serve.explaining import Explainer
from likethat.serve.guard import LOOPBACK, Guard, check_token
from likethat.serve.jobs import Jobs
from likethat.serve.limits import Limits
from likethat.serve.shelf import Shelf
from likethat.serve.site import Site, site_of

_STYLES = Path(__file__).parents[1] / "report" / "templates"


@public
def application(
    banks: Mapping[str, Bank],
    *,
    token: str | None = None,
    hosts: Iterable[str] = LOOPBACK,
    limits: Limits | None = None,
    folders: Mapping[str, str | Path] | None = None,
    generator: Any = None,
) -> Starlette:
    """Return an ASGI application that serves banks.

    Args:
        banks: by name, each with its model.
        token: what visitors must bring; None where nobody but this machine's user can reach it.
        hosts: names that it goes by, without port; others are refused, which keeps pages of other sites out.
        limits: how much it takes on.
        folders: where names that visitors give units are kept, by bank; names of other banks are each visitor's own.
        generator: of pictures: visitors may ask what would change a model's mind, and for its ideal inputs. Searches
            end with the application's lifespan, which a server that mounts it must run.

    Raises:
        InputError: no bank, a token that can be guessed, or a generator of what no model takes.
    """
    limits = limits or Limits()
    mark = secrets.token_hex(4)  # cookies do not tell ports apart: two servers on one machine have names of their own
    if token is not None:
        check_token(token)
    jobs, shape = Jobs(limits), searching.shape_of(generator)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(jobs.end)

    app = Starlette(
        lifespan=lifespan,
        routes=[
            *browse.ROUTES,
            *why.ROUTES,
            *closer.ROUTES,
            *protocol.ROUTES,
            *naming.ROUTES,
            *searching.ROUTES,
            *(Route(f"/static/{name}.css", _style) for name in ("style", "exemplars")),
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
        jobs=jobs,
        generator=generator,
        made_for=searching.made_for(shape, banks),
        shape=shape,
        limits=limits,
        cookie=f"likethat-visitor-{mark}",
    )
    return app


def _static() -> Mount:
    return Mount("/static", StaticFiles(directory=Path(__file__).parent / "static"))


async def _style(request: Request) -> Response:
    """Serve the report's own styles."""
    style = _STYLES / request.url.path.rsplit("/", 1)[-1]
    return Response(style.read_bytes(), media_type="text/css", headers={"Cache-Control": "no-cache"})


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

"""What a server holds, and how its handlers find what a request names."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from likethat.explanations.images import ImageStore
from likethat.generators.base import LatentGenerator
from likethat.report.pages import fill_page
from likethat.report.sheet import PictureSheet
from likethat.report.text import shorten
from likethat.serve.desk import Desk
from likethat.serve.dropped import Dropbox, Dropped
from likethat.serve.explaining import Explainer
from likethat.serve.jobs import Jobs
from likethat.serve.limits import Limits
from likethat.serve.shelf import Shelf, Shelved

if TYPE_CHECKING:
    from likethat.serve.naming import Notebook

_LEAST, _USUAL = 20, 200  # questions of a search: one generation of FreeMCG and what is around it; its own number
_NUMBER = 4  # bytes of a float32
_THUMBNAIL_LIMIT = 320  # pixels a side of pictures that are embedded: those of results, not of banks


@dataclass(frozen=True, kw_only=True, eq=False)
class Site:
    """What a server holds.

    Attributes:
        shelf: its banks.
        dropbox: pictures that visitors dropped.
        explainer: explains them.
        desk: where questions to models wait their turn.
        notebook: names that visitors give units.
        jobs: searches that visitors asked for.
        generator: makes their inputs; None where nothing is made.
        made_for: names of the banks whose models take what it makes.
        shape: (channel, height, width) of what it makes; a function is called to tell it.
        limits: how much it takes on.
        cookie: name of the cookie that tells visitors apart.
    """

    shelf: Shelf
    dropbox: Dropbox
    explainer: Explainer
    desk: Desk
    notebook: "Notebook"
    jobs: Jobs
    generator: Any
    made_for: frozenset[str]
    shape: tuple[int, ...]
    limits: Limits
    cookie: str

    def visitor(self, request: Request) -> str:
        """Return who asks; somebody new where their cookie says nothing."""
        return self.dropbox.visitor(request.cookies.get(self.cookie, ""))

    def known(self, request: Request, answer: Response, visitor: str) -> Response:
        """Return an answer that leaves a visitor the cookie they are known by."""
        secure = request.url.scheme == "https"
        answer.set_cookie(self.cookie, visitor, httponly=True, samesite="strict", secure=secure)
        return answer

    def shelved(self, request: Request) -> Shelved:
        """Return the bank that a request names, in its path or as ``bank``; the first where it names none."""
        return self.shelf.named(request.path_params.get("bank") or request.query_params.get("bank", ""))

    def picture(self, request: Request) -> Dropped:
        """Return the visitor's own picture that a request names, or one of the bank's (``kept-KEY``).

        Raises:
            HTTPException: 404, it is gone, or somebody else's.
        """
        key = request.path_params["picture"]
        found = self._kept(self.shelved(request), key) or self.dropbox.get(self.visitor(request), key)
        if found is None:
            raise HTTPException(404, "That picture is not here: older ones make place for new ones. Drop it again.")
        return found

    @staticmethod
    def _kept(shelved: Shelved, key: str) -> Dropped | None:
        images, kept = shelved.bank.images, key.removeprefix("kept-")
        if kept == key or kept not in images:
            return None
        name, data = shelved.source_of(kept), images.encode(kept)[1]
        return Dropped(key=key, name=name, data=data, kept=kept, bank=shelved.name)

    def makes(self, shelved: Shelved) -> bool:
        """Return whether the generator makes what a bank's model takes."""
        return shelved.name in self.made_for

    @property
    def queries(self) -> tuple[int, int, int]:
        """How many questions a search may ask at least, usually and at most: fewer of large inputs, all of it kept."""
        size = _NUMBER * math.prod(self.shape)
        most = max(_LEAST, min(self.limits.queries, self.limits.made // size))
        return _LEAST, min(_USUAL, most), most

    @property
    def makes_exemplars(self) -> bool:
        """Whether the generator makes inputs of latents, and does not only take noise off."""
        return isinstance(self.generator, LatentGenerator)

    def sheet(self) -> PictureSheet:
        """Return a sheet whose pictures are served, not embedded."""
        addresses = {id(one.bank.images): f"/banks/{name}/pictures/{one.stamp}" for name, one in self._named()}

        def link(images: ImageStore, key: str) -> str:
            return f"{addresses[id(images)]}/{key}"

        return PictureSheet(_THUMBNAIL_LIMIT, link=link)

    def _named(self) -> list[tuple[str, Shelved]]:
        return [(name, self.shelf.named(name)) for name in self.shelf.names]

    def page(
        self, template: str, shelved: Shelved, *, sheet: PictureSheet | None = None, status: int = 200, **context: Any
    ) -> HTMLResponse:
        """Return a template of the report, or of this site, as a page of this site."""
        around: Mapping[str, Any] = {
            "layout": "served/layout.html.jinja",
            "bank": shelved.name,
            "banks": self.shelf.names,
            "model": shorten(shelved.bank.provenance.model, 40),
            "noun": shelved.bank.provenance.unit,
            "queries": self.queries if self.makes(shelved) else None,
            "class_names": [shorten(name, 80) for name in shelved.bank.class_names],
        }
        filled = fill_page(template, sheet or PictureSheet(_THUMBNAIL_LIMIT), **around, **context)
        return HTMLResponse(filled, status)


def site_of(request: Request) -> Site:
    """Return the site that a request came to."""
    site: Site = request.app.state.site
    return site

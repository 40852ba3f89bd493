"""Naming units: kept with the bank where the server may write there, else for the visitor, who can keep a file."""

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from likethat._documents import Damaged, parse_json, typed
from likethat.errors import InputError
from likethat.explanations.names import check_name
from likethat.explanations.storage import write_names
from likethat.serve.body import read_body
from likethat.serve.limits import Limits
from likethat.serve.shelf import Shelved
from likethat.serve.site import site_of

_LONGEST_BODY = 4096  # bytes: a name has 120 signs


class Notebook:
    """The names that visitors give.

    Args:
        folders: of the banks that names are kept with, by name; those of other banks are the visitor's own.
        limits: how many visitors' names are kept; the oldest go first.
    """

    def __init__(self, folders: Mapping[str, str | Path], limits: Limits) -> None:
        self._folders, self._most = {name: Path(folder) for name, folder in folders.items()}, limits.notebooks
        self._own: OrderedDict[tuple[str, str], dict[int, str]] = OrderedDict()
        self._lock = threading.Lock()

    def writes(self, shelved: Shelved) -> bool:
        """Return whether names are kept with the bank, for everybody."""
        return shelved.name in self._folders

    def named(self, visitor: str, shelved: Shelved) -> dict[int, str]:
        """Return the names of a bank's units: those that it has, and the visitor's."""
        with self._lock:
            return {**shelved.bank.named, **self._own.get((visitor, shelved.name), {})}

    def name(self, visitor: str, shelved: Shelved, unit: int, name: str | None) -> None:
        """Give a unit a name, or its own.

        Raises:
            LikethatError: it is no name, or the disk did not take it; then nothing has changed.
        """
        with self._lock:
            if self.writes(shelved):
                self._keep(shelved, unit, name)
            else:
                self._note((visitor, shelved.name), shelved, unit, name)

    def _keep(self, shelved: Shelved, unit: int, name: str | None) -> None:
        bank = shelved.bank
        before = bank.rename(unit, name)
        try:
            write_names(bank, self._folders[shelved.name])
        except BaseException:
            bank.rename(unit, before)
            raise

    def _note(self, place: tuple[str, str], shelved: Shelved, unit: int, name: str | None) -> None:
        own = shelved.bank.coordinates.unit_names
        given = own[unit] if name is None else check_name(name, unit, own)
        self._own.setdefault(place, {})[unit] = given
        self._own.move_to_end(place)
        while len(self._own) > self._most:
            self._own.popitem(last=False)


async def name(request: Request) -> Response:
    """Give a unit a name."""
    site = site_of(request)
    shelved, unit, visitor = site.shelved(request), int(request.path_params["unit"]), site.visitor(request)
    if unit not in shelved.units:
        raise HTTPException(404, f"No {shelved.bank.provenance.unit} of that number has prototypes in this bank.")
    data = await read_body(request, most=_LONGEST_BODY, seconds=site.limits.seconds)
    try:
        given = typed(parse_json(data), dict[str, str | None]).get("name") or ""
    except Damaged as error:
        raise InputError(f'a name must come as JSON, {{"name": "beak"}}, got what {error}.') from error
    await site.desk.run(partial(site.notebook.name, visitor, shelved, unit, given.strip() or None))
    if site.notebook.writes(shelved):
        site.explainer.forget(shelved.name)  # explanations keep the names that units had
    answer = JSONResponse({"name": site.notebook.named(visitor, shelved).get(unit, shelved.bank.unit_names[unit])})
    return site.known(request, answer, visitor)


async def download(request: Request) -> Response:
    """Hand out the names that people gave, as `likethat rename --from` reads them."""
    site = site_of(request)
    shelved = site.shelved(request)
    named = site.notebook.named(site.visitor(request), shelved)
    text = json.dumps({str(unit): given for unit, given in sorted(named.items())}, ensure_ascii=False, indent=1)
    headers = {"Content-Disposition": "attachment; filename=names.json"}
    return Response(text, media_type="application/json", headers=headers)


async def review(request: Request) -> Response:
    """Lead to the next unit without a name, the most used first; after the last one to all units."""
    site = site_of(request)
    shelved, after = site.shelved(request), request.query_params.get("after", "")
    units, named = shelved.units, site.notebook.named(site.visitor(request), shelved)
    number = int(after) if after.isdecimal() and len(after) < 10 else -1
    start = units.index(number) + 1 if number in units else 0
    for unit in units[start:]:
        if unit not in named:
            return RedirectResponse(f"/banks/{shelved.name}/units/{unit}?review=1", 303)
    return RedirectResponse(f"/banks/{shelved.name}?reviewed=1", 303)


ROUTES = (
    Route("/banks/{bank}/units/{unit:int}/name", name, methods=["POST"]),
    Route("/banks/{bank}/names.json", download),
    Route("/banks/{bank}/review", review),
)

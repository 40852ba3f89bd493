"""Pages of searches: what would change the model's mind, and its ideal input, made by a generator while one waits."""

from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from likethat._checks import check_count
from likethat._options import shown
from likethat._progress import Watcher
from likethat.errors import BankError, InputError
from likethat.explainers import Exemplars, FreeMCG
from likethat.explanations import Bank
from likethat.explanations.counterfactual import Counterfactual
from likethat.generators.base import Denoiser, LatentGenerator
from likethat.generators.image.data import fit_image
from likethat.models import BlackBox
from likethat.report.counterfactual import counterfactual_view
from likethat.report.exemplars import exemplars_view
from likethat.report.text import duration, shorten
from likethat.report.views import class_name
from likethat.serve.body import read_body
from likethat.serve.downloads import as_file
from likethat.serve.explaining import class_of
from likethat.serve.jobs import Job
from likethat.serve.shelf import Shelved
from likethat.serve.site import Site, site_of

_LONGEST_FORM = 4096  # bytes: a few words
_MOST, _EXEMPLARS = 8, 3  # exemplars of one search


def shape_of(generator: Any) -> tuple[int, ...]:
    """Return (channel, height, width) of what a generator makes; nothing without one.

    Raises:
        InputError: it makes no pictures.
    """
    shape = () if generator is None else tuple(getattr(generator, "shape", ()))
    if generator is not None and (not isinstance(generator, Denoiser | LatentGenerator) or len(shape) != 3):
        raise InputError(
            f"`generator` must make pictures, as these models take them, got {shown(generator)}. "
            "Make one with likethat.load_generator(...)."
        )
    return shape


def made_for(shape: tuple[int, ...], banks: Mapping[str, Bank]) -> frozenset[str]:
    """Return the names of the banks whose models take pictures of a shape; none where nothing is made.

    Raises:
        InputError: no model takes them.
    """
    channels = {name: _channels(bank) for name, bank in banks.items()}
    fitting = frozenset(name for name, n in channels.items() if shape and n == shape[0])
    if shape and not fitting:
        said = ", ".join(f"{n} for {name}" for name, n in channels.items())
        raise InputError(f"`generator` must make pictures of the models' channels ({said}), got {shape[0]}.")
    return fitting


def _channels(bank: Bank) -> int:
    """Return how many channels a bank's model takes; 0 where the bank is without it."""
    try:
        return bank.model.in_channels
    except BankError:
        return 0


async def counterfactual(request: Request) -> Response:
    """Begin to look for what would have to be different in a picture for another class."""
    site = site_of(request)
    shelved, picture = site.shelved(request), site.picture(request)
    words = await _words(request, site, shelved)
    target, budget = class_of(shelved.bank, words.get("target", "")), _count(words, "queries", *site.queries)
    name = f"“{_named(shelved, target)}”" if target is not None else "any other class"

    def work(watch: Watcher) -> Counterfactual:
        channels, *size = site.shape
        image = fit_image(site.explainer.sample(shelved.bank, picture).image, (size[0], size[1]), channels)
        method = FreeMCG(site.generator)
        return method.counterfactual(BlackBox(shelved.bank.model), image, target, budget=budget, watch=watch)

    title = f"What would make {shorten(picture.name, 60)} {name}"
    back = f"/why/{picture.key}?{urlencode({'bank': shelved.name})}"
    return _begun(request, site, Job(visitor="", bank=shelved.name, title=title, back=back), work)


async def exemplars(request: Request) -> Response:
    """Begin to look for ideal inputs of a class."""
    site = site_of(request)
    shelved = site.shelved(request)
    words = await _words(request, site, shelved)
    if not site.makes_exemplars:
        raise HTTPException(404, "This server's generator only takes noise off pictures: it makes no ideal inputs.")
    target = class_of(shelved.bank, words.get("target", ""))
    if target is None:
        raise InputError("`class` must be named for its ideal inputs, got none. Choose one of the list.")
    n, budget = _count(words, "n", 1, _EXEMPLARS, _MOST), _count(words, "queries", *site.queries)

    def work(watch: Watcher) -> Any:
        box = BlackBox(shelved.bank.model)
        return Exemplars(site.generator).search(box, target, n=n, budget=budget, watch=watch)

    title, back = f"Ideal inputs of “{_named(shelved, target)}”", f"/banks/{shelved.name}/searches"
    return _begun(request, site, Job(visitor="", bank=shelved.name, title=title, back=back), work)


async def _words(request: Request, site: Site, shelved: Shelved) -> Mapping[str, str]:
    """Return what a form says, where this bank's model can be searched."""
    if not site.makes(shelved):
        raise HTTPException(
            404, "Nothing is made for this bank here: start the server with a --generator that fits it."
        )
    data = await read_body(request, most=_LONGEST_FORM, seconds=site.limits.seconds)
    return dict(parse_qsl(data.decode("utf-8", "replace")))


def _count(words: Mapping[str, str], name: str, least: int, usual: int, most: int) -> int:
    word = words.get(name, "").strip() or str(usual)
    if not (word.isdecimal() and len(word) < 8 and least <= int(word) <= most):
        raise InputError(f"`{name}` must be from {least} to {most:,} here, got {word[:40]!r}.")
    return check_count(int(word), name=name)


def _named(shelved: Shelved, target: int) -> str:
    return shorten(class_name(shelved.bank.class_names, target), 60)


def _begun(request: Request, site: Site, job: Job, work: Any) -> Response:
    """Let a search wait for its turn, and lead to its page."""
    job.visitor = site.visitor(request)
    site.jobs.begin(job, work)
    return site.known(request, RedirectResponse(f"/searches/{job.key}", 303), job.visitor)


async def overview(request: Request) -> Response:
    """List a visitor's searches, and ask for ideal inputs."""
    site = site_of(request)
    shelved = site.shelved(request)
    if not site.makes(shelved):
        raise HTTPException(
            404, "Nothing is made for this bank here: start the server with a --generator that fits it."
        )
    own = site.jobs.own(site.visitor(request), shelved.name)
    return site.page(
        "served/searches.html.jinja",
        shelved,
        title="Searches",
        searches=[(job.key, job.title, _told(site, job)) for job in own],
        makes_exemplars=site.makes_exemplars,
        n_of_each=(_EXEMPLARS, _MOST),
    )


def _job(request: Request) -> tuple[Site, Job]:
    site = site_of(request)
    return site, site.jobs.get(site.visitor(request), request.path_params["search"])


async def show(request: Request) -> Response:
    """Show how far a search is, or what it found."""
    site, job = _job(request)
    if job.found is not None and job.has_ended:
        return await run_in_threadpool(partial(_found, site, job))
    shelved = site.shelf.named(job.bank)
    return site.page("served/search.html.jinja", shelved, title=job.title, job=job, told=_told(site, job))


def _found(site: Site, job: Job) -> Response:
    sheet, is_edit = site.sheet(), isinstance(job.found, Counterfactual)
    context = counterfactual_view(job.found) if is_edit else exemplars_view([job.found], sheet)
    return site.page(
        "served/found.html.jinja",
        site.shelf.named(job.bank),
        sheet=sheet,
        report="counterfactual.html.jinja" if is_edit else "exemplars.html.jinja",
        job=job,
        **context,
    )


async def state(request: Request) -> Response:
    """Say how far a search is, for the page's script."""
    site, job = _job(request)
    return JSONResponse({"ended": job.has_ended, "share": job.share, "told": _told(site, job)})


def _told(site: Site, job: Job) -> str:
    """Say how far a search is, or how it ended."""
    if job.has_ended:
        return job.said or f"{job.found.status.reason}, {job.found.queries:,} queries"
    if job.stopping.is_set():
        return "stopping, as soon as the questions under way are answered"
    if not job.is_running:
        return f"waiting for its turn: {site.jobs.before(job)} before it"
    at = job.progress
    if at is None:
        return "beginning"
    left = "" if not job.seconds_left else f", at most about {_rounded(job.seconds_left)} left"
    return f"{at.stage}: {at.done:,} of {at.total:,}{left}" if at.total else f"{at.stage}: {at.done:,}"


def _rounded(seconds: float) -> str:
    return f"{max(1, round(seconds))} s" if seconds < 60 else duration(seconds)


async def stop(request: Request) -> Response:
    """Ask a search to end; what it has found is kept."""
    _, job = _job(request)
    job.stopping.set()
    return RedirectResponse(f"/searches/{job.key}", 303)


async def download(request: Request) -> Response:
    """Hand out what a search found as a page, as numbers or as a figure."""
    site, job = _job(request)
    if job.found is None:
        raise HTTPException(404, "This search has found nothing that could be kept.")
    return await site.desk.run(partial(as_file, job.found, job.title, request.path_params["ending"]))


ROUTES = (
    Route("/why/{picture}/counterfactual", counterfactual, methods=["POST"]),
    Route("/banks/{bank}/exemplars", exemplars, methods=["POST"]),
    Route("/banks/{bank}/searches", overview),
    Route("/searches/{search}", show),
    Route("/searches/{search}/state", state),
    Route("/searches/{search}/stop", stop, methods=["POST"]),
    Route("/searches/{search}/download/{ending}", download),
)

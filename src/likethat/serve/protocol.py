"""The models behind the banks, for programs: the Open Inference Protocol, and its first version with explanations.

`/v2/models/NAME/infer` and `/v1/models/NAME:predict` answer with probabilities, `/v1/models/NAME:explain` with the
explanations that the pages show, as KServe's explainers do. NAME is that of a bank. Who may ask, and how much at once,
is the same as for pages.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from torch import Tensor

from likethat._documents import Damaged, parse_json
from likethat._version import __version__
from likethat.explanations import Bank
from likethat.serve.body import read_body
from likethat.serve.downloads import written
from likethat.serve.explaining import Question
from likethat.serve.instances import image_of, tensor_of
from likethat.serve.site import Site, site_of

_OUTPUTS = ("probabilities", "logits")
_BINARY = "inference-header-content-length"
_Done = TypeVar("_Done")


async def _server(_request: Request) -> Response:
    return JSONResponse({"name": "likethat", "version": __version__, "extensions": []})


async def _live(_request: Request) -> Response:
    return JSONResponse({"live": True})


async def _ready(_request: Request) -> Response:
    return JSONResponse({"ready": True})


async def _list(request: Request) -> Response:
    return JSONResponse({"models": list(site_of(request).shelf.names)})


async def _is_ready(request: Request) -> Response:
    return JSONResponse({"name": site_of(request).shelved(request).name, "ready": True})


async def _describe(request: Request) -> Response:
    """Tell what a model takes and gives, (n, channel, height, width) and (n, class); -1 stands for any size."""
    shelved = site_of(request).shelved(request)
    bank = shelved.bank
    shape = [-1, bank.model.in_channels, -1, -1]
    outputs = [{"name": name, "datatype": "FP64", "shape": [-1, len(bank.class_names)]} for name in _OUTPUTS]
    inputs = [{"name": "images", "datatype": "FP32", "shape": shape}]
    return JSONResponse({"name": shelved.name, "platform": "", "inputs": inputs, "outputs": outputs})


async def _asked(request: Request, work: Callable[[Site, Bank, Mapping[str, Any]], _Done]) -> tuple[str, _Done]:
    """Read a question, and return the name of the bank and what `work` makes of it, once it had its turn."""
    site = site_of(request)
    shelved = site.shelved(request)
    if _BINARY in request.headers:
        raise HTTPException(400, "Tensors must be JSON here, got binary ones. Send them as `data` in the request.")
    body = await read_body(request, most=site.limits.upload, seconds=site.limits.seconds)
    return shelved.name, await site.desk.run(lambda: work(site, shelved.bank, _question(body)))


def _question(body: bytes) -> Mapping[str, Any]:
    try:
        found = parse_json(body)
    except Damaged:
        found = None
    if not isinstance(found, Mapping):
        raise HTTPException(400, "A question must be a JSON object, got something else.")
    return found


async def _infer(request: Request) -> Response:
    """Answer with probabilities and logits, or with those outputs that were asked for."""

    def work(site: Site, bank: Bank, question: Mapping[str, Any]) -> dict[str, Any]:
        wanted = _wanted(question)
        images = tensor_of(question.get("inputs"), bank=bank, limits=site.limits)
        found = dict(zip(_OUTPUTS, _numbers(bank, images), strict=True))
        outputs = [_tensor(name, found[name]) for name in wanted]
        said = {"id": question["id"]} if isinstance(question.get("id"), str) else {}
        return said | {"outputs": outputs}

    name, answer = await _asked(request, work)
    return JSONResponse({"model_name": name} | answer)


def _wanted(question: Mapping[str, Any]) -> list[str]:
    asked = question.get("outputs") or [{"name": name} for name in _OUTPUTS]
    names = [one.get("name") if isinstance(one, Mapping) else one for one in asked] if isinstance(asked, list) else []
    strange = next((name for name in names if name not in _OUTPUTS), None)
    if not names or strange is not None:
        raise HTTPException(400, f"`outputs` must name some of {', '.join(_OUTPUTS)}, got {str(strange)[:80]!r}.")
    return [str(name) for name in names]


def _numbers(bank: Bank, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return probabilities and logits, (n, class), float64."""
    with torch.no_grad():
        logits = bank.model.logits(images)
        return bank.model.probabilities(logits).cpu(), logits.cpu().double()


def _tensor(name: str, values: Tensor) -> dict[str, Any]:
    return {"name": name, "datatype": "FP64", "shape": list(values.shape), "data": values.flatten().tolist()}


async def _predict(request: Request) -> Response:
    """Answer with a row of probabilities an instance."""

    def work(site: Site, bank: Bank, question: Mapping[str, Any]) -> list[list[float]]:
        images = [image_of(one, bank=bank, limits=site.limits) for one in _instances(question, site.limits.instances)]
        is_one_size = len({tuple(image.shape) for image in images}) == 1
        batches = [torch.stack(images)] if is_one_size else [image[None] for image in images]
        return [row for batch in batches for row in _numbers(bank, batch)[0].tolist()]

    _, predictions = await _asked(request, work)
    return JSONResponse({"predictions": predictions})


async def _explain(request: Request) -> Response:
    """Answer with an explanation an instance: the record that a page's download holds."""

    def work(site: Site, bank: Bank, question: Mapping[str, Any]) -> list[Any]:
        asked = {name: question.get(name) for name in ("target", "against", "top")}
        words = Question.of(bank, *("" if value is None else str(value) for value in asked.values()))
        found = []
        for one in _instances(question, site.limits.explained):
            image = image_of(one, bank=bank, limits=site.limits)
            explain = bank.explain if words.against is None else bank.contrast
            among = [words.target] if words.against is None else [words.target, words.against]
            found.append(parse_json(written(explain(image, *among, top=words.top), "json")))
        return found

    name, explanations = await _asked(request, work)
    return JSONResponse({"model_name": name, "explanations": explanations})


def _instances(question: Mapping[str, Any], most: int) -> list[Any]:
    instances = question.get("instances")
    if not isinstance(instances, list) or not instances:
        raise HTTPException(400, "`instances` must be a list of one image or more, got none.")
    if len(instances) > most:
        raise HTTPException(400, f"`instances` must be at most {most} at once, got {len(instances)}.")
    return instances


ROUTES = [
    Route("/v2", _server),
    Route("/v2/health/live", _live),
    Route("/v2/health/ready", _ready),
    Route("/v2/models/{bank}", _describe),
    Route("/v2/models/{bank}/ready", _is_ready),
    Route("/v2/models/{bank}/infer", _infer, methods=["POST"]),
    Route("/v1/models", _list),
    Route("/v1/models/{bank}:predict", _predict, methods=["POST"]),
    Route("/v1/models/{bank}:explain", _explain, methods=["POST"]),
    Route("/v1/models/{bank}", _is_ready),
]

"""Which backend a predictor goes through; and the simplest backend, for functions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import Tensor, nn

from likethat._checks import require
from likethat._inputs import Inputs
from likethat._options import shown
from likethat._responses import Response
from likethat.errors import InputError
from likethat.models.black_box.address import Address, is_url
from likethat.models.black_box.arrays import as_frame, rows_of, select_columns
from likethat.models.black_box.backend import Backend, Facts
from likethat.models.black_box.endpoint import EndpointBackend
from likethat.models.black_box.estimator import EstimatorBackend, is_estimator
from likethat.models.black_box.first_version import FirstVersionBackend
from likethat.models.black_box.inference import InferenceBackend
from likethat.models.black_box.network import NetworkBackend
from likethat.models.black_box.onnx_file import OnnxBackend
from likethat.models.split_model import SplitModel


class BackendOptions(TypedDict, total=False):
    """What only some backends take: `output_name` those of ONNX files and inference servers, the rest those of URLs.

    `binary_data` is of inference servers: tensors travel as bytes behind the JSON; None leaves it to what Triton needs.
    """

    output_name: str | None
    binary_data: bool | None
    template: Any
    answer: str
    token_env: str | None
    token_header: str
    headers: Mapping[str, str] | Sequence[str] | None
    ca: str | Path | None
    certificate: str | Path | None
    certificate_key: str | Path | None
    certificate_password_env: str | None
    timeout: float
    retries: int
    backoff: float
    rate: float | None
    concurrency: int
    max_answer: int


class FunctionBackend:
    """A Python function: it gets the batch as it is, and no gradients are recorded."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function
        name = getattr(function, "__name__", "") or type(function).__name__
        self.facts = Facts(name=str(name))

    def __call__(self, batch: Inputs) -> Any:
        """Call the function."""
        with torch.no_grad():
            return self._function(batch)


class Prepared:
    """A backend with the user's own changes to a batch in front of it."""

    def __init__(self, backend: Backend, *, columns: Sequence[str] | None, change: Callable[[Any], Any] | None) -> None:
        self.facts = backend.facts if change is None else replace(backend.facts, identity=None)
        self.backend, self._change = backend, change
        self._columns = None if columns is None else [str(name) for name in columns]

    @property
    def answers_rows(self) -> bool:
        """Whether it is a model of this process, whose answer has a row for each of a batch and costs nothing."""
        is_network = isinstance(self.backend, NetworkBackend) and not self.backend.is_whole
        return is_network or isinstance(self.backend, EstimatorBackend | OnnxBackend)

    def __call__(self, batch: Inputs) -> Any:
        """Name or choose the columns, apply the user's function, ask."""
        if self._columns is not None and not isinstance(batch, list):
            is_tensor = isinstance(batch, Tensor)
            batch = as_frame(batch, self._columns) if is_tensor else select_columns(batch, self._columns)
        return self.backend(batch if self._change is None else self._change(batch))


class Responding:
    """A backend of whose answers a function makes one number an input."""

    def __init__(self, backend: Backend, response: Response) -> None:
        self.backend, self._response = backend, response
        self.facts = replace(backend.facts, identity=None, class_names=(response.name,), output="numbers")

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done to the inputs, in sentences."""
        return tuple(getattr(self.backend, "notes", ()))

    @property
    def requests(self) -> int | None:
        """HTTP requests sent, where there are any."""
        return getattr(self.backend, "requests", None)

    def __call__(self, batch: Inputs) -> Any:
        """Ask, and return what the response says of the answer, (n, 1)."""
        return self._response.values(self.backend(batch), rows_of(batch))[:, None]


def open_backend(predict: Any, options: BackendOptions, *, response: Response | None = None) -> Backend:
    """Return the backend for a function, an estimator, a network, an ONNX file or a URL.

    With a response, a network's answer is whatever it returns.

    Raises:
        InputError: it is none of them, or an option is another backend's.
    """
    if response is not None:
        if not isinstance(response, Response):
            raise InputError(
                f"`response` must be a likethat.Response, got {shown(response)}. Wrap the function in one."
            )
        is_network = isinstance(predict, nn.Module)
        whole = NetworkBackend(predict, is_whole=True) if is_network else open_backend(predict, options)
        return Responding(whole, response)
    if is_url(predict):
        return _open_url(predict, options)
    if isinstance(predict, Path) or (isinstance(predict, str) and predict.lower().endswith(".onnx")):
        _refuse(options, but=("output_name",), what="an ONNX file")
        return OnnxBackend(predict, output_name=options.get("output_name"))
    _refuse(options, but=(), what=f"a {type(predict).__name__}")
    if isinstance(predict, nn.Module | SplitModel):
        return NetworkBackend(predict)
    if is_estimator(predict):
        return EstimatorBackend(predict)
    if callable(predict) and not isinstance(predict, type):
        return FunctionBackend(predict)
    raise InputError(
        "`predict` must be a function, a fitted scikit-learn estimator, a torch module, the path of an .onnx file or a "
        f"URL, got {_shown(predict)}.{' Make an instance of it first.' if isinstance(predict, type) else ''}"
        f"{' Load a network by its name first: likethat.load(...).' if isinstance(predict, str) else ''}"
    )


def _open_url(url: str, options: BackendOptions) -> Backend:
    require("httpx", purpose="A URL")
    from likethat.models.black_box.http import Link
    from likethat.models.black_box.link_options import LinkOptions

    address = Address.parse(url)
    own = {field.name for field in fields(LinkOptions)}
    chosen: dict[str, Any] = {name: value for name, value in options.items() if name in own}
    template = options.get("template")
    if template is not None:
        _refuse(options, but=("template", "answer", *own), what="a template")
        return EndpointBackend(
            Link(address, LinkOptions(**chosen)), template=template, answer=options.get("answer", "")
        )
    is_first = "/v1/models/" in address.shown
    if not is_first and "/v2/models/" not in address.shown:
        raise InputError(
            f"`template` must say what to send to {address.shown}, which is no address of an inference server "
            "(https://host/v2/models/name, https://host/v1/models/name). "
            'Try template={"instances": "$inputs"}, answer="predictions".'
        )
    of_second = () if is_first else ("binary_data",)
    _refuse(options, but=("output_name", *of_second, *own), what="an inference server")
    link, output_name = Link(address.model(), LinkOptions(**chosen)), options.get("output_name")
    if is_first:
        return FirstVersionBackend(link, output_name=output_name)
    return InferenceBackend(link, output_name=output_name, binary_data=options.get("binary_data"))


def _refuse(options: BackendOptions, *, but: Sequence[str], what: str) -> None:
    """Refuse an option that nobody would read."""
    strange = next((name for name in options if name not in but), None)
    if strange is not None:
        allowed = f" It takes {', '.join(but)}." if but else ""
        raise InputError(f"`{strange}` is no option of {what}.{allowed} Leave it out.")


def _shown(predict: Any) -> str:
    if isinstance(predict, str):  # a mistyped address may hold a password
        return "a text with '@' in it, which is no address" if "@" in predict else repr(predict[:80])
    return f"the class {predict.__name__}" if isinstance(predict, type) else type(predict).__name__

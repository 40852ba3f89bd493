"""The backend of ONNX files, run by onnxruntime on the CPU; nothing in the file is ever executed as code."""

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from likethat._checks import require
from likethat._inputs import Inputs
from likethat.errors import BlackBoxError, InputError, ModelError
from likethat.models.black_box.arrays import filled_up, fit_shape, padding_note, rows_of, select_columns
from likethat.models.black_box.backend import Facts
from likethat.models.black_box.casting import Brightness, as_type, texts_of
from likethat.models.black_box.choice import choose_output
from likethat.models.black_box.onnx_weights import external_files

_TYPES = {"float": "float32", "double": "float64", "float16": "float16", "bool": "bool"} | {
    f"{sign}int{bits}": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}
_RULES = "numbers 2"
"""How inputs become numbers is part of what an answer on disk answers: version 1 cut fractions off."""


class OnnxBackend:
    """Runs an ONNX model; names, shapes and types of what goes in and out are read from the file.

    Args:
        path: the file.
        output_name: which output holds the probabilities, where that is not plain.

    Raises:
        InputError: no such file.
        ModelError: no ONNX model, one that needs operators of its own, or weights that lie elsewhere.
    """

    def __init__(self, path: str | Path, *, output_name: str | None = None) -> None:
        path = Path(path).expanduser()
        if not path.is_file():
            raise InputError(f"`predict` must be an .onnx file, got {str(path)!r}, which does not exist.")
        weights = external_files(path)
        self._path, self._session = path.absolute(), _load(path)
        self._inputs = self._session.get_inputs()
        outputs = {item.name: _is_number(item.type) for item in self._session.get_outputs()}
        self._output = choose_output(outputs, wanted=output_name, who=path.name)
        self._brightness = Brightness()
        self._padding: tuple[str, ...] = ()
        self.facts = Facts(name=path.stem, identity=f"onnx {_hash(path, weights)} {self._output} {_RULES}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Let another process open the file, which must lie at the same path there."""
        return partial(type(self), output_name=self._output), (self._path,)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done to the inputs, in sentences."""
        return self._brightness.notes + self._padding

    def __call__(self, batch: Inputs) -> Any:
        """Return the chosen output for a batch; a model of a fixed batch gets it in pieces, the last one filled up."""
        feed = self._feed(batch)
        n, size = rows_of(batch), self._fixed_batch()
        if size is None or size == n:
            return self._run(feed)
        if n % size:
            self._padding = (padding_note(self.facts.name, size),)
        pieces: list[Any] = []
        for start in range(0, n, size):
            part = {name: filled_up(array[start : start + size], size) for name, array in feed.items()}
            answer = self._run(part)
            if len(answer) != size:
                raise BlackBoxError(
                    f"{self.facts.name} must answer {size} inputs with {size} rows, got {len(answer)}. Export it with "
                    "a batch axis of any size."
                )
            pieces.extend(answer[: min(size, n - start)])
        return pieces if isinstance(pieces[0], dict) else np.stack(pieces)

    def _run(self, feed: dict[str, np.ndarray]) -> Any:
        return self._session.run([self._output], feed)[0]

    def _fixed_batch(self) -> int | None:
        return next((item.shape[0] for item in self._inputs if item.shape and isinstance(item.shape[0], int)), None)

    def _feed(self, batch: Inputs) -> dict[str, np.ndarray]:
        if len(self._inputs) == 1:
            return {self._inputs[0].name: self._array(batch, self._inputs[0])}
        if isinstance(batch, Tensor | list):
            raise InputError(
                f"`inputs` must be a table with the columns that {self.facts.name} takes "
                f"({_listed([item.name for item in self._inputs])}), got one array. Name them with columns=."
            )
        names = [item.name for item in self._inputs]
        table = select_columns(batch, names)
        return {item.name: self._array(table[[item.name]], item) for item in self._inputs}

    def _array(self, batch: Inputs, item: Any) -> np.ndarray:
        """Return a batch in the type and shape of one input of the model."""
        kind = item.type.removeprefix("tensor(").removesuffix(")")
        if kind == "string":
            array = self._texts(batch)
        elif isinstance(batch, list):
            raise InputError(f"`inputs` must be numbers ({kind}) as {self.facts.name} takes, got texts.")
        elif kind in _TYPES:
            dtype = np.dtype(_TYPES[kind])
            array = as_type(batch, dtype, taker=self.facts.name, brightness=self._brightness)
        else:
            raise InputError(f"`inputs` cannot be given to {self.facts.name}, which takes {item.type}.")
        shape = [size if isinstance(size, int) else None for size in item.shape]
        return fit_shape(array, shape, taker=f"{self.facts.name} ({item.name!r})") if shape else array

    def _texts(self, batch: Inputs) -> np.ndarray:
        if isinstance(batch, Tensor):
            raise InputError(f"`inputs` must be texts as {self.facts.name} takes, got a tensor.")
        if isinstance(batch, list):
            return np.array(batch, dtype=object)
        columns = [texts_of(column, name=name, taker=self.facts.name) for name, column in batch.items()]
        missing = next((name for name, cells in zip(batch.columns, columns, strict=True) if None in cells), None)
        if missing is not None:
            raise InputError(
                f"`inputs` must have no missing texts as {self.facts.name} takes them, got some in column "
                f"{str(missing)!r}. Fill them with the text that stood for them in training."
            )
        return np.array(columns, dtype=object).T


def _load(path: Path) -> Any:
    runtime = require("onnxruntime", purpose="An ONNX file")
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    try:
        return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the library has a dozen classes of its own and no common one
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"`predict` must be an ONNX model of standard operators, and {path.name!r} cannot be opened ({reason}). "
            "Export it again."
        ) from error


def _hash(path: Path, weights: Sequence[Path]) -> str:
    """Return a digest of the file, and of the weights that large models keep beside it."""
    digest = hashlib.sha256()
    for item in [path, *weights]:
        with item.open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    return digest.hexdigest()


def _is_number(kind: str) -> bool:
    return any(f"({name}" in kind for name in ("float", "double", "bfloat16"))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names[:6])

"""The door of the Open Inference Protocol, version 2, which KServe, Triton and MLServer speak."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from likethat._inputs import Inputs
from likethat.errors import BlackBoxError, InputError
from likethat.models.black_box.arrays import as_numbers, fit_shape, plain, rows_of
from likethat.models.black_box.choice import choose_output
from likethat.models.black_box.door import Facts

if TYPE_CHECKING:
    import pandas as pd

    from likethat.models.black_box.http import Link

__all__ = ["InferenceDoor"]

_TYPES = {"FP16": "float32", "FP32": "float32", "FP64": "float64", "BOOL": "bool"} | {
    f"{sign}INT{bits}": f"{sign.lower()}int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)
}


@dataclass(frozen=True, kw_only=True)
class _Slot:
    """One input tensor of a model: its name, type and shape (batch first, None where any size will do)."""

    name: str
    datatype: str
    shape: tuple[int | None, ...]


class InferenceDoor:
    """Asks a model of an inference server; what it takes is read from its metadata at the first question.

    A table goes in as one tensor of numbers, or as one tensor a column where the metadata names the columns, or where
    it says nothing and the table holds more than numbers. Texts travel as BYTES.
    """

    def __init__(self, link: "Link", *, output_name: str | None = None) -> None:
        self._link, self._output_name = link, output_name
        self._slots: list[_Slot] | None = None
        self._lock = threading.Lock()
        is_known = "?" not in link.address.url
        self.facts = Facts(
            name=link.address.shown,
            identity=f"{link.address.shown} {output_name or ''}" if is_known else None,
            batch_size=64,
            workers=int(link.options.concurrency),
            notes=link.notes,
        )

    @property
    def requests(self) -> int:
        """HTTP requests sent."""
        return self._link.requests

    def __call__(self, batch: Inputs) -> Any:
        """Send a batch and return the numbers of the chosen output."""
        slots = self._known_slots()
        size = next((slot.shape[0] for slot in slots if slot.shape and slot.shape[0] is not None), None)
        tensors = self._tensors(batch, slots)
        if size is None or size == rows_of(batch):
            return self._ask(tensors)
        if size != 1:
            raise InputError(
                f"`batch_size` must be {size} as {self.facts.name} takes, got a batch of {rows_of(batch)}. Set it."
            )
        return np.concatenate([self._ask([_row(tensor, row) for tensor in tensors]) for row in range(rows_of(batch))])

    def _known_slots(self) -> list[_Slot]:
        with self._lock:
            if self._slots is None:
                metadata = self._link.json(self._link.address.url)
                if not isinstance(metadata, Mapping):
                    raise BlackBoxError(f"{self.facts.name} must describe its model, got {type(metadata).__name__}.")
                try:
                    self._slots = [_slot(item) for item in metadata.get("inputs") or []]
                except (TypeError, KeyError, ValueError):
                    raise BlackBoxError(
                        f"{self.facts.name} must describe its inputs by name, datatype and shape, and does not."
                    ) from None
            return self._slots

    def _ask(self, tensors: list[dict[str, Any]]) -> np.ndarray:
        body: dict[str, Any] = {"inputs": [tensor | {"data": tensor["data"].ravel().tolist()} for tensor in tensors]}
        if len(tensors) > 1:
            body["parameters"] = {"content_type": "pd"}  # MLServer then puts the columns together; others ignore it
        if self._output_name is not None:
            body["outputs"] = [{"name": self._output_name}]
        reply = self._link.json(self._link.address.below("/infer"), body)
        outputs = reply.get("outputs") if isinstance(reply, Mapping) else None
        try:
            named = {str(item["name"]): item for item in outputs or []}
            numbers = {name: str(item["datatype"]).startswith("FP") for name, item in named.items()}
        except (TypeError, KeyError, AttributeError):
            named, numbers = {}, {}
        if not named:
            raise BlackBoxError(f"{self.facts.name} must answer with `outputs`, got none. Check the address.")
        return _array(named[choose_output(numbers, wanted=self._output_name, who=self.facts.name)], self.facts.name)

    def _tensors(self, batch: Inputs, slots: Sequence[_Slot]) -> list[dict[str, Any]]:
        if isinstance(batch, list):
            slot = self._only(slots, default="BYTES")
            shape = [len(batch)] + [1] * (len(slot.shape) - 1)
            return [_tensor(slot.name, "BYTES", np.array(batch, dtype=object).reshape(shape), content="str")]
        if not isinstance(batch, Tensor) and _is_by_column(batch, slots):
            return _columns(batch, slots)
        slot = self._only(slots, default="FP64")
        array = as_numbers(batch, taker=self.facts.name, dtype=_dtype(slot.datatype))
        if not np.isfinite(array).all():
            raise InputError(f"`inputs` must have no missing values, as {self.facts.name} takes one array. Fill them.")
        array = fit_shape(array, slot.shape, taker=self.facts.name) if slot.shape else array
        return [_tensor(slot.name, slot.datatype, array)]

    def _only(self, slots: Sequence[_Slot], *, default: str) -> _Slot:
        if len(slots) > 1:
            names = ", ".join(repr(slot.name) for slot in slots[:6])
            raise InputError(
                f"`inputs` must be a table with the columns that {self.facts.name} takes ({names}), got one array. "
                "Name them with columns=."
            )
        return slots[0] if slots else _Slot(name="input-0", datatype=default, shape=())


def _is_by_column(table: "pd.DataFrame", slots: Sequence[_Slot]) -> bool:
    if slots:
        return len(slots) > 1 or [slot.name for slot in slots] == [str(name) for name in table.columns]
    return any(column.dtype.kind not in "iufb" for _, column in table.items())


def _slot(item: Mapping[str, Any]) -> _Slot:
    shape = tuple(None if int(size) < 0 else int(size) for size in item["shape"])
    return _Slot(name=str(item["name"]), datatype=str(item["datatype"]), shape=shape)


def _columns(table: "pd.DataFrame", slots: Sequence[_Slot]) -> list[dict[str, Any]]:
    """Return one tensor a column, of the type that the model takes or that the column has."""
    names = {str(name): name for name in table.columns}
    missing = [slot.name for slot in slots if slot.name not in names]
    if missing:
        raise InputError(
            f"`inputs` must have the columns that the model takes, got none named {', '.join(missing[:6])}."
        )
    if not slots:
        kinds = {name: _datatype(table[column]) for name, column in names.items()}
        slots = [_Slot(name=name, datatype=kind, shape=(None, 1)) for name, kind in kinds.items()]
    tensors = []
    for slot in slots:
        values = np.array([plain(value) for value in table[names[slot.name]]], dtype=object)
        content = "str" if slot.datatype == "BYTES" else None
        tensors.append(_tensor(slot.name, slot.datatype, values.reshape([-1] + [1] * (len(slot.shape) - 1)), content))
    return tensors


def _datatype(column: "pd.Series[Any]") -> str:
    return {"i": "INT64", "u": "UINT64", "f": "FP64", "b": "BOOL"}.get(column.dtype.kind, "BYTES")


def _dtype(datatype: str) -> Any:
    if datatype not in _TYPES:
        raise InputError(f"`inputs` must be texts for an input of type {datatype}, got numbers.")
    return np.dtype(_TYPES[datatype])


def _tensor(name: str, datatype: str, array: np.ndarray, content: str | None = None) -> dict[str, Any]:
    tensor = {"name": name, "datatype": datatype, "shape": list(array.shape), "data": array}
    return tensor | {"parameters": {"content_type": content}} if content else tensor


def _row(tensor: dict[str, Any], row: int) -> dict[str, Any]:
    data = tensor["data"][row : row + 1]
    return tensor | {"data": data, "shape": list(data.shape)}


def _array(output: Mapping[str, Any], who: str) -> np.ndarray:
    try:
        return np.array(output["data"], dtype=np.float64).reshape([int(size) for size in output["shape"]])
    except (TypeError, ValueError, KeyError):
        raise BlackBoxError(f"{who} must answer with numbers in the shape it says, and does not.") from None

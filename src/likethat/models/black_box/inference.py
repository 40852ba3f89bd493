"""The backend of the Open Inference Protocol, version 2, which KServe, Triton and MLServer speak."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from likethat._inputs import Inputs
from likethat._options import check_flag
from likethat.errors import BlackBoxError, InputError
from likethat.models.black_box.arrays import check_named_once, filled_up, fit_shape, padding_note, rows_of
from likethat.models.black_box.backend import Facts
from likethat.models.black_box.binary import TEXTS, TYPES, filled_in, packed
from likethat.models.black_box.casting import Brightness, as_type, column_of_numbers, fit_type, texts_of
from likethat.models.black_box.choice import choose_output
from likethat.models.black_box.portions import Portions, RefusedError, fewer_rows

if TYPE_CHECKING:
    import pandas as pd

    from likethat.models.black_box.http import Link

_FRACTIONS = ("FP16", "BF16", "FP32", "FP64")
_HALVES = ("FP16", "BF16")  # Triton takes them as bytes alone
_MOST_ROWS = 65_536  # beyond that, filling a batch up costs more memory than any service takes
_UNDESCRIBED = frozenset({400, 403, 404, 405, 501})
"""How a server, or a gateway before it, says that it describes no models; it may answer questions all the same."""
_RULES = "numbers 2"
"""How inputs become numbers is part of what an answer on disk answers: version 1 cut fractions off."""


@dataclass(frozen=True, kw_only=True)
class _Slot:
    """One input tensor of a model: its name, type and shape (batch first, None where any size will do)."""

    name: str
    datatype: str
    shape: tuple[int | None, ...]


class InferenceBackend:
    """Asks a model of an inference server; what it takes is read from its metadata at the first question.

    A table goes in as one tensor of numbers, or as one tensor a column where the metadata names the columns, or where
    it says nothing and the table holds more than numbers. Texts travel as BYTES. Each number goes in the type that the
    input has, a missing one as null; or all as bytes behind the JSON (`binary_data`). A model that takes a fixed number
    of rows gets as many, its last one repeated.
    """

    def __init__(self, link: "Link", *, output_name: str | None = None, binary_data: bool | None = None) -> None:
        self._link, self._output_name = link, output_name
        self._is_binary = None if binary_data is None else check_flag(binary_data, name="binary_data")
        self._slots: list[_Slot] | None = None
        self._brightness = Brightness()
        self._padding: tuple[str, ...] = ()
        self._portions = Portions(link.address.shown)
        self._is_single = False
        self._lock = threading.Lock()
        self.facts = Facts(
            name=link.address.shown,
            identity=f"{link.identity} {output_name or ''} {_RULES}" if link.identity else None,
            batch_size=64,
            workers=int(link.options.concurrency),
            notes=link.notes,
        )

    @property
    def requests(self) -> int:
        """HTTP requests sent."""
        return self._link.requests

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done to the inputs, in sentences."""
        return self._brightness.notes + self._padding + self._portions.notes

    def __call__(self, batch: Inputs) -> Any:
        """Send a batch and return the numbers of the chosen output."""
        slots = self._known_slots()
        return self._portions.ask(batch, lambda part: self._send_in_axes(part, slots))

    def _send_in_axes(self, batch: Inputs, slots: list[_Slot]) -> Any:
        """Send a batch to a model whose description may leave out the axis of the rows.

        It may take them all the same; where it refuses them it gets its rows one by one, without that axis.
        """
        if not _lacks_rows(batch, slots):
            return self._send(batch, slots)
        whole = [replace(slot, shape=(None, *slot.shape)) for slot in slots]
        refusal: RefusedError | None = None
        if not self._is_single:
            try:
                return self._send(batch, whole)
            except RefusedError as error:
                if fewer_rows(error, rows_of(batch)) is not None:
                    raise
                refusal = error
        tensors = self._tensors(batch, whole)
        try:
            answers = [self._ask([_without_axis(tensor, row) for tensor in tensors]) for row in range(rows_of(batch))]
        except RefusedError:
            raise refusal or RefusedError(f"{self.facts.name} must take what it describes, and does not.") from None
        self._is_single = True
        return torch.cat([torch.as_tensor(answer).reshape(1, -1) for answer in answers])

    def _send(self, batch: Inputs, slots: Sequence[_Slot]) -> Any:
        size = next((slot.shape[0] for slot in slots if slot.shape and slot.shape[0] is not None), None)
        tensors, n = self._tensors(batch, slots), rows_of(batch)
        if size is None or size == n:
            return self._ask(tensors)
        if not 1 <= size <= _MOST_ROWS:
            raise BlackBoxError(
                f"{self.facts.name} must take 1 to {_MOST_ROWS} rows at once, got {size} in its description."
            )
        if n % size:
            self._padding = (padding_note(self.facts.name, size),)
        answers = [self._ask([_rows(tensor, start, size) for tensor in tensors]) for start in range(0, n, size)]
        wrong = next((len(answer) for answer in answers if len(answer) != size), size)
        if wrong != size:
            raise BlackBoxError(
                f"{self.facts.name} must answer {size} inputs with {size} rows, got {wrong}. Check its configuration."
            )
        together = torch.cat if isinstance(answers[0], Tensor) else np.concatenate
        return together(answers)[:n]

    def _known_slots(self) -> list[_Slot]:
        with self._lock:
            if self._slots is None:
                metadata = self._described()
                if not isinstance(metadata, Mapping):
                    raise BlackBoxError(f"{self.facts.name} must describe its model, got {type(metadata).__name__}.")
                if "inputs" not in metadata and (said := self._link.said(metadata)):
                    raise BlackBoxError(f"{self.facts.name} must describe its model, got {said}. Check that it runs.")
                try:
                    self._slots = [_slot(item) for item in metadata.get("inputs") or []]
                except (TypeError, KeyError, ValueError, OverflowError):
                    raise BlackBoxError(
                        f"{self.facts.name} must describe its inputs by name, datatype and shape, and does not."
                    ) from None
                if metadata.get("platform"):
                    self._read_limit()
                    if self._is_binary is None:
                        self._is_binary = any(slot.datatype in _HALVES for slot in self._slots)
            return self._slots

    def _described(self) -> Any:
        try:
            return self._link.json(self._link.address.url)
        except RefusedError as error:
            if error.status not in _UNDESCRIBED:
                raise
            return {"inputs": []}

    def _read_limit(self) -> None:
        """Read how many rows are taken at once from what Triton tells beside the protocol; others have no such page."""
        try:
            config = self._link.json(self._link.address.below("/config"))
        except BlackBoxError:
            return
        most = config.get("max_batch_size") if isinstance(config, Mapping) else None
        if isinstance(most, int) and not isinstance(most, bool) and most >= 0:
            self._portions.most = most or None
            self._is_single = most == 0

    def _ask(self, tensors: list[dict[str, Any]]) -> Any:
        reply = self._reply_to(tensors)
        is_failure = isinstance(reply, Mapping) and isinstance(reply.get("error"), str) and reply["error"].strip()
        outputs = reply.get("outputs") if isinstance(reply, Mapping) and not is_failure else None
        try:
            named = {str(item["name"]): item for item in outputs or []}
            numbers = {name: item["datatype"] in _FRACTIONS for name, item in named.items()}
        except (TypeError, KeyError, AttributeError):
            named, numbers = {}, {}
        if not named:
            said = self._link.said(reply)
            raise BlackBoxError(
                f"{self.facts.name} must answer with `outputs`, got {said or 'none'}. Check the address."
            )
        return _array(named[choose_output(numbers, wanted=self._output_name, who=self.facts.name)], self.facts.name)

    def _reply_to(self, tensors: list[dict[str, Any]]) -> Any:
        """Send tensors as JSON, or as bytes behind it; return the answer, with what stood behind its JSON in place."""
        raws = [packed(each["data"], each["datatype"]) for each in tensors] if self._is_binary else []
        body: dict[str, Any] = {"inputs": [each | {"data": _listed(each["data"])} for each in tensors if not raws]}
        for tensor, raw in zip(tensors, raws, strict=False):
            told = tensor.get("parameters", {}) | {"binary_data_size": len(raw)}
            body["inputs"].append({name: tensor[name] for name in ("name", "datatype", "shape")} | {"parameters": told})
        parameters: dict[str, Any] = {"content_type": "pd"} if len(tensors) > 1 else {}
        parameters |= {"binary_data_output": True} if raws else {}  # "pd": MLServer then puts the columns together
        body |= {"parameters": parameters} if parameters else {}
        if self._output_name is not None:
            chosen = {"name": self._output_name}
            body["outputs"] = [chosen | {"parameters": {"binary_data": True}} if raws else chosen]
        reply, raw = self._link.mixed(self._link.address.below("/infer"), body, b"".join(raws))
        try:
            filled_in(reply.get("outputs") or [] if isinstance(reply, Mapping) else [], raw)
        except (TypeError, ValueError, AttributeError):
            raise BlackBoxError(
                f"{self.facts.name} must answer with as many bytes as it says, and does not. Check the server, or "
                "ask with binary_data=False."
            ) from None
        return reply

    def _tensors(self, batch: Inputs, slots: Sequence[_Slot]) -> list[dict[str, Any]]:
        if isinstance(batch, list):
            slot = self._only(slots, default="BYTES")
            if slot.datatype not in TEXTS:
                raise InputError(f"`inputs` must be numbers ({slot.datatype}) as {self.facts.name} takes, got texts.")
            shape = [len(batch)] + [1] * (len(slot.shape) - 1)
            return [_tensor(slot.name, slot.datatype, np.array(batch, dtype=object).reshape(shape), content="str")]
        if not isinstance(batch, Tensor) and _is_by_column(batch, slots):
            return _columns(batch, slots, taker=self.facts.name)
        slot = self._only(slots, default="FP64")
        if slot.datatype in TEXTS and not isinstance(batch, Tensor):
            columns = [texts_of(column, name=name, taker=self.facts.name) for name, column in batch.items()]
            array = np.array(columns, dtype=object).T
        else:
            dtype = _dtype(slot.datatype, taker=self.facts.name)
            array = as_type(batch, dtype, taker=self.facts.name, brightness=self._brightness)
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


def _lacks_rows(batch: Inputs, slots: Sequence[_Slot]) -> bool:
    """Whether the only input of a model has the shape of one row: its description leaves out the axis of the rows."""
    if len(slots) != 1 or isinstance(batch, list) or not slots[0].shape:
        return False
    row = tuple(batch.shape[1:])
    return len(row) == len(slots[0].shape) and all(
        want in (None, have) for want, have in zip(slots[0].shape, row, strict=True)
    )


def _slot(item: Mapping[str, Any]) -> _Slot:
    shape = tuple(None if int(size) < 0 else int(size) for size in item["shape"])
    return _Slot(name=str(item["name"]), datatype=str(item["datatype"]), shape=shape)


def _columns(table: "pd.DataFrame", slots: Sequence[_Slot], *, taker: str) -> list[dict[str, Any]]:
    """Return one tensor a column, of the type that the model takes or that the column has."""
    names = {str(name): name for name in table.columns}
    missing = [slot.name for slot in slots if slot.name not in names]
    if missing:
        raise InputError(
            f"`inputs` must have the columns that the model takes, got none named {', '.join(missing[:6])}."
        )
    check_named_once(table, list(names.values()))
    slots = slots or [_Slot(name=name, datatype=_datatype(table[key]), shape=(None, 1)) for name, key in names.items()]
    tensors = []
    for slot in slots:
        column, is_text = table[names[slot.name]], slot.datatype in TEXTS
        if is_text:
            values = np.array(texts_of(column, name=slot.name, taker=taker), dtype=object)
        else:
            numbers = column_of_numbers(column, name=slot.name, taker=taker)
            values = fit_type(numbers, _dtype(slot.datatype, taker=taker), taker=taker, what=f"column {slot.name!r}")
        shaped = values.reshape([-1] + [1] * (len(slot.shape) - 1))
        tensors.append(_tensor(slot.name, slot.datatype, shaped, "str" if is_text else None))
    return tensors


def _datatype(column: "pd.Series[Any]") -> str:
    """Return the type of a column; whole numbers of which some are missing are told as fractions are."""
    if column.dtype.kind in "iub" and column.isna().any():
        return "FP64"
    return {"i": "INT64", "u": "UINT64", "f": "FP64", "b": "BOOL"}.get(column.dtype.kind, "BYTES")


def _dtype(datatype: str, *, taker: str) -> "np.dtype[Any]":
    if datatype in TEXTS:
        raise InputError(f"`inputs` must be texts ({datatype}) as {taker} takes, got numbers.")
    if datatype not in TYPES:
        raise InputError(f"`inputs` cannot be given to {taker}, which takes {datatype[:40]!r}, a type nobody knows.")
    return np.dtype(TYPES[datatype])


def _listed(array: np.ndarray) -> list[Any]:
    """Return values as JSON has them: whole numbers without a point, null where one is missing."""
    flat = array.ravel()
    if flat.dtype.kind != "f":
        return list(flat.tolist())
    if np.isinf(flat).any():
        raise InputError(
            "`inputs` must be finite, as JSON has no infinity, got some. Leave such rows out, or put in "
            "what stands for it."
        )
    values = list(flat.tolist())
    return [None if value != value else value for value in values] if np.isnan(flat).any() else values  # noqa: PLR0124


def _tensor(name: str, datatype: str, array: np.ndarray, content: str | None = None) -> dict[str, Any]:
    tensor = {"name": name, "datatype": datatype, "shape": list(array.shape), "data": array}
    return tensor | {"parameters": {"content_type": content}} if content else tensor


def _rows(tensor: dict[str, Any], start: int, size: int) -> dict[str, Any]:
    """Return `size` rows of a tensor from one on, the last one repeated where there are fewer."""
    data = filled_up(tensor["data"][start : start + size], size)
    return tensor | {"data": data, "shape": list(data.shape)}


def _without_axis(tensor: dict[str, Any], row: int) -> dict[str, Any]:
    """Return one row of a tensor, without the axis of the rows."""
    return tensor | {"data": tensor["data"][row], "shape": list(tensor["data"].shape[1:])}


def _array(output: Mapping[str, Any], who: str) -> Any:
    """Return the numbers of an output, in its precision where that is a low one; of texts those that they say."""
    try:
        array = np.array(output["data"], dtype=np.float64).reshape([int(size) for size in output["shape"]])
    except (TypeError, ValueError, KeyError, OverflowError):
        raise BlackBoxError(f"{who} must answer with numbers in the shape it says, and does not.") from None
    low = {"FP16": torch.float16, "BF16": torch.bfloat16}.get(str(output["datatype"]))
    return array if low is None else torch.from_numpy(array).to(low)

"""The backend to any service that takes and gives JSON: a small template says where the inputs go."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from likethat._inputs import Inputs
from likethat._options import shown
from likethat.errors import BlackBoxError, InputError
from likethat.models.black_box.arrays import check_named_once, rows_of
from likethat.models.black_box.backend import Facts
from likethat.models.black_box.casting import cells_of
from likethat.models.black_box.portions import Portions

if TYPE_CHECKING:
    from likethat.models.black_box.http import Link

_PLACES = ("$inputs", "$records", "$columns", "$input")


class EndpointBackend:
    """Fills the batch into a template and reads the rows out of the answer.

    Args:
        link: the way to the service.
        template: what to send. In it ``"$inputs"`` stands for the list of rows (nested lists of numbers, or texts),
            ``"$records"`` for a table as a list of ``{column: value}``, ``"$columns"`` for the names of its columns,
            ``"$input"`` for a single row: then each request holds one.
        answer: where the rows are in what comes back: names and numbers with dots between, as "outputs.0.data"; ""
            where the answer is the list itself.
        below: what stands behind the address of the model where it is asked.
    """

    def __init__(self, link: "Link", *, template: Any, answer: str = "", below: str = "") -> None:
        places = [place for place in _PLACES if place in _texts(template)]
        if not {"$inputs", "$records", "$input"} & set(places):
            raise InputError(
                '`template` must say where the inputs go with "$inputs", "$records" or "$input", as in '
                f'{{"instances": "$inputs"}}, got {shown(template)}.'
            )
        self._link, self._template = link, template
        self._url = link.address.below(below) if below else link.address.url
        self._portions = Portions(link.address.shown)
        self._path = [step for step in answer.split(".") if step]
        self._is_single = "$input" in places
        rule = json.dumps([template, answer], sort_keys=True, default=str)
        self.facts = Facts(
            name=link.address.shown,
            identity=f"{link.identity} {rule}" if link.identity else None,
            batch_size=1 if self._is_single else 64,
            workers=int(link.options.concurrency),
            notes=link.notes,
        )

    @property
    def requests(self) -> int:
        """HTTP requests sent."""
        return self._link.requests

    @property
    def notes(self) -> tuple[str, ...]:
        """What was learned of the service, in sentences."""
        return self._portions.notes

    def __call__(self, batch: Inputs) -> Any:
        """Send a batch and return the rows of the answer."""
        return self._portions.ask(batch, self._send)

    def _send(self, batch: Inputs) -> Any:
        if not self._is_single:
            return self._ask(_filled(self._template, _places(batch)))
        rows = [self._ask(_filled(self._template, {"$input": row})) for row in _rows(batch)]
        return [row[0] if isinstance(row, list) and len(row) == 1 and isinstance(row[0], list) else row for row in rows]

    def _ask(self, body: Any) -> Any:
        reply = value = self._link.json(self._url, body)
        if self._path and isinstance(reply, Mapping) and isinstance(reply.get("error"), str) and reply["error"].strip():
            raise BlackBoxError(f"{self.facts.name} must answer without an error, got {self._link.said(reply)}.")
        for step in self._path:
            value = _step(value, step, who=self.facts.name, said=self._link.said(value))
        said = self._link.said(value if isinstance(value, Mapping) else reply)
        is_rows = isinstance(value, list) and value
        if isinstance(value, Mapping) and (said or not self._is_single):
            raise BlackBoxError(
                f"{self.facts.name} must answer with a list of rows, got {said or f'a mapping with {_keys(value)}'}. "
                "Say where the rows are: answer='predictions', say."
            )
        if said and not is_rows and not isinstance(value, Mapping):
            raise BlackBoxError(f"{self.facts.name} must answer with a list of rows, got {said}. Check what it takes.")
        if isinstance(value, str):
            said = self._link.said({"text": value, "message": value})
            raise BlackBoxError(f"{self.facts.name} must answer with a list of rows, got {said}. Check what it takes.")
        return value


def _step(value: Any, step: str, *, who: str, said: str) -> Any:
    if isinstance(value, Mapping) and step in value:
        return value[step]
    if isinstance(value, list) and step.lstrip("-").isdigit() and -len(value) <= int(step) < len(value):
        return value[int(step)]
    have = said or (f"a mapping with {_keys(value)}" if isinstance(value, Mapping) else type(value).__name__)
    raise BlackBoxError(f"{who} must answer with {step!r} as `answer` says, got {have}. Check what it takes.")


def _keys(value: Mapping[Any, Any]) -> str:
    return ", ".join(repr(str(key)[:40]) for key in list(value)[:6]) or "nothing in it"


def _texts(template: Any) -> set[str]:
    if isinstance(template, str):
        return {template}
    if isinstance(template, Mapping):
        return {text for value in template.values() for text in _texts(value)}
    return {text for value in template for text in _texts(value)} if isinstance(template, list | tuple) else set()


def _filled(template: Any, places: Mapping[str, Any]) -> Any:
    if isinstance(template, str):
        return places.get(template, template)
    if isinstance(template, Mapping):
        return {key: _filled(value, places) for key, value in template.items()}
    return [_filled(value, places) for value in template] if isinstance(template, list | tuple) else template


def _places(batch: Inputs) -> dict[str, Any]:
    rows = _rows(batch)
    if isinstance(batch, Tensor | np.ndarray | list):
        return {"$inputs": rows, "$records": rows, "$columns": []}
    check_named_once(batch, list(batch.columns))
    columns = [str(name) for name in batch.columns]
    return {"$inputs": rows, "$columns": columns, "$records": [dict(zip(columns, row, strict=True)) for row in rows]}


def _rows(batch: Inputs) -> list[Any]:
    if isinstance(batch, list):
        return batch
    if isinstance(batch, Tensor | np.ndarray):  # an array is what inputs=... may make of it
        return list(batch.tolist())
    columns = [cells_of(column, name=name) for name, column in batch.items()]
    return [list(row) for row in zip(*columns, strict=True)] if columns else [[] for _ in range(rows_of(batch))]

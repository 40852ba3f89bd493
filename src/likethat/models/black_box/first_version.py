"""The backend of the first version of the inference protocol, which KServe and TensorFlow Serving speak."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from likethat._inputs import Inputs
from likethat.models.black_box.choice import choose_output
from likethat.models.black_box.endpoint import EndpointBackend

if TYPE_CHECKING:
    from likethat.models.black_box.http import Link


class FirstVersionBackend:
    """Asks a model at ``/v1/models/NAME:predict``: ``{"instances": [...]}`` brings ``{"predictions": [...]}``.

    A table of numbers travels as rows, one that holds anything else as a record a row, ``{column: value}``. Where each
    prediction is a mapping of outputs to lists, one of them is chosen as in version 2.
    """

    def __init__(self, link: "Link", *, output_name: str | None = None) -> None:
        self._rows = EndpointBackend(link, template={"instances": "$inputs"}, answer="predictions", below=":predict")
        self._records = EndpointBackend(
            link, template={"instances": "$records"}, answer="predictions", below=":predict"
        )
        self._output_name = output_name
        self.facts = self._rows.facts.named(output_name)

    @property
    def requests(self) -> int:
        """HTTP requests sent."""
        return self._rows.requests

    @property
    def notes(self) -> tuple[str, ...]:
        """What was learned of the service, in sentences."""
        return self._rows.notes or self._records.notes

    def __call__(self, batch: Inputs) -> Any:
        """Send a batch and return the rows of the chosen output."""
        rows = (self._records if _is_mixed(batch) else self._rows)(batch)
        outputs = [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
        if not outputs or len(outputs) < len(rows):
            return rows
        if self._output_name is None and not any(isinstance(value, list) for value in outputs[0].values()):
            return rows  # a number a class, by its name
        numbers = {str(name): _is_fractions(value) for name, value in outputs[0].items()}
        name = choose_output(numbers, wanted=self._output_name, who=self.facts.name)
        return [row.get(name) for row in outputs]


def _is_mixed(batch: Any) -> bool:
    """Whether it is a table that holds more than numbers."""
    return hasattr(batch, "dtypes") and any(column.dtype.kind not in "iufb" for _, column in batch.items())


def _is_fractions(value: Any) -> bool:
    numbers = value if isinstance(value, list) else [value]
    return bool(numbers) and all(isinstance(number, float) for number in numbers)

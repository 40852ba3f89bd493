"""The protocol between a black box and whatever answers it."""

from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, TypeAlias

from likethat._inputs import Inputs

Output: TypeAlias = Literal["auto", "probabilities", "logits", "labels", "numbers"]
"""What a predictor answers with: "auto" decides on its first answer, "labels" are probabilities of independent ones,
"numbers" are taken as they are."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a predictor before it is asked.

    Attributes:
        name: printable; holds no credential.
        identity: the same text for the same predictor in every process, and another for another one; None where
            that cannot be told (a Python function).
        class_names: its classes, where it knows them; empty otherwise.
        output: what its answers are, where that is known.
        batch_size: rows it takes at once, unless the caller says otherwise.
        workers: batches that may be on their way at once.
        notes: sentences that its user should read.
    """

    name: str
    identity: str | None = None
    class_names: tuple[str, ...] = ()
    output: Output = "auto"
    batch_size: int = 256
    workers: int = 1
    notes: tuple[str, ...] = ()

    def named(self, output: str | None) -> "Facts":
        """Return the facts of the same predictor, of which one output is read."""
        return self if output is None or self.identity is None else replace(self, identity=f"{self.identity} {output}")


class Backend(Protocol):
    """Takes a batch to a predictor and brings back what it said, as it said it.

    Attributes:
        facts: what is known of the predictor before it is asked.
    """

    facts: Facts

    def __call__(self, batch: Inputs) -> Any:
        """Return the answer to a batch; raise whatever the predictor raises."""
        ...

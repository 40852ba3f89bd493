"""A bank: what each unit of a model looks for, and the coordinates that make it exact."""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import nn

from likethat._calls import public
from likethat._checkpoint import Checkpoint
from likethat._checks import check_choice, check_count
from likethat._class_names import are_unnamed, resolve_target
from likethat._options import check_flag
from likethat._session import in_own_session
from likethat.coordinates import Coordinates, SharedCells
from likethat.errors import BankError, BankMismatchError, InputError
from likethat.explanations.coco import coco_of
from likethat.explanations.explain import ImageLike, explain
from likethat.explanations.explanation import Explanation
from likethat.explanations.images import ImageStore
from likethat.explanations.names import check_name, unit_called
from likethat.explanations.records import Prototype, Provenance
from likethat.explanations.result import Result, fields_of
from likethat.explanations.storage import write_bank
from likethat.functional.familiarity import Familiar
from likethat.functional.links import Outputs
from likethat.models import Head, SplitModel, check_model, split
from likethat.models.settings import Settings

if TYPE_CHECKING:
    from likethat.sources import Sample


@public
@in_own_session
class Bank(Result):
    """Prototypes of a model's units, and the exact coordinates they belong to.

    Opens without the data, without the generator and, for browsing, without the model; `explain` needs the model.

    Args:
        coordinates: the exact split of the head, or of the cells of each image.
        prototypes: of all units.
        images: their pictures.
        head: of the model, so that the bank can be browsed without it.
        class_names: of the model.
        provenance: how the bank was made.
        usage: (unit,) mean absolute contribution to the predicted class over the data.
        familiar: what vectors the pictures gave that the bank was made from; None where that was not kept.
        model: what is explained, or the network alone; None for browsing.
        settings: how the model was split; None takes it from the model, and is unknown without one.
        named: names that people gave units, see `rename`.
    """

    def __init__(
        self,
        *,
        coordinates: Coordinates | SharedCells,
        prototypes: Sequence[Prototype],
        images: ImageStore,
        head: Head,
        class_names: Sequence[str],
        provenance: Provenance,
        usage: Float[NDArray[np.float32], " unit"],
        familiar: Familiar | None = None,
        model: SplitModel | nn.Module | None = None,
        settings: Settings | None = None,
        named: Mapping[int, str] | None = None,
    ) -> None:
        self.coordinates = coordinates
        self.prototypes = tuple(prototypes)
        self.images = images
        self.head = head
        self.class_names = tuple(class_names)
        self.provenance = provenance
        self.usage = usage
        self.familiar = familiar
        self.settings = settings
        self.checkpoint: Checkpoint | None = None  # of the fit that made the bank; it goes when the bank is saved
        self._named: dict[int, str] = {}
        self._model: SplitModel | None = None
        for unit, name in (named or {}).items():
            self.rename(unit, name)
        if model is not None:
            self.attach(model)

    @property
    def model(self) -> SplitModel:
        """The model that the bank explains.

        Raises:
            BankError: the bank was opened without one.
        """
        if self._model is None:
            raise BankError(
                f"this bank was opened without its model ({self.provenance.model}). Open it with "
                "open_bank(path, model=...), or call bank.attach(model)."
            )
        return self._model

    @property
    def outputs(self) -> Outputs:
        """What the model's logits stand for; of a bank of an earlier version as far as its classes tell."""
        if self.settings is not None:
            return self.settings.outputs
        return "softmax" if len(self.class_names) > 1 else "sigmoid"

    def attach(self, model: SplitModel | nn.Module) -> "Bank":
        """Give the bank the model it was made from.

        Args:
            model: split as when the bank was made, or the network alone: then the bank's own preprocessing, outputs,
                layer and class names are put back.

        Raises:
            BankMismatchError: it is another model, or split in another way.
            ModelError: its network has changed since it was split.
        """
        check_model(model)
        if isinstance(model, nn.Module):
            model = split(model) if self.settings is None else self.settings.split(model, self.class_names)
        if model.fingerprint != self.provenance.fingerprint:
            raise BankMismatchError(
                f"`model` must be the one the bank was made from, {self.provenance.model} with fingerprint "
                f"{self.provenance.fingerprint[:12]}…, got {model.name} with {model.fingerprint[:12]}…. Load the same "
                "weights and layer, or fit a new bank, as where an earlier version split this network in another way."
            )
        model.check_unchanged(fully=True)
        if self.settings is None:
            self.settings = Settings.of(model)
        else:
            self.settings.check(model, self.class_names)
        unnamed = are_unnamed(model.class_names) and model.class_names != self.class_names
        self._model = model.called(self.class_names) if unnamed else model
        return self

    @property
    def n_units(self) -> int:
        """How many channels or parts there are."""
        return self.coordinates.n_units

    @property
    def unit_names(self) -> tuple[str, ...]:
        """What to call each unit: the name that people gave it, else its own."""
        own = self.coordinates.unit_names
        return tuple(self._named.get(unit, name) for unit, name in enumerate(own)) if self._named else own

    @property
    def named(self) -> Mapping[int, str]:
        """The names that people gave, by unit."""
        return MappingProxyType(dict(sorted(self._named.items())))

    def rename(self, unit: int | str, name: str | None) -> str:
        """Give a unit a name of yours, which is saved with the bank.

        It stands in every page, table, figure and explanation from now on; explanations made before keep the name that
        the unit had then.

        Args:
            unit: its number, or what it is called now.
            name: up to 120 signs in one line; several units may have the same. None, or its own name, puts its own
                back.

        Returns:
            What the unit was called before: given back to `rename`, it undoes this.

        Raises:
            InputError: no such unit, several of that name, no name, or another unit's own name.
        """
        own = self.coordinates.unit_names
        number = unit_called(unit, self.unit_names)
        before = self.unit_names[number]
        given = own[number] if name is None else check_name(name, number, own)
        self._named.pop(number, None)
        if given != own[number]:
            self._named[number] = given
        return before

    @property
    def mixing(self) -> torch.Tensor:
        """The matrix on the channels (EPIC, ProDG).

        Raises:
            BankError: the bank holds no mixing.
        """
        matrix = getattr(self.coordinates, "matrix", None)
        if matrix is None:
            raise BankError(f"a bank of {self.provenance.method} has no mixing matrix.")
        result: torch.Tensor = matrix()
        return result

    @cached_property
    def _by_unit(self) -> dict[tuple[int, str], tuple[Prototype, ...]]:
        grouped: dict[tuple[int, str], list[Prototype]] = {}
        for prototype in self.prototypes:
            grouped.setdefault((prototype.unit, prototype.kind), []).append(prototype)
        return {key: tuple(sorted(group, key=lambda item: item.rank)) for key, group in grouped.items()}

    def prototypes_of(self, unit: int, kind: Literal["positive", "negative"] = "positive") -> tuple[Prototype, ...]:
        """Return a unit's prototypes, strongest first; empty for a unit that is never active.

        Raises:
            InputError: no such unit or kind.
        """
        check_choice(kind, name="kind", choices=("positive", "negative"))
        if check_count(unit, name="unit", minimum=0) >= self.n_units:
            raise InputError(f"`unit` must be from 0 to {self.n_units - 1}, got {unit}.")
        return self._by_unit.get((unit, kind), ())

    @cached_property
    def unit_purity(self) -> Float[NDArray[np.float32], " unit"]:
        """Mean purity of each unit's positive prototypes; NaN where it has none."""
        means = [
            np.mean([item.purity for item in group]) if (group := self.prototypes_of(unit)) else np.nan
            for unit in range(self.n_units)
        ]
        return np.asarray(means, dtype=np.float32)

    @property
    def purity(self) -> float:
        """Mean purity over the units that have prototypes."""
        values = self.unit_purity[~np.isnan(self.unit_purity)]
        return float(values.mean()) if len(values) else 0.0

    def explain(self, image: "ImageLike | Sample", target: int | str | None = None, *, top: int = 4) -> Explanation:
        """Explain why the model gives an image its logit for a class.

        Args:
            image: path, PIL image, array, tensor in [0, 1], or a `Sample`; any size.
            target: class index or name; the predicted class when None.
            top: how many units to show.

        Raises:
            BankError: the bank has no model.
            TargetError: no such class.
        """
        index = None if target is None else resolve_target(target, self.class_names)
        return explain(self, image, target=index, against=None, top=top)

    def contrast(
        self,
        image: "ImageLike | Sample",
        target: int | str | None = None,
        against: int | str | None = None,
        *,
        top: int = 4,
    ) -> Explanation:
        """Explain why one class and not another: the units that separate the two logits.

        Args:
            image: as in `explain`.
            target: the one class; the predicted one when None.
            against: the other class; the best of the others when None.
            top: how many units to show; those of the largest difference either way.
        """
        first = None if target is None else resolve_target(target, self.class_names)
        second = -1 if against is None else resolve_target(against, self.class_names)
        return explain(self, image, target=first, against=second, top=top)

    def _write(self, path: Path, *, overwrite: bool) -> Path:
        return write_bank(self, path, overwrite=overwrite)

    def to_coco(self, *, originals: bool = False) -> dict[str, Any]:
        """Return the boxes of all positive prototypes as COCO's document of object detection.

        Its pictures are those in the bank's folder (``images/KEY.png``), as the network saw them, and boxes are in
        their pixels; categories are units. ``save("x.coco.json")`` writes it.

        Args:
            originals: boxes in pixels of the pictures that were read, which are named as their source names them (files
                below the folder); what lies beyond their edges, where the network's view is padded, is cut off.

        Raises:
            InputError: `originals` of a bank whose pictures were made, or that a likethat before 0.2 fitted.
        """
        check_flag(originals, name="originals")
        return coco_of(self.prototypes, self.images, self.unit_names, originals=originals)

    def _facts(self) -> dict[str, Any]:
        names = ("provenance", "class_names", "unit_names", "usage", "purity", "unit_purity", "prototypes")
        return {name: getattr(self, name) for name in names}

    def _columns(self) -> dict[str, Any]:
        names = [field.name for field in dataclasses.fields(Prototype) if field.name not in ("cell", "original")]
        called = self.unit_names
        named = {"name": [called[item.unit] for item in self.prototypes]}
        return named | fields_of(self.prototypes, names)

    def _line(self) -> str:
        about = self.provenance
        given = f" ({len(self._named)} named)" if self._named else ""
        units = f"{self.n_units} units{given}, {len(self.prototypes)} prototypes"
        return f"<Bank of {about.method} for {about.model}: {units}>"

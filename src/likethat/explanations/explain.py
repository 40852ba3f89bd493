"""From a bank and an image to an explanation whose terms add up to the logit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from likethat._checks import check_count
from likethat.coordinates import Coordinates, HeadParts, Rotation, SharedCells, SuperclassParts
from likethat.errors import InputError, ModelError, NonFiniteError
from likethat.explanations._seen_before import unlike_sentence, without_itself
from likethat.explanations.explanation import EXACT, Explanation
from likethat.explanations.records import Contribution, Prototype
from likethat.functional import cell_box, peak_cells
from likethat.models import SplitModel
from likethat.sources import ImageFolder, Images
from likethat.sources.base import Sample

if TYPE_CHECKING:
    from likethat.explanations.bank import Bank

SHARED = (
    "The rows add up to the logit, not to the class's row of the head: each takes its share of what every cell of this "
    "picture supplies, and another picture is shared out anew."
)
"""What an explanation by shared cells says of itself."""

_MOST_NAMED = 12  # classes of a superclass: what a reader takes in at a glance

ImageLike = Any
"""A path, PIL image, NumPy array, tensor in [0, 1] or `Sample`."""


def as_sample(image: ImageLike, reading: Mapping[str, Any] | None = None) -> Sample:
    """Turn whatever a user hands over as one image into a `Sample`.

    Args:
        image: see `ImageLike`.
        reading: what was said of the pixels of the bank's images (``background``, ``white``): this one is read so too.

    Raises:
        InputError: it is no image, or more than one.
    """
    if isinstance(image, Sample):
        return image
    if isinstance(image, (str, Path)):
        path = Path(image)
        if not path.exists():
            raise InputError(f"`image` must be an image file, got {path}, which does not exist.")
        if path.is_dir():
            raise InputError(f"`image` must be one image, got the folder {path}. Name a file in it.")
        return ImageFolder(path, **_as_said(reading))[0]
    if isinstance(image, Tensor | np.ndarray) and image.ndim == 4 and len(image) != 1:
        raise InputError(f"`image` must be one image, got a batch of {len(image)}. Explain them one by one.")
    if isinstance(image, Tensor | np.ndarray) and image.ndim == 4:
        image = image[0]
    said = _as_said(reading)
    if _is_in_unit_range(image):
        said.pop("white", None)
    return Images([image], **said)[0]


def _is_in_unit_range(image: Any) -> bool:
    """Whether an array of fractions lies in [0, 1] already, whatever is white in the files of the bank's images."""
    if isinstance(image, Tensor):
        return image.is_floating_point() and bool((image <= 1).all())
    return isinstance(image, np.ndarray) and image.dtype.kind == "f" and bool((image <= 1).all())


def _as_said(reading: Any) -> dict[str, Any]:
    """Return the arguments of a source that a bank's data report holds; the file may be anybody's."""
    known = reading if isinstance(reading, Mapping) else {}
    return {name: known[name] for name in ("background", "white") if name in known}


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """What the network makes of one image, on the CPU."""

    view: Tensor
    feature_map: Tensor  # (channel, row, column)
    mean: Tensor  # (channel,)
    pooled: Tensor
    logits: Tensor
    constant: Tensor  # (channel,) of the pooled vector


def explain(bank: "Bank", image: ImageLike, *, target: int | None, against: int | None, top: int) -> Explanation:
    """Take a logit apart; with `against`, the difference of two (-1: the best other class).

    Source:
        Borycki et al. (2026), EPIC: score of channel k for class c = A'[c, k] * ReLU(v'_k).

    Differs:
        No ReLU: what is shown is what the logit consists of, negative evidence too, so that all of it adds up.
    """
    check_count(top, name="top")
    model = bank.model
    sample, seen = look_at(bank, image)
    predicted = int(seen.logits.argmax())
    chosen, other = classes_of(bank, seen, target, against)
    terms = terms_of(bank, seen, model, chosen, other)
    logit = float(seen.logits[chosen]) - (float(seen.logits[other]) if other is not None else 0.0)
    scale = max(abs(float(seen.logits[index])) for index in (chosen, other) if index is not None)
    named = _remainder_terms(model, terms, logit, scale)
    shown = shown_rows(bank, terms, seen, top, against=other)
    others, own = without_itself(shown, seen.view, bank.images)
    rows = others if terms.n_shown is None else tuple(_ranked(row, terms.n_shown) for row in others)
    probabilities = model.probabilities(seen.logits)
    return Explanation(
        image=seen.view.numpy(),
        source=sample.name,
        target=chosen,
        against=other,
        predicted=predicted,
        class_names=bank.class_names,
        logit=logit,
        probability=float(probabilities[chosen]),
        bias=terms.bias,
        remainder=float(sum(named.values())),
        remainder_terms=named,
        contributions=terms.located.float().numpy(),
        unlocated=terms.unlocated.float().numpy(),
        rows=rows,
        spatially_additive=model.spatially_additive,
        images=bank.images,
        provenance=bank.provenance,
        warnings=(
            *unlike_sentence(bank.familiar, seen.pooled),
            *filter(None, [bank.provenance.warning]),  # a page folds what comes after the first few
            *own,
            *_shared(bank, chosen),
            *_warnings(model, seen, terms, logit, bank.provenance.agreement),
            *_cautions(bank, chosen, predicted, other),
            *_bare(rows, bank.class_names[chosen]),
        ),
        surroundings=_surroundings(bank, terms),
        scale=scale,
        outputs=model.outputs,
        probabilities=probabilities.numpy(),
    )


def look_at(bank: "Bank", image: ImageLike) -> tuple[Sample, Seen]:
    """Return an image, and what a bank's network makes of it.

    Raises:
        BankError: the bank has no model.
        NotLinearError: the model's head cannot be taken apart.
        NonFiniteError: its logits are no numbers.
    """
    model = bank.model
    model.require_linear(bank.provenance.method)
    sample = as_sample(image, bank.provenance.data.get("reading"))
    try:
        return sample, _seen(model, sample)
    finally:  # once, after the pass: it may have changed before, or another thread may have trained it meanwhile
        model.check_unchanged()


@torch.no_grad()
def _seen(model: SplitModel, sample: Sample) -> Seen:
    view = model.preprocess.view(sample.image)
    output = model.forward(view[None])
    logits = output.logits[0].cpu()
    if not bool(torch.isfinite(logits).all()):
        raise NonFiniteError(
            f"the model's logits for {sample.name} must be finite, got NaN or infinity. Check the image, and the "
            "precision the model runs in."
        )
    feature_map = output.feature_map[0].cpu()
    return Seen(
        view=view.cpu(),
        feature_map=feature_map,
        mean=feature_map.flatten(1).mean(1),
        pooled=output.pooled[0].cpu(),
        logits=logits,
        constant=model.constant(view[None])[0].cpu() if model.held else torch.zeros_like(output.pooled[0]).cpu(),
    )


def classes_of(bank: "Bank", seen: Seen, target: int | None, against: int | None) -> tuple[int, int | None]:
    """Return the class that is explained, and the one that it is held against, if any.

    Raises:
        InputError: they are one.
    """
    chosen = int(seen.logits.argmax()) if target is None else target
    other = _other_class(seen.logits, chosen) if against == -1 else against
    if other == chosen:
        raise InputError(f"`against` must be another class than `target`, got {bank.class_names[chosen]!r} twice.")
    return chosen, other


def _other_class(logits: Tensor, target: int) -> int:
    if len(logits) < 2:
        raise InputError(
            "`against` needs a model of two classes or more, got one of 1. bank.explain(image) says what speaks for "
            "its class and what against."
        )
    others = logits.clone()
    others[target] = -torch.inf
    return int(others.argmax())


@dataclass(frozen=True, kw_only=True, eq=False)
class _Unit:
    """One unit on one image."""

    name: str
    heat_map: Tensor  # (cell,) float64
    activation_map: Tensor  # (cell,)
    centroid: Tensor | None  # (channel,) what purity is measured by; the coordinates' own measure when None
    prototypes: tuple[Prototype, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Terms:
    """All units' terms of one logit, in float64."""

    units: Tensor
    unit: Callable[[int], _Unit]  # by its place among the units
    heat_maps: Callable[[], Float[Tensor, "unit cell"]]  # of all of them
    head: Float[Tensor, " channel"]  # of the logit, times the spatial weight
    located: Float[Tensor, " all_units"]
    unlocated: Float[Tensor, " all_units"]
    bias: float
    n_shown: int | None = None  # prototypes a row; None: all


def terms_of(bank: "Bank", seen: Seen, model: SplitModel, target: int, against: int | None) -> Terms:
    """Return what every unit supplies to a logit, or to the difference of two."""
    coordinates = bank.coordinates
    if isinstance(coordinates, SharedCells):
        return _of_shares(bank, coordinates, seen, model, target, against)
    units, supplied = _supplied(coordinates, target, against)
    weight = model.spatial_weight.cpu().double()
    located = supplied(weight * seen.mean)
    unlocated = supplied(seen.pooled) - located if not model.spatially_additive else 0 * located
    cells = seen.feature_map.flatten(1)
    placed = weight * cells.T.double()  # (cell, channel)

    def unit(place: int) -> _Unit:
        number = int(units[place])
        activation_map = coordinates.detectors(units[place][None])[0] @ cells
        lowest = bank.prototypes_of(number, "negative") if float(activation_map.mean()) < 0 else ()
        return _Unit(
            name=bank.unit_names[number],
            heat_map=supplied(placed, place)[:, 0] / len(placed),
            activation_map=activation_map,
            centroid=None,
            prototypes=lowest or bank.prototypes_of(number),
        )

    return Terms(
        units=units,
        unit=unit,
        heat_maps=lambda: supplied(placed).T / len(placed),
        head=_of_head(bank.head.weight, target, against) * weight,
        located=_everywhere(located, units, bank.n_units),
        unlocated=_everywhere(unlocated, units, bank.n_units),
        bias=_of_head(bank.head.bias, target, against),
    )


def _of_shares(
    bank: "Bank", coordinates: SharedCells, seen: Seen, model: SplitModel, target: int, against: int | None
) -> Terms:
    """Share out what every cell supplies, and what has no place as the cells are shared on average."""
    cells = seen.feature_map.flatten(1)
    divided = coordinates.divide(cells, target)
    vector = _of_head(bank.head.weight, target, against)
    head = vector * model.spatial_weight.cpu().double()
    heat_maps = divided.shares * (head @ cells.double() / cells.shape[1])
    unplaced = float(vector @ seen.pooled.double()) - float(head @ seen.mean.double())
    unlocated = divided.shares.mean(1) * (0.0 if model.spatially_additive else unplaced)

    def unit(place: int) -> _Unit:
        alike = [item for other in divided.alike[place] for item in bank.prototypes_of(other)]
        own = int(divided.units[place])
        return _Unit(
            name=bank.unit_names[own] if _is_own(coordinates, own, divided.names[place]) else divided.names[place],
            heat_map=heat_maps[place],
            activation_map=divided.presence[place],
            centroid=divided.centroids[place],
            prototypes=tuple(replace(item, unit=own, rank=rank) for rank, item in enumerate(alike)),
        )

    return Terms(
        units=divided.units,
        unit=unit,
        heat_maps=lambda: heat_maps,
        head=head,
        located=_everywhere(heat_maps.sum(1), divided.units, divided.n_units),
        unlocated=_everywhere(unlocated, divided.units, divided.n_units),
        bias=_of_head(bank.head.bias, target, against),
        n_shown=divided.n_shown,
    )


def _is_own(coordinates: SharedCells, unit: int, name: str) -> bool:
    """Return whether a row is a unit of the bank, which people may have named, and no region of the picture at hand."""
    return unit < coordinates.n_units and coordinates.unit_names[unit] == name


def _everywhere(values: Tensor, units: Tensor, n_units: int) -> Tensor:
    """Return values of some units among all, 0 elsewhere."""
    return values.new_zeros(n_units).index_add(0, units, values)


def _of_head(values: Tensor, target: int, against: int | None) -> Any:
    """Return a class's row of the head, or its bias, in float64; less the other class's."""
    own = values[target].cpu().double()
    found = own if against is None else own - values[against].cpu().double()
    return found if found.ndim else float(found)


def _supplied(coordinates: Coordinates, target: int, against: int | None) -> tuple[Tensor, Callable[..., Tensor]]:
    """Return the units of a logit, and `Coordinates.supplied` of it: of vectors, by all units or the one at a place."""
    own = coordinates.units_of(target)
    if against is None:
        return own, partial(coordinates.supplied, target)
    if isinstance(coordinates, Rotation):  # whose units are every class's
        return own, partial(coordinates.supplied, target, against=against)
    other = coordinates.units_of(against)

    def supplied(vectors: Tensor, place: int | None = None) -> Tensor:
        if place is None:
            return torch.cat([coordinates.supplied(target, vectors), -coordinates.supplied(against, vectors)], dim=-1)
        if place < len(own):
            return coordinates.supplied(target, vectors, place)
        return -coordinates.supplied(against, vectors, place - len(own))

    return torch.cat([own, other]), supplied


def _remainder_terms(model: SplitModel, terms: Terms, logit: float, scale: float) -> dict[str, float]:
    """Name what is not localised, the rounding of a half-precision head included.

    Raises:
        ModelError: more is missing than half precision rounds.
    """
    named: dict[str, float] = {}
    if not model.spatially_additive:
        named[model.remainder_name or "not in the feature map"] = float(terms.unlocated.sum())
    kind, share = model.rounding
    rest = logit - float(terms.located.sum()) - sum(named.values()) - terms.bias
    size = max(scale, float(torch.linalg.vector_norm(terms.located + terms.unlocated)))
    if not share or (kind == "TF32" and abs(rest) <= EXACT / 10 * size):  # which a GPU may use, and may not
        return named
    most = share * size
    if not abs(rest) <= most:
        raise ModelError(
            f"the contributions must add up to the network's own logit, {logit:.6g}, within what {kind} rounds, "
            f"{most:.1g}, got {logit - rest:.6g}. Has the network changed since it was split? Split it again, and fit "
            "the bank anew."
        )
    return {**named, f"rounding in {kind}": rest}


def _way(logits: Tensor, against: int | None) -> int:
    """Return the sign of the evidence to show: 0 for both, -1 where the one logit says no."""
    if against is not None:
        return 0
    return -1 if len(logits) == 1 and float(logits[0]) < 0 else 1


def shown_rows(
    bank: "Bank", terms: Terms, seen: Seen, top: int, *, against: int | None = None
) -> tuple[Contribution, ...]:
    """Return the units that an explanation shows, largest first."""
    way = _way(seen.logits, against)
    totals = (terms.located + terms.unlocated)[terms.units]
    order = (way * totals if way else totals.abs()).sort(descending=True, stable=True).indices[:top]
    if isinstance(bank.coordinates, HeadParts):  # what surrounds the object stands last
        order = order[bank.coordinates.surroundings[terms.units[order]].int().sort(stable=True).indices]
    return tuple(_row(bank, terms, seen, int(place)) for place in order)


def _row(bank: "Bank", terms: Terms, seen: Seen, place: int) -> Contribution:
    number, unit = int(terms.units[place]), terms.unit(place)
    grid = (seen.feature_map.shape[1], seen.feature_map.shape[2])
    activation_map = unit.activation_map.reshape(grid)
    # What a unit supplies by a negative activation comes from where that is lowest, and looks like the lowest images.
    lowest = unit.prototypes[:1] and unit.prototypes[0].kind == "negative"
    row, column = peak_cells(activation_map, lowest=bool(lowest)).tolist()
    vector = seen.feature_map[None, :, row, column]
    if unit.centroid is None:
        purity = bank.coordinates.purity(vector, torch.tensor([number]))
    else:
        purity = torch.nn.functional.cosine_similarity(vector, unit.centroid[None], eps=1e-12)
    return Contribution(
        unit=number,
        name=unit.name,
        contribution=float(terms.located[number]),
        unlocated=float(terms.unlocated[number]),
        activation=float(activation_map.mean()),
        purity=float(purity[0]),
        cell=(row, column),
        box=cell_box((row, column), grid=grid, size=(seen.view.shape[1], seen.view.shape[2])),
        heat_map=unit.heat_map.reshape(grid).float().numpy(),
        activation_map=activation_map.numpy(),
        prototypes=unit.prototypes,
    )


def _ranked(row: Contribution, n: int) -> Contribution:
    """Return a row with as many prototypes as are shown, numbered as they stand."""
    shown = enumerate(row.prototypes[:n])
    return replace(row, prototypes=tuple(replace(item, rank=rank) for rank, item in shown))


def _warnings(model: SplitModel, seen: Seen, terms: Terms, logit: float, measured: str) -> tuple[str, ...]:
    if model.spatially_additive:
        return ()
    if model.held:
        return (
            f"These contributions are exact for this image, with {model.held} held as on it. With other pixels it "
            "would be otherwise, so a contribution is not by how much the logit falls without its place. Of "
            f"{logit:+.3g}, {float(terms.located.sum()):+.3g} is located in the picture; {_unlocated(seen, terms)}.",
            *filter(None, [measured]),
        )
    return (
        f"This model's head reads its {model.remainder_name or 'pooled vector'}, not the map alone: the hatched "
        "share of a contribution is exact but not localised, and boxes show where a channel is most "
        "active, not what the logit is made of.",
    )


def _unlocated(seen: Seen, terms: Terms) -> str:
    """Say what has no place: what tokens have of their own, a constant, the bias."""
    constant = float(terms.head @ seen.constant.double())
    tokens = float(terms.unlocated.sum()) - constant
    words = [f"{tokens:+.3g} is the tokens' own"] if abs(tokens) > EXACT * abs(constant) else []
    return ", ".join([*words, f"{constant:+.3g} a constant", f"{terms.bias:+.3g} the bias"])


def _cautions(bank: "Bank", target: int, predicted: int, against: int | None) -> tuple[str, ...]:
    """Say what holds for parts: of a class that the image is not given to, their heat maps are one choice of many."""
    alone = len(bank.class_names) == 1
    if not isinstance(bank.coordinates, HeadParts) or alone or (target == predicted and against is None):
        return ()
    names = [bank.class_names[index] for index in (target, against) if index is not None and index != predicted]
    return (
        f"How the parts of {' and '.join(map(repr, names))} share what rejects other classes decides what its heat "
        f"maps look like here, where the model predicts {bank.class_names[predicted]!r}: the sums are exact, the "
        "places are one choice of several.",
    )


def _shared(bank: "Bank", target: int) -> tuple[str, ...]:
    """Say what rows that share out cells add up to, and of which classes the parts of a superclass are."""
    coordinates = bank.coordinates
    if not isinstance(coordinates, SuperclassParts):
        return (SHARED,) if isinstance(coordinates, SharedCells) else ()
    groups = coordinates.class_groups
    others = [index for index in (groups == groups[target]).nonzero()[:, 0].tolist() if index != target]
    if not others:
        return (SHARED,)
    names = [repr(bank.class_names[index].partition(",")[0]) for index in (target, *others)]
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return (SHARED, f"These {len(names)} classes have their parts together: {', '.join(names[:_MOST_NAMED])}{more}.")


def _bare(rows: Sequence[Contribution], name: str) -> tuple[str, ...]:
    """Say where nothing can be looked at beside the rows."""
    if any(row.prototypes for row in rows):
        return ()
    return (f"No row has a prototype: the images given hold no other one of {name!r}. Give images of it.",)


def _surroundings(bank: "Bank", terms: Terms) -> float | None:
    """Return the share of the positive evidence that units of the surroundings supply; None where they are a guess."""
    if not isinstance(bank.coordinates, HeadParts) or not bool(bank.coordinates.surroundings[terms.units].any()):
        return None
    if "density" in bank.coordinates.measures:  # found by it, not marked: how much of them is surroundings nobody knows
        return None
    positive = (terms.located + terms.unlocated).clamp_min(0)
    total = float(positive.sum())
    return float(positive[bank.coordinates.surroundings].sum()) / total if total > 0 else 0.0

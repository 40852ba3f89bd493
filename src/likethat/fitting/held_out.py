"""What a fit keeps back, and what is measured there: never on the images that were fitted to."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from likethat._vectors import rows_of
from likethat.coordinates import Coordinates, Rotation
from likethat.features import Features, read_peaks
from likethat.features.rows import priority
from likethat.functional import coverage
from likethat.search import top_rows

FEWEST = 5
"""Images that are kept back at least: a channel is judged by its five strongest."""
_ONE_IN = 5  # is kept back: four fifths still fit nearly as well, a fifth measures to about .02
_LITTLE = 0.2
"""Share of the evidence below which four rows are said to carry little: a fifth leaves four reasons of five unsaid."""
_DRAW = 7  # another draw than that of the images whose maps are held, which begins from the seed itself


def kept_back(features: Features, groups: Int[Tensor, " image"], *, seed: int) -> Int[Tensor, " map"]:
    """Return which held maps take no part in a fit: one in five of each group, drawn by a hash of seed and number.

    The draw depends on no order. A group of fewer than five images gives none; images of group -1 neither.

    Args:
        features: of one pass.
        groups: (image,) a class an image, or zeros for all alike.
        seed: of the fit.
    """
    back: list[int] = []
    of_slots = groups[features.kept].tolist()
    order = sorted(
        range(len(of_slots)), key=lambda slot: priority(seed + _DRAW, int(features.indices[features.kept[slot]]))
    )
    for group in set(of_slots) - {-1}:
        members = [slot for slot in order if of_slots[slot] == group]
        back += members[: len(members) // _ONE_IN]
    return torch.tensor(sorted(back), dtype=torch.long)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean and its standard error."""

    mean: float
    error: float

    @classmethod
    def of(cls, values: Float[Tensor, " value"]) -> "Estimate":
        """Take values as independent draws; the error of a single one is not known, NaN."""
        known = values[~values.isnan()].double()
        if not len(known):
            return cls(mean=float("nan"), error=float("nan"))
        error = float(known.std()) / len(known) ** 0.5 if len(known) > 1 else float("nan")
        return cls(mean=float(known.mean()), error=error)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What coordinates are worth on images that they were not fitted to.

    Attributes:
        n_images: these images.
        purity: mean purity of each unit's five strongest of them; the error is over units.
        coverage: mean share of the positive evidence in the four largest units; the error is over images.
        entropy: of the classes of each unit's five strongest, in bits: 0 where a unit stands for one class.
    """

    n_images: int
    purity: Estimate
    coverage: Estimate
    entropy: Estimate

    def measures(self, prefix: str) -> dict[str, float]:
        """Return the figures by name; those that are not known are left out."""
        found: dict[str, float] = {}
        for name, value in (("purity", self.purity), ("coverage_of_4", self.coverage), ("class_entropy", self.entropy)):
            if value.mean == value.mean:
                found[f"{prefix}_{name}"] = value.mean
            if value.error == value.error:
                found[f"{prefix}_{name}_error"] = value.error
        return found


def own_channels(head_weight: Float[Tensor, "cls channel"]) -> Rotation:
    """Return the network's own channels: what every method is compared with."""
    return Rotation(torch.eye(head_weight.shape[1], dtype=torch.float32), head_weight)


def judge(
    features: Features,
    slots: Int[Tensor, " map"],
    coordinates: Coordinates,
    *,
    classes: Int[Tensor, " image"] | None = None,
    n: int = FEWEST,
) -> Judged:
    """Measure coordinates on some of the held maps.

    Args:
        features: of one pass.
        slots: which of its maps.
        coordinates: that were fitted to others.
        classes: where a unit belongs to a class, the class of each image: it is judged by the images of its class.
        n: images a unit.
    """
    rows = features.kept[slots]
    purity, entropy = _by_unit(features, slots, coordinates, classes, n)
    covered = _coverage(features, rows, coordinates)
    return Judged(
        n_images=len(slots),
        purity=Estimate.of(purity),
        coverage=Estimate.of(covered),
        entropy=Estimate.of(entropy),
    )


def _coverage(features: Features, rows: Tensor, coordinates: Coordinates) -> Tensor:
    predicted = features.predicted[rows]
    if isinstance(coordinates, Rotation):  # whose units are every class's: no loop over a thousand classes
        return coverage(coordinates.supplied_each(predicted, rows_of(features.pooled, rows)), top=4)
    by_class = (
        (target, rows_of(features.pooled, rows[predicted == target])) for target in sorted(set(predicted.tolist()))
    )
    return torch.cat([coverage(coordinates.supplied(target, pooled), top=4) for target, pooled in by_class])


def _by_unit(
    features: Features, slots: Tensor, coordinates: Coordinates, classes: Tensor | None, n: int
) -> tuple[Tensor, Tensor]:
    """Return purity and class entropy of every unit; NaN where there is nothing to judge by."""
    units = torch.arange(coordinates.n_units)
    if classes is None:
        return purity_of_units(features, slots, coordinates, units, n=n)
    purity = torch.full((len(units),), torch.nan, dtype=torch.float32)
    of_slots = classes[features.kept[slots]]
    for target in set(of_slots.tolist()) - {-1}:
        own = coordinates.units_of(target)
        purity[own] = purity_of_units(features, slots[of_slots == target], coordinates, own, n=n)[0]
    return purity, torch.full_like(purity, torch.nan)  # of one class by construction: nothing to measure


def purity_of_units(
    features: Features, slots: Int[Tensor, " map"], coordinates: Coordinates, units: Int[Tensor, " unit"], *, n: int
) -> tuple[Float[Tensor, " unit"], Float[Tensor, " unit"]]:
    """Return mean purity, and the entropy of the classes in bits, of each unit's strongest images among some maps."""
    detectors = coordinates.detectors(units).float()
    chosen, _ = top_rows(rows_of(features.means, features.kept[slots]), detectors, n)
    places = slots[chosen]
    peaks = read_peaks(features.maps, places, detectors)
    if isinstance(coordinates, Rotation) and coordinates.orthogonal:  # which keeps lengths
        purity = peaks.purity.mean(1)
    else:
        vectors = features.maps[places.flatten(), :, peaks.cells.flatten()]
        purity = coordinates.purity(vectors, units[:, None].expand_as(places).flatten()).reshape(places.shape).mean(1)
    labels = torch.where(features.labels >= 0, features.labels, features.predicted)[features.kept[places]]
    share = (labels[:, :, None] == labels[:, None, :]).double().mean(2)
    return purity, -share.log2().mean(1)


def nothing_sentence(measures: Mapping[str, float], *, noun: str = "channel") -> str:
    """Say where a method brings nothing on images that it was not fitted to; "" where it does, within its error."""
    mine, own = measures["held_out_purity"], measures["own_purity"]
    error = max(measures.get("held_out_purity_error", 0.0), measures.get("own_purity_error", 0.0))
    if not mine < own - error:
        return ""
    return (
        f"On images that it was not fitted to, each {noun} is less pure than the network's own channels ({mine:.2f} "
        f"against {own:.2f}): this fit brings nothing. Give more images, or split the classes into parts "
        "(PartPrototypes)."
    )


def little_sentence(measures: Mapping[str, float]) -> str:
    """Say where the four rows of an explanation carry little of what there is to say; "" where they do not."""
    covered = measures["held_out_coverage_of_4"]
    if not covered < _LITTLE:
        return ""
    return (
        f"Four channels carry {covered:.0%} of the evidence on images that were not fitted to: an explanation's rows "
        "are a small part of the reasons. Weight channels by use (usage_weight=0.5), or split the classes into parts "
        "(PartPrototypes)."
    )


def own_kept_sentence(measures: Mapping[str, float]) -> str:
    """Say that the network's own channels were kept, and what to do instead."""
    return (
        "No rotation made the channels purer on images that it was not fitted to: this bank shows the network's own "
        f"channels (held-out purity {measures['own_purity']:.2f}; four of them carry "
        f"{measures['own_coverage_of_4']:.0%} of the evidence). Give more images, or split the classes into parts "
        "(PartPrototypes)."
    )


def too_few_sentence() -> str:
    """Say that nothing could be measured on other images."""
    return (
        f"Too few images to keep {FEWEST} of them for measuring: purity and coverage are those of the images that were "
        f"fitted to, and flatter. Give at least {FEWEST * _ONE_IN} images."
    )

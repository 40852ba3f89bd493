"""What a page says of a bank that was made without data: which pictures were made, and what its controls say."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from likethat.explanations.records import Prototype, Provenance
from likethat.report.text import shorten
from likethat.report.views import class_name

_NEAR = 0.05  # a control this near the prototypes, relative to them, leaves nothing to be seen of the classifier
_PURITIES = {
    "purity": "purity",
    "purity_of_samples": "  of the samples it began with",
    "control_prior_purity": "  of the best plain samples (control)",
    "control_random_purity": "  made for random weights (control)",
}


@dataclass(frozen=True, kw_only=True)
class ControlBar:
    """One of the three purities.

    Attributes:
        name: what was made or chosen.
        number: its mean purity.
        width: of the bar in percent; the whole track is a purity of 1.
        is_control: False for the prototypes themselves.
        reading: how to read it.
    """

    name: str
    number: str
    width: float
    is_control: bool
    reading: str


@dataclass(frozen=True, kw_only=True)
class ControlsView:
    """The answer to "is it the classifier, or the generator?".

    Attributes:
        bars: the prototypes, then the controls that were run.
        warnings: sentences, where a control is too near or was not run.
    """

    bars: tuple[ControlBar, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class MadeUnits:
    """The units whose prototypes were made for them.

    Attributes:
        units: their numbers.
        heading: above them.
        mark: on each card.
        rest: heading above all others.
    """

    units: frozenset[int]
    heading: str
    mark: str
    rest: str


def made_units(provenance: Provenance, prototypes: Sequence[Prototype], class_names: Sequence[str]) -> MadeUnits:
    """Return which units have prototypes of their own, and what to call them."""
    steps, target = provenance.options.get("steps"), provenance.options.get("target")
    found = {item.unit for item in prototypes if item.kind == "positive" and item.image.startswith("made-")}
    climbed = "begin with the best samples" if steps == 0 else "climbed"
    for_class = f" for “{shorten(class_name(class_names, target), 40)}”" if isinstance(target, int) else ""
    mark = "best samples" if steps == 0 else f"climbed {steps} steps" if isinstance(steps, int) else "climbed"
    return MadeUnits(
        units=frozenset(found),
        heading=f"Channels that {climbed}{for_class}",
        mark=mark,
        rest=f"The other channels: the best of {provenance.n_images:,} samples",
    )


def made_figures(measures: Mapping[str, float]) -> tuple[tuple[str, str], ...]:
    """Return (number, what it counts) in the place of images seen and of the purity over all units."""
    figures = []
    if "generator_calls" in measures:
        figures.append((f"{round(measures['generator_calls']):,}", "images made, none opened"))
    if "purity" in measures:
        figures.append((_number(measures["purity"]), "mean purity of those that climbed"))
    return tuple(figures)


def made_rows(measures: Mapping[str, float]) -> dict[str, object]:
    """Return what was measured of a bank that was made without data, by name, as a terminal shows it."""
    rows: dict[str, object] = {label: f"{measures[name]:.3f}" for name, label in _PURITIES.items() if name in measures}
    rows["channels that climbed"] = f"{measures.get('climbing_channels', 0):.0f}"
    if dead := round(measures.get("dead_channels", 0)):
        rows["dead channels"] = f"{dead:,}"
    rows["coverage of the top 4"] = f"{measures.get('coverage_of_4', 0):.3f}"
    rows["images made"] = f"{measures.get('generator_calls', 0):,.0f}, none opened"
    return rows


def made_reading(noun: str, explained: str, *, has_climbed: bool) -> tuple[str, ...]:
    """Return how to read the cards of a bank that was made without data."""
    how = (
        "Where it climbed, a generator made its pictures to be as pure as it can; the others are its best samples."
        if has_climbed
        else "Its pictures are those among all that a generator made that activate it most."
    )
    return (
        f"Each card is one {noun} of the network's last feature map. {how} The frame marks where.",
        f"Usage is how much the {noun} contributes to the {explained}, for or against, on average over samples.",
        f"Purity says how much of what the network sees in the frame is this {noun} alone: 1 is nothing else.",
        "A generator can only show what it can draw. Hold the pointer on a picture for how it came about.",
    )


def controls_view(provenance: Provenance) -> ControlsView | None:
    """Lay the purities of prototypes and controls out; None where no purity was measured."""
    measures = provenance.measures
    ours = measures.get("purity", math.nan)
    if not math.isfinite(ours):
        return None
    bars = [_bar("These prototypes", ours, _own_reading(measures), is_control=False)]
    prior, random = measures.get("control_prior_purity"), measures.get("control_random_purity")
    if prior is not None:
        bars.append(_bar("The best of as many samples", prior, _prior_reading(measures)))
    if random is not None:
        bars.append(_bar("Made for random weights", random, _random_reading(measures)))
    return ControlsView(bars=tuple(bars), warnings=_warnings(provenance, ours, prior, random))


def _own_reading(measures: Mapping[str, float]) -> str:
    start = measures.get("purity_of_samples")
    began = "" if start is None else f" The samples that they began with have {_number(start)}."
    how = (
        "Made for the network explained, channel by channel"
        if "generator_calls" in measures
        else "Chosen among samples"
    )
    return f"{how}; 1 would be nothing but what is looked for.{began}"


def _prior_reading(measures: Mapping[str, float]) -> str:
    calls = measures.get("generator_calls")
    many = f"{round(calls):,} plain samples" if calls else "plain samples"
    return (
        f"Chosen among {many} of the generator, as many as images were made for the prototypes. What the prototypes "
        "have more is what the climb has found."
    )


def _random_reading(measures: Mapping[str, float]) -> str:
    beside = measures.get("purity_beside_random")
    ours = "" if beside is None else f" On the channels compared, these prototypes have {_number(beside)}."
    return (
        "Made in the same way for the same network with random weights, then looked at by the network explained."
        f"{ours} What they have more comes from what the network has learned."
    )


def _warnings(provenance: Provenance, ours: float, prior: float | None, random: float | None) -> tuple[str, ...]:
    beside = provenance.measures.get("purity_beside_random", ours)
    found = []
    if random is not None and _is_near(random, beside):
        found.append(
            f"Made for random weights, such pictures are as pure ({_number(random)} beside {_number(beside)}): these "
            "pictures say nothing about the classifier. What they show is the generator."
        )
    if prior is not None and _is_near(prior, ours):
        found.append(_little_climbed(provenance.options.get("steps"), ours, prior))
    if prior is None or random is None:
        found.append(_not_run(provenance, prior, random))
    return tuple(found)


def _little_climbed(steps: object, ours: float, prior: float) -> str:
    numbers = f"{_number(prior)} beside {_number(ours)}"
    if steps == 0:
        return f"No prototype climbed: they are samples that the classifier chose, like the control ({numbers})."
    how, added = ("nearly as pure", "little") if prior < ours else ("as pure", "nothing")
    return (
        f"The best of as many plain samples are {how} ({numbers}): climbing has added {added}. These pictures show "
        "what the classifier picks out of what the generator makes anyway, and nothing beyond it."
    )


def _not_run(provenance: Provenance, prior: float | None, random: float | None) -> str:
    if prior is None and random is None:
        how = " (controls=False)" if provenance.options.get("controls") is False else ""
        return (
            f"The controls were not run{how}: whether these pictures show the classifier or only the generator is not "
            "known."
        )
    missing = "as many plain samples" if prior is None else "random weights"
    return f"The control with {missing} was not run, so half of the question is open."


def _is_near(control: float, ours: float) -> bool:
    return not control < ours - _NEAR * abs(ours)  # NaN is near


def _bar(name: str, purity: float, reading: str, *, is_control: bool = True) -> ControlBar:
    width = round(100 * min(purity, 1.0), 2) if purity > 0 else 0.0
    return ControlBar(name=name, number=_number(purity), width=width, is_control=is_control, reading=reading)


def _number(purity: float) -> str:
    return f"{purity:.2f}".replace("-", "−")

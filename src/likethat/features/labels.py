"""The labels of a source as classes of the model, and how often the model gives them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from likethat._class_names import ClassMatch, are_unnamed, match_classes
from likethat.features.rows import Rows

_SKILL = 0.25  # below it a model is nearer to guessing (0) than to its usual work (1); CIFAR without mean and std: .19
_SURE = 0.5  # as _SKILL; from there on classes without names are called as the images' are
_FAR = 0.5  # a class this far below all others is mostly a class of another meaning, or pictures of another kind
_ENOUGH = 10  # images, of which a share says something
_LISTED = 5  # names in a sentence


@dataclass(frozen=True, kw_only=True, eq=False)
class Labels:
    """Labels of a source, matched.

    Attributes:
        classes: (image,) the model's class, -1 where there is none.
        row: counts for the data report, plain values.
        notes: sentences on what has no partner and on what was assumed.
        warning: why the accuracy on these labels looks wrong, or "".
    """

    classes: Int[Tensor, " image"]
    row: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    warning: str = ""


def match_labels(rows: Rows, given: Sequence[str], known: Sequence[str]) -> Labels:
    """Say which class of the model each image's label is.

    Labels with names go by their names (`match_classes`); labels that are numbers alone are the model's indices.

    Args:
        rows: of a pass.
        given: what the source calls its classes, in its order; empty where it does not say.
        known: names of the model's classes.
    """
    if any(name is not None for name in rows.label_names):
        classes, match = _by_name(rows, given, known)
        by, notes = "name", _notes(rows, match, known)
    else:
        in_range = (rows.labels >= 0) & (rows.labels < len(known))
        classes, match = torch.where(in_range, rows.labels, -1), ClassMatch()
        by, notes = "number", _beyond(rows.labels, len(known))
    beyond = int(rows.labels.max()) if by == "number" and notes else None
    n_given = sum(
        name is not None or label >= 0 for name, label in zip(rows.label_names, rows.labels.tolist(), strict=True)
    )
    if not n_given:
        return Labels(classes=classes)
    row = {"given": n_given, "matched": int((classes >= 0).sum()), "by": by}
    row |= {"classes": len(set(classes[classes >= 0].tolist())), "of": len(known)}
    row["unmatched"] = _counted([*match.unmatched, *match.ambiguous], rows)
    row |= {} if beyond is None else {"beyond": beyond}
    row["renamed"] = {name: known[index] for name, index in match.partners.items() if name != known[index]}
    accuracy, warning = _accuracy(classes, rows.predicted, known)
    row |= {} if accuracy is None else {"accuracy": accuracy}
    return Labels(classes=classes, row=row, notes=notes, warning=warning)


def names_borne_out(found: Labels, predicted: Int[Tensor, " image"], known: Sequence[str]) -> tuple[str, ...]:
    """Return names for the classes of a model that has none: those of the images, taken in order, where it knows them.

    It must know each of them: of two rare ones that stand in the other order the whole says little.

    Args:
        found: the labels, matched.
        predicted: the model's class of each image.
        known: names of the model's classes.
    """
    row = found.row
    called = {index: name for name, index in row.get("renamed", {}).items()}
    if (
        found.warning
        or row.get("matched", 0) < _ENOUGH
        or not are_unnamed(known)
        or set(called) != set(known)
        or len(known) < 2
    ):
        return ()
    chance = 1 / len(known)
    skill = (row.get("accuracy", 0.0) - chance) / (1 - chance)
    names = tuple(called[name] for name in known)
    right = found.classes == predicted
    hits = [float(right[found.classes == index].double().mean()) for index in range(len(known))]
    is_known = skill >= _SURE and min(hits) > chance  # of a class without an image there is no mean
    return names if is_known and not any(name.isdecimal() for name in names) else ()


def _by_name(rows: Rows, given: Sequence[str], known: Sequence[str]) -> tuple[Tensor, ClassMatch]:
    others = sorted({name for name in rows.label_names if name is not None} - set(given))
    match = match_classes([*dict.fromkeys(given), *others], known)
    in_order = [match.partners.get(name, index) == index for index, name in enumerate(given)]
    is_same_list = len(given) == len(known) and all(in_order) and bool(match.partners) and not match.assumed
    found = []
    for name, label in zip(rows.label_names, rows.labels.tolist(), strict=True):
        index = -1 if name is None else match.partners.get(name, -1)
        if index < 0 and is_same_list and label in match.ambiguous.get(name or "", ()):
            index = label  # two classes of one name in two lists that agree in all others: the place tells
        found.append(index)
    if is_same_list:
        match.ambiguous = {}
    return torch.tensor(found, dtype=torch.long), match


def _notes(rows: Rows, match: ClassMatch, known: Sequence[str]) -> list[str]:
    notes = [match.assumed] if match.assumed else []
    missing, unclear = _counted(match.unmatched, rows), _counted(list(match.ambiguous), rows)
    if missing and not match.assumed:
        few = "" if len(known) > _LISTED else f" ({', '.join(map(repr, known))})"
        notes.append(
            f"{_sum(missing)} no label: {_names(missing)} {'is' if len(missing) == 1 else 'are'} not among the "
            f"{len(known):,} {'class' if len(known) == 1 else 'classes'} of the model{few}."
        )
    if unclear:
        first = next(iter(unclear))
        could = ", ".join(f"{known[index]!r} ({index})" for index in match.ambiguous[first][:_LISTED])
        notes.append(f"{_sum(unclear)} no label: {_names(unclear)} could be several classes of the model, as {could}.")
    shared = [index for index, n in Counter(match.partners.values()).items() if n > 1]
    if shared:
        names = ", ".join(repr(name) for name, index in match.partners.items() if index == shared[0])
        notes.append(f"Several classes of the images are one class of the model: {names} are {known[shared[0]]!r}.")
    return notes


def _counted(names: Sequence[str], rows: Rows) -> dict[str, int]:
    """Return how many images carry each name, those of none left out."""
    counts = Counter(rows.label_names)
    return {name: counts[name] for name in names if counts[name]}


def _sum(counts: dict[str, int]) -> str:
    n = sum(counts.values())
    return f"{n:,} {'image has' if n == 1 else 'images have'}"


def _names(counts: dict[str, int]) -> str:
    listed = [f"{name!r} ({n:,})" for name, n in list(counts.items())[:_LISTED]]
    more = len(counts) - len(listed)
    return ", ".join(listed) + (f" and {more:,} more" if more else "")


def _beyond(labels: Tensor, n_classes: int) -> list[str]:
    n = int((labels >= n_classes).sum())
    if not n:
        return []
    return [
        f"{n:,} {'image has' if n == 1 else 'images have'} no label: their numbers go up to {int(labels.max())}, the "
        f"model's classes to {n_classes - 1}. Are they counted from 1, or of another set of classes?"
    ]


def _accuracy(classes: Tensor, predicted: Tensor, known: Sequence[str]) -> tuple[float | None, str]:
    """Return the share of labelled images that the model gives their label, and what is odd about it."""
    labelled = classes >= 0
    n, n_classes = int(labelled.sum()), len(known)
    if not n:
        return None, ""
    right = (classes == predicted)[labelled]
    accuracy = float(right.double().mean())
    chance = 1 / n_classes
    if n >= _ENOUGH and n_classes > 1 and (accuracy - chance) / (1 - chance) < _SKILL:
        return accuracy, (
            f"The model gives only {int(right.sum()):,} of {n:,} labelled images their class ({100 * accuracy:.1f} %; "
            f"guessing: {100 * chance:.1f} %). Usual reasons: images prepared in another way than it was trained with "
            "(mean, std, size: split(network, preprocess=...), --mean, --std, --input-size), or class names in another "
            "order."
        )
    return accuracy, _laggards(classes[labelled], right, known)


def _laggards(classes: Tensor, right: Tensor, known: Sequence[str]) -> str:
    """Name the classes on which the model does far worse than on the rest."""
    size = torch.bincount(classes, minlength=len(known))
    hits = torch.bincount(classes[right], minlength=len(known))
    rest = (hits.sum() - hits) / (size.sum() - size).clamp_min(1)
    low = ((size >= _ENOUGH) & (rest - hits / size.clamp_min(1) >= _FAR)).nonzero()[:, 0].tolist()
    if not low:
        return ""
    listed = ", ".join(f"{known[index]!r} ({int(hits[index])} of {int(size[index])})" for index in low[:_LISTED])
    more = f" and {len(low) - _LISTED} more" if len(low) > _LISTED else ""
    return (
        f"The model hardly knows {listed}{more}, against {100 * float(rest[low[0]]):.0f} % of the other images. Check "
        "that the class of that name is the same thing there, and how its pictures were made."
    )

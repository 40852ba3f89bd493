"""What the labels of a data set stand for: which number is which of its classes, and what an item gives as its own."""

from collections.abc import Mapping
from typing import Any

import numpy as np

_LISTS = ("class_names", "classes", "categories")


def numbered_names(dataset: Any, column: str | None) -> dict[int, str]:
    """Return the name of each number that a data set's items have as label; empty where it names none.

    Read off a Hugging Face column of class labels, or off ``class_names``, ``classes``, ``categories`` and
    ``class_to_idx`` as torchvision's data sets have them. ``class_to_idx`` decides where it disagrees with a list:
    it is what numbers the items. A ``target_transform`` numbers them anew.

    Args:
        dataset: that gives the items itself, no subset of another.
        column: of the labels in a Hugging Face data set.

    Example:
        >>> from types import SimpleNamespace
        >>> numbered_names(SimpleNamespace(classes=["cat", "dog"], class_to_idx={"cat": 2, "dog": 1}), None)
        {2: 'cat', 1: 'dog'}
    """
    features = getattr(dataset, "features", None)
    if isinstance(features, dict) and column is not None:
        return dict(enumerate(getattr(features[column], "names", None) or ()))
    listed = next((found for name in _LISTS if (found := _listed(getattr(dataset, name, None)))), {})
    numbers = _numbers(getattr(dataset, "class_to_idx", None))
    agree = all(name in listed.get(number, ()) for name, number in numbers.items())
    joined = {number: ", ".join(words) for number, words in (listed if agree else _inverse(numbers)).items()}
    return _transformed(joined, getattr(dataset, "target_transform", None))


def in_order(names: Mapping[int, str]) -> tuple[str, ...]:
    """Return the names in the order of their numbers."""
    return tuple(names[number] for number in sorted(names))


def _listed(names: Any) -> dict[int, tuple[str, ...]]:
    """Return the names that a list, an array or a dictionary gives each number; torchvision's ImageNet has synonyms."""
    if isinstance(names, Mapping):
        if all(isinstance(key, int) and isinstance(name, str) for key, name in names.items()):
            return {key: (name,) for key, name in names.items()}
        return _inverse(_numbers(names))
    if not isinstance(names, list | tuple) and not (hasattr(names, "tolist") and getattr(names, "ndim", 0) == 1):
        return {}
    items = list(names) if isinstance(names, list | tuple) else names.tolist()
    return {index: _words(item) for index, item in enumerate(items)}


def _words(item: Any) -> tuple[str, ...]:
    return tuple(map(str, item)) if isinstance(item, tuple | list) else (str(item),)


def _numbers(numbers: Any) -> dict[str, int]:
    if not isinstance(numbers, Mapping) or not all(isinstance(value, int | np.integer) for value in numbers.values()):
        return {}
    return {str(name): int(value) for name, value in numbers.items()}


def _inverse(numbers: Mapping[str, int]) -> dict[int, tuple[str, ...]]:
    named: dict[int, tuple[str, ...]] = {}
    for name, number in numbers.items():
        named[number] = (*named.get(number, ()), name)
    return named


def _transformed(names: dict[int, str], transform: Any) -> dict[int, str]:
    """Return the names of the numbers that a user's function makes of the data set's; none where it joins classes."""
    if not names or not callable(transform):
        return names
    try:
        changed = {as_label(transform(number))[0]: name for number, name in names.items()}
    except Exception:  # the user's own; it is run again, and named, with the first item
        return {}
    kept = {number: name for number, name in changed.items() if number is not None}
    return kept if len(kept) == len(names) else {}


def as_label(value: Any) -> tuple[int | None, str | None]:
    """Return the class index and the class name that an item's label gives; a mask or several labels give neither.

    Example:
        >>> as_label(2.0), as_label("cat"), as_label(np.eye(3)[1]), as_label(-1), as_label([1, 0])
        ((2, None), (None, 'cat'), (1, None), (None, None), (None, None))
    """
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, str):
        return None, value.strip() or None
    if isinstance(value, list | tuple) and len(value) == 1:
        return as_label(value[0])
    if value is None or isinstance(value, Mapping):
        return None, None
    return _index(value), None


def _index(value: Any) -> int | None:
    try:
        numbers = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError):
        return None
    if numbers.size == 1:
        number = float(numbers.reshape(()))
        return int(number) if number.is_integer() and number >= 0 else None
    # Two numbers may be two labels, unless they are fractions; so may those of a list.
    is_vector = numbers.ndim == 1 and not isinstance(value, list | tuple)
    is_vector = is_vector and (numbers.size > 2 or "float" in str(getattr(value, "dtype", "")))
    is_one_hot = is_vector and bool(np.isin(numbers, (0.0, 1.0)).all()) and numbers.sum() == 1
    return int(numbers.argmax()) if is_one_hot else None

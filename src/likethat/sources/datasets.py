"""Torch data sets, Hugging Face data sets, and streams."""

from collections.abc import Iterable, Iterator, Sized
from typing import Any

from likethat.errors import InputError
from likethat.sources._decode import to_image
from likethat.sources.base import Sample

__all__ = ["DatasetSource", "IterableSource"]

_IMAGE_KEYS = ("image", "img", "pixel_values", "images", "picture", "x")
_LABEL_KEYS = ("label", "labels", "fine_label", "target", "y", "class")


class DatasetSource:
    """A map-style data set: items are images, (image, label, ...), or dicts with an image and a label.

    Args:
        dataset: anything with a length and items; a Hugging Face data set's image column is found by its type.

    Raises:
        InputError: a data set without items, or without an image column.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        if len(dataset) == 0:
            raise InputError("`images` must hold at least one image, got a data set of length 0.")
        self._columns = _columns(dataset)
        self.class_names = _class_names(dataset, self._columns)

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        """Return item `index`."""
        return _as_sample(self.dataset[index], index, self._columns)


class IterableSource:
    """A stream: it is read once, in order, and has no length.

    Args:
        items: what `DatasetSource` takes, one after the other.
    """

    def __init__(self, items: Iterable[Any]) -> None:
        self._items = items
        self._columns = _columns(items)
        self.class_names = _class_names(items, self._columns)

    def __iter__(self) -> Iterator[Sample]:
        """Yield the samples; `UnreadableImageError` is raised at the item that does not decode."""
        for index, item in enumerate(self._items):
            yield _as_sample(item, index, self._columns)

    def raw(self) -> Iterator[tuple[int, Any]]:
        """Yield numbered items as they come, not decoded."""
        yield from enumerate(self._items)

    def sample(self, index: int, item: Any) -> Sample:
        """Turn an item of `raw` into a sample."""
        return _as_sample(item, index, self._columns)


def _columns(dataset: Any) -> tuple[str | None, str | None]:
    """Return the image and the label column of a Hugging Face data set, by the type of its features."""
    features = getattr(dataset, "features", None)
    if not isinstance(features, dict):
        return None, None
    kinds = {name: type(feature).__name__ for name, feature in features.items()}
    image = next((name for name, kind in kinds.items() if kind == "Image"), None)
    image = image or next((name for name in _IMAGE_KEYS if name in kinds), None)
    if image is None:
        raise InputError(
            f"`images` must have a column of images, got the columns {sorted(kinds)}. Cast one with "
            "dataset.cast_column(name, datasets.Image())."
        )
    label = next((name for name, kind in kinds.items() if kind == "ClassLabel"), None)
    return image, label or next((name for name in _LABEL_KEYS if name in kinds), None)


def _class_names(dataset: Any, columns: tuple[str | None, str | None]) -> tuple[str, ...]:
    features = getattr(dataset, "features", None)
    if isinstance(features, dict) and columns[1] is not None:
        return tuple(getattr(features[columns[1]], "names", None) or ())
    classes = getattr(dataset, "classes", None)
    return tuple(map(str, classes)) if isinstance(classes, list | tuple) else ()


def _as_sample(item: Any, index: int, columns: tuple[str | None, str | None]) -> Sample:
    name = f"image {index}"
    if isinstance(item, Sample):
        return item
    if isinstance(item, dict) and not {"bytes", "path"} & item.keys():
        key = columns[0] or next((key for key in _IMAGE_KEYS if key in item), None)
        if key is None:
            raise InputError(f"{name} must have a key 'image', got a dict with the keys {sorted(map(str, item))}.")
        label_key = columns[1] or next((key for key in _LABEL_KEYS if key in item), None)
        return Sample(image=to_image(item[key], name=name), name=name, label=_label(item.get(label_key)))
    if isinstance(item, tuple | list):
        if not item:
            raise InputError(f"{name} must be an image or (image, label), got an empty {type(item).__name__}.")
        label = _label(item[1]) if len(item) > 1 else None
        return Sample(image=to_image(item[0], name=name), name=name, label=label)
    return Sample(image=to_image(item, name=name), name=name)


def _label(value: Any) -> int | None:
    """Return a class index where the data set gives one; a mask, a text or several labels are none."""
    if value is None or isinstance(value, str | bytes | dict):
        return None
    if hasattr(value, "numel") and value.numel() != 1:
        return None
    if isinstance(value, Sized) and not hasattr(value, "numel"):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return int(number) if number.is_integer() and number >= 0 else None

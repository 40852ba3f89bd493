"""Torch data sets, Hugging Face data sets, and streams."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import GeneratorType
from typing import Any

from torch.utils.data import ConcatDataset, Subset

from likethat._calls import foreign
from likethat._checks import check_index
from likethat._session import in_own_session
from likethat.errors import InputError, UnreadableImageError
from likethat.sources._dataset_labels import as_label, in_order, numbered_names
from likethat.sources._decode import to_image
from likethat.sources.base import Sample

IMAGE_KEYS = ("image", "img", "pixel_values", "images", "picture", "x")
LABEL_KEYS = ("label", "labels", "fine_label", "target", "y", "class")
NAME_KEYS = ("label_name", "class_name")  # beside a number: what it stands for
_END = object()
_Columns = tuple[str | None, str | None]


@in_own_session
class DatasetSource:
    """A map-style data set: items are images, (image, label, ...), or mappings with an image and a label.

    Items that the data set itself cannot decode are unreadable, as in a folder. A Hugging Face data set's image column
    is found by its type, and its files are decoded here. With `workers`, items are asked for from several threads.

    Args:
        dataset: anything with a length and items.

    Attributes:
        class_names: the names that the data set has for its labels; empty where it has none.

    Raises:
        InputError: a data set without items, or without an image column.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        if len(dataset) == 0:
            raise InputError("`images` must hold at least one image, got a data set of length 0.")
        leaves = _leaves(dataset)
        self._columns = _columns(leaves[0])
        names = [numbered_names(leaf, _columns(leaf)[1]) for leaf in leaves]
        is_list = sorted(names[0]) == list(range(len(names[0])))
        self._are_named = not is_list or any(other != names[0] for other in names)  # numbers that are no places
        self.class_names = () if self._are_named else in_order(names[0])
        self._encoded = _encoded(dataset, self._columns[0])

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        """Return item `index`."""
        index = check_index(index, len(self))
        if self._encoded is None:
            sample = _as_sample(self._item(index), index, self._columns)
            return self._named(sample, index) if self._are_named else sample
        item = self._encoded[index]
        file = item[self._columns[0]]
        if isinstance(file, Mapping) and file.get("bytes") is None and "://" in str(file.get("path")):
            item = self._item(index)  # far away: the data set knows how to fetch it
        return _as_sample(item, index, self._columns)

    def given(self, index: int) -> Any:
        """Return the image of item `index` as the data set gives it: a file's bytes or path, a PIL image, an array."""
        item = self._item(index) if self._encoded is None else self._encoded[index]
        if isinstance(item, Mapping):
            return next((item[key] for key in (self._columns[0], *IMAGE_KEYS) if key in item), item)
        return item[0] if isinstance(item, tuple | list) and item else item

    def _named(self, sample: Sample, index: int) -> Sample:
        """Call a sample's class by its name in the data set that it comes from, which may be one of several."""
        leaf = _leaf_at(self.dataset, index)
        if sample.label is None:
            return sample
        return replace(sample, label=None, label_name=numbered_names(leaf, _columns(leaf)[1]).get(sample.label))

    def _item(self, index: int) -> Any:
        with foreign(f"item {index} of `images`", f"Try images[{index}] by itself."):
            try:
                return self.dataset[index]
            except (OSError, SyntaxError) as error:
                if not _is_damage(error):
                    raise
                raise UnreadableImageError(f"image {index} does not decode ({_said(error)}).") from error

    def __repr__(self) -> str:
        return f"DatasetSource({type(self.dataset).__name__}: {len(self):,} images, {len(self.class_names)} classes)"


class IterableSource:
    """A stream: it is read in order and has no length; a generator can be read once.

    Args:
        items: what `DatasetSource` takes, one after the other.
    """

    def __init__(self, items: Iterable[Any]) -> None:
        self._items = items
        self._was_read = False
        self._columns = _columns(items)
        self._names = numbered_names(items, self._columns[1])
        self._are_named = sorted(self._names) != list(range(len(self._names)))  # numbers that are no places
        self.class_names = () if self._are_named else in_order(self._names)

    def __iter__(self) -> Iterator[Sample]:
        """Yield the samples; `UnreadableImageError` is raised at the item that does not decode."""
        for index, item in self.raw():
            yield self.sample(index, item)

    def raw(self) -> Iterator[tuple[int, Any]]:
        """Yield numbered items as they come, not decoded.

        Raises:
            InputError: the stream was read before, or it breaks off at a picture that it decodes by itself.
        """
        items = iter(self._items)
        if items is self._items:
            if self._was_read or (isinstance(items, GeneratorType) and items.gi_frame is None):
                raise InputError(
                    "`images` must be a stream that was not read yet: a generator gives its items once. Make a new "
                    "one, or a list."
                )
            self._was_read = True
        index = 0
        while True:
            item = _next(items, index)
            if item is _END:
                return
            yield index, item
            index += 1

    def sample(self, index: int, item: Any) -> Sample:
        """Turn an item of `raw` into a sample."""
        sample = _as_sample(item, index, self._columns)
        if self._are_named and sample.label is not None:
            return replace(sample, label=None, label_name=self._names.get(sample.label))
        return sample


def _next(items: Iterator[Any], index: int) -> Any:
    """Return the next item of a stream, `_END` after the last."""
    with foreign(f"item {index} of `images`, a stream,"):
        try:
            return next(items, _END)
        except (OSError, SyntaxError) as error:
            if not _is_damage(error):
                raise
            raise InputError(
                f"`images` is a stream that broke off at image {index}, which does not decode ({_said(error)}). "
                "Let the stream give paths or bytes, so that such images are skipped: for Hugging Face, "
                "dataset.decode(False)."
            ) from error


def _is_damage(error: OSError | SyntaxError) -> bool:
    """Return whether it is the picture's fault (or it is missing), and not the disk's or the network's."""
    return not isinstance(error, OSError) or error.errno is None or isinstance(error, FileNotFoundError)


def _said(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _encoded(dataset: Any, column: str | None) -> Any:
    """Return a Hugging Face data set with its images as files, so that they are decoded here; None for others."""
    features = getattr(dataset, "features", None)
    image: Any = features.get(column) if isinstance(features, dict) else None
    is_plain = isinstance(getattr(dataset, "format", None), dict) and dataset.format.get("type") is None
    decodes = (
        type(image).__name__ == "Image" and getattr(image, "decode", False) and getattr(image, "mode", None) is None
    )
    if not (is_plain and decodes and column in (dataset.format.get("columns") or ())):
        return None
    return dataset.cast_column(column, type(image)(decode=False))


def _columns(dataset: Any) -> _Columns:
    """Return the image and the label column of a Hugging Face data set, by the type of its features."""
    features = getattr(dataset, "features", None)
    if not isinstance(features, dict):
        return None, None
    kinds = {name: type(feature).__name__ for name, feature in features.items()}
    image = _first_of(IMAGE_KEYS, kinds, "Image") or next((name for name in IMAGE_KEYS if name in kinds), None)
    if image is None:
        raise InputError(
            f"`images` must have a column of images, got the columns {sorted(kinds)}. Cast one with "
            "dataset.cast_column(name, datasets.Image())."
        )
    label = next((name for name in LABEL_KEYS if name in kinds and kinds[name] in ("ClassLabel", "Value")), None)
    return image, label or _first_of(LABEL_KEYS, kinds, "ClassLabel")


def _first_of(usual: Sequence[str], kinds: Mapping[str, str], kind: str) -> str | None:
    """Return the column of a type whose name is usual, else the first of that type: a mask is a picture, too."""
    of_kind = [name for name in kinds if kinds[name] == kind]
    return next((name for name in usual if name in of_kind), of_kind[0] if of_kind else None)


def _leaves(dataset: Any) -> list[Any]:
    """Return the data sets that know their classes: what a subset is of, and all of several joined."""
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    if isinstance(dataset, ConcatDataset):
        return [leaf for one in dataset.datasets for leaf in _leaves(one)]
    return [dataset]


def _leaf_at(dataset: Any, index: int) -> Any:
    """Return the data set that an item of subsets and joined data sets comes from."""
    while isinstance(dataset, Subset | ConcatDataset):
        if isinstance(dataset, Subset):
            dataset, index = dataset.dataset, int(dataset.indices[index])
        else:
            place = bisect_right(dataset.cumulative_sizes, index)
            index -= dataset.cumulative_sizes[place - 1] if place else 0
            dataset = dataset.datasets[place]
    return dataset


def _as_sample(item: Any, index: int, columns: _Columns) -> Sample:
    name = f"image {index}"
    if isinstance(item, Sample):
        return item
    if isinstance(item, Mapping):
        return _from_mapping(item, name, columns)
    if isinstance(item, tuple | list):
        if not item:
            raise InputError(f"{name} must be an image or (image, label), got an empty {type(item).__name__}.")
        return _sample(item[0], item[1] if len(item) > 1 else None, name)
    return Sample(image=to_image(item, name=name), name=name)


def _from_mapping(item: Mapping[Any, Any], name: str, columns: _Columns) -> Sample:
    key = next((key for key in (columns[0], *IMAGE_KEYS) if key is not None and key in item), None)
    if key is None and item.keys() <= {"bytes", "path"}:
        return Sample(image=to_image(item, name=name), name=name)
    if key is None:
        raise InputError(f"{name} must have a key 'image', got a dict with the keys {sorted(map(str, item))}.")
    label = next((key for key in (columns[1], *LABEL_KEYS) if key is not None and key in item), None)
    sample = _sample(item[key], item.get(label), name)
    text = next((item[key] for key in NAME_KEYS if isinstance(item.get(key), str)), "").strip()
    return replace(sample, label_name=text) if text and sample.label_name is None and columns[1] is None else sample


def _sample(image: Any, label: Any, name: str) -> Sample:
    number, text = as_label(label)
    return Sample(image=to_image(image, name=name), name=name, label=number, label_name=text)

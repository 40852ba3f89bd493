"""Parquet files with a column of images: bytes, or {bytes, path} as Hugging Face writes them.

Lengths, names and labels are read once; images a row group at a time, when one of it is asked for.
"""

from bisect import bisect_right
from collections.abc import Mapping
from itertools import accumulate
from typing import IO, Any

from likethat._checks import require
from likethat._documents import Damaged, parse_json
from likethat.errors import UnreadableImageError
from likethat.sources._dataset_labels import as_label
from likethat.sources.datasets import IMAGE_KEYS, LABEL_KEYS
from likethat.sources.shards.index import LARGEST_IMAGE, Index, UnreadShardError, index_of


def index_parquet(stream: IO[bytes], *, image: str | None = None, label: str | None = None) -> Index:
    """Find the images of a Parquet file and their labels.

    Args:
        stream: the file, which can be sought in.
        image: the column of images; found by its type and name when None.
        label: the column of labels; found by its name when None.

    Raises:
        UnreadShardError: it is no Parquet file, or has no such column, or no row.
        MissingExtraError: pyarrow is not installed.
    """
    file = _open(stream)
    schema, n = file.schema_arrow, file.metadata.num_rows
    features = _features(schema.metadata)
    column = _image_column(schema, features, image)
    if n == 0:
        raise UnreadShardError("holds no row")
    label = next((one for one in LABEL_KEYS if one in schema.names), None) if label is None else label
    if label is not None and label not in schema.names:
        raise UnreadShardError(f"has no column {label!r}, only {schema.names}")
    labels = [(None, None)] * n if label is None else list(map(as_label, _values(file, label)))
    names = _paths(file, column, n)
    told = features.get(label, {}).get("names") if label in features else None
    classes = tuple(map(str, told)) if isinstance(told, list) else ()
    return index_of(names, range(n), [0] * n, labels, class_names=classes)


def _open(stream: IO[bytes]) -> Any:
    pyarrow, parquet = (require(one, purpose="Parquet") for one in ("pyarrow", "pyarrow.parquet"))
    try:
        return parquet.ParquetFile(stream)
    except (pyarrow.ArrowException, OSError) as error:
        raise UnreadShardError(f"is no Parquet file, or a damaged one ({_first_line(error)})") from error


def _values(file: Any, column: str) -> list[Any]:
    pyarrow = require("pyarrow", purpose="Parquet")
    try:
        return list(file.read(columns=[column]).column(0).to_pylist())
    except (pyarrow.ArrowException, OSError) as error:
        raise UnreadShardError(f"has a column {column} that does not read ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _features(metadata: Mapping[bytes, bytes] | None) -> dict[str, dict[str, Any]]:
    """Return what Hugging Face notes of the columns in a file's head; anybody may have written it."""
    try:
        found: Any = parse_json((metadata or {}).get(b"huggingface", b"{}"), nan=True)
    except Damaged:
        return {}
    for key in ("info", "features"):
        found = found.get(key) if isinstance(found, dict) else None
    return {name: one for name, one in found.items() if isinstance(one, dict)} if isinstance(found, dict) else {}


def _image_column(schema: Any, features: Mapping[str, Mapping[str, Any]], image: str | None) -> str:
    fits = [name for name in schema.names if _holds_bytes(schema.field(name).type)]
    if image is not None and image in fits:
        return image
    named = [name for name in fits if features.get(name, {}).get("_type") == "Image"]
    found = [name for name in IMAGE_KEYS if name in (named or fits)] or named or (fits if len(fits) == 1 else [])
    if image is not None or not found:
        wanted = "column of images" if image is None else f"column of images {image!r}"
        raise UnreadShardError(f"has no {wanted} (bytes, or bytes and path), only {list(schema.names)}")
    return found[0]


def _holds_bytes(kind: Any) -> bool:
    types = require("pyarrow.types", purpose="Parquet")
    if types.is_struct(kind):
        inner = {kind.field(place).name: kind.field(place).type for place in range(kind.num_fields)}
        return "bytes" in inner and _holds_bytes(inner["bytes"])
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _paths(file: Any, column: str, n: int) -> list[str]:
    """Return what images are called: their path, where one is noted beside their bytes, else their row."""
    kind = file.schema_arrow.field(column).type
    is_struct = require("pyarrow.types", purpose="Parquet").is_struct(kind)
    has_paths = is_struct and any(kind.field(place).name == "path" for place in range(kind.num_fields))
    told = _values(file, f"{column}.path") if has_paths else [None] * n
    return [_name(one.get("path") if isinstance(one, dict) else None, row) for row, one in enumerate(told)]


def _name(path: Any, row: int) -> str:
    return f"{row}:{path}" if isinstance(path, str) and path else str(row)


class ParquetReader:
    """One open Parquet file: its images, by their row. The last row group that was read is held."""

    def __init__(self, stream: IO[bytes], image: str | None = None) -> None:
        self._file = _open(stream)
        schema = self._file.schema_arrow
        self._column = _image_column(schema, _features(schema.metadata), image)
        sizes = [self._file.metadata.row_group(one).num_rows for one in range(self._file.metadata.num_row_groups)]
        self._starts = [0, *accumulate(sizes)]
        self._group, self._held = -1, None

    def __call__(self, place: int) -> bytes:
        """Return an image's bytes.

        Raises:
            UnreadableImageError: there are none (a path is not followed), or too many, or its row group is damaged.
        """
        group = bisect_right(self._starts, place) - 1
        if group != self._group:
            self._held, self._group = self._read(group), group
        value = self._held[place - self._starts[group]].as_py()  # type: ignore[index]
        data = value.get("bytes") if isinstance(value, dict) else value
        if not data or len(data) > LARGEST_IMAGE:
            what = "holds no bytes of it" if not data else f"is larger than {LARGEST_IMAGE:,} bytes"
            raise UnreadableImageError(f"its row {what}.")
        return bytes(data)

    def _read(self, group: int) -> Any:
        pyarrow = require("pyarrow", purpose="Parquet")
        try:
            return self._file.read_row_group(group, columns=[self._column]).column(0)
        except (pyarrow.ArrowException, OSError) as error:
            raise UnreadableImageError(f"its row group does not read ({_first_line(error)}).") from error

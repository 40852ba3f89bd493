"""Where an ONNX model keeps weights outside its file: read from the file itself, without the library `onnx`."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from likethat.errors import ModelError

_MODEL, _GRAPH, _NODE, _ATTRIBUTE, _TENSOR, _SPARSE, _FUNCTION, _TRAINING, _ENTRY = range(9)
_BELOW = {
    _MODEL: {7: _GRAPH, 20: _TRAINING, 25: _FUNCTION},
    _TRAINING: {1: _GRAPH, 2: _GRAPH},
    _GRAPH: {1: _NODE, 5: _TENSOR, 15: _SPARSE},
    _FUNCTION: {7: _NODE, 11: _ATTRIBUTE},
    _NODE: {5: _ATTRIBUTE},
    _ATTRIBUTE: {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH, 22: _SPARSE, 23: _SPARSE},
    _SPARSE: {1: _TENSOR, 2: _TENSOR},
    _TENSOR: {13: _ENTRY},
}
"""Fields of each message of onnx.proto3 that lead to tensors, by their number."""
_DEEPEST = 200  # messages within messages; a real model has some twenty


def external_files(path: Path) -> list[Path]:
    """Return the files that hold weights of an ONNX model, each once, in order of their names.

    Raises:
        ModelError: one of them is missing, no plain file, or outside the model's folder.
    """
    content = memoryview(path.read_bytes())
    names = sorted(set(_locations(content, _MODEL, 0)))
    return [_checked(path, name) for name in names]


def _checked(path: Path, name: str) -> Path:
    steps = PurePosixPath(name).parts
    foreign = PureWindowsPath(name)
    if not steps or ".." in {*steps, *foreign.parts} or name.startswith(("/", "\\")) or foreign.drive:
        raise ModelError(
            f"`predict` must be an ONNX model that keeps its weights in its own folder, and {path.name!r} names "
            f"{name[:80]!r}. Export it again, and trust no model that reads elsewhere."
        )
    found = path.parent.joinpath(*steps)
    if not found.is_file():
        raise ModelError(
            f"`predict` must be an ONNX model with all its weights, and {path.name!r} needs {name[:80]!r} beside it, "
            "which is no file there. Copy it too."
        )
    return found


def _locations(message: memoryview, kind: int, depth: int) -> Iterator[str]:
    """Yield the location of every external tensor below a message; nothing where it is no message at all."""
    if kind == _ENTRY:
        fields = dict(_fields(message))
        if bytes(fields.get(1, b"")) == b"location":
            yield bytes(fields.get(2, b"")).decode("utf-8", "replace")
    elif depth < _DEEPEST:
        for number, content in _fields(message):
            if number in _BELOW[kind]:
                yield from _locations(content, _BELOW[kind][number], depth + 1)


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield the fields of a protobuf message that hold bytes; stop where it is cut short."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        if tag & 7 == 2:
            size, place = _varint(message, place)
            yield tag >> 3, message[place : place + size]
            place += size
        elif tag & 7 == 0:
            _, place = _varint(message, place)
        elif tag & 7 in (1, 5):
            place += 8 if tag & 7 == 1 else 4
        else:  # groups are in no ONNX file
            return


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(message) and shift < 70:
        value |= (message[place] & 127) << shift
        shift += 7
        place += 1
        if message[place - 1] < 128:
            break
    return value, place

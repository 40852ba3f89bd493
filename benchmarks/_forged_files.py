"""Originals that likethat wrote, and ways in which somebody else's copy of them may be wrong."""

import contextlib
import functools
import hashlib
import itertools
import json
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from robustness_cases._forging import GONE, fit_tiny, left_by, left_fit, put, tiny_generator
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import likethat as lt
from likethat._documents import digest_of
from likethat._tensors import checksum_of, left_bytes
from likethat.generators import sample

__all__ = ["ORIGINALS", "Forged", "Original", "copied", "forgeries", "seal"]

KEPT = Path(__file__).parents[1] / "tests" / "kept" / "schema-1"
BANKS = ("epic", "parts", "prodg")
RECORDS = (
    "explanation",
    "contrast",
    "attribution",
    "counterfactual-table",
    "counterfactual-image",
    "exemplars-table",
    "exemplars-image",
    "words",
    "audit",
    "comparison",
)
MANY, HUGE = 10**12, 3 * 2**30
_SEALS = ("sha256", "digest")
DEEP: Any = 1
for _ in range(300):
    DEEP = [DEEP]
VALUES = (GONE, None, True, -1, MANY, 10**400, 1.5, float("nan"), "", "x", "../../x", "a\0b", [], {}, [None], DEEP)
Change = Callable[[Path], None]


@dataclass(frozen=True, kw_only=True)
class Original:
    """What likethat wrote, and how it is read.

    Attributes:
        name: for the table.
        kind: a row of the table.
        make: returns its folder or file, made once.
        read: opens a folder or file, uses all of it, and returns a digest of what it says.
    """

    name: str
    kind: str
    make: Callable[[], Path]
    read: Callable[[Path], str]


@dataclass(frozen=True, kw_only=True)
class Forged:
    """One forged or damaged copy.

    Attributes:
        original: what it is a copy of.
        name: what was done to it.
        change: does that.
        is_sealed: whether checksums are made to fit afterwards, as a forger would: what says other things may open.
    """

    original: Original
    name: str
    change: Change
    is_sealed: bool


def forgeries(original: Original, *, at_most: int, seed: int = 0) -> list[Forged]:
    """Return so many of an original's forgeries, drawn from all of them."""
    path = original.make()
    found = [Forged(original=original, name=name, change=change, is_sealed=False) for name, change in _damages(path)]
    found += [
        Forged(original=original, name=name, change=change, is_sealed=False) for name, change in _broken_seals(path)
    ]
    found += [Forged(original=original, name=name, change=change, is_sealed=True) for name, change in _lies(path)]
    random.Random(f"{seed} {original.name}").shuffle(found)
    return found[:at_most]


def _files(path: Path) -> list[Path]:
    """Return what is damaged, below `path`: all files, of pictures the first."""
    if path.is_file():
        return [Path()]
    files = sorted(one.relative_to(path) for one in path.rglob("*") if one.is_file())
    pictures = [one for one in files if one.parent.name == "images"]
    return [one for one in files if one not in pictures[1:]]


def _damages(path: Path) -> Iterator[tuple[str, Change]]:
    for file in _files(path):
        for name, change in _BYTES.items():
            yield f"{file}: {name}", _bytes(file, change)
        for name, place in _PLACES.items():
            yield f"{file}: {name}", functools.partial(_placed, file, place)
        for other in _files(path):
            if other != file:
                yield f"{file} and {other} swapped", functools.partial(_swapped, file, other)


def _flipped(data: bytes, seed: int) -> bytes:
    rng = random.Random(seed)
    at = rng.randrange(len(data)) if data else 0
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :] if data else b"x"


_BYTES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "half": lambda data: data[: len(data) // 2],
    "9 bytes less": lambda data: data[:-9],
    "a byte more": lambda data: data + b"x",
    **{f"bit {seed} turned": functools.partial(_flipped, seed=seed) for seed in range(4)},
    "zeros": lambda data: bytes(len(data)),
    "random bytes": lambda data: random.Random(0).randbytes(len(data)),
    "a pickle": lambda _: b"\x80\x04cos\nsystem\n",
    "a foreign JSON": lambda _: b'{"images": [], "annotations": []}',
    "200,000 brackets": lambda _: b"[" * 200_000,
    "no text": lambda _: b"\xff\xfe\x00\xd8",
    "a number of 5,000 digits": lambda _: b"9" * 5000,
    "a header of 10^12 bytes": lambda _: MANY.to_bytes(8, "little") + b"{}",
    "a tensor of 10^12 numbers": lambda _: _header({"a": {"dtype": "F32", "shape": [MANY], "data_offsets": [0, 0]}}),
    "a key twice": lambda data: data.replace(b"{", b'{"kind": 1, "kind": 1, ', 1),
}


def _header(about: dict[str, Any]) -> bytes:
    text = json.dumps(about).encode()
    return len(text).to_bytes(8, "little") + text


def _bytes(file: Path, change: Callable[[bytes], bytes]) -> Change:
    def forge(path: Path) -> None:
        (path / file).write_bytes(change((path / file).read_bytes()))

    return forge


def _linked(file: Path) -> None:
    copied = file.with_name(f"{file.name}.copied")
    copied.write_bytes(file.read_bytes())
    file.unlink()
    file.symlink_to(copied)


def _sparse(file: Path) -> None:
    with file.open("wb") as opened:
        opened.truncate(HUGE)


_PLACES: dict[str, Change] = {
    "missing": lambda file: file.unlink(),
    "a link to its copy": _linked,
    "a link to /etc/passwd": lambda file: (file.unlink(), file.symlink_to("/etc/passwd"))[0],
    "a link to itself": lambda file: (file.unlink(), file.symlink_to(file))[0],
    "a pipe": lambda file: (file.unlink(), os.mkfifo(file))[0],
    "a device": lambda file: (file.unlink(), file.symlink_to("/dev/zero"))[0],
    "a folder": lambda file: (file.unlink(), file.mkdir())[0],
    "3 GiB": _sparse,
}


def _placed(file: Path, put: Change, path: Path) -> None:
    put(path / file)


def _swapped(file: Path, other: Path, path: Path) -> None:
    one, two = (path / file).read_bytes(), (path / other).read_bytes()
    (path / file).write_bytes(two)
    (path / other).write_bytes(one)


def _lies(path: Path) -> Iterator[tuple[str, Change]]:
    for file in _files(path):
        if file.name.endswith((".json", ".jsonl")) and not file.name.startswith("."):
            for place in _places(_first_of(path / file)):
                if place[0] in _SEALS:
                    continue
                for value in VALUES:
                    said = "gone" if value is GONE else "300 lists deep" if value is DEEP else repr(value)[:20]
                    yield f"{file}: {'.'.join(map(str, place))} is {said}", _said(file, place, value)
        if file.name.endswith(".safetensors") or path.is_file():
            with safe_open(path / file, framework="pt") as opened:
                names = list(opened.keys())
            for name in names[:12]:
                for what, change in _TENSORS.items():
                    yield f"{file}: {name} {what}", _tensor(file, name, change)


def _broken_seals(path: Path) -> Iterator[tuple[str, Change]]:
    for file in _files(path):
        if file.suffix == ".json" and not file.name.startswith("."):
            places = [place for place in _places(_first_of(path / file)) if place[0] in _SEALS]
            for place, value in itertools.product(places[:6], (None, "x", "0" * 64, [], 1)):
                yield f"{file}: {'.'.join(map(str, place))} is {value!r}", _said(file, place, value)


def _first_of(file: Path) -> Any:
    text = file.read_text("utf-8")
    return json.loads(text.splitlines()[0] if file.suffix == ".jsonl" else text)


def _places(document: Any, *, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where values stand; of lists the first entry alone."""
    items: list[tuple[Any, Any]] = []
    if isinstance(document, dict):
        items = list(document.items())
    elif isinstance(document, list):
        items = list(enumerate(document))[:1]
    for name, value in items:
        yield (*before, name)
        yield from _places(value, before=(*before, name))


def _said(file: Path, place: tuple[Any, ...], value: Any) -> Change:
    def forge(path: Path) -> None:
        lines = (path / file).read_text("utf-8").splitlines() if file.suffix == ".jsonl" else []
        document = json.loads(lines[0] if lines else (path / file).read_text("utf-8"))
        put(document, place, value)
        text = json.dumps(document)
        (path / file).write_text("\n".join([text, *lines[1:]]) if lines else text, "utf-8")

    return forge


def _first_is(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    def change(tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor.float() if value != int(value) or abs(value) > MANY else tensor
        tensor.reshape(-1)[:1] = value
        return tensor

    return change


_TENSORS: dict[str, Callable[[torch.Tensor], torch.Tensor | None]] = {
    "is gone": lambda _: None,
    "begins with NaN": lambda value: value.float().reshape(-1).mul(float("nan")).reshape(value.shape),
    "is infinite": lambda value: value.float() + float("inf"),
    "is 1e38": lambda value: value.float() * 0 + 1e38,
    "is 0": lambda value: value * 0,
    "is negative": lambda value: -value.float(),
    "begins with 10^9": _first_is(1e9 + 0.5),
    "is float64": lambda value: value.double(),
    "is int64": lambda value: value.long(),
    "is bool": lambda value: value.bool(),
    "lacks a row": lambda value: value[:-1] if value.ndim else value[None],
    "has no rows": lambda value: value[:0] if value.ndim else value[None][:0],
    "is flat": lambda value: value.reshape(-1)[:, None],
    "has a dimension more": lambda value: value[None],
    "is transposed": lambda value: value.transpose(0, -1).contiguous() if value.ndim else value[None],
    "is one number": lambda value: value.reshape(-1)[:1].sum(),
}


def _tensor(file: Path, name: str, change: Callable[[torch.Tensor], torch.Tensor | None]) -> Change:
    def forge(path: Path) -> None:
        with safe_open(path / file, framework="pt") as opened:
            tensors = {one: opened.get_tensor(one).clone() for one in opened.keys()}  # noqa: SIM118 - not a dict
            metadata = opened.metadata()
        new = change(tensors.pop(name))
        (path / file).unlink()
        tensors |= {} if new is None else {name: new.contiguous()}
        if metadata and "about" in metadata:  # a piece of a checkpoint, sealed by what likethat writes it with
            (path / file).write_bytes(left_bytes(tensors, json.loads(metadata["about"])))
        else:
            save_file(tensors, path / file, metadata={key: metadata[key] for key in metadata or {} if key != "sha256"})

    return forge


def seal(path: Path) -> None:
    """Make the checksums of a folder fit what lies there."""
    _seal_generator(path / "generator.json")
    for name in ("manifest.json", "record.json"):
        file = path / name
        document = json.loads(file.read_text("utf-8")) if file.is_file() else None
        if not isinstance(document, dict) or not isinstance(document.get("sha256"), dict):
            continue
        for one in document["sha256"]:
            if (path / one).is_file():
                document["sha256"][one] = hashlib.sha256((path / one).read_bytes()).hexdigest()
        document["digest"] = digest_of(document)
        file.write_text(json.dumps(document), "utf-8")


def _seal_generator(file: Path) -> None:
    document = json.loads(file.read_text("utf-8")) if file.is_file() else None
    if isinstance(document, dict):
        with contextlib.suppress(Exception):  # weights that are none are refused before their checksum is asked
            text = json.dumps({name: value for name, value in document.items() if name != "sha256"}, sort_keys=True)
            document["sha256"] = checksum_of(load_file(file.with_name("weights.safetensors")), text)
        file.write_text(json.dumps(document), "utf-8")


def _digest(path: Path, *, without: tuple[str, ...] = ()) -> str:
    """Return a digest of the files below a folder."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        if file.is_file() and file.name not in without:
            digest.update(str(file.relative_to(path)).encode() + file.read_bytes())
    return digest.hexdigest()


def _read_result(path: Path) -> str:
    result = lt.open(path)
    for key in getattr(result, "images", ()):
        assert result.images[key].size
    assert result.to_dict()
    assert repr(result)
    assert result._repr_html_()
    result.save(path.parent / "page.html")
    result.to_frame()
    return _digest(result.save(path.parent / "again"))


def _read_generator(path: Path) -> str:
    generator = lt.load_generator(path)
    made = sample(generator, 2)
    said = hashlib.sha256(repr([generator.config(), generator.card]).encode())
    for name, value in sorted(generator.state().items()):
        said.update(name.encode() + value.contiguous().numpy().tobytes())
    said.update(made.numpy().tobytes() if isinstance(made, torch.Tensor) else repr(made).encode())
    return said.hexdigest()


def _read_fit(path: Path) -> str:
    return _digest(fit_tiny(path, resume=True).save(path.parent / "again"), without=("manifest.json", ".likethat.json"))


def _train(path: Path, *, resume: bool, stop: bool = False) -> Any:
    def watch(report: Any) -> None:
        if stop and report.stage == "training":
            raise KeyboardInterrupt

    frame = pd.DataFrame({"age": [place % 47 for place in range(60)], "kind": ["=a", "b", "c"] * 20})
    return lt.train_generator(frame, kind="table", epochs=2, checkpoint=path, resume=resume, watch=watch)


@functools.cache
def _left_training() -> Path:
    return left_by(lambda folder: _train(folder, resume=False, stop=True))


def _read_training(path: Path) -> str:
    generator = _train(path, resume=True)
    return hashlib.sha256(repr(sample(generator, 4).to_numpy().tolist()).encode()).hexdigest()


@functools.cache
def _one_file() -> Path:
    return Path(lt.load_generator(tiny_generator("image-vae")).save(Path(tempfile.mkdtemp()) / "one.safetensors"))


def _kept(name: str) -> Callable[[], Path]:
    return lambda: KEPT / name


def _tiny(family: str) -> Callable[[], Path]:
    return lambda: Path(tiny_generator(family))


ORIGINALS = (
    *(Original(name=f"bank {name}", kind="bank", make=_kept(name), read=_read_result) for name in BANKS),
    *(Original(name=name, kind="record", make=_kept(name), read=_read_result) for name in RECORDS),
    *(
        Original(name=f"generator {family}", kind="generator", make=_tiny(family), read=_read_generator)
        for family in ("image-vae", "image-flow", "table-vae", "text-vae")
    ),
    Original(name="generator of one file", kind="generator", make=_one_file, read=_read_generator),
    Original(name="checkpoint of a fit", kind="checkpoint", make=left_fit, read=_read_fit),
    Original(name="checkpoint of a training", kind="checkpoint", make=_left_training, read=_read_training),
)


def copied(original: Original, folder: Path) -> Path:
    """Copy an original into a folder, with its name."""
    source = original.make()
    return Path(shutil.copy(source, folder) if source.is_file() else shutil.copytree(source, folder / source.name))

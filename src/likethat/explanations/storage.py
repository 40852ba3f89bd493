"""A bank on disk: a folder of plain JSON, safetensors and pictures, written whole or not at all.

::

    manifest.json        schema version, provenance, class names, kind of coordinates, checksums of all files
    tensors.safetensors  coordinates, head, usage
    prototypes.jsonl     one row a prototype
    images/              the prototypes' pictures
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from safetensors.torch import save as save_tensors
from torch import Tensor

from likethat._documents import Damaged, digest_of, parse_json, read_bytes, read_whole
from likethat._files import new_folder, write_into
from likethat._tensors import tensors_of
from likethat.coordinates import Coordinates, HeadParts, PhotoRegions, Rotation, SharedCells, SuperclassParts
from likethat.errors import BankFormatError, InputError
from likethat.explanations.images import ImageStore
from likethat.explanations.names import names_of
from likethat.explanations.rows import Manifest, TooNew, check_fit, read_manifest, read_prototypes
from likethat.functional.familiarity import Familiar
from likethat.models import Head

if TYPE_CHECKING:
    from likethat.explanations.bank import Bank

SCHEMA_VERSION = 1  # raised where a kept file could no longer be read (docs/records.md)
_T = TypeVar("_T")
_UNNAMED = ("rotation", "mixing")
"""Kinds of coordinates whose units have numbers for names."""
MANIFEST, _TENSORS, _PROTOTYPES, _IMAGES = "manifest.json", "tensors.safetensors", "prototypes.jsonl", "images"


def write_bank(bank: "Bank", path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a bank's folder; an earlier bank there is replaced only when the new one is whole.

    Raises:
        InputError: something other than a bank stands at `path`, or a bank that `overwrite` does not give up.
        StorageError: the disk did not take it.
    """
    path = Path(path)
    kind, coordinates = _dump_coordinates(bank.coordinates)
    tensors = coordinates | {
        "head.weight": bank.head.weight,
        "head.bias": bank.head.bias,
        "usage": torch.from_numpy(bank.usage.copy()),
    }
    tensors |= _dump_familiar(bank.familiar)
    data = save_tensors({name: value.detach().cpu().contiguous() for name, value in tensors.items()})
    lines = "".join(json.dumps(dataclasses.asdict(item), ensure_ascii=False) + "\n" for item in bank.prototypes)
    rows = lines.encode()
    manifest: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "library": "likethat",
        "coordinates": kind,
        "unit_names": None if kind in _UNNAMED else list(bank.coordinates.unit_names),
        "class_names": list(bank.class_names),
        "provenance": dataclasses.asdict(bank.provenance),
        "n_images": len(bank.images),
        "settings": None if bank.settings is None else bank.settings.to_json(),
        "sha256": {_TENSORS: hashlib.sha256(data).hexdigest(), _PROTOTYPES: hashlib.sha256(rows).hexdigest()},
    }
    if bank.named:  # a key that earlier libraries pass over; without names the same bytes as theirs
        manifest["named"] = {str(unit): name for unit, name in bank.named.items()}
    with new_folder(path, overwrite=overwrite) as folder:
        pictures = bank.images.write(folder / _IMAGES)
        manifest["sha256"] |= {f"{_IMAGES}/{name}": digest for name, digest in pictures.items()}
        manifest["digest"] = digest_of(manifest)
        (folder / _TENSORS).write_bytes(data)
        (folder / _PROTOTYPES).write_bytes(rows)
        (folder / MANIFEST).write_text(json.dumps(manifest, ensure_ascii=False, indent=1), encoding="utf-8")
        if bank.checkpoint is not None:
            bank.checkpoint.note_result(folder / MANIFEST)
    if bank.checkpoint is not None:
        bank.checkpoint.remove()
        bank.checkpoint = None
    if bank.images.folder is not None and bank.images.folder.resolve() == (path / _IMAGES).resolve():
        bank.images = ImageStore(folder=path / _IMAGES, checksums=pictures)
    return path


def write_names(bank: "Bank", path: str | Path) -> None:
    """Write the names that people gave into the folder that a bank was opened from; its other files stay as they are.

    Raises:
        BankFormatError: another bank stands there now, or none.
        StorageError: the disk did not take it.
    """
    path = Path(path)
    if _manifest(path).provenance != bank.provenance:
        raise BankFormatError(f"`path` must be the folder this bank was opened from, got {path}, which holds another.")
    manifest = parse_json(read_bytes(path / MANIFEST, follow=False))
    had_digest = manifest.pop("digest", None) is not None
    manifest.pop("named", None)
    if bank.named:
        manifest["named"] = {str(unit): name for unit, name in bank.named.items()}
    if had_digest:
        manifest["digest"] = digest_of(manifest)
    write_into(path, MANIFEST, json.dumps(manifest, ensure_ascii=False, indent=1).encode())


def read_bank(path: Path) -> dict[str, Any]:
    """Return what `Bank` is made of, by the names of its arguments.

    Raises:
        BankFormatError: no bank, cut short, damaged, or of a newer schema.
    """
    try:
        manifest = _manifest(path)
        tensors = tensors_of(_checked(path, _TENSORS, manifest), may_be_nan=("parts.measures.", "parts.curves."))
        rows = _checked(path, _PROTOTYPES, manifest)
        head = Head(weight=tensors.pop("head.weight"), bias=tensors.pop("head.bias"))
        usage = tensors.pop("usage").numpy()
        familiar = _load_familiar(_under("familiar.", tensors), head)
        images = ImageStore(folder=path / _IMAGES, checksums=_under(f"{_IMAGES}/", manifest.sha256))
        if len(images) != manifest.n_images:
            raise Damaged(f"{manifest.n_images} pictures were saved, {len(images)} are there")
        images.check()
        coordinates = _load_coordinates(manifest.coordinates, tensors, head, manifest.unit_names)
        check_fit(coordinates, head, usage, manifest.class_names)
        if not manifest.is_intact:  # last: what is wrong with it is better named
            raise Damaged(f"{MANIFEST} was cut short or changed")
        named = names_of(manifest.named, coordinates.unit_names)
        prototypes = read_prototypes(rows, coordinates.n_units, len(manifest.class_names), images)
        if manifest.settings is None and len(manifest.class_names) == 1:  # an earlier version gave it to every image
            prototypes = [dataclasses.replace(item, predicted=None) for item in prototypes]
    except BankFormatError:
        raise
    except (Damaged, InputError, LookupError, TypeError, ValueError, RuntimeError, MemoryError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else str(error).rstrip(".")
        raise BankFormatError(
            f"the bank {path} is damaged: {why}. Restore the folder, or fit the bank again."
        ) from error
    return {
        "coordinates": coordinates,
        "prototypes": prototypes,
        "images": images,
        "head": head,
        "class_names": manifest.class_names,
        "provenance": manifest.provenance,
        "usage": usage,
        "familiar": familiar,
        "settings": manifest.settings,
        "named": named,
    }


def _manifest(path: Path) -> Manifest:
    file = path / MANIFEST
    if not file.is_file():
        raise BankFormatError(
            f"`path` must be the folder of a bank, got {path}, which holds no {MANIFEST}. Save one with "
            "bank.save(path)."
        )
    try:
        return read_manifest(read_bytes(file, follow=False), newest=SCHEMA_VERSION)
    except TooNew as error:
        raise BankFormatError(
            f"the bank {path} has schema version {error}, this likethat reads up to {SCHEMA_VERSION}. Upgrade "
            "likethat: pip install -U likethat."
        ) from error
    except Damaged as error:
        raise Damaged(f"{MANIFEST} {error}") from error


def _checked(path: Path, name: str, manifest: Manifest) -> bytes:
    try:
        return read_whole(path / name, sha256=manifest.sha256.get(name))
    except Damaged as error:
        raise Damaged(f"{name} {error}") from error


def _dump_familiar(seen: Familiar | None) -> dict[str, Tensor]:
    if seen is None:
        return {}
    numbers = torch.tensor([seen.rest, seen.limit], dtype=torch.float64)
    named = {"mean": seen.mean, "directions": seen.directions, "variances": seen.variances, "numbers": numbers}
    return {f"familiar.{name}": values for name, values in named.items()}


def _load_familiar(tensors: dict[str, Tensor], head: Head) -> Familiar | None:
    if not tensors:
        return None  # a bank of a data-free method, or of an earlier likethat
    n, dim = tensors["directions"].shape
    rest, limit = tensors.pop("numbers").tolist()
    if dim != head.weight.shape[1] or tensors["mean"].shape != (dim,) or tensors["variances"].shape != (n,):
        raise Damaged("what it says of pictures seen does not fit its head")
    return Familiar(**tensors, rest=rest, limit=limit)


def _dump_coordinates(coordinates: Coordinates | SharedCells) -> tuple[str, dict[str, Tensor]]:
    if isinstance(coordinates, Rotation):
        return ("rotation" if coordinates.orthogonal else "mixing"), {"mixing": coordinates.matrix()}
    if isinstance(coordinates, HeadParts):
        named = {"vectors": coordinates.vectors, "owners": coordinates.class_of, "looks": coordinates.centroids}
        named |= {
            "surroundings": coordinates.surroundings,
            "readers": coordinates.detectors(torch.arange(coordinates.n_units)),
        }
        named |= {f"measures.{name}": values for name, values in coordinates.measures.items()}
        named |= {f"curves.{name}": values for name, values in coordinates.curves.items()}
        return "parts", {f"parts.{name}": values for name, values in named.items()}
    if isinstance(coordinates, SuperclassParts | PhotoRegions):
        return _dump_shared(coordinates)
    raise TypeError(f"no way is known to save coordinates of {type(coordinates).__name__}")


def _load_coordinates(
    kind: str, tensors: dict[str, Tensor], head: Head, names: list[str] | None
) -> Coordinates | SharedCells:
    if kind in _UNNAMED:
        return Rotation(tensors["mixing"], head.weight, orthogonal=kind == "rotation")
    if kind == "parts":
        return HeadParts(
            tensors["parts.vectors"],
            tensors["parts.owners"],
            head.weight,
            centroids=tensors["parts.looks"],
            detectors=tensors["parts.readers"],
            unit_names=names,
            surroundings=tensors["parts.surroundings"],
            measures=_under("parts.measures.", tensors),
            curves=_under("parts.curves.", tensors),
        )
    if kind in ("superclasses", "regions"):
        return _load_shared(kind, _under(f"{kind}.", tensors), head, names or [])
    raise ValueError(f"unknown kind of coordinates {kind!r}")


def _dump_shared(coordinates: SuperclassParts | PhotoRegions) -> tuple[str, dict[str, Tensor]]:
    named = {"basis": coordinates.basis, "owners": coordinates.owners}
    if isinstance(coordinates, SuperclassParts):
        numbers = torch.tensor([coordinates.n_shown])
        named |= {"class_groups": coordinates.class_groups, "numbers": numbers}
        return "superclasses", {f"superclasses.{name}": values for name, values in named.items()}
    numbers = torch.tensor([coordinates.n_regions, coordinates.n_shown])
    named |= {"image_classes": coordinates.image_classes, "numbers": numbers}
    return "regions", {f"regions.{name}": values for name, values in named.items()}


def _load_shared(kind: str, tensors: dict[str, Tensor], head: Head, names: list[str]) -> SharedCells:
    basis, owners, numbers = tensors["basis"], tensors["owners"], tensors["numbers"].tolist()
    if kind == "superclasses":
        return SuperclassParts(
            basis,
            owners,
            tensors["class_groups"],
            n_channels=head.weight.shape[1],
            unit_names=names,
            n_shown=int(numbers[0]),
        )
    n_regions, n_shown = map(int, numbers)
    return PhotoRegions(
        basis,
        owners,
        tensors["image_classes"],
        head_weight=head.weight,
        unit_names=names,
        n_regions=n_regions,
        n_shown=n_shown,
    )


def _under(prefix: str, named: Mapping[str, _T]) -> dict[str, _T]:
    return {name.removeprefix(prefix): value for name, value in named.items() if name.startswith(prefix)}

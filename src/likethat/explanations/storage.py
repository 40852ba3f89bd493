"""A bank on disk: a folder of plain JSON, safetensors and pictures, written whole or not at all.

::

    manifest.json        schema version, provenance, class names, kind of coordinates, a checksum of the other files
    tensors.safetensors  coordinates, head, usage
    prototypes.jsonl     one row a prototype
    images/              the prototypes' pictures
"""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from likethat._files import new_folder
from likethat.coordinates import Coordinates, HeadParts, Rotation
from likethat.errors import BankFormatError, LikethatError
from likethat.explanations.images import ImageStore
from likethat.explanations.records import Prototype, Provenance
from likethat.models import Head, SplitModel

if TYPE_CHECKING:
    from likethat.explanations.bank import Bank

__all__ = ["SCHEMA_VERSION", "open_bank", "write_bank"]

SCHEMA_VERSION = 1
_MANIFEST, _TENSORS, _PROTOTYPES, _IMAGES = "manifest.json", "tensors.safetensors", "prototypes.jsonl", "images"


def write_bank(bank: "Bank", path: str | Path) -> Path:
    """Write a bank's folder; an earlier bank there is replaced only when the new one is whole.

    Raises:
        InputError: something other than a bank stands at `path`.
        StorageError: the disk did not take it.
    """
    path = Path(path)
    kind, coordinates = _dump_coordinates(bank.coordinates)
    tensors = coordinates | {
        "head.weight": bank.head.weight,
        "head.bias": bank.head.bias,
        "usage": torch.from_numpy(bank.usage.copy()),
    }
    data = save_tensors({name: value.detach().cpu().contiguous() for name, value in tensors.items()})
    lines = "".join(json.dumps(dataclasses.asdict(item), ensure_ascii=False) + "\n" for item in bank.prototypes)
    rows = lines.encode()
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "library": "likethat",
        "coordinates": kind,
        "unit_names": list(bank.unit_names) if kind == "parts" else None,
        "class_names": list(bank.class_names),
        "provenance": dataclasses.asdict(bank.provenance),
        "n_images": len(bank.images),
        "sha256": {_TENSORS: hashlib.sha256(data).hexdigest(), _PROTOTYPES: hashlib.sha256(rows).hexdigest()},
    }
    with new_folder(path, marker=_MANIFEST) as folder:
        bank.images.write(folder / _IMAGES)
        (folder / _TENSORS).write_bytes(data)
        (folder / _PROTOTYPES).write_bytes(rows)
        (folder / _MANIFEST).write_text(json.dumps(manifest, ensure_ascii=False, indent=1), encoding="utf-8")
    if bank.images.folder is not None and bank.images.folder.resolve() == (path / _IMAGES).resolve():
        bank.images = ImageStore(folder=path / _IMAGES)
    return path


def open_bank(path: str | Path, model: SplitModel | None = None) -> "Bank":
    """Open a bank that `Bank.save` wrote; with its model it can explain, without it can be browsed.

    Args:
        path: the bank's folder.
        model: the model it was made from.

    Raises:
        BankFormatError: no bank, cut short, damaged, or of a newer schema.
        BankMismatchError: `model` is another model.
    """
    from likethat.explanations.bank import Bank

    path = Path(path)
    manifest = _manifest(path)
    try:
        tensors = load_tensors(_checked(path, _TENSORS, manifest))
        rows = _checked(path, _PROTOTYPES, manifest).decode()
        head = Head(weight=tensors.pop("head.weight"), bias=tensors.pop("head.bias"))
        usage = tensors.pop("usage").numpy()
        images = ImageStore(folder=path / _IMAGES)
        if len(images) != manifest["n_images"]:
            raise _damaged(path, f"{manifest['n_images']} pictures were saved, {len(images)} are there")
        return Bank(
            coordinates=_load_coordinates(manifest["coordinates"], tensors, head, manifest.get("unit_names")),
            prototypes=[_prototype(json.loads(line)) for line in rows.splitlines()],
            images=images,
            head=head,
            class_names=manifest["class_names"],
            provenance=_provenance(manifest["provenance"]),
            usage=usage,
            model=model,
        )
    except LikethatError:
        raise
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise _damaged(path, str(error)) from error


def _manifest(path: Path) -> dict[str, Any]:
    file = path / _MANIFEST
    if not file.is_file():
        raise BankFormatError(
            f"`path` must be the folder of a bank, got {path}, which holds no {_MANIFEST}. Save one with "
            "bank.save(path)."
        )
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        version = int(manifest["schema_version"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, f"{_MANIFEST} does not read: {error}") from error
    if version > SCHEMA_VERSION:
        raise BankFormatError(
            f"the bank {path} has schema version {version}, this likethat reads up to {SCHEMA_VERSION}. Upgrade "
            "likethat: pip install -U likethat."
        )
    result: dict[str, Any] = manifest
    return result


def _checked(path: Path, name: str, manifest: dict[str, Any]) -> bytes:
    try:
        data = (path / name).read_bytes()
    except OSError as error:
        raise _damaged(path, f"{name} is missing") from error
    if hashlib.sha256(data).hexdigest() != manifest["sha256"][name]:
        raise _damaged(path, f"{name} was cut short or changed")
    return data


def _damaged(path: Path, why: str) -> BankFormatError:
    return BankFormatError(f"the bank {path} is damaged: {why}. Restore the folder, or fit the bank again.")


def _dump_coordinates(coordinates: Coordinates) -> tuple[str, dict[str, Tensor]]:
    if isinstance(coordinates, Rotation):
        return ("rotation" if coordinates.orthogonal else "mixing"), {"mixing": coordinates.matrix()}
    if isinstance(coordinates, HeadParts):
        named = {"vectors": coordinates.vectors, "owners": coordinates.owners, "looks": coordinates.looks}
        named |= {
            "surroundings": coordinates.surroundings,
            "readers": coordinates.readers(torch.arange(coordinates.n_units)),
        }
        named |= {f"measures.{name}": values for name, values in coordinates.measures.items()}
        named |= {f"curves.{name}": values for name, values in coordinates.curves.items()}
        return "parts", {f"parts.{name}": values for name, values in named.items()}
    raise TypeError(f"no way is known to save coordinates of {type(coordinates).__name__}")


def _load_coordinates(kind: str, tensors: dict[str, Tensor], head: Head, names: list[str] | None) -> Coordinates:
    if kind in ("rotation", "mixing"):
        return Rotation(tensors["mixing"], head.weight, orthogonal=kind == "rotation")
    if kind == "parts":
        return HeadParts(
            tensors["parts.vectors"],
            tensors["parts.owners"],
            head.weight,
            looks=tensors["parts.looks"],
            readers=tensors["parts.readers"],
            unit_names=names,
            surroundings=tensors["parts.surroundings"],
            measures=_under("parts.measures.", tensors),
            curves=_under("parts.curves.", tensors),
        )
    raise ValueError(f"unknown kind of coordinates {kind!r}")


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): values for name, values in tensors.items() if name.startswith(prefix)}


def _prototype(row: dict[str, Any]) -> Prototype:
    row["cell"] = tuple(row["cell"])
    row["box"] = tuple(row["box"])
    return Prototype(**row)


def _provenance(fields: dict[str, Any]) -> Provenance:
    fields["skipped"] = tuple((name, reason) for name, reason in fields["skipped"])
    fields["notes"] = tuple(fields["notes"])
    return Provenance(**fields)

"""Results on disk: a folder that holds one record whole, and the one reader of such folders.

::

    record.json          schema, kind, the plain values of the record, checksums of all files
    tensors.safetensors  its arrays, by their place in the record
    images/              the prototypes' pictures of an explanation, those of an audit's findings
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jaxtyping import jaxtyped
from safetensors.torch import save as save_tensors
from torch import Tensor

from likethat._documents import Damaged, digest_of, read_json, read_whole, typed
from likethat._files import new_folder
from likethat._status import Reason
from likethat._tensors import tensors_of
from likethat._version import __version__
from likethat.errors import BankFormatError, InputError, ModelError
from likethat.explanations.consistency import check_record
from likethat.explanations.images import ImageStore
from likethat.explanations.packing import pack, unpack
from likethat.explanations.result import SCHEMA_VERSION, Result

RECORD, _TENSORS, _IMAGES = "record.json", "tensors.safetensors", "images"


@dataclass(frozen=True, kw_only=True)
class _Record:
    library: Literal["likethat"]
    schema: int
    version: str
    kind: str
    values: dict[str, Any]
    sha256: dict[str, str]
    digest: str


def write_result(result: Result, path: Path, *, overwrite: bool = False) -> Path:
    """Write a result's folder; an earlier one there is replaced only when the new one is whole.

    Raises:
        InputError: something else stands at `path`, or what `overwrite` does not give up.
        StorageError: the disk did not take it.
    """
    with new_folder(path, overwrite=overwrite) as folder:
        put_result(result, folder)
    return path


def put_result(result: Any, folder: Path) -> None:
    """Write a result's record into a folder that is being filled."""
    tensors: dict[str, Tensor] = {}
    values = {name: pack(one, name, tensors) for name, one in vars(result).items() if name != _IMAGES}
    data = save_tensors({name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()})
    checksums = {_TENSORS: hashlib.sha256(data).hexdigest()}
    (folder / _TENSORS).write_bytes(data)
    if hasattr(result, _IMAGES):
        pictures = ImageStore()
        pictures.take(result.images, sorted(_shown(result)))
        checksums |= {f"{_IMAGES}/{name}": digest for name, digest in pictures.write(folder / _IMAGES).items()}
    kind = type(result).__name__
    record = {"library": "likethat", "schema": SCHEMA_VERSION, "version": __version__, "kind": kind, "values": values}
    record["sha256"] = checksums
    record["digest"] = digest_of(record)
    (folder / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")


def _shown(result: Any) -> set[str]:
    """Return the keys of a record's own pictures: an explanation holds those of its whole bank."""
    if not hasattr(result, "rows"):
        return set(result.images)
    return {item.image for row in result.rows for item in row.prototypes}


def read_result(path: Path, kinds: Mapping[str, type[Result]]) -> Any:
    """Return the result in a folder.

    Args:
        path: the folder.
        kinds: the classes of results, by name.

    Raises:
        InputError: no result, damaged, or of a newer schema.
    """
    if not (path / RECORD).is_file():
        raise InputError(
            f"`path` must be the folder of a saved result, got {path}, which holds no {RECORD}. Save one with "
            "result.save(path)."
        )
    try:
        return _checked(path, _record_of(path), kinds)
    except (Damaged, BankFormatError, ModelError) as error:
        why = str(error).rstrip(".")
    except (LookupError, TypeError, ValueError, RuntimeError, MemoryError, OverflowError) as error:
        if isinstance(error, InputError) and str(error).startswith("`path`"):
            raise
        why = f"{RECORD} does not fit its files ({type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]})"
    raise InputError(f"the result {path} is damaged: {why}. Restore the folder, or make the result again.")


def _record_of(path: Path) -> _Record:
    try:
        document = typed(read_json(path / RECORD, follow=False, nan=True), dict[str, Any])
        schema, version = typed(document.get("schema"), int), typed(document.get("version"), str)
        if schema > SCHEMA_VERSION:
            raise InputError(
                f"`path` must be a result of schema {SCHEMA_VERSION} or earlier, got {path}, written by likethat "
                f"{version[:40]!r}: it has schema {schema}. Update likethat: pip install -U likethat."
            )
        record = typed(document, _Record)
    except Damaged as error:
        raise Damaged(f"{RECORD} {error}") from error
    if record.digest != digest_of(document):
        raise Damaged(f"{RECORD} was cut short or changed")
    return record


def _checked(path: Path, record: _Record, kinds: Mapping[str, type[Result]]) -> Any:
    if record.kind not in kinds:
        raise Damaged(f"{RECORD} is of the kind {record.kind[:40]!r}, which is none of {', '.join(kinds)}")
    kind = kinds[record.kind]
    try:
        data = read_whole(path / _TENSORS, sha256=record.sha256.get(_TENSORS))
        tensors = tensors_of(data, may_be_nan=("",))
    except Damaged as error:
        raise Damaged(f"{_TENSORS} {error}") from error
    values = unpack(record.values, tensors)
    if _IMAGES in {field.name for field in dataclasses.fields(kind)}:  # type: ignore[arg-type]  # all are dataclasses
        values[_IMAGES] = _pictures(path / _IMAGES, record.sha256)
    if not _is_newer(record.version):
        _complete(values)
    try:
        with jaxtyped("context"):  # sizes of one name must be the same in all arrays of the record
            result = typed(values, kind)
    except Damaged as error:
        if _is_newer(record.version):  # a value that was added to a closed set is no damage
            raise InputError(
                f"`path` must be a result that likethat {__version__} knows all values of, got {path}, written by "
                f"likethat {record.version[:40]!r}: it {error}. Update likethat: pip install -U likethat."
            ) from error
        raise
    check_record(result)
    return result


def _is_newer(version: str) -> bool:
    """Return whether a version, as its writer noted it, comes after this one."""
    theirs, ours = ([int(part) for part in re.findall(r"[0-9]+", one[:40])] for one in (version, __version__))
    return theirs > ours


def _complete(values: dict[str, Any]) -> None:
    """Fill in what earlier versions did not write: where an error ended a search, its reason was their sentence."""
    status = values.get("status")
    if isinstance(status, dict) and isinstance(status.get("reason"), str) and status["reason"] not in set(Reason):
        status["reason"] = Reason.FAILED


def _pictures(folder: Path, sha256: Mapping[str, str]) -> ImageStore:
    start = f"{_IMAGES}/"
    checksums = {name.removeprefix(start): digest for name, digest in sha256.items() if name.startswith(start)}
    pictures = ImageStore(folder=folder, checksums=checksums)
    if len(pictures) != len(checksums):
        raise Damaged(f"{len(checksums)} pictures were saved, {len(pictures)} are there")
    pictures.check()
    return pictures

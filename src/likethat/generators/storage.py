"""Generators on disk: JSON and safetensors, in a folder or in one file; nothing is ever unpickled."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import save
from torch import Tensor, nn

from likethat._calls import public
from likethat._checkpoint import Checkpoint
from likethat._documents import Damaged, parse_json, read_json, typed
from likethat._files import new_folder, write_whole
from likethat._options import check_flag, check_path
from likethat._session import in_own_session
from likethat._status import Reason, Status
from likethat._tensors import checksum_of, read_tensors
from likethat.errors import InputError
from likethat.generators.quality import Quality, quality_from
from likethat.search.base import Prior

Module = TypeVar("Module", bound=nn.Module)

SCHEMA = 1  # raised where a kept file could no longer be read (docs/records.md)
_MARK, _WEIGHTS, _CARD = "generator.json", "weights.safetensors", "card.md"


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredGenerator:
    """What lies on disk.

    Attributes:
        family: which class it is of, e.g. "image-vae".
        config: what builds the class again.
        tensors: its weights.
        card: what is known of it.
    """

    family: str
    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    card: Mapping[str, Any]


@public
@in_own_session
class TrainedGenerator(ABC):
    """A generator that plain values and tensors build again.

    Attributes:
        family: what `load_generator` knows its class by.
        prior: where typical latents lie.
        card: what is known of it, as plain JSON values.
        checkpoint: of the training that made it; it goes when the generator is saved.
    """

    family: str
    prior: Prior
    card: dict[str, Any]
    checkpoint: Checkpoint | None = None

    @property
    def status(self) -> Status | None:
        """How its training ended; None where its card does not tell, as of earlier versions."""
        reason = self.card.get("ended")
        if reason not in set(Reason):
            return None
        reason = Reason(reason)
        return Status(reached=reason != Reason.LITTLE_LEARNED, reason=reason, advice=str(self.card.get("advice", "")))

    @property
    def quality(self) -> Quality:
        """How real what it makes is, as its training measured; says why where nobody did, as of earlier versions."""
        return quality_from(self.card, getattr(self, "kind", "image"))

    def __repr__(self) -> str:
        counts = (f"{self.card[each]:,} {each}" for each in ("images", "rows", "texts") if each in self.card)
        return f"{type(self).__name__}(latents of {self.prior.dim}, learned from {next(counts, 'data nobody told of')})"

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Return the plain JSON values that build it again."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """Return all tensors."""

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write it into a folder, or into one file where the path ends in .safetensors; return the path.

        The checkpoint of the training that made it goes when it stands.

        Args:
            path: a new or empty folder, or the name of a new file.
            overwrite: replace an earlier folder there, and only what likethat wrote; or the file.

        Raises:
            InputError: something stands there that may not be replaced, or a network that could not be built again
                from numbers alone.
            StorageError: the disk did not take it; what stood there before still does.
        """
        saved = save_generator(
            path,
            family=self.family,
            config=self.config(),
            state=self.state(),
            card=self.card,
            overwrite=check_flag(overwrite, name="overwrite"),
            checkpoint=self.checkpoint,
        )
        self.checkpoint = None
        return saved


def save_generator(
    path: str | Path,
    *,
    family: str,
    config: Mapping[str, Any],
    state: Mapping[str, Tensor],
    card: Mapping[str, Any],
    half: bool = False,
    overwrite: bool = False,
    checkpoint: Checkpoint | None = None,
) -> Path:
    """Write a generator: a folder, or one file where the path ends in .safetensors.

    Args:
        path: where to.
        family: which class it is of.
        config: plain JSON values that build the class again.
        state: its weights.
        card: plain JSON values, for people.
        half: store floating-point weights in half precision.
        overwrite: replace an earlier generator there.
        checkpoint: of its training; removed when the generator stands.

    Raises:
        InputError: something stands there that may not be replaced.
        StorageError: the disk did not take it; what stood there before still does.
    """
    about = {"schema": SCHEMA, "family": family, "config": dict(config), "card": dict(card)}
    tensors = {
        name: (value.half() if half and value.is_floating_point() else value).detach().cpu().contiguous().clone()
        for name, value in state.items()
    }
    about["sha256"] = checksum_of(tensors, _text(about))
    path = check_path(path)
    if path.suffix == ".safetensors":
        write_whole(path, save(tensors, metadata={"generator": json.dumps(about)}), overwrite=overwrite)
    else:
        _write_folder(path, about, tensors, overwrite=overwrite, checkpoint=checkpoint)
    if checkpoint is not None:
        checkpoint.remove()
    return path


def _write_folder(
    path: Path, about: Mapping[str, Any], tensors: dict[str, Tensor], *, overwrite: bool, checkpoint: Checkpoint | None
) -> None:
    with new_folder(path, overwrite=overwrite) as folder:
        (folder / _MARK).write_text(json.dumps(about, indent=1), encoding="utf-8")
        (folder / _WEIGHTS).write_bytes(save(tensors))
        page = card_page(path.name, about["family"], about["card"], tensors)
        (folder / _CARD).write_text(page, encoding="utf-8", errors="replace")  # names may be of any bytes
        if checkpoint is not None:
            checkpoint.note_result(folder / _MARK)


def read_generator(path: str | Path) -> StoredGenerator:
    """Read what `save_generator` wrote.

    Raises:
        InputError: no generator lies there, it is damaged, or of a newer likethat.
    """
    path = Path(path)
    try:
        tensors, metadata = read_tensors(path if path.is_file() else path / _WEIGHTS)
        text = metadata.get("generator")
        document = read_json(path / _MARK, nan=True) if text is None else parse_json(text, nan=True)
        schema = document.get("schema") if isinstance(document, dict) else None
        if isinstance(schema, int) and schema > SCHEMA:
            raise InputError(
                f"the generator in {path} was written by a newer likethat (schema {schema}, this one reads {SCHEMA}). "
                "Update likethat."
            )
        about = typed(document, _About)
        if about.sha256 is not None and about.sha256 != checksum_of(tensors, _text(document)):
            raise Damaged("does not fit its checksum")
    except Damaged as error:
        raise InputError(
            f"{path} must be a folder that likethat train-generator wrote, got one without a readable {_MARK} and "
            f"{_WEIGHTS} (it {error}). Train the generator again, or name another folder."
        ) from error
    return StoredGenerator(
        family=about.family,
        config=about.config,
        tensors={name: _whole(value) for name, value in tensors.items()},
        card=about.card,
    )


def filled(build: Callable[[], Module], tensors: Mapping[str, Tensor]) -> Module:
    """Return a network with the weights that lie on disk.

    It is built without memory first, so that sizes which its tensors do not have cost none, and no random numbers are
    drawn.

    Raises:
        RuntimeError: weights are missing, unknown or of another shape.
    """
    with torch.device("meta"):
        network = build()
    network.load_state_dict(
        {name: value.float().clone(memory_format=torch.contiguous_format) for name, value in tensors.items()},
        assign=True,
    )
    return network.requires_grad_(False)


@dataclass(frozen=True, kw_only=True)
class _About:
    """What stands beside the weights."""

    schema: int
    family: str
    config: dict[str, Any]
    card: dict[str, Any]
    sha256: str | None = None  # earlier versions wrote none


def _text(about: Mapping[str, Any]) -> str:
    """Return what a checksum is made of beside the weights, the same for the same values."""
    return json.dumps({name: value for name, value in about.items() if name != "sha256"}, sort_keys=True)


def _whole(value: Tensor) -> Tensor:
    return value.float() if value.dtype == torch.float16 else value


def card_page(name: str, family: str, card: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """Return a card as a page for people."""
    known = {key: value for key, value in card.items() if key != "quality"}
    rows = {"family": family, **known, "numbers": f"{sum(value.numel() for value in tensors.values()):,}"}
    lines = "".join(f"| {key} | {_cell(value)} |\n" for key, value in rows.items())
    return f"# {name}\n\n| | |\n|---|---|\n{lines}\n{_quality_page(quality_from(card, card.get('kind', 'image')))}"


def _quality_page(quality: Quality) -> str:
    """Return what is known of its quality as a section of the card."""
    if not quality.is_measured:
        return f"## Quality\n\nNot measured: {quality.why}.\n"
    rows = [(name, made, real, about) for name, made, real, about in quality.lines()]
    for what in ("column", "pair", "feature"):
        rows += [
            (f"{what} {one.name}", f"{one.made:.3f}", "" if one.real is None else f"{one.real:.3f}", "")
            for one in quality.furthest(what)
        ]
    lines = "".join(f"| {' | '.join(_cell(cell) for cell in row)} |\n" for row in rows)
    on, notes = quality.kept_back_in_words(), "\n".join(quality.notes)
    return f"## Quality\n\nMeasured on {on}.\n\n| | made | real | |\n|---|---|---|---|\n{lines}\n{notes}\n"


def _cell(value: Any) -> str:
    return " ".join(str(value).replace("|", "/").split("\n"))

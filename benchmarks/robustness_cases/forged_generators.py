"""Generators, checkpoints and weights that somebody made up: refused with one sentence, in bounded time and memory."""

import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import likethat as lt
from likethat._tensors import checksum_of
from likethat.generators import sample
from robustness_cases import EITHER, REFUSED, RIGHT, case
from robustness_cases._forging import GONE, fit_tiny, in_json, left_fit, tiny_generator

KIND = "forged generators"
WEIGHTS, ABOUT = "weights.safetensors", "generator.json"
MANY = 10**12


def _opened(change: Callable[[Path], None], family: str) -> None:
    folder = Path(tempfile.mkdtemp()) / "generator"
    try:
        shutil.copytree(tiny_generator(family), folder)
        change(folder)
        sample(lt.load_generator(folder), 2)
    finally:
        shutil.rmtree(folder.parent)


def _forge(name: str, change: Callable[[Path], None], *, family: str = "image-vae", accepts: Any = REFUSED) -> None:
    case(KIND, f"{family}: {name}", accepts=accepts)(lambda: _opened(change, family))


def _written(name: str, data: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(data) and None


def _tensor(name: str, change: Callable[[torch.Tensor], torch.Tensor | None]) -> Callable[[Path], None]:
    def forge(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS)
        found = next(key for key in sorted(tensors) if key.startswith(name))
        new = change(tensors.pop(found).clone())
        (folder / WEIGHTS).unlink()
        save_file(tensors if new is None else tensors | {found: new.contiguous()}, folder / WEIGHTS)

    return forge


def _holding(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    def change(tensor: torch.Tensor) -> torch.Tensor:
        tensor.view(-1)[0] = value
        return tensor

    return change


for _family in ("image-vae", "image-flow", "table-vae", "text-vae"):
    _forge("nothing is changed", lambda _: None, family=_family, accepts=RIGHT)
for _key in ("schema", "family", "config", "card"):
    _forge(f"it has no {_key}", in_json(ABOUT, _key, value=GONE))
    for _value in (None, "x", [], 7.5):
        if (_key, _value) != ("family", "x"):
            _forge(f"its {_key} is {_value!r}", in_json(ABOUT, _key, value=_value))
_forge("its family is a module to import", in_json(ABOUT, "family", value="os.system"))
_forge("its schema is 10^12", in_json(ABOUT, "schema", value=MANY))
for _key in ("size", "widths", "encoder_widths", "latent_dim", "channels", "patch"):
    _forge(f"its {_key} is not there", in_json(ABOUT, "config", _key, value=GONE))
    for _value in (MANY, -1, 0, "8", None, 1.5, [], [MANY, MANY], {"a": 1}, [8] * 100_000):
        _shown = "a list of 100,000" if isinstance(_value, list) and len(_value) > 9 else repr(_value)
        _forge(f"its {_key} is {_shown}", in_json(ABOUT, "config", _key, value=_value))
for _key in ("size", "widths", "blocks", "code", "n_steps", "patch", "channels"):
    _forge(f"its {_key} is 10^12", in_json(ABOUT, "config", _key, value=MANY), family="image-flow")
    _forge(f"its {_key} is a text", in_json(ABOUT, "config", _key, value="x"), family="image-flow")
_forge("an option it has not", in_json(ABOUT, "config", "colour", value="red"), family="image-flow")
for _key, _values in {
    "columns": (GONE, None, [], "x", [1], [{}], [{"name": "a"}]),
    "latent_dim": (GONE, MANY, "8", -1),
    "width": (GONE, MANY, "8", -1),
}.items():
    for _value in _values:
        _shown = "not there" if _value is GONE else repr(_value)
        _forge(f"its {_key} is {_shown}", in_json(ABOUT, "config", _key, value=_value), family="table-vae")
for _key, _values in {
    "pieces": (GONE, None, [], "x", [1, 2]),
    "length": (GONE, MANY, "8", -1),
    "has_bytes": (GONE, True),
    "rereads": (GONE, MANY, -1, "1"),
    "width": (MANY, 0),
}.items():
    for _value in _values:
        _shown = "not there" if _value is GONE else repr(_value)
        _forge(f"its {_key} is {_shown}", in_json(ABOUT, "config", _key, value=_value), family="text-vae")
for _family in ("image-vae", "image-flow", "table-vae", "text-vae"):
    for _number in (float("nan"), float("inf")):
        _forge(
            f"a weight is {_number}",
            _tensor(
                "" if _family == "image-flow" else "n" if "-vae" in _family and _family[0] == "t" else "dec",
                _holding(_number),
            ),
            family=_family,
        )
    _forge("a weight is not there", _tensor("", lambda _: None), family=_family)
    _forge("a weight lacks a row", _tensor("", lambda value: value[:-1] if value.ndim else value[None]), family=_family)
    _forge("its weights are a pickle", _written(WEIGHTS, b"\x80\x04 a pickle"), family=_family)
_forge("the prior's means lack a column", _tensor("prior.means", lambda value: value[:, :-1]))
_forge("the prior's weights are negative", _tensor("prior.weights", lambda value: -value))
_forge("the prior's scales are 0", _tensor("prior.scales", lambda value: 0 * value))
_forge("a weight of 10^38, so that it makes NaN or refuses", _tensor("dec", lambda value: value + 1e38), accepts=EITHER)
_DEEP = b"[" * 200_000
_forge("its description is nested 200,000 deep", _written(ABOUT, _DEEP))
_forge("its description is a list", _written(ABOUT, b"[]"))
_forge("its description is no text", _written(ABOUT, b"\xff\xfe\x00\xd8"))
_forge("its header says it is 10^12 bytes long", _written(WEIGHTS, MANY.to_bytes(8, "little") + b"{}"))
_HUGE = json.dumps({"a": {"dtype": "F32", "shape": [MANY], "data_offsets": [0, 4 * MANY]}}).encode()
_forge("a tensor says it has 10^12 numbers", _written(WEIGHTS, len(_HUGE).to_bytes(8, "little") + _HUGE))
if hasattr(os, "mkfifo"):
    for _name in (WEIGHTS, ABOUT):
        _forge(
            f"{_name} is a pipe that nobody writes to",
            lambda folder, name=_name: ((folder / name).unlink(), os.mkfifo(folder / name))[1],
        )


CHECKPOINTS = "forged checkpoints"


def _resumed(change: Callable[[Path], None]) -> lt.Bank:
    folder = Path(tempfile.mkdtemp()) / "left"
    try:
        shutil.copytree(left_fit(), folder)
        change(folder)
        return fit_tiny(folder, resume=True)
    finally:
        shutil.rmtree(folder.parent)


def _done_again(change: Callable[[Path], None]) -> None:
    """A damaged piece is said, what it held is done again, and the bank is the same; or it is refused."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        bank = _resumed(change)
    assert any("is damaged" in str(one.message) for one in said), "it was taken without a word"
    assert torch.equal(bank.mixing, _resumed(lambda _: None).mixing)


def _shard(
    change: Callable[[dict[str, torch.Tensor], dict[str, Any]], None], *, is_sealed: bool
) -> Callable[[Path], None]:
    def forge(folder: Path) -> None:
        path = next(folder.glob("shard-*.safetensors"))
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            about = json.loads(file.metadata()["about"])
        change(tensors, about)
        text = json.dumps(about)
        metadata = {"about": text} | ({"sha256": checksum_of(tensors, text)} if is_sealed else {})
        path.unlink()
        save_file(tensors, path, metadata=metadata)

    return forge


def _left_as(name: str, change: Callable[[Path], None], *, accepts: Any = REFUSED) -> None:
    case(CHECKPOINTS, name, accepts=accepts)(lambda: _resumed(change))


_left_as("nothing is changed", lambda _: None, accepts=RIGHT)
_left_as("the key is nested deep", _written("checkpoint.json", _DEEP))
_left_as("the key is a list", _written("checkpoint.json", b"[1]"))
_left_as("the key is of another fit", _written("checkpoint.json", b'{"seed": 5}'))


def _shard_as(name: str, change: Callable[[dict[str, torch.Tensor], dict[str, Any]], None]) -> None:
    """A shard that somebody changed: damaged by its checksum; with a checksum that fits, still of a wrong form."""
    for seal, is_sealed in (("", False), (", sealed", True)):
        forge = _shard(change, is_sealed=is_sealed)
        accepts = EITHER if is_sealed else RIGHT
        case(CHECKPOINTS, f"a shard{name}{seal}", accepts=accepts)(lambda forge=forge: _done_again(forge))


for _name in ("indices", "labels", "means", "pooled", "held", "maps", "views"):
    _shard_as(f" has no {_name}", lambda tensors, _, name=_name: tensors.pop(name) is None)
for _name in ("indices", "means", "maps"):
    _shard_as(
        f"'s {_name} lack a row",
        lambda tensors, _, name=_name: tensors.update({name: tensors[name][:-1].contiguous()}),
    )
_shard_as("'s vectors are of another width", lambda tensors, _: tensors.update(means=torch.zeros(12, 9)))
for _key, _value in {"names": [1] * 12, "stop": "12", "grid": [1], "skipped": "x"}.items():
    _shard_as(f"'s {_key} are {str(_value)[:9]}", lambda _, about, key=_key, value=_value: about.update({key: value}))
    _shard_as(f"'s {_key} are not there", lambda _, about, key=_key: about.pop(key) is None)

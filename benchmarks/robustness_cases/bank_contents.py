"""What lies in a bank's folder is what was saved; pictures that it has seen, or seen nothing like, are said."""

import json
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _real import cifar_folder, imagenet_folder
from PIL import Image
from torch import Tensor

import likethat as lt
from robustness_cases import REFUSED, RIGHT, Wrong, case, expect
from robustness_cases._sessions import digits

N = 300  # digits that a bank is fitted on; the next 400 are new to it


@cache
def _bank() -> lt.Bank:
    return lt.EPIC(n_prototypes=2).fit(lt.load("zoo:digits"), digits(N))


@cache
def _creatures() -> lt.Bank:
    return lt.EPIC(n_prototypes=2).fit(lt.load("zoo:creatures"), lt.creatures(160, seed=1))


def _saved() -> Path:
    return _bank().save(Path(tempfile.mkdtemp()) / "bank")


# ---- checksums


def _tampered(name: str, change: Callable[[Path], None]) -> None:
    @case("bank checksums", name, accepts=REFUSED)
    def _() -> None:
        path = _saved()
        change(path)
        lt.open_bank(path)


def _in_manifest(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def inside(path: Path) -> None:
        manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
        change(manifest)
        (path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")

    return inside


def _pictures(path: Path) -> list[Path]:
    return sorted((path / "images").iterdir())


def _swapped(path: Path) -> None:
    first, second = _pictures(path)[:2]
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)


def _repainted(path: Path) -> None:
    with Image.open(_pictures(path)[0]) as image:
        pixels = np.array(image)
    pixels[0, 0] ^= 1
    Image.fromarray(pixels).save(_pictures(path)[0])


def _renamed(path: Path) -> None:
    first = _pictures(path)[0]
    first.rename(first.with_name("image-9999999.png"))


_tampered("class names in another order", _in_manifest(lambda manifest: manifest["class_names"].reverse()))
_tampered("one class name", _in_manifest(lambda manifest: manifest["class_names"].__setitem__(3, "eight")))
_tampered("the number of images fitted", _in_manifest(lambda manifest: manifest["provenance"].update(n_images=10**6)))
_tampered("a measure", _in_manifest(lambda manifest: manifest["provenance"]["measures"].update(purity=0.99)))
_tampered("the fingerprint", _in_manifest(lambda manifest: manifest["provenance"].update(fingerprint="0" * 64)))
_tampered("the seed", _in_manifest(lambda manifest: manifest["provenance"].update(seed=7)))
_tampered("a note left out", _in_manifest(lambda manifest: manifest["provenance"].update(notes=["all is well"])))
_tampered("the manifest's own digest", _in_manifest(lambda manifest: manifest.update(digest="0" * 64)))
_tampered("the manifest's digest left out", _in_manifest(lambda manifest: manifest.pop("digest")))
_tampered("two pictures swapped", _swapped)
_tampered("one pixel of one picture", _repainted)
_tampered("a picture under another name", _renamed)
_tampered("a picture cut short", lambda path: _pictures(path)[0].write_bytes(_pictures(path)[0].read_bytes()[:40]))
_tampered("a picture that is gone", lambda path: _pictures(path)[0].unlink())
_tampered("an empty picture", lambda path: _pictures(path)[0].write_bytes(b""))


@case("bank checksums", "a picture changed after the bank was opened", accepts=REFUSED)
def _() -> None:
    path = _saved()
    bank = lt.open_bank(path)
    _swapped(path)
    bank.images[_pictures(path)[0].stem]


@case("bank checksums", "a bank that an earlier likethat wrote opens", accepts=RIGHT)
def _() -> None:
    path = _saved()

    def before(manifest: dict[str, Any]) -> None:
        del manifest["digest"]
        manifest["sha256"] = {name: value for name, value in manifest["sha256"].items() if "/" not in name}

    _in_manifest(before)(path)
    expect(lt.open_bank(path).class_names, _bank().class_names, "class names")


@case("bank checksums", "a bank saved, opened, and saved in its place opens", accepts=RIGHT)
def _() -> None:
    path = _saved()
    lt.open_bank(path).save(path, overwrite=True)
    expect(len(lt.open_bank(path).images), len(_bank().images), "pictures")


@case("bank checksums", "a manifest laid out anew with the same values opens", accepts=RIGHT)
def _() -> None:
    path = _saved()
    manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    text = json.dumps(dict(reversed(manifest.items())), indent=8)
    (path / "manifest.json").write_text(text, encoding="utf-8")
    expect(lt.open_bank(path).class_names, _bank().class_names, "class names")


# ---- pictures unlike all seen, and pictures seen


def _says(bank: lt.Bank, image: Any, words: str = "is unlike those") -> bool:
    return any(words in text for text in bank.explain(image).warnings)


def _unlike(name: str, bank: Callable[[], lt.Bank], images: Callable[[], list[Any]], *, least: float) -> None:
    @case("unlike pictures", name, accepts=RIGHT, slow=True)  # the first of them fits the bank of 2,000 drawings
    def _() -> None:
        asked = images()
        said = sum(_says(bank(), image) for image in asked)
        if said < least * len(asked):
            raise Wrong(f"said of {said} of {len(asked)}")


def _photos(folder: Path, n: int = 24) -> list[Any]:
    files = sorted(folder.rglob("*.jpg"))
    return [Image.open(file).convert("RGB") for file in files[:: max(1, len(files) // n)][:n]]


def _drawn(n: int = 24) -> list[Any]:
    source = lt.creatures(n, seed=5)
    return [source[index].image for index in range(n)]


def _noise(shape: tuple[int, ...]) -> list[Tensor]:
    return list(torch.rand(24, *shape, generator=torch.Generator().manual_seed(0)))


_unlike("photos shown to the digits", _bank, lambda: _photos(imagenet_folder()), least=0.95)
_unlike("CIFAR pictures shown to the digits", _bank, lambda: _photos(cifar_folder()), least=0.95)
_unlike("creatures shown to the digits", _bank, _drawn, least=0.95)
_unlike("noise shown to the digits", _bank, lambda: _noise((1, 32, 32)), least=0.95)
_unlike("digits as negatives", _bank, lambda: list(1 - digits(24)), least=0.9)
_unlike("an empty picture shown to the digits", _bank, lambda: [torch.zeros(1, 32, 32)], least=1)
_unlike("digits shown to the creatures", _creatures, lambda: list(digits(24)), least=0.9)
_unlike("photos shown to the creatures", _creatures, lambda: _photos(imagenet_folder()), least=0.9)
_unlike("noise shown to the creatures", _creatures, lambda: _noise((3, 128, 128)), least=0.9)


@case("unlike pictures", "of 400 new digits at most one in a hundred is called unlike", accepts=RIGHT)
def _() -> None:
    seen, model = _bank().familiar, _bank().model
    assert seen is not None
    said = sum(map(seen.is_unlike, model.pooled(digits(N + 400)[N:]).detach()))
    if said > 4:
        raise Wrong(f"said of {said} of 400")


@case("unlike pictures", "a saved bank says the same", accepts=RIGHT)
def _() -> None:
    bank = lt.open_bank(_saved(), _bank().model)
    expect([_says(bank, digits(1)[0]), _says(bank, torch.ones(1, 32, 32))], [False, True], "said")


@case("unlike pictures", "a bank of too few pictures to tell says nothing", accepts=RIGHT)
def _() -> None:
    bank = lt.EPIC(n_prototypes=2).fit(lt.load("zoo:digits"), digits(20))
    expect(_says(bank, torch.ones(1, 32, 32)), False, "said")


def _own(name: str, shown: Callable[[Tensor], Any]) -> None:
    @case("unlike pictures", f"a picture is no prototype of itself: {name}", accepts=RIGHT)
    def _() -> None:
        rows = [item for item in _bank().prototypes if item.kind == "positive"][:8]
        for item in rows:
            why = _bank().explain(shown(digits(N)[item.index]), target=item.predicted, top=64)
            kept = {other.image for row in why.rows for other in row.prototypes}
            expect(item.image in kept, False, f"{item.image} among its own prototypes")
            expect(any("one of those that the bank" in text for text in why.warnings), True, "said")


def _as_file(image: Tensor) -> str:
    path = Path(tempfile.mkdtemp()) / "renamed.png"
    Image.fromarray((image[0] * 255).round().byte().numpy()).save(path)
    return str(path)


_own("as a tensor", lambda image: image)
_own("as an array of bytes", lambda image: (image[0] * 255).round().byte().numpy())
_own("as a file of another name", _as_file)
_own("as a sample of another name", lambda image: lt.Images([image])[0])


@case("unlike pictures", "another picture keeps all its prototypes", accepts=RIGHT)
def _() -> None:
    for index in range(N, N + 10):
        why = _bank().explain(digits(N + 10)[index])
        expect(
            [row.prototypes for row in why.rows], [_bank().prototypes_of(row.unit) for row in why.rows], "prototypes"
        )

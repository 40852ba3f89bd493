"""What an audit finds beside shortcuts, planted in photos that nothing was chosen on, and clean twins."""

import io
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from _real import CIFAR_CLASSES, CIFAR_MEAN, CIFAR_STD, ROOT, NoRealMaterial, cifar_folder, resnet20
from _rows import Row, Rows
from _shortcuts import LAYERS, Case, Pictures, load, pictures_of, train
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

import likethat as lt
from likethat.models.zoo import ConvNet

Picture = np.ndarray  # (height, width, 3), 8 bit

N_COPIES = 40  # planted among 360 others, which are half of the photos


def _compressed(picture: Picture) -> Picture:
    held = io.BytesIO()
    Image.fromarray(picture).save(held, "JPEG", quality=40)
    return np.array(Image.open(held))


def _resized(picture: Picture, box: tuple[int, int, int, int], size: int = 32) -> Picture:
    return np.array(Image.fromarray(picture).crop(box).resize((size, size)).resize((32, 32)))


EDITS: dict[str, Callable[[Picture], Picture]] = {
    "compressed": _compressed,
    "lighter": lambda picture: np.clip(picture * 1.3 + 8, 0, 255).astype(np.uint8),
    "mirrored": lambda picture: picture[:, ::-1].copy(),
    "half the size": lambda picture: _resized(picture, (0, 0, 32, 32), 16),
    "grey": lambda picture: np.repeat(picture.mean(2, keepdims=True).astype(np.uint8), 3, 2),
    "a pixel off each side": lambda picture: _resized(picture, (1, 1, 31, 31)),
    "moved by two pixels": lambda picture: np.roll(picture, 2, axis=1),
}


@cache
def photos() -> tuple[list[Picture], list[int]]:
    """Return the test photos, class by class, and their labels."""
    files = [(path, label) for label, name in enumerate(CIFAR_CLASSES) for path in (cifar_folder() / name).iterdir()]
    files.sort(key=lambda each: each[0].name)
    return [np.array(Image.open(path).convert("RGB")) for path, _ in files], [label for _, label in files]


@cache
def model() -> lt.SplitModel:
    """Return the published ResNet-20, split."""
    preprocess = lt.Preprocess(mean=CIFAR_MEAN, std=CIFAR_STD)
    return lt.split(resnet20(), preprocess=preprocess, class_names=CIFAR_CLASSES, example=torch.rand(2, 3, 32, 32))


def source(pictures: list[Picture], labels: list[int]) -> lt.Images:
    """Return pictures as an audit takes them."""
    return lt.Images(np.stack(pictures), labels=labels, class_names=CIFAR_CLASSES)


def copies_of(edit: str) -> Row:
    """Plant changed copies of training photos among test photos; none for an empty edit."""
    pictures, labels = photos()
    learned, others = list(range(0, 750)), list(range(750, 1110))
    planted = list(range(0, 750, 750 // N_COPIES))[:N_COPIES] if edit else []
    tests = [EDITS[edit](pictures[at]) for at in planted] + [pictures[at] for at in others]
    found = lt.audit(
        model(),
        source([pictures[at] for at in learned], [labels[at] for at in learned]),
        test=source(tests, [labels[at] for at in planted + others]),
        n_shortcuts=1,
        n_labels=0,
        n_pictures=len(tests),
    )
    copies = next((one for one in found.findings if one.kind == "copies"), None)
    pairs = {} if copies is None else dict(zip(copies.pictures[::2], copies.pictures[1::2], strict=True))
    right = sum(one.index < len(planted) and planted[one.index] == other.index for one, other in pairs.items())
    return {
        "planted": len(planted),
        "found with their original": right,
        "others called copies": sum(one.index >= len(planted) for one in pairs),
        "clear": "yes" if copies is not None and copies.is_clear else "",
        "limit": None if copies is None else copies.facts["limit"],
        "seen by the network too": None if copies is None else copies.agreement,
    }


def _has_photos(what: str) -> bool:
    """Whether the photos lie beside the repository; where they do not, it is said what is skipped."""
    try:
        photos()
    except NoRealMaterial as why:
        print(f"{what} are skipped: {why}")
        return False
    return True


def copies(rows: Rows) -> None:
    """Measure copies among test pictures."""
    if not _has_photos("copies"):
        return
    for edit in ["", *EDITS][: 2 if rows.quick else None]:
        rows.add("copies", edit or "none planted", partial(copies_of, edit))


def _half(images: Tensor) -> Tensor:
    return torch.nn.functional.interpolate(torch.nn.functional.avg_pool2d(images, 2), scale_factor=2, mode="bilinear")


CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "": lambda images: images,
    "dark": lambda images: 0.3 * images,
    "of half the size": _half,
    "pale": lambda images: 0.35 + 0.3 * images,
    "noisy": lambda images: (images + 0.1 * torch.randn(images.shape, generator=_rng(1))).clamp(0, 1),
    "turned": lambda images: images.rot90(1, (2, 3)),
}
SCENES = ("airplane", "automobile", "ship", "truck")  # whose photos surround the four classes of a group
_SCENE_STRENGTH = 0.95  # share of a class's pictures with its own scene


@cache
def _scene_pictures() -> Tensor:
    """Return (scene, picture, 3, 32, 32) photos of which the surroundings are taken."""
    files = [sorted((cifar_folder("train") / name).iterdir())[:600] for name in SCENES]
    return torch.stack([torch.stack([_tensor(path) for path in each]) for each in files])


def _tensor(path: Path) -> Tensor:
    return torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1).float() / 255


def framed(case: Case, *, planted: bool) -> tuple[Pictures, Pictures]:
    """Return pictures to learn from and pictures kept back, each in a scene: its class's, or any."""
    learned, held, _ = pictures_of(case)
    rng, scenes = _rng(case.seed), _scene_pictures()
    inner = torch.zeros(32, 32)
    inner[6:26, 6:26] = 1
    soft = torch.nn.functional.avg_pool2d(inner[None, None], 3, stride=1, padding=1)[0, 0]
    made = []
    for each in (learned, held):
        n = len(each.images)
        any_scene = torch.randint(4, (n,), generator=rng)
        own = (torch.rand(n, generator=rng) < _SCENE_STRENGTH) & planted
        scene = torch.where(own, each.labels, any_scene)
        behind = scenes[scene, torch.randint(600, (n,), generator=rng)]
        made.append(replace(each, images=soft * each.images + (1 - soft) * behind, marked=scene == each.labels))
    return made[0], made[1]


def framed_network(case: Case, *, planted: bool) -> torch.nn.Module:
    """Return a network that learned from such pictures, trained when it is asked for the first time."""
    place = ROOT / "out" / "shortcuts" / f"framed-{case.group}-{case.seed}-{planted}.safetensors"
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        save_file(train(case, framed(case, planted=planted)[0]).state_dict(), place)
    network = ConvNet(in_channels=3, layers=LAYERS, n_classes=4)
    network.load_state_dict(load_file(place))
    return network.eval()


SLICED = tuple(Case(pictures="photos", group=group, mark="", strength=0.5, seed=20) for group in (0, 2))
_PLANTED = 0.12  # of the pictures


def _rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def slice_of(case: Case, change: str) -> Row:
    """Change one picture in eight of those that a clean network did not learn from."""
    _, held, judged = pictures_of(case)
    n = len(judged.images) // 2  # the rest are the same again
    images, labels = torch.cat([held.images, judged.images[:n]]), torch.cat([held.labels, judged.labels[:n]])
    planted = torch.rand(len(images), generator=_rng(5)) < _PLANTED
    images[planted] = CHANGES[change](images[planted])
    network = load(case)
    split = lt.split(network, example=images[:4], class_names=list(held.class_names))
    data = lt.Images(images, labels=labels.tolist(), class_names=list(held.class_names))
    found = lt.audit(split, data, n_shortcuts=1, n_labels=0, n_pictures=400)
    one = next(each for each in found.findings if each.kind == "slice")
    with torch.no_grad():
        right = torch.cat([network(part) for part in images.split(200)]).argmax(1) == labels
    inner = [each.index for each in one.pictures if each.is_on]
    return {
        "right, planted": float(right[planted].double().mean()) if change else None,
        "right, others": float(right[~planted if change else planted | True].double().mean()),
        "what": one.what,
        "score": one.score,
        "low": one.interval[0],
        "null": one.null,
        "clear": "yes" if one.is_clear else "",
        "planted among those shown": float(planted[inner].double().mean()) if change and inner else None,
    }


def _peppered(picture: Picture) -> Picture:
    chance = _chance(picture)
    return np.where(chance < 0.1, 255, np.where(chance < 0.2, 0, picture)).astype(np.uint8)


def _chance(picture: Picture) -> Picture:
    return np.random.default_rng(int(picture.sum())).random((32, 32, 1))


def _digit(number: int) -> Picture:
    grey = lt.digits(split="test")[number].image[:1].expand(3, -1, -1)[None]
    whole = torch.nn.functional.interpolate(grey, size=(32, 32), mode="bilinear")[0]
    return (255 * whole).permute(1, 2, 0).numpy().astype(np.uint8)


STRANGE: dict[str, Callable[[Picture], Picture]] = {
    "salt and pepper": _peppered,
    "one colour": lambda picture: np.broadcast_to(picture.mean((0, 1), keepdims=True), picture.shape).astype(np.uint8),
    "smoothed": lambda picture: _resized(picture, (0, 0, 32, 32), 6),
    "a page of dots": lambda picture: np.where(_chance(picture) < 0.5, 255, picture // 8).astype(np.uint8),
    "negative": lambda picture: 255 - picture,
    "digits": lambda picture: _digit(int(picture.sum()) % 450),
}


def unlike_of(strange: str) -> Row:
    """Plant pictures of another kind among test photos; none for an empty name."""
    pictures, labels = photos()
    learned, others = list(range(0, 750)), list(range(750, 1110))
    planted = list(range(1110, 1150)) if strange else []
    tests = [STRANGE[strange](pictures[at]) for at in planted] + [pictures[at] for at in others]
    found = lt.audit(
        model(),
        source([pictures[at] for at in learned], [labels[at] for at in learned]),
        test=source(tests, [labels[at] for at in planted + others]),
        n_shortcuts=1,
        n_labels=0,
        n_pictures=len(tests),
    )
    one = next((each for each in found.findings if each.kind == "unlike"), None)
    shown = [] if one is None else [each.index for each in one.pictures if each.is_on]
    return {
        "planted": len(planted),
        "found": sum(index < len(planted) for index in shown),
        "others called unlike": sum(index >= len(planted) for index in shown),
        "clear": "yes" if one is not None and one.is_clear else "",
        "by pixels": None if one is None else one.facts["by_pixels"],
        "without a near neighbour": None if one is None else one.agreement,
    }


def unlike(rows: Rows) -> None:
    """Measure pictures unlike the others."""
    if not _has_photos("pictures unlike the others"):
        return
    for strange in ["", *STRANGE][: 2 if rows.quick else None]:
        rows.add("unlike", strange or "none planted", partial(unlike_of, strange))


def slices(rows: Rows) -> None:
    """Measure slices of low accuracy."""
    if not _has_photos("slices"):
        return
    for case in SLICED[: 1 if rows.quick else None]:
        for change in [*CHANGES][: 2 if rows.quick else None]:
            rows.add("slices", f"{case.name}: {change or 'none planted'}", partial(slice_of, case, change))


FRAMED = tuple(Case(pictures="photos", group=group, mark="", strength=0.5, seed=20) for group in (0, 2))


def surrounded(case: Case, scenes: str) -> Row:
    """Audit a network that was taught scenes behind its classes, one that saw any scene, or one that saw none."""
    if scenes:
        network = framed_network(case, planted=scenes == "its class's")
        learned, held = framed(case, planted=scenes == "its class's")
    else:
        network, (learned, held, _) = load(case), pictures_of(case)
    images, labels = torch.cat([learned.images, held.images]), torch.cat([learned.labels, held.labels])
    split = lt.split(network, example=images[:4], class_names=list(held.class_names))
    data = lt.Images(images, labels=labels.tolist(), class_names=list(held.class_names))
    found = lt.audit(split, data, n_shortcuts=1, n_labels=0, n_pictures=1)
    one = next(each for each in found.findings if each.kind == "surroundings")
    first = found.shortcuts[0]
    return {
        "score": one.score,
        "low": one.interval[0],
        "null": one.null,
        "clear": "yes" if one.is_clear else "",
        "lost in other edges": one.agreement,
        "predictions": one.n_predictions,
        "shortcut score": first.score,
        "shortcut clear": "yes" if first.is_clear else "",
    }


def surroundings(rows: Rows) -> None:
    """Measure surroundings that carry a class."""
    if not _has_photos("surroundings"):
        return
    for case in FRAMED[: 1 if rows.quick else None]:
        for scenes in ("its class's", "any", ""):
            name = f"{case.name}: in {scenes} scene" if scenes else case.name
            rows.add("surroundings", name, partial(surrounded, case, scenes))

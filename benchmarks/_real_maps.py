"""Heat maps of a photo for the class that the network gives it, by its answers alone or by its weights.

The design of `FreeMCG.attribute` was chosen on 60 photos of CIFAR-10 and 8 of ImageNet; here are others.
"""

import json
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from _finer import CHOSEN, Maps
from _freemcg_methods import captum_map, rise
from _real import cifar_folder, imagenet_folder
from _rows import Row
from torch import Tensor, nn

import likethat as lt
from likethat import metrics
from likethat.metrics.attributions import Replacement
from likethat.sources import as_source

__all__ = ["FILLS", "LARGE", "METHODS", "OURS", "Photos", "Scores", "order", "row_beside", "scores_of"]

FILLS: tuple[Replacement, ...] = ("mean", "blur", "noise")
_CHOSEN_ON = 200  # photos from the front of the order are left to choosing
Map = Callable[[Tensor, int, int], np.ndarray]
"""A photo, a class and a seed to a heat map of the photo's size."""
Shown = Callable[[list[float]], str]


class _Logits(nn.Module):
    """What captum takes: a function as a module."""

    def __init__(self, logits: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, images: Tensor) -> Tensor:
        return self.logits(images)


class _Normalised(nn.Module):
    """A split model's network, from pictures in [0, 1]."""

    def __init__(self, model: lt.SplitModel) -> None:
        super().__init__()
        self.network, self.normalise = model.network, model.preprocess.normalise

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(self.normalise(images))
        return logits


class _Session:
    """A network run by onnxruntime on one thread: the same answers in a quarter of the time.

    Args:
        model: the network.
        example: a picture.
    """

    def __init__(self, model: lt.SplitModel, example: Tensor) -> None:
        import onnxruntime

        axes, one = {"images": {0: "n"}, "logits": {0: "n"}}, example[None]
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter's own deprecations
            path = Path(folder) / "network.onnx"
            torch.onnx.export(
                _Normalised(model).eval(), (one,), path, dynamo=False, dynamic_axes=axes, input_names=list(axes)[:1],
                output_names=list(axes)[1:],
            )  # fmt: skip
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        off = float((self(one) - model.logits(one).detach()).abs().max())
        assert off < 1e-3, f"the exported network answers otherwise: logits differ by {off}"

    def __call__(self, images: Tensor) -> Tensor:
        answers = [self._session.run(None, {"images": batch.numpy()})[0] for batch in images.float().split(8)]
        return torch.from_numpy(np.concatenate(answers))


@dataclass(frozen=True, kw_only=True, eq=False)
class Photos:
    """A network and photos of the size it takes.

    Attributes:
        model: the network, for what reads its weights.
        finer: gives it split at a finer layer.
        logits: what it says, for what asks.
        images: photos, (channel, height, width).
        n_steps: points of insertion's and deletion's curves.
    """

    model: lt.SplitModel
    finer: Callable[[], lt.SplitModel]
    logits: Callable[[Tensor], Tensor]
    images: list[Tensor]
    n_steps: int

    @classmethod
    def cifar(cls, model: lt.SplitModel, n: int, *, finer: Callable[[], lt.SplitModel]) -> "Photos":
        """Return test photos of 32 x 32."""
        source = as_source(cifar_folder("test"))
        images = [source[row].image for row in order(len(source))[:n]]
        return cls(model=model, finer=finer, logits=model.logits, images=images, n_steps=32)

    @classmethod
    def imagenet(cls, model: lt.SplitModel, n: int, *, finer: Callable[[], lt.SplitModel]) -> "Photos":
        """Return photos of 224 x 224, cut from the middle."""
        source = as_source(imagenet_folder())
        images = [_middle(source[row].image) for row in order(len(source))[:n]]
        return cls(model=model, finer=finer, logits=_Session(model, images[0]), images=images, n_steps=8)

    def ask(self, images: Tensor) -> Tensor:
        """Return the probabilities."""
        with torch.no_grad():
            logits = torch.cat([self.logits(batch) for batch in images.split(32)])
        return logits.softmax(1)


def order(n: int) -> list[int]:
    """Return rows of n photos in an order by chance, without those that are left to choosing."""
    rows: list[int] = torch.randperm(n, generator=torch.Generator().manual_seed(77)).tolist()
    return rows[_CHOSEN_ON:]


def _middle(image: Tensor) -> Tensor:
    side = min(image.shape[1:])
    top, left = (image.shape[1] - side) // 2, (image.shape[2] - side) // 2
    square = image[None, :, top : top + side, left : left + side]
    return nn.functional.interpolate(square, size=(224, 224), mode="bilinear", antialias=True)[0].clamp(0, 1)


def _ours(photos: Photos, fills: str | None = None) -> Map:
    return lambda x, t, i: lt.FreeMCG(seed=i).attribute(lt.BlackBox(photos.ask), x, t, budget=128, fills=fills).heat_map


def _rise(photos: Photos, budget: int) -> Map:
    return lambda x, t, i: rise(x, t, photos.ask, budget=budget, seed=i)


def _captum(photos: Photos, name: str) -> Map:
    network = _Logits(photos.model.logits if name == "gradients" else photos.logits)
    return lambda x, t, i: captum_map(name, x, t, network, budget=128, seed=i)


def _exact(photos: Photos) -> Map:
    """Class activation: what `SplitModel.heat_map` says, at the photo's size."""

    def make(image: Tensor, target: int, _: int) -> np.ndarray:
        with torch.no_grad():
            return _grown(photos.model.heat_map(image[None], target)[0], image)

    return make


def _finer(photos: Photos) -> Map:
    """The map of `layer="finer"`."""
    maps = Maps(photos.finer())

    def make(image: Tensor, target: int, _: int) -> np.ndarray:
        predicted, coarse, finer = maps.of(image)
        assert predicted == target
        return _grown(maps.mixed(coarse, finer, CHOSEN), image)

    return make


def _grown(cells: Tensor, image: Tensor) -> np.ndarray:
    found: np.ndarray = nn.functional.interpolate(cells[None, None], size=tuple(image.shape[1:]), mode="bilinear")[
        0, 0
    ].numpy()
    return found


OURS = "FreeMCG.attribute, 128"
METHODS: dict[str, Callable[[Photos], Map]] = {
    OURS: _ours,
    "occlusion, 128": lambda photos: _captum(photos, "occlusion"),
    "RISE, 512": lambda photos: _rise(photos, 512),
    "exact map = Grad-CAM (white box)": _exact,
    "finer map (white box)": _finer,
    "FreeMCG.attribute, 128, inpainting alone": lambda photos: _ours(photos, "inpainting"),
    "KernelSHAP, 128": lambda photos: _captum(photos, "KernelSHAP"),
    "integrated gradients (white box)": lambda photos: _captum(photos, "gradients"),
}


LARGE = ("RISE, 512", "exact map = Grad-CAM (white box)", "finer map (white box)", "occlusion, 128")
"""Those that are measured at 224 x 224."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores:
    """Insertion less deletion, (photo, fill), and the seconds that one map took."""

    values: np.ndarray
    seconds: float


def scores_of(photos: Photos, name: str, store: Path, *, fresh: bool = False) -> Scores:
    """Judge one method on every photo.

    Args:
        photos: of which those judged by a run that was stopped are read from the store.
        name: of the method.
        store: a line a photo, written as it is judged.
        fresh: judge all of them anew.
    """
    if fresh:
        store.unlink(missing_ok=True)
    known = [json.loads(line) for line in store.read_text("utf-8").splitlines()] if store.exists() else []
    make = METHODS[name](photos) if len(known) < len(photos.images) else None
    store.parent.mkdir(exist_ok=True)
    for index, image in list(enumerate(photos.images))[len(known) :]:
        assert make is not None
        target = int(photos.ask(image[None]).argmax())
        started = time.perf_counter()
        heat = make(image, target, index)
        seconds = time.perf_counter() - started
        known.append([seconds, *(_score(photos, image, heat, target, fill, index) for fill in FILLS)])
        with store.open("a", encoding="utf-8") as file:
            file.write(json.dumps(known[-1]) + "\n")
    found = np.array(known[: len(photos.images)])
    return Scores(values=found[:, 1:], seconds=float(found[:, 0].mean()))


def row_beside(found: Scores, ours: np.ndarray | None, shown: Shown) -> Row:
    """Return a method's means, and how much more ours has on the same photos.

    Args:
        found: of the method.
        ours: values of ours; None for its own row.
        shown: turns numbers into a mean with its standard error.
    """
    row: Row = {"photos": len(found.values)} | _by_fill(found.values, "{}", shown)
    beside = {} if ours is None else _by_fill(ours - found.values, "ours less it, {}", shown)
    return row | beside | {"s": found.seconds, "_values": found.values.tolist()}


def _by_fill(values: np.ndarray, name: str, shown: Shown) -> Row:
    return {name.format(fill): shown(values[:, place].tolist()) for place, fill in enumerate(FILLS)}


def _score(photos: Photos, image: Tensor, heat: np.ndarray, target: int, fill: Replacement, index: int) -> float:
    rng = torch.Generator().manual_seed(index)
    return metrics.insertion_deletion(
        photos.ask, image, heat, target, replacement=fill, n_steps=photos.n_steps, rng=rng
    ).score

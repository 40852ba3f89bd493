"""Heat maps of black boxes beside other methods at stated queries, and whether their standard errors hold."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from _freemcg_digits import asker, stacked
from _freemcg_methods import captum_map, rise
from _rows import Row, Rows
from torch import Tensor

import likethat as lt
from likethat import metrics
from likethat.metrics.attributions import Replacement
from likethat.sources.creatures import REMOVABLE_PARTS

Map = Callable[[Tensor, int, int], np.ndarray]
"""An image, a target and a seed to a heat map (height, width)."""
REPLACEMENTS: tuple[Replacement, ...] = ("mean", "blur", "noise")


def maps_of(model: Any, flow: Any) -> dict[str, Map]:
    """Return every method."""
    ask, network = asker(model), model.network

    def by(generator: Any) -> Map:
        def make(image: Tensor, target: int, index: int) -> np.ndarray:
            return lt.FreeMCG(generator, seed=index).attribute(lt.BlackBox(model), image, target).heat_map

        return make

    return {
        "patches, 128": by(None),
        "FreeMCG, 128": by(flow),
        "RISE, 128": lambda x, t, i: rise(x, t, ask, budget=128, seed=i),
        "RISE, 512": lambda x, t, i: rise(x, t, ask, budget=512, seed=i),
        "occlusion, 128": lambda x, t, i: captum_map("occlusion", x, t, network, budget=128, seed=i),
        "KernelSHAP, 128": lambda x, t, i: captum_map("KernelSHAP", x, t, network, budget=128, seed=i),
        "integrated gradients (white box)": lambda x, t, i: captum_map("gradients", x, t, network, budget=128, seed=i),
    }


class Curves:
    """Insertion less deletion with every replacement, sensitivity, and seconds, summed up over images."""

    def __init__(self, ask: Callable[[Tensor], Tensor]) -> None:
        self.ask = ask
        self.scores: dict[str, list[float]] = {name: [] for name in REPLACEMENTS}
        self.moved: list[float] = []
        self.seconds = 0.0

    def heat(self, make: Map, image: Tensor, target: int, index: int, *, sensitive: bool) -> np.ndarray:
        """Make the map of one image and judge it."""
        started = time.perf_counter()
        heat = make(image, target, index)
        self.seconds += time.perf_counter() - started
        for replacement in REPLACEMENTS:
            rng = torch.Generator().manual_seed(index)
            curves = metrics.insertion_deletion(self.ask, image, heat, target, replacement=replacement, rng=rng)
            self.scores[replacement].append(curves.score)
        if sensitive:
            rng = torch.Generator().manual_seed(index)
            self.moved.append(metrics.sensitivity(lambda x: make(x, target, index), image, n=2, rng=rng))
        return heat

    def row(self) -> Row:
        """Return the means."""
        n = len(self.scores["mean"])
        means = {name: float(np.mean(found)) for name, found in self.scores.items()}
        return means | {"sensitivity": float(np.mean(self.moved)), "s": self.seconds / n}


def attribution(rows: Rows) -> None:
    """Digits."""
    model = lt.load("zoo:digits")
    images = stacked(lt.digits(split="test"))[0][: 8 if rows.quick else 80]
    ask = asker(model)

    def measured(make: Map) -> Row:
        curves = Curves(ask)
        for index, image in enumerate(images):
            curves.heat(make, image, int(ask(image[None]).argmax()), index, sensitive=index < 16)
        return curves.row()

    for name, make in maps_of(model, lt.load_generator("zoo:digits-flow")).items():
        rows.add("attribution", name, lambda make=make: measured(make))


def single(rows: Rows) -> None:
    """Creatures: rank correlation of parts' heat with the probability's drop when they are not drawn."""
    model = lt.load("zoo:creatures")
    book = lt.creatures(6 if rows.quick else 48, seed=5)
    ask = asker(model)

    def measured(make: Map) -> Row:
        importances, drops, curves = [], [], Curves(ask)
        for index in range(len(book)):
            sample = book[index]
            target = int(ask(sample.image[None]).argmax())
            heat = curves.heat(make, sample.image, target, index, sensitive=index < 8)
            parts = [part for part in REMOVABLE_PARTS if part in sample.masks]
            without = torch.stack([sample.image, *(book.without(index, part).image for part in parts)])
            p = torch.logit(ask(without)[:, target].double().clamp(1e-6, 1 - 1e-6))
            importances.append([float(heat[sample.masks[part]].sum()) for part in parts])
            drops.append((p[0] - p[1:]).tolist())
        return {"single deletion": metrics.single_deletion(importances, drops)} | curves.row()

    for name, make in maps_of(model, lt.load_generator("zoo:creatures-flow")).items():
        rows.add("single", name, lambda make=make: measured(make))


def errors(rows: Rows) -> None:
    """Share of pixels whose value of a long run lies within 1.645 standard errors of the short run's."""

    def measured(model: Any, images: Tensor) -> Row:
        within = []
        for index, image in enumerate(images):
            long = lt.FreeMCG(seed=1000 + index).attribute(lt.BlackBox(model), image, budget=2048)
            short = lt.FreeMCG(seed=index).attribute(lt.BlackBox(model), image, budget=128)
            gap = np.abs(long.heat_map - short.heat_map)
            within.append(float((gap <= 1.645 * short.error).mean()))
        return {"coverage of 90 %": float(np.mean(within)), "worst image": float(np.min(within))}

    n = 2 if rows.quick else 10
    tested = stacked(lt.digits(split="test"))[0][:n]
    drawings = stacked(lt.creatures(n, seed=5))[0]
    rows.add("errors", "digits, 128 against 2,048", lambda: measured(lt.load("zoo:digits"), tested))
    rows.add("errors", "creatures, 128 against 2,048", lambda: measured(lt.load("zoo:creatures"), drawings))

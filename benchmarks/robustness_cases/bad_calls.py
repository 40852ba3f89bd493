"""Bad calls of every public function and method: each ends in one sentence of ours, or is right all the same.

A row names a function, how it is called well, and which of its arguments are replaced, one at a time, by the wrong
values of their kind. An argument that a call does not know is left to Python's `TypeError` in the shape of our
`ArgumentError`; one such call a function is among them.
"""

import contextlib
import io
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import likethat as lt
from likethat import papers
from robustness_cases import REFUSED, RIGHT, Skip, Wrong, case
from robustness_cases import _wrong_values as wrong
from robustness_cases._wrong_values import Values

# --- what the calls need, made once -----------------------------------------------------------------------------------


@cache
def network() -> nn.Module:
    """Return a small classifier of three classes."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)).eval()


@cache
def images() -> torch.Tensor:
    """Return 24 pictures."""
    return torch.rand(24, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@cache
def model() -> lt.SplitModel:
    """Return the split classifier."""
    return lt.split(network(), example=images()[:2], class_names=["ant", "bee", "cow"])


@cache
def bank() -> lt.Bank:
    """Return a bank with its model."""
    return lt.EPIC(n_prototypes=2).fit(model(), images())


@cache
def saved() -> Path:
    """Return the folder of the bank."""
    return bank().save(Path(tempfile.mkdtemp()) / "bank")


@cache
def generator() -> Any:
    """Return a generator of pictures."""
    return lt.load_generator(
        lambda z: z.sigmoid().reshape(-1, 3, 4, 4).repeat_interleave(4, 2).repeat_interleave(4, 3), latent_dim=48
    )


@cache
def box() -> lt.BlackBox:
    """Return a black box of the classifier."""
    return lt.BlackBox(model())


@cache
def found() -> Any:
    """Return exemplars."""
    return lt.Exemplars(generator(), tolerance=0.9).search(box(), "bee", n=2, budget=20)


@cache
def changed() -> Any:
    """Return a counterfactual."""
    return lt.FreeMCG(generator(), n_particles=4).counterfactual(box(), images()[0], budget=12)


@cache
def heat() -> Any:
    """Return a heat map."""
    return lt.FreeMCG().attribute(box(), images()[0], budget=40)


@cache
def creatures() -> Any:
    """Return a picture book."""
    return lt.creatures(n=4, size=32)


# --- the table --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Row:
    """A function, and what is done to its arguments.

    Attributes:
        name: as it is written.
        call: takes the arguments by name.
        good: a call that works, made anew each time.
        bad: wrong values by argument.
        fine: "argument=value" of wrong values that are right here after all; the call must then end well.
    """

    name: str
    call: Callable[..., Any]
    good: Callable[[], dict[str, Any]]
    bad: Mapping[str, Values]
    fine: tuple[str, ...] = ()
    knows_names: bool = True


def _less(values: Values, *names: str) -> Values:
    return {name: make for name, make in values.items() if name not in names}


def _few(values: Values, n: int = 7) -> Values:
    """Return some of them, for arguments whose siblings are tried with all."""
    step = max(1, len(values) // n)
    return dict(list(values.items())[::step])


def _constructors() -> list[Row]:
    return [
        Row(
            name="EPIC",
            call=lt.EPIC,
            good=dict,
            bad={
                "n_prototypes": wrong.COUNT,
                "mixing": wrong.CHOICE,
                "usage_weight": wrong.NUMBER,
                "condition": _few(wrong.NUMBER),
                "seed": wrong.SEED,
            },
        ),
        Row(
            name="papers.EPIC",
            call=papers.EPIC,
            good=dict,
            bad={
                "mixing": wrong.CHOICE,
                "epochs": _few(wrong.COUNT),
                "learning_rate": _few(wrong.NUMBER),
                "weight_decay": _few(wrong.NUMBER),
                "batch": _few(wrong.COUNT),
            },
        ),
        Row(
            name="PartPrototypes",
            call=lt.PartPrototypes,
            good=dict,
            bad={
                "n_parts": wrong.COUNT,
                "algorithm": _few(wrong.CHOICE),
                "sharing": _few(wrong.CHOICE),
                "n_prototypes": _few(wrong.COUNT),
                "ridge": {**wrong.NUMBER, **wrong.same(**{"0": 0})},
                "cells_per_class": _few(wrong.COUNT),
                "seed": _few(wrong.SEED),
            },
        ),
        Row(
            name="ProDG",
            call=lt.ProDG,
            good=lambda: {"generator": generator()},
            bad={
                "generator": wrong.GENERATOR,
                "n_prototypes": _few(wrong.COUNT),
                "n_samples": _few(wrong.COUNT),
                "steps": _few(wrong.COUNT_FROM_0),
                "algorithm": _few(wrong.CHOICE),
                "step": _few(wrong.NUMBER),
                "closeness": _few(wrong.NUMBER),
                "diversity": _few(wrong.NUMBER),
                "batch": _few(wrong.COUNT),
                "controls": wrong.FLAG,
                "mixed_precision": wrong.FLAG,
                "seed": _few(wrong.SEED),
            },
        ),
        Row(
            name="Exemplars",
            call=lt.Exemplars,
            good=lambda: {"generator": generator()},
            bad={
                "generator": wrong.GENERATOR,
                "algorithm": wrong.CHOICE,
                "tolerance": wrong.SHARE,
                "batch": _few(wrong.COUNT_OR_NONE),
                "spacing": wrong.SHARE,
                "seed": _few(wrong.SEED),
            },
        ),
        Row(
            name="FreeMCG",
            call=lt.FreeMCG,
            good=dict,
            bad={
                "generator": _less(wrong.GENERATOR, "None"),
                "n_particles": _few(wrong.COUNT_OR_NONE),
                "confidence": _less(wrong.SHARE, "None"),
                "noise": wrong.NUMBER_OR_NONE,
                "seed": _few(wrong.SEED),
            },
        ),
        Row(
            name="papers.FreeMCG",
            call=papers.FreeMCG,
            good=lambda: {"generator": lt.load_generator("zoo:digits-flow")},
            bad={
                "generator": wrong.GENERATOR,
                "algorithm": wrong.CHOICE,
                "n_particles": _few(wrong.COUNT_OR_NONE),
                "confidence": _less(wrong.SHARE, "None"),
                "n_steps": _few(wrong.COUNT),
                "seed": _few(wrong.SEED),
            },
        ),
        Row(
            name="Generated",
            call=lt.Generated,
            good=lambda: {"generator": generator(), "n": 4},
            bad={"generator": wrong.GENERATOR, "n": wrong.COUNT, "seed": _few(wrong.SEED), "names": _few(wrong.NAMES)},
        ),
        Row(
            name="Generated, of latents",
            call=lt.Generated,
            good=lambda: {"generator": generator(), "latents": torch.zeros(2, 48)},
            bad={
                "latents": {
                    **_less(wrong.NUMBER, "np.ones(2)"),
                    "another dimension": lambda: torch.zeros(2, 5),
                    "NaN": lambda: torch.full((2, 48), float("nan")),
                    "a text": lambda: "zeros",
                    "none": lambda: torch.zeros(0, 48),
                },
                "seeds": wrong.same(
                    **{"3": 3, "'ab'": "ab", "[1]": [1], "[None, None]": [None, None], "[-1, 0]": [-1, 0]}
                ),
            },
        ),
        Row(
            name="Preprocess",
            call=lt.Preprocess,
            good=dict,
            bad={
                "size": {
                    **wrong.COUNT_OR_NONE,
                    **wrong.same(**{"(1, 2, 3)": (1, 2, 3), "(4, 0)": (4, 0), "'224'": "224"}),
                },
                "resize": _few(wrong.COUNT_OR_NONE),
                "crop": wrong.CHOICE,
                "mean": wrong.same(
                    **{
                        "'0.5'": "0.5",
                        "(nan,)": (float("nan"),),
                        "()": (),
                        "('a',)": ("a",),
                        "(None,)": (None,),
                        "True": True,
                        "b''": b"",
                    }
                ),
                "std": wrong.same(
                    **{
                        "0": 0,
                        "(1, 0, 1)": (1, 0, 1),
                        "(inf,)": (float("inf"),),
                        "{}": {},
                        "[[1], [1]]": [[1], [1]],
                        "(-1,)": (-1,),
                    }
                ),
                "interpolation": _few(wrong.CHOICE),
                "rounding": _few(wrong.CHOICE),
                "channels": _few(wrong.COUNT_OR_NONE),
                "transform": wrong.FUNCTION,
            },
        ),
    ]


def _fits() -> list[Row]:
    reading = {
        "memory_budget": wrong.SIZE,
        "batch_size": _few(wrong.COUNT),
        "workers": _few(wrong.COUNT_FROM_0),
        "checkpoint": wrong.CHECKPOINT,
        "resume": wrong.FLAG,
        "watch": wrong.FUNCTION,
    }
    return [
        Row(
            name="EPIC.fit",
            call=lambda **given: lt.EPIC(n_prototypes=2).fit(**given),
            good=lambda: {"model": model(), "images": images()},
            bad={"model": wrong.MODEL, "images": wrong.IMAGES, **reading},
        ),
        Row(
            name="PartPrototypes.fit",
            call=lambda **given: lt.PartPrototypes(n_parts=1, n_prototypes=1).fit(**given),
            good=lambda: {"model": model(), "images": images()},
            bad={
                "model": _few(wrong.MODEL),
                "images": _few(wrong.IMAGES),
                "labels": {
                    **_less(_few(wrong.COUNT), "None"),
                    "too few": lambda: [0, 1],
                    "no class": lambda: [7] * 24,
                    "names of nobody": lambda: ["nobody"] * 24,
                    "fractions": lambda: [0.5] * 24,
                    "NaN": lambda: np.full(24, np.nan),
                },
                "parts": {**_less(wrong.GENERATOR, "None"), "a dictionary": lambda: {"a": {"b": (1, 2)}}},
                **{name: _few(values) for name, values in reading.items()},
            },
        ),
        Row(
            name="ProDG.fit",
            call=lambda **given: lt.ProDG(generator(), n_prototypes=1, n_samples=4, steps=0, controls=False).fit(
                **given
            ),
            good=lambda: {"model": model()},
            bad={
                "model": _few(wrong.MODEL),
                "target": wrong.TARGET,
                "n_channels": _few(wrong.COUNT),
                "channels": wrong.same(
                    **{
                        "3": 3,
                        "'12'": "12",
                        "[99]": [99],
                        "[0, 0]": [0, 0],
                        "[]": [],
                        "[None]": [None],
                        "[-1]": [-1],
                        "[1.5]": [1.5],
                    }
                ),
                "memory_budget": _few(wrong.SIZE),
                "checkpoint": _few(wrong.CHECKPOINT),
                "watch": _few(wrong.FUNCTION),
            },
        ),
    ]


def _banks() -> list[Row]:
    def explained() -> Any:
        return bank().explain(images()[0])

    return [
        Row(
            name="Bank.explain",
            call=lambda **given: bank().explain(**given),
            good=lambda: {"image": images()[0]},
            bad={"image": wrong.IMAGE, "target": wrong.TARGET, "top": wrong.COUNT},
        ),
        Row(
            name="Bank.contrast",
            call=lambda **given: bank().contrast(**given),
            good=lambda: {"image": images()[0]},
            bad={
                "image": _few(wrong.IMAGE),
                "target": _few(wrong.TARGET),
                "against": wrong.TARGET,
                "top": _few(wrong.COUNT),
            },
        ),
        Row(
            name="Bank.attach",
            call=lambda **given: lt.open_bank(saved()).attach(**given),
            good=lambda: {"model": model()},
            bad={"model": wrong.MODEL},
        ),
        Row(
            name="Bank.save",
            call=lambda **given: bank().save(**given),
            good=lambda: {"path": Path(tempfile.mkdtemp()) / "b"},
            bad={"path": {**wrong.SAVE, "a folder of the user's": lambda: wrong.places() / "full"}},
        ),
        Row(
            name="Bank.prototypes_of",
            call=lambda **given: bank().prototypes_of(**given),
            good=lambda: {"unit": 0},
            bad={"unit": _few(wrong.COUNT_FROM_0), "kind": _few(wrong.CHOICE)},
        ),
        Row(
            name="open_bank",
            call=lt.open_bank,
            good=lambda: {"path": saved()},
            bad={
                "path": {**wrong.READ_FILE, "a folder of the user's": lambda: wrong.places() / "full"},
                "model": _less(wrong.MODEL, "None"),
            },
        ),
        Row(
            name="Explanation.save",
            call=lambda **given: explained().save(**given),
            good=lambda: {"path": Path(tempfile.mkdtemp()) / "e.html"},
            bad={"path": wrong.SAVE},
        ),
        Row(
            name="ExemplarSet.save",
            call=lambda **given: found().save(**given),
            good=lambda: {"path": Path(tempfile.mkdtemp()) / "e.html"},
            bad={"path": _few(wrong.SAVE, 9)},
        ),
        Row(
            name="Counterfactual.save",
            call=lambda **given: changed().save(**given),
            good=lambda: {"path": Path(tempfile.mkdtemp()) / "e.html"},
            bad={"path": _few(wrong.SAVE, 9)},
        ),
        Row(
            name="Attribution.save",
            call=lambda **given: heat().save(**given),
            good=lambda: {"path": Path(tempfile.mkdtemp()) / "e.html"},
            bad={"path": _few(wrong.SAVE, 9)},
        ),
        Row(
            name="Counterfactual.frames",
            call=lambda **given: changed().frames(**given),
            good=dict,
            bad={"n": _few(wrong.COUNT)},
        ),
        Row(
            name="Counterfactual.difference",
            call=lambda **given: changed().difference(**given),
            good=dict,
            bad={"edit": _less(_few(wrong.COUNT), "None")},
        ),
    ]


def _models() -> list[Row]:
    rows = [
        Row(
            name="split",
            call=lt.split,
            good=lambda: {"network": network(), "example": images()[:2]},
            bad={
                "network": {
                    **wrong.MODEL,
                    "NaN weights": _with_nan,
                    "weights on the meta device": lambda: nn.Linear(2, 2, device="meta"),
                },
                "preprocess": {
                    **_less(wrong.CHOICE, "None", "int"),
                    "a wrong key": lambda: {"sise": 3},
                    "a function that fails": lambda: wrong.raising,
                    "a function of nonsense": lambda: lambda _: "x",
                },
                "layer": {**_less(wrong.CHOICE, "None"), "'0.1.2'": lambda: "0.1.2"},
                "class_names": {**wrong.NAMES, "too many": lambda: ["a"] * 9},
                "example": {
                    **_less(wrong.BATCH, "None", "one image"),
                    "another number of channels": lambda: torch.rand(1, 9, 16, 16),
                },
            },
            fine=("preprocess=nn.ReLU()",),
        ),
        Row(
            name="load",
            call=lt.load,
            good=lambda: {"name": "zoo:digits"},
            bad={
                "name": {
                    **wrong.CHOICE,
                    **wrong.same(
                        **{
                            "'zoo:'": "zoo:",
                            "'zoo:nobody'": "zoo:nobody",
                            "'zoo'": "zoo",
                            "'torchvision:resnet'": "torchvision:resnet",
                            "'timm:nobody'": "timm:nobody",
                            "'ftp:x'": "ftp:x",
                        }
                    ),
                },
                "weights": {
                    **_less(wrong.CHOICE, "None"),
                    "a missing file": lambda: wrong.places() / "nowhere.pt",
                    "a broken file": lambda: wrong.places() / "broken.safetensors",
                    "a folder": lambda: wrong.places() / "empty",
                },
                "class_names": _few(wrong.NAMES),
                "device": wrong.DEVICE,
                "preprocess": _less(_few(wrong.CHOICE), "None"),
                "layer": _less(_few(wrong.CHOICE), "None"),
            },
        ),
        Row(
            name="SplitModel.replay",
            call=lambda **given: model().replay(**given),
            good=lambda: {"feature_map": torch.zeros(1, 6, 14, 14)},
            bad={
                "feature_map": {
                    **wrong.BATCH,
                    "NaN": lambda: torch.full((1, 6, 2, 2), float("nan")),
                    "no cells": lambda: torch.zeros(1, 6, 0, 0),
                }
            },
        ),
        Row(
            name="Preprocess.view",
            call=lt.Preprocess(size=8, channels=3).view,
            good=lambda: {"image": images()[0]},
            bad={"image": {**_less(wrong.IMAGE, "several images"), "five axes": lambda: torch.zeros(1, 1, 3, 4, 4)}},
            fine=("image=NaN", "image=0 to 255 as floats"),
        ),
        Row(
            name="Preprocess.normalise",
            call=lt.Preprocess(mean=0.5, std=0.5).normalise,
            good=lambda: {"views": images()},
            bad={
                "views": _few(
                    _less(wrong.BATCH, "no images", "NaN", "normalised", "0 to 255 as floats", "five channels"), 9
                )
            },
        ),
    ]
    rows += [
        Row(
            name=f"SplitModel.{name}",
            call=lambda name=name, **given: getattr(model(), name)(**given),
            good=lambda: {"images": images()[:2]},
            bad={"images": wrong.BATCH if name == "forward" else _few(wrong.BATCH)},
        )
        for name in ("forward", "features", "pooled", "logits", "remainder")
    ]
    return rows


def _with_nan() -> nn.Module:
    broken = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()
    with torch.no_grad():
        broken[0].weight[0, 0, 0, 0] = float("nan")
    return broken


_ASKED_OF_NOBODY = ("no images", "no pixels", "0 to 255 as floats", "normalised")  # counted, not sent


def _boxes() -> list[Row]:
    nonsense: Values = {
        "raises": lambda: wrong.raising,
        "takes nothing": lambda: lambda: None,
        "takes three": lambda: lambda _a, _b, _c: None,
        "gives None": lambda: lambda _: None,
        "gives a text": lambda: lambda _: "cat",
        "gives one number": lambda: lambda _: 0.5,
        "gives too few rows": lambda: lambda _: torch.ones(1, 2) / 2,
        "gives NaN": lambda: lambda x: torch.full((len(x), 2), float("nan")),
        "gives objects": lambda: lambda x: [object()] * len(x),
        "gives a dictionary": lambda: lambda _: {"a": 1},
        "gives three axes": lambda: lambda x: torch.ones(len(x), 2, 2),
        "gives no classes": lambda: lambda x: torch.ones(len(x), 0),
        "gives a generator": lambda: lambda _: (row for row in [1, 2]),
    }
    return [
        Row(
            name="BlackBox",
            call=lt.BlackBox,
            good=lambda: {"predict": _dark_or_light},
            bad={
                "predict": {
                    **_less(wrong.GENERATOR, "a function", "nn.ReLU()"),
                    "a missing file": lambda: "nowhere.onnx",
                    "a URL without a host": lambda: "http://",
                    "a URL of no server": lambda: "http://localhost:1/",
                    "ftp": lambda: "ftp://a/b",
                },
                "class_names": wrong.NAMES,
                "budget": _less(_few(wrong.COUNT_OR_NONE), "0"),
                "cache": {
                    **_less(wrong.PATH, "None", "a missing file"),
                    "a folder": lambda: wrong.places() / "empty",
                    "a text file": lambda: wrong.places() / "file.txt",
                },
                "key": wrong.same(**{"3": 3, "b'a'": b"a", "[]": [], "True": True}),
                "batch_size": _few(wrong.COUNT_OR_NONE),
                "columns": wrong.same(
                    **{"3": 3, "'ab'": "ab", "[None]": [None], "[]": [], "True": True, "{'a': 1}": {"a": 1}}
                ),
                "inputs": wrong.FUNCTION,
                "output": wrong.CHOICE,
                "binary": wrong.FLAG,
                "check_determinism": wrong.FLAG,
                "template": wrong.same(**{"{}": {}, "3": 3}),
                "timeout": wrong.same(**{"3": 3, "'1'": "1"}),
            },
        ),
        Row(
            name="BlackBox()",
            call=lambda **given: lt.BlackBox(given["predict"])(images()[:3]),
            good=lambda: {"predict": _dark_or_light},
            bad={"predict": nonsense},
            knows_names=False,
        ),
        Row(
            name="BlackBox.__call__",
            call=lambda **given: box().__call__(**given),
            good=lambda: {"inputs": images()[:2]},
            bad={
                "inputs": {
                    **_less(wrong.BATCH, "0 to 255 as floats", "whole numbers"),
                    "texts": lambda: ["a", "b"],
                    "0 to 255 as floats": lambda: torch.rand(1, 3, 16, 16) * 255,
                }
            },
            fine=("inputs=no images", "inputs=[]"),
        ),
        Row(
            name="BlackBox.affordable",
            call=lambda **given: box().affordable(**given),
            good=lambda: {"inputs": images()[:2]},
            bad={"inputs": _few(wrong.BATCH)},
            fine=tuple(f"inputs={what}" for what in _ASKED_OF_NOBODY),
        ),
        Row(
            name="BlackBox.limited",
            call=lambda **given: box().limited(**given),
            good=lambda: {"budget": 3},
            bad={"budget": _less(wrong.COUNT_OR_NONE, "0")},
        ),
    ]


def _dark_or_light(x: torch.Tensor) -> torch.Tensor:
    """Return the probabilities of two classes."""
    light = x.mean((1, 2, 3))
    return torch.stack([1 - light, light], dim=1)


def _searches() -> list[Row]:
    return [
        Row(
            name="Exemplars.search",
            call=lambda **given: lt.Exemplars(generator(), tolerance=0.9).search(**given),
            good=lambda: {"model": box(), "target": "bee", "n": 1, "budget": 10},
            bad={
                "model": wrong.GENERATOR,
                "target": {
                    **wrong.TARGET,
                    "None": lambda: None,
                    "probabilities of two": lambda: [0.5, 0.5],
                    "probabilities above 1": lambda: [0.9, 0.9, 0.9],
                    "probabilities of texts": lambda: ["a", "b", "c"],
                    "a mapping to texts": lambda: {"ant": "half"},
                    "a mapping of nobody": lambda: {"nobody": 1.0},
                    "NaN probabilities": lambda: [float("nan")] * 3,
                    "a response that fails": lambda: wrong.raising,
                    "a response of nonsense": lambda: lambda _: "high",
                    "a response of another shape": lambda: lambda p: p,
                },
                "n": _few(wrong.COUNT),
                "budget": _few(wrong.COUNT),
                "threshold": _few(wrong.NUMBER_OR_NONE),
                "data": {
                    **_less(_few(wrong.IMAGES), "None"),
                    "another size": lambda: torch.zeros(2, 3, 4, 4),
                    "texts": lambda: ["a"],
                },
                "watch": wrong.FUNCTION,
            },
        ),
        Row(
            name="Exemplars.search_all",
            call=lambda **given: lt.Exemplars(generator(), tolerance=0.9).search_all(**given),
            good=lambda: {"model": box(), "n": 1, "budget": 5},
            bad={
                "model": _few(wrong.GENERATOR),
                "targets": wrong.same(
                    **{"3": 3, "'bee'": "bee", "[]": [], "[None]": [None], "['nobody']": ["nobody"], "True": True}
                ),
                "n": _few(wrong.COUNT),
                "budget": _few(wrong.COUNT),
            },
        ),
        Row(
            name="FreeMCG.counterfactual",
            call=lambda **given: lt.FreeMCG(generator(), n_particles=4).counterfactual(**given),
            good=lambda: {"model": box(), "source": images()[0], "budget": 12},
            bad={
                "model": wrong.GENERATOR,
                "source": wrong.IMAGE,
                "target": wrong.TARGET,
                "n": _few(wrong.COUNT),
                "budget": _few(wrong.COUNT),
                "mask": {
                    **_less(wrong.NUMBER, "None"),
                    "another size": lambda: np.ones((3, 3)),
                    "nothing": lambda: np.zeros((16, 16)),
                    "NaN": lambda: np.full((16, 16), np.nan),
                    "texts": lambda: np.full((16, 16), "a"),
                },
                "immutable": wrong.same(**{"['age']": ["age"], "3": 3, "'age'": "age", "[3]": [3]}),
                "ranges": wrong.same(**{"{'age': (0, 1)}": {"age": (0, 1)}, "3": 3, "[]": [1], "'age'": "age"}),
                "directions": wrong.same(**{"{'age': 'up'}": {"age": "up"}, "3": 3, "'up'": "up"}),
                "watch": wrong.FUNCTION,
            },
        ),
        Row(
            name="FreeMCG.attribute",
            call=lambda **given: lt.FreeMCG().attribute(**given),
            good=lambda: {"model": box(), "image": images()[0], "budget": 40},
            bad={
                "model": _few(wrong.GENERATOR),
                "image": wrong.IMAGE,
                "target": _few(wrong.TARGET),
                "budget": wrong.COUNT,
                "algorithm": _less(wrong.CHOICE, "None"),
                "watch": wrong.FUNCTION,
            },
        ),
    ]


def _generators() -> list[Row]:
    rows = [
        Row(
            name="load_generator",
            call=lt.load_generator,
            good=lambda: {"source": "zoo:digits"},
            bad={
                "source": {
                    **wrong.READ_FILE,
                    **wrong.same(
                        **{"'zoo:nobody'": "zoo:nobody", "'zoo:'": "zoo:", "'diffusers:'": "diffusers:", "'hf:'": "hf:"}
                    ),
                    "a folder of the user's": lambda: wrong.places() / "full",
                    "a function without latent_dim": lambda: wrong.raising,
                },
                "device": _few(wrong.DEVICE),
                "n_steps": wrong.same(**{"3": 3}),
            },
        ),
        Row(
            name="load_generator, a function",
            call=lt.load_generator,
            good=lambda: {"source": lambda z: z.sigmoid().reshape(-1, 1, 2, 2), "latent_dim": 4},
            bad={
                "latent_dim": wrong.COUNT_OR_NONE,
                "source": {
                    "raises": lambda: wrong.raising,
                    "takes nothing": lambda: lambda: None,
                    "gives None": lambda: lambda _: None,
                    "gives a number": lambda: lambda _: 3,
                    "gives too few": lambda: lambda _: torch.zeros(1, 1, 2, 2),
                    "gives whole numbers": lambda: lambda z: torch.zeros(len(z), 1, 2, 2, dtype=torch.int64),
                    "gives NaN": lambda: lambda z: torch.full((len(z), 1, 2, 2), float("nan")),
                    "gives values above 1": lambda: lambda z: torch.full((len(z), 1, 2, 2), 9.0),
                    "gives one axis": lambda: lambda z: torch.zeros(len(z)),
                    "a class": lambda: nn.ReLU,
                },
                "value_range": wrong.same(
                    **{
                        "3": 3,
                        "(1, 0)": (1, 0),
                        "('a', 'b')": ("a", "b"),
                        "(0,)": (0,),
                        "(nan, 1)": (float("nan"), 1),
                        "None": None,
                    }
                ),
                "prior": wrong.same(**{"3": 3, "'normal'": "normal", "int": int}),
                "name": wrong.same(**{"3": 3, "[]": [1]}),
                "sise": wrong.same(**{"3": 3}),
            },
        ),
        Row(
            name="generator.save",
            call=lambda **given: lt.load_generator("zoo:digits").save(**given),
            good=lambda: {"path": Path(tempfile.mkdtemp()) / "g"},
            bad={
                "path": {
                    **_less(wrong.SAVE, "a folder named .html", "/proc/nowhere/page.html"),
                    "a folder of the user's": lambda: wrong.places() / "full",
                    "/proc/nowhere/g": lambda: "/proc/nowhere/g",
                }
            },
        ),
    ]
    training = {
        "kind": _less(wrong.CHOICE, "None"),
        "seed": wrong.SEED,
        "checkpoint": wrong.CHECKPOINT,
        "resume": wrong.FLAG,
        "watch": wrong.FUNCTION,
        "latent_dim": _less(_few(wrong.COUNT), "None"),
        "sise": wrong.same(**{"3": 3}),
    }
    few = {name: _few(values, 4) for name, values in training.items() if name != "kind"}
    rows += [
        Row(
            name="train_generator",
            call=lt.train_generator,
            good=lambda: {"data": images(), "steps": 1},
            bad={
                "data": {**wrong.IMAGES, "too few images": lambda: images()[:3]},
                "steps": _less(_few(wrong.COUNT), "None"),
                "size": {
                    **_less(_few(wrong.COUNT), "None"),
                    "(8,)": lambda: (8,),
                    "'8'": lambda: "8",
                    "(8, 8, 8)": lambda: (8, 8, 8),
                },
                "algorithm": wrong.CHOICE,
                "mirror": wrong.FLAG,
                "prior": _few(wrong.CHOICE),
                "device": _few(wrong.DEVICE),
                "recipe": wrong.same(**{"3": 3, "'usual'": "usual", "{}": {"steps": 3}}),
                "config": wrong.same(**{"3": 3, "'usual'": "usual", "{'width': 3}": {"width": 3}}),
                **training,
            },
        ),
        Row(
            name="train_generator, a flow",
            call=lambda **given: lt.train_generator(algorithm="flow", **given),
            good=lambda: {"data": images(), "steps": 1},
            bad={
                "steps": _less(_few(wrong.COUNT, 4), "None"),
                "mirror": _few(wrong.FLAG, 3),
                "device": _few(wrong.DEVICE, 3),
                **few,
            },
        ),
        Row(
            name="train_generator, a table",
            call=lambda **given: lt.train_generator(kind="table", **given),
            good=lambda: {"data": _frame(), "epochs": 1},
            bad={
                "data": {
                    **wrong.READ_FILE,
                    "too few rows": lambda: _frame()[:3],
                    "no columns": lambda: _frame()[[]],
                    "constant": lambda: _frame() * 0,
                    "infinite": lambda: _frame() / 0,
                    "images": images,
                },
                "epochs": _less(_few(wrong.COUNT), "None"),
                **few,
            },
        ),
        Row(
            name="train_generator, texts",
            call=lambda **given: lt.train_generator(kind="text", **given),
            good=lambda: {"data": [f"word {i}" for i in range(20)], "epochs": 1},
            bad={
                "data": {
                    **wrong.READ_FILE,
                    "too few texts": lambda: ["a"],
                    "numbers": lambda: list(range(20)),
                    "empty texts": lambda: [""] * 20,
                    "always the same": lambda: ["a"] * 20,
                    "images": images,
                },
                "epochs": _less(_few(wrong.COUNT), "None"),
                "max_tokens": _few(wrong.COUNT),
                **few,
            },
        ),
    ]
    return rows


def _frame() -> Any:
    try:
        import pandas as pd
    except ImportError as error:
        raise Skip("pandas is not installed") from error
    return pd.DataFrame({"age": np.arange(20.0) + 1, "height": np.arange(20.0) % 7 + 1})


def _sources() -> list[Row]:
    box_of = {
        "None": lambda: None,
        "3": lambda: 3,
        "'a'": lambda: "a",
        "(1, 2)": lambda: (1, 2),
        "(9, 9, 1, 1)": lambda: (9, 9, 1, 1),
        "(nan, 0, 3, 3)": lambda: (float("nan"), 0, 3, 3),
        "texts": lambda: tuple("abcd"),
    }
    return [
        Row(
            name="ImageFolder",
            call=lt.ImageFolder,
            good=lambda: {"path": _pictures()},
            bad={
                "path": {**wrong.PATH, "an empty folder": lambda: wrong.places() / "empty"},
                "pattern": wrong.same(
                    **{
                        "3": 3,
                        "''": "",
                        "'/abs'": "/abs",
                        "'nothing*'": "nothing*",
                        "b'*'": b"*",
                        "[]": [],
                        "'a\\0b'": "a\0b",
                        "True": True,
                    }
                ),
                "labels": _less(wrong.CHOICE, "None"),
            },
        ),
        Row(
            name="Images",
            call=lt.Images,
            good=lambda: {"images": images()},
            bad={
                "images": _less(
                    wrong.IMAGES,
                    "a data set that fails",
                    "a data set of nothing",
                    "a data set of texts",
                    "a data set of objects",
                    "a data set of dictionaries",
                    "a mixed list",
                    "a list of numbers",
                    "a list of lists",
                    "an array of objects",
                    "seven channels",
                    "a dictionary",
                ),
                "labels": wrong.same(
                    **{
                        "3": 3,
                        "[0]": [0],
                        "'a' * 24": "a" * 24,
                        "[0.5] * 24": [0.5] * 24,
                        "[nan] * 24": [float("nan")] * 24,
                        "[[]] * 24": [[]] * 24,
                        "object()": wrong.Thing(),
                    }
                ),
                "names": wrong.same(**{"3": 3, "['a']": ["a"], "object()": wrong.Thing(), "'a' * 24": "a" * 24}),
                "class_names": _less(wrong.NAMES, "[]"),
            },
        ),
        Row(
            name="Images[...]",
            call=lambda **given: lt.Images(images()[:2])[given["index"]],
            good=lambda: {"index": 0},
            bad={},
            knows_names=False,
        ),
        Row(
            name="creatures",
            call=lt.creatures,
            good=lambda: {"n": 2},
            bad={"n": wrong.COUNT, "seed": _few(wrong.SEED), "size": wrong.COUNT, "removed_parts": wrong.SHARE},
        ),
        Row(name="digits", call=lt.digits, good=dict, bad={"split": wrong.CHOICE, "size": wrong.COUNT}),
        Row(
            name="Creatures.without",
            call=lambda **given: creatures().without(**given),
            good=lambda: {"index": 0, "part": "crown"},
            bad={"part": wrong.CHOICE, "index": _few(_less(wrong.COUNT_FROM_0, "-1", "True"))},
        ),
        Row(
            name="Creatures.with_part",
            call=lambda **given: creatures().with_part(**given),
            good=lambda: {"index": 0, "part": "wing", "variant": creatures()[0].parts.get("wing", "")},
            bad={"part": wrong.CHOICE, "variant": wrong.CHOICE},
        ),
        Row(
            name="Creatures.part_shares",
            call=lambda **given: creatures().part_shares(**given),
            good=lambda: {"index": 0, "box": (0, 0, 4, 4)},
            bad={"box": box_of},
        ),
        Row(
            name="Creatures.true_part",
            call=lambda **given: creatures().true_part(**given),
            good=lambda: {"index": 0, "box": (0, 0, 4, 4)},
            bad={"box": box_of},
        ),
        Row(
            name="Marks.of",
            call=lt.Marks.of,
            good=lambda: {"marks": {"a.png": {"eye": (1, 2)}}},
            bad={
                "marks": wrong.same(
                    **{
                        "None": None,
                        "3": 3,
                        "[]": [1],
                        "'a'": "a",
                        "a text for parts": {"a.png": "eye"},
                        "a text for a mark": {"a.png": {"eye": "here"}},
                        "None for a mark": {"a.png": {"eye": None}},
                        "three numbers": {"a.png": {"eye": (1, 2, 3)}},
                        "NaN": {"a.png": {"eye": (float("nan"), 2.0)}},
                        "a ragged outline": {"a.png": {"eye": [(1, 2), (3,), (4, 5)]}},
                        "texts for numbers": {"a.png": {"eye": ("a", "b")}},
                        "a part without a name": {"a.png": {3: (1, 2)}},
                        "three axes": {"a.png": {"eye": np.zeros((2, 2, 2))}},
                        "a number with a fraction for an image": {1.5: {"eye": (1, 2)}},
                        "an object for a mark": {"a.png": {"eye": wrong.Thing()}},
                    }
                )
            },
        ),
        Row(
            name="Marks.read",
            call=lt.Marks.read,
            good=lambda: {"path": _marks()},
            bad={
                "path": {
                    **wrong.READ_FILE,
                    "a folder of the user's": lambda: wrong.places() / "full",
                    "a broken picture": lambda: wrong.places() / "broken.png",
                }
            },
        ),
        Row(
            name="Marks.from_truth",
            call=lt.Marks.from_truth,
            good=lambda: {"source": creatures(), "n": 2},
            bad={
                "source": {**_few(wrong.IMAGES), "images without parts": lambda: lt.Images(images()[:2])},
                "n": _few(wrong.COUNT),
                "seed": _few(wrong.SEED),
            },
        ),
    ]


@cache
def _pictures() -> Path:
    from PIL import Image

    folder = Path(tempfile.mkdtemp())
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    return folder


@cache
def _marks() -> Path:
    from PIL import Image

    folder = Path(tempfile.mkdtemp()) / "marks"
    (folder / "eye").mkdir(parents=True)
    Image.new("L", (8, 8), 255).save(folder / "eye" / "a.png")
    return folder


# --- what becomes of each ---------------------------------------------------------------------------------------------


def _register(row: Row) -> None:
    for argument, values in row.bad.items():
        for written, make in values.items():
            fine = f"{argument}={written}" in row.fine
            kept = RIGHT if fine else REFUSED

            @case("bad calls", f"{row.name}({argument}={written})", accepts=kept)
            def _(argument: str = argument, make: Callable[[], Any] = make) -> None:
                given = {**row.good(), argument: make()}
                row.call(**given)

    if row.knows_names and row.bad:

        @case("bad calls", f"{row.name} with an argument that does not exist", accepts=REFUSED)
        def _() -> None:
            row.call(**row.good(), no_such_argument=1)


def _register_all() -> None:
    for rows in (_constructors, _fits, _banks, _models, _boxes, _searches, _generators, _sources):
        for row in rows():
            _register(row)


_register_all()

# --- the command line: one line, exit code 2 --------------------------------------------------------------------------

COMMANDS: dict[str, list[str]] = {
    "no such command": ["explian"],
    "no such option": ["split", "--modle", "zoo:digits"],
    "split without a model": ["split"],
    "split of nobody": ["split", "--model", "zoo:nobody"],
    "split with an empty name": ["split", "--model", ""],
    "split with a missing file of weights": ["split", "--model", "zoo:digits", "--weights", "nowhere.pt"],
    "split of a layer that is not there": ["split", "--model", "zoo:digits", "--layer", "nowhere"],
    "split on no device": ["split", "--model", "zoo:digits", "--device", "gpu"],
    "split with class names of nowhere": ["split", "--model", "zoo:digits", "--class-names", "nowhere.txt"],
    "fit without a method": ["fit", "--model", "zoo:digits"],
    "fit of a folder that is not there": [
        "fit",
        "epic",
        "--model",
        "zoo:digits",
        "--images",
        "nowhere",
        "--out",
        "OUT",
    ],
    "fit of an empty folder": ["fit", "epic", "--model", "zoo:digits", "--images", "EMPTY", "--out", "OUT"],
    "fit over a folder of the user's": [
        "fit",
        "epic",
        "--model",
        "zoo:digits",
        "--images",
        "zoo:digits",
        "--out",
        "FULL",
    ],
    "fit with a text for a number": [
        "fit",
        "epic",
        "--model",
        "zoo:digits",
        "--images",
        "zoo:digits",
        "--out",
        "OUT",
        "--prototypes",
        "many",
    ],
    "fit with no memory": [
        "fit",
        "epic",
        "--model",
        "zoo:digits",
        "--images",
        "zoo:digits",
        "--out",
        "OUT",
        "--memory-budget",
        "2 apples",
    ],
    "fit with a negative seed": [
        "fit",
        "epic",
        "--model",
        "zoo:digits",
        "--images",
        "zoo:digits",
        "--out",
        "OUT",
        "--seed",
        "-1",
    ],
    "fit with a batch of 0": [
        "fit",
        "epic",
        "--model",
        "zoo:digits",
        "--images",
        "zoo:digits",
        "--out",
        "OUT",
        "--batch-size",
        "0",
    ],
    "fit of parts with a way that is none": [
        "fit",
        "parts",
        "--model",
        "zoo:digits",
        "--images",
        "zoo:digits",
        "--out",
        "OUT",
        "--algorithm",
        "best",
    ],
    "fit of parts with marks of nowhere": [
        "fit",
        "parts",
        "--model",
        "zoo:digits",
        "--images",
        "zoo:digits",
        "--out",
        "OUT",
        "--parts",
        "nowhere",
    ],
    "fit prodg of no generator": ["fit", "prodg", "--model", "zoo:digits", "--generator", "zoo:nobody", "--out", "OUT"],
    "explain with no bank": ["explain", "nowhere", "a.png"],
    "explain with a text file for a bank": ["explain", "FILE", "a.png"],
    "explain a picture that is not there": ["explain", "BANK", "nowhere.png"],
    "explain a broken picture": ["explain", "BANK", "BROKEN"],
    "show no bank": ["show", "nowhere"],
    "show a folder of the user's": ["show", "FULL"],
    "evaluate no bank": ["evaluate", "nowhere", "--images", "zoo:digits"],
    "exemplars without a generator": ["exemplars", "--black-box", "zoo:digits"],
    "exemplars of nobody": [
        "exemplars",
        "--black-box",
        "zoo:digits",
        "-g",
        "zoo:digits",
        "-t",
        "nobody",
        "--out",
        "OUT.html",
    ],
    "exemplars with an algorithm that is none": [
        "exemplars",
        "--black-box",
        "zoo:digits",
        "-g",
        "zoo:digits",
        "--algorithm",
        "best",
    ],
    "exemplars with a tolerance of 2": [
        "exemplars",
        "--black-box",
        "zoo:digits",
        "-g",
        "zoo:digits",
        "--tolerance",
        "2",
        "--out",
        "OUT.html",
    ],
    "exemplars with a budget of 0": [
        "exemplars",
        "--black-box",
        "zoo:digits",
        "-g",
        "zoo:digits",
        "--budget",
        "0",
        "--out",
        "OUT.html",
    ],
    "counterfactual of a file that is not there": [
        "counterfactual",
        "--black-box",
        "zoo:digits",
        "-g",
        "zoo:digits-flow",
        "--input",
        "nowhere.png",
        "--out",
        "OUT.html",
    ],
    "counterfactual of a row that is none": [
        "counterfactual",
        "--black-box",
        "zoo:digits",
        "-g",
        "zoo:digits-flow",
        "--input",
        "zoo:digits:99999",
        "--out",
        "OUT.html",
    ],
    "counterfactual of a broken picture": [
        "counterfactual",
        "--black-box",
        "zoo:digits",
        "-g",
        "zoo:digits-flow",
        "--input",
        "BROKEN",
        "--out",
        "OUT.html",
    ],
    "attribute into a folder": ["attribute", "--black-box", "zoo:digits", "--input", "zoo:digits:1", "--out", "EMPTY"],
    "attribute with a budget of 1": [
        "attribute",
        "--black-box",
        "zoo:digits",
        "--input",
        "zoo:digits:1",
        "--budget",
        "1",
        "--out",
        "OUT.html",
    ],
    "attribute of a text file": ["attribute", "--black-box", "zoo:digits", "--input", "FILE", "--out", "OUT.html"],
    "train-generator on nothing": ["train-generator", "nowhere", "--out", "OUT"],
    "train-generator on an empty folder": ["train-generator", "EMPTY", "--out", "OUT"],
}


def _word(word: str, out: Path) -> str:
    root = wrong.places()
    named = {"OUT": out / "new", "OUT.html": out / "new.html", "EMPTY": root / "empty", "FULL": root / "full"}
    named |= {"FILE": root / "file.txt", "BROKEN": root / "broken.png", "BANK": saved()}
    return str(named.get(word, word))


def _run(arguments: list[str]) -> tuple[int, str]:
    """Run the command line in this process; return its exit code and what it wrote to standard error."""
    from likethat.cli import main

    said, before = io.StringIO(), sys.argv
    sys.argv = ["likethat", *arguments]
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            main.run()
    except SystemExit as end:
        return int(end.code or 0), said.getvalue()
    finally:
        sys.argv = before
    return 0, said.getvalue()


def _register_command(what: str, arguments: list[str]) -> None:
    @case("bad calls", f"likethat: {what}", accepts=RIGHT)
    def _() -> None:
        with tempfile.TemporaryDirectory() as folder:
            code, said = _run([_word(word, Path(folder)) for word in arguments])
        if code != 2:
            raise Wrong(f"exit code {code}: {said[-300:]}")
        if "Traceback" in said or not said.strip():
            raise Wrong(f"it said {said[-300:]!r}")


for _what, _arguments in COMMANDS.items():
    _register_command(_what, _arguments)

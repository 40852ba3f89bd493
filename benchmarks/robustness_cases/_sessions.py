"""Hostile settings of a session, and small journeys through likethat whose results they must not change."""

import contextlib
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import likethat as lt
from likethat.options import VaeRecipe

Result = dict[str, Any]


@contextlib.contextmanager
def _dtype(kind: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(kind)
    try:
        yield
        assert torch.get_default_dtype() == kind, "the default dtype was changed"
    finally:
        torch.set_default_dtype(before)


@contextlib.contextmanager
def _device(name: str) -> Iterator[None]:
    torch.set_default_device(name)
    try:
        yield
        assert torch.empty(0).device.type == name, "the default device was changed"
    finally:
        torch.set_default_device(None)


@contextlib.contextmanager
def _autocast() -> Iterator[None]:
    with torch.autocast("cpu", torch.bfloat16):
        yield
        assert torch.is_autocast_enabled("cpu"), "autocast was switched off"


@contextlib.contextmanager
def _inference() -> Iterator[None]:
    with torch.inference_mode():
        yield
        assert torch.is_inference_mode_enabled(), "inference mode was switched off"


@contextlib.contextmanager
def _no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield
        assert not torch.is_grad_enabled(), "gradients were switched on"


@contextlib.contextmanager
def _raising() -> Iterator[None]:
    with np.errstate(all="raise"):
        yield
        assert set(np.geterr().values()) == {"raise"}, "NumPy's error state was changed"


@contextlib.contextmanager
def _deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    try:
        yield
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


@contextlib.contextmanager
def _printing() -> Iterator[None]:
    torch.set_printoptions(precision=1, threshold=2)
    try:
        with np.printoptions(precision=1, threshold=2, suppress=True):
            yield
    finally:
        torch.set_printoptions(profile="default")


@contextlib.contextmanager
def _threads(n: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
        assert torch.get_num_threads() == n, "the number of threads was changed"
    finally:
        torch.set_num_threads(before)


SETTINGS: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "float64 by default": lambda: _dtype(torch.float64),
    "float16 by default": lambda: _dtype(torch.float16),
    "autocast to bfloat16": _autocast,
    "inference mode": _inference,
    "no gradients": _no_grad,
    "the meta device by default": lambda: _device("meta"),
    "NumPy errors raised": _raising,
    "deterministic algorithms alone": _deterministic,
    "short printed numbers": _printing,
    "two threads": lambda: _threads(2),
}


@cache
def digits(n: int = 48) -> Tensor:
    """Return a few digits, drawn before any setting is on."""
    source = lt.digits()
    return torch.stack([source[index].image for index in range(n)])


@cache
def _bank() -> lt.Bank:
    return lt.EPIC(n_prototypes=2).fit(lt.load("zoo:digits"), digits())


def load_and_ask() -> Result:
    """A network of the zoo, and its logits."""
    return {"logits": lt.load("zoo:digits").logits(digits()[:4])}


def split_and_ask() -> Result:
    """A network of one's own, split, and its maps."""
    network = lt.load("zoo:digits").network
    output = lt.split(network, class_names=[str(digit) for digit in range(10)])(digits()[:4])
    return {"map": output.feature_map, "pooled": output.pooled, "logits": output.logits}


def fit_epic() -> Result:
    """A bank fitted, saved and opened."""
    model = lt.load("zoo:digits")
    bank = lt.EPIC(n_prototypes=2).fit(model, digits())
    with tempfile.TemporaryDirectory() as place:
        path = bank.save(Path(place) / "bank")
        opened = lt.open_bank(path, model)
        data = (path / "tensors.safetensors").read_bytes() + (path / "prototypes.jsonl").read_bytes()
    return {"mixing": opened.mixing, "purity": bank.purity, "bytes": data}


def fit_parts() -> Result:
    """Parts of classes."""
    bank = lt.PartPrototypes(n_parts=2).fit(lt.load("zoo:digits"), digits())
    return {"vectors": bank.coordinates.vectors, "usage": bank.usage}  # type: ignore[attr-defined]


def explain() -> Result:
    """An explanation and a contrast of a bank that was fitted before."""
    why, rather = _bank().explain(digits()[3]), _bank().contrast(digits()[4])
    return {
        "contributions": why.contributions,
        "logit": why.logit,
        "maps": np.stack([row.heat_map for row in why.rows]),
        "difference": rather.contributions,
        "warnings": why.warnings,
    }


def page() -> Result:
    """The page of an explanation."""
    with tempfile.TemporaryDirectory() as place:
        return {"page": _bank().explain(digits()[3]).save(Path(place) / "why.html").read_bytes()}


def generate() -> Result:
    """Images of a generator of the zoo, and its encodings."""
    generator = lt.load_generator("zoo:digits")
    latents = generator.prior.sample(4, rng=torch.Generator().manual_seed(0))
    return {"latents": latents, "images": generator(latents).detach(), "encoded": generator.encode(digits()[:2])}


def counterfactual() -> Result:
    """A counterfactual of a black box."""
    box = lt.BlackBox(lt.load("zoo:digits"))
    found = lt.FreeMCG(lt.load_generator("zoo:digits"), seed=1).counterfactual(box, digits()[0], target=8, budget=60)
    return {"probabilities": found.source_probabilities, "inputs": [edit.input for edit in found.edits]}


def exemplars() -> Result:
    """Exemplars of a class."""
    box = lt.BlackBox(lt.load("zoo:digits"))
    found = lt.Exemplars(lt.load_generator("zoo:digits"), seed=1).search(box, 3, n=2, budget=60)
    return {"latents": found.latents, "inputs": found.inputs, "probabilities": found.probabilities}


def train_images() -> Result:
    """A generator of images, trained for three steps."""
    made = lt.train_generator(digits(), latent_dim=4, size=16, recipe=VaeRecipe(steps=3, polish=0.0))
    return {name: value for name, value in made.state().items() if isinstance(value, Tensor)}


def train_table() -> Result:
    """A generator of tables, trained for one epoch."""
    import pandas as pd

    rng = np.random.default_rng(0)
    table = pd.DataFrame({"age": rng.normal(40, 9, 80), "kind": rng.choice(["a", "b"], 80)})
    made = lt.train_generator(table, kind="table", epochs=1, latent_dim=2)
    rows = made(made.prior.sample(5, rng=torch.Generator().manual_seed(0)))
    return {"age": rows["age"].to_numpy(), "kind": list(rows["kind"])}


def train_texts() -> Result:
    """A generator of texts, trained for one epoch."""
    texts = [f"the {size} {thing} is {colour}" for size in ("big", "small") for thing in ("cat", "dog", "house")
             for colour in ("red", "green", "blue")] * 2  # fmt: skip
    made = lt.train_generator(texts, kind="text", epochs=1, latent_dim=2)
    return {"texts": list(made(made.prior.sample(3, rng=torch.Generator().manual_seed(0))))}


JOURNEYS: list[Callable[[], Result]] = [
    load_and_ask,
    split_and_ask,
    fit_epic,
    fit_parts,
    explain,
    page,
    generate,
    counterfactual,
    exemplars,
    train_images,
    train_table,
    train_texts,
]


@cache
def in_a_plain_session(journey: Callable[[], Result]) -> Result:
    """Return what a journey gives where nothing is set."""
    digits(), _bank()
    return journey()


def random_states() -> tuple[Any, ...]:
    """Return the state of every global source of random numbers."""
    numbers = np.random.get_state(legacy=False)
    return (
        torch.get_rng_state().tolist(),
        random.getstate(),
        str(numbers["state"]["key"].tolist()),
        numbers["state"]["pos"],
    )

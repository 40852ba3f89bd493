"""Counterfactuals of drawn creatures: do the parts change in which two classes differ, and no others?"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from _creature_oracle import CLASS_CODES, CreatureOracle, creature_oracle
from _data import drawn
from _freemcg_methods import latent_cma, nearest_unlike, wachter
from torch import Tensor

import likethat as lt
from likethat import papers

N_CLASSES, FAMILY = 24, 4  # the four classes of a family differ in two parts of eight

FAR = (
    "ours, 200 queries", "ours, 400 queries", "ours in the VAE's latents, 200", "paper's rule, 10 particles, 18 steps",
    "release's rule, 20 particles, 25 steps", "nearest unlike neighbour",
)  # fmt: skip
Method = Callable[[Tensor, int, int], tuple[Tensor, int]]


@dataclass(frozen=True)
class Work:
    """Sources that model and judge read right, each with a class to become."""

    images: Tensor
    labels: Tensor
    targets: Tensor


def work_of(model: Any, oracle: CreatureOracle, n: int, *, same_family: bool, seed: int = 99) -> Work:
    """Draw sources, and a target for each: of the same family, or of any other."""
    pictures, labels = lt.creatures(2 * n, seed=seed).tensors()
    images = pictures.float() / 255
    with torch.no_grad():
        right = model.logits(images).argmax(1) == labels
    right &= (oracle.parts(images) == CLASS_CODES[labels]).all(1)
    images, labels = images[right][:n], labels[right][:n]
    rng, targets = torch.Generator().manual_seed(seed), []
    for label in labels.tolist():
        others = [c for c in range(N_CLASSES) if c != label and (c // FAMILY == label // FAMILY) == same_family]
        targets.append(others[int(torch.randint(len(others), (), generator=rng))])
    return Work(images, labels, torch.tensor(targets))


def judged(found: Tensor, work: Work, model: Any, oracle: CreatureOracle) -> dict[str, float]:
    """Return validity, distance, and which parts changed.

    *Recall*: of the parts in which the two classes differ, the share that look another way now. *As the target's*:
    the share that look as the target's. *Precision*: of the parts that changed, the share in which the classes differ.
    """
    with torch.no_grad():
        valid = model.logits(found).argmax(1) == work.targets
    now, before = oracle.parts(found), oracle.parts(work.images)
    wanted, differ = CLASS_CODES[work.targets], CLASS_CODES[work.labels] != CLASS_CODES[work.targets]
    changed = now != before
    return {
        "valid": float(valid.float().mean()),
        "and oracle": float((valid & (oracle.classes(found) == work.targets)).float().mean()),
        "L1": float((found - work.images).abs().mean()),
        "recall": float((changed & differ).sum() / differ.sum()),
        "as the target's": float(((now == wanted) & differ).sum() / differ.sum()),
        "precision": float((changed & differ).sum() / changed.sum().clamp_min(1)),
    }


def methods_of(model: Any) -> dict[str, Method]:
    """Return every method: a source, a target and a seed to an image and the queries it took."""
    flow, vae = lt.load_generator("zoo:creatures-flow"), lt.load_generator("zoo:creatures")
    book = drawn(4000, seed=1)
    known, labels = book.pictures.float() / 255, book.labels

    def ask(x: Tensor) -> Tensor:
        with torch.no_grad():
            return model.logits(x.float()).softmax(1)  # type: ignore[no-any-return]

    def ours(generator: Any, budget: int, **options: Any) -> Method:
        def make(source: Tensor, target: int, index: int) -> tuple[Tensor, int]:
            kind = papers.FreeMCG if "algorithm" in options else lt.FreeMCG
            method = kind(generator, seed=index, **options)
            found = method.counterfactual(lt.BlackBox(model), source, target, budget=budget)
            return found.best.input[0], found.queries  # type: ignore[index]

        return make

    return {
        "ours, 200 queries": ours(flow, 200),
        "ours, 400 queries": ours(flow, 400),
        "ours in the VAE's latents, 200": ours(vae, 200),
        "paper's rule, 10 particles, 18 steps": ours(flow, 200, algorithm="paper", n_particles=10, n_steps=18),
        "release's rule, 20 particles, 25 steps": ours(flow, 520, algorithm="release", n_particles=20),
        "CMA-ES in the VAE's latents": lambda s, t, i: latent_cma(s, t, ask, vae, budget=300, seed=i),
        "white box (Wachter)": lambda s, t, _: (wachter(s, t, model.logits, steps=300), 300),
        "nearest unlike neighbour": lambda s, t, _: (nearest_unlike(s, known, labels, t), 0),
    }


def creatures(rows: Any) -> None:
    """One row a method: the target is a class of the same family; ours also to a class of any other."""
    model, oracle = lt.load("zoo:creatures"), creature_oracle()
    work = work_of(model, oracle, 6 if rows.quick else 48, same_family=True)
    far = work_of(model, oracle, 6 if rows.quick else 48, same_family=False)

    def measured(make: Method, task: Work) -> dict[str, float]:
        started, found, queries = time.perf_counter(), [], 0
        for index, (source, target) in enumerate(zip(task.images, task.targets.tolist(), strict=True)):
            image, asked = make(source, target, index)
            found.append(image.detach().float())
            queries += asked
        seconds = (time.perf_counter() - started) / len(found)
        return judged(torch.stack(found), task, model, oracle) | {"queries": queries / len(found), "s": seconds}

    methods = methods_of(model)
    for name, make in methods.items():
        rows.add("creatures", name, lambda make=make: measured(make, work))
    for name in FAR:
        rows.add("creatures", f"another family: {name}", lambda name=name: measured(methods[name], far))

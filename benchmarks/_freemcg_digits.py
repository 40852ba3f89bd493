"""Counterfactuals of digits: validity by the model and by a judge of another kind, distance, queries."""

import time
from collections.abc import Callable
from typing import Any

import torch
from _freemcg_methods import latent_cma, nearest_unlike, wachter
from _rows import Row, Rows
from sklearn.svm import SVC
from torch import Tensor, nn

import likethat as lt
from likethat import papers
from likethat.metrics import frechet_distance

Method = Callable[[Tensor, int, int], tuple[Tensor, int]]
"""A source, a target and a seed to an image and the queries it took."""


def ours(model: Any, generator: Any, budget: int, **options: Any) -> Method:
    """Return FreeMCG with these options."""

    def make(source: Tensor, target: int, index: int) -> tuple[Tensor, int]:
        kind = papers.FreeMCG if "algorithm" in options else lt.FreeMCG
        method = kind(generator, seed=index, **options)
        found = method.counterfactual(lt.BlackBox(model), source, target, budget=budget)
        return found.best.input[0].detach().float(), found.queries  # type: ignore[index]

    return make


def asker(model: Any) -> Callable[[Tensor], Tensor]:
    """Return a function from images to probabilities."""

    def ask(x: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.cat([model.logits(part).softmax(1) for part in x.float().split(32)])

    return ask


def stacked(source: Any) -> tuple[Tensor, Tensor]:
    """Return the images of a source, and their labels."""
    samples = [source[index] for index in range(len(source))]
    return torch.stack([item.image for item in samples]), torch.tensor([item.label for item in samples])


def features_of(images: Tensor, labels: Tensor) -> Callable[[Tensor], Tensor]:
    """Train a small network of another kind than the model, and return what its last hidden layer sees."""
    torch.manual_seed(3)
    body = nn.Sequential(
        nn.Conv2d(1, 16, 5, stride=2, padding=2), nn.GELU(), nn.Conv2d(16, 32, 5, stride=2, padding=2), nn.GELU(),
        nn.Flatten(), nn.Linear(32 * 64, 32), nn.GELU(),
    )  # fmt: skip
    head = nn.Linear(32, 10)
    optimiser = torch.optim.AdamW([*body.parameters(), *head.parameters()], lr=2e-3)
    for _ in range(15):
        for rows in torch.randperm(len(images)).split(50):
            optimiser.zero_grad()
            nn.functional.cross_entropy(head(body(images[rows])), labels[rows]).backward()
            optimiser.step()

    def features(x: Tensor) -> Tensor:
        with torch.no_grad():
            return body(x.float())  # type: ignore[no-any-return]

    return features


def pairs(model: Any, images: Tensor, n: int, n_classes: int, seed: int = 1) -> list[tuple[Tensor, int]]:
    """Return sources with a random class that the model does not give them."""
    rng = torch.Generator().manual_seed(seed)
    found = []
    for image in images[: 2 * n]:
        target = int(torch.randint(n_classes, (1,), generator=rng))
        if target != int(model.logits(image[None]).argmax()):
            found.append((image, target))
    return found[:n]


def digits(rows: Rows) -> None:
    """One row a method."""
    model, flow, vae = lt.load("zoo:digits"), lt.load_generator("zoo:digits-flow"), lt.load_generator("zoo:digits")
    images, labels = stacked(lt.digits(split="train"))
    held_out = stacked(lt.digits(split="test"))[0]
    work = pairs(model, held_out, 10 if rows.quick else 240, 10)
    judge = SVC(C=10).fit(images.flatten(1).numpy(), labels.numpy())
    features = features_of(images, labels)
    real = features(images)
    ask = asker(model)
    methods: dict[str, Method] = {
        "ours, 200 queries": ours(model, flow, 200),
        "ours, 100 queries": ours(model, flow, 100),
        "ours, 60 queries": ours(model, flow, 60),
        "paper's rule, 10 particles, 18 steps": ours(model, flow, 200, algorithm="paper", n_particles=10, n_steps=18),
        "release's rule, 20 particles, 25 steps": ours(model, flow, 520, algorithm="release", n_particles=20),
        "ours in the VAE's latents, 200": ours(model, vae, 200),
        "CMA-ES in the VAE's latents": lambda s, t, i: latent_cma(s, t, ask, vae, budget=300, seed=i),
        "white box (Wachter)": lambda s, t, _: (wachter(s, t, model.logits, steps=300), 300),
        "nearest unlike neighbour": lambda s, t, _: (nearest_unlike(s, images, labels, t), 0),
    }

    def measured(make: Method) -> Row:
        started = time.perf_counter()
        made = [make(source, target, index) for index, (source, target) in enumerate(work)]
        seconds = (time.perf_counter() - started) / len(work)
        found, wanted = torch.stack([image for image, _ in made]), torch.tensor([target for _, target in work])
        valid = ask(found).argmax(1) == wanted
        agrees = valid & (torch.from_numpy(judge.predict(found.flatten(1).numpy())) == wanted)
        gaps = (found - torch.stack([source for source, _ in work]))[valid]
        return {
            "valid": float(valid.float().mean()), "and oracle": float(agrees.float().mean()),
            "L1": float(gaps.abs().mean()), "L2": float(gaps.pow(2).mean((1, 2, 3)).sqrt().mean()),
            "FID": frechet_distance(features(found), real), "queries": sum(asked for _, asked in made) / len(made),
            "s": seconds,
        }  # fmt: skip

    for name, make in methods.items():
        rows.add("digits", name, lambda make=make: measured(make))
    rows.add(
        "digits", "(as many test digits)", lambda: {"FID": frechet_distance(features(held_out[-len(work) :]), real)}
    )

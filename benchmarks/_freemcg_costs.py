"""What FreeMCG rests on: the gradient from outputs alone beside the true one, and asking in batches."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from _freemcg_digits import stacked
from _rows import Row, Rows
from PIL import Image
from sklearn.ensemble import RandomForestClassifier
from sklearn.neural_network import MLPClassifier
from torch import Tensor

import likethat as lt
from likethat.functional.kalman import anomalies, ensemble_gradient, kalman_gain
from likethat.functional.tweedie import tweedie_particles

LEVELS = (0.5, 1.0, 2.0)


def gradient(rows: Rows) -> None:
    """Cosines with the true gradient of log p_c, projected on what the particles span."""
    n = 4 if rows.quick else 20
    for kind, images in (("digits", lt.digits(split="test")), ("creatures", lt.creatures(n, seed=5))):
        model, flow = lt.load(f"zoo:{kind}"), lt.load_generator(f"zoo:{kind}-flow")
        sources = torch.stack([images[index].image for index in range(n)])
        for k in (10, 40):
            rows.add("gradient", f"{kind}, {k} particles", lambda m=model, f=flow, s=sources, k=k: _cosines(m, f, s, k))


def _cosines(model: Any, flow: Any, sources: Tensor, k: int) -> Row:
    found: dict[str, list[float]] = {f"noise {level}": [] for level in LEVELS} | {"with the gain": [], "by chance": []}
    for index, source in enumerate(sources):
        rng = torch.Generator().manual_seed(index)
        with torch.no_grad():
            order = model.logits(source[None])[0].argsort(descending=True)
        target = int(order[1])  # the class that comes second: the first's gradient is nil where the model is sure
        for level in LEVELS:
            particles = tweedie_particles(flow, source, level, n=k, rng=rng)
            mean = particles.mean(0, keepdim=True).requires_grad_()
            log_p = model.logits(mean).log_softmax(1)
            true = torch.autograd.grad(log_p[0, target], mean)[0][0]
            basis = torch.linalg.svd(anomalies(particles).flatten(1), full_matrices=False).Vh[: k - 1]
            projected = basis.T @ (basis @ true.flatten())
            with torch.no_grad():
                answers = model.logits(particles)
            mine = ensemble_gradient(particles, answers, target)[0].flatten()
            found[f"noise {level}"].append(_cosine(mine, projected))
            if level == 1.0:
                scores = answers.log_softmax(1)[:, target, None]
                found["with the gain"].append(_cosine(kalman_gain(particles, scores)[0].flatten(), projected))
                chance = basis.T @ torch.randn(k - 1, generator=rng)
                found["by chance"].append(abs(_cosine(chance, projected)))
    return {name: float(np.mean(values)) for name, values in found.items()}


def _cosine(first: Tensor, second: Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(first, second, dim=0))


def speed(rows: Rows) -> None:
    """A black box asked in batches; one image at a time by way of PIL, as the release does; and the bare model."""
    n = 200 if rows.quick else 1000
    train, labels = stacked(lt.digits(split="train"))
    flat = train.flatten(1).numpy()
    for name, size in {"digits": (1, 32, 32), "creatures": (3, 64, 64)}.items():
        model = lt.load(f"zoo:{name}")
        images = torch.rand(n, *size, generator=torch.Generator().manual_seed(0))
        rows.add("speed", f"zoo:{name}", lambda m=model, x=images: _times(m, x, m.network.eval(), _through_network(m)))
    images = torch.rand(n, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    for name, made in {
        "scikit-learn's MLP of digits": MLPClassifier((64,), max_iter=40, random_state=0),
        "scikit-learn's random forest of digits": RandomForestClassifier(100, random_state=0),
    }.items():
        fitted = made.fit(flat, labels.numpy())

        def predict(x: Tensor, fitted: Any = fitted) -> np.ndarray:
            return fitted.predict_proba(x.flatten(1).numpy())  # type: ignore[no-any-return]

        rows.add("speed", name, lambda p=predict, x=images: _times(p, x, p, p))


def _through_network(model: Any) -> Callable[[Tensor], Any]:
    return lambda picture: model.logits(picture).softmax(1)


@torch.no_grad()
def _times(wrapped: Any, images: Tensor, bare: Callable[[Tensor], Any], one: Callable[[Tensor], Any]) -> Row:
    """Three times each, in turn; the least."""
    seconds: dict[str, list[float]] = {"one by one": [], "batched": [], "bare model": []}
    few = images[: max(50, len(images) // 5)]
    for _ in range(3):
        box = lt.BlackBox(wrapped)
        box(images[:2])
        started = time.perf_counter()
        box(images)
        seconds["batched"].append((time.perf_counter() - started) / len(images))
        started = time.perf_counter()
        for batch in images.split(32):
            bare(batch)
        seconds["bare model"].append((time.perf_counter() - started) / len(images))
        started = time.perf_counter()
        for image in few:
            one(_by_way_of_pil(image))
        seconds["one by one"].append((time.perf_counter() - started) / len(few))
    best = {f"{name}, ms": 1000 * min(found) for name, found in seconds.items()}
    return best | {
        "times faster": min(seconds["one by one"]) / min(seconds["batched"]),
        "bound": min(seconds["one by one"]) / min(seconds["bare model"]),
    }


def _by_way_of_pil(image: Tensor) -> Tensor:
    """Stretch, turn into a picture, and back: (1, channel, height, width)."""
    stretched = (image - image.min()) / (image.max() - image.min())
    pixels = (stretched * 255).byte().permute(1, 2, 0).numpy()
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    values = torch.from_numpy(np.array(picture)).float() / 255
    return values[None, None] if values.ndim == 2 else values.permute(2, 0, 1)[None]

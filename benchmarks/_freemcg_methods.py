"""The methods that FreeMCG is measured beside, and the measures."""

from collections.abc import Callable
from typing import Any

import cma
import numpy as np
import torch
from torch import Tensor

Ask = Callable[[Tensor], Tensor]
"""Images to probabilities (n, class), float32."""


def nearest_unlike(source: Tensor, images: Tensor, labels: Tensor, target: int) -> Tensor:
    """The nearest training image of the target: no query, but the data."""
    others = images[labels == target]
    return others[(others - source).abs().flatten(1).mean(1).argmin()]


def latent_cma(source: Tensor, target: int, ask: Ask, generator: Any, *, budget: int, seed: int) -> tuple[Tensor, int]:
    """CMA-ES in the latents of a VAE: log loss until the margin is enough, and the distance."""
    start = generator.encode(source[None])[0].double().numpy()
    search = cma.CMAEvolutionStrategy(start, 0.5, {"seed": seed + 1, "verbose": -9, "popsize": 10})
    best, found, queries = np.inf, source, 0
    while queries + 10 <= budget:
        latents = search.ask()
        with torch.no_grad():
            images = generator(torch.tensor(np.stack(latents), dtype=torch.float32)).clamp(0, 1)
        p = ask(images).double().clamp(1e-6, 1)
        queries += 10
        other = p.clone()
        other[:, target] = 0
        margin = p[:, target].log() - other.max(1).values.log()
        loss = (3.9 - margin).clamp_min(0) + 10 * (images - source).abs().flatten(1).mean(1)
        search.tell(latents, loss.tolist())
        if float(loss.min()) < best:
            best, found = float(loss.min()), images[int(loss.argmin())]
    return found, queries


def wachter(source: Tensor, target: int, logits: Callable[[Tensor], Tensor], *, steps: int) -> Tensor:
    """White box: gradient descent on log loss plus distance (Wachter et al. 2017)."""
    x = source[None].clone().requires_grad_()
    optimiser = torch.optim.Adam([x], lr=0.02)
    for _ in range(steps):
        optimiser.zero_grad()
        scores = logits(x.clamp(0, 1))
        others = scores.clone()
        others[:, target] = -torch.inf
        margin = scores[0, target] - others.max()
        (torch.relu(3.9 - margin) + 10 * (x - source).abs().mean()).backward()
        optimiser.step()
    return x.detach()[0].clamp(0, 1)


def rise(image: Tensor, target: int, ask: Ask, *, budget: int, seed: int, cells: int = 7) -> np.ndarray:
    """RISE: the mean of random masks, weighted by the target's probability; hidden is black."""
    masks = random_masks(tuple(image.shape[1:]), budget=budget, seed=seed, cells=cells)
    weight = ask(masks[:, None] * image)[:, target]
    return ((weight[:, None, None] * masks).sum(0) / masks.sum(0)).numpy()


def random_masks(size: tuple[int, int], *, budget: int, seed: int, cells: int) -> Tensor:
    """RISE's masks (n, height, width): coins on a coarse grid, grown with soft edges and shifted by chance."""
    rng = torch.Generator().manual_seed(seed)
    height, width = size
    step = (-(-height // cells), -(-width // cells))
    coins = (torch.rand(budget, 1, cells + 1, cells + 1, generator=rng) < 0.5).float()
    grown = [(cells + 1) * size for size in step]
    large = torch.nn.functional.interpolate(coins, size=grown, mode="bilinear", align_corners=False)[:, 0]
    shifts = [torch.randint(size, (budget,), generator=rng).tolist() for size in step]
    return torch.stack([large[k, a : a + height, b : b + width] for k, (a, b) in enumerate(zip(*shifts, strict=True))])


def captum_map(name: str, image: Tensor, target: int, network: Any, *, budget: int, seed: int) -> np.ndarray:
    """Occlusion, KernelSHAP and integrated gradients (white box) of captum, at about the same number of queries."""
    from captum.attr import IntegratedGradients, KernelShap, Occlusion

    height, width = image.shape[1:]
    torch.manual_seed(seed)
    batch = image[None]
    if name == "occlusion":
        step = max(1, round((height * width / budget) ** 0.5))
        found = Occlusion(network).attribute(
            batch, sliding_window_shapes=(len(image), 2 * step, 2 * step), strides=(len(image), step, step),
            baselines=float(image.mean()), target=target, perturbations_per_eval=32,
        )  # fmt: skip
    elif name == "KernelSHAP":
        rows, columns = torch.arange(height) * 8 // height, torch.arange(width) * 8 // width
        cells = (rows[:, None] * 8 + columns)[None, None].expand(1, len(image), -1, -1)
        found = KernelShap(network).attribute(
            batch, baselines=float(image.mean()), target=target, feature_mask=cells, n_samples=budget,
            perturbations_per_eval=32,
        )  # fmt: skip
    else:
        baseline = torch.full_like(batch, float(image.mean()))
        found = IntegratedGradients(network).attribute(
            batch, baselines=baseline, target=target, n_steps=budget, internal_batch_size=64
        )
    summed: np.ndarray = found.detach()[0].sum(0).numpy()
    return summed

"""The evolution strategy of the exemplars paper, one member at a time, as its section 3 says it."""

from collections.abc import Callable

import torch
from torch import Tensor


class SlowEvolution:
    """One member at a time; the numbers come from `rng` in the paper's order: population first, then child by child."""

    def __init__(self, dim: int, rng: torch.Generator) -> None:
        self.rng = rng
        start = torch.rand(50, dim, generator=rng) * 10 - 5
        self.members = [{"latent": row.double(), "velocity": None, "loss": None} for row in start]

    def evaluate(self, loss: Callable[[Tensor], float]) -> None:
        for member in self.members:
            if member["loss"] is None:
                member["loss"] = loss(member["latent"])

    def next_generation(self) -> None:
        elites = sorted(self.members, key=lambda member: member["loss"])[:10]
        dim = len(elites[0]["latent"])
        noise = (0.5 * torch.randn(20, dim, generator=self.rng)).double()
        children = []
        for position, elite in enumerate(elites):
            for number in range(2):
                draw = noise[2 * position + number]
                velocity = draw if elite["velocity"] is None else 0.3 * elite["velocity"] + 0.7 * draw
                children.append({"latent": elite["latent"] + velocity, "velocity": velocity, "loss": None})
        self.members = [*elites, *children]


def specimen_loop(predict: Callable[[Tensor], Tensor], make: Callable[[Tensor], Tensor], target: int, *, dim: int,
                  seed: int, confidence: float, rounds: int = 200, stop: str = "worst") -> int:  # fmt: skip
    """The authors' way of working: every member alone through generator and model, elites again each generation.

    Returns the forward passes it took; the limit of rounds is ours, theirs has none.
    """
    search = SlowEvolution(dim, torch.Generator().manual_seed(seed))
    passes = 0
    for _ in range(rounds):
        sure = []
        for member in search.members:
            probabilities = predict(make(member["latent"][None].float()))[0]
            wanted = torch.zeros_like(probabilities)
            wanted[target] = 1.0
            member["loss"] = float(((probabilities - wanted) ** 2).sum())
            sure.append(float(probabilities[target]))
            passes += 1
        if (min(sure) if stop == "worst" else max(sure)) >= confidence:
            break
        search.next_generation()
    return passes

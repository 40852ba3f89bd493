"""Train the classifiers of the zoo from a seed, and write their weights and cards.

    python training/train_classifiers.py digits
    python training/train_classifiers.py creatures
    python training/train_classifiers.py creatures-vit --checkpoint vit.pt

Minutes on two CPU cores; a GPU is used where there is one. A training with a checkpoint goes on from it.
"""

import argparse
import json
import multiprocessing
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.progress import track
from safetensors.torch import save_file
from torch import Tensor, nn

from likethat.models.zoo import ConvNet, PatchTransformer
from likethat.sources.creatures import CLASS_NAMES, creatures
from likethat.sources.digits import digits

ZOO = Path(__file__).parents[1] / "zoo" / "src" / "likethat_zoo"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that decides the weights, beside the data."""

    config: dict[str, Any]
    what: str
    size: int
    epochs: int
    batch: int = 64
    learning_rate: float = 4e-3
    weight_decay: float = 1e-2
    noise: float = 0.03
    jitter: int = 2
    smoothing: float = 0.05
    n_train: int = 8_000  # drawn creatures; of digits there are as many as there are
    n_held_out: int = 2_000

    @property
    def is_transformer(self) -> bool:
        """Whether the network is one of tokens."""
        return "n_blocks" in self.config

    def build(self, n_classes: int) -> nn.Module:
        """Return the network with weights drawn from torch's random state."""
        kind = PatchTransformer if self.is_transformer else ConvNet
        network: nn.Module = kind(**self.config, n_classes=n_classes)
        return network


RECIPES = {
    "creatures": Recipe(
        config={
            "in_channels": 3,
            "layers": [(32, 3, 2), (48, 3, 2), (48, 3, 1), (128, 3, 2), (128, 3, 1), (256, 1, 1)],
        },
        what="6 convolutions, mean over space, one linear layer",
        size=96,
        epochs=6,
    ),
    "creatures-vit": Recipe(
        config={"in_channels": 3, "stem": [16, 64], "n_blocks": 2, "n_heads": 4, "hidden": 128, "grid": (16, 16)},
        what="patches of 4 pixels by 2 convolutions, a class token, 2 blocks of attention, one linear layer",
        size=64,
        epochs=27,
        batch=32,  # twice as many steps for the time as 64
        n_train=4_000,
        n_held_out=1_000,
        learning_rate=2e-3,
        weight_decay=5e-2,
        noise=0.04,
        jitter=4,
        smoothing=0.0,  # what insertion and deletion measure is the probability, which smoothing would hold below .95
    ),
    "digits": Recipe(
        config={"in_channels": 1, "layers": [(16, 3, 2), (32, 3, 2), (64, 3, 1)]},
        what="3 convolutions, mean over space, one linear layer",
        size=32,
        epochs=40,
    ),
}


def _draw(job: tuple[int, int, float, int, int, int]) -> tuple[Tensor, Tensor]:
    n, seed, removed, size, start, stop = job
    torch.set_num_threads(1)
    source = creatures(n, seed=seed, size=size, removed_parts=removed)
    samples = [source[index] for index in range(start, stop)]
    images = torch.stack([(sample.image * 255).round().to(torch.uint8) for sample in samples])
    return images, torch.tensor([sample.label for sample in samples])


def draw_creatures(n: int, *, seed: int, removed: float, size: int) -> tuple[Tensor, Tensor]:
    """Render pictures in all processes; the result does not depend on how many there are."""
    jobs = [(n, seed, removed, size, start, min(start + 250, n)) for start in range(0, n, 250)]
    with multiprocessing.get_context("spawn").Pool() as pool:
        parts = list(track(pool.imap(_draw, jobs), total=len(jobs), description=f"drawing {n:,} creatures"))
    return torch.cat([images for images, _ in parts]), torch.cat([labels for _, labels in parts])


def read_digits(split: Any, size: int) -> tuple[Tensor, Tensor]:
    """Return the handwritten digits as 8-bit images and labels."""
    source = digits(split=split, size=size)
    samples = [source[index] for index in range(len(source))]
    images = torch.stack([(sample.image * 255).round().to(torch.uint8) for sample in samples])
    return images, torch.tensor([sample.label for sample in samples])


@dataclass(kw_only=True, eq=False)
class Training:
    """A network on its way, which a checkpoint holds after each epoch."""

    recipe: Recipe
    network: nn.Module
    steps: int
    rng: torch.Generator
    epoch: int = 0

    def __post_init__(self) -> None:
        rate, decay = self.recipe.learning_rate, self.recipe.weight_decay
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=rate, weight_decay=decay)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, rate, total_steps=self.steps)

    def step(self, batch: Tensor, labels: Tensor) -> float:
        """Take one step, and return the loss before it."""
        loss = nn.functional.cross_entropy(self.network(batch), labels, label_smoothing=self.recipe.smoothing)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        return float(loss.detach())

    def save(self, path: Path) -> None:
        """Write all that decides how it goes on."""
        holders = {name: getattr(self, name).state_dict() for name in ("network", "optimizer", "schedule")}
        torch.save({**holders, "epoch": self.epoch, "rng": self.rng.get_state()}, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)

    def go_on(self, path: Path) -> None:
        """Go on from what was written."""
        state = torch.load(path, weights_only=True)
        for name in ("network", "optimizer", "schedule"):
            getattr(self, name).load_state_dict(state[name])
        self.epoch = state["epoch"]
        self.rng.set_state(state["rng"])


def train(
    recipe: Recipe, images: Tensor, labels: Tensor, *, n_classes: int, seed: int, device: str, checkpoint: Path | None
) -> nn.Module:
    """Train with AdamW, one learning-rate cycle, small shifts and noise."""
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    network, n_batches = recipe.build(n_classes).to(device).train(), len(images) // recipe.batch
    training = Training(recipe=recipe, network=network, steps=recipe.epochs * n_batches, rng=rng)
    if checkpoint is not None and checkpoint.exists():
        training.go_on(checkpoint)
    for epoch in range(training.epoch, recipe.epochs):
        order, total = torch.randperm(len(images), generator=rng), 0.0
        for rows in order[: n_batches * recipe.batch].split(recipe.batch):
            batch = augment(images[rows].float() / 255, recipe, rng).to(device)
            total += training.step(batch, labels[rows].to(device))
        training.epoch = epoch + 1
        print(f"epoch {epoch + 1} of {recipe.epochs}: loss {total / n_batches:.3f}", flush=True)
        if checkpoint is not None:
            training.save(checkpoint)
    return network.cpu().eval()


def augment(images: Tensor, recipe: Recipe, rng: torch.Generator) -> Tensor:
    """Shift the batch by a few pixels and add noise."""
    down, right = torch.randint(-recipe.jitter, recipe.jitter + 1, (2,), generator=rng).tolist()
    padded = nn.functional.pad(images, [recipe.jitter] * 4, mode="replicate")
    top, left = recipe.jitter + down, recipe.jitter + right
    shifted = padded[..., top : top + recipe.size, left : left + recipe.size]
    return (shifted + recipe.noise * torch.randn(shifted.shape, generator=rng)).clamp(0, 1)


@torch.no_grad()
def accuracy(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return the share of images whose highest logit is their label's."""
    hits = [
        (network(part.float() / 255).argmax(1) == truth).sum()
        for part, truth in zip(images.split(256), labels.split(256), strict=True)
    ]
    return float(torch.stack(hits).sum()) / len(images)


def main() -> None:
    """Parse the command line, train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(RECIPES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ZOO)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--checkpoint", type=Path, help="written after each epoch; a training goes on from it")
    args = parser.parse_args()
    recipe, started = RECIPES[args.name], time.perf_counter()
    if args.name != "digits":
        data = draw_creatures(recipe.n_train, seed=1000 + args.seed, removed=0.15, size=recipe.size)
        held_out = draw_creatures(recipe.n_held_out, seed=2000 + args.seed, removed=0.0, size=recipe.size)
        names: tuple[str, ...] = CLASS_NAMES
        about = f"{recipe.n_train:,} drawn creatures (seed {1000 + args.seed}), a random part missing in 15 %"
    else:
        data, held_out = read_digits("train", recipe.size), read_digits("test", recipe.size)
        names = tuple(str(digit) for digit in range(10))
        about = "scikit-learn's handwritten digits, the fixed three quarters of digits(split='train')"
    network = train(recipe, *data, n_classes=len(names), seed=args.seed, device=args.device, checkpoint=args.checkpoint)
    half = network.half().float()  # what is stored is what is measured
    card = {
        "name": args.name,
        "class_names": list(names),
        "input_size": [recipe.config["in_channels"], recipe.size, recipe.size],
        "config": {**recipe.config, "n_classes": len(names)},
        "accuracy": accuracy(half, *held_out),
        "n_held_out": len(held_out[0]),
        "data": about,
        "seed": args.seed,
    }
    write(half, card, minutes=(time.perf_counter() - started) / 60, device=args.device, folder=args.out)


def write(network: nn.Module, card: dict[str, Any], *, minutes: float, device: str, folder: Path) -> None:
    """Write half-precision weights with their card, and the card as a page."""
    name, size = card["name"], card["input_size"]
    state = {key: value.half() if value.is_floating_point() else value for key, value in network.state_dict().items()}
    path = folder / f"{name}.safetensors"
    save_file({key: value.contiguous() for key, value in state.items()}, path, metadata={"card": json.dumps(card)})
    parameters = sum(parameter.numel() for parameter in network.parameters())
    rows = {
        "what": f"{len(card['class_names'])} classes of "
        f"{'handwritten digits' if name == 'digits' else 'drawn creatures'}",
        "input": f"{size[0]} x {size[1]} x {size[2]}, values in [0, 1]",
        "network": f"{RECIPES[name].what}; {parameters:,} parameters",
        "accuracy": f"{card['accuracy']:.4f} on {card['n_held_out']:,} held-out images",
        "trained on": card["data"],
        "made by": f"`python training/train_classifiers.py {name} --seed {card['seed']}`, {minutes:.0f} minutes on "
        f"{device}, torch {torch.__version__}, Python {platform.python_version()}",
        "weights": f"half precision, {path.stat().st_size / 2**20:.2f} MB; what is stored is what was measured",
        "licence": f"Apache-2.0{'' if name != 'digits' else '; the data are the UCI digits, CC BY 4.0'}",
    }
    lines = "".join(f"| {key} | {value} |\n" for key, value in rows.items())
    (folder / f"{name}.md").write_text(f"# zoo:{name}\n\n| | |\n|---|---|\n{lines}", encoding="utf-8")
    print(f"accuracy {card['accuracy']:.4f} on {card['n_held_out']:,} held-out images; {path}")


if __name__ == "__main__":
    main()

"""Train the two classifiers of the zoo from a seed, and write their weights and cards.

    python training/train_classifiers.py digits
    python training/train_classifiers.py creatures

Minutes on two CPU cores; a GPU is used where there is one.
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

from likethat.models.zoo import ConvNet
from likethat.sources.creatures import CLASS_NAMES, creatures
from likethat.sources.digits import digits

ZOO = Path(__file__).parents[1] / "src" / "likethat" / "zoo"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that decides the weights, beside the data."""

    in_channels: int
    layers: list[tuple[int, int, int]]
    size: int
    epochs: int
    batch: int = 64
    learning_rate: float = 4e-3
    weight_decay: float = 1e-2
    noise: float = 0.03
    jitter: int = 2


RECIPES = {
    "creatures": Recipe(
        in_channels=3,
        layers=[(32, 3, 2), (48, 3, 2), (48, 3, 1), (128, 3, 2), (128, 3, 1), (256, 1, 1)],
        size=96,
        epochs=6,
    ),
    "digits": Recipe(in_channels=1, layers=[(16, 3, 2), (32, 3, 2), (64, 3, 1)], size=32, epochs=40),
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


def train(recipe: Recipe, images: Tensor, labels: Tensor, *, n_classes: int, seed: int, device: str) -> ConvNet:
    """Train with AdamW, one learning-rate cycle, small shifts and noise."""
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    network = ConvNet(in_channels=recipe.in_channels, layers=recipe.layers, n_classes=n_classes).to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    steps = recipe.epochs * (len(images) // recipe.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, total_steps=steps)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.05)
    for epoch in range(recipe.epochs):
        order = torch.randperm(len(images), generator=rng)
        total = 0.0
        for rows in order[: len(order) // recipe.batch * recipe.batch].split(recipe.batch):
            batch = augment(images[rows].float() / 255, recipe, rng).to(device)
            loss = loss_of(network(batch), labels[rows].to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += float(loss.detach())
        print(f"epoch {epoch + 1} of {recipe.epochs}: loss {total / (len(order) // recipe.batch):.3f}", flush=True)
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
    parser.add_argument("--n-train", type=int, default=8_000, help="drawn creatures to train on")
    parser.add_argument("--out", type=Path, default=ZOO)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    recipe, started = RECIPES[args.name], time.perf_counter()
    if args.name == "creatures":
        data = draw_creatures(args.n_train, seed=1000 + args.seed, removed=0.15, size=recipe.size)
        held_out = draw_creatures(2_000, seed=2000 + args.seed, removed=0.0, size=recipe.size)
        names: tuple[str, ...] = CLASS_NAMES
        about = f"{args.n_train:,} drawn creatures (seed {1000 + args.seed}), a random part missing in 15 %"
    else:
        data, held_out = read_digits("train", recipe.size), read_digits("test", recipe.size)
        names = tuple(str(digit) for digit in range(10))
        about = "scikit-learn's handwritten digits, the fixed three quarters of digits(split='train')"
    network = train(recipe, *data, n_classes=len(names), seed=args.seed, device=args.device)
    half = network.half().float()  # what is stored is what is measured
    card = {
        "name": args.name,
        "class_names": list(names),
        "input_size": [recipe.in_channels, recipe.size, recipe.size],
        "config": {"in_channels": recipe.in_channels, "layers": recipe.layers, "n_classes": len(names)},
        "accuracy": accuracy(half, *held_out),
        "n_held_out": len(held_out[0]),
        "data": about,
        "seed": args.seed,
    }
    write(half, card, minutes=(time.perf_counter() - started) / 60, device=args.device, folder=args.out)


def write(network: ConvNet, card: dict[str, Any], *, minutes: float, device: str, folder: Path) -> None:
    """Write half-precision weights with their card, and the card as a page."""
    name, size = card["name"], card["input_size"]
    state = {key: value.half() if value.is_floating_point() else value for key, value in network.state_dict().items()}
    path = folder / f"{name}.safetensors"
    save_file({key: value.contiguous() for key, value in state.items()}, path, metadata={"card": json.dumps(card)})
    parameters = sum(parameter.numel() for parameter in network.parameters())
    rows = {
        "what": f"{len(card['class_names'])} classes of "
        f"{'drawn creatures' if name == 'creatures' else 'handwritten digits'}",
        "input": f"{size[0]} x {size[1]} x {size[2]}, values in [0, 1]",
        "network": f"{len(card['config']['layers'])} convolutions, mean over space, one linear layer; "
        f"{parameters:,} parameters",
        "accuracy": f"{card['accuracy']:.4f} on {card['n_held_out']:,} held-out images",
        "trained on": card["data"],
        "made by": f"`python training/train_classifiers.py {name} --seed {card['seed']}`, {minutes:.0f} minutes on "
        f"{device}, torch {torch.__version__}, Python {platform.python_version()}",
        "weights": f"half precision, {path.stat().st_size / 2**20:.2f} MB; what is stored is what was measured",
        "licence": f"Apache-2.0{'' if name == 'creatures' else '; the data are the UCI digits, CC BY 4.0'}",
    }
    lines = "".join(f"| {key} | {value} |\n" for key, value in rows.items())
    (folder / f"{name}.md").write_text(f"# zoo:{name}\n\n| | |\n|---|---|\n{lines}", encoding="utf-8")
    print(f"accuracy {card['accuracy']:.4f} on {card['n_held_out']:,} held-out images; {path}")


if __name__ == "__main__":
    main()

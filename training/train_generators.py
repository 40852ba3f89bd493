"""Train the generators of the zoo from a seed, measure them, and write their weights and cards.

    python training/train_generators.py digits
    python training/train_generators.py digits-flow
    python training/train_generators.py creatures
    python training/train_generators.py creatures-flow

The digits take minutes on a CPU core, the creatures an hour; a GPU is used where there is one.
Interrupted, it goes on with --resume.
"""

import argparse
import json
import platform
import time
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress as Bars
from safetensors.torch import load_file, save_file
from torch import Tensor
from train_classifiers import draw_creatures, read_digits

import likethat as lt
from likethat._progress import Progress
from likethat.generators import sample
from likethat.generators.storage import card_page, save_generator
from likethat.metrics import frechet_distance
from likethat.options import FlowRecipe, VaeRecipe

ZOO = Path(__file__).parents[1] / "zoo" / "src" / "likethat_zoo"
CACHE = Path(__file__).parent / ".cache"
N_MEASURED = 1500

RECIPES: dict[str, dict[str, Any]] = {
    "creatures": {
        "latent_dim": 128,
        "mirror": True,
        "prior": "kernels",
        "recipe": VaeRecipe(steps=5000, batch=16, learning_rate=8e-4, polish=0.35),
    },
    "digits": {
        "latent_dim": 16,
        "config": {
            "channels": 1,
            "size": [32, 32],
            "latent_dim": 16,
            "patch": 1,
            "widths": [16, 32, 64],
            "encoder_widths": [16, 32, 64],
        },
        "recipe": VaeRecipe(steps=4000, batch=32, learning_rate=1e-3, scale=0.1, polish=0.2),
    },
    "digits-flow": {
        "config": {"channels": 1, "size": [32, 32], "widths": [32, 48, 64], "patch": 2, "blocks": 1, "code": 64},
        "recipe": FlowRecipe(steps=5000, batch=32),
    },
    "creatures-flow": {
        "mirror": True,
        "config": {"channels": 3, "size": [96, 96], "widths": [64, 96, 112], "patch": 4, "blocks": 1, "code": 96},
        "recipe": FlowRecipe(steps=9000, batch=16),
    },
}


def images_of(name: str, seed: int) -> tuple[Tensor, Tensor]:
    """Return the 8-bit images to learn from and the held-out ones to measure with, drawn once."""
    if name.startswith("digits"):
        return read_digits("train", 32)[0], read_digits("test", 32)[0]
    path = CACHE / f"creatures-{seed}.safetensors"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        learned, _ = draw_creatures(10_000, seed=3000 + seed, removed=0.0, size=96)
        held_out, _ = draw_creatures(2 * N_MEASURED, seed=4000 + seed, removed=0.0, size=96)
        save_file({"learned": learned, "held_out": held_out}, path)
    stored = load_file(path)
    return stored["learned"], stored["held_out"]


@torch.no_grad()
def measure(generator: Any, name: str, held_out: Tensor) -> dict[str, float]:
    """Return how sure the zoo's classifier is of samples, and their distance from held-out images in its features."""
    model = lt.load(f"zoo:{name.removesuffix('-flow')}")
    n = min(N_MEASURED, len(held_out) // 2)
    made = torch.cat([sample(generator, 50, seed=part) for part in range(-(-n // 50))])[:n]  # type: ignore[misc]
    probabilities = torch.cat([model.logits(part).softmax(1) for part in made.split(50)])
    pooled = [
        torch.cat([model.pooled(part.float()) for part in images.split(50)])
        for images in (made, held_out[:n].float() / 255, held_out[n : 2 * n].float() / 255)
    ]
    classes = probabilities.argmax(1).bincount(minlength=probabilities.shape[1]).float()
    return {
        "share_above_0.9": float((probabilities.amax(1) > 0.9).float().mean()),
        "smallest_class_share": float(classes.min() / classes.sum()),
        "frechet_to_held_out": frechet_distance(pooled[0], pooled[1]),
        "frechet_of_two_real_halves": frechet_distance(pooled[1], pooled[2]),
        "n_measured": n,
    }


def main() -> None:
    """Parse the command line, train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(RECIPES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--out", type=Path, default=ZOO)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    learned, held_out = images_of(args.name, args.seed)
    started = time.perf_counter()
    with Bars() as bars:
        task = bars.add_task(f"training {args.name}")

        def watch(report: Progress) -> None:
            if report.stage == "training":
                bars.update(task, completed=report.done, total=report.total)

        generator = lt.train_generator(
            learned.float() / 255,
            algorithm="flow" if args.name.endswith("-flow") else "vae",
            size=tuple(learned.shape[2:]),
            seed=args.seed,
            device=args.device,
            checkpoint=CACHE / f"{args.name}.checkpoint",
            resume=args.resume,
            watch=watch,
            **RECIPES[args.name],
        )
    minutes = (time.perf_counter() - started) / 60
    write(generator, args.name, held_out, seed=args.seed, minutes=minutes, device=args.device, folder=args.out)


def write(generator: Any, name: str, held_out: Tensor, *, seed: int, minutes: float, device: str, folder: Path) -> None:
    """Write half-precision weights and their card; what is stored is what is measured."""
    path = folder / f"generator-{name}.safetensors"
    about = {"family": generator.family, "config": generator.config(), "state": generator.state()}
    save_generator(path, **about, card=generator.card, half=True)
    stored = lt.load_generator(path)
    data = (
        "scikit-learn's handwritten digits, digits(split='train')"
        if name.startswith("digits")
        else f"{generator.card['images']:,} drawn creatures (seed {3000 + seed}), mirrored too"
    )
    card = {
        **generator.card,
        "name": name,
        "data": data,
        "minutes": round(minutes, 1),
        **{key: round(value, 4) for key, value in measure(stored, name, held_out).items()},
        "made_by": f"python training/train_generators.py {name} --seed {seed}, on {device}, Python "
        f"{platform.python_version()}",
        "licence": f"Apache-2.0{'; the data are the UCI digits, CC BY 4.0' if name.startswith('digits') else ''}",
    }
    save_generator(path, **about, card=card, half=True)
    page = card_page(f"zoo:{name} (generator)", generator.family, card, about["state"])
    (folder / f"generator-{name}.md").write_text(page, encoding="utf-8")
    print(json.dumps(card, indent=1))
    print(f"{path}: {path.stat().st_size / 2**20:.2f} MB")


if __name__ == "__main__":
    main()

"""An independent judge of drawn creatures: reads the variant of every part, and knows no class.

It learns from creatures that wear random variants, so no part tells it about another; the class is the one whose parts
fit what it read. Trained once, and kept in benchmarks/.cache.

    python benchmarks/_creature_oracle.py    # draw, train, and say how often it reads each part right
"""

from dataclasses import replace
from pathlib import Path

import torch
from rich.progress import track
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from likethat.sources import creatures
from likethat.sources.creatures import CLASS_PARTS, PART_NAMES, VARIANTS, draw

CACHE = Path(__file__).parent / ".cache"
N_DRAWN, EPOCHS, BATCH = 7000, 9, 50


class PartReader(nn.Module):
    """Convolutions, mean and maximum over space, one linear layer a part."""

    def __init__(self) -> None:
        super().__init__()
        widths = [(3, 32, 2), (32, 64, 2), (64, 64, 1), (64, 128, 2), (128, 128, 1)]
        blocks = [[nn.Conv2d(a, b, 3, stride=s, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
                  for a, b, s in widths]  # fmt: skip
        self.body = nn.Sequential(*(layer for block in blocks for layer in block))
        self.heads = nn.ModuleList(nn.Linear(256, len(VARIANTS[part])) for part in PART_NAMES)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return logits (n, variant) of each part."""
        found = self.body(images)
        pooled = torch.cat([found.mean((2, 3)), found.amax((2, 3))], dim=1)
        return [head(pooled) for head in self.heads]


class CreatureOracle:
    """Which variants a picture shows, and which class they make."""

    def __init__(self, network: PartReader) -> None:
        self.network = network.eval()

    @torch.no_grad()
    def parts(self, images: Tensor) -> Tensor:
        """Return the index of each part's variant, (n, part)."""
        return torch.stack([logits.argmax(1) for logits in self.network(images)], dim=1)

    @torch.no_grad()
    def classes(self, images: Tensor) -> Tensor:
        """Return the class whose parts are likeliest, (n,)."""
        logs = [logits.log_softmax(1) for logits in self.network(images)]
        return torch.stack([sum(log[:, variant] for log, variant in zip(logs, worn, strict=True))
                            for worn in CLASS_CODES.tolist()], dim=1).argmax(1)  # type: ignore[attr-defined]  # fmt: skip


CLASS_CODES = torch.tensor([[VARIANTS[part].index(worn[part]) for part in PART_NAMES] for worn in CLASS_PARTS])
"""The index of each part's variant, (class, part)."""


def any_creatures(n: int, *, seed: int) -> tuple[Tensor, Tensor]:
    """Draw creatures of random variants: 8-bit images and variant indices (n, part), kept on disk."""
    path = CACHE / f"any-creatures-{n}-{seed}.safetensors"
    if not path.exists():
        book, rng = creatures(n, seed=seed), torch.Generator().manual_seed(seed)
        images, codes = torch.empty(n, 3, 96, 96, dtype=torch.uint8), torch.empty(n, len(PART_NAMES), dtype=torch.int64)
        for index in track(range(n), description=f"drawing {n:,} creatures of any parts"):
            codes[index] = torch.stack([torch.randint(len(VARIANTS[part]), (), generator=rng) for part in PART_NAMES])
            worn = tuple(VARIANTS[part][code] for part, code in zip(PART_NAMES, codes[index].tolist(), strict=True))
            images[index] = (draw(replace(book.creature(index), variants=worn)) * 255).round().to(torch.uint8)
        save_file({"images": images, "codes": codes}, path)
    stored = load_file(path)
    return stored["images"], stored["codes"]


def creature_oracle() -> CreatureOracle:
    """Return the judge, trained the first time."""
    path = CACHE / "creature-oracle.safetensors"
    network = PartReader()
    if not path.exists():
        _train(network, *any_creatures(N_DRAWN, seed=70))
        save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path)
    network.load_state_dict(load_file(path))
    return CreatureOracle(network)


def _train(network: PartReader, images: Tensor, codes: Tensor) -> None:
    torch.manual_seed(70)
    rng = torch.Generator().manual_seed(70)
    network.train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=EPOCHS * (len(images) // BATCH))
    for epoch in range(EPOCHS):
        total = 0.0
        for rows in torch.randperm(len(images), generator=rng).split(BATCH):
            batch = _varied(images[rows].float() / 255, rng).contiguous(memory_format=torch.channels_last)
            logits = network(batch)
            loss = sum((nn.functional.cross_entropy(part, codes[rows, place], label_smoothing=0.02)
                        for place, part in enumerate(logits)), start=torch.zeros(()))  # fmt: skip
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += float(loss.detach())
        print(f"epoch {epoch + 1} of {EPOCHS}: loss {total * BATCH / len(images):.3f}", flush=True)


def _varied(images: Tensor, rng: torch.Generator) -> Tensor:
    """Mirror, blur and add noise at random, so that soft pictures are read as well as sharp ones."""
    if torch.rand((), generator=rng) < 0.5:
        images = images.flip(3)
    if torch.rand((), generator=rng) < 0.4:
        small = int(torch.randint(44, 80, (), generator=rng))
        images = nn.functional.interpolate(images, size=small, mode="area")
        images = nn.functional.interpolate(images, size=96, mode="bilinear", align_corners=False)
    return (images + 0.03 * torch.rand((), generator=rng) * torch.randn(images.shape, generator=rng)).clamp(0, 1)


def main() -> None:
    """Train where needed; print the share of parts and classes read right on creatures drawn anew."""
    torch.set_num_threads(1)
    oracle = creature_oracle()
    images, codes = any_creatures(500, seed=71)
    right = (oracle.parts(images.float() / 255) == codes).float().mean(0)
    print({part: round(float(share), 3) for part, share in zip(PART_NAMES, right, strict=True)})
    drawn, labels = creatures(480, seed=72).tensors()
    print("class", float((oracle.classes(drawn.float() / 255) == labels).float().mean()))


if __name__ == "__main__":
    main()

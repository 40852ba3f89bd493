"""A network that says which part of a creature stands where: the judge of pictures that no renderer drew."""

import torch
from _data import CACHE, PARTS, Drawn
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

_STRIDE = 4


class PartReader(nn.Module):
    """Parts at a quarter of the resolution: logits (image, 1 + part, row, column), surroundings first."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()

        def block(before: int, after: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(before, after, 3, stride, dilation, dilation, bias=False), nn.BatchNorm2d(after), nn.ReLU()
            )

        self.net = nn.Sequential(
            block(3, width // 2, 2),
            block(width // 2, width, 2),
            block(width, width, dilation=2),
            block(width, width, dilation=4),
            block(width, width, dilation=2),
            block(width, width),
            nn.Conv2d(width, 1 + len(PARTS), 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.net(images)
        return logits


def _coarse(part_maps: Tensor) -> Tensor:
    """Return the part that fills most of each 4 x 4 cell."""
    n = 1 + len(PARTS)
    cells = part_maps.unfold(1, _STRIDE, _STRIDE).unfold(2, _STRIDE, _STRIDE).flatten(3).long()
    return torch.stack([(cells == part).sum(3) for part in range(n)]).argmax(0)


def part_reader(train: Drawn, *, steps: int = 700, batch: int = 24) -> PartReader:
    """Train once on drawn creatures (other ones than are measured on), slightly blurred half of the time."""
    path = CACHE / f"part-reader-{len(train)}-{train.seed}-{steps}.safetensors"
    reader = PartReader()
    if path.exists():
        reader.load_state_dict(load_file(path))
        return reader.eval()
    torch.manual_seed(0)
    reader = PartReader()
    optimizer = torch.optim.AdamW(reader.parameters(), lr=3e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    rng = torch.Generator().manual_seed(0)
    targets = _coarse(train.part_maps)
    for _ in range(steps):
        rows = torch.randint(len(train), (batch,), generator=rng)
        images = train.pictures[rows].float() / 255
        if torch.rand(1, generator=rng) < 0.5:  # made pictures are softer than drawn ones
            images = nn.functional.avg_pool2d(images, 3, 1, 1)
        loss = nn.functional.cross_entropy(reader(images), targets[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    reader.eval()
    save_file(reader.state_dict(), path)
    return reader


@torch.no_grad()
def part_in(reader: PartReader, images: Tensor, boxes: list[tuple[int, int, int, int]]) -> list[str]:
    """Return the part that fills most of each image's box, or "surroundings" where parts fill less than a tenth."""
    found = []
    for start in range(0, len(images), 64):
        shares = reader(images[start : start + 64]).softmax(1)
        shares = nn.functional.interpolate(shares, scale_factor=_STRIDE, mode="nearest")
        for share, (left, top, right, bottom) in zip(shares, boxes[start : start + 64], strict=False):
            inside = share[:, top:bottom, left:right].mean((1, 2))
            is_none = float(inside[1:].sum()) < 0.1
            found.append("surroundings" if is_none else PARTS[int(inside[1:].argmax())])
    return found

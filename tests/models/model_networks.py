"""Networks with random weights, every norm, layer scale and head randomised: a wrong order of operations must fail."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def randomise(network: nn.Module, seed: int = 0, *, size: int | None = None) -> nn.Module:
    """Randomise what initialisation leaves at 0 or 1; the network comes back in evaluation mode.

    Batch norms first take the statistics of images, or the signal of a deep network dies and nothing is tested.
    """
    rng = torch.Generator().manual_seed(seed)
    if size is not None:
        norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
        for norm in norms:
            norm.momentum = 1.0
        with torch.no_grad():
            network.train()(torch.rand(4, 3, size, size, generator=rng))
    with torch.no_grad():
        for name, value in network.named_parameters():
            if value.numel() == 0:
                continue
            if value.ndim <= 1 or value.shape.numel() == max(value.shape):
                scale = name.endswith(("weight", "gamma")) or "scale" in name or "original0" in name
                noise = torch.rand(value.shape, generator=rng) if scale else torch.randn(value.shape, generator=rng)
                value.copy_(0.5 + noise if scale else 0.3 * noise)
            elif float(value.std()) < 1e-3 or name.split(".")[-2:-1] in (["head"], ["fc"], ["classifier"]):
                value.copy_(0.2 * torch.randn(value.shape, generator=rng))
        for name, value in network.named_buffers():
            if name.endswith("running_mean"):
                value.add_(0.1 * torch.randn(value.shape, generator=rng))
            elif name.endswith("running_var"):
                value.mul_(0.5 + torch.rand(value.shape, generator=rng))
    return network.eval()


def small_cnn(channels: int = 3, n_classes: int = 5, *, tail: nn.Module | None = None) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(channels, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 12, 3, stride=2, padding=1),
        nn.BatchNorm2d(12),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(12, n_classes),
    ]
    return nn.Sequential(*layers, *([tail] if tail is not None else []))


class Functional(nn.Module):
    """A network that pools in `forward`, with names that tell nothing."""

    def __init__(self, pool: Callable[[Tensor], Tensor], width: int = 12, *, between: nn.Module | None = None) -> None:
        super().__init__()
        self.a_0 = nn.Conv2d(3, 12, 5, stride=3)
        self.zz = nn.Linear(width, 4)
        self.between = between
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.a_0(x))
        return self.zz(x if self.between is None else self.between(x))


class Wrapped(nn.Module):
    """A user's own wrapper with an odd name inside."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.qqq = network

    def forward(self, x: Tensor) -> Any:
        return self.qqq(x * 2 - 1)


class Returning(nn.Module):
    """A network that returns something else than its inner network."""

    def __init__(self, network: nn.Module, change: Callable[[Any], Any]) -> None:
        super().__init__()
        self.inner = network
        self.change = change

    def forward(self, x: Tensor) -> Any:
        return self.change(self.inner(x))


class Tokens(nn.Module):
    """Patches (and a class token) of an image, pooled as told."""

    def __init__(self, pool: Callable[[Tensor], Tensor], *, prefix: int = 0, patch: int = 16, width: int = 6) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 6, patch, stride=patch)
        self.prefix = nn.Parameter(torch.randn(1, prefix, 6))
        self.mix = nn.TransformerEncoderLayer(6, 2, 12, batch_first=True, norm_first=True)
        self.norm = nn.LayerNorm(6)
        self.out = nn.Linear(width, 4)
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.prefix.expand(len(x), -1, -1), tokens], dim=1)
        return self.out(self.pool(self.norm(self.mix(tokens))))


def timm_network(name: str, **kwargs: Any) -> nn.Module:
    import timm

    return timm.create_model(name, pretrained=False, **kwargs)


def torchvision_network(name: str, **kwargs: Any) -> nn.Module:
    import torchvision

    return torchvision.models.get_model(name, weights=None, **kwargs)


def tiny_swin() -> nn.Module:
    return timm_network(
        "swin_tiny_patch4_window7_224",
        img_size=64,
        window_size=4,
        depths=(1, 1),
        num_heads=(2, 4),
        embed_dim=16,
        num_classes=5,
    )


def tiny_vit(**kwargs: Any) -> nn.Module:
    return timm_network(
        "vit_tiny_patch16_224",
        **{"img_size": 64, "depth": 2, "embed_dim": 24, "num_heads": 2, "num_classes": 5, **kwargs},
    )


def hf_resnet() -> nn.Module:
    from transformers import ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_labels=4)
    return ResNetForImageClassification(config)


def hf_vit() -> nn.Module:
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=8,
        num_labels=4,
    )
    return ViTForImageClassification(config)


def hf_dinov2() -> nn.Module:
    from transformers import Dinov2Config, Dinov2ForImageClassification

    config = Dinov2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8, num_labels=4
    )
    return Dinov2ForImageClassification(config)

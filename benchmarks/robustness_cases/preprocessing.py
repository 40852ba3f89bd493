"""Preprocessing belongs to the model: configuration, size, channels, units, and what a bank keeps of it."""

import json
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from _real import CIFAR_CLASSES, CIFAR_MEAN, CIFAR_STD, cifar_folder, imagenet_folder, lite0, resnet20
from torch import Tensor, nn

import likethat as lt
from robustness_cases import EITHER, REFUSED, RIGHT, case, expect

KIND = "preprocessing"


def network_of(channels: int = 3) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        layers = [nn.Conv2d(channels, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)]
        return nn.Sequential(*layers).eval()


@cache
def pictures(side: int = 16, n: int = 8) -> Tensor:
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(1))


@cache
def timm_network(in_chans: int = 3) -> Any:
    import timm

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return timm.create_model("test_resnet.r160_in1k", pretrained=False, in_chans=in_chans, num_classes=4).eval()


def batched(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    items = iter(items)
    while part := list(islice(items, size)):
        yield part


def _folder() -> Path:
    return Path(tempfile.mkdtemp()) / "bank"


def _saved(preprocess: Any, **options: Any) -> Path:
    model = lt.split(network_of(), preprocess=preprocess, **options)
    return lt.EPIC(n_prototypes=2).fit(model, pictures()).save(_folder())


@case(KIND, "a timm network takes the mean and std of its configuration without being asked", accepts=RIGHT)
def _() -> None:
    network = timm_network()
    model = lt.split(network)
    config = network.pretrained_cfg
    expect(model.preprocess.mean, tuple(config["mean"]), "mean")
    expect(model.preprocess.std, tuple(config["std"]), "std")
    expect(model.size, tuple(config["input_size"][1:]), "size")


@case(KIND, "preprocess=None for a timm network: images as they are", accepts=RIGHT)
def _() -> None:
    network, images = timm_network(), torch.rand(2, 3, 96, 96)
    got = lt.split(network, preprocess=None).logits(images)
    expect(torch.equal(got, network(images)), True, "the network's own logits of bare images")


for n_channels in (1, 2, 5, 9, 13):

    @case(KIND, f"a timm network made for {n_channels} channels is split with {n_channels}", accepts=RIGHT)
    def _(n_channels: int = n_channels) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = lt.split(timm_network(n_channels))
        expect((model.in_channels, model.preprocess.channels), (n_channels, n_channels), "channels")


@case(KIND, "mean and std of 3 channels under a network of 5: one sentence says what each gets", accepts=RIGHT)
def _() -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        lt.split(timm_network(5))
    expect(any("takes 5: each gets their average" in str(one.message) for one in said), True, "a warning")


@case(KIND, "three numbers for a plain network of 5 channels", accepts=REFUSED)
def _() -> None:
    lt.split(network_of(5), preprocess=lt.Preprocess(mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2)))


for values in ({"mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375)}, {"mean": 33.3, "std": 78.6}):

    @case(KIND, f"mean {values['mean']} and std {values['std']}, in units of 0 to 255", accepts=REFUSED)
    def _(values: dict[str, Any] = values) -> None:
        lt.Preprocess(**values)


@case(KIND, "a mean without a std", accepts=REFUSED)
def _() -> None:
    lt.Preprocess(mean=(0.5, 0.5, 0.5))


@case(KIND, "a std without a mean", accepts=REFUSED)
def _() -> None:
    lt.Preprocess(std=(0.5, 0.5, 0.5))


@case(KIND, "a network that takes blue first", accepts=RIGHT)
def _() -> None:
    network, images = network_of(), pictures()
    model = lt.split(network, preprocess=lt.Preprocess(order="bgr", mean=(0.1, 0.2, 0.3), std=(1.0, 1.0, 1.0)))
    blue_first = images[:, [2, 1, 0]] - torch.tensor([0.1, 0.2, 0.3])[:, None, None]
    expect(torch.allclose(model.logits(images), network(blue_first), atol=1e-6), True, "logits of blue, green, red")


@case(KIND, "the grid of a plain network follows the images of the fit", accepts=RIGHT)
def _() -> None:
    model = lt.split(network_of())
    lt.EPIC(n_prototypes=2).fit(model, pictures(20))
    expect((model.size, model.grid), ((20, 20), (18, 18)), "size and grid: 3 x 3 without padding")


@case(KIND, "split(network, example=images) uses their size", accepts=RIGHT)
def _() -> None:
    model = lt.split(network_of(), example=pictures(32))
    expect((model.size, model.grid), ((32, 32), (30, 30)), "size and grid")


@case(KIND, "images of a size at which the network does not run", accepts=REFUSED)
def _() -> None:
    layers = [nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 9), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)]
    lt.EPIC(n_prototypes=2).fit(lt.split(nn.Sequential(*layers).eval()), pictures(6))


@case(KIND, "a bank opened with its network has mean, std, size and class names again", accepts=RIGHT)
def _() -> None:
    own = lt.Preprocess(size=16, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
    bank = lt.open_bank(_saved(own, class_names=["a", "b", "c"]), network_of())
    kept = bank.model.preprocess
    expect((kept.mean, kept.std, kept.input_size), (own.mean, own.std, (16, 16)), "preprocessing")
    expect((bank.model.class_names, bank.class_names), (("a", "b", "c"),) * 2, "class names")


@case(KIND, "bank.attach(network) does the same", accepts=RIGHT)
def _() -> None:
    bank = lt.open_bank(_saved(lt.Preprocess(mean=0.5, std=0.25)))
    expect(bank.attach(network_of()).model.preprocess.std, (0.25,), "std")


@case(KIND, "a bank opened with a model of another mean", accepts=REFUSED)
def _() -> None:
    folder = _saved(lt.Preprocess(mean=0.5, std=0.25))
    lt.open_bank(folder, lt.split(network_of(), preprocess=lt.Preprocess(mean=0.4, std=0.25)))


@case(KIND, "a bank opened with a model without preprocessing", accepts=REFUSED)
def _() -> None:
    lt.open_bank(_saved(lt.Preprocess(mean=0.5, std=0.25)), lt.split(network_of()))


@case(KIND, "a bank opened with a model of another size", accepts=REFUSED)
def _() -> None:
    lt.open_bank(_saved(lt.Preprocess(size=16)), lt.split(network_of(), preprocess=lt.Preprocess(size=24)))


@case(KIND, "a bank opened with a model of the same numbers written in another way", accepts=RIGHT)
def _() -> None:
    folder = _saved(lt.Preprocess(mean=0.5, std=0.25))
    same = lt.split(network_of(), preprocess={"mean": (0.5, 0.5, 0.5), "std": [0.25, 0.25, 0.25]})
    expect(lt.open_bank(folder, same).model is same, True, "the model is taken")


@case(KIND, "a bank opened with other class names", accepts=REFUSED)
def _() -> None:
    folder = _saved(None, class_names=["cat", "dog", "owl"])
    lt.open_bank(folder, lt.split(network_of(), preprocess=None, class_names=["dog", "cat", "owl"]))


def _halves(views: Tensor) -> Tensor:
    return views * 2 - 1


@case(KIND, "a preprocessing that is a function: the bank says that it cannot keep it", accepts=REFUSED)
def _() -> None:
    lt.open_bank(_saved(_halves), network_of())


@case(KIND, "a preprocessing that is a function, given again: its numbers are compared", accepts=RIGHT)
def _() -> None:
    same = lt.split(network_of(), preprocess=lambda views: (views - 0.5) / 0.5)
    expect(lt.open_bank(_saved(_halves), same).model is same, True, "the model is taken")


@case(KIND, "another function than the bank's", accepts=REFUSED)
def _() -> None:
    lt.open_bank(_saved(_halves), lt.split(network_of(), preprocess=lambda views: views * 2))


@case(KIND, "a bank of an earlier version, without settings, opens with its model", accepts=EITHER)
def _() -> None:
    folder = _saved(None)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    for later in ("settings", "digest"):
        manifest.pop(later, None)
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    model = lt.split(network_of(), preprocess=None)
    expect(lt.open_bank(folder, model).outputs, "softmax", "outputs")


@torch.no_grad()
def _right(model: lt.SplitModel, samples: Iterable[Any], label_of: Callable[[Any], int]) -> int:
    """Return how many answers are right."""
    right = 0
    for batch in batched(samples, 25):
        views = torch.stack([model.preprocess.view(sample.image) for sample in batch])
        right += int((model.logits(views).argmax(1) == torch.tensor([label_of(sample) for sample in batch])).sum())
    return right


@case(KIND, "CIFAR's ResNet-20 by the README's way: at least .80 of the test photos", accepts=RIGHT, slow=True)
def _() -> None:
    seen = lt.Preprocess(size=32, mean=CIFAR_MEAN, std=CIFAR_STD)
    source = lt.ImageFolder(cifar_folder("test"))
    model = lt.split(resnet20(), preprocess=seen, class_names=CIFAR_CLASSES)
    accuracy = _right(model, (source[row] for row in range(len(source))), lambda sample: int(sample.label)) / len(
        source
    )
    expect(accuracy >= 0.80, True, f"accuracy {accuracy:.3f}")


@cache
def _right_of_quarter(quarter: int) -> int:
    """Return how many of every fourth ImageNet photo timm's Lite0 names, split and nothing said: 20 s of a core."""
    source = lt.ImageFolder(imagenet_folder())
    samples = (source[row] for row in range(quarter, len(source), 4))
    return _right(lt.split(lite0()), samples, lambda sample: int(Path(sample.name).name[:3]))


for quarter in range(4):

    @case(KIND, f"timm's Lite0, nothing said: ImageNet photos, quarter {quarter + 1} of 4", accepts=RIGHT, slow=True)
    def _(quarter: int = quarter) -> None:
        expect(_right_of_quarter(quarter) >= 0.80 * 125, True, f"{_right_of_quarter(quarter)} of 125")


@case(KIND, "timm's Lite0, nothing said: at least .85 of the 500 ImageNet photos", accepts=RIGHT, slow=True)
def _() -> None:
    accuracy = sum(map(_right_of_quarter, range(4))) / 500
    expect(accuracy >= 0.85, True, f"accuracy {accuracy:.3f}")

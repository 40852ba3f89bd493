"""What cannot be explained is refused in one sentence that says what to do."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from model_networks import Functional, Returning, hf_vit, randomise, small_cnn, tiny_vit, torchvision_network
from torch import nn

from likethat.errors import InputError, ModelError, NonFiniteError, NotAClassifierError
from likethat.models import split


def broken(where: str, value: float) -> nn.Module:
    network = small_cnn().eval()
    with torch.no_grad():
        network.get_parameter(where).view(-1)[0] = value
    return network


@pytest.mark.parametrize("network", [None, "resnet18", nn.Linear, lambda x: x, torch.zeros(3)])
def test_only_modules(network: Any) -> None:
    with pytest.raises(InputError, match=r"`network` must be a torch\.nn\.Module, got"):
        split(network)


@pytest.mark.parametrize(("where", "value"), [("3.weight", float("nan")), ("9.bias", float("inf"))])
def test_broken_weights_are_named(where: str, value: float) -> None:
    with pytest.raises(NonFiniteError, match=f"`{where}`"):
        split(broken(where, value))


def test_masks_of_minus_infinity_are_no_broken_weights() -> None:
    network = randomise(small_cnn())
    network.register_buffer("mask", torch.tensor([float("-inf")]))
    assert split(network).is_linear


RETURNS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "tuple": (lambda x: (x, x, x), "a tuple with number 0, number 1, number 2, of which 3 may be meant"),
    "list": (lambda x: [x, x[:, :3]], r"number 0 \(2, 5\), number 1 \(2, 3\). Wrap it"),
    "mapping": (lambda x: {"out": x, "aux": x}, "a dict with 'out', 'aux', of which 2 may be meant"),
    "features": (lambda x: {"pooler_output": x}, "a dict with 'pooler_output'. Wrap it"),
    "none": (lambda x: None, "got a NoneType"),
    "segmentation": (lambda x: x[:, :, None, None].expand(-1, -1, 8, 8), "a map of classes"),
    "one cell": (lambda x: x[:, :, None, None], r"Add nn\.Flatten\(\)"),
    "tokens": (lambda x: x[:, None].expand(-1, 7, -1), "features of tokens"),
    "no class axis": (lambda x: x[:, 0], r"logits\[:, None\]"),
    "no classes": (lambda x: x[:, :0], "no classes at all"),
    "another batch": (lambda x: x.repeat(2, 1), "one row an image"),
}


@pytest.mark.parametrize("name", list(RETURNS))
def test_what_is_no_classifier(name: str) -> None:
    change, message = RETURNS[name]
    with pytest.raises(NotAClassifierError, match=message):
        split(Returning(small_cnn(), change).eval())


@pytest.mark.slow
def test_feature_extractors() -> None:
    with pytest.raises(NotAClassifierError, match="num_classes = 0"):
        split(tiny_vit(num_classes=0).eval())
    network = torchvision_network("resnet18").eval()
    network.fc = nn.Identity().eval()
    with pytest.raises(NotAClassifierError, match=r"`fc` is nn\.Identity"):
        split(network)
    with pytest.raises(NotAClassifierError, match="with 'last_hidden_state'"):
        split(hf_vit().vit.eval())


def test_class_names_of_the_wrong_number() -> None:
    network = randomise(small_cnn())
    with pytest.raises(InputError, match="must hold 5 names as the network has 5 classes, got 2"):
        split(network, class_names=["a", "b"])
    with pytest.raises(InputError, match="must be a list of names, one a class, got 'abcde'"):
        split(network, class_names="abcde")
    assert split(network, class_names=["a", "a", "b", "b", "c"]).class_names[1] == "a"


def test_a_layer_that_is_not_there() -> None:
    with pytest.raises(InputError, match=r"got 'layer5'\. Close to it: .*'layer4'"):
        split(torchvision_network("resnet18").eval(), layer="layer5")


def test_a_layer_that_cannot_be_used() -> None:
    with pytest.raises(ModelError, match=r"no map of `9` decides its logits.*layer="):
        split(randomise(small_cnn()), layer="9")


@pytest.mark.slow
def test_a_network_that_does_not_run() -> None:
    network = nn.Sequential(nn.Conv2d(5, 4, 3), nn.Flatten(), nn.Linear(77, 3)).eval()
    with pytest.raises(ModelError, match="`example=`") as caught:
        split(network)
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_an_example_of_the_wrong_kind() -> None:
    network = randomise(small_cnn())
    for example in (
        "photo.jpg",
        torch.zeros(3),
        torch.zeros(1, 3, 32, 32, dtype=torch.uint8),
        torch.rand(1, 3, 8, 8) * 255,
    ):
        with pytest.raises(InputError, match="`example` must"):
            split(network, example=example)  # type: ignore[arg-type]
    assert split(network, example=torch.rand(3, 32, 32)).grid == (8, 8)
    assert split(network, example=torch.rand(1, 3, 32, 32)).grid == (8, 8)


def test_networks_without_a_map() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    with pytest.raises(ModelError, match=r"cannot be split.*layer="):
        split(network)


def test_torchscript_and_meta_weights() -> None:
    with pytest.raises(ModelError, match="meta device"):
        split(small_cnn().to("meta").eval())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces the end of TorchScript
        traced = torch.jit.trace(small_cnn().eval(), torch.rand(1, 3, 32, 32))
    with pytest.raises(ModelError, match="TorchScript"):
        split(traced)


def test_randomness_left_on() -> None:
    network = randomise(Functional(lambda x: nn.functional.dropout(x.mean([2, 3]), 0.5)))
    with pytest.raises(ModelError, match="same logits for the same images"):
        split(network)


def test_agreement_on_constant_features_proves_nothing() -> None:
    network = randomise(Functional(lambda x: (0 * x).mean([2, 3]) + 1))
    with pytest.raises(ModelError, match="must tell images apart"):
        split(network)


@pytest.mark.slow
def test_bad_images_and_maps() -> None:
    model = split(randomise(small_cnn()))
    with pytest.raises(InputError, match=r"Add the batch axis"):
        model.logits(torch.rand(3, 32, 32))
    with pytest.raises(InputError, match="must have 3 channels"):
        model.logits(torch.rand(1, 1, 32, 32))
    with pytest.raises(InputError, match=r"lie in \[0, 1\]"):
        model.logits(torch.rand(1, 3, 32, 32) * 255)
    with pytest.raises(NonFiniteError, match="finite"):
        model.logits(torch.full((1, 3, 32, 32), float("nan")))
    with pytest.raises(InputError, match="at least one image"):
        model.logits(torch.rand(0, 3, 32, 32))
    with pytest.raises(InputError, match="channel = 12"):
        model.replay(torch.rand(1, 11, 4, 4))
    token = split(randomise(hf_vit()))
    with pytest.raises(InputError, match="class token"):
        token.replay(torch.rand(1, 16, 4, 4))


@pytest.mark.parametrize("preprocess", ["imagenet", 3, {"sise": 32}])
def test_unknown_preprocessing(preprocess: Any) -> None:
    with pytest.raises(InputError, match="`preprocess` must"):
        split(randomise(small_cnn()), preprocess)


def test_images_in_the_place_of_preprocessing_are_told_in_one_line() -> None:
    with pytest.raises(InputError, match=r"`preprocess` must be .*, got a Tensor") as refused:
        split(randomise(small_cnn()), torch.rand(4, 3, 32, 32))
    assert len(str(refused.value)) < 300

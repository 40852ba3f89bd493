"""The split is exact on every kind of network, and is the network's own."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from model_networks import (
    Functional,
    Returning,
    Tokens,
    Wrapped,
    hf_dinov2,
    hf_resnet,
    hf_vit,
    randomise,
    small_cnn,
    timm_network,
    tiny_swin,
    tiny_vit,
    torchvision_network,
)
from torch import nn

from likethat.errors import NotLinearError
from likethat.models import Preprocess, SplitModel, split
from likethat.models._trace import relative_error


@dataclass(frozen=True)
class Case:
    build: Any
    layer: str
    pooling: str
    how: str = "traced"
    additive: bool = True
    remainder: str = ""
    size: int = 64
    calibrate: bool = False


MEAN = {"pooling": "mean"}
FOLLOWED = {"how": "followed", "additive": False, "remainder": "class token and constant"}
CASES = {
    "sequential": Case(small_cnn, "5", **MEAN),
    "odd names, F.adaptive_avg_pool2d": Case(
        lambda: Functional(lambda x: nn.functional.adaptive_avg_pool2d(x, 1).flatten(1)), "a_0", **MEAN
    ),
    "x.mean([2, 3])": Case(lambda: Functional(lambda x: x.mean([2, 3])), "a_0", **MEAN),
    "functional relu": Case(lambda: Functional(lambda x: x.relu().mean([2, 3])), "a_0", "relu, mean"),
    "functional silu": Case(lambda: Functional(lambda x: nn.functional.silu(x).mean([2, 3])), "a_0", "silu, mean"),
    "in-place relu": Case(lambda: Functional(lambda x: x.relu_().mean([2, 3])), "a_0", "relu, mean"),
    "max": Case(lambda: Functional(lambda x: x.amax([2, 3])), "a_0", "max"),
    "mean and max": Case(
        lambda: Functional(lambda x: torch.cat([x.mean([2, 3]), x.amax([2, 3])], 1), 24), "a_0", "mean + max"
    ),
    "batch norm after the pool": Case(
        lambda: Functional(lambda x: x.mean([2, 3]), between=nn.BatchNorm1d(12)), "a_0", "mean, batch norm"
    ),
    "layer norm and dropout after": Case(
        lambda: Functional(lambda x: x.mean([2, 3]), between=nn.Sequential(nn.LayerNorm(12), nn.Dropout())),
        "a_0",
        "mean, layer norm",
    ),
    "rms norm after": Case(
        lambda: Functional(lambda x: x.mean([2, 3]), between=nn.RMSNorm(12, eps=1e-5)), "a_0", "mean, rms norm"
    ),
    "a bare linear map after": Case(
        lambda: Functional(lambda x: x.mean([2, 3]), 7, between=nn.Linear(12, 7)), "a_0", "mean, linear"
    ),
    "linear and layer norm after": Case(
        lambda: Functional(lambda x: x.mean([2, 3]), 7, between=nn.Sequential(nn.Linear(12, 7), nn.LayerNorm(7))),
        "a_0",
        "mean, linear, layer norm",
    ),
    "tokens, mean": Case(lambda: Tokens(lambda t: t.mean(1)), "norm", **MEAN),
    "tokens, 4 registers left out": Case(lambda: Tokens(lambda t: t[:, 5:].mean(1), prefix=5), "norm", **MEAN),
    "tokens, mean then class token": Case(
        lambda: Tokens(lambda t: torch.cat([t[:, 1:].mean(1), t[:, 0]], 1), prefix=1, width=12),
        "norm",
        "mean + class token, followed",
        **FOLLOWED,
    ),
    "fully convolutional head": Case(
        lambda: nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        "1",
        **MEAN,
    ),
    "1 x 1 convolution as head": Case(
        lambda: nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Conv2d(6, 4, 1), nn.Flatten()),
        "1",
        **MEAN,
    ),
    "wrapped": Case(lambda: Wrapped(small_cnn()), "qqq.5", **MEAN),
    "wrapped timm": Case(lambda: Wrapped(tiny_swin()), "qqq.norm", **MEAN),
    "dictionary of logits": Case(lambda: Returning(small_cnn(), lambda x: {"logits": x, "z": 0}), "inner.5", **MEAN),
    "weight norm on the head": Case(
        lambda: nn.Sequential(
            nn.Conv2d(3, 6, 3),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.utils.parametrizations.weight_norm(nn.Linear(6, 4)),
        ),
        "0",
        **MEAN,
    ),
    "one class": Case(lambda: small_cnn(n_classes=1), "5", **MEAN),
    "torchvision resnet18": Case(lambda: torchvision_network("resnet18"), "layer4", **MEAN),
    "torchvision densenet": Case(
        lambda: __import__("torchvision").models.DenseNet(8, (2, 2), 8, num_classes=5), "features", "relu, mean"
    ),
    "torchvision convnext": Case(lambda: torchvision_network("convnext_tiny"), "features", "mean, layer norm"),
    "timm resnet, mean and max": Case(
        lambda: timm_network("resnet10t", global_pool="catavgmax", num_classes=4),
        "forward_features",
        "mean + max",
        how="library",
    ),
    "timm swin": Case(tiny_swin, "forward_features", **MEAN, how="library"),
    "timm vit, class token": Case(tiny_vit, "forward_features", "class token, followed", **FOLLOWED),
    "timm vit, mean": Case(lambda: tiny_vit(global_pool="avg"), "forward_features", "mean, layer norm", how="library"),
    "timm vit, registers": Case(
        lambda: tiny_vit(reg_tokens=4, class_token=True, global_pool="avg", fc_norm=False),
        "forward_features",
        **MEAN,
        how="library",
    ),
    "timm convnext": Case(
        lambda: timm_network("convnext_atto", depths=(1, 1, 1, 1), dims=(8, 8, 16, 16), num_classes=5),
        "forward_features",
        "mean, layer norm",
        how="library",
    ),
    "hugging face resnet": Case(hf_resnet, "resnet", **MEAN),
    "hugging face vit": Case(hf_vit, "vit", "class token, followed", size=32, **FOLLOWED),
    "hugging face dinov2": Case(hf_dinov2, "dinov2", "class token + mean, followed", size=32, **FOLLOWED),
}


@pytest.fixture(scope="module", params=list(CASES))
def case(request: pytest.FixtureRequest) -> tuple[Case, nn.Module, SplitModel, torch.Tensor]:
    chosen = CASES[request.param]
    torch.manual_seed(0)
    network = randomise(chosen.build(), size=chosen.size if chosen.calibrate else None)
    images = torch.rand(3, 3, chosen.size, chosen.size, generator=torch.Generator().manual_seed(5))
    return chosen, network, split(network, preprocess=None, example=images), images


def relative(values: torch.Tensor, expected: torch.Tensor) -> float:
    return float(((values - expected).abs().max() / expected.abs().max()).detach())


def own_logits(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    result = network(images)
    return result if isinstance(result, torch.Tensor) else result["logits"]


def test_the_expected_reading_is_found(case: Any) -> None:
    expected, _, model, images = case
    found = (model.layer, model.pooling, model.how, model.spatially_additive, model.remainder_name)
    assert found == (expected.layer, expected.pooling, expected.how, expected.additive, expected.remainder)
    assert model.is_linear
    assert (model.note == "") == (model.held == "")
    output = model.forward(images)
    assert output.feature_map.shape == (3, model.n_channels, *model.grid)
    assert model.head.weight.shape == (model.n_classes, model.n_channels)


def test_cells_remainder_and_bias_are_the_logit(case: Any) -> None:
    _, _, model, images = case
    if not model.is_linear:
        with pytest.raises(NotLinearError, match="`heat_map` needs a head"):
            model.heat_map(images, 0)
        return
    weight, bias = model.head.weight[-1], model.head.bias[-1]
    sums = model.heat_map(images, model.n_classes - 1).sum((1, 2)) + model.remainder(images) @ weight + bias
    assert relative(sums, model.logits(images)[:, -1]) < 1e-4


def test_the_logits_are_the_networks_own_and_linear_in_the_pooled_vector(case: Any) -> None:
    _, network, model, images = case
    output = model.forward(images)
    own = own_logits(network, images)
    if model.how == "followed":  # attention is written out, which rounds otherwise than a fused kernel
        assert relative_error(output.logits.detach(), own.detach()) <= 1e-6
    else:
        assert torch.equal(output.logits, own)
    assert relative(output.pooled @ model.head.weight.T + model.head.bias, output.logits) <= 1e-5
    assert model.error <= 1e-5


def test_the_pooled_vector_is_the_weighted_mean_and_the_remainder(case: Any) -> None:
    _, _, model, images = case
    output = model.forward(images)
    means = output.feature_map.mean(dim=(2, 3))
    assert relative(model.spatial_weight * means + model.remainder(images), output.pooled) <= 1e-6
    if model.spatially_additive:
        assert torch.equal(model.spatial_weight, torch.ones(model.n_channels))
        assert relative(means, output.pooled) <= 1e-5


@pytest.mark.slow
def test_gradients_flow_to_the_images(case: Any) -> None:
    _, network, model, images = case
    images = images.clone().requires_grad_()
    output = model.forward(images)
    (gradient,) = torch.autograd.grad(output.feature_map.square().sum() + output.logits.square().sum(), images)
    assert float(gradient.abs().max()) > 0
    (own,) = torch.autograd.grad(own_logits(network, images)[:, 0].sum(), images)
    (ours,) = torch.autograd.grad(model.logits(images)[:, 0].sum(), images)
    assert relative(ours, own) <= 1e-5


def test_replaying_the_map_gives_the_logits(case: Any) -> None:
    _, _, model, images = case
    output = model.forward(images)
    given = None if model.spatially_additive else images
    assert relative(model.replay(output.feature_map, given), output.logits) <= 1e-5


def test_by_hand() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2)).eval()
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([2.0, -1.0]).view(2, 1, 1, 1))
        network[0].bias.copy_(torch.tensor([0.0, 1.0]))
        network[3].weight.copy_(torch.tensor([[1.0, 3.0], [0.0, 1.0]]))
        network[3].bias.copy_(torch.tensor([0.5, 0.0]))
    model = split(network)
    image = torch.tensor([[[[0.0, 1.0], [1.0, 0.0]]]])
    output = model.forward(image)
    assert output.feature_map.tolist() == [[[[0.0, 2.0], [2.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]]]
    assert output.pooled.tolist() == [[1.0, 0.5]]
    assert output.logits.tolist() == [[3.0, 0.5]]  # 1 + 3 * 0.5 + 0.5; 0.5
    assert model.head.bias.tolist() == [0.5, 0.0]


def test_maximum_map_is_zero_but_at_the_largest_cell() -> None:
    network = randomise(Functional(lambda x: x.amax([2, 3])))
    images = torch.rand(2, 3, 32, 32)
    model = split(network)
    output, plain = model.forward(images), network.a_0(images)
    n_cells = plain[0, 0].numel()
    assert torch.equal((output.feature_map != 0).sum(dim=(2, 3)), torch.ones(2, 12, dtype=torch.long))
    assert torch.allclose(output.feature_map.amax((2, 3)).clamp_min(0), plain.amax((2, 3)).clamp_min(0) * n_cells)


@pytest.mark.slow
def test_a_class_token_beside_the_mean_leaves_the_mean_as_it_is() -> None:
    model = split(randomise(hf_dinov2()))
    assert torch.equal(model.spatial_weight, torch.ones(32))
    images = torch.rand(2, 3, 32, 32)
    remainder = model.remainder(images).detach()
    assert torch.allclose(remainder[:, 16:], torch.zeros(2, 16), atol=1e-5)
    assert float(remainder[:, :16].abs().max()) > 0.1


def test_a_class_token_that_cannot_be_followed_has_patches_without_weight() -> None:
    token = randomise(Tokens(lambda t: t[:, 0], prefix=1))
    token.mix = nn.Sequential(Meeting(), Sine()).eval()
    model = split(token, example=torch.rand(1, 3, 64, 64))
    assert (model.pooling, model.how, model.held) == ("class token", "traced", "")
    assert torch.equal(model.spatial_weight, torch.zeros(6))
    assert "is not followed: tokens meet in the operation `mean`" in model.note


def test_a_class_token_that_is_not_followed_is_located_by_the_frozen_run_from_patches_without_it() -> None:
    token = randomise(Tokens(lambda t: t[:, 0], prefix=1))
    token.mix = Meeting().eval()
    model = split(token, example=torch.rand(1, 3, 64, 64))
    assert (model.layer, model.how, model.grid) == ("embed", "frozen", (4, 4))
    assert model.error <= 1e-5


@pytest.mark.slow
def test_what_has_no_frozen_form_is_replayed_and_says_so() -> None:
    features = nn.Sequential(nn.Conv2d(3, 8, 3, stride=4), nn.ReLU())
    network = randomise(nn.Sequential(features, Sine(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), Sine(), nn.Linear(8, 3)))
    model = split(network, layer="0")
    images = torch.rand(2, 3, 224, 224)
    output = model.forward(images)
    assert (model.how, model.pooling, model.is_linear, model.spatially_additive) == ("replay", "replay", False, False)
    assert "no contributions" in model.note
    assert "`sin` has no frozen form" in model.note
    assert torch.equal(output.logits, network(images))
    assert relative(model.replay(output.feature_map), output.logits) <= 1e-6
    other = output.feature_map + torch.randn(output.feature_map.shape)
    assert relative(model.replay(other), network[1:](other)) <= 1e-6
    with pytest.raises(NotLinearError, match=r"EPIC needs a head that is linear.*layer="):
        model.require_linear("EPIC")
    with pytest.raises(NotLinearError, match="head"):
        _ = model.head


class Meeting(nn.Module):
    """Tokens that meet in a mean, not in an attention."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + x.mean(1, keepdim=True)


class Sine(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sin()


@pytest.mark.parametrize("tail", [nn.Softmax(dim=1), nn.LogSoftmax(dim=1), nn.Sigmoid()])
def test_logits_before_a_softmax_are_explained_with_a_warning(tail: nn.Module) -> None:
    network = randomise(small_cnn(tail=tail))
    with pytest.warns(UserWarning, match="likethat explains the logits of `9`"):
        model = split(network)
    images = torch.rand(2, 3, 64, 64)
    assert torch.allclose(tail(model.logits(images)), network(images), atol=1e-6)
    assert relative(model.pooled(images) @ model.head.weight.T + model.head.bias, model.logits(images)) <= 1e-5


@pytest.mark.slow
def test_grey_images_of_28_pixels() -> None:
    network = randomise(nn.Sequential(nn.Conv2d(1, 4, 5), nn.ReLU(), nn.AvgPool2d(24), nn.Flatten(), nn.Linear(4, 10)))
    model = split(network)
    assert (model.in_channels, model.grid, model.n_classes) == (1, (24, 24), 10)
    assert model.preprocess.view(torch.rand(3, 28, 28)).shape == (1, 28, 28)


def test_images_that_are_not_square() -> None:
    network = randomise(Tokens(lambda t: t[:, 1:].mean(1), prefix=1, patch=8))
    images = torch.rand(2, 3, 32, 64)
    model = split(network, example=images)
    assert model.grid == (4, 8)
    assert relative(model.features(images).mean((2, 3)), model.pooled(images)) <= 1e-5


@pytest.mark.slow
def test_the_named_layer_is_used() -> None:
    network = randomise(small_cnn())
    earlier = split(network, layer="2")
    assert (earlier.layer, earlier.how) == ("2", "frozen")
    assert split(network, layer="4").pooling == "relu, mean"


def test_preprocessing_is_part_of_the_model() -> None:
    network = randomise(small_cnn())
    preprocess = Preprocess(size=48, mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2))
    model = split(network, preprocess)
    views = torch.rand(2, 3, 48, 48)
    assert torch.equal(model.logits(views), network(preprocess.normalise(views)))
    images = torch.rand(2, 3, 70, 90)
    assert torch.equal(model.logits(images), model.logits(model.preprocess.view(images)))


@pytest.mark.slow
def test_class_names() -> None:
    assert split(randomise(small_cnn())).class_names == ("class 0", "class 1", "class 2", "class 3", "class 4")
    assert split(randomise(small_cnn()), class_names=list("abcde")).class_names == tuple("abcde")
    network = hf_vit()
    network.config.id2label = {0: "cat", 1: "dog", 2: "owl", 3: "eel"}
    assert split(randomise(network)).class_names == ("cat", "dog", "owl", "eel")


@pytest.mark.slow
def test_wrappers_are_opened() -> None:
    network = randomise(small_cnn())
    images = torch.rand(1, 3, 64, 64)
    for wrapped in (nn.DataParallel(network), torch.compile(network, backend="eager")):
        model = split(wrapped)
        assert model.network is network
        assert torch.equal(model.logits(images), network(images))


def test_shared_modules_are_told_apart_by_call() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.act, self.block = nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2)
            self.fc = nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.act(self.block(self.act(self.stem(x))))
            return self.fc(x.mean((2, 3)) + 0 * self.fc(x.amax((2, 3))))

    network = randomise(Shared())
    images = torch.rand(2, 3, 64, 64)
    model = split(network)
    output = model.forward(images)
    assert (model.layer, model.pooling) == ("act", "mean")
    assert torch.equal(output.feature_map, network.act(network.block(network.act(network.stem(images)))))
    assert torch.equal(output.logits, network(images))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_precisions(dtype: torch.dtype) -> None:
    network = randomise(small_cnn()).to(dtype)
    images = torch.rand(2, 3, 64, 64)
    model = split(network)
    output = model.forward(images)
    assert model.dtype == dtype
    assert {output.feature_map.dtype, output.pooled.dtype, output.logits.dtype} == {torch.float32}
    assert torch.equal(output.logits, network(images.to(dtype)).float())
    assert model.error <= {torch.bfloat16: 1e-2, torch.float16: 2e-3, torch.float64: 1e-5}[dtype]


def test_channels_last() -> None:
    network = randomise(small_cnn()).to(memory_format=torch.channels_last)
    images = torch.rand(2, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    assert torch.equal(split(network).logits(images), network(images))


def test_works_inside_inference_mode_and_autocast() -> None:
    network = randomise(Functional(lambda x: x.relu_().mean([2, 3])))
    images = torch.rand(2, 3, 64, 64)
    expected = split(network).features(images)
    with torch.inference_mode():
        assert torch.equal(split(network).features(images), expected)
        model = split(network)
        assert torch.equal(model.features(images), expected)
    assert torch.equal(model.features(images), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model = split(network)
    assert torch.equal(model.features(images), expected)


def test_the_map_is_copied_only_where_it_is_overwritten() -> None:
    images = torch.rand(2, 3, 64, 64)
    for pool, copied in ((lambda x: x.mean([2, 3]), False), (lambda x: x.mul_(2).relu_().div_(2).mean([2, 3]), True)):
        network = randomise(Functional(pool))
        model = split(network)
        seen: list[torch.Tensor] = []
        handle = network.a_0.register_forward_hook(lambda *args, seen=seen: seen.append(args[2]))
        for _ in range(2):
            with torch.inference_mode():
                model.features(images)
        raw = model._reader.read(images).feature_map
        handle.remove()
        assert (raw.data_ptr() != seen[-1].data_ptr()) is (copied or model.pooling != "mean")


def test_printable() -> None:
    model = split(randomise(small_cnn()))
    assert "5 classes" in repr(model)
    assert model.row()["pooling"] == "mean"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_on_a_gpu(dtype: torch.dtype) -> None:
    network = randomise(torchvision_network("resnet18"), size=64).to("cuda", dtype)
    model = split(network)
    images = torch.rand(2, 3, 224, 224)
    output = model.forward(images)
    assert output.logits.device.type == model.head.weight.device.type == "cuda"
    assert relative(output.logits, network(images.to("cuda", dtype)).float()) <= 1e-5
    assert model.error <= 1e-2


@pytest.mark.slow
@pytest.mark.parametrize("tail", [lambda x: x.tanh().amax([2, 3]), lambda x: x.relu().mean([2, 3])])
def test_a_split_costs_at_most_25_passes_of_three_images(tail: Any) -> None:
    network = randomise(Functional(tail, between=nn.Sequential(nn.Linear(12, 12), nn.Hardswish(), nn.Linear(12, 12))))
    images = 0

    def count(_: nn.Module, args: Any) -> None:
        nonlocal images
        images += len(args[0])

    network.register_forward_pre_hook(count)
    assert split(network, example=torch.rand(1, 3, 64, 64)).how == "frozen"
    assert images <= 75


@pytest.mark.slow
def test_many_maps_of_one_cell_do_not_use_up_the_readings() -> None:
    one_cell = [layer for _ in range(6) for layer in (nn.Identity(), nn.Dropout(0.1))]  # every reading holds on each
    layers = [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), *one_cell, nn.Flatten(), nn.Linear(8, 4)]
    model = split(randomise(nn.Sequential(*layers)), example=torch.rand(1, 3, 16, 16))
    assert (model.layer, model.pooling, model.grid) == ("1", "mean", (14, 14))


class _Latents(nn.Module):
    """Sixteen latents ask all patches; their mean enters the head."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.latents = nn.Conv2d(3, 8, 4, stride=4), nn.Parameter(torch.randn(16, 8))
        self.asked, self.head = nn.Identity(), nn.Linear(8, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        patches = self.patches(images).flatten(2).transpose(1, 2)
        weights = (self.latents @ patches.transpose(1, 2)).softmax(-1)
        logits: torch.Tensor = self.head(self.asked(weights @ patches).mean(1))
        return logits


def test_latents_are_no_map_of_the_image() -> None:
    torch.manual_seed(0)
    images = torch.rand(2, 3, 16, 16)
    model = split(_Latents().eval(), example=images)
    assert (model.layer, model.how, model.grid) == ("patches", "frozen", (4, 4))
    assert model.error <= 1e-5

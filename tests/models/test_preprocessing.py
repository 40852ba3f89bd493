"""Our preprocessing is the library's own, to a stated tolerance, and differentiable."""

from typing import Any

import numpy as np
import pytest
import torch
from model_networks import hf_vit, small_cnn, timm_network, tiny_vit
from torch import nn

from likethat.errors import InputError
from likethat.models import Preprocess
from likethat.models._builders import as_preprocess

EXACT = 1e-5  # both interpolate the same float tensor
EIGHT_BIT = 0.02  # a processor that resizes 8-bit pixels rounds each to 1/255, over a std of 0.2 to 0.5
SHAPES = [(240, 300), (301, 223), (100, 90), (32, 32)]


def photo(height: int, width: int, channels: int = 3) -> torch.Tensor:
    rng = torch.Generator().manual_seed(height)
    coarse = torch.rand(1, channels, 9, 9, generator=rng)
    return nn.functional.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 1)[0]


def ours(preprocess: Preprocess, image: torch.Tensor) -> torch.Tensor:
    return preprocess.normalise(preprocess.view(image)[None])[0]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["ResNet18_Weights", "ConvNeXt_Tiny_Weights", "Swin_T_Weights", "ViT_B_16_Weights"])
def test_torchvision_presets(name: str, shape: tuple[int, int]) -> None:
    import torchvision

    transforms = torchvision.models.get_weight(f"{name}.IMAGENET1K_V1").transforms()
    image = photo(*shape)
    preprocess = as_preprocess(transforms)
    assert preprocess.input_size == (224, 224)
    difference = (ours(preprocess, image) - transforms(image)).abs()
    if preprocess.interpolation == "bicubic":  # we clamp the overshoot, torchvision's float path does not
        assert float(difference.mean()) <= 1e-3
    else:
        assert float(difference.max()) <= EXACT


def compositions() -> dict[str, Any]:
    from torchvision.transforms import v2

    normalise = v2.Normalize((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    to_float = v2.ToDtype(torch.float32, scale=True)
    return {
        "shorter side, crop": v2.Compose([v2.Resize(80), v2.CenterCrop(64), normalise]),
        "exact": v2.Compose([v2.Resize((48, 64)), to_float, normalise]),
        "exact, crop": v2.Compose([v2.Resize([80, 90]), v2.CenterCrop((64, 48))]),
        "nearest": v2.Compose([v2.Resize((48, 64), interpolation=v2.InterpolationMode.NEAREST)]),
        "crop larger than the image": v2.Compose([v2.Resize(40), v2.CenterCrop(64)]),
        "nested": v2.Compose([v2.Compose([v2.Resize(80), v2.CenterCrop(64)]), normalise]),
        "sequential": nn.Sequential(v2.Resize(80), v2.CenterCrop(64), normalise),
        "grey": v2.Compose([v2.Grayscale(), v2.Resize((28, 28)), v2.Normalize([0.1307], [0.3081])]),
        "normalisation alone": normalise,
    }


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "name",
    [
        "shorter side, crop",
        "exact",
        "exact, crop",
        "nearest",
        "crop larger than the image",
        "nested",
        "sequential",
        "grey",
        "normalisation alone",
    ],
)
def test_torchvision_compositions(name: str, shape: tuple[int, int]) -> None:
    transforms = compositions()[name]
    image = photo(*shape)
    assert float((ours(as_preprocess(transforms), image) - transforms(image)).abs().max()) <= EXACT


@pytest.mark.parametrize("steps", ["RandomCrop", "CenterCrop", "Grayscale", "max_size", "twice"])
def test_compositions_that_cannot_be_read(steps: str) -> None:
    from torchvision.transforms import v2

    unreadable = {
        "RandomCrop": [v2.Resize(80), v2.RandomCrop(64)],
        "CenterCrop": [v2.CenterCrop(64)],
        "Grayscale": [v2.Grayscale(3)],
        "max_size": [v2.Resize(80, max_size=90)],
        "twice": [v2.Resize(80), v2.CenterCrop(64), v2.Resize(32)],
    }[steps]
    with pytest.raises(InputError, match=r"`preprocess` must .*Pass a likethat\.Preprocess"):
        as_preprocess(v2.Compose(unreadable))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
@pytest.mark.parametrize("input_size", [(3, 64, 64), (3, 64, 96)])
def test_timm_configurations(input_size: Any, crop_mode: str, shape: tuple[int, int]) -> None:
    from timm.data import create_transform

    settings = {
        "input_size": input_size,
        "interpolation": "bilinear",
        "mean": (0.5, 0.4, 0.3),
        "std": (0.2, 0.3, 0.4),
        "crop_pct": 0.9,
        "crop_mode": crop_mode,
    }
    image = photo(*shape)
    from torchvision.transforms.functional import to_pil_image

    transforms = create_transform(**settings)
    expected = transforms(to_pil_image((image * 255).round().byte()))
    got = ours(as_preprocess(settings), image)
    assert got.shape == expected.shape
    assert float((got - expected).abs().mean()) <= EIGHT_BIT
    assert float((ours(as_preprocess(transforms), image) - got).abs().mean()) <= EIGHT_BIT


def test_timm_networks() -> None:
    from timm.data import create_transform, resolve_model_data_config

    network = timm_network("convnext_atto", depths=(1, 1, 1, 1), dims=(8, 8, 8, 8))
    settings = resolve_model_data_config(network)
    auto = as_preprocess("auto", network)
    assert (auto.input_size, auto.resize, auto.interpolation) == ((224, 224), 256, "bicubic")
    image = photo(240, 300)
    assert torch.equal(ours(auto, image), ours(as_preprocess(settings), image))
    assert torch.equal(ours(auto, image), ours(as_preprocess(create_transform(**settings)), image))
    assert as_preprocess("auto", tiny_vit()).input_size == (64, 64)
    grey = as_preprocess("auto", timm_network("resnet10t", in_chans=1))
    assert grey.channels == 1
    assert ours(grey, image).shape[0] == 1


def processors() -> dict[str, Any]:
    import transformers as hf

    return {
        "vit": hf.ViTImageProcessor(size={"height": 64, "width": 48}),
        "convnext": hf.ConvNextImageProcessor(size={"shortest_edge": 64}, crop_pct=0.875),
        "convnext, large": hf.ConvNextImageProcessor(size={"shortest_edge": 384}),
        "clip": hf.CLIPImageProcessor(size={"shortest_edge": 80}, crop_size={"height": 64, "width": 64}),
        "dinov2": hf.BitImageProcessor(size={"shortest_edge": 80}, crop_size={"height": 64, "width": 64}),
        "efficientnet": hf.EfficientNetImageProcessor(size={"height": 64, "width": 64}),
        "efficientnet, offset": hf.EfficientNetImageProcessor(
            size={"height": 64, "width": 64}, rescale_offset=True, rescale_factor=1 / 127.5, include_top=False
        ),
        "not normalised": hf.ViTImageProcessor(size={"height": 64, "width": 64}, do_normalize=False),
        "0 to 255": hf.ViTImageProcessor(size={"height": 64, "width": 64}, do_normalize=False, do_rescale=False),
        "blue first": hf.MobileViTImageProcessor(
            size={"shortest_edge": 72}, crop_size={"height": 64, "width": 64}, resample=2
        ),
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "vit",
        "convnext",
        "convnext, large",
        "clip",
        "dinov2",
        "efficientnet",
        "efficientnet, offset",
        "not normalised",
        "0 to 255",
        "blue first",
    ],
)
@pytest.mark.parametrize("shape", SHAPES[:3])
def test_hugging_face_processors(name: str, shape: tuple[int, int]) -> None:
    processor = processors()[name]
    image = (photo(*shape) * 255).round() / 255
    pixels = np.ascontiguousarray((image * 255).round().byte().permute(1, 2, 0).numpy())
    expected = torch.as_tensor(np.asarray(processor(images=pixels, return_tensors="np")["pixel_values"]))[0].float()
    got = ours(as_preprocess(processor), image)
    assert got.shape == expected.shape
    assert float((got - expected).abs().mean()) <= EIGHT_BIT * max(1.0, float(expected.std()))
    settings = as_preprocess(processor.to_dict())
    assert settings.input_size == as_preprocess(processor).input_size


@pytest.mark.slow
def test_a_processor_that_does_more_than_it_says_is_refused() -> None:
    import transformers as hf

    class Inverting(hf.ViTImageProcessor):
        def normalize(self, *args: Any, **kwargs: Any) -> Any:
            return -super().normalize(*args, **kwargs)

    with pytest.raises(InputError, match="does more than its settings say"):
        as_preprocess(Inverting())


def test_auto_without_a_configuration() -> None:
    with pytest.raises(InputError, match="'auto' must find a configuration, and Sequential carries none"):
        as_preprocess("auto", small_cnn())
    network = hf_vit()
    network.config.name_or_path = "no/such/folder"
    with pytest.raises(InputError, match="image processor"):
        as_preprocess("auto", network)


def test_views_are_returned_as_they_are() -> None:
    image = photo(32, 32)
    assert Preprocess(size=32).view(image) is not None
    assert torch.equal(Preprocess(size=32).view(image), image)
    assert torch.equal(Preprocess().view(photo(31, 17)), photo(31, 17))
    assert Preprocess().input_size is None


def test_batches_and_single_images_agree() -> None:
    preprocess = Preprocess(size=(20, 30), resize=25, interpolation="bicubic")
    images = torch.stack([photo(40, 50), 1 - photo(40, 50)])
    views = preprocess.view(images)
    assert views.shape == (2, 3, 20, 30)
    assert torch.allclose(views[1], preprocess.view(images[1]), atol=1e-6)
    assert 0 <= float(views.min()) <= float(views.max()) <= 1


def test_bicubic_overshoot_is_clamped() -> None:
    steps = torch.zeros(3, 8, 8)
    steps[:, :, 4:] = 1.0
    view = Preprocess(size=19, interpolation="bicubic").view(steps)
    assert float(view.min()) == 0.0
    assert float(view.max()) == 1.0


def test_channels_are_converted() -> None:
    grey, colour = photo(8, 8, 1), photo(8, 8)
    assert torch.equal(Preprocess(channels=3).view(grey), grey.expand(3, 8, 8))
    luma = 0.2989 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
    assert torch.allclose(Preprocess(channels=1).view(colour)[0], luma)
    assert torch.equal(Preprocess(channels=3).view(torch.cat([colour, torch.ones_like(grey)])), colour)  # opaque
    with pytest.raises(InputError, match=r"got 4, whose last is transparency or another band.*background='white'"):
        Preprocess(channels=3).view(torch.cat([colour, grey]))
    with pytest.raises(InputError, match="must have 3 channels as the network takes, got 5"):
        Preprocess(channels=3).view(torch.rand(5, 8, 8))


def test_gradients_flow_through_view_and_normalisation() -> None:
    preprocess = Preprocess(size=16, resize=20, mean=(0.5,), std=(0.2,))
    image = photo(40, 50).requires_grad_()
    (gradient,) = torch.autograd.grad(preprocess.normalise(preprocess.view(image)[None]).sum(), image)
    assert float(gradient.abs().max()) > 0


def test_functions_take_the_place_of_normalisation() -> None:
    views = torch.rand(2, 3, 4, 4)
    assert torch.equal(as_preprocess(lambda x: 2 * x - 1).normalise(views), 2 * views - 1)
    known = Preprocess(size=4)
    assert as_preprocess(known) is known
    assert as_preprocess({"size": [4, 5]}).input_size == (4, 5)
    assert torch.equal(as_preprocess(None).normalise(views), views)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0}, "`size` must be a whole number"),
        ({"size": (1, 2, 3)}, "`size` must be one number"),
        ({"size": "large"}, "`size` must be one number"),
        ({"mean": (float("nan"),)}, "`mean` must hold one finite number"),
        ({"std": (0.0,)}, "`std` must be above 0"),
        ({"interpolation": "lanczos"}, "`interpolation` must be one of"),
        ({"crop": "random"}, "`crop` must be one of"),
        ({"channels": 0}, "`channels` must be"),
        ({"channels": 1, "mean": (0.1, 0.2, 0.3)}, "`mean` must have 1 or 1 numbers"),
        ({"transform": 3}, "`transform` must be a function"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Preprocess(**arguments)


@pytest.mark.parametrize("image", [torch.zeros(4, 4), torch.zeros(3, 4, 4, dtype=torch.uint8), np.zeros((3, 4, 4))])
def test_bad_images(image: Any) -> None:
    with pytest.raises(InputError, match="`image` must be a floating tensor"):
        Preprocess(size=4).view(image)


@pytest.mark.parametrize("given", [224, (224, 224), "224"])
def test_a_size_in_timms_word_must_be_timms(given: Any) -> None:
    with pytest.raises(InputError, match=r"must hold timm's `input_size`, \(channels, height, width\).*it is `size`"):
        as_preprocess({"input_size": given})

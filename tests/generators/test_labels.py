"""Class-conditional pipelines, built small with random weights, whose mixtures of classes are the latents."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_pipelines import dit, labelled_unet, stable_diffusion, unconditional
from torch import Tensor, nn

from likethat.errors import InputError, NonFiniteError
from likethat.generators import LatentGenerator, load_generator
from likethat.generators.pipelines.labels import LabelGenerator

pytest.importorskip("diffusers")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


def drawn(generator: LabelGenerator, n: int, seed: int = 0) -> Tensor:
    return generator.prior.sample(n, rng=torch.Generator().manual_seed(seed))


def one_class(generator: LabelGenerator, label: int) -> Tensor:
    return 100 * nn.functional.one_hot(torch.tensor([label]), generator.prior.dim).float()


CASES = [(dit, {"guidance": 1.0}), (dit, {"guidance": 4.0}), (labelled_unet, {}), (labelled_unet, {"null_label": 3})]


@pytest.mark.parametrize(("build", "options"), CASES)
def test_mixtures_of_classes_are_drawn(build: Any, options: dict[str, Any]) -> None:
    generator = LabelGenerator(build(), n_steps=2, **options)
    assert isinstance(generator, LatentGenerator)
    assert generator.takes_seeds
    latents = drawn(generator, 2).requires_grad_()
    images = generator(latents, seeds=[1, 2])
    assert images.shape == (2, *generator.shape)
    assert float(images.min()) >= 0
    assert float(images.max()) <= 1
    assert torch.equal(generator(latents[1:], seeds=[2]), images[1:])
    assert not torch.equal(generator(latents[1:], seeds=[3]), images[1:])
    assert torch.equal(generator(latents[:1]), generator(latents[:1], seeds=[0]))
    images.square().sum().backward()
    assert torch.isfinite(latents.grad).all()
    assert float(latents.grad.abs().sum()) > 0


@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_one_class_is_drawn_as_the_pipeline_does(guidance: float) -> None:
    generator = LabelGenerator(dit(), n_steps=3, guidance=guidance)
    assert generator.prior.dim == 1000
    rng = torch.Generator().manual_seed(5)
    official = dit()([7], guidance_scale=guidance, num_inference_steps=3, generator=rng, output_type="pt").images
    if not isinstance(official, torch.Tensor):  # as this pipeline answered in older releases, channels last
        official = torch.as_tensor(official).movedim(-1, 1)
    assert torch.allclose(generator(one_class(generator, 7), seeds=[5]), official, atol=1e-5)
    assert not torch.allclose(generator(one_class(generator, 8), seeds=[5]), official, atol=1e-5)


def test_a_mixture_is_the_weighted_mean_of_the_rows() -> None:
    pipe = labelled_unet.__wrapped__()
    generator = LabelGenerator(pipe, n_steps=2)
    latent = torch.tensor([[0.3, -0.2, 0.1, 0.0]])
    sharpness = 2 * math.sqrt(2 * math.log(4))
    scores = [math.exp(sharpness * number) for number in latent[0].tolist()]
    table = pipe.unet.class_embedding.weight.data
    mean = sum(score / sum(scores) * row for score, row in zip(scores, table, strict=True))
    image = generator(latent)
    table[2] = mean  # now class 2 is that mixture
    assert torch.allclose(generator(one_class(generator, 2)), image, atol=1e-5)


@pytest.mark.parametrize(("build", "options"), [(dit, {"guidance": 2.0}), (labelled_unet, {})])
def test_gradients_are_those_of_central_differences(build: Any, options: dict[str, Any]) -> None:
    pipe = build.__wrapped__().to(torch.float64)
    generator = LabelGenerator(pipe, n_steps=2, **options)
    rng = torch.Generator().manual_seed(0)
    latents = 0.1 * drawn(generator, 1).double()

    def response(point: Tensor) -> Tensor:
        return generator._decode(generator._sample(point[0], seed=3)).square().sum()

    wanted = latents.clone().requires_grad_()
    response(wanted).backward()
    for _ in range(3):
        way = nn.functional.normalize(wanted.grad, dim=1) + 0.02 * torch.randn(latents.shape, generator=rng).double()
        ahead, behind = (response(latents + side * way) for side in (1e-4, -1e-4))
        assert float((ahead - behind) / 2e-4) == pytest.approx(float((wanted.grad * way).sum()), rel=1e-4)


def test_the_network_comes_back_as_it_was() -> None:
    pipe = dit.__wrapped__()
    before = {key: value.clone() for key, value in pipe.transformer.state_dict().items()}
    generator = LabelGenerator(pipe, n_steps=2, guidance=2.0)
    latents = drawn(generator, 1).requires_grad_()
    generator(latents).sum().backward()
    assert all(torch.equal(value, before[key]) for key, value in pipe.transformer.state_dict().items())
    assert not any(part._forward_hooks for part in pipe.transformer.modules())
    assert not any(weight.requires_grad or weight.grad is not None for weight in pipe.transformer.parameters())
    pipe.transformer.proj_out_2.bias.data.fill_(float("nan"))
    with pytest.raises(NonFiniteError, match=r"the image that DiTPipeline made must be finite"):
        generator(latents)
    assert not any(part._forward_hooks for part in pipe.transformer.modules())


@pytest.mark.parametrize("build", [dit, labelled_unet])
def test_checkpointing_changes_memory_alone(build: Any) -> None:
    plain = LabelGenerator(build(), n_steps=2)
    saving = LabelGenerator(build.__wrapped__(), n_steps=2, checkpointing=True)
    one, other = drawn(plain, 1).requires_grad_(), drawn(plain, 1).requires_grad_()
    images = plain(one), saving(other)
    assert torch.equal(*images)
    images[0].square().sum().backward()
    images[1].square().sum().backward()
    assert torch.allclose(one.grad, other.grad, atol=1e-6)


def test_half_precision() -> None:
    generator = LabelGenerator(dit.__wrapped__().to(torch.bfloat16), n_steps=2, guidance=2.0)
    latents = drawn(generator, 1).requires_grad_()
    images = generator(latents)
    assert images.dtype == torch.float32
    images.sum().backward()
    assert latents.grad.dtype == torch.float32


def test_a_pipeline_in_a_folder(tmp_path: Path) -> None:
    dit().save_pretrained(tmp_path / "dit")
    generator = load_generator(f"diffusers:{tmp_path / 'dit'}", by="label", n_steps=2)
    assert isinstance(generator, LabelGenerator)
    latents = drawn(generator, 1)
    assert torch.allclose(generator(latents), load_generator(dit(), by="label", n_steps=2)(latents), atol=1e-4)


def test_wrong_calls() -> None:
    with pytest.raises(InputError, match=r"StableDiffusionPipeline must have a transformer or U-Net of class labels"):
        load_generator(stable_diffusion(), by="label")
    with pytest.raises(InputError, match="must have a table of label embeddings, found none"):
        load_generator(unconditional(), by="label")
    with pytest.raises(InputError, match="`guidance` of 2 needs a label for no class"):
        LabelGenerator(labelled_unet(), guidance=2)
    with pytest.raises(InputError, match=r"`null_label` must be a row .* 0 to 3, got 4"):
        LabelGenerator(labelled_unet(), null_label=4)
    with pytest.raises(InputError, match="`tiling` must be False for DDPMPipeline"):
        LabelGenerator(labelled_unet(), tiling=True)
    offloaded = labelled_unet.__wrapped__()
    offloaded._all_hooks = ["moves weights"]
    with pytest.raises(InputError, match="Load it without offloading"):
        LabelGenerator(offloaded)
    generator = LabelGenerator(labelled_unet(), n_steps=1)
    with pytest.raises(InputError, match=r"\(n, latent\) = \(n, 4\), got shape \(1, 5\)"):
        generator(torch.zeros(1, 5))
    with pytest.raises(InputError, match="`seeds` must be one whole number a latent"):
        generator(torch.zeros(1, 4), seeds=[1, 2])
    assert generator(torch.zeros(0, 4)).shape == (0, 1, 8, 8)

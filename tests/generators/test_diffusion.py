"""Diffusers pipelines, built small with random weights, as generators and denoisers."""

from pathlib import Path

import pytest
import torch
from tiny_pipelines import stable_diffusion, unconditional
from torch import Tensor

from likethat.errors import InputError, ModelError
from likethat.generators import Denoiser, LatentGenerator, load_generator
from likethat.generators.pipelines.diffusion import UnconditionalPipeline

pytest.importorskip("diffusers")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.mark.parametrize("predicts", ["epsilon", "v_prediction", "sample"])
def test_an_unconditional_pipeline_is_both(predicts: str) -> None:
    generator = load_generator(unconditional(predicts), n_steps=3)
    assert isinstance(generator, LatentGenerator)
    assert isinstance(generator, Denoiser)
    assert generator.shape == (1, 8, 8)
    latents = generator.prior.sample(2, rng=torch.Generator().manual_seed(0)).requires_grad_()
    images = generator(latents)
    assert images.shape == (2, 1, 8, 8)
    assert float(images.min()) >= 0
    assert float(images.max()) <= 1
    images.sum().backward()
    assert torch.isfinite(latents.grad).all()
    assert generator.denoise(images.detach(), torch.tensor([0.1, 2.0])).shape == images.shape


class _Answer(torch.nn.Module):
    """A U-Net that knows the one image there is, in the words of each prediction type."""

    def __init__(self, image: Tensor, alphas: Tensor, predicts: str) -> None:
        super().__init__()
        self.clean, self.alphas, self.predicts = 2 * image - 1, alphas, predicts
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.config = unconditional(predicts).unet.config

    def forward(self, y: Tensor, step: Tensor):
        alpha = self.alphas[step][:, None, None, None].to(y)
        noise = (y - alpha.sqrt() * self.clean) / (1 - alpha).sqrt()
        velocity = alpha.sqrt() * noise - (1 - alpha).sqrt() * self.clean
        answers = {"epsilon": noise, "v_prediction": velocity, "sample": self.clean.expand_as(y)}
        return type("Output", (), {"sample": answers[self.predicts]})()


@pytest.mark.parametrize("predicts", ["epsilon", "v_prediction", "sample"])
def test_denoising_is_exact_where_the_network_is(predicts: str) -> None:
    image = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(1))
    original = unconditional(predicts)
    alphas = original.scheduler.alphas_cumprod
    pipe = type("Pipe", (), {"unet": _Answer(image, alphas, predicts), "scheduler": original.scheduler})()
    generator = UnconditionalPipeline(pipe, n_steps=4)
    level = ((1 - alphas[[5, 50]]) / alphas[[5, 50]]).sqrt() / 2  # two levels of the table, on the scale of [0, 1]
    x = image + level[:, None, None, None] * torch.randn(2, 1, 8, 8)
    assert torch.allclose(generator.denoise(x, level), image.expand(2, 1, 8, 8), atol=1e-4)
    assert torch.allclose(generator(torch.randn(2, 64)), image.expand(2, 1, 8, 8), atol=1e-4)


def test_text_to_image_by_its_start_noise() -> None:
    generator = load_generator(stable_diffusion(), prompt="ab", n_steps=2, size=(16, 16), guidance=1.0)
    assert generator.prior.dim == 4 * 8 * 8
    latents = generator.prior.sample(2, rng=torch.Generator().manual_seed(0))
    images = generator(latents)
    assert images.shape == (2, 3, 16, 16)
    assert torch.equal(generator(latents[1:]), images[1:])
    wanted = latents[:1].clone().requires_grad_()
    generator(wanted).sum().backward()
    assert float(wanted.grad.abs().sum()) > 0


def test_a_folder_is_loaded_and_a_pickle_is_not(tmp_path: Path) -> None:
    unconditional().save_pretrained(tmp_path / "ddpm")
    generator = load_generator(f"diffusers:{tmp_path / 'ddpm'}", n_steps=2)
    latents = generator.prior.sample(1, rng=torch.Generator().manual_seed(0))
    assert torch.allclose(generator(latents), load_generator(unconditional(), n_steps=2)(latents), atol=1e-4)
    for file in (tmp_path / "ddpm" / "unet").glob("*.safetensors"):
        file.rename(file.with_name("diffusion_pytorch_model.bin"))
    with pytest.raises(ModelError, match="could not be loaded"):
        load_generator(f"diffusers:{tmp_path / 'ddpm'}")
    with pytest.raises(ModelError, match=r"the pipeline .* could not be loaded"):
        load_generator(f"diffusers:{tmp_path}")


def test_schedulers_without_noise_levels_are_refused() -> None:
    pipe = type("Pipe", (), {"unet": unconditional().unet, "scheduler": object()})()
    with pytest.raises(InputError, match="must have alphas_cumprod"):
        UnconditionalPipeline(pipe)


def test_wrong_options_are_said_by_the_pipeline() -> None:
    with pytest.raises(InputError, match="does not run with"):
        load_generator(stable_diffusion(), prompt="ab", size=(15, 16))

"""FreeMCG through real diffusers pipelines, small and with random weights, and through a denoiser of one's own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import likethat as lt
from likethat import papers
from likethat.errors import InputError
from likethat.explanations.counterfactual import Counterfactual
from likethat.generators import Denoiser

SIZE, CHANNELS = 8, 3


def brightness(x: Tensor) -> Tensor:
    """Two classes, dark and bright."""
    mean = x.mean((1, 2, 3)) - 0.5
    return (torch.stack([-mean, mean], 1) * 40).softmax(1)


def dark() -> Tensor:
    return 0.35 + 0.1 * torch.rand(CHANNELS, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


class Smooth:
    """A denoiser of one's own: an average with the neighbours, the stronger the noise."""

    shape, sigma_max = (CHANNELS, SIZE, SIZE), 4.0

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        share = (sigma / (sigma + 0.3))[:, None, None, None]
        return (1 - share) * x + share * torch.nn.functional.avg_pool2d(x, 5, stride=1, padding=2)


def _pipeline(name: str) -> Any:
    from diffusers import DDIMPipeline, DDIMScheduler, DDPMPipeline, DDPMScheduler, UNet2DModel

    torch.manual_seed(0)
    unet = UNet2DModel(
        sample_size=SIZE,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        block_out_channels=(8, 8),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
    )
    if name == "ddim":
        return DDIMPipeline(unet=unet, scheduler=DDIMScheduler(num_train_timesteps=200))
    return DDPMPipeline(unet=unet, scheduler=DDPMScheduler(num_train_timesteps=200))


@pytest.fixture(
    scope="module",
    params=[pytest.param("ddpm", marks=pytest.mark.slow), pytest.param("ddim", marks=pytest.mark.slow), "own"],
)
def denoiser(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Denoiser:
    """A pipeline that went through a folder, and a denoiser that nobody had to load."""
    if request.param == "own":
        return Smooth()
    pytest.importorskip("diffusers")
    folder: Path = tmp_path_factory.mktemp("pipelines") / str(request.param)
    _pipeline(request.param).save_pretrained(folder)
    loaded: Denoiser = lt.load_generator(folder)
    assert isinstance(loaded, Denoiser)
    assert loaded.shape == (CHANNELS, SIZE, SIZE)
    return loaded


def found(denoiser: Any, *, rule: str = "kalman", seed: int = 0, **options: Any) -> Counterfactual:
    box = lt.BlackBox(brightness, class_names=["dark", "bright"])
    method = lt.FreeMCG(denoiser, seed=seed)
    if rule != "kalman":
        method = papers.FreeMCG(denoiser, algorithm=rule, n_steps=8, seed=seed)  # type: ignore[arg-type]
    result = method.counterfactual(box, dark(), "bright", **options)
    assert result.queries == box.queries
    return result


def test_the_target_is_reached_near_the_source_within_the_budget(denoiser: Any) -> None:
    result = found(denoiser, budget=120)
    assert result.status
    assert result.queries <= 120
    image = result.best.input[0]
    assert float(image.min()) >= 0
    assert float(image.max()) <= 1
    # the model, asked again, says what the result says
    assert float(brightness(image[None])[0, 1]) == pytest.approx(result.best.probabilities[1], abs=1e-5)
    assert float(brightness(image[None])[0, 1]) > 0.95
    # its mean must rise from .4 to .53 at least; halfway to white, .7, would be far
    assert 0.5 < float(image.mean()) < 0.7


@pytest.mark.slow
def test_the_same_seed_gives_the_same_result(denoiser: Any) -> None:
    first, second = found(denoiser, budget=60), found(denoiser, budget=60)
    assert torch.equal(first.best.input, second.best.input)
    assert first.queries == second.queries
    assert not torch.equal(first.best.input, found(denoiser, budget=60, seed=1).best.input)


def test_outside_the_mask_nothing_changes(denoiser: Any) -> None:
    mask = np.zeros((SIZE, SIZE), dtype=bool)
    mask[:, : SIZE // 2] = True
    result = found(denoiser, budget=120, mask=mask)
    changed = (result.best.input[0] != dark()).any(0)
    assert not changed[~torch.from_numpy(mask)].any()
    assert changed.any()
    assert float(result.best.probabilities[1]) > float(brightness(dark()[None])[0, 1])


@pytest.mark.parametrize("rule", ["paper", "release"])
def test_the_published_rules_run_too(rule: str, denoiser: Any) -> None:
    result = found(denoiser, rule=rule, budget=120)
    assert result.queries <= 120
    image = result.best.input[0]
    assert torch.isfinite(image).all()
    assert float(image.min()) >= 0
    assert float(image.max()) <= 1
    assert float(result.best.probabilities[1]) > float(brightness(dark()[None])[0, 1])
    assert torch.equal(image, found(denoiser, rule=rule, budget=120).best.input[0])


@pytest.mark.slow
def test_the_heat_map_of_a_brighter_half(denoiser: Any) -> None:
    """Only the left half is asked; so only it can have a say."""

    def left(x: Tensor) -> Tensor:
        return brightness(x[..., : SIZE // 2])

    shown = lt.FreeMCG(denoiser).attribute(lt.BlackBox(left), dark(), budget=400)
    again = lt.FreeMCG(denoiser).attribute(lt.BlackBox(left), dark(), budget=400)
    assert shown.heat_map.shape == (SIZE, SIZE)
    assert shown.queries <= 400
    assert np.array_equal(shown.heat_map, again.heat_map)
    size = np.abs(shown.heat_map)
    assert size[:, : SIZE // 2].mean() > 1.5 * size[:, SIZE // 2 :].mean()


@pytest.mark.slow
def test_a_pipeline_without_noise_levels_says_what_to_do() -> None:
    pytest.importorskip("diffusers")
    from diffusers import FlowMatchEulerDiscreteScheduler

    pipe = _pipeline("ddpm")
    pipe.scheduler = FlowMatchEulerDiscreteScheduler()
    with pytest.raises(InputError, match=r"must have alphas_cumprod.* Give your own denoise function"):
        lt.load_generator(pipe)

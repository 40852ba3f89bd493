"""Names, functions and folders become generators."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from likethat.errors import InputError
from likethat.generators import LatentGenerator, load_generator, sample, write_samples
from likethat.generators.priors import Mixture, StandardNormal
from likethat.generators.samples import picture_grid


def smooth(latents: Tensor) -> Tensor:
    """Images (n, 1, 2, 2) in [0, 1]."""
    return torch.sigmoid(latents).reshape(-1, 1, 2, 2)


def test_a_function_is_a_generator() -> None:
    generator = load_generator(smooth, latent_dim=4)
    assert isinstance(generator, LatentGenerator)
    assert (generator.kind, generator.differentiable, generator.shape) == ("image", True, (1, 2, 2))
    assert generator.prior.dim == 4
    assert generator.name == "smooth"
    assert sample(generator, 3).shape == (3, 1, 2, 2)
    assert load_generator(generator) is generator


def test_a_function_of_texts_or_tables() -> None:
    texts = load_generator(lambda latents: [f"{value:.1f}" for value in latents[:, 0]], latent_dim=1)
    assert (texts.kind, texts.differentiable) == ("text", False)
    frames = load_generator(lambda latents: pd.DataFrame({"a": latents[:, 0].tolist()}), latent_dim=1)
    assert frames.kind == "table"


def test_a_tanh_is_brought_to_zero_and_one() -> None:
    generator = load_generator(lambda z: torch.tanh(z)[:, :, None, None], latent_dim=1, value_range=(-1, 1))
    assert float(generator(torch.zeros(1, 1))) == 0.5


def test_a_module_keeps_its_mode() -> None:
    network = nn.Sequential(nn.Linear(2, 4), nn.Dropout(0.9), nn.Sigmoid(), nn.Unflatten(1, (1, 2, 2))).train()
    generator = load_generator(network, latent_dim=2)
    latents = torch.randn(2, 2)
    assert torch.equal(generator(latents), generator(latents))  # no dropout
    assert network.training


def test_a_prior_of_ones_own() -> None:
    prior = Mixture(torch.ones(1), torch.full((1, 4), 3.0), torch.full((1, 4), 0.1))
    assert float(sample(load_generator(smooth, latent_dim=4, prior=prior), 50).min()) > 0.9
    with pytest.raises(InputError, match="`prior` must have latent_dim = 4 dimensions, got 5"):
        load_generator(smooth, latent_dim=4, prior=StandardNormal(5))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda z: z[:, :, None, None] * 100,
            r"must return values in \[0, 1\], got values from .* value_range=\(-1, 1\)",
        ),
        (lambda z: z[:, :, None, None] * float("nan"), r"must return values in \[0, 1\], got NaN"),
        (lambda z: torch.zeros(1, 1, 2, 2), "must make one input a latent, got 1 for 2 latents"),
        (lambda z: (z[:, :, None, None] > 0).long(), "must return floating-point images"),
        (lambda z: z @ torch.zeros(9, 9), "failed on latents of shape .*RuntimeError.*Check latent_dim"),
        (lambda z: z.tolist(), "inputs must be a tensor"),
    ],
)
def test_functions_that_make_no_inputs(function, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_generator(function, latent_dim=4)


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("zoo:lions", {}, "must be one of zoo:creatures, zoo:creatures-flow, zoo:digits, zoo:digits-flow"),
        ("nowhere/at/all", {}, "which does not exist"),
        ("zoo:digits", {"n_steps": 3}, "a generator of the family image-vae takes no option 'n_steps'"),
        (smooth, {}, "`latent_dim` must be given for a function"),
        (3, {}, "must be a name such as"),
        (smooth, {"latent_dim": 4, "value_range": (1, 0)}, r"must be \(darkest, brightest\)"),
    ],
)
def test_bad_sources(source, options, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_generator(source, **options)


def test_damaged_folders(tmp_path: Path) -> None:
    folder = tmp_path / "g"
    folder.mkdir()
    with pytest.raises(InputError, match=r"must be a folder that likethat train-generator wrote"):
        load_generator(folder)
    (folder / "weights.safetensors").write_bytes(b"\x80\x04 a pickle")
    (folder / "generator.json").write_text("{}")
    with pytest.raises(InputError, match=r"without a readable generator\.json"):
        load_generator(folder)
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, folder / "weights.safetensors")
    about = {"schema": 1, "family": "time-machine", "config": {}, "card": {}}
    (folder / "generator.json").write_text(json.dumps(about))
    with pytest.raises(InputError, match="got 'time-machine': of a newer likethat"):
        load_generator(folder)
    (folder / "generator.json").write_text(json.dumps({**about, "schema": 99}))
    with pytest.raises(InputError, match="written by a newer likethat"):
        load_generator(folder)


def test_samples_to_look_at(tmp_path: Path) -> None:
    import io

    from PIL import Image

    assert write_samples(load_generator(smooth, latent_dim=4), tmp_path, n=5).name == "samples.png"
    texts = load_generator(lambda latents: ["a\nb"] * len(latents), latent_dim=1)
    assert write_samples(texts, tmp_path, n=2).read_text() == "a b\na b\n"
    frames = load_generator(lambda latents: pd.DataFrame({"a": [1] * len(latents)}), latent_dim=1)
    assert write_samples(frames, tmp_path, n=2).read_text() == "a\n1\n1\n"
    grid = Image.open(io.BytesIO(picture_grid(torch.zeros(5, 3, 4, 6), columns=3)))
    assert grid.size == (18, 8)
    assert grid.getpixel((0, 0)) == (0, 0, 0)
    assert grid.getpixel((17, 7)) == (255, 255, 255)  # the place that is left

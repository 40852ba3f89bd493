"""Image VAEs and flows: laws, training, disk."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from likethat._progress import Progress
from likethat.errors import InputError, NonFiniteError
from likethat.generators import Denoiser, Encoder, LatentGenerator, load_generator, train_generator
from likethat.generators.image.data import fit_image, read_stack
from likethat.generators.image.flow import ImageFlow
from likethat.generators.image.networks import padded_size
from likethat.generators.image.unet import UNet
from likethat.generators.image.vae import ImageVAE
from likethat.generators.image.vae_training import VaeRun
from likethat.options import VaeRecipe
from likethat.sources import Images

pytestmark = pytest.mark.slow  # what all its tests share takes seconds to train

SMALL = {"channels": 1, "size": [12, 10], "latent_dim": 4, "patch": 1, "widths": [8, 8], "encoder_widths": [8, 8]}


def blobs(n: int = 64, size: tuple[int, int] = (12, 10)) -> Tensor:
    """Bright spots at random places: something that can be learned."""
    rng = torch.Generator().manual_seed(3)
    rows, columns = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    top, left = torch.rand(n, generator=rng) * size[0], torch.rand(n, generator=rng) * size[1]
    away = (rows - top[:, None, None]) ** 2 + (columns - left[:, None, None]) ** 2
    return torch.exp(-away / 8)[:, None].float()


@pytest.fixture(scope="module")
def vae():
    with torch.random.fork_rng(devices=[]):
        return train_generator(blobs(), config=SMALL, latent_dim=4, recipe=VaeRecipe(steps=240, polish=0.2))


@pytest.fixture(scope="module")
def flow() -> ImageFlow:
    with torch.random.fork_rng(devices=[]):
        config = {"channels": 1, "size": [12, 10], "widths": [8, 16], "patch": 1, "blocks": 1, "code": 16}
        made: ImageFlow = train_generator(blobs(), algorithm="flow", config=config, steps=60)
        return made


def test_a_vae_is_what_the_protocols_ask_for(vae) -> None:
    assert isinstance(vae, LatentGenerator)
    assert isinstance(vae, Encoder)
    latents = vae.prior.sample(5, rng=torch.Generator().manual_seed(0))
    images = vae(latents)
    assert images.shape == (5, 1, 12, 10)
    assert float(images.min()) >= 0
    assert float(images.max()) <= 1
    assert torch.allclose(vae(latents[2:3]), images[2:3], atol=1e-5)
    assert vae.encode(images).shape == (5, 4)
    assert torch.isfinite(vae.prior.log_prob(latents)).all()


def test_training_learns(vae) -> None:
    data = blobs(40)
    remade = vae(vae.encode(data))
    assert float((remade - data).abs().mean()) < 0.5 * float((data.mean(0) - data).abs().mean())


def test_gradients_reach_the_latent(vae, flow: ImageFlow) -> None:
    for generator in (vae, flow):
        latents = generator.prior.sample(2, rng=torch.Generator().manual_seed(0)).requires_grad_()
        generator(latents).sum().backward()
        assert latents.grad is not None
        assert float(latents.grad.abs().sum()) > 0


@pytest.mark.parametrize("name", ["folder", "one.safetensors"])
def test_saved_and_opened_it_makes_the_same(vae, flow: ImageFlow, tmp_path: Path, name: str) -> None:
    for number, generator in enumerate((vae, flow)):
        path = generator.save(tmp_path / str(number) / name)
        again = load_generator(path)
        latents = generator.prior.sample(3, rng=torch.Generator().manual_seed(1))
        assert torch.equal(again(latents), generator(latents))
        assert torch.equal(again.prior.log_prob(latents), generator.prior.log_prob(latents))
        assert again.card == generator.card


def test_same_seed_same_weights_also_after_an_interruption(tmp_path: Path) -> None:
    recipe = VaeRecipe(steps=60, polish=0.3)

    def train(**options):
        return train_generator(blobs(), config=SMALL, latent_dim=4, recipe=recipe, mirror=True, **options)

    whole = train()

    def stop(progress: Progress) -> None:
        if progress.stage == "training" and progress.done == 50:
            raise KeyboardInterrupt

    left = tmp_path / "left"
    with pytest.raises(KeyboardInterrupt):
        train(checkpoint=left, watch=stop)
    seen: list[Progress] = []
    resumed = train(checkpoint=left, resume=True, watch=seen.append)
    assert next(item.done for item in seen if item.stage == "training") == 51
    assert left.exists()
    resumed.save(tmp_path / "g")
    assert not left.exists()
    state = whole.state()
    assert all(torch.equal(value, state[key]) for key, value in resumed.state().items())


def test_stopped_while_it_looks_at_held_out_images_it_goes_on_as_if_never(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(**options: Any) -> ImageVAE:
        return train_generator(blobs(), config=SMALL, latent_dim=4, recipe=VaeRecipe(steps=24), **options)

    elbo = VaeRun._elbo

    def stop(run: VaeRun, images: Tensor, noise: Tensor, *, warmth: float) -> tuple[Tensor, Tensor]:
        if not torch.is_grad_enabled():
            raise KeyboardInterrupt  # while the averaged weights are in the networks
        return elbo(run, images, noise, warmth=warmth)

    with monkeypatch.context() as patch:
        patch.setattr(VaeRun, "_elbo", stop)
        with pytest.raises(KeyboardInterrupt):
            train(checkpoint=tmp_path / "c")
    whole, resumed = train().state(), train(checkpoint=tmp_path / "c", resume=True).state()
    assert all(torch.equal(value, whole[name]) for name, value in resumed.items())


def test_a_checkpoint_of_other_data_is_refused(tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        if progress.stage == "training" and progress.done == 3:
            raise KeyboardInterrupt

    recipe = VaeRecipe(steps=10)
    with pytest.raises(KeyboardInterrupt):
        train_generator(blobs(), config=SMALL, recipe=recipe, checkpoint=tmp_path / "c", watch=stop)
    with pytest.raises(InputError, match="left by another training: its images is"):
        train_generator(blobs(70), config=SMALL, recipe=recipe, checkpoint=tmp_path / "c", resume=True)
    with pytest.raises(InputError, match="where no readable"):
        train_generator(blobs(), config=SMALL, recipe=recipe, checkpoint=tmp_path / "d", resume=True)
    with pytest.raises(InputError, match="must name the folder to resume from"):
        train_generator(blobs(), config=SMALL, recipe=recipe, resume=True)


def test_early_stopping_ends_before_the_last_step() -> None:
    seen: list[Progress] = []
    noise = torch.rand(16, 1, 12, 10, generator=torch.Generator().manual_seed(0))  # nothing to learn
    recipe = VaeRecipe(steps=1000, batch=8, polish=0.0, learning_rate=3e-2)
    train_generator(noise, config=SMALL, recipe=recipe, watch=seen.append)
    assert sum(item.stage == "training" for item in seen) < 1000


def test_a_loss_that_explodes_is_said() -> None:
    with pytest.raises(NonFiniteError, match=r"Train with a smaller learning_rate\."):
        train_generator(blobs(), config=SMALL, recipe=VaeRecipe(steps=50, learning_rate=1e18, polish=0.0))


class _Perfect(torch.nn.Module):
    """The velocity of a data set of one image: (y - y0) / t."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.clean = 2 * image - 1

    def forward(self, y: Tensor, time: Tensor) -> Tensor:
        return (y - self.clean) / time[:, None, None, None]


def test_denoising_undoes_the_noise_where_the_velocity_is_true() -> None:
    image = torch.rand(1, 4, 5, generator=torch.Generator().manual_seed(0))
    flow = ImageFlow(_Perfect(image), shape=(1, 4, 5), n_steps=3)
    sigma = torch.tensor([0.05, 0.7, 30.0])
    x = image + sigma[:, None, None, None] * torch.randn(3, 1, 4, 5)
    assert torch.allclose(flow.denoise(x, sigma), image.expand(3, 1, 4, 5), atol=1e-3)
    assert torch.allclose(flow(torch.randn(2, 20)), image.expand(2, 1, 4, 5), atol=1e-5)
    assert isinstance(flow, Denoiser)


def test_a_trained_flow_takes_noise_off(flow: ImageFlow) -> None:
    data, sigma = blobs(32), torch.full((32,), 0.3)
    noisy = data + 0.3 * torch.randn(data.shape, generator=torch.Generator().manual_seed(5))
    assert float((flow.denoise(noisy, sigma) - data).square().mean()) < 0.8 * float((noisy - data).square().mean())


def test_a_flow_of_a_foreign_network_cannot_be_saved(tmp_path: Path) -> None:
    flow = ImageFlow(_Perfect(torch.zeros(1, 4, 4)), shape=(1, 4, 4))
    with pytest.raises(InputError, match="only a flow whose network is likethat's own U-Net can be saved"):
        flow.save(tmp_path / "f")


@pytest.mark.parametrize(("size", "patch"), [((9, 13), 2), ((32, 32), 1)])
def test_any_size_goes_through_the_u_net(size: tuple[int, int], patch: int) -> None:
    network = UNet(channels=3, size=size, widths=[8, 8, 8], patch=patch, blocks=1, code=8)
    assert network(torch.randn(2, 3, *size), torch.rand(2)).shape == (2, 3, *size)


def test_sizes_round_up() -> None:
    assert padded_size((28, 33), 8) == (32, 40)


def test_the_stack_takes_images_of_all_sizes_and_skips_what_does_not_decode(tmp_path: Path) -> None:
    from PIL import Image

    for number in range(17):
        Image.new("RGB", (40 + number, 30), (number * 10, 0, 0)).save(tmp_path / f"{number:02}.png")
    (tmp_path / "broken.png").write_bytes(b"no image")
    stack = read_stack(tmp_path, size=24)
    assert stack.images.shape == (17, 3, 24, 24)
    assert [item.name for item in stack.skipped] == ["broken.png"]
    assert read_stack(tmp_path).shape == (3, 30, 40)
    assert 16 <= len(read_stack(tmp_path, size=24, max_images=17)) <= 17


def test_cutting_keeps_the_middle() -> None:
    image = torch.zeros(1, 4, 8)
    image[:, :, 2:6] = 1
    assert torch.equal(fit_image(image, (4, 4), 1), torch.ones(1, 4, 4))
    assert fit_image(torch.rand(4, 5, 5), (5, 5), 3).shape == (3, 5, 5)  # alpha goes
    assert fit_image(torch.rand(1, 5, 5), (5, 5), 3).shape == (3, 5, 5)
    assert fit_image(torch.rand(3, 5, 5), (5, 5), 1).shape == (1, 5, 5)


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (blobs(5), {}, "must hold at least 16 readable images to learn from, got 5"),
        (blobs(), {"size": 4}, r"`size` must be \(height, width\) of at least 8 pixels each, got 4"),
        (blobs(), {"latent_dim": 0}, "`latent_dim` must be a whole number of at least 1"),
        (blobs(), {"steps": 0}, "`steps` must be a whole number of at least 1"),
        (blobs(), {"kind": "sound"}, "`kind` must be one of 'image', 'table', 'text'"),
        (blobs(), {"algorithm": "gan"}, "`algorithm` must be one of 'vae', 'flow'"),
    ],
)
def test_bad_calls(data: Tensor, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        train_generator(data, **options)


def test_bad_latents_and_images(vae) -> None:
    with pytest.raises(InputError, match=r"`latents` must be \(n, latent\) = \(n, 4\), got shape \(2, 5\)"):
        vae(torch.zeros(2, 5))
    with pytest.raises(InputError, match="`inputs` must have 1 channels as the generator, got 3"):
        vae.encode(torch.rand(2, 3, 12, 10))
    with pytest.raises(InputError, match="must be images"):
        vae.encode(["text"])
    assert vae.encode(torch.rand(2, 1, 24, 20)).shape == (2, 4)


def test_it_trains_on_a_source_with_names(tmp_path: Path) -> None:
    source = Images(blobs())
    generator = train_generator(source, config=SMALL, steps=3, seed=2)
    assert generator.card["seed"] == 2
    assert (generator.save(tmp_path / "g") / "card.md").read_text().startswith("# g\n")

"""Made images as a source: the same whenever they are read, and what needs images takes them."""

import pytest
import torch
from torch import Tensor

import likethat as lt
from likethat.errors import InputError, NonFiniteError
from likethat.generators import Generated, load_generator
from likethat.sources import as_source


def _generator(function=None, **options: object):
    def paint(latents: Tensor) -> Tensor:
        return torch.sigmoid(latents).reshape(-1, 3, 2, 2).repeat_interleave(4, 2).repeat_interleave(4, 3)

    return load_generator(function or paint, latent_dim=12, **options)


def test_the_first_of_more_are_the_same() -> None:
    few, many = Generated(_generator(), 20, seed=3), Generated(_generator(), 50, seed=3)
    assert all(torch.equal(few[index].image, many[index].image) for index in (0, 7, 15, 16))
    assert torch.allclose(few[19].image, many[19].image, atol=1e-6)
    assert not torch.equal(few[0].image, Generated(_generator(), 20, seed=4)[0].image)
    rows = torch.tensor([17, 2])
    assert torch.equal(few.latents(rows), many.latents(rows))


def test_images_of_given_latents() -> None:
    latents = torch.randn(3, 12, generator=torch.Generator().manual_seed(0))
    source = Generated(_generator(), latents=latents, names=["a", "b", "c"])
    assert (len(source), source[2].name, source[-1].name) == (3, "c", "c")
    assert torch.equal(source.latents(torch.tensor([1]))[0], latents[1])
    with pytest.raises(IndexError):
        source[3]


def test_start_noise_has_a_seed_of_its_own() -> None:
    class Noisy:
        kind, differentiable, takes_seeds = "image", False, True
        prior = _generator().prior

        def __call__(self, latents: Tensor, *, seeds: list[int] | None = None) -> Tensor:
            values = [torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(seed)) for seed in seeds or []]
            return torch.stack(values)

    first, second = Generated(Noisy(), 3), Generated(Noisy(), 3, seed=1)
    assert not torch.equal(first[0].image, first[1].image)
    assert not torch.equal(first[0].image, second[0].image)
    assert torch.equal(first[2].image, Generated(Noisy(), 40)[2].image)


def test_a_source_says_which_images_it_has() -> None:
    source = Generated(_generator(), 20)
    assert as_source(source) is source
    assert source.signature == Generated(_generator(), 20).signature
    assert source.signature != Generated(_generator(), 20, seed=1).signature
    other = _generator(lambda latents: torch.sigmoid(2 * latents).reshape(-1, 3, 2, 2))
    assert source.signature != Generated(other, 20).signature


@pytest.mark.slow
def test_methods_that_need_images_take_made_ones() -> None:
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 6, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
        torch.nn.Linear(6, 2),
    ).eval()  # fmt: skip
    model = lt.split(network, example=torch.rand(2, 3, 8, 8))
    source = Generated(_generator(), 40)
    assert lt.EPIC(n_prototypes=2).fit(model, source).provenance.n_images == 40
    bank = lt.PartPrototypes(n_parts=2, n_prototypes=2).fit(model, source)
    assert abs(bank.explain(source[0]).gap()) < 1e-4


@pytest.mark.parametrize(
    ("paint", "error", "said"),
    [
        (lambda latents: latents[:, :3, None, None].expand(-1, 3, 8, 8), InputError, r"\[0, 1\]"),
        (lambda latents: torch.full((len(latents), 3, 8, 8), float("nan")), NonFiniteError, "NaN"),
        (lambda latents: torch.zeros(2 * len(latents), 3, 8, 8), InputError, "one a latent"),
    ],
)
def test_what_makes_no_images_is_refused(paint, error: type[Exception], said: str) -> None:
    class Bad:
        kind, differentiable = "image", True
        prior = _generator().prior
        __call__ = staticmethod(paint)

    with pytest.raises(error, match=said):
        Generated(Bad(), 4)[0]


def test_wrong_arguments_are_said() -> None:
    generator = _generator()
    with pytest.raises(InputError, match="either `n`"):
        Generated(generator)
    with pytest.raises(InputError, match=r"\(n, 12\)"):
        Generated(generator, latents=torch.zeros(2, 3))
    with pytest.raises(InputError, match="one entry an image"):
        Generated(generator, latents=torch.zeros(2, 12), names=["a"])
    with pytest.raises(InputError, match="must make images of latents, got int"):
        Generated(3, 4)  # type: ignore[arg-type]

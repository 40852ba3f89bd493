"""What FreeMCG is told, and what its records say."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from spread import Echo, Sums
from torch import Tensor

import likethat as lt
from likethat.errors import InputError, TargetError


def squares(x: Tensor) -> Tensor:
    return torch.nn.functional.avg_pool2d(x, x.shape[-1] // 2).flatten(1) * 12


class Quarters:
    """The exact denoiser of pictures with a Gaussian brightness in each quarter."""

    sigma_max = 4.0

    def __init__(self, size: int = 8) -> None:
        self.shape = (1, size, size)

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        half = self.shape[1] // 2
        share = 0.09 / (0.09 + (sigma[:, None, None, None] / half) ** 2)
        mean = torch.nn.functional.avg_pool2d(x, half)
        return torch.nn.functional.interpolate(0.5 + share * (mean - 0.5), scale_factor=half)


def picture(size: int = 8) -> Tensor:
    return torch.tensor([[[0.8, 0.4], [0.3, 0.2]]]).repeat_interleave(size // 2, 1).repeat_interleave(size // 2, 2)


@pytest.mark.parametrize(("size", "n", "least"), [(8, 1, 12), (62, 1, 12), (64, 1, 18), (8, 3, 32)])
def test_the_least_budget_is_a_generation_for_each(size: int, n: int, least: int) -> None:
    method = lt.FreeMCG(Quarters(size))
    with pytest.raises(InputError, match=f"`budget` must be at least {least} .*, got {least - 1}"):
        method.counterfactual(squares, picture(size), 1, n=n, budget=least - 1)
    assert method.counterfactual(squares, picture(size), 1, n=n, budget=least).queries <= least


def test_demands_are_those_of_the_kind_unless_told() -> None:
    assert lt.FreeMCG(Quarters())._demand(True, None) == 0.6
    assert lt.FreeMCG(Quarters())._demand(False, None) == 0.98
    assert (
        lt.FreeMCG(lt.TextEdits([f"a text of number {place}" for place in range(20)]))
        .counterfactual(
            lambda texts: [[0.4, 0.6] if "not" in text else [0.6, 0.4] for text in texts], "a text", budget=12
        )
        .options["confidence"]
        == 0.5
    )
    assert lt.FreeMCG(Quarters(), confidence=0.7)._demand(True, None) == 0.7


def test_a_record_says_what_was_asked() -> None:
    mask = np.ones((8, 8), dtype=bool)
    found = lt.FreeMCG(Quarters(), seed=4).counterfactual(squares, picture(), 3, n=1, mask=mask)
    assert found.queries <= 200
    assert found.options["budget"] == 200
    assert (found.options["confidence"], found.options["n"], found.seed, found.rule) == (0.98, 1, 4, "kalman")
    assert found.mask is not None
    assert found.mask.all()
    assert (found.curve, found.n_dependences) == ((), 0)
    assert found.generator == "Quarters"
    torch.testing.assert_close(
        torch.as_tensor(found.source_probabilities), squares(picture()[None]).double().softmax(1)[0]
    )
    assert found.path.distance[0] == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"immutable": "age"}, "`immutable` must be a list of columns, got 'age'"),
        ({"immutable": 3}, "`immutable` must be a list of columns, got 3"),
        ({"ranges": [1]}, "`ranges` must be a dictionary by column"),
        ({"directions": ("age", "up")}, "`directions` must be a dictionary by column"),
        ({"directions": {"age": "up"}}, "are for tables"),
    ],
)
def test_limits_that_are_none(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        lt.FreeMCG(Quarters()).counterfactual(squares, picture(), 1, **options)


def test_a_target_is_no_class_or_the_sources_own() -> None:
    assert lt.FreeMCG(Quarters()).counterfactual(squares, picture(), None).best.predicted != 0
    with pytest.raises(TargetError, match="already"):
        lt.FreeMCG(Quarters()).counterfactual(squares, picture(), 0)


@pytest.mark.parametrize("method", [lt.FreeMCG, lt.Exemplars])
def test_a_generator_of_texts_that_keeps_too_few_words_is_refused(method: Any) -> None:
    class Poor(Sums):
        card = {"words_kept": 0.4}  # noqa: RUF012

    with pytest.raises(InputError, match="must give back at least 50% of the words"):
        method(Poor("text"))


def test_what_the_generator_does_not_make_is_refused_before_the_model_is_asked() -> None:
    def never(_: Tensor) -> Tensor:
        raise AssertionError

    for source in (picture(16), pd.DataFrame({"a": [1.0]})):
        with pytest.raises(InputError, match="`source` must be"):
            lt.FreeMCG(Quarters()).counterfactual(never, source, 1)
    with pytest.raises(InputError, match="`watch` must be"):
        lt.FreeMCG(Quarters()).counterfactual(never, picture(), 1, watch=3)  # type: ignore[arg-type]


def test_a_mask_in_a_file_is_brought_to_the_height_and_width_of_the_picture(tmp_path: Path) -> None:
    white = np.zeros((8, 16), dtype=np.uint8)
    white[:, :8] = 255
    Image.fromarray(white).save(tmp_path / "left.png")

    def two(x: Tensor) -> Tensor:
        return torch.stack([x.mean(dim=(1, 2, 3)), 0.5 + 0 * x.mean(dim=(1, 2, 3))], 1) * 9

    found = lt.FreeMCG(Echo((4, 8))).counterfactual(two, torch.ones(1, 4, 8), 1, budget=12, mask=tmp_path / "left.png")
    assert found.mask is not None
    assert found.mask.tolist() == [[True] * 4 + [False] * 4] * 4


def test_images_are_sought_among_latents_where_nothing_denoises() -> None:
    def first(x: Tensor) -> Tensor:
        return torch.stack([-x[:, 0, 0, 0], x[:, 0, 0, 0] - 0.9], 1) * 20

    found = lt.FreeMCG(Sums("image")).counterfactual(first, torch.full((1, 2, 2), 0.3), 1, budget=60)
    assert found.best.is_valid
    assert found.mean is None  # of latents there is none to show


def test_a_denoisers_algorithm_needs_one() -> None:
    with pytest.raises(InputError, match="`generator` must be a denoiser for algorithm='freemcg', got none"):
        lt.FreeMCG(seed=0).attribute(squares, picture(), budget=40, algorithm="freemcg")
    found = lt.FreeMCG(Echo((8, 8)), seed=0).attribute(squares, picture(), budget=64, algorithm="freemcg")
    assert (found.method, found.generator) == ("freemcg", "Echo")  # type: ignore[union-attr]


def halves(images: Tensor) -> Tensor:
    """Probabilities of "dark" and "bright", by the right half alone."""
    bright = torch.sigmoid(20 * (images[..., 4:].mean(dim=(1, 2, 3)) - 0.5))
    return torch.stack([1 - bright, bright], dim=1)


@pytest.mark.parametrize("knows", [False, True])
def test_a_source_that_the_generator_cannot_make_is_named(knows: bool) -> None:
    def make(latents: Tensor) -> Tensor:
        images = torch.zeros(len(latents), 1, 8, 8, dtype=torch.float32)
        images[..., :4] = latents[:, :1, None, None].sigmoid()
        if knows:
            images[..., 4:] = (3 * latents[:, 1:2, None, None]).sigmoid()
        return images

    source = torch.ones(1, 8, 8, dtype=torch.float32)
    box = lt.BlackBox(halves, class_names=["dark", "bright"])
    method = lt.FreeMCG(lt.load_generator(make, latent_dim=2), seed=0)
    found = method.counterfactual(box, source, "dark", budget=60)
    said = [note for note in found.notes if "does not hold this source" in note]
    assert len(said) == (0 if knows else 1)
    assert knows or "is dark to the model, not bright" in said[0]
    assert found.queries <= 60


class Lost(torch.autograd.Function):
    """Images are fine; the way back is not."""

    @staticmethod
    def forward(_: Any, latents: Tensor) -> Tensor:
        return latents.sigmoid()

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return gradient * torch.nan


def test_a_generator_whose_gradients_are_no_numbers_is_searched_without_them() -> None:
    def make(latents: Tensor) -> Tensor:
        halves_of: Any = Lost.apply(3 * latents[:, :2])  # type: ignore[no-untyped-call]
        return halves_of[:, None, None, :].repeat_interleave(4, 3).expand(-1, 1, 8, 8)  # type: ignore[no-any-return]

    box = lt.BlackBox(halves, class_names=["dark", "bright"])
    method = lt.FreeMCG(lt.load_generator(make, latent_dim=2), seed=0)
    found = method.counterfactual(box, torch.full((1, 8, 8), 0.9, dtype=torch.float32), "dark", budget=100)
    assert found.best.probabilities[0] > 0.5

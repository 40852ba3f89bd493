"""What a fit of ProDG is told."""

from typing import Any

import pytest
import torch
from painted import Painted, prodg
from torch import Tensor
from toys import small_cnn

import likethat as lt


@pytest.fixture(scope="module")
def model() -> lt.SplitModel:
    return lt.split(small_cnn(), example=torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)))


@pytest.mark.slow
def test_twelve_channels_of_a_class_climb_unless_told(model: lt.SplitModel) -> None:
    bank = prodg(steps=0).fit(model, target=1)
    assert bank.provenance.measures["climbing_channels"] == 12


@pytest.mark.parametrize("channels", ["01", 3, [], [1, 1], [16], [0, 16], [-1]])
def test_channels_that_are_none(channels: Any, model: lt.SplitModel) -> None:
    with pytest.raises(lt.errors.InputError, match="`channels` must be"):
        prodg().fit(model, channels=channels)
    prodg(steps=0).fit(model, channels=[15, 0])


@pytest.mark.parametrize("thing", ["zoo:digits", lt.ProDG, [1, 2]])
def test_what_is_no_model_is_said_before_anything_is_made(thing: Any) -> None:
    with pytest.raises(
        lt.errors.InputError, match=r"`model` must be a SplitModel or a network \(torch.nn.Module\), got"
    ):
        prodg().fit(thing)


@pytest.mark.parametrize("thing", [None, 3, "zoo:digits", lt.digits])
def test_a_generator_is_checked_when_the_method_is_made(thing: Any) -> None:
    with pytest.raises(lt.errors.InputError, match="`generator` must make images of latents"):
        lt.ProDG(thing)


def test_images_that_the_model_does_not_take_are_refused_before_any_sample(model: lt.SplitModel) -> None:
    class Grey(Painted):
        made = 0

        def __call__(self, latents: Tensor) -> Tensor:
            self.made += len(latents)
            return super().__call__(latents)[:, :2]

    grey = Grey()
    with pytest.raises(lt.errors.InputError, match=r"must make images that the model takes, 3 channels.* from Grey"):
        prodg(generator=grey).fit(model)
    assert grey.made <= 2

"""ProDG through diffusers pipelines with random weights: by prompt, by label, by start noise."""

from typing import Any

import pytest
import torch
from tiny_pipelines import flux, labelled_unet, stable_diffusion, unconditional
from toys import small_cnn

import likethat as lt
from likethat.generators import Generated, load_generator

pytest.importorskip("diffusers")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


def _model() -> lt.SplitModel:
    preprocess = {"size": 16, "channels": 3}
    return lt.split(small_cnn(), preprocess=preprocess, example=torch.rand(2, 3, 16, 16))


def _by(name: str) -> Any:
    if name == "flux":
        return load_generator(flux(), by="prompt", anchors=("a", "b"), rank=2, n_steps=1, size=(16, 16))
    if name == "stable diffusion":
        return load_generator(stable_diffusion(), by="prompt", rank=2, n_steps=1, size=(16, 16), guidance=1.0)
    if name == "label":
        return load_generator(labelled_unet(), by="label", n_steps=2)
    return load_generator(unconditional(), n_steps=2)


@pytest.mark.parametrize("name", ["flux", "stable diffusion", "label", "noise"])
def test_pipelines_make_prototypes(name: str) -> None:
    generator, model = _by(name), _model()
    method = lt.ProDG(generator, n_prototypes=2, n_samples=20, steps=3, batch=4)
    bank = method.fit(model, channels=[0, 3])
    measures = bank.provenance.measures
    made = [item for item in bank.prototypes if item.image.startswith("made-")]
    assert [item.unit for item in made] == [0, 0, 3, 3]
    assert measures["purity"] >= measures["purity_of_samples"] - 0.05
    assert {"control_prior_purity", "control_random_purity"} <= set(measures)
    image = Generated(generator, 1)[0].image
    assert abs(bank.explain(image).gap()) < 1e-4


def test_what_is_learned_is_one_conditioning_a_channel() -> None:
    from likethat.explainers.prodg.controls import starting_group

    source = Generated(_by("flux"), 8)
    group = starting_group(source, torch.tensor([[3, 5], [1, 7]]), torch.tensor([0, 1]), 2)
    assert group.latents.shape == (2, 1, source.generator.prior.dim)
    assert torch.equal(group.latents[:, 0], source.latents(torch.tensor([3, 1])))
    assert group.seeds.tolist() == [source.seeds(torch.tensor([3, 5])), source.seeds(torch.tensor([1, 7]))]
    assert len(set(group.seeds.flatten().tolist())) == 4


def test_half_precision_on_the_way_up() -> None:
    model, generator = _model(), load_generator("zoo:digits")
    options: dict[str, Any] = {"n_prototypes": 2, "n_samples": 40, "steps": 4, "controls": False}
    half = lt.ProDG(generator, mixed_precision=True, **options).fit(model, channels=[1])
    full = lt.ProDG(generator, **options).fit(model, channels=[1])
    assert half.purity == pytest.approx(full.purity, abs=0.05)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu() -> None:
    model = _model()
    model.network.to("cuda")
    generator = load_generator("zoo:digits").to("cuda")
    for mixed in (False, True):
        method = lt.ProDG(generator, n_prototypes=2, n_samples=40, steps=3, mixed_precision=mixed)
        bank = method.fit(model, channels=[0, 1])
        assert bank.provenance.measures["purity"] > bank.provenance.measures["purity_of_samples"] - 0.05

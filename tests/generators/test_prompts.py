"""Text-to-image pipelines, built small with random weights, whose prompts are the latents."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_pipelines import (
    aura_flow,
    flux,
    pixart,
    sana,
    stable_diffusion,
    stable_diffusion_3,
    stable_diffusion_xl,
    unconditional,
)
from torch import Tensor, nn

from likethat.errors import InputError, NonFiniteError
from likethat.generators import LatentGenerator, load_generator
from likethat.generators.pipelines.base import check_seeds, clamp_through, unclamped
from likethat.generators.pipelines.prompts import PromptGenerator, PromptLatents

pytest.importorskip("diffusers")
slow = pytest.mark.slow
pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

PIPELINES: dict[str, tuple[Any, dict[str, Any]]] = {
    "flux": (flux, {"max_sequence_length": 8}),
    "stable_diffusion": (stable_diffusion, {"guidance_scale": 1.0}),
    "stable_diffusion_guided": (stable_diffusion, {"guidance_scale": 3.0, "negative_prompt": "q"}),
    "stable_diffusion_xl": (stable_diffusion_xl, {"guidance_scale": 3.0}),
    "stable_diffusion_3": (stable_diffusion_3, {"max_sequence_length": 8}),
    "pixart": (pixart, {"use_resolution_binning": False, "max_sequence_length": 8}),
    "aura_flow": (aura_flow, {"max_sequence_length": 8}),
    "sana": (sana, {"use_resolution_binning": False, "max_sequence_length": 8, "complex_human_instruction": None}),
}


def made(name: str, **options: Any) -> PromptGenerator:
    build, call = PIPELINES[name]
    return PromptGenerator(
        build(), **{"anchors": ("ab",), "rank": 2, "n_steps": 2, "size": size(name), **call, **options}
    )


def size(name: str) -> tuple[int, int]:
    return (32, 32) if name == "sana" else (16, 16)


def official(name: str, prompt: str, seed: int) -> Tensor:
    """The picture that the pipeline's own call makes."""
    build, call = PIPELINES[name]
    rng = torch.Generator().manual_seed(seed)
    options = {
        "num_inference_steps": 2,
        "height": size(name)[0],
        "width": size(name)[1],
        "generator": rng,
        "output_type": "pt",
        **call,
    }
    return build()(prompt, **options).images


def drawn(generator: PromptGenerator, n: int, seed: int = 0) -> Tensor:
    return generator.prior.sample(n, rng=torch.Generator().manual_seed(seed))


@slow
@pytest.mark.parametrize("name", PIPELINES)
def test_any_pipeline_draws_latents(name: str) -> None:
    generator = made(name)
    assert isinstance(generator, LatentGenerator)
    assert generator.takes_seeds
    latents = drawn(generator, 2).requires_grad_()
    images = generator(latents)
    assert images.shape == (2, 3, *size(name))
    assert images.dtype == torch.float32
    assert float(images.min()) >= 0
    assert float(images.max()) <= 1
    images.square().sum().backward()
    assert torch.isfinite(latents.grad).all()
    weights, left, right, pooled = generator.layout.lengths
    parts = latents.grad.abs().split([weights + left, right, pooled], dim=1)
    assert all(float(part.sum()) > 0 for part in parts if part.numel())


@slow
@pytest.mark.parametrize("name", PIPELINES)
def test_the_zero_latent_is_the_anchor(name: str) -> None:
    generator = made(name)
    for seed in (0, 7):
        image = generator(torch.zeros(1, generator.prior.dim), seeds=[seed])
        assert torch.equal(image, official(name, "ab", seed))


@slow
@pytest.mark.parametrize("name", ["flux", "stable_diffusion_guided", "pixart"])
def test_an_image_follows_from_its_latent_and_seed_alone(name: str) -> None:
    generator = made(name)
    latents = drawn(generator, 3)
    images = generator(latents, seeds=[4, 5, 6])
    assert torch.equal(generator(latents[1:], seeds=[5, 6]), images[1:])
    assert not torch.equal(generator(latents[:1], seeds=[5]), images[:1])
    assert not torch.equal(generator(latents[1:2], seeds=[4]), images[:1])
    assert torch.equal(generator(latents[:1]), generator(latents[:1], seeds=torch.tensor([0])))


@slow
@pytest.mark.parametrize(
    ("name", "step", "slack"),
    [("stable_diffusion_guided", 1e-4, 1e-5), ("flux", 1e-1, 1e-2)],  # Flux's sampler steps in float32, whatever runs
)
def test_gradients_are_those_of_central_differences(name: str, step: float, slack: float) -> None:
    build, call = PIPELINES[name]
    pipe = build.__wrapped__().to(torch.float64)
    generator = PromptGenerator(pipe, anchors=("ab", "cd"), rank=2, n_steps=2, size=(16, 16), reach=1.0, **call)
    rng = torch.Generator().manual_seed(0)
    latents = 0.3 * drawn(generator, 1).double()
    weight = torch.rand(1, 3, 16, 16, generator=rng).double()

    def response(point: Tensor) -> Tensor:
        tokens, pooled = generator.conditioning(point[0])
        return (generator._render(tokens, pooled, seed=3) * weight).sum()

    wanted = latents.clone().requires_grad_()
    response(wanted).backward()
    for _ in range(3):
        way = nn.functional.normalize(wanted.grad, dim=1) + 0.05 * torch.randn(latents.shape, generator=rng).double()
        ahead, behind = (response(latents + side * way) for side in (step, -step))
        assert float((ahead - behind) / (2 * step)) == pytest.approx(float((wanted.grad * way).sum()), rel=slack)


@slow
def test_a_latent_is_the_low_rank_delta_it_stands_for() -> None:
    generator = made("flux", anchors=("ab", "cd", "e"), rank=3, reach=0.5)
    tokens, width, n_pooled = 8, 32, 16
    assert generator.prior.dim == 3 + 3 * (tokens + width) + n_pooled
    latent = drawn(generator, 1)[0]
    pipe = flux()
    embedded, pooled, _ = pipe.encode_prompt(["ab", "cd", "e"], max_sequence_length=8)
    scores = (2 * math.sqrt(2 * math.log(3)) * latent[:3]).exp()
    shares = scores / scores.sum()
    left = latent[3 : 3 + tokens * 3].reshape(tokens, 3)
    right = latent[3 + tokens * 3 : 3 + tokens * 3 + 3 * width].reshape(3, width)
    dense = torch.zeros(tokens, width)
    for token in range(tokens):
        for number in range(width):
            inner = sum(left[token, r] * right[r, number] for r in range(3)) / math.sqrt(3)
            dense[token, number] = 0.5 * embedded.square().mean().sqrt() * inner
            dense[token, number] += sum(shares[a] * embedded[a, token, number] for a in range(3))
    wanted = sum(shares[a] * pooled[a] for a in range(3)) + 0.5 * pooled.square().mean().sqrt() * latent[-n_pooled:]
    found, found_pooled = generator.conditioning(latent)
    assert torch.allclose(found, dense, atol=1e-5)
    assert torch.allclose(found_pooled, wanted, atol=1e-5)
    picture = pipe(
        prompt_embeds=dense[None],
        pooled_prompt_embeds=wanted[None],
        num_inference_steps=2,
        height=16,
        width=16,
        generator=torch.Generator().manual_seed(2),
        output_type="pt",
    ).images
    assert torch.allclose(generator(latent[None], seeds=[2]), picture, atol=1e-4)


@slow
def test_the_noise_levels_are_the_official_ones_unless_others_are_given() -> None:
    generator = made("flux", n_steps=4)
    generator(drawn(generator, 1))
    assert flux().scheduler.sigmas.tolist() == [1.0, 0.75, 0.5, 0.25, 0.0]
    generator = made("flux", n_steps=None, sigmas=[1.0, 0.667, 0.334, 0.001])  # those of ProDG's release
    generator(drawn(generator, 1))
    assert flux().scheduler.sigmas.tolist() == pytest.approx([1.0, 0.667, 0.334, 0.001, 0.0])


@slow
def test_masked_tokens_have_no_numbers() -> None:
    generator = made("pixart", anchors=("ab", "c"))  # at most a word, b and the end of the text
    assert generator.layout.n_tokens < 8
    tokens, _ = generator.conditioning(drawn(generator, 1)[0])
    plain, _ = generator.conditioning(torch.zeros(generator.prior.dim))
    changed = (tokens - plain).abs().sum(1) > 1e-6
    assert bool(changed[: generator.layout.n_tokens].all())
    with pytest.raises(InputError, match="`rank` must be at most the attended tokens"):
        made("pixart", anchors=("",), rank=4)


@slow
def test_the_pipeline_keeps_its_weights_and_methods() -> None:
    pipe = flux()
    parts = {name: part for name, part in pipe.components.items() if isinstance(part, nn.Module)}
    before = {
        f"{name}.{key}": value.clone() for name, part in parts.items() for key, value in part.state_dict().items()
    }
    generator = made("flux")
    latents = drawn(generator, 1).requires_grad_()
    generator(latents).sum().backward()
    after = {f"{name}.{key}": value for name, part in parts.items() for key, value in part.state_dict().items()}
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    assert not any(weight.requires_grad or weight.grad is not None for p in parts.values() for weight in p.parameters())
    assert "encode_prompt" not in vars(pipe)
    assert "decode" not in vars(pipe.vae)
    assert not pipe.transformer._forward_pre_hooks


@slow
@pytest.mark.parametrize("name", ["flux", "stable_diffusion"])
def test_checkpointing_and_tiling_change_memory_alone(name: str) -> None:
    build, call = PIPELINES[name]
    plain = made(name)
    saving = PromptGenerator(
        build.__wrapped__(), anchors=("ab",), rank=2, n_steps=2, size=(16, 16), checkpointing=True, tiling=True, **call
    )
    assert saving._pipe.vae.use_tiling
    one, other = drawn(plain, 1).requires_grad_(), drawn(plain, 1).requires_grad_()
    images = plain(one), saving(other)
    assert torch.allclose(*images, atol=1e-5)
    images[0].square().sum().backward()
    images[1].square().sum().backward()
    assert torch.allclose(one.grad, other.grad, atol=1e-5)


@slow
@pytest.mark.parametrize("name", ["flux", "stable_diffusion"])
def test_half_precision(name: str) -> None:
    build, call = PIPELINES[name]
    pipe = build.__wrapped__().to(torch.bfloat16)
    generator = PromptGenerator(pipe, anchors=("ab",), rank=2, n_steps=2, size=(16, 16), **call)
    latents = drawn(generator, 1).requires_grad_()
    images = generator(latents)
    assert images.dtype == torch.float32
    images.sum().backward()
    assert latents.grad.dtype == torch.float32
    pipe.vae.to(torch.float32)
    assert torch.allclose(generator(latents), images, atol=0.1)
    pipe.vae.decoder.conv_out.bias.data.fill_(float("nan"))
    with pytest.raises(NonFiniteError, match=r"must be finite, got NaN or infinity in torch.float32. Load it in bf"):
        generator(latents)


@slow
def test_a_vae_that_needs_float32_gets_it_once() -> None:
    pipe = stable_diffusion.__wrapped__().to(torch.float16)
    pipe.vae.register_to_config(force_upcast=True)
    generator = PromptGenerator(pipe, rank=2, n_steps=2, size=(16, 16), guidance=1.0)
    assert pipe.vae.dtype == torch.float32
    assert pipe.unet.dtype == torch.float16
    latents = drawn(generator, 1).requires_grad_()
    generator(latents).sum().backward()
    assert torch.isfinite(latents.grad).all()


@slow
def test_text_encoders_are_not_needed_again() -> None:
    build, call = PIPELINES["flux"]
    pipe = build.__wrapped__()
    generator = PromptGenerator(pipe, anchors=("ab",), rank=2, n_steps=2, size=(16, 16), **call)
    latents = drawn(generator, 1)
    before = generator(latents)
    pipe.text_encoder = pipe.text_encoder_2 = None
    assert torch.equal(generator(latents), before)


@slow
@pytest.mark.parametrize("name", ["flux", "stable_diffusion", "pixart"])
def test_autocast(name: str) -> None:
    generator = made(name, anchors=("ab", "cd"))
    latents = drawn(generator, 1).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        images = generator(latents)
    assert images.dtype == torch.float32
    assert torch.allclose(images, generator(latents), atol=0.1)
    images.sum().backward()
    assert torch.isfinite(latents.grad).all()


@slow
def test_several_anchors_are_mixed_and_one_of_them_can_be_had_alone() -> None:
    generator = made("stable_diffusion", anchors=("ab", "cd", "e"))
    latent = torch.zeros(1, generator.prior.dim)
    latent[0, 1] = 100  # all of the second
    assert torch.allclose(generator(latent), official("stable_diffusion", "cd", 0), atol=1e-5)
    tokens, _ = generator.conditioning(torch.zeros(generator.prior.dim))
    embedded, _ = stable_diffusion().encode_prompt(["ab", "cd", "e"], "cpu", 1, False)
    assert torch.allclose(tokens, embedded.mean(0), atol=1e-5)


@slow
def test_another_device() -> None:
    generator = made("flux").to("cpu")
    latents = drawn(generator, 1)
    assert torch.equal(generator(latents), made("flux")(latents))
    build, call = PIPELINES["flux"]
    generator = PromptGenerator(build.__wrapped__(), rank=2, **call).to("meta")
    assert generator.device.type == generator.conditioning(latents[0])[0].device.type == "meta"


class _Checker(nn.Module):
    """A safety checker that refuses everything."""

    device, dtype = torch.device("cpu"), torch.float32

    def forward(self, images: Any, clip_input: Any) -> tuple[Any, list[bool]]:
        return images * 0, [True] * len(images)


@slow
def test_what_the_safety_checker_refuses_is_black() -> None:
    pipe = stable_diffusion.__wrapped__()
    generator = PromptGenerator(pipe, rank=2, n_steps=2, size=(16, 16), guidance=1.0)
    latents = drawn(generator, 1)
    assert float(generator(latents).sum()) > 0
    pipe.safety_checker = _Checker()
    pipe.feature_extractor = lambda images, return_tensors: type(
        "Seen", (), {"to": lambda self, device: self, "pixel_values": torch.zeros(1)}
    )()
    black = generator(latents.requires_grad_())
    assert float(black.sum()) == 0
    black.sum().backward()
    assert float(latents.grad.abs().sum()) == 0


@slow
def test_a_pipeline_in_a_folder(tmp_path: Path) -> None:
    flux().save_pretrained(tmp_path / "flux")
    options = {"rank": 2, "n_steps": 2, "size": (16, 16), "anchors": ("ab",), "max_sequence_length": 8}
    generator = load_generator(f"diffusers:{tmp_path / 'flux'}", by="prompt", **options)
    assert isinstance(generator, PromptGenerator)
    assert generator.device.type == "cpu"
    latents = drawn(generator, 1)
    assert torch.allclose(generator(latents), load_generator(flux(), by="prompt", **options)(latents), atol=1e-4)
    half = load_generator(f"diffusers:{tmp_path / 'flux'}", by="prompt", dtype=torch.bfloat16, **options)
    assert half._pipe.transformer.dtype == torch.bfloat16


@slow
def test_wrong_calls() -> None:
    with pytest.raises(InputError, match=r"DDPMPipeline takes no prompt embeddings .* by='noise'"):
        load_generator(unconditional(), by="prompt")
    with pytest.raises(InputError, match="`by` must be one of"):
        load_generator(stable_diffusion(), by="words")
    for anchors in ("a wolf", (), None):
        with pytest.raises(InputError, match="`anchors` must be one or more prompts"):
            made("stable_diffusion", anchors=anchors)
    with pytest.raises(InputError, match="every anchor must be a string, got 3"):
        made("stable_diffusion", anchors=("a", 3))
    with pytest.raises(InputError, match=r"`rank` must be at most .* \(16, 16\), got 17"):
        made("stable_diffusion", rank=17)
    with pytest.raises(InputError, match="`rank` must be a whole number"):
        made("stable_diffusion", rank=0)
    with pytest.raises(InputError, match=r"`size` must be \(height, width\) in pixels, got 16"):
        made("stable_diffusion", size=16)
    with pytest.raises(InputError, match="`reach` must be above 0"):
        made("stable_diffusion", reach=0)
    with pytest.raises(InputError, match="must take `true_cfg_scale`, and does not"):
        made("stable_diffusion", true_cfg_scale=2.0)
    with pytest.raises(InputError, match="`output_type` must be left to the generator"):
        made("stable_diffusion", output_type="pil")
    with pytest.raises(InputError, match="does not run with"):
        made("stable_diffusion", size=(15, 16))


@slow
def test_wrong_latents() -> None:
    generator = made("stable_diffusion")
    with pytest.raises(InputError, match=r"`latents` must be \(n, latent\) = \(n, 64\), got shape \(1, 65\)"):
        generator(torch.zeros(1, 65))
    with pytest.raises(InputError, match="`latents` must be floating point"):
        generator(torch.zeros(1, 64, dtype=torch.long))
    with pytest.raises(NonFiniteError, match="`latents` must be finite"):
        generator(torch.full((1, 64), float("nan")))
    with pytest.raises(InputError, match="`seeds` must be one whole number a latent, 2 in all, got 1 of them"):
        generator(torch.zeros(2, 64), seeds=[1])
    assert generator(torch.zeros(0, 64)).shape == (0, 3, 16, 16)


@slow
def test_an_offloaded_pipeline_is_refused() -> None:
    pipe = stable_diffusion.__wrapped__()
    pipe._all_hooks = ["moves weights"]
    with pytest.raises(InputError, match="Load it without offloading"):
        PromptGenerator(pipe, rank=2)


class _Stub:
    """A pipeline of pixels, whose denoiser sees what was put in for a prompt, or something else."""

    def __init__(self, *, forgets: bool = False, shown: Any = None) -> None:
        self.transformer = nn.Linear(4, 4)
        self.components = {"transformer": self.transformer}
        self.device = torch.device("cpu")
        self.forgets, self.shown = forgets, shown

    def set_progress_bar_config(self, **_: Any) -> None: ...

    def encode_prompt(self, prompt: str) -> tuple[Tensor, ...]:
        return (torch.full((1, 4, 4), float(len(prompt))),)

    def __call__(self, prompt=None, prompt_embeds=None, generator=None, output_type=None) -> Any:  # type: ignore[no-untyped-def]
        given = None if prompt_embeds is None else prompt_embeds * (not self.forgets)
        seen = self.transformer(self.encode_prompt(prompt)[0] if given is None else given)
        shown = seen.sigmoid()[:, None] if self.shown is None else self.shown
        return type("Output", (), {"images": shown})()


def test_a_pipeline_of_pixels() -> None:
    generator = PromptGenerator(_Stub(), anchors=("ab", "c"), rank=1)
    latents = drawn(generator, 2).requires_grad_()
    images = generator(latents)
    assert images.shape == (2, 1, 4, 4)
    images.sum().backward()
    assert float(latents.grad.abs().sum()) > 0


def test_a_prompt_that_goes_astray_is_noticed() -> None:
    with pytest.raises(InputError, match="must draw the same of a prompt and of its embeddings"):
        PromptGenerator(_Stub(forgets=True), anchors=("ab",))


@pytest.mark.parametrize("shown", [["a picture"], torch.zeros(1, 3, 8, 16, 16)])
def test_pipelines_that_make_no_images(shown: Any) -> None:
    generator = PromptGenerator(_Stub(shown=shown), rank=1)
    with pytest.raises(InputError, match=r"_Stub must make images \(n, channel, height, width\), and does not"):
        generator(torch.zeros(1, generator.prior.dim))


@slow
def test_what_a_pipeline_cuts_to_size_is_cut_to_size() -> None:
    processor = pixart().image_processor
    raw = torch.randn(1, 3, 20, 24, generator=torch.Generator().manual_seed(0))
    shown = processor.postprocess(processor.resize_and_crop_tensor(raw, 16, 16), output_type="pt")
    found = unclamped(pixart(), [raw], type("Output", (), {"images": shown})())
    assert torch.allclose(found.clamp(0, 1), shown)
    assert float(found.max()) > 1


def test_memory() -> None:
    flux_size = PromptLatents(n_anchors=1, n_tokens=512, width=4096, n_pooled=768, rank=4)
    assert flux_size.dim == 4 * (512 + 4096) + 768 == 19200
    assert flux_size.memory(2048) == 4 * 3 * 2048 * 19200  # 471,859,200
    assert flux_size.memory(2048) < 2**30
    assert PromptLatents(n_anchors=10, n_tokens=512, width=4096, n_pooled=768, rank=4).dim == 19210


@pytest.mark.parametrize("seeds", [3, ["a"], [-1], [0.5], [2**63]])
def test_seeds_are_whole_numbers(seeds: Any) -> None:
    with pytest.raises(InputError, match="`seeds` must be"):
        check_seeds(seeds, 1)


def test_clamping_passes_gradients_on() -> None:
    values = torch.tensor([-1.0, 0.5, 3.0], requires_grad=True)
    clamped = clamp_through(values)
    assert clamped.tolist() == [0.0, 0.5, 1.0]
    (clamped * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert values.grad.tolist() == [1.0, 2.0, 3.0]

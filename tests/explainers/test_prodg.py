"""ProDG: no data, exact logits, purer than samples, and nothing lost."""

import builtins
import copy
import io
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from reference import prodg as slow
from torch import Tensor, nn
from toys import same_files, small_cnn

import likethat as lt
from likethat import papers
from likethat._progress import Progress
from likethat.errors import InputError, NonFiniteError
from likethat.explainers.prodg.ascent import Climb, Group, _Ascent, climb
from likethat.explainers.prodg.channels import best_samples, respond
from likethat.explainers.prodg.controls import best_of_prior, with_random_weights
from likethat.features import collect
from likethat.generators import Generated, load_generator
from likethat.generators.priors import StandardNormal

DIM = 48


def paint(latents: Tensor) -> Tensor:
    """A grid of 4 x 4 colours as a picture of 16 x 16."""
    return torch.sigmoid(2 * latents).reshape(-1, 3, 4, 4).repeat_interleave(4, 2).repeat_interleave(4, 3)


class _Noisy:
    """Pictures of a colour, at a place that the start noise decides."""

    kind, differentiable, takes_seeds = "image", True, True
    prior = StandardNormal(3)

    def __call__(self, latents: Tensor, *, seeds: list[int] | None = None) -> Tensor:
        seeds = [0] * len(latents) if seeds is None else seeds
        noise = torch.stack([torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
        return torch.sigmoid(2 * latents)[:, :, None, None] * noise


@pytest.fixture(scope="module")
def generator() -> Any:
    return load_generator(paint, latent_dim=DIM)


@pytest.fixture(scope="module")
def model() -> lt.SplitModel:
    return lt.split(small_cnn(), example=torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)))


@pytest.fixture(scope="module")
def bank(model: lt.SplitModel, generator: Any) -> lt.Bank:
    return _prodg(generator).fit(model)


def _prodg(generator: Any, **options: Any) -> lt.ProDG:
    return lt.ProDG(generator, **{"n_prototypes": 3, "n_samples": 120, "steps": 5, "batch": 9, **options})


def test_prototypes_are_purer_than_the_samples_they_began_as(bank: lt.Bank) -> None:
    measures = bank.provenance.measures
    assert measures["purity"] > measures["purity_of_samples"] + 0.02
    assert measures["purity"] == pytest.approx(bank.purity, abs=1e-6)
    assert measures["purity"] > measures["control_prior_purity"]
    assert measures["purity_beside_random"] > measures["control_random_purity"]
    assert measures["generator_calls"] == 120 + 16 * 3 * 6
    assert all(item.index == -1 for item in bank.prototypes)
    assert {len(bank.prototypes_of(unit)) for unit in range(16)} == {3}


def test_logits_stay_the_networks_own(bank: lt.Bank, model: lt.SplitModel) -> None:
    image = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(5))
    why = bank.explain(image)
    assert abs(why.gap()) < 1e-5
    assert why.logit == pytest.approx(float(model.logits(image[None]).detach().max()), rel=1e-5)
    assert torch.allclose(bank.mixing @ bank.mixing.T, torch.eye(16), atol=1e-5)


def test_what_is_stored_is_what_was_measured(bank: lt.Bank, model: lt.SplitModel) -> None:
    item = bank.prototypes_of(4)[0]
    view = torch.from_numpy(bank.images[item.image]).permute(2, 0, 1).float() / 255
    feature_map = model.features(view[None]).detach()[0].flatten(1)
    assert slow.purity(feature_map, bank.mixing, 4) == pytest.approx(item.purity, abs=5e-3)  # 8 bits a pixel


@pytest.mark.slow
def test_no_image_is_opened(model: lt.SplitModel, generator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: Any, *_: Any, **__: Any) -> Any:
        raise AssertionError(f"{file} was opened")

    opened = builtins.open

    def looked_at(file: Any, *args: Any, **options: Any) -> Any:
        if str(file).lower().endswith((".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tiff")):
            refuse(file)
        return opened(file, *args, **options)

    monkeypatch.setattr(Image, "open", refuse)
    monkeypatch.setattr(builtins, "open", looked_at)
    monkeypatch.setattr(io, "open", looked_at)
    _prodg(generator, n_samples=40, steps=1).fit(model)


@pytest.mark.slow
def test_the_network_is_untouched(generator: Any) -> None:
    network = small_cnn()
    model = lt.split(network, example=torch.rand(2, 3, 16, 16))
    before = copy.deepcopy(network.train().state_dict())
    _prodg(generator, n_samples=40, steps=2).fit(model)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in network.parameters())


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bank(bank: lt.Bank, model: lt.SplitModel, generator: Any, tmp_path: Path) -> None:
    again = _prodg(generator).fit(model)
    assert same_files(bank.save(tmp_path / "a"), again.save(tmp_path / "b"))
    other = _prodg(generator, seed=1).fit(model)
    assert not torch.equal(other.mixing, bank.mixing)


class _StopAt:
    def __init__(self, stage: str, done: int) -> None:
        self.stage, self.done = stage, done

    def __call__(self, report: Progress) -> None:
        if report.stage.startswith(self.stage) and report.done >= self.done:
            raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "done"), [("making samples", 60), ("turning", 3), ("climbing", 100), ("climbing", 288), ("looking", 1)]
)
def test_an_interrupted_fit_goes_on_to_the_same_bank(
    stage: str, done: int, bank: lt.Bank, model: lt.SplitModel, generator: Any, tmp_path: Path
) -> None:
    left = tmp_path / "left"
    with pytest.raises(KeyboardInterrupt):
        _prodg(generator).fit(model, checkpoint=left, watch=_StopAt(stage, done))
    seen: list[Progress] = []
    resumed = _prodg(generator).fit(model, checkpoint=left, resume=True, watch=seen.append)
    assert left.exists()  # until the bank is saved
    assert same_files(bank.save(tmp_path / "a"), resumed.save(tmp_path / "b"))
    assert not left.exists()
    climbing = [item.done for item in seen if item.stage == "climbing"]
    if stage == "climbing":
        assert not climbing or climbing[0] > 50  # channels that were done were not done again
    assert resumed.provenance.measures["generator_calls"] == bank.provenance.measures["generator_calls"]


def test_another_generator_cannot_go_on(model: lt.SplitModel, generator: Any, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        _prodg(generator).fit(model, checkpoint=tmp_path / "c", watch=_StopAt("climbing", 1))
    other = load_generator(lambda latents: 1 - paint(latents), latent_dim=DIM)
    with pytest.raises(InputError, match="left by another fit: its images differ"):
        _prodg(other).fit(model, checkpoint=tmp_path / "c", resume=True)


@pytest.mark.slow
def test_only_the_channels_of_a_class_climb(model: lt.SplitModel, generator: Any) -> None:
    source = Generated(generator, 120)
    images = torch.stack([source[index].image for index in range(120)])
    with torch.no_grad():
        output = model.forward(images)
    target = int(output.logits.argmax(1).mode().values)
    bank = _prodg(generator).fit(model, target=f"class {target}", n_channels=4)
    climbed = sorted({item.unit for item in bank.prototypes if item.image.startswith("made-")})
    assert len(climbed) == 4
    assert bank.provenance.options["target"] == target
    own = output.logits.argmax(1) == target
    head = model.head.weight @ bank.mixing.T
    supplied = (output.pooled[own] @ bank.mixing.T).mean(0) * head[target]
    assert climbed == sorted(supplied.topk(4).indices.tolist())
    assert all(bank.prototypes_of(unit) for unit in range(16))  # the others show samples
    some = _prodg(generator, controls=False).fit(model, channels=[2, 7])
    assert sorted({item.unit for item in some.prototypes if item.image.startswith("made-")}) == [2, 7]
    assert "control_prior_purity" not in some.provenance.measures


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["evolution", "cma-es"])
def test_without_gradients(algorithm: str, model: lt.SplitModel) -> None:
    if algorithm == "cma-es":
        pytest.importorskip("cma")

    @torch.no_grad()
    def cut(latents: Tensor) -> Tensor:
        return paint(latents)

    blind = load_generator(cut, latent_dim=DIM)
    bank = _prodg(blind, algorithm=algorithm, steps=20, controls=False).fit(model, channels=[0, 3, 5])
    measures = bank.provenance.measures
    assert measures["purity"] > measures["purity_of_samples"]
    assert "without gradients" in " ".join(bank.provenance.notes)
    for unit in (0, 3, 5):
        pictures = {bank.images[item.image].tobytes() for item in bank.prototypes_of(unit)}
        assert len(pictures) == 3


@pytest.mark.slow
def test_the_gradient_is_taken_where_there_is_one(model: lt.SplitModel, generator: Any) -> None:
    class Blind(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inside = small_cnn()

        def forward(self, images: Tensor) -> Tensor:
            with torch.no_grad():
                logits: Tensor = self.inside(images)
            return logits

    blind = lt.split(Blind().eval(), example=torch.rand(2, 3, 16, 16))
    bank = _prodg(generator, controls=False).fit(blind, channels=[1])
    assert "without gradients" in " ".join(bank.provenance.notes)
    with pytest.raises(InputError, match="no gradient flows"):
        _prodg(generator, algorithm="gradient", controls=False).fit(blind, channels=[1])
    assert "without" not in " ".join(_prodg(generator, controls=False).fit(model, channels=[1]).provenance.notes)


@pytest.mark.slow
def test_one_conditioning_a_channel_where_noise_differs(model: lt.SplitModel) -> None:
    bank = _prodg(_Noisy(), n_samples=60, steps=6).fit(model, channels=[0, 1])
    made = [item for item in bank.prototypes if item.image.startswith("made-")]
    assert len(made) == 6
    assert len({bank.images[item.image].tobytes() for item in made}) == 6
    assert bank.provenance.measures["purity"] >= bank.provenance.measures["purity_of_samples"] - 0.05


def _climb_options(model: lt.SplitModel, generator: Any, mixing: Tensor, **options: Any) -> Climb:
    usual = {
        "search": "gradient",
        "steps": 4,
        "step": 0.05,
        "closeness": 0.3,
        "diversity": 0.2,
        "mixed_precision": False,
    }
    scale = torch.full((DIM,), 1.5)
    return Climb(model=model, generator=generator, mixing=mixing, scale=scale, seed=0, **{**usual, **options})


@pytest.mark.parametrize(("diversity", "closeness"), [(0.2, 0.3), (20.0, 0.0), (0.0, 20.0)])
def test_the_gradient_is_that_of_the_stated_loss(diversity: float, closeness: float, generator: Any) -> None:
    model = lt.split(small_cnn().double(), example=torch.rand(2, 3, 16, 16))
    rng = torch.Generator().manual_seed(0)
    mixing = torch.linalg.qr(torch.randn(16, 16, generator=rng)).Q
    start = torch.randn(1, 3, DIM, generator=rng)
    options = _climb_options(model, generator, mixing, diversity=diversity, closeness=closeness)
    group = Group(units=torch.tensor([6]), latents=start, seeds=torch.zeros(1, 3, dtype=torch.long))
    at = start + 0.1 * torch.randn(1, 3, DIM, generator=rng)
    gradient = _Ascent(options, group)._gradient(at)[0] / 1.5

    def loss(latents: Tensor) -> float:
        with torch.no_grad():
            maps = model.features(paint(latents)).flatten(2)
        return slow.loss(maps, mixing, 6, latents - start[0], options.scale, diversity=diversity, closeness=closeness)

    for place in ((0, 3), (1, 17), (2, 40)):
        step = torch.zeros(3, DIM)
        step[place] = 1e-2
        slope = (loss(at[0] + step) - loss(at[0] - step)) / 2e-2
        assert float(gradient[place]) == pytest.approx(slope, abs=3e-4, rel=0.05)


def test_channels_of_a_group_do_not_see_one_another(model: lt.SplitModel, generator: Any) -> None:
    options = _climb_options(model, generator, torch.eye(16))
    latents = torch.randn(2, 3, DIM, generator=torch.Generator().manual_seed(1))
    seeds = torch.zeros(2, 3, dtype=torch.long)
    both = climb(options, Group(units=torch.tensor([2, 9]), latents=latents, seeds=seeds), lambda _: None)
    for place, unit in enumerate((2, 9)):
        group = Group(units=torch.tensor([unit]), latents=latents[place : place + 1], seeds=seeds[:1])
        alone = climb(options, group, lambda _: None)
        assert torch.allclose(alone.latents[0], both.latents[place], atol=1e-3)


def test_a_negative_channel_has_a_way_up() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 4, stride=4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()
    with torch.no_grad():
        network[0].bias[1] = -0.7  # type: ignore[index]
    model = lt.split(network, example=torch.rand(2, 3, 16, 16))
    images = torch.rand(3, 3, 16, 16, requires_grad=True)
    answer = respond(model, images, torch.eye(4)[[1, 1, 1]])
    assert float(answer.purity.detach().max()) < 0
    answer.purity.sum().backward()
    assert float(images.grad.abs().sum()) > 0


def test_purity_is_the_reference_s(model: lt.SplitModel) -> None:
    images = torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    mixing = torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(4))).Q
    with torch.no_grad():
        maps = model.features(images).flatten(2)
        found = respond(model, images, mixing[[0, 5, 9, 9, 15]]).purity
    for place, unit in enumerate((0, 5, 9, 9, 15)):
        assert float(found[place]) == pytest.approx(slow.purity(maps[place], mixing, unit), abs=1e-5)


def test_starts_are_the_purest_of_the_most_active(model: lt.SplitModel, generator: Any) -> None:
    features = collect(model, Generated(generator, 300))
    mixing = torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(4))).Q
    starts = best_samples(features, mixing, torch.tensor([7]), 3)
    active = (features.means @ mixing[7]).topk(20).indices.tolist()
    ranked = sorted(active, key=lambda row: -slow.purity(features.maps[row], mixing, 7))
    assert starts.rows[0].tolist() == ranked[:3]


@pytest.mark.slow
def test_a_dead_channel_is_begun_anew_and_then_said_to_be_dead(generator: Any) -> None:
    network = small_cnn()
    with torch.no_grad():
        network[3].weight[5] = 0.0  # type: ignore[index]
        network[3].bias[5] = -1.0  # type: ignore[index]
    model = lt.split(network, example=torch.rand(2, 3, 16, 16))
    bank = _prodg(generator, controls=False).fit(model)
    dead = [unit for unit in range(16) if not bank.prototypes_of(unit)]
    assert len(dead) == 1
    assert bank.provenance.measures["dead_channels"] == 1
    assert "1 of 16 channels are dead" in " ".join(bank.provenance.notes)
    assert bank.provenance.measures["generator_calls"] == 120 + 16 * 3 * 6 + 2 * 3 * 6


def test_random_weights_are_random_and_the_model_is_not(model: lt.SplitModel, generator: Any) -> None:
    features = collect(model, Generated(generator, 40))
    before = copy.deepcopy(model.network.state_dict())
    random = with_random_weights(model, features.views, seed=0)
    assert random.n_channels == model.n_channels
    assert random.layer == model.layer
    for name, value in model.network.state_dict().items():
        assert torch.equal(value, before[name])
        if name.endswith("weight") and value.ndim > 1:
            assert not torch.allclose(value, random.network.state_dict()[name])
    again = with_random_weights(model, features.views, seed=0)
    assert random.fingerprint == again.fingerprint
    assert float(random.features(features.views.float() / 255).detach().std()) > 1e-3


def test_the_random_networks_normalisations_are_measured_on_the_views(model: lt.SplitModel, generator: Any) -> None:
    views = collect(model, Generated(generator, 40)).views
    norm = with_random_weights(model, views, seed=0).network[1]
    first = with_random_weights(model, views, seed=0).network[0]
    seen = first(views.float() / 255)  # the one layer before it has its new weights
    assert torch.allclose(norm.running_mean, seen.mean((0, 2, 3)), atol=1e-5)
    assert torch.allclose(norm.running_var, seen.var((0, 2, 3)), rtol=1e-3)
    assert not norm.training
    assert norm.momentum == 0.1


class _Failing:
    kind, differentiable = "image", True
    prior = StandardNormal(DIM)
    calls, fails_after = 0, 40

    def __call__(self, latents: Tensor) -> Tensor:
        self.calls += 1
        return paint(latents) * (float("nan") if self.calls > self.fails_after else 1.0)


@pytest.mark.slow
def test_nan_from_the_generator_loses_nothing(bank: lt.Bank, model: lt.SplitModel, tmp_path: Path) -> None:
    failing = _Failing()
    with pytest.raises(NonFiniteError, match="NaN or infinity"):
        _prodg(failing).fit(model, checkpoint=tmp_path / "left")
    assert (tmp_path / "left" / "climbed.safetensors").exists()
    failing.fails_after = 10**9
    resumed = _prodg(failing).fit(model, checkpoint=tmp_path / "left", resume=True)
    assert torch.equal(resumed.mixing, bank.mixing)
    assert resumed.purity == bank.purity


@pytest.mark.slow
def test_a_full_disk_is_said_and_the_work_goes_on(
    model: lt.SplitModel, generator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from likethat._files import _write_beside
    from likethat.errors import StorageError

    def full(path: Path, data: bytes) -> Any:
        if path.suffix == ".safetensors":
            raise StorageError("no space left")
        return _write_beside(path, data)

    monkeypatch.setattr("likethat._files._write_beside", full)
    monkeypatch.setattr("likethat._checkpoint.Checkpoint.is_due", lambda _: True)
    with pytest.warns(UserWarning, match="No further checkpoints"):
        bank = _prodg(generator, n_samples=40, controls=False).fit(model, checkpoint=tmp_path / "left")
    assert bank.purity > 0


@pytest.mark.slow
def test_adam_turns_the_channels_too(model: lt.SplitModel, generator: Any) -> None:
    bank = papers.ProDG(generator, 3, n_samples=60, steps=1, batch=9, controls=False).fit(model)
    assert bank.provenance.method == "ProDG, rotation as published"
    assert torch.allclose(bank.mixing @ bank.mixing.T, torch.eye(16), atol=1e-4)
    assert not torch.allclose(bank.mixing, torch.eye(16), atol=1e-3)


def test_no_steps_are_samples(model: lt.SplitModel, generator: Any) -> None:
    bank = _prodg(generator, steps=0, controls=False).fit(model)
    assert bank.provenance.measures["generator_calls"] == 120
    assert bank.provenance.measures["purity"] == pytest.approx(bank.provenance.measures["purity_of_samples"], abs=5e-3)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda latents: torch.sigmoid(latents)[:, :5, None, None].expand(-1, 5, 16, 16),
            "images that the model takes",
        ),
        (lambda latents: torch.full((len(latents), 3, 16, 16), 0.5) + 0 * latents.sum(), "images that differ"),
    ],
)
def test_generators_that_do_not_fit(make: Any, said: str, model: lt.SplitModel) -> None:
    with pytest.raises(InputError, match=said):
        _prodg(load_generator(make, latent_dim=DIM)).fit(model)


def test_bad_options_are_said(model: lt.SplitModel, generator: Any) -> None:
    with pytest.raises(InputError, match="`steps` must be"):
        lt.ProDG(generator, steps=-1)
    with pytest.raises(InputError, match="`step` must be a number above 0"):
        lt.ProDG(generator, step=0.0)
    with pytest.raises(InputError, match="must make images of latents, got str"):
        lt.ProDG("zoo:creatures")
    with pytest.raises(InputError, match="either `target` or `channels`"):
        _prodg(generator).fit(model, target=0, channels=[1])
    with pytest.raises(InputError, match="distinct numbers from 0 to 15"):
        _prodg(generator).fit(model, channels=[1, 16])
    blind = load_generator(paint, latent_dim=DIM)
    blind.differentiable = False
    with pytest.raises(InputError, match="which has no gradients"):
        lt.ProDG(blind, algorithm="gradient")
    table = load_generator("zoo:digits")
    table.kind = "table"
    with pytest.raises(InputError, match="makes a table"):
        lt.ProDG(table)


def test_any_size_is_resized_on_the_way(generator: Any) -> None:
    network = small_cnn()
    model = lt.split(network, preprocess={"size": 16}, example=torch.rand(2, 3, 16, 16))
    large = load_generator(lambda z: nn.functional.interpolate(paint(z), size=(40, 40)), latent_dim=DIM)
    bank = _prodg(large, n_samples=40, steps=2, controls=False).fit(model, channels=[0])
    assert bank.images[bank.prototypes_of(0)[0].image].shape == (16, 16, 3)
    assert bank.provenance.measures["purity"] >= bank.provenance.measures["purity_of_samples"] - 0.01


@pytest.mark.parametrize("n_kept", [60, 20])
def test_the_control_of_samples_is_chosen_as_the_starts_are(n_kept: int, model: lt.SplitModel, generator: Any) -> None:
    source = Generated(generator, 60)
    features = collect(model, Generated(generator, n_kept))
    mixing = torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(1))).Q
    found = best_of_prior(model, source, features, mixing, torch.tensor([3, 7]), n=2)
    maps = collect(model, source).maps
    for place, unit in enumerate((3, 7)):
        activation = torch.einsum("d,idc->ic", mixing[unit], maps).mean(1)
        pure = torch.tensor([slow.purity(one, mixing, unit) for one in maps[activation.topk(20).indices]])
        assert float(found[place]) == pytest.approx(float(pure.topk(2).values.mean()), abs=1e-5)


def test_made_prototypes_are_ranked_by_purity(bank: lt.Bank) -> None:
    for unit in range(16):
        items = bank.prototypes_of(unit)
        assert [item.rank for item in items] == [0, 1, 2]
        assert [item.purity for item in items] == sorted((item.purity for item in items), reverse=True)
    assert "No image was opened: 408 images were made" in " ".join(bank.provenance.notes)

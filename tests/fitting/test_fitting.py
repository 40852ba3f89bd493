"""What every fit does round its method: what it refuses, what it leaves, what it says of itself."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toys import Sine, pictures, small_cnn

import likethat as lt
from likethat._progress import Progress
from likethat.errors import DataWarning, InputError, ModelError, NotLinearError
from likethat.features import collect
from likethat.fitting.fitting import begin, open_checkpoint, provenance_of
from likethat.sources.base import Skipped


@pytest.fixture(scope="module")
def images() -> Tensor:
    return pictures(40)


@pytest.fixture
def model(images: Tensor) -> lt.SplitModel:
    return lt.split(small_cnn(), example=images[:4])


def begun(model: Any, images: Any, **more: Any) -> Any:
    return begin(model, images, method="told", options={"n": 1}, seed=3, **more)


def test_a_model_and_images_that_changed_places_are_told_so(model: lt.SplitModel, images: Tensor) -> None:
    with pytest.raises(InputError, match="The model comes first, the images second"):
        begun(images, model)


@pytest.mark.slow
def test_a_head_that_is_not_linear_is_refused_with_the_methods_name(images: Tensor) -> None:
    deep = nn.Sequential(*list(small_cnn())[:-1], nn.Linear(16, 8), Sine(), nn.Linear(8, 3)).eval()
    with pytest.raises(NotLinearError, match="told"):
        begun(lt.split(deep, example=images[:4]), images)


def test_a_network_whose_weights_changed_is_refused_however_they_were_written(images: Tensor) -> None:
    network = small_cnn()
    with torch.no_grad():
        network[3].weight.data = torch.randn(16, 12, 4, 4)  # type: ignore[union-attr]
    model = lt.split(network, example=images[:4])
    network[3].weight.detach().numpy()[7, 5, 1, 2] += 0.5  # type: ignore[union-attr, operator] # past torch, one number
    with pytest.raises(ModelError, match=r"those of .* have changed since"):
        begun(model, images)


def test_a_network_that_is_trained_while_it_is_read_is_refused(model: lt.SplitModel, images: Tensor) -> None:
    def train(progress: Progress) -> None:
        with torch.no_grad():
            model.network[3].bias.add_(1.0)  # type: ignore[index]

    with pytest.raises(ModelError, match="have changed since"):
        begun(model, images, watch=train)


def test_a_network_is_split_at_the_size_of_the_first_image() -> None:
    assert begun(small_cnn(), pictures(1, size=20)).model.size == (20, 20)


def test_what_is_likely_wrong_with_the_images_is_warned_of(images: Tensor) -> None:
    model = lt.split(small_cnn(), example=images[:4], class_names=("ant", "bee", "cat"))
    predicted = model.logits(images).argmax(1)
    wrong = lt.Images(images, labels=((predicted + 1) % 3).tolist(), class_names=("ant", "bee", "cat"))
    with pytest.warns(DataWarning) as seen:
        found = begun(model, wrong)
    assert [str(one.message) for one in seen] == [found.features.warning]
    right = begun(model, lt.Images(images, labels=predicted.tolist(), class_names=("ant", "bee", "cat")))
    assert not right.features.warning


def opened(model: lt.SplitModel, folder: Path | None, source: Any, **more: Any) -> Any:
    settings = {"every": 5.0, "method": "told", "options": {"n": 1}, "seed": 0, "resume": False} | more
    return open_checkpoint(folder, model=model, source=source, **settings)


def test_only_the_same_fit_goes_on_from_a_checkpoint(model: lt.SplitModel, images: Tensor, tmp_path: Path) -> None:
    source = lt.Images(images)
    assert opened(model, None, source) is None
    with pytest.raises(InputError, match="`checkpoint` must name the folder to resume from, got None"):
        opened(model, None, source, resume=True)
    with opened(model, tmp_path / "left", source) as left:
        left.write_state("told", {"turn": torch.ones(1)}, {"n": 1})
    again = opened(model, tmp_path / "left", source, resume=True)
    assert again.read_state("told") is not None
    for other in ({"seed": 1}, {"options": {"n": 2}}, {"method": "another"}):
        with pytest.raises(InputError, match="left by another fit"):
            opened(model, tmp_path / "left", source, resume=True, **other)
    for more in (lt.Images(images[:39]), lt.Images(1 - images)):
        with pytest.raises(InputError, match="left by another fit"):
            opened(model, tmp_path / "left", more, resume=True)


def test_a_fit_without_a_checkpoint_works_in_no_context(model: lt.SplitModel, images: Tensor, tmp_path: Path) -> None:
    with begun(model, images).work() as nothing:
        assert nothing is None
    left = begun(model, images, checkpoint=tmp_path / "left")
    assert left.work() is left.checkpoint is not None


def test_what_a_bank_is_told_of_its_fit(model: lt.SplitModel, images: Tensor) -> None:
    features = collect(model, lt.Images(images))
    features.skipped = [Skipped(name="a.png", reason="it is gone")]
    features.notes, features.remarks, features.warning = ["a note"], ["a remark"], "A warning."
    features.data = {"labels": {"accuracy": 0.75}}

    def told(**more: Any) -> Any:
        return provenance_of(
            model, features, method="told", options={"n": 1}, seed=3, seconds=2.0, measures={"purity": 0.5},
            notes=["its own"], skipped=[("b.png", "no mark")], verdict="A verdict.", **more,
        )  # fmt: skip

    found = told()
    assert found.skipped == (("a.png", "it is gone"), ("b.png", "no mark"))
    assert found.measures["accuracy"] == 0.75
    assert found.measures["purity"] == 0.5
    assert found.measures["backbone_seconds"] == features.backbone_seconds
    assert found.notes[-3:] == ("a remark", "a note", "its own")
    assert found.warning == "A warning. A verdict."
    assert (found.unit, found.n_images, found.seed, found.seconds) == ("channel", 40, 3, 2.0)
    begun_with = told(reports_data=False)  # of made images, the labels and the look say nothing
    assert begun_with.data == {}
    assert "accuracy" not in begun_with.measures
    assert begun_with.notes[-2:] == ("a note", "its own")
    assert begun_with.warning == "A verdict."
    features.data, features.warning = {}, ""
    assert "accuracy" not in told().measures
    assert told().warning == "A verdict."


def test_a_model_without_names_is_explained_by_those_of_its_images(tmp_path: Path) -> None:
    """Taken in order, where it knows the images well enough for the order to be right; opened again they stay."""
    digits, whole = lt.digits(), lt.load("zoo:digits")
    nameless = lt.split(whole.network, preprocess=whole.preprocess)
    words = ("nil", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    samples = [digits[index] for index in range(60)]
    images = torch.stack([one.image for one in samples])
    labels = [int(one.label) for one in samples]
    bank = lt.EPIC(n_prototypes=1).fit(nameless, lt.Images(images, labels, class_names=words))
    assert bank.class_names == bank.model.class_names == words
    assert nameless.class_names[3] == "class 3"  # the caller's keeps its own
    assert any("If that is wrong" in note for note in bank.provenance.notes)
    opened = lt.open_bank(bank.save(tmp_path / "bank"), nameless)
    assert opened.model.class_names == words
    assert opened.explain(images[0], target="three").target_name == "three"
    turned = lt.Images(images, [9 - label for label in labels], class_names=words)
    with pytest.warns(DataWarning, match="gives only"):
        other = lt.EPIC(n_prototypes=1).fit(nameless, turned)
    assert other.class_names == nameless.class_names

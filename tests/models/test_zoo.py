"""The shipped classifiers: small, safe to open, accurate, and split exactly."""

import sys
from importlib.resources import files

import pytest
import torch

import likethat as lt
from likethat.errors import InputError, MissingExtraError
from likethat.models.zoo import ZOO, load_zoo, zoo_card


def test_together_under_ten_megabytes() -> None:
    folder = files("likethat_zoo")
    assert sum(len((folder / f"{name}.safetensors").read_bytes()) for name in ZOO) < 10 * 2**20


@pytest.mark.parametrize("name", ZOO)
def test_cards_say_what_was_measured(name: str) -> None:
    card = zoo_card(name)
    page = (files("likethat_zoo") / f"{name}.md").read_text()
    assert f"{card['accuracy']:.4f}" in page
    assert card["accuracy"] >= 0.95
    assert len(card["class_names"]) == load_zoo(name).head.out_features


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_split_is_exact_and_additive(name: str) -> None:
    model = lt.load(f"zoo:{name}")
    images = torch.rand(3, *zoo_card(name)["input_size"], generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        output = model.forward(images)
        own = model.network(images)
    assert model.spatially_additive == (name != "creatures-vit")
    torch.testing.assert_close(output.logits, own, rtol=0, atol=0 if model.spatially_additive else 1e-5)
    vector = output.feature_map.mean((2, 3))
    vector = vector if model.spatially_additive else vector + model.remainder(images)
    rebuilt = vector @ model.head.weight.T + model.head.bias
    torch.testing.assert_close(rebuilt, own, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size"), [("creatures", 96), ("creatures-vit", 64)])
def test_creatures_are_told_apart(name: str, size: int) -> None:
    source, model = lt.creatures(312, seed=77, size=size), lt.load(f"zoo:{name}")
    images = torch.stack([source[index].image for index in range(len(source))])
    with torch.no_grad():
        predicted = model.logits(images).argmax(1)
    assert (
        float((predicted == torch.tensor([source.label(index) for index in range(len(source))])).float().mean()) >= 0.95
    )


@pytest.mark.slow
@torch.no_grad()
def test_the_evidence_of_the_transformer_lies_on_the_creature() -> None:
    book, model = lt.creatures(24, seed=79, size=64), lt.load("zoo:creatures-vit")
    assert (model.how, model.grid) == ("followed", (16, 16))
    images = torch.stack([book[index].image for index in range(24)])
    output = model.forward(images)
    heat = torch.einsum("nc,nchw->nhw", model.head.weight[output.logits.argmax(1)], output.feature_map)
    on, off = [], []
    for index, cells in enumerate(heat.numpy().repeat(4, 1).repeat(4, 2)):
        drawn = sum(book[index].masks.values()) > 0
        on.append(cells[drawn].mean())
        off.append(cells[~drawn].mean())
    assert sum(on) > 3 * abs(sum(off))


@pytest.mark.slow
def test_a_missing_part_seldom_changes_the_answer() -> None:
    source, model = lt.creatures(120, seed=78, removed_parts=1.0), lt.load("zoo:creatures")
    images, labels = source.tensors()
    with torch.no_grad():
        predicted = model.logits(images.float() / 255).argmax(1)
    assert float((predicted == labels).float().mean()) >= 0.9


@pytest.mark.slow
def test_digits_are_told_apart() -> None:
    source, model = lt.digits(split="test"), lt.load("zoo:digits")
    images = torch.stack([source[index].image for index in range(len(source))])
    with torch.no_grad():
        predicted = model.logits(images).argmax(1)
    assert float((predicted == torch.tensor([source.label(i) for i in range(len(source))])).float().mean()) >= 0.95


def test_unknown_names() -> None:
    with pytest.raises(InputError, match="must be one of 'creatures', 'creatures-vit', 'digits', got 'birds'"):
        load_zoo("birds")


def test_without_its_package_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "likethat_zoo", None)
    for call, name in ((lt.load, "zoo:digits"), (lt.load_generator, "zoo:digits-flow")):
        with pytest.raises(MissingExtraError, match=rf"^{name} needs likethat-zoo, .* Run: pip install likethat-zoo$"):
            call(name)

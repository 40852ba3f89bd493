"""`explain` takes the method that what is at hand allows, and says so."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import likethat as lt
from likethat.errors import InputError, TargetError
from likethat.explainers.choosing import rows_like
from likethat.explainers.freemcg.inputs import _ends_as_file
from likethat.explanations.attribution import Attribution
from likethat.explanations.counterfactual import Counterfactual
from likethat.explanations.explanation import Explanation
from likethat.explanations.word_attribution import WordAttribution

TEXTS = ["a good film", "a bad film", "the plot was good", "the plot was bad", "so good and so long", "bad, bad"] * 4
PHOTO = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(3))


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 4, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)
    ).eval()


def halves(x: Tensor) -> Tensor:
    left, right = x[..., :8].mean((1, 2, 3)), x[..., 8:].mean((1, 2, 3))
    return torch.stack([(left - right) * 9, (right - left) * 9], 1).softmax(1)


def good(texts: list[str]) -> Tensor:
    score = torch.tensor([float(text.count("good") - text.count("bad")) for text in texts])
    return torch.stack([-3 * score, 3 * score], 1).softmax(1)


def rich(rows: pd.DataFrame) -> Tensor:
    p = torch.sigmoid(torch.tensor(rows["income"].to_numpy(dtype=float) - 50) / 5)
    return torch.stack([1 - p, p], 1)


def split() -> lt.SplitModel:
    return lt.split(network(), preprocess=lt.Preprocess(size=16, mean=(0.5,) * 3, std=(0.25,) * 3))


@pytest.mark.slow
def test_a_network_and_images_give_parts() -> None:
    images = torch.rand(30, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    found = lt.explain(split(), PHOTO, data=images, seed=1)
    assert isinstance(found, Explanation)
    assert found.provenance.method == "PartPrototypes"
    assert found.provenance.seed == 1
    assert found.warnings[0].startswith("Explained by PartPrototypes: weights and images are at hand.")
    assert abs(found.gap()) < 1e-4


@pytest.mark.slow
def test_a_network_and_a_generator_give_parts_of_made_images() -> None:
    found = lt.explain(lt.load("zoo:digits"), lt.digits()[3].image, 8, generator=lt.load_generator("zoo:digits"))
    assert isinstance(found, Explanation)
    assert found.target_name == "8"
    assert "the images looked at are 500 that the generator made" in found.warnings[0]


@pytest.mark.parametrize("as_given", ["path", "name", "picture", "array", "tensor"])
def test_a_model_alone_gives_a_heat_map_of_an_image_however_it_is_given(as_given: str, tmp_path: Path) -> None:
    pixels = (PHOTO.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    given: dict[str, Any] = {
        "path": path,
        "name": str(path),
        "picture": Image.fromarray(pixels),
        "array": pixels,
        "tensor": torch.from_numpy(pixels).permute(2, 0, 1) / 255,
    }
    found = lt.explain(lt.BlackBox(halves), given[as_given], budget=40)
    assert isinstance(found, Attribution)
    assert found.queries <= 40
    assert "the model alone is at hand. With generator=" in found.notes[0]
    assert found.image.shape == (3, 16, 16)
    same = lt.FreeMCG(seed=0).attribute(lt.BlackBox(halves), torch.from_numpy(pixels).permute(2, 0, 1) / 255, budget=40)
    assert np.array_equal(found.heat_map, same.heat_map)


@pytest.mark.parametrize("is_split", [True, False])
def test_a_network_alone_gives_its_exact_map_in_one_pass(is_split: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    model = split() if is_split else lt.split(network()).network
    passes: list[int] = []
    forward = lt.SplitModel.forward
    monkeypatch.setattr(lt.SplitModel, "forward", lambda self, x: passes.append(len(x)) or forward(self, x))
    photo = torch.rand(3, 18, 18, generator=torch.Generator().manual_seed(4)) if not is_split else PHOTO
    found = lt.explain(model, photo, 2)
    assert isinstance(found, Attribution)
    assert (found.method, found.queries, passes, found.error.max()) == ("exact", 1, [1], 0)
    seen = model if isinstance(model, lt.SplitModel) else lt.split(model)
    logit = seen.logits(torch.from_numpy(found.image)[None])[0, 2].item()
    assert found.heat_map.shape == found.image.shape[1:]
    assert float(found.heat_map.sum()) + float(seen.head.bias[2].detach()) == pytest.approx(logit, abs=1e-4)
    assert "With data=... it is explained by parts; likethat.FreeMCG().attribute asks it" in found.notes[0]
    many = lt.explain_all(model, [photo, photo.flip(1)], 2)
    assert np.array_equal(many[0].heat_map, found.heat_map)  # type: ignore[union-attr]
    assert many[1].method == "exact"  # type: ignore[union-attr]


def test_a_map_of_one_cell_has_no_places_and_is_asked() -> None:
    flat = nn.Sequential(nn.Conv2d(3, 8, 16), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)).eval()
    seen = lt.split(flat, preprocess=lt.Preprocess(size=16, mean=(0.5,) * 3, std=(0.25,) * 3), layer="1")
    found = lt.explain(seen, PHOTO, budget=40)
    assert isinstance(found, Attribution)
    assert found.method == "patches"
    assert "cannot be split among cells: what Sequential says has no place in its map of 1 x 1" in found.notes[0]


@pytest.mark.parametrize("model", ["timm:resnet18", 3])
def test_what_is_no_model_is_called_by_the_word_of_the_call(model: Any) -> None:
    with pytest.raises(
        InputError, match="`model` must be a function, a fitted scikit-learn estimator, a torch mod"
    ) as at:
        lt.explain(model, PHOTO)
    assert ("Load a network by its name first: likethat.load" in str(at.value)) == isinstance(model, str)


def test_images_do_not_help_where_the_weights_are_missing_and_it_is_said() -> None:
    found = lt.explain(lt.BlackBox(halves), PHOTO, data=torch.rand(8, 3, 16, 16), budget=40)
    assert isinstance(found, Attribution)
    assert "images help only where the weights are" in found.notes[0]


def test_a_logit_that_cannot_be_split_is_explained_by_asking() -> None:
    class Sorted(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1).sort(dim=1).values[:, -3:].exp()

    model = nn.Sequential(nn.Conv2d(3, 4, 4, stride=4), nn.ReLU(), Sorted()).eval()
    seen = lt.split(model, preprocess=lt.Preprocess(size=16, mean=(0.5,) * 3, std=(0.25,) * 3))
    found = lt.explain(seen, PHOTO, data=torch.rand(20, 3, 16, 16), budget=40)
    assert isinstance(found, Attribution)
    assert found.notes[0].startswith("Shown by a heat map (FreeMCG.attribute): its logit cannot be split into parts: ")
    assert "data=" not in found.notes[0]


@pytest.mark.slow
def test_rows_give_what_would_change_the_answer() -> None:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"income": rng.normal(50, 10, 200).round(), "age": rng.integers(20, 60, 200)})
    row = pd.DataFrame({"income": [40.0], "age": [30]})
    found = lt.explain(lt.BlackBox(rich, class_names=["no", "yes"]), row, "yes", data=rows, budget=100)
    assert isinstance(found, Counterfactual)
    assert found.status
    assert float(found.best.input["income"].iloc[0]) > 45
    assert "trained on the rows given" in found.notes[0]
    with pytest.raises(InputError, match="`data` must be rows like the one explained, got None"):
        lt.explain(lt.BlackBox(rich, class_names=["no", "yes"]), row)


def test_an_exact_map_says_what_it_does_not_hold() -> None:
    model = lt.load("zoo:creatures-vit")
    found = lt.explain(model, lt.creatures(1, seed=4)[0])
    assert isinstance(found, Attribution)
    logit = float(model.logits(torch.from_numpy(found.image)[None]).detach()[0, found.target])
    assert f"Of its logit, {logit:+.3g}, cells hold {float(found.heat_map.sum()):+.3g}; " in found.notes[1]
    whole = lt.explain(lt.load("zoo:digits"), lt.digits()[0].image)
    assert not any("has no place" in note for note in whole.notes)


def test_labels_beside_the_rows_are_left_out_and_said_to_be() -> None:
    row = pd.DataFrame({"income": [40.0], "age": [30]})
    table = pd.DataFrame({"label": ["no"], "age": [25], "income": [50.0]})
    rows, left_out = rows_like(table, row)
    assert list(rows.columns) == ["income", "age"]
    assert left_out == ", without their label,"
    assert rows_like(rows, row)[1] == ""
    with pytest.raises(InputError, match="`data` must have the columns of the row explained, and age is not there"):
        lt.explain(lt.BlackBox(rich), row, data=table.drop(columns="age"))


@pytest.mark.slow
def test_a_label_in_the_row_of_an_estimator_is_left_out_and_costs_count_columns() -> None:
    from sklearn.datasets import load_wine
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    wine = load_wine(as_frame=True)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(wine.data, wine.target)
    found = lt.explain(model, wine.frame.iloc[[5]], data=wine.frame, budget=120)
    assert isinstance(found, Counterfactual)
    assert list(found.source.columns) == list(wine.data.columns)
    assert "without their target" in found.notes[0]
    assert list(found.to_frame()["probability_of"]) == ["anything but 0"]
    assert found.curve
    assert all(0 < one.n_columns <= 13 for one in found.curve)
    same = [one.n_columns for one in found.curve if one.l1 == pytest.approx(found.best.l1)]
    assert set(same) <= {len(found.best.changes)}


def test_texts_give_edits_and_a_text_alone_its_words() -> None:
    edited = lt.explain(lt.BlackBox(good), TEXTS[0], data=TEXTS, budget=60)
    assert isinstance(edited, Counterfactual)
    assert "texts like it are at hand" in edited.notes[0]
    words = lt.explain(lt.BlackBox(good), TEXTS[0], budget=60)
    assert isinstance(words, WordAttribution)
    assert words.pieces[int(words.values.argmax())] == "good"
    assert "the model alone is at hand" in words.notes[0]


def test_a_generator_is_asked_for_what_would_change_the_answer() -> None:
    box = lt.BlackBox(lt.load("zoo:digits"))
    found = lt.explain(box, lt.digits()[3].image, "8", generator=lt.load_generator("zoo:digits"), budget=60)
    assert isinstance(found, Counterfactual)
    assert found.target == 8
    assert "a generator of its images is at hand" in found.notes[0]


@pytest.mark.parametrize("name", ["photo.jpg", "photos/brid.avif", "review.txt", "rows.csv"])
def test_a_misspelt_path_is_no_text(name: str) -> None:
    with pytest.raises(InputError, match=r"a file that is there, or a text, got .*, which does not exist"):
        lt.explain(lt.BlackBox(good), name, data=TEXTS)


def test_files_of_each_kind_are_read(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("a good film\n", encoding="utf-8")
    words = lt.explain(lt.BlackBox(good), tmp_path / "one.txt", budget=60)
    assert isinstance(words, WordAttribution)
    assert words.text == "a good film"


def test_a_row_of_numbers_is_no_picture() -> None:
    with pytest.raises(InputError, match="a row as a pandas DataFrame"):
        lt.explain(lt.BlackBox(halves), np.zeros((1, 4)))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*is resized")
def test_a_picture_is_brought_to_what_is_asked_and_keeps_its_name(tmp_path: Path) -> None:
    path = tmp_path / "seven.png"
    Image.fromarray((PHOTO.permute(1, 2, 0).numpy() * 255).astype(np.uint8)).save(path)
    asked = lt.explain(lt.load("zoo:digits"), path, budget=40)
    assert isinstance(asked, Attribution)
    assert asked.image.shape == (1, 32, 32)  # as the network sees it
    made = lt.explain(lt.BlackBox(lt.load("zoo:digits")), path, generator=lt.load_generator("zoo:digits"), budget=40)
    assert isinstance(made, Counterfactual)
    assert tuple(made.source.shape[1:]) == tuple(lt.load_generator("zoo:digits").shape)
    parts = lt.explain(split(), path, data=torch.rand(30, 3, 16, 16), top=2)
    assert isinstance(parts, Explanation)
    assert parts.source.endswith("seven.png")
    assert len(parts.rows) == 2


def test_a_picture_of_one_colour_ends() -> None:
    found = lt.explain(lt.BlackBox(halves), torch.full((3, 16, 16), 0.5), budget=200)
    assert isinstance(found, Attribution)
    assert found.status.reason == "constant"
    assert found.queries < 10


@pytest.mark.slow
def test_what_was_not_needed_is_said() -> None:
    images = torch.rand(30, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    found = lt.explain(
        lt.load("zoo:digits"), lt.digits()[3].image, data=images, generator=lt.load_generator("zoo:digits")
    )
    assert "What was given as generator was not needed." in found.warnings[0]  # type: ignore[union-attr]


@pytest.mark.slow
def test_what_was_found_first_stays_when_the_call_is_wrong() -> None:
    with pytest.raises(TargetError):
        lt.explain(split(), PHOTO, 7, data=torch.rand(20, 3, 16, 16))
    with pytest.raises(InputError, match="`budget` must be"):
        lt.explain(lt.BlackBox(halves), PHOTO, budget=0)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("photo.png", True), ("rows.csv", True), ("good", False), ("see photo.png", False), ("3.5", False), ("", False)],
)
def test_one_word_with_the_ending_of_a_file_is_a_path(text: str, wanted: bool) -> None:
    assert _ends_as_file(text) is wanted

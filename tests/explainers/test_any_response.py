"""Regressors, models of independent labels and functions of any answer, through every method that asks."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from torch import Tensor

import likethat as lt
from likethat.errors import InputError, TargetError
from likethat.explanations.status import Reason


def rows(latents: Tensor) -> pd.DataFrame:
    """A flat of `area` and `rooms`, and a number that no price depends on."""
    z = latents.double().numpy()
    return pd.DataFrame({"area": 80 + 20 * z[:, 0], "rooms": 3 + z[:, 1], "door": z[:, 2]})


FLATS = rows(torch.randn(200, 3, generator=torch.Generator().manual_seed(1)))
PRICE = 2000 * FLATS["area"] + 10_000 * FLATS["rooms"]  # in the middle 190,000
MADE = lt.load_generator(rows, latent_dim=3)


def regressor() -> lt.BlackBox:
    return lt.BlackBox(LinearRegression().fit(FLATS, PRICE), class_names=["price"], output="numbers")


@cache
def labels() -> Any:
    given = np.stack([FLATS["area"] > 80, FLATS["rooms"] > 3], axis=1).astype(int)
    return MultiOutputClassifier(LogisticRegression(max_iter=2000)).fit(FLATS, given)


def flat(area: float, rooms: float) -> pd.DataFrame:
    return pd.DataFrame({"area": [area], "rooms": [rooms], "door": [0.0]})


def price_of(frame: Any) -> float:
    return float((2000 * frame["area"] + 10_000 * frame["rooms"]).iloc[0])


@pytest.mark.parametrize(
    ("target", "low", "high"),
    [
        pytest.param(lt.Above(200_000), 200_000, np.inf, marks=pytest.mark.slow),
        pytest.param(lt.Below(150_000), -np.inf, 150_000, marks=pytest.mark.slow),
        (lt.Between(200_000, 204_000), 200_000, 204_000),
        pytest.param(lt.Less(percent=20), -np.inf, 144_000, marks=pytest.mark.slow),
        pytest.param(lt.More(by=30_000), 210_000, np.inf, marks=pytest.mark.slow),
    ],
)
def test_a_regressors_row_is_changed_until_its_number_lies_where_it_shall(
    target: Any, low: float, high: float, tmp_path: Path
) -> None:
    found = lt.FreeMCG(MADE).counterfactual(regressor(), flat(75, 3), target, budget=120)
    assert found.status.reason == Reason.REACHED
    value = price_of(found.best.input)
    assert low < value < high
    assert found.best.value == pytest.approx(value)
    assert found.best.is_valid
    assert "door" not in {change.name for change in found.best.changes}
    assert abs(value - 180_000) < 1.35 * max(low - 180_000, 180_000 - high)  # not far beyond the line
    assert found.source_name == "price 180,000"
    assert found.target_name == f"price {found.measured.wanted}"  # type: ignore[union-attr]
    again: Any = lt.open(found.save(tmp_path / "record"))
    assert (again.measured, again.best.value) == (found.measured, found.best.value)
    page = found.save(tmp_path / "page.html").read_text("utf-8")
    assert "price 180,000" in page
    assert "change of the price" in page
    assert "probability" not in page


def test_a_line_that_nothing_passes_is_told_with_the_nearest_number() -> None:
    found = lt.FreeMCG(MADE).counterfactual(regressor(), flat(75, 3), lt.Above(5e6), budget=80)
    assert not found.status
    assert "nearest price was" in found.status.advice
    assert "confidence" not in found.status.advice
    assert "%" not in found.status.advice


def test_what_the_source_has_already_and_a_number_without_a_line_are_refused() -> None:
    method = lt.FreeMCG(MADE)
    with pytest.raises(TargetError, match="its price is 180,000 already"):
        method.counterfactual(regressor(), flat(75, 3), lt.Above(100_000))
    with pytest.raises(InputError, match="where price shall lie, got the number alone"):
        method.counterfactual(regressor(), flat(75, 3))
    with pytest.raises(InputError, match="must say where a number shall lie, got None"):
        lt.Exemplars(MADE).search_all(regressor())
    with pytest.raises(InputError, match="must be one label where they do not exclude"):
        method.counterfactual(lt.BlackBox(labels()), flat(75, 3))


@pytest.mark.slow
@pytest.mark.parametrize("model", [LinearRegression().fit(FLATS, PRICE), LinearRegression().fit(FLATS, PRICE).predict])
def test_exemplars_of_a_number_from_a_bare_model(model: Any, tmp_path: Path) -> None:
    found = lt.Exemplars(MADE).search(model, lt.Above(260_000), n=2, budget=150)
    assert found.status
    assert found.values is not None
    assert found.values.tolist() == pytest.approx([price_of(found.inputs.iloc[[row]]) for row in (0, 1)])
    assert bool((found.values > 260_000).all())
    assert found.description == "answer above 260,000"
    assert "26" in found.save(tmp_path / "page.html").read_text("utf-8")
    again: Any = lt.open(found.save(tmp_path / "record"))
    assert again.values.tolist() == found.values.tolist()
    most = lt.Exemplars(MADE).search(model, lt.Response(lambda x: np.ravel(x), name="price"), n=1, budget=60)
    assert most.description == "high price"
    assert float(most.values[0]) > 240_000  # type: ignore[index]


@pytest.mark.slow
def test_labels_are_added_and_taken_away(tmp_path: Path) -> None:
    box = lt.BlackBox(labels(), class_names=["large", "many rooms"])
    method = lt.FreeMCG(MADE)
    on = method.counterfactual(box, flat(60, 4.5), lt.Label("large"), budget=120)
    off = method.counterfactual(box, flat(60, 4.5), lt.Label("many rooms", on=False), budget=120)
    assert on.status
    assert off.status
    assert on.best.value is not None
    assert off.best.value is not None
    assert on.best.value >= 0.6
    assert off.best.value <= 0.4
    assert "rooms" not in {change.name for change in on.best.changes}
    assert "area" not in {change.name for change in off.best.changes}
    same = method.counterfactual(box, flat(60, 4.5), "large", budget=120)
    assert same.best.value == on.best.value
    assert "no longer many rooms" in off.save(tmp_path / "page.html").read_text("utf-8")
    assert [one.description for one in lt.Exemplars(MADE).search_all(box, n=1, budget=40)] == ["large", "many rooms"]


def squares(images: Tensor) -> list[dict[str, Tensor]]:
    """A detector: one box round the brightest quarter, with its mean as the score."""
    quarters = torch.nn.functional.avg_pool2d(images.mean(1, keepdim=True), images.shape[-1] // 2).flatten(1)
    return [{"scores": row.max()[None], "boxes": torch.tensor([[0.0, 0.0, 8.0, 8.0]])} for row in quarters]


class Detector(torch.nn.Module):
    def forward(self, images: Tensor) -> list[dict[str, Tensor]]:
        return squares(images)


def test_the_score_of_a_detectors_box_is_mapped_in_its_own_unit(tmp_path: Path) -> None:
    image = torch.full((3, 16, 16), 0.2)
    image[:, 8:, 8:] = 0.9
    score = lt.Response(lambda found: torch.stack([one["scores"][0] for one in found]), name="score of the box")
    for model in (squares, Detector(), lt.BlackBox(Detector(), response=score)):
        found = lt.FreeMCG().attribute(model, image, score, budget=96)
        assert found.value == pytest.approx(0.9)
        assert found.target_name == "score of the box"
        inside = float(found.heat_map[8:, 8:].mean())  # of a pixel: the map is smooth and reaches over the border
        assert inside > 4 * float(np.abs(found.heat_map[:8]).mean())
    page = found.save(tmp_path / "page.html").read_text("utf-8")
    assert "What raises “score of the box”" in page
    assert "Its score of the box is 0.9, as the model has it." in page
    again: Any = lt.open(found.save(tmp_path / "record"))
    assert again.value == found.value


def test_a_regressor_of_texts_is_explained_and_changed() -> None:
    def stars(texts: list[str]) -> list[list[float]]:
        return [[3.0 + 2 * text.count("good") - 2 * text.count("bad")] for text in texts]

    box = lt.BlackBox(stars, output="numbers", class_names=["stars"])
    words = lt.FreeMCG().attribute(box, "a good film with a slow start", budget=64)
    assert (words.value, words.target_name) == (5.0, "stars")
    assert words.pieces[int(np.argmax(words.values))] == "good"
    assert float(words.values.max()) == pytest.approx(2, abs=0.3)  # stars, not log-odds
    corpus = ["a good film with a slow start", "a bad film with a slow start", "a bad play", "a good play"] * 5
    found = lt.FreeMCG(lt.TextEdits(corpus)).counterfactual(
        box, "a good film with a slow start", lt.Below(4), budget=80
    )
    assert found.best.value is not None
    assert found.best.value < 4
    assert found.best.is_valid


def test_answers_in_a_file_are_those_numbers_again(tmp_path: Path) -> None:
    def predict(x: Tensor) -> Tensor:
        return 1000 * x

    boxes = [lt.BlackBox(predict, output="numbers", cache=tmp_path / "a", key="k") for _ in range(2)]
    x = torch.tensor([[1.0], [-2.0]])
    assert boxes[0](x).tolist() == [[1000.0], [-2000.0]]
    again = lt.BlackBox(predict, output="numbers", cache=tmp_path / "a", key="k", check_determinism=False)
    assert again(x).tolist() == [[1000.0], [-2000.0]]
    assert again.queries == 0
    assert (again.class_names, again.output) == (("answer",), "numbers")


PAGE = Path(__file__).parents[2] / "docs" / "black-boxes.md"


@pytest.mark.slow
def test_the_examples_of_the_page_run() -> None:
    blocks = re.findall(r'^```python title="([^"]+)"\n(.*?)^```$', PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert [name for name, _ in blocks] == ["a regressor", "several labels", "a detector's box"]
    seen: dict[str, Any] = {}
    for name, block in blocks:
        exec(compile(block, name, "exec"), seen)
    assert seen["found"].status
    assert seen["found"].best.value < 0.8 * seen["found"].path.probability[0]
    assert seen["off"].best.is_valid
    assert seen["typical"].reached.all()
    heat = seen["where"].heat_map
    assert seen["where"].value == pytest.approx(0.9)
    assert heat[8:14, 20:26].mean() > 5 * np.abs(heat).mean()  # of a pixel: the map reaches over the border

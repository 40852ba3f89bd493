"""Many inputs in one call: each as it would be alone, answered together, kept in a folder that goes on."""

import io
import math
import shutil
import tarfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from black_box_servers import Reply, Request, serve
from PIL import Image
from spread import Sums
from torch import Tensor, nn
from toys import small_cnn

import likethat as lt
from likethat.errors import ArgumentError, BlackBoxError, InputError
from likethat.explanations.many import Many
from likethat.explanations.saved import read_result
from likethat.generators.table.generator import TableVAE
from likethat.generators.table.training import train_table
from likethat.models.black_box.together import together
from likethat.options import TableTraining


class Counted:
    """Two classes by the sign of the sum of four latents' pixels; notes the size of each call."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, images: Tensor) -> Tensor:
        self.sizes.append(len(images))
        chances = [
            1 / (1 + math.exp(3 - 6 * float(image.double().mean()))) for image in images
        ]  # whatever stands beside
        return torch.tensor([[1 - chance, chance] for chance in chances], dtype=torch.float64)


def images(n: int = 6) -> list[Tensor]:
    rng = torch.Generator().manual_seed(0)
    return [Sums("image")(torch.randn(1, 4, generator=rng))[0] for _ in range(n)]


def plain(result: Any) -> dict[str, Any]:
    found = result.to_dict()
    found.pop("seconds", None)
    return found


@pytest.mark.slow
def test_searches_find_what_they_find_alone_in_fewer_calls() -> None:
    method, sources = lt.FreeMCG(Sums("image"), seed=0), images()
    alone, models = [], Counted()
    for source in sources:
        alone.append(method.counterfactual(lt.BlackBox(models, class_names=["a", "b"]), source, budget=60))
    model = Counted()
    box = lt.BlackBox(model, class_names=["a", "b"])
    found = dict(
        together(box, 6, lambda view, place: method.counterfactual(view, sources[place], budget=60), at_once=4)
    )
    assert sorted(found) == list(range(6))
    for place, one in enumerate(alone):
        assert plain(found[place]) == plain(one)
        np.testing.assert_array_equal(found[place].best.input.numpy(), one.best.input.numpy())  # type: ignore[union-attr]
    assert len(model.sizes) < len(models.sizes) / 2
    assert max(model.sizes) > max(models.sizes)
    assert box.queries <= sum(one.queries for one in alone)  # all share one memory


def test_a_budget_is_that_of_all_together() -> None:
    method, sources = lt.FreeMCG(Sums("image"), seed=0), images()
    box = lt.BlackBox(Counted(), class_names=["a", "b"], budget=90)
    found = dict(
        together(box, 6, lambda view, place: method.counterfactual(view, sources[place], budget=60), at_once=6)
    )
    assert box.queries <= 90
    assert all(isinstance(one, lt.explanations.counterfactual.Counterfactual | Exception) for one in found.values())
    assert sum(not isinstance(one, Exception) for one in found.values()) >= 3


@pytest.mark.parametrize("budget", [1, 37, 90, 181, 10_000])
@pytest.mark.parametrize("at_once", [1, 3, 8])
def test_no_more_is_asked_than_is_allowed_in_all(budget: int, at_once: int) -> None:
    model = Counted()
    box = lt.BlackBox(model, class_names=["a", "b"], budget=budget)
    found = lt.explain_all(box, images(8), budget=40, at_once=at_once)
    assert sum(model.sizes) == box.queries <= budget
    assert all(row.kind or "budget" in row.status for row in found.rows)
    if budget < 300:
        assert box.remaining == 0  # all that was allowed
        assert "budget" in {row.status for row in found.rows} or found.failures
    else:
        assert not found.failures


def test_a_service_with_a_rate_limit_is_asked_by_one_at_a_time_and_never_too_much() -> None:
    under_way, together_there, answered, busy = [0], [0], [0], [3]

    def answer(request: Request) -> Reply:
        under_way[0] += 1
        together_there[0] = max(together_there[0], under_way[0])
        busy[0] -= 1
        if busy[0] in (0, 1):
            reply = Reply({"error": "slowly"}, 429, {"Retry-After": "0.01"})
        else:
            rows = request.body["instances"]
            answered[0] += len(rows)
            chances = [sum(map(sum, row[0])) / 4 for row in rows]
            reply = Reply({"predictions": [[1 - chance, chance] for chance in chances]})
        under_way[0] -= 1
        return reply

    with serve(answer) as service:
        box = lt.BlackBox(
            service.url, template={"instances": "$inputs"}, answer="predictions", backoff=0.001, budget=200
        )
        found = lt.explain_all(box, images(8), budget=40)
    assert answered[0] == box.queries == 200
    assert together_there[0] == 1
    assert box.requests == len(service.requests) < 40
    assert all(row.kind or "budget" in row.status for row in found.rows)


@pytest.mark.slow
def test_rows_are_computed_together_and_found_as_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"x": rng.normal(size=80).round(2), "y": rng.normal(size=80), "word": rng.choice(["a", "b"], 80)}
    )
    made = train_table(frame, TableTraining(epochs=10))

    def model(rows: Any) -> np.ndarray:
        p = 1 / (1 + np.exp(-3 * rows["x"].to_numpy() - rows["y"].to_numpy() - (rows["word"] == "a").to_numpy()))
        return np.stack([1 - p, p], axis=1)

    computed: list[int] = []

    def noted(numbers: Any, gone: Any) -> Any:
        computed.append(len(numbers))
        return TableVAE.surprise_at(made, numbers, gone)

    monkeypatch.setattr(made, "surprise_at", noted)
    alone = [lt.explain(lt.BlackBox(model), frame.iloc[[row]], generator=made, budget=60) for row in range(6)]
    n_alone = len(computed)
    computed.clear()
    found = lt.explain_all(lt.BlackBox(model), frame.iloc[:6], generator=made, budget=60, at_once=6)
    assert [plain(one) for one in found] == [plain(one) for one in alone]
    assert len(computed) < n_alone / 2
    assert max(computed) > 30
    monkeypatch.setattr(made, "surprise_at", broken_once(TableVAE.surprise_at, made))
    partly = lt.explain_all(lt.BlackBox(model), frame.iloc[:3], generator=made, budget=60)
    assert [plain(one) for one in partly] == [plain(one) for one in alone[:3]]  # each computed alone then


def broken_once(function: Any, made: Any) -> Any:
    left = [1]

    def called(*rows: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            raise InputError("one of many is wrong.")
        return function(made, *rows)

    return called


def test_one_that_cannot_be_asked_stops_no_other() -> None:
    def picky(images: Tensor) -> Tensor:
        if bool((images.amax(dim=(1, 2, 3)) > 0.999).any()):
            raise ValueError("too bright")
        return Counted()(images)

    bright = torch.ones_like(images()[0])
    found = lt.explain_all(
        lt.BlackBox(picky, class_names=["a", "b"], check_determinism=False), [*images(3), bright], budget=40
    )
    assert [row.kind for row in found.rows] == ["Attribution"] * 3 + [""]
    assert list(found.failures) == ["image 3"]
    assert "too bright" in found.failures["image 3"]
    assert repr(found) == "<Many: 3 of 4 inputs explained, 1 failed>"


def test_what_is_no_error_of_ours_is_raised() -> None:
    def broken(view: lt.BlackBox, place: int) -> int:
        raise ZeroDivisionError

    ((place, error),) = together(lt.BlackBox(Counted(), class_names=["a", "b"]), 1, broken, at_once=2)
    assert place == 0
    assert isinstance(error, ZeroDivisionError)


@pytest.mark.slow
def test_a_folder_goes_on_where_it_stopped(tmp_path: Path) -> None:
    sources, seen = images(), []

    def stop(report: lt.Progress) -> None:
        seen.append((report.stage, report.done, report.total))
        if report.done == 2:
            raise KeyboardInterrupt

    def call(model: Any, **more: Any) -> Many:
        box = lt.BlackBox(model, class_names=["a", "b"])
        return lt.explain_all(box, sources, budget=40, at_once=2, into=tmp_path / "all", **more)

    first = call(Counted(), watch=stop)
    assert first.is_interrupted
    assert repr(first) == "<Many: 2 of 6 inputs explained, 4 not reached>"
    kept = {path: path.read_bytes() for path in (tmp_path / "all" / "00000").rglob("*") if path.is_file()}
    model = Counted()
    whole = call(model, watch=lambda report: seen.append((report.stage, report.done, report.total)))
    assert seen[-1] == ("explaining", 6, 6)
    assert ("explaining", 3, 6) in seen
    assert all(path.read_bytes() == data for path, data in kept.items())
    assert not whole.is_interrupted
    again = lt.explain_all(lt.BlackBox(Counted(), class_names=["a", "b"]), sources, budget=40)
    assert [plain(one) for one in whole] == [plain(one) for one in again]
    call(asked := Counted())
    assert asked.sizes == []  # all was there
    opened = lt.open(tmp_path / "all")
    assert isinstance(opened, Many)
    assert opened.rows == whole.rows == again.rows
    assert plain(opened[5]) == plain(again[5])
    page = (tmp_path / "all" / "index.html").read_text()
    assert all(f'href="{place:05d}.html"' in page for place in range(6))
    assert len(pd.read_csv(tmp_path / "all" / "table.csv")) == 6


def test_a_folder_of_another_call_or_of_others_is_left_as_it_is(tmp_path: Path) -> None:
    box = lt.BlackBox(Counted(), class_names=["a", "b"])
    lt.explain_all(box, images(2), budget=40, into=tmp_path / "mine")
    (tmp_path / "mine" / "00001" / "note.txt").write_text("mine")
    for change in ({"budget": 41}, {"seed": 1}, {"target": 0}):
        with pytest.raises(InputError, match="holds results of other inputs, another model or other options"):
            lt.explain_all(box, images(2), **{"budget": 40, "into": tmp_path / "mine", **change})  # type: ignore[arg-type]
    lt.explain_all(box, images(2), budget=40, into=tmp_path / "mine")
    assert (tmp_path / "mine" / "00001" / "note.txt").read_text() == "mine"
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "a.txt").write_text("theirs")
    with pytest.raises(InputError, match="is in use"):
        lt.explain_all(box, images(1), budget=40, into=tmp_path / "theirs")
    assert [path.name for path in (tmp_path / "theirs").iterdir()] == ["a.txt"]


def test_a_bank_is_not_taken_for_the_folder_of_its_explanations(tmp_path: Path) -> None:
    pictures = torch.rand(24, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    bank = lt.EPIC(n_prototypes=2).fit(lt.split(small_cnn(n_classes=3), example=pictures[:4]), pictures)
    before = sorted(path.name for path in bank.save(tmp_path / "bank").iterdir())
    found = lt.explain_all(bank, pictures[:2], into=tmp_path / "all")
    for write in (
        lambda: lt.explain_all(bank, pictures[:2], into=tmp_path / "bank"),
        lambda: found.save(tmp_path / "bank"),
    ):
        with pytest.raises(InputError, match="holds something else of likethat's"):
            write()
    assert sorted(path.name for path in (tmp_path / "bank").iterdir()) == before
    for more in ({"seed": 1}, {"budget": 3}, {"data": pictures}, {"generator": Sums("image")}, {"method": print}):
        with pytest.raises(InputError, match=f"`{next(iter(more))}` must be left out beside"):
            lt.explain_all(bank, pictures[:2], **more)  # type: ignore[arg-type]
    other = lt.EPIC(n_prototypes=2).fit(bank.model, pictures[:20])
    with pytest.raises(InputError, match="another model or other options"):
        lt.explain_all(other, pictures[:2], into=tmp_path / "all")


def test_other_weights_are_another_call(tmp_path: Path) -> None:
    networks = [small_cnn(n_classes=3, seed=seed) for seed in (0, 1)]
    pictures = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    lt.explain_all(networks[0], pictures, budget=40, into=tmp_path / "all")
    with pytest.raises(InputError, match="another model or other options"):
        lt.explain_all(networks[1], pictures, budget=40, into=tmp_path / "all")


def test_models_of_one_name_are_told_apart_by_what_they_hold(tmp_path: Path) -> None:
    def of(slope: float) -> Any:
        return lambda pictures: torch.stack([-slope * pictures.mean((1, 2, 3)), pictures[:, 0, 0, 0]], 1).softmax(1)

    lt.explain_all(of(1.0), images(1), budget=40, into=tmp_path / "all")
    lt.explain_all(of(1.0), images(1), budget=40, into=tmp_path / "all")
    for other in (of(2.0), lt.BlackBox(of(1.0), inputs=lambda x: 1 - x), lt.BlackBox(of(1.0), output="labels")):
        with pytest.raises(InputError, match=r"another model or other options.*BlackBox\(\.\.\., key=\.\.\.\)"):
            lt.explain_all(other, images(1), budget=40, into=tmp_path / "all")


def test_a_model_that_changes_while_it_is_asked_goes_by_its_key(tmp_path: Path) -> None:
    model = Counted()
    boxes = [lt.BlackBox(model, key=key) for key in ("mine", "mine", "other")]
    lt.explain_all(boxes[0], images(1), budget=40, into=tmp_path / "all")
    lt.explain_all(boxes[1], images(1), budget=40, into=tmp_path / "all")
    for other in (boxes[2], lt.BlackBox(model)):
        with pytest.raises(InputError, match="another model or other options"):
            lt.explain_all(other, images(1), budget=40, into=tmp_path / "all")


def test_what_somebody_put_beside_the_results_stays_and_fails_its_row_alone(tmp_path: Path) -> None:
    box = lt.BlackBox(Counted(), class_names=["a", "b"])
    folder, outside = tmp_path / "all", tmp_path / "target.txt"
    lt.explain_all(box, images(3), budget=40, into=folder)
    for place in (0, 1, 2):
        shutil.rmtree(folder / f"0000{place}")
        (folder / f"0000{place}.html").unlink()
    (folder / "00000.html").write_text("mine")
    outside.write_text("mine")
    (folder / "00001.html").symlink_to(outside)
    (folder / "00002").mkdir()
    (folder / "00002" / "user.txt").write_text("mine")
    again = lt.explain_all(box, images(4)[:3], budget=40, into=folder)
    assert len(again.failures) == 3
    assert [path.read_text() for path in (folder / "00000.html", outside, folder / "00002" / "user.txt")] == [
        "mine"
    ] * 3
    assert (folder / "00001.html").is_symlink()


def test_a_call_that_came_to_nothing_leaves_nothing(tmp_path: Path) -> None:
    box = lt.BlackBox(Counted(), class_names=["a", "b"])
    with pytest.raises(InputError, match="nope"):
        lt.explain_all(box, images(2), "nope", budget=40, into=tmp_path / "all")
    assert not (tmp_path / "all").exists()
    assert len(lt.explain_all(box, images(2), "a", budget=40, into=tmp_path / "all").failures) == 0


def test_a_method_that_gives_something_else_is_told() -> None:
    with pytest.raises(InputError, match="`method` must return a result of likethat, got None"):
        lt.explain_all(Counted(), images(1), method=lambda model, one, target, budget: None, budget=40)


@pytest.mark.slow
def test_a_bank_explains_all_and_is_fitted_once(tmp_path: Path) -> None:
    pictures = torch.rand(24, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    model = lt.split(small_cnn(n_classes=3), example=pictures[:4])
    bank = lt.PartPrototypes(n_parts=2, n_prototypes=2).fit(model, pictures)
    found = lt.explain_all(bank, pictures[:3], 1, top=2)
    assert [row.target for row in found.rows] == ["class 1"] * 3
    assert [plain(one)["logit"] for one in found] == [
        plain(bank.explain(one, 1, top=2))["logit"] for one in pictures[:3]
    ]
    fitted = lt.explain_all(model, pictures[:2], data=pictures)
    assert [row.kind for row in fitted.rows] == ["Explanation"] * 2
    saved = found.save(tmp_path / "kept")
    assert lt.open(saved).rows == found.rows  # type: ignore[union-attr]
    assert "3 of 3 inputs explained" in found.save(tmp_path / "page.html").read_text()
    assert found.to_frame()["probability"].between(0, 1).all()


@pytest.mark.slow
def test_rows_and_texts() -> None:
    frame = pd.DataFrame({"x": np.linspace(0, 1, 40), "y": np.linspace(1, 0, 40)})
    model = lt.BlackBox(lambda rows: np.stack([1 - rows["x"], rows["x"]], 1), class_names=["low", "high"])
    rows = lt.explain_all(model, frame.iloc[[3, 36]], data=frame, budget=40)
    assert [row.target for row in rows.rows] == ["anything but low", "anything but high"]
    assert [row.name for row in rows.rows] == ["row 3", "row 36"]
    words = lt.explain_all(
        lambda texts: [[0.9, 0.1] if "good" in text else [0.2, 0.8] for text in texts], ["good as it is", "a bad one"],
        budget=40,
    )  # fmt: skip
    assert [row.kind for row in words.rows] == ["WordAttribution"] * 2


@pytest.mark.parametrize("nothing", [[], torch.zeros(0, 3, 8, 8), pd.DataFrame({"x": []}), 3])
def test_no_inputs_are_said(nothing: Any) -> None:
    with pytest.raises(InputError):
        lt.explain_all(Counted(), nothing, budget=40)


def test_a_server_that_fails_is_told_and_asked_again_by_the_same_call(tmp_path: Path) -> None:
    def down(images: Tensor) -> Tensor:
        raise BlackBoxError("the server is down.")

    up = []

    def mended(images: Tensor) -> Tensor:
        return Counted()(images) if up else down(images)

    def call() -> Many:
        box = lt.BlackBox(mended, class_names=["a", "b"], check_determinism=False)
        return lt.explain_all(box, images(2), budget=40, into=tmp_path / "all")

    with pytest.raises(InputError, match="the server is down"):
        call()
    up.append(True)
    found = call()  # what failed is tried again
    assert not found.failures
    assert lt.open(tmp_path / "all").rows == found.rows  # type: ignore[union-attr]


@pytest.mark.parametrize("change", [{"target": "zebra"}, {"budget": 5}])
def test_a_call_that_fits_no_input_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"`(target|budget)` must be"):
        lt.explain_all(lt.BlackBox(lt.load("zoo:digits")), torch.rand(2, 1, 8, 8), **{"budget": 40, **change})


def test_pictures_are_called_as_their_files_and_one_that_does_not_open_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("b&<i>", "c"):
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a" / f"{name}.png")
    (tmp_path / "a" / "bad.png").write_bytes(b"no picture")
    found = lt.explain_all(lt.load("zoo:digits"), tmp_path, budget=40)
    assert [row.name for row in found.rows] == ["a/b&<i>.png", "a/bad.png", "a/c.png"]
    assert list(found.failures) == ["a/bad.png"]
    page = found.save(tmp_path / "page.html").read_text()
    assert "a/b&amp;&lt;i&gt;.png" in page
    assert "<i>" not in page


@pytest.mark.parametrize("kind", ["images of two sizes", "columns of whole numbers and of others"])
def test_questions_that_cannot_be_joined_are_asked_apart(kind: str) -> None:
    calls: list[str] = []

    def predict(inputs: Any) -> np.ndarray:
        is_image = isinstance(inputs, Tensor)
        calls.append(str(tuple(inputs.shape[1:])) if is_image else ",".join(map(str, inputs.dtypes)))
        mean = inputs.double().mean((1, 2, 3)).numpy() if is_image else inputs["x"].to_numpy(dtype=float)
        return np.stack([1 - mean, mean], axis=1)

    given = (
        [torch.full((1, 3, size, size), 0.25) for size in (8, 12, 8)]
        if kind.startswith("images")
        else [pd.DataFrame({"x": values}) for values in ([0], [0.25], [1])]
    )
    box = lt.BlackBox(predict, class_names=["a", "b"], check_determinism=False)
    found = dict(together(box, 3, lambda view, place: view(given[place])[0, 1].item(), at_once=3))
    assert found == ({0: 0.25, 1: 0.25, 2: 0.25} if kind.startswith("images") else {0: 0.0, 1: 0.25, 2: 1.0})
    assert sorted(calls) == (["(3, 12, 12)", "(3, 8, 8)"] if kind.startswith("images") else ["float64", "int64"])


@pytest.mark.slow
def test_pictures_of_any_size_are_explained_together() -> None:
    def halves(x: Tensor) -> Tensor:
        p = (9 * (x[..., :8].double().mean((1, 2, 3)) - x[..., 8:].double().mean((1, 2, 3)))).sigmoid()
        return torch.stack([p, 1 - p], 1)

    rng = torch.Generator().manual_seed(0)
    pictures = [torch.rand(3, size, size + 4, generator=rng) for size in (12, 16, 12)]
    found = lt.explain_all(lt.BlackBox(halves), pictures, budget=40)
    assert not found.failures
    for picture, one in zip(pictures, found, strict=True):
        assert plain(one) == plain(lt.explain(lt.BlackBox(halves), picture, budget=40))


@pytest.mark.parametrize("kind", ["a network", "an estimator"])
def test_how_many_are_asked_together_changes_no_digit(kind: str) -> None:
    if kind == "a network":  # rows of fewer than 16 are rounded otherwise
        model: Any = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(768, 100), torch.nn.Linear(100, 2)).eval()
        inputs: Any = torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        how: dict[str, Any] = {"budget": 40}
    else:  # how a table lies in memory decides its rounding
        linear_model = pytest.importorskip("sklearn.linear_model", reason="needs likethat[tables]")
        rows = np.random.default_rng(0).normal(size=(60, 5))
        data = pd.DataFrame(rows, columns=list("abcde"))
        model = linear_model.LogisticRegression().fit(data, (rows[:, 0] > rows[:, 1]).astype(int))
        made = lt.train_generator(data, kind="table", epochs=1, quality=False)
        inputs, how = data[:6], {"method": lt.FreeMCG(made, seed=0).counterfactual, "budget": 40}
    alone, some, whole = (lt.explain_all(model, inputs, at_once=n, **how) for n in (1, 3, 32))
    assert [plain(one) for one in alone] == [plain(one) for one in some] == [plain(one) for one in whole]


def test_searches_end_when_nobody_takes_their_results() -> None:
    method, sources = lt.FreeMCG(Sums("image"), seed=0), images()
    box = lt.BlackBox(Counted(), class_names=["a", "b"])
    results = together(
        box,
        6,
        lambda view, place: method.counterfactual(view, sources[place], budget=60) if place else place,
        at_once=6,
    )
    assert next(results) == (0, 0)
    results.close()  # type: ignore[attr-defined]
    for thread in [one for one in threading.enumerate() if one.name.startswith("likethat-search-")]:
        thread.join(timeout=20)
        assert not thread.is_alive()


@pytest.mark.slow
def test_a_method_is_taken_with_all_that_it_takes(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": np.linspace(0, 1, 40), "y": np.linspace(1, 0, 40), "z": [0.5, 0.25] * 20})
    model = lt.BlackBox(lambda rows: np.stack([1 - rows["x"], rows["x"]], 1), class_names=["low", "high"])
    method = lt.FreeMCG(train_table(frame, TableTraining(epochs=20)), seed=1)
    limits: dict[str, Any] = {"n": 2, "immutable": ["z"], "directions": {"x": "up"}}
    rows = frame.iloc[[3, 8]]

    def call(**more: Any) -> Many:
        return lt.explain_all(
            model, rows, "high", into=tmp_path / "all", budget=60, **{"method": method.counterfactual, **limits, **more}
        )

    found = call()
    for place, one in enumerate(found):
        alone = method.counterfactual(model, rows.iloc[[place]], "high", budget=60, **limits)
        assert plain(one) == plain(alone)
        edits = getattr(one, "edits", ())
        assert edits
        assert {change.name for edit in edits for change in edit.changes} <= {"x", "y"}
    kept = lt.FreeMCG(lt.load_generator(method.generator.save(tmp_path / "made")), seed=1)  # as another process has it
    again = lt.explain_all(model, rows, "high", method=kept.counterfactual, into=tmp_path / "all", budget=60, **limits)
    assert again.rows == found.rows
    for other in ({"n": 1}, {"immutable": []}, {"method": lt.FreeMCG(method.generator, seed=2).counterfactual}):
        with pytest.raises(InputError, match="other inputs, another model or other options"):
            call(**other)
    maps = lt.explain_all(Counted(), images(2), method=lt.FreeMCG().attribute, budget=40, algorithm="patches")
    assert [row.kind for row in maps.rows] == ["Attribution"] * 2


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"n": 2}, "`n` is no option of explain_all without `method`"),
        ({"method": lt.FreeMCG().attribute, "immutable": []}, "`immutable` is no option of FreeMCG.attribute"),
        ({"method": lt.FreeMCG().attribute, "seed": 3}, "`seed` must be left out beside a method"),
        ({"method": lt.FreeMCG().attribute, "generator": Sums("image")}, "`generator` must be left out beside"),
        ({"method": "attribute"}, "`method` must be"),
    ],
)
def test_options_that_nobody_reads_are_refused(more: dict[str, Any], sentence: str) -> None:
    with pytest.raises((InputError, ArgumentError), match=sentence):
        lt.explain_all(Counted(), images(1), **{"budget": 40, **more})


def test_a_table_of_results_is_read_and_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box = lt.BlackBox(Counted(), class_names=["a", "b"])
    found = lt.explain_all(box, images(3), budget=40, into=tmp_path / "all")
    read: list[Path] = []

    def noted(folder: Path, kinds: Any) -> Any:
        read.append(folder)
        return read_result(folder, kinds)

    monkeypatch.setattr("likethat.explanations.many.read_result", noted)
    opened = lt.open(tmp_path / "all")
    assert isinstance(opened, Many)
    assert opened.rows == found.rows
    assert lt.explain_all(box, images(3), budget=40, into=tmp_path / "all").rows == found.rows
    assert read == []
    (tmp_path / "all" / "rows.json").write_text('{"0": {"name": "another"}, "1": 3}')  # damaged: read what it was of
    assert lt.open(tmp_path / "all").rows == found.rows  # type: ignore[union-attr]
    assert len(read) == 3


def test_pictures_in_shards_are_called_as_there(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "birds-0.tar", "w") as tar:
        for name in ("wren/1.png", "wren/2.png"):
            file = io.BytesIO()
            Image.fromarray(np.full((8, 8), 90, np.uint8)).save(file, "png")
            member = tarfile.TarInfo(name)
            member.size = file.tell()
            tar.addfile(member, io.BytesIO(file.getvalue()))
    found = lt.explain_all(lt.load("zoo:digits"), lt.Shards(tmp_path / "birds-0.tar"), budget=40)
    assert [row.name for row in found.rows] == ["birds-0.tar/wren/1.png", "birds-0.tar/wren/2.png"]


def test_the_same_network_cut_elsewhere_is_another_call(tmp_path: Path) -> None:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    network = nn.Sequential(*layers, nn.Linear(4, 2)).eval()
    example, images = torch.rand(4, 3, 12, 12), torch.rand(2, 3, 12, 12)
    lt.explain_all(lt.split(network, example=example), images, into=tmp_path / "o")
    with pytest.raises(InputError, match="another model"):
        lt.explain_all(lt.split(network, example=example, layer="1"), images, into=tmp_path / "o")

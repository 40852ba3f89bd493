"""`Exemplars`: targets, budgets, distinctness, interruption, bad input, and what is saved."""

import json
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from likethat._progress import Progress
from likethat.errors import BudgetError, InputError, NonFiniteError, TargetError
from likethat.explainers.exemplars.method import Exemplars
from likethat.explainers.exemplars.plausibility import distance_to_real
from likethat.generators.priors import StandardNormal
from likethat.models.black_box import BlackBox
from likethat.report.exemplars import exemplars_page
from likethat.search import CMAES, Evolution, PriorSampling, Problem, Surrogate

DIM, NAMES = 6, ("ant", "bee", "<b>cat")
WEIGHT = torch.randn(DIM, 3, generator=torch.Generator().manual_seed(1)) * 2
QUICK = Surrogate(candidates=60)


class Drawn:
    """Latents as pictures of 2 by 3 pixels."""

    kind, prior, differentiable = "image", StandardNormal(DIM), True

    def __call__(self, latents: Tensor) -> Any:
        return latents.sigmoid().reshape(-1, 1, 2, 3)


class Tabled(Drawn):
    """Latents as rows of few values: many latents make the same row."""

    kind = "table"

    def __call__(self, latents: Tensor) -> Any:
        words = [["low", "high"][int(row[0] > 0)] for row in latents]
        return pd.DataFrame({"size": words, "weight": latents[:, 1].round().tolist()})


class Told(Drawn):
    kind = "text"

    def __call__(self, latents: Tensor) -> Any:
        return [f"<i>{row[0]:.3f}</i> and {row[1]:.3f}" for row in latents]


def predict(images: Tensor) -> Tensor:
    return torch.softmax(images.flatten(1).logit() @ WEIGHT, 1)


def box(**options: Any) -> BlackBox:
    return BlackBox(predict, class_names=NAMES, check_determinism=False, **options)


def heavy(rows: pd.DataFrame) -> Tensor:
    sure = torch.sigmoid(torch.tensor(rows["weight"].to_numpy() * 4.0) - 2 * torch.tensor(rows["size"] == "low"))
    return torch.stack([1 - sure, sure], 1)


def test_a_class_by_name_or_index() -> None:
    first = Exemplars(Drawn(), algorithm=QUICK).search(box(), "bee", n=3, data=torch.rand(20, 1, 2, 3))
    second = Exemplars(Drawn(), algorithm=QUICK).search(box(batch_size=2), 1, n=3)
    assert first.status
    assert (first.target, first.description) == (1, "bee")
    assert bool((first.confidence >= 0.95).all())
    assert first.distance_to_real is not None
    torch.testing.assert_close(first.latents, second.latents)  # the same seed; the box's batches do not matter
    torch.testing.assert_close(predict(first.inputs).double(), first.probabilities, rtol=1e-4, atol=1e-6)  # type: ignore[arg-type]
    radius = 0.25 * torch.pdist(torch.randn(500, DIM)).mean()
    assert torch.pdist(first.latents).min() > 0.9 * radius
    assert len(first.curve) == first.queries
    assert bool((first.curve.diff() <= 0).all())
    assert first.film.errors[-1] == first.curve[-1]


@pytest.mark.slow
@pytest.mark.parametrize("target", [{"ant": 0.5, "bee": 0.5}, [0.5, 0.5, 0.0], torch.tensor([0.5, 0.5, 0.0])])
def test_a_boundary(target: Any) -> None:
    found = Exemplars(Drawn(), algorithm=QUICK).search(box(), target, n=2)
    assert found.status
    assert found.description == "50 % ant, 50 % bee"
    wanted = torch.tensor([0.5, 0.5, 0.0]).double()
    assert (found.probabilities - wanted).abs().max() <= 0.05


@pytest.mark.slow
def test_a_response_with_and_without_a_threshold() -> None:
    def doubt(p: Tensor) -> Tensor:
        return -(p * p.log()).sum(1)

    method = Exemplars(Drawn(), algorithm=QUICK)
    enough = method.search(box(), doubt, n=1, threshold=0.7)
    assert enough.status.reason == "reached"
    assert doubt(enough.probabilities).min() >= 0.7
    most = method.search(box(), doubt, n=2, budget=15)
    assert most.status.reason == "budget"
    assert -most.errors[0] == pytest.approx(float(doubt(most.probabilities[:1])))
    assert "high doubt" in most.description


def test_each_search_is_told_what_was_found_and_how_far_to_stay_away() -> None:
    class Watched(Surrogate):
        problems: ClassVar[list[Problem]] = []

        def begin(self, problem: Problem) -> Any:
            self.problems.append(problem)
            return super().begin(problem)

    found = Exemplars(Drawn(), algorithm=Watched(candidates=60, n_screen=1)).search(box(), "bee", n=3)
    assert found.status
    assert len(Watched.problems) >= 2
    for number, problem in enumerate(Watched.problems):
        assert len(problem.avoid) >= number
        assert problem.radius == pytest.approx(0.25 * float(torch.pdist(torch.randn(500, DIM)).mean()), rel=0.1)
    avoided = Watched.problems[-1].avoid.float()
    assert int((torch.cdist(found.latents.float(), avoided).min(1).values < 1e-6).sum()) == len(avoided)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", [QUICK, PriorSampling(batch=7), CMAES(), Evolution()])
@pytest.mark.parametrize("budget", [1, 5, 17])
def test_never_more_queries_than_allowed(strategy: Any, budget: int) -> None:
    asked = 0

    def counting(images: Tensor) -> Tensor:
        nonlocal asked
        asked += len(images)
        return predict(images).clamp(0.2, 0.5).div(predict(images).clamp(0.2, 0.5).sum(1, keepdim=True))

    model = BlackBox(counting, class_names=NAMES, check_determinism=False)
    found = Exemplars(Drawn(), algorithm=strategy).search(model, 0, n=2, budget=budget)
    assert asked == found.queries == budget
    assert not found.status
    assert 1 <= len(found) <= 2
    assert "Raise budget=" in found.status.advice


def test_the_boxs_own_budget_holds_too() -> None:
    model = box(budget=4)
    found = Exemplars(Drawn(), algorithm=QUICK, tolerance=1e-9).search(model, 0)
    assert (found.queries, model.remaining) == (4, 0)
    with pytest.raises(BudgetError, match="at least one query"):
        Exemplars(Drawn(), seed=5).search(model, 0)


def test_all_classes_share_their_answers() -> None:
    model = box()
    sets = Exemplars(Drawn(), algorithm=QUICK).search_all(model, n=2)
    assert [item.description for item in sets] == list(NAMES)
    assert all(item.status for item in sets)
    assert sum(item.queries for item in sets) == model.queries
    assert sets[2].shared_queries == sets[0].queries + sets[1].queries
    alone = sum(Exemplars(Drawn(), algorithm=QUICK).search(box(), name, n=2).queries for name in NAMES)
    assert model.queries < alone


def test_what_was_found_survives_an_interruption() -> None:
    def stop(report: Progress) -> None:
        if report.done >= 1:
            raise KeyboardInterrupt

    sets = Exemplars(Drawn(), algorithm=QUICK).search_all(box(), n=3, watch=stop)
    assert [item.status.reason for item in sets].count("interrupted") >= 2
    assert int(sets[0].reached.sum()) >= 1
    assert [item.queries for item in sets[1:]] == [0, 0]
    assert [len(item) for item in sets] == [3, 3, 3]  # the nearest misses where none was found


@pytest.mark.slow
def test_a_larger_budget_goes_on_behind_the_answers_that_are_known() -> None:
    """Answers that an earlier call paid for count, and are not asked again."""
    method, model = Exemplars(Drawn(), algorithm=PriorSampling(batch=1), tolerance=1e-9), box()
    first = method.search(model, "bee", n=2, budget=100)
    more = method.search(model, "bee", n=2, budget=200)
    assert [found.status.reason for found in (first, more)] == ["budget", "budget"]
    assert (model.queries, more.queries) == (200, 200)
    whole = method.search(box(), "bee", n=2, budget=200)
    torch.testing.assert_close(more.latents, whole.latents, rtol=0, atol=0)


@pytest.mark.slow
def test_rows_that_are_the_same_count_once() -> None:
    model = BlackBox(heavy, class_names=["no", "yes"], check_determinism=False)
    found = Exemplars(Tabled(), algorithm=QUICK, spacing=0).search(model, "yes", n=30, budget=60)
    rows = found.inputs
    assert isinstance(rows, pd.DataFrame)
    assert not rows.duplicated().any()
    assert found.status.reason == "no progress"
    assert "same inputs again" in found.status.advice


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        ("dog", TargetError, "must be a class of the model"),
        (3, TargetError, "from 0 to 2"),
        ([0.5, 0.5], InputError, "one probability for each of 3 classes"),
        ([0.5, 0.6, 0.0], InputError, "sum to 1"),
        ({"ant": 2.0, "bee": -1.0}, InputError, "a number from 0 to 1"),
        ({"dog": 1.0}, TargetError, "must be a class of the model"),
        (None, TargetError, "A vector of probabilities or a function"),
        (lambda p: p, InputError, "one number a row"),
        (lambda p: p[:, 0] * torch.nan, NonFiniteError, "`target` must return finite numbers"),
    ],
)
def test_targets_that_are_none(target: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Exemplars(Drawn(), algorithm=QUICK).search(box(), target, n=1)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda made: made * 3, InputError, r"`generator\(latents\)` must lie in \[0, 1\]"),
        (lambda made: made / 0 * 0, NonFiniteError, r"`generator\(latents\)` must be finite"),
        (lambda made: made[:-1], InputError, "must make one image a latent"),
        (lambda made: made.tolist(), InputError, "inputs must be"),
    ],
)
def test_generators_that_fail(change: Any, error: type[Exception], message: str) -> None:
    class Failing(Drawn):
        def __call__(self, latents: Tensor) -> Any:
            return change(super().__call__(latents))

    with pytest.raises(error, match=message):
        Exemplars(Failing(), algorithm=QUICK).search(box(), 0)


def test_options_that_make_no_sense() -> None:
    with pytest.raises(InputError, match="must be a LatentGenerator"):
        Exemplars(lambda z: z)
    with pytest.raises(InputError, match="`tolerance` must be a number above 0 and below 1"):
        Exemplars(Drawn(), tolerance=1.0)
    with pytest.raises(InputError, match="`spacing` must be"):
        Exemplars(Drawn(), spacing=2.0)
    with pytest.raises(InputError, match="`budget` must be"):
        Exemplars(Drawn()).search(box(), 0, budget=0)
    with pytest.raises(InputError, match="`threshold` must be left out"):
        Exemplars(Drawn()).search(box(), 0, threshold=0.3)
    with pytest.raises(InputError, match="at least one target"):
        Exemplars(Drawn()).search_all(box(), [])


def test_distances_to_real_by_hand() -> None:
    made = pd.DataFrame({"a": [0.0, 1.0], "b": ["x", "y"]})
    real = pd.DataFrame({"a": [0.0, 2.0, 4.0], "b": ["x", "x", "x"]})
    near, far = distance_to_real(made, real).tolist()
    spread = (8 / 3) ** 0.5  # of 0, 2, 4; neighbours are 2 / spread apart
    assert near == 0
    assert far == pytest.approx(((1 / spread) ** 2 + 1) ** 0.5 / (2 / spread))
    assert distance_to_real(["a b c"], ["a b c", "d e"]).item() == pytest.approx(0, abs=1e-6)
    with pytest.raises(InputError, match="generator's columns"):
        distance_to_real(made, real[["a"]])
    with pytest.raises(InputError, match="generator's kind"):
        distance_to_real(made, ["text"])
    with pytest.raises(InputError, match="at least two"):
        distance_to_real(["a"], ["a"])


@pytest.mark.slow
def test_reports_are_one_file_and_escaped(tmp_path: Path) -> None:
    words = BlackBox(lambda texts: [[0.97, 0.02, 0.01]] * len(texts), class_names=NAMES, check_determinism=False)
    rows = BlackBox(heavy, class_names=["no", "<i>yes"], check_determinism=False)
    pages = {
        "image": Exemplars(Drawn(), algorithm=QUICK).search_all(box(), [2, [0.5, 0.5, 0.0]], n=2),
        "text": Exemplars(Told(), algorithm=QUICK).search_all(words, n=2, budget=10, data=["a b", "c"]),
        "table": Exemplars(Tabled(), algorithm=QUICK).search_all(rows, n=2),
    }
    for kind, sets in pages.items():
        page = exemplars_page(sets).write(tmp_path / f"{kind}.html").read_text(encoding="utf-8")
        assert "<script" not in page
        assert "http" not in page.replace('http-equiv="Content-Security-Policy"', "")
        assert "<b>cat" not in page
        assert "<i>" not in page
        assert "<polyline" in page
        assert ("prefers-reduced-motion" in page) == (kind == "image")
        assert sets[0].save(tmp_path / f"{kind}-one.html").exists()
        sets[0].figure()


def test_a_folder_holds_numbers_and_inputs(tmp_path: Path) -> None:
    found = Exemplars(Drawn(), algorithm=QUICK).search(box(), 0, n=2)
    folder = found.save(tmp_path / "found")
    manifest = json.loads((folder / "exemplars.json").read_text(encoding="utf-8"))
    tensors = load_file(folder / "tensors.safetensors")
    assert manifest["status"]["reached"] is True
    assert torch.equal(tensors["latents"], found.latents)
    assert torch.equal(tensors["inputs"], found.inputs)  # type: ignore[arg-type]
    assert (folder / "1.png").exists()
    assert found.save(folder, overwrite=True) == folder  # its own folder is replaced
    with pytest.raises(InputError, match="overwrite=True"):
        found.save(folder)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    with pytest.raises(InputError, match="which is in use"):
        found.save(tmp_path / "taken")
    rows = BlackBox(heavy, class_names=["no", "yes"], check_determinism=False)
    table = Exemplars(Tabled(), algorithm=QUICK).search(rows, 1, n=2).save(tmp_path / "table")
    assert list(pd.read_csv(table / "table.csv").columns) == ["size", "weight"]

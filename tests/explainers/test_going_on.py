"""Searches that were interrupted, or killed, go on from where they were: within their budget, to the same record."""

import contextlib
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor

import likethat as lt
from likethat.generators.priors import StandardNormal
from likethat.search import CMAES

TEXTS = ["a good film", "a bad film", "the plot was good", "the plot was bad", "so good and so long", "bad, bad"] * 4


class Pictures:
    """A denoiser of pictures of a Gaussian brightness in each half."""

    shape, sigma_max = (1, 8, 8), 4.0

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        halves = torch.nn.functional.avg_pool2d(x, (8, 4))
        share = 0.09 / (0.09 + (sigma[:, None, None, None] / 5) ** 2)
        return torch.nn.functional.interpolate(0.5 + share * (halves - 0.5), scale_factor=(8, 4))


class Rows:
    """Two columns from two latents."""

    kind, differentiable, prior = "table", False, StandardNormal(2)

    def __call__(self, latents: Tensor) -> pd.DataFrame:
        return pd.DataFrame({"a": latents[:, 0].round(decimals=3).tolist(), "b": latents[:, 1].round().tolist()})

    def encode(self, inputs: pd.DataFrame) -> Tensor:
        return torch.tensor(inputs.to_numpy(), dtype=torch.float32)


def of_pictures(x: Tensor) -> Tensor:
    left, right = x[..., :4].mean((1, 2, 3)), x[..., 4:].mean((1, 2, 3))
    return torch.stack([(left - right) * 9, (right - left) * 9], 1).softmax(1)


def of_rows(x: pd.DataFrame) -> Tensor:
    return torch.stack([torch.zeros(len(x)), torch.tensor(x["a"].to_numpy() + x["b"].to_numpy()) - 2.5], 1).softmax(1)


def of_texts(texts: list[str]) -> Tensor:
    score = torch.tensor([float(text.count("good") - text.count("bad")) for text in texts])
    return torch.stack([-3 * score, 3 * score], 1).softmax(1)


def picture() -> Tensor:
    return torch.tensor([0.8, 0.2]).repeat_interleave(4).expand(1, 8, 8).clone()


def image(box: lt.BlackBox, **watch: Any) -> Any:
    return lt.FreeMCG(Pictures(), n_particles=6).counterfactual(box, picture(), 1, n=2, budget=60, **watch)


def row(box: lt.BlackBox, **watch: Any) -> Any:
    source = pd.DataFrame({"a": [0.0], "b": [0.0]})
    return lt.FreeMCG(Rows()).counterfactual(box, source, 1, budget=60, **watch)


def text(box: lt.BlackBox, **watch: Any) -> Any:
    return lt.FreeMCG(lt.TextEdits(TEXTS)).counterfactual(box, "a good good film", 0, budget=30, **watch)


def sampler(box: lt.BlackBox, **watch: Any) -> Any:
    method = lt.papers.FreeMCG(Pictures(), n_particles=6, n_steps=9)
    return method.counterfactual(box, picture(), 1, budget=None, **watch)


def heat_map(box: lt.BlackBox, **watch: Any) -> Any:
    return lt.FreeMCG().attribute(box, picture(), 0, budget=120, **watch)


def words(box: lt.BlackBox, **watch: Any) -> Any:
    return lt.FreeMCG().attribute(box, "a good film so good", budget=32, **watch)


def exemplars(box: lt.BlackBox, **watch: Any) -> Any:
    method = lt.Exemplars(Rows(), algorithm=CMAES(), tolerance=0.005)
    return method.search_all(box, ["0", {"0": 0.5, "1": 0.5}], n=2, budget=25, **watch)


def real_texts(box: lt.BlackBox, **watch: Any) -> Any:
    return lt.Exemplars(lt.TextEdits(TEXTS), tolerance=0.01).search_all(box, n=2, budget=20, **watch)


SEARCHES: dict[str, tuple[Callable[..., Any], Callable[[Any], Tensor]]] = {
    "image": (image, of_pictures),
    "row": (row, of_rows),
    "text": (text, of_texts),
    "sampler": (sampler, of_pictures),
    "heat map": (heat_map, of_pictures),
    "words": (words, of_texts),
    "exemplars": (exemplars, of_rows),
    "real texts": (real_texts, of_texts),
}


def record(found: Any) -> str:
    """Return all that a result tells but its time."""
    every = found if isinstance(found, list) else [found]
    return json.dumps([{**one.to_dict(), "seconds": 0} for one in every], sort_keys=True)


class Counted:
    """A predictor that counts its rows, and does something at one of its calls."""

    def __init__(
        self, predict: Callable[[Any], Tensor], *, at: int = -1, stop: Callable[[], None] = lambda: None
    ) -> None:
        self.predict, self.at, self.stop = predict, at, stop
        self.rows = self.calls = 0

    def __call__(self, inputs: Any) -> Tensor:
        self.calls += 1
        if self.calls == self.at:
            self.stop()
        self.rows += len(inputs)
        return self.predict(inputs)


def interrupt() -> None:
    raise KeyboardInterrupt


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module", params=list(SEARCHES))
def whole(request: pytest.FixtureRequest) -> tuple[str, str, Counted]:
    """A search from its first question to its last."""
    search, predict = SEARCHES[request.param]
    model = Counted(predict)
    return request.param, record(search(lt.BlackBox(model))), model


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.0, 0.4, 0.95])
def test_interrupted_it_goes_on_to_the_same_record_and_asks_the_rest_alone(
    whole: tuple[str, str, Counted], share: float
) -> None:
    name, expected, uninterrupted = whole
    search, predict = SEARCHES[name]
    model = Counted(predict, at=1 + round(share * (uninterrupted.calls - 1)), stop=interrupt)
    box = lt.BlackBox(model)
    with contextlib.suppress(KeyboardInterrupt):  # there was nothing to show yet
        assert record(search(box)) != expected  # the best so far
    assert record(search(box)) == expected
    assert model.rows == uninterrupted.rows
    assert record(search(box)) == expected  # asked once more, nobody is asked
    assert model.rows == uninterrupted.rows


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.3, 0.8])
def test_killed_it_goes_on_from_the_cache_of_answers(
    whole: tuple[str, str, Counted], share: float, tmp_path: Path
) -> None:
    name, expected, uninterrupted = whole
    search, predict = SEARCHES[name]
    kept = {"cache": tmp_path / "answers.sqlite", "key": name}
    child = os.fork()
    if child == 0:
        torch.set_num_threads(1)  # the threads of its parent are not in a child
        search(lt.BlackBox(Counted(predict, at=1 + round(share * (uninterrupted.calls - 1)), stop=die), **kept))
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    model = Counted(predict)
    assert record(search(lt.BlackBox(model, **kept))) == expected
    assert 0 < model.rows < uninterrupted.rows


@pytest.mark.slow
def test_what_others_asked_before_changes_nothing() -> None:
    box = lt.BlackBox(of_pictures)
    heat_map(box)
    alone, beside = image(lt.BlackBox(of_pictures)), image(box)
    assert record(beside) == record(alone)
    assert beside.queries <= 60
    assert record(image(box)) == record(alone)


def test_a_larger_budget_asks_the_difference() -> None:
    model = Counted(of_pictures)
    box = lt.BlackBox(model)
    lt.FreeMCG().attribute(box, picture(), 0, budget=90)
    asked = model.rows
    more = lt.FreeMCG().attribute(box, picture(), 0, budget=200)
    assert more.queries == 200
    assert model.rows < asked + 200 - 60

"""How real made images and texts are, beside real ones: by generators that copy, blur or shuffle."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import likethat as lt
from likethat.generators import priors
from likethat.generators.comparing import FEWEST, compared_features, largest_gap, told_apart
from likethat.generators.image.loop import kept_apart
from likethat.generators.image.measuring import compared_images
from likethat.generators.priors import StandardNormal
from likethat.generators.quality import Compared, Quality
from likethat.generators.text.measuring import compared_texts
from likethat.sources.sentences import sentences

SMALL = {"channels": 3, "size": [12, 12], "latent_dim": 4, "patch": 1, "widths": [8, 8], "encoder_widths": [8, 8]}
TEXTS = sentences(260)[0]


class Made:
    """A generator of what a function returns for a number of latents; what it reads comes back with a difference."""

    prior = StandardNormal(2)

    def __init__(self, make: Any, again: Any) -> None:
        self._make, self._again, self._read = make, again, None

    def encode(self, inputs: Any) -> Tensor:
        self._read = inputs
        return torch.zeros(len(inputs), 2)

    def __call__(self, latents: Tensor) -> Any:
        read, self._read = self._read, None
        return self._make(len(latents)) if read is None else self._again(read)


def noise(n: int, seed: int) -> Tensor:
    """Return images of smooth noise, in [0, 1]."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 3, 6, 6, generator=rng, dtype=torch.float32)
    return torch.nn.functional.interpolate(coarse, size=(12, 12), mode="bilinear", align_corners=False)


def as_bytes(images: Tensor) -> Tensor:
    return (images * 255).round().to(torch.uint8)


def read(found: list[Compared]) -> Quality:
    return Quality(kind="image", compared=tuple(found))


def test_the_largest_gap_by_hand() -> None:
    # two of three values of the first lie at or below 1, none of the second: 2/3
    assert largest_gap(np.array([0.0, 1.0, 2.0]), np.array([2.0, 3.0, 4.0])) == pytest.approx(2 / 3)
    assert largest_gap(np.array([1.0, 2.0]), np.array([1.0, 2.0])) == 0


def test_features_are_named_and_their_mean_is_of_the_named_ones() -> None:
    draw = np.random.default_rng(0).normal
    real, made, half = draw(size=(60, 3)), draw(size=(60, 3)) + np.array([0, 9, 9]), draw(size=(60, 3))
    found = read(compared_features(real, made, half, names=("same", "moved"), seed=0))
    same, moved = found.of("feature")
    assert (same.name, moved.name, moved.made) == ("same", "moved", 1.0)
    assert found["features"].made == pytest.approx((same.made + 1.0) / 2)
    assert found["auc"].made > 0.99
    assert found["auc"].real < 0.7
    assert found["auc"].real_error is not None


def test_images_that_were_copied_blurred_or_read_again() -> None:
    learned, kept_back = noise(300, 0), noise(60, 1)
    seen = (as_bytes(kept_back), as_bytes(learned))
    faint = 0.01 * noise(60, 2)
    copies = Made(lambda n: (learned[:n] + faint[:n]).clamp(0, 1), lambda images: (images + 0.1).clamp(0, 2))
    found = read(compared_images(copies, *seen, seed=0))
    assert (found["copies"].made, found["copies"].real) == (1, 0)
    assert found["nearest"].made < 0.02
    assert found["nearest"].real > 0.1
    assert found["pixels off"].made == pytest.approx(0.1)
    flat = Made(lambda n: torch.nn.functional.avg_pool2d(noise(n, 3), 5, 1, 2, False, False), lambda images: images)
    blurred = read(compared_images(flat, *seen, seed=0))
    assert blurred["copies"].made == blurred["pixels off"].made == 0
    assert blurred["auc"].made > 0.95 > blurred["auc"].real
    gaps = {one.name: one.made for one in blurred.of("feature")}
    assert gaps["edges"] > 0.9 > 0.4 + gaps["brightness"]
    again = read(compared_images(flat, *seen, seed=0))
    assert again.to_dict() == blurred.to_dict()  # the same seed, the same figures


def test_grey_images_have_no_colour() -> None:
    grey = Made(lambda n: noise(n, 4)[:, :1], lambda images: images)
    found = compared_images(grey, as_bytes(noise(30, 1)[:, :1]), as_bytes(noise(90, 0)[:, :1]), seed=0)
    assert [one.name for one in found if one.what == "feature"] == ["brightness", "contrast", "edges", "fine detail"]


def test_texts_that_were_copied_or_shuffled() -> None:
    kept_back, learned = TEXTS[:60], TEXTS[60:]
    copies = Made(lambda n: [text.upper() for text in learned[:n]], lambda texts: texts)
    found = read(compared_texts(copies, kept_back, learned, seed=0))
    assert found["copies"].made == 1 > found["copies"].real
    assert found["nearest"].made == pytest.approx(0, abs=1e-9)
    assert (found["words kept"].made, found["words kept"].real) == (1, 1)
    rng = np.random.default_rng(0)
    mixed = Made(
        lambda n: [" ".join(rng.permutation(text.split())) for text in learned[:n]], lambda texts: [""] * len(texts)
    )
    found = read(compared_texts(mixed, kept_back, learned, seed=0))
    assert found["auc"].made > 0.95
    assert found["words kept"].made == 0
    pairs = next(one for one in found.of("feature") if one.name == "pairs of words that were seen")
    assert pairs.made > 0.9 > pairs.real  # the other real half was not learned from for this


def test_texts_of_no_words_are_far_from_all() -> None:
    found = read(compared_texts(Made(lambda n: [""] * n, lambda texts: texts), TEXTS[:30], TEXTS[30:], seed=0))
    assert found["nearest"].made == 1
    assert found["copies"].made == 0


def test_the_training_of_images_measures_on_what_nothing_was_learned_from(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fitted: list[int] = []
    fit = priors.fit_mixture
    monkeypatch.setattr(
        priors, "fit_mixture", lambda latents, *a, **k: fitted.append(len(latents)) or fit(latents, *a, **k)
    )
    stages: list[str] = []
    images = noise(400, 0)
    made = lt.train_generator(images, config=SMALL, steps=3, watch=lambda report: stages.append(report.stage))
    assert fitted[-1] == 380
    assert stages[-1] == "measuring"
    assert (made.quality.kind, made.quality.n_kept_back, made.quality.n) == ("image", 20, 400)
    opened = lt.load_generator(made.save(tmp_path / "made"))
    assert opened.quality.to_dict() == made.quality.to_dict()
    card = (tmp_path / "made" / "card.md").read_text()
    assert "Measured on 20 of 400 images that nothing was learned from" in card
    assert "| pixels off | " in card
    assert "| feature colour | " in card
    few = lt.train_generator(images[:64], config=SMALL, steps=3)
    assert fitted[-1] == 64
    assert repr(few.quality) == "Quality(image: not measured: 64 images are too few: 4 were kept back, 20 are needed)"


def test_a_flow_that_reads_no_image_is_measured_without_that() -> None:
    config = {"channels": 3, "size": [12, 12], "widths": [8, 16], "patch": 1, "blocks": 1, "code": 16}
    made = lt.train_generator(noise(400, 0), algorithm="flow", config=config, steps=2)
    assert {one.name for one in made.quality.of("whole")} == {"auc", "features", "copies", "nearest"}


def test_the_training_of_texts_measures_on_what_nothing_was_learned_from(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[int] = []
    fit = priors.fit_mixture
    monkeypatch.setattr(
        priors, "fit_mixture", lambda latents, *a, **k: fitted.append(len(latents)) or fit(latents, *a, **k)
    )
    made = lt.train_generator(TEXTS, epochs=1, latent_dim=4)
    assert fitted[-1] == 234
    assert "on 26 of 260 texts that nothing was learned from" in repr(made.quality)
    assert made.quality["words kept"].made == pytest.approx(made.card["words_kept"], abs=1e-3)
    few = lt.train_generator(TEXTS[:160], epochs=1, latent_dim=4)
    assert fitted[-1] == 160
    assert "160 texts are too few: 16 were kept back, 20 are needed" in repr(few.quality)


def test_a_twentieth_of_the_images_is_kept_apart() -> None:
    held_out, learned = kept_apart(1000, seed=0)
    assert (len(held_out), len(learned)) == (50, 950)
    assert sorted([*held_out.tolist(), *learned.tolist()]) == list(range(1000))
    assert [len(kept_apart(n, seed=0)[0]) for n in (16, 50_000)] == [4, 256]


def test_a_prior_of_many_encodings_is_fitted_to_a_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[int] = []
    fit = priors.fit_mixture
    monkeypatch.setattr(
        priors, "fit_mixture", lambda latents, *a, **k: fitted.append(len(latents)) or fit(latents, *a, **k)
    )
    monkeypatch.setattr(priors, "_MOST_FITTED", 100)
    rng = torch.Generator().manual_seed(0)
    latents = torch.randn(150, 2, generator=rng, dtype=torch.float32)
    priors.fit_prior(latents, candidates=(1,))
    assert fitted == [90, 100]


def test_what_differs_everywhere_is_told_apart_however_few_there_are() -> None:
    assert told_apart(np.zeros((FEWEST, 3)), np.ones((FEWEST, 3)), seed=0)[0] == 1

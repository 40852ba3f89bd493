from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from table_samples import N, mixed_generator, mixed_table

from likethat.errors import InputError, NonFiniteError
from likethat.generators import load_generator, sample
from likethat.generators.base import Encoder, LatentGenerator
from likethat.generators.table.quality import compare_tables, is_valid
from likethat.generators.table.training import train_table
from likethat.options import TableTraining


def latents(n: int, scale: float = 1.0) -> torch.Tensor:
    return scale * mixed_generator().prior.sample(n, rng=torch.Generator().manual_seed(3))


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1.0, 10.0, 1e6])
def test_every_row_is_valid_on_the_prior_and_far_off_it(scale: float) -> None:
    made = mixed_generator()(latents(1000, scale))
    assert is_valid(made, mixed_generator().columns)
    assert list(made.columns) == list(mixed_table().columns)
    assert (made.dtypes == mixed_table().dtypes).all()
    assert made["gone"].isna().all()
    assert (made["constant"] == "always").all()


def test_it_is_a_latent_generator_that_can_go_back() -> None:
    generator = mixed_generator()
    assert isinstance(generator, LatentGenerator)
    assert isinstance(generator, Encoder)
    assert (generator.kind, generator.differentiable, generator.prior.dim) == ("table", False, 6)
    assert generator.encode(mixed_table()).shape == (N, 6)


def test_a_row_does_not_depend_on_the_others() -> None:
    generator, points = mixed_generator(), latents(150)
    whole = generator(points)
    pd.testing.assert_frame_equal(generator(points[[97]]), whole.iloc[[97]].reset_index(drop=True))
    order = torch.randperm(150, generator=torch.Generator().manual_seed(0))
    pd.testing.assert_frame_equal(generator(points[order]), whole.iloc[order.tolist()].reset_index(drop=True))
    codes = generator.encode(mixed_table())
    assert torch.equal(generator.encode(mixed_table().iloc[[5]]), codes[[5]])


def test_no_rows() -> None:
    made = mixed_generator()(torch.zeros(0, 6))
    assert len(made) == 0
    assert (made.dtypes == mixed_table().dtypes).all()
    assert mixed_generator().encode(made).shape == (0, 6)


def test_saved_and_loaded_it_makes_the_same(tmp_path: Path) -> None:
    generator, points = mixed_generator(), latents(50)
    loaded = load_generator(str(generator.save(tmp_path / "rows")))
    pd.testing.assert_frame_equal(loaded(points), generator(points))
    assert torch.equal(loaded.prior.log_prob(points), generator.prior.log_prob(points))
    assert torch.equal(loaded.encode(mixed_table()), generator.encode(mixed_table()))
    assert loaded.columns == generator.columns
    assert "always missing" in (tmp_path / "rows" / "card.md").read_text()


def test_a_category_never_seen_and_numbers_out_of_range_are_encoded() -> None:
    frame = mixed_table().head(3)
    frame["word"], frame["tail"] = "never seen", 1e12
    codes = mixed_generator().encode(frame)
    assert torch.isfinite(codes).all()
    assert is_valid(mixed_generator()(codes), mixed_generator().columns)


@pytest.mark.parametrize(
    ("points", "kind", "match"),
    [
        (torch.zeros(2, 5), InputError, r"must be \(n, latent\) = \(n, 6\), got shape \(2, 5\)"),
        (np.zeros((2, 6)), InputError, "got ndarray"),
        (torch.full((2, 6), float("nan")), NonFiniteError, "`latents` must be finite"),
    ],
)
def test_bad_latents(points: object, kind: type[Exception], match: str) -> None:
    with pytest.raises(kind, match=match):
        mixed_generator()(points)  # type: ignore[arg-type]


def test_bad_tables_to_encode() -> None:
    with pytest.raises(InputError, match="29 columns that the generator learned, got one without 'whole'"):
        mixed_generator().encode(mixed_table().drop(columns="whole"))
    with pytest.raises(InputError, match="`inputs` must be a DataFrame, got list"):
        mixed_generator().encode(["a text"])


def test_the_frequencies_of_the_prior_are_the_datas() -> None:
    frame, made = mixed_table(), mixed_generator()(latents(2000))
    for name in ("word", "truth", "two"):
        for value, share in frame[name].value_counts(normalize=True).items():
            assert abs((made[name] == value).mean() - share) < 0.08, (name, value)
    assert abs((made["zeros"] == 0).mean() - (frame["zeros"] == 0).mean()) < 0.08
    assert abs(made["holes"].isna().mean() - frame["holes"].isna().mean()) < 0.08
    assert abs(made["whole"].median() - frame["whole"].median()) < 8


@pytest.mark.slow
def test_ten_thousand_categories() -> None:
    names = [f"code {number // 2:05d}" for number in range(20_000)]
    frame = pd.DataFrame({"code": names, "size": np.arange(20_000) % 97})
    generator = train_table(frame, TableTraining(epochs=1, latent_dim=2, quality=False))
    made = sample(generator, 500)
    assert is_valid(made, generator.columns)
    assert made["code"].nunique() > 50
    assert sum(value.numel() for value in generator.state().values()) < 300_000


@pytest.mark.slow
def test_columns_that_hang_together_still_do() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=600)
    frame = pd.DataFrame({"x": x, "twice": 2 * x + 0.1 * rng.normal(size=600), "sign": np.where(x > 0, "+", "-")})
    generator = train_table(frame.head(400), TableTraining(epochs=60, quality=False))
    made = sample(generator, 200)
    quality = compare_tables(frame.tail(200), made, generator.columns)
    halves = compare_tables(frame.tail(200), frame.head(200), generator.columns)
    assert quality.column_distance < halves.column_distance + 0.1
    assert quality.correlation_error < halves.correlation_error + 0.1
    assert np.corrcoef(made["x"], made["twice"])[0, 1] > 0.95
    assert ((made["x"] > 0) == (made["sign"] == "+")).mean() > 0.95


@pytest.mark.slow
def test_quality_of_a_table_against_itself_and_against_nonsense() -> None:
    frame = mixed_table()
    columns = mixed_generator().columns
    same = compare_tables(frame, frame, columns)
    assert same.column_distance == same.correlation_error == 0
    other = frame.assign(whole=90, word="a")
    assert compare_tables(frame, other, columns).columns["word"] == pytest.approx(1 - (frame["word"] == "a").mean())
    assert compare_tables(frame, other, columns).detection > 0.9
    assert not is_valid(frame.assign(whole=1000), columns)
    assert not is_valid(frame.assign(word="never"), columns)
    assert not is_valid(frame.assign(cents=None), columns)


@pytest.mark.slow
def test_no_row_is_more_surprising_for_those_beside_it() -> None:
    frame = mixed_table()
    made = train_table(frame.iloc[:200], TableTraining(epochs=2))
    together = made.surprise(frame.iloc[:90])
    for row in (0, 63, 64, 89):
        assert made.surprise(frame.iloc[[row]]).tolist() == together[row : row + 1].tolist()

"""FreeMCG's parts on cases that can be reckoned: components of a change, spaces, one run, what a caller hands over."""

import math
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from asked import Told, archive_of, numbers
from torch import Tensor

import likethat as lt
from likethat.errors import InputError, ModelError, TargetError
from likethat.explainers.freemcg import components, run, spaces
from likethat.explainers.freemcg.components import image_components, patches, revert, revert_least_changed, with_details
from likethat.explainers.freemcg.inputs import as_asked, check_fits, check_mask, check_words, name_of, one_input
from likethat.explainers.freemcg.run import Found, Settings, one_after_the_other, seek
from likethat.explainers.freemcg.spaces import ImageSpace, LatentSpace
from likethat.explanations.status import Reason
from likethat.generators.priors import StandardNormal

# Components of a change


def test_soft_patches_by_hand() -> None:
    # Two cells on four pixels have centres .5 and 2.5 (between pixels); a pixel belongs to a cell by its distance.
    one_axis = torch.tensor([[1.0, 0.75, 0.25, 0.0], [0.0, 0.25, 0.75, 1.0]])
    found = patches((4, 4), 2)
    assert torch.allclose(found, torch.einsum("ah,bw->abhw", one_axis, one_axis).flatten(0, 1))
    assert patches((2, 6), 2).shape == (4, 2, 6)
    assert torch.allclose(patches((7, 5), 3).sum(dim=0), torch.ones(7, 5))


def test_a_change_of_an_image_comes_apart_and_together() -> None:
    rng = torch.Generator().manual_seed(0)
    source, changed = torch.rand(3, 8, 6, generator=rng), torch.rand(3, 8, 6, generator=rng)
    parts = image_components(source, changed, 2)
    assert float(parts.sizes.sum()) == pytest.approx(float((changed - source).abs().mean()), rel=1e-5)
    share = torch.tensor([[1.0, 1, 1, 1], [0, 0, 0, 0], [0.5, 0.5, 0.5, 0.5], [1, 0, 0, 0]])
    whole, none, half, corner = parts.compose(share)
    torch.testing.assert_close(whole, changed)
    assert torch.equal(none, source)
    torch.testing.assert_close(half, (source + changed) / 2)
    assert torch.equal(corner[:, 6:, 5:], source[:, 6:, 5:])
    torch.testing.assert_close(corner[:, 0, 0], changed[:, 0, 0])


@pytest.mark.parametrize(("size", "width"), [((8, 8), 0.7), ((128, 96), 1.5), ((96, 128), 1.5), ((64, 64), 1.0)])
def test_a_soft_edge_grows_with_the_shorter_side(size: tuple[int, int], width: float) -> None:
    assert components._softness(torch.zeros(3, *size)) == pytest.approx(width)


def test_details_come_back_where_little_changed() -> None:
    source, flat = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.full((1, 8, 8), 0.5)
    for amount in (0.0, 0.07, 0.14):
        # A change that is the same everywhere is blurred to itself (but at the border): exp(-(amount / .07)^2) is left.
        keep = math.exp(-((amount / 0.07) ** 2))
        detailed = with_details(source, (flat + amount)[None], rebuilt=flat)[0]
        expected = (flat + amount + keep * (source - flat)).clamp(0, 1)
        assert torch.allclose(detailed[:, 3:5, 3:5], expected[:, 3:5, 3:5], atol=0.02)
        back = with_details(flat, (flat + amount)[None])[0]
        assert torch.allclose(back[:, 3:5, 3:5], (flat + (1 - keep) * amount)[:, 3:5, 3:5], atol=0.005)


def test_the_share_that_goes_back_is_the_share_of_least_change() -> None:
    source, changed = torch.zeros(1, 32, 32), torch.zeros(1, 32, 32)
    changed[0, :, :16] = 0.1
    changed[0, :, 16:] = 1.0
    left = revert_least_changed(source, changed, 0.5)
    assert torch.equal(left[0, :, :12], source[0, :, :12])
    assert torch.allclose(left[0, :, 20:], changed[0, :, 20:], atol=1e-5)
    edge = left[0, 16, 13:19]
    assert bool((edge.diff() >= 0).all())
    assert 0 < float(edge[2]) < 1  # a soft edge
    assert torch.allclose(revert_least_changed(source, changed, 0.0)[0, 8:24, 20:], changed[0, 8:24, 20:], atol=1e-5)


class Weighed:
    """Stands where an archive stands: the margin is a weighed sum of what stays."""

    def __init__(self, weights: list[float], *, budget: int = 99) -> None:
        self.weights, self.rows, self.budget = torch.tensor(weights, dtype=torch.float64), [], budget  # type: ignore[var-annotated]
        self.reals = torch.ones(99, dtype=torch.bool)

    def ask(self, stays: Tensor) -> Tensor:
        given = stays[: self.budget - len(self.rows)]
        self.rows += given.tolist()
        return given.double() @ self.weights


def reverted(weights: list[float], sizes: list[float], *, target: float, **options: Any) -> list[list[float]]:
    archive = Weighed(weights, **({"budget": options.pop("budget")} if "budget" in options else {}))
    whole = components.Components(sizes=torch.tensor(sizes), compose=lambda stays: stays)
    revert(archive, whole, sum(weights), target_margin=target, **options)  # type: ignore[arg-type]
    return archive.rows


def test_small_components_go_back_unasked_and_the_rest_alone() -> None:
    # .02 of the whole of 10 is .2: two of .1 go at once, what is empty was never there.
    rows = reverted([3.0, 2.0, 0.1, 0.1, 0.0], [5.0, 4.8, 0.1, 0.1, 0.0], target=2.5)
    assert rows[:2] == [[0, 1, 0, 0, 0], [1, 0, 0, 0, 0]]
    assert rows[2:] == [[1, 0, 0, 0, 0], [0, 0, 0, 0, 0]]  # the second loses less for its distance: it goes first
    assert reverted([1.0, 1.0], [5.0, 5.0], target=9.0, left=0.6)[:2] == pytest.approx(
        [pytest.approx([0.6, 1.0]), pytest.approx([1.0, 0.6])]
    )
    assert reverted([1.0], [0.0], target=0.5) == []
    assert len(reverted([1.0, 1.0, 1.0], [1.0, 1.0, 1.0], target=0.5, budget=2)) == 2  # not all answered: it ends
    assert len(reverted([1.0, 1.0, 1.0], [1.0, 1.0, 1.0], target=0.5, budget=3)) == 3
    assert reverted([1.0, 1.0], [1.0, 1.0], target=1.0)[2:] == [[0, 1], [0, 0]]  # just enough is enough
    assert reverted([1.0, 1.0], [1.0, 1.0], target=1.01)[2:] == [[0, 1]]


# Spaces


class Echo:
    """A denoiser that answers with the noise level."""

    def __init__(self, size: tuple[int, int] = (8, 8), sigma_max: float = 80.0) -> None:
        self.shape, self.sigma_max, self.levels = (1, *size), sigma_max, []  # type: ignore[var-annotated]

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        self.levels.append((float(sigma[0]), x.clone()))
        return torch.full_like(x, 0.5)


@pytest.mark.parametrize(
    ("size", "sigma_max", "noise", "top", "wide"),
    [
        ((32, 32), 80.0, None, 8.0, 8.0),
        ((64, 96), 80.0, None, 4.0, 8.0),
        ((16, 16), 80.0, None, 8.0, 8.0),
        ((32, 32), 2.0, None, 2.0, 2.0),
        ((64, 64), 80.0, 3.0, 3.0, 3.0),
        ((64, 64), 80.0, 12.0, 12.0, 12.0),
        ((32, 32), 0.25, None, 0.25, 0.25),
    ],
)
def test_levels_of_noise(size: tuple[int, int], sigma_max: float, noise: float | None, top: float, wide: float) -> None:
    space = ImageSpace(Echo(size, sigma_max), torch.zeros(1, *size), noise=noise)
    for levels, first in ((space.levels, top), (space.wider, wide)):
        assert len(levels) == 6
        assert levels[0] == pytest.approx(first)
        assert levels[-1] == pytest.approx(min(0.5, first))
        ratios = [after / before for before, after in pairwise(levels)]
        assert max(ratios) == pytest.approx(min(ratios))  # geometric
    assert space.near == pytest.approx(min(0.6, top))
    assert (space.exact, space.is_table) == (True, False)
    assert space.anywhere(5, rng=torch.Generator()) is None


def test_particles_of_images_are_noised_and_denoised_once() -> None:
    denoiser, source = Echo(), torch.full((1, 8, 8), 0.5)
    space = ImageSpace(denoiser, source, mask=torch.arange(64).reshape(8, 8) < 32)
    points = torch.zeros(200, 1, 8, 8)
    moved = space.perturb(points, 2.0, rng=torch.Generator().manual_seed(0))
    ((level, noisy),) = denoiser.levels
    assert level == 2.0
    assert float(noisy.std()) == pytest.approx(2.0, rel=0.05)
    assert torch.allclose(moved, torch.tensor(0.5))
    white = space.decode(torch.full((1, 1, 8, 8), 9.0))
    assert torch.equal(white[0, 0, 4:], source[0, 4:])  # outside the mask
    assert torch.allclose(white[0, 0, :4], torch.tensor(1.0))
    again = space.reproject(torch.zeros(1, 1, 8, 8), 3, rng=torch.Generator())
    assert again.shape == (3, 1, 8, 8)
    assert denoiser.levels[-1][0] == pytest.approx(0.5)
    published = ImageSpace(denoiser, source, as_published=True)
    near = torch.full((1, 1, 8, 8), 0.51)
    assert torch.equal(published.decode(near), near)
    assert float((space.decode(near) - 0.5).abs().max()) < 0.005  # a hair off is no change


def test_distances_of_images() -> None:
    space = ImageSpace(Echo((2, 2)), torch.zeros(1, 2, 2))
    some = torch.tensor([[[[0.0, 0.4], [0.0, 0.0]]], [[[0.4, 0.0], [0.0, 0.0]]], [[[0.0, 0.2], [0.0, 0.0]]]])
    assert space.distance(some).tolist() == pytest.approx([0.1, 0.1, 0.05])
    assert torch.equal(space.cost(some), space.distance(some))
    assert space.dissimilarity(some, some[:1]).tolist() == pytest.approx([0, 1, 0.2 / 0.6])
    assert space.dissimilarity(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)).tolist() == [0.0]
    cut = [space.components(some[:1], number) for number in range(4)]
    assert [None if one is None else len(one.sizes) for one in cut] == [16, 36, 64, None]


class Sums:
    """Latents as pictures of 2 x 2, or as texts: no encoder."""

    differentiable, prior = False, StandardNormal(4)

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, latents: Tensor) -> Any:
        if self.kind == "text":
            return [" ".join(str(round(float(value))) for value in row) for row in latents]
        return torch.sigmoid(latents).reshape(-1, 1, 2, 2)


def test_the_latent_of_a_source_is_sought_where_nothing_encodes() -> None:
    wanted = torch.tensor([0.8, -1.2, 0.1, 1.5])
    image = Sums("image")(wanted[None])
    space = LatentSpace(Sums("image"), image, rng=torch.Generator().manual_seed(0))
    assert float((space.origin - wanted).abs().max()) < 0.2
    assert torch.allclose(space.decode(space.origin[None]), image, atol=1e-6)  # the rest is put back as details
    assert (space.exact, space.is_table, space.near) == (True, False, 0.3)
    assert space.levels == space.wider
    assert (len(space.levels), space.levels[0]) == (6, pytest.approx(1.0))
    assert space.levels[-1] == pytest.approx(0.3)
    assert space.anywhere(3, rng=torch.Generator()) is None
    assert space.reproject(image, 3, rng=torch.Generator()) is None
    moved = space.perturb(torch.zeros(4000, 4), 0.5, rng=torch.Generator().manual_seed(1))
    assert moved.std(0).tolist() == pytest.approx([0.5] * 4, rel=0.15)  # of a prior of spread 1
    masked = LatentSpace(
        Sums("image"), image, mask=torch.tensor([[True, False], [False, False]]), rng=torch.Generator()
    )
    changed = masked.decode(torch.full((1, 4), 5.0))
    assert torch.equal(changed[0, 0].flatten()[1:], image[0, 0].flatten()[1:])  # type: ignore[index]
    assert float(changed[0, 0, 0, 0]) > 0.9  # type: ignore[index]
    assert masked.revert_least_changed(changed, 0.5) is not None


def test_texts_are_as_far_as_their_words() -> None:
    space = LatentSpace(Sums("text"), ["1 0 -1 2"], rng=torch.Generator().manual_seed(0))
    assert (space.exact, space.is_table) == (False, False)
    assert space.decode(space.origin[None]) == ["1 0 -1 2"]
    assert space.distance(["1 0 -1 2", "1 0 -1 3", "5 5 5 5"]).tolist() == pytest.approx([0, 0.25, 1])
    assert space.dissimilarity(["1 0", "0 1"], ["1 0"]).tolist() == pytest.approx([0, 0.5])
    assert space.components(["1 0 -1 3"], 0) is None
    assert space.revert_least_changed(["1"], 0.5) is None
    assert space.share_as_odd(["1"]) is None
    assert space.notes() == ()
    assert space.n_dependences == 0


class People:
    """Rows of two numbers and a word, with what is usual of them."""

    kind, differentiable, prior = "table", False, StandardNormal(3)
    usual = tuple(float(value) for value in range(101))

    def __call__(self, latents: Tensor) -> pd.DataFrame:
        z = latents.double().numpy()
        return pd.DataFrame({"age": 40 + 10 * z[:, 0], "pay": 30 + 5 * z[:, 1], "sex": np.where(z[:, 2] > 0, "f", "m")})

    def surprise(self, frame: pd.DataFrame) -> Tensor:
        return torch.tensor(frame["age"].to_numpy(dtype=float))


def people(**options: Any) -> LatentSpace:
    source = pd.DataFrame({"age": [50.0], "pay": [30.0], "sex": ["f"]})
    return LatentSpace(People(), source, rng=torch.Generator().manual_seed(0), **options)  # type: ignore[arg-type]


def rows(*values: tuple[float, float, str]) -> pd.DataFrame:
    return pd.DataFrame(values, columns=["age", "pay", "sex"])


def test_rows_cost_their_columns_and_then_their_distance() -> None:
    space = people()
    some = rows((50.0, 30.0, "f"), (60.0, 30.0, "f"), (60.0, 30.0, "m"))
    far = space.by_column(some)
    age = float(far[1, 0])
    assert age == pytest.approx(1.0, rel=0.15)  # ten years are a standard deviation
    assert far.tolist() == [[0, 0, 0], [age, 0, 0], [age, 0, 1]]
    assert space.by_column(some) is far
    mean = [0, age / 3, (age + 1) / 3]
    assert space.distance(some).tolist() == pytest.approx(mean)
    assert space.cost(some).tolist() == pytest.approx([n + one / (1 + one) for n, one in enumerate(mean)])
    assert space.dissimilarity(some, rows((70.0, 30.0, "f"))).tolist() == [1.0, 0.0, 0.5]
    assert (space.is_table, space.exact) == (True, False)
    drawn = space.anywhere(7, rng=torch.Generator().manual_seed(0))
    assert drawn is not None
    assert drawn.shape == (7, 3)


def test_rows_are_as_odd_as_real_ones() -> None:
    space = people()
    assert space.plausible(rows((94.0, 1.0, "f"), (95.0, 1.0, "f"), (95.1, 1.0, "f"))).tolist() == [True, True, False]
    assert space.share_as_odd(rows((95.0, 1.0, "f"))) == pytest.approx(6 / 101)
    odd = LatentSpace(People(), rows((99.0, 30.0, "f")), rng=torch.Generator().manual_seed(0))
    assert odd.plausible(rows((99.0, 1.0, "f"), (99.5, 1.0, "f"))).tolist() == [True, False]  # as the source

    class Silent(People):
        usual = ()

    silent = LatentSpace(Silent(), rows((50.0, 30.0, "f")), rng=torch.Generator().manual_seed(0))
    assert silent.plausible(rows((999.0, 1.0, "f"))).tolist() == [True]
    assert silent.share_as_odd(rows((999.0, 1.0, "f"))) is None


@pytest.mark.parametrize(("first", "last"), [(8.0, 0.5), (0.5, 0.5)])
def test_a_geometric_series(first: float, last: float) -> None:
    found = spaces._geometric(first, last, 5)
    assert found == pytest.approx([first * (last / first) ** (step / 4) for step in range(5)])


# One run


def test_the_margin_is_the_log_odds_of_the_confidence() -> None:
    assert Settings(n=1, budget=9, n_particles=2, confidence=0.8).margin == pytest.approx(math.log(4))


SETTINGS = Settings(n=2, budget=100, n_particles=8, confidence=0.59)


def test_whatever_ends_a_search_keeps_what_came_before() -> None:
    def search(how: Any, n: int) -> Any:
        def run_it(_space: Any, archive: Any, _settings: Any, _rng: Any) -> Found:
            archive.ask(numbers(*range(n)))
            archive.until = 5
            if how is not None:
                raise how
            return Found(mean_row=1, target_margin=0.25, reason=Reason.COLLAPSED)

        archive = archive_of(Told())
        found = seek(None, archive, SETTINGS, run_it, rng=torch.Generator())  # type: ignore[arg-type]
        assert archive.until is None
        return found

    assert search(None, 2) == Found(mean_row=1, target_margin=0.25, reason=Reason.COLLAPSED)
    failed = search(ModelError("The server is gone."), 2)
    assert (failed.mean_row, failed.reason, failed.error) == (None, Reason.FAILED, "The server is gone")
    assert failed.target_margin == pytest.approx(SETTINGS.margin)
    assert search(KeyboardInterrupt(), 2).reason == Reason.INTERRUPTED
    for error in (ModelError("gone"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            search(error, 1)  # the source alone is nothing to keep


def test_each_counterfactual_has_its_share_of_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    archive, plans, nearer = archive_of(Told(budget=100), dissimilarity=lambda x, _: torch.ones(len(x))), [], []
    archive.ask(numbers(0))

    def reach(_space: Any, archive: Any, plan: Any, *, rng: Any) -> Reason:
        plans.append((plan, archive.until))
        archive.ask(numbers(2) if len(plans) == 1 else numbers(1, 5))  # .6 at first, then .8
        return Reason.BUDGET if len(plans) == 1 else Reason.REACHED

    monkeypatch.setattr(run, "reach", reach)
    monkeypatch.setattr(run, "bring_nearer", lambda space, archive, plan, *, rng: nearer.append(plan))
    found = one_after_the_other(SimpleNamespace(), archive, SETTINGS, torch.Generator())  # type: ignore[arg-type]
    assert [plan.asked for plan, _ in plans] == [1, 2]
    assert [plan.budget for plan, _ in plans] == [49, 98]  # half of 99, then all that is left
    assert [until for _, until in plans] == [50, 100]
    assert [plan.n_generations for plan, _ in plans] == [2 * 7, 2 * 13]  # 49 / 8 and 98 / 8, rounded up, twice
    assert all(plan.n_particles == 8 for plan, _ in plans)
    assert plans[0][0].target_margin == SETTINGS.margin
    assert [plan.target_margin for plan in nearer] == [SETTINGS.margin] * 2
    assert archive.found == [1, 2]
    assert found == Found(mean_row=None, target_margin=nearer[0].target_margin, reason=Reason.REACHED)


def test_the_mean_of_what_arrived_is_asked() -> None:
    def asked(*values: float, first: int = 0, points: bool = True, budget: int | None = None) -> tuple[Any, int | None]:
        archive = archive_of(Told(budget))
        some = numbers(*values).float()
        archive.ask(some, some if points else None)
        return archive, run._mean_of_arrived(archive, first, math.log(1.5) - 1e-9)

    archive, row = asked(0, 1, 3, 5)  # .8 and .9 arrived, as 1 and 3
    assert (row, len(archive.distances)) == (4, 5)
    assert float(archive.input(4).flatten()) == 2.0  # type: ignore[union-attr]
    assert float(archive.point(4).flatten()) == 2.0
    assert asked(0, 2, 4, 5)[1] == 4  # .6 is just enough
    assert asked(0, 1, 5)[1] is None  # one alone has no mean
    assert asked(0, 1, 3, first=2)[1] is None  # what an earlier search found does not count
    assert asked(0, 1, 3, first=1)[1] == 3
    assert asked(0, 1, 3, points=False)[1] is None
    assert asked(0, 1, 3, budget=3)[1] is None


def test_found_is_replaced_by_most_of_what_was_met() -> None:
    found = Found(mean_row=None, target_margin=9.0)
    assert replace(found, target_margin=run._within_reach(torch.tensor([2.0]), 9.0)).target_margin == 0.85 * 2.0


# What a caller hands over


def test_one_input_of_any_kind() -> None:
    image = torch.rand(3, 4, 4)
    assert torch.equal(one_input(image), image[None])  # type: ignore[arg-type]
    assert torch.equal(one_input(image[None]), image[None])  # type: ignore[arg-type]
    assert torch.equal(one_input(SimpleNamespace(image=image)), image[None])  # type: ignore[arg-type]
    assert torch.equal(one_input(image.numpy()), image[None])  # type: ignore[arg-type]
    assert one_input(image.double()).dtype == torch.float32  # type: ignore[union-attr]
    assert one_input("a text") == one_input(["a text"]) == one_input(np.array("a text")) == ["a text"]
    frame = pd.DataFrame({"a": [1], "b": ["x"]})
    copied = one_input(frame)
    assert copied is not frame
    pd.testing.assert_frame_equal(copied, frame)  # type: ignore[arg-type]
    series = one_input(frame.iloc[0])
    assert list(series.columns) == ["a", "b"]  # type: ignore[union-attr]
    assert series["a"].dtype.kind == "i"  # type: ignore[call-overload, union-attr]
    for several in (torch.rand(2, 3, 4, 4), ["a", "b"], pd.concat([frame, frame]), np.array(["a", "b"])):
        with pytest.raises(InputError, match="`source` must be one input, got 2"):
            one_input(several)
    with pytest.raises(InputError, match=r"`photo` must be \(channel, height, width\), got shape \(4, 4\)"):
        one_input(torch.rand(4, 4), name="photo")
    for nothing in (3, None, {"a": 1}):
        with pytest.raises(InputError, match="`source` must be one image, one row of a table or one text, got"):
            one_input(nothing)
    with pytest.raises(InputError, match="inputs must be"):
        one_input([3])


def test_masks_of_any_kind() -> None:
    wanted = torch.tensor([[True, False], [True, True]])
    assert check_mask(None, (2, 2)) is None
    for mask in (wanted, wanted.numpy(), wanted.int(), [[1, 0], [1, 2.5]], wanted.numpy().astype("uint8")):
        found = check_mask(mask, (2, 2))
        assert found is not None
        assert found.dtype == torch.bool
        assert torch.equal(found, wanted)
    for mask in ([["a", "b"], ["c", "d"]], [[1.0, math.nan], [1.0, 1.0]], "xx"):
        with pytest.raises(InputError, match="true or false"):
            check_mask(mask, (2, 2))


def test_what_is_asked_and_what_fits() -> None:
    box = lt.BlackBox(lambda x: [[0.5, 0.5]] * len(x), class_names=["a", "b"])
    assert as_asked(box, 3).remaining == 3
    assert as_asked(box, None).remaining is None
    image, frame = torch.rand(1, 1, 8, 8), pd.DataFrame({"a": [1]})
    check_fits(Echo(), image)
    check_fits(Sums("image"), image)  # it does not say of which size
    with pytest.raises(InputError, match="which is image, got a table"):
        check_fits(Echo(), frame)
    with pytest.raises(InputError, match="which is text, got a image"):
        check_fits(Sums("text"), image)
    with pytest.raises(InputError, match=r"= \(1, 9, 9\) as the generator makes images"):
        check_fits(Echo((9, 9)), image)
    with pytest.raises(InputError, match="must have denoise, or make inputs from latents, got NoneType"):
        check_fits(None, image)
    assert check_words(["one word"]) == "one word"
    assert [name_of(thing) for thing in (None, SimpleNamespace(name="x"), SimpleNamespace(name=""), Echo())] == [
        "none", "x", "SimpleNamespace", "Echo"
    ]  # fmt: skip
    assert name_of(SimpleNamespace(name=3)) == "SimpleNamespace"


# The method


def squares(x: Tensor) -> Tensor:
    return torch.nn.functional.avg_pool2d(x, x.shape[-1] // 2).flatten(1) * 12


class Quarters:
    """The exact denoiser of pictures with a Gaussian brightness in each quarter."""

    sigma_max = 4.0

    def __init__(self, size: int = 8) -> None:
        self.shape = (1, size, size)

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        half = self.shape[1] // 2
        share = 0.09 / (0.09 + (sigma[:, None, None, None] / half) ** 2)
        mean = torch.nn.functional.avg_pool2d(x, half)
        return torch.nn.functional.interpolate(0.5 + share * (mean - 0.5), scale_factor=half)


def picture(size: int = 8) -> Tensor:
    return torch.tensor([[[0.8, 0.4], [0.3, 0.2]]]).repeat_interleave(size // 2, 1).repeat_interleave(size // 2, 2)


@pytest.mark.parametrize(("size", "n", "least"), [(8, 1, 12), (62, 1, 12), (64, 1, 18), (8, 3, 32)])
def test_the_least_budget_is_a_generation_for_each(size: int, n: int, least: int) -> None:
    method = lt.FreeMCG(Quarters(size))
    with pytest.raises(InputError, match=f"`budget` must be at least {least} .*, got {least - 1}"):
        method.counterfactual(squares, picture(size), 1, n=n, budget=least - 1)
    assert method.counterfactual(squares, picture(size), 1, n=n, budget=least).queries <= least


def test_demands_are_those_of_the_kind_unless_told() -> None:
    assert lt.FreeMCG(Quarters())._demand(True) == 0.6
    assert lt.FreeMCG(Quarters())._demand(False) == 0.98
    assert lt.FreeMCG(Quarters(), confidence=0.7)._demand(True) == 0.7


def test_a_record_says_what_was_asked() -> None:
    mask = np.ones((8, 8), dtype=bool)
    found = lt.FreeMCG(Quarters(), seed=4).counterfactual(squares, picture(), 3, n=1, mask=mask)
    assert found.queries <= 200
    assert found.options["budget"] == 200
    assert (found.options["confidence"], found.options["n"], found.seed, found.rule) == (0.98, 1, 4, "kalman")
    assert found.mask is not None
    assert found.mask.all()
    assert (found.curve, found.n_dependences) == ((), 0)
    assert found.generator == "Quarters"
    torch.testing.assert_close(
        torch.as_tensor(found.source_probabilities), squares(picture()[None]).double().softmax(1)[0]
    )
    assert found.path.distance[0] == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"immutable": "age"}, "`immutable` must be a list of columns, got 'age'"),
        ({"immutable": 3}, "`immutable` must be a list of columns, got 3"),
        ({"ranges": [1]}, "`ranges` must be a dictionary by column"),
        ({"directions": ("age", "up")}, "`directions` must be a dictionary by column"),
        ({"directions": {"age": "up"}}, "are for tables"),
    ],
)
def test_limits_that_are_none(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        lt.FreeMCG(Quarters()).counterfactual(squares, picture(), 1, **options)


def test_a_target_is_no_class_or_the_sources_own() -> None:
    assert lt.FreeMCG(Quarters()).counterfactual(squares, picture(), None).best.predicted != 0
    with pytest.raises(TargetError, match="already"):
        lt.FreeMCG(Quarters()).counterfactual(squares, picture(), 0)


@pytest.mark.parametrize("method", [lt.FreeMCG, lt.Exemplars])
def test_a_generator_of_texts_that_keeps_too_few_words_is_refused(method: Any) -> None:
    class Poor(Sums):
        card = {"words_kept": 0.4}  # noqa: RUF012

    with pytest.raises(InputError, match="must give back at least 50% of the words"):
        method(Poor("text"))

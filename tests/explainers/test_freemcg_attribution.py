"""FreeMCG's heat maps: of a model that is linear they are known, and so is how far off they are."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import likethat as lt
from likethat._queries import QueryLog
from likethat.explainers.freemcg import hiding
from likethat.explainers.freemcg.attribution import HeatMap, heat_map
from likethat.explainers.freemcg.hiding import Fills, Masks, out_of_sight
from likethat.explainers.freemcg.inputs import explained_by
from likethat.explanations.status import Reason
from likethat.functional.blur import gaussian_blur

SIZE = 16


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def picture(size: int = SIZE) -> Tensor:
    return torch.rand(2, size, size, generator=rng(1)) / 2


def weights(seed: int = 0, size: int = SIZE) -> Tensor:
    """What a pixel adds to the log-odds where it is as it was: something here, the opposite there."""
    field = gaussian_blur(torch.randn(1, 1, size, size, generator=rng(seed)), size / 8)[0, 0]
    return 0.05 * (SIZE / size) ** 2 * field / field.std()


class Additive:
    """Two classes; log-odds are the sum of what the pixels add that are as they were, and a little besides."""

    def __init__(
        self, *, scale: float = 1.0, noise: float = 0.0, budget: int | None = None, seed: int = 0, size: int = SIZE
    ) -> None:
        self.scale, self.noise, self.size, self.sizes = scale, noise, size, []  # type: ignore[var-annotated]
        self.weights = weights(seed, size)
        self.box = lt.BlackBox(self, class_names=["a", "b"], check_determinism=False, budget=budget)

    def __call__(self, images: Tensor) -> Tensor:
        self.sizes.append(len(images))
        off = self.noise * torch.sin(1e4 * images.flatten(1).sum(1))
        change = (images - picture(self.size)).abs().amax(1)
        kept = (change < 1e-6).float() if self.size <= 32 else 1 - change / (1 - picture(self.size)).amax(0)
        odds = self.scale * (kept * self.weights).flatten(1).sum(1) + off
        return torch.stack([torch.sigmoid(-odds), torch.sigmoid(odds)], 1)


def reading(image: Tensor, seed: int = 0) -> Masks:
    return Masks(image, out_of_sight(image, rng=rng(seed)), rng=rng(seed))


def found(model: Additive, target: int = 1, *, budget: int = 400, seed: int = 0, watch: Any = None) -> HeatMap:
    log = QueryLog(box=model.box.limited(budget), watch=watch)
    return heat_map(picture(), log, explained_by(target, None), reading(picture(), seed))


@pytest.mark.slow
def test_the_map_of_an_additive_model_is_its_own() -> None:
    made, truth = found(Additive(), budget=600), weights()
    assert float(torch.corrcoef(torch.stack([made.values.flatten(), truth.flatten()]))[0, 1]) > 0.95
    slope = float((made.values * truth).sum() / truth.square().sum())
    assert slope == pytest.approx(1, abs=0.1)
    one, other = (found(Additive(), target, budget=48).values for target in (0, 1))
    assert float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1]) < -0.5


@pytest.mark.slow
def test_a_map_of_a_large_picture_says_what_a_pixel_adds() -> None:
    model = Additive(size=96)
    log = QueryLog(box=model.box.limited(300))
    white = Fills(n_kinds=1, make=lambda _, hidden: torch.ones(len(hidden), 2, 96, 96))
    made = heat_map(picture(96), log, explained_by(1, None), Masks(picture(96), white, rng=rng()))
    assert made.values.shape == made.error.shape == (96, 96)
    slope = float((made.values * model.weights).sum() / model.weights.square().sum())
    assert slope == pytest.approx(1, abs=0.15)


@pytest.mark.slow
@pytest.mark.parametrize(("noise", "budget"), [(0.05, 128), (0.5, 128), (0.2, 48)])
def test_nine_of_ten_values_lie_within_their_intervals(noise: float, budget: int) -> None:
    within, clear_and_wrong = [], []
    for seed in range(12):
        made, truth = found(Additive(noise=noise, seed=seed), budget=budget, seed=seed), weights(seed)
        within.append(float(((made.values - truth).abs() <= 1.645 * made.error).double().mean()))
        clear = made.values.abs() > 2 * made.error
        clear_and_wrong.append(float((clear & (made.values.sign() != truth.sign())).double().mean()))
    assert 0.8 < sum(within) / len(within) < 0.98
    assert sum(clear_and_wrong) / len(clear_and_wrong) < 0.03


@pytest.mark.slow
def test_nine_of_ten_values_of_a_large_picture_lie_within_their_intervals() -> None:
    # Its colours have nothing to do with its map: the prior is wrong, and the errors must say so.
    within = []
    white = Fills(n_kinds=1, make=lambda _, hidden: torch.ones(len(hidden), 2, 128, 128))
    for seed in range(4):
        model = Additive(noise=0.2, seed=seed, size=128)
        masks, log = Masks(picture(128), white, rng=rng(seed)), QueryLog(box=model.box.limited(128))
        made = heat_map(picture(128), log, explained_by(1, None), masks)
        within.append(float(((made.values - model.weights).abs() <= 1.645 * made.error).double().mean()))
    assert 0.8 < sum(within) / len(within) < 0.98


def test_more_is_known_of_more_answers() -> None:
    sure, unsure = (found(Additive(noise=0.2), budget=budget).error.mean() for budget in (200, 40))
    assert float(sure) < float(unsure)


def test_more_is_asked_each_time_as_estimates_get_better() -> None:
    model = Additive(budget=200)
    assert found(model, budget=200).n_answers == 200
    # 32 at first, then 16 at least or a third of what there is: 64 // 3, 85 // 3, 113 // 3, and what is left of 50.
    assert model.sizes == [32, 16, 16, 21, 28, 37, 50]


def test_few_answers_say_nothing() -> None:
    for budget, reason in ((15, Reason.BUDGET), (16, Reason.REACHED)):
        made = found(Additive(budget=budget), budget=budget)
        assert made.status().reason == reason
        assert made.n_answers == budget
    few = found(Additive(budget=15), budget=15)
    assert bool((few.values == 0).all())
    assert bool(torch.isinf(few.error).all())
    assert few.values.shape == few.error.shape == (SIZE, SIZE)
    assert found(Additive(scale=0.0), budget=60).status().reason == Reason.CONSTANT
    assert found(Additive(scale=1e-6), budget=60).status().reason == Reason.REACHED  # a little is not the same


def test_sure_answers_are_cut_where_logarithms_end() -> None:
    made = found(Additive(scale=1e6), budget=60)
    assert bool(torch.isfinite(made.values).all())
    top = float(torch.logit(torch.tensor(1 - 1e-4, dtype=torch.float64)))
    assert made.spread_of_answers <= 2 * top
    masks, seen = reading(picture()), []
    masks.add = lambda answers: seen.append(answers)  # type: ignore[method-assign]
    heat_map(picture(), QueryLog(box=Additive(scale=1e6).box.limited(32)), explained_by(1, None), masks)
    assert sorted({round(abs(float(value)), 4) for value in seen[0]}) == [round(top, 4)]


class _Stop:
    def __init__(self, at: int) -> None:
        self.at, self.calls = at, 0

    def __call__(self, _: Any) -> None:
        self.calls += 1
        if self.calls == self.at:
            raise KeyboardInterrupt


def test_a_map_that_is_stopped_says_so() -> None:
    made = found(Additive(), watch=_Stop(2))
    assert (made.n_answers, made.is_stopped, made.status().reason) == (48, True, Reason.INTERRUPTED)
    assert float(made.values.abs().max()) > 0
    assert not found(Additive(), budget=60).is_stopped
    with pytest.raises(KeyboardInterrupt):
        found(Additive(budget=15), budget=15, watch=_Stop(1))


@pytest.mark.parametrize("size", [(32, 32), (16, 40), (33, 17), (6, 5), (1, 1)])
def test_masks_hide_a_little_or_all_but_a_little(size: tuple[int, int]) -> None:
    masks = reading(torch.rand(1, *size)).masks(600)
    assert masks.shape == (600, *size)
    assert set(masks.unique().tolist()) <= {0.0, 1.0}
    share, n = masks.mean((1, 2)), size[0] * size[1]
    assert float(share[::2].max()) <= max(0.5, 1 / n) + 0.5 / n
    assert float(share[::2].min()) >= min(0.05, 1 / n)
    assert float(share[1::2].min()) >= min(0.5, 1 - 1 / n) - 0.5 / n
    if n > 100:
        assert float(share[::2].mean()) == pytest.approx(0.275, abs=0.03)
        assert float(masks[::2].mean(0).min()) > 0.15  # everywhere, the borders too


def test_masks_are_of_few_pieces() -> None:
    masks = reading(torch.rand(1, 32, 32)).masks(600)[::2]
    for axis in (1, 2):
        same = (masks == masks.roll(1, axis)).narrow(axis, 1, 31).float().mean()
        assert float(same) > 0.93  # of a random map without a blur it would be .6


def test_masks_follow_the_colours_of_the_picture() -> None:
    # Two halves of 128 x 128: cells of 16 pixels. In 64 x 64 cells go by their place alone.
    same = []
    for size in (128, 64):
        image = torch.zeros(1, size, size)
        image[:, :, size // 2 :] = 1.0
        masks = reading(image).masks(600)[::2]
        same += [float((masks[:, :, row] == masks[:, :, row + 1]).float().mean()) for row in (7, 15)]
    along, across, *small = same
    assert along > 0.93 > across + 0.1
    assert small == pytest.approx([0.95, 0.95], abs=0.02)


def test_masks_go_where_the_answers_point_and_differ_where_they_leave_it_open() -> None:
    made, corner = reading(torch.rand(1, 16, 16)), torch.zeros(16, 16)
    corner[2:7, 2:7] = 1.0
    before = made.masks(200)[::2].mean(0)
    made.ask(128)
    made.add(-(made._asked * corner).sum((1, 2)).double())
    after = made.masks(200)[::2].mean(0)
    assert float(after[corner > 0].mean()) > 0.8 > float(before[corner > 0].mean()) + 0.3
    assert 0.05 < float(after[corner == 0].mean()) < float(before[corner == 0].mean())
    assert float(made.map()[0][corner > 0].mean()) == pytest.approx(1, abs=0.3)


def test_what_cells_do_together_is_no_cell_s_doing() -> None:
    # Answers: 1 where both of two corners are seen, else 0, beside 2 where a third is.
    errors = []
    for together in (hiding._TOGETHER, 0.0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(hiding, "_TOGETHER", together)
            made = reading(torch.ones(1, 128, 128))
            for _ in range(4):
                made.ask(32)
                seen = 1 - made._asked
                shares = [seen[:, :10, :10], seen[:, :10, -10:], seen[:, -10:, :10]]
                one, two, three = (share.mean(dim=(1, 2)) for share in shares)
                made.add((3 * one * two + 2 * three).double())
        errors.append(float(made._fit.noise) if made._fit else 0.0)
    assert errors[0] < 0.5 * errors[1]


def test_what_a_way_of_asking_does_to_the_answer_is_no_pixel_s_doing() -> None:
    made, number = reading(torch.rand(1, 16, 16)), torch.arange(96)
    made.ask(96)
    made.add(torch.tensor([0.0, -9.0, 3.0, -6.0, 1.0, 2.0], dtype=torch.float64)[number % 6])
    values, error = made.map()
    assert float(values.abs().max()) < 0.01
    assert float(error.max()) < 0.05


def test_fills_take_turns_and_each_is_hidden_and_shown() -> None:
    made = reading(torch.rand(1, 16, 16))
    assert made.kinds(8).tolist() == [0, 0, 1, 1, 2, 2, 0, 0]
    made.ask(16)
    made.add(torch.randn(16, generator=rng(), dtype=torch.float64))
    assert made.kinds(4).tolist() == [2, 2, 0, 0]  # they go on where they were


def test_what_is_asked_is_the_picture_where_it_is_not_hidden_and_its_fill_where_it_is() -> None:
    image = picture()
    made = Masks(
        image,
        Fills(n_kinds=2, make=lambda kind, hidden: torch.full((len(hidden), *image.shape), 2.0 + kind)),
        rng=rng(),
    )
    asked, hidden = made.ask(16), made._asked.bool()
    for row in range(16):
        fill = 2.0 + row // 2 % 2
        assert bool((asked[row][:, hidden[row]] == fill).all())
        assert torch.equal(asked[row][:, ~hidden[row]], image[:, ~hidden[row]])


def test_pixels_are_hidden_behind_mean_blur_and_noise() -> None:
    image, fills = picture(), out_of_sight(picture(), rng=rng())
    mean, blurred, noise = (fills.make(kind, torch.zeros(3, 1, SIZE, SIZE)) for kind in range(fills.n_kinds))
    assert mean.shape == blurred.shape == noise.shape == (3, 2, SIZE, SIZE)
    for channel in range(2):
        assert torch.allclose(mean[:, channel], image[channel].mean())
    assert 0 < float(blurred[0].std()) < float(image.std()) / 2
    assert not torch.equal(noise[0], noise[1])
    assert 0 <= float(noise.min()) <= float(noise.max()) <= 1


def test_a_picture_of_one_colour_has_nothing_to_hide() -> None:
    assert out_of_sight(torch.full((3, 8, 8), 0.25), rng=rng()).n_kinds == 1


def test_a_map_of_an_image_says_how_it_was_made() -> None:
    model = Additive()
    made = lt.FreeMCG(seed=3).attribute(model.box, picture(), budget=40)
    assert made.options == {"budget": 40, "algorithm": "patches"}
    assert (made.method, made.generator, made.seed, made.queries) == ("patches", "none", 3, 40)
    assert made.target == int(model(picture()[None]).argmax())
    assert lt.FreeMCG().attribute(Additive().box, picture()).queries == 128
    assert lt.FreeMCG().attribute(Additive().box, picture(), "b", budget=32).target == 1
    with pytest.raises(lt.errors.InputError, match="`budget` must be a whole number of at least 32"):
        lt.FreeMCG().attribute(Additive().box, picture(), budget=31)
    with pytest.raises(lt.errors.InputError, match="`budget` must be a whole number of at least 32"):
        lt.FreeMCG().attribute(lambda texts: [[0.5, 0.5]] * len(texts), "a text", budget=31)


def test_where_weights_are_at_hand_the_exact_map_is_offered() -> None:
    def note(model: Any) -> str:
        return " ".join(lt.FreeMCG().attribute(model, torch.rand(1, 8, 8, generator=rng()), budget=32).notes)

    network = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    ).eval()
    split = lt.split(network, example=torch.rand(2, 1, 8, 8))
    assert "model.heat_map(images, target)" in note(split)
    assert "if it can be split" not in note(split)
    assert "likethat.split(model).heat_map(images, target)" in note(lt.BlackBox(network, output="logits"))
    assert note(lambda x: x.flatten(1)[:, :2].softmax(1)) == ""

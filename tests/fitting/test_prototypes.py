"""Which images show a unit, worked out by hand on pictures of four coloured cells."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from toys import features_of

import likethat as lt
from likethat._progress import Progress
from likethat.coordinates import Rotation
from likethat.errors import UnreadableImageError
from likethat.explanations import Prototype
from likethat.features import Features, collect
from likethat.fitting.prototypes import Candidates, as_picture, gather_prototypes, look

OWN = torch.eye(3)


def coloured(*cells: list[float]) -> Tensor:
    """A picture of 8 x 8 with a colour for each quarter, row by row."""
    return torch.tensor(cells).T.reshape(3, 2, 2).repeat_interleave(4, 1).repeat_interleave(4, 2)


BLACK = [0.0, 0.0, 0.0]
PICTURES = torch.stack(
    [
        coloured([1.0, 0.0, 0.0], BLACK, BLACK, BLACK),
        coloured(BLACK, [0.625, 0.5, 0.0], BLACK, [0.375, 0.0, 0.0]),
        coloured(BLACK, [0.25, 0.25, 0.0], [0.25, 0.25, 0.0], [0.25, 0.25, 0.0]),
        coloured(BLACK, BLACK, BLACK, [0.0, 0.625, 0.0]),
    ]
)
# Mean red: .25, .25, .1875, 0; mean green: 0, .125, .1875, .15625; no blue.


@pytest.fixture(scope="module")
def model() -> lt.SplitModel:
    """Red speaks for the first class, green for the second."""
    network = nn.Sequential(nn.AvgPool2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)).eval()
    with torch.no_grad():
        network[-1].weight.copy_(torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))  # type: ignore[operator, union-attr]
        network[-1].bias.copy_(torch.tensor([0.0, -0.01]))  # type: ignore[operator, union-attr]
    return lt.split(network, preprocess=None, example=PICTURES)


@pytest.fixture(scope="module")
def features(model: lt.SplitModel) -> Features:
    return collect(model, lt.Images(PICTURES))


def own(model: lt.SplitModel) -> Rotation:
    return Rotation(OWN, model.head.weight)


def chosen(found: list[Prototype], unit: int, kind: str = "positive") -> list[int]:
    return [item.index for item in found if (item.unit, item.kind) == (unit, kind)]


def test_the_highest_and_the_lowest_of_each_channel_that_varies(model: lt.SplitModel, features: Features) -> None:
    found, pictures = gather_prototypes(model, lt.Images(PICTURES), features, own(model), n=2)
    assert (chosen(found, 0), chosen(found, 0, "negative")) == ([0, 1], [3, 2])  # equals by number
    assert (chosen(found, 1), chosen(found, 1, "negative")) == ([2, 3], [0, 1])
    assert chosen(found, 2) == []
    order = [(item.unit, item.kind, item.rank) for item in found]
    assert order == [(unit, kind, rank) for unit in (0, 1) for kind in ("positive", "negative") for rank in (0, 1)]
    assert list(pictures) == [f"image-000000{index}" for index in range(4)]
    for index in range(4):
        wanted = PICTURES[index].mul(255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        np.testing.assert_array_equal(pictures[f"image-000000{index}"], wanted)
    only, _ = gather_prototypes(model, lt.Images(PICTURES), features, own(model), n=2, with_negative=False)
    assert {item.kind for item in only} == {"positive"}


def test_a_record_by_hand(model: lt.SplitModel, features: Features) -> None:
    found, _ = gather_prototypes(model, lt.Images(PICTURES), features, own(model), n=2)
    second = next(item for item in found if (item.unit, item.kind, item.rank) == (0, "positive", 1))
    assert (second.source, second.index, second.image) == ("image 1", 1, "image-0000001")
    assert (second.cell, second.box) == ((0, 1), (4, 0, 8, 4))  # the upper right quarter
    assert second.activation == pytest.approx(0.25, abs=1e-6)
    assert second.peak == pytest.approx(0.625, abs=1e-6)
    assert second.purity == pytest.approx(0.625 / (0.625**2 + 0.5**2) ** 0.5, abs=1e-5)
    assert (second.predicted, second.label, second.label_name, second.true_part) == (0, None, None, None)
    assert second.original is not None
    assert (second.original.width, second.original.height) == (8, 8)
    assert second.region.startswith("2x2:")
    reds = PICTURES[1][0].reshape(2, 4, 2, 4).mean((1, 3))
    assert second.cells().tolist() == (reds >= 0.5 * reds.max()).tolist()
    lowest = next(item for item in found if (item.unit, item.kind, item.rank) == (0, "negative", 1))
    assert (lowest.index, lowest.cell, lowest.peak) == (2, (0, 0), 0.0)  # where its red is least
    assert lowest.activation == pytest.approx(0.1875, abs=1e-6)


def test_labels_and_sizes_are_those_of_the_image(model: lt.SplitModel, features: Features) -> None:
    facts = torch.zeros(4, 9)
    facts[:, 1:3] = torch.tensor([[8, 8], [8, 8], [8, 8], [16, 24]])  # heights and widths
    told = replace(
        features, labels=torch.tensor([0, -1, 1, 1]), label_names=["ant", None, "bee", "bee"],
        facts=facts,
    )  # fmt: skip
    found, _ = gather_prototypes(model, lt.Images(PICTURES), told, own(model), n=4)
    by_index = {item.index: item for item in found}
    assert [by_index[index].label for index in range(4)] == [0, None, 1, 1]
    assert [by_index[index].label_name for index in range(4)] == ["ant", None, "bee", "bee"]
    assert [by_index[index].predicted for index in range(4)] == [0, 0, 0, 1]
    original = by_index[3].original
    assert original is not None
    assert (original.width, original.height, original.frame) == (24, 16, (0.0, 0.0, 24.0, 16.0))
    for without in (replace(told, is_made=True), replace(told, facts=None)):
        made, _ = gather_prototypes(model, lt.Images(PICTURES), without, own(model), n=4)
        assert all(item.original is None for item in made)


def test_units_may_choose_among_some_images_whether_they_vary_or_not(model: lt.SplitModel, features: Features) -> None:
    among = [
        Candidates(units=torch.tensor([2, 0]), rows=torch.tensor([1, 3])),
        Candidates(units=torch.tensor([1]), rows=torch.tensor([0])),
        Candidates(units=torch.tensor([1]), rows=torch.tensor([], dtype=torch.long)),
    ]
    found, pictures = gather_prototypes(
        model, lt.Images(PICTURES), features, own(model), n=2, among=among, prefix="part"
    )
    assert (chosen(found, 0), chosen(found, 1), chosen(found, 2)) == ([1, 3], [0], [1, 3])
    assert list(pictures) == ["part-0000000", "part-0000001", "part-0000003"]


def held(features: Features, *rows: int) -> Features:
    """The same pass, had its memory held the maps of some images alone."""
    return replace(features, kept=torch.tensor(rows), maps=features.maps[list(rows)], views=features.views[list(rows)])


def fields(found: list[Prototype]) -> list[Any]:
    return [vars(item) for item in found]


def test_images_whose_maps_are_not_held_are_looked_at_again(model: lt.SplitModel) -> None:
    pictures = torch.rand(40, 3, 8, 8, generator=torch.Generator().manual_seed(0))  # more than a chunk
    source = lt.Images(pictures)
    whole = collect(model, source)
    (all_held, shown), (none_held, again) = (
        gather_prototypes(model, source, some, own(model), n=30) for some in (whole, held(whole, 3))
    )
    assert len(all_held) == 180
    for first, second in zip(fields(all_held), fields(none_held), strict=True):
        for name in ("activation", "peak", "purity"):
            assert first.pop(name) == pytest.approx(second.pop(name), abs=1e-6)
        assert first == second
    assert shown.keys() == again.keys()
    assert all(np.array_equal(shown[key], again[key]) for key in shown)


def test_a_stream_offers_what_is_held(model: lt.SplitModel, features: Features) -> None:
    class Stream:
        def __iter__(self) -> Any:
            return iter(())

    some = held(features, 1, 3)
    found, _ = gather_prototypes(model, Stream(), some, own(model), n=2)  # type: ignore[arg-type]
    assert (chosen(found, 0), chosen(found, 0, "negative")) == ([1, 3], [3, 1])
    among = [Candidates(units=torch.tensor([0]), rows=torch.tensor([0, 2, 3]))]
    found, _ = gather_prototypes(model, Stream(), some, own(model), n=2, among=among)  # type: ignore[arg-type]
    assert chosen(found, 0) == [3]
    with pytest.raises(TypeError, match="cannot be read twice"):
        list(look(model, Stream(), some, [0]))  # type: ignore[arg-type]


def test_an_image_that_went_is_said(model: lt.SplitModel, features: Features) -> None:
    class Gone:
        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> Any:
            raise UnreadableImageError(f"image {index} is gone.")

    with pytest.raises(UnreadableImageError, match=r"image 2 is gone\. It was readable when the fit began"):
        list(look(model, Gone(), held(features, 0), [0, 2]))


def said(model: lt.SplitModel, features: Features, rows: list[int]) -> list[tuple[int, int]]:
    """How far `look` says that it is."""
    seen: list[Progress] = []
    images = lt.Images(torch.zeros(len(features), 3, 8, 8))
    assert [one.row for one in look(model, images, features, rows, watch=seen.append)] == rows
    return [(item.done, item.total) for item in seen]


def test_how_far_it_is_is_said_every_hundred_and_at_the_end(model: lt.SplitModel) -> None:
    features = replace(features_of(torch.ones(250, 3, 4)), views=torch.zeros(250, 3, 8, 8, dtype=torch.uint8))
    assert said(model, features, list(range(250))) == [(100, 250), (200, 250), (250, 250)]
    assert said(model, features, [5, 6]) == [(2, 2)]
    assert said(model, held(features, *range(10)), list(range(50))) == [(42, 50), (50, 50)]  # chunks of 32


def test_of_a_network_with_labels_none_may_be_given(features: Features) -> None:
    network = nn.Sequential(nn.AvgPool2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)).eval()
    with torch.no_grad():
        network[-1].weight.copy_(torch.tensor([[4.0, 0.0, 0.0], [0.0, 4.0, 0.0]]))  # type: ignore[operator, union-attr]
        network[-1].bias.copy_(torch.tensor([-0.9, -0.3]))  # type: ignore[operator, union-attr]
    labels = lt.split(network, preprocess=None, example=PICTURES, outputs="sigmoid")
    source = lt.Images(PICTURES)
    found, _ = gather_prototypes(labels, source, collect(labels, source), own(labels), n=4)
    given = {item.index: item.predicted for item in found}
    # Logits of red: .1, .1, -.15, -.9; of green: -.3, .2, .45, .325.
    assert given == {0: 0, 1: 1, 2: 1, 3: 1}
    with torch.no_grad():
        network[-1].bias.copy_(torch.tensor([-1.0, -0.75]))  # type: ignore[operator, union-attr]
    labels = lt.split(network, preprocess=None, example=PICTURES, outputs="sigmoid")
    found, _ = gather_prototypes(labels, source, collect(labels, source), own(labels), n=4)
    assert {item.predicted for item in found} == {None}  # 0 is not above 0


@dataclass
class Drawn:
    """A drawn source: the left half shows a wing."""

    size: int

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        return lt.Images(PICTURES)[index]

    def true_part(self, index: int, box: tuple[int, int, int, int]) -> str | None:
        return f"wing {index}" if box[2] <= 4 else None


def test_a_drawn_source_says_what_stands_in_the_box(model: lt.SplitModel, features: Features) -> None:
    found, _ = gather_prototypes(model, Drawn(8), features, own(model), n=2, with_negative=False)
    told = {(item.unit, item.index): item.true_part for item in found}
    assert told == {(0, 0): "wing 0", (0, 1): "surroundings", (1, 2): "surroundings", (1, 3): "surroundings"}
    other, _ = gather_prototypes(model, Drawn(16), features, own(model), n=2)  # its pictures are not the views
    assert {item.true_part for item in other} == {None}
    wide = replace(features, views=torch.zeros(4, 3, 8, 16, dtype=torch.uint8))
    other, _ = gather_prototypes(model, Drawn(8), wide, own(model), n=2)
    assert {item.true_part for item in other} == {None}


@pytest.mark.parametrize("n_channels", [1, 2, 3, 4])
def test_pictures_are_grey_or_of_three_colours(n_channels: int) -> None:
    view = torch.arange(n_channels * 6, dtype=torch.uint8).reshape(n_channels, 2, 3)
    picture = as_picture(view)
    if n_channels < 3:
        assert picture.tolist() == [[0, 1, 2], [3, 4, 5]]
    else:
        assert picture.shape == (2, 3, 3)
        assert picture[1, 2].tolist() == [5, 11, 17]


def test_pictures_keep_their_eight_bits_when_they_are_looked_at_again(model: lt.SplitModel) -> None:
    levels = torch.arange(192).reshape(3, 8, 8) + 40
    pictures = torch.stack([levels.float() / 255, PICTURES[1], PICTURES[2]])
    source = lt.Images(pictures)
    (seen,) = look(model, source, held(collect(model, source), 0), [0])
    assert torch.equal(seen.view, levels.to(torch.uint8))


def test_how_far_it_is_is_said_of_what_is_held_too(model: lt.SplitModel) -> None:
    source = lt.Images(torch.rand(130, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
    features, told = collect(model, source), []
    list(look(model, source, features, range(130), watch=lambda report: told.append((report.done, report.total))))
    assert [one for one in told if one[0] in (100, 130)][-2:] == [(100, 130), (130, 130)]

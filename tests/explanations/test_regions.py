"""A marked part of a picture: its sum, its units, and what looks like it."""

import numpy as np
import pytest
import torch
from toys import pictures, small_cnn

import likethat as lt
from likethat.explanations.regions import Maps, explain_region

WHOLE = (0.0, 0.0, 1.0, 1.0)

pytestmark = pytest.mark.slow  # two fits


@pytest.fixture(scope="module", params=["EPIC", "parts"])
def bank(request: pytest.FixtureRequest) -> lt.Bank:
    model = lt.split(small_cnn(), preprocess=lt.Preprocess(size=16), class_names=["red", "green", "blue"])
    if request.param == "EPIC":
        return lt.EPIC(n_prototypes=3).fit(model, pictures(60))
    labels = model.logits(pictures(60)).argmax(1)
    return lt.PartPrototypes(n_prototypes=3).fit(model, pictures(60), labels=labels)


@pytest.fixture(scope="module")
def maps(bank: lt.Bank) -> Maps:
    return Maps(bank, 10**8)


def test_the_whole_picture_adds_what_an_explanation_says(bank: lt.Bank, maps: Maps) -> None:
    image = pictures(1, seed=4)[0]
    whole, told = explain_region(bank, image, WHOLE, maps), bank.explain(image)
    assert whole.contribution == pytest.approx(float(told.contributions.sum()), rel=1e-5)
    assert whole.contribution + told.bias + told.remainder == pytest.approx(whole.logit, rel=1e-4)
    assert sum(one.contribution for one in whole.units) + whole.rest == pytest.approx(whole.contribution)
    assert whole.units[0].contribution == pytest.approx(float(told.contributions[whole.units[0].unit]), rel=1e-4)


def test_parts_of_a_picture_add_up_to_it(bank: lt.Bank, maps: Maps) -> None:
    image = pictures(1, seed=4)[0]
    halves = [explain_region(bank, image, mark, maps, target=1) for mark in ((0, 0, 0.5, 1), (0.5, 0, 1, 1))]
    whole = explain_region(bank, image, WHOLE, maps, target=1)
    assert sum(half.n_cells for half in halves) == whole.n_cells == whole.n_all
    assert sum(half.contribution for half in halves) == pytest.approx(whole.contribution)
    assert halves[0].box == (0, 0, 8, 16)
    assert halves[0].everywhere == pytest.approx(whole.contribution)


def test_a_sum_by_hand(bank: lt.Bank, maps: Maps) -> None:
    image = pictures(1, seed=4)[0]
    region = explain_region(bank, image, (0, 0, 0.5, 0.5), maps, target=1, against=2)
    with torch.no_grad():
        cells = bank.model.features(image[None])[0]
    rows, columns = cells.shape[1:]
    part = cells[:, : rows // 2, : columns // 2].sum((1, 2)) / (rows * columns)
    wanted = (bank.head.weight[1] - bank.head.weight[2]) @ part
    assert region.contribution == pytest.approx(float(wanted), rel=1e-4)


def test_a_picture_of_the_bank_finds_itself_unless_left_out(bank: lt.Bank, maps: Maps) -> None:
    own = bank.prototypes[0]
    picture = torch.from_numpy(np.asarray(bank.images[own.image])).permute(2, 0, 1).float() / 255
    left, top, right, bottom = (side / 16 for side in own.box)
    found = explain_region(bank, picture, (left, top, right, bottom), maps)
    assert found.alike[0].similarity == pytest.approx(1.0, abs=1e-5)
    assert own.image in {one.prototype.image for one in found.alike}
    others = explain_region(bank, picture, (left, top, right, bottom), maps, without=own.image)
    assert own.image not in {one.prototype.image for one in others.alike}
    assert [one.similarity for one in others.alike] == sorted((one.similarity for one in others.alike), reverse=True)


def test_maps_let_go_of_the_oldest(bank: lt.Bank) -> None:
    keys = list(dict.fromkeys(item.image for item in bank.prototypes))[:3]
    few = Maps(bank, 1)
    first = few.of(keys[:1])[0]
    assert few.of(keys[:1])[0] is first
    few.of(keys[1:2])
    assert few.of(keys[:1])[0] is not first
    assert torch.equal(few.of(keys[:1])[0], first)


def test_a_mark_that_is_none_is_refused(bank: lt.Bank, maps: Maps) -> None:
    with pytest.raises(lt.errors.InputError, match="`mark`"):
        explain_region(bank, pictures(1)[0], (0.5, 0.0, 0.2, 1.0), maps)
    with pytest.raises(lt.errors.InputError, match="`against` must be another class"):
        explain_region(bank, pictures(1)[0], WHOLE, maps, target=1, against=1)


def test_without_time_each_call_looks_at_some_more(monkeypatch: pytest.MonkeyPatch, bank: lt.Bank) -> None:
    monkeypatch.setattr("likethat.explanations.regions._AT_ONCE", 2)
    image, maps, mark = pictures(1, seed=4)[0], Maps(bank, 10**8), (0, 0, 0.5, 0.5)
    told = [explain_region(bank, image, mark, maps, seconds=0) for _ in range(3)]
    assert [one.n_looked for one in told] == [2, 4, 6]
    assert told[0].n_left == told[2].n_left + 4 > 4
    assert told[0].contribution == told[2].contribution
    whole = explain_region(bank, image, mark, Maps(bank, 10**8))
    assert whole.n_left == 0
    assert whole.n_looked == told[0].n_looked + told[0].n_left

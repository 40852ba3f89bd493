"""`likethat.compare` on networks whose differences are known."""

import dataclasses
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from marked import CLASSES, N_CHANNELS, network, pictures
from torch import Tensor, nn
from toys import pictures as squares
from toys import small_cnn

import likethat as lt
from likethat.auditing.sides import class_order
from likethat.coordinates import Rotation
from likethat.errors import BankError, InputError
from likethat.explanations.comparison import CLEAR, VALUES

pytestmark = pytest.mark.filterwarnings("ignore:The model")  # some of these networks are wrong on purpose
N, TRUST = 450, 6.0


def data(n: int = N) -> lt.Images:
    images, labels, _ = pictures(n)
    return lt.Images(images, labels=labels.tolist(), class_names=CLASSES)


def own_channels(
    made: nn.Module, mixing: Tensor | None = None, class_names: Sequence[str] = CLASSES, named: Any = None
) -> lt.Bank:
    """A bank whose units are the network's channels, or these turned."""
    model = lt.split(made, example=pictures(4)[0], class_names=class_names)
    bank = lt.EPIC(n_prototypes=2).fit(model, pictures(60)[0])
    turned = Rotation(torch.eye(N_CHANNELS) if mixing is None else mixing, model.head.weight)
    names = ("prototypes", "images", "head", "class_names", "provenance", "usage", "settings")
    return lt.Bank(coordinates=turned, model=model, named=named, **{name: getattr(bank, name) for name in names})


def blind(trust: float = TRUST) -> nn.Sequential:
    """The same network, which sees neither the mark nor what the mark writes."""
    made = network(trust)
    with torch.no_grad():
        made[0].weight[3:5] = 0
    return made


def turn(seed: int = 0) -> Tensor:
    return torch.linalg.qr(torch.randn(N_CHANNELS, N_CHANNELS, generator=torch.Generator().manual_seed(seed))).Q


@cache
def learned() -> lt.Comparison:
    """A network that saw no mark, and one that goes by it."""
    return lt.compare(own_channels(blind()), own_channels(network(TRUST)), data(), n_pictures=4)


def test_a_bank_beside_itself_is_all_matched_and_nothing_flipped() -> None:
    bank = own_channels(network())
    found = lt.compare(bank, bank, data())
    assert [(one.state, one.a) for one in found.units] == [("matched", one.b) for one in found.units]
    assert len(found.units) == N_CHANNELS
    assert [one.correlation for one in found.units] == pytest.approx([1] * N_CHANNELS)
    assert max(one.unforeseen_interval[1] for one in found.units) < 1e-9
    assert (found.flips, found.n_flips, found.n_broken, found.clear) == ((), 0, 0, ())
    assert max(one.share for one in found.directions) < 1e-9
    assert "Both banks are of one network: they may differ in their coordinates alone." in found.provenance.notes


@pytest.mark.parametrize(
    "n", [N, 24]
)  # of 24 pictures, twelve foretell eight channels badly: no reason to call any new
def test_other_coordinates_of_one_network_are_no_change(n: int) -> None:
    found = lt.compare(own_channels(network()), own_channels(network(), turn()), data(n))
    values = found.values
    assert (values["new_units"], values["lost_units"], values["flipped"]) == (0, 0, 0)
    assert values["stronger_units"] == values["weaker_units"] == 0
    assert max(values["new_share"], values["lost_share"]) < 1e-9
    assert values["shared_units"] > N_CHANNELS


def test_a_small_turn_makes_no_unit_stronger() -> None:
    small = torch.matrix_exp(0.1 * (turn(1) - turn(1).T))
    found = lt.compare(own_channels(network()), own_channels(network(), small), data())
    assert {one.state for one in found.units} <= {"matched", "shared"}
    assert any(one.use_b > 2 * one.use_a for one in found.units if one.state == "matched")  # and yet they differ


def test_what_a_network_learned_is_new_first_with_its_pictures() -> None:
    found, marked = learned(), pictures()[2]
    first = found.directions[0]
    assert (first.side, first.is_clear, found.clear) == ("new", True, (first,))
    assert first.interval[0] < first.share < first.interval[1]
    assert all(bool(marked[one.index]) for one in first.most)
    assert not any(bool(marked[one.index]) for one in first.least)
    assert first.speaks_for.argmax() == 0  # the mark's class
    assert first.units[0] == 3
    assert first.foretold < 0.5
    assert (found.units[0].state, found.units[0].b, found.units[0].name) == ("new", 3, "channel 3")
    assert found.units[0].unforeseen_interval[0] > 0.5
    assert found.units[0].n_flips > 50
    assert 0 < first.n_flips <= found.units[0].n_flips
    assert found.values["lost_directions"] == 0
    assert all(one.image in found.images for one in first.most)
    assert found.images[found.units[0].prototypes[0]].shape == (8, 8, 3)


def test_what_is_new_is_the_same_whatever_the_coordinates() -> None:
    spread = lt.compare(own_channels(blind(), turn(1)), own_channels(network(TRUST), turn()), data()).directions[0]
    first = learned().directions[0]
    assert spread.share == pytest.approx(first.share)
    assert spread.reader == pytest.approx(first.reader, abs=1e-5)
    assert first.carries[0] > 0.9 > spread.carries[0]


def test_the_other_way_round_it_is_lost() -> None:
    there, back = learned(), lt.compare(own_channels(network(TRUST)), own_channels(blind()), data())
    assert (back.directions[0].side, back.units[0].state, back.units[0].a) == ("lost", "lost", 3)
    assert back.directions[0].share == pytest.approx(there.directions[0].share)
    assert (back.n_broken, back.n_fixed) == (there.n_fixed, there.n_broken)
    assert back.n_right == there.n_right[::-1]
    assert back.directions[0].n_flips > 0


def test_one_weight_of_the_head_is_a_stronger_unit_and_nothing_new() -> None:
    before, after = network(1.0), network(4.0)
    after[3].bias.data = before[3].bias.data
    found = lt.compare(own_channels(before), own_channels(after), data())
    assert [(one.state, one.b) for one in found.units[:1]] == [("stronger", 3)]
    assert {one.state for one in found.units[1:]} <= {"matched", "weaker"}  # the others have less of all evidence
    assert found.units[0].n_flips == found.n_flips > 0  # nothing else was moved
    first = found.directions[0]
    assert (first.side, first.units[0]) == ("new", 3)
    assert first.foretold > 0.99  # both see it alike: what is new is that it counts
    back = lt.compare(own_channels(after), own_channels(before), data())
    assert next(one.state for one in back.units if one.b == 3) == "weaker"


def test_flips_add_up_to_the_networks_own_logits() -> None:
    found, images = learned(), pictures()[0]
    before, after = (made(images).detach().double() for made in (blind(), network(TRUST)))
    assert found.n_flips == int((before.argmax(1) != after.argmax(1)).sum())
    assert len(found.flips) == 12
    for flip in found.flips:
        one = flip.picture
        assert (one.before, one.after) == (int(before[one.index].argmax()), int(after[one.index].argmax()))
        assert flip.before == pytest.approx(
            float(before[one.index, one.after] - before[one.index, one.before]), abs=1e-4
        )
        assert flip.after == pytest.approx(float(after[one.index, one.after] - after[one.index, one.before]), abs=1e-4)
        assert abs(flip.gap) < 1e-5
    labels = pictures()[1]
    right = before.argmax(1) == labels, after.argmax(1) == labels
    assert found.n_right == (int(right[0].sum()), int(right[1].sum()))
    assert found.n_broken == int((right[0] & ~right[1]).sum())


def test_classes_go_by_their_names() -> None:
    made, order = network(), [2, 0, 1]
    turned = network()
    with torch.no_grad():
        turned[3].weight.copy_(made[3].weight[order])
        turned[3].bias.copy_(made[3].bias[order])
    names = [CLASSES[place] for place in order]
    found = lt.compare(own_channels(made), own_channels(turned, class_names=names), data())
    assert found.values["flipped"] == 0
    assert {one.state for one in found.units} == {"matched"}
    assert found.class_names == CLASSES


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (("ant", "bee <b>", "dog"), "the first alone has 'cow'; the second alone has 'dog'"),
        (("class 0", "class 1", "class 2"), "the first alone has 'ant', 'bee <b>', 'cow'"),
        (("ant", "ant", "cow"), "the first alone has 'bee <b>'"),
    ],
)
def test_other_classes_are_refused(second: tuple[str, ...], said: str) -> None:
    with pytest.raises(InputError, match=f"`bank_b` must have the classes of `bank_a`, by name.*{said}"):
        class_order(CLASSES, second)


def test_names_that_people_gave_go_over_to_the_partners() -> None:
    a = own_channels(network(1.0), named={3: "badge", 0: "leg", 1: "wing"})
    b = own_channels(network(4.0), named={0: "foot"})
    found = lt.compare(a, b, data())
    assert found.names == {3: "badge", 1: "wing"}
    for unit, name in found.names.items():
        b.rename(unit, name)
    assert b.named == {0: "foot", 1: "wing", 3: "badge"}


def test_the_same_seed_gives_the_same_whatever_the_batches_and_the_memory() -> None:
    how: Any = {"n_pictures": 4, "batch_size": 7, "memory_budget": 2000}
    again = lt.compare(own_channels(blind()), own_channels(network(TRUST)), data(), **how)
    first, second = (one.to_dict() for one in (learned(), again))
    for each in (first, second):
        del each["provenance"]
    assert first == second
    assert all(np.array_equal(learned().images[key], again.images[key]) for key in again.images)


def test_it_comes_back_from_its_folder_and_says_what_it_is(tmp_path: Path) -> None:
    opened = lt.open(learned().save(tmp_path / "a"))
    assert isinstance(opened, lt.Comparison)
    assert opened.to_dict() == learned().to_dict()
    assert set(opened.images) == set(learned().images)
    assert tuple(opened.values) == VALUES
    assert repr(opened).startswith("<Comparison of Sequential and Sequential on 450 pictures: ")
    assert next(iter(opened.to_frame()["state"])) == "new"
    assert opened.directions[0].interval[0] > CLEAR


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"flips": lambda one: dataclasses.replace(one, rows=(dataclasses.replace(one.rows[0], unit=99),))}, "unit 99"),
        ({"directions": lambda one: dataclasses.replace(one, speaks_for=one.speaks_for[:2])}, "speaks_for"),
        ({"units": lambda one: dataclasses.replace(one, prototypes=("nowhere",))}, "'nowhere', which is not there"),
        ({"flips": lambda one: dataclasses.replace(one, after=one.after + 1)}, "do not add up"),
        ({"directions": lambda one: dataclasses.replace(one, carries=one.carries[:1])}, "carries"),
    ],
)
def test_records_that_do_not_belong_together_are_refused(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    (name, changed), *_ = change.items()
    first, *rest = getattr(learned(), name)
    folder = dataclasses.replace(learned(), **{name: (changed(first), *rest)}).save(tmp_path / "a")
    with pytest.raises(InputError, match=said):
        lt.open(folder)


@pytest.mark.parametrize("n", [1, 5])
def test_the_flips_shown_are_those_that_both_networks_are_surest_of(n: int) -> None:
    found = lt.compare(own_channels(blind()), own_channels(network(TRUST)), data(), n_flips=n)
    before, after = (made(pictures()[0]).detach().double() for made in (blind(), network(TRUST)))
    old, new = before.argmax(1), after.argmax(1)
    rows = torch.arange(N)
    margins = torch.minimum(before[rows, old] - before[rows, new], after[rows, new] - after[rows, old])
    assert [one.picture.index for one in found.flips] == margins.argsort(descending=True).tolist()[:n]
    assert found.n_flips == int((old != new).sum()) > n


def test_pictures_that_are_all_alike_make_no_unit_stronger() -> None:
    noise = torch.rand(40, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    flat = torch.tensor([0.2, 0.5, 0.8]).reshape(3, 1, 1) + 3e-7 * noise  # one colour, but for the last digits
    found = lt.compare(own_channels(network(1.0)), own_channels(network(4.0), turn()), lt.Images(flat))
    assert found.units == ()
    assert "No unit varies over these pictures" in " ".join(found.provenance.notes)


def test_units_that_share_cells_are_refused_before_a_picture_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    images = pictures(12)[0]
    model = lt.split(network(), example=images[:4], class_names=CLASSES)
    bank = lt.PartPrototypes(algorithm="superclasses", n_prototypes=1).fit(model, images)
    monkeypatch.setattr("likethat.fitting.fitting.collect", None)  # whatever reads would fail
    with pytest.raises(InputError, match="`bank_a` must be a bank whose units have a weight in the head"):
        lt.compare(bank, bank, data())


def test_parts_are_matched_within_their_class() -> None:
    images, labels = squares(120), [place % 3 for place in range(120)]
    given = lt.Images(images, labels=labels, class_names=CLASSES)
    banks = [
        lt.PartPrototypes(n_parts=2, n_prototypes=1).fit(
            lt.split(small_cnn(seed=seed), example=images[:4], class_names=CLASSES), given
        )
        for seed in (0, 1)
    ]
    found = lt.compare(banks[0], banks[0], given)
    assert {(one.state, one.a == one.b) for one in found.units} == {("matched", True)}
    other = lt.compare(*banks, given)
    assert all(one.name_a.split(",")[0] == one.name_b.split(",")[0] for one in other.units if one.name_a and one.name_b)
    assert all(abs(flip.gap) < 1e-4 for flip in other.flips)
    with pytest.raises(InputError, match="`bank_b` must hold parts as `bank_a` does, got channels"):
        lt.compare(banks[0], lt.EPIC(n_prototypes=1).fit(banks[0].model, images), given)


def test_what_cannot_be_compared_is_said_in_a_sentence(tmp_path: Path) -> None:
    bank = own_channels(network())
    with pytest.raises(InputError, match="`bank_b` must be a bank, got SplitModel"):
        lt.compare(bank, bank.model, data())  # type: ignore[arg-type]
    with pytest.raises(BankError, match="opened without its model"):
        lt.compare(lt.open_bank(bank.save(tmp_path / "bank")), bank, data())
    with pytest.raises(InputError, match="read twice"):
        lt.compare(bank, bank, iter(pictures(30)[0]))
    with pytest.raises(InputError, match="at least 20 images that both models can read, got 12"):
        lt.compare(bank, bank, data(12))
    one = lt.compare(bank, bank, pictures(20)[0])
    assert np.isnan(one.values["accuracy_drop"])
    assert one.provenance.notes[-1].startswith("The pictures have no labels")


def test_the_page_says_what_was_found_and_shows_names_as_they_are(tmp_path: Path) -> None:
    page = learned().save(tmp_path / "a.html").read_text("utf-8")
    assert (
        "119 predictions of 450 flipped; the model now goes by one thing that it did not go by before; of its "
        "channels: 2 new, 2 weaker</h1>"
    ) in page
    assert "it speaks for “ant” and against" in page
    assert "<b>bee" not in page
    assert "bee <b>" not in page
    assert "bee &lt;b&gt;" in page
    first = learned().flips[0]
    assert f">{first.after:+.2f}</td>" in page
    assert page.count('class="flip"') == 12
    bank = own_channels(network())
    quiet = lt.compare(bank, bank, data()).save(tmp_path / "b.html").read_text("utf-8")
    assert "No prediction flipped; the model goes by nothing new and has lost nothing</h1>" in quiet
    assert "Predictions that flipped" not in quiet

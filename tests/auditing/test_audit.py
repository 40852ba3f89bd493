"""`likethat.audit` on pictures whose mark, and a network whose trust in it, are known."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from marked import CLASSES, axes, model, pictures
from toys import Sine, small_cnn

import likethat as lt
from likethat.auditing import shortcuts
from likethat.auditing.labels import find_doubtful
from likethat.errors import ArgumentError, InputError, NotLinearError
from likethat.explanations import Audit
from likethat.explanations.audit import CLEAR
from likethat.features import collect

pytestmark = pytest.mark.slow  # what all its tests share takes seconds to train


def source(n: int = 450, *, strength: float = 0.9, wrong: int = 0) -> lt.Images:
    images, labels, _ = pictures(n, strength=strength)
    labels[:wrong] = (labels[:wrong] + 1) % 3
    return lt.Images(images, labels=labels.tolist(), class_names=CLASSES)


@pytest.fixture(scope="module")
def found() -> Audit:
    return lt.audit(model(), source(), n_shortcuts=1, n_pictures=4)


def test_a_planted_mark_is_found_first_with_its_states(found: Audit) -> None:
    _, labels, marked = pictures()
    first = found.shortcuts[0]
    assert first.is_clear
    assert first.interval[0] < first.score < first.interval[1]
    assert first.null < CLEAR < first.score
    pooled = model().pooled(pictures()[0]).detach().numpy()
    states = pooled @ first.reader > first.cut[labels.numpy()]
    assert np.mean(states == marked.numpy()) > 0.99
    assert first.n_on == int(states.sum())
    assert first.share == pytest.approx([0.9, 0.1, 0.1], abs=0.03)
    assert first.agreement > 0.99
    written = [0, 0, 0, 2.0, 1.4, 0, 0, 0]  # the mark, and what it brings with it
    assert first.direction == pytest.approx(np.asarray(written), abs=0.3)
    assert float(first.reader @ first.direction) == pytest.approx(1, abs=1e-5)


def test_what_taking_it_out_would_do(found: Audit) -> None:
    labels, first = pictures()[1], found.shortcuts[0]
    assert 2 * int(first.counts.sum()) == len(labels)  # the half that was kept back
    assert first.counts[0, 1] > 5 * first.counts[0, 0]
    assert (first.right_before <= first.counts).all()
    assert first.worst[1] > first.worst[0] + 0.2
    assert first.balanced[1] > first.balanced[0] + 0.05
    assert first.n_predictions > 15


def test_the_pictures_show_both_states(found: Audit) -> None:
    marked, first = pictures()[2], found.shortcuts[0]
    assert [one.is_on for one in first.pictures] == [True] * 4 + [False] * 4
    assert all(bool(marked[one.index]) == one.is_on for one in first.pictures)
    assert len({one.label for one in first.pictures[:4]}) == 3  # class by class in turn
    assert all(found.images[one.image].shape == (8, 8, 3) for one in first.pictures)


def test_the_same_seed_gives_the_same_audit_whatever_the_batches_and_the_memory(found: Audit) -> None:
    again = lt.audit(model(), source(), n_shortcuts=1, n_pictures=4, batch_size=7, memory_budget=2000)
    for one, other in zip(found.shortcuts, again.shortcuts, strict=True):
        assert all(np.array_equal(value, getattr(other, name)) for name, value in vars(one).items())
    assert all(np.array_equal(found.images[key], again.images[key]) for key in found.images)


def test_a_search_of_some_pictures_finds_the_states_of_all(found: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortcuts, "_MOST", 240)
    first = lt.audit(model(), source(), n_shortcuts=1, n_pictures=1).shortcuts[0]
    assert abs(first.n_on - found.shortcuts[0].n_on) <= 3
    assert not np.array_equal(first.reader, found.shortcuts[0].reader)
    assert first.counts.sum() == found.shortcuts[0].counts.sum()


def test_a_network_on_pictures_without_a_mark_has_none() -> None:
    found = lt.audit(model(), source(strength=0.0), n_shortcuts=1, n_pictures=1)  # neither on the first nor on others
    assert found.clear == ()
    assert found.provenance.notes[-1].startswith("With 450 pictures only a strong shortcut")


def test_wrong_labels_are_doubted() -> None:
    split, data = model(trust=0.0), source(wrong=30)
    features = collect(split, data)
    probabilities = split.probabilities(split.logits(pictures()[0]).detach())
    n_doubtful, doubtful = find_doubtful(features, probabilities, n=20)
    doubted = [one.picture.index for one in doubtful]
    assert sum(index < 30 for index in doubted) > 9  # 30 of 450 are wrong: a draw would hold one or two
    assert n_doubtful >= len(doubted)
    assert all(20 * one.own <= one.other for one in doubtful)
    apart = [one.other - one.own for one in doubtful]
    assert apart == sorted(apart, reverse=True)
    assert find_doubtful(features, probabilities, n=0)[1] == []


@pytest.mark.parametrize("outputs", ["one logit", "labels"])
def test_a_model_that_gives_no_class_of_several_is_refused_before_it_is_measured(outputs: str) -> None:
    n = 1 if outputs == "one logit" else 3
    network = torch.nn.Sequential(*list(small_cnn())[:-1], torch.nn.Linear(16, n)).eval()
    given = lt.split(network, example=pictures(4)[0], outputs="sigmoid")
    said = "a single yes or no" if n == 1 else "labels that each hold or not"
    with pytest.raises(InputError, match=f"an audit needs a model that gives one class of several.*{said}"):
        lt.audit(given, source(30))


def test_a_bare_network_that_gives_no_class_of_several_is_not_run_over_the_pictures() -> None:
    said: list[lt.Progress] = []
    network = torch.nn.Sequential(*list(small_cnn())[:-1], torch.nn.Linear(16, 1)).eval()
    with pytest.raises(InputError, match="an audit needs a model that gives one class of several"):
        lt.audit(network, source(30), watch=said.append)
    assert said == []


def test_without_labels_the_models_classes_stand_in(tmp_path: Path) -> None:
    found = lt.audit(model(), lt.Images(pictures(200)[0]), n_shortcuts=1)
    page = found.save(tmp_path / "a.html").read_text("utf-8")
    assert "in 200 pictures without labels</h1>" in page
    assert page.index("The pictures have no labels") < page.index("The state is on")
    assert "The pictures have no labels" in " ".join(found.provenance.notes)
    assert (found.n_doubtful, int(found.shortcuts[0].counts.sum())) == (0, 0)
    assert np.isnan(found.shortcuts[0].accuracy).all()
    assert found.shortcuts[0].pictures[0].label is None


def test_a_class_without_pictures_is_not_spoken_of(tmp_path: Path) -> None:
    images, labels, _ = pictures()
    kept = labels < 2
    some = lt.Images(images[kept], labels=labels[kept].tolist(), class_names=CLASSES)
    one_class = lt.Images(images[:60][labels[:60] == 0], labels=[0] * 20, class_names=CLASSES)
    found = lt.audit(model(), some, n_shortcuts=1, n_pictures=2, test=one_class)
    assert np.isnan(found.shortcuts[0].share).tolist() == [False, False, True]
    page = found.save(tmp_path / "a.html").read_text("utf-8")
    assert page.count('<th scope="row" dir="auto">') == 2
    assert lt.open(found.save(tmp_path / "a")).shortcuts[0].share[:2] == pytest.approx(found.shortcuts[0].share[:2])  # type: ignore[union-attr]
    assert f"All test pictures with a label are of one class, {CLASSES[0]!r}" in " ".join(found.provenance.notes)
    unlabelled = lt.audit(model(), some, n_shortcuts=1, n_pictures=2, test=lt.Images(images[:30]))
    assert "The test pictures have no labels of the model's classes" in " ".join(unlabelled.provenance.notes)


def test_what_is_not_above_chance_is_folded_away(tmp_path: Path) -> None:
    found = lt.audit(model(), source(strength=0.0), n_shortcuts=1, n_pictures=1)
    page = found.save(tmp_path / "a.html").read_text("utf-8")
    assert page.index("Looked at, and not above what is found where nothing is wrong") < page.index("A direction")


def test_it_opens_as_it_was_saved_and_has_a_page(found: Audit, tmp_path: Path) -> None:
    opened = lt.open(found.save(tmp_path / "audit"))
    assert isinstance(opened, Audit)
    assert repr(opened) == repr(found)
    assert dataclasses.replace(opened, images=found.images).to_dict() == found.to_dict()
    assert set(opened.images) == set(found.images)
    page = found.save(tmp_path / "a.html").read_text("utf-8")
    assert ": 1 shortcut, " in repr(found)
    assert "One shortcut found" in page
    assert ("doubtful labels (no more than chance)" in page) != found.findings[-1].is_clear
    assert "bee &lt;b&gt;" in page
    assert "bee <b>" not in page
    n_shown = sum(len(one.pictures) for one in found.ranked)  # doubtful labels are one of them
    assert len(next(one for one in found.findings if one.kind == "labels").pictures) == len(found.doubtful)
    assert "if all labels were right, and the model as sure as it may be" in page
    assert page.count("<use href") == n_shown


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"right_after": np.full((3, 2), 10**6)}, "more right answers than pictures"),
        ({"cut": np.zeros(2, np.float32)}, "damaged"),
        ({"share": np.full(3, 1.5, np.float32)}, "share must lie in"),
        ({"direction": np.zeros(5, np.float32)}, "damaged"),
    ],
)
def test_a_forged_finding_is_refused(found: Audit, change: dict[str, np.ndarray], why: str, tmp_path: Path) -> None:
    forged = (dataclasses.replace(found.shortcuts[0], **change), *found.shortcuts[1:])
    folder = dataclasses.replace(found, shortcuts=forged).save(tmp_path / "a")
    with pytest.raises(InputError, match=f"damaged.*{why}" if why != "damaged" else why):
        lt.open(folder)


def test_pictures_that_are_not_there_are_refused(found: Audit, tmp_path: Path) -> None:
    odd = dataclasses.replace(found.shortcuts[0].pictures[0], image="../x")
    forged = dataclasses.replace(found.shortcuts[0], pictures=(odd,))
    folder = dataclasses.replace(found, shortcuts=(forged,)).save(tmp_path / "a")
    with pytest.raises(InputError, match=r"names the picture '\.\./x', which is not there"):
        lt.open(folder)


@pytest.fixture(scope="module")
def tested() -> Audit:
    """An audit whose test pictures are others, and 15 of its own in other light."""
    images = pictures(90, seed=7)[0]
    images[:15] = 0.1 + 0.8 * pictures()[0][30:45]
    return lt.audit(model(), source(), n_shortcuts=1, n_pictures=3, test=lt.Images(images))


def test_copies_among_test_pictures_stand_among_the_findings(tested: Audit, found: Audit, tmp_path: Path) -> None:
    (copies,) = (one for one in tested.findings if one.kind == "copies")
    assert (copies.kind, copies.is_clear) == ("copies", True)
    assert 15 <= copies.n_pictures <= 22  # its pictures are much alike: of 75 others one in twenty has a twin by chance
    pairs = list(zip(copies.pictures[::2], copies.pictures[1::2], strict=True))
    own = [(one, other) for one, other in pairs if one.index < 15]
    assert own
    for one, other in own:
        assert other.index == one.index + 30
        apart = tested.images[one.image] / 255 - 0.1 - 0.8 * (tested.images[other.image] / 255)
        assert float(np.abs(apart).max()) < 0.01
    kinds = [getattr(one, "kind", "shortcut") for one in tested.ranked]
    assert kinds == ["shortcut", "copies", "labels"]  # of its few test pictures too few are wrong for a slice
    assert ", 1 other finding>" in repr(tested)
    assert list(tested.to_frame()["kind"]) == kinds
    assert [one["is_clear"] for one in tested.to_dict()["findings"]] == [True, False]
    page = tested.save(tmp_path / "a.html").read_text("utf-8")
    assert "one other finding</h1>" in page
    assert page.index("Likely shortcut") < page.index("test pictures have near copies among the training pictures.")
    opened = lt.open(tested.save(tmp_path / "audit"))
    assert isinstance(opened, Audit)
    assert dataclasses.replace(opened, images=tested.images).to_dict() == tested.to_dict()
    assert np.array_equal(found.shortcuts[0].reader, tested.shortcuts[0].reader)  # tests change nothing else
    assert "slice" in [one.kind for one in found.findings]
    assert "surroundings" not in [one.kind for one in found.findings]  # of 450 pictures too few would be put into edges


def test_a_finding_that_shows_what_is_not_there_is_refused(tested: Audit, tmp_path: Path) -> None:
    odd = dataclasses.replace(tested.findings[0].pictures[0], image="test-x")
    forged = dataclasses.replace(tested.findings[0], pictures=(odd,))
    folder = dataclasses.replace(tested, findings=(forged,)).save(tmp_path / "a")
    with pytest.raises(InputError, match="names the picture 'test-x', which is not there"):
        lt.open(folder)


def test_calls_that_do_not_fit() -> None:
    with pytest.raises(InputError, match="`n_shortcuts` must be a whole number of at least 1, got 0"):
        lt.audit(model(), source(30), n_shortcuts=0)
    with pytest.raises(ArgumentError, match=r"`shortcuts` is no argument of audit\. Did you mean `n_shortcuts`"):
        lt.audit(model(), source(30), shortcuts=2)  # type: ignore[call-arg]
    deep = torch.nn.Sequential(*list(small_cnn())[:-1], torch.nn.Linear(16, 8), Sine(), torch.nn.Linear(8, 3)).eval()
    with pytest.raises(NotLinearError, match="audit needs a head that is linear"):
        lt.audit(lt.split(deep, example=pictures(4)[0]), source(30))


def test_axes_are_what_the_pictures_are_made_of() -> None:
    assert torch.allclose(axes().T @ axes(), torch.eye(8), atol=1e-5)
    assert model().pooled(pictures(2)[0]).shape == (2, 8)

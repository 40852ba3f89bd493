"""Names of classes: what is a partner, what is none, and what was assumed."""

import pytest

from likethat import _class_names
from likethat._class_names import are_unnamed, find_classes, match_classes, resolve_target
from likethat.errors import TargetError


@pytest.mark.parametrize(
    ("given", "known", "index"),
    [
        ("cat", ["dog", "cat"], 1),
        ("CAT", ["dog", "cat"], 1),
        ("guinea_pig", ["cat", "Guinea Pig"], 1),
        ("tabby cat", ["tench, Tinca tinca", "tabby, tabby cat"], 1),
        ("missile", ["projectile, missile", "missile"], 1),
        ("CARDIGAN", ["Cardigan, Welsh corgi", "cardigan"], None),
        (" guinea pig", ["cat", "Guinea-Pig, cavy"], 1),
        ("cats", ["dog", "cat"], None),
        ("", ["dog", ", "], None),
    ],
)
def test_one_name(given: str, known: list[str], index: int | None) -> None:
    """What a folder is called and what a user asks for are found by the same steps."""
    assert match_classes([given], known).partners.get(given) == index
    if index is None:
        with pytest.raises(TargetError, match=r"names 2 classes|must be a class of the model"):
            resolve_target(given, known)
    else:
        assert resolve_target(given, known) == index


def test_two_of_one_name_are_no_partner() -> None:
    match = match_classes(["crane", "owl"], ["crane", "owl", "crane"])
    assert (match.partners, match.ambiguous, match.unmatched) == ({"owl": 1}, {"crane": (0, 2)}, [])


def test_classes_without_names() -> None:
    known = [f"class {index}" for index in range(3)]
    assert match_classes(["c", "a", "b"], known).partners == {"c": 0, "a": 1, "b": 2}  # the source's order, not ours
    assert "in their order" in match_classes(["c", "a", "b"], known).assumed
    assert match_classes(["2", "0"], known).partners == {"2": 2, "0": 0}
    assert match_classes(["1", "2", "3"], known).partners == {
        "1": 0,
        "2": 1,
        "3": 2,
    }  # 3 is no index, but three in order
    assert "nothing says which" in match_classes(["a", "b"], known).assumed
    assert match_classes(["class 2"], known).partners == {"class 2": 2}
    assert not are_unnamed(["class 1", "class 0"])
    assert match_classes([], known).assumed == ""


def test_a_synonym_as_it_stands_comes_before_another_class_in_other_letters() -> None:
    known = ["Cardigan, Cardigan Welsh corgi", "cardigan"]
    assert match_classes(["Cardigan", "cardigan"], known).partners == {"Cardigan": 0, "cardigan": 1}


def test_what_is_looked_for_has_synonyms_of_its_own() -> None:
    assert find_classes("linnet, house finch", ["robin", "House Finch"]) == [1]


def test_words_of_imagenet(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("tench", "crane", "crane")
    words = ("tench, Tinca tinca", "crane, bird", "crane, hoist")
    monkeypatch.setattr(_class_names, "imagenet_synonyms", lambda given: words if given == names else None)
    monkeypatch.setattr(_class_names, "imagenet_index", lambda wnid, given: 1 if wnid == "n02012849" else None)
    monkeypatch.setattr(_class_names, "described", {"n01440764": "tench, Tinca tinca"}.get)
    asked = ("tinca-tinca", "hoist", "crane", "n02012849", "n01440764")
    assert [find_classes(one, names) for one in asked] == [[0], [2], [1, 2], [1], [0]]

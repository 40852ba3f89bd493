"""The sentences at the door."""

import sys
from pathlib import Path

import pytest
import torch

from likethat._checks import check_count, check_images, require
from likethat._class_names import resolve_target
from likethat.errors import InputError, MissingExtraError, NonFiniteError, TargetError


def test_a_missing_library_says_what_to_install() -> None:
    with pytest.raises(MissingExtraError, match="Loading x needs no-such-library, which is not installed"):
        require("no_such_library", purpose="Loading x")


@pytest.mark.parametrize(
    "error", ["ImportError('wrong build')", "RuntimeError('operator torchvision::nms does not exist')"]
)
def test_a_library_that_does_not_import_says_why(error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_library.py").write_text(f"raise {error}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_library", raising=False)
    with pytest.raises(MissingExtraError, match=r"which is installed and does not import \(.*(build|nms).*\)"):
        require("broken_library", purpose="Loading x")


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        ("a path", InputError, "must be a tensor .* got str"),
        (torch.zeros(3, 4, 4), InputError, r"Add the batch axis with image\[None\]"),
        (torch.zeros(1, 3, 4, 4, dtype=torch.uint8), InputError, "Divide by 255"),
        (torch.zeros(1, 1, 4, 4), InputError, "must have 3 channels as the model takes, got 1"),
        (torch.full((1, 3, 4, 4), float("nan")), NonFiniteError, "got 48 NaN or infinite of 48"),
        (torch.full((1, 3, 4, 4), 255.0), InputError, "got values from 255 to 255"),
    ],
)
def test_images(images: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        check_images(images, channels=3)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "3", None])
def test_counts(value: object) -> None:
    with pytest.raises(InputError, match="`n` must be a whole number of at least 1"):
        check_count(value, name="n")


def test_targets() -> None:
    names = ("ant", "bee", "ant")
    assert resolve_target("bee", names) == 1
    assert resolve_target(torch.tensor(2), names) == 2  # type: ignore[arg-type]
    with pytest.raises(TargetError, match=r"names 2 classes \[0, 2\]"):
        resolve_target("ant", names)
    with pytest.raises(TargetError, match="must be a class of the model, got 'cow'"):
        resolve_target("cow", names)
    with pytest.raises(TargetError, match="class index or a class name, got bool"):
        resolve_target(True, names)


def test_numbers_that_may_be_labels() -> None:
    assert resolve_target(2, [str(index) for index in range(10)]) == 2
    assert resolve_target(0, ("-1", "1")) == 0  # no class is called 0
    assert resolve_target(1, ("-1", "1")) == 1  # both readings agree
    assert resolve_target(1, ("1", "1")) == 1  # two classes of one name are told apart by index alone
    assert resolve_target(True, ("False", "True")) == 1
    assert resolve_target("2", ("1", "2")) == 1
    for names in (("1", "2"), ("1.0", "2.0"), ("001", "002"), ("2", "3", "1")):
        with pytest.raises(TargetError, match=r"beyond doubt, got 1: the class named '.*1.*', or the one at index 1"):
            resolve_target(1, names)
    with pytest.raises(TargetError, match=r"from 0 to 1, got 2\. The class of that name is '2', as text"):
        resolve_target(2, ("1", "2"))


def test_a_class_is_known_by_any_of_its_names() -> None:
    names = ["house finch, linnet", "Cardigan, Cardigan Welsh corgi", "cardigan", "crane", "crane, bird"]
    found = [
        resolve_target(name, names)
        for name in ("house finch", "linnet", "Linnet", "Cardigan", "cardigan", "crane, bird")
    ]
    assert found == [0, 0, 0, 1, 2, 4]
    assert resolve_target("crane", names) == 3  # as it stands
    with pytest.raises(TargetError, match="names 2 classes"):
        resolve_target("CARDIGAN", names)
    with pytest.raises(TargetError, match="Did you mean 'cardigan'"):
        resolve_target("cardigun", names)

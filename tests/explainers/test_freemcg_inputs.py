"""What a caller may hand to FreeMCG."""

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from spread import Echo, Sums

import likethat as lt
from likethat.errors import InputError, TargetError
from likethat.explainers.freemcg.inputs import (
    as_asked,
    check_fits,
    check_mask,
    check_words,
    exact_map,
    explained_by,
    explained_of,
    kept_places,
    name_of,
    one_input,
    read_mask,
    wanted_of,
)


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
    with pytest.raises(InputError, match=r"`photo` must be \(channel, height, width\) with pixels, got shape \(4, 4\)"):
        one_input(torch.rand(4, 4), name="photo")
    for nothing in (3, None, {"a": 1}):
        with pytest.raises(InputError, match="`source` must be one image, one row of a table or one text, got"):
            one_input(nothing)
    with pytest.raises(InputError, match="inputs must be"):
        one_input([3])


def test_a_file_is_what_it_holds(tmp_path: Path) -> None:
    """A photo by its name was asked about as a text; a misspelt one is no text either."""
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    wanted = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    for given in (tmp_path / "a.png", str(tmp_path / "a.png"), Image.fromarray(pixels)):
        assert torch.allclose(one_input(given), wanted)  # type: ignore[arg-type]
    (tmp_path / "text.txt").write_text("a fine film\n", encoding="utf-8")
    assert one_input(str(tmp_path / "text.txt")) == ["a fine film"]
    with pytest.raises(InputError, match=r"`image` must be a file that is there, or a text, got gone\.png"):
        one_input("gone.png", name="image")
    assert one_input("it ends in a.png") == ["it ends in a.png"]


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


class Said:
    """A model of which only names and the kind of its answers are known."""

    def __init__(self, output: str = "probabilities") -> None:
        self.output, self.class_names = output, ("ant", "bee", "cat")


def test_what_shall_change_is_another_class_or_a_number() -> None:
    own = torch.tensor([0.2, 0.7, 0.1])
    assert wanted_of(None, Said(), own) == (None, None)  # type: ignore[arg-type]
    assert wanted_of("cat", Said(), own) == (2, None)  # type: ignore[arg-type]
    with pytest.raises(TargetError, match="the model gives it to 'bee' already"):
        wanted_of(1, Said(), own)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="must be one label where they do not exclude each other, got None"):
        wanted_of(None, Said("labels"), own)  # type: ignore[arg-type]
    target, measure = wanted_of("ant", Said("labels"), own)  # type: ignore[arg-type]
    assert target is None
    assert measure is not None
    assert measure.values(own[None]).tolist() == pytest.approx([0.2])


def test_what_is_explained_is_the_predicted_class_unless_told() -> None:
    own = torch.tensor([0.2, 0.7, 0.1])
    assert explained_of(None, Said(), own) == (1, None)  # type: ignore[arg-type]
    assert explained_of("cat", Said(), own) == (2, None)  # type: ignore[arg-type]
    target, measure = explained_of(None, Said("labels"), own)  # type: ignore[arg-type]
    assert target == 0
    assert measure is not None
    assert measure.values(own[None]).tolist() == pytest.approx([0.7])  # the surest label


def test_a_mask_is_where_a_picture_is_white(tmp_path: Path) -> None:
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[1:3, 2:] = 255
    pixels[3, :, 0] = 255  # red alone is dark
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    wanted = torch.zeros(4, 6, dtype=torch.bool)
    wanted[1:3, 2:] = True
    assert torch.equal(read_mask(tmp_path / "mask.png", (4, 6)), wanted)
    assert torch.equal(
        read_mask(tmp_path / "mask.png", (8, 12)), wanted.repeat_interleave(2, 0).repeat_interleave(2, 1)
    )
    Image.fromarray(pixels[3:]).save(tmp_path / "red.png")
    with pytest.raises(InputError, match="is white nowhere"):
        read_mask(tmp_path / "red.png", (1, 6))
    with pytest.raises(InputError, match="which does not exist"):
        read_mask(tmp_path / "none.png", (1, 6))


def test_the_exact_map_is_offered_where_there_is_one() -> None:
    network = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 2)).eval()
    own = exact_map(SimpleNamespace(network=network))  # type: ignore[arg-type]
    assert len(own) == 1
    assert "likethat.split(model).heat_map" in own[0]
    assert "if it can be split" in own[0]
    split = exact_map(SimpleNamespace(network=lt.load("zoo:digits")))  # type: ignore[arg-type]
    assert "model.heat_map" in split[0]
    assert "if it can be split" not in split[0]
    assert exact_map(SimpleNamespace()) == ()  # type: ignore[arg-type]


def test_log_odds_of_a_sure_answer_are_finite() -> None:
    odds = explained_by(1, None)(torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.25, 0.75]], dtype=torch.float64))
    assert odds.tolist() == pytest.approx([math.log(9999), -math.log(9999), math.log(3)])


def test_words_that_stay_are_found_wherever_they_stand() -> None:
    assert kept_places("A good film, a GOOD day", ["good"]) == kept_places("A good film, a GOOD day", ["Good!"])
    assert len(kept_places("A good film, a GOOD day", ["good"])) == 2
    for nothing in ("bad", "...", "good day film"):
        with pytest.raises(InputError, match="which does not stand in it"):
            kept_places("A good film, a GOOD day", [nothing])
    with pytest.raises(InputError):
        kept_places("A good film", "good")  # type: ignore[arg-type]

"""What a caller may hand to FreeMCG."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from spread import Echo, Sums

import likethat as lt
from likethat.errors import InputError
from likethat.explainers.freemcg.inputs import as_asked, check_fits, check_mask, check_words, name_of, one_input


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

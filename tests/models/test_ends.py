"""What stands between the head and what a network returns is found, with its temperature."""

import pytest
import torch

from likethat.models._ends import ENDS, end_of_values, fit_end

LINEAR = torch.tensor([[1.0, -2.0, 0.5], [0.3, 2.0, -1.0], [-1.5, 0.2, 0.9]])


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.name or "logits")
def test_a_temperature_is_found_before_every_end(end: object) -> None:
    fitted = fit_end(end, LINEAR, end.apply(LINEAR / 2.5), tolerance=1e-5, scaled=True)  # type: ignore[attr-defined, arg-type]
    assert fitted is not None
    assert fitted.scale == pytest.approx(0.4, rel=1e-5)  # 1 / 2.5
    assert fitted.shift is None


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.name or "logits")
def test_undo_is_the_way_back(end: object) -> None:
    back = end.undo(end.apply(LINEAR))  # type: ignore[attr-defined]
    assert torch.allclose(back.softmax(1), LINEAR.softmax(1), atol=1e-5)


def test_another_end_is_not_taken() -> None:
    names = [end.name for end in ENDS if fit_end(end, LINEAR, LINEAR.softmax(1), tolerance=1e-5)]
    assert names == ["softmax"]


def test_numbers_between_0_and_1_are_no_sigmoids_unless_one_was_seen() -> None:
    values = [torch.tensor([[0.2, 0.9], [0.4, 0.3]])]
    assert end_of_values(values, "").name == ""
    assert end_of_values(values, "sigmoid").name == "sigmoid"
    assert end_of_values([torch.tensor([[0.2, 0.8], [0.4, 0.6]])], "").name == "softmax"

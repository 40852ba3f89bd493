"""What is asked of a model besides a class: numbers worked out by hand, and what each wrong word is told."""

import pytest
import torch

import likethat as lt
from likethat._responses import Measured, check_wanted, measure_of, response_of
from likethat.errors import InputError, NonFiniteError, TargetError

NUMBERS = torch.tensor([[1.0, 10.0], [3.0, 30.0], [8.0, 80.0]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("target", "words", "margins"),
    [
        (lt.Above(5, of="price"), "price above 5", [-4.0, -2.0, 3.0]),  # the source is 4 away: one unit is 1
        (lt.Above(5, of=0), "price above 5", [-4.0, -2.0, 3.0]),
        (lt.Between(3, 9, of=0), "price between 3 and 9", [-4.0, 0.0, 2.0]),  # 2 away: a unit is .5; of 5 and 1 the 1
        (lt.More(by=2, of=0), "price more by 2", [-4.0, 0.0, 10.0]),
        (lt.More(percent=50, of="kg"), "kg more by 50\u202f%", [-4.0, 12.0, 52.0]),  # above 15, 1.25 a unit
        (lt.Below(0.5, of="price"), "price below 0.5", [-4.0, -20.0, -60.0]),
    ],
)
def test_margins_are_four_short_at_the_source_and_nothing_at_the_line(
    target: object, words: str, margins: list[float]
) -> None:
    measure = measure_of(target, ["price", "kg"], output="numbers", source=NUMBERS[0])
    assert measure is not None
    assert str(measure.about) == words
    assert measure.margins(NUMBERS).tolist() == pytest.approx(margins)


def test_less_is_taken_from_the_size_of_a_number_below_nothing() -> None:
    measure = measure_of(lt.Less(percent=20), ["x"], output="numbers", source=torch.tensor([-10.0]))
    assert measure is not None
    assert (measure.about.low, measure.about.high) == (None, -12.0)


def test_a_label_climbs_its_log_odds_and_falls_where_it_shall_go() -> None:
    p = torch.tensor([[0.2, 0.9]], dtype=torch.float64)
    on = measure_of(lt.Label("heavy"), ["sick", "heavy"], output="labels")
    off = measure_of(lt.Label(1, on=False), ["sick", "heavy"], output="labels")
    assert on is not None
    assert off is not None
    assert (str(on.about), str(off.about)) == ("heavy", "no longer heavy")
    assert float(on.margins(p)) == pytest.approx(2.1972, abs=1e-4)  # log 9
    assert float(off.margins(p)) == pytest.approx(-2.1972, abs=1e-4)
    assert on.about.number(0.9) == "90\u202f%"


def test_a_response_is_a_number_of_the_answer() -> None:
    lead = lt.Response(lambda rows: rows[:, 1] - rows[:, 0], name="lead", unit="points")
    measure = measure_of(lt.Above(20, of=lead), ["price", "kg"], output="numbers", source=NUMBERS[0])
    assert measure is not None
    assert measure.values(NUMBERS).tolist() == [9.0, 27.0, 72.0]
    assert measure.about.wanted == "above 20 points"
    assert measure.margins(NUMBERS).tolist() == pytest.approx([-4.0, 7 / 2.75, 52 / 2.75])
    assert measure.explained(NUMBERS).tolist() == [9.0, 27.0, 72.0]
    assert response_of(lt.Above(20, of=lead)) is lead
    assert response_of(lt.Above(20)) is None


def test_numbers_are_shown_as_people_write_them() -> None:
    price = Measured(name="price", unit="€")
    assert [price.number(value) for value in (210_123.4, 999.96, 0.01234, -5000.0)] == [
        "210,123 €", "1000 €", "0.01234 €", "-5,000 €",
    ]  # fmt: skip
    assert Measured(name="x", low=1.0, high=2.0).has(1.5)
    assert not Measured(name="x", low=1.0, high=2.0).has(2.0)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda: lt.Above(float("nan")), "`value` must be a number"),
        (lambda: lt.Between(3, 3), "`high` must be a number above 3"),
        (lambda: lt.Less(), "either percent= or by="),
        (lambda: lt.More(percent=5, by=5), "either percent= or by="),
        (lambda: lt.Less(percent=0), "`percent` must be a number above 0"),
        (lambda: lt.Response(None, name="x"), "`function` must be a function"),  # type: ignore[arg-type]
        (lambda: lt.Response(len, name=""), "`name`"),
        (lambda: lt.Label("x", on="no"), "`on`"),  # type: ignore[arg-type]
        (lambda: measure_of(lt.Above(1), ["a", "b"], output="numbers"), r"of which number it speaks \('a', 'b'\)"),
        (lambda: measure_of(lt.Less(by=1), ["a"], output="numbers"), "no source to compare with, got Less"),
        (
            lambda: measure_of(lt.Response(len, name="n"), ["a"], output="numbers").values(NUMBERS),
            "one number an input",
        ),  # type: ignore[union-attr]
    ],
)
def test_wrong_words_are_told_what_to_say(wrong: object, told: str) -> None:
    with pytest.raises(InputError, match=told):
        wrong()  # type: ignore[operator]


def test_what_no_model_of_that_kind_has_is_refused() -> None:
    with pytest.raises(TargetError, match="where the classes exclude each other, got a Label"):
        measure_of(lt.Label("a"), ["a", "b"], output="probabilities")
    with pytest.raises(TargetError, match="`target` must be a class of the model, got 'c'"):
        measure_of(lt.Above(1, of="c"), ["a", "b"], output="numbers")
    for number in ("200", 200, 3):  # somebody who means the number itself
        with pytest.raises(TargetError, match=r"where a number shall lie, got .* likethat.Above.* are 'a', 'b'"):
            measure_of(number, ["a", "b"], output="numbers")
    with pytest.raises(TargetError, match="not be a percentage where the source's own number is 0"):
        measure_of(lt.Less(percent=5), ["a"], output="numbers", source=torch.tensor([0.0]))
    with pytest.raises(NonFiniteError, match="'gap' must return finite numbers"):
        lt.Response(lambda rows: rows[:, 0] / 0, name="gap").values(NUMBERS, 3)
    assert measure_of("a", ["a", "b"], output="probabilities") is None
    assert measure_of({"a": 1.0}, ["a", "b"], output="probabilities") is None


def test_a_change_must_change_something() -> None:
    own = torch.tensor([7.0], dtype=torch.float64)
    above = measure_of(lt.Above(5), ["price"], output="numbers", source=own)
    alone = measure_of("price", ["price"], output="numbers", source=own)
    assert above is not None
    assert alone is not None
    with pytest.raises(TargetError, match="its price is 7 already"):
        check_wanted(above, own)
    with pytest.raises(InputError, match="where price shall lie, got the number alone"):
        check_wanted(alone, own)

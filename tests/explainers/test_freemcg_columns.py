"""What may change in a row of a table, how far rows are apart, and one row made of two, by hand."""

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from likethat.errors import InputError
from likethat.explainers.freemcg.columns import Columns, Limits, _listed, as_generated
from likethat.generators.table.dependences import Dependence
from likethat.generators.table.schema import learn_columns

DAYS = pd.date_range("2024-01-01", periods=20, freq="D")


def typical() -> pd.DataFrame:
    """Twenty rows in which nothing says anything of anything else."""
    rng = np.random.default_rng(0)
    grades = pd.Categorical(rng.permutation(["low", "mid", "high", "mid"] * 5), ["low", "mid", "high"], ordered=True)
    return pd.DataFrame({
        "age": rng.permutation(np.arange(20, 40)), "pay": rng.permutation(np.linspace(1.5, 11.0, 20)),
        "day": rng.permutation(DAYS), "grade": grades, "town": rng.permutation(["x", "y", "z", "x"] * 5),
        "gap": rng.permutation([1.0, np.nan, 3.0, 4.0] * 5),
    })  # fmt: skip


def source(**values: Any) -> pd.DataFrame:
    row = {"age": 30, "pay": 5.0, "day": DAYS[9], "grade": "mid", "town": "x", "gap": 3.0} | values
    return pd.DataFrame([row]).astype({"grade": typical()["grade"].dtype, "gap": "float64"})


def columns(row: pd.DataFrame | None = None, generator: Any = None, **limits: Any) -> Columns:
    return Columns(source() if row is None else row, typical(), Limits(**limits), generator)


def rows(*changes: dict[str, Any]) -> pd.DataFrame:
    return pd.concat([source(**change) for change in changes], ignore_index=True)


def test_limits_that_are_none_are_false() -> None:
    assert not Limits()
    assert Limits(immutable=["a"])
    assert Limits(ranges={"a": (0, 1)})
    assert Limits(directions={"a": "up"})


def test_distances_are_in_spreads_and_one_for_another_category() -> None:
    known = columns()
    far = known.distances(rows({}, {"age": 36, "town": "y"}, {"grade": "high", "gap": np.nan}, {"day": DAYS[11]}))
    age = 6 / float(typical()["age"].std(ddof=0))
    day = 2 / float(np.arange(20).std())
    grade = 1 / float(typical()["grade"].cat.codes.std(ddof=0))
    assert far[0].tolist() == [0] * 6
    assert far[1].tolist() == pytest.approx([age, 0, 0, 0, 1, 0])
    assert far[2].tolist() == pytest.approx([0, 0, 0, grade, 0, 1])  # a gap is as far as another category
    assert far[3].tolist() == pytest.approx([0, 0, day, 0, 0, 0])
    gone = columns(source(gap=np.nan))
    assert gone.distances(rows({"gap": np.nan}, {"gap": 3.0}))[:, 5].tolist() == [0.0, 1.0]
    wider = source()
    wider["note"] = "kept"
    assert columns(wider).distances(wider.assign(note="other")).tolist() == [[0.0] * 7]  # no column of the generator's


def test_changes_are_told_with_their_way() -> None:
    known = columns()
    told = known.changes(rows({"age": 36, "pay": 2.0, "day": DAYS[3], "grade": "high", "town": "y", "gap": np.nan}))
    assert [(one.name, one.before, one.after, one.way) for one in told] == [
        ("age", 30, 36, "up"), ("pay", 5.0, 2.0, "down"), ("day", "2024-01-10", "2024-01-04", "earlier"),
        ("grade", "mid", "high", "up"), ("town", "x", "y", ""), ("gap", 3.0, None, ""),
    ]  # fmt: skip
    assert [one.way for one in known.changes(rows({"day": DAYS[12], "grade": "low"}))] == ["later", "down"]
    assert known.changes(source()) == ()
    assert [one.way for one in columns(source(gap=np.nan)).changes(rows({"gap": 3.0}))] == [""]
    assert type(told[0].after) is int


@pytest.mark.slow
def test_what_is_made_is_held_to_what_is_valid_and_allowed() -> None:
    limits = {"immutable": ["town"], "ranges": {"pay": (4.0, 6.0)}, "directions": {"age": "up", "gap": "down"}}
    made = columns(**limits).constrained(rows({"age": 25, "pay": 9.0, "town": "z", "gap": 4.0, "grade": "low"}, {}))
    assert made["age"].tolist() == [30, 30]
    assert made["pay"].tolist() == [6.0, 5.0]
    assert made["town"].tolist() == ["x", "x"]
    assert made["gap"].tolist() == [3.0, 3.0]
    assert made["grade"].tolist() == ["low", "mid"]
    assert (made.dtypes == source().dtypes).all()
    assert list(made.columns) == list(source().columns)
    down = columns(directions={"age": "down"}).constrained(rows({"age": 25}, {"age": 36}))
    assert down["age"].tolist() == [25, 30]
    both = columns(ranges={"age": (25, 35)}, directions={"age": "down"}).constrained(rows({"age": 20}, {"age": 34}))
    assert both["age"].tolist() == [25, 30]
    kept = columns(ranges={"gap": (1, 3)}).constrained(rows({"gap": np.nan}, {"gap": 4.0}))
    assert kept["gap"].tolist() == [3.0, 3.0]  # to be missing is no way round a limit
    filled = columns(source(gap=np.nan), ranges={"gap": (1, 3)}).constrained(rows({"gap": 4.0}, {"gap": np.nan}))
    assert filled["gap"].tolist()[0] == 3.0
    assert np.isnan(filled["gap"].tolist()[1])
    short = columns().constrained(rows({"age": 36}).drop(columns="pay"))
    assert short.iloc[0]["pay"] == 5.0


def test_a_change_is_cut_into_columns_and_goes_part_of_the_way() -> None:
    known = columns()
    cut = known.components(rows({"age": 36, "town": "y", "pay": 5.0}))
    assert (cut.sizes > 0).tolist() == [True, False, False, False, True, False]
    share = torch.tensor([[1.0, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0], [0.5, 1, 1, 1, 0, 1], [0, 1, 1, 1, 0.5, 1]])
    made: Any = cut.compose(share)
    assert made["age"].tolist() == [36, 30, 33, 30]  # a number can go half of the way
    assert made["town"].tolist() == ["y", "x", "x", "y"]  # a word cannot
    assert made["pay"].tolist() == [5.0] * 4
    gone: Any = known.components(rows({"gap": np.nan})).compose(torch.tensor([[1.0] * 6, [1.0] * 5 + [0.5]]))
    assert gone["gap"].isna().tolist() == [True, True]  # nor can being missing


class Married:
    """A generator whose town x says that the age is 30."""

    def __init__(self) -> None:
        self.columns = learn_columns(typical())
        pairs = ((0.0, float(typical()["age"].tolist().index(30) * 0 + 10)),)  # 30 is the tenth from 20
        self.dependences = (Dependence(kind="says", first="town", second="age", pairs=pairs, rows=20),)


def test_columns_that_say_each_other_change_together_or_go_back_together() -> None:
    generator = Married()
    town = generator.columns[4]
    assert town.choices[0] == "x"
    known = columns(source(town="y", age=25), generator)
    assert known.dependences == generator.dependences
    made = known.constrained(rows({"town": "x", "age": 36}, {"town": "z", "age": 36}, {"town": "x", "age": 30}))
    assert made["age"].tolist()[1:] == [36, 30]
    assert made.iloc[0]["age"] == 30 or made.iloc[0]["town"] != "x"  # repaired
    cut: Any = known.components(rows({"town": "x", "age": 30})).compose(
        torch.tensor([[0.0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 1], [1.0] * 6])
    )
    assert cut["town"].tolist() == ["y", "y", "x"]  # without its age the town goes back too
    assert cut["age"].tolist() == [25, 30, 30]
    assert known.broken(rows({"town": "x", "age": 36}))[0].startswith("where town is x, age is 30")
    assert known.broken(rows({"town": "z", "age": 36})) == ()
    broken = columns(source(town="x", age=36), generator)  # what the source breaks need not hold
    assert broken.constrained(rows({"town": "x", "age": 22}))["age"].tolist() == [22]
    assert broken.constrained(rows({"town": "x", "age": 22}))["town"].tolist() == ["x"]


def test_a_value_half_way_says_another_of_its_columns() -> None:
    scores = np.repeat(np.arange(1, 11), 40)
    words = np.where(scores < 5, "low", np.where(scores < 8, "mid", "high"))
    frame = pd.DataFrame({"score": scores, "word": words, "age": np.random.default_rng(0).permutation(400)})
    row = pd.DataFrame({"score": [9], "word": ["high"], "age": [50]})
    known = Columns(row, frame, Limits())
    assert [(one.first, one.second) for one in known.dependences] == [("score", "word")]
    made: Any = known.components(pd.DataFrame({"score": [1], "word": ["low"], "age": [70]})).compose(
        torch.tensor([[1.0, 1, 1], [0.4, 1, 1], [0.05, 1, 1], [0, 1, 1], [1, 1, 0.5]])
    )
    assert made["score"].tolist() == [1, 6, 9, 9, 1]
    assert made["word"].tolist() == ["low", "mid", "high", "high", "low"]
    assert made["age"].tolist() == [70, 70, 70, 70, 60]


def test_numbers_in_a_row_go_part_of_the_way_and_codes_do_not() -> None:
    frame = pd.DataFrame({"score": [1, 2, 3, 4, 5] * 4, "code": [1, 2, 5, 9, 12] * 4})
    known = Columns(frame.iloc[[0]], frame, Limits())
    made: Any = known.components(frame.iloc[[4]]).compose(torch.tensor([[0.5, 0.5]]))
    assert made.iloc[0].tolist() == [3, 12]


def test_a_linear_model_of_the_answers_says_which_columns_are_enough() -> None:
    known = columns()
    asked = rows(
        *({"age": age, "town": town, "pay": pay} for age in (25, 30, 39) for town in "xyz" for pay in (4.0, 5.0))
    )
    gains = 0.1 * (asked["age"].to_numpy() - 30) + 3.0 * (asked["town"] == "y").to_numpy()
    start = rows({"age": 38, "town": "y", "pay": 9.0, "gap": 1.0}, {"age": 39, "pay": 9.0}, {"town": "z", "pay": 1.5})

    def told(
        need: float, plausible: Any = lambda frame: torch.ones(len(frame), dtype=torch.bool), **limits: Any
    ) -> Any:
        of = columns(**limits) if limits else known
        made = of.likely(asked, gains, start, need=need, plausible=plausible, n=2)
        return [[change.name for change in of.changes(made.iloc[[at]])] for at in range(len(made))]

    assert told(0.6) == [["age"], ["age"]] or told(0.6) == [["age"], ["town"]]
    assert told(2.5) == [["town"]]  # three are said of y; age brings .9 at most, the third row nothing
    assert told(3.5) == [["age", "town"]]
    assert told(9.0) == []
    with_gap = told(2.5, lambda frame: torch.tensor((frame["gap"] != 3.0).tolist()))
    assert with_gap == [["town", "gap"]]  # what could be real keeps its gap, of which nothing is known
    assert told(2.5, immutable=["gap"]) == [["town"]]


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"immutable": ["height"]}, "`immutable` must name columns of the source, got 'height'. It has 'age', 'pay'"),
        ({"ranges": {"height": (0, 1)}}, "`ranges` must name columns of the source"),
        ({"directions": {"height": "up"}}, "`directions` must name columns of the source"),
        ({"ranges": {"town": ("x", "y")}}, "'town' holds categories. Keep it with immutable=['town']"),
        ({"directions": {"town": "up"}}, "`directions` must be of columns with an order"),
        ({"ranges": {"age": (31, 40)}}, "got [31, 40] for 'age', which is 30"),
        ({"ranges": {"age": (20, 29)}}, "must hold the source's own value"),
        ({"ranges": {"age": (20,)}}, "`ranges` must be (lowest, highest) of 'age'"),
        ({"ranges": {"age": "20-30"}}, "`ranges` must be (lowest, highest) of 'age'"),
        ({"ranges": {"age": {20, 40}}}, "`ranges` must be (lowest, highest) of 'age'"),
        ({"directions": {"age": "left"}}, "must be one of 'up', 'down'"),
        ({"immutable": ["age", "pay", "day", "grade", "town", "gap"]}, "got all 6. Name fewer"),
    ],
)
def test_limits_that_cannot_be(limits: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        columns(**limits)


def test_limits_at_the_ends_hold_the_source() -> None:
    columns(ranges={"age": (30, 30)})
    columns(immutable=["age", "pay", "day", "grade", "town"])
    with pytest.raises(InputError, match="'gap' is missing: nothing is above or below it"):
        columns(source(gap=np.nan), directions={"gap": "up"})
    with pytest.raises(InputError, match="must have the generator's columns, and 'age', 'pay' is not there"):
        columns(source().drop(columns=["age", "pay"]))
    with pytest.raises(InputError, match="'note' holds no values"):
        columns(source().assign(note=1), ranges={"note": (0, 1)})


def test_identifiers_never_change() -> None:
    frame = typical().assign(number=[f"n{place:03d}" for place in range(20)])
    row = source().assign(number="n100")
    known = Columns(row, frame, Limits())
    if known.identifiers:
        made = known.constrained(row.assign(number="n001", age=36))
        assert made["number"].tolist() == ["n100"]
        assert made["age"].tolist() == [36]


def test_a_row_is_read_in_the_types_that_were_learned() -> None:
    text = source().astype({"age": "float64"})
    assert as_generated(text, Married())["age"].dtype == typical()["age"].dtype
    assert as_generated(text, object())["age"].dtype == np.float64  # of one that does not say nothing is known

    class Odd:
        columns = ("age",)

    assert as_generated(text, Odd())["age"].dtype == np.float64


def test_a_whole_share_is_the_other_value_to_the_last_bit() -> None:
    known = Columns(source(pay=0.4), typical().assign(pay=np.random.default_rng(0).permutation(20) / 17), Limits())
    assert 0.4 + 1.0 * (0.1 - 0.4) != 0.1
    share = torch.ones(3, 6, dtype=torch.float64)
    share[:, 1] = torch.tensor([0.0, 0.5, 1.0])
    made: Any = known.components(rows({"pay": 0.1}).assign(pay=0.1)).compose(share)
    assert made["pay"].tolist() == [0.4, pytest.approx(0.25), 0.1]


def test_three_columns_of_many_are_listed() -> None:
    assert _listed(["a", "b", "c"]) == "'a', 'b', 'c'"
    assert _listed(["a", "b", "c", "d"]) == "'a', 'b', 'c', …"

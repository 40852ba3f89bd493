"""A black box asks each input once, counts, stops within its budget, and takes nothing but probabilities."""

import threading
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from black_box_servers import Spy, inputs
from torch import Tensor

import likethat as lt
from likethat.errors import BlackBoxError, BudgetError, InputError, LikethatError, NonFiniteError


def test_rows_by_hand() -> None:
    found = lt.BlackBox(Spy())(inputs(0.25, 0.5, 1.0))
    assert found.dtype == torch.float64
    assert found.tolist() == [[0.75, 0.25], [0.5, 0.5], [0.0, 1.0]]


def test_the_same_input_is_asked_once() -> None:
    spy = Spy()
    box = lt.BlackBox(spy, check_determinism=False)
    first = box(inputs(0.1, 0.2, 0.1))
    assert (box.queries, spy.n) == (2, 2)
    again = box(inputs(0.2, 0.3, 0.1))
    assert (box.queries, spy.n, box.requests) == (3, 3, 2)
    assert torch.equal(first[0], again[2])
    assert torch.equal(first[0], first[2])


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_batches_change_nothing(batch_size: int) -> None:
    spy, values = Spy(), torch.rand(7, 1)
    box = lt.BlackBox(spy, batch_size=batch_size, check_determinism=False)
    assert torch.equal(box(values), lt.BlackBox(Spy())(values))
    assert max(len(batch) for batch in spy.batches) == min(batch_size, 7)
    assert torch.equal(box(values.flip(0)).flip(0), box(values))


def test_names_and_counts_before_and_after() -> None:
    box = lt.BlackBox(Spy())
    assert (box.class_names, box.n_classes, box.queries, box.budget, box.remaining) == ((), 0, 0, None, None)
    assert repr(box) == "BlackBox(Spy: ? classes, 0 queries)"
    with pytest.raises(InputError, match="at least one row"):
        box(torch.zeros(0, 1))
    box(inputs(0.5))
    assert (box.class_names, box.n_classes, box.name) == (("0", "1"), 2, "Spy")
    assert box(torch.zeros(0, 1)).shape == (0, 2)
    assert lt.BlackBox(Spy(), class_names=["no", "yes"]).class_names == ("no", "yes")


def test_a_budget_stops_before_anything_is_sent() -> None:
    spy = Spy()
    box = lt.BlackBox(spy, budget=3, check_determinism=False)
    box(inputs(0.1, 0.2))
    with pytest.raises(BudgetError, match=r"at most 1 new rows.*left of the budget of Spy, got 2\. Nothing was asked"):
        box(inputs(0.3, 0.4))
    assert (box.queries, box.remaining, spy.n) == (2, 1, 2)
    box(inputs(0.1, 0.3, 0.3, 0.2))
    assert (box.queries, box.remaining) == (3, 0)
    assert box(inputs(0.1, 0.2, 0.3)).shape == (3, 2)  # what is known costs nothing
    assert isinstance(BudgetError("x"), RuntimeError)


def test_affordable_counts_new_rows() -> None:
    box = lt.BlackBox(Spy(), budget=3, check_determinism=False)
    box(inputs(0.1))
    asked = inputs(0.1, 0.2, 0.2, 0.3, 0.1, 0.4, 0.5)
    assert box.affordable(asked) == 5
    box(asked[:5])
    assert (box.remaining, box.affordable(asked), box.affordable(inputs(0.9))) == (0, 5, 0)
    assert lt.BlackBox(Spy()).affordable(asked) == 7


def test_leading_rows_are_answered_as_far_as_the_budget_goes() -> None:
    box = lt.BlackBox(Spy(), budget=3, check_determinism=False)
    asked = inputs(0.1, 0.2, 0.2, 0.3, 0.1, 0.4, 0.5)
    assert len(box.leading(asked, 2)) == 2
    assert box.queries == 2
    assert torch.equal(box.leading(asked), box(asked[:5]))
    assert (len(box.leading(asked[5:])), len(box.leading(asked, 0)), box.remaining) == (0, 0, 0)
    assert box.leading(asked[:0]).shape == (0, 2)


def test_a_limited_view_counts_its_own() -> None:
    box = lt.BlackBox(Spy(), budget=6, check_determinism=False)
    box(inputs(0.1))
    view = box.limited(2)
    view(inputs(0.1, 0.2))
    assert (view.queries, view.remaining, view.budget, box.queries) == (1, 1, 2, 2)
    with pytest.raises(BudgetError, match="at most 1 new"):
        view(inputs(0.3, 0.4))
    assert view.limited(None).remaining == 1
    assert box.limited(100).remaining == 4  # never more than the whole box has left
    assert box.limited(0).affordable(inputs(0.1, 0.9)) == 1


def test_a_view_that_counts_afresh_counts_as_a_new_box_would() -> None:
    spy = Spy()
    box = lt.BlackBox(spy)
    box(inputs(0.1, 0.2, 0.3))
    assert (box.queries, spy.n) == (4, 4)  # and a check
    view = box.afresh(5)
    assert (view.class_names, view.queries) == ((), 0)  # a new box hears them with its first answer
    view(inputs(0.1, 0.2, 0.2))
    assert (view.queries, view.recalled, view.remaining, spy.n) == (3, 3, 2, 4)
    assert len(view.class_names) == 2
    assert view.affordable(inputs(0.1, 0.3, 0.9, 0.9, 0.8)) == 4
    with pytest.raises(BudgetError, match=r"at most 2 new rows, .* got 3"):
        view(inputs(0.3, 0.9, 0.8))
    view(inputs(0.3, 0.9))
    assert (view.queries, view.recalled, view.remaining, box.queries, spy.n) == (5, 4, 0, 5, 5)
    assert view(inputs(0.1, 0.9)).shape == (2, 2)  # asked in this search before


def test_a_view_of_a_search_shares_what_it_counted() -> None:
    search = lt.BlackBox(Spy(), check_determinism=False).afresh(None)
    first, second = search.limited(3), search.limited(3)
    first(inputs(0.1, 0.2))
    second(inputs(0.2, 0.3))
    assert (first.queries, second.queries, search.queries) == (2, 1, 3)
    assert second.affordable(inputs(0.1, 0.2, 0.3, 0.4, 0.5, 0.6)) == 5


def test_what_got_no_answer_is_not_counted() -> None:
    def predict(x: Tensor) -> Tensor:
        if float(x.max()) > 0.5:
            raise RuntimeError("broken")
        return torch.cat([1 - x, x], 1)

    view = lt.BlackBox(predict, batch_size=1, check_determinism=False).afresh(4)
    with pytest.raises(BlackBoxError, match="broken"):
        view(inputs(0.1, 0.9, 0.2))
    assert (view.queries, view.recalled, view.remaining) == (1, 0, 3)
    assert view.affordable(inputs(0.1, 0.9, 0.2, 0.3, 0.4)) == 4


def test_a_view_that_counts_afresh_asks_no_more_than_the_box_may() -> None:
    box = lt.BlackBox(Spy(), budget=3, check_determinism=False)
    box(inputs(0.1, 0.2))
    view = box.afresh(10)
    assert view.affordable(inputs(0.1, 0.2, 0.3, 0.4)) == 3
    with pytest.raises(BudgetError):
        view(inputs(0.3, 0.4))


def test_the_check_costs_one_query_and_never_goes_over_the_budget() -> None:
    box = lt.BlackBox(Spy())
    box(inputs(0.1, 0.2))
    box(inputs(0.3))
    assert (box.queries, box.notes) == (4, ())
    tight = lt.BlackBox(Spy(), budget=2)
    tight(inputs(0.1, 0.2))
    assert (tight.queries, tight.remaining) == (2, 0)


def test_a_predictor_that_changes_its_answers_is_told() -> None:
    answers = iter([0.2, 0.45])
    box = lt.BlackBox(lambda x: torch.tensor([[0.0, 1.0]]) + next(answers) * torch.tensor([[1.0, -1.0]]))
    assert box(inputs(0.5)).tolist() == [[0.2, 0.8]]
    assert box(inputs(0.5)).tolist() == [[0.2, 0.8]]
    assert len(box.notes) == 1
    assert "not deterministic: the same input was answered differently by up to 0.25" in box.notes[0]


def test_logits_by_hand() -> None:
    box = lt.BlackBox(lambda x: torch.cat([torch.zeros_like(x), x], dim=1), check_determinism=False)
    log3 = float(np.log(3))
    assert torch.allclose(box(inputs(log3, -1.0))[0], torch.tensor([0.25, 0.75], dtype=torch.float64), atol=1e-7)
    assert box.notes == ("logits were taken: softmax applied",)


def test_what_was_decided_first_stays() -> None:
    box = lt.BlackBox(lambda x: x)
    box(torch.tensor([[0.5, 0.5], [0.1, 0.9]]))
    with pytest.raises(BlackBoxError, match=r"summing to 1 .* got 1 of 1 rows that do not: row 0 holds -3"):
        box(torch.tensor([[-3.0, 2.0]]))
    logits = lt.BlackBox(lambda x: x)
    logits(torch.tensor([[-3.0, 2.0]]))
    with pytest.raises(BlackBoxError, match="must keep to logits"):
        logits(torch.tensor([[0.5, 0.5], [0.1, 0.9]]))
    told = lt.BlackBox(lambda x: x, output="logits")
    assert told(torch.tensor([[0.5, 0.5], [0.1, 0.9]]))[1, 1] == pytest.approx(1 / (1 + np.exp(-0.8)))


def test_a_single_column() -> None:
    with pytest.raises(BlackBoxError, match=r"got a single column\. Say binary=True"):
        lt.BlackBox(lambda x: x)(inputs(0.2))
    assert lt.BlackBox(lambda x: x, binary=True)(inputs(0.25)).tolist() == [[0.75, 0.25]]
    assert lt.BlackBox(lambda x: x[:, 0], binary=True)(inputs(0.25)).tolist() == [[0.75, 0.25]]
    margin = lt.BlackBox(lambda x: x, binary=True)(inputs(-2.0, 3.0))
    assert margin[:, 1].tolist() == pytest.approx([1 / (1 + np.exp(2)), 1 / (1 + np.exp(-3))])


def rows(answer: Any) -> Any:
    return lambda x: answer


NONSENSE: dict[str, tuple[Any, str]] = {
    "nothing": (None, "got NoneType"),
    "text": ("cat", "got str"),
    "a number": (0.5, "got float"),
    "a mapping": ({"a": [0.5, 0.5]}, "got dict"),
    "labels": (np.array([1, 0]), "class labels"),
    "labels as floats": (np.array([3.0, 0.0]), "class labels"),
    "names": (["cat", "dog"], "got labels"),
    "a row too few": (np.array([[0.5, 0.5]]), r"must answer 2 inputs with 2 rows \(n, class\), got shape \(1, 2\)"),
    "a row too many": (np.full((3, 2), 0.5), r"got shape \(3, 2\)"),
    "an axis too many": (np.full((2, 2, 2), 0.5), r"got shape \(2, 2, 2\)"),
    "no classes": (np.zeros((2, 0)), "at least two classes"),
    "ragged": ([[0.5, 0.5], [1.0]], "no array of numbers"),
    "nan": (np.array([[0.5, 0.5], [np.nan, 1]]), "NaN or infinity in 1 of 2 rows"),
    "infinity": (np.array([[np.inf, 0.5], [0.5, 0.5]]), "NaN or infinity"),
    "scores": (np.array([[0.9, 0.8], [0.1, 0.7]]), "sum to 1 or with logits, got numbers from 0.1 to 0.9"),
    "percent": (np.array([[30.0, 70.0], [1.0, 99.0]]), "that sum to 100"),
    "one row off": (np.array([[0.5, 0.5], [0.5, 0.6]]), r"1 of 2 rows that do not: row 1 sums to 1\.1"),
    "other names": ([{"a": 0.5, "b": 0.5}, {"a": 0.5, "c": 0.5}], "same classes in every row"),
}


@pytest.mark.parametrize("name", list(NONSENSE))
def test_nonsense_is_refused_in_one_sentence(name: str) -> None:
    answer, message = NONSENSE[name]
    box = lt.BlackBox(rows(answer))
    with pytest.raises(BlackBoxError, match=message) as caught:
        box(inputs(0.1, 0.2))
    assert "\n" not in str(caught.value)
    assert box.queries == 2  # it was asked, and it answered


def test_a_predictor_that_raises_is_named_and_nothing_is_lost() -> None:
    spy = Spy()

    def fragile(x: Tensor) -> Tensor:
        if (x > 0.85).any():
            raise ZeroDivisionError("the third batch\nis too much")
        return spy(x)

    box = lt.BlackBox(fragile, batch_size=1, check_determinism=False)
    with pytest.raises(BlackBoxError, match=r"fragile raised ZeroDivisionError \(the third batch\)") as caught:
        box(inputs(0.1, 0.2, 0.9, 0.3))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert box.queries == 2
    box(inputs(0.1, 0.2))
    assert spy.n == 2


def test_another_number_of_classes_later() -> None:
    widths = iter([2, 3])
    box = lt.BlackBox(lambda x: torch.full((len(x), next(widths)), 0.5).softmax(1), check_determinism=False)
    box(inputs(0.1))
    with pytest.raises(BlackBoxError, match="must answer with 2 classes as before, got 3"):
        box(inputs(0.2))


WRAPPED: dict[str, Any] = {
    "list": [[0.75, 0.25]],
    "tuple": ([0.75, 0.25],),
    "array": np.array([[0.75, 0.25]], dtype=np.float32),
    "half": torch.tensor([[0.75, 0.25]], dtype=torch.bfloat16),
    "gradient": torch.tensor([[0.75, 0.25]], requires_grad=True),
    "tensors": [torch.tensor([0.75, 0.25])],
    "mappings": [{"b": 0.25, "a": 0.75}],
    "scores": [[{"label": "b", "score": 0.25}, {"label": "a", "score": 0.75}]],
    "table": pd.DataFrame({"a": [0.75], "b": [0.25]}),
    "numbers as names": [{1: 0.25, 0: 0.75}],
    "whole numbers": None,
}


@pytest.mark.parametrize("name", list(WRAPPED))
def test_whatever_rows_come_wrapped_in(name: str) -> None:
    if name == "whole numbers":
        assert lt.BlackBox(rows(np.array([[1, 0]])))(inputs(0.1)).tolist() == [[1.0, 0.0]]
        return
    box = lt.BlackBox(rows(WRAPPED[name]))
    assert box(inputs(0.1)).tolist() == [[0.75, 0.25]]
    assert box.class_names == (("a", "b") if name in ("mappings", "scores", "table") else ("0", "1"))


def test_named_rows_follow_the_class_names() -> None:
    answer = rows([{"a": 0.75, "b": 0.25}])
    assert lt.BlackBox(answer, class_names=["b", "a"])(inputs(0.1)).tolist() == [[0.25, 0.75]]
    with pytest.raises(InputError, match=r"must be the classes that .* names, 'a', 'b', got 'x', 'y'"):
        lt.BlackBox(answer, class_names=["x", "y"])(inputs(0.1))
    numbered = lt.BlackBox(rows([{1: 0.25, 0: 0.75}]), class_names=["x", "y"])
    assert numbered(inputs(0.1)).tolist() == [[0.75, 0.25]]


def test_rounding_is_taken_and_evened_out() -> None:
    found = lt.BlackBox(rows([[0.3333, 0.3333, 0.3333]]))(inputs(0.1))
    assert found.sum().item() == pytest.approx(1.0, abs=1e-15)
    assert lt.BlackBox(rows([[1.0000001, -1e-7]]))(inputs(0.1))[0, 1] == 0


def test_kinds_of_inputs() -> None:
    table = pd.DataFrame({"x": [0.1, 0.2], "kind": ["a", "b"]})
    box = lt.BlackBox(lambda frame: np.stack([frame["x"], 1 - frame["x"]], axis=1), check_determinism=False)
    assert box(table)[:, 0].tolist() == [0.1, 0.2]
    assert lt.BlackBox(lambda texts: [[0.0, 1.0]] * len(texts))(["é", "日本", "😀"]).shape == (3, 2)
    assert lt.BlackBox(Spy())(np.array([[0.5]], dtype=np.float32)).tolist() == [[0.5, 0.5]]
    chosen = lt.BlackBox(lambda frame: np.stack([frame["x"], frame["y"]], axis=1), columns=["x", "y"])
    assert chosen(torch.tensor([[0.25, 0.75]])).tolist() == [[0.25, 0.75]]
    with pytest.raises(InputError, match="got none named 'y'"):
        chosen(table)
    with pytest.raises(InputError, match="must have 2 values a row"):
        chosen(torch.rand(1, 3))
    changed = lt.BlackBox(lambda array: np.stack([array, 1 - array], axis=1), inputs=lambda x: x.numpy()[:, 0] / 2)
    assert changed(inputs(0.5)).tolist() == [[0.25, 0.75]]


def test_a_predictor_cannot_write_into_the_inputs() -> None:
    def greedy(x: Tensor) -> Tensor:
        x.zero_()
        return torch.tensor([[0.5, 0.5]]).expand(len(x), 2)

    mine = inputs(0.1, 0.2)
    lt.BlackBox(greedy)(mine)
    assert torch.equal(mine, inputs(0.1, 0.2))


def test_bad_inputs() -> None:
    box = lt.BlackBox(Spy())
    with pytest.raises(NonFiniteError, match="`inputs` must be finite"):
        box(inputs(float("nan")))
    with pytest.raises(InputError, match="Add the batch axis"):
        box(torch.rand(3))
    with pytest.raises(InputError, match="inputs must be a tensor"):
        box("one text")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"predict": None}, "`predict` must be a function, .* got NoneType"),
        ({"predict": Spy}, "got the class Spy. Make an instance"),
        ({"predict": "model.pkl"}, "got 'model.pkl'"),
        ({"budget": -1}, "`budget` must be a whole number of at least 0"),
        ({"budget": 2.5}, "`budget` must be a whole number"),
        ({"batch_size": 0}, "`batch_size` must be"),
        ({"output": "nonsense"}, "`output` must be one of"),
        ({"class_names": "ab"}, "`class_names` must be a list of names"),
        ({"class_names": ["a"]}, "`class_names` must be two names"),
        ({"token_env": "X"}, "`token_env` is no option of a Spy"),
        ({"nonsense": 1}, "`nonsense` is no option"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        lt.BlackBox(**{"predict": Spy(), **arguments})


def test_class_names_of_another_number() -> None:
    box = lt.BlackBox(Spy(), class_names=["a", "b", "c"])
    for _ in range(2):
        with pytest.raises(InputError, match="must hold 2 names as Spy has 2 classes, got 3"):
            box(inputs(0.5))


def test_errors_of_the_library_pass_through() -> None:
    def own(x: Tensor) -> Tensor:
        raise InputError("`x` must be something else.")

    with pytest.raises(LikethatError, match="`x` must be something else"):
        lt.BlackBox(own)(inputs(0.1))


def test_threads_share_one_memory() -> None:
    spy = Spy()
    box = lt.BlackBox(spy, check_determinism=False)
    values = torch.rand(20, 1)
    threads = [threading.Thread(target=box, args=(values,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (box.queries, spy.n) == (20, 20)


def test_shares_that_do_not_sum_to_1_are_no_logits_though_the_first_answer_was_one_row() -> None:
    twice = lt.BlackBox(lambda x: 2 * torch.softmax(x, 1))  # two models summed, and not divided
    twice(torch.tensor([[0.0, 1.0, 2.0]]))
    with pytest.raises(BlackBoxError, match=r"rows that sum to 1 or with logits, got .* that sum to 2"):
        twice(torch.tensor([[1.0, 0.0, 3.0], [2.0, 1.0, 0.0]]))
    same = lt.BlackBox(lambda x: torch.tensor([[3.0, 1.0]]).expand(len(x), 2))  # a constant model may be one of logits
    same(torch.zeros(1, 2))
    assert same(torch.ones(2, 2)).shape == (2, 2)

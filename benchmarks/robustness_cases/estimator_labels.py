"""Classes of estimators: a number that may be a label or an index, and answers that are no classes."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

import likethat as lt
from likethat.cli.options import class_index_or_name
from robustness_cases import EITHER, REFUSED, RIGHT, case, expect

KIND = "estimator labels"
X = np.array([[0.0], [0.1], [0.5], [0.6], [0.9], [1.0]])


def _fitted(labels: Sequence[Any]) -> Any:
    """Return a classifier of one number in [0, 1] whose classes are `labels`, in rising order."""
    from sklearn.naive_bayes import GaussianNB

    return GaussianNB(var_smoothing=0.01).fit(X, np.repeat(labels, 6 // len(labels)))


def _generator() -> Any:
    return lt.load_generator(lambda z: z.sigmoid().reshape(-1, 1, 1, 1), latent_dim=1)


def _found(labels: Sequence[Any], target: Any) -> str:
    """Return the description of what exemplars are made for."""
    box = lt.BlackBox(_fitted(labels))
    return str(lt.Exemplars(_generator()).search(box, target, n=1, budget=40).description)


def _highest(labels: Sequence[Any], target: Any) -> float:
    """Return the mean number of two exemplars: near 0 for the first class, near 1 for the last."""
    found = lt.Exemplars(_generator()).search(lt.BlackBox(_fitted(labels)), target, n=2, budget=60)
    return float(torch.as_tensor(np.asarray(found.inputs)).double().mean())


QUESTIONABLE: dict[str, tuple[list[Any], int]] = {
    "labels 1 and 2, target 1": ([1, 2], 1),
    "labels 1, 2 and 3, target 2": ([1, 2, 3], 2),
    "labels 1.0 and 2.0, target 1": ([1.0, 2.0], 1),
    "labels '1' and '2' as text, target 1": (["1", "2"], 1),
    "labels '01' and '02' as text, target 1": (["01", "02"], 1),
    "labels -1, 0 and 1, target 0": ([-1, 0, 1], 0),
    "labels -1, 0 and 1, target 1": ([-1, 0, 1], 1),
    "labels 1 and 2, target 2, which is no index": ([1, 2], 2),
    "labels -1 and 1, target -1, which is no index": ([-1, 1], -1),
    "labels 1 and 2, target numpy's 1": ([1, 2], np.int64(1)),  # type: ignore[dict-item]
    "labels 1 and 2, target torch's 1": ([1, 2], torch.tensor(1)),  # type: ignore[dict-item]
    "labels 1 and 2, target 1.0, a number with a fraction": ([1, 2], 1.0),  # type: ignore[dict-item]
}
WAYS: dict[str, Callable[[Any, Any], Any]] = {
    "exemplars": lambda model, target: lt.Exemplars(_generator()).search(lt.BlackBox(model), target, n=1, budget=20),
    "a mixture": lambda model, target: lt.Exemplars(_generator()).search(
        lt.BlackBox(model), {target: 0.5, "nothing": 0.5} if isinstance(target, str) else {target: 1.0}, n=1, budget=20
    ),
    "a counterfactual": lambda model, target: lt.FreeMCG(_generator()).counterfactual(
        model, torch.zeros(1, 1, 1), target, budget=40
    ),
    "a heat map": lambda model, target: lt.FreeMCG().attribute(model, torch.zeros(1, 1, 1), target, budget=40),
}
for _name, (_labels, _target) in QUESTIONABLE.items():

    @case(KIND, f"exemplars, {_name}: refused", accepts=REFUSED)
    def _(labels: list[Any] = _labels, target: Any = _target) -> None:
        WAYS["exemplars"](_fitted(labels), target)


for _name, _way in WAYS.items():

    @case(KIND, f"{_name} of labels 1 and 2, target 1: refused with both readings", accepts=REFUSED)
    def _(way: Any = _way) -> None:
        way(_fitted([1, 2]), 1)


@case(KIND, "a command's --target 1 of classes 1 and 2: refused with both readings", accepts=REFUSED)
def _() -> None:
    class_index_or_name("1", ("1", "2"))


@case(KIND, "a command's --target name:1 and index:1 of classes 1 and 2 are what they say", accepts=RIGHT)
def _() -> None:
    names = ("1", "2")
    expect([class_index_or_name(x, names) for x in ("name:1", "index:1", "2")], ["1", "2", "2"], "the classes")


@case(KIND, "a mixture {1: .5, 2: .5} of labels 1, 2 and 3 by numbers is refused", accepts=REFUSED)
def _() -> None:
    _found([1, 2, 3], {1: 0.5, 2: 0.5})


@case(KIND, "a mixture {'1': .5, '3': .5} of labels 1, 2 and 3 by names is that mixture", accepts=RIGHT)
def _() -> None:
    expect(_found([1, 2, 3], {"1": 0.5, "3": 0.5}), "50 % 1, 50 % 3", "what is looked for")


PLAIN: dict[str, tuple[list[Any], Any, str]] = {
    "labels 0, 1 and 2, target 2": ([0, 1, 2], 2, "2"),
    "labels 0.0 and 1.0, target 1": ([0.0, 1.0], 1, "1.0"),
    "labels False and True, target True": ([False, True], True, "True"),
    "labels False and True, target numpy's False": ([False, True], np.bool_(False), "False"),
    "labels False and True, target 1": ([False, True], 1, "True"),
    "labels -1 and 1, target 1": ([-1, 1], 1, "1"),
    "labels -1 and 1, target 0, an index alone": ([-1, 1], 0, "-1"),
    "labels 1 and 2, target '1'": ([1, 2], "1", "1"),
    "labels 1 and 2, target '2'": ([1, 2], "2", "2"),
    "labels 1 and 2, target 0, an index alone": ([1, 2], 0, "1"),
    "labels 'no' and 'yes', target 1": (["no", "yes"], 1, "yes"),
}
for _name, (_labels, _target, _expected) in PLAIN.items():

    @case(KIND, f"{_name} is the class {_expected!r}", accepts=RIGHT)
    def _(labels: list[Any] = _labels, target: Any = _target, expected: str = _expected) -> None:
        expect(_found(labels, target), expected, "what is looked for")


@case(KIND, "all classes of labels 1 and 2 are each looked for", accepts=RIGHT)
def _() -> None:
    found = lt.Exemplars(_generator()).search_all(lt.BlackBox(_fitted([1, 2])), n=1, budget=40)
    expect([str(one.description) for one in found], ["1", "2"], "what is looked for")


@case(KIND, "exemplars of the label '2' of 1 and 2 are those of the second class", accepts=RIGHT)
def _() -> None:
    expect(_highest([1, 2], "2") > 0.5, expected=True, what="that they are near 1")
    expect(_highest([1, 2], "1") < 0.5, expected=True, what="that they are near 0")


def _refused_models() -> dict[str, Callable[[], Any]]:
    from sklearn.ensemble import IsolationForest, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import OneClassSVM

    return {
        "a forest of two questions of three answers": lambda: RandomForestClassifier(3, random_state=0).fit(
            X, np.array([[0, 1], [0, 1], [2, 2], [1, 0], [1, 0], [0, 0]])
        ),
        "a forest that finds outliers": lambda: IsolationForest(n_estimators=3, random_state=0).fit(X),
        "a support vector machine that finds outliers": lambda: OneClassSVM().fit(X),
        "a class, not an instance": lambda: LogisticRegression,
        "an estimator not fitted": LogisticRegression,
    }


for _name in (
    "a forest of two questions of three answers",
    "a forest that finds outliers",
    "a support vector machine that finds outliers",
    "a class, not an instance",
    "an estimator not fitted",
):

    @case(KIND, f"{_name} is refused with a sentence", accepts=REFUSED)
    def _(name: str = _name) -> None:
        lt.BlackBox(_refused_models()[name]())(X)


def _models_of_labels() -> dict[str, Any]:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
    from sklearn.neighbors import KNeighborsClassifier

    logistic = LogisticRegression()
    return {
        "a forest of two questions": RandomForestClassifier(3, random_state=0),
        "neighbours of two questions": KNeighborsClassifier(2),
        "two classifiers in one": MultiOutputClassifier(logistic),
        "a chain of classifiers": ClassifierChain(logistic),
        "several labels at once": OneVsRestClassifier(logistic),
    }


for _name in _models_of_labels():

    @case(KIND, f"{_name} gives the probability of each label", accepts=RIGHT)
    def _(name: str = _name) -> None:
        two = np.array([[0, 1], [0, 1], [1, 1], [1, 0], [1, 0], [0, 0]])
        model = _models_of_labels()[name].fit(X, two)
        given = model.predict_proba(X)
        expected = np.stack([one[:, 1] for one in given], axis=1) if isinstance(given, list) else given
        box = lt.BlackBox(model)
        expect(box(torch.from_numpy(np.asarray(X, dtype=float))).numpy(), expected, "probabilities", tolerance=1e-12)
        expect(box.output, "labels", "what they are")


@case(KIND, "a regressor, and a pipeline that ends in one, give their numbers", accepts=RIGHT)
def _() -> None:
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    for model in (LinearRegression(), make_pipeline(StandardScaler(), LinearRegression())):
        box = lt.BlackBox(model.fit(X, 3 * X[:, 0] - 7))
        got = box(torch.from_numpy(np.asarray(X, dtype=float)))[:, 0].numpy()
        expect(got, 3 * X[:, 0] - 7, "numbers", tolerance=1e-9)
        expect(box.output, "numbers", "what they are")


@case(KIND, "a table with its columns in another order gets the same answers", accepts=RIGHT)
def _() -> None:
    from sklearn.linear_model import LogisticRegression

    table = pd.DataFrame({"a": [0.0, 1, 2, 3], "b": [9.0, 1, 4, 0]})
    model = LogisticRegression().fit(table, [0, 0, 1, 1])
    expected = model.predict_proba(table)
    expect(lt.BlackBox(model)(table[["b", "a"]]).numpy(), expected, "the answers", tolerance=1e-12)


@case(KIND, "a table without a column that the model was fitted on is refused", accepts=REFUSED)
def _() -> None:
    from sklearn.linear_model import LogisticRegression

    table = pd.DataFrame({"a": [0.0, 1, 2, 3], "b": [9.0, 1, 4, 0]})
    lt.BlackBox(LogisticRegression().fit(table, [0, 0, 1, 1]))(table.rename(columns={"b": "c"}))


@case(KIND, "a search over settings and a calibrated classifier answer as they do themselves", accepts=RIGHT)
def _() -> None:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.svm import LinearSVC

    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(40, 2)), columns=["a", "b"])
    labels = np.where(table["a"] + 0.1 * rng.normal(size=40) > 0, "yes", "no")
    for model in (
        GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}, cv=2),
        CalibratedClassifierCV(LinearSVC(), cv=2),
    ):
        model.fit(table, labels)
        box = lt.BlackBox(model)
        expect(box(table[["b", "a"]]).numpy(), model.predict_proba(table), "the answers", tolerance=1e-9)
        expect(box.class_names, ("no", "yes"), "the classes")


@case(KIND, "boosted trees take a table with missing values as they do themselves", accepts=RIGHT)
def _() -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier

    table = pd.DataFrame({"a": np.arange(60.0), "b": np.arange(60.0)[::-1]})
    table.loc[::3, "b"] = np.nan
    model = HistGradientBoostingClassifier(max_iter=5, random_state=0).fit(table, table["a"] > 30)
    expect(lt.BlackBox(model)(table[:7]).numpy(), model.predict_proba(table[:7]), "the answers", tolerance=1e-9)
    nameless = HistGradientBoostingClassifier(max_iter=5, random_state=0).fit(table.to_numpy(), table["a"] > 30)
    expect(lt.BlackBox(nameless)(table[:7]).numpy(), model.predict_proba(table[:7]), "the answers", tolerance=1e-9)


@case(KIND, "a model with margins alone says that they are not calibrated", accepts=RIGHT)
def _() -> None:
    from sklearn.linear_model import RidgeClassifier

    model = RidgeClassifier().fit(X, [1, 1, 1, 2, 2, 2])
    box = lt.BlackBox(model)
    margin = model.decision_function(X[:1])[0]
    expect(box(X[:1])[0, 1].item(), 1 / (1 + np.exp(-margin)), "the probability", tolerance=1e-9)
    expect(any("not calibrated" in note for note in box.notes), expected=True, what="that it is said")


@case(KIND, "digits as text, for a model fitted on numbers without names, are refused or read", accepts=EITHER)
def _() -> None:
    box = lt.BlackBox(_fitted([1, 2]))
    expect(
        box(pd.DataFrame({"x": ["0.0"]})).numpy(), _fitted([1, 2]).predict_proba([[0.0]]), "the answers", tolerance=1e-9
    )

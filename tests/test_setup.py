"""What `make` installs is locked whole, and a warning is an error where a line of ours causes it."""

import re
import runpy
import tomllib
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ONLY_FOR_GPUS = re.compile("nvidia|cuda|triton")
"""What a torch for GPUs brings along and pins itself; the lock serves machines without one too."""
LIBRARY = """
import warnings

def warn_about_itself():
    warnings.warn("It is old.", CATEGORY, stacklevel=1)

def warn_about_the_caller():
    warnings.warn("You are old.", CATEGORY, stacklevel=2)
"""


def locked() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def required() -> list[Requirement]:
    """What pyproject.toml names: to build, to run, and for each extra."""
    project = PROJECT["project"]
    extras = [one for extra in project["optional-dependencies"].values() for one in extra]
    named = map(Requirement, [*PROJECT["build-system"]["requires"], *project["dependencies"], *extras])
    return [one for one in named if not one.name.startswith("likethat")]  # ours are built here


def brought_along(wanted: list[Requirement]) -> set[str]:
    """The packages that these need, and those need in turn, as what is installed here says."""
    left, seen = list(wanted), set()
    while left:
        one = left.pop()
        if str(one) in seen or ONLY_FOR_GPUS.match(one.name):
            continue
        seen.add(str(one))
        try:
            needs = map(Requirement, metadata.requires(one.name) or [])
        except metadata.PackageNotFoundError:
            continue
        extras = one.extras or {""}
        left += [need for need in needs if not need.marker or any(need.marker.evaluate({"extra": e}) for e in extras)]
    return {canonicalize_name(Requirement(one).name) for one in seen}


def test_the_lock_holds_a_version_of_all_that_the_project_names() -> None:
    lock = locked()
    wrong = [str(one) for one in required() if not one.specifier.contains(lock.get(canonicalize_name(one.name), "0"))]
    assert not wrong, "run `make lock`"


@pytest.mark.slow
def test_the_lock_holds_all_that_is_brought_along() -> None:
    if any(metadata.version(name) != locked()[name] for name in ("transformers", "datasets", "onnxruntime")):
        pytest.skip("the versions installed here are not the lock's, and others may bring other packages along")
    needed = brought_along([*required(), Requirement("editables"), Requirement("pip")])
    assert len(needed) > 80
    missing = sorted(needed - set(locked()))
    assert not missing, "run `make lock`"


def test_the_lock_serves_every_machine() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert all(re.fullmatch(r"#.*|[\w.-]+==[\w.]+", line) for line in text.splitlines())  # no build, file or address
    assert not [name for name in locked() if ONLY_FOR_GPUS.match(name)]


def test_torch_is_locked_at_the_version_held_by_hand() -> None:
    held = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith("torch")]
    assert [line.split("==")[1] for line in held] == [locked()["torch"], locked()["torchvision"]]


def test_everything_that_the_project_names_has_a_lower_bound_that_can_be_tested() -> None:
    lower_bounds = runpy.run_path(str(ROOT / ".ci" / "lower_bounds.py"))["lower_bounds"]
    built_with = {canonicalize_name(Requirement(one).name) for one in PROJECT["build-system"]["requires"]}
    oldest = {canonicalize_name(name): version for name, version in lower_bounds(ROOT / "pyproject.toml").items()}
    assert set(oldest) == {canonicalize_name(one.name) for one in required()} - built_with
    assert all(one.specifier.contains(oldest.get(canonicalize_name(one.name), "9999")) for one in required())


def test_of_two_lower_bounds_the_higher_is_the_oldest_version(tmp_path: Path) -> None:
    lower_bounds = runpy.run_path(str(ROOT / ".ci" / "lower_bounds.py"))["lower_bounds"]
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "mine"\ndependencies = ["a>=1.10", "b[x]>=2,<3"]\n'
        '[project.optional-dependencies]\nmore = ["a>=1.9"]\nall = ["mine[more]"]'
    )
    assert lower_bounds(tmp_path / "pyproject.toml") == {"a": "1.10", "b": "2"}


def library(name: str, category: type[Warning]) -> dict[str, Any]:
    """A module of that name that warns."""
    module: dict[str, Any] = {"__name__": name, "CATEGORY": category}
    exec(LIBRARY, module)
    return module


@pytest.mark.parametrize("category", [DeprecationWarning, FutureWarning, PendingDeprecationWarning, UserWarning])
def test_what_another_package_raises_is_listed_and_fails_nothing(
    category: type[Warning], pytestconfig: pytest.Config
) -> None:
    if pytestconfig.getoption("pythonwarnings"):
        pytest.skip("this run says itself, with -W, what is an error")
    with warnings.catch_warnings(record=True) as listed:
        library("somebody.inside", category)["warn_about_itself"]()
        library("testsuite_of_somebody", category)["warn_about_itself"]()
    assert [str(one.message) for one in listed] == ["It is old."] * 2


@pytest.mark.parametrize(
    "name", ["likethat", "likethat.models.split", "toys", "tests.test_setup", "robustness_cases.x"]
)
def test_what_a_line_of_ours_raises_is_an_error(name: str) -> None:
    with pytest.raises(DeprecationWarning, match="It is old"):
        library(name, DeprecationWarning)["warn_about_itself"]()


def test_what_a_line_of_ours_causes_is_an_error() -> None:
    theirs = library("somebody.inside", FutureWarning)
    ours: dict[str, Any] = {"__name__": "likethat.models.split", "call": theirs["warn_about_the_caller"]}
    with pytest.raises(FutureWarning, match="You are old"):
        exec("call()", ours)
    with pytest.raises(FutureWarning, match="You are old"):
        theirs["warn_about_the_caller"]()

"""The wheel and the sdist hold all that the library reads at run time, and not more than a package index takes."""

import os
import subprocess
import sys
import tarfile
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from likethat._version import __version__

ROOT = Path(__file__).parent.parent
LARGEST = {"likethat": 3 * 2**20, "likethat_zoo": 25 * 2**20}
"""Bytes: 1.5 MB of code, 20 MB of weights. A file of measurements or a checkpoint that slips in is more."""
USE = """
import likethat as lt, likethat_zoo
model = lt.load("zoo:digits")
why = lt.EPIC(n_prototypes=2).fit(model, [lt.digits()[row].image for row in range(40)]).explain(lt.digits()[3])
why.save("why.html")
asked = lt.explain(model, lt.digits()[0].image, budget=40)
print(lt.__file__, likethat_zoo.__file__, lt.load_generator("zoo:digits-flow").shape, asked.queries)
"""


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    for project in (ROOT, ROOT / "zoo"):
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-d", folder], cwd=project, check=True, capture_output=True
        )
    return folder


@pytest.mark.slow
def test_the_wheels_work_where_nothing_else_of_the_repository_is(dist: Path, tmp_path: Path) -> None:
    for name, version in (("likethat", __version__), ("likethat_zoo", metadata.version("likethat-zoo"))):
        wheel = dist / f"{name}-{version}-py3-none-any.whl"
        assert wheel.stat().st_size < LARGEST[name]
        with zipfile.ZipFile(wheel) as packed:
            packed.extractall(tmp_path / "site")
    done = subprocess.run(
        [sys.executable, "-c", USE],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site"), "HF_HUB_OFFLINE": "1"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    site = tmp_path / "site"
    assert done.stdout.startswith(f"{site / 'likethat' / '__init__.py'} {site / 'likethat_zoo' / '__init__.py'} ")
    assert (tmp_path / "why.html").stat().st_size > 10_000


@pytest.mark.slow
def test_the_sdist_holds_the_tests_and_what_is_cited(dist: Path) -> None:
    sdist = dist / f"likethat-{__version__}.tar.gz"
    with tarfile.open(sdist) as packed:
        names = {Path(name).relative_to(f"likethat-{__version__}").as_posix() for name in packed.getnames()}
    assert {"CITATION.cff", "LICENSE", "README.md", "tests/test_wheel.py", "src/likethat/py.typed"} <= names
    assert not [name for name in names if name.endswith((".pt", ".pkl", ".ckpt"))]

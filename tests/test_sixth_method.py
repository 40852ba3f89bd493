"""The recipe for a method works: docs/sixth_method.md, followed to the letter in a copy of the package."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import likethat

SOURCE, ROOT = Path(likethat.__file__).parent, Path(__file__).parents[1]
BLOCK = re.compile(r'^```(python|diff) title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def changed(text: str, change: str) -> str:
    """Return a file after a change: hunks, each of which must fit at one place."""
    for hunk in change.split("@@\n"):
        lines = hunk.splitlines()
        before = "\n".join(line[1:] for line in lines if line[0] in " -")
        after = "\n".join(line[1:] for line in lines if line[0] in " +")
        assert text.count(before) == 1, f"{text.count(before)} places for {before!r}"
        text = text.replace(before, after)
    return text


def run(*words: str, folder: Path) -> None:
    """Run Python on the copy, and show what it says where it fails."""
    environment = os.environ | {"PYTHONPATH": str(folder / "src")}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


@pytest.mark.slow
def test_the_recipe_for_a_method_works(tmp_path: Path) -> None:
    shutil.copytree(SOURCE, tmp_path / "src" / "likethat", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("tests/options", "tests/explainers"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    blocks = BLOCK.findall((ROOT / "docs" / "sixth_method.md").read_text("utf-8"))
    for kind, name, text in blocks:
        file = tmp_path / name
        assert file.exists() == (kind == "diff"), name
        file.write_text(changed(file.read_text("utf-8"), text) if kind == "diff" else text, "utf-8")
    assert len({name for _, name, _ in blocks}) <= 8
    run("-c", "from likethat.options.tables import renew; renew('docs/methods.md')", folder=tmp_path)
    tests = ("tests/explainers/test_channels.py", "tests/options/test_declaring.py")
    run("-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, folder=tmp_path)


def test_a_change_that_does_not_fit_is_seen() -> None:
    assert changed("a\nb\n", " a\n+x\n") == "a\nx\nb\n"
    with pytest.raises(AssertionError, match="0 places"):
        changed("a\n", "-c\n")

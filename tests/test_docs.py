"""docs/ keeps its word: the Python of its guides runs, page by page, and every public name is in the API's pages."""

import importlib
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

import likethat as lt

ROOT = Path(__file__).parents[1]
GUIDES = [ROOT / "docs" / name for name in ("index.md", "bring-your-own.md", "coming-from.md", "recipes.md")]
DRAWN = sorted((ROOT / "docs" / "drawings").glob("*.md"))
GUIDES += sorted((ROOT / "docs" / "guide").glob("*.md"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The model gives only")  # the weights of some are random
@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_the_python_of_a_guide_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile("\n".join(blocks), str(page), "exec"), {"__name__": "guide"})
    assert blocks


def test_every_public_name_is_in_the_api() -> None:
    pages = "\n".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "api").glob("*.md"))
    shown = {name.rsplit(".", 1)[-1] for name in re.findall(r"^::: ([\w.]+)$", pages, flags=re.MULTILINE)}
    assert shown == set(lt.__all__)


def test_every_page_is_in_the_menu() -> None:
    menu = set(re.findall(r'"([\w/.-]+)\.md"', (ROOT / "zensical.toml").read_text(encoding="utf-8")))
    docs = ROOT / "docs"
    pages = {str(page.relative_to(docs).with_suffix("")) for page in (*docs.rglob("*.md"), *docs.rglob("*.ipynb"))}
    assert menu == {page.replace("\\", "/") for page in pages} | {"contributing", "changelog"}


def _in_the_code(place: str) -> object:
    """Return what a place such as ``likethat.fitting.held_out:_ONE_IN`` or ``...:_SCHEDULE.first`` holds."""
    module, _, names = place.partition(":")
    found: Any = importlib.import_module(module)
    for name in names.split("."):
        found = getattr(found, name)
    return found


@pytest.mark.parametrize("page", DRAWN, ids=lambda page: page.stem)
def test_the_numbers_of_a_drawing_are_those_that_run(page: Path) -> None:
    rows = re.findall(r"^\| [^|]+ \| ([^|]+) \| `([\w.]+:[\w.]+)` \|$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows
    assert [(place, repr(_in_the_code(place))) for _, place in rows] == [(place, number) for number, place in rows]


def test_links_of_the_repository_become_those_of_the_site() -> None:
    pytest.importorskip("nbconvert", reason="the site needs likethat[docs]")
    turned = runpy.run_path(str(ROOT / "docs" / "build.py"))["turned"]
    assert turned("[a](../../benchmarks/results/epic.md)") == "[a](../measurements/epic.md)"
    assert turned("[a](../benchmarks/results/epic.md)") == "[a](measurements/epic.md)"
    assert turned("[a](docs/methods.md#audit), [b](x/y.ipynb)") == "[a](methods.md#audit), [b](x/y.md)"


PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/**/*.md"), *ROOT.glob("zoo/*.md")]
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_links_to_is_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.S))
    missing = [link for link in links if "://" not in link and not link.startswith("mailto:")]
    assert [link for link in missing if not (page.parent / link).exists()] == []

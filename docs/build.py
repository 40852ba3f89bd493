"""Build the documentation's site: ``make docs``.

The pages lie in the repository as GitHub shows them: they link to ``../benchmarks/results`` and to notebooks without
outputs. The site is built of a copy in which measurements lie beside the pages, and notebooks have been run.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from nbconvert import MarkdownExporter
from nbconvert.preprocessors import ExecutePreprocessor
from traitlets.config import Config

ROOT = Path(__file__).resolve().parents[1]
STAGED = ROOT / "out" / "docs"  # zensical.toml reads the pages from here
RUN = Config(
    {
        "MarkdownExporter": {"preprocessors": [ExecutePreprocessor]},
        "ExecutePreprocessor": {"extra_arguments": ["--log-level=ERROR"], "timeout": 600},  # seconds a cell
    }
)


def pages() -> None:
    """Copy docs/ and the measurements into `STAGED`, their links turned to where pages now lie."""
    shutil.rmtree(STAGED, ignore_errors=True)
    shutil.copytree(ROOT / "docs", STAGED, ignore=shutil.ignore_patterns("*.py", "*.ipynb", "__pycache__"))
    shutil.copytree(ROOT / "benchmarks" / "results", STAGED / "measurements")
    for name in ("CHANGELOG.md", "CONTRIBUTING.md"):
        shutil.copy(ROOT / name, STAGED / name.lower())
    for page in STAGED.rglob("*.md"):
        page.write_text(turned(page.read_text(encoding="utf-8")), encoding="utf-8")


def turned(text: str) -> str:
    """Return a page with the links of the repository turned into those of the site."""
    text = re.sub(r"\]\((\.\./)((?:\.\./)*)benchmarks/results/", r"](\2measurements/", text)
    text = re.sub(r"\]\(benchmarks/results/", "](measurements/", text)
    text = re.sub(r"\]\(docs/", "](", text)
    return re.sub(r"(\]\([^)]*)\.ipynb\)", r"\1.md)", text)


def notebooks() -> None:
    """Run every notebook and write it as a page; a cell that fails is an error."""
    (STAGED / "notebooks").mkdir(exist_ok=True)
    for path in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
        print(f"docs: running {path.name}", flush=True)
        exporter = MarkdownExporter(config=RUN)
        text, resources = exporter.from_filename(str(path))
        for name, data in resources["outputs"].items():
            (STAGED / "notebooks" / f"{path.stem}-{name}").write_bytes(data)
            text = text.replace(f"({name})", f"({path.stem}-{name})")
        (STAGED / "notebooks" / f"{path.stem}.md").write_text(text, encoding="utf-8")


def main() -> None:
    """Stage, run, build; a warning of the builder is an error."""
    pages()
    notebooks()
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    subprocess.run(command, cwd=ROOT, check=True)  # noqa: S603 - no word of it comes from outside
    print(f"site    {ROOT / 'out' / 'site' / 'index.html'}")


if __name__ == "__main__":
    main()

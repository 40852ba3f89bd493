"""README.md keeps its word: its Python runs, its commands parse, its links lead somewhere."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from likethat.cli.main import app

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", *(str(page.relative_to(ROOT)) for page in sorted(ROOT.glob("docs/**/*.md"))))


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def commands() -> list[str]:
    """The commands on every page, lines that end in a backslash joined."""
    shown = [block.replace("\\\n", " ") for page in PAGES for block in blocks(page, "console")]
    lines = [line.split("#")[0].strip() for block in shown for line in block.splitlines()]
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ likethat ")]


def examples() -> list[str]:
    """The commands under every command's help."""
    root = typer.main.get_command(app)
    found: list[str] = []

    def collect(command: Any) -> None:
        found.extend(re.findall(r"\$ (likethat [^\[\n]*)", command.epilog or ""))
        for below in getattr(command, "commands", {}).values():
            collect(below)

    collect(root)
    return found


def parse(words: list[str]) -> None:
    """Parse a command as the command line does, without running it."""
    command: Any = typer.main.get_command(app)
    context = command.make_context("likethat", words)
    while getattr(command, "commands", None):
        name, command, words = command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, words, parent=context)


def run(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "readme"}
    exec(compile(code, "README.md", "exec"), names)
    return names


@pytest.mark.filterwarnings("ignore:The model gives only")  # the weights are random here
@pytest.mark.slow
def test_its_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one_call, own = blocks("README.md", "python")
    run(one_call, tmp_path, monkeypatch)
    assert {page.name for page in tmp_path.glob("*.html")} == {"parts.html", "made.html", "change.html", "where.html"}
    names = run(own, tmp_path, monkeypatch)
    assert abs(names["why"].gap()) < 1e-4
    assert (tmp_path / "why.html").stat().st_size > 1000
    assert (tmp_path / "bank" / "manifest.json").exists()


@pytest.mark.parametrize("line", commands() + examples())
def test_commands_parse(line: str) -> None:
    parse(shlex.split(line)[1:])


def test_a_command_with_an_unknown_option_does_not_parse() -> None:
    with pytest.raises(Exception, match="No such option"):
        parse(["split", "zoo:digits", "--colour", "red"])


@pytest.mark.slow
def test_every_command_has_an_example_in_its_help() -> None:
    named = {line.split()[1] for line in examples()}
    assert named == set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_exist(page: str) -> None:
    text, makefile = (ROOT / page).read_text(encoding="utf-8"), (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"(?:^|`|\$ )make ([a-z]+)(?=[`\s])", text))
    unknown = [name for name in targets if not re.search(rf"^{name}:", makefile, flags=re.MULTILINE)]
    assert unknown == []


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if not link.startswith("http")]
    missing = [link for link in links if not ((ROOT / page).parent / link).exists()]
    assert missing == []


def test_the_picture_is_small() -> None:
    assert (ROOT / "docs" / "images" / "report.png").stat().st_size < 400_000

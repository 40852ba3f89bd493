"""``likethat exemplars``: from words to a page or folders, stopped or not."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import likethat
from torch import Tensor

from likethat.cli.exemplars import _targets
from likethat.errors import InputError
from likethat.generators.priors import StandardNormal


class Blurred:
    """Low frequencies as pictures: nothing like digits, and a model has an opinion of each all the same."""

    kind, prior, differentiable, shape = "image", StandardNormal(9), True, (1, 32, 32)

    def __call__(self, latents: Tensor) -> Tensor:
        small = latents.reshape(-1, 1, 3, 3) * 2
        return torch.nn.functional.interpolate(small, size=(32, 32), mode="bicubic").sigmoid()


@pytest.fixture(autouse=True)
def toy_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("likethat.generators.load_generator", lambda _name, **_: Blurred())


WORDS = ("exemplars", "--black-box", "zoo:digits", "--generator", "toy", "--tolerance", "0.6", "-n", "2")


@pytest.mark.slow
def test_a_page_of_two_targets(tmp_path: Path) -> None:
    page = tmp_path / "e.html"
    words = ("--target", "0", "--target", "1=.5,7=.5", "--budget", "20", "--data", "zoo:digits", "--out", page)
    done = likethat(*WORDS, *words)
    assert done.exit_code == 0, done.output
    text = page.read_text(encoding="utf-8")
    assert "50 % 1, 50 % 7" in text
    assert "times the usual distance" in text or "real" in text
    assert "with at most 20 queries each" in done.output


@pytest.mark.slow
def test_a_folder_a_target(tmp_path: Path) -> None:
    done = likethat(*WORDS, "--budget", "8", "--algorithm", "prior", "--out", tmp_path / "all")
    assert done.exit_code == 0, done.output
    folders = [path.name for path in (tmp_path / "all").iterdir() if path.is_dir()]
    assert sorted(folders) == [str(number) for number in range(10)]
    again = likethat(*WORDS, "--budget", "8", "--out", tmp_path / "all")
    assert again.exit_code == 2
    assert "which likethat wrote before" in again.output
    replaced = likethat(*WORDS, "--budget", "8", "--target", "3", "--out", tmp_path / "all", "--overwrite")
    assert replaced.exit_code == 0, replaced.output
    assert not (tmp_path / "all" / "3").exists()


@pytest.mark.slow
def test_ctrl_c_leaves_what_was_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def stopping(_: object) -> Iterator[Any]:
        calls = 0

        def watch(_report: Any) -> None:
            nonlocal calls
            calls += 1
            if calls == 5:
                raise KeyboardInterrupt

        yield watch

    words = [*WORDS, "--out", tmp_path / "e.html"]
    kept = [*words, "--cache", tmp_path / "answers.sqlite"]
    with monkeypatch.context() as patch:
        patch.setattr("likethat.cli.exemplars.progress_bar", stopping)
        forgotten, remembered = likethat(*words), likethat(*kept)
    assert forgotten.exit_code == remembered.exit_code == 130
    assert (tmp_path / "e.html").exists()
    assert forgotten.stderr.splitlines()[-1] == "stopped"
    assert remembered.stderr.splitlines()[-1].startswith("stopped; go on with: likethat exemplars ")
    assert "--resume" not in remembered.stderr
    again, whole = likethat(*kept), likethat(*words)
    assert again.exit_code == 0
    assert again.stdout == whole.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--target", "dog"), "must be a class of the model"),
        (("--target", "1=half"), "`--target` must be such as"),
        (("--data", "nowhere"), "`--images` must be a folder"),
        (("--out", "."), "which is in use"),
        (("--out", "exemplars.json"), "`--out` must be a page (.html) or a folder"),
    ],
)
def test_wrong_words(words: tuple[str, ...], message: str, tmp_path: Path) -> None:
    done = likethat(*WORDS, "--out", tmp_path / "e.html", *words)
    assert done.exit_code == 2
    assert message in done.output


def test_words_of_targets() -> None:
    assert _targets(["all"], ("a", "b")) is None
    assert _targets(["all"], ("all", "none")) == ["all"]
    assert _targets(["a=b"], ("a=b", "c")) == ["a=b"]
    with pytest.raises(InputError, match="must be such as"):
        _targets(["a=x"], ("a", "b"))

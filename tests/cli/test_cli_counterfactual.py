"""``likethat counterfactual`` and ``likethat attribute``."""

from pathlib import Path

from command_line import likethat


def test_a_digit_becomes_another(tmp_path: Path) -> None:
    words = ["-m", "zoo:digits", "-g", "zoo:digits", "-i", "zoo:digits:7", "--budget", 40, "--confidence", 0.6]
    result = likethat("counterfactual", *words, "-o", tmp_path / "page.html")
    assert result.exit_code == 0, result.stderr
    assert "queries" in result.stdout
    assert (tmp_path / "page.html").exists()


def test_an_attribution_needs_no_generator(tmp_path: Path) -> None:
    words = ["-m", "zoo:digits", "-i", "zoo:digits:7", "--budget", 40, "-o", tmp_path / "page.html"]
    result = likethat("attribute", *words)
    assert result.exit_code == 0, result.stderr
    assert "have a clear sign" in result.stdout


def test_bad_calls_are_one_sentence(tmp_path: Path) -> None:
    digits = ["-m", "zoo:digits", "-g", "zoo:digits"]
    for words in (
        ["counterfactual", *digits, "-i", tmp_path / "none.png"],
        ["counterfactual", *digits, "-i", "zoo:digits:9999"],
        ["counterfactual", *digits, "-i", "zoo:digits:7", "--range", "age"],
        ["attribute", "-m", "zoo:digits", "-i", "zoo:digits:7", "--method", "freemcg"],
    ):
        result = likethat(*words)
        assert result.exit_code == 2, words
        assert "Traceback" not in result.stderr

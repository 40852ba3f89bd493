from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

import likethat as lt
from likethat._progress import Progress
from likethat.errors import InputError, NonFiniteError
from likethat.generators import load_generator, sample
from likethat.generators.base import Encoder, LatentGenerator
from likethat.generators.text.generator import TextVAE
from likethat.generators.text.reconstruction import words_kept
from likethat.generators.text.training import train_text
from likethat.options import TextTraining
from likethat.sources.sentences import SENTIMENTS, TOPICS, read_sentence, sentences

TEXTS = sentences(160)[0]


@cache
def generator() -> TextVAE:
    return train_text(TEXTS, TextTraining(epochs=4, latent_dim=6))


def points(n: int) -> torch.Tensor:
    return generator().prior.sample(n, rng=torch.Generator().manual_seed(1))


def is_same(first: TextVAE, second: TextVAE) -> bool:
    return all(torch.equal(value, second.state()[name]) for name, value in first.state().items())


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1.0, 10.0, 1e6])
def test_texts_on_the_prior_and_far_off_it(scale: float) -> None:
    texts = generator()(scale * points(1000))
    assert len(texts) == 1000
    assert all(isinstance(text, str) for text in texts)
    longest = generator().tokens.length * max(len(piece) for piece in generator().tokens.pieces)
    assert all(len(text) <= longest for text in texts)


@pytest.mark.slow
def test_it_is_a_latent_generator_that_can_go_back() -> None:
    assert isinstance(generator(), LatentGenerator)
    assert isinstance(generator(), Encoder)
    assert (generator().kind, generator().differentiable, generator().prior.dim) == ("text", False, 6)
    assert generator().encode(TEXTS[:9]).shape == (9, 6)
    assert generator()(points(0)) == []
    assert generator().encode([]).shape == (0, 6)


@pytest.mark.slow
def test_a_text_does_not_depend_on_the_others() -> None:
    latents = points(150)
    texts = generator()(latents)
    assert [generator()(latents[[row]])[0] for row in (0, 70, 149)] == [texts[row] for row in (0, 70, 149)]
    assert generator()(latents.flip(0)) == texts[::-1]
    codes = generator().encode(TEXTS)
    assert torch.equal(generator().encode(TEXTS[33:34]), codes[33:34])


def test_saved_and_loaded_it_writes_the_same(tmp_path: Path) -> None:
    loaded = load_generator(str(generator().save(tmp_path / "texts")))
    assert loaded(points(40)) == generator()(points(40))
    assert torch.equal(loaded.encode(TEXTS), generator().encode(TEXTS))
    assert torch.equal(loaded.prior.log_prob(points(9)), generator().prior.log_prob(points(9)))
    assert "160" in (tmp_path / "texts" / "card.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("stop_at", [1, 7])
def test_interrupted_and_resumed_is_as_never_interrupted(tmp_path: Path, stop_at: int) -> None:
    def stop(report: Progress) -> None:
        if report.done == stop_at:
            raise KeyboardInterrupt

    left = tmp_path / "left"
    with pytest.raises(KeyboardInterrupt):
        train_text(TEXTS, TextTraining(epochs=4, latent_dim=6), checkpoint=left, watch=stop)
    resumed = train_text(TEXTS, TextTraining(epochs=4, latent_dim=6), checkpoint=left, resume=True)
    assert is_same(generator(), resumed)
    resumed.save(tmp_path / "g")
    assert not left.exists()


@pytest.mark.slow
def test_same_seed_same_generator_and_another_seed_another() -> None:
    assert is_same(generator(), train_text(TEXTS, TextTraining(epochs=4, latent_dim=6)))
    assert not is_same(generator(), train_text(TEXTS, TextTraining(epochs=4, latent_dim=6, seed=1)))


@pytest.mark.slow
def test_the_latent_says_which_text() -> None:
    texts = [f"{colour} {thing} {number}" for colour in ("red", "blue") for thing in ("car", "bus") for number in "12"]
    learned = train_text(texts * 8, TextTraining(epochs=90, latent_dim=4))
    assert learned(learned.encode(texts)) == texts
    assert set(sample(learned, 60)) & set(texts)


@pytest.mark.slow
def test_other_scripts_and_emoji(tmp_path: Path) -> None:
    texts = ["良い映画 🎉", "悪い映画 👎", "хороший фильм", "فيلم جيد"] * 8
    (tmp_path / "texts.txt").write_text("\n".join(texts), encoding="utf-8")
    learned = train_text(tmp_path / "texts.txt", TextTraining(epochs=60, latent_dim=3))
    assert learned(learned.encode(texts[:4])) == texts[:4]


def test_what_is_read_again_is_what_was_written_and_read() -> None:
    tokens, network, latents = generator().tokens, generator().network, points(64)  # as many as one chunk
    written = network.greedy(latents)
    assert TextVAE(tokens, network, prior=generator().prior, rereads=0)(latents) == tokens.decode(written)
    assert generator()(latents) == tokens.decode(network.greedy(network.encode(written)[0]))
    with pytest.raises(InputError, match="`rereads` must be a whole number of at least 0"):
        TextVAE(generator().tokens, generator().network, prior=generator().prior, rereads=-1)


def test_long_texts_are_cut_and_the_card_says_so() -> None:
    learned = train_text(
        ["one two three four five six", "one two three four"] * 12, TextTraining(epochs=1, max_tokens=4)
    )
    assert learned.card["longest"] == 4
    assert learned.card["cut"] == 12


@pytest.mark.parametrize(
    ("given", "kind", "match"),
    [
        (torch.zeros(2, 5), InputError, r"must be \(n, latent\) = \(n, 6\), got shape \(2, 5\)"),
        (torch.full((2, 6), float("nan")), NonFiniteError, "`latents` must be finite"),
    ],
)
def test_bad_latents(given: torch.Tensor, kind: type[Exception], match: str) -> None:
    with pytest.raises(kind, match=match):
        generator()(given)


def test_bad_texts() -> None:
    with pytest.raises(InputError, match="`inputs` must be a list of texts, got str"):
        generator().encode("one text")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="at least 16 texts"):
        train_text(["one", "two"], TextTraining())


def test_the_grammar_reads_what_it_draws() -> None:
    texts, sentiments = sentences(400, seed=5)
    same, topics = sentences(400, seed=5, label="topic")
    assert texts == same
    assert len(set(texts)) > 390
    for text, sentiment, topic in zip(texts, sentiments, topics, strict=True):
        review = read_sentence(text)
        assert review is not None
        assert (review.sentiment, review.topic) == (SENTIMENTS[sentiment], TOPICS[topic])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Nothing of the kind.",
        "The soup of this film was great and the acting was lovely. Worth every cent.",
        "The plot of this film was great and the plot was lovely. Worth every cent.",
        "The plot of this film was great but the acting was lovely. Worth every cent.",
        "The plot of this film was great and the acting was lovely. Never again!",
        "the plot of this film was great and the acting was lovely. Worth every cent.",
    ],
)
def test_the_grammar_refuses(text: str) -> None:
    assert read_sentence(text) is None


def test_the_card_says_how_many_words_come_back() -> None:
    held_out = [TEXTS[row] for row in torch.randperm(160, generator=torch.Generator().manual_seed(0))[:16].tolist()]
    kept = words_kept(generator(), held_out)
    assert generator().card["words_kept"] == pytest.approx(kept, abs=1e-3)
    assert 0 < kept < 0.5  # four passes are too few


class Echo:
    def encode(self, texts: list[str]) -> list[str]:
        return texts

    def __call__(self, latents: list[str]) -> list[str]:
        return [text.replace("red", "blue") for text in latents]


def test_words_kept_are_those_in_their_order() -> None:
    assert words_kept(Echo(), ["a red bird", "two birds"]) == pytest.approx((2 / 3 + 1) / 2)


@pytest.mark.parametrize("method", [lt.FreeMCG, lt.Exemplars])
def test_a_generator_that_loses_the_words_explains_nothing(method: Any) -> None:
    with pytest.raises(InputError, match=r"at least 50% of the words of a text that it reads, got \d+%"):
        method(generator())

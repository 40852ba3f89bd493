"""`TextEdits` and the proposer of the user's own texts."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

import likethat as lt
from likethat.errors import InputError, TargetError
from likethat.generators.text.proposer import CorpusProposer, Proposal
from likethat.generators.text.words import split_words
from likethat.sources.sentences import SENTIMENTS, sentences

TEXTS, LABELS = sentences(300)
FEW, FEW_LABELS = TEXTS[:60], LABELS[:60]
TEXT = "The plot of this film was great and the acting was dull. It is all right."


@pytest.fixture(scope="module")
def proposer() -> CorpusProposer:
    return CorpusProposer(TEXTS)


def swaps(found: Sequence[Proposal], place: int) -> set[str]:
    return {one.text for one in found if (one.start, one.stop) == (place, place + 1) and one.text}


def test_a_swap_is_of_the_same_kind_of_word(proposer: CorpusProposer) -> None:
    place = split_words(TEXT).words.index("great")
    found = swaps(proposer(TEXT, place), place)
    adjectives = {"lovely", "superb", "awful", "dull", "terrible", "poor", "excellent", "dreadful", "mediocre"}
    assert len(found & adjectives) >= 5
    assert not found & {"film", "the", "plot", "was", "and", "."}


def test_a_word_in_a_wrong_place_reads_worse(proposer: CorpusProposer) -> None:
    place = split_words(TEXT).words.index("great")
    good, bad = proposer.oddness(TEXT, [(place, place + 1, "lovely"), (place, place + 1, "the")])
    assert good < 1
    assert bad > 3


def test_oddness_does_not_grow_with_the_text(proposer: CorpusProposer) -> None:
    place = split_words(TEXT).words.index("great")
    short = proposer.oddness(TEXT, [(place, place + 1, "the")])[0]
    long = proposer.oddness(" ".join([TEXT] * 12), [(place, place + 1, "the")])[0]
    assert long == pytest.approx(short, abs=1.5)


def test_oddness_is_the_fall_of_slor_of_the_whole_text(proposer: CorpusProposer) -> None:
    words = split_words(TEXT)
    for one in [one for place in range(len(words)) for one in proposer(TEXT, place)]:
        changed = words.replaced(one.start, one.stop, one.text)
        before, after = proposer.slor([TEXT, changed.text])
        assert one.oddness == pytest.approx((before - after) * (len(words) + 1), abs=1e-9)


def test_clauses_are_exchanged_for_such_as_stood_there(proposer: CorpusProposer) -> None:
    place = split_words(TEXT).words.index("It")
    found = {one.text for one in proposer(TEXT, place) if one.stop - one.start == 4}
    assert {"Worth every cent", "Stay away"} <= found


def test_a_text_of_the_corpus_does_not_speak_for_itself() -> None:
    texts = [*TEXTS[:200], "Zorgs flumph the gribble."]
    known = CorpusProposer(texts)
    unknown = CorpusProposer(texts[:-1])
    assert known.slor(texts[-1:])[0] == pytest.approx(unknown.slor(texts[-1:])[0], abs=0.3)


def test_a_tagger_decides_what_may_stand_for_what() -> None:
    def tag(words: Sequence[str]) -> list[str]:
        return ["judging" if word in ("great", "awful") else "other" for word in words]

    place = split_words(TEXT).words.index("great")
    assert swaps(CorpusProposer(TEXTS[:150], tagger=tag)(TEXT, place), place) <= {"awful"}


def test_upper_case_and_emoji_stay() -> None:
    texts = [
        f"I {verb} this {thing} {sign}" for verb in ("love", "hate") for thing in ("film", "book") for sign in "👍👎🎉"
    ]
    proposer = CorpusProposer(texts * 3)
    loud = "I LOVE this film 👍"
    assert swaps(proposer(loud, 1), 1) == {"HATE"}
    assert "👎" in swaps(proposer(loud, 4), 4)


@pytest.mark.slow
def test_labels_may_be_names_numbers_answers_or_missing() -> None:
    names = [SENTIMENTS[label] for label in FEW_LABELS]
    answers = np.eye(3)[FEW_LABELS]
    expected = lt.TextEdits(FEW, labels=names).odds(SENTIMENTS)
    assert expected is not None
    for labels in (FEW_LABELS, FEW_LABELS.tolist(), answers, torch.from_numpy(answers)):
        odds = lt.TextEdits(FEW, labels=labels).odds(SENTIMENTS)
        assert odds is not None
        np.testing.assert_allclose(odds.of(["awful", "never"]), expected.of(["awful", "never"]))
    assert expected.of(["awful"]).any()
    assert expected.of(["unheard"]).tolist() == [[0, 0, 0]]
    some = lt.TextEdits(FEW, labels=[*names[:30], *[None] * 30])
    shares = some.classes(SENTIMENTS)
    assert shares is not None
    assert np.isnan(shares[30:]).all()
    assert lt.TextEdits(FEW).odds(SENTIMENTS) is None


def test_labels_stay_with_their_texts_where_blank_ones_go() -> None:
    edits = lt.TextEdits([" ", *TEXTS[:20]], labels=["x", *LABELS[:20].tolist()])
    shares = edits.classes(SENTIMENTS)
    assert shares is not None
    assert shares.argmax(axis=1).tolist() == LABELS[:20].tolist()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"labels": [0, 1]}, r"`labels` must be one for each of 60 texts, got 2"),
        ({"labels": "positive"}, r"`labels` must be one for each of 60 texts, got 'positive'"),
        ({"labels": np.full((60, 3), 2.0)}, r"probabilities from 0 to 1"),
        ({"proposer": 3}, r"`proposer` must be"),
        ({"tagger": 3}, r"`tagger` must be"),
        ({"tagger": len, "proposer": max}, r"`tagger` must be left out"),
    ],
)
def test_bad_options_are_one_sentence(options: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        lt.TextEdits(FEW, **options)  # type: ignore[arg-type]


def test_labels_of_other_classes_are_refused() -> None:
    with pytest.raises(TargetError):
        lt.TextEdits(FEW, labels=["angry"] * 60).odds(SENTIMENTS)
    with pytest.raises(InputError, match="one column for each of 2 classes"):
        lt.TextEdits(FEW, labels=np.full((60, 3), 1 / 3)).classes(["a", "b"])


def test_a_proposer_of_ones_own_is_a_function() -> None:
    edits = lt.TextEdits(FEW, proposer=lambda _, place: [Proposal(start=place, stop=place + 1, text="x", oddness=0)])
    assert [one.text for one in edits.proposals(TEXT, 2)] == ["x"]
    for wrong in (lambda *_: ["x"], lambda *_: [Proposal(start=0, stop=99, text="", oddness=0)]):
        with pytest.raises(InputError, match="`proposer` must return Proposals within"):
            lt.TextEdits(FEW, proposer=wrong).proposals(TEXT, 0)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="`proposer` must not fail"):
        lt.TextEdits(FEW, proposer=lambda *_: 1 / 0).proposals(TEXT, 0)  # type: ignore[arg-type]


def test_a_file_of_texts_is_loaded_as_a_generator_is(tmp_path: Path) -> None:
    path = tmp_path / "reviews.txt"
    path.write_text("\n".join(TEXTS[:40]), encoding="utf-8")
    edits = lt.load_generator(path)
    assert isinstance(edits, lt.TextEdits)
    assert edits.texts == TEXTS[:40]

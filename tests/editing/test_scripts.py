"""Texts of other scripts, with emoji, signs and capitals, and reviews of 500 words: only what is edited changes."""

import itertools

import pytest
import torch
from torch import Tensor

import likethat as lt
from likethat.explanations.word_attribution import WordAttribution
from likethat.generators.text.words import split_words

LANGUAGES = {
    "Russian": (
        "{} фильм был {}, а игра {}.",
        ["Этот", "Новый", "Старый"],
        ["прекрасным", "чудесным", "ужасным", "скучным"],
        ["понравилась", "удивила"],
    ),
    "Chinese": (
        "{}部电影很{}，演员也{}。",
        ["这", "那", "新"],
        ["好", "妙", "坏", "差"],
        ["棒", "行"],
    ),
    "Arabic": (
        "{} الفيلم كان {}، والتمثيل {}.",
        ["هذا", "ذلك", "أحدث"],
        ["رائعا", "جميلا", "سيئا", "مملا"],
        ["أعجبني", "فاجأني"],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_text_of_any_script_is_edited_by_its_words(language: str) -> None:
    pattern, firsts, (good, better, bad, worse), lasts = LANGUAGES[language]
    texts = [pattern.format(*words) for words in itertools.product(firsts, (good, better, bad, worse), lasts)]

    def judge(asked: list[str]) -> Tensor:
        odds = [2.0 * sum((word in text) - (other in text) for word, other in ((good, bad), (better, worse)))
                for text in asked]  # fmt: skip
        return torch.stack(
            [-torch.tensor(odds, dtype=torch.float64), torch.tensor(odds, dtype=torch.float64)], 1
        ).softmax(1)

    box = lt.BlackBox(judge, class_names=["no", "yes"])
    source = "👍🏽 " + pattern.format(firsts[0], good, lasts[0]) + " 10/10!!!"
    found = lt.FreeMCG(lt.TextEdits(texts * 2)).counterfactual(box, source, "no", budget=60)
    assert found.edits, found.status.advice
    text = found.best.input[0]
    assert text in {source.replace(good, other) for other in (bad, worse)}
    words = lt.FreeMCG().attribute(box, source, "yes", budget=64)
    assert isinstance(words, WordAttribution)
    assert words.pieces[int(words.values.argmax())] == good


def test_capitals_and_signs_stay_where_a_word_goes() -> None:
    texts = [f"the {thing} was {how} ." for thing in ("film", "plot") for how in ("good", "bad", "dull", "fine")] * 5

    def judge(asked: list[str]) -> Tensor:
        odds = torch.tensor([4.0 * ("good" in text.casefold()) - 2 for text in asked], dtype=torch.float64)
        return torch.stack([-odds, odds], dim=1).softmax(1)

    box = lt.BlackBox(judge, class_names=["no", "yes"])
    source = "«The FILM»  was GOOD …\n(no joke)  :-)  "
    text = lt.FreeMCG(lt.TextEdits(texts)).counterfactual(box, source, "no", budget=60).best.input[0]
    assert text in {source.replace("GOOD", word) for word in ("BAD", "DULL", "FINE")}


@pytest.mark.slow
def test_a_review_of_500_words_is_edited_where_it_says_what_it_thinks() -> None:
    filler = "the story goes on in the old house by the sea and nobody says a word about it"
    clauses = [filler] * 30
    clauses[7], clauses[22] = "the acting is superb from start to end", "i call the whole thing a lovely film"
    source = ". ".join(clauses) + "."
    assert 500 <= sum(split_words(source).is_word) <= 600
    texts = [f"the acting is {how} from start to end. i call it a {how} film." for how in
             ("superb", "lovely", "dull", "awful", "long")] * 6  # fmt: skip

    def judge(asked: list[str]) -> Tensor:
        odds = [1.5 * sum(text.count(word) for word in ("superb", "lovely")) - 2 for text in asked]
        p = torch.tensor(odds, dtype=torch.float64).sigmoid()
        return torch.stack([1 - p, p], dim=1)

    box = lt.BlackBox(judge, class_names=["no", "yes"])
    found = lt.FreeMCG(lt.TextEdits(texts)).counterfactual(box, source, "no", budget=100)
    assert found.edits, found.status.advice
    assert len(found.best.changes) == 1
    assert found.best.changes[0].before in ("superb", "lovely")
    assert found.best.l1 < 0.01

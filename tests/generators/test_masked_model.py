"""Proposals of a masked language model: a small BERT made here from its configuration."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import likethat as lt
from likethat.errors import InputError, ModelError
from likethat.generators import MaskedModelProposer

transformers = pytest.importorskip("transformers")
PIECES = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "film", "was", "very", "good", "bad", "dull", "##ly", ".", "a",
    "plot", "acting", "lovely", "awful", "slow", "##est",
]  # fmt: skip
SOURCE = "The film was good ."


@cache
def parts() -> tuple[Any, Any]:
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import Lowercase
    from tokenizers.pre_tokenizers import BertPreTokenizer
    from tokenizers.processors import TemplateProcessing

    inside = Tokenizer(WordPiece({piece: place for place, piece in enumerate(PIECES)}, unk_token="[UNK]"))
    inside.normalizer, inside.pre_tokenizer = Lowercase(), BertPreTokenizer()
    inside.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    names = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inside, model_max_length=64, **{f"{name}_token": token for name, token in names.items()}
    )
    config = transformers.BertConfig(
        vocab_size=len(PIECES), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48,
        max_position_embeddings=64,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = transformers.BertForMaskedLM(config)
        for parameter in network.parameters():  # large enough for the words around to decide
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.3)
    return network, tokenizer


def odds_of(*pieces: str) -> Tensor:
    """Log-probabilities at the mask, from the network alone."""
    numbers = torch.tensor([[2, *(PIECES.index(piece) for piece in pieces), 3]])
    with torch.no_grad():
        logits: Tensor = parts()[0](input_ids=numbers).logits[0]
    return logits[1 + pieces.index("[MASK]")].log_softmax(0)


def test_what_an_edit_costs_is_a_difference_of_log_probabilities() -> None:
    found = MaskedModelProposer(*parts())(SOURCE, 3)
    by_span = {(one.start, one.stop, one.text): one.oddness for one in found}
    odds = odds_of("the", "film", "was", "[MASK]", ".")
    good, bad = PIECES.index("good"), PIECES.index("bad")
    assert by_span[3, 4, "bad"] == pytest.approx(float(odds[good] - odds[bad]), abs=1e-4)
    between = odds_of("the", "film", "was", "[MASK]", "good", ".")
    very = PIECES.index("very")
    assert by_span[3, 3, "very"] == pytest.approx(float(between.max() - between[very]), abs=1e-4)
    dot = PIECES.index(".")
    after, without = odds_of("the", "film", "was", "good", "[MASK]"), odds_of("the", "film", "was", "[MASK]")
    assert by_span[3, 4, ""] == pytest.approx(float(after[dot] - without[dot]), abs=1e-4)


def test_only_whole_words_are_proposed_and_they_are_written_as_the_own_one_is() -> None:
    found = MaskedModelProposer(*parts(), n=40)("FILM was good", 0)
    swaps = {one.text for one in found if one.stop == 1 and one.text}
    assert swaps == {"THE", "WAS", "VERY", "GOOD", "BAD", "DULL", "A", "PLOT", "ACTING", "LOVELY", "AWFUL", "SLOW"}
    assert all(one.oddness >= 0 for one in found if one.start == one.stop)
    assert (
        len(MaskedModelProposer(*parts(), n=3)("film was good", 1)) == 7
    )  # three swaps, three before it, one deletion


def test_signs_are_left_alone_and_long_texts_are_read_near_the_place() -> None:
    propose = MaskedModelProposer(*parts())
    assert propose(SOURCE, 4) == []
    assert propose(SOURCE, 9) == []
    long = " ".join(["film"] * 500)
    with pytest.raises(InputError, match="the mask must be among the tokens"):
        propose(long, 250)  # this model reads 64 tokens, and 64 words stand before the place
    assert propose(long, 499 - 480)


@pytest.mark.slow
def test_a_counterfactual_is_found_with_its_proposals(tmp_path: Path) -> None:
    network, tokenizer = parts()
    network.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    edits = lt.TextEdits([f"the film was {word} ." for word in ("good", "bad", "dull", "lovely")] * 5,
                         proposer=MaskedModelProposer.load(tmp_path))  # fmt: skip
    assert edits.name == "edits from 20 texts, BertForMaskedLM"

    def judge(texts: list[str]) -> Tensor:
        odds = torch.tensor([3.0 * ("good" in text or "lovely" in text) - 1.5 for text in texts], dtype=torch.float64)
        return torch.stack([-odds, odds], dim=1).softmax(1)

    box = lt.BlackBox(judge, class_names=["no", "yes"])
    found = lt.FreeMCG(edits).counterfactual(box, SOURCE, "no", budget=60)
    assert found.edits
    assert judge([found.best.input[0]])[0, 0] > 0.5


def test_models_that_fill_nothing_are_refused(tmp_path: Path) -> None:
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=parts()[1].backend_tokenizer)
    with pytest.raises(InputError, match="`tokenizer` must have a mask"):
        MaskedModelProposer(parts()[0], tokenizer)
    with pytest.raises(ModelError, match="does not load as a masked language model"):
        MaskedModelProposer.load(tmp_path)

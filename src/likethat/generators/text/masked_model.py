"""What a masked language model puts in a place of a text: a proposer for those who have one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from likethat._calls import public
from likethat._checks import check_count
from likethat._session import in_own_session
from likethat.errors import InputError
from likethat.generators.text.language_model import load_transformer
from likethat.generators.text.proposer import Proposal
from likethat.generators.text.words import Words, in_case_of, is_wordlike, split_words

_AROUND = 64  # words on each side that the model reads: what stands further away hardly changes a filler
_BEGINS, _GOES_ON = ("▁", "Ġ"), "##"
"""How tokenizers mark a piece that begins a word, or one that goes on with it."""


@public
@in_own_session
class MaskedModelProposer:
    """Proposes the likeliest words of a masked language model, as swaps and as insertions, and deletions.

    How an edit reads is a difference of log-probabilities: of a swap the own word's less the new one's in its place; of
    an insertion the likeliest word's less the new one's, and of a deletion the next word's with the word and without.
    Of a word of several pieces the first one counts.

    Args:
        network: a masked language model of transformers; it is put into evaluation mode.
        tokenizer: its own.
        n: proposals of each kind at a place, at most.

    Raises:
        InputError: the tokenizer has no mask.

    Source:
        Li et al. (2020), BERT-ATTACK: the candidates; Wang and Cho (2019), BERT has a mouth, for scores of places.

    Differs:
        Only whole words are candidates: pieces of words would have to be put together by trying.
    """

    def __init__(self, network: nn.Module, tokenizer: Any, *, n: int = 25) -> None:
        if getattr(tokenizer, "mask_token_id", None) is None:
            raise InputError(
                "`tokenizer` must have a mask, got one without: its model is no masked one. Take a BERT, or leave "
                "proposer= out."
            )
        self.network, self.tokenizer = network.eval(), tokenizer
        self.name = type(network).__name__
        self._n = check_count(n, name="n")
        self._numbers, self._texts = _whole_words(tokenizer)

    @classmethod
    def load(cls, source: str | Path, *, revision: str | None = None, n: int = 25) -> "MaskedModelProposer":
        """Return a proposer of a folder, or of a name on the hub; no code that comes with the model is run.

        Raises:
            ModelError: it does not load as a masked language model with safetensors weights.
            MissingExtraError: transformers is not installed.
        """
        return cls(*load_transformer(source, "AutoModelForMaskedLM", what="a masked", revision=revision), n=n)

    def __call__(self, text: str, position: int) -> list[Proposal]:
        """Return swaps, insertions and the deletion of a word, best first."""
        words = split_words(text)
        if not 0 <= position < len(words) or not words.is_word[position]:
            return []
        first, last = max(0, position - _AROUND), position + _AROUND
        near = split_words(words.stretch(first, last))
        place, mask = position - first, self.tokenizer.mask_token
        asked = [near.replaced(place, place + 1, mask), near.replaced(place, place, mask)]
        if place + 1 < len(near):
            asked += [near.replaced(place + 1, place + 2, mask)]
            asked += [asked[-1].replaced(place, place + 1, "")]
        odds = self._at_masks([one.text for one in asked])
        found = [
            *self._filled(odds[0], words, position, own=self._first_piece(words.words[position])),
            *self._filled(odds[1], words, position, own=None),
        ]
        if len(odds) == 4:
            after = self._first_piece(words.words[position + 1])
            oddness = float(odds[2, after] - odds[3, after])
            found.append(Proposal(start=position, stop=position + 1, text="", oddness=oddness))
        return sorted(found, key=lambda one: one.oddness)

    def _filled(self, odds: Float[Tensor, " token"], words: Words, position: int, *, own: int | None) -> list[Proposal]:
        """Return the likeliest whole words: in place of the own word, or before it."""
        order = odds[self._numbers].argsort(descending=True, stable=True)[: self._n + 1].tolist()
        before = float(odds.max() if own is None else odds[own])
        word = words.words[position]
        stop = position if own is None else position + 1
        return [
            Proposal(
                start=position,
                stop=stop,
                text=self._texts[one] if own is None else in_case_of(self._texts[one], word),
                oddness=before - float(odds[self._numbers[one]]),
            )
            for one in order
            if own is None or self._texts[one].casefold() != word.casefold()
        ][: self._n]

    @torch.no_grad()
    def _at_masks(self, texts: Sequence[str]) -> Float[Tensor, "text token"]:
        """Return the log-probabilities of all tokens in the place of the mask of each text."""
        device = next(self.network.parameters()).device
        rows = []
        for text in texts:  # one by one: no padding, so no answer depends on another text
            numbers = self.tokenizer(text, return_tensors="pt", truncation=True)["input_ids"]
            at = (numbers[0] == self.tokenizer.mask_token_id).nonzero()
            if not len(at):
                raise InputError("the mask must be among the tokens that the model reads, and the text is cut before.")
            logits = self.network(input_ids=numbers.to(device)).logits[0, int(at[0])]
            rows.append(logits.float().log_softmax(0).cpu())
        return torch.stack(rows)

    def _first_piece(self, word: str) -> int:
        pieces = self.tokenizer(f" {word}", add_special_tokens=False)["input_ids"]
        number: int = pieces[0] if pieces else self.tokenizer.unk_token_id
        return number


def _whole_words(tokenizer: Any) -> tuple[list[int], list[str]]:
    """Return the tokens that are words by themselves, and those words."""
    tokens: dict[str, int] = tokenizer.get_vocab()
    marks = [token for token in tokens if token.startswith(_BEGINS)]
    kept = {number: token[1:] for token, number in tokens.items() if token.startswith(_BEGINS)}
    if not marks:
        kept = {number: token for token, number in tokens.items() if not token.startswith(_GOES_ON)}
    special = set(tokenizer.all_special_ids)
    found = {
        number: text
        for number, text in sorted(kept.items())
        if number not in special and text and len(split_words(text)) == 1 and is_wordlike(text)
    }
    return list(found), list(found.values())

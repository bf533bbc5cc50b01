"""Text into tokens, as BERT's uncased models want it.

In: a vocabulary file and sentences. Out: token numbers. Devlin et al. 2018; the greedy longest match of Wu et al. 2016.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

_LONGEST = 100  # characters of a word


def read_vocabulary(path: Path) -> dict[str, int]:
    """Piece -> number: one piece a line."""
    return {piece: number for number, piece in enumerate(path.read_text(encoding="utf-8").splitlines())}


def tokens(text: str, vocabulary: dict[str, int]) -> list[int]:
    """[CLS], the pieces of all words, [SEP]."""
    plain = unicodedata.normalize("NFD", text.lower())
    words = re.findall(r"\w+|[^\w\s]", "".join(char for char in plain if unicodedata.category(char) != "Mn"))
    pieces = [piece for word in words for piece in _pieces(word, vocabulary)]
    return [vocabulary[piece] for piece in ("[CLS]", *pieces, "[SEP]")]


def _pieces(word: str, vocabulary: dict[str, int]) -> list[str]:
    found: list[str] = []
    start = 0
    while start < len(word):
        mark = "##" if start else ""
        ends = (end for end in range(len(word), start, -1) if mark + word[start:end] in vocabulary)
        end = next(ends, 0)
        if not end or len(word) > _LONGEST:
            return ["[UNK]"]
        found.append(mark + word[start:end])
        start = end
    return found

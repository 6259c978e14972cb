"""Free text as bags of tokens: words, or single characters and pairs of them where no blanks separate the words."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError
from pipeline.lazy import keras

if TYPE_CHECKING:
    import tensorflow as tf

logger = logging.getLogger(__name__)

AUTO, WORDS, CHARACTERS = "auto", "words", "characters"
MOST_TEXTS = 10_000  # texts that are read to decide how a column is split
SHARE = 0.3  # share of NO_BLANKS characters; with more, the script of a column has no blanks between words
LONGEST_WORDS = 6  # mean characters per token; with fewer, blanks separate words even in such a script
# Thai, Lao, Tibetan, Burmese and Khmer; kana; Chinese characters, also of Japanese. Korean has blanks between words.
NO_BLANKS = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\uff66-\uff9f\U00020000-\U0003ffff]"
)


def vectorization(name: str, texts: tf.data.Dataset, *, vocabulary: int, split: str) -> keras.layers.TextVectorization:
    """Return the layer from texts (batch, 1) to the tokens that they contain (batch, tokens), adapted to texts.

    Args:
        name: The column, for messages.
        texts: Batches of the training texts.
        vocabulary: The number of tokens kept, the most frequent first.
        split: WORDS, CHARACTERS or AUTO, which takes characters if blanks do not separate words.

    Raises:
        ConfigError: No text has a token.
    """
    by_characters = split == CHARACTERS or (split == AUTO and lacks_blanks(_decoded(texts)))
    if by_characters and split == AUTO:
        logger.info(
            "data: column %r is split into characters, since blanks do not separate its words; "
            "model.text_split=words splits at blanks",
            name,
        )
    layer = keras.layers.TextVectorization(
        vocabulary,
        split="character" if by_characters else "whitespace",
        ngrams=2 if by_characters else None,
        output_mode="multi_hot",
    )
    layer.adapt(texts)
    if not layer.get_vocabulary(include_special_tokens=False):
        raise ConfigError(
            f"data.text: expected words in column {name!r}; found none in the training rows, whose texts are empty or "
            "punctuation only. Remove the column from data.text; if its signs mean something, add it to "
            "data.categorical."
        )
    return layer


def lacks_blanks(texts: Iterable[str]) -> bool:
    """Return whether texts are in a script without blanks between words, and have none there."""
    characters, in_script, tokens = 0, 0, 0
    for text in texts:
        for token in text.split():
            found = len(NO_BLANKS.findall(token))
            characters += len(token)
            in_script += found
            tokens += found > 0
    return in_script > SHARE * characters and (in_script > LONGEST_WORDS * tokens)


def _decoded(texts: tf.data.Dataset) -> Iterable[str]:
    rows = texts.unbatch().take(MOST_TEXTS).batch(1_024)
    return (text.decode(errors="replace") for batch in rows.as_numpy_iterator() for text in batch.reshape(-1))

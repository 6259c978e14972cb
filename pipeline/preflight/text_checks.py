"""Checks of text columns: words that the vocabulary lacks."""

from collections.abc import Iterator

import keras

from pipeline.data import input_pipeline
from pipeline.layers import text
from pipeline.preflight.findings import Finding, finding
from pipeline.preflight.setup import Setup
from pipeline.training.unknown_words import UnknownWords, text_layers

MOST_UNKNOWN = 0.3  # share of the words of a split that the vocabulary may lack


def check(setup: Setup) -> Iterator[Finding]:
    """Yield the text columns of which the vocabulary lacks many words in some split."""
    for item in setup.unknown_words:
        if max(item.shares.values()) >= MOST_UNKNOWN:
            yield finding("unknown-words", item.column, f"{item}.", **_fix(setup, item))


def _fix(setup: Setup, item: UnknownWords) -> dict[str, object]:
    """Return the values of options that change it: a larger vocabulary, or else other tokens."""
    model = setup.config.model
    if item.shares["train"] >= MOST_UNKNOWN and hasattr(model, "vocabulary"):
        return {"vocabulary": _vocabulary_size(setup, item.column)}
    if item.unit == text.WORDS and hasattr(model, "text_split"):
        return {"text_split": text.CHARACTERS}
    return {}


def _vocabulary_size(setup: Setup, column: str) -> int:
    """Return the vocabulary that holds every token of the training rows."""
    config = text_layers(setup.model, setup.spec)[column].get_config()
    layer = keras.layers.TextVectorization(
        standardize=config["standardize"], split=config["split"], ngrams=config["ngrams"], output_mode="multi_hot"
    )
    layer.adapt(input_pipeline.feature_batches(setup.data.train, setup.spec, column))
    return layer.vocabulary_size()

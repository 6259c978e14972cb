"""Error messages for steps of a sequence that equal its padding: the model would mask them."""

from pipeline.spec import TOKEN_PADDING, Feature


def padding_advice(feature: Feature) -> str:
    """Return the end of an error message about a step that equals the padding of a feature."""
    if feature.holds_tokens:
        return (
            f"{TOKEN_PADDING}, the token ID of padding. Count token IDs from 1, or save measurements as floats: "
            "x.astype('float32')."
        )
    return f"{feature.padding:.8g}, the value of padding. Remove the step, or give it another value."

"""The parts every model is made of: its inputs, the layers in front that take raw data, and its heads."""

import re

import keras

from pipeline import keras_objects
from pipeline.errors import ConfigError
from pipeline.spec import CLASS, ONE_HOT, PADDING, REAL

ACTIVATIONS = {CLASS: "softmax", ONE_HOT: "softmax", REAL: "linear"}  # multi-label: sigmoid


def only_feature(spec, config):
    """The one feature of a data set, for models with one input. Raises ConfigError where there are several."""
    if len(spec.features) > 1:
        raise ConfigError(
            f"model: {type(config).__name__} takes one input; the data has {len(spec.features)}: "
            f"{', '.join(spec.features)}. Take model=tabular, or a model of your own."
        )
    return next(iter(spec.features.items()))


def model_input(name, feature):
    """The raw input of one feature: (batch, *shape) in the dtype of the data."""
    return keras.Input(feature.shape, dtype=feature.dtype, name=name)


def preprocessing(config, feature, values):
    """The layers between the raw values of a numeric feature and the model, in order.

    values: tf.data.Dataset of batches of the training rows, which layers with an `adapt` take their statistics from.
    Variable lengths are masked first, where a step is all padding. They work in float32 whatever the precision of the
    run, since raw values may be too large, or their statistics too fine, for 16 bits.
    """
    if feature.dtype == "string":
        raise ConfigError("model: expected numbers; the data holds text. model=tabular encodes text and categories.")
    precision = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        return _preprocessing(config, feature, values)
    finally:
        keras.config.set_dtype_policy(precision)


def _preprocessing(config, feature, values):
    layers = [keras_objects.layer("model.preprocessing", value) for value in config.preprocessing]
    if not layers and not feature.dtype.startswith("float"):
        layers = [keras.layers.Rescaling(1.0)]  # integers become floats, unchanged
    for position, layer in enumerate(layers):
        if hasattr(layer, "adapt"):
            layer.adapt(values.map(keras.Sequential(layers[:position])) if position else values)
    if feature.variable_length:
        layers.insert(0, keras.layers.Masking(PADDING))
    return layers


def heads(config, spec):
    """One dense output layer a label, by label name: softmax over classes, sigmoid for multi-label, linear for real.

    float32 whatever the precision of the run, so that small probabilities survive. Named after their labels. Raises
    ConfigError where there are several, and Keras could not name the loss of one after it.
    """
    unnameable = [name for name in spec.labels if not re.fullmatch(r"[\w.-]+", name, re.ASCII)]
    if unnameable and len(spec.labels) > 1:
        raise ConfigError(
            "data.labels: expected names of letters, digits and _ . - where there are several; found "
            f"{unnameable[0]!r}. Rename it in the data."
        )
    return {
        name: keras.layers.Dense(
            label.width,
            activation=ACTIVATIONS.get(label.kind, "sigmoid"),
            dtype="float32",
            name=name,
            **initializers(config),
        )
        for name, label in spec.labels.items()
    }


def only_head(config, spec):
    """The output layer of a model with one output. Raises ConfigError where the data has several labels."""
    if len(spec.labels) > 1:
        raise ConfigError(
            f"model: {type(config).__name__} has one output; the data has {len(spec.labels)} labels: "
            f"{', '.join(spec.labels)}. Take model=tabular or model=residual_cnn, which have a head for each."
        )
    return next(iter(heads(config, spec).values()))


def initializers(config):
    """The initializer arguments of a layer with kernel and bias, each a new object."""
    return {
        "kernel_initializer": keras_objects.initializer("model.kernel_initializer", config.kernel_initializer),
        "bias_initializer": keras_objects.initializer("model.bias_initializer", config.bias_initializer),
    }


def are_tokens(feature):
    """Whether a feature is a sequence of whole numbers, each the number of a word, rather than measurements."""
    return feature.dtype in ("uint8", "int32") and len(feature.shape) == 1


def vocabularies(config, spec):
    """Feature name -> words known to the model, of what a member of config.GROUPS["model"] looks up in an embedding."""
    if config.vocabulary_size is None:
        return {}
    return {name: config.vocabulary_size for name, feature in spec.features.items() if are_tokens(feature)}


def embedding(config, feature, width):
    """Vectors for a sequence of integers; padding is masked. Raises ConfigError where the vocabulary is not given."""
    if not config.vocabulary:
        raise ConfigError(
            f"model.vocabulary: the data is a sequence of {feature.dtype}; expected the number of words it may hold, "
            "found null."
        )
    return keras.layers.Embedding(
        config.vocabulary, width, mask_zero=True, embeddings_initializer=keras.initializers.RandomUniform(-0.05, 0.05)
    )

"""The first layers of a model: its inputs, preprocessing and embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pipeline import keras_objects
from pipeline.errors import ConfigError
from pipeline.layer_names import layer_name
from pipeline.layers.column_statistics import column_statistics
from pipeline.lazy import keras, np
from pipeline.spec import DataSpec, Feature

if TYPE_CHECKING:
    import tensorflow as tf

    from pipeline.models.model import ModelOptions


def only_feature(model: ModelOptions, spec: DataSpec) -> tuple[str, Feature]:
    """Return the name and the feature of data with one feature, for models with one input.

    Raises:
        ConfigError: The data has several features.
    """
    if len(spec.features) > 1:
        raise ConfigError(
            f"model={model.choice}: expected data with one feature; found {len(spec.features)}: "
            f"{', '.join(spec.features)}. model=tabular takes several features; so can a model in custom/models/."
        )
    return next(iter(spec.features.items()))


def raw_input(name: str, feature: Feature) -> keras.KerasTensor:
    """Return the input of a model for one feature: (batch, *shape) in the dtype of the data."""
    return keras.Input(feature.shape, dtype=feature.dtype, name=layer_name(name))


def raw_precision(feature: Feature) -> str:
    """Return the dtype policy of layers that take raw values: float64 for a feature that float32 cannot hold."""
    return "float64" if feature.dtype == "float64" else "float32"


def preprocessing(model: ModelOptions, feature: Feature, values: tf.data.Dataset) -> list[keras.Layer]:
    """Return the layers between the raw values of a numeric feature and the network, in order.

    If the length varies, a Masking layer masks the padding and sets it to 0. Measurements of one number per step are
    reshaped to (steps, 1) before it.

    All of these layers compute in `raw_precision`, whatever the precision of the run: 16 bits may be too few for raw
    values. The layers of a float64 feature, such as a Normalization that removes a large offset, end with a cast to
    float32. `adapted_normalization` sets the statistics of a Normalization.

    Args:
        model: Its `preprocessing` names the layers.
        feature: The feature, which must hold numbers.
        values: Batches of the training rows. Layers with an `adapt` method take their statistics from them.

    Raises:
        ConfigError: The feature holds text, or Keras has no such layer.
    """
    if feature.dtype == "string":
        raise ConfigError(
            f"model={model.choice}: expected numbers; the data holds text. model=tabular encodes text and categories."
        )
    if feature.columns and not model.replaces_missing_values:
        _check_complete(model, feature, values)
    precision = keras.config.dtype_policy()
    keras.config.set_dtype_policy(raw_precision(feature))
    try:
        return _preprocessing_layers(model, feature, values)
    finally:
        keras.config.set_dtype_policy(precision)


def _check_complete(model: ModelOptions, feature: Feature, values: tf.data.Dataset) -> None:
    """Check that no column of a table has missing values, which only some models replace.

    Raises:
        ConfigError: A column has.
    """
    missing = np.zeros(len(feature.columns), int)
    for batch in values.as_numpy_iterator():
        missing += np.isnan(batch).reshape(-1, len(missing)).sum(axis=0)
    if missing.any():
        names = [repr(name) for name, count in zip(feature.columns, missing) if count]
        raise ConfigError(
            f"model={model.choice}: expected a number in every row of the training split; found {missing.sum():,} "
            f"missing values in {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}. Set model=tabular, which "
            "replaces them by the training mean."
        )


def _preprocessing_layers(model: ModelOptions, feature: Feature, values: tf.data.Dataset) -> list[keras.Layer]:
    front = []
    if feature.variable_length:
        front = [keras.layers.Masking(feature.padding)]
        if feature.shape == (None,) and not feature.holds_tokens:
            front.insert(0, keras.layers.Reshape((-1, 1)))
            values = values.map(lambda batch: batch[..., None])
    layers = [keras_objects.layer("model.preprocessing", value) for value in model.preprocessing]
    if not layers and not feature.dtype.startswith("float"):
        layers = [keras.layers.Rescaling(1.0)]  # converts integers to floats
    for position, layer in enumerate(layers):
        before = values.map(keras.Sequential(layers[:position])) if position else values
        if type(layer) is keras.layers.Normalization and layer.input_mean is None:
            layers[position] = adapted_normalization(layer, before)
        elif hasattr(layer, "adapt"):
            layer.adapt(_complete_rows(before))
    if feature.dtype == "float64":
        layers.append(keras.layers.Identity(dtype="float32"))
    return front + layers


def _complete_rows(values: tf.data.Dataset) -> tf.data.Dataset:
    """Return the batches without the rows that hold a missing value (NaN)."""
    spec = cast("tf.TensorSpec", values.element_spec)
    if not spec.dtype.is_floating:
        return values
    axes = tuple(range(1, len(spec.shape)))
    complete = values.map(lambda batch: batch[~keras.ops.any(keras.ops.isnan(batch), axis=axes)])
    return complete.filter(lambda batch: keras.ops.shape(batch)[0] > 0)


def adapted_normalization(layer: keras.layers.Normalization, values: tf.data.Dataset) -> keras.layers.Normalization:
    """Return a Normalization with the statistics of the training values, NaN left out.

    A constant column is only centred, as by scikit-learn's StandardScaler: Keras would divide a later value by 1e-7.

    An `axis` of -1 is that of the channels, or of the columns of flat rows. An array (rows, columns) without channels,
    such as a gray image, has one mean and variance if its columns have a common scale: the columns of an image hold
    the same channel. An `axis` of 2 gives each column its own in any case.

    Args:
        layer: Not built. It is returned, or another one of the same name.
        values: Batches of the training values.
    """
    shape = tuple(cast("tf.TensorSpec", values.element_spec).shape)
    axes = tuple(axis % len(shape) for axis in layer.axis)
    has_last_axis = layer.axis == (-1,)
    is_endless = has_last_axis and shape[-1] is None  # one number per step
    statistics = column_statistics(values, () if is_endless else axes)
    is_image = len(shape) == 3 and None not in shape[1:] and statistics.have_common_scale
    if has_last_axis and (is_endless or is_image):
        layer = keras.layers.Normalization(axis=None, name=layer.name, dtype=layer.dtype_policy, invert=layer.invert)
        statistics = statistics.pooled()
    layer.build(shape)
    layer.adapt_mean.assign(statistics.mean.reshape(layer.adapt_mean.shape))
    layer.adapt_variance.assign(statistics.scale_variance.reshape(layer.adapt_variance.shape))
    layer.finalize_state()
    return layer


def embedding(feature: Feature, *, vocabulary: int | None, width: int) -> keras.layers.Embedding:
    """Return the layer that turns token IDs (batch, steps) into vectors (batch, steps, width); padding is masked.

    Args:
        feature: The sequence of token IDs.
        vocabulary: model.vocabulary, the number of token IDs; ID 0 is padding.
        width: The width of a vector.

    Raises:
        ConfigError: model.vocabulary is null.
    """
    if not vocabulary:
        raise ConfigError(
            f"model.vocabulary: expected the number of token IDs, since the data is a sequence of {feature.dtype}; "
            "found null. Set it to the largest ID in the data plus 1: model.vocabulary=... If the numbers are "
            "measurements, save them as floats: x.astype('float32')."
        )
    return keras.layers.Embedding(
        vocabulary, width, mask_zero=True, embeddings_initializer=keras.initializers.RandomUniform(-0.05, 0.05)
    )

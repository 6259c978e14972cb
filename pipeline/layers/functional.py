"""Functional Keras models: graphs of layers, with several inputs or several outputs where the data has them."""

import keras
from keras import layers, ops

from pipeline.errors import ConfigError
from pipeline.layers import blocks


def residual_cnn(config, spec, values_of):
    """Residual blocks (He et al. 2015), each stage after the first at half the resolution.

    (batch, height, width, channels) -> (batch, width of the label), or a dict of these where there are several labels.
    """
    name, feature = blocks.only_feature(spec, config)
    if len(feature.shape) != 3:
        raise ConfigError(
            f"model=residual_cnn: expected images (height, width, channels); found {name} {feature.shape}."
        )
    image = blocks.model_input(name, feature)
    x = image
    for layer in blocks.preprocessing(config, feature, values_of(name)):
        x = layer(x)
    x = _convolution(config, config.filters[0], 1)(x)
    for stage, filters in enumerate(config.filters):
        for block in range(config.blocks):
            x = _residual_block(config, x, filters, stride=2 if stage and not block else 1)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, _outputs(config, spec, x), name="residual_cnn")


def tabular(config, spec, values_of):
    """Several inputs, each encoded inside the model, then dense layers they share and a head a label.

    Every input is (batch, 1): numbers are normalised (a missing one becomes the training mean), categories one-hot,
    text a bag of words.
    """
    inputs = {name: blocks.model_input(name, feature) for name, feature in spec.features.items()}
    encoded = [_encode(config, inputs[name], feature, values_of(name)) for name, feature in spec.features.items()]
    x = layers.Concatenate()(encoded) if len(encoded) > 1 else encoded[0]
    for units in config.hidden:
        x = layers.Dense(units, config.activation, **blocks.initializers(config))(x)
        if config.dropout:
            x = layers.Dropout(config.dropout)(x)
    return keras.Model(
        inputs if len(inputs) > 1 else next(iter(inputs.values())), _outputs(config, spec, x), name="tabular"
    )


def _outputs(config, spec, x):
    """The heads' outputs: bare for one label, as Keras takes its target, a dict by label for several."""
    outputs = {name: head(x) for name, head in blocks.heads(config, spec).items()}
    return outputs if len(outputs) > 1 else next(iter(outputs.values()))


def _encode(config, raw, feature, values):
    """One input as a row of numbers: (batch, 1) or (batch, ...) -> (batch, n)."""
    if feature.dtype != "string":
        x = raw
        for layer in blocks.preprocessing(config, feature, _complete(values, feature)):
            x = layer(x)
        if feature.dtype.startswith("float"):
            x = ops.where(ops.isnan(x), 0.0, x)  # after normalisation 0 is the training mean
        return layers.Flatten()(x)
    if feature.text:
        layer = layers.TextVectorization(config.vocabulary, output_mode="multi_hot")
    else:
        layer = layers.StringLookup(mask_token="", output_mode="one_hot")  # a missing category has no column
    layer.adapt(values)
    return layers.Flatten()(layer(raw))


def _complete(values, feature):
    """The batches of a feature without the rows that miss a value, and without batches that have no other."""
    if not feature.dtype.startswith("float"):
        return values
    values = values.map(lambda batch: ops.cast(batch, feature.dtype))  # pixels, where the model takes them as floats
    complete = values.map(lambda batch: batch[~_any_missing(batch)])
    return complete.filter(lambda batch: ops.shape(batch)[0] > 0)  # the mean of no rows is not a number


def _any_missing(batch):
    """(rows,) bool: whether a row holds a value that is not a number."""
    return ops.any(ops.isnan(batch), axis=tuple(range(1, len(batch.shape))))


def _convolution(config, filters, stride):
    return layers.Conv2D(
        filters, config.kernel_size, strides=stride, padding="same", use_bias=False, **blocks.initializers(config)
    )


def _normalization(config):
    constants = config.batch_normalization
    return layers.BatchNormalization(momentum=constants.momentum, epsilon=constants.epsilon)


def _residual_block(config, x, filters, stride):
    """Two convolutions around a shortcut, which is projected where the shape changes.

    (batch, h, w, c) -> (batch, h / stride, w / stride, filters), rounded up.
    """
    shortcut = x
    if stride > 1 or x.shape[-1] != filters:
        shortcut = layers.Conv2D(filters, 1, strides=stride, use_bias=False, **blocks.initializers(config))(x)
        shortcut = _normalization(config)(shortcut)
    x = layers.Activation(config.activation)(_normalization(config)(_convolution(config, filters, stride)(x)))
    x = _normalization(config)(_convolution(config, filters, 1)(x))
    return layers.Activation(config.activation)(layers.Add()([x, shortcut]))

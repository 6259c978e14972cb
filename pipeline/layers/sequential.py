"""keras.Sequential models: a stack of layers, one input, one output."""

import keras
from keras import layers

from pipeline import keras_objects
from pipeline.layers import blocks


def mlp(config, spec, values_of):
    """Dense layers over the flattened input: (batch, ...) -> (batch, width of the label)."""
    body = [layers.Flatten()]
    for units in config.hidden:
        body.append(layers.Dense(units, config.activation, **blocks.initializers(config)))
        if config.dropout:
            body.append(layers.Dropout(config.dropout))
    return _stack(config, spec, values_of, body)


def cnn(config, spec, values_of):
    """Convolution blocks, then the head: (batch, height, width, channels) -> (batch, width of the label)."""
    _, feature = blocks.only_feature(spec, config)
    body = []
    if len(feature.shape) == 2:
        body.append(layers.Reshape((*feature.shape, 1)))  # grey images stored without a channel axis
    for filters in config.filters:
        body.append(layers.Conv2D(filters, config.kernel_size, padding=config.padding, **blocks.initializers(config)))
        if config.normalize:
            constants = config.batch_normalization
            body.append(layers.BatchNormalization(momentum=constants.momentum, epsilon=constants.epsilon))
        body.append(layers.Activation(config.activation))
        if config.pool_size > 1:
            body.append(layers.MaxPooling2D(config.pool_size))
    body.append(layers.Flatten())
    body += [layers.Dense(units, config.activation, **blocks.initializers(config)) for units in config.hidden]
    if config.dropout:
        body.append(layers.Dropout(config.dropout))
    return _stack(config, spec, values_of, body)


def gru(config, spec, values_of):
    """Recurrent layers over (batch, steps, ...) -> (batch, width of the label); padded steps are masked."""
    name, feature = blocks.only_feature(spec, config)
    body = []
    for position, units in enumerate(config.units):
        layer = layers.GRU(
            units,
            return_sequences=position < len(config.units) - 1,
            reset_after=config.reset_after,
            recurrent_activation=config.recurrent_activation,
            recurrent_initializer=keras_objects.initializer(
                "model.recurrent_initializer", config.recurrent_initializer
            ),
            **blocks.initializers(config),
        )
        body.append(layers.Bidirectional(layer) if config.bidirectional else layer)
    if config.dropout:
        body.append(layers.Dropout(config.dropout))
    if not blocks.are_tokens(feature):
        return _stack(config, spec, values_of, body)
    words = blocks.embedding(config, feature, config.embedding)
    return keras.Sequential(
        [blocks.model_input(name, feature), words, *body, blocks.only_head(config, spec)], name="gru"
    )


def stack(config, spec, values_of):
    """The layers the config lists, the output among them."""
    name, feature = blocks.only_feature(spec, config)
    body = [keras_objects.layer("model.layers", value) for value in config.layers]
    return keras.Sequential(
        [blocks.model_input(name, feature), *blocks.preprocessing(config, feature, values_of(name)), *body],
        name="layers",
    )


def _stack(config, spec, values_of, body):
    name, feature = blocks.only_feature(spec, config)
    front = blocks.preprocessing(config, feature, values_of(name))
    return keras.Sequential(
        [blocks.model_input(name, feature), *front, *body, blocks.only_head(config, spec)],
        name=type(config).__name__.lower(),
    )

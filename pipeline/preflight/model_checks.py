"""Checks of the model: what is trained, what is connected, and whether each layer knows that it is trained."""

from collections.abc import Iterator

import keras

from pipeline.keras_internals import all_layers
from pipeline.layers.architecture import digest
from pipeline.preflight.findings import Finding, finding
from pipeline.preflight.first_step import StepResult
from pipeline.preflight.forward_pass import Prediction
from pipeline.preflight.setup import Setup

AMOUNTS = ("rate", "dropout", "recurrent_dropout", "stddev", "dropout_rate")  # 0: the layer draws no random numbers


def check(setup: Setup) -> Iterator[Finding]:
    """Yield the findings that need no batch."""
    model = setup.model
    if not model.trainable_variables:
        frozen = ", ".join(layer.name for layer in setup.layers if layer.weights and not layer.trainable)
        found = f"no variable is trainable; frozen: {frozen[:200]}." if frozen else "no layer has weights."
        yield finding("nothing-trains", model.name, found)
    inside = {id(inner) for layer in setup.layers for inner in _layers_inside(layer)}
    for layer in setup.layers:
        if not layer.built and not isinstance(layer, keras.layers.InputLayer) and id(layer) not in inside:
            yield finding("layer-unused", layer.name, f"this {type(layer).__name__} was never built.")
    if setup.objective.architecture not in (None, digest(model)):
        yield finding("changed-after-compile", model.name, "its layers or trainable variables are others than then.")


def _layers_inside(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Return the layers that a layer of Keras uses by itself, such as the lookup of a TextVectorization.

    Keras may call their functions without building them.
    """
    is_own = layer.__class__.__module__.startswith("keras.") and not isinstance(layer, keras.Model)
    return all_layers(layer)[1:] if is_own and layer.built else []


def check_connections(setup: Setup, prediction: Prediction) -> Iterator[Finding]:
    """Yield the outputs and features that are not connected."""
    for name, output in prediction.outputs.items():
        if not output.features:
            yield finding("output-ignores-input", name, f"{output.reading} depends on no feature.")
        elif output.is_constant:
            found = f"{output.reading} gives all rows of a batch the same numbers, with other weights too."
            yield finding("output-ignores-input", name, found)
    used = frozenset().union(*(output.features for output in prediction.outputs.values()))
    for name in setup.spec.features if used else ():
        if name not in used:
            yield finding("input-unused", name, "no output depends on it.")


def check_training_flag(setup: Setup, result: StepResult) -> Iterator[Finding]:
    """Yield a finding for each layer whose training-only behaviour did not occur in a training step."""
    for layer in setup.layers:
        if isinstance(layer, keras.Model) or not layer.trainable:
            continue
        if isinstance(layer, keras.layers.BatchNormalization):
            moving = (layer.moving_mean, layer.moving_variance) if layer.built and layer.momentum < 1 else ()
            if moving and not any(variable.path in result.changed for variable in moving):
                yield finding("no-training-flag", layer.name, "neither its moving mean nor its variance changed.")
        if any(generator.state.path not in result.changed for generator in _seed_generators(layer)):
            yield finding("no-training-flag", layer.name, "it drew no random numbers.")


def _seed_generators(layer: keras.layers.Layer) -> list[keras.random.SeedGenerator]:
    """Return the seed generators of a layer; [] if its arguments turn random numbers off."""
    amounts = [getattr(layer, name) for name in AMOUNTS if isinstance(getattr(layer, name, None), (int, float))]
    if not any(amounts):
        return []
    return [value for value in vars(layer).values() if isinstance(value, keras.random.SeedGenerator)]

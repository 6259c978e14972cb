"""The model by itself: what trains, what is connected, and whether every layer knows that it is being trained."""

import keras

from pipeline.keras_internals import optimized_variables
from pipeline.layers.architecture import digest
from pipeline.preflight.findings import Finding

AMOUNTS = ("rate", "dropout", "recurrent_dropout", "stddev", "dropout_rate")  # 0 in them: no random numbers drawn


def check(setup):
    """Yield what can be told without a batch."""
    if not setup.model.trainable_variables:
        frozen = ", ".join(layer.name for layer in setup.layers if layer.weights and not layer.trainable)
        found = f"no trainable variable; frozen: {frozen[:200]}." if frozen else "no layer has weights."
        yield Finding("nothing-trains", setup.model.name, found, "trainable: true in a layer's config")
    for layer in setup.layers:
        if not layer.built and not isinstance(layer, keras.layers.InputLayer):
            yield Finding("layer-unused", layer.name, f"this {type(layer).__name__} was never built.", "Remove it.")
    yield from _since_compiled(setup)


def _since_compiled(setup):
    updates = setup.objective.updates()
    optimizers = setup.objective.optimizers()
    known = {id(variable) for optimizer in optimizers for variable in optimized_variables(optimizer)}
    now = {id(variable): variable.path for update in updates for variable in update.variables}
    added = [path for key, path in now.items() if key not in known]
    if added or len(known) != len(now):
        found = f"the optimizer was built for {len(known)} variables, {len(now)} are trained"
        found += f", {added[0]} among those it does not know." if added else "."
        yield Finding("changed-after-compile", setup.model.name, found, "Call compile again, after the change.")
    elif setup.objective.architecture not in (None, digest(setup.model)):
        found = "its get_config() differs from the one it was compiled with."
        yield Finding("changed-after-compile", setup.model.name, found, "Call compile again, after the change.")


def check_connections(setup, prediction):
    """Yield the outputs and features between which no path leads."""
    used = frozenset().union(*(output.features for output in prediction.outputs.values()))
    for name, output in prediction.outputs.items():
        if not output.features:
            found = f"made by {output.reading.operation} in {output.reading.layer!r}, from no feature."
            yield Finding("output-ignores-input", name, found, "Connect it to the model's input.")
        elif output.is_constant:
            made = f"{output.reading.operation} in {output.reading.layer!r}"
            found = f"{made} gives all rows of a batch the same numbers, under other weights too."
            mend = "Look for a product with 0, a difference of equal tensors, a softmax of one unit, or dead units."
            yield Finding("output-ignores-input", name, found, mend)
    for name in setup.spec.features:
        if name not in used and used:
            yield Finding("input-unused", name, "no output depends on it.", "Leave it out of the data's features.")


def check_training_flag(setup, trial):
    """Yield the layers that, in the step that was tried, did not do what they do only in training."""
    told = set()
    for layer in setup.layers:
        if isinstance(layer, keras.Model) or not layer.trainable or layer.name in told:
            continue
        if isinstance(layer, keras.layers.BatchNormalization):
            moving = (layer.moving_mean, layer.moving_variance) if layer.built else ()
            still = moving and layer.momentum < 1
            if still and not any(variable.path in trial.moved for variable in moving):
                told.add(layer.name)
                yield Finding("no-training-flag", layer.name, "neither its moving mean nor variance moved.",
                              "Hand `training` on to it in the model's call.")  # fmt: skip
        for generator in _own_generators(layer):
            if generator.state.path not in trial.moved and layer.name not in told:
                told.add(layer.name)
                yield Finding("no-training-flag", layer.name, "its seed did not advance: nothing was dropped.",
                              "Hand `training` on to it in the model's call.")  # fmt: skip


def _own_generators(layer):
    """The seed generators of a layer that draws random numbers at all."""
    amounts = [getattr(layer, name) for name in AMOUNTS if isinstance(getattr(layer, name, None), (int, float))]
    if not amounts or not any(amounts):
        return []
    return [value for value in vars(layer).values() if isinstance(value, keras.random.SeedGenerator)]

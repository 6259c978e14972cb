"""Every finding of preflight: its code, severity, explanation and fix. docs/preflight.md is generated from it.

python -m pipeline.preflight.catalogue > docs/preflight.md
"""

from dataclasses import dataclass
from string import Template

ERROR, WARNING = "error", "warning"
SCALE_INPUTS = "set model.preprocessing='[{class_name: Normalization, config: {axis: -1}}]'"


@dataclass(frozen=True)
class Entry:
    """One kind of finding.

    severity: ERROR if the run cannot do what was intended, WARNING if it may not.
    explanation: Why it is wrong, in one to three sentences.
    fixes: Alternative fixes, each a verb phrase. A $name in it is replaced by a value that the check supplies.
    """

    severity: str
    explanation: str
    fixes: tuple[str, ...]

    def fix(self, values: dict[str, object]) -> str:
        """Return the alternatives, joined, with the values in them.

        An alternative is left out if the check supplies no value for its $name. If none is left, all are returned in
        their general form.

        Raises:
            KeyError: A value belongs to no alternative.
        """
        templates = [Template(text) for text in self.fixes]
        unknown = values.keys() - {name for template in templates for name in template.get_identifiers()}
        if unknown:
            raise KeyError(f"{', '.join(unknown)}: no such name in {self.fixes}")
        usable = [template for template in templates if values.keys() >= set(template.get_identifiers())]
        return _sentence([template.substitute(values) for template in usable]) if usable else self.general_fix()

    def general_fix(self) -> str:
        """Return all alternatives, joined. Each $name becomes the name in capitals."""
        templates = [Template(text) for text in self.fixes]
        names = [{name: name.upper() for name in template.get_identifiers()} for template in templates]
        return _sentence([template.substitute(named) for template, named in zip(templates, names, strict=True)])


def _sentence(alternatives: list[str]) -> str:
    """Return the alternatives as one sentence without a final period, which would be copied with an argument."""
    joined = ", or ".join(alternatives)
    return joined[0].upper() + joined[1:]


def error(explanation: str, *fixes: str) -> Entry:
    """Return the entry of an error."""
    return Entry(ERROR, explanation, fixes)


def warning(explanation: str, *fixes: str) -> Entry:
    """Return the entry of a warning."""
    return Entry(WARNING, explanation, fixes)


LOSS = {
    "logits-as-probabilities": error(
        "The loss takes probabilities, but nothing keeps the output between 0 and 1. Keras clips the output before "
        "its logarithm, and a clipped row has no gradient.",
        "set activation: $activation in the last layer",
        "set objective.loss=$loss",
    ),
    "probabilities-as-logits": error(
        "The loss applies softmax or sigmoid itself. Applied twice, it flattens the gradients, and no probability can "
        "come near 0 or 1.",
        "set objective.loss=$loss",
        "set activation: linear in the last layer",
    ),
    "activation-twice": error(
        "The last softmax or sigmoid takes numbers from 0 to 1, as another one gives them, so that no probability can "
        "come near 0 or 1.",
        "set activation: linear in the layer before the last activation, or remove one of the two",
    ),
    "log-probabilities": error(
        "The output is never above 0, like the logarithms of probabilities. The loss takes the probabilities.",
        "set activation: $activation in the last layer",
        "set objective.loss=$loss",
    ),
    "one-sided-logits": warning(
        "All logits have the same sign, so that a unit can only raise, or only lower, the probability of its class. A "
        "ReLU at 0 does not learn.",
        "set activation: linear in the last layer",
    ),
    "bounded-logits": warning(
        "Logits in a narrow range keep the loss above a minimum: no probability can come near 0 or 1.",
        "set activation: linear in the last layer",
    ),
    "sigmoid-with-categorical": error(
        "A categorical loss takes one distribution over the classes, and the outputs of a sigmoid do not sum to 1. "
        "Keras rescales them inside the loss, so that the saved model predicts other numbers than were trained.",
        "set activation: softmax in the last layer",
    ),
    "softmax-axis": error(
        "The softmax is not computed over the classes: the outputs of a row do not sum to 1.",
        "set axis: -1 in the softmax",
    ),
    "softmax-of-one": error(
        "The softmax of a single unit is 1 for every input: there is nothing to learn.",
        "set activation: $activation in the last layer",
    ),
    "softmax-on-multi-label": error(
        "Several labels of a row can be true, but the outputs of a softmax sum to 1: two of them cannot both be near "
        "1.",
        "set activation: sigmoid in the last layer",
    ),
    "binary-loss-over-softmax": warning(
        "A binary loss treats the classes as independent, while softmax couples them. The model trains, but the loss "
        "is not the likelihood of the classes.",
        "set objective.loss=$loss",
    ),
    "one-hot-with-sigmoid": warning(
        "Each row belongs to one class, but each class is predicted independently: the outputs need not sum to 1. This "
        "is correct if one classifier per class is intended.",
        "set objective.loss=$loss and activation: softmax in the last layer",
    ),
    "distance-on-classes": warning(
        "A distance between labels and outputs (squared, absolute, cosine) is not a likelihood: the gradient of a "
        "confident wrong prediction vanishes. Studies of calibration use it on purpose.",
        "set objective.loss=$loss",
    ),
    "integer-labels": error(
        "The loss takes labels with one number per class; these labels are class indices.",
        "set objective.loss=$loss",
    ),
    "one-hot-labels": error(
        "The loss takes class indices; these labels have one number per class.",
        "set objective.loss=$loss",
    ),
    "multi-label-with-categorical": error(
        "A categorical loss takes labels that sum to 1; in these labels any number of classes can be true.",
        "set objective.loss=$loss and activation: sigmoid in the last layer",
    ),
    "real-labels": error(
        "The loss is for classes; these labels are real numbers, which it would truncate or take for probabilities.",
        "set objective.loss=$loss",
        "set data.label_kind=class if the labels are classes",
    ),
    "one-unit-categorical": error(
        "A categorical loss compares the outputs of several classes; the model has one output unit.",
        "set units: $units and activation: softmax in the last layer",
        "set objective.loss=$loss and activation: sigmoid in the last layer",
    ),
    "two-units-binary": error(
        "The labels are one number per row, 0 or 1. A binary loss would compare it with every unit, so that all units "
        "learn the same.",
        "set units: 1 in the last layer",
        "set objective.loss=$loss and activation: softmax in the last layer",
    ),
    "classes-as-numbers": error(
        "The indices of more than two classes are names, not quantities: one output unit cannot predict them.",
        "set objective.loss=$loss, units: $units and activation: softmax in the last layer",
    ),
    "broadcast": error(
        "Labels and outputs have different shapes, and broadcasting would hide it: numbers would be compared with "
        "numbers of another row or column.",
        "set units: $units in the last layer, without another axis",
        "reshape the labels to $shape in the loss",
    ),
    "output-width": error(
        "The number of output units differs from the number of classes, or of real numbers, of the label.",
        "set units: $units in the last layer",
    ),
    "output-rank": error(
        "The output of a row has other axes than the label and the loss.",
        "pool or flatten the features, or set return_sequences: false, so that the last layer with units: $units gives "
        "one number per unit",
    ),
    "output-without-label": error(
        "Every output needs a label of the same name, and every label an output.",
        "name the outputs $labels",
    ),
    "label-dtype": error(
        "Class labels must be integers, since fractions would be truncated; all other labels must be real numbers.",
        "store the labels as $dtype",
    ),
    "real-labels-look-like-classes": warning(
        "All labels are whole numbers and few of them are different, like class indices.",
        "set data.label_kind=class if they are classes; nothing is wrong if they are counts or grades",
    ),
    "multi-label-looks-one-hot": warning(
        "Exactly one label of every row is true. Softmax and a categorical loss use this fact.",
        "set data.label_kind=one_hot",
    ),
    "unreachable-labels": error(
        "The last activation cannot give the values of these labels, however long it is trained.",
        "set activation: linear in the last layer",
        "scale the labels to the range of the activation",
    ),
    "log-of-negative": error(
        "The loss takes the logarithm of the output, which can be negative: the loss becomes NaN.",
        "set activation: softplus in the last layer",
    ),
    "clipped-outputs": warning(
        "The loss clips outputs below 0 before it takes their logarithm: such a row has no gradient.",
        "set activation: softplus in the last layer",
    ),
    "negative-labels": error(
        "The loss is defined for labels from 0 on. Negative labels are clipped, or the loss has no minimum.",
        "set objective.loss=$loss",
        "shift the labels",
    ),
    "zero-labels": error(
        "The loss divides by the label: a row whose label is 0 counts ten million times as much as another.",
        "set objective.loss=$loss",
    ),
    "hinge-one-sided": error(
        "A hinge loss takes scores on both sides of 0 for labels of -1 and 1; this output has one sign.",
        "set activation: tanh in the last layer",
        "set activation: linear in the last layer",
    ),
    "labels-not-signs": error(
        "A hinge loss takes labels of -1 and 1, or of 0 and 1.",
        "set objective.loss=$loss",
        "store the labels as -1 and 1 if they are two classes",
    ),
    "cosine-of-one": error(
        "The cosine between single numbers is only their sign: the output does not approach the label.",
        "set objective.loss=$loss",
    ),
    "not-unit-length": warning(
        "The loss compares directions, for which each row of the output must have length 1.",
        "add UnitNormalization as the last layer",
    ),
    "loss-needs-sequences": error(
        "The loss aligns sequences: it takes labels of shape (rows, length) and outputs of shape (rows, steps, "
        "classes).",
        "set objective.loss=$loss",
    ),
    "scores-not-probabilities": warning(
        "The calibration of the evaluation needs probabilities. Scores are mapped to the range 0 to 1, which keeps "
        "their order but not their meaning.",
        "set activation: $activation in the last layer if calibration matters",
    ),
    "loss-argument": error(
        "Outside its range the argument takes the labels, or the whole loss, out of the comparison.",
        "set objective.loss=$loss",
    ),
    "ignored-class": warning(
        "The loss leaves out the rows of this class, but the evaluation expects their predictions.",
        "set objective.loss=$loss",
        "remove the rows of the class",
    ),
    "class-weight-zero": warning(
        "Rows of this class do not count in the loss, but the evaluation expects their predictions.",
        "set objective.class_weight=balanced",
        "remove the rows of the class",
    ),
}

METRICS = {
    "accuracy-on-regression": error(
        "Accuracy is the share of equal values; two real numbers are hardly ever equal.",
        "set objective.metrics=$metrics",
    ),
    "metric-labels": error(
        "The metric takes labels in another form (class indices, one number per class, zeros and ones) and would "
        "compare numbers that do not belong together.",
        "set objective.metrics=$metrics",
    ),
    "metric-on-logits": error(
        "The thresholds or logarithms of the metric are for probabilities and the output is logits, or the reverse.",
        "set objective.metrics=$metrics",
        "end the model in an activation that gives what the metric takes",
    ),
    "metric-not-of-predictions": error(
        "The metric averages its first argument, which would be the labels.",
        "set objective.metrics=$metrics",
    ),
    "exact-accuracy": error(
        "keras.metrics.Accuracy is the share of outputs equal to the label, which probabilities never are.",
        "set objective.metrics=$metrics",
    ),
    "binary-accuracy-on-classes": warning(
        "Each class of a row is counted separately. With many classes nearly all of them are correct zeros, so that "
        "the value is high from the start.",
        "set objective.metrics=$metrics",
    ),
    "top-k-of-all": warning(
        "The correct class is always among as many guesses as there are classes.",
        "set objective.metrics=$metrics",
    ),
    "metric-of-several-numbers": error(
        "The metric gives one number per class; a log, a chart and the registry take one number.",
        "set objective.metrics=$metrics",
    ),
    "metric-tells-nothing": warning(
        "For these labels or outputs the metric is NaN, or a number that does not depend on the quality of the model.",
        "set objective.metrics=$metrics",
    ),
    "metric-fails": error("Keras raises an error for the metric on a real batch.", "set objective.metrics=$metrics"),
    "metric-broadcast": error(
        "The function returns a number for each pair of rows, and its mean depends on which rows are in a batch.",
        "reshape y_true to the shape of y_pred in the function, or the reverse",
        "set objective.metrics=$metrics",
    ),
    "metric-is-a-variable": error(
        "A result that is the variable itself changes with it: the logs of training would hold the value of the "
        "validation that follows.",
        "return a copy in the result of the metric, such as self.total + 0",
        "set objective.metrics=$metrics",
    ),
    "rare-class-accuracy": warning(
        "One class is far more frequent than another, and accuracy is the only metric: a model that always predicts "
        "the frequent class has a high one.",
        "set objective.metrics=$metrics",
    ),
    "imbalance-accuracy": warning(
        "One class is far more frequent than another, so that a model that always predicts it has a high accuracy. "
        "Accuracy does not show whether the rare class is learned.",
        "set objective.class_weight=balanced",
        "set $callback.monitor=val_loss",
    ),
}

SHAPES = {
    "input-shape": error(
        "An axis of the model's input has another size than the data.",
        "build the model's input with the shape $shape",
    ),
    "input-names": error("The features are given to the inputs of the same names.", "name the inputs $features"),
    "input-dtype": error(
        "Text cannot be cast to numbers, nor numbers to text.",
        "set data.numeric if the column holds numbers",
        "put StringLookup or TextVectorization before the model",
    ),
    "model-refuses-data": error(
        "Keras raises an error when the model is called on the data.", "change the layer that the error names"
    ),
    "mask-missing": error(
        "Short rows are padded, and no mask marks the padding: the prediction of a row changes with the length of the "
        "other rows in its batch.",
        "begin the model with the layers of inputs.preprocessing, the first of which masks padding",
        "set mask_zero: true in the Embedding",
    ),
    "mask-lost": error(
        "A layer drops the mask, so that the layers after it take the padding for data: the prediction of a row "
        "changes with the length of the other rows in its batch.",
        "replace the layer by one that passes the mask on",
    ),
    "padding-leaks": warning(
        "Short rows are padded, and the padding changes the prediction of a model in which no layer takes a mask. A "
        "convolution followed by max pooling is often used like this.",
        "end in a layer that takes a mask, such as GlobalAveragePooling1D",
        "cut all rows to one length",
    ),
    "batch-norm-of-one": error(
        "Mean and variance are those of a single value, so that the output is 0 for every input: the layers after it "
        "get no data.",
        "set training.batch_size=$batch_size",
        "replace the layer by LayerNormalization",
    ),
    "batch-norm-small": warning(
        "The mean and variance of a handful of values are mostly noise, and differ from the moving ones that "
        "prediction uses.",
        "set training.batch_size=$batch_size",
        "replace the layer by LayerNormalization or GroupNormalization",
    ),
    "last-batch-of-one": warning(
        "The last batch of an epoch has one row, which counts as much as a full batch. Batch normalization normalizes "
        "it by itself.",
        "set training.batch_size=$batch_size",
    ),
}

DATA = {
    "constant-feature": warning(
        "A column that has the same value in every training row holds no information. A Normalization only centres it: "
        "another value reaches the model as it is.",
        "remove the column",
    ),
    "unscaled-inputs": warning(
        "The first weights get columns that are constant, or far from mean 0 and standard deviation 1. Initial weights "
        "are made for such numbers, and the gradients grow and shrink with them.",
        "set model.preprocessing=$preprocessing",
    ),
    "rescaled-twice": warning(
        "The data is already small when a Rescaling divides it, as if it were pixels up to 255: the first weights get "
        "numbers near 0.",
        "set $option=$layers",
        "remove the Rescaling",
    ),
    "unscaled-labels": warning(
        "The model does not normalize this real label, and its numbers are far from mean 0 and standard deviation 1, "
        "where outputs begin. Training takes many steps to reach them.",
        "set data.normalize_labels=$normalize",
        "end the model in heads.outputs(self, spec, x), or in a layer with activation: linear for model=layers",
    ),
    "precision-lost": warning(
        "The feature is kept in float64, since float32 would merge its values. The model casts them to float32 "
        "before a layer removes their offset.",
        SCALE_INPUTS,
        "subtract a reference value in the data",
    ),
    "unknown-words": warning(
        "The model treats all words outside the vocabulary as one word. The vocabulary comes from the training rows.",
        "set model.vocabulary=$vocabulary",
        "set model.text_split=$text_split",
        "add training rows with these words",
    ),
    "label-leak": warning(
        "One input column alone determines the label. Such a column is often a copy of the label that is missing when "
        "predictions are made.",
        "remove the column, unless it is known when predictions are made",
    ),
    "rows-in-two-splits": error(
        "Rows of the training split are also in another split, far more often than if equal rows of the data were "
        "assigned to splits at random: the score measures memorization.",
        "remove the copies",
        "give the splits yourself, related rows in the same one",
    ),
    "repeated-rows": warning(
        "Some rows of the training split are also in another split, about as often as if equal rows of the data were "
        "assigned to splits at random.",
        "remove the copies, unless they are a coincidence, as in coarse data",
    ),
    "group-in-two-splits": warning(
        "The column looks like the name of a group, such as a patient, whose rows are related. A random split puts "
        "related rows into training and test, so that the score says little about new groups.",
        "set data.split.group=$group",
    ),
    "few-rows-weigh": warning(
        "A few rows hold nearly all of the weight: what the model learns, or its scores, depend on these rows alone. A "
        "weight is how much a row counts, not a value of the row.",
        "leave data.weight out if the column holds no weights",
        "lower the largest weights in the data",
    ),
    "constant-label": warning(
        "Every training row has the same number as its label: there is nothing to learn.",
        "choose another column as the label",
    ),
    "class-missing": warning(
        "The split has no row of a class, so that the class is not evaluated.",
        "use a larger share for the split",
        "add rows of the class",
        "leave data.split.stratify on",
    ),
    "channel-order": warning(
        "The images seem to have their channels in another axis than the convolutions expect.",
        "move the channels to the last axis of the arrays: images.transpose(0, 2, 3, 1)",
    ),
}

ARCHITECTURE = {
    "nothing-trains": error(
        "No variable is trainable: the model stays as it is.",
        "set trainable: true in the config of a layer that has weights",
    ),
    "takes-no-part": error(
        "The loss does not depend on these weights, so that no step changes them. The branch is not connected, the "
        "layer is never called, or stop_gradient, argmax or rounding follows it.",
        "connect the layer to an output that has a label",
        "remove the layer",
        "set trainable: false in its config",
    ),
    "layer-unused": warning("The layer was never built: the model does not call it.", "remove the layer, or call it"),
    "output-ignores-input": error(
        "Every row gets the same prediction: the output is not connected to an input, or the values on the way cancel "
        "out.",
        "connect the output to the model's input",
        "find a product with 0, a difference of equal tensors, a softmax of one unit, or dead units on the way",
    ),
    "input-unused": warning("No output depends on the feature.", "remove the feature, or connect it"),
    "no-training-flag": warning(
        "In a training step the layer behaved as in prediction, since it was called with training=False: dropout drew "
        "no random numbers, or a moving mean did not change. This is correct for a pre-trained part that must not "
        "change.",
        "pass `training` on to the layer in the model's call",
        "set trainable: false in the part that must not change",
    ),
    "dropout-on-outputs": error(
        "Dropout sets predictions to 0 at random: the loss compares them with the labels, and is computed of numbers "
        "that the saved model never gives.",
        "remove the layer",
        "put it before the last layer with weights",
    ),
    "units-alike": warning(
        "All units of the layer start with the same weights, and compute the same number. They differ only as far as "
        "the layers after them weigh them differently.",
        "set model.kernel_initializer=$initializer",
        "set kernel_initializer: glorot_uniform in the config of the layer",
    ),
    "linear-stack": warning(
        "No activation lies between the layers, so that together they compute what a single one does: the model is "
        "linear in its features.",
        "set model.activation=$activation",
        "set activation: relu in the config of every layer but the last",
        "remove the layers before the last",
    ),
    "batch-norm-momentum": warning(
        "The momentum is the share of the moving mean that a step keeps (PyTorch names 1 minus this share). At 1 "
        "the mean and variance that prediction uses never change; at a small one they are those of the last batch.",
        "set momentum: 0.99 in the config of the layer",
    ),
    "changed-after-compile": error(
        "The architecture is not the one that was compiled. The optimizer updates the variables that it was built for, "
        "and no others.",
        "call compile after the last change of layers or of `trainable`",
    ),
}

TRAINING = {
    "monitor-unknown": error(
        "No epoch logs the value that the callback monitors, so that it never acts.",
        "set $callback.monitor=$monitor",
    ),
    "monitor-mode": error(
        "The callback takes the worst epoch for the best: its mode is the opposite of the better direction.",
        "set $callback.mode=$mode",
    ),
    "monitor-direction": error(
        "Keras does not know whether a larger value is better, and raises an error at the end of the first epoch.",
        "set $callback.mode=$mode",
    ),
    "monitor-training": warning(
        "The value on the training rows improves as long as the model learns them by heart. Only other rows show when "
        "it stops to learn.",
        "set $callback.monitor=$monitor",
    ),
    "plateau-after-stopping": warning(
        "Both callbacks monitor the same value, and early stopping ends the run before, or when, the learning rate is "
        "first reduced.",
        "set training.plateau.patience=$patience",
        "set training.early_stopping.patience=$longer",
    ),
    "plateau-without-use": warning(
        "The reduced learning rate must lie between 0 and the present one, or nothing changes, or nothing is learned "
        "any more.",
        "set $option=$value",
    ),
    "patience-too-long": warning(
        "The patience is at least as long as the run, so that the callback never acts.",
        "set $callback.patience=$patience",
    ),
    "plateau-with-schedule": error(
        "ReduceLROnPlateau sets the learning rate, which is not possible with a schedule: Keras raises an error when "
        "the callback first acts.",
        "set training.plateau.patience=null",
        "use a constant learning rate",
    ),
    "schedule-shorter": warning(
        "The schedule ends long before the run, which then trains at the last learning rate.",
        "set $schedule.decay_steps=$decay_steps",
        "lower $schedule.boundaries below $steps",
    ),
    "schedule-longer": warning(
        "The run ends before the schedule.",
        "set $schedule.decay_steps=$decay_steps",
        "set $schedule.warmup_steps=$warmup_steps $schedule.decay_steps=$remaining_steps",
        "lower $schedule.boundaries below $steps",
    ),
    "jit-left-out": error(
        "Under op determinism, or with a layer that XLA does not support, Keras compiles no step with XLA and does not "
        "report it.",
        "set determinism=relaxed",
        "set training.jit=never",
    ),
    "jit-refused": error(
        "XLA cannot compile an operation of the step, and reports it only when the first step runs.",
        "set training.jit=never",
    ),
    "float16-without-loss-scale": error(
        "Gradients below 6e-8 are 0 in float16. Without a scaled loss many of them vanish.",
        "set training.precision=mixed_float16, which scales the loss",
        "set training.precision=mixed_bfloat16, which needs no scaling",
    ),
    "learning-rate-zero": error(
        "With a learning rate of 0 nothing changes; with a negative one the loss increases.",
        "set $option=$learning_rate",
    ),
    "learning-rate-range": warning(
        "Few models learn with this optimizer at such a learning rate.",
        "set $option=$learning_rate",
    ),
    "optimizer-argument": error(
        "Outside its range the argument cannot do what it is for: averages grow without limit, or gradients are "
        "removed or reversed.",
        "set $option=$value",
    ),
    "accumulation-exceeds-run": error(
        "The optimizer changes the weights once per so many steps, and the run has fewer: the weights stay as they "
        "are.",
        "set $option=$value",
    ),
    "weight-decay-large": warning(
        "Each step subtracts this share of every weight, so that within some steps the model forgets what it learned.",
        "set $option=$value",
    ),
    "batch-exceeds-data": warning(
        "The batch is larger than the training split: an epoch is a single step.",
        "set training.batch_size=$batch_size",
    ),
    "few-steps": warning(
        "The whole run makes only a handful of updates.",
        "set training.epochs=$epochs",
        "lower training.batch_size",
    ),
    "steps-per-execution": warning(
        "One call makes more steps than an epoch has: the calls are cut short and compiled again.",
        "set training.steps_per_execution=$steps",
    ),
}

FIRST_STEP = {
    "step-fails": error(
        "Keras or TensorFlow raises an error in the first training step on a real batch.",
        "correct the layer, loss or line that the error names",
    ),
    "loss-not-finite": error(
        "The loss of the first batch is NaN or infinite, and so is every weight after one step.",
        "scale the inputs and the labels, and check that the last activation fits the loss",
    ),
    "gradient-not-finite": error(
        "A gradient of the first batch is NaN or infinite, and so are the weights after one step.",
        "find a division, root or logarithm at 0 after these weights",
    ),
    "gradient-zero": warning(
        "The gradient of the first batch is 0 everywhere: the units are dead or saturated. This is correct for a "
        "branch that starts at 0 on purpose.",
        "set model.kernel_initializer=he_normal",
        "scale the inputs",
    ),
    "gradient-vanishes": warning(
        "The gradient of these weights is less than a billionth of the model's largest: they do not change while "
        "others learn. Many saturating layers in a row (sigmoid, tanh) cause it.",
        "set activation: relu or gelu",
        "put a normalization between the layers",
        "use residual connections",
    ),
    "weights-erased": error(
        "One update removes nearly all of these weights. A constraint of norm 0, or weight decay of everything, does "
        "this.",
        "remove the constraint of the layer, or set its max_value: 3",
        "set $option=$value",
    ),
    "update-without-effect": error(
        "All updates of the run together change the weights by less than a hundred-thousandth of their size. Clipping "
        "to almost nothing, a large epsilon and a small learning rate do this.",
        "set $option=$value",
    ),
    "penalty-dominates": warning(
        "The regularizers pull the weights towards 0 far more strongly than the loss moves them: the model forgets its "
        "input.",
        "multiply the factors of the regularizers by $factor",
    ),
    "update-not-finite": error(
        "After one update a variable is NaN or infinite.",
        "lower optimizer.learning_rate",
    ),
    "initial-loss": warning(
        "Before training, the loss of a classifier should be near that of equal guessing: ln C for C classes. Another "
        "value is a sign of unscaled inputs, large initial weights, or labels that leak.",
        SCALE_INPUTS,
        "use a smaller initializer for the last layer",
    ),
    "memory": error(
        "The estimated peak of the step is more than the memory of the device.",
        "lower training.batch_size",
        "set training.precision=mixed_bfloat16",
    ),
    "memory-tight": warning(
        "The estimated peak of the step is near the memory of the device. The workspaces of the kernels are not part "
        "of the estimate.",
        "lower training.batch_size",
    ),
    "not-deterministic": error(
        "With determinism=strict this GPU refuses the operation: it has no deterministic kernel.",
        "use $alternative",
        "set determinism=relaxed",
    ),
    "determinism-unproved": warning(
        "TensorFlow has no deterministic GPU kernel for this operation and refuses it with determinism=strict. This "
        "machine has no GPU to test it on.",
        "use $alternative",
        "set determinism=relaxed",
        "set device=cpu",
    ),
}

SECTIONS = {
    "Loss, last activation and labels": LOSS,
    "Metrics": METRICS,
    "Shapes and masks": SHAPES,
    "Data": DATA,
    "Architecture": ARCHITECTURE,
    "Training": TRAINING,
    "The first training step": FIRST_STEP,
}
CATALOGUE = {code: entry for section in SECTIONS.values() for code, entry in section.items()}


def markdown() -> str:
    """Return the catalogue as the page docs/preflight.md."""
    lines = [
        "# Findings of preflight",
        "",
        "`python -m pipeline check` checks a config and its data without training. `train` always does so first. An",
        "error ends the command with status 2; a warning is printed once. `preflight.ignore=[CODE, ...]` accepts",
        "findings, and the record of the run names them. A word in capitals stands for a value that the message",
        "fills in. Generated from `pipeline/preflight/catalogue.py`; do not edit.",
    ]
    for title, section in SECTIONS.items():
        lines += ["", f"## {title}"]
        for code, entry in section.items():
            lines += ["", f"### {code}", "", f"*{entry.severity}.* {entry.explanation}"]
            lines += ["", f"Fix: {entry.general_fix()}"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")

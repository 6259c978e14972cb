"""Every finding there is: its stable code, how sure it is, why it is wrong, and what usually mends it.

python -m pipeline.preflight.catalogue > docs/preflight.md
"""

from dataclasses import dataclass

ERROR, WARNING = "error", "warning"


@dataclass(frozen=True)
class Entry:
    """severity: ERROR where the set-up cannot do what was meant, WARNING where it may. why: one or two sentences.
    mend: the usual remedy."""

    severity: str
    why: str
    mend: str


def error(why, mend):
    return Entry(ERROR, why, mend)


def warning(why, mend):
    return Entry(WARNING, why, mend)


LOSS = {
    "logits-as-probabilities": error(
        "The loss takes probabilities, and nothing keeps the output between 0 and 1: its logarithm is clipped, and "
        "clipped rows teach nothing.",
        "End the model in softmax or sigmoid, or set from_logits: true in objective.loss.",
    ),
    "probabilities-as-logits": error(
        "The loss applies softmax or sigmoid by itself. Applied twice, it flattens the gradients, and no prediction "
        "can come near 0 or 1.",
        "Set from_logits: false in objective.loss, or take the activation off the last layer.",
    ),
    "log-probabilities": error(
        "The output is never above 0, as logarithms of probabilities are; the loss takes the probabilities themselves.",
        "Replace log_softmax by softmax, or set from_logits: true.",
    ),
    "one-sided-logits": warning(
        "Logits of one sign only: a unit can speak for its class but never against it (or the reverse), and where a "
        "relu is at 0 it does not learn.",
        "Take the activation off the last layer.",
    ),
    "bounded-logits": warning(
        "Logits that cannot leave a narrow range put a floor under the loss: no probability can come near 0 or 1.",
        "Take the activation off the last layer.",
    ),
    "sigmoid-with-categorical": error(
        "A categorical loss takes one distribution over the classes; sigmoids are one each, and do not sum to 1. "
        "Keras rescales them inside the loss, so what is trained is not what the saved model says.",
        "End the model in softmax, or take a binary loss for labels that do not exclude each other.",
    ),
    "softmax-axis": error(
        "The softmax does not run over the classes: a row's outputs do not sum to 1.",
        "Let the softmax run over the last axis: axis: -1.",
    ),
    "softmax-of-one": error(
        "The softmax of a single unit is 1, whatever the input: there is nothing to learn.",
        "One unit takes a sigmoid and a binary loss; a softmax takes a unit a class.",
    ),
    "softmax-on-multi-label": error(
        "Several labels can hold at once, but softmax outputs share a sum of 1: two true labels cannot both reach 1.",
        "End the model in sigmoid.",
    ),
    "binary-loss-over-softmax": warning(
        "A binary loss judges each class by itself, while softmax ties them together. It trains, but the loss is not "
        "the likelihood of the classes.",
        "objective.loss=categorical_crossentropy",
    ),
    "one-hot-with-sigmoid": warning(
        "Each row belongs to one class, and each class is judged by itself: the outputs need not sum to 1 and are no "
        "distribution. One-against-rest is a choice; make sure that it is yours.",
        "End the model in softmax and set objective.loss=categorical_crossentropy.",
    ),
    "distance-on-classes": warning(
        "A distance between labels and outputs (squared, absolute, cosine...) is no likelihood: the gradient of a "
        "confidently wrong row vanishes. It is used on purpose in label-smoothing and calibration studies.",
        "Take the cross-entropy of the label's kind; objective.loss=null picks it.",
    ),
    "integer-labels": error(
        "The loss compares a row of numbers, one a class, with a label that is a single class index.",
        "Take the sparse form of the loss: objective.loss=sparse_categorical_crossentropy.",
    ),
    "one-hot-labels": error(
        "The loss takes class indices; the labels are rows of numbers, one a class.",
        "objective.loss=categorical_crossentropy",
    ),
    "multi-label-with-categorical": error(
        "A categorical loss takes rows that sum to 1; here any number of labels can hold at once.",
        "objective.loss=binary_crossentropy, and end the model in sigmoid.",
    ),
    "real-labels": error(
        "The loss is for classes; the labels are real numbers, which it would cut down to whole ones or read as "
        "probabilities.",
        "objective.loss=mean_squared_error, or declare the labels as classes.",
    ),
    "one-unit-categorical": error(
        "A categorical loss compares classes, and one output unit leaves nothing to compare.",
        "Give the last layer a unit a class; or, for two classes, one sigmoid unit and objective.loss="
        "binary_crossentropy.",
    ),
    "two-units-binary": error(
        "The labels are one number a row, 0 or 1; a binary loss would repeat it over both units, which then learn the "
        "same thing.",
        "One sigmoid unit, or two softmax units with objective.loss=sparse_categorical_crossentropy.",
    ),
    "classes-as-numbers": error(
        "The indices of more than two classes are names, not quantities: one output unit cannot tell them apart.",
        "Give the last layer a unit a class and leave objective.loss to null.",
    ),
    "broadcast": error(
        "The shapes of labels and outputs differ, and broadcasting would hide it: every number would be compared "
        "with others than its own.",
        "Give the last layer as many units as the label is wide, and no other axis.",
    ),
    "output-width": error(
        "The output has another number of units than the label has classes or numbers: some could not be predicted, "
        "or some units would belong to none.",
        "Set units in the last layer to the label's width.",
    ),
    "output-rank": error(
        "The output of a row has more axes than the loss and the label know.",
        "End the model in a layer that gives one number a unit: pool, flatten, or return_sequences: false.",
    ),
    "output-without-label": error(
        "The data has no label by this name, so nothing would train the output; or a label has no output.",
        "Name the outputs after the labels.",
    ),
    "label-out-of-range": error(
        "A class index outside the outputs gives a loss of NaN, or on a GPU one that is quietly 0.",
        "Count the classes from 0, and give the last layer a unit a class.",
    ),
    "label-dtype": error(
        "Class indices must be whole numbers; fractions would be cut off without a word.",
        "Store class labels as integers, or declare the label real.",
    ),
    "labels-not-distributions": error(
        "The loss takes rows of probabilities; these do not sum to 1 or leave 0 to 1.",
        "Normalise the label rows, or declare the label multi_label or real.",
    ),
    "real-labels-look-like-classes": warning(
        "All labels are whole numbers and there are only a few different ones: they look like classes.",
        "data.label_kind=class where they are; nothing where they are counts or grades.",
    ),
    "multi-label-looks-one-hot": warning(
        "Every row holds exactly one label: the labels exclude each other, which softmax and a categorical loss use.",
        "data.label_kind=one_hot",
    ),
    "unreachable-labels": error(
        "The last activation cannot give the values of these labels, however long it trains.",
        "End the model without an activation, or scale the labels into its range.",
    ),
    "log-of-negative": error(
        "The loss takes the logarithm of the output, and the output can be negative: the loss becomes NaN.",
        "End the model in softplus or exponential.",
    ),
    "clipped-outputs": warning(
        "The loss takes a logarithm and clips outputs below 0 first: a row that falls there no longer learns.",
        "End the model in softplus or relu.",
    ),
    "negative-labels": error(
        "The loss is defined for labels from 0 on; negative ones are clipped or give a loss without a minimum.",
        "objective.loss=mean_squared_error, or shift the labels.",
    ),
    "zero-labels": error(
        "The loss divides by the label: rows whose label is 0 weigh ten million times as much as others.",
        "objective.loss=mean_absolute_error",
    ),
    "hinge-one-sided": error(
        "A hinge loss takes scores on both sides of 0, with labels -1 and 1; this output stays on one side.",
        "End the model in tanh or without an activation.",
    ),
    "labels-not-signs": error(
        "A hinge loss takes labels -1 and 1, or 0 and 1.",
        "objective.loss=mean_squared_error, or declare the labels as what they are.",
    ),
    "cosine-of-one": error(
        "Between single numbers a cosine is only their sign: nothing pulls the output to the label.",
        "objective.loss=mean_squared_error",
    ),
    "not-unit-length": warning(
        "The loss compares directions and takes output rows of length 1; these are not.",
        "End the model in UnitNormalization.",
    ),
    "loss-needs-sequences": error(
        "The loss aligns sequences: it takes labels (rows, length) and outputs (rows, steps, classes).",
        "Take a loss for the label's kind; objective.loss=null picks it.",
    ),
    "scores-not-probabilities": warning(
        "The evaluation's calibration takes probabilities; scores are squashed into 0 to 1 for it, which keeps their "
        "order and not their meaning.",
        "End the model in softmax or sigmoid where calibration matters.",
    ),
    "class-weight-absent": error(
        "A weight for a class that no training row has changes nothing, so it is not the class that was meant.",
        "objective.class_weight=balanced, or a list in the order of the classes.",
    ),
    "class-weight-zero": warning(
        "Rows of this class count for nothing in the loss, while the evaluation asks for them.",
        "objective.class_weight=balanced, or leave the class out of the data.",
    ),
}

METRICS = {
    "accuracy-on-regression": error(
        "Accuracy counts equal answers; two real numbers are hardly ever equal.",
        "objective.metrics=[mean_absolute_error]",
    ),
    "metric-labels": error(
        "The metric takes labels of another form (indices, rows a class, zeros and ones) than these, and would "
        "compare the wrong things.",
        "objective.metrics=[accuracy] picks the one that fits the label.",
    ),
    "metric-on-logits": error(
        "The metric's thresholds or logarithms are of probabilities, and the output is logits; or the reverse.",
        "Set from_logits in the metric as in the loss, thresholds: 0 where it has none, or end the model in an "
        "activation.",
    ),
    "metric-not-of-predictions": error(
        "The metric averages its first argument; called with labels and outputs it would average the labels.",
        "Take a metric that compares labels with outputs.",
    ),
    "exact-accuracy": error(
        "keras.metrics.Accuracy counts outputs that equal the label exactly, which probabilities never do.",
        "objective.metrics=[accuracy]",
    ),
    "binary-accuracy-on-classes": warning(
        "Each class of a row is counted by itself: with many classes nearly all are right zeros, and the number is "
        "high from the start.",
        "objective.metrics=[accuracy]",
    ),
    "top-k-of-all": warning(
        "Among as many guesses as there are classes the right one is always found.",
        "Take a smaller k.",
    ),
    "metric-of-several-numbers": error(
        "The metric gives a number a class; a log, a chart and the registry take one.",
        "Average it: {class_name: F1Score, config: {average: macro}}.",
    ),
    "metric-tells-nothing": warning(
        "On such labels or outputs the metric is NaN, or a number that does not say how good the model is.",
        "objective.metrics=[mean_absolute_error] for real labels, [accuracy] for others.",
    ),
    "metric-fails": error("Keras refuses the metric on a real batch.", "See what Keras says."),
    "imbalance-accuracy": warning(
        "With one class far more frequent than another, always answering it scores well: plain accuracy does not show "
        "whether the rare class is learned.",
        "Watch val_loss, add a metric such as AUC or F1Score, or set objective.class_weight=balanced.",
    ),
}

SHAPES = {
    "input-shape": error(
        "An axis of the model's input has another size than the data.",
        "Build the model on the data's shape, or reshape the data.",
    ),
    "input-names": error(
        "The model's inputs are found by the names of the features.", "Name the inputs after the features."
    ),
    "input-dtype": error(
        "Text cannot be cast to numbers, nor numbers to text.",
        "Put StringLookup or TextVectorization in front, or name the column under data.numeric.",
    ),
    "model-refuses-data": error("Keras refuses the model on the data's shapes.", "See what Keras says."),
    "mask-missing": error(
        "Rows of different lengths are filled up, and no mask tells the layers which steps are filling: a row's "
        "prediction changes with the length of its neighbours in the batch.",
        "Put {class_name: Masking, config: {mask_value: 0}} in front, or mask_zero: true in the Embedding.",
    ),
    "mask-lost": error(
        "A layer on the way drops the mask, so that the layers behind it take the filling for data: a row's "
        "prediction changes with the length of its neighbours in the batch.",
        "Replace the layer by one that hands the mask on, or mask again behind it.",
    ),
    "padding-leaks": warning(
        "Rows of different lengths are filled up and the filling changes the prediction, in a model none of whose "
        "layers takes a mask. A convolution with max pooling is often used so.",
        "End in a layer that takes a mask, such as GlobalAveragePooling1D, or cut all rows to one length.",
    ),
    "batch-norm-of-one": error(
        "The mean and variance are taken over a single value, so that whatever comes in, 0 goes out: nothing behind "
        "the layer sees the data.",
        "Raise training.batch_size, or take LayerNormalization.",
    ),
    "batch-norm-small": warning(
        "Means and variances over a handful of values are mostly noise, and differ from the moving ones that "
        "prediction uses.",
        "Raise training.batch_size to 16 or more, or take LayerNormalization or GroupNormalization.",
    ),
    "last-batch-of-one": warning(
        "The last batch of an epoch holds one row, which weighs as much as a whole batch; in a batch normalisation it "
        "is normalised by itself.",
        "Choose a training.batch_size that leaves another remainder.",
    ),
}

DATA = {
    "not-finite": error(
        "One NaN or infinity turns the loss, then every weight, into NaN.",
        "Remove the rows or fill the values in; for CSV, data.missing_values=impute.",
    ),
    "constant-feature": warning(
        "The same number in every training row carries no information, and normalising it divides by 0.",
        "Leave the column out.",
    ),
    "unscaled-inputs": warning(
        "Numbers far from 0 or far larger than 1 reach the first weights: gradients grow with them and initial "
        "weights are made for numbers around 1.",
        "'model.preprocessing=[{class_name: Normalization, config: {axis: -1}}]'",
    ),
    "label-leak": warning(
        "One input column tells the label by itself. Such a column is often the label in disguise, and missing when "
        "it counts.",
        "Leave the column out, unless it is known when predictions are made.",
    ),
    "rows-in-two-splits": error(
        "Rows of the training split are in another split, far more often than rows repeat within training: the score "
        "measures memory.",
        "Remove the copies, or split by group before.",
    ),
    "repeated-rows": warning(
        "Some rows of the training split are also in another split, about as often as rows repeat within training.",
        "Remove the copies if they are not chance, as they can be in coarse data.",
    ),
    "class-missing": warning(
        "A class without rows in a split is not judged there.",
        "data.split.stratify=true, or larger shares.",
    ),
    "class-untrained": error("A class without training rows cannot be learned.", "Add rows, or leave the class out."),
    "channel-order": warning(
        "The images look as if their channels were stored in another axis than the convolutions take them from.",
        "Move the channels to the last axis of the arrays: images.transpose(0, 2, 3, 1).",
    ),
}

ARCHITECTURE = {
    "nothing-trains": error(
        "No variable is trainable: every epoch would leave the model as it is.", "Set trainable: true in some layer."
    ),
    "takes-no-part": error(
        "The loss does not depend on these weights, so no step moves them: a dead branch, a layer that is never "
        "called, or a cut (stop_gradient, argmax, rounding) behind them.",
        "Connect the layer to an output with a label, remove it, or set trainable: false.",
    ),
    "layer-unused": warning("The layer was never built: no call of the model reaches it.", "Remove it, or call it."),
    "output-ignores-input": error(
        "Every row gets the same prediction: no path leads from the input to this output, or what comes along it is "
        "cancelled.",
        "Connect the output to the input.",
    ),
    "input-unused": warning("No path leads from this feature to any output.", "Leave the feature out, or connect it."),
    "no-training-flag": warning(
        "In a training step the layer behaved as in prediction: dropout drew no random numbers, or a moving mean "
        "did not move, since the layer was called with training=False. A pre-trained part is sometimes kept so on "
        "purpose.",
        "Pass `training` on in the model's own `call`; or set trainable: false in the part that is to stay as it is.",
    ),
    "changed-after-compile": error(
        "The architecture is not the one that was compiled: the optimizer moves the variables it was built for, the "
        "others stay.",
        "Compile after the last change to layers or `trainable`.",
    ),
}

TRAINING = {
    "monitor-unknown": error("No epoch logs what the callback watches, so it would never act.", "See the known names."),
    "monitor-mode": error(
        "The callback takes the worst epoch for the best: the mode says the other direction than the metric's.",
        "Set mode: auto, or the direction of the metric.",
    ),
    "monitor-direction": error(
        "Keras does not know whether this metric should rise or fall, and raises at the end of the first epoch.",
        "Set the callback's mode to min or max.",
    ),
    "patience-too-long": warning(
        "The callback waits longer than the run lasts, so it never acts.", "Lower patience or raise training.epochs."
    ),
    "plateau-with-schedule": error(
        "ReduceLROnPlateau sets the learning rate, and a schedule does not let it: Keras raises when it first acts.",
        "training.plateau.patience=null, or optimizer.schedule.name=constant and optimizer.schedule.warmup_steps=0.",
    ),
    "schedule-shorter": warning(
        "The schedule has reached its end long before the run does; the rest trains at its last learning rate.",
        "optimizer.schedule.decay_steps=null: the schedule lasts the whole run.",
    ),
    "schedule-longer": warning(
        "The run ends before the schedule has come down.",
        "optimizer.schedule.decay_steps=null: the schedule lasts the whole run.",
    ),
    "jit-left-out": error(
        "Keras compiles no step with XLA under op determinism, or with a layer that XLA does not support, and says "
        "nothing.",
        "determinism=relaxed, or training.jit=never",
    ),
    "jit-refused": error(
        "XLA cannot compile an operation of the step, and says so only when the first step is run.",
        "training.jit=never, or auto, which leaves such layers out.",
    ),
    "float16-without-loss-scale": error(
        "Gradients below 6e-8 are 0 in float16; without a scaled loss many of them vanish.",
        "training.precision=mixed_float16, which scales the loss, or mixed_bfloat16, which need not.",
    ),
    "learning-rate-zero": error("A learning rate of 0 moves nothing; a negative one climbs.", "Set a positive one."),
    "learning-rate-range": warning(
        "Few models learn with this optimizer at such a learning rate.",
        "optimizer.learning_rate=..., within the range named.",
    ),
    "batch-exceeds-data": warning(
        "The batch is larger than the training split: an epoch is a single step.", "Lower training.batch_size."
    ),
    "few-steps": warning(
        "The whole run makes only a handful of updates.", "Raise training.epochs or lower training.batch_size."
    ),
    "steps-per-execution": warning(
        "More steps in one call than an epoch has: the calls are cut short and compiled again.",
        "Lower training.steps_per_execution.",
    ),
    "steps-against-rows": error(
        "The steps of an epoch do not add up to the rows of the training split: some are left out, or seen twice.",
        "Feed the rows once: ceil(rows / batch_size) steps.",
    ),
}

TRIAL = {
    "step-fails": error("Keras refuses the first training step on a real batch.", "See what Keras says."),
    "loss-not-finite": error(
        "The loss of the first batch is no finite number; so will be every weight after one step.",
        "Scale inputs and labels, and see that the output fits the loss.",
    ),
    "gradient-not-finite": error(
        "A gradient of the first batch is no finite number; so will be the weights after one step.",
        "Look for a division, root or logarithm at 0 behind these weights.",
    ),
    "gradient-zero": warning(
        "The gradient of the first batch is 0 everywhere: dead units, saturated activations, or a branch that starts "
        "at 0 on purpose.",
        "Lower the learning rate or inputs that saturate, or take another initializer.",
    ),
    "gradient-vanishes": warning(
        "On its way back the gradient has shrunk a billionfold: these weights stay what they are while others learn. "
        "Many saturating layers in a row (sigmoid, tanh) do that.",
        "Take relu or gelu, a normalisation between the layers, or residual connections.",
    ),
    "update-not-finite": error("After one update a variable is no finite number.", "Lower optimizer.learning_rate."),
    "initial-loss": warning(
        "Before training, a classifier knows nothing and its loss should be near that of equal guessing (ln C for C "
        "classes). Another value tells of a confident start: unscaled inputs, large initial weights, or labels that "
        "leak.",
        "Normalise the inputs, or take a smaller initializer for the last layer.",
    ),
    "memory": error(
        "The step's estimated peak does not fit the device's memory.",
        "Lower training.batch_size, or take training.precision=mixed_bfloat16.",
    ),
    "memory-tight": warning(
        "The step's estimated peak is close to the device's memory; the estimate leaves out kernels' workspaces.",
        "Lower training.batch_size.",
    ),
    "not-deterministic": error(
        "Under determinism=strict the step was refused on this GPU: the operation has no deterministic kernel.",
        "Replace the layer by the alternative named, or set determinism=relaxed.",
    ),
    "determinism-unproved": warning(
        "TensorFlow has no deterministic GPU kernel for this operation and refuses it under determinism=strict. No "
        "GPU was there to try it.",
        "Replace the layer by the alternative named, set determinism=relaxed, or stay with device=cpu.",
    ),
}

SECTIONS = {
    "Loss, last activation and labels": LOSS,
    "Metrics": METRICS,
    "Shapes and masks": SHAPES,
    "Data": DATA,
    "Architecture": ARCHITECTURE,
    "Training": TRAINING,
    "The first step, tried": TRIAL,
}
CATALOGUE = {code: entry for section in SECTIONS.values() for code, entry in section.items()}


def markdown():
    """The catalogue as the page docs/preflight.md."""
    lines = [
        "# What preflight finds",
        "",
        "`python -m pipeline check` looks at a set-up without training it; `train` always does so first. An error",
        "ends the command with status 2, a warning is printed once. `preflight.ignore=[CODE, ...]` lets findings",
        "pass, and the run's record says so. Made from `pipeline/preflight/catalogue.py`; do not edit.",
    ]
    for title, section in SECTIONS.items():
        lines += ["", f"## {title}"]
        for code, entry in section.items():
            lines += ["", f"### {code}", "", f"*{entry.severity}.* {entry.why}", "", f"Mend: {entry.mend}"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")

"""Names in the config that Keras, or preflight, owns: looked up before any data is read."""

import keras

from pipeline import keras_objects
from pipeline.errors import ConfigError, nearest
from pipeline.models.gan import Gan
from pipeline.objectives.adversarial import AdversarialOptions
from pipeline.objectives.supervised import SupervisedOptions
from pipeline.preflight.catalogue import CATALOGUE
from pipeline.training import adversarial
from pipeline.training.fit import Fit
from pipeline.training.optimizer import build_optimizer


def check(config):
    """Look up every name in the config that Keras or the catalogue of findings owns.

    Raises ConfigError naming the key, what does not exist, and the nearest that does.
    """
    for code in config.preflight.ignore:
        if code not in CATALOGUE:
            raise ConfigError(f"preflight.ignore: there is no finding {code!r}. {nearest(code, CATALOGUE)}")
    for key in ("kernel_initializer", "bias_initializer", "recurrent_initializer"):
        if hasattr(config.model, key):
            keras_objects.initializer(f"model.{key}", getattr(config.model, key))
    for key in ("activation", "recurrent_activation"):
        if hasattr(config.model, key):
            keras_objects.activation(f"model.{key}", getattr(config.model, key))
    for key in ("preprocessing", "layers"):
        for layer in getattr(config.model, key, []):
            keras_objects.layer(f"model.{key}", layer)
    build_optimizer(config.optimizer, total_steps=1)
    match config.objective:
        case AdversarialOptions():
            build_optimizer(adversarial.critic_optimizer(config), 1, "objective.critic_optimizer")
        case SupervisedOptions() as objective:
            for key, loss in objective.losses().items():
                if loss is not None:
                    keras_objects.loss(key, loss)
            for key, metrics in objective.metric_lists().items():
                for metric in metrics or []:
                    keras_objects.metric(key, metric)
    if isinstance(config.training, Fit) and type(config.objective) is not SupervisedOptions:
        raise ConfigError(
            f"training=fit: expected objective=supervised, since Keras's fit knows no other; found objective="
            f"{config.objective.choice}. Take training=tape."
        )
    if isinstance(config.training, Fit) and config.regularization:
        raise ConfigError("regularization: expected training=tape, since Keras's fit knows none; found training=fit.")
    check_regularization(config)
    if isinstance(config.model, Gan) != isinstance(config.objective, AdversarialOptions):
        raise ConfigError(
            f"objective={config.objective.choice}, model={config.model.choice}: expected objective=adversarial and "
            "model=gan together: an adversarial objective needs a generator and a critic, and no other one trains them."
        )
    # what was made only to be looked at shall not count up the names of the real ones
    keras.backend.clear_session(free_memory=False)


def check_regularization(config):
    """Raise ConfigError for a regulariser that has no meaning for the objective."""
    asked, objective = config.regularization, config.objective.choice
    if asked.mixup and not isinstance(config.objective, SupervisedOptions):
        raise ConfigError(
            "regularization.mixup: expected an objective with labels, which are mixed with the rows; found objective="
            f"{objective}. Set regularization.mixup=0."
        )
    if asked.gradient_penalty and isinstance(config.objective, AdversarialOptions):
        raise ConfigError(
            "regularization.gradient_penalty: expected an objective all of whose losses depend on the batch's inputs; "
            "found objective=adversarial, whose generator sees none. The critic's slope is held by "
            "objective.loss=wgan_gp and objective.gradient_penalty."
        )

"""Adversarial learning: a critic tells real images from generated ones, a generator learns to pass its judgement."""

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from pipeline.data import input_pipeline
from pipeline.layers import architecture
from pipeline.layers.generative_adversarial_network import sample_generator
from pipeline.layers.image_judge import ImageJudge, frechet_distance
from pipeline.training import jit
from pipeline.training.epoch_metrics import add_means
from pipeline.training.objective import Objective, Update, with_batch_callbacks
from pipeline.training.optimizer import Optimizer
from pipeline.training.sample_grid import SampleGrid

JUDGE_BATCH, JUDGE_STEPS, JUDGE_SEED = 128, 1_000, 0
TINY = 1e-12  # under the root of a squared norm, whose slope at 0 is infinite


class Adversarial(Objective):
    """Some moves of the critic, then one of the generator, on each batch.

    non_saturating: softplus(-D(real)) + softplus(D(fake)) against softplus(-D(fake)) (Goodfellow et al. 2014, 3).
    wgan_gp: mean D(fake) - mean D(real) + penalty (|gradient of D at a point between the two| - 1)^2 against
    -mean D(fake) (Gulrajani et al. 2017, algorithm 1).

    config: a config.Adversarial. model: a models.adversarial.GenerativeAdversarialNetwork. critic_optimizer: a Keras
    optimizer. judge: a function that trains the ImageJudge which epochs are validated by, called only if there is a
    validation.
    """

    def __init__(self, config, spec, model, critic_optimizer, judge):
        self.config = config
        self.spec = spec
        self.model = model
        self.critic_optimizer = critic_optimizer
        self.train_judge = judge
        self.judge = None

    def compile(self, optimizer, training):
        self.jit = jit.chosen(training, self.model)
        self.model.compile(optimizer=optimizer, steps_per_execution=training.steps_per_execution, jit_compile=False)
        if isinstance(self.model.optimizer, keras.optimizers.LossScaleOptimizer):  # as Keras decides by the precision
            self.critic_optimizer = keras.optimizers.LossScaleOptimizer(self.critic_optimizer)
        self.model.optimizer.build(self.model.generator.trainable_variables)
        self.critic_optimizer.build(self.model.critic.trainable_variables)
        self.means = add_means(self.model, self.log_names())
        self.architecture = architecture.digest(self.model)  # preflight holds what is trained against it

    def updates(self):
        critic, generator = self.model.critic.trainable_variables, self.model.generator.trainable_variables
        steps = self.config.critic_steps
        names = [f"critic_{step + 1}" for step in range(steps)] if steps > 1 else ["critic"]
        return [
            *(Update(name, self.critic_losses, critic, self.critic_optimizer) for name in names),
            Update("generator", self.generator_losses, generator, self.model.optimizer),
        ]

    def log_names(self):
        penalty = ["gradient_penalty"] if self.config.loss == "wgan_gp" else []
        return ["loss", "critic_loss", *penalty, "generator_loss"]

    def validation_names(self):
        return ["accuracy", "frechet_distance"]

    def critic_losses(self, batch):
        """See Update; the penalty comes with its weight."""
        images, labels = batch
        asked = self.model.one_hot(labels)
        real, fake = self.model.preprocess(images), self.model.preprocess(self.model.draw(asked))
        on_real, on_fake = self.model.criticise(real, asked), self.model.criticise(fake, asked)
        if self.config.loss == "non_saturating":
            return {"critic_loss": ops.mean(ops.softplus(-on_real)) + ops.mean(ops.softplus(on_fake))}, None
        penalty = self.config.gradient_penalty * self.gradient_penalty(real, fake, asked)
        return {"critic_loss": ops.mean(on_fake) - ops.mean(on_real), "gradient_penalty": penalty}, None

    def gradient_penalty(self, real, fake, asked):
        """The mean squared distance from 1 of the norm of the critic's gradient, at a random point between each pair of
        preprocessed images (Gulrajani et al. 2017)."""
        one_each = (ops.shape(real)[0], *[1] * (len(real.shape) - 1))
        share = keras.random.uniform(one_each, dtype=real.dtype, seed=self.model.seed_generator)
        between = share * real + (1 - share) * fake
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(between)
            verdict = self.model.criticise(between, asked)
        grad = tape.gradient(verdict, between)
        norm = ops.sqrt(ops.sum(ops.square(grad), axis=tuple(range(1, len(grad.shape)))) + TINY)
        return ops.mean(ops.square(norm - 1))

    def generator_losses(self, batch):
        """See Update."""
        _, labels = batch
        asked = self.model.one_hot(labels)
        verdict = self.model.criticise(self.model.preprocess(self.model.draw(asked)), asked)
        if self.config.loss == "non_saturating":
            return {"generator_loss": ops.mean(ops.softplus(-verdict))}, None
        return {"generator_loss": -ops.mean(verdict)}, None

    def measure(self, batch, losses, seen):
        losses = {"loss": tf.add_n(list(losses.values())), **losses}
        self.means.update_state([losses[name] for name in self.log_names()], rows=tf.shape(batch[1])[0])

    def evaluate(self, batches, callbacks):
        """accuracy: share of generated images that a classifier of real ones takes for the class asked for.
        frechet_distance: between its features of these and of the real images, one generated for each."""
        callbacks.on_test_begin()
        if self.judge is None:
            self.judge = self.train_judge()
        seen = compare(self.judge, self.model, with_batch_callbacks(batches, callbacks))
        logs = {
            "accuracy": float(np.mean(seen["taken_for"] == seen["labels"])),
            "frechet_distance": frechet_distance(seen["real"], seen["generated"]),
        }
        callbacks.on_test_end(logs)
        return logs

    def callbacks(self, folder):
        return [SampleGrid(folder / "samples", self.config.sample_every)]


def critic_optimizer(options, default=None):
    """The config.Optimizer of the critic. options: AdversarialOptions. default: that of the generator."""
    match options.critic_optimizer:
        case None:
            return default
        case str() as name:
            return Optimizer(name)
        case spelled:
            return Optimizer(**spelled)


def judge_of(config, spec, part):
    """The ImageJudge that a training split gives. config: a config.Data."""
    batches = input_pipeline.TrainingFeed(part, spec, config, JUDGE_BATCH, JUDGE_SEED)
    epochs = batches.stream(0, 0, -(-JUDGE_STEPS // batches.steps))
    feature, label = next(iter(spec.features.values())), next(iter(spec.labels.values()))
    return ImageJudge(batches.batches(0), epochs, feature.shape, label.width)


def compare(judge, model, batches):
    """What a judge sees of real images and of as many generated ones of the same classes.

    batches: of (images, labels). Returns arrays, rows first: "labels", features "real" and "generated", the classes
    that the judge has "real_taken_for" and the generated ones "taken_for".
    """
    found = {"labels": [], "real": [], "real_taken_for": [], "generated": [], "taken_for": []}
    numbers = sample_generator()
    for images, labels in batches:
        latent = numbers.standard_normal((len(labels), model.latent), np.float32)
        generated = model({"latent": latent, "label": labels})
        seen = (labels.numpy(), *judge.see(images), *judge.see(generated))
        for parts, values in zip(found.values(), seen, strict=True):
            parts.append(values)
    return {name: np.concatenate(parts) for name, parts in found.items()}

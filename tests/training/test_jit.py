"""XLA: chosen by the layers alone, and the same bits whether a step is compiled by itself or in a stack."""

import pytest

from pipeline.data import input_pipeline
from pipeline.models.cnn import Cnn
from pipeline.models.gru import Gru
from pipeline.models.mlp import Mlp
from pipeline.models.model import build_model
from pipeline.models.residual_cnn import ResidualCnn
from pipeline.models.transformer import Transformer
from pipeline.training import jit
from pipeline.training.fit import Fit
from pipeline.training.tape import Tape

AUTO = Tape(jit="auto", steps_per_execution=8)


def built(model, data):
    return build_model(model, data.spec, lambda name: input_pipeline.feature_batches(data.train, data.spec, name))


@pytest.mark.parametrize(
    ("model", "gains"),
    [(Mlp(), True), (Mlp(dropout=0.1), False), (Cnn(filters=[4]), False), (ResidualCnn(filters=[4]), False)],
    ids=["dense layers", "dropout", "convolutions", "residual blocks"],
)
def test_auto_compiles_on_a_cpu_what_consists_of_layers_that_gain(digits, model, gains):
    assert jit.chosen(AUTO, built(model, digits)) is gains


def test_auto_compiles_recurrent_layers_with_dropout_on_a_cpu_and_leaves_attention_alone(vowels):
    assert jit.chosen(AUTO, built(Gru(units=[4], bidirectional=True, dropout=0.2), vowels)) is True
    assert jit.chosen(AUTO, built(Transformer(depth=1, width=8, heads=2), vowels)) is False


def test_auto_does_not_compile_for_fit_nor_for_a_step_a_call(digits):
    model = built(Mlp(), digits)
    assert not jit.chosen(Fit(jit="auto", steps_per_execution=8), model)
    assert not jit.chosen(Tape(jit="auto", steps_per_execution=1), model)


def test_never_and_always_are_what_they_say(digits):
    for model in (built(Mlp(), digits), built(Cnn(filters=[4]), digits)):
        assert jit.chosen(Tape(jit="always"), model)
        assert not jit.chosen(Tape(jit="never"), model)


@pytest.mark.slow
def test_stacked_steps_have_the_bits_of_steps_by_themselves(train, configured):
    # 13 steps an epoch, the last one short: stacks of 5, and of all that are full; 1 has no stack
    digests = {train(configured(Tape, jit="always", steps_per_execution=stride)).digest for stride in (1, 5, 32)}
    assert len(digests) == 1


@pytest.mark.slow
def test_a_compiled_run_that_was_stopped_goes_on_to_the_same_bits(train, configured):
    config = configured(Tape, jit="always", steps_per_execution=4)
    assert train(config, stop_at=(2, 8)).digest == train(config).digest

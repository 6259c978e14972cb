"""XLA: training.jit=auto decides by the layers, and a stack of steps has the bits of single steps."""

import pytest

from pipeline.data import input_pipeline
from pipeline.models.cnn import Cnn
from pipeline.models.gru import Gru
from pipeline.models.mlp import Mlp
from pipeline.models.model import build_model
from pipeline.models.residual_cnn import ResidualCnn
from pipeline.models.transformer import Transformer
from pipeline.training.fit import Fit
from pipeline.training.tape import Tape

AUTO = Tape(jit="auto", steps_per_execution=8)


def built(model, data):
    return build_model(model, data.spec, lambda name: input_pipeline.feature_batches(data.train, data.spec, name))


@pytest.mark.parametrize(
    ("model", "is_faster"),
    [(Mlp(), True), (Mlp(dropout=0.1), False), (Cnn(filters=[4]), False), (ResidualCnn(filters=[4]), False)],
    ids=["dense layers", "dropout", "convolutions", "residual blocks"],
)
def test_auto_compiles_on_a_cpu_only_layers_that_xla_makes_faster(digits, model, is_faster):
    assert AUTO.compiles_with_xla(built(model, digits)) is is_faster


def test_auto_compiles_recurrent_layers_with_dropout_on_a_cpu_but_no_attention(vowels):
    assert AUTO.compiles_with_xla(built(Gru(units=[4], bidirectional=True, dropout=0.2), vowels)) is True
    assert AUTO.compiles_with_xla(built(Transformer(depth=1, width=8, heads=2), vowels)) is False


def test_auto_does_not_compile_for_fit_or_for_one_step_per_call(digits):
    model = built(Mlp(), digits)
    assert not Fit(jit="auto", steps_per_execution=8).compiles_with_xla(model)
    assert not Tape(jit="auto", steps_per_execution=1).compiles_with_xla(model)


def test_never_and_always_ignore_the_layers(digits):
    for model in (built(Mlp(), digits), built(Cnn(filters=[4]), digits)):
        assert Tape(jit="always").compiles_with_xla(model)
        assert not Tape(jit="never").compiles_with_xla(model)


@pytest.mark.slow
def test_stacked_steps_have_the_bits_of_single_steps(train, configured):
    # 13 steps per epoch, the last one short: stacks of 5, and of all full steps; 1 has no stack
    digests = {train(configured(Tape, jit="always", steps_per_execution=stride)).digest for stride in (1, 5, 32)}
    assert len(digests) == 1


@pytest.mark.slow
def test_stopped_run_with_xla_resumes_to_the_same_bits(train, configured):
    config = configured(Tape, jit="always", steps_per_execution=4)
    assert train(config, stop_at=(2, 8)).digest == train(config).digest

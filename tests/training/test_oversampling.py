"""Oversampling: how often rows of rare classes occur in an epoch, and what resumes."""

import numpy as np
import pytest

from pipeline.data import splits
from pipeline.data.oversampling import repeated_rows
from pipeline.data.sources.npz import Npz
from pipeline.errors import ConfigError
from pipeline.experiment import build
from pipeline.objectives.supervised import SupervisedOptions
from pipeline.training.fit import Fit
from pipeline.training.tape import Tape

CLASSES = np.repeat([0, 1, 2], [100, 7, 40])


@pytest.mark.parametrize(("share", "counts"), [(1.0, [100, 100, 100]), (0.5, [100, 50, 50]), (0.2, [100, 20, 40])])
def test_each_class_has_its_share_and_keeps_all_of_its_rows(share, counts):
    rows = repeated_rows(CLASSES, share=share, seed=0)
    assert np.bincount(CLASSES[rows]).tolist() == counts
    times = np.bincount(rows, minlength=len(CLASSES))
    for members in (CLASSES == 0, CLASSES == 1, CLASSES == 2):
        assert times[members].min() >= 1 >= np.ptp(times[members])


def test_rows_follow_from_the_seed():
    first, again, other = (repeated_rows(CLASSES, share=0.5, seed=seed) for seed in (0, 0, 1))
    assert (first == again).all() and (first != other).any()


def rare(folder, **options):
    x = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    np.savez(folder / "rare.npz", x=x, y=(x[:, 0] > 1.2).astype(np.int64))
    return Npz(path=str(folder / "rare.npz"), **options)


def test_epoch_has_the_repeated_rows_and_their_steps(configured, tmp_path):
    config = configured(Fit, data=rare(tmp_path, oversample=1.0), batch_size=32)
    data = splits.load(config.data)
    experiment = build(config, data)
    labels = np.concatenate([np.asarray(y) for _, y in experiment.feed.batches(0)])
    largest = np.bincount(data.train.labels["y"]).max()
    assert np.bincount(labels).tolist() == [largest, largest]
    assert experiment.feed.steps == len(list(experiment.feed.batches(0))) == -(-2 * largest // 32)
    assert data.rows["train"] < 2 * largest


@pytest.mark.slow
def test_resumed_run_has_the_weights_of_an_uninterrupted_one(train, configured, tmp_path):
    config = configured(Tape, data=rare(tmp_path, oversample=1.0), batch_size=32, epochs=2)
    assert train(config, stop_at=(2, 3)).digest == train(config).digest


def test_labels_without_classes_are_refused(configured, tmp_path):
    np.savez(tmp_path / "real.npz", x=np.ones((40, 2), np.float32), y=np.linspace(0, 1, 40))
    data = Npz(path=str(tmp_path / "real.npz"), label_kind="real", oversample=1.0)
    config = configured(Fit, data=data, objective=SupervisedOptions())
    with pytest.raises(ConfigError, match=r"data\.oversample: expected one label with one class per row; found y"):
        build(config, splits.load(config.data))

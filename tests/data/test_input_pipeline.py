"""The input pipeline: every row once, in an order by (seed, epoch), padded, in batches of known number."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipeline.data import input_pipeline, splits
from pipeline.data.containers import Sequences, Table
from pipeline.data.shards import write_shards
from pipeline.data.sources.digits import Digits
from pipeline.data.sources.image_folder import ImageFolder
from pipeline.data.sources.japanese_vowels import JapaneseVowels
from pipeline.data.sources.tfrecord import TFRecord
from pipeline.spec import STEP_PADDING, DataSpec, Feature, class_label, real_label

ROWS, BATCH = 103, 10


def numbered_table(rows=ROWS):
    """(spec, table) whose feature and label both hold the number of the row."""
    numbers = np.arange(rows)
    table = Table({"x": numbers[:, None].astype(np.float32)}, {"y": numbers}, str)
    return DataSpec({"x": Feature((1,), "float32")}, {"y": class_label(range(rows))}), table


def numbered_sequences(rows=ROWS, longest=23):
    """(spec, table) of rows of 1 to `longest` steps; every step of row i holds i + 1, its label i."""
    lengths = np.random.default_rng(3).integers(1, longest + 1, rows)
    lengths[0] = longest
    values = np.repeat(np.arange(1, rows + 1), lengths)[:, None].astype(np.float32)
    column = Sequences(values, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
    spec = DataSpec({"x": Feature((None, 1), "float32")}, {"y": class_label(range(rows))}, (1, longest))
    return spec, Table({"x": column}, {"y": np.arange(rows)}, str)


def as_shards(folder, spec, table, per_file=17, **options):
    """(spec, Shards, config) of a table that was written and is streamed."""
    write_shards(spec, {"train": table}, folder, rows_per_shard=per_file)
    data = TFRecord(path=str(folder), **options)
    source = splits.read(data)
    return source.spec, source.splits["train"], data


@pytest.fixture(
    params=[
        "table",
        "sharded sequences",
        *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("sequences", "shards")),
    ]
)
def numbered(request, tmp_path):
    """(spec, split, source) of each kind of data, whose label is the index of the row."""
    spec, table = numbered_sequences() if "sequences" in request.param else numbered_table()
    if "shard" in request.param:
        return as_shards(tmp_path / "shards", spec, table, shuffle_buffer=20)
    return spec, table, Digits()


def training(numbered, seed=0, weights=None):
    spec, split, source = numbered
    return input_pipeline.TrainingFeed(
        split=split, spec=spec, source=source, batch_size=BATCH, seed=seed, weights=weights
    )


def labels(batches):
    return np.concatenate([batch[1] for batch in batches.as_numpy_iterator()]).tolist()


# ---- the order -------------------------------------------------------------------------------------------------------


def test_an_epoch_holds_every_row_once(numbered):
    assert sorted(labels(training(numbered).batches(3))) == list(range(ROWS))


def test_an_epoch_can_be_repeated(numbered):
    first = labels(training(numbered).batches(3))
    tf.random.set_seed(99)  # the state of the process does not matter
    assert labels(training(numbered).batches(3)) == first


def test_another_epoch_and_another_seed_have_another_order(numbered):
    orders = [labels(training(numbered, seed).batches(epoch)) for seed, epoch in ((0, 0), (0, 1), (1, 0), (1, 1))]
    assert len(set(map(tuple, orders))) == 4


@pytest.mark.parametrize("first_step", [1, 7])
def test_an_epoch_resumed_at_a_later_step_has_the_remaining_batches(numbered, first_step):
    batches = [(x.tolist(), y.tolist()) for x, y in training(numbered).batches(2).as_numpy_iterator()]
    rest = [(x.tolist(), y.tolist()) for x, y in training(numbered).batches(2, first_step).as_numpy_iterator()]
    assert rest == batches[first_step:]


def test_a_dataset_reads_its_epoch_variable_at_each_iteration(numbered):
    epoch = tf.Variable(0, dtype=tf.int64)
    batches = training(numbered).batches(epoch)
    orders = {}
    for now in (0, 1, 5, 1):
        epoch.assign(now)
        orders.setdefault(now, []).append(labels(batches))
    assert orders[1][0] == orders[1][1] != orders[0][0]
    assert orders[5][0] == labels(training(numbered).batches(5))


def test_rows_keep_their_order_without_shuffling():
    spec, table = numbered_table()
    assert labels(training((spec, table, Digits(shuffle=False))).batches(4)) == list(range(ROWS))


def test_rows_move_between_shards_farther_than_the_shuffle_buffer(tmp_path):
    numbered = as_shards(tmp_path / "shards", *numbered_table(), per_file=5, shuffle_buffer=4)
    positions = np.array([labels(training(numbered).batches(epoch)).index(0) for epoch in range(6)])
    assert positions.max() - positions.min() > ROWS / 2


# ---- batches, as many as announced -----------------------------------------------------------------------------------


def test_the_number_of_batches_equals_the_cardinality(numbered):
    whole = training(numbered)
    for first_step in (0, 4):
        batches = whole.batches(1, first_step)
        assert int(batches.cardinality()) == whole.steps - first_step == len(list(batches))


@pytest.mark.parametrize("buckets", [[], [5, 12, 100], [1, 2, 3]])
@pytest.mark.parametrize("batch_size", [7, 1000])
def test_the_number_of_steps_is_right_for_any_buckets(buckets, batch_size):
    spec, table = numbered_sequences()
    whole = input_pipeline.TrainingFeed(
        split=table, spec=spec, source=Digits(buckets=buckets), batch_size=batch_size, seed=0
    )
    assert len(list(whole.batches(0))) == whole.steps


def test_rows_of_equal_length_are_one_bucket():
    spec, _ = numbered_sequences()
    column = Sequences(np.ones((40, 1), np.float32), np.arange(0, 41, 4))
    table = Table({"x": column}, {"y": np.arange(10)}, str)
    whole = input_pipeline.TrainingFeed(split=table, spec=spec, source=Digits(), batch_size=4, seed=0)
    assert [x.shape for x, _ in whole.batches(0).as_numpy_iterator()] == [(4, 4, 1), (4, 4, 1), (2, 4, 1)]


def test_ordered_batches_keep_the_order_of_rows(numbered):
    spec, split, _ = numbered
    batches = input_pipeline.ordered_batches(split, spec, BATCH)
    assert int(batches.cardinality()) == -(-ROWS // BATCH)
    assert labels(batches) == list(range(ROWS))


def test_a_step_is_traced_once_over_epochs_of_the_vowels(vowels):
    traces = []

    @tf.function
    def step(x, y):
        traces.append(x.shape)
        return tf.reduce_sum(x) + tf.cast(tf.reduce_sum(y), tf.float32)

    epoch = tf.Variable(0, dtype=tf.int64)
    batches = input_pipeline.TrainingFeed(
        split=vowels.train, spec=vowels.spec, source=JapaneseVowels(), batch_size=32, seed=0
    ).batches(epoch)

    @tf.function
    def run(iterator, steps):
        for _ in tf.range(steps):
            step(*next(iterator))

    for now in range(3):
        epoch.assign(now)
        run(iter(batches), int(batches.cardinality()))
    assert len(traces) == 1


def test_batches_have_the_lengths_of_the_buckets(vowels):
    whole = input_pipeline.TrainingFeed(
        split=vowels.train, spec=vowels.spec, source=JapaneseVowels(), batch_size=32, seed=0
    )
    widths = {x.shape[1] for epoch in range(3) for x, _ in whole.batches(epoch)}
    assert widths == set(input_pipeline.bucket_boundaries(vowels.train, JapaneseVowels())) and len(widths) <= 4


# ---- padding ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [False, True])
def test_every_row_is_complete_and_padded_to_the_bound_of_its_bucket(tmp_path, streamed):
    spec, table = numbered_sequences()
    lengths = table.lengths
    numbered = as_shards(tmp_path / "s", spec, table) if streamed else (spec, table, Digits())
    bounds = np.array(input_pipeline.bucket_boundaries(numbered[1], numbered[2]))
    for x, y in training(numbered).batches(0).as_numpy_iterator():
        for row, number in zip(x[..., 0], y):
            steps = lengths[number]
            assert len(row) == bounds[bounds >= steps].min()
            assert (row[:steps] == number + 1).all() and (row[steps:] == STEP_PADDING).all()


def test_configured_boundaries_are_used_and_the_longest_row_fits():
    _, table = numbered_sequences(longest=23)
    assert input_pipeline.bucket_boundaries(table, Digits(buckets=[5, 12, 40])) == (5, 12, 23)


def test_ordered_batches_are_padded_to_the_longest_row_of_the_split(vowels):
    batches = input_pipeline.ordered_batches(vowels.test, vowels.spec, 64)
    assert {x.shape[1] for x, _ in batches} == {int(vowels.test.lengths.max())}


def test_feature_batches_hold_all_steps_and_no_padding(vowels):
    column = vowels.train.features["utterance"]
    values = np.concatenate(
        [run[0] for run in input_pipeline.feature_batches(vowels.train, vowels.spec, "utterance").as_numpy_iterator()]
    )
    np.testing.assert_array_equal(values, column.values)


def test_feature_batches_of_shards_hold_every_row(tmp_path):
    spec, split, _ = as_shards(tmp_path / "shards", *numbered_sequences())
    values = np.concatenate(
        [run[0, :, 0] for run in input_pipeline.feature_batches(split, spec, "x").as_numpy_iterator()]
    )
    np.testing.assert_array_equal(np.unique(values), np.arange(1, ROWS + 1))


# ---- what a batch is -------------------------------------------------------------------------------------------------


def several(rows=20):
    """(spec, table) with two features, one of them text, and two labels."""
    texts = np.array([[f"text {row}"] for row in range(rows)], object)
    table = Table(
        {"size": np.arange(rows, dtype=np.float32)[:, None], "name": texts},
        {"kind": np.arange(rows) % 2, "price": np.arange(rows, dtype=np.float32)},
        str,
    )
    features = {"size": Feature((1,), "float32"), "name": Feature((1,), "string")}
    return DataSpec(features, {"kind": class_label("ab"), "price": real_label()}), table


@pytest.mark.parametrize("streamed", [False, True])
def test_several_features_and_labels_are_dicts_of_the_same_rows(tmp_path, streamed):
    spec, table = several()
    numbered = as_shards(tmp_path / "s", spec, table, 7) if streamed else (spec, table, Digits())
    for x, y in training(numbered).batches(0).as_numpy_iterator():
        assert x.keys() == {"size", "name"} and y.keys() == {"kind", "price"}
        np.testing.assert_array_equal(x["size"][:, 0], y["price"])
        assert [text.decode() for text in x["name"][:, 0]] == [f"text {price:.0f}" for price in y["price"]]
        np.testing.assert_array_equal(y["kind"], y["price"] % 2)


def test_the_weight_of_a_row_is_that_of_its_class():
    spec, table = several()
    spec = DataSpec({"size": spec.features["size"]}, {"kind": spec.labels["kind"]})
    table = Table({"size": table.features["size"]}, {"kind": table.labels["kind"]}, str)
    weights = {"kind": np.float32([0.25, 4])}
    for _, y, found in training((spec, table, Digits()), weights=weights).batches(0).as_numpy_iterator():
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, weights["kind"][y])


def test_rows_of_another_shape_than_the_spec_are_refused():
    spec, table = numbered_table()
    promised = DataSpec({"x": Feature((2,), "float32")}, spec.labels)
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
        list(training((promised, table, Digits())).batches(0))


def test_images_are_streamed_from_their_files_in_the_order_of_the_epoch(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (30, 5, 4, 3), np.uint8)
    for row, image in enumerate(pixels):
        folder = tmp_path / "ab"[row % 2]
        folder.mkdir(exist_ok=True)
        Image.fromarray(image).save(folder / f"{row:02d}.png")
    data = ImageFolder(path=str(tmp_path))
    loaded = splits.load(data)
    in_memory = splits.load(ImageFolder(path=str(tmp_path), in_memory=True))
    streamed, kept = (
        list(
            input_pipeline.TrainingFeed(split=each.train, spec=each.spec, source=data, batch_size=4, seed=0)
            .batches(1)
            .as_numpy_iterator()
        )
        for each in (loaded, in_memory)
    )
    assert len(streamed) == len(kept) == -(-len(loaded.train) // 4)
    for (x, y), (kept_x, kept_y) in zip(streamed, kept):
        np.testing.assert_array_equal(x, kept_x)
        np.testing.assert_array_equal(y, kept_y)

"""Serialize a row as a TFRecord record, a tf.train.Example, and parse it.

`features/NAME` holds the little-endian bytes of a feature, or its text in UTF-8; `labels/NAME` the numbers of a label;
`weight` the little-endian float64 of the weight of the row, if the rows have weights.
"""

from __future__ import annotations

from collections.abc import Callable

from pipeline.data.containers import FeatureColumn, Images, Sequences, Table
from pipeline.lazy import np, tf
from pipeline.spec import DataSpec, Feature, Label

WEIGHT = "weight"

type Example = tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]
"""Features and labels of one row, by name."""


def serialize_row(spec: DataSpec, table: Table, row: int) -> bytes:
    """Return one row as a record."""
    fields = {f"features/{name}": _feature_field(column, row) for name, column in table.features.items()}
    fields |= {f"labels/{name}": _label_field(spec.labels[name], values[row]) for name, values in table.labels.items()}
    if table.weights is not None:
        fields[WEIGHT] = _feature_field(table.weights.astype(np.float64), row)
    return tf.train.Example(features=tf.train.Features(feature=fields)).SerializeToString()


def record_parser(spec: DataSpec) -> Callable[[tf.Tensor], Example]:
    """Return a function from a record, () string, to its features and labels in the shapes and dtypes of the spec.

    The function can be used in Dataset.map.
    """
    fields = {
        f"labels/{name}": tf.io.FixedLenFeature(label.shape, tf.as_dtype(label.dtype))
        for name, label in spec.labels.items()
    }
    fields |= {
        f"features/{name}": tf.io.FixedLenFeature(feature.shape if feature.dtype == "string" else (), tf.string)
        for name, feature in spec.features.items()
    }

    def parse(record: tf.Tensor) -> Example:
        parsed = tf.io.parse_single_example(record, fields)
        features = {name: _decode(feature, parsed[f"features/{name}"]) for name, feature in spec.features.items()}
        return features, {name: parsed[f"labels/{name}"] for name in spec.labels}

    return parse


def record_weights(records: tf.Tensor) -> tf.Tensor:
    """Return the weights of records with weights: (batch,) string -> (batch,) float64. For Dataset.map."""
    fields = tf.io.parse_example(records, {WEIGHT: tf.io.FixedLenFeature((), tf.string)})
    return tf.reshape(tf.io.decode_raw(fields[WEIGHT], tf.float64, little_endian=True), [-1])


def _feature_field(column: FeatureColumn, row: int) -> tf.train.Feature:
    match column:
        case Images():
            array = column.pixels(row)
        case Sequences(values=values, offsets=offsets):
            array = values[offsets[row] : offsets[row + 1]]
        case _:
            array = column[row]
    if array.dtype == object:
        values = [text.encode() for text in array.ravel()]
    else:
        values = [array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()]
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def _label_field(label: Label, value: np.ndarray) -> tf.train.Feature:
    values = np.ravel(value).tolist()
    if label.dtype == "int64":
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def _decode(feature: Feature, field: tf.Tensor) -> tf.Tensor:
    if feature.dtype != "string":
        field = tf.io.decode_raw(field, feature.dtype, little_endian=True)
        field = tf.reshape(field, [-1 if size is None else size for size in feature.shape])
    return tf.ensure_shape(field, feature.shape)

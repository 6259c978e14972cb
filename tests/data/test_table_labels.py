"""Labels of tables: several classes in a field, and labels of different kinds in one file."""

import shlex

import numpy as np
import pytest

from pipeline.cli.compose import compose
from pipeline.data import splits
from pipeline.errors import ConfigError, DataError
from pipeline.spec import CLASS, MULTI_LABEL, REAL

FIELDS = ["news|sport", "", "sport", " news ", "sport|sport|news", "music"]


@pytest.fixture
def table(tmp_path):
    """A function that writes rows with tags, a price and a size, and loads them with further arguments."""

    def load(*arguments, fields=FIELDS, name="rows.csv"):
        lines = [f"{row},{fields[row % len(fields)]},{row * 1.5},{'ab'[row % 2]}" for row in range(60)]
        (tmp_path / name).write_text("\n".join(["x,tags,price,size", *lines]) + "\n")
        common = ["data=csv", f"data.path={tmp_path / name}", "data.numeric=[x]"]
        return splits.load(compose([*common, *arguments]).data)

    return load


TAGS = ("data.labels=[tags]", "data.label_kind=multi_label")


def test_field_may_name_several_classes_or_none(table):
    data = table(*TAGS)
    label = data.spec.labels["tags"]
    assert (label.kind, label.classes) == (MULTI_LABEL, ("music", "news", "sport"))
    of_field = [[0, 1, 1], [0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1], [1, 0, 0]]
    rows = data.train.features["numeric"][:, 0].astype(int)
    assert data.train.labels["tags"].dtype == np.float32
    assert (data.train.labels["tags"] == np.array(of_field)[rows % 6]).all()


def test_separator_is_an_option(table):
    data = table(*TAGS, "data.label_separator=;", fields=["a;b", "b|c"])
    assert data.spec.labels["tags"].classes == ("a", "b", "b|c")


def test_listed_classes_have_the_given_order_and_another_one_is_refused_with_its_line(table):
    listed = "data.categories={tags: [sport, news, music]}"
    assert table(*TAGS, listed).spec.labels["tags"].classes == ("sport", "news", "music")
    with pytest.raises(DataError, match=r"line 4: expected a class listed in data\.categories\.tags; found 'art'"):
        table(*TAGS, listed, fields=["news", "sport", "sport|art"])


def test_new_rows_with_fewer_classes_get_the_columns_of_training(table, tmp_path):
    trained = table(*TAGS).spec
    table(*TAGS, fields=["sport"], name="new.csv")
    source = compose(["data=csv", f"data.path={tmp_path / 'new.csv'}", "data.numeric=[x]", *TAGS]).data
    assert (splits.read_matching(source, trained).split("all").labels["tags"] == [0, 0, 1]).all()


def test_labels_of_one_table_may_have_different_kinds(table):
    kinds = "data.label_kind={tags: multi_label, price: real}"
    labels = table("data.labels=[tags,price,size]", kinds).spec.labels
    assert {name: label.kind for name, label in labels.items()} == {"tags": MULTI_LABEL, "price": REAL, "size": CLASS}


def test_kind_of_a_column_that_is_no_label_is_refused(table):
    with pytest.raises(ConfigError, match=r"data\.label_kind\.prize: expected a label of data\.labels; found 'prize'"):
        table("data.labels=[price]", "data.label_kind={prize: real}")


def test_text_in_a_real_label_is_answered_with_the_kind_of_classes(table):
    with pytest.raises(DataError, match=r"line 2, column 'size': .*found 'a'.* set data\.label_kind=class\."):
        table("data.labels=[size]", "data.label_kind=real")


def test_advice_for_one_of_several_labels_keeps_the_kinds_of_the_others(table):
    with pytest.raises(DataError, match=r"data\.label_kind=") as raised:
        table("data.labels=[size,price]", "data.label_kind={size: class}")
    (argument,) = shlex.split(str(raised.value).split("number, or ")[1].split(" if each")[0])
    data = compose(["data=csv", "data.path=x", "data.numeric=[x]", "data.labels=[size,price]", argument]).data
    assert (data.kind_of("size"), data.kind_of("price")) == (CLASS, CLASS)

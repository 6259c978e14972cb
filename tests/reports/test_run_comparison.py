"""Two runs side by side."""

from pipeline.reports.run_comparison import comparison_table, find_differences


def dense(units, name="dense", **settings):
    return {"class_name": "Dense", "module": "keras.layers", "config": {"name": name, "units": units, **settings}}


def layer(class_name, **settings):
    return {"class_name": class_name, "config": {"name": class_name.lower(), **settings}}


def provenance(*layers, score=0.9, digest="d", options=(), **sections):
    return {
        "metrics": {"digit accuracy": {"value": score, "low": score - 0.1, "high": score + 0.1}},
        "config": {"choices": {"model": "mlp"}, "seed": 0} | dict(options),
        "architecture": {
            "parameters": 10,
            "digest": digest,
            "model": {"class_name": "Functional", "config": {"name": digest, "layers": list(layers)}},
        },
        "data": {"fingerprint": "f"},
        "environment": {"python": "3.12"},
        "run": {"status": "finished"},
    } | sections


def lines(one, other):
    return [line.split() for line in comparison_table(("a", "b"), one, other).splitlines()]


def test_scores_with_intervals_come_first_even_if_they_are_equal():
    found = lines(provenance(), provenance())
    assert found[0] == ["a", "b"] and found[1] == ["scores"]
    assert found[2] == ["digit", "accuracy", *["0.9000", "[0.8000,", "1.0000]"] * 2]
    assert found[3] == ["the", "same:", "options,", "architecture,", "data,", "environment,", "run"]


def test_options_that_differ_are_listed_with_whole_lists():
    one, other = (provenance(options={"model.hidden": hidden}) for hidden in ([64, 32], [16]))
    assert ["model.hidden", "[64,", "32]", "[16]"] in lines(one, other)
    assert find_differences(one, other)["config"] == {"model.hidden": ([64, 32], [16])}


def test_option_of_one_run_only_is_shown():
    assert ["model.filters", "-", "[8]"] in lines(provenance(), provenance(options={"model.filters": [8]}))


def test_layers_are_matched_so_that_an_inserted_layer_is_one_line():
    one = provenance(layer("Flatten"), dense(8), dense(3, "digit"))
    other = provenance(layer("Flatten"), dense(8), layer("Dropout", rate=0.5), dense(3, "digit"), digest="e")
    rows = [row for row in lines(one, other) if row[0] == "layer"]
    assert rows == [["layer", "-", "Dropout", "rate=0.5"]]


def test_pair_of_layers_shows_only_the_settings_that_differ():
    one, other = (provenance(dense(units, activation="relu"), digest=str(units)) for units in (8, 16))
    rows = [row for row in lines(one, other) if row[0] == "layer"]
    assert rows == [["layer", "Dense", "units=8", "Dense", "units=16"]]


def test_another_precision_of_a_layer_is_a_difference():
    def model(precision):
        return provenance(
            dense(8, dtype={"class_name": "DTypePolicy", "config": {"name": precision}}), digest=precision
        )

    rows = [row for row in lines(model("float32"), model("mixed_float16")) if row[0] == "layer"]
    assert rows == [["layer", "Dense", "dtype.config.name=float32", "Dense", "dtype.config.name=mixed_float16"]]


def test_names_of_layers_alone_are_no_difference_of_the_layers():
    one, other = (provenance(dense(8, name), digest=name) for name in ("first", "second"))
    rows = lines(one, other)
    assert ["digest", "first", "second"] in rows and not [row for row in rows if row[0] == "layer"]


def test_long_values_are_cut_in_the_table_and_whole_in_the_differences():
    one, other = (provenance(run={"status": letter * 100}) for letter in "ab")
    assert ["status", "a" * 37 + "...", "b" * 37 + "..."] in lines(one, other)
    assert find_differences(one, other)["run"] == {"status": ("a" * 100, "b" * 100)}

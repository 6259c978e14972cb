"""Declarations of options: validation, limits, and what decides the result of a run."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest

from pipeline.cli.help import describe
from pipeline.data.sources.csv import Csv
from pipeline.errors import ConfigError
from pipeline.options import READ, Options, describe_limits, fields, option, result_options, section, walk


@dataclass
class Inner(Options):
    key: ClassVar[str] = "outer.inner"

    share: float = option(0.5, "a share", min=0, below=1)
    sizes: list[int] = option([1], "sizes", min=1, required=True)
    rates: dict[str, float] = option({}, "rates", above=0, max=1)
    mode: str = option("a", "a mode", choices=("a", "b"))
    channels: int = option(1, "channels", choices=(1, 3))
    layer: Any = option("Dense", "a layer", keras="layer")


@dataclass
class Outer(Options):
    key: ClassVar[str] = "outer"

    path: str = option("", "a file", path=READ)
    seed: int = option(0, "a seed")
    verbose: bool = option(True, "output", changes_result=False)
    inner: Inner = section(Inner, "inner options")
    logs: Inner = section(Inner, "output options", changes_result=False)
    extra: dict[str, Any] = field(default_factory=dict, metadata=option({}, "nested").metadata)

    def check(self) -> None:
        if self.seed == 13:
            raise ConfigError("outer.seed: expected another seed; found 13.")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"share": 1.0}, r"outer\.inner\.share: expected a number from 0 to below 1; found 1\.0"),
        ({"share": float("nan")}, r"outer\.inner\.share"),
        ({"share": float("inf")}, r"outer\.inner\.share"),
        ({"sizes": [3, 0]}, r"outer\.inner\.sizes: expected a number from 1 to 1,000,000; found 0"),
        ({"sizes": []}, r"outer\.inner\.sizes: expected a value; found none.*outer\.inner\.sizes=\.\.\."),
        ({"rates": {"x": 0.0}}, r"outer\.inner\.rates\.x: expected a number above 0 to 1; found 0\.0"),
        ({"mode": "c"}, r"outer\.inner\.mode: expected one of a, b; found 'c'"),
        ({"channels": 2}, r"outer\.inner\.channels: expected one of 1, 3; found 2"),
        ({"layer": {"config": {}}}, r"outer\.inner\.layer: .*class_name"),
        ({"layer": ["Dense", 3]}, r"outer\.inner\.layer: .*found 3"),
    ],
)
def test_value_outside_its_declaration_is_refused_with_its_key(values, message):
    with pytest.raises(ConfigError, match=message):
        Inner(**values)


def test_a_number_that_is_no_choice_is_refused_with_the_choices():
    @dataclass
    class Image(Options):
        channels: int = option(3, "channels", choices=(1, 3))

    with pytest.raises(ConfigError, match=r"channels: expected one of 1, 3; found 2\. Known: 1, 3\."):
        Image(channels=2)


def test_null_and_values_inside_the_limits_are_accepted():
    assert Inner(share=0, sizes=[1, 2], rates={"x": 1.0}, mode="b", layer=None).share == 0


def test_rule_between_options_is_checked_on_construction():
    with pytest.raises(ConfigError, match="found 13"):
        Outer(seed=13)


def test_default_list_is_not_shared_between_instances():
    Inner().sizes.append(2)
    assert Inner().sizes == [1]


def test_paths_and_options_marked_so_do_not_decide_the_result():
    keys = dict(result_options(Outer(path="x", extra={"a": {"b": 1}})))
    assert keys.keys() == {
        "seed",
        "extra.a.b",
        *(f"inner.{name}" for name in ("share", "sizes", "rates", "mode", "channels", "layer")),
    }


def test_every_path_of_a_data_source_may_change_when_a_run_is_resumed():
    original = Csv(path="a.csv", validation_path="b.csv", test_path="c.csv", numeric=["x"])
    moved = Csv(path="d.csv", validation_path="e.csv", test_path="f.csv", numeric=["x"])
    assert dict(result_options(original)) == dict(result_options(moved))


def test_walk_names_every_option_by_its_dotted_key():
    keys = [key for key, _, _ in walk(Outer())]
    assert keys[:3] == ["path", "seed", "verbose"] and "inner.share" in keys and "logs.mode" in keys


def test_help_describes_type_range_and_choices():
    described = {item.name: describe(item) for item in fields(Inner)}
    assert described == {
        "share": "float from 0 to below 1",
        "sizes": "list[int] from 1 to 1,000,000",
        "rates": "dict[str, float] above 0 to 1",
        "mode": "one of a, b",
        "channels": "one of 1, 3",
        "layer": "Keras layer",
    }
    assert describe_limits(min=None, above=None, max=None, below=None) == ""


def test_a_path_may_begin_with_the_home_folder_of_the_caller(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert Outer(path="~/x.csv").path == "/home/me/x.csv"
    assert [Outer(path=path).path for path in ("~", "~tmp/x", "a/~/x")] == ["~", "~tmp/x", "a/~/x"]
    monkeypatch.setenv("CALLER_HOME", "/home/caller")
    assert Outer(path="~/x.csv").path == "/home/caller/x.csv"

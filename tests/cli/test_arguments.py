"""Arguments as a person types them."""

import shlex

import pytest

from pipeline.cli import arguments
from pipeline.cli.compose import compose
from pipeline.errors import ConfigError
from pipeline.overrides import hydra_value, shell_argument

CSV = ["data=csv", "data.path=x.csv", "data.numeric=[a]"]
NAMES = [
    "Größe (cm)",
    "a/b:c",
    "%",
    "_x",
    "1st",
    "日本",
    "a=b",
    "~",
    "#1",
    "a;b",
    "Income ($, k)",
    "x" * 200,
    "it's",
    "<a>",
]
MORE_NAMES = ["a,b", 'say "q"', "[x]", "{a: b}", "null", "nan", "true", "1e3", "", " lead", "b\\", "\t"]


def data(*overrides):
    return compose([*CSV, *overrides]).data


def test_names_of_any_characters_are_read_as_typed():
    assert data(f"data.labels=[{', '.join(NAMES)}]").labels == NAMES


@pytest.mark.parametrize("name", NAMES[:4])
def test_a_value_of_any_characters_is_read_as_typed(name):
    found = data(f"data.labels={name}", f"data.path={name}")
    assert (found.labels, found.path) == ([name], name)


@pytest.mark.parametrize("name", [*NAMES, *MORE_NAMES])
def test_an_argument_in_the_grammar_stays_as_it_is(name):
    fix = f"data.labels={hydra_value([name, 'b'])}"
    assert arguments.in_grammar(fix) == fix


def test_a_fix_with_any_names_is_read_back_when_it_is_pasted():
    names = [*NAMES, *MORE_NAMES]
    fixes = [shell_argument("data.labels", names), shell_argument("data.categories", dict.fromkeys(names, names))]
    found = data(*shlex.split(" ".join(fixes)))
    assert (found.labels, found.categories) == (names, dict.fromkeys(names, names))


@pytest.mark.parametrize("typed", ["~", ";", "\t", ",", r"\t"])
def test_a_delimiter_is_typed_as_it_is(typed):
    assert data(f"data.delimiter={typed}").delimiter == typed


def test_one_value_is_a_list_of_one_entry():
    assert data("data.numeric=*").numeric == ["*"]
    assert compose(["model.hidden=16"]).model.hidden == [16]


def test_several_values_without_brackets_are_refused_with_both_ways_to_write_them():
    with pytest.raises(ConfigError, match="found several") as refused:
        data("data.labels=y,b")
    listed, text = ("data.labels=[y,b]", 'data.labels="y,b"')
    assert f"'{listed}' for a list, '{text}' for a text" in str(refused.value)
    assert (data(listed).labels, data(text).labels) == (["y", "b"], ["y,b"])


@pytest.mark.parametrize("typed", ["data.labels=[a", "data.labels=[a]]", "data.labels='a", 'data.labels=["a]'])
def test_brackets_and_quotes_that_do_not_match_are_refused(typed):
    assert arguments.in_grammar(typed) is None
    with pytest.raises(ConfigError, match="Close brackets and quotes"):
        data(typed)


def test_entries_of_a_dict_need_no_sign():
    assert data("data.categories={town: [a]}").categories == {"town": ["a"]}
    assert data("data.categories={Größe (cm): [klein, groß], b: [c]}").categories == {
        "Größe (cm)": ["klein", "groß"],
        "b": ["c"],
    }

"""`runs`: the list, the comparison of two runs, and the page in a real browser."""

import html
import json
import re
import shutil
import subprocess

import pytest
from written_runs import write_run

from pipeline.cli.main import main
from pipeline.registry import store
from pipeline.registry.options import Registry
from pipeline.reports import runs_page


@pytest.fixture
def root(tmp_path):
    """Three runs; between the second and the third, lock and architecture changed."""
    for name, accuracy, changes in (
        ("digits-1", 0.8, {}),
        ("digits-2", 0.9, {"seed": 1}),
        ("wide", 0.7, {"units": 99, "lock": "2" * 64, "model": "cnn"}),
    ):
        write_run(tmp_path, name, accuracy=accuracy, **changes)
    main(["registry", "ingest", f"run.root={tmp_path}"])
    return tmp_path


def listed(capsys, root, *arguments):
    capsys.readouterr()
    assert main(["runs", "--json", f"run.root={root}", *arguments]) == 0
    return [row["name"] for row in json.loads(capsys.readouterr().out)]


def test_runs_are_listed_oldest_first(root, capsys):
    assert listed(capsys, root) == ["digits-1", "digits-2", "wide"]


@pytest.mark.parametrize(
    "arguments, names",
    [
        (["runs.sort=-accuracy"], ["digits-2", "digits-1", "wide"]),
        (["runs.sort=accuracy", "runs.limit=1"], ["wide"]),
        (["runs.name=digits-*"], ["digits-1", "digits-2"]),
        (["runs.model=cnn"], ["wide"]),
        (["runs.status=failed"], []),
        (["runs.sort=name", "runs.data=digits"], ["digits-1", "digits-2", "wide"]),
    ],
)
def test_runs_are_filtered_and_sorted(root, capsys, arguments, names):
    assert listed(capsys, root, *arguments) == names


def test_table_shows_scores(root, capsys):
    capsys.readouterr()
    assert main(["runs", f"run.root={root}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["run", "status", "started", "data", "model", "epochs", "scores", "weights"]
    assert "digit accuracy 0.9000" in lines[2]


def test_control_characters_in_a_name_become_spaces(tmp_path, capsys):
    write_run(tmp_path, "a", model="\x1b[2Jx\r\ny")
    assert main(["runs", f"run.root={tmp_path}"]) == 0
    output = capsys.readouterr().out
    assert len(output.splitlines()) == 2 and "\x1b" not in output


def test_unknown_column_is_refused_with_the_nearest(root, capsys):
    assert main(["runs", f"run.root={root}", "runs.sort=acuracy"]) == 2
    assert "Did you mean accuracy?" in capsys.readouterr().err


def test_registry_that_does_not_answer_is_a_warning_and_folders_are_listed(root, capsys):
    (root / "here").mkdir()
    (root / "here" / "result.json").write_text("{")
    assert main(["runs", f"run.root={root}", "registry.url=postgresql://me@127.0.0.1:1/none"]) == 0
    output = capsys.readouterr()
    assert "warning: registry:" in output.err and "damaged" in output.out


def test_moved_run_is_listed_once_with_its_new_folder(root, tmp_path_factory, capsys):
    moved = tmp_path_factory.mktemp("elsewhere") / "runs"
    shutil.move(root, moved)
    for name in ("digits-1", "digits-2", "wide"):
        (moved / name / "result.json").write_text('{"status": "finished", "started": "now"}')
    capsys.readouterr()
    assert main(["runs", "--json", f"run.root={moved}"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["folder"], row["model"]) for row in rows] == [
        (str(moved / name), model) for name, model in (("digits-1", "mlp"), ("digits-2", "mlp"), ("wide", "cnn"))
    ]


def test_copied_run_is_listed_too_and_a_renamed_one_by_its_new_name(root, capsys):
    for name in ("digits-1", "digits-2", "wide"):
        (root / name / "result.json").write_text('{"status": "finished", "started": "now"}')
    shutil.copytree(root / "digits-1", root / "copy")
    (root / "wide").rename(root / "broad")
    assert sorted(listed(capsys, root)) == ["broad", "copy", "digits-1", "digits-2"]
    assert listed(capsys, root, "runs.model=mlp", "runs.name=digits-1") == ["digits-1"]


def test_filter_without_a_match_is_not_reported_as_no_runs(root, capsys):
    capsys.readouterr()
    assert main(["runs", f"run.root={root}", "runs.status=failed"]) == 0
    assert "None of the 3 runs" in capsys.readouterr().out


def test_listing_no_runs_creates_no_database(tmp_path):
    assert main(["runs", f"run.root={tmp_path}"]) == 0
    assert list(tmp_path.iterdir()) == []


def test_compare_shows_only_differences_below_the_scores(root, capsys):
    capsys.readouterr()
    assert main(["runs", "compare", "digits-1", "wide", f"run.root={root}"]) == 0
    output = capsys.readouterr().out
    assert re.search(r"units +10 +99\n", output)
    assert re.search(r"lock_digest +l+\.\.\. +2+\.\.\.\n", output)
    assert re.search(
        r"accuracy, test rows of digits +0\.8000 \[0\.7500, 0\.8500\] +0\.7000 \[0\.6500, 0\.7500\]\n", output
    )
    assert "the same: options, data" in output and "packages" not in output and "numpy" not in output


def test_compare_prints_json(root, capsys):
    capsys.readouterr()
    assert main(["runs", "compare", "digits-1", "wide", f"run.root={root}", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["architecture"]["model.units"] == [10, 99] and found["data"] == {}


def test_compare_with_an_unknown_run_names_the_nearest(root, capsys):
    assert main(["runs", "compare", "digits-1", "digits-3", f"run.root={root}"]) == 2
    assert "Did you mean digits-" in capsys.readouterr().err


def test_action_may_follow_the_options(root, capsys):
    assert main(["runs", f"run.root={root}", "compare", "digits-1", "digits-2"]) == 0
    assert re.search(r"the same: .*architecture", capsys.readouterr().out)


def test_compare_needs_two_names(root, capsys):
    assert main(["runs", "compare", "digits-1", f"run.root={root}"]) == 2
    assert "expected the names of 2 runs; found 1" in capsys.readouterr().err


# ---- the page -------------------------------------------------------------------------------------------------------

browsers = [path for path in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if path]
needs_browser = pytest.mark.skipif(not browsers, reason="there is no Chromium to open the page with")


def render(path, folder, fragment=""):
    """Return the DOM of the page in a browser after its script has run; a message on the console is an error."""
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    flags += " --disable-component-update --disable-sync --enable-logging=stderr --v=0 --virtual-time-budget=20000"
    done = subprocess.run(
        [browsers[0], *flags.split(), f"--user-data-dir={folder}/browser", "--dump-dom", f"file://{path}{fragment}"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "CONSOLE" not in done.stderr, done.stderr
    return done.stdout


def names_in(dom):
    return [html.unescape(name) for name in re.findall(r"<tr><td[^>]*>(.*?)</td>", dom)]


@needs_browser
def test_page_shows_every_run_and_marks_changes_of_the_provenance(root, tmp_path_factory):
    write_run(root, "narrow", accuracy=0.6, units=5, lock="2" * 64, model="cnn")
    assert main(["runs", "page", f"run.root={root}"]) == 0
    dom = render(root / "registry.html", tmp_path_factory.mktemp("browser"))
    assert names_in(dom) == ["narrow", "wide", "digits-2", "digits-1"]  # the newest first
    marks = re.findall(r'class="marktext"[^>]*>(.*?)</text>', dom)
    assert marks == ["architecture"]  # of the newest model, cnn: wide and narrow share their lock
    assert dom.count('class="dots"') == 1


@needs_browser
def test_page_sorts_and_searches(root, tmp_path_factory):
    main(["runs", "page", f"run.root={root}"])
    folder = tmp_path_factory.mktemp("browser")
    dom = render(root / "registry.html", folder, "#sort=digit+accuracy&search=digits-")
    assert names_in(dom) == ["digits-1", "digits-2"]
    assert "2 of 3" in dom


HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=document.title='owned'>&amp;"


@needs_browser
def test_page_shows_a_name_with_html_as_text(tmp_path, tmp_path_factory):
    write_run(tmp_path, "a", command="x", model=HOSTILE)
    main(["registry", "ingest", f"run.root={tmp_path}"])
    main(["runs", "page", f"run.root={tmp_path}"])
    dom = render(tmp_path / "registry.html", tmp_path_factory.mktemp("browser"))
    assert "<title>Runs</title>" in dom
    assert HOSTILE in [html.unescape(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", dom)]


def test_page_loads_nothing(root):
    main(["runs", "page", f"run.root={root}"])
    text = (root / "registry.html").read_text()
    assert "default-src 'none'" in text
    assert re.findall(r"(?:src|href|action)\s*=|fetch\(|import\b|url\(|XMLHttp|WebSocket", text) == []


@needs_browser
def test_page_of_10_000_runs_shows_the_newest_and_counts_all(tmp_path, tmp_path_factory):
    columns = dict.fromkeys(runs_page.COLUMNS) | {
        "status": "finished",
        "data": "digits",
        "model": "mlp",
        "lock": "l" * 64,
    }
    many = [
        columns
        | {"name": f"run-{n:05}", "started": f"2026-01-{1 + n // 400:02}T{n % 24:02}:00:00", "architecture": "a"}
        for n in range(10_000)
    ]
    for index, row in enumerate(many):
        row["scores"] = {"digit": {"accuracy": index / 10_000}}
    runs_page.write_runs_page(tmp_path / "registry.html", many, "now")
    dom = render(tmp_path / "registry.html", tmp_path_factory.mktemp("browser"), "#sort=-digit+accuracy")
    assert names_in(dom) == [f"run-{n:05}" for n in range(9_999, 9_899, -1)]
    assert "10,000 of 10,000" in dom


def test_run_whose_process_has_ended_is_listed_as_interrupted(tmp_path, capsys):
    write_run(tmp_path, "gone", status="running")
    (tmp_path / "gone" / "result.json").write_text('{"status": "running"}')
    store.upgrade_schema(store.create_engine(Registry(), tmp_path))
    assert main(["runs", f"run.root={tmp_path}"]) == 0
    assert "interrupted" in capsys.readouterr().out

"""The report of a run: its content, that it loads and runs nothing, and that its bytes repeat."""

import base64
import dataclasses
import io
import re
import subprocess
import sys
from html.parser import HTMLParser

import matplotlib.image
import numpy as np
import pytest

from pipeline.evaluation.metrics import evaluate_label
from pipeline.evaluation.options import Evaluation
from pipeline.reports.run_report import RunReport, file_name, format_duration, frequent_mistakes, write_run_report
from pipeline.spec import MULTI_LABEL, DataSpec, Feature, class_label, real_label, row_label

CONFIG = Evaluation(resamples=100)
HOSTILE = "<script>alert('x')</script>"


def evaluate(name, label, targets, outputs, losses, options, seed):
    return evaluate_label(name, label, targets=targets, outputs=outputs, losses=losses, options=options, seed=seed)


class Page(HTMLParser):
    """The tags with their attributes, and the text, as a browser reads them."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def attributes(self, name):
        return [attributes[name] for _, attributes in self.tags if name in attributes]

    @property
    def images(self):
        return [base64.b64decode(uri.partition("base64,")[2]) for uri in self.attributes("src")]


def class_evaluation(classes, rows=300, name="digit", separation=3.0):
    rng = np.random.default_rng(0)
    targets = rng.integers(0, len(classes), rows)
    scores = np.exp(rng.normal(size=(rows, len(classes))) + separation * np.eye(len(classes))[targets])
    outputs = scores / scores.sum(axis=1, keepdims=True)
    return evaluate(name, class_label(classes), targets, outputs, {"loss": 1 - outputs.max(axis=1)}, CONFIG, 0)


def real_evaluation(width, rows=300, name="price"):
    targets, noise = np.random.default_rng(0).normal(size=(2, rows, width))
    return evaluate(name, real_label(width), targets, targets + noise, {"loss": noise[:, 0] ** 2}, CONFIG, 0)


def multi_label_evaluation():
    targets = np.random.default_rng(0).random((100, 3)) < 0.5
    label = row_label(MULTI_LABEL, ["red", "green", "blue"])
    return evaluate("colours", label, targets, 0.2 + 0.6 * targets, {"loss": np.ones(100)}, CONFIG, 0)


def history(epochs, validation=True):
    lines = []
    for epoch in range(1, epochs + 1):
        line = {"epoch": epoch, "loss": 1 / epoch, "accuracy": 1 - 1 / epoch, "learning_rate": 0.001, "seconds": 0.5}
        lines.append(line | ({"val_loss": 2 / epoch, "val_accuracy": 0.9} if validation else {}))
    return lines


def report(evaluations=(), **changes):
    spec = DataSpec(
        {"image": Feature((8, 8, 1), "uint8"), "steps": Feature((None, 12), "float32")},
        {evaluation.name: evaluation.label for evaluation in evaluations},
        (7, 29),
    )
    plain = RunReport(
        title="digits-mlp-1",
        command="python -m pipeline train data=digits",
        status="finished",
        seconds=12.34,
        weights_digest="0123456789abcdef" * 4,
        spec=spec,
        fingerprint="fedcba9876543210",
        rows={"train": 1257, "validation": 180, "test": 360},
        config="seed: 0\n",
        environment={"lock": "sha256:77aa", "image": None, "hardware": {"cores": 2, "gpus": []}},
        summary='Model: "mlp"',
        parameters=6858,
        history=history(5),
        best_epoch=4,
        evaluations=list(evaluations),
        notes=[],
        files={"predictions": "predictions.csv.gz"},
    )
    return dataclasses.replace(plain, **changes)


@pytest.fixture(scope="module")
def digits():
    return class_evaluation([str(name) for name in range(10)])


@pytest.fixture(scope="module")
def digits_folder(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    write_run_report(folder, report([digits]))
    return folder


@pytest.fixture(scope="module")
def digits_page(digits_folder):
    return Page(digits_folder / "report.html")


# ---- content --------------------------------------------------------------------------------------------------------


def test_page_shows_every_score_with_its_interval(digits, digits_page):
    for score in digits.scores.values():
        assert f"{score.value:.4f}" in digits_page.text
        assert f"[{score.low:.4f}, {score.high:.4f}]" in digits_page.text


def test_page_shows_the_calibration_error_and_that_of_a_calibrated_model(digits, digits_page):
    assert f"{digits.calibration.ece:.4f}" in digits_page.text
    assert f"{digits.calibration.ece_by_chance:.4f}" in digits_page.text


def test_page_shows_the_provenance_of_the_run(digits_page):
    for fact in (
        *("digits-mlp-1", "finished", "python -m pipeline train data=digits", "12.3 s", "0123456789abcdef" * 4),
        *(
            "1,257",
            "180",
            "360",
            "6,858",
            'Model: "mlp"',
            "seed: 0",
            "sha256:77aa",
            "fedcba9876543210",
            "any \u00d7 12",
        ),
    ):
        assert fact in digits_page.text, fact


def test_page_has_its_sections_in_order(digits_page):
    sections = [attributes["id"] for tag, attributes in digits_page.tags if tag == "section"]
    assert sections == ["scores", "learning", "label-1", "data", "model", "environment", "config"]


def test_links_within_the_page_have_targets(digits_page):
    anchors = [link[1:] for link in digits_page.attributes("href") if link.startswith("#")]
    assert set(anchors) <= set(digits_page.attributes("id"))
    assert len(anchors) == 7


def test_images_in_the_page_are_the_files_under_plots(digits_folder, digits_page):
    on_disk = {path.read_bytes() for path in (digits_folder / "plots").iterdir()}
    assert set(digits_page.images) == on_disk
    names = sorted(path.name for path in (digits_folder / "plots").iterdir())
    assert names == ["accuracy-curve.png", "digit-confusion.png", "digit-reliability.png", "loss-curve.png"]


def test_every_image_has_a_text_alternative(digits_page):
    assert all(attributes["alt"] for tag, attributes in digits_page.tags if tag == "img")


def test_page_shows_notes(tmp_path):
    assert "environment drifted" in Page(write_run_report(tmp_path, report(notes=["environment drifted: numpy"]))).text


def test_page_names_packages_that_differ_from_the_lock(tmp_path):
    drift = [{"package": package, "locked": "2.0", "installed": "1.9"} for package in ("numpy", "h5py")]
    found = Page(write_run_report(tmp_path, report(environment={"lock": {"drift": drift}}))).text
    assert found.count("installed1.9") == 2 and "packagenumpy" in found and "packageh5py" in found


def test_page_of_weighted_scores_says_so_and_shows_sums_of_weights(digits, tmp_path):
    weights = np.where(np.arange(digits.rows) % 10, 0.5, 0)
    weighted = evaluate_label(
        "digit", digits.label, targets=digits.targets, outputs=digits.outputs, losses={}, options=CONFIG, seed=0,
        weights=weights,
    )  # fmt: skip
    numbers = real_label()
    targets = np.linspace(0, 1, digits.rows)
    real = evaluate_label(
        "price", numbers, targets=targets, outputs=targets, losses={}, options=CONFIG, seed=0, weights=weights
    )
    text = Page(write_run_report(tmp_path, report([weighted, real]))).text
    assert f"{digits.rows * 9 // 10} rows, effective number {digits.rows * 0.9:.1f}" in text
    assert "Numbers are sums of the weights of rows." in text
    assert all(count in (0.5, 1.0, 1.5, 2.0, 2.5) for _, _, count, _ in frequent_mistakes(weighted))


def test_frequent_mistakes_are_the_largest_cells_off_the_diagonal(digits):
    counts = digits.confusion - np.diag(np.diag(digits.confusion))
    true, predicted, count, share = frequent_mistakes(digits)[0]
    assert count == counts.max() == counts[int(true), int(predicted)]
    assert share == count / digits.confusion[int(true)].sum()


# --- security ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory):
    evaluation = class_evaluation(
        [HOSTILE, '"><img src=x onerror=alert(1)>', "$x_{$", "a\nb", "日本", "\udcff", "&amp;"], name=HOSTILE
    )
    hostile = report(
        [evaluation],
        title=HOSTILE,
        command=f"make train data.path='{HOSTILE}'",
        status=HOSTILE,
        fingerprint=HOSTILE,
        config=f"path: {HOSTILE}",
        environment={HOSTILE: HOSTILE, "nested": {HOSTILE: [HOSTILE]}},
        summary=HOSTILE,
        notes=[HOSTILE],
        history=[{"epoch": 1, HOSTILE: 1.0}],
        files={HOSTILE: "javascript:alert(1)", "elsewhere": "https://example.org/x", "odd": 'a" onclick="b'},
        rows={HOSTILE: 1},
    )  # fmt: skip
    return Page(write_run_report(tmp_path_factory.mktemp("hostile"), hostile))


def test_markup_in_names_paths_and_config_is_shown_as_text(hostile_page):
    assert not [tag for tag, _ in hostile_page.tags if tag == "script"]
    assert hostile_page.text.count(HOSTILE) > 10


def test_no_attribute_of_the_page_runs_a_script(hostile_page):
    assert not [name for _, attributes in hostile_page.tags for name in attributes if name.startswith("on")]


def test_page_refers_only_to_itself_and_its_folder(hostile_page, digits_page):
    for page in (hostile_page, digits_page):
        assert all(uri.startswith("data:image/png;base64,") for uri in page.attributes("src"))
        assert not [link for link in page.attributes("href") if ":" in link or link.startswith("/")]
        assert not [tag for tag, _ in page.tags if tag in ("link", "iframe", "object", "base")]


def test_page_forbids_scripts_and_network_access(digits_page):
    policies = [attributes["content"] for _, attributes in digits_page.tags if "http-equiv" in attributes]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_page_adapts_to_dark_screens_phones_and_paper(digits_folder):
    page = (digits_folder / "report.html").read_text()
    for rule in ("prefers-color-scheme: dark", "max-width: 36rem", "@media print", 'name="viewport"'):
        assert rule in page


# ---- every kind of run ----------------------------------------------------------------------------------------------


def plot_files(tmp_path, one):
    write_run_report(tmp_path, one)
    return {path.name: path.read_bytes() for path in (tmp_path / "plots").iterdir()}


def test_run_without_evaluations_or_history_has_a_page(tmp_path):
    empty = report(history=[], best_epoch=None, weights_digest="", summary="", environment={}, files={}, rows={})
    page = Page(write_run_report(tmp_path, empty))
    assert "has not been evaluated" in page.text
    assert page.images == []


@pytest.mark.parametrize("epochs, validation", [(1, True), (1, False), (40, False)])
def test_short_runs_and_runs_without_validation_have_their_curves(tmp_path, epochs, validation):
    plots = plot_files(tmp_path, report(history=history(epochs, validation), best_epoch=None))
    assert set(plots) == {"loss-curve.png", "accuracy-curve.png"}


def test_curves_mark_the_best_epoch(tmp_path):
    marked = plot_files(tmp_path / "marked", report(best_epoch=3))
    assert marked["loss-curve.png"] != plot_files(tmp_path / "plain", report(best_epoch=None))["loss-curve.png"]


def test_curves_show_the_validation_split(tmp_path):
    curves = plot_files(tmp_path / "with", report(history=history(5)))
    without = plot_files(tmp_path / "without", report(history=history(5, False)))
    assert curves["loss-curve.png"] != without["loss-curve.png"]


def test_learning_rate_has_a_curve_only_if_it_changes(tmp_path):
    moving = [{"epoch": epoch, "loss": 1.0, "learning_rate": 0.1**epoch} for epoch in range(1, 5)]
    assert set(plot_files(tmp_path, report(history=moving))) == {"loss-curve.png", "learning_rate-curve.png"}


def test_history_with_gaps_infinities_and_text_is_plotted(tmp_path):
    gaps = [
        {"epoch": 1, "loss": np.inf, "note": "x"},
        {"epoch": 2, "loss": np.float32(1.0), "late": 1},
        {"epoch": 3, "loss": np.nan},
    ]
    assert set(plot_files(tmp_path, report(history=gaps))) == {"loss-curve.png", "late-curve.png"}


@pytest.mark.parametrize("count", [2, 21, 61, 200])
def test_confusion_matrix_of_any_number_of_classes_has_a_readable_size(tmp_path, count):
    evaluation = class_evaluation([f"class number {index} with a long name" for index in range(count)], rows=2 * count)
    plots = plot_files(tmp_path, report([evaluation], history=[]))
    height, width, _ = matplotlib.image.imread(io.BytesIO(plots["digit-confusion.png"])).shape
    assert 600 < width == height < 1300


def test_table_of_classes_is_folded_only_if_it_is_long(tmp_path, digits_page):
    def tables(page):
        return [attributes for tag, attributes in page.tags if tag == "details"]

    many = Page(write_run_report(tmp_path, report([class_evaluation([str(name) for name in range(30)])])))
    assert "open" in tables(digits_page)[0]
    assert "open" not in tables(many)[0]
    assert len([tag for tag, _ in many.tags if tag == "tr"]) > 30


def test_perfect_model_has_no_table_of_mistakes(tmp_path):
    perfect = class_evaluation(["a", "b"], separation=100.0)
    assert "mistakes</summary>" not in write_run_report(tmp_path, report([perfect])).read_text()


def test_each_label_has_its_plots_and_its_section(tmp_path):
    labels = [class_evaluation(["yes", "no"], name="answer"), real_evaluation(1), multi_label_evaluation()]
    page = Page(write_run_report(tmp_path, report(labels, history=[])))
    assert [link for link in page.attributes("href") if "label" in link] == ["#label-1", "#label-2", "#label-3"]
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == [
        *("answer-calibration.png", "answer-confusion.png", "answer-lift.png", "answer-precision-recall.png"),
        *("answer-reliability.png", "answer-roc.png"),
        *("price-histogram.png", "price-predicted.png", "price-residuals.png"),
    ]


@pytest.mark.slow
def test_labels_with_similar_names_do_not_share_files(tmp_path):
    labels = [class_evaluation(["x", "y"], name=name) for name in ("a b", "a/b", "a_b")]
    assert len(plot_files(tmp_path, report(labels, history=[]))) == 18
    assert file_name("../../etc/passwd").isprintable() and "/" not in file_name("../../etc/passwd")


@pytest.mark.slow
def test_plots_of_a_wide_real_label_stop_at_four_outputs_with_a_note(tmp_path):
    page = Page(write_run_report(tmp_path, report([real_evaluation(6)], history=[])))
    assert len(page.images) == 12
    assert "first 4 of 6 outputs" in page.text


@pytest.mark.parametrize(
    ("rows", "images"),
    [(1, 5), pytest.param(2, 5, marks=pytest.mark.slow), pytest.param(6_000, 9, marks=pytest.mark.slow)],
)
def test_few_rows_many_rows_and_constant_predictions_are_plotted(tmp_path, rows, images):
    constant = evaluate("y", real_label(), np.ones(rows), np.full(rows, 2.0), {"loss": np.ones(rows)}, CONFIG, 0)
    page = Page(write_run_report(tmp_path, report([constant, class_evaluation(["a", "b"], rows)], history=[])))
    assert len(page.images) == images  # one of two classes without rows has no curves
    assert "nan" not in page.text


# ---- repeatability --------------------------------------------------------------------------------------------------


def test_report_has_the_same_bytes_under_other_plot_settings(digits, digits_folder, tmp_path):
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red", "figure.dpi": 50}):
        write_run_report(tmp_path, report([digits]))
    for path in (digits_folder / "report.html", *(digits_folder / "plots").iterdir()):
        assert path.read_bytes() == (tmp_path / path.relative_to(digits_folder)).read_bytes(), path.name


def test_writing_a_report_keeps_the_users_plot_settings(tmp_path):
    with matplotlib.rc_context({"font.size": 20}):
        write_run_report(tmp_path, report())
        assert matplotlib.rcParams["font.size"] == 20
        assert matplotlib.rcParams["text.parse_math"]


def test_images_contain_no_software_name_and_no_time(digits_page):
    assert not [image for image in digits_page.images if re.search(rb"tEXt|iTXt|zTXt|tIME", image)]


@pytest.mark.slow
def test_import_of_reports_loads_no_window_toolkit_and_no_tensorflow():
    program = "import sys, pipeline.reports.run_report; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"matplotlib.pyplot", "tensorflow", "keras", "tkinter"} & set(loaded)


@pytest.mark.parametrize(
    "seconds, text", [(0.04, "0.0 s"), (59.9, "1 min 00 s"), (61, "1 min 01 s"), (7380, "2 h 03 min")]
)
def test_duration_is_formatted_in_hours_minutes_or_seconds(seconds, text):
    assert format_duration(seconds) == text

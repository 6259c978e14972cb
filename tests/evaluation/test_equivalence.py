"""The verdicts of `qualify`: their error rates by simulation, and too few seeds."""

import numpy as np
import pytest

from pipeline.evaluation import equivalence
from pipeline.evaluation.equivalence import EquivalenceVerdict, PairedScores
from pipeline.reports import qualification_page

MARGIN, CONFIDENCE, ROWS, COMPARISONS = 0.005, 0.95, 360, 1_000


def pairs(baseline, candidate, identical=False):
    return PairedScores(
        baseline=tuple(baseline),
        candidate=tuple(candidate),
        identical=(identical,) * len(baseline),
        resolution=1 / ROWS,
    )


def one(baseline, candidate, identical=False, margin=MARGIN):
    (found,) = equivalence.compare_environments(
        {"digit": pairs(baseline, candidate, identical)}, margin=margin, confidence=CONFIDENCE
    )
    return found


def scores(rng, level, seeds, spread=0.012):
    """Accuracies on ROWS rows as seeds scatter them on digits."""
    return np.round((level + rng.normal(0, spread, seeds)) * ROWS) / ROWS


def rate(verdict, effect, seeds, sets=1, spread=0.012, margin=MARGIN):
    """Return the share of simulations with this verdict on all data sets, if each has this effect."""
    rng, found, trials = np.random.default_rng(0), 0, COMPARISONS // sets
    for _ in range(trials):
        samples = {
            str(number): pairs(scores(rng, 0.95, seeds, spread), scores(rng, 0.95 + effect, seeds, spread))
            for number in range(sets)
        }
        found += (
            equivalence.overall_verdict(equivalence.compare_environments(samples, margin=margin, confidence=CONFIDENCE))
            == verdict
        )
    return found / trials


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 10])
@pytest.mark.parametrize("sets", [1, 5])
def test_seed_noise_is_different_at_most_at_the_stated_rate(seeds, sets):
    assert rate(EquivalenceVerdict.DIFFERENT, 0.0, seeds, sets) < 0.05 + 0.02


def test_four_points_are_different_with_ten_seeds():
    assert rate(EquivalenceVerdict.DIFFERENT, -0.04, 10) > 0.99


def test_a_difference_of_the_margin_is_equivalent_at_most_at_the_stated_rate():
    assert rate(EquivalenceVerdict.EQUIVALENT, 0.005, 20, spread=0.003) < 0.05 + 0.02
    assert rate(EquivalenceVerdict.EQUIVALENT, -0.005, 20, spread=0.003) < 0.05 + 0.02


def test_the_needed_number_of_seeds_shows_equivalence():
    seeds = equivalence.seeds_needed(0.012 * np.sqrt(2), margin=MARGIN, alpha=1 - CONFIDENCE)
    assert rate(EquivalenceVerdict.EQUIVALENT, 0.0, seeds) == pytest.approx(equivalence.POWER, abs=0.06)


@pytest.mark.slow
def test_ten_seeds_with_large_noise_are_not_equivalent():
    assert rate(EquivalenceVerdict.TOO_FEW_SEEDS, 0.0, 10) > 0.9


def test_the_same_bits_are_identical_whatever_the_seeds():
    assert one([0.9], [0.9], identical=True).verdict == EquivalenceVerdict.IDENTICAL


def test_other_bits_at_the_same_scores_are_not_identical():
    assert one([0.9, 0.92, 0.91] * 3, [0.9, 0.92, 0.91] * 3).verdict == EquivalenceVerdict.EQUIVALENT


def test_one_or_two_seeds_are_too_few_even_without_variance():
    assert one([0.9], [0.9]).verdict == EquivalenceVerdict.TOO_FEW_SEEDS
    assert one([0.9, 0.9], [0.9, 0.9]).verdict == EquivalenceVerdict.TOO_FEW_SEEDS


def test_a_significant_difference_below_the_margin_is_equivalent():
    before = np.linspace(0.9, 0.95, 20)
    found = one(before, before + 0.0015)
    assert found.low > 0 and found.verdict == EquivalenceVerdict.EQUIVALENT


def test_identical_data_sets_are_not_counted_as_tested():
    rng = np.random.default_rng(0)
    noisy = pairs(scores(rng, 0.95, 10), scores(rng, 0.93, 10))
    same = pairs([0.9] * 10, [0.9] * 10, identical=True)
    alone = equivalence.compare_environments({"a": noisy}, margin=MARGIN, confidence=CONFIDENCE)[0]
    assert equivalence.compare_environments({"a": noisy, "b": same}, margin=MARGIN, confidence=CONFIDENCE)[0] == alone


def test_the_page_needs_no_network_and_escapes_names(tmp_path):
    found = equivalence.compare_environments(
        {"<b> digit": pairs([0.9, 0.95, 0.93], [0.9, 0.91, 0.92]), "one": pairs([0.9], [0.8])},
        margin=MARGIN,
        confidence=CONFIDENCE,
    )
    lock = {"path": "<lock>", "sha256": "f" * 64}
    content = {
        **{
            "verdict": equivalence.overall_verdict(found),
            "command": "qualify",
            "locks": {"baseline": lock, "candidate": lock},
        },
        **{"changes": ["keras 1 -> 2"], "code": "c" * 64, "hardware": {"make": {"model": "2"}}},
        "settings": {"metric": "accuracy", "margin": MARGIN, "confidence": CONFIDENCE},
    }
    qualification_page.write_qualification_page(tmp_path / "report.html", content, found)
    page = (tmp_path / "report.html").read_text()
    assert "&lt;b&gt; digit" in page and "<b> digit" not in page and "default-src 'none'" in page
    assert page.count('class="dot"') == 4 and "inf" not in page

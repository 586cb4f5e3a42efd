"""Check edge cases of ranks, metrics, intervals and slices."""
import numpy as np
import pytest

from embedding_search.evaluation.metrics import (
    STOP,
    best_ranks,
    bootstrap_means,
    is_lay,
    is_prefix,
    is_shorthand,
    movement,
    paired_bootstrap,
    query_metrics,
    relevant_ranks,
    slice_tokens,
    summary,
    vocabulary,
)

INF = np.inf


@pytest.mark.parametrize(('scores', 'relevant', 'ranks'), [
    ([.2, .9], [0, 0], [2]),
    ([3.], [0], [1]),
    ([], [], [INF]),
    (np.array([1, 2, 3]), [0], [3]),
    (np.array([.5, -INF, -INF], np.float32), [2, 1], [INF, INF]),
])
def test_ranks(scores, relevant, ranks):
    found = relevant_ranks(scores, relevant)
    assert found.dtype == np.float64
    assert found.tolist() == ranks


def test_ranks_reject_bad_input():
    with pytest.raises(ValueError, match='NaN'): relevant_ranks([.2, np.nan], [0])
    with pytest.raises(IndexError): relevant_ranks([.2], [3])


def test_metrics_at_the_edges():
    nothing = query_metrics([np.array([]), np.array([INF])])
    for values in nothing.values(): assert values.tolist() == [0, 0]
    assert best_ranks([np.array([])]) == [INF]
    late = query_metrics([np.array([11.])])
    assert late['MRR@10'] == [0]
    assert late['MRR'] == [1 / 11]
    twelve = query_metrics([np.arange(1., 13)])
    assert twelve['nDCG@10'] == pytest.approx([1])
    assert {values.dtype for values in twelve.values()} == {np.dtype('float64')}
    assert not len(query_metrics([])['MAP'])
    with pytest.raises(ValueError, match='no queries'): summary([])


def test_movement_is_symmetric():
    before, after = [1, 9, 3, INF, 7, INF, 2], [1, 2, 6, 80, 8, INF, 1]
    forward, backward = movement(before, after), movement(after, before)
    assert (forward['improved'], forward['gained5']) == (backward['regressed'], backward['lost5'])
    assert movement([2, 3], [1, 1])['ratio'] == 2
    with pytest.raises(ValueError, match='2 queries before'): movement([1, 2], [1])


@pytest.fixture
def two_systems():
    "Results of 400 queries, half of them hard; the second system finds some of what the first one misses."
    rng = np.random.default_rng(3)
    first = rng.random(400) < np.where(rng.random(400) < .5, .1, .9)
    return first, first | (rng.random(400) < .06)


def test_bootstrap_means():
    means = bootstrap_means(np.array([[0, 1.], [1, 1], [2, 1]]), 500)
    assert abs(means[:, 0].mean() - 1) < .1
    assert (means[:, 1] == 1).all()


def test_pairing_narrows_the_interval(two_systems):
    a, b = two_systems
    gain, low, high = paired_bootstrap(a, b)
    shuffled = paired_bootstrap(a, np.random.default_rng(0).permutation(b))
    assert gain == pytest.approx(b.mean() - a.mean())
    assert shuffled[0] == pytest.approx(gain)
    assert shuffled[1] < 0 < low < gain < high < shuffled[2]


def test_intervals(two_systems):
    a, b = two_systems
    gain, low, high = paired_bootstrap(a, b)
    assert paired_bootstrap(a, b) == (gain, low, high)
    assert paired_bootstrap(a, a) == (0, 0, 0)
    assert paired_bootstrap(b, a) == pytest.approx((-gain, -high, -low))
    _, lower, higher = paired_bootstrap(a, b, tail=.5)
    assert lower < low < high < higher
    with pytest.raises(ValueError, match='the same ones'): paired_bootstrap([1, 0], [1])
    with pytest.raises(ValueError, match='at least one'): paired_bootstrap([], [])


def test_groups_are_labels(two_systems):
    a, b = two_systems
    four_each = np.arange(400) // 4
    by_number = paired_bootstrap(a, b, 200, groups=four_each)
    assert paired_bootstrap(a, b, 200, groups=[f't{i:03}' for i in four_each]) == by_number
    assert paired_bootstrap(a, b, 200) == paired_bootstrap(a, b, 200, groups=np.arange(400)) != by_number


def test_slices_at_the_edges():
    words = vocabulary(['Wheel alignment', 'Oil'])
    assert words.prefixes >= {'o', 'oi', 'oil', 'wheel'}
    assert slice_tokens(' -- ') == []
    assert not is_shorthand('', words)
    assert not is_shorthand('von links', {'links'}, stop=frozenset({'von'}))
    assert is_prefix('wheel align', set(words))
    assert not is_prefix('alignment!', words)
    assert is_lay('grease', ['oil'])
    assert not is_lay('oils', ['oil'])
    assert {word.casefold() for word in STOP} == STOP

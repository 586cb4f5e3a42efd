"Ways to learn titles from queries, on toy vectors; `benchmarks/closed_catalog.py` compares them."
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]/'benchmarks'))
from title_methods import (
    Learned,
    learn_by_moving,
    learn_closed_catalog,
    learn_earlier,
    learn_free_vectors,
    mean_queries,
    move_by_nudge,
    move_to_mean,
)

from embedding_search.model.closed_catalog import DevQueries, Examples
from embedding_search.model.encoders import truncate

WORDS = ['oil', 'brake', 'belt', 'clutch', 'mirror', 'window', 'horn', 'tire', 'pump', 'lamp']


@pytest.fixture(scope='module')
def examples():
    "Ten titles, of which the last two have no queries; queries are close to another place than their title."
    rng = np.random.default_rng(0)
    titles = truncate(rng.normal(size=(10, 32)).astype(np.float32), 32)
    goals = truncate(titles + rng.normal(size=(10, 32)) * .3, 32)
    answer = np.repeat(np.arange(8), 3)
    queries = truncate((goals[answer] + rng.normal(size=(24, 32)) * .1).astype(np.float32), 32)
    texts = [f'my {WORDS[i]} {ending}' for i in range(8) for ending in ('is broken', 'please', 'today')]
    names = [f'{word} repair' for word in WORDS]
    return Examples(texts, queries, answer, names, titles, np.arange(10), np.arange(10) < 9)


def mean_cosine(titles, examples): return float((titles[examples.answer] * examples.query_vectors).sum(1).mean())


def test_mean_queries_are_zero_without_queries(examples):
    means = mean_queries(examples)
    assert np.allclose(means[3], examples.query_vectors[9:12].mean(0), atol=1e-6)
    assert not means[8:].any()


@pytest.mark.parametrize(('move', 'values'), [(move_to_mean, (0, .5, 1, 4)), (move_by_nudge, (0, .1, .3, 1))])
def test_titles_move_towards_their_queries_and_others_stay(examples, move, values):
    titles, means = examples.title_vectors, mean_queries(examples)
    moved = [move(titles, means, value) for value in values]
    assert np.allclose(moved[0], titles, atol=1e-6)
    cosines = [mean_cosine(some, examples) for some in moved]
    assert cosines == sorted(cosines)
    assert cosines[0] < cosines[1]
    for some in moved:
        assert np.allclose(np.linalg.norm(some, axis=1), 1, atol=1e-5)
        assert np.allclose(some[8:], titles[8:], atol=1e-6)


def test_nudge_is_the_best_unit_vector_within_the_step(examples):
    titles, means = examples.title_vectors, mean_queries(examples)
    moved = move_by_nudge(titles, means, .3)
    distance = np.linalg.norm(moved - titles, axis=1)
    goals = truncate(means, 32)
    near = np.linalg.norm(goals - titles, axis=1) <= .3
    assert (distance <= .3 + 1e-5).all()
    assert np.allclose(moved[near], goals[near], atol=1e-5)
    far = ~near & (np.arange(10) < 8)
    assert far.any()
    assert np.allclose(distance[far], .3, atol=1e-5)

    rng = np.random.default_rng(1) # Nothing else at this distance is closer to the queries
    for i in np.flatnonzero(far):
        aside = rng.normal(size=(500, 32))
        aside = truncate(aside - (aside @ titles[i])[:, None] * titles[i], 32)
        others = (1 - .3**2 / 2) * titles[i] + (1 - (1 - .3**2 / 2)**2)**.5 * aside
        assert (others @ means[i]).max() <= moved[i] @ means[i] + 1e-6


def test_nudge_does_not_turn_titles_around():
    titles = np.array([[1, 0], [0, 1]], np.float32)
    means = np.array([[-1, .1], [.6, .8]], np.float32)
    moved = move_by_nudge(titles, means, 2**.5)
    assert np.allclose(moved, [[1, 0], [.6, .8]], atol=1e-6)


def test_the_best_value_is_chosen(examples):
    found = learn_by_moving(examples, move_to_mean, (0, 1, 4), lambda learned: -abs(learned.titles[0, 0]))
    tried = [abs(move_to_mean(examples.title_vectors, mean_queries(examples), value)[0, 0]) for value in (0, 1, 4)]
    assert abs(found.titles[0, 0]) == min(tried)
    assert found.note.endswith('of 0 to 4')


def found_first(learned, examples, with_transformer=True):
    vectors = learned.encode(examples.query_vectors, examples.queries, with_transformer)
    return float(((vectors @ learned.titles.T).argmax(1) == examples.answer).mean())


@pytest.fixture(scope='module')
def options(examples):
    "Options of closed-catalog learning."
    dev = DevQueries(examples.queries, examples.query_vectors, list(examples.answer[:, None]))
    return dict(dev=dev, seed=42, epochs=1, buckets=256, width=16)


def check(learned, examples):
    assert learned.titles.shape == examples.title_vectors.shape
    assert found_first(learned, examples) > .9
    assert found_first(learned, examples, with_transformer=False) > .9


def test_the_earlier_method_finds_what_it_learned(examples): check(learn_earlier(examples, seed=42), examples)


def test_closed_catalog_learning_finds_what_it_learned(examples, options):
    learned = learn_closed_catalog(examples, **options)
    check(learned, examples)
    assert 'after 1 epochs' in learned.note
    assert not np.allclose(learned.titles[8:], examples.title_vectors[8:], atol=1e-3)


def test_free_vectors_alone_do_not_move_titles_without_queries(examples, options):
    learned = learn_free_vectors(examples, **options)
    check(learned, examples)
    assert np.allclose(learned.titles[8:], examples.title_vectors[8:], atol=1e-5)


def test_without_an_encoder_queries_stay(examples):
    vectors = Learned(examples.title_vectors).encode(examples.query_vectors, examples.queries)
    assert vectors is examples.query_vectors

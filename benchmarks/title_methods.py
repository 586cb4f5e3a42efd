"""Ways to learn a closed catalog from training queries, compared by `closed_catalog.py`.

Functions that begin with `learn` or `keep` take `Examples`. Functions that begin with `move` take the vectors of all
titles, and the mean vector of the queries of each, which is zero for a title without queries."""
from functools import partial
from typing import NamedTuple

import numpy as np
from earlier_method import learn_earlier_method

import embedding_search.model.closed_catalog as closed
from embedding_search.model.closed_catalog import mean_queries
from embedding_search.model.encoders import truncate
from embedding_search.model.ngrams import NgramEncoder

WEIGHTS = (.05, .1, .2, .35, .5, 1, 2) # Of the mean of the queries relative to the title
STEPS = (.02, .05, .1, .2, .3, .5, .7, 1) # Of NUDGE-N


class Learned(NamedTuple):
    "What a method learned."
    titles: np.ndarray # float32 `(titles, dim)` unit vectors of all titles
    encoder: NgramEncoder | None = None # Added to the query vectors of the transformer
    note: str = '' # What was chosen on dev queries

    def encode(self, vectors, texts, with_transformer=True):
        "Encode queries of which the transformer computed `vectors`."
        if self.encoder is None: return vectors
        return self.encoder.blend(vectors, texts) if with_transformer else self.encoder.encode(texts)


def move_to_mean(titles, means, weight):
    "Add the mean of its queries to each title, `weight` times."
    return truncate(titles + weight * means, titles.shape[1])


def move_by_nudge(titles, means, step):
    """Turn each title towards its queries, by a distance of `step` at most: NUDGE-N, https://arxiv.org/abs/2409.02343.

    Let t be a title and g the normalized mean of its queries. Among the unit vectors at a distance of at most `step`
    from t, the one with the largest mean cosine with these queries is g if it is that close, and otherwise
    c t + sqrt(1 - c^2) z, with c = 1 - step^2 / 2 and z = (g - (g t) t) / |g - (g t) t|. As in the authors' code,
    titles with g t <= 0 stay where they are."""
    dim = titles.shape[1]
    goals = truncate(means, dim)
    cosines = (titles * goals).sum(1, keepdims=True)
    aside = truncate(goals - cosines * titles, dim)
    near = 1 - step**2 / 2
    turned = near * titles + (1 - near**2)**.5 * aside
    turned = np.where(cosines >= near, goals, turned)
    return np.where(cosines > 0, turned, titles).astype(np.float32)


def keep_titles(examples): return Learned(examples.title_vectors)


def learn_by_moving(examples, move, values, score):
    "Move all titles by each of `values`, and keep the titles with the largest `score`."
    moved = partial(move, examples.title_vectors, mean_queries(examples))
    scores = {value: score(Learned(moved(value))) for value in values}
    best = max(scores, key=scores.get)
    return Learned(moved(best), note=f'{best:g} of {min(values):g} to {max(values):g}')


def learn_closed_catalog(examples, dev, seed, **settings):
    "Learn with closed-catalog learning, as a run does; `dev` chooses the epoch and the weight of the n-grams."
    found, history = closed.learn_closed_catalog(examples, dev, closed.ClosedCatalogSettings(**settings), seed)
    return use_tables(found, examples, f'weight {found.encoder.weight:g} after {len(history)} epochs')


class FreeLearner(closed.Learner):
    "Learn the query table and free vectors; titles without queries stay where they are."
    def _offsets(self):
        dim = self.examples.title_vectors.shape[1]
        return np.zeros((dim + 1, dim), np.float32)


def learn_free_vectors(examples, dev, seed, epochs, **settings):
    "Learn free vectors with the other titles of a batch as negatives, and no other part of title vectors."
    learner = FreeLearner(examples, closed.ClosedCatalogSettings(**settings | dict(negatives=0)), seed)
    learner.tables['title'].learning_rate = 0.
    for number in range(epochs): learner.epoch(number, epochs)
    found = learner.result()
    found.encoder.weight = closed.choose_weight(found, examples, dev, seed)
    return use_tables(found, examples, f'weight {found.encoder.weight:g} after {epochs} epochs')


def use_tables(found, examples, note):
    "Add learned tables to the titles."
    return Learned(found.titles.add(examples.title_vectors, examples.titles), found.encoder, note)


def learn_earlier(examples, seed):
    "Learn with the method that closed-catalog learning replaced."
    encoder, titles = learn_earlier_method(examples, seed)
    return Learned(titles, encoder)

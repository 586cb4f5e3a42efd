"""Evaluate the trained models of `recipe.py` further, without training a transformer.

Each function takes a `TrainingLab` and the name of a row, and returns results by variant."""
import time
from itertools import chain
from pathlib import Path

from lab import QueryReplacement, TrainingLab, encode_queries, fast_encoder, probe_recall
from recipe_data import ICONS
from teacher import Teacher, rerank

from embedding_search.evaluation.systems import dense_scores
from embedding_search.model.encoders import load_model
from embedding_search.model.interpolation import interpolate_weights
from embedding_search.model.ngram_training import NgramSettings, learn_ngram_encoder, training_texts
from embedding_search.model.title_adapter import TitleAdapter, mean_by_title, sample_queries
from embedding_search.search.searcher import distinct_titles

ALPHAS = (.3, .5, .7, .85) # Positions between base model (0) and fine-tuned model (1)
WEIGHTS = (0., 1., 2., 3.) # Of the title adapter
TRUST = ((.2, 2), (.3, 1), (.3, 2), (.3, 4), (.4, 2)) # Floor and weight of the n-gram encoder
TABLES = {'one table': NgramSettings(titles=False), 'two tables': NgramSettings()}


def interpolated(lab, name, alpha):
    "Interpolate base model and the model of a row."
    return interpolate_weights(load_model(), lab.model_of(name), alpha)


def compare_alphas(lab, name):
    "Evaluate positions between base model and the model of a row."
    return {f'{alpha:g}': lab.compare(lab.ranks(interpolated(lab, name, alpha))) for alpha in ALPHAS}


def query_means(encoder, queries_of):
    "Average the vectors of each title's queries."
    queries = list(chain.from_iterable(queries_of.values()))
    return mean_by_title(encoder.encode(queries, 'query'), [len(queries) for queries in queries_of.values()])


def compare_title_adapters(lab, name):
    "Evaluate the title adapter with several weights, half of the way and all of it."
    known = sample_queries(lab.pairs_of(name), seed=lab.seed)
    found = {}
    for alpha in (1.,) if name == 'base' else (.5, 1.):
        encoder = fast_encoder(interpolated(lab, name, alpha))
        titles = encoder.encode(lab.corpus.titles, 'title')
        known_titles = encoder.encode([lab.title_of[id] for id in known], 'title')
        begin = time.time()
        adapter = TitleAdapter.fit(known_titles, query_means(encoder, known))
        queries = encode_queries(encoder, lab.dev)
        seconds = round(time.time() - begin, 1)
        for weight in WEIGHTS:
            adapter.weight = weight
            adapted = adapter.adapt(titles)
            ranks = {test_set: lab.rank(dense_scores(queries[test_set], adapted), lab.dev[test_set])
                     for test_set in lab.dev}
            found[f'{alpha:g}, weight {weight:g}'] = dict(fit_s=seconds, **lab.compare(ranks))
    return found


def transformer_alone(texts, vectors): return vectors


class NgramStudy:
    "Evaluate n-gram encoders next to one transformer, with adapted titles."
    def __init__(self, lab, name, alpha=.5):
        self.lab = lab
        self.pairs = lab.pairs_of(name)
        self.encoder = fast_encoder(interpolated(lab, name, alpha))
        self.titles, numbers = distinct_titles(lab.rows)
        self.number_of = {row['id']: int(number) for row, number in zip(lab.rows, numbers, strict=True)}
        self.vectors = self.adapt_titles()
        self.queries = encode_queries(self.encoder, lab.dev)

    def adapt_titles(self):
        "Encode all titles and move them towards their queries."
        known = sample_queries(self.pairs, seed=self.lab.seed)
        vectors = self.encoder.encode(self.titles, 'title')
        known_titles = vectors[[self.number_of[id] for id in known]]
        return TitleAdapter.fit(known_titles, query_means(self.encoder, known)).adapt(vectors)

    def evaluate(self, blend, vectors, seconds=0.):
        "Evaluate `blend`, a function of query texts and the transformer's vectors, with title vectors."
        lab = self.lab
        corpus_vectors = vectors[[self.number_of[row['id']] for row in lab.corpus.entry]]
        ranks = {}
        for test_set, queries in lab.dev.items():
            query_vectors = blend([query['query'] for query in queries], self.queries[test_set])
            ranks[test_set] = lab.rank(dense_scores(query_vectors, corpus_vectors), queries)

        def encode_texts(texts): return blend(texts, self.encoder.encode(texts, 'query'))
        probe = probe_recall(QueryReplacement(self.encoder, encode_texts))
        return dict(fit_s=round(seconds, 1), probe=probe, **lab.compare(ranks))

    def learn(self, settings):
        "Train the tables; return encoder, title vectors and seconds."
        lab = self.lab
        rows = [row | dict(family=lab.family_of[row['id']], title_no=self.number_of[row['id']]) for row in lab.rows]
        texts, answers, families = training_texts(rows, self.pairs, lab.heldout)
        begin = time.time()
        encoder, table = learn_ngram_encoder(texts, answers, self.titles, self.vectors, families, settings, lab.seed)
        seconds = time.time() - begin
        return encoder, table.add(self.vectors, self.titles) if table else self.vectors, seconds

    def compare_trust(self, what, settings, trust):
        "Evaluate the tables of `settings` alone and blended by pairs of floor and weight."
        encoder, vectors, seconds = self.learn(settings)
        def ngrams_alone(texts, _): return encoder.encode(texts)
        def blended(texts, transformer): return encoder.blend(transformer, texts)
        found = {}
        if settings.titles:
            found[f'{what}, transformer alone'] = self.evaluate(transformer_alone, vectors, seconds)
        found[f'{what}, n-gram encoder alone'] = self.evaluate(ngrams_alone, vectors, seconds)
        for floor, weight in trust:
            encoder.floor = floor
            encoder.weight = weight
            found[f'{what}, floor {floor:g}, weight {weight:g}'] = self.evaluate(blended, vectors, seconds)
        return found


def compare_ngram_encoders(lab, name, alpha=.5, trust=TRUST, tables=None):
    "Evaluate the n-gram encoder with and without a table for titles, alone and blended with the transformer."
    study = NgramStudy(lab, name, alpha)
    found = {'transformer alone': study.evaluate(transformer_alone, study.vectors)}
    for what, settings in (tables or TABLES).items(): found |= study.compare_trust(what, settings, trust)
    return found


def compare_shipped(lab, name, alpha=.5):
    "Evaluate a row as it would ship, with the default settings."
    settings = NgramSettings()
    trust = [(settings.floor, settings.weight)]
    return compare_ngram_encoders(lab, name, alpha, trust, {'two tables': settings})


def compare_shipped_alphas(lab, name):
    "Evaluate a row as it would ship, closer to the base model."
    found = {}
    for alpha in (.3, .4):
        for key, result in compare_shipped(lab, name, alpha).items():
            if 'floor' in key or key == 'transformer alone': found[f'alpha {alpha:g}, {key}'] = result
    return found


def compare_on_icons(lab, name):
    "Evaluate a model on the icons' dev queries; `own` is the model of the run over icons."
    icons = TrainingLab(Path(ICONS), lab.work/'icons', seed=lab.seed)
    model = load_model(f'{ICONS}/fine_tuned') if name == 'own' else lab.model_of(name)
    return {'on icons': icons.compare(icons.ranks(model))}


def compare_reranking(lab, name):
    "Evaluate a row whose first titles the cross-encoder orders, and count what it said about the negatives."
    teacher = Teacher(lab)
    ranks = rerank(lab, fast_encoder(lab.model_of(name)), teacher)
    return {'second look': lab.compare(ranks) | teacher.numbers()}


# Names as in the stored results
STUDIES = dict(interpolate=compare_alphas, adapter=compare_title_adapters, ngram=compare_ngram_encoders,
               final=compare_shipped, nearer=compare_shipped_alphas, icons=compare_on_icons,
               teacher=compare_reranking)

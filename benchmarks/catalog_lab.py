"""Load what the studies of `closed_catalog.py` share, and evaluate methods on it."""
import copy
import gzip
import random
import time
from functools import cached_property

import numpy as np
from lab import Lab, probe_recall
from title_methods import Learned

from embedding_search.artifacts import recorded_hashes, short_hash
from embedding_search.evaluation.metrics import best_ranks, movement, paired_bootstrap
from embedding_search.evaluation.systems import dense_scores
from embedding_search.model.closed_catalog import DevQueries, Examples
from embedding_search.model.encoders import OnnxEncoder, cached_vectors, load_model
from embedding_search.model.export import export_model
from embedding_search.model.search_encoders import QueryEncoder, TitleEncoder
from embedding_search.model.title_vectors import TitleVectors
from embedding_search.search.searcher import distinct_titles
from embedding_search.search.site import pack_table

SEED = 42
SAMPLE = 1500 # Dev queries of each test set
TUNING = 500 # Of these, queries that closed-catalog learning chooses with, as in a run
TIMED = 100 # Queries whose time is measured
RUN, BASE, NGRAMS = 'transformer of the run', 'base model', 'n-grams only' # Encoders
EARLIER, FULL = 'earlier method', 'closed-catalog learning' # Methods
SLICES = ('titles with training queries', 'other titles')


class CatalogLab(Lab):
    "Number the titles and sample dev queries; with `limit`, at most that many training queries and few titles."
    def __init__(self, folder, work, limit=0):
        super().__init__(folder, work)
        self.cache = work/'vectors' if limit else self.folder/'vectors'
        if limit: self.shrink(limit)
        rng = random.Random(SEED)
        self.dev = {name: rng.sample(queries, min(SAMPLE, len(queries))) for name, queries in self.dev.items()}
        self.titles, numbers = distinct_titles(self.rows)
        self.number_of = {row['id']: int(number) for row, number in zip(self.rows, numbers, strict=True)}
        families = [''] * len(self.titles)
        for id, number in self.number_of.items(): families[number] = self.family_of[id]
        self.family = np.unique(families, return_inverse=True)[1]
        self.trainable = np.array([family not in self.heldout for family in families])
        self.answer = np.array([self.number_of[pair['id']] for pair in self.all_pairs])
        self.searched = np.array([self.number_of[row['id']] for row in self.corpus.entry])

    def shrink(self, limit):
        "Keep some training queries, a tenth as many dev queries of each test set, their titles and some others."
        rng = random.Random(SEED)
        self.all_pairs = rng.sample(self.all_pairs, min(limit, len(self.all_pairs)))
        self.dev = {name: rng.sample(queries, min(limit // 10, len(queries))) for name, queries in self.dev.items()}
        kept = {pair['id'] for pair in self.all_pairs} | set(rng.sample(sorted(self.title_of), limit))
        for queries in self.dev.values(): kept.update(id for query in queries for id in query['ids'])
        self.rows = [row for row in self.rows if row['id'] in kept]
        self.entries = [row for row in self.entries if row['id'] in kept]

    def texts(self, name): return [query['query'] for query in self.dev[name]]

    def examples(self, encoder, chosen=None):
        "Collect all training queries, or those whose numbers are `chosen`."
        chosen = np.arange(len(self.all_pairs)) if chosen is None else chosen
        queries = [self.all_pairs[i]['query'] for i in chosen]
        return Examples(queries, encoder.queries[chosen], self.answer[chosen], self.titles, encoder.titles, self.family,
                        self.trainable)

    def tuning(self, encoder):
        "Return the dev queries that closed-catalog learning chooses with."
        queries = sum([some[:TUNING] for some in self.dev.values()], [])
        vectors = np.concatenate([encoder.dev[name][:TUNING] for name in self.dev])
        answers = [np.unique([self.number_of[id] for id in query['ids']]) for query in queries]
        return DevQueries([query['query'] for query in queries], vectors * encoder.in_search, answers)

    @cached_property
    def reference(self):
        "Best ranks of the base model."
        base = self.encoders[BASE]
        return self.ranks(Learned(base.titles), base)

    @cached_property
    def encoders(self):
        "Encoders by name. *n-grams only* learns with the base model, and searches without it."
        base = self.work/'base'
        if not (base/'onnx'/'sha256.json').exists():
            load_model(self.run.settings.training.base).save_pretrained(str(base))
            export_model(base)
        found = {RUN: Encoder(self, self.folder/'model', self.cache), BASE: Encoder(self, base, self.work/'vectors')}
        ngrams = copy.copy(found[BASE])
        ngrams.in_search = False
        return found | {NGRAMS: ngrams}

    def ranks(self, learned, encoder):
        "Find the best rank of each dev query by test set."
        titles = learned.titles[self.searched]
        ranks = {}
        for name, queries in self.dev.items():
            vectors = learned.encode(encoder.dev[name], self.texts(name), encoder.in_search)
            ranks[name] = best_ranks(self.rank(dense_scores(vectors, titles), queries)['strict'])
        return ranks

    def mean_mrr(self, encoder, learned):
        "Return the mean of the MRR of all test sets."
        return float(np.mean([(1 / ranks).mean() for ranks in self.ranks(learned, encoder).values()]))


class Encoder:
    "Encode the texts of a lab with an exported transformer, and keep the vectors."
    def __init__(self, lab, model, cache):
        self.lab = lab
        self.model = model
        self.cache = cache
        self.in_search = True # Whether queries are searched with the transformer
        self.dim = lab.run.settings.search.dim
        self.onnx = OnnxEncoder.load(model, threads=lab.run.settings.threads, dim=self.dim)

    def encode(self, texts, kind):
        "Encode texts, or read their vectors; the key is that of the pipeline."
        key = short_hash([recorded_hashes(self.model)['model_quantized.onnx'], self.dim])
        return cached_vectors(self.onnx, texts, kind, self.cache, key)

    @cached_property
    def titles(self): return self.encode(self.lab.titles, 'title')

    @cached_property
    def queries(self): return self.encode([pair['query'] for pair in self.lab.all_pairs], 'query')

    @cached_property
    def dev(self): return {name: self.encode(self.lab.texts(name), 'query') for name in self.lab.dev}

    @cached_property
    def megabytes(self): return len(gzip.compress((self.model/'onnx'/'model_quantized.onnx').read_bytes())) / 1e6


class SearchEncoders:
    "Encode titles and queries as the evaluated model of a run does."
    def __init__(self, model, threads, dim):
        self.titles = TitleEncoder.load(model, threads=threads, dim=dim)
        self.queries = QueryEncoder.load(model, threads=threads, dim=dim)

    def encode(self, texts, kind):
        "Encode texts as unit vectors."
        return (self.titles if kind == 'title' else self.queries).encode(texts, kind)


# What is measured

def slice_results(ranks, covered):
    "Return number, Recall@5 and MRR of the queries whose targets have training queries, and of the others."
    results = {}
    for name, which in zip(SLICES, (covered, ~covered), strict=True):
        if which.any(): results[name] = dict(n=int(which.sum()), **metrics(ranks[which]))
    return results


def metrics(ranks): return {'Recall@5': float((ranks <= 5).mean()), 'MRR': float((1 / ranks).mean())}


def has_queries(lab, queries, trained):
    "Say for each query whether the family of an answer is in `trained`, a set of families."
    return np.array([any(lab.family_of[id] in trained for id in query['ids']) for query in queries])


def compare(lab, ranks, pairs):
    "Compare the ranks of all test sets with the base model; `pairs` were trained on."
    trained = {lab.family_of[pair['id']] for pair in pairs}
    parts = {}
    for name, queries in lab.dev.items():
        moved = movement(lab.reference[name], ranks[name])
        parts[name] = dict(queries=len(queries), **metrics(ranks[name]), movement=moved,
                           slices=slice_results(ranks[name], has_queries(lab, queries, trained)))
    return parts


def median_ms(lab, learned, encoder):
    "Return the median time of encoding one query and scanning all titles, in milliseconds."
    titles = np.ascontiguousarray(learned.titles[lab.searched])
    texts = sum(map(lab.texts, lab.dev), [])
    times = []
    for text in random.Random(SEED).sample(texts, min(TIMED, len(texts))):
        start = time.perf_counter()
        vectors = encoder.onnx.encode([text], 'query') if encoder.in_search else None
        scores = titles @ learned.encode(vectors, [text], encoder.in_search)[0]
        np.argpartition(-scores, min(10, len(scores) - 1))
        times.append(1000 * (time.perf_counter() - start))
    return float(np.median(times))


def evaluate(lab, learn, encoder, chosen=None):
    "Learn from the training queries `chosen`, by default all; return a row, what was learned, and the ranks."
    examples = lab.examples(encoder, chosen)
    start = time.time()
    learned = learn(examples)
    seconds = time.time() - start
    pairs = lab.all_pairs if chosen is None else [lab.all_pairs[i] for i in chosen]
    ranks = lab.ranks(learned, encoder)
    row = dict(queries=len(pairs), titles=len(np.unique(examples.answer)), seconds=round(seconds, 1),
               note=learned.note * encoder.in_search, parts=compare(lab, ranks, pairs))
    return row, learned, ranks


def evaluate_quality(lab, learn, encoder, chosen=None): return evaluate(lab, learn, encoder, chosen)[0]


def evaluate_page(lab, learn, encoder):
    "Evaluate a method, the MB (10^6 bytes) of its encoders in the page, and its time per query."
    row, learned, _ = evaluate(lab, learn, encoder)
    megabytes = encoder.megabytes if encoder.in_search else 0.
    if learned.encoder: megabytes += len(gzip.compress(pack_table(learned.encoder), 9)) / 1e6
    return row | dict(mb=round(megabytes, 2), ms=round(median_ms(lab, learned, encoder), 2))


def mean_recall(row): return float(np.mean([part['Recall@5'] for part in row['parts'].values()]))


def compare_methods(lab, encoder, methods, chosen):
    "Evaluate the earlier method and the new one with the same training queries, and the difference by slice."
    earlier, _, before = evaluate(lab, methods[EARLIER], encoder, chosen)
    closed, _, after = evaluate(lab, methods[FULL], encoder, chosen)
    queries = sum(lab.dev.values(), [])
    trained = {lab.family_of[lab.all_pairs[i]['id']] for i in chosen}
    covered = has_queries(lab, queries, trained)
    groups = np.array([query['ids'][0] for query in queries])
    hits = [np.concatenate([ranks[name] <= 5 for name in lab.dev]) for ranks in (lab.reference, before, after)]
    pooled = {}
    for name, which in zip(SLICES, (covered, ~covered), strict=True):
        if not which.any(): continue
        base, old, new = (found[which].astype(float) for found in hits)
        pooled[name] = {'queries': len(base), 'base': base.mean(), EARLIER: old.mean(), FULL: new.mean(),
                        'difference': paired_bootstrap(old, new, groups=groups[which])}
    return dict(queries=len(chosen), pooled=pooled, methods={EARLIER: earlier, FULL: closed})


def evaluate_gate(lab, floor, ceiling):
    "Evaluate the learned tables of the run, with n-grams that count from the cosine `floor` and fully from `ceiling`."
    model = lab.folder/'evaluated'/'model'
    encoder = lab.encoders[RUN]
    search = SearchEncoders(model, lab.run.settings.threads, encoder.dim)
    ngram = search.queries.ngram
    ngram.floor = floor
    ngram.ceiling = ceiling
    learned = Learned(TitleVectors.load(model, encoder.dim).add(encoder.titles, lab.titles), ngram)
    parts = compare(lab, lab.ranks(learned, encoder), lab.all_pairs)
    return dict(seconds=0, parts=parts, probe=probe_recall(search))

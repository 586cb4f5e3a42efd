"""Load what the training experiments share; `recipe.py`, `sizes.py`, `training_queries.py` and `catalog_lab.py` use it.

All experiments are evaluated on dev queries of a finished run, never on test queries."""
import json
import random
from collections import Counter
from functools import cached_property

import numpy as np

from embedding_search.evaluation.metrics import best_ranks, paired_bootstrap, query_metrics, vocabulary
from embedding_search.evaluation.systems import Corpus, dense_scores, find_headers, strict_rows, system_results
from embedding_search.model.encoders import TorchEncoder, has_bf16, load_model
from embedding_search.model.interpolation import answer_ranks, read_probe
from embedding_search.run import Run
from embedding_search.settings import settings_for_run

DEV_SETS = {'held-out titles': 'heldout_titles', 'held-out queries': 'heldout_queries', 'eval queries': 'eval_queries'}
PROBE = 'data/everyday/probe.csv'
RANK_FIELDS = ('strict', 'family', 'outranked') # Of what `Corpus.rank` returns


class Lab:
    "Hold catalog, split and dev queries of a finished run, and the folder that experiments write to."
    def __init__(self, folder, work):
        self.run = Run(folder, settings_for_run(folder))
        self.folder = self.run.folder
        self.work = work
        work.mkdir(parents=True, exist_ok=True)
        self.rows = self.run.rows()
        self.title_of = {row['id']: row['title'] for row in self.rows}
        self.category_of = {row['id']: row['category'] for row in self.rows}
        self.family_of = self.run.family_of()
        self.heldout = self.run.heldout_families()
        self.all_pairs = self.run.split()['train']
        dev = self.run.dev_queries()
        self.dev = {name: dev[key] for name, key in DEV_SETS.items()}
        self.entries = strict_rows(self.rows, self.run.settings.evaluation.strict)

    @cached_property
    def corpus(self): return Corpus(self.entries, self.family_of)

    @cached_property
    def below(self): return find_headers(self.entries) if self.run.settings.evaluation.headers else {}

    @cached_property
    def words(self): return vocabulary(self.title_of.values(), (pair['query'] for pair in self.all_pairs))

    @cached_property
    def family_size(self):
        sizes = Counter(self.family_of.values())
        return {id: sizes[family] for id, family in self.family_of.items()}

    def rank(self, scores, queries):
        "Rank the answers of `queries` by the scores of all titles."
        return self.corpus.rank(scores, queries, self.below)


def title_only(title, category):
    "Return the text of an entry that is encoded: its title without the category."
    return title


class TrainingLab(Lab):
    "Add a share of the training pairs, and comparisons with the base model and with the row `plain`."
    def __init__(self, folder, work, share=1., seed=42):
        super().__init__(folder, work)
        self.seed = seed
        self.pairs = random.Random(42).sample(self.all_pairs, round(share * len(self.all_pairs)))

    def model_of(self, name):
        "Load the model of a row; `base` is the base model, `full` the fine-tuned model of the run."
        if name == 'base': return load_model()
        folder = self.folder/'fine_tuned' if name == 'full' else self.work/f'{name}-{self.seed}'/'model'
        return load_model(str(folder))

    def ranks(self, model, text=title_only):
        "Rank the answers of all dev queries under a model that encodes `text` of each title."
        encoder = fast_encoder(model)
        texts = [text(row['title'], row['category']) for row in self.corpus.entry]
        titles = encoder.encode(texts, 'title')
        queries = encode_queries(encoder, self.dev)
        return {name: self.rank(dense_scores(queries[name], titles), self.dev[name]) for name in self.dev}

    @cached_property
    def base_ranks(self):
        "Rank under the base model, or read the ranks from the work folder."
        path = self.work/'base.json'
        if not path.exists():
            ranks = {name: {field: ranked[field] for field in RANK_FIELDS}
                     for name, ranked in self.ranks(load_model()).items()}
            path.write_text(json.dumps(ranks, default=np.ndarray.tolist))
        return {name: read_ranks(ranked) for name, ranked in json.loads(path.read_text()).items()}

    def plain_ranks(self):
        "Read the best ranks of the row `plain`; empty if it was not trained yet."
        path = self.work/'plain-42'/'ranks.npz'
        if not path.exists(): return {}
        with np.load(path) as ranks: return dict(ranks)

    def compare(self, ranks, trained=None):
        "Evaluate what `ranks` returned; `trained` has the ids that were trained on, by default those of all pairs."
        trained = trained or {pair['id'] for pair in self.all_pairs}
        return dict(parts={name: self._compare(name, ranked, trained) for name, ranked in ranks.items()})

    def _compare(self, name, ranked, trained):
        "Compare one test set with the base model and with the row `plain`."
        queries = self.dev[name]
        groups = [query['ids'][0] for query in queries]
        slices = self.corpus.slices(queries, self.words, trained, self.family_size, self.below)
        found = system_results(ranked, self.base_ranks[name], groups, slices)
        result = dict(queries=len(queries))
        result |= {metric: found['strict'][metric] for metric in ('Recall@1', 'Recall@5', 'MRR')}
        result['family'] = {metric: found['family'][metric] for metric in ('Recall@5', 'MRR')}
        result |= {field: found[field] for field in ('gain', 'movement', 'slices')}
        plain_ranks = self.plain_ranks()
        if plain_ranks:
            plain = query_metrics(plain_ranks[name][:, None])
            new = query_metrics(best_ranks(ranked['strict'])[:, None])
            result['over_plain'] = {metric: paired_bootstrap(plain[metric], new[metric], groups=groups)
                                    for metric in ('Recall@5', 'MRR')}
        return result


def read_ranks(ranked):
    "Turn the lists of a JSON file into arrays, as `Corpus.rank` returns them."
    strict, family = ([np.array(ranks, dtype=float) for ranks in ranked[kind]] for kind in ('strict', 'family'))
    return dict(strict=strict, family=family, outranked=np.array(ranked['outranked']))


def fast_encoder(model):
    "Encode in bfloat16 where the hardware supports it."
    return TorchEncoder(model, bf16=has_bf16())


def encode_queries(encoder, test_sets):
    "Encode the queries of each test set."
    return {name: encoder.encode([query['query'] for query in queries], 'query') for name, queries in test_sets.items()}


class QueryReplacement:
    "Encode titles with one encoder and queries with a function of their texts."
    def __init__(self, encoder, encode_texts):
        self.encoder = encoder
        self.encode_texts = encode_texts

    def encode(self, texts, kind):
        "Encode `texts` as unit vectors."
        return self.encode_texts(texts) if kind == 'query' else self.encoder.encode(texts, kind)


def probe_recall(encoder):
    "Return Recall@5 on everyday queries from outside the catalog's domain."
    queries, titles = read_probe(PROBE)
    ranks = answer_ranks(encoder, dict(probe=queries), titles)['probe']
    return float((ranks <= 5).mean())

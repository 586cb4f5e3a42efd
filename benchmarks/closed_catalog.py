"""Compare ways to learn a closed catalog, on dev queries of a finished run and never on test.

    python benchmarks/closed_catalog.py RUN --study bakeoff    six methods, then the best three on other encoders
    python benchmarks/closed_catalog.py RUN --study coverage   5% to all families have queries; two methods
    python benchmarks/closed_catalog.py RUN --study data       1,000 to all families have queries
    python benchmarks/closed_catalog.py RUN --study seeds      three seeds
    python benchmarks/closed_catalog.py RUN --study epochs     six or eight epochs
    python benchmarks/closed_catalog.py RUN --study gates      when n-grams count; nothing is trained

RUN needs the stages up to `export`, for `gates` up to `closed_catalog`. The methods are in `title_methods.py`.
Encoders are INT8 graphs; each encodes titles and queries once, and the vectors are kept. At most 1,500 dev queries of
each test set are searched, in the strict corpus. Results are compared with the base model. Writes
`results/closed_catalog_STUDY.json`, row by row, and a table next to it; finished rows are not repeated without
`--again`. `--limit 200` tries a study with few queries and titles, in a minute on a quiet machine, and writes to the
work folder."""
import argparse
import json
import time
from functools import partial
from pathlib import Path

import numpy as np
from catalog_lab import (
    EARLIER,
    FULL,
    RUN,
    SEED,
    SLICES,
    CatalogLab,
    compare_methods,
    evaluate_gate,
    evaluate_page,
    evaluate_quality,
    mean_recall,
)
from title_methods import (
    STEPS,
    WEIGHTS,
    keep_titles,
    learn_by_moving,
    learn_closed_catalog,
    learn_earlier,
    learn_free_vectors,
    move_by_nudge,
    move_to_mean,
)
from traces import RESULTS, describe_machine, trace, write_json

from embedding_search.core import pin_threads
from embedding_search.evaluation.report import markdown_table
from embedding_search.model.closed_catalog import ClosedCatalogSettings

EPOCHS = ClosedCatalogSettings().epochs
MEASURES = ('embedding_search/model/*.py', 'benchmarks/catalog_lab.py', 'benchmarks/title_methods.py')
WITHOUT_TRANSFORMER = dict(transformer_dropout=1., floor=-1., ceiling=-.5) # Query vectors are n-grams alone
SCREENING = 2 # Epochs
BEST = 3 # Methods of the final round
SHARES = (.05, .1, .25, .5, 1.) # Of the families
FAMILIES = (1000, 2400, 4800, 9700, 40_000) # As far as there are so many
SEEDS = (42, 43, 44)
EPOCH_COUNTS = (6, 8)
GATES = ((-1., -.9), (0., .3), (.2, .5), (.3, .6), (.3, 1.), (.5, 1.), (.98, .99)) # Cosines of both encoders
UNCHANGED, FREE = 'no adaptation', 'free vectors, no catalog negatives' # Methods
WITH_EPOCHS = (FREE, FULL) # The others do not depend on the number of epochs


# Studies: functions of the lab, the report, and the number of epochs

def make_methods(lab, encoder, epochs, seed=SEED):
    "Return all methods by name, as functions of examples."
    settings = lab.run.settings.closed_catalog.model_dump()
    options = settings | dict(dev=lab.tuning(encoder), seed=seed, epochs=epochs)
    if not encoder.in_search: options |= WITHOUT_TRANSFORMER
    methods = {
        EARLIER: partial(learn_earlier, seed=seed),
        FREE: partial(learn_free_vectors, **options),
        FULL: partial(learn_closed_catalog, **options),
    }
    if not encoder.in_search: return methods
    tuned = partial(learn_by_moving, score=partial(lab.mean_mrr, encoder))
    return methods | {
        UNCHANGED: keep_titles,
        'mean-query vector': partial(tuned, move=move_to_mean, values=WEIGHTS),
        'NUDGE-N': partial(tuned, move=move_by_nudge, values=STEPS),
    }


def bakeoff(lab, report, epochs):
    "Screen all methods on the run's encoder, then compare the best three on all encoders."
    rows = {}
    for name, learn in make_methods(lab, lab.encoders[RUN], epochs or SCREENING).items():
        labels = dict(round='screening', encoder=RUN, method=name)
        rows[name] = report.add(labels, evaluate_page, lab, learn, lab.encoders[RUN])
    ranked = sorted([name for name in rows if name != UNCHANGED], key=lambda name: -mean_recall(rows[name]))
    for encoder_name, encoder in lab.encoders.items():
        methods = make_methods(lab, encoder, epochs or EPOCHS)
        for name in [UNCHANGED, *ranked[:BEST]]:
            labels = dict(round='final', encoder=encoder_name, method=name)
            if name not in methods: continue
            if encoder_name == RUN and name not in WITH_EPOCHS: report.add(labels, dict, rows[name])
            else: report.add(labels, evaluate_page, lab, methods[name], encoder)


def nested_samples(lab, sizes):
    "Choose families, the fewer within the more; yield how many they are, and the numbers of their training queries."
    family = lab.family[lab.answer]
    order = np.random.default_rng(SEED).permutation(np.unique(family))
    for size in sizes:
        n = round(size * len(order)) if isinstance(size, float) else min(size, len(order))
        yield n, np.flatnonzero(np.isin(family, order[:n]))


def coverage(lab, report, epochs):
    "Compare both methods while the share of families with training queries grows."
    encoder = lab.encoders[RUN]
    methods = make_methods(lab, encoder, epochs or EPOCHS)
    for share, (n, chosen) in zip(SHARES, nested_samples(lab, SHARES), strict=True):
        report.add({'families with queries': f'{share:.0%} ({n:,})'}, compare_methods, lab, encoder, methods, chosen)


def data(lab, report, epochs):
    "Evaluate closed-catalog learning while the number of families with training queries grows."
    encoder = lab.encoders[RUN]
    learn = make_methods(lab, encoder, epochs or EPOCHS)[FULL]
    for n, chosen in nested_samples(lab, FAMILIES):
        report.add({'families with queries': f'{n:,}'}, evaluate_quality, lab, learn, encoder, chosen)


def seeds(lab, report, epochs):
    "Evaluate closed-catalog learning with three seeds."
    encoder = lab.encoders[RUN]
    for seed in SEEDS:
        learn = make_methods(lab, encoder, epochs or EPOCHS, seed)[FULL]
        report.add({'seed': str(seed)}, evaluate_quality, lab, learn, encoder)


def epochs(lab, report, _):
    "Evaluate closed-catalog learning with fewer epochs."
    encoder = lab.encoders[RUN]
    for n in EPOCH_COUNTS:
        learn = make_methods(lab, encoder, n)[FULL]
        report.add({'epochs': str(n)}, evaluate_quality, lab, learn, encoder)


def gates(lab, report, epochs):
    "Compare from which cosine of both encoders the n-grams of a query count, from always to never."
    for floor, ceiling in GATES:
        labels = {'n-grams count from': f'{floor:g}', 'fully from': f'{ceiling:g}'}
        report.add(labels, evaluate_gate, lab, floor, ceiling)


STUDIES = dict(bakeoff=bakeoff, coverage=coverage, data=data, seeds=seeds, epochs=epochs, gates=gates)


# Results

class Report:
    "Write the rows of a study as they are finished, and keep those that were finished before with the same options."
    def __init__(self, path, options, eval_name, again=False):
        self.path = path
        self.eval_name = eval_name
        saved = json.loads(path.read_text()) if path.exists() and not again else {}
        self.rows = saved['rows'] if saved.get('options') == options else {}
        self.head = dict(options=options, machine=describe_machine())

    def add(self, labels, work, *args):
        "Add the row that `work` returns, unless it is finished; return it."
        key = ', '.join(labels.values())
        if key in self.rows: return self.rows[key]
        start = time.time()
        print(key, '...', flush=True)
        self.rows[key] = work(*args) | dict(labels=labels, all_seconds=round(time.time() - start, 1))
        self.save()
        for cells in table_rows(self.rows[key], self.eval_name): print(cells, flush=True)
        return self.rows[key]

    def save(self):
        "Write JSON and table; return the table."
        rows = rounded(self.rows)
        table = markdown_table(sum([table_rows(row, self.eval_name) for row in rows.values()], []))
        write_json(self.path, self.head | dict(trace=trace(MEASURES), rows=rows, table=table))
        self.path.with_suffix('.md').write_text(table + '\n')
        return table


def rounded(value):
    "Round all floats in `value` to five digits."
    if isinstance(value, dict): return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple): return [rounded(item) for item in value]
    return round(float(value), 5) if isinstance(value, float) else value


def percent(value): return f'{100 * value:.1f}'


def table_rows(row, eval_name):
    "Format a row of results for the table, which has two rows for a comparison of methods."
    if 'pooled' in row: return [pooled_cells(row, name) for name in row['pooled']]
    cells = dict(row['labels'])
    for test_set, part in row['parts'].items():
        name = eval_name if test_set == 'eval queries' else test_set
        cells[f'{name}: Recall@5 / MRR'] = f"{percent(part['Recall@5'])} / {percent(part['MRR'])}"
        if test_set == 'eval queries':
            for slice_name in SLICES:
                found = part['slices'].get(slice_name)
                cells[f'{name}, {slice_name}'] = percent(found['Recall@5']) if found else ''
        moved = part['movement']
        cells[f'{name}: improved per regressed'] = f"{moved['ratio']:.1f}"
        cells[f'{name}: % lost from the top 5'] = percent(moved['lost5'] / part['queries'])
    if 'probe' in row: cells['everyday probe: Recall@5'] = percent(row['probe'])
    else: cells['seconds of learning'] = row['seconds']
    if 'mb' in row: cells |= {'MB': row['mb'], 'ms': row['ms'], 'chosen on dev queries': row['note']}
    return [cells]


def pooled_cells(row, name):
    "Format one slice of a comparison of both methods."
    found = row['pooled'][name]
    mean, low, high = (100 * value for value in found['difference'])
    recall = {system: percent(found[system]) for system in ('base', EARLIER, FULL)}
    return row['labels'] | dict(targets=name, queries=found['queries']) | recall | dict(
        difference=f'{mean:+.1f} ({low:+.1f} … {high:+.1f})')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', type=Path)
    parser.add_argument('--study', choices=STUDIES, required=True)
    parser.add_argument('--epochs', type=int, help=f'[{SCREENING} in the screening, else {EPOCHS}]')
    parser.add_argument('--limit', type=int, default=0, help='training queries, to try a study; 0: all')
    parser.add_argument('--work', type=Path, default='runs/closed_catalog', help='folder for base model and vectors')
    parser.add_argument('--out', type=Path, help='JSON file [benchmarks/results/closed_catalog_STUDY.json]')
    parser.add_argument('--again', action='store_true', help='repeat finished rows')
    args = parser.parse_args()
    pin_threads(2)
    lab = CatalogLab(args.run, args.work, args.limit)
    options = dict(study=args.study, run=args.run.name, epochs=args.epochs, limit=args.limit)
    path = args.out or (args.work if args.limit else RESULTS)/f'closed_catalog_{args.study}.json'
    report = Report(path, options, lab.run.settings.evaluation.eval_name, args.again)
    STUDIES[args.study](lab, report, args.epochs)
    print(report.save())


if __name__ == '__main__': main()

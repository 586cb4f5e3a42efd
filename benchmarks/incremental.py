"""Measure an update of 1% of the catalog against a full build, a build that copies the vectors of a finished run, and
a bridge to a new model against encoding again.

    python benchmarks/incremental.py [RUN]        by default runs/demo

The update starts from a version whose titles were all encoded, and is measured three times, each time from the same
state. The bridge maps the vectors of the base model to those of the fine-tuned model, on one entry in eight. Writes
`results/incremental.json`."""
import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from traces import describe_machine, write_result

from embedding_search.core import pin_threads
from embedding_search.data.records import read_jsonl
from embedding_search.model.encoders import load_model
from embedding_search.model.export import export_model
from embedding_search.search import bridge  # noqa: F401, adds `Store.bridge`
from embedding_search.search.store import Store, golden_hits

MEASURES = ('embedding_search/search/index_version.py', 'embedding_search/search/store.py',
            'embedding_search/search/bridge.py', 'embedding_search/model/encoders.py')


def change_rows(rows, share=.01):
    "Return the catalog with a third of `share` of its rows reworded, a third removed, and as many added."
    rng = np.random.default_rng(0)
    n = round(share * len(rows) / 3)
    picked = rng.permutation(len(rows))[:2 * n].tolist()
    reworded, removed = set(picked[:n]), set(picked[n:])
    changed = []
    for i, row in enumerate(rows):
        if i in reworded: changed.append(row | dict(title=row['title'] + ', revised'))
        elif i not in removed: changed.append(row)
    for i in rng.permutation(len(rows))[:n].tolist():
        changed.append(rows[i] | dict(id=f'new-{i}', title='Provisional: ' + rows[i]['title']))
    return changed


def timed(function):
    "Call `function`; return its result, seconds and CPU seconds."
    begin = time.perf_counter()
    cpu_begin = time.process_time()
    result = function()
    return result, time.perf_counter() - begin, time.process_time() - cpu_begin


def measure_update(scratch, rows, family_of, model, dim):
    "Build a store, update three copies of it, and build the last one again from scratch."
    store = scratch/'store'
    Store(store, create=True).build(rows, family_of, model, dim)
    changed = change_rows(rows)
    families = family_of | {row['id']: row['id'] for row in changed if row['id'] not in family_of}
    times = []
    for number in range(3):
        copy = Store(shutil.copytree(store, scratch/f's{number}', copy_function=os.link))
        update, *seconds = timed(partial(copy.build, changed, families, model, dim))
        times.append(seconds)
    full, full_seconds, full_cpu = timed(partial(copy.build, changed, families, model, dim, full=True))
    seconds, cpu = (statistics.median(column) for column in zip(*times, strict=True))
    return dict(
        times_cheaper=round(full_seconds / seconds, 1),
        times_cheaper_cpu=round(full_cpu / cpu, 1),
        rows=len(changed),
        update=dict(seconds=round(seconds, 2), cpu_seconds=round(cpu, 2), encoded=update['encoded'],
                    changes=update['changes']),
        rebuild=dict(seconds=round(full_seconds, 2), cpu_seconds=round(full_cpu, 2), encoded=full['encoded']),
        same_files_bit_for_bit=update['files'] == full['files'],
    )


def measure_copy(run, scratch, rows, family_of, dim):
    "Build a version that copies the vectors of a finished run."
    store = Store(scratch/'copy', create=True)
    version, seconds, cpu = timed(partial(store.build, rows, family_of, run/'model', dim, run=run))
    return dict(seconds=round(seconds, 2), cpu_seconds=round(cpu, 2), titles=version['counts']['titles'],
                encoded=version['encoded'])


def export_base_model(folder):
    "Write the base model with its ONNX graphs."
    load_model().save_pretrained(str(folder))
    export_model(folder)


def golden_queries(run, rows, n=1000):
    "Read evaluation queries whose answer is among `rows`."
    ids = {row['id'] for row in rows}
    queries = read_jsonl(run/'eval_queries.jsonl')
    return [dict(query=query['query'], ids=[query['id']]) for query in queries if query['id'] in ids][:n]


def measure_bridge(run, scratch, rows, family_of, dim):
    "Compare the base model's vectors, the bridge to the fine-tuned model, and all titles encoded by that model."
    export_base_model(scratch/'base')
    golden = golden_queries(run, rows)
    store = Store(scratch/'bridge', create=True)
    old = store.build(rows, family_of, scratch/'base', dim)
    store.activate('1')
    bridged, bridge_seconds, _ = timed(partial(store.bridge, run/'model', dim, sample=4000))
    new, encode_seconds, _ = timed(partial(store.build, rows, family_of, run/'model', dim))
    versions = {'old model': old, 'new model over the bridge': bridged, 'new model, all encoded anew': new}
    recall = {}
    for name, version in versions.items():
        hits = golden_hits(store.searcher(version['name']), golden)
        recall[name] = round(float(np.nanmean(hits)), 4)
    return dict(
        titles=bridged['counts']['titles'],
        sample=bridged['bridge']['sample'],
        cosine=bridged['bridge']['cosine'],
        queries=len(golden),
        recall_at_5=recall,
        seconds=round(bridge_seconds, 2),
        encoding_all_seconds=round(encode_seconds, 2),
    )


def measure_all(run):
    "Measure updates, the build from a run and the bridge, and write the results."
    machine = describe_machine()
    rows = read_jsonl(run/'catalog.jsonl')
    family_of = json.loads((run/'families.json').read_text())['family']
    dim = json.loads((run/'index'/'index.json').read_text())['dim']
    scratch = Path(tempfile.mkdtemp())
    result = measure_update(scratch, rows, family_of, run/'model', dim)
    result |= dict(from_run=measure_copy(run, scratch, rows, family_of, dim))
    result |= dict(bridge=measure_bridge(run, scratch, rows[::8], family_of, dim), machine=machine)
    shutil.rmtree(scratch)
    write_result('incremental', result, MEASURES)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', nargs='?', type=Path, default='runs/demo')
    args = parser.parse_args()
    pin_threads(2)
    measure_all(args.run)


if __name__ == '__main__': main()

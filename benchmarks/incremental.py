"""Measure an update of 1% of the catalog against a full build, and a bridge to a new model against encoding again.

    python benchmarks/incremental.py [RUN] [STORE]        by default runs/demo runs/store

The update starts from the active version of STORE (`serve.py` builds one) and is measured three times, each time
from the same state. The full build encodes every title. The bridge maps the vectors of the base model to those of
the fine-tuned model, on one entry in eight. Writes `results/incremental.json`."""
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
from load import describe_machine, write_result

from embedding_search.core import pin_threads
from embedding_search.data.records import read_jsonl
from embedding_search.model.encoders import load_model
from embedding_search.model.export import export_model
from embedding_search.search import bridge  # noqa: F401, adds `Store.bridge`
from embedding_search.search.store import Store, golden_hits


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


def measure_update(store, scratch, rows, family_of, model):
    "Update three copies of the store and build the last one again from scratch."
    dim = Store(store).find()['counts']['dim']
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


def measure_all(run, store):
    "Measure updates and bridge, and write the results."
    machine = describe_machine()
    rows = read_jsonl(run/'catalog.jsonl')
    family_of = json.loads((run/'families.json').read_text())['family']
    dim = Store(store).find()['counts']['dim']
    scratch = Path(tempfile.mkdtemp(dir=store.parent)) # On the same disk, because copies of a store are hard links
    result = measure_update(store, scratch, rows, family_of, run/'model')
    result |= dict(bridge=measure_bridge(run, scratch, rows[::8], family_of, dim), machine=machine)
    shutil.rmtree(scratch)
    write_result('incremental', result)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', nargs='?', type=Path, default='runs/demo')
    parser.add_argument('store', nargs='?', type=Path, default='runs/store')
    args = parser.parse_args()
    pin_threads(2)
    measure_all(args.run, args.store)


if __name__ == '__main__': main()

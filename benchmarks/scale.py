"""Measure what each step of a search costs at 10,000 to 1,000,000 titles, on one core.

    python benchmarks/scale.py [RUN]        by default runs/demo

Encoding is measured on 2,000 titles of RUN, the exact scan on random vectors, BM25 on repeated titles. Milvus Lite
and Ray Data (`scale/encode.py`) are measured at one small size. Writes `results/scale.json`."""
import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from traces import describe_machine, write_result

from embedding_search.core import pin_threads
from embedding_search.data.records import read_jsonl
from embedding_search.model.encoders import OnnxEncoder, truncate
from embedding_search.search.index_version import scan_index
from embedding_search.search.keyword import Keywords
from embedding_search.search.milvus import MilvusStore

MEASURES = ('embedding_search/model/encoders.py', 'embedding_search/search/index_version.py',
            'embedding_search/search/keyword.py', 'embedding_search/search/milvus.py', 'scale/*.py')
DIM = 384
SIZES = (10_000, 100_000, 1_000_000)
MAX_KEYWORDS = 100_000 # Titles up to which BM25 is measured
MILVUS_ROWS = 20_000
RAY_TITLES = 4000
ENCODE = Path(__file__).parents[1]/'scale'/'encode.py'


def timed(function):
    "Call `function`; return its result and seconds."
    begin = time.perf_counter()
    return function(), time.perf_counter() - begin


def median_ms(function, n=30):
    "Call `function` with 0 to `n - 1`; return the median time in milliseconds."
    seconds = [timed(partial(function, i))[1] for i in range(n)]
    return round(1000 * statistics.median(seconds), 3)


def measure_encoding(encoder, titles):
    "Measure encoding on one core."
    _, seconds = timed(partial(encoder.encode, titles[:2000], batch=1))
    def encode_query(i): encoder.encode([titles[i]], 'query')
    return dict(encode_titles_per_second_one_core=round(2000 / seconds, 1),
                encode_query_ms=median_ms(encode_query, 200))


def measure_scan(n, queries, rng):
    "Measure the exact scan over `n` random vectors."
    index = scan_index(rng.integers(-127, 128, (n, DIM), dtype=np.int8))
    def scan(i): index.search(queries[i:i + 1], 300)
    return dict(scan_ms=median_ms(scan), scan_mb=round(n * DIM / 1e6, 1))


def measure_keywords(n, titles):
    "Measure BM25 over `n` titles, repeated where the run has fewer."
    repeated = [titles[i % len(titles)] for i in range(n)]
    keywords, seconds = timed(partial(Keywords, repeated))
    def search(i): keywords.scores(repeated[i])
    return dict(keyword_build_s=round(seconds, 2), keyword_ms=median_ms(search))


def measure_milvus(file, model, rows, titles, rng):
    "Measure Milvus Lite with random vectors."
    store = MilvusStore(str(file), model)
    vectors = truncate(rng.normal(size=(len(rows), DIM)).astype(np.float32), DIM)
    family_of = {row['id']: row['id'] for row in rows}
    version, seconds = timed(partial(store.build, rows, family_of, vectors))
    searcher = store.searcher(version['name'])
    searcher.search('warm up', mode='dense')
    def search_dense(i): searcher.search(titles[i], mode='dense', vector=vectors[i])
    def search_hybrid(i): searcher.search(titles[i], vector=vectors[i])
    return dict(rows=len(rows), insert_rows_per_second=round(len(rows) / seconds, 1),
                dense_ms=median_ms(search_dense), hybrid_ms=median_ms(search_hybrid))


def measure_ray(folder, model, titles):
    "Measure Ray Data on this machine, with its start."
    (folder/'titles').mkdir()
    for i in range(4):
        ids = [str(number) for number in range(i, len(titles), 4)]
        pd.DataFrame(dict(id=ids, title=titles[i::4])).to_parquet(folder/'titles'/f'{i}.parquet')
    command = [sys.executable, ENCODE, 'encode', '--titles', folder/'titles', '--out', folder/'vectors',
               '--model', model]
    _, seconds = timed(partial(subprocess.run, command, check=True, capture_output=True))
    return dict(titles=len(titles), seconds_with_start=round(seconds, 1))


def measure_all(run):
    "Measure every step and write the results."
    import faiss
    faiss.omp_set_num_threads(1)
    machine = describe_machine()
    rng = np.random.default_rng(0)
    scratch = Path(tempfile.mkdtemp())
    rows = read_jsonl(run/'catalog.jsonl')
    titles = [rows[i]['title'] for i in rng.permutation(len(rows))]
    result = dict(machine=machine, dim=DIM, **measure_encoding(OnnxEncoder.load(run/'model'), titles), sizes={})

    queries = np.round(rng.normal(size=(30, DIM)) * 40).clip(-127, 127).astype(np.float32)
    for n in SIZES:
        result['sizes'][n] = measure_scan(n, queries, rng)
        if n <= MAX_KEYWORDS: result['sizes'][n] |= measure_keywords(n, titles)

    milvus_rows = rows[:MILVUS_ROWS]
    result['milvus_lite'] = measure_milvus(scratch/'m.db', run/'model', milvus_rows, titles, rng)
    result['ray_local'] = measure_ray(scratch, run/'model', titles[:RAY_TITLES])
    shutil.rmtree(scratch)
    write_result('scale', result, MEASURES)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', nargs='?', type=Path, default='runs/demo')
    args = parser.parse_args()
    pin_threads(1)
    measure_all(args.run)


if __name__ == '__main__': main()

"""Measure an index version of a million titles on one machine: build time, disk, memory and latency.

    python benchmarks/million.py [RUN] [--titles N]        by default runs/demo, whose model is stored with the version

Titles are generated: fragments of titles from the shipped ICD-10-CM and icon catalogs, and numbers. Vectors are random
unit vectors; nothing is encoded, because a scan takes the same time for any vectors. The encoding time in the result
is extrapolated from the rate in `results/scale.json` and marked so. Writes `results/million.json`."""
import argparse
import json
import multiprocessing
import shutil
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from load import read_memory
from traces import RESULTS, describe_machine, write_result

from embedding_search.core import pin_threads
from embedding_search.data.catalog import norm
from embedding_search.search import index_version
from embedding_search.search.index_version import encoder_parts, write_version
from embedding_search.search.searcher import distinct_titles
from embedding_search.search.store import Store

MEASURES = ('embedding_search/search/index_version.py', 'embedding_search/search/keyword.py',
            'embedding_search/search/searcher.py', 'embedding_search/search/store.py')
DIM = 384
QUERIES = 300
BLOCK = 50_000 # Vectors that are generated at a time
DATA = Path(__file__).parents[1]/'data'
PARTS = ('quantize_vectors', 'scan_index', 'Keywords') # Steps of `write_version` that are timed separately


def read_titles():
    "Read titles and categories of the shipped catalogs."
    icd = pd.read_csv(DATA/'icd10cm'/'catalog.csv.gz', dtype=str)
    icons = pd.read_csv(DATA/'mdi'/'catalog.csv.gz', dtype=str)
    icd['category'] = icd['chapter']
    both = pd.concat([icd[['title', 'category']], icons[['title', 'category']]])
    return both.fillna('').to_dict('records')


def cut_fragment(words, rng):
    "Cut two to six consecutive words."
    length = int(rng.integers(2, 7))
    start = int(rng.integers(max(1, len(words) - length + 1)))
    return ' '.join(words[start:start + length]).strip(',;()[] ')


def generate_rows(n, seed=0):
    "Generate `n` rows with distinct titles: a fragment of each of two catalog titles, and a number in half of them."
    rng = np.random.default_rng(seed)
    sources = [row | dict(words=row['title'].split()) for row in read_titles()]
    seen = set()
    rows = []
    while len(rows) < n:
        first, second = (sources[i] for i in rng.integers(len(sources), size=2).tolist())
        title = f"{cut_fragment(first['words'], rng)}, {cut_fragment(second['words'], rng)}"
        if rng.random() < .5: title = f'{title} {rng.integers(1, 10_000)}'
        key = norm(title)
        if key in seen: continue
        seen.add(key)
        rows.append(dict(id=f'T{len(rows):07}', title=title, category=first['category']))
    return rows


def generate_vectors(n, seed=0):
    "Generate `n` random unit vectors as float16, in blocks."
    rng = np.random.default_rng(seed)
    vectors = np.empty((n, DIM), np.float16)
    for start in range(0, n, BLOCK):
        block = rng.standard_normal((min(BLOCK, n - start), DIM), np.float32)
        vectors[start:start + BLOCK] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return vectors


def peak_mb():
    "Return the largest resident memory of this process so far in MB."
    line, = (line for line in Path('/proc/self/status').read_text().splitlines() if line.startswith('VmHWM'))
    return round(int(line.split()[1]) / 1024)


class Timer:
    "Record seconds by name."
    def __init__(self): self.seconds = {}

    def call(self, name, function, *args):
        "Call `function` and record its seconds."
        begin = time.perf_counter()
        result = function(*args)
        self.seconds[name] = round(time.perf_counter() - begin, 1)
        return result

    def wrap(self, module, name):
        "Record the seconds of every later call of a function of `module`."
        function = getattr(module, name)
        setattr(module, name, lambda *args: self.call(name, function, *args))


def build_version(folder, model, n):
    "Build one version as `index build` does, with random vectors instead of encoded titles."
    generation = Timer()
    rows = generation.call('titles', generate_rows, n)
    vectors = generation.call('vectors', generate_vectors, n)
    generated_mb = peak_mb()
    timer = Timer()
    for name in PARTS: timer.wrap(index_version, name)
    parts = encoder_parts(model, DIM)
    store = Store(folder, create=True)
    begin = time.perf_counter()
    titles = timer.call('distinct_titles', distinct_titles, rows)
    with store.building() as part:
        family_of = {row['id']: row['id'] for row in rows}
        counts = timer.call('write_version', write_version, part, rows, family_of, vectors, titles)
        info = dict(counts=counts, changes={}, encoded=0, base=None, search={})
        added = store.add_model(model)
        version = timer.call('publish', lambda: store.publish(part, added, parts, **info))
    seconds = round(time.perf_counter() - begin, 1)
    files = {name: size for name, (size, _) in version['files'].items()}
    return dict(
        generate_s=generation.seconds, seconds=seconds, seconds_by_part=timer.seconds, peak_mb=peak_mb(),
        peak_mb_before_build=generated_mb, disk_mb=round(version['bytes'] / 1e6),
        vectors_mb=round(files['vectors.npy'] / 1e6), codes_mb=round(files['codes.faiss'] / 1e6),
        rows_mb=round(files['rows.jsonl'] / 1e6),
        keyword_mb=round(sum(size for name, size in files.items() if name.startswith('keyword/')) / 1e6),
        mean_words=round(sum(len(row['title'].split()) for row in rows) / n, 1),
    )


def memory_mb():
    "Return resident memory of this process in MB: all of it, and without pages of memory-mapped files."
    memory = read_memory('self')
    return dict(resident=round(memory['Rss']), without_mapped_files=round(memory['Anonymous']))


def measure_latency(search, queries, vectors):
    "Search every query once after a warm-up; return median and p95 in ms, and the median processor time."
    for query, vector in zip(queries[:10], vectors[:10], strict=True): search(query, vector)
    elapsed = []
    processor = []
    for query, vector in zip(queries, vectors, strict=True):
        begin = time.perf_counter()
        begin_processor = time.thread_time()
        search(query, vector)
        processor.append(1000 * (time.thread_time() - begin_processor))
        elapsed.append(1000 * (time.perf_counter() - begin))
    median, p95 = np.percentile(elapsed, (50, 95))
    return dict(median_ms=round(median, 1), p95_ms=round(p95, 1), processor_median_ms=round(np.median(processor), 1))


def measure_serving(folder):
    "Open the version in this process, and measure memory and latency on one thread."
    name = Store(folder).versions()[-1]['name']
    timer = Timer()
    searcher = timer.call('open', Store(folder).searcher, name)
    opened = memory_mb()
    frame = pd.read_csv(DATA/'icd10cm'/'human_queries.csv.gz', dtype=str)
    queries = frame['query'].drop_duplicates().sample(QUERIES, random_state=0).tolist()
    vectors = generate_vectors(QUERIES, seed=1).astype(np.float32)
    matches = [int((searcher.keywords.scores(query) > 0).sum()) for query in queries]
    result = dict(open_s=timer.seconds['open'], opened_mb=opened, queries=QUERIES)

    def scan(query, vector): searcher.rank_titles(query, 'dense', vector=vector)
    def search_keyword(query, vector): searcher.search(query, mode='keyword')
    def search_hybrid(query, vector): searcher.search(query, vector=vector)

    result['scan'] = measure_latency(scan, queries, vectors)
    result['keyword'] = measure_latency(search_keyword, queries, vectors)
    result['hybrid'] = measure_latency(search_hybrid, queries, vectors)
    result['median_titles_with_a_query_word'] = int(np.median(matches))
    result['words'] = len(searcher.keywords.index.vocab_dict)
    result['searched_mb'] = memory_mb()
    result['peak_mb'] = peak_mb()
    return result


def in_new_process(function, *args):
    "Call `function` in a fresh process, so that memory is only what it needs."
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context('spawn'), initializer=pin_threads,
                             initargs=(1,)) as pool:
        return pool.submit(function, *args).result()


def extrapolate_encoding(n):
    "Compute the time to encode `n` titles from the measured rate."
    rate = json.loads((RESULTS/'scale.json').read_text())['encode_titles_per_second_one_core']
    return dict(basis='extrapolated from scale.json, not run', titles_per_second_one_core=rate,
                core_minutes=round(n / rate / 60, 1))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', nargs='?', type=Path, default='runs/demo')
    parser.add_argument('--titles', type=int, default=1_000_000, metavar='N', help='by default 1,000,000')
    args = parser.parse_args()
    machine = describe_machine()
    folder = Path(tempfile.mkdtemp())
    try:
        build = in_new_process(build_version, folder/'store', args.run/'model', args.titles)
        print(json.dumps(build), flush=True)
        serving = in_new_process(measure_serving, folder/'store')
    finally: shutil.rmtree(folder)
    write_result('million', dict(machine=machine, titles=args.titles, dim=DIM, vectors='random, nothing encoded',
                                 encoding=extrapolate_encoding(args.titles), build=build, serving=serving), MEASURES)


if __name__ == '__main__': main()

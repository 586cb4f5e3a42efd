"""Measure latency, throughput and memory of the service over loopback HTTP.

    python benchmarks/serve.py [RUN] [STORE]        by default runs/demo runs/store

The service runs with one worker and with two, and is compared with `naive.py` (sentence-transformers, Milvus Lite,
FastAPI) on the same machine in the same run. Its hits are compared with a full float32 product. The store is built
from RUN if it does not exist. Writes `results/serve.json`."""
import argparse
import json
import subprocess
import sys
import urllib.parse
import urllib.request
from pathlib import Path

import numpy as np
from load import free_port, measure, memory, start, stop
from traces import describe_machine, write_result

from embedding_search.data.records import read_jsonl
from embedding_search.model.encoders import top_k
from embedding_search.search.store import Store

MEASURES = ('embedding_search/search/*.py', 'embedding_search/model/search_encoders.py',
            'embedding_search/model/encoders.py', 'embedding_search/model/ngrams.py', 'benchmarks/load.py',
            'benchmarks/naive.py')
COMMAND = [sys.executable, '-c', 'from embedding_search.cli import main; main()']
NAIVE = Path(__file__).parent/'naive.py'
PEER = 'sentence-transformers + Milvus Lite + FastAPI'


def build_store(run, store):
    "Build a store from a run and activate its first version."
    subprocess.run([*COMMAND, 'index', 'build', '--run', run, '--store', store], check=True)
    subprocess.run([*COMMAND, 'index', 'activate', '1', '--store', store], check=True)


def read_eval_queries(run):
    "Read the evaluation queries of a run in random order."
    queries = read_jsonl(run/'eval_queries.jsonl')
    order = np.random.default_rng(0).permutation(len(queries))
    return [queries[i] for i in order]


def ask_service(port, query):
    "Return the ids of the ten nearest rows, according to the service."
    options = urllib.parse.urlencode(dict(mode='dense', grouped='false', k=10, q=query))
    with urllib.request.urlopen(f'http://127.0.0.1:{port}/search?{options}') as response: found = json.load(response)
    return [hit['id'] for hit in found['hits']]


def compare_with_exact(port, store, eval_queries):
    "Compare the hits of the service with those of a full float32 product."
    searcher = Store(store).searcher()
    row_ids = [row['id'] for row in searcher.rows]
    vectors = [searcher.encoder.encode([query['query']], 'query')[0] for query in eval_queries]
    nearest = top_k(np.stack(vectors), np.array(searcher.vectors, dtype=np.float32), 10)[1]
    same = 0
    hits = []
    for query, titles in zip(eval_queries, nearest, strict=True):
        exact = []
        for title in titles: exact += [row_ids[row] for row in searcher.by_title[title]]
        found = ask_service(port, query['query'])
        same += found == exact[:10]
        hits.append((query['id'] in found[:5], query['id'] in exact[:5]))
    recall, recall_exact = np.mean(hits, axis=0)
    return dict(queries=len(eval_queries), same_ten_in_order=same / len(eval_queries), recall_at_5=round(recall, 4),
                recall_at_5_exact=round(recall_exact, 4))


def serve(store, workers, *options):
    "Start the service and let it answer some queries; return process, port and seconds until the first answer."
    port = free_port()
    command = [*COMMAND, 'serve', '--store', store, '--port', port, '--workers', workers, *options]
    server, seconds = start(command, port)
    return server, port, seconds


def measure_service(store, workers, queries):
    "Start the service and measure it with one client and with 32; return result, process and port."
    server, port, seconds = serve(store, workers)
    measure(port, queries, 4, 400, rounds=1) # Warm up
    result = dict(
        first_answer_s=round(seconds, 2),
        concurrency_1=measure(port, queries, 1, 600),
        concurrency_32=measure(port, queries, 32, 1500),
    )
    return result | memory(server), server, port


def measure_batching(store, queries):
    "Measure two workers that encode up to eight queries per model call."
    server, port, _ = serve(store, 2, '--set', 'service.batch=8')
    measure(port, queries, 4, 400, rounds=1) # Warm up
    result = dict(concurrency_32=measure(port, queries, 32, 1500))
    stop(server)
    return result


def measure_naive(run, queries):
    "Measure the naive server."
    database = run.parent/'naive.db' # Kept, because filling it takes a minute
    if not (run.parent/'naive.filled').exists():
        server, _, _ = start_naive(run, database)
        stop(server)
    server, port, seconds = start_naive(run, database)
    result = dict(
        first_answer_s=round(seconds, 2),
        concurrency_1=measure(port, queries, 1, 40),
        concurrency_32=measure(port, queries, 32, 96),
    )
    result |= memory(server)
    stop(server)
    return result


def start_naive(run, database):
    "Start the naive server; return process, port and seconds until the first answer."
    port = free_port()
    server, seconds = start([sys.executable, NAIVE, run, database, port], port, timeout=600)
    return server, port, seconds


def times_better(ours, peer):
    "Compare two workers of the service with the peer."
    return dict(
        searches_a_second=round(ours['concurrency_32']['per_second'] / peer['concurrency_32']['per_second'], 1),
        p50=round(peer['concurrency_1']['p50_ms'] / ours['concurrency_1']['p50_ms'], 1),
        memory=round(peer['largest_process_rss_mb'] / ours['largest_process_rss_mb'], 1),
    )


def measure_all(run, store):
    "Measure every configuration and write the results."
    if not (store/'active.json').exists(): build_store(run, store)
    eval_queries = read_eval_queries(run)
    queries = [query['query'] for query in eval_queries]
    counts = Store(store).find()['counts']
    result = dict(machine=describe_machine(), titles=counts['titles'], rows=counts['rows'])

    one, server, port = measure_service(store, 1, queries)
    result['ours, 1 worker'] = one | dict(against_exact=compare_with_exact(port, store, eval_queries[:300]))
    stop(server)
    two, server, _ = measure_service(store, 2, queries)
    result['ours, 2 workers'] = two
    stop(server)
    result['ours, 2 workers, 8 requests a model call'] = measure_batching(store, queries)
    result[PEER] = measure_naive(run, queries)
    write_result('serve', dict(times_better=times_better(two, result[PEER])) | result, MEASURES)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', nargs='?', type=Path, default='runs/demo')
    parser.add_argument('store', nargs='?', type=Path, default='runs/store')
    args = parser.parse_args()
    measure_all(args.run, args.store)


if __name__ == '__main__': main()

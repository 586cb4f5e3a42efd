"""Measure latency, throughput, memory and quality of the service over loopback HTTP, next to other servers.

    python benchmarks/serve.py [RUN] [STORE]        by default runs/demo runs/store

wrk sends the dev evaluation queries of RUN in random order, from one connection and from 32. Client and server share
all cores of the machine. The service runs in an environment with the package's extra `serve` alone, with one worker and
with two, with the transformer and with the n-gram encoder alone. `serve_peers.py` says what it is compared with; with
one worker, peers use as many threads as there are cores. Recall@5 is measured on the answers to the same queries. The
store is built from RUN if it does not exist. Writes `results/serve.json`."""
import argparse
import configparser
import http.client
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
from browser import Catalog
from load import find_wrk, free_port, measure, memory, search_path, start, stop
from serve_peers import PEERS, ROOT, environment, peer_versions, prepare, start_peer
from traces import describe_machine, write_result

from embedding_search.data.records import read_jsonl
from embedding_search.model.encoders import top_k
from embedding_search.search.store import Store

MEASURES = ('embedding_search/search/*.py', 'embedding_search/model/search_encoders.py',
            'embedding_search/model/encoders.py', 'embedding_search/model/ngrams.py', 'benchmarks/load.py',
            'benchmarks/search.lua', 'benchmarks/serve_peers.py', 'benchmarks/peer_services/*.py')
COMMAND = ['-c', 'from embedding_search.cli import main; main()']
CORES = os.cpu_count()
DEPTH = 50 # Rows that a peer is asked for, to find five families


def build_store(run, store):
    "Build a store from a run and activate its first version."
    index = [sys.executable, *COMMAND, 'index']
    subprocess.run([*index, 'build', '--run', run, '--store', store], check=True)
    subprocess.run([*index, 'activate', '1', '--store', store], check=True)


def service_python():
    "Return the Python of an environment with what the package and its extra `serve` require."
    settings = configparser.ConfigParser()
    settings.read(ROOT/'settings.ini')
    required = settings['DEFAULT']
    return environment('service', shlex.split(f"{required['requirements']} {required['serve_requirements']}"))


def start_service(store, workers, *options):
    "Start the service; return process, port and seconds until the first answer."
    port = free_port()
    command = [service_python(), *COMMAND, 'serve', '--store', store, '--port', port, '--workers', workers, *options]
    server, seconds = start(command, port, env=os.environ | dict(PYTHONPATH=str(ROOT)))
    return server, port, seconds


def ask(port, queries, **options):
    "Return the ids of the hits of each query."
    connection = http.client.HTTPConnection('127.0.0.1', port)
    found = []
    for query in queries:
        connection.request('GET', search_path(query, **options))
        found.append([hit['id'] for hit in json.load(connection.getresponse())['hits']])
    connection.close()
    return found


def compare_with_exact(port, store, eval_queries):
    "Compare the hits of the service with those of a full float32 product."
    searcher = Store(store).searcher()
    row_ids = [row['id'] for row in searcher.rows]
    queries = [query['query'] for query in eval_queries]
    vectors = [searcher.encoder.encode([query], 'query')[0] for query in queries]
    nearest = top_k(np.stack(vectors), np.array(searcher.vectors, dtype=np.float32), 10)[1]
    same = 0
    for titles, found in zip(nearest, ask(port, queries, mode='dense', grouped='false'), strict=True):
        exact = []
        for title in titles: exact += [row_ids[row] for row in searcher.by_title[title]]
        same += found == exact[:10]
    return dict(queries=len(queries), same_ten_in_order=same / len(queries))


def measure_server(server, port, seconds, queries, **options):
    "Measure a server with one client and with 32."
    measure(port, queries, 4, 2, rounds=1, **options) # Warm up
    return dict(
        first_answer_s=round(seconds, 2),
        concurrency_1=measure(port, queries, 1, 4, **options),
        concurrency_32=measure(port, queries, 32, 5, **options),
        **memory(server),
    )


def measure_service(store, catalog, mode):
    "Measure the service with one worker and with two; yield name and result."
    name = 'ours' if mode == 'hybrid' else 'ours, n-gram encoder alone'
    queries = [query['query'] for query in catalog.queries]
    for workers in (1, 2):
        server, port, seconds = start_service(store, workers)
        result = measure_server(server, port, seconds, queries, mode=mode)
        if workers == 1: result['recall_at_5'] = catalog.recall(ask(port, queries, mode=mode))
        if name == 'ours' and workers == 1:
            result['against_exact'] = compare_with_exact(port, store, catalog.queries[:300])
        stop(server)
        yield f"{name}, {workers} worker{'s' * (workers > 1)}", result


def measure_batching(store, queries):
    "Measure two workers that encode up to eight queries per model call."
    server, port, seconds = start_service(store, 2, '--set', 'service.batch=8')
    result = measure_server(server, port, seconds, queries)
    stop(server)
    return result


def measure_peer(folder, catalog, name):
    "Measure a peer with one worker, which uses all cores, and with one worker per core; yield name and result."
    queries = [query['query'] for query in catalog.queries]
    for workers in (1, CORES):
        server, port, seconds = start_peer(folder, name, workers, CORES // workers)
        result = measure_server(server, port, seconds, queries)
        if workers == 1:
            found = [catalog.first_of_families(ids) for ids in ask(port, queries, k=DEPTH)]
            result['recall_at_5'] = catalog.recall(found)
        stop(server)
        yield f"{name}, {workers} worker{'s' * (workers > 1)}", result


def measure_all(run, store):
    "Measure every configuration and write the results."
    find_wrk()
    if not (store/'active.json').exists(): build_store(run, store)
    folder = prepare(run)
    catalog = Catalog(run, read_jsonl(run/'index'/'rows.jsonl'))
    counts = Store(store).find()['counts']
    result = dict(
        machine=describe_machine(),
        load_generator=f'wrk with one thread; client and server share the same {CORES} cores',
        titles=counts['titles'],
        rows=counts['rows'],
        dev_queries=len(catalog.queries),
        peer_versions=peer_versions(),
    )
    result |= measure_service(store, catalog, 'hybrid')
    result['ours, 2 workers, 8 requests a model call'] = measure_batching(
        store, [query['query'] for query in catalog.queries])
    result |= measure_service(store, catalog, 'ngram')
    for name in PEERS: result |= measure_peer(folder, catalog, name)
    write_result('serve', result, MEASURES)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', nargs='?', type=Path, default='runs/demo')
    parser.add_argument('store', nargs='?', type=Path, default='runs/store')
    args = parser.parse_args()
    measure_all(args.run, args.store)


if __name__ == '__main__': main()

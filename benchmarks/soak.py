"""Check every answer of the service while versions are switched and a worker is killed.

    python benchmarks/soak.py [STORE] [SECONDS]        by default runs/store 300

The service runs with two workers at 80% of its measured capacity. Another version becomes active every tenth of the
time, and one worker is killed in the middle. An answer is wrong if it differs from what the library returns for the
version that the answer names, and stale if that version was not active within the last three seconds. Connections
that the killed worker held may break; they are counted, and their requests are sent again. Writes
`results/soak.json`."""
import argparse
import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from load import drive, free_port, get, memory, search_path, start, stop
from traces import describe_machine, write_result

from embedding_search.search.index_version import Rows
from embedding_search.search.store import Store

MEASURES = ('embedding_search/search/*.py', 'embedding_search/model/search_encoders.py', 'benchmarks/load.py')
COMMAND = [sys.executable, '-c', 'from embedding_search.cli import main; main()']
ACTIVATE = '''
import sys
from embedding_search.search.store import Store
Store(sys.argv[1]).activate(sys.argv[2], force=True, golden=[])
'''
CLIENTS = 32
SWITCHES = 9
LOAD = .8 # Share of the capacity
GRACE = 3 # Seconds in which answers of the previous version are not stale
COUNTS = ('answers', 'wrong', 'stale', 'status_5xx', 'status_429', 'broken_connections')


def build_smaller_version(store, rng):
    "Build a version without one row in twenty; return the active version and the new one."
    active = store.find()
    folder = store.version_folder/active['name']
    rows = list(Rows(folder))
    families = np.load(folder/'numbers.npy')[1]
    family_of = {row['id']: str(family) for row, family in zip(rows, families, strict=True)}
    removed = set(rng.permutation(len(rows))[:len(rows) // 20].tolist())
    remaining = [row for i, row in enumerate(rows) if i not in removed]
    model = store.model_folder/active['model']
    return active, store.build(remaining, family_of, model, active['counts']['dim'])


def choose_queries(store, n=400):
    "Use the golden queries of a store, or titles if it has none."
    queries = [golden['query'] for golden in store.golden()]
    if queries: return queries[:n]
    rows = Rows(store.version_folder/store.find()['name'])
    return [rows[i]['title'] for i in range(0, len(rows), max(1, len(rows) // n))][:n]


def expected_ids(store, version, queries):
    "Return the ids of the hits of each query, as the library finds them."
    searcher = store.searcher(version['name'])
    return [[hit['id'] for hit in searcher.search(query)] for query in queries]


def worker_ids(server):
    "List the process ids of the workers of a server."
    command = ['ps', '-ww', '--ppid', str(server.pid), '-o', 'pid=,args=']
    table = subprocess.run(command, capture_output=True, text=True).stdout
    return [int(line.split()[0]) for line in table.splitlines() if 'spawn_main' in line]


def measure_capacity(port, paths):
    "Return how many searches per second the service answers."
    asyncio.run(drive(port, paths, 8)) # Warm up
    _, _, seconds = asyncio.run(drive(port, paths * 8, 16))
    return len(paths) * 8 / seconds


class Soak:
    "Send requests to a server, switch its versions, and check its answers."
    def __init__(self, store, versions, expected, paths, server, port):
        self.store = store
        self.versions = versions
        self.expected = expected
        self.paths = paths
        self.server = server
        self.port = port
        self.counts = Counter()
        self.latencies = []
        self.switches = 0
        self.killed = 0
        self.active = [dict(name=versions[0]['name'], begun=0., done=0.)] # Versions in the order of activation

    def was_active(self, name, sent, answered):
        "Say whether a version was active between `sent`, less the time of grace, and `answered`."
        for i, version in enumerate(self.active):
            last = i + 1 == len(self.active)
            ended = np.inf if last else self.active[i + 1]['done']
            if version['name'] == name and version['begun'] <= answered and ended >= sent - GRACE: return True
        return False

    def check(self, number, status, body, sent, answered):
        "Count one answer."
        if status == 429: self.counts['status_429'] += 1
        elif status != 200: self.counts['status_5xx'] += 1
        else:
            answer = json.loads(body)
            ids = [hit['id'] for hit in answer['hits']]
            self.counts['answers'] += 1
            self.counts['wrong'] += ids != self.expected[answer['version']][number]
            self.counts['stale'] += not self.was_active(answer['version'], sent, answered)

    async def client(self, requests, begin):
        "Send requests, given as query number and time, over one connection; open it again if it breaks."
        connection = None
        for number, due in requests:
            await asyncio.sleep(max(0, begin + due - time.time()))
            sent = time.time()
            for _ in range(20):
                try:
                    if connection is None: connection = await asyncio.open_connection('127.0.0.1', self.port)
                    status, body = await get(*connection, self.paths[number])
                    break
                except (OSError, asyncio.IncompleteReadError):
                    self.counts['broken_connections'] += 1
                    connection = None
                    await asyncio.sleep(.01)
            else: raise ConnectionError('the service broke 20 connections in a row')
            answered = time.time()
            self.latencies.append(1000 * (answered - sent))
            self.check(number, status, body, sent, answered)

    async def switch(self, name):
        "Make a version the active one, in another process."
        self.active.append(dict(name=name, begun=time.time(), done=np.inf))
        command = [sys.executable, '-c', ACTIVATE, str(self.store.folder), name]
        await asyncio.to_thread(subprocess.run, command, check=True)
        self.active[-1]['done'] = time.time()
        self.switches += 1

    async def disturb(self, begin, seconds):
        "Switch versions in equal intervals, and kill a worker half an interval after the fifth switch."
        interval = seconds / (SWITCHES + 1)
        current, other = self.versions
        for number in range(1, SWITCHES + 1):
            await asyncio.sleep(max(0, begin + number * interval - time.time()))
            await self.switch((other if number % 2 else current)['name'])
            if number == 5:
                await asyncio.sleep(interval / 2)
                os.kill(worker_ids(self.server)[0], signal.SIGKILL)
                self.killed += 1

    async def run(self, rate, seconds, rng):
        "Send `rate` requests per second at random times."
        begin = time.time() + 1
        times = np.cumsum(rng.exponential(1 / rate, int(rate * seconds)))
        clients = []
        for i in range(CLIENTS):
            requests = [(int(rng.integers(len(self.paths))), due) for due in times[i::CLIENTS]]
            clients.append(self.client(requests, begin))
        await asyncio.gather(self.disturb(begin, seconds), *clients)


def soak(store, seconds):
    "Run the test on a store that may be changed."
    machine = describe_machine()
    rng = np.random.default_rng(0)
    versions = build_smaller_version(store, rng)
    queries = choose_queries(store)
    expected = {version['name']: expected_ids(store, version, queries) for version in versions}
    differ = sum(first != second for first, second in zip(*expected.values(), strict=True))
    paths = [search_path(query) for query in queries]

    port = free_port()
    server, _ = start([*COMMAND, 'serve', '--store', store.folder, '--port', port, '--workers', 2], port)
    capacity = measure_capacity(port, paths)
    test = Soak(store, versions, expected, paths, server, port)
    asyncio.run(test.run(LOAD * capacity, seconds, rng))
    workers = len(worker_ids(server))
    used = memory(server)
    stop(server)

    counts = {name: test.counts[name] for name in COUNTS}
    return dict(
        wrong_or_stale_answers=counts['wrong'] + counts['stale'],
        machine=machine,
        seconds=seconds,
        capacity_per_second=round(capacity, 1),
        asked_per_second=round(LOAD * capacity, 1),
        switches=test.switches,
        workers_killed=test.killed,
        workers_at_the_end=workers,
        queries=len(queries),
        queries_whose_answer_differs_between_the_versions=differ,
        **counts,
        p50_ms=round(np.percentile(test.latencies, 50), 2),
        p99_ms=round(np.percentile(test.latencies, 99), 2),
        max_ms=round(max(test.latencies), 1),
        **used,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('store', nargs='?', type=Path, default='runs/store')
    parser.add_argument('seconds', nargs='?', type=float, default=300)
    args = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(dir=args.store.parent)) # On the same disk, because the copy consists of hard links
    copy = Store(shutil.copytree(args.store, scratch/'s', copy_function=os.link))
    result = soak(copy, args.seconds)
    shutil.rmtree(scratch)
    write_result('soak', result, MEASURES)


if __name__ == '__main__': main()

"""Start, measure and stop an HTTP server; shared by `serve.py` and `soak.py`.

`measure` sends requests with wrk (https://github.com/wg/wrk), which takes little of the processor that it measures.
`drive` sends them with asyncio, so that its caller can look at every answer. `BENCH_SHARE=.2` measures for a fifth of
the time; `BENCH_LOG=FILE` keeps what the servers print to standard error."""
import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from collections import Counter
from pathlib import Path

import numpy as np

SCRIPT = Path(__file__).parent/'search.lua'
MEDIANS = ('p50_ms', 'p95_ms', 'p99_ms', 'per_second') # Of all rounds
SUMS = ('requests', 'not_200', 'broken')


def free_port():
    "Return a port that nobody listens on."
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def search_path(query, **options):
    "Return the path of a search."
    return '/search?' + urllib.parse.urlencode(dict(k=10, q=query) | options, quote_via=urllib.parse.quote)


def start(command, port, timeout=180, env=None):
    "Start a server; return the process and the seconds until its first answer."
    begin = time.perf_counter()
    with open(os.environ.get('BENCH_LOG', os.devnull), 'w') as log:
        server = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=log,
                                  start_new_session=True, env=env)
    url = f'http://127.0.0.1:{port}{search_path("first")}'
    while time.perf_counter() - begin < timeout:
        try:
            with urllib.request.urlopen(url, timeout=timeout) as response: response.read()
            return server, time.perf_counter() - begin
        except OSError:
            if server.poll() is not None: raise SystemExit(f'{command} ended with {server.returncode}') from None
            time.sleep(.01)
    raise SystemExit(f'{command} did not answer')


def stop(server):
    "End a server and its workers."
    os.killpg(server.pid, signal.SIGTERM)
    try: server.wait(30)
    except subprocess.TimeoutExpired: os.killpg(server.pid, signal.SIGKILL)


def process_ids(server):
    "List the process ids of a server and its descendants."
    table = subprocess.run(['ps', '-eo', 'pid=,ppid='], capture_output=True, text=True, check=True).stdout
    children = {}
    for line in table.splitlines():
        pid, parent = map(int, line.split())
        children.setdefault(parent, []).append(pid)
    found = [server.pid]
    for pid in found: found += children.get(pid, []) # The loop also visits what it appends
    return found


def read_memory(pid):
    "Return the memory of a process in MB by kind, such as `Rss` and `Pss`."
    lines = Path(f'/proc/{pid}/smaps_rollup').read_text().splitlines()[1:]
    return {line.split(':')[0]: int(line.split()[1]) / 1024 for line in lines}


def memory(server):
    "Return resident memory of the largest process, and proportional memory of all processes, in MB."
    found = []
    for pid in process_ids(server):
        with contextlib.suppress(OSError): found.append(read_memory(pid)) # The process may have ended
    return dict(
        largest_process_rss_mb=round(max(process['Rss'] for process in found), 1),
        all_processes_pss_mb=round(sum(process['Pss'] for process in found), 1),
    )


async def get(reader, writer, path):
    "Send one request on an open connection; return status and body."
    writer.write(f'GET {path} HTTP/1.1\r\nHost: x\r\n\r\n'.encode())
    head = (await reader.readuntil(b'\r\n\r\n')).decode('latin1').lower()
    size = int(head.split('content-length:')[1].split('\r\n')[0])
    body = await reader.readexactly(size)
    return int(head[9:12]), body


async def drive(port, paths, concurrency):
    "Request all `paths` over `concurrency` connections; return latencies in ms, counts of statuses, and seconds."
    remaining = iter(paths)
    latencies = []
    statuses = Counter()

    async def client():
        reader, writer = await asyncio.open_connection('127.0.0.1', port)
        for path in remaining:
            sent = time.perf_counter()
            status, _ = await get(reader, writer, path)
            latencies.append(1000 * (time.perf_counter() - sent))
            statuses[status] += 1
        writer.close()

    begin = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(concurrency)))
    return np.array(latencies), statuses, time.perf_counter() - begin


def find_wrk():
    "Return the path of wrk, or say how to install it."
    wrk = shutil.which('wrk')
    if wrk: return wrk
    raise SystemExit('wrk sends the requests and is not installed: `apt-get install wrk` (Debian, Ubuntu), '
                     '`brew install wrk` (macOS), or build https://github.com/wg/wrk')


def send(port, paths, first, connections, seconds):
    "Request `paths`, from number `first` on, over and over for some seconds; return what `search.lua` prints."
    with tempfile.NamedTemporaryFile('w', suffix='.txt') as file:
        file.write('\n'.join(paths) + '\n')
        file.flush()
        command = [find_wrk(), '-t1', f'-c{connections}', f'-d{seconds:g}s', '--timeout', '30s', '-s', SCRIPT,
                   f'http://127.0.0.1:{port}', '--', file.name, first]
        printed = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True).stdout
    return json.loads(printed.splitlines()[-1])


def measure(port, queries, connections, seconds, rounds=3, **options):
    "Search for some seconds per round; return medians over rounds of latencies in ms and searches per second."
    seconds = max(1, round(seconds * float(os.environ.get('BENCH_SHARE', 1))))
    paths = [search_path(query, **options) for query in queries]
    found = [send(port, paths, number * len(paths) // rounds, connections, seconds) for number in range(rounds)]
    medians = {name: round(statistics.median(one[name] for one in found), 2) for name in MEDIANS}
    return medians | {name: sum(one[name] for one in found) for name in SUMS}

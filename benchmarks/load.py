"""Measure latency and throughput of an HTTP server; shared by `serve.py` and `soak.py`.

The client keeps its connections open and uses bare asyncio streams, to take little of the processor that it measures.
`BENCH_SHARE=.2` sends a fifth of the requests; `BENCH_LOG=FILE` keeps what the servers print to standard error."""
import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections import Counter
from pathlib import Path

import numpy as np


def free_port():
    "Return a port that nobody listens on."
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def search_path(query):
    "Return the path of a search."
    return '/search?k=10&q=' + urllib.parse.quote(query)


def start(command, port, timeout=180):
    "Start a server; return the process and the seconds until its first answer."
    begin = time.perf_counter()
    with open(os.environ.get('BENCH_LOG', os.devnull), 'w') as log:
        server = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=log,
                                  start_new_session=True)
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


def measure(port, queries, concurrency, n, rounds=3):
    "Send `n` searches per round; return the median over rounds of latency percentiles in ms and searches per second."
    n = round(n * float(os.environ.get('BENCH_SHARE', 1)))
    measured = []
    errors = 0
    for number in range(rounds):
        paths = [search_path(queries[(number * n + i) % len(queries)]) for i in range(n)]
        latencies, statuses, seconds = asyncio.run(drive(port, paths, concurrency))
        measured.append([*np.percentile(latencies, (50, 95, 99)), n / seconds])
        errors += n - statuses[200]
    p50, p95, p99, rate = np.median(measured, 0)
    return dict(p50_ms=round(p50, 2), p95_ms=round(p95, 2), p99_ms=round(p99, 2), per_second=round(rate, 1),
                requests=n * rounds, not_200=errors)

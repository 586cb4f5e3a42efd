"""Latency and throughput of the service over loopback HTTP, beside sentence-transformers + a vector database behind FastAPI, on the same machine in the same run.

    python benchmarks/serve.py [RUN] [STORE]

Builds the store when it is not there (minutes: every title is encoded once)."""
import json, subprocess, sys, urllib.parse, urllib.request
from pathlib import Path
import numpy as np
from embedding_search.catalog import read_jsonl
from embedding_search.encode import top_k
from embedding_search.store import Store
from load import free_port, machine, measure, memory, start, stop, write

run, folder = Path((sys.argv[1:] or ['runs/demo'])[0]), Path((sys.argv[2:] or ['runs/store'])[0])
COMMAND = [sys.executable, '-c', 'from embedding_search.cli import main; main()']
if not (folder/'active.json').exists():
    subprocess.run([*COMMAND, 'index', 'build', '--run', str(run), '--store', str(folder)], check=True)
    subprocess.run([*COMMAND, 'index', 'activate', '1', '--store', str(folder)], check=True)
rng = np.random.default_rng(0)
judged = read_jsonl(run/'judged.jsonl'); judged = [judged[i] for i in rng.permutation(len(judged))]
queries = [j['query'] for j in judged]

def exact(port, n=300):
    "Share of queries whose ten nearest titles are, in order, those of a full float product; and Recall@5 of both."
    s = Store(folder).searcher(); v = np.array(s.vectors, dtype=np.float32)
    ids = [s.rows[i]['id'] for i in range(len(s.rows))]
    right = [j['id'] for j in judged[:n]]
    full = top_k(np.stack([s.encoder.encode([q], 'query')[0] for q in queries[:n]]), v, 10)[1]
    same, hit = 0, np.zeros((n, 2))
    for i,q in enumerate(queries[:n]):
        want = [ids[r] for t in full[i] for r in s.by_title[t]]
        got = [h['id'] for h in json.load(urllib.request.urlopen(f'http://127.0.0.1:{port}/search?mode=dense&grouped=false&k=10&q='+urllib.parse.quote(q)))['hits']]
        same += got == want[:10]; hit[i] = right[i] in got[:5], right[i] in want[:5]
    return dict(queries=n, same_ten_in_order=same/n, recall_at_5=round(hit[:,0].mean(), 4), recall_at_5_exact=round(hit[:,1].mean(), 4))

result = dict(machine=machine(), titles=Store(folder).find()['counts']['titles'], rows=Store(folder).find()['counts']['rows'])
for workers in (1, 2):
    port = free_port(); p, seconds = start([*COMMAND, 'serve', '--store', folder, '--port', port, '--workers', workers], port)
    measure(port, queries, 4, 400, 1)
    result[f'ours, {workers} worker{"s"*(workers>1)}'] = dict(first_answer_s=round(seconds, 2), concurrency_1=measure(port, queries, 1, 600), concurrency_32=measure(port, queries, 32, 1500), **memory(p),
                                      **({'against_exact': exact(port)} if workers == 1 else {}))
    stop(p)
port = free_port(); p, _ = start([*COMMAND, 'serve', '--store', folder, '--port', port, '--workers', 2, '--set', 'serve.batch=8'], port)
measure(port, queries, 4, 400, 1); result['ours, 2 workers, 8 requests a model call'] = dict(concurrency_32=measure(port, queries, 32, 1500)); stop(p)

db = run.parent/'naive.db'  # kept, since filling it takes a minute
for fill in (False,) if (run.parent/'naive.filled').exists() else (True, False):
    port = free_port(); p, seconds = start([sys.executable, Path(__file__).parent/'naive.py', run, db, port], port, timeout=600)
    if fill: stop(p)
result['sentence-transformers + Milvus Lite + FastAPI'] = dict(first_answer_s=round(seconds, 2), concurrency_1=measure(port, queries, 1, 40), concurrency_32=measure(port, queries, 32, 96), **memory(p))
stop(p)
ours, naive = result['ours, 2 workers'], result['sentence-transformers + Milvus Lite + FastAPI']
ratio = dict(searches_a_second=round(ours['concurrency_32']['per_second']/naive['concurrency_32']['per_second'], 1), p50=round(naive['concurrency_1']['p50_ms']/ours['concurrency_1']['p50_ms'], 1),
             memory=round(naive['largest_process_rss_mb']/ours['largest_process_rss_mb'], 1))
write('serve', dict(times_better=ratio) | result)

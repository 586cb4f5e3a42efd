"""Five minutes at 80% of capacity, an index switch every 30 seconds, one kill -9 of a worker in the middle.

    python benchmarks/soak.py [STORE] [SECONDS]

Every answer must be that of the version it names, as the library gives it without a server; that version must have been active within the last three seconds; and no answer may be a 5xx.
Connections that the killed worker held may break; each is counted, and its request asked again."""
import asyncio, json, os, shutil, signal, subprocess, sys, tempfile, time, urllib.parse
from pathlib import Path
import numpy as np
from embedding_search.store import Rows, Store
from load import drive, free_port, get, machine, memory, start, stop, write

folder, seconds = Path((sys.argv[1:] or ['runs/store'])[0]), float((sys.argv[2:] or [300])[0])
scratch = Path(tempfile.mkdtemp(dir=folder.parent)); st = Store(shutil.copytree(folder, scratch/'s', copy_function=os.link))
a = st.find(); at = scratch/'s'/'versions'/a['name']; rows = list(Rows(at)); family = np.load(at/'numbers.npy')[1]
rng = np.random.default_rng(0)
gone = set(rng.permutation(len(rows))[:len(rows)//20].tolist())
b = st.build([r for i,r in enumerate(rows) if i not in gone], {r['id']: str(f) for r,f in zip(rows, family)}, scratch/'s'/'models'/a['model'], a['counts']['dim'])
golden = [g['query'] for g in st.golden()] or [rows[i]['title'] for i in range(0, len(rows), len(rows)//400)]
queries = golden[:400]
want = {v['name']: [[h['id'] for h in s.search(q)] for q in queries] for v in (a, b) for s in [st.searcher(v['name'])]}
paths = ['/search?k=10&q='+urllib.parse.quote(q) for q in queries]
differ = sum(x != y for x,y in zip(*want.values()))

port = free_port(); p, _ = start([sys.executable, '-c', 'from embedding_search.cli import main; main()', 'serve', '--store', scratch/'s', '--port', port, '--workers', 2], port)
asyncio.run(drive(port, paths, 8))
_, _, took = asyncio.run(drive(port, paths*8, 16)); capacity = len(paths)*8/took
rate, switches, active, killed = .8*capacity, [], [[0, 0, a['name']]], []  # active: activation begun, activation ended, version
count = dict(answers=0, wrong=0, stale=0, status_5xx=0, status_429=0, broken_connections=0); ms = []

async def client(due, begin):
    "Ask at the times in `due`; a broken connection is opened again."
    r = w = None
    for n,t in due:
        await asyncio.sleep(max(0, begin+t-time.time())); sent = time.time()
        for _ in range(20):
            try:
                if w is None: r, w = await asyncio.open_connection('127.0.0.1', port)
                status, _, body = await get(r, w, paths[n]); break
            except (OSError, asyncio.IncompleteReadError): count['broken_connections'] += 1; w = None; await asyncio.sleep(.01)
        done = time.time(); ms.append(1000*(done-sent))
        if status != 200: count['status_429' if status == 429 else 'status_5xx'] += 1; continue
        x = json.loads(body); count['answers'] += 1
        count['wrong'] += [h['id'] for h in x['hits']] != want[x['version']][n]
        was = {v for i,(t0,_,v) in enumerate(active) if t0 <= done and (i+1 == len(active) or active[i+1][1] >= sent-3)}
        count['stale'] += x['version'] not in was

def kids(): return [int(l.split()[0]) for l in subprocess.run(['ps', '-ww', '--ppid', str(p.pid), '-o', 'pid=,args='], capture_output=True, text=True).stdout.splitlines() if 'spawn_main' in l]

async def trouble(begin):
    "Switch every 30 s (a tenth of the time), kill a worker in the middle."
    step = seconds/10
    for i in range(1, 10):
        await asyncio.sleep(max(0, begin+i*step-time.time()))
        name = (b, a)[(i-1) % 2]['name']; active.append([time.time(), float('inf'), name])
        await asyncio.to_thread(subprocess.run, [sys.executable, '-c', f'from embedding_search.store import Store; Store({str(scratch/"s")!r}).activate({name!r}, force=True, golden=[])'], check=True)
        active[-1][1] = time.time(); switches.append(name)
        if i == 5:
            await asyncio.sleep(step/2); old = kids(); os.kill(old[0], signal.SIGKILL); killed.append(old[0])

async def main():
    begin, clients = time.time()+1, 32
    times = np.cumsum(rng.exponential(1/rate, int(rate*seconds)))
    due = [[(int(rng.integers(len(paths))), t) for t in times[i::clients]] for i in range(clients)]
    await asyncio.gather(trouble(begin), *(client(d, begin) for d in due))

asyncio.run(main())
both = len(kids()); result_memory = memory(p); stop(p); shutil.rmtree(scratch)
result = dict(wrong_or_stale_answers=count['wrong']+count['stale'], machine=machine(), seconds=seconds, capacity_per_second=round(capacity, 1), asked_per_second=round(rate, 1), switches=len(switches), workers_killed=len(killed), workers_at_the_end=both,
              queries=len(queries), queries_whose_answer_differs_between_the_versions=differ, **count, p50_ms=round(np.percentile(ms, 50), 2), p99_ms=round(np.percentile(ms, 99), 2), max_ms=round(max(ms), 1), **result_memory)
write('soak', result)

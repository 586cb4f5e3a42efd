"A small HTTP load generator, shared by the benchmarks: keep-alive connections on bare asyncio streams, so that it takes little of the processor it measures."
import asyncio, json, os, signal, socket, subprocess, sys, time, urllib.parse, urllib.request
from pathlib import Path
import numpy as np

def free_port():
    "A port nobody listens on."
    with socket.socket() as s: s.bind(('127.0.0.1', 0)); return s.getsockname()[1]

def start(cmd, port, probe='/search?q=first', timeout=180, **env):
    "Start a server; the process, and the seconds until its first answer."
    t = time.perf_counter()
    p = subprocess.Popen(list(map(str, cmd)), env=os.environ | env, stdout=subprocess.DEVNULL, stderr=open(os.environ.get('BENCH_LOG', os.devnull), 'w'), start_new_session=True)
    while time.perf_counter()-t < timeout:
        try: urllib.request.urlopen(f'http://127.0.0.1:{port}{probe}', timeout=timeout).read(); return p, time.perf_counter()-t
        except OSError:
            if p.poll() is not None: raise SystemExit(f'{cmd} ended with {p.returncode}') from None
            time.sleep(.01)
    raise SystemExit(f'{cmd} did not answer')

def stop(p):
    "End a server and its workers."
    os.killpg(p.pid, signal.SIGTERM)
    try: p.wait(30)
    except subprocess.TimeoutExpired: os.killpg(p.pid, signal.SIGKILL)

def processes(p):
    "Process ids of a server: parent and descendants."
    out = subprocess.run(['ps', '-eo', 'pid=,ppid='], capture_output=True, text=True, check=True).stdout.split('\n')
    kids = {}
    for line in out:
        if line.strip(): pid, parent = map(int, line.split()); kids.setdefault(parent, []).append(pid)
    found = [p.pid]
    for x in found: found += kids.get(x, [])
    return found

def memory(p, field='Rss'):
    "Largest resident memory of one process, and proportional memory of all together, MB."
    each = []
    for pid in processes(p):
        try: each.append({l.split(':')[0]: int(l.split()[1])/1024 for l in Path(f'/proc/{pid}/smaps_rollup').read_text().splitlines()[1:]})
        except OSError: pass
    return dict(largest_process_rss_mb=round(max(e['Rss'] for e in each), 1), all_processes_pss_mb=round(sum(e['Pss'] for e in each), 1))

async def get(reader, writer, path):
    "One request on an open connection: status, headers, body."
    writer.write(f'GET {path} HTTP/1.1\r\nHost: x\r\n\r\n'.encode())
    head = (await reader.readuntil(b'\r\n\r\n')).decode('latin1').lower()
    size = int(head.split('content-length:')[1].split('\r\n')[0])
    return int(head[9:12]), head, await reader.readexactly(size)

async def drive(port, paths, concurrency):
    "Request all `paths` over `concurrency` connections; latencies in ms, statuses, seconds."
    todo, ms, status = iter(paths), [], {}
    async def client():
        r, w = await asyncio.open_connection('127.0.0.1', port)
        for path in todo:
            t = time.perf_counter(); s, _, _ = await get(r, w, path)
            ms.append(1000*(time.perf_counter()-t)); status[s] = status.get(s, 0)+1
        w.close()
    start = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(concurrency)))
    return np.array(ms), status, time.perf_counter()-start

def measure(port, queries, concurrency, n, rounds=3):
    "Median over rounds of p50, p95, p99 (ms) and searches a second. BENCH_SHARE=.2 asks a fifth of the requests."
    n = round(n*float(os.environ.get('BENCH_SHARE', 1)))
    rows, errors = [], 0
    for r in range(rounds):
        paths = ['/search?k=10&q='+urllib.parse.quote(queries[(r*n+i) % len(queries)]) for i in range(n)]
        ms, status, took = asyncio.run(drive(port, paths, concurrency))
        rows.append([*np.percentile(ms, (50, 95, 99)), n/took]); errors += sum(c for s,c in status.items() if s != 200)
    p50, p95, p99, rate = np.median(rows, 0)
    return dict(p50_ms=round(p50, 2), p95_ms=round(p95, 2), p99_ms=round(p99, 2), per_second=round(rate, 1), requests=n*rounds, not_200=errors)

def write(name, result):
    "Keep a result beside the benchmarks."
    f = Path(__file__).parent/'results'/f'{name}.json'; f.parent.mkdir(exist_ok=True)
    f.write_text(json.dumps(result, indent=1)+'\n'); print(json.dumps(result, indent=1))

def machine():
    "What the numbers were measured on; a load near 0 before the start means that nothing else ran."
    cpu = [l.split(':')[1].strip() for l in open('/proc/cpuinfo') if l.startswith('model name')]
    return dict(cpu=cpu[0], cores=len(cpu), python=sys.version.split()[0], load_before=round(os.getloadavg()[0], 1))

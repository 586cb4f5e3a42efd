"""Search in the browser tab, measured in a real Chromium on the finished run `runs/demo`: `python benchmarks/browser.py`.

Latency from input event to results in the DOM, first and second visit over a slow link, recall against exact search in Python, memory, and what one would use instead.
Writes `benchmarks/results/browser.json`. The machine's load stands beside every number."""
import json, os, random, shutil, statistics as st, sys, threading, time
from http.server import ThreadingHTTPServer
from pathlib import Path
import numpy as np
from playwright.sync_api import sync_playwright
from embedding_search.catalog import norm
from embedding_search.encode import Encoder, pin_threads
from embedding_search.metrics import paired_bootstrap
from embedding_search.search import Searcher
from embedding_search.site import Preview, build_site
from tab import ARGS, BACK, CHROMIUM, EL, ready

HERE, RUN = Path(__file__).parent, Path(sys.argv[1] if len(sys.argv) > 1 else 'runs/demo')
MBIT, DELAY = 10, .04
pin_threads(2)

class Host(Preview):
    "Serves `folder` under /site/, peers and the run under /; with `server.slow`, over one link of `MBIT` with `DELAY` seconds to each answer."
    def do_GET(self):
        self.prefix, self.isolated, self.directory = (f'/{site}/', True, str(RUN/site)) if (site := self.path.split('/')[1]) in ('site','site-static') else ('/run/', True, str(RUN)) if self.path.startswith('/run/') else ('/', True, str(HERE/'peers'))
        if self.server.slow: time.sleep(DELAY)
        self.wfile = Link(self.wfile, self.server); super().do_GET(); self.wfile = self.wfile.raw

class Link:
    "Counts, and lets through what the link carries."
    def __init__(self, raw, server): self.raw, self.server, self.closed = raw, server, False
    def write(self, data):
        for i in range(0, len(data), 16384):
            piece = data[i:i+16384]; self.server.sent += len(piece)
            if self.server.slow:
                with self.server.line: time.sleep(max(0, self.server.free-time.time())); self.server.free = max(self.server.free, time.time())+len(piece)*8/(MBIT*1e6)
            self.raw.write(piece)
    def flush(self): self.raw.flush()

def load(): return round(os.getloadavg()[0], 2)
def q(x, p): return round(float(np.percentile(x, p)), 2)
def spread(x): return dict(median=q(x, 50), p95=q(x, 95), n=len(x))

VISIT = """addEventListener('DOMContentLoaded', () => { const t = setInterval(() => { const e = document.querySelector('embedding-search'); if (!e?.shadowRoot) return; clearInterval(t);
  window.at = {}; e.addEventListener('results', r => { const k = r.detail.tier; if (r.detail.hits.length) window.at[k] ??= performance.now() }); e.value = 'heart infected by tb' }, 5) });
  window.long = []; new PerformanceObserver(l => l.getEntries().forEach(e => window.long.push(e.duration))).observe({type: 'longtask', buffered: true});"""
TYPED = f"""async qs => {{ const e = {EL}, out = []; let from = 0, want = ''; e.addEventListener('results', r => {{ if (r.detail.query === want) out.push([performance.now() - from, r.detail.ms]) }});
  for (const q of qs) {{ e.value = ''; for (let n = 1; n <= q.length; n++) {{ await new Promise(r => setTimeout(r, 80)); want = q.slice(0, n); e.input.value = want; from = performance.now(); e.input.dispatchEvent(new InputEvent('input', {{bubbles: true}})) }} }}
  await new Promise(r => setTimeout(r, 300)); return out }}"""

def latency(page, queries):
    "Input event to results in the DOM, and the worker's share of it."
    page.evaluate(BACK, queries[:40])
    rounds = [page.evaluate(BACK, queries) for _ in range(3)]
    typed = [page.evaluate(TYPED, queries[40*i:40*i+8]) for i in range(3)]
    pick = lambda runs, i: dict(spread([v[i] for r in runs for v in r]), medians=[q([v[i] for v in r], 50) for r in runs])
    return dict(back_to_back=pick(rounds, 0), back_to_back_worker=pick(rounds, 1), typing_80ms=pick(typed, 0), typing_80ms_worker=pick(typed, 1))

def visits(browser, server, url, n=3):
    "First and second visit over the slow link."
    out = []
    for _ in range(n):
        ctx = browser.new_context(); ctx.add_init_script(VISIT); page = ctx.new_page(); server.slow, server.sent = True, 0
        page.goto(url, wait_until='commit'); ready(page)
        while not page.evaluate("window.at.transformer"): time.sleep(.05)
        time.sleep(1.5); one, sent, long1 = page.evaluate("window.at"), server.sent, page.evaluate("Math.max(0, ...window.long)")
        page.close(); server.sent = 0; page = ctx.new_page(); page.goto(url, wait_until='commit'); ready(page)
        while not page.evaluate("window.at.transformer"): time.sleep(.05)
        two = page.evaluate("window.at"); long2 = page.evaluate("Math.max(0, ...window.long)")
        out.append(dict(first_keyword=one['keyword'], first_static=one.get('static', one['transformer']), first_semantic=one['transformer'], first_mb=sent/1e6, second_keyword=two.get('keyword', two['transformer']), second_semantic=two['transformer'], second_mb=server.sent/1e6,
                        longest_task=max(long1, long2)))
        ctx.close()
    server.slow = False
    return {k: round(st.median(o[k] for o in out), 3) for k in out[0]} | dict(runs=n, link_mbit=MBIT, delay_ms=1000*DELAY)

def rss():
    "Largest renderer, MB."
    out = []
    for p in Path('/proc').iterdir():
        try:
            if p.name.isdigit() and b'--type=renderer' in (p/'cmdline').read_bytes() and b'ForceEagerMeasureMemory' in (p/'cmdline').read_bytes():
                out.append(int(next(l for l in (p/'status').read_text().splitlines() if l.startswith('VmRSS')).split()[1])/1024)
        except (OSError, StopIteration): pass
    return round(max(out, default=0), 1)

def memory(page, queries):
    "JS and WASM memory of page and worker after 500 and 1,000 queries."
    out = {}
    for n in (500, 1000):
        page.evaluate(f"async qs => {{ for (const q of qs) await {EL}.search.query(q) }}", [queries[i % len(queries)]+(' x' if n == 1000 else '') for i in range(500)])
        m = page.evaluate("performance.measureUserAgentSpecificMemory().then(m => m.bytes/1e6)")
        out[f'after_{n}'] = dict(js_wasm_mb=round(m, 1), renderer_rss_mb=rss())
    return out

def judge(lists, cases):
    "Recall@5 by family, and of the shown row's own title, in percent."
    fam = [bool({h[1] for h in l[:5]} & c['families']) for l,c in zip(lists, cases)]
    title = [bool({h[2] for h in l[:5]} & c['titles']) for l,c in zip(lists, cases)]
    return dict(family=round(100*float(np.mean(fam)), 2), shown_row=round(100*float(np.mean(title)), 2)), np.array(fam, float)

def cases_of(s):
    "Human dev queries, in random order, with what answers them."
    dev = [x for x in json.loads((RUN/'split.json').read_text())['judged'] if x['part'] == 'dev']
    title, fam, same = {r['id']: norm(r['title']) for r in s.rows}, {r['id']: r['family'] for r in s.rows}, {}
    for r in s.rows: same.setdefault(norm(r['title']), set()).add(r['family'])
    chosen = random.Random(0).sample(dev, len(dev))
    return [dict(query=x['query'], target=x['ids'][0], titles={title[i] for i in x['ids']}, families=set().union(*(same[title[i]] for i in x['ids']))) for x in chosen], title, fam

def peers(page, url, s, cases, title, fam):
    "MiniSearch and Fuse.js over the same titles; transformers.js with float vectors."
    page.goto(url+'/peers.html'); out = {}
    rows = [[r['id'], r['title'], r['title_no']] for r in s.rows]
    page.evaluate("r => { window.rows = r }", rows); qs = [c['query'] for c in cases]
    for name,n in (('minisearch',200), ('minisearch_fuzzy',200), ('fuse',20), ('transformers',200)):
        build = page.evaluate("n => peers[n].build()", name); times, lists = page.evaluate("([n, qs]) => ask(peers[n], qs)", [name, qs[:n]])
        lists = [list({fam[i]: [i, fam[i], title[i]] for i in reversed(l)}.values())[::-1] for l in lists]
        out[name] = dict(build_ms=round(build), ms=spread(times), recall_at_5=judge(lists, cases[:n])[0], queries=n); print(name, out[name], flush=True)
    return out

def save(r):
    "What has been measured so far."
    r['load_after'] = load()
    (HERE/'results').mkdir(exist_ok=True); (HERE/'results'/'browser.json').write_text(json.dumps(r, indent=1)+'\n')

def static_only():
    "A copy of the site that ends with the static tier."
    out = RUN/'site-static'; shutil.rmtree(out, ignore_errors=True); shutil.copytree(RUN/'site', out)
    m = json.loads((out/'site.json').read_text()); m['encoders'] = [e for e in m['encoders'] if e['name'] == 'static']; m['version'] += '-static'
    (out/'site.json').write_text(json.dumps(m))

def main():
    build_site(RUN); static_only()
    s = Searcher.load(RUN); cases, title, fam = cases_of(s); queries = [c['query'] for c in cases]
    server = ThreadingHTTPServer(('127.0.0.1', 0), Host); server.daemon_threads, server.slow, server.sent, server.free, server.line = True, False, 0, 0, threading.Lock()
    threading.Thread(target=server.serve_forever, daemon=True).start(); at = f'http://127.0.0.1:{server.server_address[1]}'
    r = dict(titles=len(s.rows), cores=os.cpu_count(), load_before=load())
    with sync_playwright() as p:
        b = p.chromium.launch(executable_path=CHROMIUM, headless=True, args=ARGS); r['chromium'] = b.version
        page = b.new_page(); page.goto(at+'/site/'); ready(page); r['latency_ms'] = latency(page, queries[:200]) | dict(load=load()); save(r); print(r['latency_ms'], flush=True)
        got = page.evaluate(f"async qs => {{ const out = [[], []]; for (const q of qs) for (const [i, mode] of [[0, 'hybrid'], [1, 'dense']]) out[i].push((await {EL}.search.query(q, {{k: 5, mode}})).hits.map(h => h.id)); return out }}", queries)
        quick_page = b.new_page(); quick_page.goto(at+'/site-static/'); ready(quick_page); quick_page.bring_to_front(); r['latency_static_ms'] = latency(quick_page, queries[:200])
        quick = [[(i, fam[i], title[i]) for i in l] for l in quick_page.evaluate(f"async qs => {{ const out = []; for (const q of qs) out.push((await {EL}.search.query(q, {{k: 5}})).hits.map(h => h.id)); return out }}", queries)]; quick_page.close(); page.bring_to_front()
        browser, dense = ([[(i, fam[i], title[i]) for i in l] for l in g] for g in got)
        s.encoder.session = Encoder.load(RUN/'model', 'model.onnx', threads=2).session
        exact = [[(h['id'], fam[h['id']], title[h['id']]) for h in s.search(x, 5, 'dense')] for x in queries]
        s.rrf_k, s.keyword_weight = 10, .1; both = [[(h['id'], fam[h['id']], title[h['id']]) for h in s.search(x, 5, 'hybrid')] for x in queries]
        judged = {k: judge(l, cases) for k,l in dict(browser=browser, browser_dense=dense, python_fp32_exact=exact, python_fp32_hybrid=both, browser_static=quick, python_static=[[(h['id'], fam[h['id']], title[h['id']]) for h in s.search(x, 5, 'static')] for x in queries]).items()}
        r['recall_at_5'] = {k: v[0] for k,v in judged.items()} | dict(queries=len(cases), browser_over_python=[100*x for x in paired_bootstrap(judged['python_fp32_exact'][1], judged['browser'][1], groups=[c['target'] for c in cases])]); save(r); print(r['recall_at_5'], flush=True)
        r['memory'] = memory(page, queries); save(r); print(r['memory'], flush=True)
        times, _ = page.evaluate(f"async qs => {{ const t = []; for (const q of qs) {{ const a = performance.now(); await {EL}.search.query(q); t.push(performance.now() - a) }} return [t, 0] }}", queries[:300]); page.close()
        r['visits_s'] = visits(b, server, at+'/site/'); save(r); print(r['visits_s'], flush=True)
        if (HERE/'peers'/'node_modules').exists():
            page = b.new_page(); r['instead'] = dict(this=dict(ms=spread(times), recall_at_5=r['recall_at_5']['browser'], queries=300)) | peers(page, at, s, cases, title, fam)
        else: print('peers not measured: npm ci --ignore-scripts in benchmarks/peers first')
        b.close()
    save(r)

if __name__ == "__main__": main()

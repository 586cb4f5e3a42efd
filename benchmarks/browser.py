"""Measure the search page of a finished run in Chromium.

    python benchmarks/browser.py [RUN]                   by default runs/demo
    python benchmarks/browser.py [RUN] --engines all     Chromium, Firefox and WebKit, one table, nothing else
    python benchmarks/browser.py [RUN] --engines all --before COMMIT SITE     and the page of an earlier commit

Measures latency from an input event to the results in the page, first and second visits over a slow link, memory,
and Recall@5 on dev evaluation queries compared with exact search in Python. After `npm ci --ignore-scripts` in
`benchmarks/peers`, the page is also compared with MiniSearch, Orama, Fuse.js and transformers.js over the same titles.
Writes `results/browser.json` after each part; load averages are stored with the numbers.

`--engines` compares engines: MB until the first answer by meaning and in all, and seconds until then, over the slow
link; latency from input to results of 200 queries typed back to back, and Recall@5 of 500, with the transformer and
with the n-gram encoder alone. In Chromium, the peers get the same 500 queries; their times are without the page.
`--before` adds a site that the code of an earlier commit built from a run of its own; check out that commit and run
`make demo` and `make site` there. Its times can be compared, its Recall@5 is that of its model. Writes
`results/engines.json`."""
import argparse
import json
import os
import random
import shutil
import statistics
import sys
import threading
import time
from http.server import ThreadingHTTPServer
from pathlib import Path

import numpy as np
from tab import BACK, ELEMENT, chromium, serving, wait_until_ready
from traces import RESULTS, load_average, trace, write_json

from embedding_search.core import pin_threads
from embedding_search.data.catalog import norm
from embedding_search.evaluation.metrics import paired_bootstrap
from embedding_search.evaluation.report import markdown_table
from embedding_search.model.encoders import OnnxEncoder
from embedding_search.search.searcher import Searcher
from embedding_search.search.site import Preview, build_site

sys.path.insert(0, str(Path(__file__).parents[1]/'tools'))
from engines import HAVE, PACKAGES, TABS

MEASURES = ('web/src/**/*.ts', 'embedding_search/search/site.py', 'benchmarks/tab.py')
MBIT = 10 # Megabits per second of the slow link
DELAY = .04 # Seconds before each answer over the slow link
PEERS = Path(__file__).parent/'peers'
PEER_QUERIES = {'minisearch': 200, 'minisearch_fuzzy': 200, 'orama': 200, 'fuse': 20, 'transformers': 200}
ENGINE_QUERIES = 500 # For Recall@5 in each engine

# Types a query when the page opens; keeps when each tier answered first, and how long tasks blocked the page
VISIT = """
addEventListener('DOMContentLoaded', () => {
  const timer = setInterval(() => {
    const element = document.querySelector('embedding-search');
    if (!element?.shadowRoot) return;
    clearInterval(timer);
    window.at = {};
    element.addEventListener('results', event => {
      if (event.detail.hits.length) window.at[event.detail.tier] ??= performance.now();
    });
    element.value = 'heart infected by tb';
  }, 5);
});
window.long = [];
const keep = entries => entries.getEntries().forEach(entry => window.long.push(entry.duration));
new PerformanceObserver(keep).observe({ type: 'longtask', buffered: true });
"""

# Types a key every 80 ms; returns for each the ms until its results are in the page, and those of the worker
TYPED = f"""async queries => {{
  const element = {ELEMENT};
  const times = [];
  let sent = 0;
  let typed = '';
  element.addEventListener('results', event => {{
    if (event.detail.query === typed) times.push([performance.now() - sent, event.detail.ms]);
  }});
  for (const query of queries) {{
    element.value = '';
    for (let n = 1; n <= query.length; n++) {{
      await new Promise(resolve => setTimeout(resolve, 80));
      typed = query.slice(0, n);
      element.input.value = typed;
      sent = performance.now();
      element.input.dispatchEvent(new InputEvent('input', {{ bubbles: true }}));
    }}
  }}
  await new Promise(resolve => setTimeout(resolve, 300));
  return times;
}}"""

# Returns for each query the ids of its hits
SEARCH = f"""async ([queries, mode]) => {{
  const found = [];
  for (const query of queries) {{
    const {{ hits }} = await {ELEMENT}.search.query(query, {{ k: 5, mode }});
    found.push(hits.map(hit => hit.id));
  }}
  return found;
}}"""

# Returns for each query the ms that the engine takes, without the page
TIMED = f"""async queries => {{
  const times = [];
  for (const query of queries) {{
    const sent = performance.now();
    await {ELEMENT}.search.query(query);
    times.push(performance.now() - sent);
  }}
  return times;
}}"""
MEMORY = 'performance.measureUserAgentSpecificMemory().then(memory => memory.bytes / 1e6)'


class SlowFile:
    "Count what is written to a connection; delay it if the link of `server` is slow."
    def __init__(self, file, server):
        self.file = file
        self.server = server
        self.closed = False

    def write(self, data):
        for start in range(0, len(data), 16384):
            block = data[start:start + 16384]
            self.server.sent += len(block)
            if self.server.slow: self.server.wait_for_link(len(block))
            self.file.write(block)

    def flush(self): self.file.flush()


class Host(Preview):
    "Serve the folders of the server under their names, and the peers under /."
    isolated = True

    def do_GET(self): # noqa: N802
        first = self.path.split('/')[1]
        folder = self.server.folders.get(first)
        if folder: self.prefix, self.directory = f'/{first}/', str(folder)
        else: self.prefix, self.directory = '/', str(PEERS)
        if self.server.slow: time.sleep(DELAY)
        file = self.wfile
        self.wfile = SlowFile(file, self.server)
        super().do_GET()
        self.wfile = file


class Server(ThreadingHTTPServer):
    "Serve over one link, which is slow when `slow` is set; `sent` counts bytes."
    def __init__(self, folders):
        super().__init__(('127.0.0.1', 0), Host)
        self.folders = folders # Name to folder
        self.slow = False
        self.sent = 0
        self.link_free = 0. # Time when the link has carried all that was sent
        self.link = threading.Lock()

    def wait_for_link(self, size):
        "Wait for the link, then occupy it for the time that `size` bytes take."
        with self.link:
            time.sleep(max(0, self.link_free - time.time()))
            self.link_free = max(self.link_free, time.time()) + size * 8 / (MBIT * 1e6)


def percentile(values, percent): return round(float(np.percentile(values, percent)), 2)


def spread(values): return dict(median=percentile(values, 50), p95=percentile(values, 95), n=len(values))


def summarize_rounds(rounds, column):
    "Summarize one column of what `BACK` or `TYPED` returned in several rounds."
    values = [[row[column] for row in times] for times in rounds]
    medians = [percentile(times, 50) for times in values]
    return dict(spread(np.concatenate(values)), medians=medians)


def measure_latency(page, queries):
    "Measure the time from an input event to the results in the page, and the worker's share of it."
    page.evaluate(BACK, queries[:40])
    back_to_back = [page.evaluate(BACK, queries) for _ in range(3)]
    typed = [page.evaluate(TYPED, queries[40 * i:40 * i + 8]) for i in range(3)]
    return dict(
        back_to_back=summarize_rounds(back_to_back, 0),
        back_to_back_worker=summarize_rounds(back_to_back, 1),
        typing_80ms=summarize_rounds(typed, 0),
        typing_80ms_worker=summarize_rounds(typed, 1),
    )


def visit(context, server, url, wait=0.):
    "Open the page until the transformer answers; return ms of each tier, MB after `wait` seconds, longest task in ms."
    page = context.new_page()
    server.sent = 0
    page.goto(url, wait_until='commit')
    wait_until_ready(page)
    while not page.evaluate('window.at.transformer'): time.sleep(.05)
    time.sleep(wait)
    measured = page.evaluate('window.at'), server.sent / 1e6, page.evaluate('Math.max(0, ...window.long)')
    page.close()
    return measured


def measure_visits(browser, server, url, n=3):
    "Measure first and second visits over the slow link; return the median of each number."
    server.slow = True
    measured = []
    for _ in range(n):
        context = browser.new_context()
        context.add_init_script(VISIT)
        first, first_mb, first_task = visit(context, server, url, wait=1.5)
        second, second_mb, second_task = visit(context, server, url)
        measured.append(dict(
            first_keyword=first['keyword'],
            first_static=first.get('ngram', first['transformer']),
            first_semantic=first['transformer'],
            first_mb=first_mb,
            second_keyword=second.get('keyword', second['transformer']),
            second_semantic=second['transformer'],
            second_mb=second_mb,
            longest_task=max(first_task, second_task),
        ))
        context.close()
    server.slow = False
    medians = {name: round(statistics.median(row[name] for row in measured), 3) for name in measured[0]}
    return medians | dict(runs=n, link_mbit=MBIT, delay_ms=1000 * DELAY)


def renderer_memory(process):
    "Return the resident memory of a renderer of our Chromium in MB, else 0."
    try:
        command = (process/'cmdline').read_bytes()
        if b'--type=renderer' not in command or b'ForceEagerMeasureMemory' not in command: return 0.
        for line in (process/'status').read_text().splitlines():
            if line.startswith('VmRSS'): return int(line.split()[1]) / 1024
    except OSError: pass # The process has ended
    return 0.


def measure_memory(page, queries):
    "Measure the memory of page and worker after 500 and 1,000 queries."
    search = f'async queries => {{ for (const query of queries) await {ELEMENT}.search.query(query) }}'
    repeated = [queries[i % len(queries)] for i in range(500)]
    measured = {}
    for n, asked in ((500, repeated), (1000, [f'{query} x' for query in repeated])):
        page.evaluate(search, asked)
        used = page.evaluate(MEMORY)
        renderers = [renderer_memory(path) for path in Path('/proc').iterdir() if path.name.isdigit()]
        measured[f'after_{n}'] = dict(js_wasm_mb=round(used, 1), renderer_rss_mb=round(max(renderers), 1))
    return measured


class Catalog:
    "Look up titles and families of a run, and the dev evaluation queries in random order."
    def __init__(self, run, rows):
        self.title_of = {row['id']: norm(row['title']) for row in rows}
        self.family_of = {row['id']: row['family'] for row in rows}
        families = {} # Title to the families of its rows
        for row in rows: families.setdefault(norm(row['title']), set()).add(row['family'])
        split = json.loads((run/'split.json').read_text())
        dev = [query for query in split['eval_queries'] if query['part'] == 'dev']
        self.queries = random.Random(0).sample(dev, len(dev))
        self.titles = [{self.title_of[id] for id in query['ids']} for query in self.queries]
        self.families = [set().union(*(families[title] for title in titles)) for titles in self.titles]

    def hits(self, found):
        "Test whether a right family, and a right title, is among the first five ids found for each query."
        family, title = [], []
        for ids, families, titles in zip(found, self.families, self.titles, strict=False): # Slow peers get fewer
            family.append(not families.isdisjoint(self.family_of[id] for id in ids[:5]))
            title.append(not titles.isdisjoint(self.title_of[id] for id in ids[:5]))
        return np.array(family, float), np.array(title, float)

    def recall(self, found):
        "Return Recall@5 in percent, by family and by the title of the shown row."
        family, title = self.hits(found)
        return dict(family=round(100 * float(family.mean()), 2), shown_row=round(100 * float(title.mean()), 2))

    def first_of_families(self, ids):
        "Keep the first id of each family."
        first = {}
        for id in ids: first.setdefault(self.family_of[id], id)
        return list(first.values())


def search_in_page(page, queries, *modes):
    "Return for each mode the ids of the hits of each query."
    return [page.evaluate(SEARCH, [queries, mode]) for mode in modes]


def search_in_python(searcher, queries, *modes):
    "Return for each mode the ids of the hits of each query."
    found = []
    for mode in modes: found.append([[hit['id'] for hit in searcher.search(query, 5, mode)] for query in queries])
    return found


def summarize_recall(found, catalog):
    "Return Recall@5 of each search, and what the page changes against exact search in Python."
    recall = {name: catalog.recall(ids) for name, ids in found.items()}
    exact, _ = catalog.hits(found['python_fp32_exact'])
    in_page, _ = catalog.hits(found['browser'])
    groups = [query['ids'][0] for query in catalog.queries]
    change = [100 * value for value in paired_bootstrap(exact, in_page, groups=groups)]
    return recall | dict(queries=len(groups), browser_over_python=change)


def measure_peers(page, rows, catalog, n_queries):
    "Measure keyword searches over the same titles, and transformers.js; `n_queries`: how many queries each peer gets."
    page.evaluate('rows => { window.rows = rows }', [[row['id'], row['title'], row['title_no']] for row in rows])
    measured = {}
    for name, n in n_queries.items():
        queries = [query['query'] for query in catalog.queries[:n]]
        build = page.evaluate('name => peers[name].build()', name)
        times, found = page.evaluate('([name, queries]) => ask(peers[name], queries)', [name, queries])
        recall = catalog.recall([catalog.first_of_families(ids) for ids in found])
        measured[name] = dict(build_ms=round(build), ms=spread(times), recall_at_5=recall, queries=n)
        print(name, measured[name], flush=True)
    return measured


def copy_without_transformer(site):
    "Copy a site and end it with the n-gram tier; return the copy."
    copy = site.with_name(f'{site.name}-ngram')
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(site, copy)
    manifest = json.loads((copy/'site.json').read_text())
    manifest['encoders'] = [encoder for encoder in manifest['encoders'] if encoder['name'] != 'transformer']
    manifest['version'] += '-ngram'
    (copy/'site.json').write_text(json.dumps(manifest))
    return copy


def load_exact_searcher(run):
    "Load the search of a run with its transformer in full precision."
    searcher = Searcher.load(run)
    searcher.encoder.session = OnnxEncoder.load(run/'model', 'model.onnx', threads=2).session
    return searcher


class Report(dict):
    "Keep the results, and write them after each part."
    def add(self, name, result):
        self[name] = result
        self['load_after'] = load_average()
        self['trace'] = trace(MEASURES)
        write_json(RESULTS/'browser.json', self)
        print(name, result, flush=True)


def open_site(browser, url):
    "Open a page in front of the others and wait until it is ready."
    page = browser.new_page()
    page.goto(url)
    wait_until_ready(page)
    page.bring_to_front()
    return page


def measure_all(run, browser, server, address):
    "Measure every part and write the results."
    searcher = load_exact_searcher(run)
    catalog = Catalog(run, searcher.rows)
    queries = [query['query'] for query in catalog.queries]
    report = Report(titles=len(searcher.rows), cores=os.cpu_count(), load_before=load_average(),
                    chromium=browser.version)
    page = open_site(browser, f'{address}/site/')
    report.add('latency_ms', measure_latency(page, queries[:200]) | dict(load=load_average()))
    found = {}
    found['browser'], found['browser_dense'] = search_in_page(page, queries, 'hybrid', 'dense')

    ngram_page = open_site(browser, f'{address}/site-ngram/')
    report.add('latency_static_ms', measure_latency(ngram_page, queries[:200]))
    found['browser_static'], = search_in_page(ngram_page, queries, 'hybrid')
    ngram_page.close()
    page.bring_to_front()

    found['python_fp32_exact'], found['python_fp32_hybrid'], found['python_static'] = search_in_python(
        searcher, queries, 'dense', 'hybrid', 'ngram')
    report.add('recall_at_5', summarize_recall(found, catalog))
    report.add('memory', measure_memory(page, queries))
    times = page.evaluate(TIMED, queries[:300])
    page.close()
    report.add('visits_s', measure_visits(browser, server, f'{address}/site/'))

    if not (PEERS/'node_modules').exists():
        print('peers not measured: run `npm ci --ignore-scripts` in benchmarks/peers first')
        return
    page = browser.new_page()
    page.goto(f'{address}/peers.html')
    this = dict(ms=spread(times), recall_at_5=report['recall_at_5']['browser'], queries=len(times))
    report.add('instead', dict(this=this) | measure_peers(page, searcher.rows, catalog, PEER_QUERIES))


# All engines

STATUS = f'JSON.stringify({ELEMENT}?.status ?? {{}})'
MEANING = ('draft', 'ngram', 'transformer') # Tiers that search by meaning
VISIT_LIMIT = 180 # Seconds until a page must be complete


def first_visit(tab, server, url):
    "Open the page over the slow link; return MB and seconds until it answers by meaning, and until it is complete."
    server.sent = 0
    server.slow = True
    start = time.time()
    tab.goto(url)
    first = None
    status = {}
    while status.get('state') != 'ready':
        if time.time() - start > VISIT_LIMIT: raise TimeoutError(f'{url}: {status}')
        time.sleep(.05)
        status = json.loads(tab.evaluate(STATUS))
        if not first and status.get('tier') in MEANING: first = server.sent / 1e6, time.time() - start
    server.slow = False
    return dict(first_mb=round(first[0], 2), first_s=round(first[1], 1), all_mb=round(server.sent / 1e6, 2),
                all_s=round(time.time() - start, 1))


def measure_tier(tab, catalog):
    "Measure latency and Recall@5 of an open page."
    queries = [query['query'] for query in catalog.queries]
    tab.evaluate(BACK, queries[200:240]) # Warm up
    rounds = [tab.evaluate(BACK, queries[:200]) for _ in range(3)]
    found = tab.evaluate(SEARCH, [queries[:ENGINE_QUERIES], 'hybrid'])
    return dict(ms=summarize_rounds(rounds, 0), worker_ms=summarize_rounds(rounds, 1), recall=catalog.recall(found),
                recall_queries=len(found))


def measure_site(tab, server, url, catalog):
    "Measure the page with and without the transformer; `url` has no slash at the end."
    measured = first_visit(tab, server, f'{url}/')
    measured['transformer'] = measure_tier(tab, catalog)
    first_visit(tab, server, f'{url}-ngram/')
    return measured | dict(ngram=measure_tier(tab, catalog))


def measure_engine(engine, server, address, catalog):
    "Measure all pages in one engine."
    tab = TABS[engine]()
    try:
        measured = measure_site(tab, server, f'{address}/site', catalog)
        if 'before' in server.folders: measured['before'] = measure_site(tab, server, f'{address}/before', catalog)
        return measured
    finally: tab.close()


def engine_row(engine, page, encoder, ms, recall, visit=None):
    "Format one row of the table; peers have no `visit`."
    visit = visit or dict.fromkeys(('first_mb', 'first_s', 'all_mb'), '')
    return {'engine': engine, 'page': page, 'encoder': encoder, 'MB to the first answer': visit['first_mb'],
            'seconds to it, 10 Mbit/s': visit['first_s'], 'MB in all': visit['all_mb'],
            'ms, median / p95': f"{ms['median']:.1f} / {ms['p95']:.1f}", 'Recall@5 (%)': recall['family']}


def engine_rows(results):
    "Format the results as rows of a table."
    before = f"of commit {results.get('before_commit')}"
    for engine, found in results['engines'].items():
        pages = {'this': found} | ({before: found['before']} if 'before' in found else {})
        for page, visit in pages.items():
            for tier in ('transformer', 'ngram'):
                yield engine_row(engine, page, tier, visit[tier]['ms'], visit[tier]['recall'], visit)
    for name, found in results.get('peers', {}).items():
        yield engine_row('chromium', name, '', found['ms'], found['recall_at_5'])


def measure_engines(names, rows, server, address, before_commit):
    "Measure engines one after the other, then the peers, and write the results."
    catalog = Catalog(server.folders['run'], rows)
    results = dict(titles=len(rows), load_before=load_average(), before_commit=before_commit, engines={})
    for engine in names:
        if not HAVE[engine]: sys.exit(f'{engine} is not installed: apt-get install {PACKAGES[engine]}')
        results['engines'][engine] = measure_engine(engine, server, address, catalog)
        write_engines(results)
    if 'chromium' in names and (PEERS/'node_modules').exists():
        n_queries = {name: ENGINE_QUERIES for name in PEER_QUERIES if name != 'fuse'} # Seconds for each query
        tab = TABS['chromium']()
        tab.goto(f'{address}/peers.html')
        results['peers'] = measure_peers(tab, rows, catalog, n_queries)
        tab.close()
        write_engines(results)
    print(markdown_table(list(engine_rows(results))))


def write_engines(results):
    "Write what was measured so far."
    write_json(RESULTS/'engines.json', results | dict(load_after=load_average(), trace=trace(MEASURES)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', nargs='?', type=Path, default='runs/demo')
    parser.add_argument('--engines', help=f"compare engines: all, or some of {', '.join(TABS)}, separated by commas")
    parser.add_argument('--before', nargs=2, metavar=('COMMIT', 'SITE'), default=('', ''),
                        help='site that an earlier commit built, for --engines')
    args = parser.parse_args()
    pin_threads(2)
    build_site(args.run)
    folders = {'run': args.run, 'site': args.run/'site', 'site-ngram': copy_without_transformer(args.run/'site')}
    commit, before = args.before
    if before: folders |= {'before': Path(before), 'before-ngram': copy_without_transformer(Path(before))}
    server = Server(folders)
    with serving(server) as address:
        if args.engines:
            names = list(TABS) if args.engines == 'all' else args.engines.split(',')
            measure_engines(names, Searcher.load(args.run).rows, server, address, commit)
        else:
            with chromium() as browser: measure_all(args.run, browser, server, address)


if __name__ == '__main__': main()

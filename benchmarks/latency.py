"""Take apart the milliseconds from the input of a query to its results in the page, in Chromium.

    python benchmarks/latency.py [RUN]        by default runs/demo

Opens the page with the transformer and with the n-gram encoder alone, types queries (dev evaluation queries of the
run), and records what Chromium's threads do. Queries come back to back, where the page is still drawing the
results of the query before, and with a pause of 80 ms. The stages are User Timing measures of the page's own code;
style, layout, paint and raster are Chromium's. Recording costs time too, so `browser.py` measures without it.

Writes `results/latency.json`, and `results/latency_trace.json.gz` with five queries, to open in Chromium's performance
panel or in Perfetto."""
import argparse
import gzip
import json
import random
from collections import defaultdict
from operator import itemgetter
from pathlib import Path

import numpy as np
from browser import copy_without_transformer, spread
from tab import BACK, opened, typing
from traces import RESULTS, load_average, trace, write_json

from embedding_search.core import pin_threads
from embedding_search.evaluation.report import markdown_table
from embedding_search.search.site import build_site

MEASURES = ('web/src/**/*.ts', 'web/src/**/*.css', 'benchmarks/tab.py')
QUERIES = 200
ROUNDS = 3
WARM_UP = 40
PAUSE = 80 # Milliseconds between results and the next query
SHOWN = 5 # Queries of the trace that is kept

PAUSED = typing(PAUSE)
WAYS = {'back to back': BACK, f'after {PAUSE} ms': PAUSED}

CATEGORIES = ['blink.user_timing', 'devtools.timeline']
ALL_THREADS = [*CATEGORIES, 'toplevel', 'cc'] # Of the trace that is kept
PREFIX = 'embedding-search: ' # Of the page's measures
STAGES = { # Name of a measure to what it is
    'input to results': 'input to results in the page',
    'worker': 'search worker, in all',
    'encoders': 'encoders, with the way to the worker of the transformer and back',
    'tokenizer': 'tokenizer',
    'transformer': 'transformer',
    'n-grams': 'n-gram encoder',
    'keywords': 'keyword search',
    'vectors': 'scan of the vectors',
    'fusion': 'fusion',
    'hits': 'hits',
    'render': 'elements of the results',
}
DRAWING = { # Tasks of Chromium that draw a frame
    'UpdateLayoutTree': 'style', 'Layout': 'layout', 'PrePaint': 'before paint', 'Paint': 'paint', 'Layerize': 'layers',
    'Commit': 'commit', 'RasterTask': 'raster, in threads of its own',
}


def record(browser, page, script, queries, categories=CATEGORIES):
    "Type queries; return their ms and what Chromium recorded meanwhile."
    browser.start_tracing(page=page, categories=categories)
    times = page.evaluate(script, queries)
    return times, json.loads(browser.stop_tracing())['traceEvents']


def stage_times(events):
    "Collect the ms of each stage from begin and end events of User Timing."
    begun = {}
    times = defaultdict(list)
    for event in sorted((event for event in events if event['name'].startswith(PREFIX)), key=itemgetter('ts')):
        name = event['name'].removeprefix(PREFIX)
        key = event['pid'], name, event.get('id2', {}).get('local', event.get('id'))
        if event['ph'] == 'b': begun[key] = event['ts']
        elif event['ph'] == 'e' and key in begun: times[name].append((event['ts'] - begun.pop(key)) / 1000)
    return times


def drawing_times(events, n):
    "Return the mean ms of each drawing task for one of `n` queries."
    sums = defaultdict(float)
    for event in events:
        if event['ph'] == 'X' and event['name'] in DRAWING: sums[event['name']] += event['dur'] / 1000
    return {DRAWING[name]: round(sums[name] / n, 2) for name in DRAWING if sums[name]}


def measure_way(browser, page, script, queries):
    "Measure one way of typing; return medians, 95th percentiles, and the mean ms of drawing."
    times = []
    stages = defaultdict(list)
    drawing = []
    for _ in range(ROUNDS):
        measured, events = record(browser, page, script, queries)
        times += measured
        for name, values in stage_times(events).items(): stages[name] += values
        drawing.append(drawing_times(events, len(queries)))
    mean = {name: round(float(np.mean([some.get(name, 0) for some in drawing])), 2) for name in drawing[0]}
    whole, worker = np.array(times).T
    return dict(ms=spread(whole), page_ms=spread(whole - worker), drawing_mean_ms=mean,
                stages={STAGES[name]: spread(stages[name]) for name in STAGES if stages[name]})


def measure_site(site, queries, kept=None):
    "Measure one page in all ways; write the trace of a few queries to the file `kept`."
    with opened(site) as page:
        browser = page.context.browser
        page.evaluate(BACK, queries[:WARM_UP])
        found = {way: measure_way(browser, page, script, queries) for way, script in WAYS.items()}
        if kept:
            _, events = record(browser, page, PAUSED, queries[:SHOWN], ALL_THREADS)
            kept.write_bytes(gzip.compress(json.dumps(dict(traceEvents=events)).encode(), 9, mtime=0))
    return found


def table_rows(results):
    "Format the results as rows of a table."
    for encoder, ways in results['encoders'].items():
        for part in ('stages', 'drawing_mean_ms'):
            for name in dict.fromkeys(name for found in ways.values() for name in found[part]):
                row = {'encoder': encoder, 'stage': name}
                yield row | {f'{way}, ms': format_ms(found[part].get(name)) for way, found in ways.items()}


def format_ms(value):
    "Format median and 95th percentile, or a mean."
    if value is None: return ''
    return f"{value['median']:.2f} / {value['p95']:.2f}" if isinstance(value, dict) else f'{value:.2f} (mean)'


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', nargs='?', type=Path, default='runs/demo')
    args = parser.parse_args()
    pin_threads(2)
    build_site(args.run)
    site = args.run/'site'
    split = json.loads((args.run/'split.json').read_text())
    dev = [query['query'] for query in split['eval_queries'] if query['part'] == 'dev']
    queries = random.Random(0).sample(dev, min(QUERIES, len(dev)))
    results = dict(queries=len(queries), rounds=ROUNDS, load_before=load_average(), encoders={})
    found = results['encoders']
    found['transformer'] = measure_site(site, queries, RESULTS/'latency_trace.json.gz')
    found['n-grams'] = measure_site(copy_without_transformer(site), queries)
    print(markdown_table(list(table_rows(results))))
    write_json(RESULTS/'latency.json', results | dict(load_after=load_average(), trace=trace(MEASURES)))


if __name__ == '__main__': main()

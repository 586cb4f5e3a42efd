"""Run the benchmarks and write one table of their results to benchmarks/README.md.

    python tools/bench.py                 all except training (an hour; needs runs/demo and runs/full)
    python tools/bench.py serve scale     some of them
    python tools/bench.py --table         only the table, from the stored results

At the end it warns of results whose measured code has changed since, and of those that do not record it.
Training experiments take hours and have their own commands: `benchmarks/recipe.py --list`,
`benchmarks/closed_catalog.py`, `benchmarks/training_queries.py`."""
import argparse
import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]/'benchmarks'))
from traces import changed_since

FOLDER = Path('benchmarks')
COMMANDS = dict(
    first_minutes=['first_minutes.py'],
    browser=['browser.py'],
    engines=['browser.py', '--engines', 'all'],
    latency=['latency.py'],
    sizes=['sizes.py', '--again'],
    serve=['serve.py', 'runs/demo'],
    soak=['soak.py'],
    incremental=['incremental.py', 'runs/full'],
    scale=['scale.py', 'runs/demo'],
    million=['million.py', 'runs/demo'],
    encode=['encode.py', 'runs/demo'],
)


def browser_rows(result):
    times = result['latency_ms']['back_to_back']
    recall = result['recall_at_5']
    titles = f"{result['titles']:,} titles, one thread"
    yield 'query in the browser tab, median / p95', f"{times['median']:.1f} / {times['p95']:.1f} ms", titles
    change = '{:+.2f} ({:+.2f} … {:+.2f})'.format(*recall['browser_over_python'])
    yield 'Recall@5 in the tab minus exact FP32 in Python', change, f"{recall['queries']:,} dev eval queries"


def first_minutes_rows(result):
    found = f"{result['first_results']:.0f} s, {result['first_by_meaning']:.0f} s and {result['trained']:.0f} s"
    notes = f"after {result['install']:.0f} s of installation; with screenshots in `results/first_minutes.webp`"
    yield 'page of `make demo`: first results, first by meaning, first of the trained model', found, notes


def describe_page(found):
    "Return times and notes of a page in one engine."
    first = f"{found['first_mb']:g} MB until it answers by meaning, {found['all_mb']:g} MB in all"
    times = ' and '.join(f"{found[tier]['ms']['median']:.1f} / {found[tier]['ms']['p95']:.1f} ms"
                         for tier in ('ngram', 'transformer'))
    recalls = ', '.join(f"{found[tier]['recall']['family']:g}" for tier in ('ngram', 'transformer'))
    return times, f"{first}; Recall@5 {recalls} on {found['ngram']['recall_queries']} dev queries"


def latency_rows(result):
    for encoder, ways in result['encoders'].items():
        found = ways['back to back']
        stages = found['stages']
        longest = [name for name in ('transformer', 'scan of the vectors', 'elements of the results') if name in stages]
        notes = '; '.join(f"{name} {stages[name]['median']:.1f}" for name in longest)
        times = f"{found['ms']['median']:.1f} / {found['ms']['p95']:.1f} ms"
        yield f'input of a query to its results while Chromium records, {encoder}', times, f'of these: {notes}'


def engines_rows(result):
    for engine, found in result['engines'].items():
        yield f'query in {engine}, n-gram encoder and transformer, median / p95', *describe_page(found)
    for engine, found in result['engines'].items():
        if 'before' not in found: continue
        yield f"the same in {engine}, page of commit {result['before_commit']}", *describe_page(found['before'])
    for name, found in result.get('peers', {}).items():
        times = f"{found['ms']['median']:.1f} / {found['ms']['p95']:.1f} ms"
        notes = f"Recall@5 {found['recall_at_5']['family']:g} on {found['queries']} dev queries; without a page"
        yield f'query in chromium, {name}, median / p95', times, notes


def sizes_rows(result):
    for name, page in result.items():
        yield f'page, {name}', f"{page['first_visit_mb']} MB, {page['tab_ms']} ms", 'first visit; median query'


def serve_rows(result):
    for name in result:
        if not name.endswith(', 1 worker'): continue
        system = name.removesuffix(', 1 worker')
        one, two = result[name], result[f'{system}, 2 workers']
        latency, busy = one['concurrency_1'], two['concurrency_32']
        speed = f"{latency['p50_ms']:g} ms, {busy['per_second']:g} searches/s"
        recall = one.get('recall_at_5')
        notes = [f"p99 {latency['p99_ms']:g} ms", f"{two['largest_process_rss_mb']:g} MB a worker"]
        if recall: notes.insert(0, f"Recall@5 {recall['family']:g}")
        yield f'over HTTP, {system}: one client and worker, 32 clients and two workers', speed, '; '.join(notes)


def soak_rows(result):
    events = f"{result['switches']} switches, {result['workers_killed']} worker killed"
    connections = f"{result['broken_connections']} broken connections"
    answers = f"{result['wrong_or_stale_answers']} of {result['answers']:,}"
    yield 'wrong or stale answers under load', answers, f'{events}, {connections}'


def incremental_rows(result):
    seconds = f"{result['update']['seconds']:g} s against {result['rebuild']['seconds']:g} s"
    yield 'update of 1% against a rebuild', f"{result['times_cheaper']:g} times cheaper", seconds
    if 'from_run' in result:
        build = result['from_run']
        titles = f"{build['titles']:,} titles, {build['encoded']:,} encoded"
        yield 'index version of a finished run', f"{build['seconds']:g} s", titles
    recall = result['bridge']['recall_at_5']
    others = f"{recall['old model']:.3f} old model, {recall['new model, all encoded anew']:.3f} all encoded again"
    yield 'Recall@5 with a bridge to a new model', f"{recall['new model over the bridge']:.3f}", others


def scale_rows(result):
    for titles, row in result['sizes'].items():
        yield f'exact scan of {int(titles):,} titles', f"{row['scan_ms']:g} ms", f"{row['scan_mb']:g} MB"


def million_rows(result):
    build, serving = result['build'], result['serving']
    titles = f"{result['titles']:,} generated titles"
    memory = f"{build['disk_mb']:,} MB on disk, {build['peak_mb']:,} MB peak memory, without encoding"
    yield f'index version of {titles}', f"{build['seconds']:g} s", memory
    for name, what in (('scan', 'exact scan'), ('keyword', 'keyword search'), ('hybrid', 'hybrid search')):
        latency = f"{serving[name]['median_ms']:g} / {serving[name]['p95_ms']:g} ms"
        yield f'{what} of {titles}, median / p95', latency, f"one thread, {serving['searched_mb']['resident']:,} MB"


def encode_rows(result):
    threads = f"{result['threads']} threads"
    for name, row in result['kinds'].items():
        rates = f"{row['ours']:,} against {row['sentence_transformers']:,} a second, {threads}, load {row['load']:g}"
        what = f'encoding {name} against sentence-transformers, ONNX INT8'
        yield what, f"{row['times_faster']:g} times as fast", rates


def warn_of_changes():
    "Say which stored results were measured with code that has changed since."
    for folder in (FOLDER/'results', Path('data/icd10cm/results')):
        for path in sorted(folder.glob('*.json')):
            for line in changed_since(path): print(f'warning: {line}', file=sys.stderr)


ROWS = dict(first_minutes=first_minutes_rows, browser=browser_rows, engines=engines_rows, latency=latency_rows,
            sizes=sizes_rows, serve=serve_rows, soak=soak_rows, incremental=incremental_rows, scale=scale_rows,
            million=million_rows, encode=encode_rows)


def write_table():
    "Write benchmarks/README.md from the stored results."
    lines = ['# Benchmarks', '',
             'Written by `make bench` from `results/`. The command in each line measures that line again. The quality',
             'of recipes and of smaller models is in the notebooks of `nbs/studies`. The field `trace` of a result',
             'says how it was measured. `python benchmarks/traces.py` lists results whose code has changed since.', '',
             '| what | result | note | command |', '|---|---|---|---|']
    for name, command in COMMANDS.items():
        path = FOLDER/'results'/f'{name}.json'
        if not path.exists(): continue
        for what, found, other in ROWS[name](json.loads(path.read_text())):
            lines.append(f"| {what} | {found} | {other} | `python benchmarks/{' '.join(command)}` |")
    text = '\n'.join(lines) + '\n'
    (FOLDER/'README.md').write_text(text)
    print(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('names', nargs='*', choices=[*COMMANDS, []], metavar='NAME', help=', '.join(COMMANDS))
    parser.add_argument('--table', action='store_true', help='only write the table')
    args = parser.parse_args()
    names = [] if args.table else args.names or list(COMMANDS)
    for name in names:
        script, *options = COMMANDS[name]
        subprocess.run([sys.executable, str(FOLDER/script), *options], check=True)
    write_table()
    warn_of_changes()


if __name__ == '__main__': main()

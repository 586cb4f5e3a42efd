"""Run the benchmarks and write one table of their results to benchmarks/README.md.

    python tools/bench.py                 all except training (an hour; needs runs/demo and runs/full)
    python tools/bench.py serve scale     some of them
    python tools/bench.py --table         only the table, from the stored results

Training experiments take hours and have their own commands: `benchmarks/recipe.py --list`,
`benchmarks/training_queries.py`."""
import argparse
import json
import subprocess
import sys
from pathlib import Path

FOLDER = Path('benchmarks')
COMMANDS = dict(
    browser=['browser.py'],
    sizes=['sizes.py', '--again'],
    serve=['serve.py', 'runs/demo'],
    soak=['soak.py'],
    incremental=['incremental.py', 'runs/full'],
    scale=['scale.py', 'runs/demo'],
)
PEER = 'sentence-transformers + Milvus Lite + FastAPI'


def browser_rows(result):
    times = result['latency_ms']['back_to_back']
    recall = result['recall_at_5']
    titles = f"{result['titles']:,} titles, one thread"
    yield 'query in the browser tab, median / p95', f"{times['median']:.1f} / {times['p95']:.1f} ms", titles
    change = '{:+.2f} ({:+.2f} … {:+.2f})'.format(*recall['browser_over_python'])
    yield 'Recall@5 in the tab minus exact FP32 in Python', change, f"{recall['queries']:,} dev eval queries"


def sizes_rows(result):
    for name, page in result.items():
        yield f'page, {name}', f"{page['first_visit_mb']} MB, {page['tab_ms']} ms", 'first visit; median query'


def serve_rows(result):
    one, two, peer = result['ours, 1 worker'], result['ours, 2 workers'], result[PEER]
    ratio = result['times_better']
    throughput = [side['concurrency_32']['per_second'] for side in (two, peer)]
    latency = [side['concurrency_1']['p50_ms'] for side in (one, peer)]
    memory = [side['largest_process_rss_mb'] for side in (one, peer)]
    rows = [('searches_a_second', 'searches per second, 32 clients', throughput),
            ('p50', 'median latency, one client, ms', latency),
            ('memory', 'memory of one process, MB', memory)]
    for key, what, (ours, theirs) in rows:
        yield what, f'{ratio[key]:g} times better', f'{ours:g} against {theirs:g} of {PEER}'


def soak_rows(result):
    events = f"{result['switches']} switches, {result['workers_killed']} worker killed"
    connections = f"{result['broken_connections']} broken connections"
    answers = f"{result['wrong_or_stale_answers']} of {result['answers']:,}"
    yield 'wrong or stale answers under load', answers, f'{events}, {connections}'


def incremental_rows(result):
    seconds = f"{result['update']['seconds']:g} s against {result['rebuild']['seconds']:g} s"
    yield 'update of 1% against a rebuild', f"{result['times_cheaper']:g} times cheaper", seconds
    recall = result['bridge']['recall_at_5']
    others = f"{recall['old model']:.3f} old model, {recall['new model, all encoded anew']:.3f} all encoded again"
    yield 'Recall@5 with a bridge to a new model', f"{recall['new model over the bridge']:.3f}", others


def scale_rows(result):
    for titles, row in result['sizes'].items():
        yield f'exact scan of {int(titles):,} titles', f"{row['scan_ms']:g} ms", f"{row['scan_mb']:g} MB"


ROWS = dict(browser=browser_rows, sizes=sizes_rows, serve=serve_rows, soak=soak_rows, incremental=incremental_rows,
            scale=scale_rows)


def write_table():
    "Write benchmarks/README.md from the stored results."
    lines = ['# Benchmarks', '',
             'Written by `make bench` from `results/`. The command in each line measures that line again. The quality',
             'of recipes and of smaller models is in the notebooks of `nbs/studies`.', '',
             '| what | result | compared with | command |', '|---|---|---|---|']
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


if __name__ == '__main__': main()

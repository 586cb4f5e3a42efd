"""Run the benchmarks and put what they found in one table, benchmarks/README.md.

    python tools/bench.py                 all but training rows (an hour; runs/demo and runs/full must be there)
    python tools/bench.py serve scale     some of them
    python tools/bench.py --table         the table from the results that are there, nothing is run

Trainings take hours and have commands of their own: `benchmarks/recipe.py --list`, `benchmarks/training_queries.py`."""
import argparse, json, subprocess, sys
from pathlib import Path

FOLDER = Path('benchmarks')
COMMANDS = dict(browser=['browser.py'], sizes=['sizes.py','--again'], serve=['serve.py','runs/demo'], soak=['soak.py'], incremental=['incremental.py','runs/full'], scale=['scale.py','runs/demo'])

def browser(r):
    t, c = r['latency_ms'], r['recall_at_5']
    yield 'a query in the tab, median / p95', f"{t['back_to_back']['median']:.1f} / {t['back_to_back']['p95']:.1f} ms", f"{r['titles']:,} titles, one thread"
    yield 'Recall@5 over exact FP32 in Python', '{:+.2f} ({:+.2f} … {:+.2f})'.format(*c['browser_over_python']), f"{c['queries']:,} human dev queries"

def sizes(r):
    for name,v in r.items(): yield f'page, {name}', f"{v['first_visit_mb']} MB, {v['tab_ms']} ms", 'first visit; median query'

def serve(r):
    x, two, peer = r['times_better'], r['ours, 2 workers'], r['sentence-transformers + Milvus Lite + FastAPI']
    for key,what,mine,theirs in (('searches_a_second','searches a second, 32 clients', two['concurrency_32']['per_second'], peer['concurrency_32']['per_second']), ('p50','median latency, one client, ms', r['ours, 1 worker']['concurrency_1']['p50_ms'], peer['concurrency_1']['p50_ms']),
                                 ('memory','memory of one process, MB', r['ours, 1 worker']['largest_process_rss_mb'], peer['largest_process_rss_mb'])): yield what, f'{x[key]:g} times better', f'{mine:g} against {theirs:g} of sentence-transformers + Milvus Lite + FastAPI'

def soak(r): yield 'wrong or stale answers under load', f"{r['wrong_or_stale_answers']} of {r['answers']:,}", f"{r['switches']} switches, {r['workers_killed']} worker killed, {r['broken_connections']} broken connections"

def incremental(r):
    yield 'an update of 1% against a rebuild', f"{r['times_cheaper']:g} times cheaper", f"{r['update']['seconds']:g} s against {r['rebuild']['seconds']:g} s"
    b = r['bridge']['recall_at_5']; yield 'Recall@5 over a bridge to a new model', f"{b['new model over the bridge']:.3f}", f"{b['old model']:.3f} old model, {b['new model, all encoded anew']:.3f} all encoded anew"

def scale(r):
    for n,v in r['sizes'].items(): yield f'exact scan of {int(n):,} titles', f"{v['scan_ms']:g} ms", f"{v['scan_mb']:g} MB"

def table():
    "Write benchmarks/README.md."
    lines = ['# Benchmarks', '', 'Written by `make bench` from `results/`; one command measures one line again. Quality of the recipe and of smaller models: notebooks 37 and 38.', '', '| what | found | beside | command |', '|---|---|---|---|']
    for name,cmd in COMMANDS.items():
        f = FOLDER/'results'/f'{name}.json'
        if f.exists(): lines += [f"| {what} | {found} | {beside} | `python benchmarks/{' '.join(cmd)}` |" for what,found,beside in globals()[name](json.loads(f.read_text()))]
    (FOLDER/'README.md').write_text('\n'.join(lines)+'\n'); print('\n'.join(lines))

if __name__ == '__main__':
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('names', nargs='*', choices=[*COMMANDS, []], metavar='NAME', help=', '.join(COMMANDS)); a.add_argument('--table', action='store_true', help='run nothing'); a = a.parse_args()
    for name in [] if a.table else a.names or COMMANDS: subprocess.run([sys.executable, str(FOLDER/COMMANDS[name][0]), *COMMANDS[name][1:]], check=True)
    table()

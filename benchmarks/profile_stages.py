"""Show where the time of the longest stages goes.

    python benchmarks/profile_stages.py [RUN]      by default runs/demo

Works on a copy of a finished run: writes its page, takes 40 steps of closed-catalog learning, and evaluates. cProfile
measures Python, which makes it slower; PyTorch's profiler measures the operators of learning. Writes
`results/profile.md` and `results/profile.json`: seconds with everything that a function calls, and in itself."""
import argparse
import cProfile
import pstats
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from traces import RESULTS, trace, write_json

import embedding_search.pipeline as pipeline
from embedding_search.core import pin_threads
from embedding_search.evaluation.report import markdown_table
from embedding_search.evaluation.run_evaluation import RunEvaluation
from embedding_search.model.closed_catalog import Learner
from embedding_search.run import Run
from embedding_search.settings import settings_for_run

MEASURES = ('embedding_search/**/*.py',)
STEPS = 40 # Of closed-catalog learning
LONGEST = 12 # Functions to list


def write_page(run):
    "Write the page of the trained model, with the keyword search before it."
    shutil.rmtree(run.folder/'site', ignore_errors=True)
    page = pipeline.LivePage(run)
    for stage in ('families', 'closed_catalog'): page._publish(stage)


def make_learner(run):
    "Prepare closed-catalog learning from the training queries of a run."
    examples = pipeline._examples(run, run.split()['train'], run.heldout_families())
    return Learner(examples, run.settings.closed_catalog, run.settings.seed)


def take_steps(learner, n):
    "Take steps of closed-catalog learning."
    rng = np.random.default_rng(0)
    order = rng.permutation(len(learner.examples.queries))
    for batch in np.array_split(order[:n * learner.batch_size], n): learner.step(batch, .5, rng)


def profile(work, *args):
    "Run `work` under cProfile; return seconds, and its longest functions as rows of a table."
    profiler = cProfile.Profile()
    start = time.perf_counter()
    profiler.runcall(work, *args)
    seconds = time.perf_counter() - start
    rows = []
    for (file, _, name), (_, calls, own, total, _) in pstats.Stats(profiler).stats.items():
        where = Path(file).stem if 'embedding_search' in file else Path(file).parent.name
        rows.append({'function': f'{where}.{name}'.lstrip('.').replace('|', ' '), 'calls': calls,
                     'seconds in itself': round(own, 1), 'seconds in all': round(total, 1)})
    return round(seconds, 1), sorted(rows, key=lambda row: -row['seconds in itself'])[:LONGEST]


def profile_operators(learner):
    "Return the longest operators of PyTorch in steps of learning, as rows of a table."
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as torch_profile
    with torch_profile(activities=[ProfilerActivity.CPU]) as found: take_steps(learner, STEPS)
    events = found.key_averages()
    all_seconds = sum(event.self_cpu_time_total for event in events)
    rows = [{'operator': event.key, 'calls': event.count,
             '% of the time': round(100 * event.self_cpu_time_total / all_seconds, 1)} for event in events]
    return sorted(rows, key=lambda row: -row['% of the time'])[:LONGEST]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', nargs='?', type=Path, default='runs/demo')
    args = parser.parse_args()
    settings = settings_for_run(args.run)
    pin_threads(settings.threads)
    with tempfile.TemporaryDirectory() as folder:
        copy = shutil.copytree(args.run, Path(folder)/'run')
        run = Run(copy, settings, progress=False)
        parts = {'page of the trained model': profile(write_page, run)}
        learner = make_learner(run)
        parts[f'{STEPS} steps of closed-catalog learning'] = profile(take_steps, learner, STEPS)
        operators = profile_operators(learner)
        del learner
        parts['evaluation'] = profile(lambda: RunEvaluation(run).report())
    lines = ['# Where the time goes', '',
             'Written by `python benchmarks/profile_stages.py`. cProfile makes Python code slower.']
    for name, (seconds, rows) in parts.items(): lines += ['', f'## {name}: {seconds} s', '', markdown_table(rows)]
    lines += ['', '## operators of PyTorch in closed-catalog learning', '', markdown_table(operators)]
    (RESULTS/'profile.md').write_text('\n'.join(lines) + '\n')
    write_json(RESULTS/'profile.json', dict(parts=parts, operators=operators, trace=trace(MEASURES)))
    print('\n'.join(lines))


if __name__ == '__main__': main()

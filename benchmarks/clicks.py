"""Measure what `embedding-search learn` adds after 1 and 7 days of clicks.

    python benchmarks/clicks.py --run runs/demo

Works on a copy of the run. Every day, simulated users (`training_queries.py`) search the copy as it is that day, and
every night `embedding-search learn` reads the clicks of the day. What users type are dev evaluation queries, which the
copy therefore does not test with. Writes `results/clicks.json`."""
import argparse
import json
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

from traces import RESULTS, trace, write_json
from training_queries import QueriesLab, Simulation, compare, share_right

from embedding_search.core import pin_threads
from embedding_search.data.catalog import norm
from embedding_search.data.logs import LogSettings, pairs_from_log
from embedding_search.data.records import write_jsonl
from embedding_search.evaluation.metrics import best_ranks
from embedding_search.evaluation.run_evaluation import ShippedSearch
from embedding_search.evaluation.systems import dense_scores
from embedding_search.pipeline import copy_run
from embedding_search.search.searcher import Searcher

OUT = RESULTS/'clicks.json'
MEASURES = ('embedding_search/model/closed_catalog.py', 'embedding_search/pipeline.py', 'embedding_search/data/logs.py')
DAY = 86_400 # Seconds


class Users(Simulation):
    "Search a finished run as it is served."
    def __init__(self, lab, run, day):
        self.lab = lab
        self.rng = random.Random(day)
        self.day = day
        self.events = []
        searcher = Searcher.load(run)
        texts = [query['query'] for query in lab.users]
        self.hits = {text: self.titles(searcher.search(text)) for text in texts}

    def titles(self, hits):
        "Return the title numbers of hits."
        number_of = self.lab.titles.title_number
        return [number_of[hit['id']] for hit in hits if hit['id'] in number_of]

    def search(self, query, needed, session, time):
        "Log one search of this day; return the id that was picked."
        titles = self.hits[query['query']]
        picked = self.pick(titles, needed)
        shown = [self.lab.id_of[title] for title in titles]
        self.events.append(dict(query=query['query'], shown=shown, picked=picked, session=f'{self.day}-{session}',
                                time=float(DAY * self.day + time % DAY), version=''))
        return picked


def copy_for_users(lab, folder):
    "Copy the run of a lab, with index and page, and without the queries of the users in its test sets."
    copy_run(lab.folder, folder)
    for index in ('index', 'evaluated/index'): shutil.copytree(lab.folder/index, folder/index)
    split = lab.run.split()
    typed = {norm(query['query']) for query in lab.users}
    split['eval_queries'] = [query for query in split['eval_queries'] if norm(query['query']) not in typed]
    (folder/'split.json').write_text(json.dumps(split))
    command('site', '--run', folder)


def command(*args):
    "Run `embedding-search`; return exit status and output."
    result = subprocess.run([str(Path(sys.executable).parent/'embedding-search'), *map(str, args)],
                            capture_output=True, text=True)
    if result.returncode > 1: raise SystemExit(result.stdout + result.stderr)
    return result.returncode, result.stdout


def ranks_of(lab, folder):
    "Rank the answers of all test sets as a run ships."
    shipped = ShippedSearch(folder)
    vectors = shipped.title_vectors(lab.titles.titles)
    ranks = {}
    for name, queries in lab.test_sets().items():
        scores = dense_scores(shipped.encode([query['query'] for query in queries]), vectors)
        ranks[name] = best_ranks(lab.titles.rank(scores, queries)['strict'])
    return ranks


def learn(lab, folder, log):
    "Learn from the clicks of one day; return what the command printed, in numbers."
    status, printed = command('learn', log, '--run', folder)
    def number(pattern): return float(re.search(pattern, printed)[1].replace(',', '')) if status == 0 else 0.
    clicks = pairs_from_log(str(log), set(lab.title_of), LogSettings(held=0))[0]
    return dict(passed=status == 0, new=number(r'from ([\d,]+) new'), right=share_right(lab, clicks),
                mb=number(r'downloads ([\d.]+) MB'), seconds=float(re.search(r'^(\d+) s', printed, re.M)[1]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--run', type=Path, default='runs/demo')
    parser.add_argument('--days', type=int, default=7)
    parser.add_argument('--sessions', type=int, default=1000, help='sessions a day')
    parser.add_argument('--titles', type=int, default=0,
                        help='titles to rank: all answers, and others by chance; 0: the strict corpus')
    parser.add_argument('--work', type=Path, default='runs/clicks', help='folder for the copy and the logs')
    args = parser.parse_args()
    pin_threads(2)
    lab = QueriesLab(args.run, args.work, args.titles)
    folder = args.work/'run'
    copy_for_users(lab, folder)
    before = ranks_of(lab, folder)
    study = dict(titles=len(lab.titles.titles), sessions=args.sessions, days={})
    for day in range(1, args.days + 1):
        events = Users(lab, folder, day).run(args.sessions)
        log = write_jsonl(args.work/f'day{day}.jsonl', events)
        result = learn(lab, folder, log) | dict(searches=len(events))
        result['parts'] = compare(lab, ranks_of(lab, folder), before)
        study['days'][day] = result
        write_json(OUT, study | dict(trace=trace(MEASURES)))
        print(day, {name: value for name, value in result.items() if name != 'parts'}, flush=True)


if __name__ == '__main__': main()

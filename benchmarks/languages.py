"""Run every stage on a small catalog in each of six languages, and compare the English base model with what it becomes.

    python benchmarks/languages.py          all languages, about ten minutes on two cores
    python benchmarks/languages.py de ja    some of them; the others keep their results

The titles are the 52 country names of data/countries. Training queries: the pattern of data/countries, currencies,
and cities. Test queries: languages, and titles with one letter missing. All names are those of Unicode CLDR in Babel.
The catalog is tiny: it shows whether a stage works, and it is no measure of quality. Writes `results/languages.json`
and prints the tables of docs/languages.md."""
import argparse
import csv
import json
import random
import statistics
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from babel import Locale
from babel.core import get_global
from babel.languages import get_official_languages
from babel.numbers import get_territory_currencies
from traces import RESULTS, describe_machine, trace, write_json

from embedding_search.core import pin_threads
from embedding_search.data.augmentation import KINDS
from embedding_search.data.catalog import read_catalog
from embedding_search.data.families import find_families
from embedding_search.data.filtering import filter_generated
from embedding_search.data.queries import read_queries
from embedding_search.model.encoders import TorchEncoder, base_model_path, load_model
from embedding_search.search.keyword import Keywords, stop_language
from embedding_search.search.searcher import Searcher

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT/'data'/'countries'
RUNS = ROOT/'runs'/'languages'
OUT = RESULTS/'languages.json'
MEASURES = ('embedding_search/data/*.py', 'embedding_search/model/*.py', 'embedding_search/search/keyword.py',
            'embedding_search/search/searcher.py')
CITIES = 2 # Cities of one country
LANGUAGES = {
    'de': ('German', '{} Karte links', '{} Karte rechts'),
    'en': ('English', '{} map left', '{} map right'),
    'es': ('Spanish', '{} mapa izquierdo', '{} mapa derecho'),
    'fr': ('French', '{} carte gauche', '{} carte droite'),
    'ja': ('Japanese', '{}左地図', '{}右地図'),
    'ru': ('Russian', '{} карта слева', '{} карта справа'),
} # Code to the name of the language and two variants of a title
SETTINGS = [
    'training.batch_size=16', 'training.epochs=4', 'training.evals=1', 'training.bf16="no"',
    'interpolation.alphas=[0.5, 1.0]', 'closed_catalog.batch_size=32', 'evaluation.resamples=100',
]
SYSTEMS = ('BM25', 'base', 'n-gram encoder', 'shipped, vectors only', 'shipped') # Columns of the table


def unique_names(codes_of, name_of, most=9):
    "Name what belongs to one country only; `codes_of` maps a country to codes."
    owners = Counter(code for codes in codes_of.values() for code in codes)
    named = []
    for country, codes in codes_of.items():
        names = [name_of(code) for code in codes if owners[code] == 1 and name_of(code)]
        named += [(name, country) for name in names[:most]]
    return named


def drop_letter(title):
    "Leave out a letter inside the longest word of a title; None if it has no word of five letters."
    word = max(title.split(), key=len)
    if len(word) < 5: return None
    position = random.Random(title).randint(1, len(word) - 2)
    return title.replace(word, word[:position] + word[position + 1:])


def make_queries(code, rows):
    "Return the training queries of a language, and the queries of each test set: lists of `(query, id)`."
    locale = Locale(code)
    countries = [row['id'].partition('-')[0] for row in rows]
    zones = get_global('territory_zones')
    currencies = unique_names({country: get_territory_currencies(country) for country in countries},
                              locale.currencies.get)
    cities = unique_names({country: zones[country] for country in countries},
                          lambda zone: locale.time_zones.get(zone, {}).get('city'), CITIES)
    languages = unique_names({country: get_official_languages(country, de_facto=True) for country in countries},
                             locale.languages.get)
    typos = [(drop_letter(row['title']), row['id'].partition('-')[0]) for row in rows]
    patterns = [(pair['query'], pair['id'].partition('-')[0]) for pair in read_queries(DATA/'queries.csv.gz')
                if pair['id'].endswith(code)]
    tests = {'language names': languages, 'one letter missing': [pair for pair in typos if pair[0]]}
    taken = {query for test in tests.values() for query, _ in test}
    train = [pair for pair in dict.fromkeys(patterns + currencies + cities) if pair[0] not in taken]
    return train, tests


def write_queries(path, pairs, code):
    "Write queries as CSV."
    with open(path, 'w', newline='') as file:
        csv.writer(file).writerows([('query', 'id'), *((query, f'{country}-{code}') for query, country in pairs)])


def run_stages(folder, code, rows, train, tests, base):
    "Run all stages through the command line; return seconds per stage."
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder/'catalog.csv', 'w', newline='') as file:
        csv.writer(file).writerows([('id', 'title'), *((row['id'], row['title']) for row in rows)])
    write_queries(folder/'train.csv', train, code)
    write_queries(folder/'test.csv', sum(tests.values(), []), code)
    command = [sys.executable, '-c', 'from embedding_search.cli import main; main()', 'run', '--run', folder/'run',
               '--catalog', folder/'catalog.csv', '--queries', folder/'train.csv', '--eval-queries', folder/'test.csv',
               '--base', base]
    for setting in SETTINGS: command += ['--set', setting]
    subprocess.run([str(part) for part in command], check=True, cwd=ROOT)
    manifest = json.loads((folder/'run'/'manifest.json').read_text())
    stages = {name: stage for name, stage in manifest.items() if isinstance(stage, dict)}
    return {name: stage['seconds'] for name, stage in stages.items() if 'seconds' in stage}


def recall(search, pairs, code):
    "Recall@5 of a search function that returns ids, best first."
    found = [f'{country}-{code}' in search(query)[:5] for query, country in pairs]
    return round(100 * statistics.mean(found), 1)


def systems(run, base, rows):
    "Return the search function of each system."
    searcher = Searcher.load(run)
    model = TorchEncoder(load_model(base_model_path(base)))
    vectors = model.encode([row['title'] for row in rows], 'title')
    ids = np.array([row['id'] for row in rows])

    def base_search(query):
        scores = vectors @ model.encode([query], 'query')[0]
        return ids[np.argsort(-scores, kind='stable')].tolist()

    def mode_search(mode):
        return lambda query: [hit['id'] for hit in searcher.search(query, 5, mode, grouped=False)]

    modes = {'BM25': 'keyword', 'n-gram encoder': 'ngram', 'shipped, vectors only': 'dense', 'shipped': 'hybrid'}
    return {'base': base_search} | {name: mode_search(mode) for name, mode in modes.items()}, model


def check_pieces(model, titles):
    "Count the word pieces of titles, titles with an unknown piece, and titles that share all pieces with another."
    tokenizer = model.model.tokenizer
    pieces = [tuple(tokenizer.tokenize(title)) for title in titles]
    same = Counter(pieces)
    return dict(
        per_title=round(statistics.mean(map(len, pieces)), 1),
        unknown=sum(tokenizer.unk_token in title for title in pieces),
        alike=sum(same[title] > 1 for title in pieces),
    )


def check_stages(code, rows, train):
    "Check stages that need no training."
    titles = [row['title'] for row in rows]
    keywords = Keywords(titles)
    first = [keywords.search(title, 1)[1] for title in titles]
    _, left, right = LANGUAGES[code]
    variants = [dict(id=f'{row["id"]}{side}', title=side.format(row['title']), category='')
                for row in rows for side in (left, right)]
    family_of, slots = find_families(variants)
    pairs = [dict(query=query, id=f'{country}-{code}', style='') for query, country in train]
    varied = {}
    for kind, change in KINDS.items():
        varied[kind] = sum(change(pair['query'], random.Random(0)) != pair['query'] for pair in pairs)
    return dict(
        bm25_finds_title=sum(found.tolist() == [i] for i, found in enumerate(first)),
        stop_words=stop_language(titles),
        families_of_104=len(set(family_of.values())), slots=[slot[:2] for slot in slots],
        filter_kept=filter_generated(pairs, rows)[1]['kept'], train=len(pairs), varied=varied,
    )


def measure(code, base):
    "Run and measure one language."
    rows = [row for row in read_catalog(DATA/'catalog.csv.gz', category='category') if row['id'].endswith(code)]
    train, tests = make_queries(code, rows)
    folder = RUNS/code
    seconds = run_stages(folder, code, rows, train, tests, base)
    search, model = systems(folder/'run', base, rows)
    found = {}
    for name, pairs in tests.items():
        found[name] = dict(n=len(pairs), **{system: recall(search[system], pairs, code) for system in SYSTEMS})
    interpolation = json.loads((folder/'run'/'interpolation.json').read_text())
    return dict(
        titles=len(rows), stages=check_stages(code, rows, train),
        pieces=check_pieces(model, [row['title'] for row in rows]), seconds=seconds, alpha=interpolation['alpha'],
        recall_at_5=found,
    )


def print_tables(languages):
    "Print the tables of docs/languages.md."
    print('\n| language | test queries | n | ' + ' | '.join(SYSTEMS) + ' |\n|' + '---|' * (3 + len(SYSTEMS)))
    for code, result in languages.items():
        for name, found in result['recall_at_5'].items():
            cells = [f'{found[system]:.0f}' for system in SYSTEMS]
            print(f'| {LANGUAGES[code][0]} | {name} | {found["n"]} | ' + ' | '.join(cells) + ' |')
    kinds = [*KINDS]
    columns = ['word pieces per title', 'titles with an unknown piece', 'BM25 finds the title',
               'families of 104 variants', 'queries kept by the filter', *(f'varied: {kind}' for kind in kinds)]
    print('\n| language | ' + ' | '.join(columns) + ' |\n|' + '---|' * (1 + len(columns)))
    for code, result in languages.items():
        pieces, stages = result['pieces'], result['stages']
        cells = [pieces['per_title'], pieces['unknown'], f"{stages['bm25_finds_title']} of {result['titles']}",
                 stages['families_of_104'], f"{stages['filter_kept']} of {stages['train']}"]
        cells += [f"{stages['varied'][kind] / stages['train']:.0%}" for kind in kinds]
        print(f'| {LANGUAGES[code][0]} | ' + ' | '.join(map(str, cells)) + ' |')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('languages', nargs='*', default=[*LANGUAGES], help='codes: ' + ', '.join(LANGUAGES))
    parser.add_argument('--base', default='all-MiniLM-L6-v2', help='base model: a name, a hub id or a folder')
    args = parser.parse_args()
    pin_threads(2)
    saved = json.loads(OUT.read_text()) if OUT.exists() else dict(languages={})
    for code in args.languages:
        saved['languages'][code] = measure(code, args.base)
        saved |= dict(base=args.base, settings=SETTINGS, machine=describe_machine(), trace=trace(MEASURES))
        saved['languages'] = {code: saved['languages'][code] for code in LANGUAGES if code in saved['languages']}
        write_json(OUT, saved)
    print_tables(saved['languages'])


if __name__ == '__main__': main()

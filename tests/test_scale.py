"Catalogs for more than one machine: Milvus Lite and a local Ray cluster, both real."
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fastapi.testclient import TestClient

from embedding_search.data.records import read_jsonl
from embedding_search.model.encoders import top_k
from embedding_search.model.search_encoders import TitleEncoder
from embedding_search.search.milvus import MilvusStore
from embedding_search.search.service import HotSwapSearcher, make_app
from embedding_search.search.store import Store

SCRIPT = Path(__file__).parent.parent / 'scale' / 'encode.py'


@pytest.fixture(scope='module')
def rows(run): return read_jsonl(run / 'catalog.jsonl')


@pytest.fixture(scope='module')
def family_of(run): return json.loads((run / 'families.json').read_text())['family']


@pytest.fixture(scope='module')
def milvus(run, rows, family_of, tmp_path_factory):
    "A store in Milvus Lite with one version, which is active."
    store = MilvusStore(str(tmp_path_factory.mktemp('milvus') / 'm.db'), run / 'model')
    store.activate(store.build(rows, family_of)['name'])
    return store


@pytest.fixture(scope='module')
def file_store(run, rows, family_of, tmp_path_factory):
    "A store of files with the same version."
    store = Store(tmp_path_factory.mktemp('files') / 's', create=True)
    store.build(rows, family_of, run / 'model')
    store.activate('1')
    return store


@pytest.mark.parametrize('query', ['fix the radiator', 'new clutch', 'dirty battery', 'belt'])
def test_milvus_finds_what_files_find(milvus, file_store, query):
    searchers = (file_store.searcher(), milvus.searcher())
    for category in (None, 'clutch'):
        expected, found = (s.search(query, 5, 'dense', category=category, grouped=False) for s in searchers)
        assert [hit['id'] for hit in found] == [hit['id'] for hit in expected]
        assert np.allclose([hit['score'] for hit in found], [hit['score'] for hit in expected], atol=2e-3)
    expected, found = (s.search(query, 1)[0]['id'] for s in searchers)
    assert found == expected


def test_the_service_switches_on_milvus(milvus, rows, family_of):
    current = HotSwapSearcher(store=milvus, every=999)
    client = TestClient(make_app(current))
    first = client.get('/search?q=fix+the+radiator&k=1').json()
    assert first['hits'][0]['title'] == 'Repair of radiator'
    assert first['version'] == milvus.active()

    new_rows = [dict(row, title=row['title'].replace('Repair of', 'Overhaul of')) for row in rows]
    version = milvus.build(new_rows, family_of)['name']
    milvus.activate(version)
    assert current.refresh()
    second = client.get('/search?q=radiator+overhaul&k=1').json()
    assert second['hits'][0]['title'] == 'Overhaul of radiator'
    assert second['version'] == version

    milvus.rollback()
    assert current.refresh()
    assert current.searcher.version == first['version']
    current.stopped.set()


def test_what_a_killed_build_left_is_removed(milvus):
    milvus.client.create_collection('titles_part', dimension=4)
    assert not any('part' in version['name'] for version in milvus.versions())
    milvus.gc()
    assert not milvus.client.has_collection('titles_part')


def run_ray(run, *args):
    command = [sys.executable, SCRIPT, *args, '--model', run / 'model']
    subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True, timeout=200)


@pytest.fixture(scope='module')
def ray_folder(run, rows, tmp_path_factory):
    "Titles in three files, 20 queries, and what Ray made of them."
    folder = tmp_path_factory.mktemp('ray')
    (folder / 'titles').mkdir()
    titles = pd.DataFrame(rows)[['id', 'title']]
    for i in range(3): titles.iloc[i::3].to_parquet(folder / 'titles' / f'{i}.parquet')
    queries = pd.DataFrame(read_jsonl(run / 'queries.jsonl')[:20])[['query', 'id']]
    queries.to_parquet(folder / 'queries.parquet')
    run_ray(run, 'encode', '--titles', folder / 'titles', '--out', folder / 'vectors')
    run_ray(run, 'mine', '--vectors', folder / 'vectors', '--queries', folder / 'queries.parquet',
            '--out', folder / 'negatives')
    return folder


def test_ray_encodes_every_title(ray_folder, run, rows):
    encoded = pd.read_parquet(ray_folder / 'vectors')
    assert sorted(encoded['id']) == sorted(row['id'] for row in rows)
    vectors = np.stack(encoded['vector']).astype(np.float32)
    expected = TitleEncoder.load(run / 'model').encode(encoded['title'].tolist())
    assert (vectors * expected).sum(1).min() > .95 # Batches differ, so INT8 vectors do too


def test_ray_mines_what_one_machine_mines(ray_folder, run):
    encoded = pd.read_parquet(ray_folder / 'vectors')
    ids = encoded['id'].to_numpy()
    vectors = np.stack(encoded['vector']).astype(np.float32)
    pairs = pd.read_parquet(ray_folder / 'queries.parquet')
    query_vectors = TitleEncoder.load(run / 'model').encode(pairs['query'].tolist(), 'query', batch=32)
    scores, order = top_k(query_vectors, vectors, len(vectors))
    mined = pd.read_parquet(ray_folder / 'negatives').set_index('query')
    for n, answer in enumerate(pairs['id']):
        ranked = ids[order[n]]
        score = scores[n][ranked == answer][0]
        limit = score - .05 * abs(score)
        expected = ranked[(ranked != answer) & (scores[n] <= limit)][:50]
        assert set(mined.loc[n]['ids']) == set(expected)

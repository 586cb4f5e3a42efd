"Growing past one machine: Milvus Lite and a local Ray cluster, both real."
import json, subprocess, sys
from pathlib import Path
import numpy as np, pytest
from embedding_search.catalog import read_jsonl
from embedding_search.encode import top_k
from embedding_search.static import TitleEncoder
from embedding_search.milvus import MilvusStore
from embedding_search.serve import Live, make_app
from embedding_search.store import Store

@pytest.fixture(scope='module')
def catalog(run): return read_jsonl(run/'catalog.jsonl'), json.loads((run/'families.json').read_text())['family']

@pytest.fixture(scope='module')
def milvus(run, catalog, tmp_path_factory):
    st = MilvusStore(str(tmp_path_factory.mktemp('milvus')/'m.db'), run/'model')
    v = st.build(*catalog); st.activate(v['name'])
    return st

def test_milvus_finds_what_files_find(milvus, run, catalog, tmp_path):
    files = Store(tmp_path/'s', create=True); files.build(*catalog, run/'model'); files.activate('1')
    a, b = files.searcher(), milvus.searcher()
    for q in ('fix the radiator', 'new clutch', 'dirty battery', 'belt'):
        for kw in (dict(grouped=False), dict(grouped=False, category='clutch')):
            x, y = (s.search(q, 5, 'dense', **kw) for s in (a, b))
            assert [h['id'] for h in x] == [h['id'] for h in y] and np.allclose([h['score'] for h in x], [h['score'] for h in y], atol=2e-3)
        assert a.search(q, 1)[0]['id'] == b.search(q, 1)[0]['id']

def test_service_switches_on_milvus(milvus, catalog):
    from fastapi.testclient import TestClient
    live = Live(store=milvus, every=999); web = TestClient(make_app(live))
    first = web.get('/search?q=fix+the+radiator&k=1').json(); assert first['hits'][0]['title'] == 'Repair of radiator' and first['version'] == milvus.active()
    rows, fam = catalog
    v = milvus.build([dict(r, title='Overhaul of radiator') if r['title'] == 'Repair of radiator' else r for r in rows], fam); milvus.activate(v['name'])
    assert live.refresh()
    second = web.get('/search?q=radiator+overhaul&k=1').json(); assert second['hits'][0]['title'] == 'Overhaul of radiator' and second['version'] == v['name'] != first['version']
    milvus.rollback(); assert live.refresh() and live.searcher.version == first['version']
    live.stopped.set()

def test_a_dropped_build_is_no_version(milvus):
    "What a killed build leaves is not listed, and goes with the next gc."
    milvus.client.create_collection('titles_part', dimension=4)
    assert all('part' not in v['name'] for v in milvus.versions())
    milvus.gc(); assert not milvus.client.has_collection('titles_part')

def test_ray_encodes_and_mines(run, catalog, tmp_path):
    import pandas as pd
    rows, script = catalog[0], Path(__file__).parent.parent/'scale'/'encode.py'
    for i in range(3): (tmp_path/'titles').mkdir(exist_ok=True); pd.DataFrame([dict(id=r['id'], title=r['title']) for r in rows[i::3]]).to_parquet(tmp_path/'titles'/f'{i}.parquet')
    queries = read_jsonl(run/'queries.jsonl')[:20]
    pd.DataFrame(queries)[['query','id']].to_parquet(tmp_path/'q.parquet')
    ray = lambda *args: subprocess.run([sys.executable, str(script), *map(str, args), '--model', str(run/'model')], check=True, capture_output=True, text=True, timeout=200)
    ray('encode', '--titles', tmp_path/'titles', '--out', tmp_path/'v'); ray('mine', '--vectors', tmp_path/'v', '--queries', tmp_path/'q.parquet', '--out', tmp_path/'c')
    v, enc = pd.read_parquet(tmp_path/'v'), TitleEncoder.load(run/'model')
    assert sorted(v['id']) == sorted(r['id'] for r in rows)
    x = np.stack(v['vector']).astype(np.float32); assert (x*enc.encode(v['title'].tolist())).sum(1).min() > .95
    found = pd.read_parquet(tmp_path/'c').set_index('query'); ids = v['id'].to_numpy()
    s, i = top_k(enc.encode([q['query'] for q in queries], 'query', batch=32), x, len(x))
    for n,q in enumerate(queries):
        right = s[n][ids[i[n]] == q['id']][0]; want = [d for d,sc in zip(ids[i[n]], s[n]) if d != q['id'] and sc <= right-.05*abs(right)][:50]
        assert set(found.loc[n]['ids']) == set(want) and q['id'] not in want

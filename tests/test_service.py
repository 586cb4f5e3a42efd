"Service and middleware inside this process, without sockets: rare requests, settings and faults."
import asyncio
import io
import json
import shutil
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from embedding_search.artifacts import recorded_hashes
from embedding_search.core import InputError
from embedding_search.data.records import read_jsonl
from embedding_search.search.batching import BusyError
from embedding_search.search.middleware import LOGGER, Metrics, RequestMiddleware, add_error_handlers, log_to
from embedding_search.search.schemas import SearchRequest, ServeSettings
from embedding_search.search.searcher import Searcher, build_index
from embedding_search.search.service import HotSwapSearcher, Service, check_start, decode_tokens, make_app


@pytest.fixture
def log():
    "The log of the service while a test runs."
    stream = io.StringIO()
    handler = log_to(stream)
    yield stream
    LOGGER.removeHandler(handler)


def make_example(settings=None, key=''):
    "Make a client of an application that answers, is busy, or fails."
    settings = settings or ServeSettings()
    app = FastAPI()
    add_error_handlers(app, settings)

    @app.post('/search')
    def search(body: SearchRequest):
        if body.query == 'busy': raise BusyError(3)
        if body.query == 'broken': raise RuntimeError('secret path /etc/passwd')
        return dict(query=body.query)

    app.add_middleware(RequestMiddleware, settings=settings, metrics=Metrics(), version=lambda: '000001', key=key)
    return TestClient(app, raise_server_exceptions=False)


# Middleware

def test_a_bug_is_logged_under_the_id_of_its_answer(log):
    client = make_example()
    answers = [client.post('/search', json=dict(query=query)) for query in ('oil', 'busy', 'broken')]
    answers.append(client.post('/nowhere'))
    assert answers[1].headers['retry-after'] == '3'
    assert 'secret' not in answers[2].text
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    bug, = (line for line in lines if line['event'] == 'bug')
    assert bug['id'] in answers[2].json()['error']
    assert 'secret' in ''.join(bug['trace'])
    requests = [line for line in lines if line['event'] == 'request']
    assert [line['status'] for line in requests] == [200, 429, 500, 404]
    assert requests[-1]['path'] == 'page'
    assert 'oil' not in log.getvalue()


def test_errors_under_v1_have_the_format_of_openai():
    assert make_example().post('/v1/nowhere').json()['error']['message'] == 'Not Found'


def test_what_needs_a_key():
    locked = make_example(key='s3cret')
    assert locked.post('/').status_code == 401
    assert locked.get('/').status_code == 404 # The page needs no key, but this example has none
    assert locked.get('/health').status_code == 404


def test_the_log_has_queries_if_the_settings_say_so(log):
    make_example(ServeSettings(log_queries=True)).post('/search?a=b', json=dict(query='oil'))
    line = json.loads(log.getvalue())
    assert line['query_string'] == 'a=b'
    assert json.loads(line['body']) == dict(query='oil')


@pytest.mark.parametrize('body', [b'', b'{', b'\xff\xfe', b'[]', b'null', b'{"query": "\\ud83d"}', b'{"query": NaN}',
                                  b'{"query": {"a": 1e999}}'], ids=str)
def test_bodies_that_are_no_request(body):
    answer = make_example().post('/search', content=body, headers={'content-type': 'application/json'})
    assert answer.status_code == 422
    assert set(answer.json()) == {'error', 'error_type'}


def test_a_body_that_does_not_arrive():
    async def slow(): await asyncio.sleep(1)

    scope = dict(type='http', method='POST', path='/search', headers=[], query_string=b'')
    middleware = RequestMiddleware(None, ServeSettings(timeout=.01), Metrics(), str)
    error, body = asyncio.run(middleware._check(scope, slow))
    assert error.status_code == 408
    assert body is None


# Service

@pytest.fixture(scope='module')
def current(run): return HotSwapSearcher(run)


@pytest.fixture
def run_copy(run, tmp_path): return Path(shutil.copytree(run, tmp_path / 'run'))


def test_the_error_of_a_job_is_its_own_answer(current):
    def find(searcher, vectors): return searcher.search('fix the radiator', 1, vector=vectors[0])[0]['title']
    def fail(searcher, vectors): return 1 / 0
    def count(searcher, vectors): return len(vectors)

    jobs = [('query', ['fix the radiator'], find), ('document', [], fail), ('document', ['a', 'b'], count)]
    found, failed, counted = Service(current).answer(jobs)
    assert found[1] == 'Repair of radiator'
    assert isinstance(failed, ZeroDivisionError)
    assert counted[1] == 2


def test_a_new_index_of_a_run_is_opened(run_copy):
    current = HotSwapSearcher(run_copy)
    assert not current.refresh()
    rows = read_jsonl(run_copy / 'catalog.jsonl')
    family_of = json.loads((run_copy / 'families.json').read_text())['family']
    vectors = Searcher.load(run_copy).vectors[::-1]
    graph = recorded_hashes(run_copy / 'model')['model_quantized.onnx']
    build_index(rows, family_of, None, run_copy / 'index', graph, vectors=vectors)
    assert current.refresh()
    assert np.array_equal(current.searcher.vectors, vectors)
    assert not current.refresh()


@pytest.mark.parametrize('missing', [
    mock.patch('tiktoken.list_encoding_names', return_value=[]),
    mock.patch.dict(sys.modules, tiktoken=None),
], ids=['vocabulary', 'package'])
def test_token_ids_without_the_extra(missing):
    assert decode_tokens([943, 43789]) == 'new clutch'
    with missing, pytest.raises(InputError, match='check_embedding_ctx_length=False'): decode_tokens([943])


@pytest.mark.parametrize('mode', ['mean', 'cls'])
def test_info_names_the_pooling(mode, current, monkeypatch):
    monkeypatch.setitem(current.searcher.meta, 'encoder', dict(pooling=dict(pooling_mode=mode)))
    info = TestClient(make_app(current)).get('/info').json()
    assert info['model_type'] == dict(embedding=dict(pooling=mode))


def test_other_origins_and_a_built_site(current, tmp_path):
    (tmp_path / 'site').mkdir()
    (tmp_path / 'site' / 'index.html').write_text('<p>built</p>')
    (tmp_path / 'site' / 'w.wasm').write_bytes(b'\0asm')
    (tmp_path / 'secret.json').write_text('{}')

    def allowed(client, origin):
        return client.get('/search?q=x', headers=dict(origin=origin)).headers.get('access-control-allow-origin')

    shop = TestClient(make_app(current, ServeSettings(cors=['https://shop.example']), site=tmp_path / 'site'))
    assert allowed(shop, 'https://shop.example') == 'https://shop.example'
    assert allowed(shop, 'https://evil.example') is None
    assert allowed(TestClient(make_app(current)), 'https://shop.example') is None
    assert shop.get('/').text == '<p>built</p>'
    assert "'wasm-unsafe-eval'" in shop.get('/').headers['content-security-policy']
    assert shop.get('/w.wasm').headers['content-type'] == 'application/wasm'
    for path in ('/../secret.json', '/%2e%2e/secret.json'): assert shop.get(path).status_code == 404


def test_the_plain_page_inserts_no_html(current):
    page = TestClient(make_app(current)).get('/')
    assert 'text/html' in page.headers['content-type']
    assert 'innerHTML' not in page.text


def test_pins_are_refused_unless_they_are_turned_on(current):
    client = TestClient(make_app(current))
    assert client.get('/pins').json() == dict(pins=[])
    for answer in (client.post('/pins', json=dict(query='mot', id='06/2')), client.delete('/pins?query=mot')):
        assert answer.status_code == 404
        assert '--pins' in answer.json()['error']


def test_a_pin_changes_one_query_until_it_is_removed(run_copy):
    editor = TestClient(make_app(HotSwapSearcher(run_copy), pins=True))

    def found(query): return [hit['id'] for hit in editor.get('/search', params=dict(q=query)).json()['hits']]

    before = found('mot'), found('oil')
    assert before[0][0] != '06/2'
    pinned = editor.post('/pins', json=dict(query='MOT', id='06/2'))
    assert pinned.json() == dict(pins=[dict(query='MOT', id='06/2')])
    assert found('mot')[0] == '06/2'
    assert found('oil') == before[1]
    assert editor.delete('/pins', params=dict(query='Mot')).json() == dict(pins=[])
    assert (found('mot'), found('oil')) == before


def test_wrong_pins(run_copy):
    editor = TestClient(make_app(HotSwapSearcher(run_copy), pins=True))
    wrong = editor.post('/pins', json=dict(query='mot', id='X2'))
    assert (wrong.status_code, wrong.json()['error']) == (422, "pin, field `id`: 'X2' is not in the catalog")
    assert editor.post('/pins', json=dict(query=' ', id='06/2')).status_code == 422
    assert editor.delete('/pins', params=dict(query='mot')).status_code == 422
    (run_copy / 'pins.csv').write_text('query,id\nmot,\n')
    damaged = editor.get('/pins')
    assert damaged.status_code == 422
    assert damaged.json()['error'].startswith('pins.csv, row 2, field `id`')


def test_pins_need_the_key(run_copy):
    client = TestClient(make_app(HotSwapSearcher(run_copy), key='secret', pins=True))
    mot = dict(query='mot', id='06/2')
    for method, options in dict(GET={}, POST=dict(json=mot), DELETE=dict(params=mot)).items():
        assert client.request(method, '/pins', **options).status_code == 401
        headers = dict(authorization='Bearer secret')
        assert client.request(method, '/pins', headers=headers, **options).status_code == 200


def test_vectors_of_another_model_are_not_served(run_copy):
    path = run_copy / 'index' / 'index.json'
    path.write_text(path.read_text().replace(recorded_hashes(run_copy / 'model')['model_quantized.onnx'], 'f' * 64))
    with pytest.raises(InputError, match='vectors of model ffffffffffff'): check_start(run_copy, None)


def test_texts_cannot_be_embedded_without_a_transformer(run_copy):
    index = run_copy / 'index' / 'index.json'
    index.write_text(json.dumps(json.loads(index.read_text()) | dict(transformer=False)))
    client = TestClient(make_app(HotSwapSearcher(run_copy)))
    assert client.get('/search', params=dict(q='fix the radiator')).json()['hits']
    answer = client.post('/embed', json=dict(inputs='fix the radiator'))
    assert answer.status_code == 422
    assert 'site.tiers = "always"' in answer.json()['error']

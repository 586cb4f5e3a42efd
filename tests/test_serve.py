"The service as clients meet it: real processes, real sockets."
import json, os, re, signal, socket, subprocess, sys, threading, time, urllib.error, urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path
import numpy as np, pytest
from embedding_search.catalog import read_jsonl
from embedding_search.static import QueryEncoder
from embedding_search.store import Store

def free_port():
    with socket.socket() as s: s.bind(('127.0.0.1', 0)); return s.getsockname()[1]

class Server:
    "`embedding-search serve`, stopped at the end of a `with`."
    def __init__(self, *args, **env):
        self.port = free_port(); self.url = f'http://127.0.0.1:{self.port}'
        cmd = [str(Path(sys.executable).parent/'embedding-search'), 'serve', '--port', self.port, *args]
        self.p = subprocess.Popen(list(map(str, cmd)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=os.environ | env, start_new_session=True)
        self.lines = []; self.reader = threading.Thread(target=lambda: self.lines.extend(l.decode() for l in self.p.stderr), daemon=True); self.reader.start()
    def __enter__(self):
        for _ in range(1200):
            try: self.get('/health'); return self
            except OSError: assert self.p.poll() is None, self.lines; time.sleep(.05)
        raise AssertionError('did not start')
    def __exit__(self, *_):
        if self.p.poll() is None: os.killpg(self.p.pid, signal.SIGTERM)
        try: self.p.wait(20)
        except subprocess.TimeoutExpired: os.killpg(self.p.pid, signal.SIGKILL); raise
        self.reader.join(5)
    def call(self, path, data=None, **headers):
        "Status, headers, body."
        r = urllib.request.Request(self.url+path, data, {k.replace('_', '-'): v for k,v in headers.items()} | ({'content-type': 'application/json'} if data is not None else {}))
        try:
            with urllib.request.urlopen(r, timeout=30) as f: return f.status, f.headers, f.read()
        except urllib.error.HTTPError as e: return e.code, e.headers, e.read()
    def get(self, path): return self.call(path)[2]
    def json(self, path, x=None, **headers): return json.loads(self.call(path, None if x is None else json.dumps(x).encode(), **headers)[2])

@pytest.fixture(scope='module')
def store(run, tmp_path_factory):
    "Two versions that answer differently; the first is active."
    st = Store(tmp_path_factory.mktemp('serve')/'s', create=True)
    rows, fam = read_jsonl(run/'catalog.jsonl'), json.loads((run/'families.json').read_text())['family']
    st.build(rows, fam, run/'model'); st.activate('1')
    st.build([dict(r, title='Overhaul of '+r['title'].split(' of ')[1]) if r['title'].startswith('Repair') else r for r in rows], fam, run/'model')
    return st

@pytest.fixture(scope='module')
def web(store, tmp_path_factory):
    "One server for the tests that change nothing."
    with Server('--store', store.folder, '--events', tmp_path_factory.mktemp('events')/'clicks.jsonl') as s: yield s

def test_run_without_a_store(run):
    with Server('--run', run) as s:
        assert s.json('/search?q=fix+the+radiator&k=1')['hits'][0]['title'] == 'Repair of radiator'
        assert b'Find it by what you would call it' in s.get('/')
        listening = {l.split()[1].split(':')[0] for l in Path('/proc/net/tcp').read_text().splitlines()[1:] if l.split()[1].endswith(f':{s.port:04X}') and l.split()[3] == '0A'}
        assert listening == {'0100007F'}, 'bound to localhost and nothing else'

def test_search(web, store, run):
    a = web.json('/search?q=fix+the+radiator&k=3'); assert a['version'] == store.active() and a['hits'][0]['title'] == 'Repair of radiator'
    assert web.json('/search', dict(query='fix the radiator', k=3)) == a
    assert {h['category'] for h in web.json('/search', dict(query='new', category='clutch'))['hits']} == {'clutch'}
    grouped, flat = (web.json('/search', dict(query='brake pads', k=8, grouped=g))['hits'] for g in (True, False))
    assert not any(h['variants'] for h in flat) and len(flat) == 8
    assert [h['id'] for h in web.json('/search', dict(query='fix the radiator', k=5, mode='static'))['hits']] == [h['id'] for h in store.searcher().search('fix the radiator', 5, 'static')]
    for mode in ('dense','static','keyword'): assert web.json('/search', dict(query='clutch', mode=mode))['hits'][0]['tier'] == mode

def test_embed_as_text_embeddings_inference(web, run):
    v = web.json('/embed', dict(inputs=['new clutch', 'dirty battery']))
    assert np.allclose(v, QueryEncoder.load(run/'model').encode(['new clutch','dirty battery'], 'query', batch=1), atol=1e-6)
    assert len(web.json('/embed', dict(inputs='one', dimensions=32))[0]) == 32
    info = web.json('/info')
    assert {'model_id','model_sha','model_dtype','model_type','max_concurrent_requests','max_input_length','max_batch_tokens','max_client_batch_size','auto_truncate','version'} <= set(info) and info['rows'] == 48
    assert web.call('/health')[0] == 200 and web.get('/health') == b''

def test_openai_client(web, run):
    from openai import NotFoundError, OpenAI
    client = OpenAI(base_url=web.url+'/v1', api_key='none', max_retries=0)
    r = client.embeddings.create(model='embedding-search', input=['new clutch', 'dirty battery'])  # the client asks for base64
    want = QueryEncoder.load(run/'model').encode(['new clutch','dirty battery'], 'query', batch=1)
    assert np.allclose([d.embedding for d in r.data], want, atol=1e-6) and r.usage.total_tokens > 4
    assert np.allclose(client.embeddings.create(model=r.model, input='new clutch', encoding_format='float').data[0].embedding, want[0], atol=1e-6)
    assert len(client.embeddings.create(model=r.model, input='x', dimensions=64).data[0].embedding) == 64
    with pytest.raises(NotFoundError): client.embeddings.create(model='embedding-search@0000', input='x')

def test_a_query_alone_and_in_a_crowd(web):
    "The same vector, whoever else is searching."
    alone = web.json('/embed', dict(inputs='timing belt'))
    assert web.json('/embed', dict(inputs=['a much longer text that would pad the batch '*3, 'timing belt', 'x']))[1] == alone[0]

def test_refusals(web):
    huge = b'{"query": "' + b'x'*10_000_000 + b'"}'
    for path,data,status,says in [('/search', huge, 413, '1,000,000 bytes'), ('/embed', json.dumps(dict(inputs=['x']*1000)).encode(), 413, '32 are allowed'),
                                  ('/search', json.dumps(dict(query='x'*5000)).encode(), 413, '2,000 are allowed'), ('/search', b'{"query"', 422, 'JSON'), ('/search', b'\xff', 400, 'not JSON'), ('/nowhere', b'{}', 404, 'Not Found')]:
        s, h, body = web.call(path, data); e = json.loads(body)
        assert s == status and says in e['error'] and 'Traceback' not in e['error'] and '/' not in e['error'].replace('and/or', ''), (path, s, e)
    assert web.call('/search')[0] == 422 and web.call('/search?q=x&k=0')[0] == 422
    assert web.call('/health')[0] == 200

def test_chunked_body_over_the_limit(web):
    def chunks():
        for _ in range(40): yield b'x'*50_000
    import httpx
    r = httpx.post(web.url+'/search', content=chunks(), headers={'content-type': 'application/json'}); assert r.status_code == 413, r.text

def test_fuzzed_bodies(web):
    rng = np.random.default_rng(0); good = json.dumps(dict(query='new clutch', k=3, mode='dense', category=None)).encode()
    seen = set()
    for path in ('/search','/embed','/v1/embeddings','/events'):
        for _ in range(60):
            b = bytearray(good)
            for _ in range(rng.integers(1, 6)): b[rng.integers(len(b))] = rng.integers(256)
            seen.add(web.call(path, bytes(b[:rng.integers(1, len(b)+1)]))[0])
    assert seen <= {200,400,404,413,422}, seen
    assert web.call('/health')[0] == 200

def test_headers_and_no_cross_origin(web):
    _, h, _ = web.call('/search?q=x', origin='https://evil.example')
    assert h['x-content-type-options'] == 'nosniff' and h['x-frame-options'] == 'DENY' and h['cache-control'] == 'no-store' and 'access-control-allow-origin' not in h and 'server' not in h

def test_metrics(web, store):
    web.json('/search?q=x')
    text = web.get('/metrics').decode()
    for stage in ('queue','encode','search','request'): assert re.search(rf'embedding_search_seconds_bucket{{le="0.25",stage="{stage}"}} [1-9]', text)
    assert f'embedding_search_version_served{{version="{store.active()}"}} 1.0' in text and 'embedding_search_queue_depth' in text

def test_openapi_is_documented(web):
    api = web.json('/openapi.json')
    assert {'/search','/embed','/info','/health','/metrics','/v1/embeddings','/events'} == set(api['paths'])
    for name in ('SearchRequest','EmbedRequest','OpenAIRequest','Event'): assert api['components']['schemas'][name]['examples']
    for path in ('/search','/embed','/v1/embeddings','/events'): assert {'200','413','422','429'} <= set(api['paths'][path]['post']['responses'])

def test_schemathesis(web, tmp_path):
    "Requests generated from the description: whatever is sent, no answer is a 5xx or other than described."
    r = subprocess.run([str(Path(sys.executable).parent/'schemathesis'), 'run', web.url+'/openapi.json', '--checks', 'not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance',
                        '--max-examples', '25', '--seed', '1', '--phases', 'examples,coverage,fuzzing', '--generation-database', 'none', '--no-color'], capture_output=True, text=True, cwd=tmp_path, timeout=170)
    assert r.returncode == 0, r.stdout[-6000:]
    assert web.call('/health')[0] == 200

def test_events(store, tmp_path):
    clicks = tmp_path/'c.jsonl'
    with Server('--store', store.folder, '--events', clicks) as s:
        assert s.json('/events', dict(query='fix it', shown=['06/2','05/2'], picked='06/2', session='a')) == {'recorded': True}
    e = json.loads(clicks.read_text())
    assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ', e.pop('time')) and e == dict(query='fix it', shown=['06/2','05/2'], picked='06/2', version=store.active(), session='a')

def test_key_and_log(store, tmp_path):
    with Server('--store', store.folder, EMBEDDING_SEARCH_API_KEY='s3cret') as s:
        assert s.call('/search?q=hidden+words')[0] == 401 and s.call('/search?q=hidden+words', authorization='Bearer s3cres')[0] == 401
        assert s.call('/search?q=hidden+words', authorization='Bearer s3cret')[0] == 200 and s.call('/health')[0] == 200
    log = [json.loads(l) for l in s.lines if l.startswith('{')]
    assert [l['status'] for l in log if l['path'] == '/search'] == [401,401,200] and 'hidden' not in ''.join(s.lines) and 's3cret' not in ''.join(s.lines)
    with Server('--store', store.folder, '--set', 'serve.log_queries=true') as s: s.get('/search?q=hidden+words')
    assert 'hidden' in ''.join(s.lines)

def test_full_line_answers_429(store):
    with Server('--store', store.folder, '--set', 'serve.queue=1') as s:
        with ThreadPoolExecutor(24) as ex:
            got = list(ex.map(lambda i: s.call('/embed', json.dumps(dict(inputs=[f'text {i} {j} '*8 for j in range(32)])).encode()), range(48)))
        assert {g[0] for g in got} == {200,429}
        refused = next(g for g in got if g[0] == 429)
        assert int(refused[1]['retry-after']) >= 1 and json.loads(refused[2])['error_type'] == 'Overloaded'
        assert s.call('/search?q=x')[0] == 200

def load(s, seconds, found, stop=None):
    "Search as fast as one connection does; every answer goes to `found`."
    end = time.time()+seconds
    while time.time() < end and not (stop and stop.is_set()):
        try: found.append(s.call('/search?q=radiator+overhaul&k=3'))
        except (OSError, HTTPException) as e: found.append((0, {}, repr(e)))

def test_switch_under_load(store):
    "Versions change while two workers answer: no failed request, and no answer that is not its version's."
    want = {v['name']: [h['id'] for h in store.searcher(v['name']).search('radiator overhaul', 3)] + [store.searcher(v['name']).search('radiator overhaul', 3)[0]['title']] for v in store.versions()}
    assert len({json.dumps(w) for w in want.values()}) == 2
    found = []
    with Server('--store', store.folder, '--workers', 2) as s:
        threads = [threading.Thread(target=load, args=(s, 8, found)) for _ in range(4)]
        for t in threads: t.start()
        for name in ('2','1','2','1'): time.sleep(1.5); store.activate(name, force=True)
        for t in threads: t.join()
        for _ in range(50):
            if {s.json('/search?q=x')['version'] for _ in range(10)} == {store.active()}: break
            time.sleep(.1)
        else: raise AssertionError('not all workers switched')
    assert {f[0] for f in found} == {200}, {f[0] for f in found}
    versions = set()
    for _,h,body in found:
        a = json.loads(body); versions.add(a['version'])
        assert h['x-index-version'] == a['version'] and [x['id'] for x in a['hits']] + [a['hits'][0]['title']] == want[a['version']]
    assert versions == set(want)

def workers(pid):
    "Python processes below `pid` that serve."
    kids = subprocess.run(['ps', '-ww', '--ppid', str(pid), '-o', 'pid=,args='], capture_output=True, text=True).stdout.splitlines()
    return [int(k.split()[0]) for k in kids if 'spawn_main' in k]

def test_killed_worker_and_killed_build(store, run):
    "kill -9 of a worker, of a build and of an activation, while others ask."
    with Server('--store', store.folder, '--workers', 2) as s:
        found, stop = [], threading.Event()
        t = threading.Thread(target=load, args=(s, 60, found, stop)); t.start()
        old = workers(s.p.pid); assert len(old) == 2
        cli = [sys.executable, '-c', 'from embedding_search.cli import main; main()', 'index']
        for args in (['build','--full','--run',str(run)], ['activate','2','--force']):
            p = subprocess.Popen([*cli, *args, '--store', str(store.folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL); time.sleep(.8); p.kill(); p.wait()
        before = len(found); assert before and {f[0] for f in found} == {200}
        os.kill(old[0], signal.SIGKILL)
        for _ in range(200):
            now = workers(s.p.pid)
            if len(now) == 2 and old[0] not in now: break
            time.sleep(.1)
        else: raise AssertionError('no new worker')
        time.sleep(1); stop.set(); t.join()
        bad = [f for f in found if f[0] != 200]
        assert len(bad) <= 1 and all(f[0] == 0 for f in bad) and len(found) > before+10, bad
        store.activate('1', force=True)

def test_stops_gracefully(store):
    "After SIGTERM, what was asked before is answered."
    with Server('--store', store.folder) as s:
        found, body = [], json.dumps(dict(inputs=['a text of some length '*5]*32)).encode()
        threads = [threading.Thread(target=lambda: found.append(s.call('/embed', body)[0])) for _ in range(6)]
        for t in threads: t.start()
        while not s.lines and b'embedding_search_queue_depth 0.0' in s.get('/metrics'): time.sleep(.005)
        os.kill(s.p.pid, signal.SIGTERM)
        for t in threads: t.join()
        assert s.p.wait(20) in (0, -signal.SIGTERM)
    assert found == [200]*6

@pytest.mark.parametrize('args, says', [(['--store','nowhere'], 'no index store'), (['--site','nowhere'], 'no index.html'), (['--set','serve.queue=0'], 'serve.queue'),
                                         (['--port','99999'], '65535'), (['--host','no.such.invalid'], 'choose another --port or --host'), (['--events','none/clicks.jsonl'], 'existing folder'), (['--workers','2','--events','.'], 'existing folder')])
def test_bad_options(args, says, run, tmp_path):
    r = subprocess.run([str(Path(sys.executable).parent/'embedding-search'), 'serve', '--run', str(run), *args], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert r.returncode == 2 and says in r.stderr and 'Traceback' not in r.stderr, r.stderr

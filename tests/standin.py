"""A stand-in for the Messages and Message Batches API, for tests: the wire format, faults on demand, and a bill of its own.

`with Standin(refuse=.1) as s:` starts it on a free port in its own process; `s.env` are the variables that point the SDK to it, `s.state()` is what it has seen and charged.
What it writes is made from the words of the title, so it is of no use to learn from."""
import asyncio, hashlib, json, random, re, socket, subprocess, sys, threading, time
from datetime import datetime, timedelta, timezone
from pathlib import Path

KEY = 'sk-ant-standin-0123456789'
NANO = {'claude-haiku-5-5': (100, 500, 125, 10), 'claude-sonnet-5-5': (2000, 10000, 2500, 200)}  # nano-dollars a token: input, output, cache write, cache read
DEFAULTS = dict(seed=1, malformed=0, truncated=0, refused=0, missing=0, foreign=0, http=0, statuses=[500, 529, 429], retry_after=.02, errored=0, slow=0, stall=0, cut=0, line_delay=0,
                batch_time=.3, expire=[], lose=[], drop_post=[], cut_results=[], archive=[], echo_key=False, refuse_titles='')

def tokens(x): return max(1, len(json.dumps(x, ensure_ascii=False))//4)

class Fault(Exception):
    def __init__(self, status, kind, message, headers=None): self.status, self.kind, self.message, self.headers = status, kind, message, headers or {}

class Server:
    def __init__(self, conf):
        self.conf, self.rng, self.lock = DEFAULTS | conf, random.Random(conf.get('seed', 1)), threading.Lock()
        self.batches, self.posts, self.cached, self.streams = {}, 0, set(), {}
        self.bill = dict(nano=0, messages=0, batch_requests=0, batches=0, http_faults=0, malformed=0, refused=0, truncated=0, errored=0, expired=0, cut=0, titles={}, in_flight=0)

    def hit(self, rate): return self.rng.random() < rate

    def check(self, headers):
        key = headers.get('x-api-key') or headers.get('authorization', '').removeprefix('Bearer ')
        if key != KEY: raise Fault(401, 'authentication_error', 'invalid x-api-key' + (f' {key}' if self.conf['echo_key'] else ''))
        if not headers.get('anthropic-version'): raise Fault(400, 'invalid_request_error', 'anthropic-version: header is required')
        with self.lock:
            if self.hit(self.conf['http']):
                self.bill['http_faults'] += 1
                status = self.rng.choice(self.conf['statuses'])
                kind = {429: 'rate_limit_error', 529: 'overloaded_error'}.get(status, 'api_error')
                raise Fault(status, kind, f"try again {key}" if self.conf['echo_key'] else 'try again', {'retry-after': str(self.conf['retry_after'])} if status == 429 else {})

    def validate(self, p):
        for k in ('model','max_tokens','messages'):
            if k not in p: raise Fault(400, 'invalid_request_error', f'{k}: Field required')
        if p['model'] not in NANO: raise Fault(404, 'not_found_error', f"model: {p['model']}")
        if 'temperature' in p or 'tool_choice' in p: raise Fault(400, 'invalid_request_error', 'not supported by this model')
        if p['output_config']['format']['type'] != 'json_schema': raise Fault(400, 'invalid_request_error', 'output_config.format')
        if p['messages'][-1]['role'] != 'user': raise Fault(400, 'invalid_request_error', 'prefill is not supported')

    def write(self, p):
        "Queries for every title of the request, as the model would answer."
        n = int((re.search(r'(?:[Ww]rite|imagine) (\d+)', p['system'][0]['text']) or [0, 8])[1])
        out = []
        for line in p['messages'][0]['content'].splitlines():
            item = json.loads(line)
            text = item.get('other') or item['title']
            words = re.findall(r'\w+', text) or [text]
            with self.lock:
                t = self.bill['titles'].setdefault(item['title'], 0); self.bill['titles'][item['title']] = t+1
            h = int(hashlib.sha256(text.encode()).hexdigest(), 16)
            forms = [lambda i: ' '.join(words[i % len(words):] + words[:i % len(words)]) + f' {i}', lambda i: f"where is {words[i % len(words)]} {words[-1]} {h % 97 + i}",
                     lambda i: ' '.join(w[0]+re.sub('[aeiou]', '', w[1:]) for w in words) + f' {i}', lambda i: text[:max(3, len(text)-i)] + f' q{i}']
            styles = p['output_config']['format']['schema']['properties']['titles']['items']['properties']['queries']['items']['properties']['style']['enum']
            out.append(dict(ref=item['ref'], queries=[dict(style=styles[i % len(styles)], query=forms[i % 4](i)) for i in range(n)]))
        return out

    def message(self, p, batch):
        "A message as the API returns it, and its price in nano-dollars."
        entries = self.write(p)
        c, stop = self.conf, 'end_turn'
        with self.lock:
            kind = next((k for k in ('malformed','truncated','refused','missing','foreign') if self.hit(c[k])), '')
            if c['refuse_titles'] and re.search(c['refuse_titles'], p['messages'][0]['content']): kind = 'refused'
            if kind in self.bill: self.bill[kind] += 1
        if kind == 'missing': entries = entries[1:]
        if kind == 'foreign': entries[0]['ref'] = 'ffffffff'
        text = json.dumps(dict(titles=entries), ensure_ascii=False)
        if kind == 'malformed': text = '- ' + text[2:].replace('"ref"', 'ref')
        if kind == 'truncated': text, stop = text[:len(text)//2], 'max_tokens'
        if kind == 'refused': text, stop = '', 'refusal'
        shared = p['system'][0]
        known = json.dumps(shared['text']) in self.cached
        size = tokens(shared['text'])
        usage = dict(input_tokens=tokens(p['messages'])+tokens(p['output_config']), output_tokens=max(1, len(text)//4), cache_creation_input_tokens=0, cache_read_input_tokens=0)
        if 'cache_control' in shared: usage['cache_read_input_tokens' if known else 'cache_creation_input_tokens'] = size; self.cached.add(json.dumps(shared['text']))
        else: usage['input_tokens'] += size
        price = NANO[p['model']]
        nano = sum(a*b for a,b in zip(price, (usage['input_tokens'], usage['output_tokens'], usage['cache_creation_input_tokens'], usage['cache_read_input_tokens'])))
        content = [dict(type='thinking', thinking='', signature='x')] + ([dict(type='text', text=text)] if text else [])
        return dict(id=f'msg_{self.rng.getrandbits(64):x}', type='message', role='assistant', model=p['model'], content=content, stop_reason=stop, stop_sequence=None,
                    usage=dict(usage, service_tier='batch' if batch else 'standard')), nano/2 if batch else nano

    def charge(self, nano, what):
        with self.lock: self.bill['nano'] += nano; self.bill[what] += 1

    def post_batch(self, requests):
        if len(requests) > 100_000: raise Fault(413, 'request_too_large', 'too many requests')
        ids = [r['custom_id'] for r in requests]
        bad = [i for i in ids if not re.fullmatch(r'[a-zA-Z0-9_-]{1,64}', i)]
        if bad: raise Fault(400, 'invalid_request_error', "requests.0.custom_id: String should match pattern '^[a-zA-Z0-9_-]{1,64}$'")
        if len(set(ids)) < len(ids): raise Fault(400, 'invalid_request_error', 'custom_ids must be unique')
        n = self.posts; self.posts += 1
        if n in self.conf['drop_post']: raise Fault(500, 'api_error', 'nothing was created')
        id, now = f'msgbatch_{n:04}', datetime.now(timezone.utc)
        lines, nano = [], 0
        for r in requests:
            result = dict(type='expired')
            if n not in self.conf['expire']:
                with self.lock: bad = self.hit(self.conf['errored'])
                if bad: result = dict(type='errored', error=dict(type='error', error=dict(type='api_error', message='internal')))
                else:
                    try:
                        self.validate(r['params'])
                        m, cost = self.message(r['params'], True)
                        nano += cost; result = dict(type='succeeded', message=m)
                        self.charge(cost, 'batch_requests')
                    except Fault as e: result = dict(type='errored', error=dict(type='error', error=dict(type=e.kind, message=e.message)))
            if result['type'] in self.bill: self.bill[result['type']] += 1
            lines.append(json.dumps(dict(custom_id=r['custom_id'], result=result)))
        self.rng.shuffle(lines)
        self.bill['batches'] += 1
        self.batches[id] = dict(n=n, lines=lines, created=now, ready=time.time()+self.conf['batch_time'], canceled=False)
        if n in self.conf['lose']: raise Fault(500, 'api_error', 'created, but you will not know')
        return self.show(id)

    def show(self, id):
        if id not in self.batches: raise Fault(404, 'not_found_error', 'no such batch')
        b = self.batches[id]
        over, n = time.time() >= b['ready'], len(b['lines'])
        kinds = [json.loads(l)['result']['type'] for l in b['lines']]
        counts = {k: kinds.count(k) if over else 0 for k in ('succeeded','errored','canceled','expired')} | dict(processing=0 if over else n)
        gone = over and b['n'] in self.conf['archive']
        stamp = lambda t: t.isoformat().replace('+00:00', 'Z')
        return dict(id=id, type='message_batch', processing_status='ended' if over else 'in_progress', request_counts=counts, created_at=stamp(b['created']),
                    ended_at=stamp(b['created']) if over else None, expires_at=stamp(b['created']+timedelta(hours=24)), archived_at=stamp(b['created']) if gone else None,
                    cancel_initiated_at=None, results_url=f'/v1/messages/batches/{id}/results' if over and not gone else None)

    async def stream(self, id):
        b = self.batches[id]
        with self.lock: seen = self.streams[id] = self.streams.get(id, 0)+1
        cut = len(b['lines'])//2 if b['n'] in self.conf['cut_results'] and seen == 1 else None
        for i,l in enumerate(b['lines']):
            if i == cut: yield l[:len(l)//2].encode(); raise ConnectionError('cut off')
            if self.conf['line_delay']: await asyncio.sleep(self.conf['line_delay'])
            yield l.encode()+b'\n'

def app(server):
    from fastapi import FastAPI, Request
    from fastapi.responses import JSONResponse, Response, StreamingResponse
    app = FastAPI()
    @app.exception_handler(Fault)
    async def fault(_, e): return JSONResponse(dict(type='error', error=dict(type=e.kind, message=e.message), request_id='req_1'), e.status, e.headers)
    @app.post('/v1/messages')
    async def messages(r: Request):
        p = await r.json(); server.check(r.headers); server.validate(p)
        with server.lock: late, cut = server.hit(server.conf['stall']), server.hit(server.conf['cut'])
        server.bill['in_flight'] += 1
        m, nano = server.message(p, False); server.charge(nano, 'messages')
        await asyncio.sleep(server.conf['slow'] + (30 if late else 0))
        server.bill['in_flight'] -= 1
        body = json.dumps(m).encode()
        if cut:
            server.bill['cut'] += 1
            async def half(): yield body[:len(body)//2]; raise ConnectionError('cut off')
            return StreamingResponse(half(), headers={'content-length': str(len(body))}, media_type='application/json')
        return Response(body, media_type='application/json')
    @app.post('/v1/messages/count_tokens')
    async def count(r: Request):
        p = await r.json(); server.check(r.headers)
        return dict(input_tokens=sum(tokens(p[k]) for k in ('messages','system','output_config') if k in p))
    @app.post('/v1/messages/batches')
    async def create(r: Request): p = await r.json(); server.check(r.headers); return server.post_batch(p['requests'])
    @app.get('/v1/messages/batches')
    async def listing(r: Request, limit: int = 20, after_id: str = ''):
        server.check(r.headers)
        ids = sorted(server.batches, reverse=True)
        ids = ids[ids.index(after_id)+1:] if after_id else ids
        page = [server.show(i) for i in ids[:limit]]
        return dict(data=page, has_more=len(ids) > limit, first_id=page[0]['id'] if page else None, last_id=page[-1]['id'] if page else None)
    @app.get('/v1/messages/batches/{id}')
    async def retrieve(r: Request, id: str): server.check(r.headers); return server.show(id)
    @app.get('/v1/messages/batches/{id}/results')
    async def results(r: Request, id: str):
        server.check(r.headers)
        if not server.show(id)['results_url']: raise Fault(404, 'not_found_error', 'no results')
        return StreamingResponse(server.stream(id), media_type='application/x-jsonl')
    @app.post('/v1/messages/batches/{id}/cancel')
    async def cancel(r: Request, id: str):
        server.check(r.headers); b = server.batches[id]
        if time.time() < b['ready']: b.update(ready=time.time(), lines=[json.dumps(dict(custom_id=json.loads(l)['custom_id'], result=dict(type='canceled'))) for l in b['lines']])
        return server.show(id)
    @app.get('/state')
    async def state(): return server.bill | dict(ids=list(server.batches))
    @app.post('/conf')
    async def conf(r: Request): server.conf |= await r.json(); return {}
    return app

class Standin:
    "The server in a process of its own."
    def __init__(self, **conf): self.conf = conf
    def __enter__(self):
        with socket.socket() as s: s.bind(('127.0.0.1', 0)); self.port = s.getsockname()[1]
        self.url, self.env = f'http://127.0.0.1:{self.port}', dict(ANTHROPIC_BASE_URL=f'http://127.0.0.1:{self.port}', ANTHROPIC_API_KEY=KEY)
        self.process = subprocess.Popen([sys.executable, str(Path(__file__).resolve()), str(self.port), json.dumps(self.conf)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(300):
            try: self.state(); return self
            except OSError: time.sleep(.05)
        raise RuntimeError('the stand-in did not start')
    def __exit__(self, *_): self.process.kill(); self.process.wait()
    def call(self, path, data=None):
        from urllib.request import Request, urlopen
        return json.load(urlopen(Request(self.url+path, None if data is None else json.dumps(data).encode(), {'content-type': 'application/json'}), timeout=10))
    def state(self): return self.call('/state')
    def configure(self, **conf): self.call('/conf', conf)
    @property
    def dollars(self): return self.state()['nano']/1e9

if __name__ == '__main__':
    import uvicorn
    uvicorn.run(app(Server(json.loads(sys.argv[2]))), host='127.0.0.1', port=int(sys.argv[1]), log_level='critical')

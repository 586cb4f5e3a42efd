"""A stand-in for the Messages and Message Batches API: it fails on demand and keeps its own bill.

`with Standin(http=.1) as server:` starts it in a thread on a free port. `server.env` holds the variables that point
the SDK to it, `server.state()` what it has seen and charged. It makes queries from the words of the title."""
import asyncio
import hashlib
import json
import random
import re
import socket
import threading
import time
from copy import deepcopy
from datetime import UTC, datetime, timedelta

KEY = 'sk-ant-standin-0123456789'
# Models whose requests cost half in batches
HALF_PRICE = {'claude-haiku-5-5', 'claude-sonnet-5-5'}
NANO_DOLLARS = { # Per token: input, output, cache write, cache read
    'open-model': (300, 600, 300, 300),
    'claude-haiku-5-5': (100, 500, 125, 10),
    'claude-sonnet-5-5': (2000, 10000, 2500, 200),
}
COUNTS = ('messages', 'batch_requests', 'batches', 'http_faults', 'malformed', 'refused', 'truncated', 'errored',
          'expired', 'cut', 'unsupported')
DEFAULTS = dict(
    seed=1,
    # Rates of faulty replies
    malformed=0, truncated=0, refused=0, missing=0, foreign=0, errored=0,
    refuse_titles='', # Regular expression of titles that are always refused
    # Rates of faulty connections
    http=0, statuses=[500, 529, 429], retry_after=.02, stall=0, cut=0,
    # Seconds
    slow=0, line_delay=0, batch_time=.3,
    # Batches by number: expired; created although the reply is an error; not created; results cut off once; archived
    expire=[], lose=[], drop_post=[], cut_results=[], archive=[],
    key=KEY, # Key that is accepted
    echo_key=False, # Whether error messages repeat the API key
    # What the server lacks: messages, batches, batch_post, count_tokens, schema, cache_control, usage
    lacks=[], missing_status=404, # Status of an endpoint that does not exist; 200: an error all the same
)


class ApiError(Exception):
    def __init__(self, status, kind, message, headers=None):
        self.status = status
        self.kind = kind
        self.message = message
        self.headers = headers or {}

    def body(self):
        return dict(type='error', error=dict(type=self.kind, message=self.message))


def invalid(message):
    return ApiError(400, 'invalid_request_error', message)


def count_tokens(value):
    return max(1, len(json.dumps(value, ensure_ascii=False)) // 4)


def make_queries(text, styles, n):
    "Make `n` queries in turn by four simple rules."
    words = re.findall(r'\w+', text) or [text]
    number = int(hashlib.sha256(text.encode()).hexdigest(), 16) % 97
    short = ' '.join(word[0] + re.sub('[aeiou]', '', word[1:]) for word in words)
    queries = []
    for i in range(n):
        turn = i % len(words)
        forms = (
            ' '.join(words[turn:] + words[:turn]) + f' {i}',
            f'where is {words[turn]} {words[-1]} {number + i}',
            f'{short} {i}',
            text[:max(3, len(text) - i)] + f' q{i}',
        )
        queries.append(dict(style=styles[i % len(styles)], query=forms[i % 4]))
    return queries


class Service:
    "State and answers of the service."
    def __init__(self, conf):
        self.conf = DEFAULTS | conf
        self.rng = random.Random(self.conf['seed'])
        self.lock = threading.Lock()
        self.batches = {}
        self.posts = 0
        self.cached = set()
        self.streams = {}
        self.bill = dict.fromkeys(COUNTS, 0) | dict(nano=0, titles={})

    def hit(self, rate):
        return self.rng.random() < rate

    def check(self, headers):
        "Refuse a wrong key, then fail at the configured rate."
        key = headers.get('x-api-key') or headers.get('authorization', '').removeprefix('Bearer ')
        echo = f' {key}' if self.conf['echo_key'] else ''
        if key != self.conf['key']: raise ApiError(401, 'authentication_error', f'invalid x-api-key{echo}')
        if not headers.get('anthropic-version'): raise invalid('anthropic-version: header is required')
        with self.lock:
            if not self.hit(self.conf['http']): return
            self.bill['http_faults'] += 1
            status = self.rng.choice(self.conf['statuses'])
        kind = {429: 'rate_limit_error', 529: 'overloaded_error'}.get(status, 'api_error')
        wait = {'retry-after': str(self.conf['retry_after'])} if status == 429 else {}
        raise ApiError(status, kind, f'try again{echo}', wait)

    def require(self, endpoint):
        "Answer an endpoint that does not exist."
        if endpoint not in self.conf['lacks']: return
        with self.lock: self.bill['unsupported'] += 1
        raise ApiError(self.conf['missing_status'], 'not_found_error', 'unexpected endpoint or method')

    def validate(self, params):
        for field in ('model', 'max_tokens', 'messages'):
            if field not in params: raise invalid(f'{field}: Field required')
        if params['model'] not in NANO_DOLLARS: raise ApiError(404, 'not_found_error', f"model: {params['model']}")
        if 'temperature' in params or 'tool_choice' in params: raise invalid('not supported by this model')
        unknown = self.refused_fields(params)
        if unknown:
            with self.lock: self.bill['unsupported'] += 1
            raise invalid(f'{unknown}: Extra inputs are not permitted')
        if params['messages'][-1]['role'] != 'user': raise invalid('prefill is not supported')

    def refused_fields(self, params):
        "Name a field that this server does not know."
        lacks = self.conf['lacks']
        if 'schema' in lacks and 'output_config' in params: return 'output_config'
        if 'cache_control' in lacks and 'cache_control' in params['system'][0]: return 'system.0.cache_control'
        if params['model'] == 'open-model' and 'effort' in params.get('output_config', {}): return 'effort'
        return ''

    def entries(self, params):
        "Write queries for every title of a request."
        system = params['system'][0]['text']
        number = re.search(r'(?:[Ww]rite|imagine) (\d+)', system)
        n = int(number[1]) if number else 8
        styles = re.findall(r'^- \d+ (\w+):', system, re.M) or ['keyword']
        entries = []
        for line in params['messages'][0]['content'].splitlines():
            item = json.loads(line)
            with self.lock: self.bill['titles'][item['title']] = self.bill['titles'].get(item['title'], 0) + 1
            queries = make_queries(item.get('other') or item['title'], styles, n)
            entries.append(dict(ref=item['ref'], queries=queries))
        return entries

    def draw_fault(self, params):
        "Choose what is wrong with a reply, if anything."
        refuse = self.conf['refuse_titles']
        with self.lock:
            kinds = ('malformed', 'truncated', 'refused', 'missing', 'foreign')
            kind = next((kind for kind in kinds if self.hit(self.conf[kind])), '')
            if refuse and re.search(refuse, params['messages'][0]['content']): kind = 'refused'
            if kind in self.bill: self.bill[kind] += 1
        return kind

    def reply(self, params):
        "Write the text of a reply, possibly with a fault, and say why it stopped."
        entries = self.entries(params)
        kind = self.draw_fault(params)
        if kind == 'refused': return '', 'refusal'
        if kind == 'missing': entries = entries[1:]
        if kind == 'foreign': entries[0]['ref'] = 'ffffffff'
        text = json.dumps(dict(titles=entries), ensure_ascii=False)
        if kind == 'malformed': text = '- ' + text[2:].replace('"ref"', 'ref')
        if kind == 'truncated': return text[:len(text) // 2], 'max_tokens'
        return text, 'end_turn'

    def usage(self, params, text):
        "Count tokens, and remember which system prompts are cached."
        system = params['system'][0]
        size = count_tokens(system['text'])
        schema = count_tokens(params['output_config']) if 'output_config' in params else 0
        usage = dict(input_tokens=count_tokens(params['messages']) + schema,
                     output_tokens=max(1, len(text) // 4), cache_creation_input_tokens=0, cache_read_input_tokens=0)
        if 'cache_control' not in system: usage['input_tokens'] += size
        elif system['text'] in self.cached: usage['cache_read_input_tokens'] = size
        else: usage['cache_creation_input_tokens'] = size
        if 'cache_control' in system: self.cached.add(system['text'])
        return usage

    def message(self, params, batch):
        "Answer a request, and charge it."
        text, stop = self.reply(params)
        usage = self.usage(params, text)
        nano = sum(price * n for price, n in zip(NANO_DOLLARS[params['model']], usage.values(), strict=True))
        with self.lock:
            self.bill['nano'] += nano / 2 if batch and params['model'] in HALF_PRICE else nano
            self.bill['batch_requests' if batch else 'messages'] += 1
        content = [dict(type='thinking', thinking='', signature='x')]
        if text: content.append(dict(type='text', text=text))
        used = {} if 'usage' in self.conf['lacks'] else dict(usage=usage)
        return dict(id=f'msg_{self.rng.getrandbits(64):x}', type='message', role='assistant', model=params['model'],
                    content=content, stop_reason=stop, stop_sequence=None, **used)

    def batch_result(self, params, number):
        "Answer one request of a batch."
        if number in self.conf['expire']: return dict(type='expired')
        with self.lock: failed = self.hit(self.conf['errored'])
        if failed: return dict(type='errored', error=ApiError(500, 'api_error', 'internal').body())
        try:
            self.validate(params)
            return dict(type='succeeded', message=self.message(params, True))
        except ApiError as error:
            return dict(type='errored', error=error.body())

    def post_batch(self, requests):
        if len(requests) > 100_000: raise ApiError(413, 'request_too_large', 'too many requests')
        ids = [request['custom_id'] for request in requests]
        pattern = '^[a-zA-Z0-9_-]{1,64}$'
        if not all(re.fullmatch(pattern, id) for id in ids):
            raise invalid(f"requests.0.custom_id: String should match pattern '{pattern}'")
        if len(set(ids)) < len(ids): raise invalid('custom_ids must be unique')
        number = self.posts
        self.posts += 1
        if number in self.conf['drop_post']: raise ApiError(500, 'api_error', 'nothing was created')
        results = []
        for request in requests:
            result = self.batch_result(request['params'], number)
            if result['type'] in self.bill: self.bill[result['type']] += 1
            results.append(dict(custom_id=request['custom_id'], result=result))
        self.rng.shuffle(results)
        self.bill['batches'] += 1
        id = f'msgbatch_{number:04}'
        self.batches[id] = dict(number=number, results=results, created=datetime.now(UTC),
                                ready=time.time() + self.conf['batch_time'])
        if number in self.conf['lose']: raise ApiError(500, 'api_error', 'created, but you will not know')
        return self.show_batch(id)

    def show_batch(self, id):
        if id not in self.batches: raise ApiError(404, 'not_found_error', 'no such batch')
        batch = self.batches[id]
        ended = time.time() >= batch['ready']
        archived = ended and batch['number'] in self.conf['archive']
        kinds = [result['result']['type'] for result in batch['results']]
        counts = dict.fromkeys(('succeeded', 'errored', 'canceled', 'expired'), 0) | dict(processing=0)
        for kind in kinds: counts[kind if ended else 'processing'] += 1
        created = batch['created'].isoformat().replace('+00:00', 'Z')
        expires = (batch['created'] + timedelta(hours=24)).isoformat().replace('+00:00', 'Z')
        return dict(id=id, type='message_batch', processing_status='ended' if ended else 'in_progress',
                    request_counts=counts, created_at=created, ended_at=created if ended else None,
                    expires_at=expires, archived_at=created if archived else None, cancel_initiated_at=None,
                    results_url=f'/v1/messages/batches/{id}/results' if ended and not archived else None)

    def list_batches(self, limit, after_id):
        ids = sorted(self.batches, reverse=True)
        if after_id: ids = ids[ids.index(after_id) + 1:]
        page = [self.show_batch(id) for id in ids[:limit]]
        ends = dict(first_id=page[0]['id'], last_id=page[-1]['id']) if page else dict(first_id=None, last_id=None)
        return dict(data=page, has_more=len(ids) > limit, **ends)

    async def stream_results(self, id):
        batch = self.batches[id]
        self.streams[id] = self.streams.get(id, 0) + 1
        cut = batch['number'] in self.conf['cut_results'] and self.streams[id] == 1
        for i, result in enumerate(batch['results']):
            line = json.dumps(result).encode()
            if cut and i == len(batch['results']) // 2:
                yield line[:len(line) // 2]
                raise ConnectionError('cut off')
            if self.conf['line_delay']: await asyncio.sleep(self.conf['line_delay'])
            yield line + b'\n'


async def half(body):
    yield body[:len(body) // 2]
    raise ConnectionError('cut off')


def make_app(service):
    from fastapi import FastAPI, Request
    from fastapi.responses import JSONResponse, Response, StreamingResponse
    app = FastAPI()

    @app.exception_handler(ApiError)
    async def show_error(_, error):
        return JSONResponse(error.body() | dict(request_id='req_1'), error.status, error.headers)

    @app.post('/v1/messages')
    async def messages(request: Request):
        service.require('messages')
        params = await request.json()
        service.check(request.headers)
        service.validate(params)
        with service.lock:
            stalled = service.hit(service.conf['stall'])
            cut = service.hit(service.conf['cut'])
        body = json.dumps(service.message(params, False)).encode()
        await asyncio.sleep(service.conf['slow'] + (30 if stalled else 0))
        if not cut: return Response(body, media_type='application/json')
        service.bill['cut'] += 1
        return StreamingResponse(half(body), headers={'content-length': str(len(body))}, media_type='application/json')

    @app.post('/v1/messages/count_tokens')
    async def count(request: Request):
        service.require('count_tokens')
        params = await request.json()
        service.check(request.headers)
        sent = [params[field] for field in ('messages', 'system', 'output_config') if field in params]
        return dict(input_tokens=sum(map(count_tokens, sent)))

    @app.post('/v1/messages/batches')
    async def create(request: Request):
        service.require('batches')
        service.require('batch_post')
        params = await request.json()
        service.check(request.headers)
        return service.post_batch(params['requests'])

    @app.get('/v1/messages/batches')
    async def listing(request: Request, limit: int = 20, after_id: str = ''):
        service.require('batches')
        service.check(request.headers)
        return service.list_batches(limit, after_id)

    @app.get('/v1/messages/batches/{id}')
    async def retrieve(request: Request, id: str):
        service.check(request.headers)
        return service.show_batch(id)

    @app.get('/v1/messages/batches/{id}/results')
    async def results(request: Request, id: str):
        service.check(request.headers)
        if not service.show_batch(id)['results_url']: raise ApiError(404, 'not_found_error', 'no results')
        return StreamingResponse(service.stream_results(id), media_type='application/x-jsonl')

    return app


class Standin:
    "Run the service in a thread, on a free port."
    def __init__(self, **conf):
        self.service = Service(conf)

    def __enter__(self):
        import uvicorn
        listener = socket.create_server(('127.0.0.1', 0))
        url = f'http://127.0.0.1:{listener.getsockname()[1]}'
        self.env = dict(ANTHROPIC_BASE_URL=url, ANTHROPIC_API_KEY=KEY)
        self.server = uvicorn.Server(uvicorn.Config(make_app(self.service), log_level='critical', log_config=None))
        self.thread = threading.Thread(target=self.server.run, args=([listener],), daemon=True)
        self.thread.start()
        while not self.server.started: time.sleep(.01)
        return self

    def __exit__(self, *_):
        self.server.should_exit = True
        self.server.force_exit = True
        self.thread.join()

    def state(self):
        return deepcopy(self.service.bill)

    def configure(self, **conf):
        self.service.conf.update(conf)

    @property
    def dollars(self):
        return self.service.bill['nano'] / 1e9

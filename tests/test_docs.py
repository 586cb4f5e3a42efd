"The documentation site: built from notebooks, guides and code, then opened page by page in a real Chromium."
import json
import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / 'tools'))
from check_site import CHROMIUM, check_site, opened  # noqa: E402

from embedding_search.settings import settings_help  # noqa: E402

DOCS = ROOT / '_docs'
LOADED = r'<(?:script|img|link)[^>]*(?:src|href)="((?:https?:)?//[^"]+)"[^>]*>'


@pytest.fixture(scope='module')
def pages():
    "Address and HTML of each page."
    done = subprocess.run([sys.executable, 'tools/docs.py'], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return {path.parent.relative_to(DOCS).as_posix(): path.read_text() for path in DOCS.rglob('index.html')}


def test_every_notebook_has_a_page(pages):
    notebooks = (ROOT / 'nbs').rglob('[0-9][0-9]_*.ipynb')
    addresses = {path.relative_to(ROOT / 'nbs').with_suffix('').as_posix() for path in notebooks}
    assert addresses
    assert addresses <= pages.keys()


def test_nothing_is_loaded_from_other_hosts(pages):
    for address, html in pages.items():
        loaded = [match[1] for match in re.finditer(LOADED, html) if 'rel="canonical"' not in match[0]]
        assert not loaded, address


def test_every_guide_is_in_the_menu(pages):
    for guide in (ROOT / 'docs').glob('*.md'): assert f'href="guides/{guide.stem}/"' in pages['.']


def text_of(page):
    "Text of a page without markup."
    return unescape(re.sub(r'<[^>]*>', '', page))


def test_signatures_have_full_types(pages):
    text = text_of(pages['model/15_negatives'])
    assert 'family_of: dict[str, str], # Row id to family id' in text
    assert 'Share of its absolute value' in text


def test_every_option_is_in_the_reference(pages):
    text = text_of(pages['reference/cli'])
    for command in ('run', 'serve', 'index build'):
        done = subprocess.run([sys.executable, '-c', 'from embedding_search.cli import main; main()',
                               *command.split(), '--help'], capture_output=True, text=True)
        options = set(re.findall(r'^  +(--?[a-z-]+)', done.stdout, flags=re.M)) - {'--help'}
        assert len(options) > 2
        section = text.partition(f'embedding-search {command} [OPTIONS]')[2].partition('[OPTIONS]')[0]
        assert [option for option in options if option not in section] == []


def test_every_setting_is_in_the_reference(pages):
    sections = pages['reference/settings']
    listed = re.findall(r'^([a-z_]+(?:\.[a-z_]+)?)  ', settings_help(everything=True), flags=re.M)
    assert len(listed) > 100
    for name in listed: assert f'<td><code>{name.partition(".")[2] or name}</code></td>' in sections


def test_search_finds_prose(pages):
    index = json.loads((DOCS / 'search' / 'search_index.json').read_text())
    assert any('false negative' in page['text'] for page in index['docs'])


# In a browser

needs_browser = pytest.mark.skipif(not CHROMIUM and not os.environ.get('REQUIRE_BROWSER'), reason='no Chromium')
BROKEN = """<a href="#nowhere">1</a> <a href="gone/">2</a> <img src="https://example.com/logo.png">
<script>missing()</script> <p style="width: 2000px">wide</p>
<div class="md-content" style="width: 900px"><pre style="overflow: auto">{line}</pre></div>"""


@needs_browser
def test_check_finds_faults(tmp_path):
    (tmp_path / 'index.html').write_text(BROKEN.format(line='x' * 120))
    with opened(tmp_path) as check:
        check.open('')
        check.check_links()
    for fault in ('dead link: ' + check.url + '#nowhere', 'dead link: ' + check.url + 'gone/', 'another host',
                  'script error', 'code has to be scrolled', 'wider than a desktop', 'window of a phone'):
        assert any(fault in found for found in check.faults), fault


@needs_browser
def test_pages_in_a_browser(pages):
    "No dead link, script error or foreign request; code and pages fit; the live search answers."
    faults, count, links, _ = check_site(DOCS)
    assert faults == []
    assert count >= len(pages)
    assert links > 1000

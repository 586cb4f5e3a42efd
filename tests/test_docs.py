"The documentation site: built from the notebooks, without dead links, and without files from other hosts."
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / '_docs'
LOADED = r'<(?:script|img|link)[^>]*(?:src|href)="((?:https?:)?//[^"]+)"[^>]*>'


@pytest.fixture(scope='module')
def pages():
    "Address and HTML of each page. The build fails on dead links and lists them."
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


def test_parameters_are_documented(pages):
    "Comments next to parameters are shown in a table."
    assert 'Share of its absolute value' in pages['model/15_negatives']


def test_search_finds_prose(pages):
    index = json.loads((DOCS / 'search' / 'search_index.json').read_text())
    assert any('false negative' in page['text'] for page in index['docs'])

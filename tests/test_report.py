"""The report as a reader gets it: one page, on paper and on a phone."""
import json
import re
from pathlib import Path

import pytest
from test_browser import ARGS, AXE, CHROMIUM

from embedding_search.evaluation.report import write_report

RESULTS = Path(__file__).parents[1] / 'data' / 'icd10cm' / 'results' / 'full.json'
NOTHING = dict(corpus='c', sizes={}, results={}, worst={}, verdict=['Nothing to evaluate with.'])
PAPER = dict(width=703, height=1017) # A4 without the margins of the page, in CSS pixels
LONG = 'W' * 60 # A word that is wider than a phone


@pytest.fixture(scope='module')
def evaluation():
    return json.loads(RESULTS.read_text())['evaluation']


@pytest.fixture(scope='module')
def report(evaluation, tmp_path_factory):
    "A report with all sections, and with a query that no line holds."
    worst = {name: [falls[0] | dict(query=LONG), *falls[1:]] for name, falls in evaluation['worst'].items()}
    must_pass = [dict(what=LONG, rank=7, result='fail')]
    return write_report(tmp_path_factory.mktemp('report'), evaluation | dict(worst=worst, must_pass=must_pass))


@pytest.fixture(scope='module')
def page(report):
    return report.read_text()


def opening(page): return re.sub(r'<[^>]+>', '', page.split('<details>')[0].split('<main>')[1])


def test_answers_first_with_the_numbers_of_the_evaluation(page, evaluation):
    results = evaluation['results']['eval queries']
    counts = [round(100 * results[system]['strict']['Recall@5']) for system in ('shipped', 'base', 'BM25')]
    sentence = re.search(r'<h1>.*?</h1>\s*<p><strong>(.*?)</strong>', page, re.S)[1]
    assert list(map(int, re.findall(r'\d+', sentence))) == [100, *counts]


def test_opening_names_losses_and_next_steps(page, evaluation):
    text = opening(page)
    moved = evaluation['results']['eval queries']['shipped']['movement']
    assert f"{moved['regressed']:,} of {evaluation['sizes']['eval queries']:,} queries rank their entry lower" in text
    for fall in evaluation['worst']['eval queries'][1:3]: assert f"“{fall['query']}”" in text
    parts = ('What got worse', 'Everyday queries', '1 of 1 queries that must pass fail', 'What to do next',
             'needs_queries.csv', 'embedding-search gate --run RUN')
    positions = [text.index(part) for part in parts]
    assert positions == sorted(positions)


def test_opening_has_one_plot_and_all_tables_are_folded(page):
    first, *sections = page.split('<details>')
    assert (first.count('<img'), first.count('<table')) == (1, 0)
    assert sum(section.count('<table') for section in sections) == page.count('<table') > 10
    for section in sections: assert re.match(r'<summary><h2>[^<]+</h2></summary>', section)


def test_is_one_file(page):
    assert '<meta name="viewport" content="width=device-width' in page
    assert set(re.findall(r'<(?:img|script|link|iframe|a)\b[^>]*?(?:src|href)="([^:"]*:)', page)) == {'data:'}
    assert not re.search(r'<(script|link|iframe|a)\b|@import|url\(', page)


def test_without_test_queries_says_so_and_what_to_do(tmp_path):
    page = write_report(tmp_path, NOTHING).read_text()
    assert 'Nothing was measured' in opening(page)
    assert 'queries.eval_file' in opening(page)
    assert '<details>' not in page
    assert '<img' not in page


@pytest.fixture(scope='module')
def tab(report):
    if not CHROMIUM: pytest.skip('no Chromium')
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=ARGS)
        tab = browser.new_page()
        tab.goto(report.as_uri())
        yield tab
        browser.close()


def unfold(tab, is_open):
    tab.evaluate('is_open => document.querySelectorAll("details").forEach(section => section.open = is_open)', is_open)


@pytest.mark.parametrize('width', [320, 390])
def test_only_boxes_scroll_sideways_on_a_phone(tab, width):
    tab.set_viewport_size(dict(width=width, height=800))
    unfold(tab, True)
    assert tab.evaluate('document.documentElement.scrollWidth') == width
    wide = tab.evaluate('[...document.querySelectorAll(".scroll")].map(box => box.scrollWidth > box.clientWidth)')
    assert any(wide)
    plot = tab.evaluate('document.querySelector("main > .plot img").getBoundingClientRect().width')
    assert width - 40 <= plot <= width


def test_print_opens_every_section_and_cuts_no_table(tab):
    tab.set_viewport_size(PAPER)
    unfold(tab, False)
    sizes = """[...document.querySelectorAll('table')].map(table => {
        const box = table.getBoundingClientRect();
        return [table.checkVisibility(), box.right, getComputedStyle(table.parentElement).overflowX];
    })"""
    tab.emulate_media(media='print')
    printed = tab.evaluate(sizes)
    tab.emulate_media(media='screen')
    assert len(printed) > 10
    assert not any(is_visible for is_visible, *_ in tab.evaluate(sizes)) # The screen keeps them folded
    for is_visible, right, overflow in printed:
        assert is_visible
        assert right <= PAPER['width']
        assert overflow == 'visible'


@pytest.mark.skipif(not AXE.exists(), reason='axe is not installed: npm ci in web/')
@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_has_no_accessibility_faults(tab, scheme):
    tab.emulate_media(color_scheme=scheme)
    unfold(tab, True)
    tab.evaluate(AXE.read_text() + '; 0')
    violations = tab.evaluate('axe.run().then(result => result.violations)')
    assert [(fault['id'], [node['html'][:120] for node in fault['nodes']]) for fault in violations] == []

"The search page in Chromium, Firefox and WebKit: what each engine has to do alike."
import os
import sys
from pathlib import Path

import pytest
from test_browser import (
    ELEMENT,
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

sys.path.insert(0, str(Path(__file__).parents[1]/'tools'))
from engines import HAVE, PACKAGES, TABS

__all__ = ['host', 'site', 'site_copy'] # Fixtures of the other file


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

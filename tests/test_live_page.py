"The page of a run while the run works: which versions it publishes, and that open pages switch to them."
import json
import re
import shutil
import signal
import subprocess
import time
import urllib.request

import pytest
from conftest import COMMAND
from test_browser import (  # noqa: F401, fixtures
    CHROMIUM,
    ELEMENT,
    browser,
    context,
    host,
    open_page,
    read_manifest,
)

import embedding_search.pipeline as pipeline
from embedding_search.model.encoders import OnnxEncoder
from embedding_search.pipeline import LIVE, LivePage, run_all
from embedding_search.run import Run
from embedding_search.search.site import build_site
from embedding_search.settings import Settings


class Recorder(LivePage):
    "A live page that keeps a copy of each version and the progress before it."

    def __init__(self, run, copies):
        super().__init__(run, 'Toy', every=.01)
        self.copies = copies
        self.versions = []
        self.before = {}

    def on_stage(self, name, finished):
        if finished and self.is_open: self.before[name] = self.wait_for_progress(name)
        super().on_stage(name, finished)
        if finished and name in LIVE: self.record(name)

    def wait_for_progress(self, stage):
        end = time.time() + 20
        while time.time() < end:
            path = self.out / 'progress.json'
            progress = json.loads(path.read_text()) if path.exists() else {}
            if progress.get('stage') == stage: return progress
            time.sleep(.01)
        raise AssertionError(f'no progress of {stage}')

    def finish(self):
        super().finish()
        self.record('end')

    def record(self, name):
        self.versions.append((name, read_manifest(self.out)))
        shutil.copytree(self.out, self.copies / name, ignore=shutil.ignore_patterns('*progress.json*'))


def toy_run(files, folder, lines, **queries):
    "A run of the toy catalog that learns like `make demo`, without fine-tuning."
    settings = Settings(
        catalog=dict(source=str(files / 'my.csv'), id='sku', title='name', category='group'), queries=queries,
        training=dict(epochs=0), evaluation=dict(resamples=100), site=dict(tiers='always'))
    return Run(folder, settings, log=lines.append, progress=False)


def names_of(manifest): return [encoder['name'] for encoder in manifest['encoders']]


@pytest.fixture(scope='module')
def watched(files, tmp_path_factory):
    "A finished run that was watched, what it encoded and what it printed."
    folder = tmp_path_factory.mktemp('live')
    lines = []
    encoded = []
    encode = OnnxEncoder.encode

    def record(self, texts, kind='title', *args, **kwargs):
        encoded.append((page.stage, kind, len(texts)))
        return encode(self, texts, kind, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OnnxEncoder, 'encode', record)
        run = toy_run(files, folder / 'run', lines, file=str(files / 'queries.csv'))
        with Recorder(run, folder) as page:
            run_all(run, on_stage=page.on_stage)
            page.finish()
    page.lines = lines
    page.encoded = encoded
    return page


def test_versions_get_better(watched):
    names, manifests = zip(*watched.versions, strict=True)
    assert names == ('families', 'export', 'closed_catalog', 'end')
    assert [manifest.get('live') for manifest in manifests] == [*LIVE.values(), None]
    assert [names_of(manifest) for manifest in manifests[:2]] == [[], ['transformer']]
    assert all(names_of(manifest)[-2:] == ['ngram', 'transformer'] for manifest in manifests[2:])
    assert len({manifest['version'] for manifest in manifests}) == 4
    assert len({manifest['files']['catalog']['sha256'] for manifest in manifests}) == 1


def test_last_version_is_the_page_of_the_finished_run(watched, tmp_path):
    settings = watched.run.settings
    built = build_site(watched.run.folder, tmp_path / 'site', settings.site, 'Toy', str, settings.search)
    assert built == read_manifest(watched.out)
    parts = {path.name for path in (tmp_path / 'site' / 'data').iterdir()}
    assert parts <= {path.name for path in (watched.out / 'data').iterdir()}


def test_titles_are_encoded_once(watched):
    "The stages after `export` read the vectors; only the evaluation encodes again, with the graph in full precision."
    stages = [stage for stage, kind, n in watched.encoded if kind == 'title' and n == 48]
    assert [stage for stage in stages if stage != 'evaluation'] == ['export']


def test_progress(watched):
    "It names the stage and the version that is published; it is gone when the run has ended."
    versions = dict(watched.versions)
    for stage, version in dict(split='families', closed_catalog='export', refit='closed_catalog').items():
        progress = watched.before[stage]
        assert progress['version'] == versions[version]['version']
        assert progress['label'] == pipeline.LABELS[progress['stage']]
    assert not (watched.out / 'progress.json').exists()


def test_publishing_has_its_own_seconds(watched):
    page = watched.run.manifest['page']
    assert page['counts']['versions'] == 3
    assert page['seconds'] >= page['counts']['encoding_seconds'] > 0
    assert sum(line.startswith('page  ') for line in watched.lines) == 3


def test_second_run_publishes_only_its_result(watched, tmp_path):
    again = Run(watched.run.folder, watched.run.settings, log=str, progress=False)
    with Recorder(again, tmp_path) as page:
        run_all(again, on_stage=page.on_stage)
        page.finish()
    assert page.versions == [watched.versions[-1]] == [('end', read_manifest(page.out))]


class Interrupted(LivePage):
    "A live page of a run that is interrupted when it splits the queries."

    def on_stage(self, name, finished):
        super().on_stage(name, finished)
        if name == 'split':
            self.seen = read_manifest(self.out)
            raise KeyboardInterrupt


def test_interrupted_run_leaves_an_ordinary_page(files, tmp_path):
    run = toy_run(files, tmp_path / 'run', [], file=str(files / 'queries.csv'))
    with pytest.raises(KeyboardInterrupt), Interrupted(run, every=.01) as page: run_all(run, on_stage=page.on_stage)
    assert page.seen['live'] == LIVE['families']
    assert 'live' not in read_manifest(page.out)
    assert not (page.out / 'progress.json').exists()
    with pytest.raises(KeyboardInterrupt), Interrupted(run, every=.01) as page: run_all(run, on_stage=page.on_stage)
    assert page.seen['live'], 'a run that goes on shows the page that is there'
    assert page.seen['files'] == read_manifest(page.out)['files']


def test_fault_of_the_page_does_not_stop_the_run(files, tmp_path, monkeypatch):
    def fail(*args, **kwargs): raise OSError('no room')

    monkeypatch.setattr(pipeline, 'write_page', fail)
    lines = []
    run = toy_run(files, tmp_path / 'run', lines)
    with LivePage(run, every=.01) as page: run_all(run, 'families', page.on_stage)
    assert 'families' in run.manifest
    assert [line for line in lines if 'page' in line] == ['    warning: the page could not be published: no room']
    assert not page.is_open


def test_command_serves_until_it_is_stopped(watched):
    "`run --browser` on a finished run: the page of the result, at once."
    command = [COMMAND, 'run', '--run', str(watched.run.folder), '--browser', '--port', '0']
    environment = dict(PATH='/nowhere', BROWSER='true', HOME='/tmp', HF_HUB_OFFLINE='1')
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        printed = []
        for line in process.stdout:
            printed.append(line)
            if 'Ctrl-C' in line: break
        url = re.search(r'http://127\.0\.0\.1:\d+/', printed[-1])[0]
        with urllib.request.urlopen(f'{url}site.json', timeout=20) as response: served = json.load(response)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    assert served == read_manifest(watched.out)
    assert any('Report:' in line for line in printed), 'the results are printed'


PROGRESS = dict(stage='closed_catalog', label='Learning from 144 queries', seconds_left=230)
LINE = "document.getElementById('live').textContent"


@pytest.mark.skipif(not CHROMIUM, reason='no Chromium')
def test_open_page_switches_to_better_versions(watched, host, open_page, tmp_path):
    "Without a reload, and while a query is shown; a finished page asks for no progress."
    site = shutil.copytree(watched.copies / 'families', tmp_path / 'site')
    version = read_manifest(site)['version']
    (site / 'progress.json').write_text(json.dumps(PROGRESS | dict(version=version)))
    server = host(site)
    page = open_page(server, tier='keyword')
    page.run('window.loaded = true')
    page.wait_until(f"{LINE} === 'Now: keyword search. Learning from 144 queries, about 4 minutes left.'")
    page.type('fix the radiator')
    shutil.copytree(watched.copies / 'closed_catalog', site, dirs_exist_ok=True)
    learned = read_manifest(site)['version']
    (site / 'progress.json').write_text(json.dumps(PROGRESS | dict(version=learned, seconds_left=None)))
    page.wait_until(f"{ELEMENT}.status.version === '{learned}' && {ELEMENT}.status.tier === 'transformer'", seconds=60)
    page.wait_until(f"{LINE} === 'Now: search by meaning, trained. Learning from 144 queries.'")
    page.wait_until(f"{ELEMENT}.results.version === '{learned}' && {ELEMENT}.results.tier === 'transformer'")
    assert page.ids()[0].startswith('06/')
    page.press('ArrowDown')
    page.press('ArrowDown')
    reading = page.selected_id()
    assert reading
    shutil.copytree(watched.copies / 'end', site, dirs_exist_ok=True)
    (site / 'progress.json').unlink()
    last = read_manifest(site)['version']
    page.wait_until(f"{ELEMENT}.results.version === '{last}' && {ELEMENT}.results.tier === 'transformer'", seconds=60)
    page.wait_until(f"{LINE} === ''")
    assert page.selected_id() == page.ids()[1] == reading
    assert page.run('window.loaded')
    server.requested.clear()
    page.reload()
    assert 'progress.json' not in server.requested

"Files of the search page: what is written again, what is refused, and a run without a transformer."
import gzip
import hashlib
import json
import re
import shutil
import sys
import threading
import urllib.error
import urllib.request

import brotli
import numpy as np
import pytest

from embedding_search.artifacts import recorded_hashes
from embedding_search.core import InputError
from embedding_search.data.records import write_jsonl
from embedding_search.model.ngrams import NgramEncoder
from embedding_search.search.searcher import build_index, sample_run, update_pins
from embedding_search.search.site import (
    SiteSettings,
    build_site,
    build_web,
    changed_parts,
    check_out,
    current_index,
    detail_lines,
    dev_queries,
    ngram_tiers,
    pack_columns,
    preview,
    vector_codes,
    web_assets,
    write_page,
    write_parts,
)

TITLES = ['Low temperature cranking performance test', 'Engine oil change (5W-30)', 'Brake pad replacement, left',
          'Wheel alignment', 'Brake pad replacement, right']
ROWS = [dict(id=f'T{n}', title=title, category='', text='') for n, title in enumerate(TITLES)]
FAMILY_OF = {row['id']: row['id'] for row in ROWS} | dict(T4='T2')


@pytest.fixture(scope='session', autouse=True)
def built_code():
    "Build the browser code before the first test, if it has changed."
    return web_assets()


@pytest.fixture
def run(tmp_path):
    "A run without a transformer, with the n-gram encoder of the sample."
    folder = tmp_path / 'run'
    shutil.copytree(sample_run() / 'model', folder / 'model')
    write_jsonl(folder / 'catalog.jsonl', ROWS)
    (folder / 'families.json').write_text(json.dumps(dict(family=FAMILY_OF)))
    encoder = NgramEncoder.load(folder / 'model', 128)
    build_index(ROWS, FAMILY_OF, encoder, folder / 'index', recorded_hashes(folder / 'model')['ngram_encoder.npz'])
    return folder


def build(run, *args):
    "Build the site of a run, and return the manifest and what was printed."
    lines = []
    return build_site(run, *args, log=lines.append), lines


def part_names(*manifests):
    "Names of all parts of some sites."
    files = [file for manifest in manifests for file in manifest['files'].values()]
    return {f"{part['sha256'][:20]}.bin" for file in files for part in file['parts']}


def names_on_disk(site): return {path.name for path in (site / 'data').iterdir()}


def test_a_run_without_a_transformer(run):
    manifest, _ = build(run)
    assert [entry['name'] for entry in manifest['encoders']] == ['ngram']
    assert sorted(manifest['files']) == ['catalog', 'table', 'vectors']
    assert manifest['vectors']['model_space'] == recorded_hashes(run / 'model')['ngram_encoder.npz']


def test_a_second_build_writes_the_same_site(run):
    assert build(run)[0] == build(run)[0]
    assert names_on_disk(run / 'site') == part_names(build(run)[0])


def test_parts_of_the_previous_version_stay(run):
    manifest, _ = build(run)
    (run / 'index' / 'index.json').unlink()
    keyword_only, lines = build(run)
    assert keyword_only['encoders'] == []
    assert keyword_only['vectors'] is None
    assert any('searches by words' in line for line in lines)
    assert keyword_only['version'] != manifest['version']
    assert names_on_disk(run / 'site') == part_names(manifest, keyword_only)
    build(run)
    assert names_on_disk(run / 'site') == part_names(keyword_only)


def test_pins_are_all_that_a_pin_changes(run):
    manifest, _ = build(run)
    update_pins(run, [dict(query='MOT', id='T3'), dict(query='shaky wheel', id='T3')])
    pinned, _ = build(run)
    assert list(changed_parts(manifest, pinned)) == ['pins']
    size = sum(path.stat().st_size for path in (run / 'site' / 'data').iterdir())
    assert sum(changed_parts(dict(files={}), pinned).values()) == size
    name, = part_names(dict(files=dict(pins=pinned['files']['pins'])))
    assert json.loads(gzip.decompress((run / 'site' / 'data' / name).read_bytes())) == {'mot': 4, 'shaky wheel': 4}
    update_pins(run, remove=['mot', 'shaky wheel'])
    assert build(run)[0] == manifest


def brotli_files(site): return {path.stem: path for path in (site / 'data').glob('*.br')}


def test_brotli(run):
    "Each part is there with Brotli too, and named in the manifest."
    plain, lines = build(run)
    assert not any('Brotli' in line for line in lines)
    manifest, lines = build(run, None, SiteSettings(brotli=True))
    packed = brotli_files(run / 'site')
    parts = {part['sha256'][:20]: part for file in manifest['files'].values() for part in file['parts']}
    assert set(packed) == set(parts)
    for name, path in packed.items():
        content = brotli.decompress(path.read_bytes())
        assert content == gzip.decompress(path.with_suffix('.bin').read_bytes())
        sha256 = hashlib.sha256(content).hexdigest()
        assert parts[name]['br'] == dict(size=path.stat().st_size, unpacked_sha256=sha256)
    megabytes = sum(part['br']['size'] for part in parts.values()) / 1e6
    assert any(f'with Brotli: {megabytes:.1f} MB to download (catalog 0.0, ' in line for line in lines)
    assert build(run)[0] == plain # Both versions may be open
    assert set(brotli_files(run / 'site')) == set(packed)
    build(run)
    assert brotli_files(run / 'site') == {}


def test_brotli_files_that_are_there_are_not_written_again(run):
    manifest, _ = build(run, None, SiteSettings(brotli=True))
    kept, damaged, *_ = brotli_files(run / 'site').values()
    other = brotli.compress(brotli.decompress(kept.read_bytes()), quality=1)
    kept.write_bytes(other)
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-1])
    build(run, None, SiteSettings(brotli=True))
    assert kept.read_bytes() == other
    assert damaged.read_bytes() == whole


def test_brotli_without_its_package(run, monkeypatch):
    "It is said before anything is written."
    monkeypatch.setitem(sys.modules, 'brotli', None)
    with pytest.raises(InputError, match=re.escape("pip install 'embedding_search[brotli]'")):
        build(run, None, SiteSettings(brotli=True))
    assert not (run / 'site').exists()
    build(run)


def test_the_preview_declares_brotli(run):
    build(run, None, SiteSettings(brotli=True))
    path = next(iter(brotli_files(run / 'site').values()))
    server = preview(run / 'site', port=0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f'http://127.0.0.1:{server.server_address[1]}/data'
    with urllib.request.urlopen(f'{address}/{path.name}') as response:
        assert response.headers['Content-Encoding'] == 'br'
        assert 'immutable' in response.headers['Cache-Control']
        assert response.read() == path.read_bytes()
    with urllib.request.urlopen(f'{address}/{path.stem}.bin') as response:
        assert response.headers['Content-Encoding'] is None
    server.shutdown()
    server.server_close()


def test_an_index_of_another_catalog_is_not_used(run, tmp_path):
    assert current_index(run, ROWS, FAMILY_OF)
    assert current_index(run, ROWS[:-1], FAMILY_OF) is None
    assert current_index(tmp_path, ROWS, FAMILY_OF) is None


def test_only_folders_of_sites_are_written_to(run, tmp_path):
    with pytest.raises(InputError, match='no catalog'): build(tmp_path / 'nowhere')
    mine = tmp_path / 'mine'
    (mine / 'assets').mkdir(parents=True)
    for fine in (tmp_path / 'new', mine / 'assets'): check_out(fine)
    with pytest.raises(InputError, match='not a site and not empty'): build(run, mine)
    (mine / 'sw.js').write_text('self.SHELL={};') # Of a build that was interrupted
    check_out(mine)


@pytest.mark.parametrize('n, expected', [(100, 0), (200, 100), (2100, 350)])
def test_dev_queries(n, expected, tmp_path):
    assert dev_queries(tmp_path) == []
    rows = [dict(query=str(i), part='dev' if i % 2 else 'test') for i in range(n)]
    (tmp_path / 'split.json').write_text(json.dumps(dict(eval_queries=rows)))
    queries = dev_queries(tmp_path)
    assert len(queries) == expected
    assert all(int(query) % 2 for query in queries)


def test_parts_that_the_site_has_are_not_compressed_again(tmp_path):
    noise = np.random.default_rng(0).bytes(25_000)
    data = tmp_path / 'data'
    file = write_parts(noise, data, size=10_000)
    assert len(file['parts']) == 3
    assert write_parts(noise, data, size=10_000) == file
    (tmp_path / 'site.json').write_text(json.dumps(dict(files=dict(noise=file))))
    assert write_parts(noise, data) == file # Three parts, as the site has them, instead of one
    (data / f"{file['parts'][0]['sha256'][:20]}.bin").write_bytes(b'damaged')
    assert len(write_parts(noise, data)['parts']) == 1


def test_an_empty_file_has_one_part(tmp_path):
    part, = write_parts(b'', tmp_path / 'data')['parts']
    content, = (path.read_bytes() for path in (tmp_path / 'data').iterdir())
    assert gzip.decompress(content) == b''
    assert hashlib.sha256(content).hexdigest() == part['sha256']


def test_line_breaks_and_unknown_columns_are_refused():
    with pytest.raises(InputError, match='line break'): pack_columns(dict(names=['a\nb']))
    assert detail_lines([dict(id='T1')]) == ['']
    with pytest.raises(InputError, match="no column 'cost'"): detail_lines(ROWS, ['cost'])


def test_vectors_smaller_than_the_ngram_encoder():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(20, 6)).astype(np.float32)
    axes, codes = vector_codes(vectors, 24, first=rng.normal(size=(8, 6)))
    assert (axes.shape, codes.shape) == ((6, 6), (20, 6))


def test_a_small_table_has_no_draft():
    table = np.random.default_rng(0).integers(-10, 11, size=(64, 8)).astype(np.int8)
    encoder = NgramEncoder(table, np.ones(64, np.float32), np.eye(8, dtype=np.int16))
    tiers, contents = ngram_tiers(encoder, np.zeros((5, 8), np.int8))
    assert [tier.entry['name'] for tier in tiers] == ['ngram']
    assert list(contents) == ['vectors', 'table']


def test_texts_of_the_page_are_escaped(tmp_path):
    def page(*args, **kwargs):
        write_page(tmp_path, *args, **kwargs)
        return (tmp_path / 'index.html').read_text()

    html = page('Bolts & <nuts>', 'https://logs.example.org/events')
    assert '<title>Bolts &amp; &lt;nuts&gt;</title>' in html
    assert "connect-src 'self' https://logs.example.org;" in html
    assert 'worker.js' in (tmp_path / 'sw.js').read_text().splitlines()[0]
    html = page('Bolts', 'events')
    assert "connect-src 'self';" in html and 'content="events"' in html
    html = page('Bolts', link='https://example.org/?a=1&id={id}')
    assert '<embedding-search link="https://example.org/?a=1&amp;id={id}" ' in html


def test_the_built_code_is_complete(built_code, tmp_path):
    for name in ('index.html', 'embedding-search.js', 'worker.js', 'sw.js', 'runtime.wasm', 'embedding-search.d.ts'):
        assert (built_code / name).exists(), name
    with pytest.raises(InputError, match='npm ci'): build_web(tmp_path)


@pytest.fixture
def served(run):
    "Address of a site below a path."
    build(run)
    server = preview(run / 'site', port=0, prefix='/deep/down/')
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_address[1]}'
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize('path', ['/site.json', '/deep/down/none', '/deep/down/../../run/model/onnx/sha256.json'])
def test_the_preview_serves_nothing_but_the_site(path, served):
    with urllib.request.urlopen(f'{served}/deep/down/site.json') as response: assert json.load(response)
    with pytest.raises(urllib.error.HTTPError, match='404'): urllib.request.urlopen(served + path)


def test_previews_take_different_ports(run, tmp_path):
    build(run)
    first = preview(run / 'site')
    second = preview(run / 'site')
    port = first.server_address[1]
    assert second.server_address[1] != port
    with pytest.raises(InputError, match=re.escape(f'127.0.0.1:{port} cannot be used')):
        preview(run / 'site', port=port)
    with pytest.raises(InputError, match='cannot be used'): preview(run / 'site', host='no.such.invalid')
    with pytest.raises(InputError, match='no site here'): preview(tmp_path)
    for server in (first, second): server.server_close()

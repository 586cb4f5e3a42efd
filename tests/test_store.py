"Index versions: through the command line, and under kill -9."
import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import COMMAND, cli, write_csv

from embedding_search.core import InputError
from embedding_search.data.records import read_jsonl
from embedding_search.model.encoders import OnnxEncoder
from embedding_search.model.ngrams import NgramEncoder
from embedding_search.model.title_vectors import TitleVectors
from embedding_search.run import Run
from embedding_search.search.searcher import Searcher
from embedding_search.search.store import Store, export_run


def read_catalog(run):
    "Return rows and families of a run."
    family_of = json.loads((run / 'families.json').read_text())['family']
    return read_jsonl(run / 'catalog.jsonl'), family_of


@pytest.fixture(scope='session')
def store(run, tmp_path_factory):
    "A store with two versions: the toy catalog (active), and the same with one entry replaced."
    folder = tmp_path_factory.mktemp('store') / 's'
    assert cli('index', 'build', '--run', run, '--store', folder).returncode == 0
    rows, family_of = read_catalog(run)
    replaced = [dict(row, title='Piano recital') if row['title'] == 'Repair of radiator' else row for row in rows]
    versions = Store(folder)
    versions.build(replaced, family_of, run / 'model')
    versions.activate('1')
    return folder


@pytest.fixture
def copy(store, tmp_path):
    "A copy of the store that a test may change."
    return Path(shutil.copytree(store, tmp_path / 's', copy_function=os.link))


def golden_file(path, n):
    "Write `n` golden queries for an entry that the second version replaced."
    return write_csv(path, [('query', 'id'), *((f'fix the radiator {i}', '06/2') for i in range(n))])


def output(*args, code=0, **kwargs):
    "Run a command, check its exit status, and return what it printed."
    result = cli(*args, **kwargs)
    assert result.returncode == code, result.stdout + result.stderr
    assert 'Traceback' not in result.stderr
    return result.stdout + result.stderr


def test_a_build_copies_pins_and_keeps_those_of_the_store(copy, run, tmp_path):
    pinned = shutil.copytree(run, tmp_path / 'run')
    assert "'strange noise' → 06/2  Repair of radiator" in output('pin', 'strange noise', '06/2', '--run', pinned)
    output('pin', 'odd smell', '05/2', '--store', copy)
    assert 'is not in the catalog; did you mean' in output('pin', 'odd smell', '05/22', '--store', copy, code=2)
    assert '1 pin of' in output('index', 'build', '--run', pinned, '--store', copy)
    for version in ('1', '2', '3'):
        searcher = Store(copy).searcher(version)
        assert [searcher.search(query, 1)[0]['id'] for query in ('STRANGE noise', 'odd smell')] == ['06/2', '05/2']


@pytest.fixture
def encoded(monkeypatch):
    "The texts that were encoded, one after the other."
    texts = []
    encode = OnnxEncoder.encode

    def record(self, some, *args, **kwargs):
        texts.extend(some)
        return encode(self, some, *args, **kwargs)

    monkeypatch.setattr(OnnxEncoder, 'encode', record)
    return texts


@pytest.fixture
def run_copy(run, tmp_path):
    "A copy of the run that a test may change."
    return Path(shutil.copytree(run, tmp_path / 'run'))


def build_from(run, folder, rows=None, messages=None, **kwargs):
    "Build a version from a run, as the command line does."
    catalog, family_of = read_catalog(run)
    log = (messages if messages is not None else []).append
    return Store(folder, create=True).build(rows or catalog, family_of, run / 'model', run=run, log=log, **kwargs)


def vectors_of(folder, version): return np.load(Path(folder) / 'versions' / version['name'] / 'vectors.npy')


def test_a_build_from_a_finished_run_encodes_nothing(run, tmp_path, encoded):
    version = build_from(run, tmp_path / 's')
    assert encoded == []
    assert (version['encoded'], version['copied']) == (0, {'the run': 48})
    assert np.array_equal(vectors_of(tmp_path / 's', version), np.load(run / 'index' / 'vectors.npy'))
    searcher, of_run = Store(tmp_path / 's').searcher('1'), Searcher.load(run)
    for query in ('fix the radiator', 'dirty wipers please'):
        assert [hit['id'] for hit in searcher.search(query)] == [hit['id'] for hit in of_run.search(query)]


def test_a_version_searches_without_the_transformer_if_the_run_does(run_copy, tmp_path):
    index = run_copy / 'index' / 'index.json'
    index.write_text(json.dumps(json.loads(index.read_text()) | dict(transformer=False)))
    version = build_from(run_copy, tmp_path / 's')
    searcher, of_run = Store(tmp_path / 's').searcher('1'), Searcher.load(run_copy)
    assert version['transformer'] is False
    assert isinstance(searcher.encoder, NgramEncoder)
    assert [hit['id'] for hit in searcher.search('fix the radiator')] == \
        [hit['id'] for hit in of_run.search('fix the radiator')]


def test_copied_vectors_equal_those_of_a_fresh_encode(run, tmp_path, encoded):
    copied = build_from(run, tmp_path / 's')
    fresh = build_from(run, tmp_path / 's', full=True)
    assert len(encoded) == fresh['encoded'] == 48
    assert fresh['copied'] == {}
    assert copied['files'] == fresh['files']


def test_the_command_says_how_many_titles_it_copied(run, tmp_path):
    fresh = output('index', 'build', '--store', tmp_path / 's', '--run', run)
    assert '0 of 48 titles to encode, 48 copied from the run; about' in fresh
    assert '0 of 48 titles encoded, 48 copied from the run' in fresh
    output('index', 'build', '--store', tmp_path / 's', '--run', run, '--full')
    assert Store(tmp_path / 's').diff('1', '2')['identical']


def test_only_changed_titles_are_encoded(run, tmp_path, encoded):
    rows, _ = read_catalog(run)
    changed = [dict(row, title='Piano recital') if n == 7 else row for n, row in enumerate(rows)]
    version = build_from(run, tmp_path / 's', changed[::-1])
    assert encoded == ['Piano recital']
    assert version['copied'] == {'the run': 47}
    found, expected = vectors_of(tmp_path / 's', version)[::-1], np.load(run / 'index' / 'vectors.npy')
    same = np.arange(48) != 7
    assert np.array_equal(found[same], expected[same])
    assert not np.array_equal(found[7], expected[7])
    again = build_from(run, tmp_path / 's', changed)
    assert (again['encoded'], again['copied']) == (0, {'the run': 47, version['name']: 1})
    assert encoded == ['Piano recital']


@pytest.mark.parametrize('part', ['max_tokens', 'title_vectors'])
def test_vectors_of_another_model_are_not_copied(part, run_copy, tmp_path, encoded):
    model = run_copy / 'model'
    before = build_from(run_copy, tmp_path / 's')
    if part == 'max_tokens':
        config = json.loads((model / 'tokenizer_config.json').read_text())
        (model / 'tokenizer_config.json').write_text(json.dumps(config | dict(model_max_length=4)))
    else:
        learned = TitleVectors.load(model)
        learned.scale = learned.scale * 2
        learned.save(model)
    messages = []
    after = build_from(run_copy, tmp_path / 's', messages=messages)
    assert len(encoded) == after['encoded'] == 48
    assert f'no vectors are copied from the run: {run_copy / "index"} was made with a model that differs in {part}' in \
        messages[0]
    assert not np.array_equal(vectors_of(tmp_path / 's', before), vectors_of(tmp_path / 's', after))


@pytest.mark.parametrize('damage', ['cut', 'changed', 'swapped', 'unrecorded', 'missing'])
def test_damaged_vectors_are_not_copied(damage, run, run_copy, tmp_path, encoded):
    "The build names the file, encodes all titles, and gives what it would have given with the undamaged file."
    path = run_copy / 'index' / 'vectors.npy'
    content = path.read_bytes()
    if damage == 'cut': path.write_bytes(content[:-100])
    elif damage == 'changed': path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == 'swapped': np.save(path.with_name('titles.npy'), np.load(path.with_name('titles.npy'))[::-1])
    elif damage == 'unrecorded': path.with_name('vectors.json').unlink()
    else: path.unlink()
    said = output('index', 'build', '--store', tmp_path / 's', '--run', run_copy)
    assert '48 of 48 titles encoded' in said
    assert f'no vectors are copied from the run: {path.parent}' in said
    assert f'delete {path.with_name("index.json")} and run' in said
    assert Store(tmp_path / 's').versions()[0]['files'] == build_from(run, tmp_path / 'undamaged')['files']


def test_damaged_vectors_of_an_earlier_version_are_not_copied(copy, run, encoded):
    versions = Store(copy)
    path = copy / 'versions' / versions.active() / 'vectors.npy'
    content = path.read_bytes()
    path.unlink() # The store shares its files with other tests
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    messages = []
    version = versions.build(*read_catalog(run), run / 'model', log=messages.append)
    assert len(encoded) == version['encoded'] == 48
    assert f'{path} is damaged' in messages[0]


def test_kept_vectors_depend_on_the_limit_of_tokens(run_copy):
    "The graph is the same, but less of a text is read."
    files = Run(run_copy, progress=False)
    titles = ['Replacement of brake pads on the front axle', 'Oil']
    long, short = files.int8_vectors(titles, 'title')
    config = json.loads((run_copy / 'model' / 'tokenizer_config.json').read_text())
    (run_copy / 'model' / 'tokenizer_config.json').write_text(json.dumps(config | dict(model_max_length=4)))
    cut, same = files.int8_vectors(titles, 'title')
    assert long @ cut < .9
    assert short @ same > .97


def test_activate_refuses_a_certain_loss(copy, tmp_path):
    golden = golden_file(tmp_path / 'golden.csv', 200)
    refused = output('index', 'activate', '2', '--store', copy, '--golden', golden, code=2)
    assert 'was not activated' in refused
    assert '200 queries' in refused
    assert 'Recall@5 100.0 → 0.0' in refused
    assert 'fix the radiator' in refused
    assert '--force' in refused
    assert '* 000001' in output('index', 'list', '--store', copy)
    assert 'is active' in output('index', 'activate', '2', '--store', copy, '--force')
    assert Store(copy).find()['number'] == 2


def test_activate_only_warns_on_few_queries(copy, tmp_path):
    golden = golden_file(tmp_path / 'golden.csv', 50)
    warned = output('index', 'activate', '2', '--store', copy, '--golden', golden)
    assert 'warning' in warned
    assert '200 golden queries are needed' in warned
    assert Store(copy).find()['number'] == 2


def test_activate_accepts_a_version_without_loss(copy, run):
    output('index', 'build', '--store', copy, '--run', run)
    golden = [dict(query=f'fix the radiator {i}', ids=['06/2']) for i in range(200)]
    message = Store(copy).activate('3', golden=golden)
    assert 'Recall@5 100.0 → 100.0' in message
    assert 'warning' not in message


def test_rollback_returns_to_the_version_before(copy):
    Store(copy).activate('2', force=True)
    assert '000001' in output('index', 'rollback', '--store', copy)
    assert 'no earlier version' in output('index', 'rollback', '--store', copy, code=2)


def test_list_diff_verify_gc_and_export(copy, run, tmp_path):
    listed = output('index', 'list', '--json', '--store', copy).splitlines()
    assert [json.loads(line)['active'] for line in listed] == [True, False]
    assert 'reworded     1' in output('index', 'diff', '1', '2', '--store', copy)
    output('index', 'verify', '--store', copy)
    output('index', 'export', tmp_path / 'x', '--store', copy)
    assert (tmp_path / 'x' / 'entries.parquet').exists()
    output('index', 'export', tmp_path / 'y', '--run', run)
    of_run, of_store = [pq.read_table(tmp_path / name / 'entries.parquet') for name in 'yx']
    assert of_run['title'].to_pylist() == of_store['title'].to_pylist()
    assert np.abs(np.load(tmp_path / 'y' / 'vectors.npy') - np.load(tmp_path / 'x' / 'vectors.npy')).max() < .001
    assert '000002' in output('index', 'gc', '--keep', 0, '--store', copy)


def test_numpy_recipe_of_the_guide(run, tmp_path, monkeypatch, capsys):
    "Run the first code block of docs/vectors_out.md; tools/compat.py runs those of the databases."
    export_run(run, tmp_path / 'export')
    (tmp_path / 'runs').mkdir()
    (tmp_path / 'runs' / 'demo').symlink_to(run)
    guide = Path(__file__).parents[1] / 'docs' / 'vectors_out.md'
    code = guide.read_text().partition('```python\n')[2].partition('```')[0]
    code = code.replace('sugar disease with kidney trouble', 'new spark plugs')
    (tmp_path / 'recipe.py').write_text(code)
    monkeypatch.chdir(tmp_path)
    runpy.run_path('recipe.py')
    assert 'spark plugs' in capsys.readouterr().out.splitlines()[0]


@pytest.mark.parametrize('args, message', [
    (['list'], 'no index store'),
    (['activate', '9'], 'no index store'),
    (['rollback'], 'no index store'),
    (['gc'], 'no index store'),
    (['build', '--run', 'nowhere'], 'finish the run first'),
], ids=['list', 'activate', 'rollback', 'gc', 'build'])
def test_errors_say_what_is_missing(args, message, tmp_path):
    result = cli('index', *args, '--store', tmp_path / 'none', cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert 'Traceback' not in result.stderr


def test_another_model_is_refused(store, run, tmp_path):
    model = Path(shutil.copytree(run / 'model', tmp_path / 'model'))
    (model / '1_Pooling' / 'config.json').write_text(json.dumps(dict(pooling_mode='cls')))
    with pytest.raises(ValueError, match='in pooling; its vectors do not compare'):
        Store(store).searcher(model=model)


def test_an_incremental_build_equals_a_full_build(run, tmp_path):
    "Without a run, each title is encoded alone."
    versions = Store(tmp_path / 's', create=True)
    rows, family_of = read_catalog(run)
    versions.build(rows, family_of, run / 'model')
    changed = [dict(row, title=row['title'] + ' today') if i == 3 else row for i, row in enumerate(rows) if i != 7]
    changed.append(dict(rows[0], id='new', title='Towing'))
    family_of = family_of | {'new': 'new'}
    incremental = versions.build(changed, family_of, run / 'model')
    full = versions.build(changed, family_of, run / 'model', full=True)
    assert (incremental['encoded'], full['encoded']) == (2, len(changed))
    assert incremental['files'] == full['files']
    expected = dict(added=1, reworded=1, edited=0, removed=1, unchanged=len(changed) - 2)
    assert incremental['changes'] == expected


def test_a_build_does_not_depend_on_the_process(copy, run):
    "Python hashes strings differently in each process; the files must be equal all the same."
    for seed in ('1', '2'):
        output('index', 'build', '--store', copy, '--run', run, '--full', env=os.environ | dict(PYTHONHASHSEED=seed))
    assert Store(copy).diff('3', '4')['identical']


def test_a_damaged_version_can_be_replaced(copy, run):
    versions = Store(copy)
    path = copy / 'versions' / versions.active() / 'rows.jsonl'
    content = path.read_bytes()
    path.unlink() # The store shares its files with other tests
    path.write_bytes(content[:-30])
    with pytest.raises(ValueError, match='index rollback --store'): versions.searcher()
    rows, family_of = read_catalog(run)
    new = versions.build(rows, family_of, run / 'model', full=True)
    golden = [dict(query='fix the radiator', ids=['06/2'])]
    with pytest.raises(ValueError, match='cannot be opened for comparison'):
        versions.activate(new['name'], golden=golden)
    assert 'is active' in versions.activate(new['name'], force=True, golden=golden)


def test_two_builds_at_once_are_refused(copy, run):
    with Store(copy).lock('build'):
        assert 'another build is running' in output('index', 'build', '--run', run, '--store', copy, code=2)


def test_a_lock_is_held_once(copy):
    versions = Store(copy)
    with versions.lock() as held, versions.lock(wait=False) as held_twice: assert (held, held_twice) == (True, False)
    with versions.lock(wait=False) as held: assert held


def test_versions_that_do_not_exist(run, tmp_path):
    with pytest.raises(InputError, match='no index store here'): Store(tmp_path / 'none')
    versions = Store(tmp_path / 's', create=True)
    assert (versions.versions(), versions.active()) == ([], None)
    with pytest.raises(InputError, match='no version is active'): versions.find()
    with pytest.raises(InputError, match="no versions are called '7'"): versions.find('7')
    with pytest.raises(InputError, match='no rows'): versions.build([], {}, run / 'model')


def test_verify_finds_a_changed_file(copy):
    versions = Store(copy)
    path = copy / 'versions' / versions.find('2')['name'] / 'scale.npy'
    content = path.read_bytes()
    path.unlink() # The store shares its files with other tests
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert versions.verify('1')['number'] == 1
    with pytest.raises(InputError, match='index build --full --run RUN --store'): versions.verify('2')
    path.write_bytes(content[:-1])
    with pytest.raises(InputError, match='bytes instead of'): versions.searcher('2')


def test_activation_without_a_comparison(copy):
    versions = Store(copy)
    assert versions.activate('1').endswith('is already active')
    nothing_known = [dict(query='new tires', ids=['none'])]
    assert 'not checked: no golden query has an entry' in versions.activate('2', golden=nothing_known)


# A process that imports once and then forks a child for every crash. The child is killed by SIGKILL at its n-th
# change of the store's files: opening one for writing, creating, renaming, removing. n rises until the child survives.
CRASHES = textwrap.dedent('''
    import json
    import os
    import shutil
    import signal
    import sys
    from pathlib import Path

    import bm25s
    import faiss
    import onnxruntime
    import tokenizers

    from embedding_search.data.records import read_jsonl
    from embedding_search.search.store import Store, replace_json

    source, work, run, action = sys.argv[1:]
    rows = read_jsonl(f'{run}/catalog.jsonl')
    family_of = json.load(open(f'{run}/families.json'))['family']
    rows[5]['title'] += ' at night'

    def die_at(n):
        left = [n]
        def hook(event, args):
            changes = event in ('os.rename', 'os.remove', 'os.mkdir', 'os.rmdir', 'os.chmod')
            if event == 'open' and str(args[0]).startswith(work):
                changes = args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if not changes: return
            left[0] -= 1
            if left[0] < 0: os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(hook)

    def act():
        store = Store(work)
        if action == 'build': store.build(rows, family_of, f'{run}/model')
        if action == 'activate': store.activate('2', margin=1)
        if action == 'rollback': store.rollback()
        if action == 'gc': store.gc(0)

    def run_child(n):
        code = 1
        try:
            die_at(n)
            act()
            code = 0
        finally: os._exit(code)

    one, two = (version['name'] for version in Store(source).versions())
    first = Store(source).searcher(one)
    for n in range(1000):
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(source, work, copy_function=os.link)
        if action == 'rollback':
            replace_json(Path(work) / 'active.json', dict(version=two, history=[one]))
        pid = os.fork()
        if not pid: run_child(n)
        _, status = os.waitpid(pid, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        if not killed and os.WEXITSTATUS(status): sys.exit(f'failed at {n}')
        store = Store(work)
        searcher = store.searcher(like=first)
        store.verify()
        title = searcher.search('fix the radiator', 1)[0]['title']
        numbers = [version['number'] for version in store.versions()]
        print(json.dumps([killed, searcher.meta['number'], title, numbers]), flush=True)
        if not killed:
            store.gc(2)
            names = os.listdir(f'{work}/versions') + os.listdir(f'{work}/models')
            left = [name for name in names if name.startswith('.')]
            sys.exit(f'left over: {left}' if left else 0)
''')


@pytest.mark.parametrize('action, before, after', [
    ('build', 1, 1), ('activate', 1, 2), ('rollback', 2, 1), ('gc', 1, 1)], ids=['build', 'activate', 'rollback', 'gc'])
def test_killed_at_every_step(action, before, after, store, run, tmp_path):
    command = [sys.executable, '-c', CRASHES, str(store), str(tmp_path / 'w'), str(run), action]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-3000:]
    crashes = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(crashes) >= 3
    assert [killed for killed, *_ in crashes] == [True] * (len(crashes) - 1) + [False]
    for _, active, title, numbers in crashes:
        assert active in (before, after)
        assert active in numbers
        assert (title == 'Repair of radiator') == (active == 1)
    actives = [active for _, active, *_ in crashes]
    assert (actives[0], actives[-1]) == (before, after)
    assert actives == sorted(actives, reverse=before > after), 'the switch must happen in one step'


def test_killed_at_any_time(copy, run):
    "The real command, killed after a delay."
    versions = Store(copy)
    expected = versions.searcher().search('fix the radiator', 3)
    command = [COMMAND, 'index', 'build', '--full', '--run', str(run), '--store', str(copy)]
    n_killed = 0
    for delay in (.3, .6, .9, 1.2, 1.5):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(delay)
        process.kill()
        n_killed += process.wait() == -signal.SIGKILL
        assert versions.find()['number'] == 1
        assert versions.searcher().search('fix the radiator', 3) == expected
    assert n_killed
    versions.gc()
    assert not list((copy / 'versions').glob('.*'))


def test_modules_import_without_unix_only_modules():
    code = textwrap.dedent('''
        import sys
        sys.modules.update(fcntl=None, resource=None, uvloop=None)
        import embedding_search.cli
        import embedding_search.data.generation
        import embedding_search.pipeline
        import embedding_search.search.bridge
        import embedding_search.search.service
    ''')
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-2000:]

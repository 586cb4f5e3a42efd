"Versions of an index: by the command line, and under kill -9."
import json, os, shutil, signal, subprocess, sys, textwrap, time
from pathlib import Path
import pytest
from conftest import cli, write_csv
from embedding_search.catalog import read_jsonl
from embedding_search.store import Store

@pytest.fixture(scope='session')
def store(run, tmp_path_factory):
    "A store with two versions: the toy catalog, and the same with one entry reworded. The first is active."
    folder = tmp_path_factory.mktemp('store')/'s'
    assert cli('index', 'build', '--run', run, '--store', folder).returncode == 0
    st, rows, fam = Store(folder), read_jsonl(run/'catalog.jsonl'), json.loads((run/'families.json').read_text())['family']
    st.build([dict(r, title='Piano recital') if r['title'] == 'Repair of radiator' else r for r in rows], fam, run/'model')
    st.activate('1')
    return folder

@pytest.fixture
def copy(store, tmp_path):
    "The store, to be changed."
    return Path(shutil.copytree(store, tmp_path/'s', copy_function=os.link))

def out(*args, code=0):
    r = cli(*args); assert r.returncode == code, r.stdout+r.stderr
    assert 'Traceback' not in r.stderr
    return r.stdout+r.stderr

def test_commands(copy, run, tmp_path):
    assert '* 000001' in out('index', 'list', '--store', copy)
    assert '0 of 48 titles encoded' in out('index', 'build', '--store', copy, '--run', run)
    g = write_csv(tmp_path/'g.csv', [('query','id'), *((q, i) for q,i in (('fix the radiator','06/2'), ('repair radiator','06/2'), ('radiator repair please','06/2'), ('clutch repair','05/2')))])
    refused = out('index', 'activate', '2', '--store', copy, '--golden', g, code=2)
    assert 'was not activated' in refused and 'Recall@5 100.0' in refused and '--force' in refused and 'fix the radiator' in refused
    assert '* 000001' in out('index', 'list', '--store', copy)
    assert 'serves' in out('index', 'activate', '2', '--store', copy, '--force') and Store(copy).find()['number'] == 2
    assert '000001' in out('index', 'rollback', '--store', copy) and 'no earlier version' in out('index', 'rollback', '--store', copy, code=2)
    assert 'as written' in out('index', 'verify', '--store', copy)
    assert 'reworded     1' in out('index', 'diff', '1', '2', '--store', copy)
    assert [json.loads(l)['active'] for l in out('index', 'list', '--json', '--store', copy).splitlines()] == [True, False, False]
    assert 'removed: 000002' in out('index', 'gc', '--keep', 1, '--store', copy)
    out('index', 'export', tmp_path/'x', '--store', copy)
    assert (tmp_path/'x'/'entries.parquet').exists()

def test_index_alone_is_the_stage(run):
    r = cli('index', '--run', run)
    assert r.returncode == 0 and r.stdout.splitlines()[-1].startswith('index') and 'skipped' in r.stdout

@pytest.mark.parametrize('args, says', [(['list'], 'no index store'), (['activate','9'], 'no index store'), (['rollback'], 'no index store'), (['gc'], 'no index store'), (['build','--run','nowhere'], 'finish the run first')])
def test_bad_commands(args, says, tmp_path):
    r = cli('index', *args, '--store', tmp_path/'none', cwd=tmp_path)
    assert r.returncode == 2 and says in r.stderr and 'Traceback' not in r.stderr, r.stderr

def test_another_model_is_refused(store, run, tmp_path):
    m = shutil.copytree(run/'model', tmp_path/'m'); (m/'1_Pooling'/'config.json').write_text(json.dumps(dict(pooling_mode='cls')))
    with pytest.raises(ValueError, match='in pooling; its vectors do not compare'): Store(store).searcher(model=m)

def test_incremental_equals_rebuild(copy, run):
    st, rows, fam = Store(copy), read_jsonl(run/'catalog.jsonl'), json.loads((run/'families.json').read_text())['family']
    new = [dict(r, title=r['title']+' today') if i == 3 else r for i,r in enumerate(rows) if i != 7] + [dict(rows[0], id='new', title='Towing')]
    fam = fam | {'new': 'new'}
    a, b = st.build(new, fam, run/'model'), st.build(new, fam, run/'model', full=True)
    assert (a['encoded'], b['encoded']) == (2, len(new)) and a['files'] == b['files'] and a['changes'] == dict(added=1, reworded=1, edited=0, removed=1, unchanged=len(new)-2)

# A process that imports once and then forks a child for every crash. The child dies by SIGKILL at the n-th thing it does to the store's files:
# opening one for writing, making, renaming, removing. n rises until the child gets through.
CRASHES = textwrap.dedent('''
    import json, os, shutil, signal, sys
    import bm25s, faiss, onnxruntime, tokenizers
    from embedding_search.catalog import read_jsonl
    from embedding_search.store import Store, put_json
    from pathlib import Path
    source, work, run, what = sys.argv[1:]
    rows, fam = read_jsonl(f'{run}/catalog.jsonl'), json.load(open(f'{run}/families.json'))['family']
    rows[5]['title'] += ' at night'
    def die_at(n):
        left = [n]
        def hook(event, args):
            writes = event == 'open' and str(args[0]).startswith(work) and args[2] & (os.O_WRONLY|os.O_RDWR|os.O_CREAT)
            if writes or event in ('os.rename','os.remove','os.mkdir','os.rmdir','os.chmod'):
                left[0] -= 1
                if left[0] < 0: os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(hook)
    def act():
        st = Store(work)
        if what == 'build': st.build(rows, fam, f'{run}/model')
        if what == 'activate': st.activate('2', margin=1)
        if what == 'rollback': st.rollback()
        if what == 'gc': st.gc(0)
    one, two = (v['name'] for v in Store(source).versions()); first = Store(source).searcher(one)
    for n in range(1000):
        shutil.rmtree(work, ignore_errors=True); shutil.copytree(source, work, copy_function=os.link)
        if what == 'rollback': put_json(Path(work)/'active.json', dict(version=two, history=[one]))
        pid = os.fork()
        if not pid:
            code = 1
            try: die_at(n); act(); code = 0
            finally: os._exit(code)
        _, status = os.waitpid(pid, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        if not killed and os.WEXITSTATUS(status): sys.exit(f'failed at {n}')
        st = Store(work); s = st.searcher(like=first); st.verify()
        print(json.dumps([n, killed, s.meta['number'], s.search('fix the radiator', 1)[0]['title'], [v['number'] for v in st.versions()]]), flush=True)
        if not killed:
            st.gc(2); left = [f for f in os.listdir(f'{work}/versions') + os.listdir(f'{work}/models') if f.startswith('.')]
            sys.exit(f'left over: {left}' if left else 0)
''')

@pytest.mark.parametrize('what, before, after', [('build', 1, 1), ('activate', 1, 2), ('rollback', 2, 1), ('gc', 1, 1)])
def test_killed_at_every_step(what, before, after, store, run, tmp_path):
    r = subprocess.run([sys.executable, '-c', CRASHES, str(store), str(tmp_path/'w'), str(run), what], capture_output=True, text=True, timeout=300)
    assert r.returncode == 0, r.stderr[-3000:]
    seen = [json.loads(l) for l in r.stdout.splitlines()]
    assert len(seen) >= 3 and not seen[-1][1] and all(s[1] for s in seen[:-1])
    for n,killed,active,title,versions in seen:
        assert active in (before, after) and active in versions
        if active == 1: assert title == 'Repair of radiator'
        else: assert title != 'Repair of radiator'
    assert seen[0][2] == before and seen[-1][2] == after
    switched = [s[2] for s in seen]
    assert switched == sorted(switched, reverse=before > after), 'one step: before it the old version, after it the new one'

def test_killed_at_any_time(copy, run):
    "The real command, killed by the clock instead of by its steps."
    st = Store(copy); want = st.searcher().search('fix the radiator', 3); died = 0
    for delay in (.3, .6, .9, 1.2, 1.5):
        p = subprocess.Popen([str(Path(sys.executable).parent/'embedding-search'), 'index', 'build', '--full', '--run', str(run), '--store', str(copy)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(delay); p.kill(); died += p.wait() == -signal.SIGKILL
        assert st.find()['number'] == 1 and st.searcher().search('fix the radiator', 3) == want
    assert died
    st.gc(); assert not list((copy/'versions').glob('.*'))

def test_two_builds_at_once(copy, run):
    with Store(copy).lock('build'): assert 'another build is running' in out('index', 'build', '--run', run, '--store', copy, code=2)

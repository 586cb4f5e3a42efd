"The command line as a user meets it."
import json, re, signal, subprocess, sys, time
from pathlib import Path
import pytest
from conftest import SMALL, cli, write_csv

STAGES = ['catalog','families','queries','split','negatives','train','guard','export','shift','static','index','evaluate']

def test_run_prints_the_table(run):
    out = run.with_suffix('.out').read_text()
    for s in STAGES: assert re.search(rf'^{s} +\d+ s', out, re.M), s
    assert re.search(r'^  base +\d', out, re.M) and re.search(r'^  shipped .*\+?\d', out, re.M)
    assert 'pairs/s' in out and 'GiB' in out and 'not worth it yet' in out
    assert '## human, ' in (run/'report.md').read_text() and 'data:image/png' in (run/'report.html').read_text()
    assert 'model-index' in (run/'model'/'README.md').read_text()

def test_manifest(run):
    m = json.loads((run/'manifest.json').read_text())
    assert set(STAGES) <= set(m) and m['seed'] == 42 and m['settings']['catalog']['id'] == 'sku'
    assert m['catalog']['counts']['rows'] == 48 and m['split']['counts']['train'] > 0
    assert all(m[s]['versions']['numpy'] for s in STAGES)

def test_resumes(run):
    r = cli('run', '--run', run)
    assert r.returncode == 0 and r.stdout.count('unchanged, skipped') == len(STAGES)

def test_one_stage(run):
    r = cli('dedupe', '--run', run)
    assert r.returncode == 0 and r.stdout.count('skipped') == 2

def test_search(run):
    r = cli('search', 'fix the radiator', '--run', run, '-k', 3)
    assert r.returncode == 0 and 'Repair of radiator' in r.stdout.splitlines()[0]
    hits = [json.loads(l) for l in cli('search', 'new clutch', '--run', run, '--category', 'clutch', '--json').stdout.splitlines()]
    assert hits and {h['category'] for h in hits} == {'clutch'}
    r = cli('search', 'fix the radiater', '--run', run, '--mode', 'static', '-k', 1); assert r.returncode == 0 and 'Repair of radiator' in r.stdout

def test_without_queries(files, tmp_path):
    r = cli('run', '--run', tmp_path/'r', '--catalog', files/'my.csv', '--id', 'sku', '--title', 'name')
    assert r.returncode == 0 and 'no training queries' in r.stdout and 'query,id' in r.stdout
    assert 'Repair of clutch' in cli('search', 'clutch repair', '--run', tmp_path/'r', '-k', 1).stdout
    r = cli('search', 'clutch', '--run', tmp_path/'r', '--mode', 'static'); assert r.returncode == 2 and 'no static encoder' in r.stderr
    r = cli('search', 'zzz', '--run', tmp_path/'r', '--mode', 'keyword'); assert r.returncode == 0 and 'try other words or --mode hybrid' in r.stderr
    r = cli('gate', '--run', tmp_path/'r', '--against', tmp_path/'r'); assert r.returncode == 2 and 'give --must-pass FILE' in r.stderr
    r = cli('gate', '--run', tmp_path/'r', '--against', tmp_path/'r', '--must-pass', write_csv(tmp_path/'must.csv', [('query','id'), ('repair of clutch','05/2')])); assert r.returncode == 0 and 'passed: ' in r.stdout, r.stderr

def test_site_keeps_a_folder_of_mine(files, tmp_path):
    (tmp_path/'mine'/'assets').mkdir(parents=True); (tmp_path/'mine'/'index.html').write_text('mine')
    r = cli('site', '--run', tmp_path/'r', '--catalog', files/'my.csv', '--id', 'sku', '--title', 'name', '--out', tmp_path/'mine')
    assert r.returncode == 2 and 'not a site and not empty' in r.stderr and (tmp_path/'mine'/'assets').exists() and (tmp_path/'mine'/'index.html').read_text() == 'mine'
    r = cli('site', '--run', tmp_path/'r', '--out', tmp_path/'new'); assert r.returncode == 0 and '--serve' in r.stdout
    assert cli('site', '--run', tmp_path/'r', '--out', tmp_path/'new').returncode == 0

def test_index_made_again(files, tmp_path):
    "What the messages about a damaged run ask for helps."
    own = ['--run', tmp_path/'r', '--catalog', files/'my.csv', '--id', 'sku', '--title', 'name']; assert cli('index', *own).returncode == 0
    for name, gone in (('index/vectors.npy', 'index/index.json'), ('index/keyword/data.csc.index.npy', 'index/index.json'), ('model/onnx/model_quantized.onnx', 'model/onnx/sha256.json')):
        (tmp_path/'r'/name).write_bytes(b'cut off')
        r = cli('search', 'clutch', '--run', tmp_path/'r'); assert r.returncode == 2 and f"delete {tmp_path/'r'/gone} and run embedding-search index --run" in r.stderr, r.stderr
        (tmp_path/'r'/gone).unlink(); assert cli('index', '--run', tmp_path/'r').returncode == 0
        assert cli('search', 'clutch', '--run', tmp_path/'r').returncode == 0

def test_judged_without_training(files, tmp_path):
    r = cli('run', '--run', tmp_path/'r', '--catalog', files/'my.csv', '--id', 'sku', '--title', 'name', '--judged', files/'judged.csv', '--set', 'search.dim=128', '--size', 'small')
    assert r.returncode == 0, r.stderr[-2000:]
    assert re.search(r'^  shipped .*\d', r.stdout, re.M) and 'tuned' not in r.stdout
    assert json.loads((tmp_path/'r'/'manifest.json').read_text())['export']['counts']['model_quantized.onnx'] < 13

def test_search_needs_no_torch(run):
    code = f"import sys; from embedding_search.search import Searcher; Searcher.load({str(run)!r}).search('x'); print([m for m in ('torch','transformers','sentence_transformers','datasets','pandas','optimum') if m in sys.modules])"
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout.strip() == '[]'

@pytest.mark.parametrize('raw, says', [
    ('', 'bad.csv'), ('id,title\n', 'bad.csv'), ('id,titel\n1,x\n', 'titel'), ('id,title\n1,x\n1,y\n', 'row 3'), ('id,title\n1,\n', 'title'),
    ('id,title\n,x\n', 'row 2'), ('id,title\n1,x,y\n', 'row 2'), ('id,title\n1,"x\n', 'bad.csv'), ('id,title\n1,a\0b\n', 'row 2'), (b'id,title\n1,\xff\xfe\n', 'bad.csv')])
def test_bad_catalog(raw, says, tmp_path):
    f = tmp_path/'bad.csv'
    f.write_bytes(raw if isinstance(raw, bytes) else raw.encode())
    r = cli('run', '--run', tmp_path/'r', '--catalog', f)
    assert r.returncode == 2 and r.stderr.startswith('error: ') and says in r.stderr and 'Traceback' not in r.stderr, r.stderr

def test_bad_queries(files, tmp_path):
    f = write_csv(tmp_path/'q.csv', [('query','id'), ('a','nope'), ('b','never')])
    r = cli('queries', '--run', tmp_path/'r', '--catalog', files/'my.csv', '--id', 'sku', '--title', 'name', '--queries', f)
    assert r.returncode == 2 and 'nope' in r.stderr and 'q.csv' in r.stderr

@pytest.mark.parametrize('args, says', [
    (['run','--settings','absent.toml'], 'absent.toml'), (['run','--id','sku'], '--catalog'), (['run','--set','train.epochs=two'], 'train.epochs'),
    (['run','--set','train.epoch=2'], 'train has: base, max_pairs, epochs'), (['run','--settings','.'], 'give a TOML file'), (['run','--catalog','.'], 'a folder; give one file'),
    (['run'], 'give your own with --catalog FILE'), (['gate','--run','nowhere','--against','nowhere'], 'run --run nowhere makes one'), (['queries','--max-titles=-1'], 'setting generate.max_titles: '),
    (['search','x','-k','0'], '-k'), (['search','x','--run','nowhere'], 'run --run nowhere'), (['serve','--run','nowhere'], 'nowhere')])
def test_bad_options(args, says, tmp_path):
    r = cli(*args, cwd=tmp_path)
    assert r.returncode == 2 and says in r.stderr and 'Traceback' not in r.stderr, r.stderr
    assert not (tmp_path/'nowhere').exists()

@pytest.mark.parametrize('base, says', [('nobody/nothing', 'could not be loaded'), ('{tmp}', 'safetensors')])
def test_bad_base(base, says, files, tmp_path):
    r = cli('run', '--run', tmp_path/'r', '--catalog', files/'my.csv', '--id', 'sku', '--title', 'name', '--base', base.format(tmp=tmp_path))
    assert r.returncode == 2 and says in r.stderr and 'Traceback' not in r.stderr, r.stderr

def test_odd_titles(tmp_path):
    f = write_csv(tmp_path/'odd.csv', [('id','title'), ('1','x'*100_000), ('2','🚗 broken 🔧'), ('3','<img src=x onerror=alert(1)>'), ('4','тормоз')])
    r = cli('run', '--run', tmp_path/'r', '--catalog', f)
    assert r.returncode == 0, r.stderr
    hits = [json.loads(l) for l in cli('search', '🚗', '--run', tmp_path/'r', '--json').stdout.splitlines()]
    assert {h['id'] for h in hits} == set('1234') and max(len(h['title']) for h in hits) == 1000

def test_one_title(tmp_path):
    f = write_csv(tmp_path/'one.csv', [('id','title'), ('1','only')])
    q = write_csv(tmp_path/'q.csv', [('query','id'), ('lonely','1'), ('sole','1')])
    assert cli('run', '--run', tmp_path/'r', '--catalog', f).returncode == 0
    r = cli('run', '--run', tmp_path/'r2', '--catalog', f, '--queries', q, *SMALL)
    assert r.returncode == 0 and 'not worth it yet' in r.stdout and 'nothing to judge by' in r.stdout, r.stderr

def test_truncated_model(run):
    f = run/'model'/'onnx'/'model_quantized.onnx'; keep = f.read_bytes()
    f.write_bytes(keep[:5000])
    try: r = cli('search', 'x', '--run', run)
    finally: f.write_bytes(keep)
    assert r.returncode == 2 and 'do not match' in r.stderr

def test_full_disk(own, tmp_path):
    "A file system with no room left: /dev/full answers every write with ENOSPC."
    (tmp_path/'r').mkdir(); (tmp_path/'r'/'manifest.part').symlink_to('/dev/full')
    r = cli('catalog', '--run', tmp_path/'r', *own)
    assert r.returncode == 2 and 'disk is full' in r.stderr and 'Traceback' not in r.stderr, r.stderr

def test_ctrl_c_mid_train(own, tmp_path):
    cmd = [str(Path(sys.executable).parent/'embedding-search'), 'train', '--run', str(tmp_path/'r'), *map(str, own), '--set', 'train.batch_size=16',
           '--set', 'train.epochs=12', '--set', 'train.evals=12', '--set', 'train.bf16="no"']
    p = subprocess.Popen(cmd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    for _ in range(600):
        if list((tmp_path/'r').glob('checkpoints/*/checkpoint-*/trainer_state.json')): break
        time.sleep(.1); assert p.poll() is None, p.stderr.read()
    p.send_signal(signal.SIGINT)
    _, err = p.communicate(timeout=120)
    assert p.returncode == 130 and 'the same command goes on' in err, err[-500:]
    kept = max(int(c.name.split('-')[1]) for c in (tmp_path/'r').glob('checkpoints/*/checkpoint-*'))
    r = cli(*cmd[1:])
    assert r.returncode == 0 and r.stdout.count('skipped') == 5, r.stderr[-2000:]
    steps = json.loads((tmp_path/'r'/'train.json').read_text())['steps']
    assert steps < 12*8 and steps > 0 and kept > 0

def test_gate(run, files, own, tmp_path):
    must = write_csv(tmp_path/'must.csv', [('query','id'), ('new brake pads','00/0')])
    r = cli('gate', '--run', run, '--against', run, '--must-pass', must)
    assert r.returncode == 0 and 'passed: ' in r.stdout, r.stdout+r.stderr
    must = write_csv(tmp_path/'must.csv', [('query','id'), ('check radiator','00/0')])
    r = cli('gate', '--run', run, '--against', run, '--must-pass', must)
    assert r.returncode == 1 and "FAIL  must pass: 'check radiator'" in r.stdout and 'stopped: ' in r.stdout
    r = cli('gate', '--run', run, '--against', tmp_path)
    assert r.returncode == 2 and 'no finished run' in r.stderr and 'Traceback' not in r.stderr
    r = cli('gate', '--run', run, '--against', run, '--must-pass', write_csv(tmp_path/'must.csv', [('query','id'), ('oil','99/9')]))
    assert r.returncode == 2 and "row 2, column `id`: '99/9'" in r.stderr

def test_search_before_any_run(tmp_path):
    "Without a run, the search that comes with the package answers, and says so."
    r = cli('search', 'unlocked padlock', '-k', 2, cwd=tmp_path)
    assert r.returncode == 0 and 'lock-open' in r.stdout and 'no run yet' in r.stderr
    r = cli('search', 'x', '--run', tmp_path/'mine'); assert r.returncode == 2 and 'no finished index' in r.stderr

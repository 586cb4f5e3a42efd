"A toy catalog, and one run of it through the command line that the tests share."
import csv, os, subprocess, sys
from pathlib import Path
import pytest

os.environ.update(HF_HUB_OFFLINE='1', OMP_NUM_THREADS='2', OMP_WAIT_POLICY='PASSIVE', TOKENIZERS_PARALLELISM='false')
PARTS = ['brake pads','engine oil','air filter','timing belt','spark plugs','clutch','radiator','battery','tyres','wipers','exhaust','headlights']
ACTS = [('Replacement of {}','new {}'), ('Inspection of {}','check {}'), ('Repair of {}','fix {}'), ('Cleaning of {}','dirty {}')]
SMALL = ['--set','train.batch_size=16','--set','train.evals=1','--set','evaluate.resamples=100','--set','train.bf16="no"']

def cli(*args, **kwargs):
    "Run the installed command."
    return subprocess.run([str(Path(sys.executable).parent/'embedding-search'), *map(str, args)], capture_output=True, text=True, **kwargs)

def write_csv(path, rows):
    with open(path, 'w', newline='') as f: csv.writer(f).writerows(rows)
    return path

@pytest.fixture(scope='session')
def files(tmp_path_factory):
    "Catalog and queries as somebody would bring them."
    d = tmp_path_factory.mktemp('files')
    cat = [(f'{i:02}/{j}', t.format(p), p, q.format(p)) for j,(t,q) in enumerate(ACTS) for i,p in enumerate(PARTS)]
    write_csv(d/'my.csv', [('sku','name','group'), *(c[:3] for c in cat)])
    write_csv(d/'queries.csv', [('query','id'), *((q+x, i) for i,_,_,q in cat for x in ('',' please',' in my car'))])
    write_csv(d/'judged.csv', [('query','id'), *((f'{q} today', i) for i,_,_,q in cat)])
    return d

@pytest.fixture(scope='session')
def own(files):
    "Options that describe the toy catalog."
    return ['--catalog',files/'my.csv','--id','sku','--title','name','--category','group','--queries',files/'queries.csv','--judged',files/'judged.csv']

@pytest.fixture(scope='session')
def run(own, tmp_path_factory):
    "A finished run of the toy catalog."
    folder = tmp_path_factory.mktemp('runs')/'toy'
    r = cli('run', '--run', folder, *own, *SMALL, '--set', 'negatives.miner="base"')
    assert r.returncode == 0, r.stderr[-3000:]
    folder.with_suffix('.out').write_text(r.stdout)
    return folder

"The command line as a user meets it."
import errno
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from conftest import COMMAND, SMALL, cli, write_csv
from typer.testing import CliRunner

from embedding_search.cli import SIZES, app, error_message
from embedding_search.core import InputError
from embedding_search.pipeline import STAGES
from embedding_search.settings import Settings, override_settings

NAMES = [stage.name for stage in STAGES if stage.name != 'base_model'] # of a run that trains


def succeeds(*args, **kwargs):
    "Run a command that must end well."
    result = cli(*args, **kwargs)
    assert result.returncode == 0, result.stderr[-3000:]
    return result


def fails(*args, says, code=2, **kwargs):
    "Run a command that must end with a message."
    result = cli(*args, **kwargs)
    assert result.returncode == code, result.stderr[-3000:]
    assert says in result.stderr
    assert 'Traceback' not in result.stderr
    return result


def search(run, query, *args):
    "Hits of a query."
    output = succeeds('search', query, '--run', run, '--json', *args).stdout
    return [json.loads(line) for line in output.splitlines()]


# Help

def test_help_of_run_lists_stages_and_basic_settings():
    output = succeeds('run', '--help').stdout
    for name in NAMES: assert re.search(rf'^ +{name} +[A-Z]', output, re.M), name
    for name in ('seed +42', r'training\.epochs'): assert re.search(rf'^ +{name} +\S', output, re.M), name


def test_help_all_lists_every_setting():
    everything = succeeds('run', '--help-all').stdout
    basic = succeeds('run', '--help').stdout
    assert re.search(r'^gate\.slice_loss +0\.02 ', everything, re.M)
    assert 'generation.budget' in everything
    assert 'gate.slice_loss' not in basic


def test_size_is_short_for_settings():
    small = override_settings(Settings(), SIZES['small']).export
    assert (small.vocabulary, small.step) == ('used', .5)
    assert override_settings(Settings(), SIZES['full']) == Settings()


# A finished run

def test_run_prints_stages_and_results(run):
    output = run.with_suffix('.out').read_text()
    for name in NAMES: assert re.search(rf'^{name} +\d+ s', output, re.M), name
    assert re.search(r'^  base +\d', output, re.M)
    assert re.search(r'^  shipped .*\+?\d', output, re.M)
    for text in ('pairs/s', 'GiB', 'hard to beat'): assert text in output


def test_run_writes_a_report(run):
    assert '## eval queries, ' in (run / 'report.md').read_text().lower()
    page = (run / 'report.html').read_text()
    assert 'data:image/png' in page
    assert 'this search shows the right entry among the first five for' in page
    assert str(run) not in page # Whoever gets the report by mail does not see where it was made
    assert 'model-index' in (run / 'model' / 'README.md').read_text()


def test_manifest(run):
    manifest = json.loads((run / 'manifest.json').read_text())
    assert set(NAMES) <= set(manifest)
    assert manifest['seed'] == 42
    assert manifest['settings']['catalog']['id'] == 'sku'
    assert manifest['catalog']['counts']['rows'] == 48
    assert manifest['split']['counts']['train'] > 0
    assert all(manifest[name]['versions']['numpy'] for name in NAMES)


def test_finished_run_is_skipped(run):
    assert succeeds('run', '--run', run).stdout.count('unchanged, skipped') == len(NAMES)


def test_run_until_a_stage(run):
    output = succeeds('run', '--until', 'families', '--run', run).stdout
    assert output.count('skipped') == 2
    assert 'Recall' not in output


def test_search_prints_titles(run):
    output = succeeds('search', 'fix the radiator', '--run', run, '-k', 3).stdout
    assert 'Repair of radiator' in output.splitlines()[0]


def test_search_in_a_category(run):
    hits = search(run, 'new clutch', '--category', 'clutch')
    assert {hit['category'] for hit in hits} == {'clutch'}


def test_search_with_the_ngram_encoder(run):
    hits = search(run, 'fix the radiater', '--mode', 'ngram', '-k', 1)
    assert [hit['title'] for hit in hits] == ['Repair of radiator']


def loaded_packages(code):
    "List the large packages that some code imports."
    code += """
import sys
large = {'torch', 'transformers', 'sentence_transformers', 'datasets', 'pandas', 'optimum', 'fastapi', 'mcp'}
print(*large & set(sys.modules))"""
    return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout.split()


def test_search_needs_no_torch(run):
    load = f'from embedding_search.search.searcher import Searcher; Searcher.load({str(run)!r})'
    assert loaded_packages(f"{load}.search('x')") == []


def test_help_imports_no_large_package():
    assert loaded_packages('from embedding_search.cli import app') == []
    assert loaded_packages('import fastapi') == ['fastapi']


def test_truncated_model(run):
    graph = run / 'model' / 'onnx' / 'model_quantized.onnx'
    content = graph.read_bytes()
    graph.write_bytes(content[:5000])
    try: fails('search', 'x', '--run', run, says='do not match')
    finally: graph.write_bytes(content)


# Runs without training

@pytest.fixture(scope='module')
def bare(catalog, tmp_path_factory):
    "A run of a catalog without queries, and what it printed."
    folder = tmp_path_factory.mktemp('bare') / 'r'
    return folder, succeeds('run', '--run', folder, *catalog).stdout


def test_run_without_queries_asks_for_them(bare):
    run, output = bare
    assert 'no training queries' in output
    assert 'query,id' in output
    assert search(run, 'clutch repair', '-k', 1)[0]['title'] == 'Repair of clutch'


def test_search_without_ngram_encoder(bare):
    fails('search', 'clutch', '--run', bare[0], '--mode', 'ngram', says='no n-gram encoder')


def test_search_without_hits(bare):
    result = succeeds('search', 'zzz', '--run', bare[0], '--mode', 'keyword')
    assert 'try other words or --mode hybrid' in result.stderr


def test_learning_needs_a_finished_run(tmp_path):
    missing = tmp_path / 'missing'
    fails('learn', 'clicks.jsonl', '--run', missing, says='no finished index here')
    assert not missing.exists()


def test_gate_without_evaluation_queries(bare, tmp_path):
    compare = ['gate', '--run', bare[0], '--against', bare[0]]
    fails(*compare, says='give --must-pass FILE')
    must_pass = write_csv(tmp_path / 'must.csv', [('query', 'id'), ('repair of clutch', '05/2')])
    assert 'passed: ' in succeeds(*compare, '--must-pass', must_pass).stdout


def pin(*args):
    "Run `embedding-search pin` in this process."
    result = CliRunner().invoke(app, ['pin', *map(str, args)])
    if isinstance(result.exception, InputError): raise result.exception
    return result.output


def test_pins_of_a_file(bare, tmp_path):
    at = ['--run', bare[0]]
    pin('odd smell', '05/2', *at)
    more = write_csv(tmp_path / 'more.csv', [('query', 'id'), ('hot', '06/2'), ('ODD  smell', '05/0')])
    pin('--file', more, *at)
    assert pin('--list', *at) == "'ODD smell' → 05/0  Replacement of clutch\n'hot' → 06/2  Repair of radiator\n"
    with pytest.raises(InputError, match="no pin for 'hott'; did you mean hot"): pin('hott', '--remove', *at)
    assert pin('odd smell', '--remove', *at) == "'hot' → 06/2  Repair of radiator\n"
    assert pin('hot', '--remove', *at) == f'no pins in {bare[0]}\n'


@pytest.mark.parametrize('rows, says', [
    ([('hot', '06/2'), ('x', 'Z1'), ('y', '')], 'row 4, field `id`: empty'),
    ([('hot', '06/2'), ('x', 'Z1')], 'more.csv, row 3, field `id`'),
])
def test_bad_pins_change_nothing(rows, says, bare, tmp_path):
    more = write_csv(tmp_path / 'more.csv', [('query', 'id'), *rows])
    with pytest.raises(InputError, match=says): pin('--file', more, '--run', bare[0])
    with pytest.raises(InputError, match='give a query and an id'): pin('hot', '--run', bare[0])
    assert pin('--list', '--run', bare[0]) == f'no pins in {bare[0]}\n'


@pytest.mark.parametrize('damaged, recorded', [
    ('index/vectors.npy', 'index/index.json'),
    ('index/keyword/data.csc.index.npy', 'index/index.json'),
    ('model/onnx/model_quantized.onnx', 'model/onnx/sha256.json'),
])
def test_damaged_run_is_repaired_as_the_message_says(bare, damaged, recorded):
    run = bare[0]
    (run / damaged).write_bytes(b'cut off')
    repair = f'delete {run / recorded} and run embedding-search run --until index --run'
    fails('search', 'clutch', '--run', run, says=repair)
    (run / recorded).unlink()
    succeeds('run', '--until', 'index', '--run', run)
    assert search(run, 'clutch')


def test_evaluation_without_training(files, catalog, tmp_path):
    run = tmp_path / 'r'
    output = succeeds('run', '--run', run, *catalog, '--eval-queries', files / 'evaluation.csv',
                      '--set', 'search.dim=128', '--size', 'small').stdout
    assert re.search(r'^  shipped .*\d', output, re.M)
    assert 'fine-tuned' not in output
    manifest = json.loads((run / 'manifest.json').read_text())
    assert manifest['export']['counts']['model_quantized.onnx'] < 13


def test_odd_titles(tmp_path):
    titles = ['x' * 100_000, '🚗 broken 🔧', '<img src=x onerror=alert(1)>', 'тормоз']
    file = write_csv(tmp_path / 'odd.csv', [('id', 'title'), *enumerate(titles, 1)])
    succeeds('run', '--run', tmp_path / 'r', '--catalog', file)
    hits = search(tmp_path / 'r', '🚗')
    assert {hit['id'] for hit in hits} == set('1234')
    assert max(len(hit['title']) for hit in hits) == 1000


def test_one_title(tmp_path):
    file = write_csv(tmp_path / 'one.csv', [('id', 'title'), ('1', 'only')])
    succeeds('run', '--run', tmp_path / 'r', '--catalog', file)
    queries = write_csv(tmp_path / 'q.csv', [('query', 'id'), ('lonely', '1'), ('sole', '1')])
    output = succeeds('run', '--run', tmp_path / 'r2', '--catalog', file, '--queries', queries, *SMALL).stdout
    assert 'hard to beat' in output
    assert 'no test queries are left' in output


# Search before any run, and the page

def test_search_before_any_run_uses_the_sample(tmp_path):
    result = succeeds('search', 'unlocked padlock', '-k', 2, cwd=tmp_path)
    assert 'lock-open' in result.stdout
    assert 'no run yet' in result.stderr


def test_search_of_a_named_run_that_does_not_exist(tmp_path):
    fails('search', 'x', '--run', tmp_path / 'mine', says='no finished index')


def test_site_does_not_overwrite_a_folder(catalog, tmp_path):
    mine = tmp_path / 'mine'
    (mine / 'assets').mkdir(parents=True)
    (mine / 'index.html').write_text('mine')
    fails('site', '--run', tmp_path / 'r', *catalog, '--out', mine, says='not a site and not empty')
    assert (mine / 'assets').exists()
    assert (mine / 'index.html').read_text() == 'mine'


def test_site_is_built_twice(catalog, tmp_path):
    build = ['site', '--run', tmp_path / 'r', '--out', tmp_path / 'new']
    assert '--serve' in succeeds(*build, *catalog).stdout
    succeeds(*build)


# Mistakes of the user

@pytest.mark.parametrize('content, says', [
    ('', 'bad.csv'),
    ('id,title\n', 'bad.csv'),
    ('id,titel\n1,x\n', 'titel'),
    ('id,title\n1,x\n1,y\n', 'row 3'),
    ('id,title\n1,\n', 'title'),
    ('id,title\n,x\n', 'row 2'),
    ('id,title\n1,x,y\n', 'row 2'),
    ('id,title\n1,"x\n', 'bad.csv'),
    ('id,title\n1,a\0b\n', 'row 2'),
    (b'id,title\n1,\xff\xfe\n', 'bad.csv'),
])
def test_bad_catalog(content, says, tmp_path):
    file = tmp_path / 'bad.csv'
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    result = fails('run', '--run', tmp_path / 'r', '--catalog', file, says=says)
    assert result.stderr.startswith('error: ')


def test_bad_queries(catalog, tmp_path):
    file = write_csv(tmp_path / 'q.csv', [('query', 'id'), ('a', 'nope'), ('b', 'never')])
    result = fails('queries', '--run', tmp_path / 'r', *catalog, '--queries', file, says='nope')
    assert 'q.csv' in result.stderr


@pytest.mark.parametrize('args, says', [
    ('run --settings absent.toml', 'absent.toml'),
    ('run --settings .', 'give a TOML file'),
    ('run --id sku', '--catalog'),
    ('run', '--catalog FILE'),
    ('run --catalog .', 'give one file'),
    ('run --until family', 'did you mean families?'),
    ('run --set training.epochs=two', 'training.epochs'),
    ('run --set training.epoch=2', 'training has: base, max_pairs, epochs'),
    ('run --size tiny', 'full or small'),
    ('queries --max-titles=-1', 'setting generation.max_titles: '),
    ('gate --run nowhere --against nowhere', 'run --run nowhere makes one'),
    ('search x -k 0', '-k'),
    ('search x --run nowhere', 'run --run nowhere'),
    ('serve --run nowhere --port 0', 'nowhere'),
    ('pin --list --run nowhere', 'no catalog here'),
    ('pin --list --store nowhere', 'no index store here'),
    ('nonsense', 'nonsense'),
])
def test_bad_options(args, says, tmp_path):
    fails(*args.split(), says=says, cwd=tmp_path)
    assert not (tmp_path / 'nowhere').exists()


@pytest.mark.parametrize('base, says', [('nobody/nothing', 'could not be loaded'), ('{folder}', 'safetensors')])
def test_bad_base_model(base, says, catalog, tmp_path):
    fails('run', '--run', tmp_path / 'r', *catalog, '--base', base.format(folder=tmp_path), says=says)


# The gate

def test_gate_compares_with_itself(run, tmp_path):
    must_pass = write_csv(tmp_path / 'must.csv', [('query', 'id'), ('new brake pads', '00/0')])
    output = succeeds('gate', '--run', run, '--against', run, '--must-pass', must_pass).stdout
    assert 'passed: ' in output


def test_gate_fails_for_a_query_that_must_pass(run, tmp_path):
    must_pass = write_csv(tmp_path / 'must.csv', [('query', 'id'), ('check radiator', '00/0')])
    result = fails('gate', '--run', run, '--against', run, '--must-pass', must_pass, says='', code=1)
    assert "FAIL  must pass: 'check radiator'" in result.stdout
    assert 'stopped: ' in result.stdout


def test_gate_needs_a_finished_run(run, tmp_path):
    fails('gate', '--run', run, '--against', tmp_path, says='no finished run')


def test_gate_needs_ids_of_the_catalog(run, tmp_path):
    must_pass = write_csv(tmp_path / 'must.csv', [('query', 'id'), ('oil', '99/9')])
    fails('gate', '--run', run, '--against', run, '--must-pass', must_pass, says="row 2, column `id`: '99/9'")


# Faults of the machine

@pytest.mark.parametrize('error, says', [
    (ModuleNotFoundError(name='embedding_search.none'), ''),
    (ModuleNotFoundError(name='torch.none'), ''),
    (ModuleNotFoundError(), ''),
    (ModuleNotFoundError(name='py3langid'), "pip install 'embedding_search[generate]'"),
    (ModuleNotFoundError(name='torch'), "pip install 'embedding_search[train]'"),
    (OSError(errno.ENOSPC, 'No space left on device'), 'the disk is full: free some space'),
    (OSError('no file named'), ''),
])
def test_error_messages(error, says):
    message = error_message(error)
    assert says in message
    assert bool(message) == bool(says)


def test_run_folder_that_cannot_be_written(catalog, files, tmp_path):
    fails('run', '--run', files / 'my.csv' / 'r', *catalog, says='run folder cannot be')
    (tmp_path / 'catalog.jsonl').mkdir()
    fails('run', '--until', 'catalog', '--run', tmp_path, *catalog, says='check path and permissions')


def test_missing_package(bare):
    code = "import sys; sys.modules['fastapi'] = None; from embedding_search.cli import main; main()"
    command = [sys.executable, '-c', code, 'serve', '--run', str(bare[0])]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 2
    assert "pip install 'embedding_search[serve]'" in result.stderr


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='needs /dev/full, which answers every write with ENOSPC')
def test_full_disk(catalog, tmp_path):
    code = f"""import os, sys
os.makedirs({str(tmp_path / 'r')!r})
os.symlink('/dev/full', f'{tmp_path / 'r'}/.manifest.json.{{os.getpid()}}.part')
from embedding_search.cli import main
main()"""
    command = [sys.executable, '-c', code, 'run', '--until', 'catalog', '--run', tmp_path / 'r', *catalog]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert result.returncode == 2
    assert 'disk is full' in result.stderr
    assert 'Traceback' not in result.stderr


def wait_for_checkpoint(process, run):
    for _ in range(600):
        if list(run.glob('checkpoints/*/checkpoint-*/trainer_state.json')): return
        time.sleep(.1)
        assert process.poll() is None, process.stderr.read()


@pytest.mark.skipif(sys.platform == 'win32', reason='sends SIGINT')
def test_ctrl_c_while_training(own, tmp_path):
    run = tmp_path / 'r'
    args = ['run', '--until', 'training', '--run', run, *own, *SMALL, '--set', 'training.epochs=6',
            '--set', 'training.evals=6']
    process = subprocess.Popen([COMMAND, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    wait_for_checkpoint(process, run)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130
    assert 'the same command goes on' in stderr
    kept = max(int(path.name.split('-')[1]) for path in run.glob('checkpoints/*/checkpoint-*'))
    assert kept > 0

    assert succeeds(*args).stdout.count('skipped') == NAMES.index('training')
    steps = json.loads((run / 'training.json').read_text())['steps']
    assert 0 < steps < 6 * 8

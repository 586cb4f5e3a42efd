"Read a search log with the command line: what is trained on, what is held out, what is refused."
import json
import re
import shutil
from pathlib import Path

import pytest
from conftest import ACTS, PARTS, cli

from embedding_search.search.service import HotSwapSearcher


def event(query, shown, picked, time, session):
    return dict(query=query, shown=shown, picked=picked, time=time, session=session, version='1')


@pytest.fixture
def log(tmp_path):
    "A log of the toy catalog, with a bot, an email address and two queries that were reworded."
    events = []
    for turn in range(2):
        for act, (_, query) in enumerate(ACTS):
            for number, part in enumerate(PARTS):
                id = f'{number:02}/{act}'
                events.append(event(f'{query.format(part)} asap', ['11/3', id], id, 100 * turn + 10 * act + number,
                                    f's{turn}{number}{act}'))
    events += [event(f'x{k}', ['00/0'], '00/0', 500 + k / 10, 'bot') for k in range(30)]
    events.append(event('ann@mail.example new clutch', ['05/0'], '05/0', 600, 'p'))
    for session, time in (('c', 610), ('d', 660)):
        events.append(event('neue kupplung', ['00/0'], None, time, session))
        events.append(event('new clutch please', ['05/0'], '05/0', time + 30, session))
    path = tmp_path / 'events.jsonl'
    path.write_text(''.join(json.dumps(event) + '\n' for event in events))
    return path


def read_jsonl(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def run_with_log(own, log, tmp_path):
    "A run after `embedding-search logs`, and the counts that it printed."
    result = cli('logs', log, '--run', tmp_path / 'run', *own, '--set', 'logs.held=.1')
    assert result.returncode == 0, result.stderr
    counts = {line.split()[0]: line.split()[-1] for line in result.stdout.splitlines() if line.startswith('  ')}
    return tmp_path / 'run', counts


def test_bots_and_personal_data_are_dropped(run_with_log):
    run, counts = run_with_log
    assert counts['bot'] == '30'
    assert counts['personal'] == '1'
    text = (run / 'log_pairs.jsonl').read_text()
    assert 'asap' in text
    assert 'mail' not in text
    assert '"x1"' not in text


def test_newest_searches_are_held_out(run_with_log):
    run, _ = run_with_log
    result = cli('run', '--until', 'negatives', '--run', run) # The run remembers its log
    assert result.returncode == 0, result.stderr
    split = json.loads((run / 'split.json').read_text())
    newest = {record['query'] for record in split['newest_searches']}
    heldout = {record['query'] for record in read_jsonl(run / 'heldout_searches.jsonl')}
    trained = {pair['query'] for pair in split['train']}
    assert newest
    assert newest <= heldout
    assert not heldout & trained
    assert any('asap' in query for query in trained)


def test_skipped_results_replace_mined_negatives(own, log, tmp_path):
    run = tmp_path / 'run'
    result = cli('run', '--until', 'negatives', '--run', run, *own, '--set', f'logs.file="{log}"',
                 '--set', 'negatives.miner="random"', '--set', 'split.heldout_titles=.05')
    assert result.returncode == 0, result.stderr
    family_of = json.loads((run / 'families.json').read_text())['family']
    split = json.loads((run / 'split.json').read_text())
    heldout = {family_of[id] for query in split['heldout_titles'] for id in query['ids']}
    skipped = family_of['11/3']
    negatives = [group['negatives'] for group in read_jsonl(run / 'training_pairs.jsonl')
                 if 'asap' in group['query'] and family_of[group['id']] != skipped]
    assert negatives
    if skipped in heldout: assert ['11/3'] not in negatives
    else: assert negatives.count(['11/3']) > len(negatives) / 2


@pytest.mark.parametrize('text, says', [
    ('', 'bad.jsonl'),
    ('{"query": "a"}\n', 'shown'),
    ('{"query": "a", "shown": ["1"], "time": "soon", "session": "s"}\n', "'soon'"),
    ('{"query": "a", "shown": ["9"], "picked": "9", "time": 1, "session": "s"}\n', 'no pick of a catalog entry'),
    ('{"query"', 'row 1'),
])
def test_bad_logs(text, says, own, tmp_path):
    (tmp_path / 'bad.jsonl').write_text(text)
    result = cli('logs', tmp_path / 'bad.jsonl', '--run', tmp_path / 'run', *own)
    assert result.returncode == 2
    assert says in result.stderr
    assert 'Traceback' not in result.stderr


def test_pairs_need_a_run(tmp_path):
    result = cli('pairs', tmp_path / 'x.jsonl', '--run', tmp_path / 'none')
    assert result.returncode == 2
    assert 'embedding-search run --until negatives' in result.stderr


def test_learning_from_clicks_updates_run_page_and_service(run, log, tmp_path):
    mine = Path(shutil.copytree(run, tmp_path / 'mine'))
    assert cli('site', '--run', mine).returncode == 0
    assert cli('pin', 'odd noise', '06/2', '--run', mine).returncode == 0
    graph = (mine / 'model' / 'onnx' / 'model_quantized.onnx').read_bytes()
    current = HotSwapSearcher(mine)
    result = cli('learn', log, '--run', mine, '--store', tmp_path / 'store')
    assert result.returncode == 0, result.stdout + result.stderr
    assert '0 of 48 titles encoded, 48 copied from the run' in result.stdout
    assert re.search(r'^learning from \d+ new training queries', result.stdout)
    megabytes = re.search(r'a returning visitor downloads ([\d.]+) MB \((.*)\)', result.stdout)
    assert 0 < float(megabytes[1]) < 5
    changed = {part.split()[0] for part in megabytes[2].split(', ')}
    assert {'table', 'vectors', 'pins'} <= changed <= {'table', 'vectors', 'pins', 'axes', 'vectors_more'}
    assert re.search(r'^\d+ s$', result.stdout, re.M)

    assert current.refresh()
    assert current.searcher.search('odd noise', 1)[0]['id'] == '06/2'
    assert (mine / 'model' / 'onnx' / 'model_quantized.onnx').read_bytes() == graph
    assert any(query['query'].endswith('asap') for query in read_jsonl(mine / 'clicks.jsonl'))
    assert sorted(path.name for path in tmp_path.iterdir()) == ['events.jsonl', 'mine', 'mine.previous', 'store']


def test_learning_that_the_gate_refuses_changes_nothing(run, log, tmp_path):
    mine = Path(shutil.copytree(run, tmp_path / 'mine'))
    (tmp_path / 'must.csv').write_text('query,id\nwarm waffles,00/0\n')
    manifest = json.loads((mine / 'manifest.json').read_text())
    manifest['settings']['gate'] |= dict(must_pass=str(tmp_path / 'must.csv'), must_rank=1)
    (mine / 'manifest.json').write_text(json.dumps(manifest))
    before = {path: path.read_bytes() for path in mine.rglob('*') if path.is_file()}
    result = cli('learn', log, '--run', mine)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "must pass: 'warm waffles'" in result.stdout
    assert 'the run stays as it was' in result.stdout
    assert {path: path.read_bytes() for path in mine.rglob('*') if path.is_file()} == before

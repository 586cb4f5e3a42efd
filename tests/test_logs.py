"A search log through the command line: what is learnt, what is held out, what is refused."
import json
import pytest
from conftest import ACTS, PARTS, cli

def event(query, shown, picked, time, session): return dict(query=query, shown=shown, picked=picked, time=time, session=session, version='1')

@pytest.fixture
def log(tmp_path):
    events = [event(f'{q.format(p)} asap', ['11/3', f'{i:02}/{j}'], f'{i:02}/{j}', 100*n+10*j+i, f's{n}{i}{j}') for n in range(2) for j,(_,q) in enumerate(ACTS) for i,p in enumerate(PARTS)]
    events += [event(f'x{k}', ['00/0'], '00/0', 500+k/10, 'bot') for k in range(30)] + [event('ann@mail.example new clutch', ['05/0'], '05/0', 600, 'p')]
    events += [event('neue kupplung', ['00/0'], None, 610, 'c'), event('new clutch please', ['05/0'], '05/0', 640, 'c'), event('neue kupplung', ['00/0'], None, 660, 'd'), event('new clutch please', ['05/0'], '05/0', 690, 'd')]
    f = tmp_path/'events.jsonl'
    f.write_text(''.join(json.dumps(e)+'\n' for e in events))
    return f

def lines(path): return [json.loads(l) for l in path.read_text().splitlines()]

def test_log_into_a_run(own, log, tmp_path):
    run = tmp_path/'r'
    r = cli('logs', log, '--run', run, *own, '--set', 'logs.held=.1')
    assert r.returncode == 0, r.stderr
    told = {l.split()[0]: l.split()[-1] for l in r.stdout.splitlines() if l.startswith('  ')}
    assert (told['bot'], told['personal']) == ('30', '1')
    text = (run/'logged.jsonl').read_text()
    assert 'mail' not in text and '"x1"' not in text and 'asap' in text
    assert cli('negatives', '--run', run).returncode == 0    # the run knows its log
    parts = json.loads((run/'split.json').read_text())
    held = {x['query'] for x in lines(run/'held.jsonl')}
    assert parts['newest'] and {x['query'] for x in parts['newest']} <= held and not held & {p['query'] for p in parts['train']}
    assert any('asap' in p['query'] for p in parts['train'])

def test_weak_negatives_take_the_place_of_mined_ones(own, log, tmp_path):
    r = cli('negatives', '--run', tmp_path/'r', *own, '--set', f'logs.file="{log}"', '--set', 'negatives.miner="random"', '--set', 'split.unseen=.05')
    assert r.returncode == 0, r.stderr
    groups = [g for g in lines(tmp_path/'r'/'groups.jsonl') if 'asap' in g['query'] and not g['id'].endswith('/3')]
    family = json.loads((tmp_path/'r'/'families.json').read_text())['family']
    held = {family[i] for x in json.loads((tmp_path/'r'/'split.json').read_text())['unseen'] for i in x['ids']}
    if family['11/3'] not in held: assert sum(g['negatives'] == ['11/3'] for g in groups if family[g['id']] != family['11/3']) > len(groups)/2
    else: assert not any('11/3' in g['negatives'] for g in groups)

@pytest.mark.parametrize('text, says', [
    ('', 'bad.jsonl'), ('{"query": "a"}\n', 'shown'), ('{"query": "a", "shown": ["1"], "time": "soon", "session": "s"}\n', "'soon'"),
    ('{"query": "a", "shown": ["9"], "picked": "9", "time": 1, "session": "s"}\n', 'no pick of a catalog entry'), ('{"query"', 'row 1')])
def test_bad_logs(text, says, own, tmp_path):
    (tmp_path/'bad.jsonl').write_text(text)
    r = cli('logs', tmp_path/'bad.jsonl', '--run', tmp_path/'r', *own)
    assert r.returncode == 2 and says in r.stderr and 'Traceback' not in r.stderr, r.stderr

def test_pairs_need_a_run(tmp_path):
    r = cli('pairs', tmp_path/'x.jsonl', '--run', tmp_path/'none')
    assert r.returncode == 2 and 'embedding-search negatives' in r.stderr

"Having queries written, through the real command and the real SDK, at a server that speaks the wire format of the API."
import csv, json, os, re, signal, subprocess, sys, time
from collections import Counter
from pathlib import Path
import pytest
from conftest import cli, write_csv
from standin import KEY, Standin

DATA = Path(__file__).parent.parent/'data'
QUICK = [x for k,v in dict(wait=.01, poll=.1, settle=.5, timeout=5, round_trip='false', retries=8).items() for x in ('--set', f'generate.{k}={v}')]
NO_KEY = {k: v for k,v in os.environ.items() if not k.startswith('ANTHROPIC')}

def ask(run, server, *args, **kwargs): return cli('queries', '--run', run, *QUICK, *args, env=NO_KEY | (server.env if server else {}), **kwargs)
def mdi(): return ['--catalog', DATA/'mdi'/'catalog.csv.gz', '--category', 'category']
def ledger(run): return [json.loads(l) for l in (run/'generated'/'ledger.jsonl').read_text().splitlines() if l.endswith('}')]
def spent(run): return sum({r['ask']: r['cost'] for r in ledger(run) if r['do'] == 'end'}.values())
def rows(path): return list(csv.DictReader(open(path, encoding='utf-8')))

def kill_when(run, server, args, ready, within=60):
    "Start the command, kill -9 it once `ready` says so, and wait until its ledger is free."
    p = subprocess.Popen([str(Path(sys.executable).parent/'embedding-search'), 'queries', '--run', str(run), *map(str, args), *QUICK],
                         env=NO_KEY | server.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    end = time.time()+within
    while not ready():
        assert time.time() < end and p.poll() is None, p.communicate()[0][-2000:]
        time.sleep(.02)
    p.send_signal(signal.SIGKILL); p.wait()

def lines(run, kind):
    f = run/'generated'/'ledger.jsonl'
    return f.read_bytes().count(b'{"do": "%s"' % kind.encode()) if f.exists() else 0

def test_five_hundred_titles_in_batches(tmp_path):
    "5% malformed, 3% failing inside the service and one call in ten at its door, one expired batch, two kill -9: every title once, equal bills, budget kept."
    run, args = tmp_path/'r', [*mdi(), '--max-titles', 500, '--mode', 'batch', '--budget', .6, '--set', 'generate.per_request=1', '--set', 'generate.batch_size=120', '--set', 'generate.tries=6']
    with Standin(malformed=.05, http=.1, statuses=[500, 503, 529], errored=.03, expire=[1], line_delay=.01, batch_time=.5) as s:
        kill_when(run, s, args, lambda: s.state()['batches'] >= 2)                      # while batches are posted
        assert not lines(run, 'end')
        kill_when(run, s, args, lambda: lines(run, 'end') > 150)                        # while results stream in
        before = lines(run, 'end')
        r = ask(run, s, *args)
        assert r.returncode == 0, r.stderr[-2000:]
        seen, dollars = s.state(), s.dollars
    answered = Counter(k for x in ledger(run) if x['do'] == 'end' for k in x.get('answers', {}))
    assert before > 150 and len(answered) == 500 and set(answered.values()) == {1}
    assert seen['expired'] == 120 and seen['malformed'] > 10 and seen['errored'] + seen['http_faults'] > 5
    assert sum(seen['titles'].values()) == seen['batch_requests'] == 500+seen['malformed']    # paid again: the malformed ones, nothing else
    assert abs(spent(run)-dollars) < 1e-9 and dollars <= .6
    assert len({x['id'] for x in rows(run/'generated'/'queries.csv')}) == 500
    assert f'spent ${dollars:.4f}' in r.stdout

def test_messages_killed(tmp_path):
    "Of single messages at most those in flight are paid twice, and they are counted."
    run, args = tmp_path/'r', [*mdi(), '--max-titles', 60, '--mode', 'messages', '--set', 'generate.per_request=2']
    with Standin(slow=.3) as s:
        kill_when(run, s, args, lambda: lines(run, 'end') >= 8)
        r = ask(run, s, *args)
        seen, dollars = s.state(), s.dollars
    assert r.returncode == 0, r.stderr
    twice = [t for t,n in seen['titles'].items() if n > 1]
    lost = [x for x in ledger(run) if x['do'] == 'end' and x['how'] == 'lost']
    assert len(seen['titles']) == 60 and len(twice) <= 2*4 and 0 < len(lost) <= 4 and len(twice) <= 2*len(lost)
    assert dollars <= spent(run) and 'counted at their worst' in r.stdout

def test_budget_and_growth(tmp_path):
    run = tmp_path/'r'
    with Standin() as s:
        r = ask(run, s, *mdi(), '--max-titles', 200, '--budget', .01, '--mode', 'messages')
        assert r.returncode == 0 and 'raise it (--budget)' in r.stdout and s.dollars <= spent(run)+1e-12 <= .01
        first = s.state()['titles']
        r = ask(run, s, '--max-titles', 200, '--budget', 1)
        assert r.returncode == 0 and '200 of 200 titles' in r.stdout
        assert set(s.state()['titles'].values()) == {1} and set(first) < set(s.state()['titles'])
        assert ask(run, s, '--max-titles', 200).returncode == 0 and sum(s.state()['titles'].values()) == 200

def test_before_spending(tmp_path):
    run = tmp_path/'r'
    r = ask(run, None, *mdi(), '--dry-run', '--max-titles', 7, '--domain', 'Icons, searched by designers.')
    assert r.returncode == 0 and 'Icons, searched by designers.' in r.stdout and '"ref"' in r.stdout and '7 to ask for' in r.stdout and 'at most $' in r.stdout
    with Standin() as s:
        r = ask(run, s, *mdi(), '--preview', 5)
        assert r.returncode == 0 and len(s.state()['titles']) == 5 and r.stdout.count('keyword') >= 5
        assert not (run/'generated'/'queries.csv').exists()
        assert ask(run, s, *mdi(), '--max-titles', 5).returncode == 0 and sum(s.state()['titles'].values()) == 5   # the preview was kept

def test_evaluation_set_is_never_trained_on(tmp_path):
    with Standin() as s: r = ask(tmp_path/'r', s, *mdi(), '--evaluation', 10)
    f = tmp_path/'r'/'generated'/'evaluation.csv'
    assert r.returncode == 0 and {x['use'] for x in rows(f)} == {'never-train'} and not (tmp_path/'r'/'generated'/'queries.csv').exists()
    r = cli('queries', '--run', tmp_path/'q', *mdi(), '--queries', f)
    assert r.returncode == 2 and 'never-train' in r.stderr and '--judged' in r.stderr
    assert cli('queries', '--run', tmp_path/'q', *mdi(), '--judged', f).returncode == 0

def test_hard_cases_become_negatives(files, tmp_path):
    own, run = ['--catalog', files/'my.csv', '--id', 'sku', '--title', 'name', '--category', 'group'], tmp_path/'r'
    with Standin() as s:
        assert ask(run, s, *own, '--max-titles', 0).returncode == 0
        assert ask(run, s, *own, '--hard', 12).returncode == 0    # queries are up to date, and are read again for these
    hard = {(x['query'], x['id']): x['negatives'] for x in map(json.loads, (run/'generated'/'negatives.jsonl').read_text().splitlines())}
    r = cli('negatives', '--run', run, '--set', 'negatives.miner="random"')
    assert r.returncode == 0, r.stderr
    groups = {(g['query'], g['id']): g['negatives'] for g in map(json.loads, (run/'groups.jsonl').read_text().splitlines())}
    used = [k for k in hard if k in groups]
    assert used and all(groups[k] == hard[k] for k in used if set(hard[k]) & {i for g in groups for i in [g[1]]})
    for form in ('pairs','triplets','lists'): assert cli('pairs', tmp_path/f'{form}.jsonl', '--run', run, '--form', form).returncode == 0
    assert set(json.loads((tmp_path/'triplets.jsonl').read_text().splitlines()[0])) == {'anchor','positive','negative'}

def test_without_a_key(files, tmp_path):
    own, run = ['--catalog', files/'my.csv', '--id', 'sku', '--title', 'name', '--category', 'group'], tmp_path/'r'
    r = ask(run, None, *own)
    assert r.returncode == 2 and 'ANTHROPIC_API_KEY' in r.stderr and '--to-prompts' in r.stderr and 'Traceback' not in r.stderr
    assert ask(run, None, *own, '--to-prompts', tmp_path/'p').returncode == 0
    (tmp_path/'a').mkdir(); (tmp_path/'a'/'other.txt').write_text('{"titles": [{"ref": "ffffffff", "queries": []}]}')
    r = ask(run, None, *own, '--from-answers', tmp_path/'a'); assert r.returncode == 2 and 'all other options unchanged' in r.stderr
    for f in sorted((tmp_path/'p').iterdir()):
        items = [json.loads(l) for l in f.read_text().splitlines() if l.startswith('{"ref": "') and not l.startswith('{"titles')]
        reply = dict(titles=[dict(ref=x['ref'], queries=[dict(style='keyword', query=f"{x['title']} {w}") for w in 'abcdefghijkl']) for x in items if '...' not in x['ref']])
        (tmp_path/'a'/f.name.replace('prompt', 'reply')).write_text(f'Sure!\n```json\n{json.dumps(reply)}\n```')
    r = ask(run, None, *own, '--from-answers', tmp_path/'a')
    assert r.returncode == 0 and 'queries for 12 of 12 titles' in r.stdout, r.stdout+r.stderr
    assert len(rows(run/'generated'/'queries.csv')) == 12*12
    r = cli('split', '--run', run, *own)
    assert r.returncode == 0 and 'no training queries' not in r.stdout    # the catalog named again: its written queries are found

@pytest.mark.parametrize('args, says', [
    (['--prompt','absent.txt'], 'absent.txt'), (['--budget','-1'], 'budget'), (['--model','claude-none'], "no price for 'claude-none'"), (['--from-answers','nowhere'], 'nowhere'),
    (['--set','generate.styles={poem=1}'], "'poem'"), (['--mode','bulk'], 'mode'), (['--prompt','LONG'], 'too long')])
def test_bad_settings(args, says, files, tmp_path):
    (tmp_path/'long.txt').write_text('x'*120_000)
    args = [tmp_path/'long.txt' if a == 'LONG' else a for a in args]
    with Standin() as s:
        r = ask(tmp_path/'r', s, '--catalog', files/'my.csv', '--id', 'sku', '--title', 'name', *args)
        assert r.returncode == 2 and says in r.stderr and 'Traceback' not in r.stderr, r.stderr
        assert s.state()['nano'] == 0

@pytest.mark.parametrize('mode, conf, says', [
    ('messages', dict(http=1, statuses=[529]), '529'), ('messages', dict(stall=1), 'could not be reached'), ('messages', dict(cut=1), 'could not be reached'), ('messages', dict(malformed=1), 'no readable JSON'),
    ('batch', dict(http=1, statuses=[400]), '400'), ('batch', dict(refused=1), 'the model refused'), ('batch', dict(truncated=1), 'cut off after')])
def test_every_fault_leaves_a_sound_ledger(mode, conf, says, files, tmp_path):
    "One clear sentence, no traceback, no key; and when the fault is over, the same command finishes."
    own, few = ['--catalog', files/'my.csv', '--id', 'sku', '--title', 'name', '--max-titles', 4, '--mode', mode], ['--set','generate.retries=1','--set','generate.timeout=.3','--set','generate.tries=2']
    with Standin(echo_key=True) as s:
        s.configure(**conf)
        r = ask(tmp_path/'r', s, *own, *few)
        text = r.stdout+r.stderr+''.join(f.read_text() for f in (tmp_path/'r').rglob('*') if f.is_file() and f.suffix in ('.jsonl','.json','.md'))
        assert says in text and 'Traceback' not in text and KEY not in text, text[-3000:]
        s.configure(**{k: 0 for k in conf if k != 'statuses'})
        r = ask(tmp_path/'r', s, *own, '--set', 'generate.tries=9')
        assert r.returncode == 0 and '4 of 4 titles' in r.stdout and s.dollars <= spent(tmp_path/'r')+1e-12, r.stdout+r.stderr

def test_wrong_key(files, tmp_path):
    with Standin(echo_key=True) as s:
        s.env['ANTHROPIC_API_KEY'] = 'sk-ant-wrong'
        r = ask(tmp_path/'r', s, '--catalog', files/'my.csv', '--id', 'sku', '--title', 'name')
    assert r.returncode == 2 and '401' in r.stderr and 'sk-ant' not in r.stdout+r.stderr and 'Traceback' not in r.stderr

def test_two_at_once(files, tmp_path):
    import fcntl
    (tmp_path/'r'/'generated').mkdir(parents=True)
    with Standin() as s, open(tmp_path/'r'/'generated'/'ledger.jsonl', 'w') as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        r = ask(tmp_path/'r', s, '--catalog', files/'my.csv', '--id', 'sku', '--title', 'name')
    assert r.returncode == 2 and 'another process' in r.stderr

@pytest.mark.parametrize('mode', ['batch','messages'])
def test_ctrl_c(mode, tmp_path):
    "A posted batch goes on at the service; of single messages those in flight are kept, and no other is sent."
    run = tmp_path/'r'
    with Standin(batch_time=600, slow=.2) as s:
        p = subprocess.Popen([str(Path(sys.executable).parent/'embedding-search'), 'queries', '--run', str(run), *map(str, mdi()), '--max-titles', '100', '--mode', mode, *QUICK, '--set', 'generate.per_request=1'],
                             env=NO_KEY | s.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
        for _ in range(1200):
            if lines(run, 'posted') or lines(run, 'end') >= 5: break
            time.sleep(.05); assert p.poll() is None, p.stderr.read()
        p.send_signal(signal.SIGINT)
        _, err = p.communicate(timeout=30)
        assert p.returncode in (130, -signal.SIGINT) and 'picks it up' in err, err
        seen = s.state()
        assert seen['batches'] == 1 if mode == 'batch' else 5 <= seen['messages'] < 50 and lines(run, 'end') == lines(run, 'ask')

def test_many_languages(tmp_path):
    "Six languages in four scripts: prompts, screen, training queries, keyword and hybrid search."
    run = tmp_path/'r'
    own = ['--catalog', DATA/'countries'/'catalog.csv.gz', '--category', 'category']
    with Standin() as s: r = ask(run, s, *own, '--max-titles', 0, '--set', 'generate.queries=8')
    assert r.returncode == 0 and '0 queries' not in r.stdout, r.stdout+r.stderr
    kept = rows(run/'generated'/'queries.csv')
    assert any(re.search('[а-я]{4}', x['query']) for x in kept) and any(re.search('[ァ-ヴ]{3}', x['query']) for x in kept)
    r = cli('index', '--run', run, *own, '--set', 'train.max_pairs=320', '--set', 'train.batch_size=32', '--set', 'train.evals=1', '--set', 'train.bf16="no"')
    assert r.returncode == 0, r.stderr[-2000:]
    for q,want in (('Urlaub in Österreich', 'AT-de'), ('отпуск Япония', 'JP-ru'), ('フランス 旅行', 'FR-ja'), ('vacaciones en España', 'ES-es')):
        hits = [json.loads(l)['id'] for l in cli('search', q, '--run', run, '--json', '-k', 5).stdout.splitlines()]
        assert want in hits, (q, hits)

def test_other_catalog(tmp_path):
    "Icon names with people's aliases as a query file: nothing here knows of another catalog."
    import gzip, io
    read = lambda f: list(csv.DictReader(io.TextIOWrapper(gzip.open(DATA/'mdi'/f), encoding='utf-8')))
    part = read('catalog.csv.gz')[:300]
    ids = {r['id'] for r in part}
    write_csv(tmp_path/'c.csv', [('id','title','category'), *(tuple(r.values()) for r in part)])
    write_csv(tmp_path/'q.csv', [('query','id'), *((r['query'], r['id']) for r in read('human.csv.gz') if r['id'] in ids)])
    r = cli('run', '--run', tmp_path/'r', '--catalog', tmp_path/'c.csv', '--category', 'category', '--queries', tmp_path/'q.csv', '--set', 'train.batch_size=32', '--set', 'train.evals=1',
            '--set', 'evaluate.resamples=100', '--set', 'train.bf16="no"', '--set', 'augment.share=.2')
    assert r.returncode == 0, r.stderr[-2000:]
    assert 'unseen titles' in (tmp_path/'r'/'report.md').read_text()
    assert 'account-group' in cli('search', 'group of people', '--run', tmp_path/'r', '--json').stdout

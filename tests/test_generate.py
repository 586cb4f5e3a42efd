"Generate queries with the real command and the real SDK, at a stand-in for the API."
import csv
import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from contextlib import closing
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import cli, write_csv
from filelock import FileLock
from pydantic import ValidationError
from standin import KEY, Standin

from embedding_search.core import InputError
from embedding_search.data import generation
from embedding_search.data.generation import GenerateSettings, Generator, Ledger
from embedding_search.data.prompts import make_items, make_system_prompt

DATA = Path(__file__).parent.parent / 'data'
WITHOUT_KEY = {name: value for name, value in os.environ.items() if not name.startswith('ANTHROPIC')}
QUICK = dict(RETRY_WAIT=.01, POLL_SECONDS=.1, SETTLE_SECONDS=.5, TIMEOUT=5, RETRIES=8, BATCH_SIZE=120)
FEW = dict(RETRIES=1, TIMEOUT=.3, MAX_TRIES=2)
# The command `embedding-search` with other constants, so that no test waits for minutes
COMMAND = """
import json, sys
from embedding_search.cli import main
from embedding_search.data import generation
for name, value in json.loads(sys.argv.pop(1)).items(): setattr(generation, name, value)
main()
"""


def queries_command(run, args, constants):
    "Build the command line of `embedding-search queries`."
    return [sys.executable, '-c', COMMAND, json.dumps(QUICK | constants), 'queries', '--run', str(run),
            '--set', 'generation.round_trip=false', *map(str, args)]


def environment(server):
    return WITHOUT_KEY | (server.env if server else {})


def generate(run, server, *args, **constants):
    "Run `embedding-search queries`."
    command = queries_command(run, args, constants)
    return subprocess.run(command, capture_output=True, text=True, env=environment(server))


def start(run, server, *args, **constants):
    "Start `embedding-search queries`."
    return subprocess.Popen(queries_command(run, args, constants), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, env=environment(server))


def wait_until(ready, process, within=60):
    "Wait while the process runs and `ready` is false."
    end = time.time() + within
    while not ready():
        assert process.poll() is None, process.communicate()
        assert time.time() < end, 'waited in vain'
        time.sleep(.02)


def kill_when(ready, run, server, *args, **constants):
    "Start the command and kill it as soon as `ready` says so."
    process = start(run, server, *args, **constants)
    wait_until(ready, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def ledger(run):
    path = run / 'generated' / 'ledger.jsonl'
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith('}')]


def records(run, kind):
    return [record for record in ledger(run) if record['do'] == kind]


def spent(run):
    return sum({record['ask']: record['cost'] for record in records(run, 'end')}.values())


def read_rows(path):
    with open(path, encoding='utf-8') as file: return list(csv.DictReader(file))


def read_jsonl(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def read_icons(name):
    with gzip.open(DATA / 'mdi' / name, 'rt', encoding='utf-8') as file: return list(csv.DictReader(file))


def write_icons(path, n=300):
    "Write a catalog of `n` icons, and return their ids."
    icons = read_icons('catalog.csv.gz')[:n]
    write_csv(path, [tuple(icons[0]), *(tuple(icon.values()) for icon in icons)])
    return {icon['id'] for icon in icons}


def assert_ok(result):
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]


def assert_refused(result, says):
    "The command failed with one clear message."
    assert result.returncode == 2, result.stdout + result.stderr
    assert says in result.stderr
    assert 'Traceback' not in result.stderr


@pytest.fixture
def icons():
    "Options that describe the catalog of icon names."
    return ['--catalog', DATA / 'mdi' / 'catalog.csv.gz', '--category', 'category']


@pytest.fixture
def grouped(catalog):
    "Options that describe the toy catalog with its categories."
    return [*catalog, '--category', 'group']


def test_five_hundred_titles_in_batches(icons, tmp_path):
    "Answers, requests and calls fail, one batch expires, and the command is killed twice."
    run = tmp_path / 'run'
    args = [*icons, '--max-titles', 500, '--mode', 'batch', '--budget', .6, '--set', 'generation.per_request=1']
    faults = dict(malformed=.05, http=.1, statuses=[500, 503, 529], errored=.03, expire=[1])
    with Standin(**faults, line_delay=.01, batch_time=.5) as server:
        kill_when(lambda: server.state()['batches'] >= 2, run, server, *args, MAX_TRIES=6) # While posting
        assert not records(run, 'end')
        kill_when(lambda: len(records(run, 'end')) > 150, run, server, *args, MAX_TRIES=6) # While reading results
        assert len(records(run, 'end')) > 150
        result = generate(run, server, *args, MAX_TRIES=6)
        seen, dollars = server.state(), server.dollars
    assert_ok(result)
    assert seen['expired'] == 120
    assert seen['malformed'] > 10
    assert seen['errored'] + seen['http_faults'] > 5

    answered = Counter(key for record in records(run, 'end') for key in record.get('answers', {}))
    assert len(answered) == 500
    assert set(answered.values()) == {1}, 'a title was answered twice'
    paid = 500 + seen['malformed']
    assert sum(seen['titles'].values()) == seen['batch_requests'] == paid, 'more than malformed answers were paid again'
    assert spent(run) == pytest.approx(dollars, abs=1e-9)
    assert dollars <= .6
    assert f'spent ${dollars:.4f}' in result.stdout
    assert len({row['id'] for row in read_rows(run / 'generated' / 'queries.csv')}) == 500


def test_killed_while_sending_messages(icons, tmp_path):
    "At most the messages in flight are paid twice, and they are counted."
    run = tmp_path / 'run'
    args = [*icons, '--max-titles', 60, '--mode', 'messages', '--set', 'generation.per_request=2']
    with Standin(slow=.3) as server:
        kill_when(lambda: len(records(run, 'end')) >= 8, run, server, *args)
        result = generate(run, server, *args)
        seen, dollars = server.state(), server.dollars
    assert_ok(result)
    twice = [title for title, n in seen['titles'].items() if n > 1]
    lost = [record for record in records(run, 'end') if record['how'] == 'lost']
    assert len(seen['titles']) == 60
    assert 0 < len(lost) <= 4, 'four messages are sent at a time'
    assert len(twice) <= 2 * len(lost)
    assert dollars <= spent(run)
    assert 'counted at their worst' in result.stdout


def test_budget_then_more_budget(icons, tmp_path):
    "A budget that is used up stops the command; with a larger one it continues."
    run = tmp_path / 'run'
    with Standin() as server:
        result = generate(run, server, *icons, '--max-titles', 200, '--budget', .01, '--mode', 'messages')
        assert_ok(result)
        assert 'raise it (--budget)' in result.stdout
        assert server.dollars <= spent(run) + 1e-12 <= .01
        first = set(server.state()['titles'])

        result = generate(run, server, '--max-titles', 200, '--budget', 1)
        assert_ok(result)
        assert '200 of 200 titles' in result.stdout
        titles = server.state()['titles']
        assert set(titles.values()) == {1}, 'a title was asked twice'
        assert first < set(titles)

        assert_ok(generate(run, server, '--max-titles', 200))
        assert server.state()['titles'] == titles


BARE = ['batches', 'schema', 'cache_control', 'count_tokens']


@pytest.mark.parametrize('price, dollars', [('0.3,0.6', True), ('0,0', False)])
def test_another_server(price, dollars, icons, tmp_path):
    "A server with nothing but messages and no key: what it lacks is said once, and never tried again."
    run = tmp_path / 'run'
    options = ['--model', 'open-model', '--price', price, '--mode', 'batch', '--budget', .1]
    with Standin(lacks=BARE, key='none') as server:
        url = ['--base-url', server.env['ANTHROPIC_BASE_URL'] + '/v1']
        result = generate(run, None, *icons, *options, *url, '--max-titles', 12)
        assert_ok(result)
        assert result.stdout.count('no Batches API') == result.stdout.count('refuses a JSON schema') == 1
        assert 'roughly estimated' in result.stdout
        assert '12 of 12 titles' in result.stdout
        assert spent(run) == pytest.approx(server.dollars if dollars else 0, abs=1e-12)
        refused = server.state()['unsupported']

        result = generate(run, None, *options, *url, '--max-titles', 24)
        assert_ok(result)
        assert 'no Batches API' not in result.stdout + result.stderr
        assert server.state()['unsupported'] == refused + 1, 'more was tried again than counting tokens'
        assert set(server.state()['titles'].values()) == {1}


def test_dry_run_shows_prompt_and_cost(icons, tmp_path):
    domain = 'Icons, searched by designers.'
    result = generate(tmp_path / 'run', None, *icons, '--dry-run', '--max-titles', 7, '--domain', domain)
    assert_ok(result)
    for expected in (domain, '"ref"', '7 to ask for', 'at most $'): assert expected in result.stdout


def test_preview_is_kept(icons, tmp_path):
    run = tmp_path / 'run'
    with Standin() as server:
        result = generate(run, server, *icons, '--preview', 5)
        assert_ok(result)
        assert len(server.state()['titles']) == 5
        assert result.stdout.count('keyword') >= 5
        assert not (run / 'generated' / 'queries.csv').exists()
        assert_ok(generate(run, server, *icons, '--max-titles', 5))
        assert sum(server.state()['titles'].values()) == 5


def test_evaluation_queries_are_never_trained_on(icons, tmp_path):
    with Standin() as server: assert_ok(generate(tmp_path / 'run', server, *icons, '--evaluation', 10))
    path = tmp_path / 'run' / 'generated' / 'evaluation.csv'
    assert {row['use'] for row in read_rows(path)} == {'never-train'}
    assert not path.with_name('queries.csv').exists()

    options = ['run', '--until', 'queries', '--run', tmp_path / 'other', *icons]
    result = cli(*options, '--queries', path)
    assert_refused(result, 'never-train')
    assert '--eval-queries' in result.stderr
    assert_ok(cli(*options, '--eval-queries', path))


@pytest.fixture(scope='module')
def run_with_hard_cases(tmp_path_factory):
    "A run whose queries and hard cases were generated."
    folder = tmp_path_factory.mktemp('hard')
    run = folder / 'run'
    write_icons(folder / 'icons.csv')
    icons = ['--catalog', folder / 'icons.csv', '--category', 'category']
    with Standin() as server:
        assert_ok(generate(run, server, *icons, '--max-titles', 0))
        assert_ok(generate(run, server, *icons, '--hard', 40))
    assert_ok(cli('run', '--until', 'negatives', '--run', run, '--set', 'negatives.miner="random"'))
    return run


def test_hard_cases_become_negatives(run_with_hard_cases):
    run = run_with_hard_cases
    family_of = json.loads((run / 'families.json').read_text())['family']
    split = json.loads((run / 'split.json').read_text())
    heldout = {family_of[id] for query in split['heldout_titles'] for id in query['ids']}
    known = defaultdict(list)
    for case in read_jsonl(run / 'generated' / 'negatives.jsonl'):
        if family_of[case['negatives'][0]] not in heldout: known[case['query'], case['id']].append(case['negatives'])
    groups = {(group['query'], group['id']): group['negatives'] for group in read_jsonl(run / 'training_pairs.jsonl')}
    used = set(known) & set(groups)
    assert used
    for key in used: assert groups[key] in known[key]


@pytest.mark.parametrize('form, columns', [
    ('pairs', ['anchor', 'positive']),
    ('triplets', ['anchor', 'positive', 'negative']),
    ('lists', ['query', 'relevant_passages', 'hard_negatives']),
])
def test_pairs_for_other_trainers(form, columns, run_with_hard_cases, tmp_path):
    assert_ok(cli('pairs', tmp_path / 'pairs.jsonl', '--run', run_with_hard_cases, '--form', form))
    assert list(read_jsonl(tmp_path / 'pairs.jsonl')[0]) == columns


def test_without_a_key_says_what_to_do(grouped, tmp_path):
    result = generate(tmp_path / 'run', None, *grouped)
    assert_refused(result, 'ANTHROPIC_API_KEY')
    assert '--to-prompts' in result.stderr


def answer_prompt(text):
    "Answer a prompt file the way a chat would."
    items = [json.loads(line) for line in text.splitlines() if line.startswith('{"ref": "')]
    titles = []
    for item in items:
        queries = [dict(style='keyword', query=f"{item['title']} {letter}") for letter in 'abcdefghijkl']
        titles.append(dict(ref=item['ref'], queries=queries))
    return f'Sure!\n```json\n{json.dumps(dict(titles=titles))}\n```'


def test_with_a_chat(grouped, tmp_path):
    "Prompts are written, replies are read, and the run then has training queries."
    run, prompts, replies = tmp_path / 'run', tmp_path / 'prompts', tmp_path / 'replies'
    assert_ok(generate(run, None, *grouped, '--to-prompts', prompts))
    replies.mkdir()
    (replies / 'other.txt').write_text('{"titles": [{"ref": "ffffffff", "queries": []}]}')
    assert_refused(generate(run, None, *grouped, '--from-answers', replies), 'all other options unchanged')

    for path in prompts.iterdir():
        (replies / path.name.replace('prompt', 'reply')).write_text(answer_prompt(path.read_text()))
    result = generate(run, None, *grouped, '--from-answers', replies)
    assert_ok(result)
    assert 'queries for 12 of 12 titles' in result.stdout
    assert len(read_rows(run / 'generated' / 'queries.csv')) == 12 * 12

    result = cli('run', '--until', 'split', '--run', run, *grouped) # Naming the catalog again keeps the queries
    assert_ok(result)
    assert 'no training queries' not in result.stdout


@pytest.mark.parametrize('args, says', [
    (['--prompt', 'absent.txt'], 'absent.txt'),
    (['--budget', '-1'], 'budget'),
    (['--model', 'claude-none'], 'add --price INPUT,OUTPUT in dollars per million tokens, for example --price 0.25'),
    (['--model', 'claude-none', '--price', '1'], 'write INPUT,OUTPUT'),
    (['--base-url', 'localhost'], 'base_url'),
    (['--from-answers', 'nowhere'], 'nowhere'),
    (['--set', 'generation.styles={poem=1}'], "'poem'"),
    (['--mode', 'bulk'], 'mode'),
])
def test_bad_settings_cost_nothing(args, says, catalog, tmp_path):
    with Standin() as server:
        assert_refused(generate(tmp_path / 'run', server, *catalog, *args), says)
        assert server.state()['nano'] == 0


def test_long_prompt_costs_nothing(catalog, tmp_path):
    (tmp_path / 'long.txt').write_text('x' * 120_000)
    with Standin() as server:
        assert_refused(generate(tmp_path / 'run', server, *catalog, '--prompt', tmp_path / 'long.txt'), 'too long')
        assert server.state()['nano'] == 0


@pytest.mark.parametrize('mode, faults, says', [
    ('messages', dict(http=1, statuses=[529]), '529'),
    ('messages', dict(stall=1), 'could not be reached'),
    ('messages', dict(cut=1), 'could not be reached'),
    ('messages', dict(malformed=1), 'no readable JSON'),
    ('batch', dict(http=1, statuses=[400]), '400'),
    ('batch', dict(refused=1), 'the model refused'),
    ('batch', dict(truncated=1), 'cut off after'),
])
def test_after_any_fault_the_same_command_finishes(mode, faults, says, catalog, tmp_path):
    "A fault gives one clear sentence and no key, and it leaves a sound ledger."
    run = tmp_path / 'run'
    args = [*catalog, '--max-titles', 4, '--mode', mode]
    with Standin(echo_key=True, **faults) as server:
        result = generate(run, server, *args, **FEW)
        files = [path for path in run.rglob('*') if path.suffix in ('.jsonl', '.json', '.md')]
        text = result.stdout + result.stderr + ''.join(path.read_text() for path in files)
        assert says in text
        assert 'Traceback' not in text
        assert KEY not in text

        server.configure(http=0, stall=0, cut=0, malformed=0, refused=0, truncated=0)
        result = generate(run, server, *args, MAX_TRIES=9)
        assert_ok(result)
        assert '4 of 4 titles' in result.stdout
        assert server.dollars <= spent(run) + 1e-12


def test_wrong_key(catalog, tmp_path):
    with Standin(echo_key=True) as server:
        server.env['ANTHROPIC_API_KEY'] = 'sk-ant-wrong'
        result = generate(tmp_path / 'run', server, *catalog)
    assert_refused(result, '401')
    assert 'sk-ant' not in result.stdout + result.stderr


def test_two_processes_at_once(catalog, tmp_path):
    path = tmp_path / 'run' / 'generated' / 'ledger.jsonl'
    path.parent.mkdir(parents=True)
    with Standin() as server, FileLock(f'{path}.lock'):
        assert_refused(generate(tmp_path / 'run', server, *catalog), 'another process')


def interrupt_when(ready, run, server, *args):
    "Start the command, press Ctrl-C as soon as `ready` says so, and return what it printed to stderr."
    process = start(run, server, *args)
    wait_until(ready, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode in (130, -signal.SIGINT), errors
    return errors


def test_ctrl_c_keeps_the_posted_batch(icons, tmp_path):
    run = tmp_path / 'run'
    args = [*icons, '--max-titles', 100, '--mode', 'batch', '--set', 'generation.per_request=1']
    with Standin(batch_time=600) as server:
        errors = interrupt_when(lambda: records(run, 'posted'), run, server, *args)
        assert 'picks it up' in errors
        assert server.state()['batches'] == 1


def test_ctrl_c_keeps_the_messages_in_flight(icons, tmp_path):
    run = tmp_path / 'run'
    args = [*icons, '--max-titles', 100, '--mode', 'messages', '--set', 'generation.per_request=1']
    with Standin(slow=.2) as server:
        errors = interrupt_when(lambda: len(records(run, 'end')) >= 5, run, server, *args)
        assert 'picks it up' in errors
        assert 5 <= server.state()['messages'] < 50
    assert len(records(run, 'end')) == len(records(run, 'ask'))


def test_many_languages(tmp_path):
    "Titles in six languages and four scripts: prompts, filter, training queries, keyword and hybrid search."
    run = tmp_path / 'run'
    countries = ['--catalog', DATA / 'countries' / 'catalog.csv.gz', '--category', 'category']
    with Standin() as server:
        assert_ok(generate(run, server, *countries, '--max-titles', 0, '--set', 'generation.queries=8'))
    queries = [row['query'] for row in read_rows(run / 'generated' / 'queries.csv')]
    assert any(re.search('[а-я]{4}', query) for query in queries)
    assert any(re.search('[ァ-ヴ]{3}', query) for query in queries)

    small = [option for value in ('max_pairs=320', 'batch_size=32', 'evals=1', 'bf16="no"')
             for option in ('--set', f'training.{value}')]
    assert_ok(cli('run', '--until', 'index', '--run', run, *countries, *small))
    searches = {'Urlaub in Österreich': 'AT-de', 'отпуск Япония': 'JP-ru', 'フランス 旅行': 'FR-ja',
                'vacaciones en España': 'ES-es'}
    for query, expected in searches.items():
        result = cli('search', query, '--run', run, '--json', '-k', 5)
        assert expected in [json.loads(line)['id'] for line in result.stdout.splitlines()], query


def test_run_with_augmentation(tmp_path):
    "A run of icon names, with the aliases that people gave them as queries."
    ids = write_icons(tmp_path / 'icons.csv')
    queries = [(row['query'], row['id']) for row in read_icons('human.csv.gz') if row['id'] in ids]
    write_csv(tmp_path / 'queries.csv', [('query', 'id'), *queries])
    changes = ('training.batch_size=32', 'training.evals=1', 'training.bf16="no"', 'evaluation.resamples=100',
               'augmentation.share=.2')
    options = [option for change in changes for option in ('--set', change)]
    run = tmp_path / 'run'
    assert_ok(cli('run', '--run', run, '--catalog', tmp_path / 'icons.csv', '--category', 'category',
                  '--queries', tmp_path / 'queries.csv', *options))
    assert 'held-out titles' in (run / 'report.md').read_text()
    assert 'account-group' in cli('search', 'group of people', '--run', run, '--json').stdout


FASTENERS = [dict(id=f'R{i}', title=f'{kind} {part}', category=part, text='') for i, (kind, part) in
             enumerate(product(['Hex', 'Eye', 'Coach', 'Plough', 'Carriage'], ['bolt', 'nut', 'rod', 'screw', 'pin']))]
FAMILIES = {row['id']: row['id'] for row in FASTENERS}
KNOWN = GenerateSettings(queries=8, max_tokens=2000, mode='messages', round_trip=False)
OPEN = dict(model='open-model', price=[.3, .6])


@pytest.fixture
def constants(monkeypatch):
    "Change constants of the module: at first to those that let no test wait."
    def change(**values):
        for name, value in values.items(): monkeypatch.setattr(generation, name, value)

    for name in os.environ:
        if name.startswith('ANTHROPIC'): monkeypatch.delenv(name)
    change(**QUICK)
    return change


@pytest.fixture
def make_generator(constants, monkeypatch, tmp_path):
    "Return a function that makes a generator for the first `n` fasteners, in this process."
    def make(server, n=None, **changes):
        for name, value in server.env.items(): monkeypatch.setenv(name, value)
        settings = KNOWN.model_copy(update=changes)
        system = make_system_prompt(n_queries=settings.queries)
        items = make_items(FASTENERS[:n], system, settings.model)
        client = generation.make_client(generation.service_url(settings))
        return Generator(client, Ledger(tmp_path / 'ledger.jsonl'), items, system, settings, log=lambda line: None)

    return make


def records_of(path, kind):
    return [record for record in read_jsonl(path) if record['do'] == kind]


def assert_complete(generator):
    "Every title has queries, and nothing is open."
    ledger = generator.ledger
    assert (generator.stop, ledger.batches, ledger.open_requests) == (None, {}, {})
    assert set(ledger.answers) == set(generator.item_of)


@pytest.mark.parametrize('wrong', ['1,2,3', 'a,b', '-1,1', 'nan,1', 3])
def test_wrong_prices_are_refused(wrong):
    with pytest.raises(ValidationError, match='write INPUT,OUTPUT'): GenerateSettings(price=wrong)


def test_price_of_a_model():
    "Zero is a price, and at Anthropic batches cost half also for a model that we do not know."
    for price in generation.PRICES.values(): assert price.cache_read < price.input < price.cache_write < price.output
    assert GenerateSettings(price='0.25, 1').price == [.25, 1]
    assert generation.model_price(GenerateSettings(model='claude-next', price=[3, 15])).batch == .5
    assert generation.model_price(GenerateSettings(model='qwen3', price=[0, 0])).output == 0
    own = generation.model_price(GenerateSettings(price=[1, 5]))
    assert (own.input, own.output, own.cache_write, own.cache_read) == (1, 5, 1.25, .1)
    local = GenerateSettings(model='qwen3', price=[.25, 1.25], base_url='http://localhost:8000')
    assert generation.model_price(local) == generation.Price(input=.25, output=1.25, cache_write=.25, cache_read=.25,
                                                             batch=1)
    with pytest.raises(InputError, match='--price 0,0'): generation.model_price(GenerateSettings(model='qwen3'))


@pytest.mark.parametrize('status, outcome', [(400, 'refused'), (404, 'refused'), (413, 'refused'),
                                             (429, 'unavailable'), (500, 'unavailable'), (529, 'unavailable'),
                                             (200, 'lost')])
def test_meaning_of_a_status(status, outcome):
    error = Exception()
    error.status_code = status
    assert generation.classify_error(error) == outcome


def test_retry_delay_obeys_the_service(constants):
    delays = [generation.retry_delay(ValueError(), attempt) for attempt in (0, 1, 2, 20)]
    assert delays == pytest.approx([.01, .02, .04, 60])
    error = Exception()
    error.response = SimpleNamespace(headers={'retry-after': '7'})
    assert generation.retry_delay(error, 0) == 7


def test_url_and_key_of_a_client(constants, monkeypatch):
    local = GenerateSettings(base_url='http://localhost:11434/v1/')
    assert generation.can_connect(local)
    assert not generation.can_connect(KNOWN)
    assert str(generation.make_client(generation.service_url(local)).base_url) == 'http://localhost:11434'
    monkeypatch.setenv('ANTHROPIC_AUTH_TOKEN', 'secret')
    assert generation.can_connect(KNOWN)
    assert generation.error_line(ValueError('bad\n token secret')) == 'ValueError: bad token ***'


def test_restart_after_a_torn_line(tmp_path):
    "The state is the same, and the next record starts on a new line."
    path = tmp_path / 'ledger.jsonl'
    with closing(Ledger(path)) as ledger:
        ledger.add('ask', ask='1', keys=['k1', 'k2'], cost=.5)
        ledger.add('end', ask='1', how='ok', cost=.1, answers=dict(k1=[dict(style='', query='q')]), why=dict(k2='?'))
        ledger.add('end', ask='1', how='ok', cost=.1) # Read twice
        ledger.add('ask', ask='2', keys=['k2'], cost=.25)
    with open(path, 'ab') as file: file.write(b'\n{"do": "end", "ask": "2", "co')

    with closing(Ledger(path)) as again:
        for name in ('answers', 'reasons', 'tries', 'open_requests', 'spent', 'reserved'):
            assert getattr(again, name) == getattr(ledger, name)
        assert again.counts['torn'] == 1
        again.add('end', ask='2', how='lost', cost=.25)
    with closing(Ledger(path)) as ledger: assert (ledger.spent, ledger.reserved) == (.35, 0)


class AlmostFullDisk:
    "A file that takes ten bytes, then fails once."
    def __init__(self, file):
        self.file = file
        self.calls = 0

    def __getattr__(self, name): return getattr(self.file, name)

    def write(self, data):
        self.calls += 1
        if self.calls == 2: raise OSError(28, 'No space left on device')
        return self.file.write(data[:10] if self.calls == 1 else data)


def test_a_full_disk_spoils_no_other_record(tmp_path):
    with closing(Ledger(tmp_path / 'ledger.jsonl')) as ledger:
        ledger.file = AlmostFullDisk(ledger.file)
        with pytest.raises(OSError, match='No space'): ledger.add('ask', ask='1', keys=['k'], cost=1)
        ledger.add('ask', ask='2', keys=['k'], cost=2)
    with closing(Ledger(tmp_path / 'ledger.jsonl')) as ledger: assert (ledger.reserved, ledger.counts['torn']) == (2, 1)


def test_records_of_a_batch(tmp_path):
    with closing(Ledger(tmp_path / 'ledger.jsonl')) as ledger:
        ledger.add('batch', batch='n', time=1., asks={'x': ['k1'], 'y': ['k2']}, cost=dict(x=1, y=2))
        assert (ledger.reserved, ledger.batches['n']['id']) == (3, '')
        ledger.add('posted', batch='n', id='msgbatch_1')
        ledger.add('other', batch='n')
        assert (ledger.batches['n']['id'], ledger.posted_ids) == ('', {'msgbatch_1'})
        ledger.add('gone', batch='n')
        assert (ledger.reserved, ledger.batches) == (0, {})


def test_ledger_that_cannot_be_opened(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(InputError, match='cannot be opened'): Ledger(tmp_path / 'file' / 'ledger.jsonl')


def test_replies_that_are_cut_off_count_at_their_highest_price(make_generator):
    with Standin(cut=.4) as server:
        generator = make_generator(server)
        generator.send_messages()
    assert_complete(generator)
    assert server.state()['cut']
    assert generator.ledger.counts['lost'] == server.state()['cut']
    assert server.dollars < generator.ledger.spent


def test_the_system_prompt_is_read_from_the_cache(make_generator, tmp_path):
    "It is sent with every request; the four messages that are sent first may write it."
    small_cache = generation.PRICES[KNOWN.model].model_copy(update=dict(cache_from=256))
    with Standin() as server:
        generator = make_generator(server, per_request=1, prices={KNOWN.model: small_cache})
        generator.estimate()
        generator.send_messages()
    tokens = [record['tokens'] for record in records_of(tmp_path / 'ledger.jsonl', 'end')]
    _, _, written, read = map(sum, zip(*tokens, strict=True))
    assert read > 4 * written > 0


def test_a_title_that_the_model_refuses(make_generator):
    "The others get their queries, although the server sometimes does not answer in time."
    with Standin(refuse_titles='Coach nut', stall=.05) as server:
        generator = make_generator(server)
        generator.client = generator.client.with_options(timeout=.5)
        generator.send_messages()
    refused, = set(generator.item_of) - set(generator.ledger.answers)
    assert generator.item_of[refused]['title'] == 'Coach nut'
    assert generator.ledger.reasons[refused] == 'the model refused'
    assert generator.ledger.tries[refused] == generation.MAX_TRIES


def test_a_server_that_is_down_costs_nothing(make_generator, constants):
    with Standin() as server: generator = make_generator(server)
    constants(RETRIES=1)
    generator.send_messages()
    assert 'could not be reached' in generator.stop
    assert (generator.ledger.spent, generator.ledger.reserved) == (0, 0)


def test_interrupted_messages_are_asked_again_in_a_run_with_batches(make_generator):
    with Standin() as server:
        generator = make_generator(server, n=5)
        generator.ledger.add('ask', ask='1', keys=[generator.items[0]['key']], cost=.01)
        generator.run(batch=True)
    assert_complete(generator)
    assert generator.ledger.counts['lost'] == 1
    assert generator.ledger.spent == pytest.approx(.01 + server.dollars, abs=1e-12)


def test_the_budget_holds_for_batches(make_generator):
    "What fits is posted, and the rest when the answers have freed what they did not use."
    with Standin() as server:
        generator = make_generator(server, per_request=1, budget=.004, mode='batch')
        estimate = generator.estimate()
        generator.send_batches()
    assert estimate.hours > 1
    assert generator.ledger.answers
    assert server.state()['batches'] > 1
    assert server.dollars <= .004
    assert generator.ledger.spent == pytest.approx(server.dollars, abs=1e-12)


def test_a_batch_of_somebody_else_is_left_alone(make_generator, tmp_path):
    "Our batch was posted without our knowing, and somebody else posted one of the same size."
    path = tmp_path / 'ledger.jsonl'
    with Standin() as server:
        generator = make_generator(server, n=3, per_request=1)
        generator.post_batch(generator.pending())
        generator.ledger.close()
        path.write_text(path.read_text().splitlines()[0])
        params = [generator.params([item]) for item in generator.items]
        foreign = [dict(custom_id=f'other{i}', params=request) for i, request in enumerate(params)]
        generator.client.messages.batches.create(requests=foreign)
        generator = make_generator(server, n=3, per_request=1)
        generator.send_batches()
    assert_complete(generator)
    assert server.state()['batches'] == 2
    assert len(records_of(path, 'other')) == 1


def test_results_that_are_no_longer_kept_count_as_paid(make_generator):
    with Standin(archive=[0]) as server:
        generator = make_generator(server, n=3)
        generator.send_batches()
    assert_complete(generator)
    assert generator.ledger.counts['lost'] == 1
    assert generator.ledger.spent > server.dollars


def test_a_batch_that_the_service_does_not_know_stays_open(make_generator):
    with Standin() as server:
        generator = make_generator(server, n=3)
        key = generator.items[0]['key']
        generator.ledger.add('batch', batch='b', time=time.time(), asks=dict(a=[key]), cost=dict(a=1))
        generator.ledger.add('posted', batch='b', id='msgbatch_gone')
        generator.send_batches()
    assert '404' in generator.stop
    assert generator.ledger.reserved == 1


def test_a_list_of_batches_that_cannot_be_read_leaves_the_batch_open(make_generator, constants):
    constants(RETRIES=1, SETTLE_SECONDS=0)
    with Standin(http=1, statuses=[500]) as server:
        generator = make_generator(server, n=3)
        generator.send_batches()
    assert 'the batches could not be read (500' in generator.stop
    assert generator.ledger.reserved > 0


def test_requests_that_always_fail_end(make_generator, constants):
    constants(RETRIES=2)
    with Standin(errored=1) as server:
        generator = make_generator(server, n=3)
        generator.send_batches()
    assert generator.stop == 'the service kept failing'
    assert (server.dollars, generator.ledger.spent, generator.ledger.reserved) == (0, 0, 0)


def test_a_server_that_answers_every_url_and_reports_no_tokens(make_generator):
    with Standin(lacks=['batches', 'count_tokens', 'usage'], missing_status=200) as server:
        generator = make_generator(server, mode='batch', **OPEN)
        estimate = generator.estimate()
        generator.run(estimate.batch)
    assert_complete(generator)
    assert not estimate.batch
    assert server.dollars < generator.ledger.spent <= estimate.most


@pytest.mark.parametrize('status', [200, 404, 405, 501])
def test_a_server_that_lists_batches_but_takes_none(status, make_generator):
    "A known model keeps its schema, and everything is sent as messages."
    with Standin(lacks=['batch_post'], missing_status=status) as server:
        generator = make_generator(server, n=6, mode='batch')
        estimate = generator.estimate()
        generator.run(estimate.batch)
    assert_complete(generator)
    assert estimate.batch
    assert not generator.plain
    assert server.state()['messages']
    assert generator.ledger.spent == pytest.approx(server.dollars, abs=1e-12)


@pytest.mark.parametrize('mode, lacks', [('batch', 'schema'), ('messages', 'schema'), ('messages', 'cache_control')])
def test_a_known_model_behind_a_server_that_refuses_fields(mode, lacks, make_generator, constants):
    constants(BATCH_SIZE=2)
    small_cache = generation.PRICES[KNOWN.model].model_copy(update=dict(cache_from=256))
    with Standin(lacks=[lacks]) as server:
        generator = make_generator(server, mode=mode, prices={KNOWN.model: small_cache})
        estimate = generator.estimate()
        assert generator.cache
        generator.run(estimate.batch)
    assert_complete(generator)
    assert generator.plain
    assert generator.lacks('schema')
    assert generator.ledger.spent == pytest.approx(server.dollars, abs=1e-12)


def test_a_refusal_for_another_reason_is_final(make_generator):
    with Standin(http=1, statuses=[400]) as server:
        generator = make_generator(server)
        generator.send_messages()
    assert '400' in generator.stop
    assert not generator.ledger.lacks


def test_a_url_without_a_messages_api(make_generator):
    with Standin(lacks=['messages'], missing_status=200) as server:
        generator = make_generator(server, **OPEN)
        generator.send_messages()
    assert 'give the URL of a server with a Messages API' in generator.stop
    assert generator.ledger.spent <= KNOWN.budget


def test_titles_of_a_file_are_added(constants, tmp_path):
    write_csv(tmp_path / 'needs_queries.csv', [('id',), (FASTENERS[-1]['id'],)])
    settings = GenerateSettings(max_titles=1, also=str(tmp_path / 'needs_queries.csv'))
    plan = generation.plan_generation(tmp_path, FASTENERS, FAMILIES, settings, connect=False)
    assert plan.rows == [*generation.choose_titles(FASTENERS, FAMILIES, 1), FASTENERS[-1]]


def test_a_missing_package_is_reported_before_money_is_spent(monkeypatch):
    monkeypatch.setitem(sys.modules, 'py3langid', None)
    with pytest.raises(ModuleNotFoundError): generation._check_packages(GenerateSettings(round_trip=False))
    generation._check_packages(GenerateSettings(round_trip=False, language='German'))


@pytest.fixture
def write(constants, monkeypatch, tmp_path):
    "Return a function that writes queries for four titles, and returns what was logged."
    def write_queries(server, changes=None, **options):
        for name, value in (server.env if server else {}).items(): monkeypatch.setenv(name, value)
        settings = KNOWN.model_copy(update=dict(max_titles=4) | (changes or {}))
        lines = []
        generation.write_queries_for_run(tmp_path, FASTENERS, FAMILIES, settings, log=lines.append, **options)
        return '\n'.join(lines)

    return write_queries


def test_nobody_is_asked_when_nothing_costs_money(write):
    with Standin() as server:
        write(server)
        spent = server.dollars
        said = write(server, confirm=lambda: pytest.fail('asked'))
    assert '4 have queries already, 0 to ask for' in said
    assert server.dollars == spent


def test_columns_of_evaluation_queries(write, tmp_path):
    with Standin() as server: said = write(server, purpose='evaluate', titles=2, columns=('search', 'code'))
    assert 'cannot be trained on' in said
    rows = read_rows(tmp_path / 'generated' / 'evaluation.csv')
    assert list(rows[0]) == ['search', 'code', 'style', 'use']


def test_what_came_back_is_saved_before_a_failure_is_reported(write, constants, tmp_path):
    path = tmp_path / 'generated' / 'queries.csv'
    with Standin() as server: write(server)
    kept = path.read_text()
    path.unlink()
    constants(RETRIES=0)
    with Standin(cut=1) as server, pytest.raises(InputError, match='run the same command again'):
        write(server, dict(max_titles=6))
    assert path.read_text() == kept


def test_a_short_budget_is_told_without_a_key(write):
    assert 'the budget is enough' not in write(None, dry_run=True)
    said = write(None, dict(budget=.0003), dry_run=True)
    assert 'roughly estimated' in said
    assert re.search(r'the budget is enough for about \d of 4 titles', said)


def test_replies_to_other_prompts_are_refused(write, tmp_path):
    said = write(None, to_prompts=str(tmp_path / 'prompts'))
    assert said.startswith('1 prompt files')
    (tmp_path / 'replies').mkdir()
    reply = answer_prompt((tmp_path / 'prompts' / 'prompt_0001.txt').read_text())
    (tmp_path / 'replies' / '1.txt').write_text(reply)
    with pytest.raises(InputError, match='all other options unchanged'):
        write(None, dict(domain='Another shop.'), from_answers=str(tmp_path / 'replies'))
    assert 'queries for 4 of 4 titles' in write(None, from_answers=str(tmp_path / 'replies'))

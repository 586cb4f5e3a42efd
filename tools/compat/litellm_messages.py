"""`embedding-search queries --base-url` at LiteLLM's proxy, `/v1/messages` with mock responses."""
import csv
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

REQUIREMENTS = ['litellm[proxy]==1.108.7']
NEEDS = ''
MODEL = 'mock-writer'
PRICE = .25, 1.25
N_QUERIES = 8
TITLES = ['Hex bolt', 'Carriage bolt', 'Eye bolt', 'Lock nut', 'Wing nut', 'Cap nut', 'Spring washer', 'Split pin',
          'Threaded rod', 'Wood screw', 'Pop rivet', 'Cable tie']
MASTER_KEY = f'sk-{secrets.token_hex(32)}'


def run_command(folder, *args, key=''):
    "Run `embedding-search queries` in the project's environment."
    own = os.environ.get('EMBEDDING_SEARCH')
    python = os.environ.get('PROJECT_PYTHON', sys.executable)
    program = [own] if own else [python, '-c', 'from embedding_search.cli import main; main()']
    options = ['--catalog', 'catalog.csv', '--run', 'run', '--model', MODEL, '--price', ','.join(map(str, PRICE))]
    for change in (f'queries={N_QUERIES}', 'round_trip=false', 'language="English"', 'per_request=4'):
        options += ['--set', f'generation.{change}']
    env = {name: value for name, value in os.environ.items() if not name.startswith('ANTHROPIC')}
    if key: env['ANTHROPIC_API_KEY'] = key
    command = [*program, 'queries', *options, *args]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300)


def assert_exit(result, code):
    assert result.returncode == code, result.stdout[-2000:] + result.stderr[-2000:]


def read_refs(folder):
    "Let the command write its prompts, and read the titles and their references from them."
    assert_exit(run_command(folder, '--to-prompts', 'prompts'), 0)
    lines = [line for path in folder.glob('prompts/*') for line in path.read_text().splitlines()]
    return [json.loads(line) for line in lines if line.startswith('{"ref": "')]


def write_config(folder, items):
    "Configure a model that answers every request with queries for all titles, with some words around them."
    titles = []
    for item in items:
        queries = [dict(style='keyword', query=f"{item['title']} {letter}") for letter in 'abcdefgh']
        titles.append(dict(ref=item['ref'], queries=queries))
    reply = f'Here you are:\n```json\n{json.dumps(dict(titles=titles))}\n```\nAnything else?'
    params = dict(model=f'hosted_vllm/{MODEL}', api_base='http://127.0.0.1:9', api_key='none', mock_response=reply)
    path = folder / 'config.json'
    path.write_text(json.dumps(dict(model_list=[dict(model_name=MODEL, litellm_params=params)])))
    return path


@contextmanager
def proxy(config):
    "Run LiteLLM's proxy on a free port and yield its URL."
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    url = f'http://127.0.0.1:{port}'
    program = Path(sys.executable).with_name('litellm')
    command = [program, '--config', config, '--host', '127.0.0.1', '--port', str(port)]
    env = os.environ | dict(LITELLM_MASTER_KEY=MASTER_KEY, LITELLM_LOCAL_MODEL_COST_MAP='True')
    with open(config.with_name('proxy.log'), 'w') as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    try:
        wait_for(f'{url}/health/liveliness', process, config.with_name('proxy.log'))
        yield url
    finally:
        process.terminate()
        process.wait()


def wait_for(url, process, log):
    for _ in range(240):
        if process.poll() is not None: break
        try: return urllib.request.urlopen(url, timeout=5).close()
        except OSError: time.sleep(.5)
    raise SystemExit(f'the proxy did not start: {log.read_text()[-2000:]}')


def check(folder, url, n_titles):
    "Write queries at the proxy, and compare files and bill."
    options = ['--base-url', url, '--mode', 'batch']
    wrong_key = run_command(folder, *options, key='sk-wrong')
    assert_exit(wrong_key, 2)
    result = run_command(folder, *options, key=MASTER_KEY)
    assert_exit(result, 0)
    said = wrong_key.stdout + result.stdout
    assert said.count('no Batches API') == 1, said
    with open(folder / 'run' / 'generated' / 'queries.csv') as file: rows = list(csv.DictReader(file))
    assert len(rows) == N_QUERIES * n_titles, len(rows)
    ledger = (folder / 'run' / 'generated' / 'ledger.jsonl').read_text()
    assert MASTER_KEY not in ledger, 'the key is in the ledger'
    ends = [record for record in map(json.loads, ledger.splitlines()) if record.get('how') == 'ok']
    used = [sum(record['tokens'][kind] for record in ends) for kind in (0, 1)]
    assert all(used), 'the proxy reported no tokens'
    spent = sum(record['cost'] for record in ends)
    assert abs(spent - (used[0] * PRICE[0] + used[1] * PRICE[1]) / 1e6) < 1e-9, spent
    assert f'spent ${spent:.4f}' in result.stdout, result.stdout
    counted = 'estimated' if 'roughly estimated' in result.stdout else 'counted by the proxy'
    return (f'{len(rows)} queries for {n_titles} titles in {len(ends)} messages (404 for batches, tokens {counted}); '
            f'bill of {sum(used):,} tokens exact; wrong key refused')


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        rows = [f'F{n},{title}' for n, title in enumerate(TITLES)]
        (folder / 'catalog.csv').write_text('\n'.join(['id,title', *rows, '']))
        items = read_refs(folder)
        with proxy(write_config(folder, items)) as url: print(check(folder, url, len(items)))


if __name__ == '__main__': main()

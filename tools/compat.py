"""Check that other people's clients and servers work with ours, and write benchmarks/compat.md.

    python tools/compat.py                all clients (the first time it installs each one; half an hour)
    python tools/compat.py qdrant         some of them

Every file in tools/compat is one client. It runs in a virtual environment of its own, outside the project's, because
their pins conflict. The last line that it prints is the result; an exit code other than 0 is a failure. Do not give a
script the name of a package: Python would import the script instead."""
import argparse
import ast
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CLIENTS = ROOT/'tools'/'compat'
CACHE = ROOT/'.cache'/'compat'
TABLE = ROOT/'benchmarks'/'compat.md'
RESULTS = ROOT/'benchmarks'/'results'/'compat.json'
TIMEOUT = 600 # Seconds for one client
TOY_RUN = CACHE/'run'
LOG = CACHE/'service.log'
COMMAND = [sys.executable, '-c', 'from embedding_search.cli import main; main()']


def read_client(path):
    "Read the docstring and the constants of a client's script without running it."
    tree = ast.parse(path.read_text())
    client = dict(name=path.stem, call=ast.get_docstring(tree).splitlines()[0])
    for node in tree.body:
        name = getattr(node.targets[0], 'id', '') if isinstance(node, ast.Assign) else ''
        if name in ('REQUIREMENTS', 'NEEDS'): client[name] = ast.literal_eval(node.value)
    return client


def environment(client):
    "Return the Python of the client's virtual environment; make it if its requirements changed."
    folder = CACHE/client['name']
    python = folder/'bin'/'python'
    installed = folder/'requirements.json'
    wanted = json.dumps(client['REQUIREMENTS'])
    if installed.exists() and installed.read_text() == wanted: return python
    venv.create(folder, with_pip=True, clear=True)
    if client['REQUIREMENTS']:
        subprocess.run([python, '-m', 'pip', 'install', '-q', *client['REQUIREMENTS']], check=True)
    installed.write_text(wanted)
    return python


def make_run():
    "Make a small run with a full model once: countries of the world, without training."
    if not (TOY_RUN/'index'/'index.json').exists():
        catalog = ROOT/'data'/'countries'/'catalog.csv.gz'
        options = ['--catalog', catalog, '--category', 'category', '--run', TOY_RUN]
        subprocess.run([*COMMAND, 'run', *map(str, options)], check=True, cwd=ROOT)
    return str(TOY_RUN)


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def serve(run):
    "Run the REST service and yield its address."
    url = f'http://127.0.0.1:{free_port()}'
    command = [*COMMAND, 'serve', '--run', run, '--port', url.rpartition(':')[2]]
    with open(LOG, 'w') as log, subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log) as service:
        try:
            wait_for(url, service)
            yield url
        finally: service.terminate()


def wait_for(url, service, seconds=60):
    "Wait until the service answers."
    deadline = time.time() + seconds
    while time.time() < deadline and service.poll() is None:
        try:
            urllib.request.urlopen(f'{url}/health', timeout=2).close()
            return
        except OSError:
            time.sleep(.2)
    raise SystemExit(f'the service did not start within {seconds} s; {LOG} says why')


def run_client(client, argument):
    "Run one client; return what it printed last and whether it passed."
    env = os.environ | dict(PROJECT_PYTHON=sys.executable, PROJECT=str(ROOT), HF_HUB_OFFLINE='1')
    try: python = environment(client)
    except subprocess.CalledProcessError: return dict(passed=False, result='its requirements cannot be installed')
    command = [python, CLIENTS/f"{client['name']}.py", *([argument] if argument else [])]
    try: result = subprocess.run(command, capture_output=True, text=True, env=env, timeout=TIMEOUT)
    except subprocess.TimeoutExpired: return dict(passed=False, result=f'no answer within {TIMEOUT} s')
    lines = (result.stdout if not result.returncode else result.stdout + result.stderr).strip().splitlines()
    return dict(passed=not result.returncode, result=lines[-1] if lines else '')


def check(client):
    "Start what the client needs and run it."
    start = time.time()
    needs = client.get('NEEDS', '')
    with contextlib.ExitStack() as stack:
        argument = make_run() if needs in ('run', 'service') else ''
        if needs == 'service': argument = stack.enter_context(serve(argument))
        outcome = run_client(client, argument)
    return client | outcome | dict(seconds=round(time.time() - start))


def store_result(client, clients):
    "Add a result to those that are stored, drop clients that are gone, and write the table."
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results[client['name']] = client
    results = {name: entry for name, entry in sorted(results.items()) if name in clients}
    RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + '\n')
    write_table(results)


def write_table(results):
    "Write the table of results."
    lines = ['# Compatibility', '',
             'Written by `python tools/compat.py`. Each row was run with the version that it names, in a virtual',
             'environment of its own.', '', '| client or server | version | call | result |', '|---|---|---|---|']
    for name, entry in results.items():
        versions = ', '.join(entry['REQUIREMENTS']) or 'standard library'
        outcome = entry['result'] if entry['passed'] else f"**failed**: {entry['result']}"
        lines.append(f"| {name.replace('_', ' ')} | {versions} | {entry['call']} | {outcome} |")
    TABLE.write_text('\n'.join(lines) + '\n')


def main():
    clients = {path.stem: read_client(path) for path in sorted(CLIENTS.glob('*.py'))}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('names', nargs='*', metavar='NAME', help=', '.join(clients))
    names = parser.parse_args().names or list(clients)
    if unknown := set(names) - set(clients): parser.error(f"no such client: {', '.join(sorted(unknown))}")
    CACHE.mkdir(parents=True, exist_ok=True)
    passed = True
    for name in names:
        client = check(clients[name])
        passed = passed and client['passed']
        print(f"{'ok  ' if client['passed'] else 'FAIL'} {name}: {client['result']}", flush=True)
        store_result(client, clients)
    sys.exit(not passed)


if __name__ == '__main__': main()

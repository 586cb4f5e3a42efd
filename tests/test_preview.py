"Serving a built site on this machine, also when the default port is in use."
import re
import socket
import subprocess
import urllib.request

import pytest
from conftest import COMMAND, cli

from embedding_search.search.site import free_port


@pytest.fixture(scope='module')
def run_folder(files, tmp_path_factory):
    "A run with a catalog, families and a site, without a model."
    folder = tmp_path_factory.mktemp('preview') / 'run'
    built = cli('site', '--run', folder, '--catalog', files / 'my.csv', '--id', 'sku', '--title', 'name')
    assert built.returncode == 0, built.stderr
    return folder


class SiteProcess:
    "`embedding-search site --serve`, stopped at the end of a `with`."

    def __init__(self, run, *options):
        command = [COMMAND, 'site', '--run', str(run), '--serve', *map(str, options)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.lines = []

    def __enter__(self):
        for line in self.process.stdout:
            self.lines.append(line)
            address = re.search(r'http://127\.0\.0\.1:(\d+)/', line)
            if not address: continue
            self.url = address[0]
            self.port = int(address[1])
            return self
        raise AssertionError(self.lines)

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)
        self.process.stdout.close()

    def manifest(self):
        with urllib.request.urlopen(f'{self.url}site.json', timeout=20) as response: return response.read()


def test_two_sites_at_once(run_folder):
    "Without --port, the second one takes the next free port and says so."
    with SiteProcess(run_folder) as first, SiteProcess(run_folder) as second:
        assert first.port != second.port
        assert first.manifest() == second.manifest()
        assert f'port 8000 is in use, taking {second.port}\n' in second.lines


def test_port_that_was_asked_for(run_folder):
    with socket.socket() as busy:
        busy.bind(('127.0.0.1', 0))
        busy.listen()
        port = busy.getsockname()[1]
        failed = cli('site', '--run', run_folder, '--serve', '--port', port, timeout=60)
    assert failed.returncode == 2
    assert f'127.0.0.1:{port} cannot be used' in failed.stderr


def test_free_port_skips_ports_in_use():
    lines = []
    with socket.socket() as busy:
        busy.bind(('127.0.0.1', 0))
        busy.listen()
        port = busy.getsockname()[1]
        found = free_port(first=port, log=lines.append)
    assert port < found < port + 100
    assert lines == [f'port {port} is in use, taking {found}']

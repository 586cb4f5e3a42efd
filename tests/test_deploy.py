"Dockerfile, compose file and nginx configuration; `make deploy-check` runs them."
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[1]/'tools'))
import deploy_check

from embedding_search.search.schemas import MAX_BODY, ServeSettings

ROOT = Path(__file__).parents[1]
STAGES = deploy_check.read_dockerfile()
COMPOSE = yaml.safe_load((ROOT/'compose.yaml').read_text())
SITE_CONF = (ROOT/'deploy'/'site.conf').read_text()
BROTLI_MODULE = Path('/usr/lib/nginx/modules/ngx_http_brotli_static_module.so')


def values(stage, instruction): return [value for name, _, value in STAGES[stage]['steps'] if name == instruction]


def test_service_image():
    "The last stage runs the service as a user without a name, and has no compiler, Node.js or PyTorch."
    assert list(STAGES)[-1] == 'service'
    assert int(values('service', 'USER')[0].split(':')[0]) > 0
    install, = values('service', 'RUN')
    assert '[serve]' in install and not re.search(r'torch|nodejs|\[train', install)
    assert '/health' in values('service', 'HEALTHCHECK')[0]


def test_images_copy_what_is_there():
    "The build context has every file that a COPY names, and nothing that was built or belongs to a run."
    context = deploy_check.build_context()
    for stage in STAGES:
        for value in values(stage, 'COPY'):
            for source in map(Path, value.split()[:-1]):
                assert any(path == source or source in path.parents for path in context), source
    assert Path('embedding_search/cli.py') in context
    tops = {path.parts[0] for path in context}
    assert not tops & {'runs', '.venv', '.git', 'tests'}
    assert not [path for path in context if {'node_modules', '__pycache__'} & set(path.parts)]
    assert not [path for path in context if path.is_relative_to('embedding_search/web')]


def test_compose_fits_the_images():
    services = COMPOSE['services']
    assert {service['build']['target'] for service in services.values()} <= set(STAGES)
    for service in services.values():
        assert service['read_only'] and service['cap_drop'] == ['ALL']
        assert all(volume['read_only'] for volume in service['volumes'])
    assert services['service']['volumes'][0]['target'] in values('service', 'CMD')[0]
    assert services['web']['volumes'][0]['target'] == re.search(r'root (\S+);', SITE_CONF)[1]
    port = re.search(r'listen (\d+);', SITE_CONF)[1]
    assert services['web']['ports'][0].endswith(f':{port}') and values('web', 'EXPOSE') == [port]
    assert f"server service:{values('service', 'EXPOSE')[0]};" in SITE_CONF


def test_limits_fit_the_service():
    assert int(re.search(r'client_max_body_size (\d+);', SITE_CONF)[1]) == MAX_BODY
    assert f'{MAX_BODY:,} bytes' in SITE_CONF
    assert int(re.search(r'proxy_read_timeout (\d+)s;', SITE_CONF)[1]) > ServeSettings().timeout


def test_dockerignore():
    patterns = ['*', '!web', 'web/built', '**/cache']
    for path, ignored in [('x', True), ('web/a', False), ('web/built/a', True), ('web/a/cache/b', True)]:
        assert deploy_check.is_ignored(Path(path), patterns) == ignored, path


@pytest.mark.skipif(not shutil.which('nginx') or not BROTLI_MODULE.exists(),
                    reason='apt-get install nginx libnginx-mod-http-brotli-static')
def test_nginx_reads_the_configuration(tmp_path):
    for name in ('nginx.conf', 'site.conf'):
        text = (ROOT/'deploy'/name).read_text().replace('/tmp/', f'{tmp_path}/')
        text = text.replace('/etc/nginx/site.conf', f'{tmp_path}/site.conf')
        text = text.replace('service:8000', '127.0.0.1:8000')
        (tmp_path/name).write_text(text)
    command = ['nginx', '-e', 'stderr', '-c', str(tmp_path/'nginx.conf'), '-t']
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0 and '[warn]' not in result.stderr, result.stderr

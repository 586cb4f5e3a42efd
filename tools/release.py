"""Build wheel and source archive into `dist` and try the wheel in a clean environment (`make release`).

    python tools/release.py --extras              also install the wheel with each extra, each in a clean environment
    python tools/release.py --extras core serve   some of them

`--extras` writes benchmarks/results/extras.json and benchmarks/extras.md."""
import argparse
import json
import subprocess
import sys
import tempfile
import time
from configparser import ConfigParser
from pathlib import Path

from embedding_search.search.site import web_assets

ROOT = Path(__file__).resolve().parents[1]
PIP = [sys.executable, '-m', 'pip', '-q', '--disable-pip-version-check']
BUILD_WHEEL = [*PIP, 'wheel', '--no-deps', '--no-build-isolation', '-w']
RESULTS = ROOT/'benchmarks'/'results'/'extras.json'
TABLE = ROOT/'benchmarks'/'extras.md'
SKIPPED = ('ray', 'dev') # A cluster's and this project's own environment
FIRST = dict(train=['pip>=26', 'torch==2.13.0']) # To install before the wheel; pip 23 does not resolve this extra
IMPORTS = {
    'core': ['embedding_search.search.searcher'],
    'serve': ['embedding_search.search.service', 'faiss'],
    'mcp': ['embedding_search.search.mcp_server', 'mcp'],
    'formats': ['duckdb', 'openpyxl'],
    'openai-tokens': ['tiktoken'],
    'brotli': ['embedding_search.search.site', 'brotli'],
    'generate': ['embedding_search.data.generation', 'anthropic'],
    'milvus': ['embedding_search.search.milvus', 'pymilvus'],
    'train': ['embedding_search.model.training', 'sentence_transformers'],
} # Extra to modules that must import with it


def run(*command, **kwargs):
    "Return the standard output of a command, or stop with its error."
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, **kwargs)
    if result.returncode: raise SystemExit(f"{' '.join(map(str, command))}\n{result.stdout}{result.stderr}")
    return result.stdout


def build(dist):
    "Build the source archive, and the wheel from it: `build` in the working tree may hold modules that are gone."
    web_assets()
    dist.mkdir(exist_ok=True)
    for file in dist.glob('embedding_search-*'): file.unlink()
    run(sys.executable, '-c', f'from setuptools.build_meta import build_sdist; build_sdist({str(dist)!r})', cwd=ROOT)
    sdist, = dist.glob('*.tar.gz')
    run(*BUILD_WHEEL, dist, sdist)
    wheel, = dist.glob('*.whl')
    return wheel, sdist


def try_wheel(wheel):
    "Install the wheel in a clean environment without PyTorch and search with it."
    with tempfile.TemporaryDirectory() as folder:
        start = time.time()
        run(sys.executable, '-m', 'venv', Path(folder)/'env')
        scripts = Path(folder)/'env'/'bin'
        run(scripts/'python', '-m', 'pip', '-q', '--disable-pip-version-check', 'install', wheel)
        install_s = time.time() - start
        packages = {line.split('==')[0].lower() for line in run(scripts/'python', '-m', 'pip', 'freeze').split()}
        heavy = packages & {'torch', 'transformers', 'sentence-transformers'}
        assert not heavy, f'the wheel installs {heavy}'
        start = time.time()
        found = run(scripts/'embedding-search', 'search', 'unlocked padlock', '-k', 3, cwd=folder)
        search_s = time.time() - start
    return dict(install_s=round(install_s, 1), search_s=round(search_s, 1), packages=len(packages), found=found)


def main(dist=ROOT/'dist'):
    "Return sizes, seconds and the answer."
    wheel, sdist = build(dist)
    sizes = dict(wheel_mb=round(wheel.stat().st_size / 1e6, 2), sdist_mb=round(sdist.stat().st_size / 1e6, 2))
    return sizes | try_wheel(wheel)


def extra_names():
    "List the core and the extras of settings.ini that are measured, by the names that the wheel gives them."
    config = ConfigParser(delimiters=['='])
    config.read(ROOT/'settings.ini', encoding='utf-8')
    keys = [key.removesuffix('_requirements') for key in config['DEFAULT'] if key.endswith('_requirements')]
    extras = [key.replace('_', '-') for key in keys if key not in SKIPPED] # Older versions of pip refuse underscores
    return ['core', *extras]


def try_extra(wheel, name):
    "Install the wheel with one extra in a clean environment; return seconds, MB, packages and whether torch is there."
    with tempfile.TemporaryDirectory() as folder:
        env = Path(folder)/'env'
        run(sys.executable, '-m', 'venv', env)
        python = env/'bin'/'python'
        install = [python, '-m', 'pip', '-q', '--disable-pip-version-check', '--no-cache-dir', 'install']
        start = time.time()
        if name in FIRST: run(*install, *FIRST[name])
        run(*install, wheel if name == 'core' else f'{wheel}[{name}]')
        seconds = time.time() - start
        size = sum(path.stat().st_size for path in env.rglob('*') if path.is_file() and not path.is_symlink())
        packages = {line.split('==')[0].split(' @')[0].lower() for line in run(*install[:-1], 'freeze').splitlines()}
        run(python, '-c', f"import {', '.join(IMPORTS[name])}", cwd=folder)
    return dict(seconds=round(seconds, 1), mb=round(size / 1e6), packages=len(packages), torch='torch' in packages)


def try_extras(wheel, names):
    "Measure the core and extras; keep stored results of those that are not measured now."
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in names:
        results[name] = try_extra(wheel, name)
        print(f'{name}: {results[name]}', flush=True)
        assert not (name == 'core' and results[name]['torch']), 'the core installs torch'
        results = {extra: results[extra] for extra in extra_names() if extra in results}
        RESULTS.write_text(json.dumps(results, indent=1) + '\n')
        write_extras_table(results)


def write_extras_table(results):
    "Write the table of extras that were measured."
    lines = ['# Extras', '',
             'Written by `python tools/release.py --extras`. Each row is a clean virtual environment with the wheel',
             'and one extra; the modules that need the extra were imported in it. Seconds are those of `pip install`',
             'without a cache, on a shared machine with two cores. MB include pip.', '',
             '| extra | seconds | MB | packages | torch |', '|---|---|---|---|---|']
    for name, found in results.items():
        torch = 'yes' if found['torch'] else 'no'
        if name in FIRST: torch += f", after `pip install {' '.join(FIRST[name])}`"
        lines.append(f"| {name} | {found['seconds']:g} | {found['mb']} | {found['packages']} | {torch} |")
    TABLE.write_text('\n'.join(lines) + '\n')


def parse_arguments():
    "Parse the command line."
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--extras', nargs='*', metavar='NAME', help=f"measure {', '.join(extra_names())}")
    args = parser.parse_args()
    unknown = set(args.extras or []) - set(extra_names())
    if unknown: parser.error(f"no such extra: {', '.join(sorted(unknown))}")
    return args


if __name__ == '__main__':
    args = parse_arguments()
    for name, value in main().items(): print(f'{name}: {value}')
    if args.extras is not None:
        wheel, = (ROOT/'dist').glob('*.whl')
        try_extras(wheel, args.extras or extra_names())

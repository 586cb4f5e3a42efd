"Build wheel and source archive into `dist` and try the wheel in a clean environment (`make release`)."
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from embedding_search.search.site import web_assets

ROOT = Path(__file__).resolve().parents[1]
PIP = [sys.executable, '-m', 'pip', '-q', '--disable-pip-version-check']
BUILD_WHEEL = [*PIP, 'wheel', '--no-deps', '--no-build-isolation', '-w']


def run(*command, **kwargs):
    "Return the standard output of a command, or stop with its error."
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, **kwargs)
    if result.returncode: raise SystemExit(f"{' '.join(map(str, command))}\n{result.stdout}{result.stderr}")
    return result.stdout


def build(dist):
    "Build the wheel, the source archive, and once more the wheel from the archive."
    web_assets()
    dist.mkdir(exist_ok=True)
    for file in dist.glob('embedding_search-*'): file.unlink()
    run(*BUILD_WHEEL, dist, ROOT)
    run(sys.executable, '-c', f'from setuptools.build_meta import build_sdist; build_sdist({str(dist)!r})', cwd=ROOT)
    wheel, = dist.glob('*.whl')
    sdist, = dist.glob('*.tar.gz')
    with tempfile.TemporaryDirectory() as folder: run(*BUILD_WHEEL, folder, sdist)
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


if __name__ == '__main__':
    for name, value in main().items(): print(f'{name}: {value}')

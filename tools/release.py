"""Build wheel and sdist into `dist`, install the wheel where nothing else is, and ask it something: `python tools/release.py`."""
import subprocess, sys, tempfile, time
from pathlib import Path
from embedding_search.site import web_assets

ROOT = Path(__file__).resolve().parents[1]

def run(*cmd, **kwargs):
    "Standard output of `cmd`; its error, when it fails."
    r = subprocess.run(list(map(str, cmd)), capture_output=True, text=True, **kwargs)
    if r.returncode: raise SystemExit(f"{' '.join(map(str, cmd))}\n{r.stdout}{r.stderr}")
    return r.stdout

def main(dist=ROOT/'dist'):
    "Files, seconds and the answer."
    web_assets(); dist.mkdir(exist_ok=True)
    for f in dist.glob('embedding_search-*'): f.unlink()
    pip = sys.executable, '-m', 'pip', '-q', '--disable-pip-version-check'
    run(*pip, 'wheel', '--no-deps', '--no-build-isolation', '-w', dist, ROOT); wheel, = dist.glob('*.whl')
    run(sys.executable, '-c', f"from setuptools.build_meta import build_sdist; build_sdist({str(dist)!r})", cwd=ROOT); sdist, = dist.glob('*.tar.gz')
    with tempfile.TemporaryDirectory() as d:
        run(*pip, 'wheel', '--no-deps', '--no-build-isolation', '-w', Path(d)/'again', sdist)
        start = time.time(); run(sys.executable, '-m', 'venv', Path(d)/'env'); python = Path(d)/'env'/'bin'/'python'
        run(python, '-m', 'pip', '-q', '--disable-pip-version-check', 'install', wheel); installed = time.time()-start
        have = {l.split('==')[0].lower() for l in run(python, '-m', 'pip', 'freeze').split()}
        assert not have & {'torch','transformers','sentence-transformers'}, have
        start = time.time(); found = run(Path(d)/'env'/'bin'/'embedding-search', 'search', 'unlocked padlock', '-k', 3, cwd=d); asked = time.time()-start
    return dict(wheel_mb=round(wheel.stat().st_size/1e6, 2), sdist_mb=round(sdist.stat().st_size/1e6, 2), install_s=round(installed, 1), search_s=round(asked, 1), packages=len(have), found=found)

if __name__ == '__main__': print(*(f'{k}: {v}' for k,v in main().items()), sep='\n')

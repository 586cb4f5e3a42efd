"Run every notebook as a test, two at a time and each in its own process, then pytest; end with `N passed, N failed`."
import os, re, subprocess, sys, tempfile, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ.setdefault('HF_HUB_OFFLINE', '1')
passed = failed = skipped = 0

def python(*args):
    "Run Python with a folder of its own for temporary files, which models fill with gigabytes."
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as tmp: return subprocess.run([sys.executable, *args], capture_output=True, text=True, env=os.environ | dict(TMPDIR=tmp))

def run(nb):
    "Outcome of one notebook."
    start = time.perf_counter()
    r = python('-c', f'from nbdev.test import nbdev_test; nbdev_test(path={str(nb)!r}, n_workers=0, do_print=False)')
    return nb, r.returncode == 0, time.perf_counter()-start, (r.stdout+r.stderr)[-6000:]

with ThreadPoolExecutor(2) as pool:
    for nb,ok,took,said in pool.map(run, sorted(Path('nbs').glob('*.ipynb'))):
        passed, failed = passed+ok, failed+(not ok)
        print(f"{'ok  ' if ok else 'FAIL'} {nb}  {took:.0f} s", flush=True)
        if not ok: print(said, flush=True)
r = python('-m', 'pytest', '-q', '-rs', '--durations=15', 'tests')
print(r.stdout[-6000:], r.stderr[-2000:])
n = {k: int(v) for v,k in re.findall(r'(\d+) (passed|failed|skipped|error)', r.stdout.splitlines()[-1] if r.stdout else '')}
passed, skipped = passed+n.get('passed', 0), n.get('skipped', 0)
failed += n.get('failed', 0)+n.get('error', 0)+(r.returncode not in (0, 1))
print(f'{passed} passed, {failed} failed' + (f', {skipped} skipped' if skipped else ''))
sys.exit(failed > 0)

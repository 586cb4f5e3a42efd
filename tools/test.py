"Run every notebook as a test, each in its own process, then pytest; end with `N passed, N failed`."
import os, re, subprocess, sys, time
from pathlib import Path

os.environ.setdefault('HF_HUB_OFFLINE', '1')
passed = failed = skipped = 0
for nb in sorted(Path('nbs').glob('*.ipynb')):
    start = time.perf_counter()
    r = subprocess.run([sys.executable, '-c', f'from nbdev.test import nbdev_test; nbdev_test(path={str(nb)!r}, n_workers=0, do_print=False)'],
                       capture_output=True, text=True)
    ok = r.returncode == 0
    passed, failed = passed+ok, failed+(not ok)
    print(f"{'ok  ' if ok else 'FAIL'} {nb}  {time.perf_counter()-start:.0f} s", flush=True)
    if not ok: print((r.stdout+r.stderr)[-6000:], flush=True)
r = subprocess.run([sys.executable, '-m', 'pytest', '-q', '-rs', 'tests'], capture_output=True, text=True)
print(r.stdout[-6000:], r.stderr[-2000:])
n = {k: int(v) for v,k in re.findall(r'(\d+) (passed|failed|skipped|error)', r.stdout.splitlines()[-1] if r.stdout else '')}
passed, skipped = passed+n.get('passed', 0), n.get('skipped', 0)
failed += n.get('failed', 0)+n.get('error', 0)+(r.returncode not in (0, 1))
print(f'{passed} passed, {failed} failed' + (f', {skipped} skipped' if skipped else ''))
sys.exit(failed > 0)

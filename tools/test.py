"""Run the unit tests of the browser code, every notebook as a test, and pytest.

If only tests with a browser fail, they run once more, alone: on a busy machine a browser can be too slow. What passes
only then is listed as flaky. End with the failed names and the line `N passed, N failed`."""
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import web_checks
from notebooks import find_notebooks

JOBS = 2 # Processes at a time
WITH_BROWSER = ('tests.test_browser', 'tests.test_engines', 'tests.test_live_page', 'tests.test_docs')
ENV = os.environ | dict(HF_HUB_OFFLINE='1', OMP_NUM_THREADS='1', OMP_WAIT_POLICY='PASSIVE',
                        TOKENIZERS_PARALLELISM='false')


def python(*args):
    "Run Python with a temporary folder of its own, which models fill with gigabytes."
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as tmp:
        return subprocess.run([sys.executable, *args], capture_output=True, text=True, env=ENV | dict(TMPDIR=tmp))


def run_notebook(path):
    "Return the notebook, whether it passed, its seconds, and what it printed last."
    start = time.perf_counter()
    code = f'from nbdev.test import nbdev_test; nbdev_test(path={str(path)!r}, n_workers=0, do_print=False)'
    result = python('-c', code)
    return path, result.returncode == 0, time.perf_counter() - start, (result.stdout + result.stderr)[-6000:]


def run_notebooks():
    "Run all notebooks, a few at a time; return how many passed and the names of those that failed."
    passed, failed = 0, []
    with ThreadPoolExecutor(JOBS) as pool:
        for path, ok, seconds, output in pool.map(run_notebook, find_notebooks()):
            print(f"{'ok  ' if ok else 'FAIL'} {path}  {seconds:.0f} s", flush=True)
            if ok: passed += 1
            else:
                failed.append(str(path))
                print(output, flush=True)
    return passed, failed


def run_pytest(*options):
    "Run pytest; return how many tests passed, the names of those that failed, and how many were skipped."
    report = Path(tempfile.mkdtemp())/'junit.xml'
    result = python('-m', 'pytest', '-q', '-rs', f'--junitxml={report}', *options, 'tests')
    print(result.stdout[-20_000:], result.stderr[-4000:], flush=True)
    if not report.exists(): return 0, [f'pytest stopped with exit code {result.returncode}'], 0
    cases = list(ET.parse(report).getroot().iter('testcase'))
    failed, skipped = [], 0
    for case in cases:
        kinds = {child.tag for child in case}
        if kinds & {'failure', 'error'}: failed.append(f"{case.get('classname')}::{case.get('name')}")
        elif 'skipped' in kinds: skipped += 1
    passed = len(cases) - len(failed) - skipped
    if result.returncode not in (0, 1): failed.append(f'pytest stopped with exit code {result.returncode}')
    return passed, failed, skipped


def main():
    start = time.perf_counter()
    unit_passed, failed = web_checks.unit_tests() if web_checks.build() else (0, [])
    print(f'browser code: {unit_passed} unit tests passed, {len(failed)} failed', flush=True)
    notebooks_passed, notebooks_failed = run_notebooks()
    tests_passed, tests_failed, skipped = run_pytest('-n', str(JOBS), '--dist', 'loadfile', '--durations=15')
    flaky = []
    if tests_failed and all(name.startswith(WITH_BROWSER) for name in tests_failed):
        first = tests_failed
        passed_again, tests_failed, _ = run_pytest('--last-failed')
        tests_passed += passed_again
        flaky = [name for name in first if name not in tests_failed]
    failed += notebooks_failed + tests_failed
    print(f'{(time.perf_counter() - start) / 60:.1f} minutes')
    if flaky: print('flaky, passed alone:', *flaky, sep='\n  ')
    if failed: print('failed:', *failed, sep='\n  ')
    ending = f', {skipped} skipped' if skipped else ''
    print(f'{unit_passed + notebooks_passed + tests_passed} passed, {len(failed)} failed{ending}')
    sys.exit(bool(failed))


if __name__ == '__main__': main()

"""Check the browser code in `web/`: `python tools/web_checks.py lint` or `python tools/web.py test`.

Without Node.js nothing is checked, which is said plainly; REQUIRE_BROWSER makes that an error."""
import json
import os
import sys
import tempfile
from pathlib import Path

from embedding_search.core import InputError
from embedding_search.search.site import run_npm, web_assets

WEB = Path(__file__).parents[1] / 'web'


def build():
    "Build the browser code if it has changed; return whether there is a Node.js to check it with."
    try: run_npm(['--version'], WEB)
    except InputError as e:
        if os.environ.get('REQUIRE_BROWSER'): raise
        print(f'BROWSER CODE NOT CHECKED: {e}')
        return False
    web_assets()
    return True


def lint():
    "Run ESLint and Prettier; return whether both are content."
    done = run_npm(['run', '--silent', 'lint'], WEB)
    if done.returncode: print(done.stdout[-5000:], done.stderr[-2000:])
    return not done.returncode


def unit_tests():
    "Run the unit tests; return how many passed and the names of those that failed."
    report = Path(tempfile.mkdtemp()) / 'vitest.json'
    args = ['run', '--silent', 'test', '--', '--reporter=default', '--reporter=json', f'--outputFile.json={report}']
    done = run_npm(args, WEB)
    if done.returncode: print(done.stdout[-8000:], done.stderr[-4000:])
    if not report.exists(): return 0, [f'vitest stopped with exit code {done.returncode}']
    found = json.loads(report.read_text())
    failed = []
    for file in found['testResults']:
        failed += [f"{Path(file['name']).name}::{test['fullName']}" for test in file['assertionResults']
                   if test['status'] == 'failed']
        if file['status'] == 'failed' and not file['assertionResults']: failed.append(Path(file['name']).name)
    return found['numPassedTests'], failed


def main():
    if not build(): return 0
    if sys.argv[1:] == ['lint']: return not lint()
    passed, failed = unit_tests()
    if failed: print('failed:', *failed, sep='\n  ')
    print(f'{passed} passed, {len(failed)} failed')
    return bool(failed)


if __name__ == '__main__': sys.exit(main())

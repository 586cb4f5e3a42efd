"""Say how a result was measured, so that it can be traced and repeated: commit, command, machine, load, package
versions, and a hash of the measured code.

    python benchmarks/traces.py            says which results were measured with code that has changed since

A benchmark lists the files that it measures and passes them to `trace` or `write_result`:

    MEASURES = ('embedding_search/search/*.py',)
    write_result('serve', result, MEASURES)

Comments and docstrings of Python files do not count. `BENCH_RESULTS=FOLDER` writes the results elsewhere."""
import json
import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from embedding_search.run import code_hash, package_versions

ROOT = Path(__file__).parents[1]
RESULTS = Path(os.environ.get('BENCH_RESULTS', Path(__file__).parent/'results'))


def load_average():
    "Return the average number of busy processes in the last minute."
    return round(os.getloadavg()[0], 1)


LOAD_BEFORE = load_average() # When the benchmark started


def describe_machine():
    "Describe what the numbers are measured on; a load near 0 means that nothing else was running."
    lines = Path('/proc/cpuinfo').read_text().splitlines()
    models = [line.split(':')[1].strip() for line in lines if line.startswith('model name')]
    return dict(cpu=models[0], cores=len(models), python=platform.python_version(), load_before=LOAD_BEFORE)


def commit():
    "Return the commit of the code, with `-dirty` if files were changed; empty outside of a git repository."
    command = ['git', 'describe', '--always', '--dirty', '--exclude=*']
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.strip()


def command_line():
    "Return the command that was started, relative to the root of the repository."
    script = Path(sys.argv[0]).resolve()
    if script.is_relative_to(ROOT): script = script.relative_to(ROOT)
    return shlex.join(['python', str(script), *map(shorten_path, sys.argv[1:])])


def shorten_path(argument):
    "Write a path relative to the root of the repository, and a path outside of it as its name."
    path = Path(argument)
    if not path.is_absolute(): return argument
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name


def hash_sources(patterns):
    "Hash the files that match some patterns, relative to the root of the repository."
    return code_hash({path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()})


def trace(measures):
    "Describe how a result is measured. `measures`: patterns of the files that it depends on."
    script = Path(sys.argv[0]).resolve()
    own = [str(script.relative_to(ROOT))] if script.is_file() and script.is_relative_to(ROOT) else []
    files = sorted({*own, *measures})
    return dict(
        commit=commit(),
        command=command_line(),
        date=datetime.now(UTC).date().isoformat(),
        machine=describe_machine() | dict(load_after=load_average()),
        versions=package_versions(),
        source=dict(files=files, hash=hash_sources(files)),
    )


def write_json(path, result):
    "Write a result as JSON."
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + '\n')


def write_result(name, result, measures):
    "Write a result with its trace to `results/NAME.json` and print it."
    result = result | dict(trace=trace(measures))
    write_json(RESULTS/f'{name}.json', result)
    print(json.dumps(result, indent=1, ensure_ascii=False), flush=True)


def read_traces(path):
    "Return the traces of a result file by the name of what was measured: of the file, or of each of its rows."
    result = json.loads(Path(path).read_text())
    if not isinstance(result, dict): return {}
    if 'trace' in result: return {'': result['trace']}
    rows = {name: row for name, row in result.items() if isinstance(row, dict)}
    return {name: row['trace'] for name, row in rows.items() if 'trace' in row}


def changed_since(path):
    "List in sentences what changed since the results of a file were measured; empty if nothing did."
    traces = read_traces(path)
    if not traces: return [f'{Path(path).name}: no source fingerprint']
    changed = {}
    for name, found in traces.items():
        if hash_sources(found['source']['files']) == found['source']['hash']: continue
        changed.setdefault(found['commit'], []).append(name)
    lines = []
    for measured_at, names in changed.items():
        rows = ', '.join(filter(None, names))
        lines.append(f"{Path(path).name}{' ' * bool(rows)}{rows}: the measured code has changed since {measured_at}")
    return lines


def main():
    for path in sorted(RESULTS.glob('*.json')):
        for line in changed_since(path): print(line)


if __name__ == '__main__': main()

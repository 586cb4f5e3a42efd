"Copy what runs measured to data/icd10cm/results, where notebooks and README read it (`make results`)."
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]/'benchmarks'))
from traces import trace, write_json

from embedding_search.run import package_code_hash

RESULTS = Path('data/icd10cm/results')
OTHER_CATALOGS = dict(occupations=Path('data/occupations/results.json'))
MEASURES = ('embedding_search/**/*.py',)


def tidy_manifest(manifest):
    "Return the entries of the stages without fingerprints and paths."
    stages = {name: entry for name, entry in manifest.items() if isinstance(entry, dict) and 'seconds' in entry}
    fields = ('seconds', 'peak_gib', 'counts', 'versions', 'code')
    return {name: {field: entry[field] for field in fields if field in entry} for name, entry in stages.items()}


def stages_of_other_code(manifest):
    "List the stages that ran with code that differs from the present code, or that did not record their code."
    return [name for name, entry in manifest.items() if entry.get('code') != package_code_hash()]


def copy_results(name):
    "Write the results of one run into one file."
    run = Path('runs')/name
    if not (run/'evaluation.json').exists():
        print(f'{run}: not finished, skipped; run `make {name}` first')
        return
    manifest = json.loads((run/'manifest.json').read_text())
    results = dict(manifest=tidy_manifest(manifest))
    for part in ('training', 'interpolation', 'closed_catalog', 'tiers', 'evaluation'):
        path = run/f'{part}.json'
        if path.exists(): results[part] = json.loads(path.read_text())
    results['settings'] = manifest['settings']
    other = stages_of_other_code(results['manifest'])
    if other: print(f"{run}: the code has changed since these stages ran: {', '.join(other)}")
    results['trace'] = trace(MEASURES) | dict(stages_of_other_code=other)
    path = OTHER_CATALOGS.get(name, RESULTS/f'{name}.json')
    write_json(path, results)
    print(f'{path}: {path.stat().st_size:,} bytes')


if __name__ == '__main__':
    for name in sys.argv[1:]: copy_results(name)

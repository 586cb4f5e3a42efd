"Copy what runs measured to data/icd10cm/results, where notebooks and README read it (`make results`)."
import json
import sys
from pathlib import Path

RESULTS = Path('data/icd10cm/results')


def tidy_manifest(manifest):
    "Return the entries of the stages without fingerprints and paths."
    stages = {name: entry for name, entry in manifest.items() if isinstance(entry, dict) and 'seconds' in entry}
    fields = ('seconds', 'peak_gib', 'counts', 'versions')
    return {name: {field: entry[field] for field in fields if field in entry} for name, entry in stages.items()}


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
    path = RESULTS/f'{name}.json'
    path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + '\n')
    print(f'{path}: {path.stat().st_size:,} bytes')


if __name__ == '__main__':
    for name in sys.argv[1:]: copy_results(name)

"Copy what runs measured to data/icd10cm/results, where notebooks and README read it."
import json, sys
from pathlib import Path

def tidy(m):
    "Manifest without paths and reports."
    return {k: {f: v[f] for f in ('seconds','peak_gib','counts','versions') if f in v} for k,v in m.items() if isinstance(v, dict) and 'seconds' in v}

for name in sys.argv[1:]:
    run = Path('runs')/name
    if not (run/'evaluation.json').exists(): print(f'{run}: not finished, skipped; make {name} first'); continue
    manifest = json.loads((run/'manifest.json').read_text())
    out = dict(manifest=tidy(manifest), train=json.loads((run/'train.json').read_text()), guard=json.loads((run/'guard.json').read_text()), evaluation=json.loads((run/'evaluation.json').read_text()),
               settings=manifest['settings'])
    path = Path('data/icd10cm/results')/f'{name}.json'
    path.write_text(json.dumps(out, indent=1)+'\n')
    print(f'{path}: {path.stat().st_size:,} bytes')

"Fail when the exported package, the README or the notebooks' metadata are not what the notebooks make."
import shutil, subprocess, sys
from pathlib import Path

def snapshot():
    "Content of everything that is generated."
    files = [*Path('embedding_search').glob('*.py'), *Path('nbs').glob('*.ipynb'), Path('README.md')]
    return {str(f): f.read_bytes() for f in files}

def sh(*args): subprocess.run([sys.executable, *args], check=True, stdout=subprocess.DEVNULL)

before = snapshot()
for f in Path('embedding_search').glob('*.py'):
    if f.name != '__init__.py': f.unlink()
try:
    sh('-c', 'import nbdev; nbdev.nbdev_export()')
    sh('-c', 'from nbdev.clean import nbdev_clean; nbdev_clean()')
    sh('tools/docs.py', '--readme')
    after = snapshot()
except BaseException:
    for f,b in before.items(): Path(f).write_bytes(b)
    raise
finally: shutil.rmtree('_proc', ignore_errors=True)
drifted = sorted(f for f in before.keys() | after.keys() if before.get(f) != after.get(f))
if drifted:
    print('drifted from the notebooks (run nbdev_export, nbdev_clean and `make readme`, then commit):', *drifted, sep='\n  ')
    sys.exit(1)
print('package, README and notebooks agree')

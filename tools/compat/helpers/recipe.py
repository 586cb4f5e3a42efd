"""Run the Python code of one section of docs/vectors_out.md, as it is printed there."""
import os
import re
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]
GUIDE = PROJECT/'docs'/'vectors_out.md'


def code_of(heading):
    "Return the Python blocks of a section as one program."
    section = GUIDE.read_text().partition(f'\n## {heading}\n')[2].partition('\n## ')[0]
    blocks = re.findall(r'```python\n(.*?)```', section, re.S)
    if not blocks: raise SystemExit(f'{GUIDE}: no code under {heading!r}')
    return '\n'.join(blocks)


def run_recipe(heading, run):
    "Export `run`, run the code of a section in a temporary folder, and return its variables."
    os.chdir(tempfile.mkdtemp())
    Path('runs').mkdir()
    Path('runs/demo').symlink_to(Path(run).resolve())
    command = 'from embedding_search.cli import main; main()'
    export = [os.environ['PROJECT_PYTHON'], '-c', command, 'index', 'export', 'export', '--run', 'runs/demo']
    subprocess.run(export, check=True, env=os.environ | dict(PYTHONPATH=str(PROJECT)))
    sys.path.insert(0, str(PROJECT))
    Path('recipe.py').write_text(code_of(heading))
    return runpy.run_path('recipe.py')


def check_scores(found, names):
    "Compare scores with those of an exact scan."
    exact = sorted(names['vectors'] @ names['query'], reverse=True)[:len(found)]
    difference = max(abs(a - b) for a, b in zip(found, exact, strict=True))
    if difference > 1e-4: raise SystemExit(f'scores differ from an exact scan by {difference}')
    return f"{len(names['entries'])} entries; scores of the best {len(found)} differ from NumPy's by {difference:.0e}"

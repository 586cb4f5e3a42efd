"Find the notebooks of the project in reading order."
import json
import re
from pathlib import Path

EXPECTED = 53 # Notebooks in nbs/ and its subfolders; change it when one is added or removed
ROOT = Path(__file__).parents[1]
QUICKSTART = '00_quickstart' # Before the reading order: it exports nothing and shares its number with 00_core


def find_notebooks():
    "Return all notebooks, the quickstart first, then by number, and refuse a surprising number of them."
    found = [path for path in (ROOT/'nbs').rglob('*.ipynb') if '.ipynb_checkpoints' not in path.parts]
    in_order = sorted(found, key=lambda path: (path.stem != QUICKSTART, path.name, str(path)))
    notebooks = [path.relative_to(ROOT) for path in in_order]
    assert len(notebooks) == EXPECTED, f'{len(notebooks)} notebooks found, {EXPECTED} expected (tools/notebooks.py)'
    return notebooks


def read_cells(path):
    "Return `(cell type, source)` of every cell of a notebook."
    cells = json.loads((ROOT/path).read_text(encoding='utf-8'))['cells']
    return [(cell['cell_type'], ''.join(cell['source'])) for cell in cells]


def module_of(path):
    "Return the module that a notebook exports, such as `data.catalog`, or an empty string."
    for kind, source in read_cells(path):
        match = re.match(r'#\| default_exp ([\w.]+)', source)
        if kind == 'code' and match: return match[1]
    return ''

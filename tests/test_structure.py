"What holds for all notebooks together: order of imports, size of cells, links."
import ast, json, re, statistics
from pathlib import Path
import pytest

NBS = sorted(Path('nbs').glob('*.ipynb'))
cells = {p.stem: json.loads(p.read_text())['cells'] for p in NBS}
text = lambda c: ''.join(c['source'])
module = {m[1]: stem for stem,cs in cells.items() for c in cs if (m := re.match(r'#\| default_exp (\w+)', text(c)))}

def exported(stem):
    "Export cells of a notebook that hold more than imports, as lists of lines of code."
    out = [[l for l in text(c).splitlines() if l.strip() and not l.startswith('#|')] for c in cells[stem] if c['cell_type'] == 'code' and re.match(r'#\|\s*export', text(c))]
    return [x for x in out if not all(isinstance(n, (ast.Import, ast.ImportFrom)) for n in ast.parse('\n'.join(x)).body)]

def test_imports_point_to_lower_numbers():
    wrong = [(stem, n.module or n.names[0].name) for name,stem in module.items() for n in ast.walk(ast.parse(Path(f'embedding_search/{name}.py').read_text()))
             if isinstance(n, ast.ImportFrom) and n.level == 1 and module.get(n.module, '99') >= stem]
    assert not wrong

def test_export_cells_are_short():
    sizes = sorted(len(c) for stem in cells for c in exported(stem))
    assert sizes[-1] <= 40, [(stem, len(c), c[0]) for stem in cells for c in exported(stem) if len(c) > 40]
    assert statistics.median(sizes) <= 10 and sizes[int(.9*len(sizes))] <= 25

@pytest.mark.parametrize('stem', cells)
def test_prose_between_code(stem):
    "No more than three code cells in a row that a reader sees."
    seen = ''.join('p' if c['cell_type'] != 'code' else 'c' for c in cells[stem] if not re.match(r'#\|\s*(hide|default_exp)', text(c)))
    assert 'cccc' not in seen, f"{stem}: {max(map(len, seen.split('p')))} code cells in a row"

def slug(title): return re.sub(r'[^\w\- ]', '', title.lower()).strip().replace(' ', '-')

@pytest.mark.parametrize('page', [*NBS, *map(Path, ('README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'benchmarks/README.md')), *Path('data').glob('*/README.md')], ids=str)
def test_links_lead_somewhere(page):
    said = '\n'.join(text(c) for c in cells[page.stem] if c['cell_type'] == 'markdown') if page.suffix == '.ipynb' else page.read_text()
    said = re.sub(r'```.*?```', '', said, flags=re.S)
    for link in re.findall(r'\]\(([^)\s]+)\)', said):
        if link.startswith(('http://', 'https://')): continue
        file, _, anchor = link.partition('#'); target = page.parent/file if file else page
        assert target.exists(), f'{page}: {link}'
        if anchor: assert anchor in {slug(h) for h in re.findall(r'^#+ (.+)$', '\n'.join(text(c) for c in cells[target.stem]) if target.suffix == '.ipynb' else target.read_text(), re.M)}, f'{page}: {link}'

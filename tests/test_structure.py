"Check what holds for all notebooks together: order of imports, size of cells, prose, links."
import ast
import importlib
import json
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[1]/'tools'))
from notebooks import QUICKSTART, find_notebooks, module_of, read_cells

NOTEBOOKS = find_notebooks()
CELLS = {path: read_cells(path) for path in NOTEBOOKS}
NUMBER_OF = {module_of(path): int(path.name[:2]) for path in NOTEBOOKS if module_of(path)}
DOCUMENTS = [*map(Path, ('README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'benchmarks/README.md')),
             *Path('data').glob('*/README.md'), *Path('docs').glob('*.md')]
POSIX_ONLY = ['fcntl', 'resource', 'uvloop', 'pwd', 'grp', 'termios', 'pty']


def module_path(name): return Path('embedding_search')/f"{name.replace('.', '/')}.py"


def imported_modules(name):
    "List the modules of this project that a module imports, wherever the import is."
    package = name.split('.')[:-1]
    for node in ast.walk(ast.parse(module_path(name).read_text())):
        if not isinstance(node, ast.ImportFrom): continue
        names = (node.module or '').split('.')
        if node.level: yield '.'.join([*package[:len(package) - node.level + 1], *filter(None, names)])
        elif names[0] == 'embedding_search': yield '.'.join(names[1:])


def exported_cells(path):
    "List the export cells of a notebook that hold more than imports, each as its lines of code."
    for kind, source in CELLS[path]:
        if kind != 'code' or not re.match(r'#\|\s*export', source): continue
        lines = [line for line in source.splitlines() if line.strip() and not line.startswith('#|')]
        statements = ast.parse('\n'.join(lines)).body
        if not all(isinstance(statement, ast.Import | ast.ImportFrom) for statement in statements): yield lines


def test_numbers_are_consecutive():
    numbers = [int(path.name[:2]) for path in NOTEBOOKS if path.stem not in ('index', QUICKSTART)]
    assert sorted(numbers) == list(range(len(numbers)))


@pytest.mark.parametrize('name', NUMBER_OF)
def test_module_lies_in_the_folder_of_its_notebook(name):
    path = next(path for path in NOTEBOOKS if module_of(path) == name)
    assert path.parent/path.stem[3:] == Path('nbs')/name.replace('.', '/')
    assert module_path(name).exists()


@pytest.mark.parametrize('name', NUMBER_OF)
def test_imports_point_to_lower_numbers(name):
    wrong = [other for other in imported_modules(name) if NUMBER_OF.get(other, -1) >= NUMBER_OF[name]]
    assert not wrong


def test_export_cells_are_short():
    cells = [(path, lines) for path in NOTEBOOKS for lines in exported_cells(path)]
    sizes = sorted(len(lines) for _, lines in cells)
    assert sizes[-1] <= 40, [(str(path), lines[0]) for path, lines in cells if len(lines) > 40]
    assert statistics.median(sizes) <= 15
    assert sizes[int(.9 * len(sizes))] <= 28


@pytest.mark.parametrize('path', NOTEBOOKS, ids=str)
def test_prose_between_code(path):
    "No more than three visible code cells follow each other."
    visible = [(kind, source) for kind, source in CELLS[path] if not re.match(r'#\|\s*(hide|default_exp)', source)]
    letters = ''.join('c' if kind == 'code' else 'p' for kind, _ in visible)
    longest = max(map(len, letters.split('p')))
    assert longest <= 3, f'{path}: {longest} code cells in a row'


@pytest.mark.parametrize('path', NOTEBOOKS, ids=str)
def test_no_stored_errors(path):
    cells = json.loads(path.read_text())['cells']
    assert not [output for cell in cells for output in cell.get('outputs', []) if output['output_type'] == 'error']


def headings(document):
    "List the anchors of a document."
    titles = re.findall(r'^#+ (.+)$', prose_of(document), re.M)
    return {re.sub(r'[^\w\- ]', '', title.lower()).strip().replace(' ', '-') for title in titles}


def prose_of(document):
    "Return the Markdown of a document without code blocks."
    text = document.read_text()
    if document.suffix == '.ipynb':
        text = '\n'.join(source for kind, source in read_cells(document) if kind == 'markdown')
    return re.sub(r'```.*?```', '', text, flags=re.S)


@pytest.mark.parametrize('document', [*NOTEBOOKS, *DOCUMENTS], ids=str)
def test_links_lead_somewhere(document):
    for link in re.findall(r'\]\(([^)\s]+)\)', prose_of(document)):
        if link.startswith(('http://', 'https://')): continue
        file, _, anchor = link.partition('#')
        target = document.parent/file if file else document
        assert target.exists(), f'{document}: {link}'
        if anchor: assert anchor in headings(target), f'{document}: {link}'


def test_modules_import_without_posix():
    "Every module imports on a system that has none of the POSIX-only modules."
    code = f"""
import importlib, sys
for name in {POSIX_ONLY}: sys.modules[name] = None
for name in {sorted(NUMBER_OF)}: importlib.import_module('embedding_search.' + name)
"""
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_searcher_is_at_the_top():
    package = importlib.import_module('embedding_search')
    assert package.Searcher.__module__ == 'embedding_search.search.searcher'
    assert not hasattr(package, 'absent')


def test_workflow_only_calls_make():
    "Everything that CI runs can be run by hand with make."
    workflow = yaml.safe_load(Path('.github/workflows/test.yml').read_text())
    commands = [step['run'] for job in workflow['jobs'].values() for step in job['steps'] if 'run' in step]
    targets = set(re.findall(r'^([a-z-]+):', Path('Makefile').read_text(), re.M))
    assert commands
    assert {command.removeprefix('make ') for command in commands} <= targets


def test_hooks_are_local():
    "The hooks of pre-commit use the tools of this environment."
    hooks = yaml.safe_load(Path('.pre-commit-config.yaml').read_text())['repos']
    assert {repository['repo'] for repository in hooks} == {'local'}

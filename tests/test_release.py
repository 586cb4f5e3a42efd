"The package as others install it."
import importlib.util
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE_FILES = ['index.html', 'worker.js', 'sw.js', 'embedding-search.js', 'embedding-search.d.ts', 'runtime.wasm']


def load_tool(name):
    "Import a script of `tools/`."
    spec = importlib.util.spec_from_file_location(name, ROOT / 'tools' / f'{name}.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


def test_wheel_in_a_clean_environment(tmp_path):
    "Wheel and source archive build. The wheel has the page and searches its sample without PyTorch."
    built = load_tool('release').main(tmp_path)
    assert 'lock-open' in built['found']
    assert built['wheel_mb'] < 14
    wheel, = tmp_path.glob('*.whl')
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f'embedding_search/web/{name}' for name in PAGE_FILES} <= names
    assert any(name.startswith('embedding_search/web/assets/ort-') for name in names)

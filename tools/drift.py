"Fail if the exported package, README.md or the notebooks' metadata differ from what the notebooks produce."
import shutil
import subprocess
import sys
from pathlib import Path

from notebooks import find_notebooks, module_of

PACKAGE = Path('embedding_search')


def modules():
    "List the exported modules."
    names = [module_of(path) for path in find_notebooks()]
    return [PACKAGE/f"{name.replace('.', '/')}.py" for name in names if name]


def snapshot():
    "Read everything that is generated."
    files = [*PACKAGE.rglob('*.py'), *find_notebooks(), Path('README.md')]
    return {str(file): file.read_bytes() for file in files}


def python(*args):
    subprocess.run([sys.executable, *args], check=True, stdout=subprocess.DEVNULL)


def regenerate():
    "Export all modules from nothing, clean the notebooks and build README.md."
    python('-c', 'import nbdev; nbdev.nbdev_export()')
    python('-c', 'from nbdev.clean import nbdev_clean; nbdev_clean()')
    python('tools/docs.py', '--readme')


def main():
    before = snapshot()
    for file in [*PACKAGE.rglob('*.py')]:
        if file.name != '__init__.py': file.unlink()
    try:
        regenerate()
        after = snapshot()
    except BaseException:
        for file, content in before.items(): Path(file).write_bytes(content)
        raise
    finally:
        shutil.rmtree('_proc', ignore_errors=True)
    missing = [str(file) for file in modules() if not file.exists()]
    drifted = sorted(file for file in before.keys() | after.keys() if before.get(file) != after.get(file))
    if missing or drifted:
        print('not what the notebooks produce (run nbdev_export, nbdev_clean and `make readme`, then commit):')
        print(*missing, *drifted, sep='\n')
        sys.exit(1)
    print(f'{len(find_notebooks())} notebooks, {len(modules())} modules and README.md agree')


if __name__ == '__main__': main()

"Draw the pictures of README and documentation into nbs/images (`make pictures`); needs runs/demo."
import ast
import json
import re
import sys
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.patches import FancyBboxPatch
from notebooks import find_notebooks, module_of

sys.path.insert(0, 'benchmarks')
from tab import BACK, opened

matplotlib.use('Agg')
IMAGES = Path('nbs/images')
GRAY = '#555'
RED = '#b0563b'


def save(fig, name):
    "Save a figure without a date, so that equal pictures are equal files."
    options = dict(metadata={'Date': None}) if name.endswith('svg') else dict(dpi=110)
    fig.savefig(IMAGES/name, bbox_inches='tight', **options)
    plt.close(fig)


def draw_page(query='heart infected by tb', run=Path('runs/demo')):
    "Take a screenshot of the search page in Chromium."
    with opened(run/'site', viewport=dict(width=900, height=640)) as tab:
        tab.evaluate(BACK, [query])
        tab.wait_for_timeout(500)
        tab.screenshot(path=IMAGES/'page.png')


def draw_before_after(metric='Recall@5'):
    "Plot what keywords, the base model and the shipped search find in the full run."
    evaluation = json.loads(Path('data/icd10cm/results/full.json').read_text())['evaluation']
    systems = {
        'BM25': ('keywords (BM25)', '#b0b0b0'),
        'base': ('base model', '#7fa7c9'),
        'shipped': ('this search', '#0b5fa5'),
    }
    test_sets = {'eval queries': 'wordings by experts', 'held-out titles': 'written queries, held-out titles'}
    fig, ax = plt.subplots(figsize=(7.5, 2.6))
    for i, (system, (label, color)) in enumerate(systems.items()):
        results = [evaluation['results'][test_set][system] for test_set in test_sets]
        values = np.array([100 * result['strict'][metric] for result in results])
        low, high = np.array([[100 * end for end in result['interval'][metric]] for result in results]).T
        y = np.arange(len(test_sets)) + (i-1) * .26
        ax.barh(y, values, .25, color=color, label=label, xerr=[values-low, high-values], error_kw=dict(lw=1))
        for value, position, end in zip(values, y, high, strict=True):
            ax.text(end + .8, position, f'{value:.0f}%', va='center', fontsize=9)
    labels = [f"{label}\n({evaluation['sizes'][test_set]:,})" for test_set, label in test_sets.items()]
    n_titles = re.search(r'[0-9,]+', evaluation['corpus'])[0]
    ax.set(yticks=range(len(test_sets)), yticklabels=labels, xlim=(0, 100))
    ax.set_xlabel(f'right title among the first five of {n_titles} (%)')
    ax.invert_yaxis()
    ax.grid(axis='y')
    ax.legend(loc='lower left', bbox_to_anchor=(0, 1), ncol=3, frameon=False)
    save(fig, 'before_after.svg')


PIECES = {
    'your data': ['catalog', 'families', 'queries', 'split', 'negatives'],
    'the model': ['training', 'interpolation', 'export', 'ngrams', 'closed_catalog'],
    'the search': ['searcher', 'store', 'site', 'service', 'logs'],
    'the proof': ['metrics', 'systems', 'diagnosis', 'gate', 'report'],
}


def draw_pieces():
    "Draw the stages in the order of the data, with the numbers of their notebooks."
    number_of = {path.stem[3:]: path.stem[:2] for path in find_notebooks()}
    fig, ax = plt.subplots(figsize=(9, 4))
    ax.axis('off')
    ax.set(xlim=(-2, 9.2), ylim=(-5.8, .8))
    arrow = dict(arrowstyle='-|>', color=GRAY, lw=1.2, shrinkA=0, shrinkB=0)
    for row, ((label, names), color) in enumerate(zip(PIECES.items(), sns.color_palette('pastel'), strict=False)):
        y = -1.7 * row
        ax.text(-1.95, y, label, va='center', fontsize=10, style='italic', color='#444')
        for column, name in enumerate(names):
            x = 1.8 * column
            shape = 'round,pad=.02,rounding_size=.12'
            ax.add_patch(FancyBboxPatch((x - .05, y - .45), 1.35, .9, boxstyle=shape, fc=color, ec='#777'))
            ax.text(x + .62, y, f"{name.replace('_', ' ')}\n{number_of[name]}", ha='center', va='center', fontsize=9)
            if column < 4: ax.annotate('', (x + 1.73, y), (x + 1.32, y), arrowprops=arrow)
        if row < 2:
            ax.plot([8.55, 8.75, 8.75, -.3, -.3], [y, y, y - .85, y - .85, y - 1.7], color=GRAY, lw=1.2)
            ax.annotate('', (-.07, y - 1.7), (-.3, y - 1.7), arrowprops=arrow)
    ax.plot([8.55, 8.95, 8.95, 4.2], [-3.4, -3.4, .62, .62], color=RED, lw=1.2, ls='--')
    ax.annotate('', (4.2, .47), (4.2, .64), arrowprops=arrow | dict(color=RED))
    ax.text(8.9, .66, 'clicks become training pairs', ha='right', va='bottom', fontsize=8, color=RED)
    save(fig, 'pieces.svg')


def imported_names(module, modules):
    "List the modules of this project that a module imports."
    package = module.split('.')[:-1]
    source = Path(f"embedding_search/{module.replace('.', '/')}.py").read_text()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ImportFrom) or not node.level: continue
        name = '.'.join([*package[:len(package) - node.level + 1], node.module or ''])
        if name in modules: yield name


def draw_imports():
    "Draw which module imports which: nothing above the diagonal."
    number_of = {module_of(path): path.stem[:2] for path in find_notebooks() if module_of(path)}
    modules = list(number_of)
    grid = np.full((len(modules), len(modules)), np.nan)
    for i, module in enumerate(modules):
        for name in imported_names(module, modules): grid[i, modules.index(name)] = 1
    labels = [f'{number_of[module]} {module}' for module in modules]
    fig, ax = plt.subplots(figsize=(8.5, 8))
    ax.plot([-.5, len(modules) - .5], [-.5, len(modules) - .5], color='#bbb', lw=1)
    ax.imshow(grid, cmap='Blues', vmin=0, vmax=1.3)
    ax.set(xticks=range(len(modules)), yticks=range(len(modules)), title='Each row imports only what comes before it')
    ax.set_xticklabels(labels, rotation=90, fontsize=7)
    ax.set_yticklabels(labels, fontsize=7)
    ax.grid(lw=.3)
    save(fig, 'imports.svg')


def main():
    IMAGES.mkdir(exist_ok=True)
    sns.set_theme(style='whitegrid', palette='colorblind')
    plt.rcParams.update({'svg.fonttype': 'none', 'svg.hashsalt': 'embedding_search', 'font.family': 'sans-serif'})
    drawings = dict(before_after=draw_before_after, pieces=draw_pieces, imports=draw_imports, page=draw_page)
    for name in sys.argv[1:] or drawings: drawings[name]()


if __name__ == '__main__': main()

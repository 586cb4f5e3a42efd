"Draw the plots of README and documentation into nbs/images, from the committed results (`make pictures`)."
import ast
import json
import sys
from functools import partial
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.patches import FancyBboxPatch
from notebooks import find_notebooks, module_of

matplotlib.use('Agg')
IMAGES = Path('nbs/images')
GRAY = '#555'
RED = '#b0563b'


def save(fig, name):
    "Save a figure without a date, so that equal pictures are equal files."
    options = dict(metadata={'Date': None}) if name.endswith('svg') else dict(dpi=110)
    fig.savefig(IMAGES/name, bbox_inches='tight', **options)
    plt.close(fig)


METRIC = 'Recall@5'
PANELS = ( # Run, test set and title of each panel
    ('full', 'eval queries', 'ICD-10-CM:\nexpert wordings'),
    ('full', 'held-out titles', 'ICD-10-CM:\nheld-out titles'),
    ('full', 'held-out queries', 'ICD-10-CM:\nheld-out queries'),
    ('mdi', 'eval queries', 'icons:\naliases'),
)
RESULTS = dict(full='data/icd10cm/results/full.json', mdi='data/mdi/results.json')
STEPS = { # System, what it adds to the one before, and the color of the bar
    'base': ('base model', '#9fbdd6'),
    'fine-tuned INT8': ('+ fine-tuning', '#4a90c2'),
    'shipped, vectors only': ('+ closed-catalog learning', '#e08b3e'),
    'shipped': ('shipped: + BM25', '#0b5fa5'),
}
NO_ALTERNATIVE = ('BM25', 'base', 'shipped')


def read_json(path): return json.loads(Path(path).read_text())


def recall(result): return 100 * result['strict'][METRIC]


def read_alternatives():
    "Return what `benchmarks/peers.py` measured: run, test set, system to results; empty if it has not run."
    measured = [read_json(path) for path in sorted(Path('benchmarks/results').glob('peers*.json'))]
    return {found['run']: found['results'] for found in measured}


def strongest_alternative(alternatives):
    "Return the system with the best mean over the test sets of the full run; empty if none was measured."
    test_sets = [test_set for run, test_set, _ in PANELS if run == 'full']
    measured = alternatives.get('full', {})
    if not measured: return ''
    systems = [name for name in measured[test_sets[0]] if name not in NO_ALTERNATIVE]
    return max(systems, key=partial(mean_recall, [measured[name] for name in test_sets]), default='')


def mean_recall(results, system):
    "Return the mean of a system over several test sets."
    return np.mean([recall(found[system]) for found in results])


def reference_bars(results, others, alternative):
    "List the bars of other systems: label, start, end and color; the end is `None` if it was not measured."
    bars = [('keywords (BM25)', 0, recall(results['BM25']), '#b0b0b0')]
    if alternative:
        end = recall(others[alternative]) if alternative in others else None
        bars.append((alternative, 0, end, '#b0b0b0'))
    return bars


def step_bars(results):
    "List the bars of the waterfall; the last one is the sum."
    bars = []
    before = 0
    for system, (label, color) in STEPS.items():
        after = recall(results[system])
        start = 0 if system == 'shipped' else before
        bars.append((label, start, after, color))
        before = after
    return bars


def draw_waterfall():
    "Plot what each part of the search adds on each test set, below keywords and the strongest alternative."
    alternatives = read_alternatives()
    alternative = strongest_alternative(alternatives)
    fig, axes = plt.subplots(1, len(PANELS), figsize=(10, 2.7), sharex=True, sharey=True)
    for ax, (run, test_set, title) in zip(axes, PANELS, strict=True):
        evaluation = read_json(RESULTS[run])['evaluation']
        others = alternatives.get(run, {}).get(test_set, {})
        results = evaluation['results'][test_set]
        bars = [*reference_bars(results, others, alternative), *step_bars(results)]
        for place, bar in enumerate(bars): draw_bar(ax, place, *bar[1:])
        ax.set_yticks(range(len(bars)), [label for label, *_ in bars])
        ax.set_title(f"{title} ({evaluation['sizes'][test_set]:,})", fontsize=9.5)
        ax.tick_params(labelsize=9)
        ax.grid(visible=False, axis='y')
    axes[0].set(xlim=(0, 100), xticks=(0, 25, 50, 75))
    axes[0].invert_yaxis()
    fig.supxlabel(f'{METRIC}: right title among the first five (%)', fontsize=9.5, y=-.04)
    fig.subplots_adjust(wspace=.1)
    save(fig, 'waterfall.svg')


def draw_bar(ax, place, start, end, color):
    "Draw one bar and its value; a step shows what it adds."
    if end is None:
        ax.text(2, place, 'not measured', va='center', fontsize=8.5, color=GRAY)
        return
    ax.barh(place, end - start, left=start, color=color, height=.72)
    value = f'{end - start:+.1f}' if start else f'{end:.1f}'
    style = dict(va='center', fontsize=8.5)
    if max(start, end) < 80: ax.text(max(start, end) + 2, place, value, **style)
    elif start: ax.text(min(start, end) - 2, place, value, ha='right', **style)
    else: ax.text(end - 2, place, value, ha='right', color='white', **style)


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
    drawings = dict(waterfall=draw_waterfall, pieces=draw_pieces, imports=draw_imports)
    for name in sys.argv[1:] or drawings: drawings[name]()


if __name__ == '__main__': main()

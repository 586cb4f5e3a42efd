"""Make the pictures of README and documentation in nbs/images, from runs/demo, the committed results and the modules' imports: `make pictures`."""
import ast, json, re, sys
from pathlib import Path
import matplotlib; matplotlib.use('Agg')
import matplotlib.pyplot as plt, numpy as np, seaborn as sns
from matplotlib.patches import FancyBboxPatch

sys.path.insert(0, 'benchmarks')
from tab import BACK, opened

OUT = Path('nbs/images')
sns.set_theme(style='whitegrid', palette='colorblind'); plt.rcParams.update({'svg.fonttype': 'none', 'svg.hashsalt': 'embedding_search', 'font.family': 'sans-serif'})
def save(fig, name): fig.savefig(OUT/name, bbox_inches='tight', **(dict(metadata={'Date': None}) if name.endswith('svg') else dict(dpi=110))); plt.close(fig)

def page(query='heart infected by tb', run=Path('runs/demo')):
    "The search page in use, in Chromium."
    with opened(run/'site', viewport=dict(width=900, height=640)) as tab:
        tab.evaluate(BACK, [query]); tab.wait_for_timeout(500); tab.screenshot(path=OUT/'page.png')

def before_after(metric='Recall@5'):
    "What is found among the first five before and after, in the full run."
    r = json.loads(Path('data/icd10cm/results/full.json').read_text())['evaluation']; show = {'BM25': 'keywords (BM25)', 'base': 'base model', 'shipped': 'this search'}
    fig, ax = plt.subplots(figsize=(7.5, 2.6)); parts = {'human': "human experts' wordings", 'unseen titles': 'written queries, unseen titles'}
    for i,(s,c) in enumerate(zip(show, ('#b0b0b0', '#7fa7c9', '#0b5fa5'))):
        v = [r['results'][p][s] for p in parts]; x = [100*w['strict'][metric] for w in v]; low, high = ([100*w['interval'][metric][k] for w in v] for k in (0, 1))
        y = np.arange(len(parts))+(i-1)*.26; ax.barh(y, x, .25, color=c, label=show[s], xerr=[np.subtract(x, low), np.subtract(high, x)], error_kw=dict(lw=1))
        for a,b,h in zip(x, y, high): ax.text(h+.8, b, f'{a:.0f}%', va='center', fontsize=9)
    ax.set(yticks=range(len(parts)), yticklabels=[f"{t}\n({r['sizes'][p]:,})" for p,t in parts.items()], xlim=(0, 100), xlabel=f'right title among the first five of {re.search(r"[0-9,]+", r["corpus"])[0]} (%)'); ax.invert_yaxis(); ax.grid(axis='y')
    ax.legend(loc='lower left', bbox_to_anchor=(0, 1), ncol=3, frameon=False); save(fig, 'before_after.svg')

ROWS = [('your data', ['catalog\n01', 'families\n02', 'queries\n03, 08-12', 'split\n04', 'negatives\n13']), ('the model', ['train\n14', 'guard\n15', 'ONNX INT8\n16', 'shift\n17', 'static\n18']),
        ('the search', ['index\n19, 28', 'Python\n19', 'browser tab\n27', 'REST\n30', 'search logs\n11']), ('the proof', ['metrics\n05', 'evaluate\n20', 'failures\n21', 'gate\n23', 'report\n24'])]

def pieces():
    "Stages in the order of the data, with the numbers of their notebooks."
    fig, ax = plt.subplots(figsize=(9, 4.2)); ax.axis('off'); ax.set(xlim=(-2, 9), ylim=(-6.1, .7))
    arrow = lambda a, b, **k: ax.annotate('', b, a, arrowprops=dict(arrowstyle='-|>', color='#555', lw=1.2, shrinkA=0, shrinkB=0, **k))
    for j,((label,names),colour) in enumerate(zip(ROWS, sns.color_palette('pastel'))):
        ax.text(-1.95, -1.7*j, label, va='center', fontsize=10, style='italic', color='#444')
        for i,n in enumerate(names):
            ax.add_patch(FancyBboxPatch((1.8*i-.05, -1.7*j-.45), 1.3, .9, boxstyle='round,pad=.02,rounding_size=.12', fc=colour, ec='#777'))
            ax.text(1.8*i+.6, -1.7*j, n, ha='center', va='center', fontsize=9)
            if i < 4 and j != 2: arrow((1.8*i+1.3, -1.7*j), (1.8*i+1.7, -1.7*j))
    for j in (0, 1): ax.plot([8.55, 8.75, 8.75, -.3, -.3], [-1.7*j]*2+[-1.7*j-.85]*2+[-1.7*j-1.7], color='#555', lw=1.2); arrow((-.3, -1.7*j-1.7), (-.07, -1.7*j-1.7))
    ax.plot([.6, .6, 6], [-3.87, -4.12, -4.12], color='#555', lw=1.2); ax.plot([2.4, 7.8, 7.8], [-2.68, -2.68, -2.9], color='#b0563b', lw=1.2, ls='--')
    for x in (2.4, 4.2, 6.): arrow((x, -4.13), (x, -3.87)); ax.plot([x, x], [-2.93, -2.68], color='#b0563b', lw=1.2, ls='--')
    back = dict(arrowstyle='-|>', color='#b0563b', lw=1.2, shrinkA=0, shrinkB=0)
    ax.annotate('', (7.8, -2.93), (7.8, -2.7), arrowprops=back); ax.plot([8.55, 8.9, 8.9, 4.2], [-3.4, -3.4, .62, .62], color='#b0563b', lw=1.2, ls='--'); ax.annotate('', (4.2, .47), (4.2, .64), arrowprops=back)
    ax.text(8.85, .66, 'clicks become training pairs', ha='right', va='bottom', fontsize=8, color='#b0563b')
    save(fig, 'pieces.svg')

def imports():
    "Which module imports which: nothing above the diagonal."
    number = {m[1]: p.stem[:2] for p in sorted(Path('nbs').glob('*.ipynb')) if (m := re.search(r'#\| default_exp (\w+)', p.read_text()))}; names = list(number)
    grid = np.zeros((len(names),)*2)
    for i,n in enumerate(names):
        for x in ast.walk(ast.parse(Path(f'embedding_search/{n}.py').read_text())):
            if isinstance(x, ast.ImportFrom) and x.level == 1 and x.module in number: grid[i, names.index(x.module)] = 1
    fig, ax = plt.subplots(figsize=(7.5, 7)); ax.plot([-.5, len(names)-.5], [-.5, len(names)-.5], color='#bbb', lw=1)
    ax.imshow(np.where(grid > 0, 1., np.nan), cmap='Blues', vmin=0, vmax=1.3); labels = [f'{number[n]} {n}' for n in names]
    ax.set(xticks=range(len(names)), yticks=range(len(names)), title='Each row imports only what stands before it'); ax.set_xticklabels(labels, rotation=90, fontsize=7); ax.set_yticklabels(labels, fontsize=7); ax.grid(lw=.3); save(fig, 'imports.svg')

if __name__ == '__main__':
    OUT.mkdir(exist_ok=True); before_after(); pieces(); imports(); page()

"""Compare what runs measured with the targets of the ICD-10-CM catalog.

    python benchmarks/protocol.py runs/full
    python benchmarks/protocol.py runs/full --icons runs/mdi --demo runs/demo

`data/icd10cm/targets.toml` lists the targets. Values come from `evaluation.json` of each run, sizes from its site and
times from its manifest; nothing is measured here. Sizes with Brotli need a site that was built with
`--set site.brotli=true`.

A target that compares with earlier results reads them from the row `shipped of ...` of the same run
(`evaluation.against`), which has the same queries and slices for certain. Without such a row, it reads the file of
--before, by default what `earlier_results.py` wrote, or that of --icons-before: `evaluation.json` of a run, or
committed results, such as what `git show f2f971b:data/mdi/results.json` prints.

Prints a table, and writes it to `results/protocol.md` and `results/protocol.json`. Exits with 1 if a target is missed
or not measured."""
import argparse
import gzip
import json
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

from traces import RESULTS, trace, write_json

from embedding_search.evaluation.gate import shown_name
from embedding_search.evaluation.report import markdown_table

MEASURES = ('data/icd10cm/targets.toml', 'embedding_search/evaluation/gate.py')
TARGETS = Path('data/icd10cm/targets.toml')
TRANSFORMER = {'runtime', 'tokenizer', 'graph', 'vectors_more', 'texts'} # Files of a site
REFINEMENT = {'vectors_fine', 'table_fine'}
PAGES = { # What a visitor has not downloaded yet
    'MB until the page answers by meaning': TRANSFORMER | REFINEMENT,
    'MB of the page without transformer': TRANSFORMER,
    'MB of the whole page': set(),
}
CODE = {'.html', '.css', '.js', '.json'} # Files of the page that hosts compress
BROTLI = ', Brotli' # Ends the name of a size over a host that sends the `.br` files (`site.brotli`)


class Value(NamedTuple):
    "A measured number with its 95% interval."
    value: float
    low: float | None = None
    high: float | None = None

    def __str__(self): return f'{self.value:.1f}'

    @property
    def interval(self): return '' if self.low is None else f'{self.low:.1f} … {self.high:.1f}'


def read_evaluation(path):
    "Read `evaluation.json` of a run, or a file that holds it."
    if path is None or not Path(path).exists(): return None
    found = json.loads(Path(path).read_text())
    return found.get('evaluation', found)


def part_bytes(part, brotli):
    "Return the bytes of a part of a site."
    return part['br']['size'] if brotli else part['size']


def page_megabytes(run, later, brotli):
    "Return MB (10^6 bytes) of a first visit to the page of a run without the files `later`; None without a page."
    site = run/'site'
    if not (site/'site.json').exists(): return None
    files = json.loads((site/'site.json').read_text())['files']
    if brotli and not all('br' in part for file in files.values() for part in file['parts']): return None
    data = [sum(part_bytes(part, brotli) for part in files[name]['parts']) for name in files.keys() - later]
    code = [path for path in (*site.glob('*.*'), *(site/'assets').rglob('*.*')) if path.suffix in CODE]
    return Value((sum(data) + sum(len(gzip.compress(path.read_bytes())) for path in code)) / 1e6)


def stage_minutes(run):
    "Return the minutes of all stages of a run."
    manifest = json.loads((run/'manifest.json').read_text())
    return Value(sum(stage.get('seconds', 0) for stage in manifest.values() if isinstance(stage, dict)) / 60)


def percent(mean, interval=None):
    "Return a share and its interval in percent."
    return Value(100 * mean, *(100 * end for end in interval or ()))


def find_value(evaluation, target, system):
    "Find the value of a target in an evaluation; None if it was not measured."
    test_set = target['test_set']
    metric = target['metric']
    systems = evaluation.get('probe') if test_set == 'everyday probe' else evaluation['results'].get(test_set)
    result = (systems or {}).get(system)
    if 'slice' in target: result = (result or {}).get('slices', {}).get(target['slice'])
    if not result: return None
    if 'slice' in target: return percent(result[metric], result.get('interval'))
    if metric == 'improved per regressed':
        return Value(result['movement']['ratio'], *result['movement'].get('ratio_interval', ()))
    if metric == '% lost from the top 5':
        return percent(result['movement']['lost5'] / evaluation['sizes'][test_set],
                       result['movement'].get('lost5_interval'))
    if metric == 'points over base':
        gain, low, high = result['gain']['Recall@5']
        return percent(gain, (low, high))
    return percent(result['strict'][metric], result['interval'][metric])


def find_before(evaluation, before, target, system):
    "Find the earlier value of a target: in the row of another run, or in an earlier evaluation."
    results = evaluation['results'].get(target['test_set'], {})
    others = [name for name in results if name.startswith('shipped of ')]
    if others and system == 'shipped': return find_value(evaluation, target, others[0])
    return find_value(before, target, system) if before else None


def measure(target, run, evaluation):
    "Find the value of a target; None if it was not measured."
    if run is None: return None
    page = target['metric'].removesuffix(BROTLI)
    if page in PAGES: return page_megabytes(run, PAGES[page], brotli=page != target['metric'])
    if target['metric'] == 'minutes of all stages': return stage_minutes(run)
    return find_value(evaluation, target, target.get('system', 'shipped')) if evaluation else None


def describe_limit(target, before):
    "Say in words what a target demands."
    if target.get('before'): return f'not below {before}' if before else 'not below an earlier result'
    words = {'at_least': 'at least', 'at_most': 'at most', 'stretch': 'stretch'}
    return ', '.join(f'{text} {target[key]:g}' for key, text in words.items() if key in target)


def is_reached(target, value, before):
    "Say whether a value reaches its target; None if something was not measured."
    if value is None or (target.get('before') and before is None): return None
    if target.get('before'): return value.value >= before.value
    if 'at_most' in target: return value.value <= target['at_most']
    return value.value >= target['at_least']


def reaches_stretch(target, value):
    "Say whether a value reaches the stretch target, if there is one."
    if 'stretch' not in target: return False
    return value.value <= target['stretch'] if 'at_most' in target else value.value >= target['stretch']


def compare(target, run, evaluation, before):
    "Compare one target with what was measured; return a row of the table."
    value = measure(target, run, evaluation)
    system = target.get('system', 'shipped')
    earlier = find_before(evaluation, before, target, system) if evaluation and target.get('before') else None
    reached = is_reached(target, value, earlier)
    result = {None: 'not measured', True: 'pass', False: 'fail'}[reached]
    if reached and reaches_stretch(target, value): result = 'pass, stretch'
    what = [shown_name(evaluation or {}, target.get('test_set', '')), target.get('slice', '')]
    return {
        'run': target.get('run', 'full'),
        'test set': ', '.join(filter(None, what)),
        'system': system if 'test_set' in target else '',
        'metric': target['metric'],
        'value': str(value or ''),
        '95% interval': value.interval if value else '',
        'target': describe_limit(target, earlier),
        'result': result,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', type=Path)
    parser.add_argument('--icons', type=Path, help='run over the icons of data/mdi')
    parser.add_argument('--demo', type=Path, help='run of `make demo`')
    parser.add_argument('--before', type=Path, default=RESULTS/'earlier_method.json', help='earlier results of the run')
    parser.add_argument('--icons-before', type=Path, help='earlier results of the icons')
    parser.add_argument('--targets', type=Path, default=TARGETS)
    parser.add_argument('--out', type=Path, default=RESULTS, help='folder for protocol.md and protocol.json')
    args = parser.parse_args()
    runs = dict(full=args.run, icons=args.icons, demo=args.demo)
    evaluations = {name: read_evaluation(run and run/'evaluation.json') for name, run in runs.items()}
    before = dict(full=read_evaluation(args.before), icons=read_evaluation(args.icons_before), demo=None)
    rows = []
    for target in tomllib.loads(args.targets.read_text())['target']:
        name = target.get('run', 'full')
        rows.append(compare(target, runs[name], evaluations[name], before[name]))
    table = markdown_table(rows)
    print(table)
    args.out.mkdir(exist_ok=True)
    (args.out/'protocol.md').write_text(f'# Targets\n\n{table}\n')
    write_json(args.out/'protocol.json', dict(rows=rows, trace=trace(MEASURES)))
    sys.exit(any(not row['result'].startswith('pass') for row in rows))


if __name__ == '__main__': main()

"""Compare Recall@5 and MRR of two evaluations, system by system and test set by test set.

    git show COMMIT:data/icd10cm/results/demo.json > before.json
    python tools/compare_results.py before.json data/icd10cm/results/demo.json --rename "human=eval queries"

Takes `evaluation.json` of a run or a file of data/*/results. Exits with 1 if a difference exceeds the tolerance."""
import argparse
import json
import sys
from pathlib import Path

METRICS = ('Recall@5', 'MRR')


def read_results(path):
    "Map `(test set, system, metric)` to percent."
    found = json.loads(Path(path).read_text())
    values = {}
    for test_set, systems in found.get('evaluation', found)['results'].items():
        for name, system in systems.items():
            for metric in METRICS: values[test_set, name, metric] = 100 * system['strict'][metric]
    return values


def rename(results, names):
    "Return the results with test sets and systems renamed."
    return {(names.get(test_set, test_set), names.get(name, name), metric): value
            for (test_set, name, metric), value in results.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('before')
    parser.add_argument('after')
    parser.add_argument('--rename', action='append', default=[], metavar='OLD=NEW', help='a name in both files')
    parser.add_argument('--tolerance', type=float, default=.5, help='points that may differ [0.5]')
    args = parser.parse_args()
    names = dict(pair.split('=', 1) for pair in args.rename)
    before = rename(read_results(args.before), names)
    after = read_results(args.after)
    differing = 0
    for key in before | after:
        values = before.get(key), after.get(key)
        differs = None in values or abs(values[1] - values[0]) > args.tolerance
        differing += differs
        shown = ' → '.join('missing' if value is None else f'{value:.2f}' for value in values)
        print(f"{'DIFFERS' if differs else 'equal  '}  {', '.join(key)}: {shown}")
    print(f'{differing} differ by more than {args.tolerance} points')
    sys.exit(bool(differing))


if __name__ == '__main__': main()

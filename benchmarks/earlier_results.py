"""Evaluate the method that closed-catalog learning replaced, on the test queries of a finished run.

    python benchmarks/earlier_results.py runs/full

Learns with `earlier_method.py` from the transformer, the queries and the split of the run, and searches as the run
does: with both encoders, fused with BM25. Prints a table with what the run ships on the same queries, and writes
`results/earlier_method.json`, which `protocol.py` compares with."""
import argparse
from functools import partial
from pathlib import Path

from catalog_lab import RUN, SEED, CatalogLab
from title_methods import learn_earlier
from traces import RESULTS, trace, write_json

from embedding_search.core import pin_threads
from embedding_search.data.catalog import norm
from embedding_search.evaluation.report import markdown_table
from embedding_search.evaluation.run_evaluation import RunEvaluation
from embedding_search.evaluation.systems import DenseSystem

OUT = RESULTS/'earlier_method.json'
MEASURES = ('benchmarks/earlier_method.py', 'benchmarks/catalog_lab.py', 'embedding_search/evaluation/systems.py')
COMPARED = ('base', 'shipped', 'n-gram encoder') # Systems whose results are kept


def earlier_systems(lab, evaluation):
    "Learn with the earlier method; return its systems by name."
    encoder = lab.encoders[RUN]
    learned = learn_earlier(lab.examples(encoder), SEED)
    number_of = {norm(title): number for number, title in enumerate(lab.titles)}
    titles = learned.titles[[number_of[norm(title)] for title in evaluation.corpus.titles]]

    def encode(texts, with_transformer=True):
        return learned.encode(evaluation.shipped.transformer_vectors(texts), texts, with_transformer)

    vectors = DenseSystem(encode, titles)
    return {
        'shipped': evaluation._hybrid(vectors, evaluation.settings.search),
        'n-gram encoder': DenseSystem(partial(encode, with_transformer=False), titles),
    }


def table_rows(results):
    "Format the results of both methods."
    for test_set, systems in results.items():
        for name, found in systems.items():
            others = found['slices'].get('other titles', {})
            yield {'test set': test_set, 'system': name, 'Recall@5': f"{100 * found['strict']['Recall@5']:.1f}",
                   'MRR': f"{100 * found['strict']['MRR']:.1f}",
                   'Recall@5, other titles': f"{100 * others['Recall@5']:.1f}" if others else ''}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', type=Path)
    parser.add_argument('--work', type=Path, default='runs/closed_catalog', help='folder for vectors')
    args = parser.parse_args()
    pin_threads(2)
    lab = CatalogLab(args.run, args.work)
    evaluation = RunEvaluation(lab.run)
    run_systems = evaluation.systems()
    systems = {'base': run_systems['base']} | earlier_systems(lab, evaluation)
    now = {f'{name}, this run': run_systems[name] for name in ('shipped', 'n-gram encoder')}
    test_sets = evaluation.test_sets()
    found, _ = evaluation.evaluate(systems | now, test_sets)
    shown = {name: result for name, result in found['results'].items() if name in test_sets}
    kept = {name: {system: result[system] for system in COMPARED} for name, result in shown.items()}
    write_json(OUT, dict(evaluation=dict(results=kept, sizes=found['sizes']), trace=trace(MEASURES)))
    print(markdown_table(list(table_rows(shown))))


if __name__ == '__main__': main()

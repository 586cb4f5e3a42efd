"""Measure what a smaller download costs in Recall@5, from keywords alone to full precision.

    python benchmarks/sizes.py --run runs/full                all variants
    python benchmarks/sizes.py --run runs/full small          some of them, and what ships as the baseline
    python benchmarks/sizes.py --run runs/full --latency      only time and size of finished variants, once more
    python benchmarks/sizes.py --run runs/full --codes        only how coarse the numbers of the page may be

Each variant of the run's evaluated model is exported, indexed, evaluated on dev queries (never on test) and opened as a
page in Chromium. Models with fewer layers are trained to encode queries as the run's model does (mean squared error of
the vectors), so the index stays the same. Models with fewer or coarser word pieces are indexed again. Writes
`results/sizes.json`; finished variants are not repeated without `--again`.

`--codes` writes `results/page_codes.json`: Recall@5 of families, its change against float numbers, and megabytes, for
coarser and finer codes of vectors and n-gram table, on at most `--sample` dev queries of each kind. It also says what a
visitor downloads again after the query encoder was trained again, while the titles stayed the same."""
import argparse
import gzip
import json
import os
import random
import shutil
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from fastcore.basics import noop
from lab import Lab, QueryReplacement, probe_recall
from tab import BACK, ELEMENT, opened
from traces import RESULTS, trace

from embedding_search.artifacts import read_artifact, record_hashes, recorded_hashes, sha256_file, write_artifact
from embedding_search.core import pin_threads
from embedding_search.evaluation.metrics import best_ranks, is_shorthand, paired_bootstrap
from embedding_search.evaluation.systems import DenseSystem, KeywordSystem
from embedding_search.model.encoders import OnnxEncoder, TorchEncoder, cached_vectors, load_model
from embedding_search.model.export import export_model, prune_vocabulary
from embedding_search.model.ngrams import NgramEncoder
from embedding_search.model.search_encoders import QueryEncoder, TitleEncoder
from embedding_search.model.title_vectors import MODEL_ARTIFACTS
from embedding_search.model.training import TrainSettings, fine_tune
from embedding_search.search.keyword import Keywords
from embedding_search.search.searcher import build_index, distinct_titles
from embedding_search.search.site import (
    TABLE_LEVELS,
    VECTOR_LEVELS,
    build_site,
    family_vectors,
    ngram_tiers,
    pack_axes,
    pack_vectors,
    site_order,
    table_on_axes,
    vector_codes,
)

OUT = RESULTS/'sizes.json'
CODES_OUT = RESULTS/'page_codes.json'
SHIPPED_CODES = VECTOR_LEVELS, TABLE_LEVELS, 256
CODES = (SHIPPED_CODES, (45, 4, 192), (30, 4, 256), (36, 4, 256), (45, 6, 256), (20, 3, 256)) # Levels, levels, axes
BLOCK = 512 # Queries that are scored at once
MEASURES = ('embedding_search/model/*.py', 'embedding_search/search/site.py', 'web/src/**/*.ts', 'benchmarks/lab.py',
            'benchmarks/tab.py')
LAYERS = 6 # Of the base model
KEPT_LAYERS = {4: (0, 2, 3, 5), 3: (0, 3, 5)} # Layers that a smaller model starts with
TITLES = 25_000 # Titles that smaller models are trained on, in addition to the queries
BASELINE = 'default'


class Variant(NamedTuple):
    "How a model is made smaller, or larger."
    layers: int = LAYERS
    used: bool = False # Keep only the word pieces that catalog and training queries use
    step: float = 0 # Rounding step of word-piece vectors, see `ExportSettings.step`
    full_precision: bool = False # Ship the FP32 graph
    tiers: tuple | None = None # Encoders of the page; by default all

    @property
    def changes_pieces(self): return self.used or self.step > 0

    @property
    def changes_index(self): return self.layers == LAYERS and self.changes_pieces


VARIANTS = {
    BASELINE: Variant(),
    'coarse pieces': Variant(step=.5),
    'coarser pieces': Variant(step=1),
    'used pieces': Variant(used=True),
    'small': Variant(used=True, step=.5),
    '4 layers': Variant(layers=4),
    '3 layers': Variant(layers=3),
    '4 layers, small': Variant(layers=4, used=True, step=.5),
    'full precision': Variant(full_precision=True),
    'ngram': Variant(tiers=('draft', 'ngram')),
    'keywords': Variant(tiers=()),
}


class SizesLab(Lab):
    "Add the run's model and index, and the texts that smaller models are trained on."
    def __init__(self, folder, work):
        super().__init__(folder, work)
        del self.dev['held-out queries']
        self.model = self.folder/'model' # Its transformer is that of the evaluated model, its tables are not
        self.evaluated = self.folder/'evaluated'
        self.titles, numbers = distinct_titles(self.rows)
        self.number_of = {row['id']: int(number) for row, number in zip(self.rows, numbers, strict=True)}
        pairs = self.run.training_pairs()
        self.training_queries = [pair['query'] for pair in pairs]
        self.texts = self.choose_texts()

    def choose_texts(self):
        "Return the training queries and some titles that may be trained on."
        titles = [row['title'] for row in self.rows if self.family_of[row['id']] not in self.heldout]
        titles = list(dict.fromkeys(titles))
        return self.training_queries + random.Random(42).sample(titles, min(TITLES, len(titles)))

    def eval_texts(self): return [query['query'] for query in self.dev['eval queries']]


def train_student(lab, layers):
    "Train a model with fewer layers to encode as the run's model; return its folder and the seconds it took."
    import torch
    from datasets import Dataset
    from sentence_transformers.sentence_transformer.losses import MSELoss
    from sentence_transformers.training_args import BatchSamplers
    out = lab.work/f'student-{layers}'
    seconds_file = out/'seconds.json'
    if seconds_file.exists(): return out/'model', json.loads(seconds_file.read_text())
    begin = time.time()
    model = load_model(str(lab.model))
    key = sha256_file(lab.model/'model.safetensors')
    vectors = cached_vectors(TorchEncoder(model), lab.texts, 'query', lab.work/'teacher', key)

    transformer = model[0].auto_model
    transformer.encoder.layer = torch.nn.ModuleList([transformer.encoder.layer[i] for i in KEPT_LAYERS[layers]])
    transformer.config.num_hidden_layers = layers
    model.save_pretrained(str(out/'first'), safe_serialization=True)
    data = Dataset.from_dict(dict(anchor=lab.texts, label=vectors.tolist())).shuffle(seed=42)
    settings = TrainSettings(base=str(out/'first'), learning_rate=3e-4, evals=1)
    fine_tune(data, out/'model', out/'checkpoints', settings, progress=True, loss=MSELoss,
              sampler=BatchSamplers.BATCH_SAMPLER)
    for name in ('first', 'checkpoints'): shutil.rmtree(out/name)
    seconds = round(time.time() - begin)
    seconds_file.write_text(json.dumps(seconds))
    return out/'model', seconds


def export_variant(lab, variant, source, folder):
    "Export the model in `source` as `folder`."
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns('onnx'))
    if variant.used: prune_vocabulary(folder, [row['title'] for row in lab.rows] + lab.training_queries)
    export_model(folder, variant.step)


def add_tables(lab, folder):
    "Add n-gram encoder and title vectors of the evaluated model, which did not learn the dev queries."
    for name in MODEL_ARTIFACTS:
        arrays = read_artifact(lab.evaluated/'model', name)
        if arrays: write_artifact(folder, name, **arrays)


def ship_full_precision(model):
    "Put the FP32 graph in place of the INT8 graph."
    hashes = recorded_hashes(model)
    shutil.copy(model/'onnx'/'model.onnx', model/'onnx'/'model_quantized.onnx')
    (model/'onnx'/'sha256.json').write_text(json.dumps(hashes | record_hashes(model)))


def build_variant(lab, name, encode=True):
    "Write a run folder that ships a variant; return folder, title vectors, and seconds of training."
    variant = VARIANTS[name]
    folder = lab.work/name.replace(', ', '-').replace(' ', '-')
    shutil.rmtree(folder, ignore_errors=True)
    source, seconds = lab.model, 0
    if variant.layers < LAYERS: source, seconds = train_student(lab, variant.layers)
    if source == lab.model and not variant.changes_pieces: shutil.copytree(lab.model, folder/'model')
    else: export_variant(lab, variant, source, folder/'model')
    add_tables(lab, folder/'model')
    if variant.full_precision: ship_full_precision(folder/'model')

    vectors = np.load(lab.evaluated/'index'/'vectors.npy').astype(np.float32)
    if encode and variant.changes_index:
        vectors = TitleEncoder.load(folder/'model', threads=2).encode(lab.titles, 'title', progress=True)
    for file in ('catalog.jsonl', 'families.json'): shutil.copy(lab.folder/file, folder/file)
    graph = recorded_hashes(folder/'model')['model_quantized.onnx']
    build_index(lab.rows, lab.family_of, None, folder/'index', graph, vectors=vectors)
    return folder, vectors, seconds


def build_page(folder, tiers):
    "Build the site of a variant with some encoders; return its manifest."
    manifest = build_site(folder, log=noop)
    if tiers is None: return manifest
    manifest['encoders'] = [encoder for encoder in manifest['encoders'] if encoder['name'] in tiers]
    (folder/'site'/'site.json').write_text(json.dumps(manifest))
    return manifest


def first_visit_sizes(site, manifest):
    "Return MB (10^6 bytes) that a first visit downloads, by file of the manifest, and of the page itself."
    needed = {'catalog'}
    for encoder in manifest['encoders']: needed.update([*encoder['files'].values(), *encoder['vectors']])
    sizes = {name: sum(part['size'] for part in manifest['files'][name]['parts']) / 1e6 for name in sorted(needed)}
    page = [path for path in (*site.glob('*.*'), *(site/'assets').rglob('*.*')) if path.is_file()]
    return sizes | dict(page=sum(path.stat().st_size for path in page) / 1e6)


def measure_page(lab, folder, tiers):
    "Open the page of a variant: latency, download, best tier with its self-test, and the machine's load."
    manifest = build_page(folder, tiers)
    queries = lab.eval_texts()[:150]
    times = []
    with opened(folder/'site') as page:
        page.evaluate(BACK, queries[:40])
        for _ in range(3): times += [ms for ms, _ in page.evaluate(BACK, queries)]
        tier = page.evaluate(f'[{ELEMENT}.status.tier, {ELEMENT}.status.selfTest]')
    sizes = first_visit_sizes(folder/'site', manifest)
    return dict(
        tab_ms=round(float(np.median(times)), 2),
        mb={name: round(mb, 2) for name, mb in sizes.items()},
        tier=tier,
        first_visit_mb=round(sum(sizes.values()), 2),
        load=round(os.getloadavg()[0], 2),
    )


def variant_systems(lab, variant, encoder, vectors):
    "Return what a variant ships, and its transformer alone if it ships one, as functions from queries to scores."
    if variant.tiers == (): return dict(shipped=KeywordSystem(Keywords(lab.corpus.titles)))
    titles = vectors[[lab.number_of[row['id']] for row in lab.corpus.entry]]
    if variant.tiers: return dict(shipped=DenseSystem(encoder.ngram.encode, titles))
    transformer = partial(OnnxEncoder.encode, encoder, kind='query')
    return {'shipped': DenseSystem(encoder.encode, titles), 'transformer alone': DenseSystem(transformer, titles)}


def evaluate_system(lab, system, queries, key, baseline):
    "Return Recall@5 of a system on dev queries and its change; `baseline` has the hits of the first variant by `key`."
    hits = (best_ranks(lab.rank(system(queries), queries)['strict']) <= 5).astype(float)
    first = baseline.setdefault(key, hits)
    shorthand = np.array([is_shorthand(query['query'], lab.words) for query in queries])
    groups = [query['ids'][0] for query in queries]
    return {
        'Recall@5': float(hits.mean()),
        'shorthand': float(hits[shorthand].mean()),
        'change': paired_bootstrap(first, hits, groups=groups),
        'queries': len(queries),
    }


def evaluate_variant(lab, name, baseline):
    "Train, export, index, evaluate and open one variant."
    variant = VARIANTS[name]
    folder, vectors, seconds = build_variant(lab, name)
    encoder = QueryEncoder.load(folder/'model', threads=2)
    systems = variant_systems(lab, variant, encoder, vectors)
    parts = {}
    for test_set, queries in lab.dev.items():
        parts[test_set] = {way: evaluate_system(lab, system, queries, (test_set, way), baseline)
                           for way, system in systems.items()}
    result = dict(taught_s=seconds, parts=parts) | measure_page(lab, folder, variant.tiers)
    if variant.tiers: encoder = QueryReplacement(encoder, encoder.ngram.encode)
    if variant.tiers != (): result['probe'] = probe_recall(encoder)
    shutil.rmtree(folder)
    return result | dict(trace=trace(MEASURES))


def write_results(results): OUT.write_text(json.dumps(results, indent=1) + '\n')


def print_result(name, result):
    "Print Recall@5 and its change in points, and everything else that was measured."
    for test_set, systems in result['parts'].items():
        for way, found in systems.items():
            points = [round(100 * value, 1) for value in (found['Recall@5'], *found['change'])]
            print(name, test_set, way, *points)
    print(name, {field: value for field, value in result.items() if field != 'parts'}, flush=True)


def measure_pages(lab, results):
    "Measure time and size of all finished variants once more, one after the other."
    for name, result in results.items():
        folder, _, _ = build_variant(lab, name, encode=False)
        result |= measure_page(lab, folder, VARIANTS[name].tiers) | dict(trace=trace(MEASURES))
        shutil.rmtree(folder)
        write_results(results)
        print_result(name, result)


def evaluate_variants(lab, names, results):
    "Evaluate the variants that have no result. The baseline always comes first, because the others need its hits."
    baseline = {}
    for name in dict.fromkeys([BASELINE, *names]):
        if name in results and name != BASELINE: continue
        results[name] = evaluate_variant(lab, name, baseline)
        write_results(results)
        print_result(name, results[name])


def megabytes(*contents): return round(sum(len(gzip.compress(content, 9)) for content in contents) / 1e6, 3)


class CodesLab:
    "Hold the family vectors of the evaluated index, and dev queries with their vectors and families."
    def __init__(self, lab, sample):
        _, numbers = distinct_titles(lab.rows)
        rows = [row | dict(title_no=int(number)) for row, number in zip(lab.rows, numbers, strict=True)]
        families = site_order(rows, lab.family_of)
        number_of = {members[0]['id']: number for number, members in enumerate(families)}
        evaluated = lab.folder/'evaluated'
        self.vectors = family_vectors(families, np.load(evaluated/'index'/'vectors.npy').astype(np.float32))
        self.ngram = NgramEncoder.load(evaluated/'model')
        self.shipped = NgramEncoder.load(lab.folder/'model')
        dev = {name: queries[::max(1, len(queries) // sample)] for name, queries in lab.dev.items()}
        self.part = np.repeat(list(dev), [len(queries) for queries in dev.values()])
        queries = sum(dev.values(), [])
        self.texts = [query['query'] for query in queries]
        self.answers = [sorted({number_of[lab.family_of[id]] for id in query['ids']}) for query in queries]
        transformer = OnnxEncoder.load(evaluated/'model', threads=2)
        self.whole = transformer.encode(self.texts, 'query')

    def recall(self, queries, codes):
        "Return for each query whether one of its families is among the first five."
        hits = []
        for start in range(0, len(queries), BLOCK):
            block = queries[start:start + BLOCK] @ codes.T
            for scores, answers in zip(block, self.answers[start:start + BLOCK], strict=True):
                hits.append((scores > scores[answers].max()).sum() < 5)
        return np.array(hits, dtype=float)

    def report(self, hits, exact):
        "Return Recall@5 and its change by kind of query, in percent."
        means = {}
        for name in np.unique(self.part):
            chosen = self.part == name
            means[str(name)] = [round(100 * float(x), 2) for x in (hits[chosen].mean(), (hits - exact)[chosen].mean())]
        return means | {'all': [round(100 * float(x), 2) for x in (hits.mean(), (hits - exact).mean())]}


def measure_codes(lab, vector_levels, table_levels, dim, exact):
    "Measure what one choice of codes costs and finds; `exact` has the hits of float numbers by encoder."
    axes, codes = vector_codes(lab.vectors, dim, vector_levels, first=lab.ngram.axes)
    width = len(lab.ngram.axes)
    ngram = table_on_axes(lab.ngram, axes[:width], table_levels)
    tiers, contents = ngram_tiers(ngram, codes[:, :width])
    floats = (axes / 32767).T.astype(np.float32)
    tier_hits = {}
    for tier in tiers:
        queries = tier.encode(lab.texts) @ floats[:, :width]
        tier_hits[tier.entry['name']] = lab.recall(queries, tier.codes.astype(np.float32))
    tier_hits['transformer'] = lab.recall(ngram.blend(lab.whole, lab.texts) @ floats, codes.astype(np.float32))
    mb = {name: megabytes(content) for name, content in contents.items()}
    mb |= dict(axes=megabytes(pack_axes(axes)), vectors_more=megabytes(pack_vectors(codes[:, width:])))
    recall = {name: lab.report(hits, exact['transformer' if name == 'transformer' else 'ngram'])
              for name, hits in tier_hits.items()}
    return dict(vector_levels=vector_levels, table_levels=table_levels, axes=dim, mb=mb, recall=recall)


def measure_all_codes(lab, sample):
    "Measure all choices of codes, and write them."
    codes_lab = CodesLab(lab, sample)
    ngram = codes_lab.ngram
    exact = dict(ngram=codes_lab.recall(ngram.encode(codes_lab.texts), codes_lab.vectors),
                 transformer=codes_lab.recall(ngram.blend(codes_lab.whole, codes_lab.texts), codes_lab.vectors))
    result = dict(queries=len(codes_lab.texts), trace=trace(MEASURES), choices=[],
                  float={name: codes_lab.report(hits, hits) for name, hits in exact.items()})
    for choice in CODES:
        measured = measure_codes(codes_lab, *choice, exact)
        if choice == SHIPPED_CODES: result['trained_again_mb'] = trained_again(codes_lab)
        result['choices'].append(measured)
        CODES_OUT.write_text(json.dumps(result, indent=1) + '\n')
        print(measured, flush=True)


def trained_again(lab):
    "Return MB of the files that change if the query encoder that ships replaces the evaluated one."
    width = len(lab.ngram.axes)
    axes, codes = vector_codes(lab.vectors, 256, first=lab.ngram.axes)
    _, old = ngram_tiers(table_on_axes(lab.ngram, axes[:width]), codes[:, :width])
    axes, codes = vector_codes(lab.vectors, 256, first=lab.shipped.axes)
    _, new = ngram_tiers(table_on_axes(lab.shipped, axes[:width]), codes[:, :width])
    return {name: megabytes(content) for name, content in new.items() if content != old[name]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('names', nargs='*', help=f'some of: {", ".join(VARIANTS)}')
    parser.add_argument('--run', type=Path, default='runs/full')
    parser.add_argument('--work', type=Path, default='runs/sizes', help='folder for models')
    parser.add_argument('--again', action='store_true', help='repeat finished variants')
    parser.add_argument('--latency', action='store_true', help='only measure time and size once more')
    parser.add_argument('--codes', action='store_true', help='only measure codes of vectors and n-gram table')
    parser.add_argument('--sample', type=int, default=3000, help='dev queries of each kind for --codes, at most')
    args = parser.parse_args()
    pin_threads(2)
    if args.codes:
        measure_all_codes(Lab(args.run, args.work), args.sample)
        return
    lab = SizesLab(args.run, args.work)
    results = json.loads(OUT.read_text()) if OUT.exists() and not args.again else {}
    if args.latency: measure_pages(lab, results)
    else: evaluate_variants(lab, args.names or list(VARIANTS), results)


if __name__ == '__main__': main()

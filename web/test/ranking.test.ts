import { describe, expect, test } from 'vitest';
import { UnknownCategory } from '../src/engine/errors';
import { blend, normalize, truncate } from '../src/engine/linear';
import { findVariants, fuse, rank, searchWords } from '../src/engine/ranking';
import { Columns } from '../src/engine/columns';
import { topK } from '../src/engine/top';
import { Vectors } from '../src/engine/vectors';
import { makeIndex, vectors } from './helpers';
import { packColumns } from './pack';

function ids(text: string, options: { category?: string; pins?: Record<string, number> } = {}): string[] {
  const { category, pins } = options;
  return rank(makeIndex(pins), { text, k: 10, category }).hits.map((hit) => hit.id);
}

/** Codes of four families on one axis. */
function makeVectors(): Vectors {
  const shape = new Uint32Array([2, 1, 4]);
  const axes = new Int16Array([32767, 0]);
  return new Vectors(new Columns(packColumns({ shape, axes, codes: new Int8Array([10, 5, 0, -5]) })));
}

test.each(vectors.fusion)('fuses $dense and $keyword as Python does', ({ dense, keyword, settings, order }) => {
  expect(fuse(dense, keyword, settings)).toEqual(order);
});

test('topK agrees with sorting, ties by number', () => {
  const score = Float32Array.from({ length: 500 }, (_, i) => (i * 7919) % 23);
  const candidates = Uint32Array.from({ length: 500 }, (_, i) => 499 - i);
  const sorted = Array.from(candidates).sort((a, b) => score[b] - score[a] || a - b);
  for (const k of [0, 1, 10, 499, 500, 600])
    expect(Array.from(topK(candidates, score, 500, k))).toEqual(sorted.slice(0, k));
});

describe('linear algebra', () => {
  test('a vector is normalized, a zero vector stays', () => {
    expect(Array.from(normalize(new Float32Array([3, 4])))).toEqual([expect.closeTo(0.6), expect.closeTo(0.8)]);
    expect(Array.from(normalize(new Float32Array(2)))).toEqual([0, 0]);
  });

  test('a Matryoshka size has length 1', () => {
    expect(Array.from(truncate(new Float32Array([3, 4, 12]), 2))).toEqual([expect.closeTo(0.6), expect.closeTo(0.8)]);
    const whole = new Float32Array([1, 2]);
    expect(truncate(whole, 2)).toBe(whole);
  });

  test('the n-gram vector counts only if both encoders agree', () => {
    const x = new Float32Array([1, 0]);
    const y = new Float32Array([0, 1]);
    const how = { weight: 2, floor: 0.3, ceiling: 1 };
    expect(Array.from(blend(x, y, how))).toEqual([1, 0]);
    expect(Array.from(blend(x, x, how))).toEqual([1, 0]);
    const between = normalize(new Float32Array([1, 1]));
    const [first, second] = blend(x, between, how);
    expect(first).toBeGreaterThan(second);
    expect(second).toBeGreaterThan(0);
  });
});

describe('keywords', () => {
  test('words, unfinished words, misspelled words and ids are found', () => {
    expect(ids('radiator repair')[0]).toBe('P-4');
    expect(ids('radi')).toEqual(expect.arrayContaining(['P-2', 'P-4']));
    expect(ids('radaitor').sort()).toEqual(['P-2', 'P-4']);
    expect(ids('片')).toEqual(['P-3']);
    expect(ids('p-3')[0]).toBe('P-3');
    expect(ids('nothing')).toEqual([]);
    expect(ids('')).toEqual([]);
  });

  test('a family shows the row that fits, and lists the others', () => {
    const index = makeIndex();
    const [hit] = rank(index, { text: 'brake pad right', k: 10 }).hits;
    expect([hit.id, hit.family, hit.variants]).toEqual(['P-1', 'P-0', 1]);
    expect(findVariants(index, 'P-1', 'brake', 10).map(({ id }) => id)).toEqual(['P-0']);
    expect(findVariants(index, 'none', 'brake', 10)).toEqual([]);
  });

  test('titles come back as they were, with the matched words marked', () => {
    const { hits } = rank(makeIndex(), { text: 'radiator clean', k: 10 });
    expect(hits[0].title).toBe('<b>Radiator</b> cleaning');
    expect(hits[0].marks.map(([from, to]) => hits[0].title.slice(from, to))).toEqual(['Radiator', 'clean']);
  });

  test('categories filter and are counted', () => {
    expect(ids('radiator brake', { category: 'cooling ' })).not.toContain('P-0');
    expect(rank(makeIndex(), { text: 'radiator brake', k: 1 }).categories).toEqual([
      { name: 'Cooling', count: 2 },
      { name: 'Brakes', count: 1 },
    ]);
    expect(() => ids('radiator', { category: 'none' })).toThrow(UnknownCategory);
  });

  test('words can be searched for before ranking, also if other words are searched for in between', () => {
    const index = makeIndex();
    const question = { text: 'brake pad right', k: 10 };
    const expected = rank(makeIndex(), question);
    const words = searchWords(index, question);
    expect(rank(index, question, null, words)).toEqual(expected);
    findVariants(index, 'P-2', 'radiator', 10);
    expect(rank(index, question, null, words)).toEqual(expected);
  });

  test('a later query does not see the scores of an earlier one', () => {
    const index = makeIndex();
    rank(index, { text: 'brake', k: 10 });
    expect(rank(index, { text: 'radiator', k: 10 }).hits).toEqual(rank(makeIndex(), { text: 'radiator', k: 10 }).hits);
  });
});

describe('suggestions', () => {
  function suggestion(text: string): string {
    return rank(makeIndex(), { text, k: 10 }).suggestion;
  }

  test('are made when words were found only by their spelling', () => {
    expect(suggestion('radaitor')).toBe('radiator');
    expect(suggestion(' radaitor,  cleeaning ')).toBe('radiator,  cleaning');
    expect(suggestion('xyzzy radaitor')).toBe('xyzzy radiator');
    expect(suggestion('claen')).toBe('cleaning'); // unfinished
  });

  test('are not made when a word was found as typed, or none at all', () => {
    expect(suggestion('radaitor repair')).toBe('');
    expect(suggestion('radi')).toBe('');
    expect(suggestion('xyzzy')).toBe('');
  });
});

describe('pins', () => {
  test('come first for exactly their query, and the rest keeps its order', () => {
    const free = ids('radiator');
    expect(free).not.toContain('P-3');
    expect(ids('Radiator ', { pins: { radiator: 3 } })).toEqual(['P-3', ...free]);
    expect(ids('radiator repair', { pins: { radiator: 3 } })).toEqual(ids('radiator repair'));
  });

  test('show the pinned row of a family, once', () => {
    const { hits } = rank(makeIndex({ 'brake pad left': 1 }), { text: 'brake pad left', k: 10 });
    expect(hits.filter(({ family }) => family === 'P-0').map(({ id, tier }) => [id, tier])).toEqual([['P-1', 'pin']]);
  });

  test('come before a match by id, and never leave the category', () => {
    expect(ids('p-4', { pins: { 'p-4': 3 } }).slice(0, 2)).toEqual(['P-3', 'P-4']);
    expect(ids('radiator', { category: 'Cooling', pins: { radiator: 3 } })).toEqual(
      ids('radiator', { category: 'Cooling' }),
    );
    expect(ids('constructor', { pins: {} })).toEqual([]);
  });
});

test('results are not close if the best score is one that real queries hardly ever have', () => {
  const index = { ...makeIndex(), vectors: makeVectors(), close: { ngram: 5 } };
  const isClose = (text: string, x: number): boolean => {
    return rank(index, { text, k: 10 }, { vector: new Float32Array([x, 0]), tier: 'ngram' }).close;
  };
  expect([isClose('guitar', 1), isClose('guitar', 0.2)]).toEqual([true, false]);
  expect(isClose('p-3', 0.2)).toBe(true); // found by its id
  expect(rank(index, { text: 'radiator', k: 10 }).close).toBe(true); // words alone cannot tell
});

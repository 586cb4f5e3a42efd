import { expect, test } from 'vitest';
import { editDistance } from '../src/engine/distance';
import { hashNgram, ngramRows, wordNgrams } from '../src/engine/ngrams';
import { fold, normalizeQuery, parseQuery, plainWords } from '../src/engine/text';
import { vectors } from './helpers';

test.each(vectors.words)('cuts $text into the words of Python', ({ text, words }) => {
  expect(parseQuery(text).words).toEqual(words.map(fold));
});

test.each(vectors.plain_words)('cuts $text into the plain words of Python', ({ text, words }) => {
  expect(plainWords(text)).toEqual(words);
});

test.each(vectors.normalized)('normalizes $text as Python does', ({ text, normalized }) => {
  expect(normalizeQuery(text)).toBe(normalized);
});

test.each(vectors.hashes)('hashes $ngram to one of $buckets rows as Python does', ({ ngram, buckets, row }) => {
  expect(hashNgram(ngram, buckets)).toBe(row);
});

test.each(vectors.ngram_rows)('finds the n-gram rows of $text as Python does', ({ text, rows }) => {
  expect(ngramRows(text, 65_536)).toEqual(rows);
});

test('n-grams of a word have three to five letters, its ends marked', () => {
  expect(wordNgrams('ab')).toEqual(['<ab>', '<ab', 'ab>']);
  expect(wordNgrams('oils').filter((ngram) => ngram.length === 5)).toEqual(['<oils', 'oils>']);
});

test('a query knows where its words are and whether the last one is unfinished', () => {
  expect(parseQuery('Brake pad').open).toBe(true);
  expect(parseQuery('Brake pad ').open).toBe(false);
  expect(parseQuery('Brake pád').spans).toEqual([
    [0, 5],
    [6, 9],
  ]);
});

test('a very long query is cut', () => {
  const { words, open } = parseQuery('word '.repeat(500) + 'last');
  expect(words).toHaveLength(64);
  expect(open).toBe(false);
});

test.each([
  ['radiator', 'radiator', 0],
  ['radaitor', 'radiator', 1], // two letters swapped
  ['radator', 'radiator', 1],
  ['radiattor', 'radiator', 1],
  ['rudiator', 'radiator', 1],
  ['brake', 'radiator', 3],
])('the edit distance of %s and %s is %i', (typed, word, distance) => {
  expect(editDistance(typed, word, 2)).toBe(distance);
});

test('an unfinished word is compared with the nearest prefix', () => {
  expect(editDistance('radait', 'radiator', 2, true)).toBe(1);
  expect(editDistance('radait', 'radiator', 2)).toBe(3);
});

test('edit distance agrees with a plain implementation', () => {
  function plain(a: string, b: string): number {
    const d = Array.from({ length: a.length + 1 }, (_, i) => Array.from({ length: b.length + 1 }, (_, j) => i || j));
    for (let i = 1; i <= a.length; i++)
      for (let j = 1; j <= b.length; j++) {
        const swap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? d[i - 2][j - 2] + 1 : Infinity;
        d[i][j] = Math.min(d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1), swap);
      }
    return d[a.length][b.length];
  }
  const words = ['', 'a', 'ab', 'ba', 'abc', 'acb', 'cab', 'aabb', 'abab', 'brake', 'break', 'baker', 'bakes'];
  for (const a of words)
    for (const b of words) {
      const max = 3;
      expect(editDistance(a, b, max), `${a} ${b}`).toBe(Math.min(plain(a, b), max + 1));
    }
});

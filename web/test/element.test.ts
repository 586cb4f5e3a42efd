import { expect, test } from 'vitest';
import { addedIds, fillLink, keepInPlace, listRows, splitTitle } from '../src/element/rows';
import { ENGLISH, stringsFor } from '../src/element/strings';
import { GERMAN } from '../src/element/strings.de';
import { describeProblem } from '../src/engine/problems';
import type { Hit } from '../src/engine/types';

const BASE = 'https://shop.example/search/';

function hit(id: string, family = id): Hit {
  return {
    rank: 1,
    id,
    title: `Title ${id}`,
    marks: [],
    category: 'C',
    text: '',
    family,
    variants: 0,
    tier: 'keyword',
  };
}

function ids(hits: Hit[]): string[] {
  return hits.map(({ id }) => id);
}

test('variants come below their hit', () => {
  const rows = listRows([hit('A'), hit('B')], new Map([['A', [hit('A1', 'A')]]]));
  expect(rows.map(({ hit: { id }, isVariant }) => [id, isVariant])).toEqual([
    ['A', false],
    ['A1', true],
    ['B', false],
  ]);
});

test('the entry that somebody reads keeps its place, the others keep their new order', () => {
  const before = ['A', 'B', 'C'].map((id) => hit(id));
  expect(
    ids(
      keepInPlace(
        ['C', 'A', 'B'].map((id) => hit(id)),
        before,
        'B',
      ),
    ),
  ).toEqual(['C', 'B', 'A']);
  expect(
    ids(
      keepInPlace(
        ['X', 'Y', 'Z'].map((id) => hit(id)),
        before,
        'C',
      ),
    ),
  ).toEqual(['X', 'Y', 'C']);
  expect(ids(keepInPlace([hit('X')], before, 'C'))).toEqual(['X', 'C']);
  expect(ids(keepInPlace([hit('X')], before, 'none'))).toEqual(['X']);
});

test('a kept entry is not listed twice when another row of its family is found', () => {
  const before = [hit('A', 'F'), hit('B')];
  expect(ids(keepInPlace([hit('B'), hit('A2', 'F')], before, 'A'))).toEqual(['A', 'B']);
});

test('added entries are those that were not there', () => {
  expect(addedIds([hit('A'), hit('X')], [hit('A'), hit('B')])).toEqual(new Set(['X']));
});

test('matched words are cut out of a title', () => {
  const pieces = splitTitle({ title: 'Brake pad', marks: [[6, 9]] });
  expect(pieces).toEqual([
    { text: 'Brake ', isMatch: false },
    { text: 'pad', isMatch: true },
  ]);
  expect(splitTitle({ title: '', marks: [] })).toEqual([]);
});

test('a link has the encoded fields of the entry, and only http links are opened', () => {
  expect(fillLink('https://x.example/{id}?c={category}', hit('a/b'), BASE)).toBe('https://x.example/a%2Fb?c=C');
  expect(fillLink('../part/{id}', hit('7'), BASE)).toBe('https://shop.example/part/7');
  expect(fillLink('javascript:alert({id})', hit('7'), BASE)).toBe('');
  expect(fillLink('', hit('7'), BASE)).toBe('');
});

test('English and German say the same things', () => {
  expect(Object.keys(GERMAN)).toEqual(Object.keys(ENGLISH));
  expect(stringsFor('de-CH')).toBe(GERMAN);
  expect(stringsFor('fr')).toBe(ENGLISH);
  expect(stringsFor('den')).toBe(ENGLISH);
});

test.each(['catalog', 'damaged', 'download', 'tier', 'stopped', 'browser'] as const)(
  'problem %s is told in both',
  (code) => {
    for (const tier of ['keyword', 'ngram']) {
      const problem = { code, cause: 'no connection.', tier };
      expect(ENGLISH.problem(problem)).toBe(describeProblem(problem));
      expect(ENGLISH.problem(problem)).toMatch(/^\S.*[^.]\.$/);
      expect(GERMAN.problem(problem)).toMatch(/^\S.*[^.]\.$/);
    }
  },
);

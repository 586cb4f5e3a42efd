import { expect, test } from 'vitest';
import { describeRun, describeTime, isProgress } from '../src/page/live';
import { FIRST_STATUS } from '../src/worker/client';

const INFO = { name: 'Parts', rows: 48, families: 12, categories: 3, live: 'search by meaning, trained' };
const LEARNING = { label: 'Learning from 144 queries', seconds_left: 230, version: '1' };

test('the line says what answers, what the run does, and how long', () => {
  const keyword = { ...FIRST_STATUS, tier: 'keyword', info: INFO };
  expect(describeRun(keyword, LEARNING)).toBe('Now: keyword search. Learning from 144 queries, about 4 minutes left.');
  const learned = { ...keyword, tier: 'ngram' };
  expect(describeRun(learned, { ...LEARNING, label: 'Writing the search', seconds_left: null })).toBe(
    'Now: search by meaning, trained. Writing the search.',
  );
});

test('time left is said in minutes, and not at all if nobody knows it', () => {
  expect([null, 0, 49, 50, 89, 90, 610].map(describeTime)).toEqual([
    '',
    ', less than a minute left',
    ', less than a minute left',
    ', about a minute left',
    ', about a minute left',
    ', about 2 minutes left',
    ', about 10 minutes left',
  ]);
});

test('anything but the progress of a run is refused', () => {
  expect(isProgress(LEARNING)).toBe(true);
  expect(isProgress({ ...LEARNING, seconds_left: null })).toBe(true);
  for (const wrong of [null, 'x', {}, { ...LEARNING, seconds_left: 'soon' }, { label: 'x', version: '1' }])
    expect(isProgress(wrong)).toBe(false);
});

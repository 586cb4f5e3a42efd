import { expect, test } from 'vitest';
import { FORMAT, parseManifest } from '../src/engine/manifest';
import type { Question } from '../src/engine/ranking';
import type { Results, Status } from '../src/engine/types';
import { QueryQueue, type Answering } from '../src/worker/queries';
import type { Version } from '../src/worker/session';
import { makeIndex } from './helpers';

const STATUS: Status = {
  state: 'ready',
  tier: 'transformer',
  version: '1',
  progress: null,
  message: '',
  problem: null,
  stored: true,
};

/** A session whose encoder refuses a second text before it has answered the first one. */
function makeSession(encoded: string[], failed: string[]): Answering {
  let isBusy = false;
  async function encode(text: string): Promise<Float32Array> {
    if (isBusy) throw new Error('busy');
    isBusy = true;
    await new Promise((resolve) => setTimeout(resolve, 100));
    isBusy = false;
    encoded.push(text);
    return new Float32Array(1);
  }
  const version: Version = {
    manifest: parseManifest({ format: FORMAT, version: '1', files: {}, encoders: [] }),
    index: makeIndex(),
    encoders: [{ name: 'transformer', encode }],
    added: new Set(),
  };
  function dropEncoder(_: Version, cause: string): void {
    failed.push(cause);
    version.encoders.pop();
  }
  return { version, status: STATUS, touch: () => undefined, dropEncoder };
}

test('a question that fails leaves the encoder free for the next one', async () => {
  const encoded: string[] = [];
  const failed: string[] = [];
  const answers: (Results | string)[] = [];
  await new Promise<void>((resolve) => {
    function keep(answer: Results | string): void {
      answers.push(answer);
      if (answers.length === 2) resolve();
    }
    const queue = new QueryQueue(makeSession(encoded, failed), {
      onresults: (_, results) => keep(results),
      onerror: (_, error) => keep(String(error)),
    });
    const questions: Question[] = [
      { text: 'radiator', k: 5, category: 'no such category' },
      { text: 'brake', k: 5 },
    ];
    questions.forEach((question, id) => queue.add(id, question));
  });
  expect(answers[0]).toContain('no such category');
  expect(answers[1]).toMatchObject({ query: 'brake', tier: 'transformer' });
  expect(encoded).toEqual(['radiator', 'brake']);
  expect(failed).toEqual([]);
});

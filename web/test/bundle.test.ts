import { readdirSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';

const BUILT = `${import.meta.dirname}/../../embedding_search/web`;

/** Compressed kilobytes of the built files whose name matches. */
function kilobytes(pattern: RegExp): number {
  const names = readdirSync(BUILT, { recursive: true, encoding: 'utf8' }).filter((name) => pattern.test(name));
  expect(names, `no file ${String(pattern)}: run npm run build`).not.toEqual([]);
  return names.reduce((sum, name) => sum + gzipSync(readFileSync(`${BUILT}/${name}`), { level: 9 }).length / 1024, 0);
}

// A visitor downloads the first line before anything is found, the second before the transformer answers.
test.each([
  [
    'page, element and keyword search',
    /^(index\.html|page\.js|worker\.js|embedding-search\.js|assets\/(page|embedding-search|problems).*)$/,
    36,
  ],
  ['tokenizer and glue of the runtime', /^assets\/(tokenizers|ort).*$/, 36],
  ['service worker', /^sw\.js$/, 4],
])('%s fits its budget', (_, pattern, budget) => {
  expect(kilobytes(pattern)).toBeLessThan(budget);
});

// N-grams of words and the rows of the table that they are hashed to, as in Python.
import { plainWords } from './text';

const SHORTEST = 3;
const LONGEST = 5;
const UTF8 = new TextEncoder();

/** Map an n-gram to a row of the table: FNV-1a and one more round of mixing. */
export function hashNgram(ngram: string, buckets: number): number {
  let hash = 0x811c9dc5;
  for (const byte of UTF8.encode(ngram)) hash = Math.imul(hash ^ byte, 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return ((hash ^ (hash >>> 13)) >>> 0) % buckets;
}

/** The n-grams of a word: the whole marked word, then its pieces of three to five letters. */
export function wordNgrams(word: string): string[] {
  const letters = ['<', ...Array.from(word), '>'];
  const ngrams = [letters.join('')];
  for (let n = SHORTEST; n <= Math.min(LONGEST, letters.length - 1); n++) {
    for (let start = 0; start + n <= letters.length; start++) ngrams.push(letters.slice(start, start + n).join(''));
  }
  return ngrams;
}

/** Rows of the table that make up a text. */
export function ngramRows(text: string, buckets: number): number[] {
  return plainWords(text)
    .flatMap(wordNgrams)
    .map((ngram) => hashNgram(ngram, buckets));
}

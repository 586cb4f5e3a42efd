// Words of titles and queries, cut the same way here and where the site is built.

/** In scripts written without spaces, and among pictures, every character is a word. */
const SINGLE =
  '\\p{So}\\u0e00-\\u0eff\\u1000-\\u109f\\u1780-\\u17ff' +
  '\\u3040-\\u30ff\\u3400-\\u9fff\\uf900-\\ufaff\\u{20000}-\\u{3ffff}';
const WORD = new RegExp(`[${SINGLE}]|(?:(?![${SINGLE}])[\\p{L}\\p{N}\\p{M}_])+`, 'gu');
const MAX_CHARS = 2000;
const MAX_WORDS = 64;

function withoutAccents(text: string): string {
  return text
    .toLowerCase()
    .normalize('NFKD')
    .replace(/\p{M}+/gu, '');
}

/** A word as it is compared: lower case, without accents. A lone accent stays what it is. */
export function fold(word: string): string {
  return withoutAccents(word) || word;
}

export interface ParsedQuery {
  /** Folded words. */
  words: string[];
  /** Start and end of each word in the text. */
  spans: [number, number][];
  /** Whether the last word may be unfinished. */
  open: boolean;
}

/** Cut a query into words. */
export function parseQuery(text: string): ParsedQuery {
  const matches = [...text.slice(0, MAX_CHARS).matchAll(WORD)];
  const found = matches.slice(0, MAX_WORDS);
  const spans = found.map((match): [number, number] => [match.index, match.index + match[0].length]);
  const open = matches.length <= MAX_WORDS && spans.at(-1)?.[1] === text.length;
  return { words: found.map((match) => fold(match[0])), spans, open };
}

/** Words as the n-gram encoder knows them: lower case, without accents. */
export function plainWords(text: string): string[] {
  return withoutAccents(text).match(/[\p{L}\p{N}_]+/gu) ?? [];
}

/** A whole query as pins know it: Python's `norm`, that is case-folded, with single spaces. */
export function normalizeQuery(text: string): string {
  // The dotless i and the final sigma are the two letters that upper case would change for good.
  const parts = text.split('ı').map((part) => part.toLowerCase().toUpperCase().toLowerCase());
  const folded = parts.join('ı').replaceAll('ς', 'σ');
  return folded.split(/\s+/).filter(Boolean).join(' ');
}

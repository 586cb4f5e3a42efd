// Words of titles and queries, cut the same way here and where the site is built.

/** Of scripts written without spaces, and of pictures, every character is a word. */
const SINGLE = '\\p{So}\\u0e00-\\u0eff\\u1000-\\u109f\\u1780-\\u17ff\\u3040-\\u30ff\\u3400-\\u9fff\\uf900-\\ufaff\\u{20000}-\\u{3ffff}';
const WORD = new RegExp(`[${SINGLE}]|(?:(?![${SINGLE}])[\\p{L}\\p{N}\\p{M}_])+`, 'gu');

/**
 * A word as it is compared: lower case, without accents.
 * @param {string} s
 */
export const fold = s => s.toLowerCase().normalize('NFKD').replace(/\p{M}+/gu, '') || s;

/**
 * Words of a query, and whether the last one may be unfinished.
 * @param {string} text
 * @returns {{words: string[], open: boolean}}
 */
export function parse(text) {
  const found = [...text.slice(0, 2000).matchAll(WORD)], last = found.at(-1);
  return { words: found.slice(0, 64).map(m => fold(m[0])), open: !!last && found.length <= 64 && last.index + last[0].length === text.length };
}

/**
 * Words as the n-gram encoder knows them: lower case, without accents.
 * @param {string} text
 * @returns {string[]}
 */
const plainWords = text => text.toLowerCase().normalize('NFKD').replace(/\p{M}+/gu, '').match(/[\p{L}\p{N}_]+/gu) ?? [];

const UTF8 = new TextEncoder();
/** FNV-1a and one more round of mixing. @param {string} piece @param {number} buckets */
function bucket(piece, buckets) {
  let h = 0x811c9dc5;
  for (const b of UTF8.encode(piece)) h = Math.imul(h ^ b, 0x01000193);
  h = Math.imul(h ^ h >>> 16, 0x85ebca6b);
  return ((h ^ h >>> 13) >>> 0) % buckets;
}

/**
 * Rows of the table that make up a text: each word, and its groups of three to five letters.
 * @param {string} text
 * @param {number} buckets
 * @returns {number[]}
 */
export function features(text, buckets) {
  const rows = [];
  for (const word of plainWords(text)) {
    const w = ['<', ...word, '>'];
    rows.push(bucket(w.join(''), buckets));
    for (let n = 3; n <= Math.min(5, w.length - 1); n++) for (let i = 0; i + n <= w.length; i++) rows.push(bucket(w.slice(i, i + n).join(''), buckets));
  }
  return rows;
}

/**
 * Edit distance (insert, delete, replace, swap), or `max + 1` when it is larger.
 * @param {string} a What was typed
 * @param {string} b What it is compared with
 * @param {number} max
 * @param {boolean} prefix Compare with the best prefix of `b`
 */
export function distance(a, b, max, prefix = false) {
  const n = a.length, m = prefix ? Math.min(b.length, n + max) : b.length;
  if (Math.abs(n - m) > max && !(prefix && m > n)) return max + 1;
  let before = new Array(m + 1), last = Array.from({ length: m + 1 }, (_, j) => j), row = new Array(m + 1);
  for (let i = 1; i <= n; i++) {
    row[0] = i; let best = i;
    for (let j = 1; j <= m; j++) {
      let d = Math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) d = Math.min(d, before[j - 2] + 1);
      row[j] = d; if (d < best) best = d;
    }
    if (best > max) return max + 1;
    [before, last, row] = [last, row, before];
  }
  const d = prefix ? Math.min(...last) : last[m];
  return d > max ? max + 1 : d;
}

// Titles, and the keyword tier over them: BM25 in typed arrays, the last word as a prefix, unknown words by edit distance.
import { distance, fold, parse } from './text.js';
import { readColumns } from './columns.js';

const K1 = 1.5, B = .75, NEAR = 8, COMMON = .2, MANY = 20000;

/**
 * Rows of one catalog. Rows of a family are neighbors, its head first.
 */
export class Catalog {
  /** @type {string[]} */ terms = []; wordTerm = new Uint32Array(0); length = new Uint16Array(0); mean = 1;
  /** @type {Uint32Array} */ postAt = new Uint32Array(0); post = new Uint32Array(0); tf = new Uint8Array(0);
  /** @type {string[]|null} */ #lowerIds = null; #n = 0; #common = /** @type {Map<number, number>} */ (new Map());
  /** @type {[string, Uint8Array]|null} */ #category = null;
  /** @param {ArrayBuffer} buffer The file `catalog` of a site */
  constructor(buffer) {
    const c = readColumns(buffer);
    this.words = /** @type {string[]} */ (c.words); this.separators = c.separators[0];
    this.ids = /** @type {string[]} */ (c.ids); this.categories = /** @type {string[]} */ (c.categories);
    this.tokens = c.tokens; this.rowCategory = c.row_category;
    const n = this.rows = c.row_length.length, at = this.rowAt = new Uint32Array(n + 1);
    for (let i = 0; i < n; i++) at[i + 1] = at[i] + c.row_length[i];
    const f = this.families = c.family_size.length, start = this.familyAt = new Uint32Array(f + 1), of = this.familyOf = new Uint32Array(n);
    for (let i = 0; i < f; i++) { start[i + 1] = start[i] + c.family_size[i]; of.fill(i, start[i], start[i + 1]); }
    this.#index();
    this.score = new Float32Array(n); this.touched = new Uint32Array(n); this.familyScore = new Float32Array(f); this.familyTouched = new Uint32Array(f);
  }

  /** Terms in alphabetical order, and which rows have each of them how often. */
  #index() {
    const { words, tokens, rowAt, rows } = this, folded = words.map((w, i) => i < this.separators ? '' : fold(w));
    this.terms = [...new Set(folded)].sort((a, b) => a < b ? -1 : a > b ? 1 : 0);
    if (this.terms[0] !== '') this.terms.unshift('');
    const no = new Map(this.terms.map((t, i) => [t, i])), T = this.terms.length;
    this.wordTerm = Uint32Array.from(folded, t => /** @type {number} */(no.get(t)));
    const seen = new Uint32Array(T), count = new Uint32Array(T + 1), length = this.length = new Uint16Array(rows);
    let total = 0;
    for (let r = 0; r < rows; r++) for (let i = rowAt[r]; i < rowAt[r + 1]; i++) {
      const t = this.wordTerm[tokens[i]]; if (!t) continue;
      length[r]++; total++;
      if (seen[t] !== r + 1) { seen[t] = r + 1; count[t + 1]++; }
    }
    for (let t = 0; t < T; t++) count[t + 1] += count[t];
    this.postAt = count; this.mean = total / (rows || 1) || 1;
    const next = count.slice(), post = this.post = new Uint32Array(count[T]), tf = this.tf = new Uint8Array(count[T]);
    seen.fill(0);
    for (let r = 0; r < rows; r++) for (let i = rowAt[r]; i < rowAt[r + 1]; i++) {
      const t = this.wordTerm[tokens[i]]; if (!t) continue;
      if (seen[t] !== r + 1) { seen[t] = r + 1; post[next[t]] = r; tf[next[t]++] = 1; }
      else if (tf[next[t] - 1] < 255) tf[next[t] - 1]++;
    }
  }

  /** First term that is not before `s`. @param {string} s */
  #lower(s) {
    let lo = 1, hi = this.terms.length;
    while (lo < hi) { const mid = (lo + hi) >> 1; if (this.terms[mid] < s) lo = mid + 1; else hi = mid; }
    return lo;
  }

  /**
   * Terms that a typed word may stand for, each with a weight.
   * @param {string} word
   * @param {boolean} open Whether it may be unfinished
   * @returns {Array<[number, number]>}
   */
  #expand(word, open) {
    const { terms, postAt } = this, lo = this.#lower(word), out = /** @type {Array<[number, number]>} */ ([]);
    if (terms[lo] === word) out.push([lo, 1]);
    if (open) for (let t = lo + out.length; t < terms.length && terms[t].startsWith(word); t++) out.push([t, out[0]?.[0] === lo && terms[lo] === word ? .3 : .8]);
    if (out.length || word.length < 4) return out;
    const max = word.length < 8 ? 1 : 2, near = /** @type {Array<[number, number]>} */ ([]);
    for (let t = 1; t < terms.length; t++) {
      const w = terms[t]; if (w[0] !== word[0] && w[1] !== word[1]) continue;
      if (w.length < word.length - max || (!open && w.length > word.length + max)) continue;
      const d = distance(word, w, max, open);
      if (d <= max) near.push([t, d]);
    }
    near.sort((a, b) => a[1] - b[1] || (postAt[b[0] + 1] - postAt[b[0]]) - (postAt[a[0] + 1] - postAt[a[0]]));
    return near.slice(0, NEAR).map(([t, d]) => [t, .6 / d]);
  }

  /**
   * Keyword search: fills `score` of the rows in `touched`, and gives families best first.
   * @param {string} text
   * @param {number} depth
   * @param {Uint8Array|null} allowed One byte a row
   */
  search(text, depth, allowed = null) {
    const { score, touched, post, postAt, tf, length, mean, familyOf, familyScore, familyTouched } = this;
    for (let i = 0; i < this.#n; i++) score[touched[i]] = 0;
    let n = 0;
    const { words, open } = parse(text), groups = words.map((w, i) => this.#expand(w, open && i === words.length - 1));
    const size = (/** @type {Array<[number, number]>} */ g) => g.reduce((s, [t]) => s + postAt[t + 1] - postAt[t], 0);
    // In a large catalog, a word of a fifth of the rows tells little and costs most; it only helps to choose within a family.
    const rare = this.rows > MANY && groups.some(g => g.length && size(g) <= COMMON * this.rows);
    this.#common.clear();
    const matched = /** @type {Map<number, number>} */ (new Map());
    groups.forEach((group, g) => {
      const df = Math.min(this.rows, size(group)), typed = words[g].length;
      const idf = Math.log(1 + (this.rows - df + .5) / (df + .5)), skip = rare && df > COMMON * this.rows && !(open && g === groups.length - 1 && group.length > 1);
      for (const [t, weight] of group) {
        if (skip) { this.#common.set(t, weight * idf); continue; }
        if (!matched.has(t)) matched.set(t, this.terms[t].startsWith(words[g]) ? typed : this.terms[t].length);
        for (let p = postAt[t]; p < postAt[t + 1]; p++) {
          const r = post[p]; if (allowed && !allowed[r]) continue;
          if (score[r] === 0) touched[n++] = r;
          score[r] += weight * idf * tf[p] / (tf[p] + K1 * (1 - B + B * length[r] / mean));
        }
      }
    });
    this.#n = n;
    let m = 0;
    for (let i = 0; i < n; i++) {
      const r = touched[i], f = familyOf[r];
      if (familyScore[f] === 0) familyTouched[m++] = f;
      if (score[r] > familyScore[f]) familyScore[f] = score[r];
    }
    const ranked = best(familyTouched, familyScore, m, depth);
    for (let i = 0; i < m; i++) familyScore[familyTouched[i]] = 0;
    return { ranked, matched };
  }

  /**
   * Families with a row whose id is, or starts with, what was typed.
   * @param {string} text
   * @param {number} limit
   * @param {Uint8Array|null} allowed
   * @returns {Array<{family: number, row: number}>}
   */
  byId(text, limit, allowed = null) {
    const want = text.trim().toLowerCase(), out = /** @type {Array<{family: number, row: number}>} */ ([]), seen = new Set();
    if (want.length < 2 || want.length > 60 || /\s/.test(want) || !/\d/.test(want)) return out;
    const lower = this.#lowerIds ??= this.ids.map(i => i.toLowerCase());
    const exact = lower.indexOf(want);
    const take = (/** @type {number} */ r) => { const f = this.familyOf[r]; if (!seen.has(f) && !(allowed && !allowed[r])) { seen.add(f); out.push({ family: f, row: r }); } };
    if (exact >= 0) take(exact);
    for (let r = 0; r < this.rows && out.length < limit; r++) if (lower[r].startsWith(want)) take(r);
    return out;
  }

  /**
   * The row of a family that the words of the last `search` fit best; its head when they fit none.
   * @param {number} f
   * @param {Uint8Array|null} allowed
   */
  pick(f, allowed = null) {
    let row = -1, top = -1;
    for (let r = this.familyAt[f]; r < this.familyAt[f + 1]; r++) {
      if (allowed && !allowed[r]) continue;
      let s = this.score[r];
      if (this.#common.size) for (let i = this.rowAt[r]; i < this.rowAt[r + 1]; i++) s += (this.#common.get(this.wordTerm[this.tokens[i]]) ?? 0) / (1 + this.length[r] / this.mean);
      if (s > top) { top = s; row = r; }
    }
    return row;
  }

  /**
   * Title of a row, and where its matched words stand.
   * @param {number} r
   * @param {Map<number, number>} [matched] Term to matched characters
   * @returns {{title: string, marks: Array<[number, number]>}}
   */
  title(r, matched) {
    let title = '', word = false; const marks = /** @type {Array<[number, number]>} */ ([]);
    for (let i = this.rowAt[r]; i < this.rowAt[r + 1]; i++) {
      const t = this.tokens[i], s = this.words[t], isWord = t >= this.separators;
      if (isWord && word) title += ' ';
      const hit = matched?.get(this.wordTerm[t]);
      if (hit && this.wordTerm[t]) marks.push([title.length, title.length + Math.min(hit, s.length)]);
      title += s; word = isWord;
    }
    return { title, marks };
  }

  /** One byte a row: whether it is of this category. @param {string} name */
  inCategory(name) {
    if (this.#category?.[0] === name) return this.#category[1];
    const want = fold(name.trim()), no = this.categories.findIndex(c => fold(c.trim()) === want);
    if (no < 0) throw new RangeError(`no category ${JSON.stringify(name)} in this catalog; it has ${this.categories.length.toLocaleString('en')} others`);
    const allowed = Uint8Array.from(this.rowCategory, (/** @type {number} */ c) => c === no ? 1 : 0);
    this.#category = [name, allowed];
    return allowed;
  }
}

/**
 * The `k` best of `n` candidates by score; ties by number.
 * @param {Uint32Array} at Candidates
 * @param {Float32Array|Int32Array} score Score of every number
 * @param {number} n
 * @param {number} k
 */
export function best(at, score, n, k) {
  const before = (/** @type {number} */ a, /** @type {number} */ b) => score[a] > score[b] || (score[a] === score[b] && a < b);
  const heap = new Uint32Array(Math.min(k, n)); let m = 0;
  const sink = (/** @type {number} */ i) => {
    for (;;) {
      let c = 2 * i + 1; if (c >= m) return;
      if (c + 1 < m && before(heap[c], heap[c + 1])) c++;
      if (before(heap[c], heap[i])) return;
      [heap[i], heap[c]] = [heap[c], heap[i]]; i = c;
    }
  };
  for (let i = 0; i < n; i++) {
    const x = at[i];
    if (m < heap.length) { heap[m++] = x; if (m === heap.length) for (let j = (m >> 1) - 1; j >= 0; j--) sink(j); }
    else if (m && score[x] >= score[heap[0]] && before(x, heap[0])) { heap[0] = x; sink(0); }
  }
  return heap.sort((a, b) => score[b] - score[a] || a - b);
}

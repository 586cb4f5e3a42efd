// The keyword tier: BM25 in typed arrays, the last word as a prefix, unknown words by edit distance.
import type { Catalog } from './catalog';
import { editDistance } from './distance';
import { fold, parseQuery, type ParsedQuery } from './text';
import { topK } from './top';

const K1 = 1.5;
const B = 0.75;
const MAX_SIMILAR = 8;
const UNFINISHED = 0.3; // weight of longer words if the typed word is one itself
const PREFIX = 0.8;
const SIMILAR = 0.6;
const COMMON_SHARE = 0.2;
const LARGE_CATALOG = 20_000;

interface WeightedTerm {
  term: number;
  weight: number;
}

/** What one typed word may stand for. */
interface Expansion {
  terms: WeightedTerm[];
  /** Whether the terms were found by their spelling only. */
  fuzzy: boolean;
  /** Rows that have one of the terms; a row that has two counts twice. */
  frequency: number;
}

export interface KeywordResult {
  /** Families, best first. */
  ranked: Uint32Array;
  /** How many characters of each matched term to mark. */
  matched: Map<number, number>;
  /** The query with similar words of the catalog, if none of its words was found as typed; else empty. */
  suggestion: string;
}

export class Keywords {
  /** Folded words in alphabetical order; the first one is empty and stands for separators. */
  readonly terms: string[];
  /** Score of each row for the last query. */
  readonly score: Float32Array;
  /** The last result; `score` and `bestRow` refer to it. */
  last: KeywordResult | null = null;
  readonly #catalog: Catalog;
  readonly #termOf: Uint32Array; // of each word of the catalog
  readonly #wordOf: Uint32Array; // the most frequent word of each term
  readonly #length: Uint16Array; // words of each row
  #meanLength = 1;
  // Rows and counts of term `t` are from `#postingAt[t]` to `#postingAt[t + 1]`.
  #postingAt = new Uint32Array(0);
  #postingRow = new Uint32Array(0);
  #postingCount = new Uint8Array(0);
  readonly #touched: Uint32Array;
  #touchedSize = 0;
  readonly #familyScore: Float32Array;
  readonly #familyTouched: Uint32Array;
  readonly #commonWeight = new Map<number, number>(); // of terms of the last query that did not score

  constructor(catalog: Catalog) {
    this.#catalog = catalog;
    const folded = catalog.words.map((word, i) => (i < catalog.separators ? '' : fold(word)));
    this.terms = [...new Set(['', ...folded])].sort();
    const numberOf = new Map(this.terms.map((term, i) => [term, i]));
    this.#termOf = Uint32Array.from(folded, (term) => numberOf.get(term) ?? 0);
    this.#wordOf = new Uint32Array(this.terms.length);
    for (let word = folded.length - 1; word >= 0; word--) this.#wordOf[this.#termOf[word]] = word;
    this.#length = new Uint16Array(catalog.rows);
    this.#countPostings();
    this.#fillPostings();
    this.score = new Float32Array(catalog.rows);
    this.#touched = new Uint32Array(catalog.rows);
    this.#familyScore = new Float32Array(catalog.families);
    this.#familyTouched = new Uint32Array(catalog.families);
  }

  #countPostings(): void {
    const { rows, tokenAt, tokens } = this.#catalog;
    const seenIn = new Uint32Array(this.terms.length);
    const starts = new Uint32Array(this.terms.length + 1);
    let total = 0;
    for (let row = 0; row < rows; row++) {
      for (let i = tokenAt[row]; i < tokenAt[row + 1]; i++) {
        const term = this.#termOf[tokens[i]];
        if (!term) continue;
        this.#length[row]++;
        total++;
        if (seenIn[term] === row + 1) continue;
        seenIn[term] = row + 1;
        starts[term + 1]++;
      }
    }
    for (let term = 0; term < this.terms.length; term++) starts[term + 1] += starts[term];
    this.#postingAt = starts;
    this.#meanLength = total / (rows || 1) || 1;
  }

  #fillPostings(): void {
    const { rows, tokenAt, tokens } = this.#catalog;
    const seenIn = new Uint32Array(this.terms.length);
    const next = this.#postingAt.slice();
    const size = next[this.terms.length];
    this.#postingRow = new Uint32Array(size);
    this.#postingCount = new Uint8Array(size);
    for (let row = 0; row < rows; row++) {
      for (let i = tokenAt[row]; i < tokenAt[row + 1]; i++) {
        const term = this.#termOf[tokens[i]];
        if (!term) continue;
        if (seenIn[term] === row + 1) {
          const posting = next[term] - 1;
          if (this.#postingCount[posting] < 255) this.#postingCount[posting]++;
          continue;
        }
        seenIn[term] = row + 1;
        this.#postingRow[next[term]] = row;
        this.#postingCount[next[term]++] = 1;
      }
    }
  }

  /** The first term that is not before `word`. */
  #lowerBound(word: string): number {
    let low = 1;
    let high = this.terms.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.terms[middle] < word) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #frequency(term: number): number {
    return this.#postingAt[term + 1] - this.#postingAt[term];
  }

  /** Terms that a typed word may stand for; an `open` word may be unfinished. */
  #expand(word: string, open: boolean): Expansion {
    let terms = this.#literalTerms(word, open);
    const fuzzy = !terms.length && word.length >= 4;
    if (fuzzy) terms = this.#similarTerms(word, open);
    const frequency = terms.reduce((sum, { term }) => sum + this.#frequency(term), 0);
    return { terms, fuzzy, frequency };
  }

  #literalTerms(word: string, open: boolean): WeightedTerm[] {
    const first = this.#lowerBound(word);
    const isTerm = this.terms[first] === word;
    const found: WeightedTerm[] = isTerm ? [{ term: first, weight: 1 }] : [];
    if (!open) return found;
    const weight = isTerm ? UNFINISHED : PREFIX;
    for (let term = first + found.length; this.terms[term]?.startsWith(word); term++) found.push({ term, weight });
    return found;
  }

  #similarTerms(word: string, open: boolean): WeightedTerm[] {
    const max = word.length < 8 ? 1 : 2;
    const similar: { term: number; distance: number }[] = [];
    for (let term = 1; term < this.terms.length; term++) {
      const other = this.terms[term];
      if (other.charCodeAt(0) !== word.charCodeAt(0) && other.charCodeAt(1) !== word.charCodeAt(1)) continue;
      if (other.length < word.length - max || (!open && other.length > word.length + max)) continue;
      const distance = editDistance(word, other, max, open);
      if (distance <= max) similar.push({ term, distance });
    }
    similar.sort((a, b) => a.distance - b.distance || this.#frequency(b.term) - this.#frequency(a.term));
    return similar.slice(0, MAX_SIMILAR).map(({ term, distance }) => ({ term, weight: SIMILAR / distance }));
  }

  /**
   * Rank families for a query; `score` and `bestRow` then refer to it.
   * @param allowed One byte a row
   */
  search(text: string, depth: number, allowed: Uint8Array | null = null): KeywordResult {
    const query = parseQuery(text);
    const last = query.words.length - 1;
    const expansions = query.words.map((word, i) => this.#expand(word, query.open && i === last));
    const matched = this.#scoreRows(query, expansions, allowed);
    this.last = { ranked: this.#rankFamilies(depth), matched, suggestion: this.#suggest(text, query, expansions) };
    return this.last;
  }

  #scoreRows(query: ParsedQuery, expansions: Expansion[], allowed: Uint8Array | null): Map<number, number> {
    const { rows } = this.#catalog;
    for (let i = 0; i < this.#touchedSize; i++) this.score[this.#touched[i]] = 0;
    this.#touchedSize = 0;
    this.#commonWeight.clear();
    const matched = new Map<number, number>();
    // In a large catalog, a word of a fifth of the rows tells little and costs most.
    // It only helps to choose within a family.
    const common = COMMON_SHARE * rows;
    const hasRareWord = rows > LARGE_CATALOG && expansions.some((e) => e.terms.length && e.frequency <= common);
    expansions.forEach(({ terms, frequency }, i) => {
      const word = query.words[i];
      const isUnfinished = query.open && i === expansions.length - 1 && terms.length > 1;
      const df = Math.min(rows, frequency);
      const idf = Math.log(1 + (rows - df + 0.5) / (df + 0.5));
      const skip = hasRareWord && df > common && !isUnfinished;
      for (const { term, weight } of terms) {
        if (skip) {
          this.#commonWeight.set(term, weight * idf);
          continue;
        }
        const name = this.terms[term];
        if (!matched.has(term)) matched.set(term, name.startsWith(word) ? word.length : name.length);
        this.#addTerm(term, weight * idf, allowed);
      }
    });
    return matched;
  }

  #addTerm(term: number, weight: number, allowed: Uint8Array | null): void {
    for (let p = this.#postingAt[term]; p < this.#postingAt[term + 1]; p++) {
      const row = this.#postingRow[p];
      if (allowed && !allowed[row]) continue;
      if (this.score[row] === 0) this.#touched[this.#touchedSize++] = row;
      const count = this.#postingCount[p];
      const lengthNorm = 1 - B + (B * this.#length[row]) / this.#meanLength;
      this.score[row] += (weight * count) / (count + K1 * lengthNorm);
    }
  }

  #rankFamilies(depth: number): Uint32Array {
    let size = 0;
    for (let i = 0; i < this.#touchedSize; i++) {
      const row = this.#touched[i];
      const family = this.#catalog.familyOf[row];
      if (this.#familyScore[family] === 0) this.#familyTouched[size++] = family;
      if (this.score[row] > this.#familyScore[family]) this.#familyScore[family] = this.score[row];
    }
    const ranked = topK(this.#familyTouched, this.#familyScore, size, depth);
    for (let i = 0; i < size; i++) this.#familyScore[this.#familyTouched[i]] = 0;
    return ranked;
  }

  #suggest(text: string, query: ParsedQuery, expansions: Expansion[]): string {
    const found = expansions.filter(({ terms }) => terms.length);
    if (!found.length || !found.every(({ fuzzy }) => fuzzy)) return '';
    let suggestion = '';
    let end = 0;
    expansions.forEach(({ terms }, i) => {
      const [from, to] = query.spans[i];
      const word = terms.length ? this.#nearestWord(query.words[i], terms) : text.slice(from, to);
      suggestion += text.slice(end, from) + word;
      end = to;
    });
    return (suggestion + text.slice(end)).trim();
  }

  /** The term that is most like the typed word, as the catalog writes it. */
  #nearestWord(typed: string, terms: WeightedTerm[]): string {
    const distances = terms.map(({ term }) => editDistance(typed, this.terms[term], typed.length));
    const nearest = terms[distances.indexOf(Math.min(...distances))].term;
    return this.#catalog.words[this.#wordOf[nearest]].toLowerCase();
  }

  /** The row of a family that fits the words of the last query best; its head when none fits. -1: none is allowed. */
  bestRow(family: number, allowed: Uint8Array | null = null): number {
    const { familyAt } = this.#catalog;
    let best = -1;
    let bestScore = -1;
    for (let row = familyAt[family]; row < familyAt[family + 1]; row++) {
      if (allowed && !allowed[row]) continue;
      const score = this.score[row] + this.#commonScore(row);
      if (score <= bestScore) continue;
      bestScore = score;
      best = row;
    }
    return best;
  }

  #commonScore(row: number): number {
    if (!this.#commonWeight.size) return 0;
    const { tokenAt, tokens } = this.#catalog;
    let score = 0;
    for (let i = tokenAt[row]; i < tokenAt[row + 1]; i++) score += this.#commonWeight.get(this.#termOf[tokens[i]]) ?? 0;
    return score / (1 + this.#length[row] / this.#meanLength);
  }

  /** Title of a row, with the words marked that `matched` has. */
  markedTitle(row: number, matched: Map<number, number>): { title: string; marks: [number, number][] } {
    return this.#catalog.title(row, (word) => matched.get(this.#termOf[word]) ?? 0);
  }
}

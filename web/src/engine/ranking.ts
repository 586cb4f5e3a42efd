// Hits for a query from the tiers there are: keywords always, vectors when the query was encoded.
import { allowedFamilies, type Catalog } from './catalog';
import type { KeywordResult, Keywords } from './keywords';
import type { FusionSettings } from './manifest';
import { normalizeQuery, parseQuery } from './text';
import { endStage, timed } from './timing';
import type { CategoryCount, Hit, Mode, Results } from './types';
import type { Vectors } from './vectors';

const MIN_DEPTH = 200;
const MAX_BY_ID = 3;
const COUNTED_HITS = 50;
const MAX_CATEGORIES = 6;

/** The data that a query is answered from. */
export interface Index {
  catalog: Catalog;
  keywords: Keywords;
  vectors: Vectors | null;
  /** More about each row, if the site has it. */
  texts: string[] | null;
  /** Rows that are pinned to a normalized query. */
  pins: Map<string, number>;
  fusion: FusionSettings;
  /** The best score that nearly all real queries reach, by encoder. */
  close: Record<string, number | undefined>;
}

export interface Question {
  text: string;
  k: number;
  category?: string;
  mode?: Mode;
}

/** The vector of a query and the encoder that made it. */
export interface EncodedQuery {
  vector: Float32Array;
  tier: string;
}

export type RankedHits = Pick<Results, 'hits' | 'categories' | 'tier' | 'close' | 'suggestion'>;

/** Fuse two ranked lists by reciprocal rank; ties by number. */
export function fuse(
  dense: ArrayLike<number>,
  keyword: ArrayLike<number>,
  { rrf_k, keyword_weight }: FusionSettings,
): number[] {
  const score = new Map<number, number>();

  function addRanks(ranked: ArrayLike<number>, weight: number): void {
    for (let i = 0; i < ranked.length; i++) {
      score.set(ranked[i], (score.get(ranked[i]) ?? 0) + weight / (rrf_k + i + 1));
    }
  }

  addRanks(dense, 1);
  addRanks(keyword, keyword_weight);
  const sorted = [...score].sort(([a, scoreA], [b, scoreB]) => scoreB - scoreA || a - b);
  return sorted.map(([number]) => number);
}

/** What the words of a question find. */
export interface WordSearch {
  /** Families to rank. */
  depth: number;
  /** Rows to look at, one byte each; null: all. */
  allowed: Uint8Array | null;
  found: KeywordResult;
}

/** Search for the words of a question, for `rank`. This can be done while the question is encoded. */
export function searchWords({ catalog, keywords }: Index, { text, k, category }: Question): WordSearch {
  const allowed = category ? catalog.inCategory(category) : null;
  const depth = Math.max(MIN_DEPTH, 20 * k);
  return { depth, allowed, found: timed('keywords', () => keywords.search(text, depth, allowed)) };
}

/**
 * Answer a query. Without a vector, only its words count.
 * @param words What `searchWords` found for this question; found anew if other words were searched for meanwhile
 */
export function rank(
  index: Index,
  question: Question,
  encoded: EncodedQuery | null = null,
  words: WordSearch | null = null,
): RankedHits {
  const { catalog, keywords } = index;
  const { text, k } = question;
  const tier = encoded?.tier ?? 'keyword';
  if (!parseQuery(text).words.length && !encoded)
    return { hits: [], categories: [], tier, close: true, suggestion: '' };
  const { depth, allowed, found } = words?.found === keywords.last ? words : searchWords(index, question);
  const { ranked, matched, suggestion } = found;
  const { order, rowOf, pinned } = rankFamilies(index, question, { ranked, allowed, depth, encoded });

  function rowToShow(family: number): number {
    return rowOf.get(family) ?? keywords.bestRow(family, allowed);
  }

  const start = performance.now();
  const hits = order.slice(0, k).map((family, i) => {
    return makeHit(index, rowToShow(family), i + 1, family === pinned ? 'pin' : tier, matched);
  });
  const categories = countCategories(catalog, order.slice(0, COUNTED_HITS).map(rowToShow));
  endStage('hits', start);
  const close = rowOf.size > 0 || isClose(index, encoded);
  return { hits, categories, tier, close, suggestion };
}

/** Whether the best family scores as well as for nearly all real queries. Words alone cannot tell. */
function isClose({ vectors, close }: Index, encoded: EncodedQuery | null): boolean {
  return !encoded || !vectors || vectors.bestScore >= (close[encoded.tier] ?? -Infinity);
}

interface Ranking {
  ranked: Uint32Array;
  allowed: Uint8Array | null;
  depth: number;
  encoded: EncodedQuery | null;
}

/** Order of the families, and the rows that those found by id or pin must show. */
function rankFamilies(index: Index, { text, mode = 'hybrid' }: Question, ranking: Ranking) {
  const { catalog, vectors, fusion } = index;
  const { ranked, allowed, depth, encoded } = ranking;
  let order: ArrayLike<number> = ranked;
  if (encoded && vectors) {
    const among = allowed && allowedFamilies(catalog, allowed);
    const dense = timed('vectors', () => vectors.search(encoded.vector, depth, among));
    order = mode === 'dense' ? dense : timed('fusion', () => fuse(dense, ranked, fusion));
  }
  const rowOf = new Map<number, number>();
  const pin = index.pins.get(normalizeQuery(text));
  const pinned = pin !== undefined && (!allowed || allowed[pin]) ? catalog.familyOf[pin] : null;
  if (pin !== undefined && pinned !== null) rowOf.set(pinned, pin);
  for (const { family, row } of catalog.byId(text, MAX_BY_ID, allowed)) {
    if (family !== pinned) rowOf.set(family, row);
  }
  const rest = Array.from(order).filter((family) => !rowOf.has(family));
  return { order: [...rowOf.keys(), ...rest], rowOf, pinned };
}

function countCategories(catalog: Catalog, rows: number[]): CategoryCount[] {
  const counts = new Map<string, number>();
  for (const row of rows) {
    const name = catalog.categoryOf(row);
    if (name) counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  const sorted = Array.from(counts, ([name, count]) => ({ name, count })).sort((a, b) => b.count - a.count);
  return sorted.slice(0, MAX_CATEGORIES);
}

function makeHit(index: Index, row: number, rank: number, tier: string, matched: Map<number, number>): Hit {
  const { catalog, keywords, texts } = index;
  const family = catalog.familyOf[row];
  return {
    rank,
    id: catalog.ids[row],
    ...keywords.markedTitle(row, matched),
    category: catalog.categoryOf(row),
    text: texts?.[row] ?? '',
    family: catalog.headId(family),
    variants: catalog.familySize(family) - 1,
    tier,
  };
}

/** Other rows of the family of `id`; first those that match the words of `text`. */
export function findVariants(index: Index, id: string, text: string, limit: number): Hit[] {
  const { catalog, keywords } = index;
  const row = catalog.ids.indexOf(id);
  if (row < 0) return [];
  const family = catalog.familyOf[row];
  const { matched } = keywords.search(text, 1);
  const others: number[] = [];
  for (let other = catalog.familyAt[family]; other < catalog.familyAt[family + 1]; other++) {
    if (other !== row) others.push(other);
  }
  others.sort((a, b) => keywords.score[b] - keywords.score[a] || a - b);
  return others.slice(0, limit).map((other, i) => makeHit(index, other, i + 1, 'family', matched));
}

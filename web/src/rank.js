// Hits for a query from the tiers there are: keywords always, vectors when the query was encoded.
import { parse } from './text.js';

const DEPTH = 200, FIRST = 3, FACETS = 50, CHIPS = 6;

/**
 * Reciprocal rank fusion of two lists.
 * @param {ArrayLike<number>} dense
 * @param {ArrayLike<number>} keyword
 * @param {{rrf_k: number, keyword_weight: number}} s
 * @returns {number[]}
 */
export function fuse(dense, keyword, { rrf_k, keyword_weight }) {
  const score = new Map();
  for (const [w, list] of /** @type {Array<[number, ArrayLike<number>]>} */ ([[1, dense], [keyword_weight, keyword]]))
    for (let i = 0; i < list.length; i++) score.set(list[i], (score.get(list[i]) ?? 0) + w / (rrf_k + i + 1));
  return [...score.keys()].sort((a, b) => score.get(b) - score.get(a) || a - b);
}

/**
 * @param {import('./types').State} state What is searched
 * @param {{text: string, k: number, category?: string, vector?: Float32Array|null, tier?: string, mode?: string}} ask
 */
export function rank(state, { text, k, category, vector = null, tier = 'keyword', mode = 'hybrid' }) {
  const { catalog, vectors } = state, allowed = category ? catalog.inCategory(category) : null, depth = Math.max(DEPTH, 20 * k);
  if (!parse(text).words.length && !vector) return { hits: [], categories: [], tier };
  const { ranked, matched } = catalog.search(text, depth, allowed);
  let order = Array.from(ranked);
  if (vector && vectors) {
    let among = null;
    if (allowed) { const f = new Set(); for (let r = 0; r < catalog.rows; r++) if (allowed[r]) f.add(catalog.familyOf[r]); among = Uint32Array.from(f); }
    const dense = vectors.search(vector, depth, among);
    order = mode === 'dense' ? Array.from(dense) : fuse(dense, ranked, state.manifest.search);
  }
  const ids = catalog.byId(text, FIRST, allowed), byId = new Map(ids.map(x => [x.family, x.row]));
  if (ids.length) order = [...byId.keys(), ...order.filter(f => !byId.has(f))];
  const hits = order.slice(0, k).map((f, i) => hit(state, byId.get(f) ?? catalog.pick(f, allowed), i + 1, tier, matched));
  const counts = new Map();
  for (const f of order.slice(0, FACETS)) { const c = catalog.categories[catalog.rowCategory[catalog.pick(f, allowed)]]; if (c) counts.set(c, (counts.get(c) ?? 0) + 1); }
  const categories = [...counts].map(([name, count]) => ({ name, count })).sort((a, b) => b.count - a.count).slice(0, CHIPS);
  return { hits, categories, tier };
}

/**
 * @param {import('./types').State} state
 * @param {number} row
 * @param {number} place
 * @param {string} tier
 * @param {Map<number, number>} [matched]
 */
export function hit({ catalog, texts }, row, place, tier, matched) {
  const f = catalog.familyOf[row], { title, marks } = catalog.title(row, matched);
  return { rank: place, id: catalog.ids[row], title, marks, category: catalog.categories[catalog.rowCategory[row]] ?? '', text: texts?.[row] ?? '',
    family: catalog.ids[catalog.familyAt[f]], variants: catalog.familyAt[f + 1] - catalog.familyAt[f] - 1, tier };
}

/**
 * Other rows of the family of `id`, those first that the words of `text` fit.
 * @param {import('./types').State} state
 * @param {string} id
 * @param {string} text
 * @param {number} limit
 */
export function variants(state, id, text, limit) {
  const { catalog } = state, row = catalog.ids.indexOf(id); if (row < 0) return [];
  const f = catalog.familyOf[row], { matched } = catalog.search(text, 1), out = [];
  for (let r = catalog.familyAt[f]; r < catalog.familyAt[f + 1]; r++) if (r !== row) out.push(r);
  return out.sort((a, b) => catalog.score[b] - catalog.score[a] || a - b).slice(0, limit).map((r, i) => hit(state, r, i + 1, 'family', matched));
}

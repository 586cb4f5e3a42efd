// Everything the element says, so that a page can say it in another language: `element.strings = {...}`.
const n = (/** @type {number} */ x) => x.toLocaleString();

export const STRINGS = {
  label: 'Search', placeholder: 'Type what comes to mind …', clear: 'Clear', results: 'Results', categories: 'Categories', all: 'All',
  loading: 'Loading the catalog …',
  learning: (/** @type {number} */ percent) => `Words only so far: search by meaning is loading, ${percent} %`,
  preparing: 'Words only so far: search by meaning is starting …',
  improving: (/** @type {number} */ percent) => `Searching by meaning. A better model is loading, ${percent} %`,
  refining: 'Searching by meaning. A better model is starting …',
  by: /** @type {Record<string, string>} */ ({ keyword: 'by words', other: 'by meaning and words' }),
  found: (/** @type {number} */ k) => k === 1 ? '1 result' : `${n(k)} results`,
  announce: (/** @type {number} */ k, /** @type {string} */ first) => k ? `${k === 1 ? '1 result' : `${n(k)} results`}. First: ${first}` : 'Nothing found',
  start: 'Use your own words', startHint: 'Half a word, a misspelling or an id will do. ↓ and Enter choose, → shows variants.',
  none: 'Nothing found', noneHint: 'Try other words, or fewer of them.', noneCategory: 'Nothing in this category. Look in all of them.',
  variants: (/** @type {number} */ k) => k === 1 ? '1 variant' : `${n(k)} variants`,
  more: 'Show more', notStored: 'This browser keeps no data for this site, so the next visit loads everything again.',
};

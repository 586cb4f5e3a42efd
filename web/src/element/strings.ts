// Everything the element says. A page can replace any of it: `element.strings = { placeholder: 'Find a part' }`.
import { describeProblem } from '../engine/problems';
import type { Problem } from '../engine/types';
import { GERMAN } from './strings.de';

export interface Strings {
  label: string;
  placeholder: string;
  clear: string;
  results: string;
  categories: string;
  /** The button that shows all categories. */
  all: string;
  loading: string;
  /** Words only so far, and a download is running. */
  learning: (percent: number) => string;
  /** Words only so far, and the downloaded encoder is starting. */
  preparing: string;
  /** Searching by meaning, and a better encoder is downloading. */
  improving: (percent: number) => string;
  refining: string;
  /** How the results were found. */
  by: { keyword: string; other: string };
  found: (count: number) => string;
  /** Read out by screen readers. */
  announce: (count: number, first: string) => string;
  start: string;
  startHint: string;
  none: string;
  noneHint: string;
  noneCategory: string;
  /** Even the best results have little to do with the query. */
  notClose: string;
  /** Stands before the suggested query. */
  didYouMean: string;
  variants: (count: number) => string;
  more: string;
  /** Marks an entry that a better encoder has added while somebody reads. */
  added: string;
  copied: (id: string) => string;
  notStored: string;
  /** Why a form cannot be sent. */
  required: string;
  problem: (problem: Problem) => string;
}

function results(count: number): string {
  return count === 1 ? '1 result' : `${count.toLocaleString()} results`;
}

export const ENGLISH: Strings = {
  label: 'Search',
  placeholder: 'Type what comes to mind …',
  clear: 'Clear',
  results: 'Results',
  categories: 'Categories',
  all: 'All',
  loading: 'Loading the catalog …',
  learning: (percent) => `Words only so far: search by meaning is loading, ${percent} %`,
  preparing: 'Words only so far: search by meaning is starting …',
  improving: (percent) => `Searching by meaning. A better model is loading, ${percent} %`,
  refining: 'Searching by meaning. A better model is starting …',
  by: { keyword: 'by words', other: 'by meaning and words' },
  found: results,
  announce: (count, first) => (count ? `${results(count)}. First: ${first}` : 'Nothing found'),
  start: 'Use your own words',
  startHint: 'Half a word, a misspelling or an id will do. ↓ and Enter choose, → shows variants.',
  none: 'Nothing found',
  noneHint: 'Try other words, or fewer of them.',
  noneCategory: 'Nothing in this category. Look in all of them.',
  notClose: 'Nothing close found. These entries are the nearest.',
  didYouMean: 'Did you mean',
  variants: (count) => (count === 1 ? '1 variant' : `${count.toLocaleString()} variants`),
  more: 'Show more',
  added: 'new',
  copied: (id) => `Copied ${id}`,
  notStored: 'This browser keeps no data for this site, so the next visit loads everything again.',
  required: 'Choose an entry of the list.',
  problem: describeProblem,
};

/** Strings for a language tag such as `de-CH`; English if there are none. */
export function stringsFor(language: string): Strings {
  return /^de\b/i.test(language) ? GERMAN : ENGLISH;
}

import type { LoggedSearch } from '../engine/types';

/** Milliseconds that results must have been shown before leaving them counts as a search without a pick. */
const READ = 1000;

/** The search that a visitor has read but not yet picked from. */
export class PendingSearch {
  #search: (LoggedSearch & { at: number }) | null = null;

  set(search: Omit<LoggedSearch, 'picked'>): void {
    this.#search = { ...search, picked: null, at: performance.now() };
  }

  get query(): string | undefined {
    return this.#search?.query;
  }

  clear(): void {
    this.#search = null;
  }

  /** The search to log when the visitor leaves it, if it was read. */
  take(): LoggedSearch | null {
    const search = this.#search;
    this.#search = null;
    if (!search || performance.now() - search.at < READ) return null;
    const { query, shown, picked, version } = search;
    return { query, shown, picked, version };
  }
}

// What was downloaded and logged, in IndexedDB. What the browser refuses to keep stays in memory.
import { openDB, type DBSchema, type IDBPDatabase } from 'idb';
import { isManifest, type Manifest } from './manifest';
import type { LogEvent } from './types';

interface Schema extends DBSchema {
  parts: { key: string; value: ArrayBuffer };
  meta: { key: string; value: unknown };
  log: { key: number; value: LogEvent };
}

type Database = IDBPDatabase<Schema>;

/** Parts, manifest and log of one site. */
export class Store {
  readonly #db: Database | null;
  readonly #parts = new Map<string, ArrayBuffer>();
  readonly #meta = new Map<string, unknown>();
  #log: LogEvent[] = [];
  #persistent: boolean;

  constructor(db: Database | null) {
    this.#db = db;
    this.#persistent = db !== null;
  }

  /** Open the store of the site at `base`; each site has its own database. */
  static async open(base: string): Promise<Store> {
    try {
      return new Store(await openDatabase(`embedding-search:${new URL(base).pathname}`));
    } catch {
      return new Store(null);
    }
  }

  /** Whether everything so far was kept for the next visit. */
  get persistent(): boolean {
    return this.#persistent;
  }

  async getPart(key: string): Promise<ArrayBuffer | undefined> {
    return this.#parts.get(key) ?? this.#attempt((db) => db.get('parts', key), undefined);
  }

  async putPart(key: string, content: ArrayBuffer): Promise<void> {
    if (await this.#write((db) => db.put('parts', content, key))) this.#parts.delete(key);
    else this.#parts.set(key, content);
  }

  async deletePart(key: string): Promise<void> {
    this.#parts.delete(key);
    await this.#attempt((db) => db.delete('parts', key), undefined);
  }

  async partKeys(): Promise<Set<string>> {
    return new Set([...this.#parts.keys(), ...(await this.#attempt((db) => db.getAllKeys('parts'), []))]);
  }

  /** Forget parts that were only in memory until they were read. */
  release(keys: string[]): void {
    for (const key of keys) this.#parts.delete(key);
  }

  /** The manifest of the version in use. */
  async getManifest(): Promise<Manifest | null> {
    const manifest = await this.#getMeta('current');
    return isManifest(manifest) ? manifest : null;
  }

  setManifest(manifest: Manifest): Promise<void> {
    return this.#putMeta('current', manifest);
  }

  /** Whether the log is on. */
  async getLogging(): Promise<boolean> {
    return (await this.#getMeta('logging')) === true;
  }

  setLogging(on: boolean): Promise<void> {
    return this.#putMeta('logging', on);
  }

  async addLogEvent(event: LogEvent): Promise<void> {
    if (!(await this.#write((db) => db.add('log', event)))) this.#log.push(event);
  }

  async getLog(): Promise<LogEvent[]> {
    return [...(await this.#attempt((db) => db.getAll('log'), [])), ...this.#log];
  }

  async clearLog(): Promise<void> {
    this.#log = [];
    await this.#attempt((db) => db.clear('log'), undefined);
  }

  close(): void {
    this.#db?.close();
  }

  #getMeta(key: string): Promise<unknown> {
    if (this.#meta.has(key)) return Promise.resolve(this.#meta.get(key));
    return this.#attempt((db) => db.get('meta', key), undefined);
  }

  async #putMeta(key: string, value: unknown): Promise<void> {
    if (await this.#write((db) => db.put('meta', value, key))) this.#meta.delete(key);
    else this.#meta.set(key, value);
  }

  /** Run `work` on the database; `otherwise` without one, or if it fails. */
  async #attempt<T>(work: (db: Database) => Promise<T>, otherwise: T): Promise<T> {
    if (!this.#db) return otherwise;
    try {
      return await work(this.#db);
    } catch {
      return otherwise;
    }
  }

  /** Write to the database; false if it cannot keep the value. */
  async #write(work: (db: Database) => Promise<unknown>): Promise<boolean> {
    const kept = await this.#attempt((db) => work(db).then(() => true), false);
    if (!kept) this.#persistent = false;
    return kept;
  }
}

async function openDatabase(name: string): Promise<Database> {
  const db = await openDB<Schema>(name, 1, {
    upgrade(created) {
      created.createObjectStore('parts');
      created.createObjectStore('meta');
      created.createObjectStore('log', { autoIncrement: true });
    },
    blocking() {
      db.close(); // another tab wants a newer layout
    },
  });
  return db;
}

// What was downloaded, in IndexedDB as raw binary; and the download itself: parts of about a megabyte, named by their hash.
const STORES = { parts: undefined, meta: undefined, log: { autoIncrement: true } };
const PARALLEL = 4, TRIES = 4;

/** @template T @param {IDBRequest<T>} r @returns {Promise<T>} */
const done = r => new Promise((yes, no) => { r.onsuccess = () => yes(r.result); r.onerror = () => no(r.error); });

/** Key-value stores `parts`, `meta` and `log` of one site. What the browser refuses to keep stays in memory. */
export class Store {
  /** @type {Record<string, Map<any, any>>} */
  #memory = { parts: new Map(), meta: new Map(), log: new Map() };
  /** @param {IDBDatabase|null} db */
  constructor(db) { this.db = db; this.persistent = !!db; }

  /** @param {string} base Where the site lies; each site has its own database */
  static async open(base) {
    try {
      const r = indexedDB.open(`embedding-search:${new URL(base).pathname}`, 1);
      r.onupgradeneeded = () => { for (const [n, o] of Object.entries(STORES)) r.result.createObjectStore(n, o); };
      const db = await done(r); db.onversionchange = () => db.close();
      return new Store(db);
    } catch { return new Store(null); }
  }

  /** @param {string} name @param {IDBTransactionMode} mode @param {(s: IDBObjectStore) => IDBRequest} work */
  #run(name, mode, work) {
    return new Promise((yes, no) => {
      const t = /** @type {IDBDatabase} */ (this.db).transaction(name, mode), r = work(t.objectStore(name));
      t.oncomplete = () => yes(r.result); t.onabort = t.onerror = () => no(t.error ?? r.error);
    });
  }

  /** @param {string} name @param {any} key */
  async get(name, key) { return this.#memory[name].get(key) ?? (this.db ? await this.#run(name, 'readonly', s => s.get(key)).catch(() => undefined) : undefined); }

  /** @param {string} name @param {any} key @param {any} value */
  async put(name, key, value) {
    try { if (!this.db) throw new Error('no database'); await this.#run(name, 'readwrite', s => s.put(value, key)); this.#memory[name].delete(key); }
    catch { this.persistent = false; this.#memory[name].set(key ?? Symbol(), value); }
  }

  /** @param {string} name @param {any} key */
  async delete(name, key) { this.#memory[name].delete(key); if (this.db) await this.#run(name, 'readwrite', s => s.delete(key)).catch(() => {}); }

  /** @param {string} name @returns {Promise<any[]>} */
  async keys(name) { return [...this.#memory[name].keys(), ...(this.db ? await this.#run(name, 'readonly', s => s.getAllKeys()).catch(() => []) : [])]; }

  /** @param {string} name @returns {Promise<any[]>} */
  async values(name) { return [...(this.db ? await this.#run(name, 'readonly', s => s.getAll()).catch(() => []) : []), ...this.#memory[name].values()]; }

  /** @param {string} name */
  async clear(name) { this.#memory[name].clear(); if (this.db) await this.#run(name, 'readwrite', s => s.clear()).catch(() => {}); }

  /** Forget parts in memory that were only kept until they were read. @param {string[]} keys */
  release(keys) { for (const k of keys) this.#memory.parts.delete(k); }
}

export class Corrupt extends Error {}
export class Unreachable extends Error {}

/** @param {ArrayBuffer} data @returns {Promise<string|null>} Hex digest; null where the page is not served securely and the browser has no digest */
async function sha256(data) {
  if (!globalThis.crypto?.subtle) return null;
  return Array.from(new Uint8Array(await crypto.subtle.digest('SHA-256', data)), b => b.toString(16).padStart(2, '0')).join('');
}

/** @param {ArrayBuffer} data @param {string} want */
async function verify(data, want) { const have = await sha256(data); if (have !== null && have !== want) throw new Corrupt('the content does not match its hash'); }

/** @param {number} ms @param {AbortSignal} [signal] */
const wait = (ms, signal) => new Promise((yes, no) => { const t = setTimeout(yes, ms); signal?.addEventListener('abort', () => { clearTimeout(t); no(signal.reason); }, { once: true }); });

/** @param {string} url @param {import('./types').Part} part @param {AbortSignal} [signal] @returns {Promise<ArrayBuffer>} */
async function fetchPart(url, part, signal) {
  for (let n = 1; ; n++) {
    try {
      const r = await fetch(url, { signal, cache: n > 1 ? 'reload' : 'default', credentials: 'same-origin' });
      if (!r.ok) throw new Error(`the server answers ${r.status}`);
      const packed = await r.arrayBuffer();
      await verify(packed, part.sha256);
      return await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip'))).arrayBuffer();
    } catch (e) { if (signal?.aborted) throw e; if (n >= TRIES) throw e instanceof Corrupt ? e : new Unreachable(e instanceof TypeError ? 'no connection' : String(/** @type {any} */ (e)?.message ?? e)); await wait(400 * 2 ** n, signal); }
  }
}

/**
 * Download the parts of `files` that are not here yet.
 * @param {Store} store
 * @param {string} base
 * @param {import('./types').File[]} files
 * @param {(received: number, total: number) => void} onprogress Packed bytes; what was here counts as received
 * @param {AbortSignal} [signal]
 */
export async function ensure(store, base, files, onprogress = () => {}, signal) {
  const have = new Set(await store.keys('parts')), parts = [...new Map(files.flatMap(f => f.parts).map(p => [p.sha256, p])).values()];
  const total = parts.reduce((s, p) => s + p.size, 0), missing = parts.filter(p => !have.has(p.sha256));
  let received = total - missing.reduce((s, p) => s + p.size, 0), next = 0;
  onprogress(received, total);
  await Promise.all(Array.from({ length: Math.min(PARALLEL, missing.length) }, async () => {
    while (next < missing.length) {
      const p = missing[next++];
      await store.put('parts', p.sha256, await fetchPart(new URL(`data/${p.sha256.slice(0, 20)}.bin`, base).href, p, signal));
      onprogress(received += p.size, total);
    }
  }));
  return { missing: missing.length };
}

/**
 * Content of a file, verified; parts that went bad are fetched again once.
 * @param {Store} store
 * @param {string} base
 * @param {import('./types').File} file
 * @returns {Promise<ArrayBuffer>}
 */
export async function read(store, base, file) {
  const keys = file.parts.map(p => p.sha256);
  for (let again = 0; ; again++) {
    const out = new Uint8Array(file.bytes); let at = 0, whole = true;
    for (const b of await Promise.all(keys.map(k => store.get('parts', k)))) {
      if (!(b instanceof ArrayBuffer) || at + b.byteLength > file.bytes) { whole = false; break; }
      out.set(new Uint8Array(b), at); at += b.byteLength;
    }
    try { if (!whole || at !== file.bytes) throw new Corrupt('a part is missing'); await verify(out.buffer, file.sha256); store.release(keys); return out.buffer; }
    catch (e) { if (!(e instanceof Corrupt) || again) throw e; for (const k of keys) await store.delete('parts', k); await ensure(store, base, [file]); }
  }
}

/** Delete parts that no manifest in `keep` refers to. @param {Store} store @param {import('./types').Manifest[]} keep */
export async function sweep(store, keep) {
  const used = new Set(keep.flatMap(m => Object.values(m.files).flatMap(f => f.parts.map(p => p.sha256))));
  for (const k of await store.keys('parts')) if (!used.has(k)) await store.delete('parts', k);
}

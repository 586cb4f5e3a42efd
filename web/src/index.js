// createSearch: the search as a promise-based object. The work is done in a worker.
import { ENGINE } from './version.js';
export { ENGINE as version };

/** Milliseconds until a worker that says nothing is called broken. */
const START = 60000;

/** @param {import('./types').SearchOptions} [o] @returns {Promise<import('./types').Search>} */
export async function createSearch({ base = './', threads = 1, semantic = true, serviceWorker = true, onstatus = () => {} } = {}) {
  if (!globalThis.DecompressionStream) throw new Error('This browser is too old for this search; update it.');
  const root = new URL(base.endsWith('/') ? base : base + '/', document.baseURI).href;
  const search = new Search(root, onstatus);
  if (serviceWorker) search.register();
  search.post({ type: 'start', options: { base: root, threads, semantic } });
  await search.ready;
  return search;
}

class Search {
  #next = 1; /** @type {Map<number, any>} */ #open = new Map();
  #worker; #settle = () => {}; #fail = (/** @type {any} */ _e) => {};
  /** @type {Promise<ServiceWorkerRegistration|null>} */ #registration = Promise.resolve(null);
  session = globalThis.crypto?.randomUUID?.() ?? Math.random().toString(36).slice(2);

  /** @param {string} base @param {(s: any) => void} onstatus */
  constructor(base, onstatus) {
    this.base = base; this.onstatus = onstatus; this.status = /** @type {import('./types').Status} */ ({ state: 'loading', tier: 'none', version: '', progress: null, message: '', stored: true });
    this.ready = new Promise((yes, no) => { this.#settle = () => yes(0); this.#fail = no; });
    this.#worker = new Worker(new URL('worker.js', base), { type: 'module' });
    const t = setTimeout(() => this.#broken('no answer from its worker'), START);
    this.ready.catch(() => clearTimeout(t));
    this.#worker.onerror = e => this.#broken(e.message || 'its worker could not be loaded');
    this.#worker.onmessage = ({ data }) => { clearTimeout(t); this.#receive(data); };
  }

  /** @param {string} why */
  #broken(why) {
    this.status = { ...this.status, state: /** @type {const} */ ('error'), message: `The search stopped: ${why}. Reload the page.` }; this.onstatus(this.status);
    for (const q of this.#open.values()) q.no(new Error(this.status.message));
    this.#open.clear(); this.#fail(new Error(this.status.message));
  }

  /** @param {any} d */
  #receive(d) {
    if (d.type === 'status') { this.status = d.status; if (d.status.version) this.#settle(); this.onstatus(d.status); return; }
    if (d.type === 'background') { this.#background(d); return; }
    const q = this.#open.get(d.id); if (!q) return;
    if (!d.final) { q.ontier?.(d.result); return; }
    this.#open.delete(d.id);
    if (d.error) q.no(new Error(d.error)); else { q.ontier?.(d.result); q.yes(d.result); }
  }

  register() {
    if (!navigator.serviceWorker) return;
    this.#registration = navigator.serviceWorker.register(new URL('sw.js', this.base), { scope: this.base }).then(() => navigator.serviceWorker.getRegistration(this.base)).then(r => r ?? null).catch(() => null);
  }

  /** Hand a download to the service worker once it is active. @param {any} d */
  async #background({ base, files, port }) {
    const r = await this.#registration, w = r?.active ?? r?.waiting ?? r?.installing;
    if (!w) { port.postMessage({ error: 'no service worker' }); return; }
    if (w.state !== 'activated') await new Promise(yes => { w.addEventListener('statechange', () => { if (w.state === 'activated' || w.state === 'redundant') yes(0); }); setTimeout(yes, 3000); });
    (r?.active ?? w).postMessage({ type: 'download', base, files, port }, [port]);
  }

  /** @param {any} m @param {Transferable[]} [t] */
  post(m, t = []) { this.#worker.postMessage(m, t); }

  /** @param {any} m @param {{signal?: AbortSignal, ontier?: (r: any) => void}} [o] @returns {Promise<any>} */
  #ask(m, { signal, ontier } = {}) {
    const id = this.#next++;
    return new Promise((yes, no) => {
      if (signal?.aborted) return no(signal.reason);
      this.#open.set(id, { yes, no, ontier });
      signal?.addEventListener('abort', () => { if (this.#open.delete(id)) { this.post({ type: 'cancel', id }); no(signal.reason); } }, { once: true });
      this.post({ ...m, id });
    });
  }

  /** @param {string} text @param {any} [o] */
  query(text, { k = 10, category = '', mode = 'hybrid', signal, ontier } = {}) { return this.#ask({ type: 'query', ask: { text: String(text), k, category, mode } }, { signal, ontier }); }
  /** @param {string} id @param {any} [o] */
  variants(id, { text = '', limit = 100 } = {}) { return this.#ask({ type: 'variants', of: id, text, limit }); }
  update() { return this.#ask({ type: 'update' }); }

  /** @param {boolean} [on] */
  logging(on) { return this.#ask({ type: 'logging', on }); }
  /** @param {{query: string, shown: string[], picked: string|null, version?: string}} e */
  log({ query, shown, picked, version = this.status.version }) { return this.#ask({ type: 'log', event: { query, shown, picked, time: new Date().toISOString(), version, session: this.session } }); }
  async exportLog() { return (await this.#ask({ type: 'entries' })).map((/** @type {any} */ e) => JSON.stringify(e) + '\n').join(''); }
  clearLog() { return this.#ask({ type: 'forget' }); }
  /** @param {string} endpoint */
  async sendLog(endpoint) {
    const body = await this.exportLog(); if (!body) return 0;
    const r = await fetch(endpoint, { method: 'POST', headers: { 'content-type': 'application/x-ndjson' }, body });
    if (!r.ok) throw new Error(`${endpoint}: ${r.status}`);
    return body.split('\n').length - 1;
  }

  close() { this.#worker.terminate(); for (const q of this.#open.values()) q.no(new Error('closed')); this.#open.clear(); }
}

// The search itself, off the main thread: loads what is stored, downloads what is missing, swaps in a new version when all of it is here.
import { Catalog } from './catalog.js';
import { readColumns } from './columns.js';
import { ENCODERS, join, unit } from './encoders.js';
import { rank, variants } from './rank.js';
import { Corrupt, ensure, read, Store, sweep, Unreachable } from './store.js';
import { Vectors } from './vectors.js';

const FORMAT = 1, RETRY = 5000, SILENT = 20000, AGREE = .8, GOLDEN_DEPTH = 10, SLOW = 60;
/** @type {import('./types').State|null} */
let state = null;
/** @type {Store} */ let store;
/** @type {any} */ let options;
/** @type {Record<string, any>} */
const status = { state: 'loading', tier: 'none', version: '', progress: null, message: '', stored: true };
let pace = 0;

/** @param {Record<string, any>} change */
function tell(change) { Object.assign(status, change); postMessage({ type: 'status', status: { ...status } }); }
const sleep = (/** @type {number} */ ms) => new Promise(r => { const go = () => { clearTimeout(t); removeEventListener('online', go); r(0); }, t = setTimeout(go, ms); addEventListener('online', go); });
const because = (/** @type {any} */ e) => e?.message || String(e);

/** @returns {Promise<import('./types').Manifest>} */
async function manifest() {
  const r = await fetch(new URL('site.json', options.base), { cache: 'no-cache' });
  if (!r.ok) throw new Error(`site.json: ${r.status}`);
  const m = await r.json();
  if (m.format > FORMAT) throw new Error('this page is older than its data: reload it');
  return m;
}

/** Parts by the service worker, which goes on when the page is left; else here. @param {import('./types').File[]} files @param {boolean} background */
async function download(files, background) {
  const progress = (/** @type {number} */ received, /** @type {number} */ total) => tell({ progress: received < total ? { received, total } : null });
  const here = () => ensure(store, options.base, files, progress);
  const locked = () => navigator.locks ? navigator.locks.request(`embedding-search:${options.base}`, here) : here();
  if (!background || !store.persistent) return locked();
  const { port1, port2 } = new MessageChannel();
  const asked = new Promise((yes, no) => {
    let t = setTimeout(() => no(new Error('silent')), 4000);
    port1.onmessage = ({ data }) => {
      clearTimeout(t);
      if (data.error) return no(data.unreachable ? new Unreachable(data.error) : new Error(data.error));
      if (data.done) return yes(0);
      t = setTimeout(() => no(new Error('silent')), SILENT);
      if (data.total) progress(data.received, data.total);
    };
  });
  postMessage({ type: 'background', base: options.base, files, port: port2 }, { transfer: [port2] });
  try { await asked; } catch (e) { if (e instanceof Unreachable) throw e; await locked(); } finally { port1.close(); }
}

/** @param {import('./types').Manifest} m @returns {Promise<import('./types').State>} Its keyword tier */
async function keywords(m) {
  const catalog = new Catalog(await read(store, options.base, m.files.catalog));
  const texts = m.files.texts ? readColumns(await read(store, options.base, m.files.texts)).texts : null;
  return { manifest: m, catalog, texts, vectors: null, encoders: [] };
}

/** Files of one tier, all checked to come from one model. @param {import('./types').Manifest} m @param {import('./types').EncoderEntry} e */
function filesOf(m, e) {
  if (e.model_space !== m.vectors?.model_space) throw new Error(`encoder ${e.name} and the vectors come from different models`);
  return Object.values(e.files).map(name => m.files[name]);
}

/** Add an encoder to a state that is not yet, or already, in use. @param {import('./types').State} s @param {import('./types').EncoderEntry} e */
async function addEncoder(s, e) {
  const files = /** @type {Record<string, ArrayBuffer>} */ (Object.fromEntries(await Promise.all(Object.entries(e.files).map(async ([as, name]) => [as, await read(store, options.base, s.manifest.files[name])]))));
  s.vectors ??= new Vectors(await read(store, options.base, s.manifest.files.vectors));
  const threads = globalThis.crossOriginIsolated ? options.threads : 1, load = ENCODERS[e.kind];
  if (!load) throw new Error(`no encoder of kind ${e.kind} in this page`);
  const { encode: whole, release } = await load(files, e, { base: options.base, threads }), { join: how } = e, full = s.vectors.full;
  const alone = async (/** @type {string} */ text) => { const v = await whole(text); return v.length > full ? unit(v.slice(0, full)) : v; };  // a Matryoshka size
  const beside = how && s.encoders.find(x => x.name === how.with);
  const encode = beside ? async (/** @type {string} */ text) => join(await alone(text), await beside.encode(text), how) : alone;
  await selfTest(s, e, { encode });
  s.encoders.push({ name: e.name, encode, release });
}

/** Golden queries of the build must give the build's results. @param {import('./types').State} s @param {import('./types').EncoderEntry} e @param {import('./types').Encoder} encoder */
async function selfTest(s, e, encoder) {
  let same = 0, all = 0;
  for (const g of s.manifest.golden?.[e.name] ?? []) {
    const { hits } = rank(s, { text: g.query, k: GOLDEN_DEPTH, vector: await encoder.encode(g.query), tier: e.name, mode: 'dense' });
    const found = new Set(hits.map(h => h.family));
    all += g.expect.length; same += g.expect.filter((/** @type {string} */ x) => found.has(x)).length;
  }
  tell({ selfTest: all ? `${same}/${all}` : 'none' });
  if (same < AGREE * all) throw new Error(`self-test of ${e.name} failed: ${same} of ${all} expected results`);
}

/** Bring `m` to its best tier; `swap` makes it the one that answers. @param {import('./types').Manifest} m */
async function advance(m) {
  let s = state?.manifest.version === m.version ? state : null;
  const first = !state;
  if (!s) {
    await download([m.files.catalog, ...(m.files.texts ? [m.files.texts] : [])], false);
    s = await keywords(m);
    if (first) { await store.put('meta', 'current', m); use(s, { tier: 'keyword', state: m.encoders.length && options.semantic ? 'loading' : 'ready' }); }
  }
  const faults = [];
  for (const e of options.semantic ? m.encoders : []) {
    if (s.encoders.some(x => x.name === e.name)) continue;
    try { await download([...filesOf(m, e), m.files.vectors], true); await addEncoder(s, e); if (s === state) use(s, { tier: e.name }); }
    catch (x) { if (x instanceof Unreachable) throw x; faults.push(because(x)); }
  }
  if (s !== state || first) { await store.put('meta', 'current', m); use(s); sweep(store, [m]).catch(() => {}); }
  tell({ progress: null, tier: s.encoders.at(-1)?.name ?? 'keyword', state: faults.length ? 'degraded' : 'ready', message: faults.length ? left(s, faults.join('; ')) : '', stored: store.persistent });
}

/** What is left, and why. @param {import('./types').State} s @param {string} why */
const left = (s, why) => `Searching ${s.encoders.length ? `with the ${s.encoders.at(-1)?.name} model` : 'by keywords'} only: ${why.replace(/\.$/, '')}. Reload the page to try again.`;

/** One assignment swaps catalog, vectors and encoders together. @param {import('./types').State} s @param {Record<string, any>} [change] */
function use(s, change = {}) {
  const old = state; state = s;
  if (old && old !== s) setTimeout(() => old.encoders.forEach(e => e.release?.()), 5000);
  tell({ version: s.manifest.version, info: { name: s.manifest.name, ...s.manifest.counts }, stored: store.persistent, ...change });
}

let busy = false;
/** Look for a version and bring it up; network faults are tried again for as long as the tab lives. */
async function update() {
  if (busy) return; busy = true;
  try {
    for (let n = 0; ; n++) {
      let m = null;
      try { m = await manifest(); } catch (e) { if (!state) tell({ state: 'error', message: `The catalog could not be loaded (${because(e)}). Trying again.` }); if (state) m = state.manifest; }
      if (m) try { await advance(m); return; } catch (e) {
        tell({ state: state ? 'degraded' : 'error', progress: null, message: e instanceof Corrupt ? 'Downloaded data is damaged. Trying again.' : `Download interrupted: ${because(e)}. It resumes by itself.` });
      }
      await sleep(Math.min(60000, RETRY * (1 + n)));
    }
  } finally { busy = false; }
}

/** @param {any} o */
async function start(o) {
  tell({}); options = o; store = await Store.open(o.base);  // a slow line is no silent worker
  const current = await store.get('meta', 'current');
  if (current?.format === FORMAT) try { use(await keywords(current), { tier: 'keyword', state: current.encoders.length && o.semantic ? 'loading' : 'ready' }); } catch (e) { state = null; }
  if (state) { const m = state.manifest; try { busy = true; await advance(m); } catch { /* what is missing is fetched below */ } finally { busy = false; } }
  update();
}

/** @type {Map<number, any>} */
const waiting = new Map();
let running = false;
const { port1: again, port2: kick } = new MessageChannel();
async function next() {
  if (running || !waiting.size) return; running = true;
  const [id, ask] = /** @type {[number, any]} */ (waiting.entries().next().value); waiting.delete(id);
  await answer(id, ask);
  running = false; kick.postMessage(0);  // by way of the message queue, so that a cancellation gets in between
}
again.onmessage = next;

/** @param {number} id @param {any} ask */
async function answer(id, ask) {
  const s = state, from = performance.now();
  const reply = (/** @type {any} */ r, /** @type {boolean} */ final) => postMessage({ type: 'result', id, final, result: { ...r, query: ask.text, version: s?.manifest.version ?? '', ms: performance.now() - from } });
  try {
    if (!s) throw new Error(status.message || 'The catalog is still loading.');
    const encoder = ask.mode === 'keyword' ? null : s.encoders.at(-1), quick = s.encoders.length > 1 ? s.encoders[0] : null;
    if (!encoder || !ask.text.trim()) return reply(rank(s, ask), true);
    if (pace > SLOW) reply(rank(s, quick ? { ...ask, vector: await quick.encode(ask.text), tier: quick.name } : ask), false);
    const t = performance.now();
    try {
      const vector = await encoder.encode(ask.text);
      pace += .2 * (performance.now() - t - pace);
      reply(rank(s, { ...ask, vector, tier: encoder.name }), true);
    } catch (e) {
      if (e instanceof RangeError && /category/.test(because(e))) throw e;
      s.encoders.pop(); pace = 0;
      tell({ tier: s.encoders.at(-1)?.name ?? 'keyword', state: 'degraded', message: left(s, because(e)) });
      await answer(id, ask);
    }
  } catch (e) { postMessage({ type: 'result', id, final: true, error: because(e) }); }
}

/** @type {Record<string, (d: any) => any>} */
const CALLS = {
  variants: d => state ? variants(state, d.of, d.text, d.limit) : [],
  update: () => update().then(() => status.version),
  logging: async d => { if (d.on !== undefined) await store.put('meta', 'logging', d.on); return !!(await store.get('meta', 'logging')); },
  log: async d => { if (await store.get('meta', 'logging')) await store.put('log', undefined, d.event); },
  entries: () => store.values('log'),
  forget: () => store.clear('log'),
};

onmessage = async ({ data }) => {
  if (data.type === 'start') return start(data.options);
  if (data.type === 'cancel') { waiting.delete(data.id); return; }
  if (data.type === 'query') { waiting.set(data.id, data.ask); next(); return; }
  try { postMessage({ type: 'result', id: data.id, final: true, result: await CALLS[data.type](data) }); }
  catch (e) { postMessage({ type: 'result', id: data.id, final: true, error: because(e) }); }
};

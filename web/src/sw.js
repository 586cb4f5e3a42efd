// Service worker: keeps the page for offline use, and downloads model and index in the background. Its first line, written when the site is built, lists the page's files.
import { ensure, Store, Unreachable } from './store.js';

const sw = /** @type {any} */ (self), { version, files } = sw.SHELL;
const scope = () => new URL(sw.registration.scope), PREFIX = () => `embedding-search:${scope().pathname}:`;

sw.addEventListener('install', (/** @type {any} */ e) => e.waitUntil((async () => {
  const cache = await caches.open(PREFIX() + version);
  await cache.addAll(files.map((/** @type {string} */ f) => new Request(new URL(f, scope()), { cache: 'no-cache' })));
  await sw.skipWaiting();
})()));

// The page before this one may still be open and want its files: its cache stays until the next version.
sw.addEventListener('activate', (/** @type {any} */ e) => e.waitUntil((async () => {
  const mine = (await caches.keys()).filter(k => k.startsWith(PREFIX()) && k !== PREFIX() + version);
  await Promise.all(mine.slice(0, -1).map(k => caches.delete(k)));
  await sw.clients.claim();
})()));

sw.addEventListener('fetch', (/** @type {any} */ e) => {
  const url = new URL(e.request.url), root = scope();
  if (e.request.method !== 'GET' || url.origin !== root.origin || !url.pathname.startsWith(root.pathname)) return;
  const name = url.pathname.slice(root.pathname.length) || 'index.html';
  if (name === 'site.json') e.respondWith(fresh(e.request));
  else if (files.includes(name) || name.startsWith('assets/')) e.respondWith(kept(e.request, new URL(name, root)));
});

/** @param {Request} request @param {URL} url */
async function kept(request, url) {
  const own = await caches.open(PREFIX() + version);
  return await own.match(url, { ignoreVary: true }) ?? await caches.match(url, { ignoreVary: true }) ?? fetch(request);
}

/** @param {Request} request */
async function fresh(request) {
  const cache = await caches.open(PREFIX() + version);
  try { const r = await fetch(request); if (r.ok) await cache.put(request.url, r.clone()); return r; }
  catch (e) { const r = await cache.match(request.url); if (r) return r; throw e; }
}

/** @type {Map<string, Promise<any>>} */
const under = new Map();
/** @type {Set<MessagePort>} */
const ports = new Set();

sw.addEventListener('message', (/** @type {any} */ e) => {
  const { type, base, files: wanted, port } = e.data ?? {};
  if (type !== 'download') return;
  const key = JSON.stringify(wanted.map((/** @type {any} */ f) => f.sha256));
  ports.add(port); port.postMessage({ alive: true });
  const work = under.get(key) ?? (async () => {
    const store = await Store.open(base);
    if (!store.persistent) throw new Error('nothing can be stored here');
    await ensure(store, base, wanted, (received, total) => ports.forEach(p => p.postMessage({ received, total })));
    if (!store.persistent) throw new Error('the browser has no room left');
  })().finally(() => under.delete(key));
  under.set(key, work);
  e.waitUntil(work.then(() => port.postMessage({ done: true }), x => port.postMessage({ error: x?.message || String(x), unreachable: x instanceof Unreachable })).finally(() => ports.delete(port)));
});

// Service worker: keeps the page for offline use, and downloads model and index in the background.
import { download } from '../engine/download';
import { causeOf, Unreachable } from '../engine/errors';
import { Store } from '../engine/store';
import type { DownloadReport, ToServiceWorker } from './protocol';

declare const self: ServiceWorkerGlobalScope & {
  /** The page's files; the first line of the built file, written with the site, sets it. */
  SHELL: { version: string; files: string[] };
};

const { version, files: shell } = self.SHELL;
const running = new Map<string, Promise<void>>();
const ports = new Set<MessagePort>();

function scope(): URL {
  return new URL(self.registration.scope);
}

function cachePrefix(): string {
  return `embedding-search:${scope().pathname}:`;
}

function openCache(): Promise<Cache> {
  return caches.open(cachePrefix() + version);
}

async function install(): Promise<void> {
  const cache = await openCache();
  await cache.addAll(shell.map((file) => new Request(new URL(file, scope()), { cache: 'no-cache' })));
  await self.skipWaiting();
}

/** The previous page may still be open and need its files: its cache stays until the next version. */
async function activate(): Promise<void> {
  const others = (await caches.keys()).filter(
    (key) => key.startsWith(cachePrefix()) && key !== cachePrefix() + version,
  );
  await Promise.all(others.slice(0, -1).map((key) => caches.delete(key)));
  await self.clients.claim();
}

/** A file of the page: from the cache of this version, else of any. */
async function fromCache(request: Request, url: URL): Promise<Response> {
  const cache = await openCache();
  const own = await cache.match(url, { ignoreVary: true });
  return own ?? (await caches.match(url, { ignoreVary: true })) ?? fetch(request);
}

/** The newest manifest; without network the last one. */
async function fromNetwork(request: Request): Promise<Response> {
  const cache = await openCache();
  try {
    const response = await fetch(request);
    if (response.ok) await cache.put(request.url, response.clone());
    return response;
  } catch (error) {
    const cached = await cache.match(request.url);
    if (cached) return cached;
    throw error;
  }
}

function respond(event: FetchEvent): void {
  const root = scope();
  const url = new URL(event.request.url);
  if (event.request.method !== 'GET' || url.origin !== root.origin || !url.pathname.startsWith(root.pathname)) return;
  const name = url.pathname.slice(root.pathname.length) || 'index.html';
  if (name === 'site.json') event.respondWith(fromNetwork(event.request));
  else if (shell.includes(name) || name.startsWith('assets/')) {
    event.respondWith(fromCache(event.request, new URL(name, root)));
  }
}

function isDownload(message: unknown): message is ToServiceWorker {
  return typeof message === 'object' && message !== null && 'type' in message && message.type === 'download';
}

function report(port: MessagePort, message: DownloadReport): void {
  port.postMessage(message);
}

function requirePersistent(store: Store, message: string): void {
  if (!store.persistent) throw new Error(message);
}

async function downloadFiles({ base, files }: ToServiceWorker): Promise<void> {
  const store = await Store.open(base);
  try {
    requirePersistent(store, 'nothing can be stored here');
    await download(store, base, files, (received, total) => {
      for (const port of ports) report(port, { received, total });
    });
    requirePersistent(store, 'the browser has no room left');
  } finally {
    store.close();
  }
}

/** Download once for all tabs that ask for the same files. */
async function receive(message: ToServiceWorker): Promise<void> {
  const { port, files } = message;
  ports.add(port);
  report(port, { alive: true });
  const key = JSON.stringify(files.map((file) => file.sha256));
  const work = running.get(key) ?? downloadFiles(message).finally(() => running.delete(key));
  running.set(key, work);
  try {
    await work;
    report(port, { done: true });
  } catch (error) {
    report(port, { error: causeOf(error), unreachable: error instanceof Unreachable });
  } finally {
    ports.delete(port);
  }
}

self.addEventListener('install', (event) => event.waitUntil(install()));
self.addEventListener('activate', (event) => event.waitUntil(activate()));
self.addEventListener('fetch', respond);
self.addEventListener('message', (event) => {
  if (isDownload(event.data)) event.waitUntil(receive(event.data));
});

import 'fake-indexeddb/auto';
import { IDBFactory } from 'fake-indexeddb';
import { createHash } from 'node:crypto';
import { brotliCompressSync, brotliDecompressSync, gzipSync } from 'node:zlib';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { download, readFile, removeUnused } from '../src/engine/download';
import { Corrupt, Unreachable } from '../src/engine/errors';
import type { Manifest, SiteFile } from '../src/engine/manifest';
import { Store } from '../src/engine/store';
import type { LogEvent } from '../src/engine/types';

const BASE = 'https://shop.example/search/';
const EVENT: LogEvent = { query: 'brake', shown: ['P-0'], picked: null, time: 't', version: 'v', session: 's' };

function sha256(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

/** Pack a text into parts of a few bytes; returns the file and the parts by their address. */
function pack(text: string, size = 4): { file: SiteFile; served: Map<string, Uint8Array> } {
  const data = new TextEncoder().encode(text);
  const served = new Map<string, Uint8Array>();
  const parts = [];
  for (let start = 0; start < data.length; start += size) {
    const packed = gzipSync(data.subarray(start, start + size));
    const hash = sha256(packed);
    parts.push({ sha256: hash, size: packed.length });
    served.set(`${BASE}data/${hash.slice(0, 20)}.bin`, packed);
  }
  return { file: { sha256: sha256(data), bytes: data.length, parts }, served };
}

function manifestOf(file: SiteFile): Manifest {
  const counts = { rows: 1, families: 1, categories: 1 };
  const search = { rrf_k: 10, keyword_weight: 0.2 };
  return { format: 2, version: 'v', name: 'n', counts, files: { catalog: file }, vectors: null, encoders: [], search };
}

function decode(content: ArrayBuffer): string {
  return new TextDecoder().decode(content);
}

const { file, served } = pack('brake pad left');
const realSetTimeout = setTimeout;
let requested: string[];
let answer: (url: string) => Uint8Array | null;

beforeEach(() => {
  vi.stubGlobal('indexedDB', new IDBFactory());
  vi.stubGlobal('setTimeout', (work: () => void) => realSetTimeout(work, 0)); // waits between tries
  requested = [];
  answer = (url) => served.get(url) ?? null;
  vi.stubGlobal('fetch', (url: string) => {
    requested.push(url);
    const body = answer(url);
    return Promise.resolve(body ? new Response(Uint8Array.from(body)) : new Response(null, { status: 503 }));
  });
});

afterEach(() => {
  vi.unstubAllGlobals();
});

test('a download is kept for the next visit', async () => {
  const store = await Store.open(BASE);
  await download(store, BASE, [file]);
  expect(decode(await readFile(store, BASE, file))).toBe('brake pad left');
  expect(requested).toHaveLength(4);
  await download(await Store.open(BASE), BASE, [file]);
  expect(requested).toHaveLength(4);
  expect(store.persistent).toBe(true);
});

test('each site has its own store', async () => {
  await download(await Store.open(BASE), BASE, [file]);
  expect(await (await Store.open('https://shop.example/other/')).partKeys()).toEqual(new Set());
});

test('progress starts with what is here and ends with everything', async () => {
  const store = await Store.open(BASE);
  await download(store, BASE, [{ ...file, parts: file.parts.slice(0, 2) }]);
  const progress: number[][] = [];
  await download(store, BASE, [file], (received, total) => progress.push([received, total]));
  const total = file.parts.reduce((sum, part) => sum + part.size, 0);
  expect(progress[0]).toEqual([file.parts[0].size + file.parts[1].size, total]);
  expect(progress.at(-1)).toEqual([total, total]);
});

test('a failing server is asked again', async () => {
  const failed = new Set<string>();
  answer = (url) => {
    if (failed.has(url)) return served.get(url) ?? null;
    failed.add(url);
    return null;
  };
  const store = await Store.open(BASE);
  await download(store, BASE, [file]);
  expect(decode(await readFile(store, BASE, file))).toBe('brake pad left');
});

test('a server that stays away is unreachable, wrong content is corrupt', async () => {
  answer = () => null;
  await expect(download(await Store.open(BASE), BASE, [file])).rejects.toThrow(Unreachable);
  answer = () => gzipSync('wrong');
  await expect(download(await Store.open(BASE), BASE, [file])).rejects.toThrow(Corrupt);
});

test('a part that has gone bad is downloaded again, and only it', async () => {
  const store = await Store.open(BASE);
  await download(store, BASE, [file]);
  requested = [];
  await store.putPart(file.parts[1].sha256, new ArrayBuffer(4));
  expect(decode(await readFile(store, BASE, file))).toBe('brake pad left');
  expect(new Set(requested).size).toBe(requested.length);
  expect(requested.length).toBeGreaterThan(0);
});

/** A file whose parts are there with gzip and Brotli. */
function packBoth(text: string): { file: SiteFile; served: Map<string, Uint8Array> } {
  const packed = pack(text);
  const data = new TextEncoder().encode(text);
  const parts = packed.file.parts.map((part, i) => {
    const content = data.subarray(4 * i, 4 * i + 4);
    const br = brotliCompressSync(content);
    packed.served.set(`${BASE}data/${part.sha256.slice(0, 20)}.br`, br);
    return { ...part, br: { size: br.length, unpacked_sha256: sha256(content) } };
  });
  return { file: { ...packed.file, parts }, served: packed.served };
}

interface Visit {
  /** Suffixes of what was requested. */
  suffixes: string[];
  /** Requests that were given up. */
  aborted: number;
  progress: number[];
}

/** Download a file twice in one visit, from a host that answers requests for Brotli with `answerBrotli`. */
async function visit(answerBrotli: (packed: Uint8Array<ArrayBuffer>) => Response): Promise<Visit> {
  const { file, served } = packBoth('brake pad left');
  const suffixes: string[] = [];
  const visit: Visit = { suffixes, aborted: 0, progress: [] };
  vi.stubGlobal('fetch', (url: string, { signal }: RequestInit) => {
    suffixes.push(url.slice(url.lastIndexOf('.') + 1));
    signal?.addEventListener('abort', () => visit.aborted++);
    const body = Uint8Array.from(served.get(url) ?? []);
    return Promise.resolve(url.endsWith('.br') ? answerBrotli(body) : new Response(body));
  });
  vi.resetModules(); // A new visit knows nothing about the host
  const { download, readFile } = await import('../src/engine/download');
  const store = await Store.open(BASE);
  for (let i = 0; i < 2; i++) {
    for (const { sha256 } of file.parts) await store.deletePart(sha256);
    await download(store, BASE, [file], (...progress) => (visit.progress = progress));
    expect(decode(await readFile(store, BASE, file))).toBe('brake pad left');
  }
  return visit;
}

function withEncoding(body: BodyInit): Response {
  return new Response(body, { headers: { 'content-encoding': 'br' } });
}

test.each([
  ['host', (packed: Uint8Array) => withEncoding(Uint8Array.from(brotliDecompressSync(packed)))],
  ['browser', (packed: Uint8Array<ArrayBuffer>) => new Response(packed)],
])('parts are fetched with Brotli if the %s can do that', async (_, answerBrotli) => {
  const { suffixes, progress } = await visit(answerBrotli);
  expect(new Set(suffixes)).toEqual(new Set(['br']));
  const total = packBoth('brake pad left').file.parts.reduce((sum, { br }) => sum + (br?.size ?? NaN), 0);
  expect(progress).toEqual([total, total]);
});

test.each([
  ['missing', () => new Response(null, { status: 404 })],
  ['no connection', () => Response.error()],
  ['wrong content', () => withEncoding('wrong')],
  ['not unpacked', withEncoding],
  ['no header, and a browser without Brotli', (packed: Uint8Array<ArrayBuffer>) => new Response(packed)],
])('after a failure of Brotli, all parts are fetched with gzip: %s', async (_, answerBrotli) => {
  const Native = DecompressionStream;
  vi.stubGlobal('DecompressionStream', function (format: CompressionFormat) {
    if (format !== 'gzip') throw new TypeError('unsupported');
    return new Native(format);
  });
  const { suffixes, aborted, progress } = await visit(answerBrotli);
  expect(suffixes.slice(0, 4)).toEqual(['br', 'br', 'br', 'br']); // Four at once
  expect(suffixes.slice(4)).toEqual(Array(8).fill('bin'));
  expect(aborted).toBe(4);
  const total = file.parts.reduce((sum, { size }) => sum + size, 0);
  expect(progress).toEqual([total, total]);
});

test('parts of older versions are removed', async () => {
  const store = await Store.open(BASE);
  await store.putPart('old', new ArrayBuffer(1));
  await download(store, BASE, [file]);
  await removeUnused(store, manifestOf(file));
  expect(await store.partKeys()).toEqual(new Set(file.parts.map((part) => part.sha256)));
});

test('manifest, switch and log are kept', async () => {
  const store = await Store.open(BASE);
  expect([await store.getManifest(), await store.getLogging(), await store.getLog()]).toEqual([null, false, []]);
  await store.setManifest(manifestOf(file));
  await store.setLogging(true);
  await store.addLogEvent(EVENT);
  const again = await Store.open(BASE);
  expect(await again.getManifest()).toEqual(manifestOf(file));
  expect(await again.getLogging()).toBe(true);
  expect(await again.getLog()).toEqual([EVENT]);
  await again.clearLog();
  expect(await again.getLog()).toEqual([]);
});

test.each(['no database', 'a full one'])('with %s everything works, but for one visit only', async (kind) => {
  if (kind === 'no database') vi.stubGlobal('indexedDB', undefined);
  const store = await Store.open(BASE);
  if (kind === 'a full one') store.close(); // every write fails now
  await download(store, BASE, [file]);
  expect(store.persistent).toBe(false);
  expect(decode(await readFile(store, BASE, file))).toBe('brake pad left');
  await store.setManifest(manifestOf(file));
  await store.setLogging(true);
  await store.addLogEvent(EVENT);
  expect(await store.getManifest()).toEqual(manifestOf(file));
  expect(await store.getLogging()).toBe(true);
  expect(await store.getLog()).toEqual([EVENT]);
  await store.clearLog();
  expect(await store.getLog()).toEqual([]);
});

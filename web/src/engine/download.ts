// Downloads in parts of about a megabyte, named by their hash and kept in a store.
import { causeOf, Corrupt, Unreachable } from './errors';
import type { Manifest, Part, SiteFile } from './manifest';
import type { Store } from './store';

const PARALLEL = 4;
const TRIES = 4;
const FIRST_WAIT = 800;
// Browsers decode Brotli, and check hashes, on pages with https only.
let useBrotli = 'subtle' in crypto;

/** Compressed bytes; parts that were here already count as received. */
export type OnProgress = (received: number, total: number) => void;

/** Hex digest of `data`; null on a page without https, where the browser has no digest. */
async function sha256(data: ArrayBuffer): Promise<string | null> {
  if (!('subtle' in crypto)) return null;
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', data));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

async function verify(data: ArrayBuffer, expected: string): Promise<void> {
  const actual = await sha256(data);
  if (actual !== null && actual !== expected) throw new Corrupt('the content does not match its hash');
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function decompress(packed: ArrayBuffer): Promise<ArrayBuffer> {
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Response(stream).arrayBuffer();
}

function addressOf(part: Part, suffix: string, base: string): string {
  return new URL(`data/${part.sha256.slice(0, 20)}.${suffix}`, base).href;
}

/** Unpack Brotli that arrives as it is in the file. Throws in browsers that cannot do that. */
function unpackBrotli({ body }: Response): Response {
  // @ts-expect-error TypeScript does not know this format yet
  return new Response(body?.pipeThrough(new DecompressionStream('brotli')));
}

/** Fetch a part with Brotli. After any failure, null: from then on, all parts are fetched with gzip. */
async function fetchBrotli(base: string, part: Part): Promise<ArrayBuffer | null> {
  if (!useBrotli || !part.br) return null;
  const controller = new AbortController();
  try {
    const url = addressOf(part, 'br', base);
    const response = await fetch(url, { credentials: 'same-origin', signal: controller.signal });
    if (!response.ok) throw new Error(`the server answers ${response.status}`);
    const isUnpacked = response.headers.get('content-encoding') === 'br';
    const content = await (isUnpacked ? response : unpackBrotli(response)).arrayBuffer();
    await verify(content, part.br.unpacked_sha256);
    return content;
  } catch {
    controller.abort(); // without the rest of the body
    useBrotli = false;
    return null;
  }
}

async function fetchGzip(base: string, part: Part, cache: RequestCache): Promise<ArrayBuffer> {
  const response = await fetch(addressOf(part, 'bin', base), { cache, credentials: 'same-origin' });
  if (!response.ok) throw new Error(`the server answers ${response.status}`);
  const packed = await response.arrayBuffer();
  await verify(packed, part.sha256);
  return decompress(packed);
}

/** Fetch a part, a few times if need be. */
async function fetchPart(base: string, part: Part): Promise<ArrayBuffer> {
  for (let attempt = 1; ; attempt++) {
    try {
      return (await fetchBrotli(base, part)) ?? (await fetchGzip(base, part, attempt > 1 ? 'reload' : 'default'));
    } catch (error) {
      if (attempt >= TRIES) throw asDownloadError(error);
      await wait(FIRST_WAIT * 2 ** (attempt - 1));
    }
  }
}

function asDownloadError(error: unknown): Error {
  if (error instanceof Corrupt) return error;
  return new Unreachable(error instanceof TypeError ? 'no connection' : causeOf(error));
}

/** Download the parts of `files` that are not here yet. */
export async function download(
  store: Store,
  base: string,
  files: SiteFile[],
  onprogress: OnProgress = () => undefined,
): Promise<void> {
  const parts = new Map(files.flatMap((file) => file.parts).map((part) => [part.sha256, part]));
  const have = await store.partKeys();
  const waiting = [...parts.values()].filter((part) => !have.has(part.sha256));
  const missing = new Set(waiting);

  function report(): void {
    const total = sumSizes(parts.values());
    onprogress(total - sumSizes(missing), total);
  }

  async function work(): Promise<void> {
    for (let part = waiting.shift(); part; part = waiting.shift()) {
      await store.putPart(part.sha256, await fetchPart(base, part));
      missing.delete(part);
      report();
    }
  }

  report();
  await Promise.all(Array.from({ length: Math.min(PARALLEL, waiting.length) }, work));
}

function sumSizes(parts: Iterable<Part>): number {
  let sum = 0;
  for (const part of parts) sum += useBrotli && part.br ? part.br.size : part.size;
  return sum;
}

/** Content of a file. Parts that have gone bad are downloaded again, once. */
export async function readFile(store: Store, base: string, file: SiteFile): Promise<ArrayBuffer> {
  try {
    return await readStored(store, file);
  } catch (error) {
    if (!(error instanceof Corrupt)) throw error;
    for (const part of file.parts) await store.deletePart(part.sha256);
    await download(store, base, [file]);
    return readStored(store, file);
  }
}

async function readStored(store: Store, file: SiteFile): Promise<ArrayBuffer> {
  const keys = file.parts.map((part) => part.sha256);
  const content = new Uint8Array(file.bytes);
  let end = 0;
  for (const part of await Promise.all(keys.map((key) => store.getPart(key)))) {
    if (!part || end + part.byteLength > file.bytes) throw new Corrupt('a part is missing');
    content.set(new Uint8Array(part), end);
    end += part.byteLength;
  }
  if (end !== file.bytes) throw new Corrupt('a part is missing');
  await verify(content.buffer, file.sha256);
  store.release(keys);
  return content.buffer;
}

/** Delete parts that no file of `manifest` has. */
export async function removeUnused(store: Store, manifest: Manifest): Promise<void> {
  const files = Object.values(manifest.files);
  const used = new Set(files.flatMap((file) => file.parts.map((part) => part.sha256)));
  for (const key of await store.partKeys()) if (!used.has(key)) await store.deletePart(key);
}

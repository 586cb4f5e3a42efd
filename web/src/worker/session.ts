// What the worker searches in: loads what is stored, downloads what is missing, and swaps in a new version when it
// is whole.
import { Catalog } from '../engine/catalog';
import { Columns } from '../engine/columns';
import { readFile, removeUnused } from '../engine/download';
import { loadEncoder, type LoadOptions } from '../engine/encoders';
import { causeOf, Corrupt, Unreachable } from '../engine/errors';
import { Keywords } from '../engine/keywords';
import { blend, truncate } from '../engine/linear';
import {
  encoderFiles,
  fileNamed,
  keywordFiles,
  parseManifest,
  type EncoderEntry,
  type Manifest,
  type SiteFile,
} from '../engine/manifest';
import { parsePins } from '../engine/pins';
import { NO_PROBLEM, reportProblem } from '../engine/problems';
import { rank, type Index } from '../engine/ranking';
import { Store } from '../engine/store';
import type { Encoder, Status } from '../engine/types';
import { Vectors } from '../engine/vectors';
import { downloadHere, downloadInBackground } from './background';
import type { BackgroundDownload, StartOptions } from './protocol';
import { loadInWorker } from './remote';

const RETRY = 5000;
const LONGEST_WAIT = 60_000;
const RELEASE_AFTER = 5000;
const MIN_AGREEMENT = 0.8; // of the golden queries
const GOLDEN_DEPTH = 10;

export interface NamedEncoder extends Encoder {
  name: string;
}

/** One version of the data. */
export interface Version {
  manifest: Manifest;
  index: Index;
  /** Encoders in order of the manifest; the last one answers. */
  encoders: NamedEncoder[];
  /** Files of vectors that are in the index. */
  added: Set<string>;
}

export interface SessionEvents {
  onstatus(status: Status): void;
  /** Hand a download to the service worker. */
  onbackground(download: BackgroundDownload): void;
}

/** Wait, or until the browser is online again. */
function waitForNetwork(ms: number): Promise<void> {
  return new Promise((resolve) => {
    function finish(): void {
      clearTimeout(timer);
      removeEventListener('online', finish);
      resolve();
    }

    const timer = setTimeout(finish, ms);
    addEventListener('online', finish);
  });
}

export class Session {
  /** The version that answers; none yet: null. */
  version: Version | null = null;
  readonly store: Store;
  readonly #options: StartOptions;
  readonly #events: SessionEvents;
  #status: Status = {
    state: 'loading',
    tier: 'none',
    version: '',
    progress: null,
    ...NO_PROBLEM,
    stored: true,
  };
  #isUpdating = false;
  #isAsleep = false;
  #sleepTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(store: Store, options: StartOptions, events: SessionEvents) {
    this.store = store;
    this.#options = options;
    this.#events = events;
  }

  get status(): Status {
    return this.#status;
  }

  #setStatus(change: Partial<Status>): void {
    this.#status = { ...this.#status, ...change };
    this.#events.onstatus(this.#status);
  }

  /** Answer from what is stored, then look for a newer version. */
  async start(): Promise<void> {
    this.#setStatus({});
    const stored = await this.store.getManifest();
    if (stored) await this.#restore(stored);
    await this.update();
  }

  async #restore(manifest: Manifest): Promise<void> {
    this.#isUpdating = true;
    try {
      this.#use(await this.#loadKeywords(manifest), { tier: 'keyword', state: this.#firstState(manifest) });
      await this.#advance(manifest);
    } catch {
      // `update` downloads what is missing.
    } finally {
      this.#isUpdating = false;
    }
  }

  #firstState(manifest: Manifest): Status['state'] {
    return manifest.encoders.length && this.#options.semantic ? 'loading' : 'ready';
  }

  /** Look for a version and load it; network faults are tried again for as long as the tab lives. */
  async update(): Promise<void> {
    if (this.#isUpdating) return;
    this.#isUpdating = true;
    try {
      for (let attempt = 1; !(await this.#tryUpdate()); attempt++) {
        await waitForNetwork(Math.min(LONGEST_WAIT, RETRY * attempt));
      }
    } finally {
      this.#isUpdating = false;
    }
  }

  /** Look for a version once; false if it has to be tried again. */
  async #tryUpdate(): Promise<boolean> {
    const manifest = await this.#findManifest();
    if (!manifest) return false;
    try {
      await this.#advance(manifest);
      return true;
    } catch (error) {
      const problem = error instanceof Corrupt ? reportProblem('damaged') : reportProblem('download', causeOf(error));
      this.#setStatus({ state: this.version ? 'degraded' : 'error', progress: null, ...problem });
      return false;
    }
  }

  /** The manifest of the server, or of the version in use if it cannot be had. */
  async #findManifest(): Promise<Manifest | null> {
    try {
      return await this.#fetchManifest();
    } catch (error) {
      if (!this.version) this.#setStatus({ state: 'error', ...reportProblem('catalog', causeOf(error)) });
      return this.version?.manifest ?? null;
    }
  }

  async #fetchManifest(): Promise<Manifest> {
    const response = await fetch(new URL('site.json', this.#options.base), { cache: 'no-cache' });
    if (!response.ok) throw new Error(`site.json: ${response.status}`);
    return parseManifest(await response.json());
  }

  /** Bring a version to its best tier, and make it the one that answers. */
  async #advance(manifest: Manifest): Promise<void> {
    const isFirst = !this.version;
    const isCurrent = this.version?.manifest.version === manifest.version;
    const version = isCurrent && this.version ? this.version : await this.#open(manifest);
    if (isFirst) {
      await this.store.setManifest(manifest);
      this.#use(version, { tier: 'keyword', state: this.#firstState(manifest) });
    }
    const faults = this.#options.semantic ? await this.#addEncoders(version) : [];
    if (isFirst || version !== this.version) {
      await this.store.setManifest(manifest);
      this.#use(version);
      void removeUnused(this.store, manifest);
    }
    const tier = version.encoders.at(-1)?.name ?? 'keyword';
    const problem = faults.length ? reportProblem('tier', faults.join('; '), tier) : NO_PROBLEM;
    const state = faults.length ? 'degraded' : 'ready';
    this.#setStatus({ progress: null, tier, state, ...problem, stored: this.store.persistent });
  }

  async #open(manifest: Manifest): Promise<Version> {
    await this.#download(keywordFiles(manifest), false);
    return this.#loadKeywords(manifest);
  }

  async #download(files: SiteFile[], inBackground: boolean): Promise<void> {
    const onprogress = (received: number, total: number): void => {
      this.#setStatus({ progress: received < total ? { received, total } : null });
    };
    const { base } = this.#options;
    if (!inBackground || !this.store.persistent) return downloadHere(this.store, base, files, onprogress);
    return downloadInBackground(this.store, base, files, onprogress, (download) => this.#events.onbackground(download));
  }

  #read(manifest: Manifest, name: string): Promise<ArrayBuffer> {
    return readFile(this.store, this.#options.base, fileNamed(manifest, name));
  }

  async #loadKeywords(manifest: Manifest): Promise<Version> {
    const catalog = new Catalog(new Columns(await this.#read(manifest, 'catalog')));
    const hasTexts = 'texts' in manifest.files;
    const texts = hasTexts ? new Columns(await this.#read(manifest, 'texts')).texts('texts') : null;
    const pins = 'pins' in manifest.files ? parsePins(await this.#read(manifest, 'pins')) : new Map<string, number>();
    const keywords = new Keywords(catalog);
    return {
      manifest,
      index: { catalog, keywords, vectors: null, texts, pins, fusion: manifest.search, close: manifest.close ?? {} },
      encoders: [],
      added: new Set(),
    };
  }

  /** Add the encoders that a version lacks; returns why some could not be added. */
  async #addEncoders(version: Version): Promise<string[]> {
    const faults: string[] = [];
    for (const entry of version.manifest.encoders) {
      if (isThere(version, entry.name)) continue;
      try {
        await this.#download(missingFiles(version, entry), true);
        await this.#addEncoder(version, entry);
        if (version === this.version) this.#use(version, { tier: entry.name });
      } catch (error) {
        if (error instanceof Unreachable) throw error;
        faults.push(causeOf(error));
      }
    }
    return faults;
  }

  async #addEncoder(version: Version, entry: EncoderEntry): Promise<void> {
    const { manifest, encoders } = version;
    const contents = Object.entries(entry.files).map(async ([name, file]): Promise<[string, ArrayBuffer]> => {
      return [name, await this.#read(manifest, file)];
    });
    const files = Object.fromEntries(await Promise.all(contents));
    const vectors = await this.#addVectors(version, entry);
    const threads = crossOriginIsolated ? this.#options.threads : 1;
    const options: LoadOptions = { base: this.#options.base, threads };
    const loaded = await (entry.kind === 'onnx' ? loadInWorker : loadEncoder)(files, entry, options);
    const { join } = entry;
    const partner = join && encoders.find(({ name }) => name === join.with);

    async function encode(text: string): Promise<Float32Array> {
      // A transformer has a worker of its own; the n-gram encoder computes here meanwhile.
      const [encoded, ngram] = await Promise.all([loaded.encode(text), partner?.encode(text)]);
      const vector = entry.kind === 'table' ? encoded : vectors.project(truncate(encoded, vectors.full));
      return join && ngram ? blend(vector, ngram, join) : vector;
    }

    const encoder: NamedEncoder = { name: entry.name, encode, release: loaded.release };
    await this.#testEncoder(version, encoder);
    version.encoders = [...encoders.filter(({ name }) => name !== entry.replaces), encoder];
  }

  /** Add the files of vectors that an encoder needs, and that are not in the index yet. */
  async #addVectors({ manifest, index, added }: Version, entry: EncoderEntry): Promise<Vectors> {
    for (const file of entry.vectors.filter((name) => !added.has(name))) {
      const columns = new Columns(await this.#read(manifest, file));
      if (index.vectors) index.vectors.add(columns);
      else index.vectors = new Vectors(columns);
      added.add(file);
    }
    if (!index.vectors) throw new Error(`encoder ${entry.name} names no vectors`);
    return index.vectors;
  }

  /** Golden queries of the build must give the build's results. */
  async #testEncoder({ manifest, index }: Version, { name, encode }: NamedEncoder): Promise<void> {
    let expected = 0;
    let found = 0;
    for (const { query, expect } of manifest.golden?.[name] ?? []) {
      const encoded = { vector: await encode(query), tier: name };
      const { hits } = rank(index, { text: query, k: GOLDEN_DEPTH, mode: 'dense' }, encoded);
      const families = new Set(hits.map(({ family }) => family));
      expected += expect.length;
      found += expect.filter((family) => families.has(family)).length;
    }
    this.#setStatus({ selfTest: expected ? `${found}/${expected}` : 'none' });
    if (found >= MIN_AGREEMENT * expected) return;
    throw new Error(`self-test of ${name} failed: ${found} of ${expected} expected results`);
  }

  /** One assignment swaps catalog, vectors and encoders together. */
  #use(version: Version, change: Partial<Status> = {}): void {
    const previous = this.version;
    this.version = version;
    if (previous && previous !== version) setTimeout(() => release(previous), RELEASE_AFTER);
    const { name, counts, live } = version.manifest;
    const info = { name, ...counts, live };
    this.#setStatus({ version: version.manifest.version, info, stored: this.store.persistent, ...change });
  }

  /** A query has come: keep the best encoder for some minutes, or load it again. */
  touch(): void {
    clearTimeout(this.#sleepTimer);
    this.#sleepTimer = setTimeout(() => this.#sleep(), this.#options.unloadAfter);
    if (this.#isAsleep && !this.#isUpdating) void this.#wake();
  }

  /** Unload the best encoder if another one can answer, and if it need not be downloaded again. */
  #sleep(): void {
    const { version } = this;
    if (!version || this.#isUpdating || version.encoders.length < 2 || !this.store.persistent) return;
    version.encoders.pop()?.release?.();
    this.#isAsleep = true;
  }

  /** Answer with the remaining encoder until the best one is loaded again. */
  async #wake(): Promise<void> {
    this.#isAsleep = false;
    this.#setStatus({ tier: this.version?.encoders.at(-1)?.name ?? 'keyword', state: 'loading' });
    await this.update();
  }

  /** Stop using the best encoder, which failed. */
  dropEncoder(version: Version, cause: string): void {
    version.encoders.pop();
    const tier = version.encoders.at(-1)?.name ?? 'keyword';
    this.#setStatus({ tier, state: 'degraded', ...reportProblem('tier', cause, tier) });
  }
}

/** Whether a version has an encoder, or the one that replaces it. */
function isThere({ manifest, encoders }: Version, name: string): boolean {
  const successors = manifest.encoders.filter(({ replaces }) => replaces === name).map((entry) => entry.name);
  return encoders.some((encoder) => encoder.name === name || successors.includes(encoder.name));
}

/** Files that an encoder needs and that have not been read. */
function missingFiles({ manifest, added }: Version, entry: EncoderEntry): SiteFile[] {
  const names = encoderFiles(manifest, entry).filter((name) => !added.has(name));
  return names.map((name) => fileNamed(manifest, name));
}

function release({ encoders }: Version): void {
  for (const encoder of encoders) encoder.release?.();
}

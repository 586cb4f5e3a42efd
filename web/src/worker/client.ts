// createSearch: the search as an object with promises. The work is done in a worker.
import { NO_PROBLEM, reportProblem } from '../engine/problems';
import type { Hit, LoggedSearch, QueryOptions, Results, Search, SearchOptions, Status } from '../engine/types';
import type {
  Answer,
  BackgroundDownload,
  CallName,
  Calls,
  DownloadReport,
  FromWorker,
  StartOptions,
  ToServiceWorker,
  ToWorker,
} from './protocol';

/** Milliseconds until a worker that says nothing counts as broken. */
const START_LIMIT = 60_000;
const ACTIVATION_LIMIT = 3000;

/** Version of the code. */
export const version: string = __ENGINE__;

/** The status before the worker has said anything. */
export const FIRST_STATUS: Status = {
  state: 'loading',
  tier: 'none',
  version: '',
  progress: null,
  ...NO_PROBLEM,
  stored: true,
};

/** Start a search; resolves when it can answer, at first by keywords. */
export async function createSearch(options: SearchOptions = {}): Promise<Search> {
  const { base = './', threads = 1, semantic = true, unloadAfter = 5, serviceWorker = true, onstatus } = options;
  if (!('DecompressionStream' in globalThis)) {
    const problem = reportProblem('browser');
    onstatus?.({ ...FIRST_STATUS, state: 'error', ...problem });
    throw new Error(problem.message);
  }
  const root = new URL(base.endsWith('/') ? base : `${base}/`, document.baseURI).href;
  const search = new SearchClient(root, onstatus);
  if (serviceWorker) search.register();
  await search.start({ base: root, threads, semantic, unloadAfter: unloadAfter * 60_000 });
  return search;
}

interface OpenCall {
  resolve(answer: Answer): void;
  reject(error: unknown): void;
  onanswer?(answer: Answer): void;
}

interface CallOptions<Name extends CallName> {
  signal?: AbortSignal;
  onanswer?: (answer: Calls[Name]['answer']) => void;
}

function randomId(): string {
  // `crypto.randomUUID` is missing on a page without https.
  return 'randomUUID' in crypto ? crypto.randomUUID() : Math.random().toString(36).slice(2);
}

class SearchClient implements Search {
  status = FIRST_STATUS;
  readonly #base: string;
  readonly #onstatus: (status: Status) => void;
  readonly #worker: Worker;
  readonly #open = new Map<number, OpenCall>();
  readonly #session = randomId();
  readonly #timer: number;
  #nextId = 1;
  #registration: Promise<ServiceWorkerRegistration | null> = Promise.resolve(null);
  #resolveStart: () => void = () => undefined;
  #rejectStart: (error: Error) => void = () => undefined;

  constructor(base: string, onstatus: (status: Status) => void = () => undefined) {
    this.#base = base;
    this.#onstatus = onstatus;
    this.#worker = new Worker(new URL('worker.js', base), { type: 'module' });
    this.#timer = window.setTimeout(() => this.#stop('no answer from its worker'), START_LIMIT);
    this.#worker.onerror = (event) => this.#stop(event.message || 'its worker could not be loaded');
    this.#worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.#receive(data);
  }

  /** Start the worker; resolves when it has a catalog. */
  start(options: StartOptions): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#resolveStart = resolve;
      this.#rejectStart = reject;
      this.#post({ type: 'start', options });
    });
  }

  /** Register the service worker. Without one, nothing works offline. */
  register(): void {
    if (!('serviceWorker' in navigator)) return;
    const { serviceWorker } = navigator;
    this.#registration = serviceWorker
      .register(new URL('sw.js', this.#base), { scope: this.#base })
      .then(() => serviceWorker.getRegistration(this.#base))
      .then((registration) => registration ?? null)
      .catch(() => null);
  }

  query(text: string, options: QueryOptions = {}): Promise<Results> {
    const { k = 10, category = '', mode = 'hybrid', signal, ontier } = options;
    return this.#call('query', { text, k, category, mode }, { signal, onanswer: ontier });
  }

  variants(id: string, { text = '', limit = 100 } = {}): Promise<Hit[]> {
    return this.#call('variants', { id, text, limit });
  }

  update(): Promise<string> {
    return this.#call('update', null);
  }

  logging(on?: boolean): Promise<boolean> {
    return this.#call('logging', on ?? null);
  }

  async log({ query, shown, picked, version = this.status.version }: LoggedSearch): Promise<void> {
    const time = new Date().toISOString();
    await this.#call('log', { query, shown, picked, time, version, session: this.#session });
  }

  async exportLog(): Promise<string> {
    const events = await this.#call('logged', null);
    return events.map((event) => `${JSON.stringify(event)}\n`).join('');
  }

  async clearLog(): Promise<void> {
    await this.#call('clearLog', null);
  }

  async sendLog(endpoint: string): Promise<number> {
    const body = await this.exportLog();
    if (!body) return 0;
    const headers = { 'content-type': 'application/x-ndjson' };
    const response = await fetch(endpoint, { method: 'POST', headers, body });
    if (!response.ok) throw new Error(`${endpoint}: ${response.status}`);
    return body.split('\n').length - 1;
  }

  close(): void {
    this.#worker.terminate();
    this.#rejectAll(new Error('closed'));
  }

  #post(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  #call<Name extends CallName>(
    type: Name,
    ask: Calls[Name]['ask'],
    { signal, onanswer }: CallOptions<Name> = {},
  ): Promise<Calls[Name]['answer']> {
    const id = this.#nextId++;
    return new Promise((resolve, reject: (error: unknown) => void) => {
      signal?.throwIfAborted();
      this.#open.set(id, { resolve, reject, onanswer });
      signal?.addEventListener('abort', () => this.#cancel(id, signal), { once: true });
      this.#worker.postMessage({ type, id, ask });
    });
  }

  #cancel(id: number, signal: AbortSignal): void {
    const call = this.#open.get(id);
    if (!call) return;
    this.#open.delete(id);
    this.#post({ type: 'cancel', id });
    const reason: unknown = signal.reason;
    call.reject(reason);
  }

  #receive(message: FromWorker): void {
    clearTimeout(this.#timer);
    switch (message.type) {
      case 'status':
        this.status = message.status;
        if (message.status.version) this.#resolveStart();
        return this.#onstatus(message.status);
      case 'background':
        return void this.#sendToServiceWorker(message);
      case 'answer':
        return this.#receiveAnswer(message.id, message.answer, message.final);
      case 'failed':
        this.#open.get(message.id)?.reject(new Error(message.message));
        this.#open.delete(message.id);
    }
  }

  #receiveAnswer(id: number, answer: Answer, final: boolean): void {
    const call = this.#open.get(id);
    call?.onanswer?.(answer);
    if (!final) return;
    this.#open.delete(id);
    call?.resolve(answer);
  }

  /** Hand a download to the service worker once it is active. */
  async #sendToServiceWorker({ base, files, port }: BackgroundDownload): Promise<void> {
    const registration = await this.#registration;
    const worker = registration?.active ?? registration?.waiting ?? registration?.installing;
    if (!worker) {
      const report: DownloadReport = { error: 'no service worker', unreachable: false };
      port.postMessage(report);
      return;
    }
    await waitUntilActive(worker);
    const message: ToServiceWorker = { type: 'download', base, files, port };
    (registration?.active ?? worker).postMessage(message, [port]);
  }

  #stop(cause: string): void {
    const problem = reportProblem('stopped', cause);
    this.status = { ...this.status, state: 'error', ...problem };
    this.#onstatus(this.status);
    this.#rejectAll(new Error(problem.message));
  }

  #rejectAll(error: Error): void {
    this.#rejectStart(error);
    for (const call of this.#open.values()) call.reject(error);
    this.#open.clear();
  }
}

/** Wait until a service worker is active, but not for long. */
function waitUntilActive(worker: ServiceWorker): Promise<void> {
  if (worker.state === 'activated') return Promise.resolve();
  return new Promise((resolve) => {
    setTimeout(resolve, ACTIVATION_LIMIT);
    worker.addEventListener('statechange', () => {
      if (worker.state === 'activated' || worker.state === 'redundant') resolve();
    });
  });
}

/** Search over a catalog in the browser tab. Version: see `version`. */

export interface Hit {
  /** Place, from 1. */ rank: number;
  id: string; title: string;
  /** Start and end of matched words in `title`. */ marks: Array<[number, number]>;
  category: string; text: string;
  /** Id of the family's head. */ family: string;
  /** How many other rows the family has. */ variants: number;
  /** Which tier answered: `keyword`, or the encoder's name. */ tier: string;
}

export interface Results {
  query: string; hits: Hit[];
  /** The commonest categories among the best 50. */ categories: Array<{ name: string; count: number }>;
  tier: string;
  /** Version of the data that answered. */ version: string;
  /** Milliseconds in the worker. */ ms: number;
}

export interface Status {
  /** `loading`: answering with what there is; `degraded`: a tier failed, see `message`; `error`: nothing answers yet. */
  state: 'loading' | 'ready' | 'degraded' | 'error';
  /** Best tier there is: `none`, `keyword`, or an encoder's name. */ tier: string;
  version: string;
  /** Bytes of the running download. */ progress: { received: number; total: number } | null;
  message: string;
  /** False when the browser keeps nothing for the next visit. */ stored: boolean;
  /** Golden queries found of those expected, `40/40`. */ selfTest?: string;
  info?: { name: string; rows: number; families: number; categories: number };
}

export interface SearchOptions {
  /** Where the site's files lie; `./` when left out. */ base?: string;
  /** Threads of the encoder; more than 1 counts only on a cross-origin isolated page. One is the steadier choice. */ threads?: number;
  /** False: keywords only. */ semantic?: boolean;
  /** False: no service worker, so no offline use. */ serviceWorker?: boolean;
  onstatus?: (status: Status) => void;
}

export interface QueryOptions {
  /** Hits at most, 10. */ k?: number;
  /** Only this category. */ category?: string;
  /** `hybrid`, `dense` or `keyword`. */ mode?: 'hybrid' | 'dense' | 'keyword';
  /** Aborted: the query is dropped if it has not begun, and the promise rejects. */ signal?: AbortSignal;
  /** Called for each tier that answers, the last one being what the promise resolves to. */ ontier?: (results: Results) => void;
}

/** One line of the exported log. */
export interface LogEvent { query: string; shown: string[]; picked: string | null; time: string; version: string; session: string }

export interface Search {
  readonly status: Status;
  query(text: string, options?: QueryOptions): Promise<Results>;
  /** Other rows of the family of `id`, those first that the words of `text` fit. */
  variants(id: string, options?: { text?: string; limit?: number }): Promise<Hit[]>;
  /** Look for a new version now; resolves to the version in use. */ update(): Promise<string>;
  /** Whether the log is on; with an argument, switch it. Off until switched on. */ logging(on?: boolean): Promise<boolean>;
  /** Keep one event on this device, if the log is on. */ log(event: { query: string; shown: string[]; picked: string | null; version?: string }): Promise<void>;
  /** The log as JSON lines. */ exportLog(): Promise<string>;
  clearLog(): Promise<void>;
  /** POST the log; resolves to the number of events. */ sendLog(endpoint: string): Promise<number>;
  close(): void;
}

/** A query encoder. A module named in the manifest (`kind: "module"`) exports `load(files, entry): Promise<Encoder>`. */
export interface Encoder {
  /** Vector of `text` in the space of the index. */ encode(text: string): Promise<Float32Array>;
  release?: () => unknown;
}

/** @internal */ export interface Part { sha256: string; size: number }
/** @internal */ export interface File { sha256: string; bytes: number; parts: Part[] }
/** @internal */ export interface EncoderEntry { name: string; kind: string; module?: string; model_space: string; prompt: string; max_tokens: number; files: Record<string, string>; join?: { with: string; weight: number; floor: number } }
/** @internal */ export interface Manifest {
  format: number; version: string; name: string; counts: { rows: number; families: number; categories: number };
  files: Record<string, File>; vectors: { dim: number; model_space: string } | null; encoders: EncoderEntry[];
  search: { rrf_k: number; keyword_weight: number }; golden: Record<string, Array<{ query: string; expect: string[] }>>;
}
/** @internal */ export interface State {
  manifest: Manifest; catalog: import('./catalog.js').Catalog; texts: string[] | null; vectors: import('./vectors.js').Vectors | null;
  encoders: Array<{ name: string; encode: (text: string) => Promise<Float32Array>; release?: () => unknown }>;
}

export declare function createSearch(options?: SearchOptions): Promise<Search>;
export declare const version: string;
/** `<embedding-search base="…" k="10">`; dispatches `ready`, `status`, `results`, `pick` and `logged`. */
export declare class EmbeddingSearch extends HTMLElement { search: Search | null; status: Status; value: string; strings: Record<string, unknown> }

/** One entry of the catalog that was found. */
export interface Hit {
  /** Place, from 1. */
  rank: number;
  id: string;
  title: string;
  /** Start and end of matched words in `title`. */
  marks: [number, number][];
  category: string;
  /** More about the entry: the catalog's `text` and its other columns; may be empty. */
  text: string;
  /** Id of the family's head. */
  family: string;
  /** How many other rows the family has. */
  variants: number;
  /** Which tier answered: `keyword`, the encoder's name, or `pin` for an entry that was pinned to the query. */
  tier: string;
}

export interface CategoryCount {
  name: string;
  count: number;
}

export interface Results {
  query: string;
  hits: Hit[];
  /** The most frequent categories among the best 50 hits. */
  categories: CategoryCount[];
  /** The tier that answered: `keyword`, or an encoder's name. */
  tier: string;
  /** False if even the best hit has little to do with the query. */
  close: boolean;
  /** What the query may have meant, if its words were found only by their spelling; else empty. */
  suggestion: string;
  /** Version of the data that answered. */
  version: string;
  /** Milliseconds in the worker. */
  ms: number;
}

/** What went wrong, for a page that says it in its own words. */
export interface Problem {
  code: 'catalog' | 'download' | 'damaged' | 'tier' | 'stopped' | 'browser';
  /** The technical cause. */
  cause: string;
  /** The tier that still answers. */
  tier: string;
}

export interface Status {
  /** `loading`: answers with what there is; `degraded`: a tier failed, see `message`; `error`: nothing answers yet. */
  state: 'loading' | 'ready' | 'degraded' | 'error';
  /** Best tier there is: `none`, `keyword`, or an encoder's name. */
  tier: string;
  version: string;
  /** Bytes of the running download. */
  progress: { received: number; total: number } | null;
  /** `problem` in English; empty if there is none. */
  message: string;
  problem: Problem | null;
  /** False when the browser keeps nothing for the next visit. */
  stored: boolean;
  /** Golden queries found of those expected, `40/40`. */
  selfTest?: string;
  info?: { name: string; rows: number; families: number; categories: number; live?: string };
}

export interface SearchOptions {
  /** Where the site's files are; `./` by default. */
  base?: string;
  /** Threads of the encoder; more than 1 counts only on a cross-origin isolated page. One is the steadier choice. */
  threads?: number;
  /** False: keywords only. */
  semantic?: boolean;
  /** Minutes without a query after which the transformer gives its memory back, until the next query; 5. */
  unloadAfter?: number;
  /** False: no service worker, so no offline use. */
  serviceWorker?: boolean;
  onstatus?: (status: Status) => void;
}

export type Mode = 'hybrid' | 'dense' | 'keyword';

export interface QueryOptions {
  /** Hits at most, 10. */
  k?: number;
  /** Only this category. */
  category?: string;
  /** Which rankings to use; `hybrid` by default. */
  mode?: Mode;
  /** Aborted: the query is dropped if it has not begun, and the promise rejects. */
  signal?: AbortSignal;
  /** Called for each tier that answers; the last call has what the promise resolves to. */
  ontier?: (results: Results) => void;
}

/** One line of the exported log. */
export interface LogEvent {
  query: string;
  shown: string[];
  picked: string | null;
  time: string;
  version: string;
  session: string;
}

/** A search as `log` takes it: the version in use is filled in. */
export type LoggedSearch = Pick<LogEvent, 'query' | 'shown' | 'picked'> & { version?: string };

export interface Search {
  readonly status: Status;
  query(text: string, options?: QueryOptions): Promise<Results>;
  /** Other rows of the family of `id`; first those that match the words of `text`. */
  variants(id: string, options?: { text?: string; limit?: number }): Promise<Hit[]>;
  /** Look for a new version now; resolves to the version in use. */
  update(): Promise<string>;
  /** Whether the log is on; with an argument, switch it. Off until switched on. */
  logging(on?: boolean): Promise<boolean>;
  /** Keep one event on this device, if the log is on. */
  log(event: LoggedSearch): Promise<void>;
  /** The log as JSON lines. */
  exportLog(): Promise<string>;
  clearLog(): Promise<void>;
  /** POST the log; resolves to the number of events. */
  sendLog(endpoint: string): Promise<number>;
  close(): void;
}

/** A query encoder. A module of the site (`kind: "module"`) exports `load(files, entry): Promise<Encoder>`. */
export interface Encoder {
  /** Vector of `text`: of the model, or, for a table, on the first axes of the index. */
  encode: (text: string) => Promise<Float32Array>;
  release?: () => unknown;
}

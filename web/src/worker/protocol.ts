// Messages between the page, its worker and the service worker.
import type { EncoderFiles, LoadOptions } from '../engine/encoders';
import type { EncoderEntry, SiteFile } from '../engine/manifest';
import type { Question } from '../engine/ranking';
import type { Hit, LogEvent, Results, Status } from '../engine/types';

export interface StartOptions {
  base: string;
  threads: number;
  semantic: boolean;
  /** Milliseconds without a query after which the transformer is unloaded. */
  unloadAfter: number;
}

/** What a page can ask its worker, and what it gets. */
export interface Calls {
  query: { ask: Question; answer: Results };
  variants: { ask: { id: string; text: string; limit: number }; answer: Hit[] };
  update: { ask: null; answer: string };
  logging: { ask: boolean | null; answer: boolean };
  log: { ask: LogEvent; answer: null };
  logged: { ask: null; answer: LogEvent[] };
  clearLog: { ask: null; answer: null };
}

export type CallName = keyof Calls;
export type Answer = Calls[CallName]['answer'];

type CallMessage = {
  [Name in CallName]: { type: Name; id: number; ask: Calls[Name]['ask'] };
}[CallName];

export type ToWorker = { type: 'start'; options: StartOptions } | { type: 'cancel'; id: number } | CallMessage;

/** What the search worker asks the worker of an encoder. */
export type ToEncoder =
  { type: 'load'; files: EncoderFiles; entry: EncoderEntry; options: LoadOptions } | { type: 'encode'; text: string };

export type FromEncoder =
  | { type: 'started' }
  | { type: 'loaded' }
  | { type: 'encoded'; vector: Float32Array }
  | { type: 'failed'; message: string };

/** A download that the service worker is to do; it reports to `port`. */
export interface BackgroundDownload {
  base: string;
  files: SiteFile[];
  port: MessagePort;
}

export type FromWorker =
  | { type: 'status'; status: Status }
  | ({ type: 'background' } & BackgroundDownload)
  | { type: 'answer'; id: number; answer: Answer; final: boolean }
  | { type: 'failed'; id: number; message: string };

export type ToServiceWorker = { type: 'download' } & BackgroundDownload;

/** What the service worker reports about a download. */
export type DownloadReport =
  { alive: true } | { received: number; total: number } | { done: true } | { error: string; unreachable: boolean };

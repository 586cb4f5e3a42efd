// Answers queries one after the other. A query that was cancelled before its turn is never answered.
import { causeOf } from '../engine/errors';
import {
  rank,
  searchWords,
  type EncodedQuery,
  type Question,
  type RankedHits,
  type WordSearch,
} from '../engine/ranking';
import { endStage } from '../engine/timing';
import type { Results } from '../engine/types';
import type { NamedEncoder, Session, Version } from './session';

/** Mean milliseconds of the best encoder above which a quicker answer comes first. */
const SLOW = 60;
const PACE_UPDATE = 0.2;

export interface QueryEvents {
  onresults(id: number, results: Results, final: boolean): void;
  onerror(id: number, error: unknown): void;
}

/** What answers the queries. */
export type Answering = Pick<Session, 'version' | 'status' | 'touch' | 'dropEncoder'>;

export class QueryQueue {
  readonly #session: Answering;
  readonly #events: QueryEvents;
  readonly #waiting = new Map<number, Question>();
  readonly #channel = new MessageChannel();
  #isRunning = false;
  #pace = 0; // mean milliseconds of the best encoder

  constructor(session: Answering, events: QueryEvents) {
    this.#session = session;
    this.#events = events;
    this.#channel.port1.onmessage = () => void this.#runNext();
  }

  add(id: number, question: Question): void {
    this.#session.touch();
    this.#waiting.set(id, question);
    void this.#runNext();
  }

  cancel(id: number): void {
    this.#waiting.delete(id);
  }

  async #runNext(): Promise<void> {
    if (this.#isRunning) return;
    for (const [id, question] of this.#waiting) {
      this.#waiting.delete(id);
      this.#isRunning = true;
      await this.#answer(id, question);
      this.#isRunning = false;
      this.#channel.port2.postMessage(null); // through the message queue, so that a cancellation gets in between
      return;
    }
  }

  async #answer(id: number, question: Question): Promise<void> {
    const start = performance.now();
    const { version, status } = this.#session;
    const { text } = question;

    const reply = (ranked: RankedHits, final: boolean): void => {
      const ms = performance.now() - start;
      const results = { ...ranked, query: text, version: version?.manifest.version ?? '', ms };
      endStage('worker', start);
      this.#events.onresults(id, results, final);
    };

    try {
      if (!version) throw new Error(status.message || 'The catalog is still loading.');
      const encoder = question.mode === 'keyword' || !text.trim() ? null : version.encoders.at(-1);
      if (!encoder) {
        reply(rank(version.index, question), true);
        return;
      }
      if (this.#pace > SLOW) reply(await this.#answerQuickly(version, question), false);
      const encoding = this.#encode(version, encoder, text);
      let words: WordSearch;
      let encoded: EncodedQuery | null;
      try {
        words = searchWords(version.index, question); // while the transformer computes in its own worker
      } finally {
        encoded = await encoding; // it encodes one text at a time
      }
      if (encoded) reply(rank(version.index, question, encoded, words), true);
      else await this.#answer(id, question);
    } catch (error) {
      this.#events.onerror(id, error);
    }
  }

  async #answerQuickly({ index, encoders }: Version, question: Question): Promise<RankedHits> {
    if (encoders.length < 2) return rank(index, question);
    const [{ name, encode }] = encoders;
    return rank(index, question, { vector: await encode(question.text), tier: name });
  }

  /** Encode a query; null if the encoder failed and is not used any more. */
  async #encode(version: Version, { name, encode }: NamedEncoder, text: string): Promise<EncodedQuery | null> {
    const start = performance.now();
    try {
      const vector = await encode(text);
      this.#pace += PACE_UPDATE * (performance.now() - start - this.#pace);
      endStage('encoders', start);
      return { vector, tier: name };
    } catch (error) {
      this.#pace = 0;
      this.#session.dropEncoder(version, causeOf(error));
      return null;
    }
  }
}

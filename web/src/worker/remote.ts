// An encoder in a worker of its own, which can be stopped.
import { loadEncoder, type EncoderFiles, type LoadOptions } from '../engine/encoders';
import type { EncoderEntry } from '../engine/manifest';
import type { Encoder } from '../engine/types';
import type { FromEncoder, ToEncoder } from './protocol';

/** Milliseconds until a worker that has not started counts as broken. */
const START_LIMIT = 15_000;

/** Start the worker of an encoder; null if it does not start. */
function startWorker(base: string): Promise<Worker | null> {
  return new Promise((resolve) => {
    const worker = new Worker(new URL('encoder.js', base), { type: 'module' });

    function giveUp(): void {
      worker.terminate();
      resolve(null);
    }

    const timer = setTimeout(giveUp, START_LIMIT);
    worker.onerror = giveUp;
    worker.onmessage = () => {
      clearTimeout(timer);
      resolve(worker);
    };
  });
}

/** Load an encoder in its own worker, or here in a browser where workers have no workers. */
export async function loadInWorker(files: EncoderFiles, entry: EncoderEntry, options: LoadOptions): Promise<Encoder> {
  const worker = 'Worker' in globalThis ? await startWorker(options.base) : null;
  if (!worker) return loadEncoder(files, entry, options);
  return loadInto(worker, files, entry, options);
}

async function loadInto(
  worker: Worker,
  files: EncoderFiles,
  entry: EncoderEntry,
  options: LoadOptions,
): Promise<Encoder> {
  /** Ask one thing; the next one is asked only after the answer. */
  function ask(message: ToEncoder, transfer: Transferable[] = []): Promise<FromEncoder> {
    return new Promise((resolve, reject) => {
      worker.onmessage = ({ data }: MessageEvent<FromEncoder>) => {
        if (data.type === 'failed') reject(new Error(data.message));
        else resolve(data);
      };
      worker.onerror = (event) => reject(new Error(event.message || 'the worker of the encoder could not be loaded'));
      worker.postMessage(message, transfer);
    });
  }

  async function encode(text: string): Promise<Float32Array> {
    const reply = await ask({ type: 'encode', text });
    if (reply.type === 'encoded') return reply.vector;
    throw new Error('the encoder gave no vector');
  }

  try {
    await ask({ type: 'load', files, entry, options }, Object.values(files));
  } catch (error) {
    worker.terminate();
    throw error;
  }
  return { encode, release: () => worker.terminate() };
}

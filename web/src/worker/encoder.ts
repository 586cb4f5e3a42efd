// The worker of a transformer. To stop it is the only way to give its memory back: WebAssembly never shrinks.
import { loadEncoder } from '../engine/encoders';
import { causeOf } from '../engine/errors';
import type { Encoder } from '../engine/types';
import type { FromEncoder, ToEncoder } from './protocol';

let encoder: Promise<Encoder> | null = null;

async function answer(message: ToEncoder): Promise<FromEncoder> {
  try {
    if (message.type === 'load') {
      encoder = loadEncoder(message.files, message.entry, message.options);
      await encoder;
      return { type: 'loaded' };
    }
    if (!encoder) throw new Error('the encoder is not loaded');
    const { encode } = await encoder;
    return { type: 'encoded', vector: await encode(message.text) };
  } catch (error) {
    return { type: 'failed', message: causeOf(error) };
  }
}

onmessage = async ({ data }: MessageEvent<ToEncoder>) => postMessage(await answer(data));
const started: FromEncoder = { type: 'started' };
postMessage(started);

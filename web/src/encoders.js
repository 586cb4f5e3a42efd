// Query encoders. Each turns a text into a vector of the index's space; the worker loads them in the order of the manifest, the last ready one answers.
import { readColumns } from './columns.js';
import { features } from './text.js';

/**
 * @callback Load
 * @param {Record<string, ArrayBuffer>} files Content of the encoder's files, by the names in the manifest
 * @param {import('./types').EncoderEntry} entry
 * @param {{base: string, threads: number}} options
 * @returns {Promise<import('./types').Encoder>}
 */

/** The exported ONNX graph on onnxruntime-web; pooling and normalization are in the graph. @type {Load} */
async function onnx(files, entry, { base, threads }) {
  const [ort, { Tokenizer }] = await Promise.all([import('onnxruntime-web/wasm'), import('@huggingface/tokenizers')]);
  ort.env.wasm.numThreads = threads; ort.env.wasm.proxy = false; ort.env.logLevel = 'error';
  ort.env.wasm.wasmBinary = files.runtime; ort.env.wasm.wasmPaths = { mjs: new URL(`assets/${__ORT_GLUE__}`, base).href };
  const session = await ort.InferenceSession.create(new Uint8Array(files.graph), { executionProviders: ['wasm'], graphOptimizationLevel: 'all', enableCpuMemArena: true });
  const json = JSON.parse(new TextDecoder().decode(files.tokenizer)), tokenizer = new Tokenizer(json, {});
  const end = tokenizer.encode('').ids.at(-1), typed = session.inputNames.includes('token_type_ids');
  return {
    async encode(text) {
      let { ids } = tokenizer.encode(entry.prompt + text.slice(0, 2000));
      if (ids.length > entry.max_tokens) ids = [...ids.slice(0, entry.max_tokens - 1), /** @type {number} */ (end)];
      const n = ids.length, make = (/** @type {BigInt64Array} */ x) => new ort.Tensor('int64', x, [1, n]);
      const out = await session.run({ input_ids: make(BigInt64Array.from(ids, BigInt)), attention_mask: make(new BigInt64Array(n).fill(1n)),
        ...(typed && { token_type_ids: make(new BigInt64Array(n)) }) }, ['sentence_embedding']);
      return /** @type {Float32Array} */ (out.sentence_embedding.data);
    },
    release: () => session.release(),
  };
}

/** `v`, made one long in place. @param {Float32Array} v */
export function unit(v) {
  let s = 0; for (const x of v) s += x * x;
  const n = Math.sqrt(s); if (n > 1e-12) for (let i = 0; i < v.length; i++) v[i] /= n;
  return v;
}

/** Sums of learnt vectors of pieces of words: no graph, no tokenizer. @type {Load} */
async function table(files) {
  const c = readColumns(files.table), [buckets, width, full] = c.shape, { rows, scale } = c, axes = Float32Array.from(c.axes, (/** @type {number} */ x) => x / 32767);
  return {
    async encode(text) {
      const z = new Float32Array(width), v = new Float32Array(full);
      for (const f of features(text.slice(0, 2000), buckets)) for (let d = 0, p = f * width, s = scale[f]; d < width; d++, p++) z[d] += s * rows[p];
      for (let d = 0, p = 0; d < width; d++) for (let i = 0; i < full; i++, p++) v[i] += z[d] * axes[p];
      return unit(v);
    },
  };
}

/**
 * The transformer's vector and the table's in one: the table counts by how much the two agree.
 * @param {Float32Array} v
 * @param {Float32Array} s
 * @param {{weight: number, floor: number}} how
 */
export function join(v, s, { weight, floor }) {
  let agree = 0; for (let i = 0; i < v.length; i++) agree += v[i] * s[i];
  const w = weight * Math.max(0, (agree - floor) / (1 - floor));
  return unit(v.map((x, i) => x + w * s[i]));
}

/** An encoder of your own: the module named in the manifest exports `load(files, entry)`. @type {Load} */
async function module(files, entry, { base }) {
  return (await import(/* @vite-ignore */ new URL(/** @type {string} */ (entry.module), base).href)).load(files, entry);
}

/** @type {Record<string, Load>} */
export const ENCODERS = { onnx, table, module };

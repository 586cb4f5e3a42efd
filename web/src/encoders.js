// Query encoders. Each turns a text into a vector of the index's space; the worker loads them in the order of the manifest, the last ready one answers.

/**
 * @callback Load
 * @param {Record<string, ArrayBuffer>} files Content of the encoder's files, by the names in the manifest
 * @param {import('./types').EncoderEntry} entry
 * @param {{base: string, threads: number}} options
 * @returns {Promise<import('./types').Encoder>}
 */

/** The exported ONNX graph on onnxruntime-web; pooling and normalisation are in the graph. @type {Load} */
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

/** An encoder of your own: the module named in the manifest exports `load(files, entry)`. @type {Load} */
async function module(files, entry, { base }) {
  return (await import(/* @vite-ignore */ new URL(/** @type {string} */ (entry.module), base).href)).load(files, entry);
}

/** @type {Record<string, Load>} */
export const ENCODERS = { onnx, module };

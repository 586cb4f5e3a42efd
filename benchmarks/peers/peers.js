// What one would use instead of our page. `window.rows` holds [id, title, number of the distinct title] of each row.
import { create, insertMultiple, search } from './node_modules/@orama/orama/dist/browser/index.js';
import Fuse from './node_modules/fuse.js/dist/fuse.mjs';
import MiniSearch from './node_modules/minisearch/dist/es/index.js';

const DEPTH = 200; // Hits of each search, so that five families are among them

async function timed(work) {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** Ask `peer` all queries; returns the ms of each and the ids of its hits. */
window.ask = async (peer, queries) => {
  const times = [];
  const found = [];
  for (const query of queries) times.push(await timed(async () => found.push(await peer.ask(query))));
  return [times, found];
};

function documents() {
  return rows.map(([id, title]) => ({ id, title }));
}

let miniSearch;
const minisearch = {
  build() {
    return timed(() => {
      miniSearch = new MiniSearch({ fields: ['title'], idField: 'id' });
      miniSearch.addAll(documents());
    });
  },
  ask: (query) => miniSearch.search(query, { prefix: true }).slice(0, DEPTH).map((hit) => hit.id),
};

const minisearch_fuzzy = {
  build: () => 0, // The index of `minisearch`
  ask: (query) => miniSearch.search(query, { prefix: true, fuzzy: 0.2 }).slice(0, DEPTH).map((hit) => hit.id),
};

let database;
const orama = {
  build() {
    miniSearch = null;
    return timed(async () => {
      database = create({ schema: { title: 'string' } });
      await insertMultiple(database, documents(), 5000);
    });
  },
  async ask(query) {
    const { hits } = await search(database, { term: query, properties: ['title'], limit: DEPTH });
    return hits.map((hit) => hit.id);
  },
};

let fuzzy;
const fuse = {
  build() {
    database = null;
    return timed(() => {
      fuzzy = new Fuse(documents(), { keys: ['title'], ignoreLocation: true, threshold: 0.4 });
    });
  },
  ask: (query) => fuzzy.search(query, { limit: DEPTH }).map((hit) => hit.item.id),
};

/** The numbers of a NumPy file of float16. */
async function readHalves(url) {
  const raw = await (await fetch(url)).arrayBuffer();
  const headerSize = 10 + new DataView(raw).getUint16(8, true);
  const number = Float32Array.from({ length: 65536 }, (_, bits) => {
    const sign = bits >> 15 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    if (!exponent) return sign * fraction * 2 ** -24;
    return sign * 2 ** (exponent - 15) * (1 + fraction / 1024);
  });
  return Float32Array.from(new Uint16Array(raw.slice(headerSize)), (bits) => number[bits]);
}

let encode;
let vectors;
let idsOfTitle;
const transformers = {
  build() {
    fuzzy = null;
    return timed(async () => {
      const { pipeline, env } = await import(
        './node_modules/@huggingface/transformers/dist/transformers.min.js'
      );
      env.allowRemoteModels = false;
      env.allowLocalModels = true;
      env.localModelPath = '/run/';
      env.backends.onnx.wasm.numThreads = 1;
      const runtime = '/node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded';
      env.backends.onnx.wasm.wasmPaths = { mjs: `${runtime}.mjs`, wasm: `${runtime}.wasm` };
      encode = await pipeline('feature-extraction', 'model', { dtype: 'q8', device: 'wasm' });
      vectors = await readHalves('/run/index/vectors.npy');
      idsOfTitle = [];
      for (const [id, , number] of rows) (idsOfTitle[number] ??= []).push(id);
    });
  },
  async ask(query) {
    const { data } = await encode(query, { pooling: 'mean', normalize: true });
    const dim = data.length;
    const scores = new Float32Array(vectors.length / dim);
    for (let title = 0, place = 0; title < scores.length; title++) {
      let score = 0;
      for (let axis = 0; axis < dim; axis++, place++) score += data[axis] * vectors[place];
      scores[title] = score;
    }
    const order = Array.from(scores.keys()).sort((a, b) => scores[b] - scores[a]);
    return order.slice(0, DEPTH).flatMap((title) => idsOfTitle[title]);
  },
};

window.peers = { minisearch, minisearch_fuzzy, orama, fuse, transformers };

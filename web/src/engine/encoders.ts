// Query encoders. Each turns a text into a vector in the space of the index.
import { Columns } from './columns';
import { refineCode, unpackDigits } from './digits';
import { decodeObject } from './json';
import { normalize } from './linear';
import type { EncoderEntry } from './manifest';
import { ngramRows } from './ngrams';
import { endStage, timed } from './timing';
import type { Encoder } from './types';

const MAX_CHARS = 2000;

/** Content of an encoder's files, by the names in the manifest. */
export type EncoderFiles = Record<string, ArrayBuffer>;

export interface LoadOptions {
  base: string;
  threads: number;
}

type LoadEncoder = (files: EncoderFiles, entry: EncoderEntry, options: LoadOptions) => Promise<Encoder>;

/** What a module of the site may export; a JavaScript module is not checked further. */
interface EncoderModule {
  load: (files: EncoderFiles, entry: EncoderEntry) => Promise<Encoder>;
}

function isEncoderModule(value: unknown): value is EncoderModule {
  return typeof value === 'object' && value !== null && 'load' in value && typeof value.load === 'function';
}

/** The exported ONNX graph on onnxruntime-web; pooling and normalization are in the graph. */
async function loadOnnx(files: EncoderFiles, entry: EncoderEntry, options: LoadOptions): Promise<Encoder> {
  const [ort, { Tokenizer }] = await Promise.all([import('onnxruntime-web/wasm'), import('@huggingface/tokenizers')]);
  ort.env.logLevel = 'error';
  ort.env.wasm.numThreads = options.threads;
  ort.env.wasm.proxy = false;
  ort.env.wasm.wasmBinary = files.runtime;
  ort.env.wasm.wasmPaths = { mjs: new URL(`assets/${__ORT_GLUE__}`, options.base).href };
  const session = await ort.InferenceSession.create(new Uint8Array(files.graph), {
    executionProviders: ['wasm'],
    graphOptimizationLevel: 'all',
    enableCpuMemArena: true,
  });
  const tokenizer = new Tokenizer(decodeObject(files.tokenizer), {});
  const lastToken = tokenizer.encode('').ids.at(-1) ?? 0;
  const hasTypes = session.inputNames.includes('token_type_ids');

  function tokenize(text: string): number[] {
    const { ids } = tokenizer.encode(entry.prompt + text.slice(0, MAX_CHARS));
    return ids.length > entry.max_tokens ? [...ids.slice(0, entry.max_tokens - 1), lastToken] : ids;
  }

  async function encode(text: string): Promise<Float32Array> {
    const ids = timed('tokenizer', () => tokenize(text));
    const n = ids.length;
    const shape = [1, n];
    const inputs = {
      input_ids: new ort.Tensor('int64', BigInt64Array.from(ids, BigInt), shape),
      attention_mask: new ort.Tensor('int64', new BigInt64Array(n).fill(1n), shape),
    };
    const types = { token_type_ids: new ort.Tensor('int64', new BigInt64Array(n), shape) };
    const start = performance.now();
    const output = await session.run(hasTypes ? { ...inputs, ...types } : inputs, ['sentence_embedding']);
    endStage('transformer', start);
    const vector = output.sentence_embedding.data;
    if (vector instanceof Float32Array) return vector;
    throw new TypeError('the graph gives no float32 vectors');
  }

  return { encode, release: () => session.release() };
}

/** Codes of the table, with their finer digits if they are here. */
function tableRows(columns: Columns, fine: ArrayBuffer | null): Int8Array {
  const [buckets, width] = columns.numbers('shape');
  const isSmall = columns.has('digits');
  const rows = isSmall ? unpackDigits(columns.uint8('digits'), buckets * width) : columns.int8('rows');
  if (!fine) return rows;
  const digits = unpackDigits(new Columns(fine).uint8('digits'), rows.length);
  return rows.map((code, i) => refineCode(code, digits[i]));
}

/** Sums of learned vectors of n-grams, on the first axes of the index: no graph, no tokenizer. */
function loadTable(files: EncoderFiles): Promise<Encoder> {
  const columns = new Columns(files.table);
  const [buckets, width] = columns.numbers('shape');
  const rows = tableRows(columns, 'fine' in files ? files.fine : null);
  const scale = columns.numbers('scale');

  function encode(text: string): Float32Array {
    const sum = new Float32Array(width);
    for (const row of ngramRows(text.slice(0, MAX_CHARS), buckets)) {
      for (let d = 0, at = row * width; d < width; d++, at++) sum[d] += scale[row] * rows[at];
    }
    return normalize(sum);
  }

  return Promise.resolve({ encode: (text) => Promise.resolve(timed('n-grams', () => encode(text))) });
}

/** An encoder of your own: the module named in the manifest exports `load(files, entry)`. */
async function loadModule(files: EncoderFiles, entry: EncoderEntry, { base }: LoadOptions): Promise<Encoder> {
  const module: unknown = await import(/* @vite-ignore */ new URL(entry.module ?? '', base).href);
  if (!isEncoderModule(module)) throw new Error(`${entry.module} exports no function load`);
  return module.load(files, entry);
}

const LOADERS: Record<string, LoadEncoder | undefined> = { onnx: loadOnnx, table: loadTable, module: loadModule };

/** Load the encoder that a manifest describes. */
export async function loadEncoder(files: EncoderFiles, entry: EncoderEntry, options: LoadOptions): Promise<Encoder> {
  const load = LOADERS[entry.kind];
  if (!load) throw new Error(`no encoder of kind ${entry.kind} in this page`);
  return load(files, entry, options);
}

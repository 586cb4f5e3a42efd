import { expect, test } from 'vitest';
import { Columns } from '../src/engine/columns';
import { loadEncoder } from '../src/engine/encoders';
import { blend } from '../src/engine/linear';
import { Vectors } from '../src/engine/vectors';
import { decodeBase64, vectors as python } from './helpers';
import { packColumns } from './pack';

const FULL = 20;
const N = 600;

/** Numbers that repeat in no obvious way, from -1 to 1. */
function noise(n: number, seed: number): number[] {
  return Array.from({ length: n }, (_, i) => Math.sin(12.9898 * (i + 1) * seed) % 1);
}

function columns(content: Parameters<typeof packColumns>[0]): Columns {
  return new Columns(packColumns(content));
}

/** A file of codes, axis by axis. */
function codesFile(codes: Int8Array): Columns {
  return columns({ shape: Uint32Array.of(codes.length / N, N), codes });
}

/** Numbers of all codes by score, best first. */
function nearest(query: Float32Array, codes: Int8Array): { scores: number[]; order: number[] } {
  const scores = Array.from({ length: N }, (_, i) => query.reduce((sum, x, d) => sum + x * codes[d * N + i], 0));
  return {
    scores,
    order: scores.map((_, i) => i).sort((a, b) => scores[b] - scores[a]),
  };
}

test.each([16, 20])('finds the nearest codes on %i axes', (dim) => {
  const codes = Int8Array.from(noise(N * dim, 7), (x) => Math.round(60 * x));
  const index = new Vectors(codesFile(codes));
  const query = Float32Array.from(noise(dim, 11));
  const { scores, order } = nearest(query, codes);
  expect(Array.from(index.search(query, 10))).toEqual(order.slice(0, 10));
  const odd = order.filter((i) => i % 2);
  expect(Array.from(index.search(query, 5, Uint32Array.from(odd)))).toEqual(odd.slice(0, 5));
  expect(index.bestScore).toBeCloseTo(scores[odd[0]], 1);
});

test('projects whole vectors once it has axes', () => {
  const index = new Vectors(codesFile(new Int8Array(16 * N)));
  expect(() => index.project(new Float32Array(FULL))).toThrow('has 0');
  const axes = Int16Array.from(noise(16 * FULL, 3), (x) => Math.round(32767 * x));
  index.add(columns({ shape: Uint32Array.of(16, FULL), axes }));
  const vector = Float32Array.from(noise(FULL, 11));
  const projected = Array.from({ length: 16 }, (_, d) =>
    vector.reduce((sum, x, i) => sum + (x * axes[d * FULL + i]) / 32767, 0),
  );
  index.project(vector).forEach((x, d) => expect(x).toBeCloseTo(projected[d], 4));
  expect(() => index.project(new Float32Array(3))).toThrow('has 20');
});

test('answers with coarse codes first, then with fine ones, then on more axes', () => {
  const fine = Int8Array.from(noise(N * 20, 7), (x) => Math.round(60 * x));
  const coarse = fine.map((code) => Math.round(code / 3));
  const query = Float32Array.from(noise(20, 11));
  const index = new Vectors(codesFile(coarse));
  expect(Array.from(index.search(query, 10))).toEqual(nearest(query, coarse).order.slice(0, 10));

  const digits = new Uint8Array(Math.ceil(fine.length / 5));
  fine.forEach((code, i) => {
    digits[Math.floor(i / 5)] += (code - 3 * coarse[i] + 1) * 3 ** (i % 5);
  });
  index.add(columns({ digits }));
  expect(Array.from(index.search(query, 10))).toEqual(nearest(query, fine).order.slice(0, 10));

  const more = Int8Array.from(noise(N * 15, 5), (x) => Math.round(60 * x));
  index.add(codesFile(more));
  const all = Int8Array.from([...fine, ...more]);
  const longer = Float32Array.from([...query, ...noise(15, 13)]);
  expect(Array.from(index.search(longer, 10))).toEqual(nearest(longer, all).order.slice(0, 10));
  expect(Array.from(index.search(query, 10))).toEqual(nearest(query, fine).order.slice(0, 10));
});

test('blends an n-gram vector into the projection of a vector', () => {
  const half = Math.SQRT1_2;
  const blended = blend(Float32Array.of(half, 0, half), Float32Array.of(1, 0), {
    weight: 2,
    floor: 0,
    ceiling: 0.5,
  });
  const length = Math.hypot(half + 2, half);
  [(half + 2) / length, 0, half / length].forEach((x, i) => expect(blended[i]).toBeCloseTo(x, 5));
});

test('each tier finds what Python finds', async () => {
  const { files, tiers, texts, whole, blend: settings, blended } = python.tiers;
  const file = (name: keyof typeof files) => decodeBase64(files[name]);
  const entry = { name: 'ngram', kind: 'table', model_space: '', prompt: '', max_tokens: 0, files: {}, vectors: [] };
  const options = { base: '', threads: 1 };

  async function find(encode: (text: string, i: number) => Promise<Float32Array>): Promise<number[][]> {
    const found = texts.map(async (text, i) => Array.from(index.search(await encode(text, i), 5)));
    return Promise.all(found);
  }

  const index = new Vectors(new Columns(file('vectors')));
  const draft = await loadEncoder({ table: file('table') }, entry, options);
  expect(await find(draft.encode)).toEqual(tiers.draft);

  index.add(new Columns(file('vectors_fine')));
  const ngram = await loadEncoder({ table: file('table'), fine: file('table_fine') }, entry, options);
  expect(await find(ngram.encode)).toEqual(tiers.ngram);

  index.add(new Columns(file('axes')));
  index.add(new Columns(file('vectors_more')));
  expect(await find(ngram.encode)).toEqual(tiers.ngram);
  const encodeBoth = async (text: string, i: number) =>
    blend(index.project(Float32Array.from(whole[i])), await ngram.encode(text), settings);
  expect(await find(encodeBoth)).toEqual(blended);
});

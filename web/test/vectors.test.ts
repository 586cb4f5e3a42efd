import { expect, test } from 'vitest';
import { Columns } from '../src/engine/columns';
import { Vectors } from '../src/engine/vectors';
import { packColumns } from './pack';

const FULL = 20;
const N = 600;

/** Numbers that repeat in no obvious way, from -1 to 1. */
function noise(n: number, seed: number): number[] {
  return Array.from({ length: n }, (_, i) => Math.sin(12.9898 * (i + 1) * seed) % 1);
}

test.each([16, 20])('finds the nearest codes on %i axes', (dim) => {
  const axes = Int16Array.from(noise(dim * FULL, 3), (x) => Math.round(32767 * x));
  const codes = Int8Array.from(noise(N * dim, 7), (x) => Math.round(60 * x)); // axis by axis
  const shape = new Uint32Array([FULL, dim, N]);
  const index = new Vectors(new Columns(packColumns({ shape, axes, codes })));
  const query = Float32Array.from(noise(FULL, 11));

  const projected = Array.from({ length: dim }, (_, d) =>
    query.reduce((sum, x, i) => sum + (x * axes[d * FULL + i]) / 32767, 0),
  );
  const scores = Array.from({ length: N }, (_, i) => projected.reduce((sum, x, d) => sum + x * codes[d * N + i], 0));
  const nearest = scores.map((_, i) => i).sort((a, b) => scores[b] - scores[a]);
  expect(Array.from(index.search(query, 10))).toEqual(nearest.slice(0, 10));
  const odd = nearest.filter((i) => i % 2);
  expect(Array.from(index.search(query, 5, Uint32Array.from(odd)))).toEqual(odd.slice(0, 5));
  expect(index.bestScore).toBeCloseTo(scores[odd[0]], 1);
  expect(() => index.search(new Float32Array(3), 5)).toThrow('has 20');
});

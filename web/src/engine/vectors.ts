// One code a family, on the principal axes: a coarse scan in integers over all, an exact one over the best.
import type { Columns } from './columns';
import { topK } from './top';

const RESCORED = 500;
const QUERY_STEPS = 4095;
const LANES = 16;
const TILE = 256;
const PAGE = 65_536;

type Scan = (codes: number, query: number, out: number, n: number, dim: number) => void;

function isScan(value: unknown): value is Scan {
  return typeof value === 'function';
}

/** Start the compiled `kernel.ts` on a memory. */
function loadScan(memory: WebAssembly.Memory): Scan {
  const bytes = Uint8Array.from(atob(__KERNEL__), (char) => char.charCodeAt(0));
  const { scan } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { memory } }).exports;
  if (!isScan(scan)) throw new Error('the kernel has no function scan');
  return scan;
}

export class Vectors {
  /** Numbers of a whole vector. */
  readonly full: number;
  /** Principal axes. */
  readonly dim: number;
  /** Score of the best family of the last search. */
  bestScore = 0;
  readonly #n: number;
  readonly #width: number; // numbers of a stored code: `dim`, and zeros up to a multiple of LANES
  readonly #axes: Float32Array;
  readonly #codes: Int8Array;
  readonly #query: Int16Array;
  readonly #coarse: Int32Array;
  readonly #score: Float32Array;
  readonly #all: Uint32Array;
  readonly #projected: Float32Array;
  readonly #scan: Scan;

  /** @param columns The file `vectors` of a site */
  constructor(columns: Columns) {
    const [full, dim, n] = columns.numbers('shape');
    const width = Math.ceil(dim / LANES) * LANES;
    const memory = new WebAssembly.Memory({ initial: Math.ceil((n * (width + 4) + 2 * width) / PAGE) });
    this.full = full;
    this.dim = dim;
    this.#n = n;
    this.#width = width;
    this.#axes = columns.fractions('axes');
    this.#codes = new Int8Array(memory.buffer, 0, n * width);
    this.#query = new Int16Array(memory.buffer, n * width, width);
    this.#coarse = new Int32Array(memory.buffer, (n + 2) * width, n);
    this.#score = new Float32Array(n);
    this.#all = Uint32Array.from({ length: n }, (_, i) => i);
    this.#projected = new Float32Array(dim);
    this.#scan = loadScan(memory);
    this.#fillRows(columns.int8('codes'));
  }

  /** Codes come axis by axis, which compresses well, and are scanned row by row. Tiles stay in the cache. */
  #fillRows(columnMajor: Int8Array): void {
    for (let from = 0; from < this.#n; from += TILE) {
      const to = Math.min(this.#n, from + TILE);
      for (let d = 0; d < this.dim; d++) {
        const column = d * this.#n;
        for (let i = from; i < to; i++) this.#codes[i * this.#width + d] = columnMajor[column + i];
      }
    }
  }

  /**
   * Families nearest to a vector, best first.
   * @param vector Vector of the query, `full` numbers
   * @param among Families to look at; all by default
   */
  search(vector: Float32Array, k: number, among: Uint32Array | null = null): Uint32Array {
    if (vector.length !== this.full)
      throw new TypeError(
        `a vector of ${vector.length} numbers cannot be compared with this index, which has ${this.full}`,
      );
    this.#project(vector);
    const n = this.#n;
    const width = this.#width;
    this.#scan(0, n * width, (n + 2) * width, n, width);
    const candidates = among ?? this.#all;
    const near = topK(candidates, this.#coarse, candidates.length, Math.max(RESCORED, 2 * k));
    for (const family of near) this.#score[family] = this.#exactScore(family);
    const ranked = topK(near, this.#score, near.length, k);
    this.bestScore = ranked.length ? this.#score[ranked[0]] : 0;
    return ranked;
  }

  /** Project a vector to the axes, and round it for the scan. */
  #project(vector: Float32Array): void {
    let largest = 0;
    for (let d = 0; d < this.dim; d++) {
      let sum = 0;
      for (let i = 0, axis = d * this.full; i < this.full; i++) sum += this.#axes[axis + i] * vector[i];
      this.#projected[d] = sum;
      largest = Math.max(largest, Math.abs(sum));
    }
    for (let d = 0; d < this.dim; d++) this.#query[d] = Math.round((QUERY_STEPS * this.#projected[d]) / (largest || 1));
  }

  #exactScore(family: number): number {
    let score = 0;
    for (let d = 0, at = family * this.#width; d < this.dim; d++, at++) score += this.#projected[d] * this.#codes[at];
    return score;
  }
}

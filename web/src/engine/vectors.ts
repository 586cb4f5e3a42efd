// One code a family, on the principal axes: a scan in integers over all, exact scores for the best.
import type { Columns } from './columns';
import { refineCode, unpackDigits } from './digits';
import { topK } from './top';

const MARGIN = 20; // families that the scan finds beyond those that are wanted
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

/** Memory for `n` codes of `dim` numbers, a query and the results of a scan. */
class Codes {
  readonly width: number; // numbers of a stored code: `dim`, and zeros up to a multiple of LANES
  readonly codes: Int8Array;
  readonly query: Int16Array;
  readonly scores: Int32Array;
  readonly #scan: Scan;

  constructor(
    readonly dim: number,
    readonly n: number,
  ) {
    this.width = Math.ceil(dim / LANES) * LANES;
    const { width } = this;
    const memory = new WebAssembly.Memory({ initial: Math.ceil((n * (width + 4) + 2 * width) / PAGE) });
    this.codes = new Int8Array(memory.buffer, 0, n * width);
    this.query = new Int16Array(memory.buffer, n * width, width);
    this.scores = new Int32Array(memory.buffer, (n + 2) * width, n);
    this.#scan = loadScan(memory);
  }

  /** Compute the scores of all codes. */
  scan(): void {
    this.#scan(0, this.n * this.width, (this.n + 2) * this.width, this.n, this.width);
  }

  /** Set one number of all codes after the other. `change` gets the position in a column-major file, and the code. */
  fill(firstAxis: number, endAxis: number, change: (at: number, code: number) => number): void {
    for (let from = 0; from < this.n; from += TILE) {
      const to = Math.min(this.n, from + TILE); // tiles stay in the cache
      for (let d = firstAxis; d < endAxis; d++) {
        const column = (d - firstAxis) * this.n;
        for (let i = from; i < to; i++) {
          const at = i * this.width + d;
          this.codes[at] = change(column + i, this.codes[at]);
        }
      }
    }
  }
}

/** The vectors of a site. Its files can be added one after the other, and the search answers in between. */
export class Vectors {
  /** Score of the best family of the last search. */
  bestScore = 0;
  #stored: Codes;
  #axes: Float32Array | null = null;
  #full = 0;
  readonly #score: Float32Array;
  readonly #all: Uint32Array;

  /** @param columns The first file of vectors: coarse codes on the first axes, or all there is */
  constructor(columns: Columns) {
    const [dim, n] = columns.numbers('shape');
    this.#stored = new Codes(dim, n);
    this.#score = new Float32Array(n);
    this.#all = Uint32Array.from({ length: n }, (_, i) => i);
    const codes = columns.int8('codes');
    this.#stored.fill(0, dim, (at) => codes[at]);
  }

  /** Principal axes. */
  get dim(): number {
    return this.#stored.dim;
  }

  /** Numbers of a whole vector; 0 until there are axes. */
  get full(): number {
    return this.#full;
  }

  /** Add a further file: finer codes, the axes, or codes on further axes. */
  add(columns: Columns): void {
    if (columns.has('digits')) this.#refine(columns);
    if (columns.has('axes')) this.#setAxes(columns);
    if (columns.has('codes')) this.#extend(columns);
  }

  #refine(columns: Columns): void {
    const { dim, n } = this.#stored;
    const digits = unpackDigits(columns.uint8('digits'), dim * n);
    this.#stored.fill(0, dim, (at, code) => refineCode(code, digits[at]));
  }

  #setAxes(columns: Columns): void {
    [, this.#full] = columns.numbers('shape');
    this.#axes = columns.fractions('axes');
  }

  #extend(columns: Columns): void {
    const [more] = columns.numbers('shape');
    const before = this.#stored;
    const after = new Codes(before.dim + more, before.n);
    for (let i = 0; i < before.n; i++) {
      const code = before.codes.subarray(i * before.width, i * before.width + before.dim);
      after.codes.set(code, i * after.width);
    }
    const codes = columns.int8('codes');
    after.fill(before.dim, after.dim, (at) => codes[at]);
    this.#stored = after;
  }

  /** Project a whole vector to the axes. */
  project(vector: Float32Array): Float32Array {
    const full = this.#full;
    if (!this.#axes || vector.length !== full)
      throw new TypeError(`a vector of ${vector.length} numbers cannot be compared with this index, which has ${full}`);
    const projected = new Float32Array(this.#axes.length / full);
    for (let d = 0; d < projected.length; d++) {
      let sum = 0;
      for (let i = 0, axis = d * full; i < full; i++) sum += this.#axes[axis + i] * vector[i];
      projected[d] = sum;
    }
    return projected;
  }

  /**
   * Families nearest to a vector, best first.
   * @param projected Vector of the query on the axes; those that it lacks count as 0
   * @param among Families to look at; all by default
   */
  search(projected: Float32Array, k: number, among: Uint32Array | null = null): Uint32Array {
    this.#roundQuery(projected);
    this.#stored.scan();
    const candidates = among ?? this.#all;
    const near = topK(candidates, this.#stored.scores, candidates.length, k + MARGIN);
    for (const family of near) this.#score[family] = this.#exactScore(family, projected);
    const ranked = near.sort((a, b) => this.#score[b] - this.#score[a] || a - b).slice(0, k);
    this.bestScore = ranked.length ? this.#score[ranked[0]] : 0;
    return ranked;
  }

  /** Round a vector for the scan. */
  #roundQuery(projected: Float32Array): void {
    const { query } = this.#stored;
    let largest = 0;
    for (const x of projected) largest = Math.max(largest, Math.abs(x));
    query.fill(0);
    for (let d = 0; d < Math.min(projected.length, this.dim); d++) {
      query[d] = Math.round((QUERY_STEPS * projected[d]) / (largest || 1));
    }
  }

  #exactScore(family: number, projected: Float32Array): number {
    const { codes, width } = this.#stored;
    const dim = Math.min(projected.length, this.dim);
    let score = 0;
    for (let d = 0, at = family * width; d < dim; d++, at++) score += projected[d] * codes[at];
    return score;
  }
}

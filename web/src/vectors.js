// One code a family, in the space of its principal components: a coarse scan in integers over all, exact for the best.
import { best } from './catalog.js';
import { readColumns } from './columns.js';

const KEEP = 500, FINE = 4095, LANES = 16, TILE = 256, PAGE = 65536;

export class Vectors {
  /** @param {ArrayBuffer} buffer The file `vectors` of a site */
  constructor(buffer) {
    const c = readColumns(buffer), [full, dim, n] = c.shape, width = Math.ceil(dim / LANES) * LANES;
    this.full = full; this.dim = dim; this.n = n; this.width = width;
    this.axes = Float32Array.from(c.axes, (/** @type {number} */ x) => x / 32767);
    const memory = new WebAssembly.Memory({ initial: Math.ceil((n * (width + 4) + 2 * width) / PAGE) });
    const rows = this.rows = new Int8Array(memory.buffer, 0, n * width), codes = c.codes;
    this.query = new Int16Array(memory.buffer, n * width, width); this.coarse = new Int32Array(memory.buffer, (n + 2) * width, n);
    // Axis by axis is what packs well, row by row is what a scan reads; turned in tiles that stay in the cache.
    for (let from = 0; from < n; from += TILE) for (let d = 0, to = Math.min(n, from + TILE); d < dim; d++)
      for (let i = from, at = d * n; i < to; i++) rows[i * width + d] = codes[at + i];
    const bytes = Uint8Array.from(atob(__KERNEL__), x => x.charCodeAt(0));
    this.kernel = /** @type {any} */ (new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { memory } }).exports).scan;
    this.score = new Float32Array(n); this.all = Uint32Array.from({ length: n }, (_, i) => i); this.z = new Float32Array(dim);
  }

  /**
   * Families nearest to a vector, best first.
   * @param {Float32Array} v Vector of the query, `full` numbers
   * @param {number} k
   * @param {Uint32Array|null} among Families to look at; none: all
   */
  search(v, k, among = null) {
    if (v.length !== this.full) throw new TypeError(`a vector of ${v.length} numbers cannot be compared with this index, which has ${this.full}`);
    const { axes, z, dim, full, width, rows, query, coarse, score, n } = this, from = among ?? this.all;
    let top = 0;
    for (let d = 0; d < dim; d++) { let s = 0; for (let i = 0, a = d * full; i < full; i++) s += axes[a + i] * v[i]; z[d] = s; top = Math.max(top, Math.abs(s)); }
    for (let d = 0; d < dim; d++) query[d] = Math.round(FINE * z[d] / (top || 1));
    this.kernel(0, n * width, (n + 2) * width, n, width);
    const near = best(from, coarse, from.length, Math.max(KEEP, 2 * k));
    for (const i of near) { let s = 0; for (let d = 0, p = i * width; d < dim; d++, p++) s += z[d] * rows[p]; score[i] = s; }
    return best(near, score, near.length, k);
  }
}

// One code a family, in the space of its principal components: a scan over the leading ones, then all of them for the best.
import { best } from './catalog.js';
import { readColumns } from './columns.js';

const LEAD = 64, KEEP = 800;

export class Vectors {
  /** @param {ArrayBuffer} buffer The file `vectors` of a site */
  constructor(buffer) {
    const c = readColumns(buffer), [full, dim, n] = c.shape;
    this.full = full; this.dim = dim; this.n = n; this.lead = Math.min(LEAD, dim);
    this.axes = Float32Array.from(c.axes, (/** @type {number} */ x) => x / 32767);
    // Column by column is what packs well; row by row is what a scan reads.
    const head = this.head = new Int8Array(n * this.lead), rest = this.rest = new Int8Array(n * (dim - this.lead)), codes = c.codes;
    for (let d = 0; d < dim; d++) {
      const to = d < this.lead ? head : rest, width = d < this.lead ? this.lead : dim - this.lead, column = d < this.lead ? d : d - this.lead;
      for (let i = 0, from = d * n, at = column; i < n; i++, from++, at += width) to[at] = codes[from];
    }
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
    const { axes, z, dim, full, lead, head, rest, score } = this, rows = among ?? this.all;
    for (let d = 0; d < dim; d++) { let s = 0; for (let i = 0, a = d * full; i < full; i++) s += axes[a + i] * v[i]; z[d] = s; }
    for (let x = 0; x < rows.length; x++) {
      let a = 0, b = 0, c = 0, e = 0, p = rows[x] * lead;
      for (let d = 0; d < lead; d += 4, p += 4) { a += z[d] * head[p]; b += z[d + 1] * head[p + 1]; c += z[d + 2] * head[p + 2]; e += z[d + 3] * head[p + 3]; }
      score[rows[x]] = a + b + c + e;
    }
    const near = best(rows, score, rows.length, Math.max(KEEP, 4 * k)), width = dim - lead;
    for (const i of near) { let s = 0, p = i * width; for (let d = lead; d < dim; d++, p++) s += z[d] * rest[p]; score[i] += s; }
    return best(near, score, near.length, k);
  }
}

// The container of the site's data: four bytes of length, a JSON header, then columns, each aligned to eight bytes.
import { Corrupt } from './errors';
import { decodeObject, isObject } from './json';

const TYPES = {
  i8: Int8Array,
  u8: Uint8Array,
  i16: Int16Array,
  u16: Uint16Array,
  u32: Uint32Array,
  f32: Float32Array,
};

type NumberType = keyof typeof TYPES;
export type Numbers = Int8Array | Uint8Array | Int16Array | Uint16Array | Uint32Array | Float32Array;

interface Column {
  type: NumberType | 'text';
  length: number;
  at: number;
}

function isColumn(value: unknown): value is Column {
  if (!isObject(value) || typeof value.length !== 'number' || typeof value.at !== 'number') return false;
  return typeof value.type === 'string' && (value.type === 'text' || value.type in TYPES);
}

/** Columns of one file. Numbers are views into its buffer; text is decoded when asked for. */
export class Columns {
  readonly #buffer: ArrayBuffer;
  readonly #header = new Map<string, Column>();

  constructor(buffer: ArrayBuffer) {
    this.#buffer = buffer;
    const size = new DataView(buffer).getUint32(0, true);
    const header = decodeObject(new Uint8Array(buffer, 4, size));
    for (const [name, column] of Object.entries(header)) {
      if (!isColumn(column)) throw new Corrupt(`column ${name} has an unknown type`);
      this.#header.set(name, column);
    }
  }

  /** A text column, one text a line. */
  texts(name: string): string[] {
    const { type, at, length } = this.#column(name);
    if (type !== 'text') throw new Corrupt(`column ${name} has no text`);
    return this.#decode(at, length).split('\n');
  }

  /** A column of numbers of any type. */
  numbers(name: string): Numbers {
    const { type, at, length } = this.#column(name);
    if (type === 'text') throw new Corrupt(`column ${name} has no numbers`);
    return new TYPES[type](this.#buffer, at, length);
  }

  has(name: string): boolean {
    return this.#header.has(name);
  }

  uint8(name: string): Uint8Array {
    const column = this.numbers(name);
    if (column instanceof Uint8Array) return column;
    throw new Corrupt(`column ${name} is not uint8`);
  }

  int8(name: string): Int8Array {
    const column = this.numbers(name);
    if (column instanceof Int8Array) return column;
    throw new Corrupt(`column ${name} is not int8`);
  }

  /** Numbers that were stored in units of 1/32767. */
  fractions(name: string): Float32Array {
    return Float32Array.from(this.numbers(name), (x) => x / 32767);
  }

  #column(name: string): Column {
    const column = this.#header.get(name);
    if (!column) throw new Corrupt(`there is no column ${name}`);
    return column;
  }

  #decode(at: number, length: number): string {
    return new TextDecoder().decode(new Uint8Array(this.#buffer, at, length));
  }
}

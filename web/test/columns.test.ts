import { expect, test } from 'vitest';
import { Catalog } from '../src/engine/catalog';
import { Columns } from '../src/engine/columns';
import { Corrupt } from '../src/engine/errors';
import { parseManifest } from '../src/engine/manifest';
import { parsePins } from '../src/engine/pins';
import { decodeBase64, vectors } from './helpers';

const packed = new Columns(decodeBase64(vectors.columns.packed));

test.each(Object.entries(vectors.columns.expected))('column %s has what Python packed', (name, expected) => {
  const column = name === 'names' ? packed.texts(name) : Array.from(packed.numbers(name));
  expect(column).toEqual(expected);
});

test('a missing column or another type is an error', () => {
  expect(() => packed.texts('none')).toThrow(Corrupt);
  expect(() => packed.texts('i8')).toThrow(Corrupt);
  expect(() => packed.numbers('names')).toThrow(Corrupt);
  expect(() => packed.int8('u8')).toThrow(Corrupt);
});

test('a catalog gives back the titles, ids and categories that Python packed', () => {
  const catalog = new Catalog(new Columns(decodeBase64(vectors.catalog.packed)));
  const rows = catalog.ids.map((id, row) => ({
    id,
    title: catalog.title(row).title,
    category: catalog.categoryOf(row),
  }));
  expect(rows).toEqual(vectors.catalog.rows);
  expect(catalog.families).toBe(4);
});

test('pins are read; a value that is no row is an error', () => {
  function encode(text: string): ArrayBuffer {
    return new TextEncoder().encode(text).buffer;
  }
  expect(parsePins(encode('{"__proto__": 3, "brake": 1}')).get('__proto__')).toBe(3);
  expect(() => parsePins(encode('{"brake": "P-1"}'))).toThrow(Corrupt);
});

test('a manifest of a newer format is refused', () => {
  const manifest = { format: 2, version: 'v', files: {}, encoders: [] };
  expect(parseManifest(manifest)).toBe(manifest);
  expect(() => parseManifest({ ...manifest, format: 3 })).toThrow('reload');
  expect(() => parseManifest({ ...manifest, format: 1 })).toThrow('older than this page');
  expect(() => parseManifest([])).toThrow('no manifest');
});

const TYPES = new Map<unknown, string>([
  [Int8Array, 'i8'],
  [Uint8Array, 'u8'],
  [Int16Array, 'i16'],
  [Uint32Array, 'u32'],
]);

/** Pack numbers as the site does. */
export function packColumns(columns: Record<string, Int8Array | Uint8Array | Int16Array | Uint32Array>): ArrayBuffer {
  const HEADER = 1024;
  let at = HEADER;
  const header: Record<string, unknown> = {};
  const starts: number[] = [];
  for (const [name, column] of Object.entries(columns)) {
    header[name] = { type: TYPES.get(column.constructor), length: column.length, at };
    starts.push(at);
    at = Math.ceil((at + column.byteLength) / 8) * 8;
  }
  const packed = new Uint8Array(at);
  const head = new TextEncoder().encode(JSON.stringify(header));
  new DataView(packed.buffer).setUint32(0, head.length, true);
  packed.set(head, 4);
  Object.values(columns).forEach((column, i) => {
    packed.set(new Uint8Array(column.buffer, column.byteOffset, column.byteLength), starts[i]);
  });
  return packed.buffer;
}

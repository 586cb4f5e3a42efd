// The container the site's data comes in: four bytes of length, a JSON header, then typed arrays, each aligned to eight bytes.
const TYPES = { i8: Int8Array, u8: Uint8Array, u16: Uint16Array, i16: Int16Array, u32: Uint32Array, f32: Float32Array };

/**
 * Columns of a container. Text columns are decoded, numbers are views into `buffer`.
 * @param {ArrayBuffer} buffer
 * @returns {Record<string, any>}
 */
export function readColumns(buffer) {
  const size = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, size)));
  const out = /** @type {Record<string, any>} */ ({});
  for (const [name, c] of Object.entries(head)) {
    if (c.type === 'text') out[name] = new TextDecoder().decode(new Uint8Array(buffer, c.at, c.length)).split('\n');
    else out[name] = new (TYPES[/** @type {keyof TYPES} */(c.type)])(buffer, c.at, c.length);
  }
  return out;
}

import { Corrupt } from './errors';

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

/** Decode a JSON object from UTF-8. */
export function decodeObject(content: ArrayBuffer | Uint8Array): Record<string, unknown> {
  const value: unknown = JSON.parse(new TextDecoder().decode(content));
  if (!isObject(value)) throw new Corrupt('a JSON file has no object');
  return value;
}

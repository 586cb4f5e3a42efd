// What `site.json` says: which files make up a version of the data.
import { isObject } from './json';

/** The format that this code reads. */
export const FORMAT = 2;

export interface Part {
  sha256: string;
  /** Compressed bytes. */
  size: number;
  /** The same part with Brotli: compressed bytes, and the hash of the unpacked content. */
  br?: { size: number; unpacked_sha256: string };
}

export interface SiteFile {
  sha256: string;
  bytes: number;
  parts: Part[];
}

/** How the vectors of two encoders are blended. */
export interface Blend {
  with: string;
  weight: number;
  floor: number;
  ceiling: number;
}

export interface EncoderEntry {
  name: string;
  kind: string;
  module?: string;
  model_space: string;
  prompt: string;
  max_tokens: number;
  files: Record<string, string>;
  /** Files of vectors that this encoder needs, in order. */
  vectors: string[];
  /** The encoder with coarser numbers that this one replaces. */
  replaces?: string;
  join?: Blend;
}

export interface FusionSettings {
  rrf_k: number;
  keyword_weight: number;
}

export interface GoldenQuery {
  query: string;
  expect: string[];
}

export interface Manifest {
  format: number;
  version: string;
  name: string;
  counts: { rows: number; families: number; categories: number };
  files: Record<string, SiteFile>;
  vectors: { dim: number; model_space: string } | null;
  encoders: EncoderEntry[];
  search: FusionSettings;
  golden?: Record<string, GoldenQuery[]>;
  /** What this version runs on, while a run is making better ones. */
  live?: string;
  /** The best score that nearly all real queries reach, by encoder. */
  close?: Record<string, number | undefined>;
}

/** Check that `value` is a manifest that this code can read. */
export function isManifest(value: unknown): value is Manifest {
  if (!isObject(value) || typeof value.format !== 'number' || value.format !== FORMAT) return false;
  return typeof value.version === 'string' && isObject(value.files) && Array.isArray(value.encoders);
}

/** Read a manifest. Throws if it is none, or of another format than this code. */
export function parseManifest(value: unknown): Manifest {
  if (isManifest(value)) return value;
  if (!isObject(value) || typeof value.format !== 'number') throw new Error('site.json is no manifest');
  const isNewer = value.format > FORMAT;
  throw new Error(isNewer ? 'this page is older than its data: reload it' : 'the data is older than this page');
}

/** A file that the manifest must have. */
export function fileNamed(manifest: Manifest, name: string): SiteFile {
  if (!Object.hasOwn(manifest.files, name)) throw new Error(`site.json names no file ${name}`);
  return manifest.files[name];
}

/** Files that the keyword tier needs. */
export function keywordFiles(manifest: Manifest): SiteFile[] {
  const names = ['catalog', 'pins', 'texts'].filter((name) => name in manifest.files);
  return names.map((name) => fileNamed(manifest, name));
}

/** Names of the files that an encoder needs. Throws if it belongs to another model than the vectors. */
export function encoderFiles(manifest: Manifest, entry: EncoderEntry): string[] {
  if (entry.model_space !== manifest.vectors?.model_space)
    throw new Error(`encoder ${entry.name} and the vectors come from different models`);
  return [...Object.values(entry.files), ...entry.vectors];
}

/** Scale a vector to length 1, in place. A zero vector stays. */
export function normalize(vector: Float32Array): Float32Array {
  let squares = 0;
  for (const x of vector) squares += x * x;
  const length = Math.sqrt(squares);
  if (length > 1e-12) for (let i = 0; i < vector.length; i++) vector[i] /= length;
  return vector;
}

/** The first `dim` numbers of a vector (a Matryoshka size), scaled to length 1. */
export function truncate(vector: Float32Array, dim: number): Float32Array {
  return vector.length > dim ? normalize(vector.slice(0, dim)) : vector;
}

/** Blend the vectors of two encoders: the n-gram vector counts by how much the two agree, fully from `ceiling` on. */
export function blend(
  vector: Float32Array,
  ngram: Float32Array,
  { weight, floor, ceiling }: { weight: number; floor: number; ceiling: number },
): Float32Array {
  let cosine = 0;
  for (let i = 0; i < vector.length; i++) cosine += vector[i] * ngram[i];
  const agreement = Math.min(1, Math.max(0, (cosine - floor) / (ceiling - floor)));
  const share = weight * agreement;
  return normalize(vector.map((x, i) => x + share * ngram[i]));
}

function squaredLength(vector: Float32Array): number {
  let squares = 0;
  for (const x of vector) squares += x * x;
  return squares;
}

/** Scale a vector to length 1, in place. A zero vector stays. */
export function normalize(vector: Float32Array): Float32Array {
  const length = Math.sqrt(squaredLength(vector));
  if (length > 1e-12) for (let i = 0; i < vector.length; i++) vector[i] /= length;
  return vector;
}

/** The first `dim` numbers of a vector (a Matryoshka size), scaled to length 1. */
export function truncate(vector: Float32Array, dim: number): Float32Array {
  return vector.length > dim ? normalize(vector.slice(0, dim)) : vector;
}

/**
 * Blend the vectors of two encoders: the n-gram vector counts by how much the two agree, fully from `ceiling` on.
 * @param vector Projection of a vector of length 1 to the axes
 * @param ngram Vector of length 1 on the first of these axes
 */
export function blend(
  vector: Float32Array,
  ngram: Float32Array,
  { weight, floor, ceiling }: { weight: number; floor: number; ceiling: number },
): Float32Array {
  let cosine = 0;
  for (let i = 0; i < ngram.length; i++) cosine += vector[i] * ngram[i];
  const agreement = Math.min(1, Math.max(0, (cosine - floor) / (ceiling - floor)));
  const share = weight * agreement;
  const length = Math.sqrt(1 + 2 * share * cosine + share * share * squaredLength(ngram));
  return vector.map((x, i) => (x + share * (ngram.at(i) ?? 0)) / (length || 1));
}

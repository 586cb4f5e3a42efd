// Dot products of one query, its numbers in 16 bits, with n int8 codes of `dim` (a multiple of 16),
// 16 numbers at a time.
export function scan(codes: usize, query: usize, out: usize, n: i32, dim: i32): void {
  for (let i = 0; i < n; i++, codes += dim) {
    let sum = i32x4.splat(0);
    for (let d = 0; d < dim; d += 16) {
      const a = v128.load(codes + d), b = query + (d << 1);
      sum = i32x4.add(sum, i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_s(a), v128.load(b)));
      sum = i32x4.add(sum, i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_s(a), v128.load(b, 16)));
    }
    const first = i32x4.extract_lane(sum, 0) + i32x4.extract_lane(sum, 1);
    const second = i32x4.extract_lane(sum, 2) + i32x4.extract_lane(sum, 3);
    store<i32>(out + (i << 2), first + second);
  }
}

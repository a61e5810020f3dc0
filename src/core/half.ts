import { ClipError } from "./errors.ts";

/* Half-precision numbers are stored as their bits. bfloat16 is the upper half of a float32. */

/** float32 values of all 65,536 float16s; computed on first use. */
let values: Float32Array | undefined;

/** float16 bits as numbers; exact. */
export function decodeFloat16(bits: Uint16Array): Float32Array {
  values ??= Float32Array.from({ length: 2 ** 16 }, (_, code) => valueOf(code));
  const decoded = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) decoded[i] = values[bits[i]!]!;
  return decoded;
}

/** The nearest float16s as bits, ties to even; infinity from 65,520. */
export function encodeFloat16(numbers: Float32Array): Uint16Array {
  const words = new Uint32Array(numbers.buffer, numbers.byteOffset, numbers.length);
  const encoded = new Uint16Array(numbers.length);
  for (let i = 0; i < encoded.length; i++) encoded[i] = nearest(words[i]!);
  return encoded;
}

/**
 * {@link encodeFloat16}, checked for overflow.
 *
 * @throws {ClipError} `CLIP_CHECKPOINT` if a number overflows: an infinite weight would spoil every result.
 */
export function encodeFloat16Weights(name: string, numbers: Float32Array): Uint16Array {
  const encoded = encodeFloat16(numbers);
  for (let i = 0; i < encoded.length; i++) {
    if ((encoded[i]! & 0x7fff) !== 0x7c00 || !Number.isFinite(numbers[i]!)) continue;
    const problem = `${name} has ${numbers[i]}, beyond the half-precision limit of 65,504; keep float32`;
    throw new ClipError("CLIP_CHECKPOINT", problem);
  }
  return encoded;
}

/** bfloat16 bits as numbers; exact. */
export function decodeBfloat16(bits: Uint16Array): Float32Array {
  return new Float32Array(Uint32Array.from(bits, (code) => code << 16).buffer);
}

// 1 bit sign, 5 bits exponent with bias 15, 10 bits fraction.
function valueOf(code: number): number {
  const sign = code & 0x8000 ? -1 : 1;
  const exponent = (code >> 10) & 0x1f;
  const fraction = code & 0x3ff;
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/** From the bits of a float32: 1 bit sign, 8 bits exponent with bias 127, 23 bits fraction. */
function nearest(word: number): number {
  const sign = (word >>> 16) & 0x8000;
  const magnitude = word & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00; // NaN
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // 65,520 or more
  if (magnitude >= 0x38800000) {
    // 2⁻¹⁴ or more: 13 fraction bits are dropped. Adding just under half a unit, or half if the last kept bit is odd, rounds.
    return sign | ((magnitude + 0xfff + ((magnitude >>> 13) & 1) - 0x38000000) >>> 13);
  }
  // Subnormal, in steps of 2⁻²⁴; anything under 2⁻²⁵ rounds to zero.
  const shift = 126 - (magnitude >>> 23);
  if (shift > 24) return sign;
  const fraction = (magnitude & 0x7fffff) | 0x800000;
  const whole = fraction >>> shift;
  const rest = fraction & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  return sign | (whole + (rest > half || (rest === half && whole % 2 === 1) ? 1 : 0));
}

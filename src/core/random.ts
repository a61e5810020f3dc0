/**
 * A seeded generator (sfc32): the same key gives the same numbers on every machine.
 *
 * The key may have several parts: a sample's augmentation depends only on (seed, epoch, sample), not on the order of
 * the samples.
 */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;
  #spareNormal: number | undefined;

  constructor(...key: readonly number[]) {
    // FNV-1a over the parts' words, then 12 mixing rounds: similar keys give unrelated streams.
    let hash = 0x811c9dc5;
    const words = key.flatMap((part) => [part >>> 0, Math.floor(part / 2 ** 32) >>> 0]);
    for (const word of words) hash = Math.imul(hash ^ word, 0x01000193) ^ (hash >>> 15);
    this.#a = hash | 0;
    this.#b = Math.imul(hash, 0x9e3779b1) | 0;
    this.#c = words.reduce((sum, word, i) => (sum + Math.imul(word + 1, 2 * i + 0x85ebca6b)) | 0, 0x5eed);
    for (let i = 0; i < 12; i++) this.uint32();
  }

  /** Uniform integer in [0, 2³²). */
  uint32(): number {
    const sum = (this.#a + this.#b + this.#counter++) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
    this.#c |= 0;
    return sum >>> 0;
  }

  /** Uniform number in [low, high). */
  uniform(low = 0, high = 1): number {
    const unit = (this.uint32() * 2 ** 21 + (this.uint32() >>> 11)) / 2 ** 53;
    return low + (high - low) * unit;
  }

  /** Uniform integer in [0, bound). */
  integer(bound: number): number {
    return Math.floor(this.uniform() * bound);
  }

  /** Standard normal number (Marsaglia's polar method). */
  normal(): number {
    if (this.#spareNormal !== undefined) {
      const spare = this.#spareNormal;
      this.#spareNormal = undefined;
      return spare;
    }
    for (;;) {
      const x = this.uniform(-1, 1);
      const y = this.uniform(-1, 1);
      const square = x * x + y * y;
      if (square > 0 && square < 1) {
        const scale = Math.sqrt((-2 * Math.log(square)) / square);
        this.#spareNormal = y * scale;
        return x * scale;
      }
    }
  }

  /** The integers 0 … count − 1 in random order (Fisher–Yates). */
  permutation(count: number): Uint32Array {
    const order = Uint32Array.from({ length: count }, (_, i) => i);
    for (let i = count - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      [order[i], order[j]] = [order[j]!, order[i]!];
    }
    return order;
  }
}

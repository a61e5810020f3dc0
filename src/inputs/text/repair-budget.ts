/**
 * How many characters may still be read. One repair undoes what hid the next, and a text can be made of which each round
 * repairs one place: the rounds of a short text are as many as it takes, those of a long one bounded.
 */
export class Work {
  #left: number;

  /** @param length - of the text: a million characters, and 32 readings of it. */
  constructor(length: number) {
    this.#left = 2 ** 20 + 32 * length;
  }

  /** Whether there was enough left for a reading of so many characters. */
  take(characters: number): boolean {
    this.#left -= characters;
    return this.#left >= 0;
  }
}

/**
 * Bounds the characters read by repeated repairs: a hostile text may need one round per place. Short texts get enough
 * rounds for any damage, long ones a limited number.
 */
export class RepairBudget {
  #left: number;

  /** @param length - length of the text; the budget is a million characters plus 32 readings. */
  constructor(length: number) {
    this.#left = 2 ** 20 + 32 * length;
  }

  /** Spends characters; false if the budget is exceeded. */
  take(characters: number): boolean {
    this.#left -= characters;
    return this.#left >= 0;
  }
}

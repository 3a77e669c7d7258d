/**
 * Waiting times between attempts, with full jitter: a random time between 0 and a bound that doubles at each failure.
 * (Spreads a crowd that was cut off at the same moment better than any fixed share of jitter does.)
 */
export class Backoff {
  #failures = 0;
  readonly #base: number;
  readonly #cap: number;
  readonly #random: () => number;

  /** `base`: the first bound, ms. `cap`: the highest, ms. `random`: 0 ≤ r < 1. */
  constructor(base = 500, cap = 30_000, random: () => number = Math.random) {
    this.#base = base;
    this.#cap = cap;
    this.#random = random;
  }

  /** The next waiting time, ms; counts as a failure. */
  next(): number {
    const bound = Math.min(this.#cap, this.#base * 2 ** Math.min(this.#failures, 30));
    this.#failures += 1;
    return Math.floor(this.#random() * bound);
  }

  /** It worked: begin small again. */
  reset(): void {
    this.#failures = 0;
  }
}

/** Change notification without a framework: listeners are called in the order they came, an error stops none. */
export class Signal<Arguments extends unknown[] = []> {
  readonly #listeners = new Set<(...given: Arguments) => void>();

  /** Returns the function that ends it. */
  on(listener: (...given: Arguments) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  tell(...given: Arguments): void {
    for (const listener of [...this.#listeners]) {
      try {
        listener(...given);
      } catch (error) {
        // One bad listener must not cut the others off; the page's own error reporting sees it.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}

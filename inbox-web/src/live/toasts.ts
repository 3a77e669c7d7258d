// Short words about what was just done, with a way back; and, louder, about what was refused.

import { Signal } from '../../../gateway/client/src/signal.ts';

export type Toast = {
  readonly id: number;
  readonly tone: 'done' | 'bad';
  readonly words: string;
  readonly action?: { readonly words: string; readonly act: () => void };
};

/** Long enough to read two lines and reach for "Undo". */
const DONE_MS = 6_000;
/** A refusal stays until it can hardly have been missed. */
const BAD_MS = 15_000;

export class Toasts {
  readonly changed = new Signal();
  shown: readonly Toast[] = [];
  #next = 1;

  /** Said of the last act only: an earlier "Undo" would take back something else. */
  done(words: string, action?: Toast['action']): void {
    this.shown = this.shown.filter((toast) => toast.tone === 'bad');
    this.#show({ id: this.#next, tone: 'done', words, ...(action === undefined ? {} : { action }) }, DONE_MS);
  }

  bad(words: string): void {
    this.#show({ id: this.#next, tone: 'bad', words }, BAD_MS);
  }

  dismiss(id: number): void {
    this.shown = this.shown.filter((toast) => toast.id !== id);
    this.changed.tell();
  }

  #show(toast: Toast, forMs: number): void {
    this.#next += 1;
    this.shown = [...this.shown, toast].slice(-3);
    this.changed.tell();
    setTimeout(() => this.dismiss(toast.id), forMs);
  }
}

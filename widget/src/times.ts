/** Times as a reader wants them: the clock today, the weekday this week, else the date; exact on hover. */
export class Times {
  readonly #locale: string;
  readonly #formats = new Map<string, Intl.DateTimeFormat>();

  constructor(locale: string) {
    this.#locale = locale;
  }

  short(at: number, now = Date.now()): string {
    const clock: Intl.DateTimeFormatOptions = { hour: 'numeric', minute: '2-digit' };
    const days = Math.round((new Date(now).setHours(12, 0) - new Date(at).setHours(12, 0)) / 86_400_000);
    if (days === 0) return this.#format(clock, at);
    if (days > 0 && days < 7) return this.#format({ weekday: 'short', ...clock }, at);
    return this.#format({ dateStyle: 'medium', timeStyle: 'short' }, at);
  }

  exact(at: number): string {
    return this.#format({ dateStyle: 'full', timeStyle: 'medium' }, at);
  }

  #format(options: Intl.DateTimeFormatOptions, at: number): string {
    const key = JSON.stringify(options);
    let format = this.#formats.get(key);
    if (!format) {
      // The reader's own conventions (12 or 24 hours) where the language is theirs as well.
      const own = navigator.language.startsWith(this.#locale) ? navigator.language : this.#locale;
      format = new Intl.DateTimeFormat(own, options);
      this.#formats.set(key, format);
    }
    return format.format(at);
  }
}

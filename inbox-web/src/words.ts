// Which language the page speaks, and how its words are filled in. One catalogue is loaded; English is always there.

import { preference } from './preferences.ts';
import { type Catalogue, en, type Plural, type WordKey } from './words/en.ts';

export const LANGUAGES = { en: 'English', de: 'Deutsch', ar: 'العربية' } as const;
export type Language = keyof typeof LANGUAGES;

let language: Language = 'en';
let catalogue: Catalogue = en;
let plurals = new Intl.PluralRules('en');

/** The language in use; also the locale for dates and numbers. */
export function locale(): Language {
  return language;
}

/** Whether the page reads from right to left. */
export function rightToLeft(): boolean {
  return language === 'ar';
}

/** What was chosen in the settings, else the first of the browser's languages that there is, else English. */
export function wantedLanguage(): Language {
  const chosen = preference('language');
  const wanted = chosen === undefined ? navigator.languages : [chosen];
  for (const tag of wanted) {
    const base = tag.slice(0, 2).toLowerCase();
    if (base in LANGUAGES) return base as Language;
  }
  return 'en';
}

/** Loads a catalogue and turns the page to it. */
export async function speak(next: Language): Promise<void> {
  catalogue =
    next === 'de' ? (await import('./words/de.ts')).de : next === 'ar' ? (await import('./words/ar.ts')).ar : en;
  setCatalogue(next, catalogue);
  document.documentElement.lang = next;
  document.documentElement.dir = rightToLeft() ? 'rtl' : 'ltr';
}

/** Sets the words without touching a page: for tests. */
export function setCatalogue(next: Language, words: Catalogue): void {
  language = next;
  catalogue = words;
  plurals = new Intl.PluralRules(next);
}

const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/;

/**
 * A name inside a sentence must not turn the words around it, so it stands in a first-strong isolate (UAX #9).
 * Left-to-right text in a left-to-right sentence needs none.
 */
function isolate(value: string): string {
  return rightToLeft() || RIGHT_TO_LEFT.test(value) ? `\u2068${value}\u2069` : value;
}

export type { WordKey };

export type Fill = Readonly<Record<string, string | number>>;

/** The words for `key`, with `{name}` replaced from `fill`; `n` decides the plural form and is shown in digits. */
export function t(key: WordKey, fill?: Fill): string {
  const entry: string | Plural = catalogue[key];
  let text: string;
  if (typeof entry === 'string') text = entry;
  else text = entry[plurals.select(Number(fill?.n ?? 0))] ?? entry.other;
  if (fill === undefined) return text;
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => {
    const value = fill[name];
    if (value === undefined) return whole;
    return typeof value === 'number' ? count(value) : isolate(value);
  });
}

/** A number as this language writes it, with Western digits, which every pane's columns are made for. */
export function count(value: number): string {
  return new Intl.NumberFormat(language, { numberingSystem: 'latn' }).format(value);
}

// Times as people read them: relative while recent, exact on hover. `now` is an argument, so that it can be tested and
// so that the server's clock can be used.

import { count, locale, t } from './words.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** A visitor who waits longer than this is shown as soon late. */
export const SOON_MS = 2 * MINUTE;
/** A visitor who waits longer than this is shown as late. */
export const LATE_MS = 5 * MINUTE;

export type Urgency = 'fresh' | 'soon' | 'late';

/** How urgent a wait of that many milliseconds is. */
export function urgency(waited: number): Urgency {
  return waited >= LATE_MS ? 'late' : waited >= SOON_MS ? 'soon' : 'fresh';
}

function two(value: number): string {
  return value < 10 ? `0${value}` : String(value);
}

/** A wait: "0:21", "4:12", "1 h 05", "3 d". A clock that runs ahead of the server's shows 0:00, never less. */
export function waited(ms: number): string {
  const span = Math.max(0, ms);
  if (span < HOUR) return `${Math.floor(span / MINUTE)}:${two(Math.floor((span % MINUTE) / 1000))}`;
  if (span < DAY)
    return t('time.hours', { h: count(Math.floor(span / HOUR)), m: two(Math.floor((span % HOUR) / MINUTE)) });
  return t('time.days', { n: Math.floor(span / DAY) });
}

// Making a formatter costs about 50 µs; a list of them is asked for at every row.
const formatters = new Map<string, Intl.DateTimeFormat>();

function format(at: number, options: Intl.DateTimeFormatOptions): string {
  const key = `${locale()}${JSON.stringify(options)}`;
  let formatter = formatters.get(key);
  if (formatter === undefined) {
    formatter = new Intl.DateTimeFormat(locale() === 'en' ? undefined : locale(), {
      numberingSystem: 'latn',
      ...options,
    });
    formatters.set(key, formatter);
  }
  return formatter.format(at);
}

/** Hours and minutes as the language writes them: 8:30 PM, 20:30. */
export function clock(at: number): string {
  return format(at, { hour: 'numeric', minute: '2-digit' });
}

function midnight(at: number): number {
  const day = new Date(at);
  day.setHours(0, 0, 0, 0);
  return day.getTime();
}

/** How many midnights lie between two times; noon is used so that a change of the clocks does not count as a day. */
function daysBetween(earlier: number, later: number): number {
  return Math.round((midnight(later) - midnight(earlier)) / DAY);
}

/** For a list: the clock today, the weekday within a week, else the date. */
export function brief(at: number, now: number): string {
  const days = daysBetween(at, now);
  if (days <= 0) return clock(at);
  if (days < 7) return format(at, { weekday: 'short' });
  return date(at, now);
}

/** A day: "Today", "Yesterday", "3 Nov", "3 Nov 2025". */
export function day(at: number, now: number): string {
  const days = daysBetween(at, now);
  if (days <= 0) return t('time.today');
  if (days === 1) return t('time.yesterday');
  return date(at, now);
}

/** A date, without a time: "3 Nov", with the year if it is another. */
export function date(at: number, now: number): string {
  const year = new Date(at).getFullYear() !== new Date(now).getFullYear();
  return format(at, year ? { day: 'numeric', month: 'short', year: 'numeric' } : { day: 'numeric', month: 'short' });
}

/** The exact time, for hovering and for screen readers. */
export function exact(at: number): string {
  return format(at, { dateStyle: 'full', timeStyle: 'medium' });
}

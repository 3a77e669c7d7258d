// What this browser remembers for its user. Storage may be forbidden or full: then a preference lasts for the page.

const KEY = 'bellhop.inbox.preferences';

export type Preferences = {
  /** "en", "de" or "ar"; absent: as the browser says. */
  language?: string;
  sound?: 'on' | 'off';
  /** "on" only with the browser's permission. */
  notify?: 'on' | 'off';
  /** Whether the offer to notify was answered; it is made once. */
  offered?: 'yes';
  details?: 'open' | 'closed';
  view?: string;
  /** Whether letters, digits and `?` are commands (WCAG 2.1.4); absent: they are. */
  singles?: 'on' | 'off';
};

let held: Preferences | undefined;
const listeners = new Set<() => void>();

function all(): Preferences {
  if (held === undefined) {
    try {
      const read: unknown = JSON.parse(localStorage.getItem(KEY) ?? '{}');
      held = typeof read === 'object' && read !== null ? (read as Preferences) : {};
    } catch {
      held = {};
    }
  }
  return held;
}

/** One preference, or `undefined` if nothing was chosen. */
export function preference<K extends keyof Preferences>(name: K): Preferences[K] {
  return all()[name];
}

/** Remembers one preference. */
export function prefer<K extends keyof Preferences>(name: K, value: Preferences[K]): void {
  held = { ...all(), [name]: value };
  try {
    localStorage.setItem(KEY, JSON.stringify(held));
  } catch {
    // Forbidden or full: it holds until the page goes.
  }
  for (const listener of listeners) listener();
}

/** Calls back after each change; returns how to stop. */
export function onPreference(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** The present preferences; the same object until one changes. */
export function preferences(): Preferences {
  return all();
}

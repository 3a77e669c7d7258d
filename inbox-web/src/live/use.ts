// React's side of what is alive.

import { createContext, useContext, useEffect, useState, useSyncExternalStore } from 'react';
import type { Signal } from '../../../gateway/client/src/signal.ts';
import type { Live } from './live.ts';

export const LiveContext = createContext<Live | null>(null);

/** What is alive; only for parts that are shown while logged in. */
export function useLive(): Live {
  const live = useContext(LiveContext);
  if (live === null) throw new Error('shown without a log-in');
  return live;
}

type Counted = { count: number; subscribe: (listener: () => void) => () => void };
const versions = new WeakMap<Signal, Counted>();

/** Counts a signal's calls for as long as the signal lives. */
function version(signal: Signal): Counted {
  let have = versions.get(signal);
  if (have === undefined) {
    const made = { count: 0, subscribe: (listener: () => void) => signal.on(listener) };
    signal.on(() => {
      made.count += 1;
    });
    versions.set(signal, made);
    have = made;
  }
  return have;
}

/** Renders again after each call of the signal. */
export function useSignal(signal: Signal): number {
  const counted = version(signal);
  return useSyncExternalStore(counted.subscribe, () => counted.count);
}

const ticking = new Set<() => void>();
let ticker: ReturnType<typeof setInterval> | undefined;

/** The time, by the server's clock, once a second; one timer for all waiting times on the page. */
export function useNow(live: Live): number {
  const [now, setNow] = useState(() => live.now());
  useEffect(() => {
    const tick = () => setNow(live.now());
    ticking.add(tick);
    ticker ??= setInterval(() => {
      if (document.visibilityState === 'visible') for (const each of ticking) each();
    }, 1_000);
    return () => {
      ticking.delete(tick);
      if (ticking.size === 0 && ticker !== undefined) {
        clearInterval(ticker);
        ticker = undefined;
      }
    };
  }, [live]);
  return now;
}

/** Whether a media query holds. */
export function useMedia(query: string): boolean {
  return useSyncExternalStore(
    (listener) => {
      const media = matchMedia(query);
      media.addEventListener('change', listener);
      return () => media.removeEventListener('change', listener);
    },
    () => matchMedia(query).matches,
  );
}

// Which page is shown: the path alone says it. Tokens stand in the fragment and are read once by their page.

import { useSyncExternalStore } from 'react';

const listeners = new Set<() => void>();

function announce(): void {
  for (const listener of listeners) listener();
}

/** Goes to a path of this app, without a load. */
export function go(path: string, how: 'push' | 'replace' = 'push'): void {
  if (path === location.pathname + location.search) return;
  if (how === 'push') history.pushState(null, '', path);
  else history.replaceState(null, '', path);
  announce();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  addEventListener('popstate', listener);
  return () => {
    listeners.delete(listener);
    removeEventListener('popstate', listener);
  };
}

/** The path of the page, kept up to date. */
export function usePath(): string {
  return useSyncExternalStore(subscribe, () => location.pathname);
}

/** The token of a link. It stands in the fragment, which no server and no referrer ever sees. */
export function linkToken(): string {
  return location.hash.slice(1);
}

/** The link is used up: its token leaves the address, so that it does not stay in the history. */
export function dropToken(): void {
  if (location.hash !== '') history.replaceState(null, '', location.pathname);
}

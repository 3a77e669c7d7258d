// A keycap. For eyes only: buttons tell their key to assistive technology by aria-keyshortcuts.

import { useSyncExternalStore } from 'react';
import { onPreference, preference } from '../preferences.ts';
import { apple, COMMANDS, type CommandId, keycap, keysOf } from './commands.ts';

export const ON_APPLE = typeof navigator !== 'undefined' && apple(navigator.platform);

/** Whether single-key shortcuts are on, as the agent chose in the settings. */
export function singles(): boolean {
  return preference('singles') !== 'off';
}

export function useSingles(): boolean {
  return useSyncExternalStore(onPreference, singles);
}

/** The first key of a command that works now; none, when it has none. */
export function useKeyOf(id: CommandId): string | undefined {
  const on = useSingles();
  const command = COMMANDS.find((one) => one.id === id);
  return command === undefined ? undefined : keysOf(command, on)[0];
}

export function Kbd({ of }: { of: CommandId }) {
  const key = useKeyOf(of);
  return key === undefined ? null : <Key name={key} />;
}

export function Key({ name }: { name: string }) {
  return (
    <span aria-hidden="true" className="key">
      {keycap(name, ON_APPLE)}
    </span>
  );
}

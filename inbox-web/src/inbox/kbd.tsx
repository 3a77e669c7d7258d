// A keycap. For eyes only: buttons tell their key to assistive technology by aria-keyshortcuts.

import { apple, COMMANDS, type CommandId, keycap } from './commands.ts';

export const ON_APPLE = typeof navigator !== 'undefined' && apple(navigator.platform);

export function Kbd({ of }: { of: CommandId }) {
  const key = COMMANDS.find((command) => command.id === of)?.keys[0];
  return key === undefined ? null : <Key name={key} />;
}

export function Key({ name }: { name: string }) {
  return (
    <span aria-hidden="true" className="key">
      {keycap(name, ON_APPLE)}
    </span>
  );
}

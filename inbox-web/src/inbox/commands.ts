// Every command of the inbox with its keys: the palette, the `?` page, the buttons and the keyboard read this one table.

import type { WordKey } from '../words/en.ts';

export type CommandId =
  | 'palette'
  | 'next'
  | 'previous'
  | 'reply'
  | 'note'
  | 'assign'
  | 'take'
  | 'resolve'
  | 'undo'
  | 'details'
  | 'mine'
  | 'unassigned'
  | 'open'
  | 'resolved'
  | 'help'
  | 'available'
  | 'settings'
  | 'logout';

export type Command = {
  readonly id: CommandId;
  readonly words: WordKey;
  /** As `KeyboardEvent.key`; "Mod+" is Control, and Command on Apple's. Empty: palette and pointer only. */
  readonly keys: readonly string[];
  readonly group: 'move' | 'act' | 'more';
};

export const COMMANDS: readonly Command[] = [
  { id: 'next', words: 'cmd.next', keys: ['j', 'ArrowDown'], group: 'move' },
  { id: 'previous', words: 'cmd.previous', keys: ['k', 'ArrowUp'], group: 'move' },
  { id: 'mine', words: 'cmd.view.mine', keys: ['1'], group: 'move' },
  { id: 'unassigned', words: 'cmd.view.unassigned', keys: ['2'], group: 'move' },
  { id: 'open', words: 'cmd.view.open', keys: ['3'], group: 'move' },
  { id: 'resolved', words: 'cmd.view.resolved', keys: ['4'], group: 'move' },
  { id: 'reply', words: 'cmd.reply', keys: ['r'], group: 'act' },
  { id: 'note', words: 'cmd.note', keys: ['n'], group: 'act' },
  { id: 'assign', words: 'cmd.assign', keys: ['a'], group: 'act' },
  { id: 'take', words: 'cmd.take', keys: ['t'], group: 'act' },
  { id: 'resolve', words: 'cmd.resolve', keys: ['e'], group: 'act' },
  { id: 'undo', words: 'cmd.undo', keys: ['z'], group: 'act' },
  { id: 'palette', words: 'cmd.palette', keys: ['Mod+k'], group: 'more' },
  { id: 'help', words: 'cmd.help', keys: ['?'], group: 'more' },
  { id: 'details', words: 'cmd.details', keys: ['d'], group: 'more' },
  { id: 'available', words: 'cmd.available', keys: [], group: 'more' },
  { id: 'settings', words: 'cmd.settings', keys: [], group: 'more' },
  { id: 'logout', words: 'cmd.logout', keys: [], group: 'more' },
];

export type Pressed = {
  readonly key: string;
  /** The place of the key, for layouts whose letters are not Latin. */
  readonly code: string;
  readonly ctrlKey: boolean;
  readonly metaKey: boolean;
  readonly altKey: boolean;
  /** True while an input method composes. */
  readonly isComposing: boolean;
  /** Where the key was pressed: plain keys belong to a field, arrows to what they scroll. */
  readonly place: 'page' | 'field' | 'scroller' | 'dialog';
};

/** The keys of a command that work: without single-key shortcuts, no letter, digit or mark is one by itself. */
export function keysOf(command: Command, singles: boolean): readonly string[] {
  return singles ? command.keys : command.keys.filter((key) => key.length > 1);
}

/** Which command a key asks for, if any. `singles` tells whether single-key shortcuts are on. */
export function commandOf(pressed: Pressed, singles = true): CommandId | undefined {
  if (pressed.isComposing || pressed.altKey) return undefined;
  const mod = pressed.ctrlKey || pressed.metaKey;
  if (!mod && (pressed.place === 'field' || pressed.place === 'dialog')) return undefined;
  if (!mod && pressed.place === 'scroller' && pressed.key.startsWith('Arrow')) return undefined;
  const key = `${mod ? 'Mod+' : ''}${plain(pressed)}`;
  return COMMANDS.find((command) => keysOf(command, singles).includes(key))?.id;
}

/** The letter on a Latin keyboard at that place, when the layout writes another script; else what was typed. */
function plain({ key, code }: Pressed): string {
  if (key.length > 1) return key;
  if (/^[\x20-\x7e]$/.test(key)) return key.toLowerCase();
  if (/^Key[A-Z]$/.test(code)) return code.slice(3).toLowerCase();
  if (/^Digit[0-9]$/.test(code)) return code.slice(5);
  return key;
}

/** Whether the keyboard is likely Apple's. */
export function apple(platform: string): boolean {
  return /mac|iphone|ipad/i.test(platform);
}

const SHOWN: Readonly<Record<string, string>> = { ArrowDown: '↓', ArrowUp: '↑', Enter: '↵', Escape: 'Esc' };

/** A key as it stands on a keycap. */
export function keycap(key: string, onApple: boolean): string {
  if (key.startsWith('Shift+')) return `${onApple ? '⇧' : 'Shift '}${keycap(key.slice(6), onApple)}`;
  if (key.startsWith('Mod+')) return `${onApple ? '⌘' : 'Ctrl '}${keycap(key.slice(4), onApple)}`;
  return SHOWN[key] ?? key.toUpperCase();
}

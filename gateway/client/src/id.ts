import type { Id } from './protocol.ts';

/** A fresh id for a command: 16 random bytes as 32 lower-case hexadecimal digits. */
export function newId(): Id {
  let text = '';
  for (const byte of crypto.getRandomValues(new Uint8Array(16))) text += byte.toString(16).padStart(2, '0');
  return text;
}

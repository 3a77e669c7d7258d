import { h } from 'preact';
import { avatarColour, initials } from '../../gateway/client/src/avatar.ts';
import type { Face } from '../../gateway/client/src/protocol.ts';

/** A round with two letters. The name stands beside it wherever it carries meaning, so it is not read out. */
export function Avatar({ face }: { face: Face }) {
  return (
    <span class="avatar" aria-hidden="true" style={{ background: avatarColour(face.id) }}>
      {initials(face.name)}
    </span>
  );
}

export function Icon({ d }: { d: string }) {
  return (
    <svg viewBox="0 0 24 24" aria-hidden="true">
      <path d={d} />
    </svg>
  );
}

/** The name by which one speaks of somebody: the first word. */
export const firstName = (name: string): string => name.split(' ')[0] as string;

import type { Id } from './protocol.ts';

/**
 * The ground of someone's avatar: one of 12 hues that follows from the id, at a lightness on which white letters have
 * at least 4.5:1 (OKLCH lightness 0.5 keeps all hues alike and above it).
 */
export function avatarColour(id: Id): string {
  return `oklch(0.5 0.09 ${(Number.parseInt(id.slice(-4), 16) % 12) * 30})`;
}

/** At most two letters for an avatar, from the first and the last word of the name. */
export function initials(name: string): string {
  const words = name.trim().split(/\s+/);
  const letters = [words[0], words.length > 1 ? words.at(-1) : ''].map((word) => [...(word ?? '')][0] ?? '');
  return letters.join('').toUpperCase() || '?';
}

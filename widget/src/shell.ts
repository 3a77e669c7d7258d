import type { Face, Id, Team } from '../../gateway/client/src/protocol.ts';

/** Answer of `GET /api/v1/widget/{workspace}`. */
export interface Config {
  workspace: Face;
  greeting: string;
  accent: string;
  accent_text: string;
  position: 'left' | 'right';
  team: Team;
}

/** What the loader hands to the widget when it is needed. */
export interface Shell {
  /** Where Bellhop is: the loader's own address. */
  base: string;
  workspace: Id;
  config: Config;
  host: HTMLElement;
  root: ShadowRoot;
  bubble: HTMLButtonElement;
  badge: HTMLElement;
}

/** What the widget hands back. */
export interface Chat {
  /** `focus`: whether a person asked for it, so that the composer may take the focus. */
  open(focus: boolean): void;
  close(): void;
}

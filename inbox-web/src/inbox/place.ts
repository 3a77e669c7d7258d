// Which list and conversation a path means.

import type { Id, View } from '../../../gateway/client/src/protocol.ts';

export const VIEWS: readonly View[] = ['mine', 'unassigned', 'open', 'resolved'];

/** Reads /inbox/<view>/<conversation>; a path without a view shows the list that was last looked at. */
export function placeOf(path: string, last: string | undefined): { view: View; id: Id | undefined } {
  const [, , first, second] = path.split('/');
  const known = (text: string | undefined): text is View => VIEWS.some((view) => view === text);
  const whole = (text: string | undefined) => (text !== undefined && /^[0-9a-f]{32}$/.test(text) ? text : undefined);
  if (known(first)) return { view: first, id: whole(second) };
  const id = whole(first);
  return { view: id !== undefined ? 'open' : known(last) ? last : 'mine', id };
}

// Shows the part of a long column that can be seen. Heights differ and are known only once drawn, so the place is held
// by an anchor (the first item in view and where it stood), or by the end: what is measured, inserted above or resized
// never moves what is being read.

import { type RefObject, useCallback, useEffect, useLayoutEffect, useReducer, useRef } from 'react';

/** Drawn beyond the edges, px: about what a quick wheel turn moves between two frames. */
const BEYOND = 700;
/** Nearer to the end than this counts as being there, px. */
const NEAR_END = 32;

export type Windowed = {
  scroller: RefObject<HTMLDivElement | null>;
  inner: RefObject<HTMLDivElement | null>;
  /** The items to draw, end exclusive; each must carry `data-key`. */
  first: number;
  last: number;
  /** Heights of what is not drawn, px. */
  above: number;
  below: number;
  onScroll: () => void;
  /** Goes to the newest and stays there. */
  toEnd: () => void;
};

type Options = {
  keys: readonly string[];
  /** A guess for what was never drawn, px. */
  guess: (index: number) => number;
  /** After each movement: whether the end is in view, and how far the top is, px. */
  moved: (atEnd: boolean, fromTop: number) => void;
};

/** The first drawn item that is in view, and where it stands. */
function seenIn(box: HTMLElement, column: HTMLElement): { key: string; offset: number } | null {
  for (const child of column.children) {
    if (!(child instanceof HTMLElement) || child.dataset.key === undefined) continue;
    if (child.offsetTop + child.offsetHeight <= box.scrollTop) continue;
    if (child.offsetTop >= box.scrollTop + box.clientHeight) return null;
    return { key: child.dataset.key, offset: child.offsetTop - box.scrollTop };
  }
  return null;
}

export function useWindowed({ keys, guess, moved }: Options): Windowed {
  const scroller = useRef<HTMLDivElement>(null);
  const inner = useRef<HTMLDivElement>(null);
  const heights = useRef(new Map<string, number>());
  const anchor = useRef<{ key: string; offset: number } | null>(null);
  const drawn = useRef({ first: 0, last: 0 });
  const viewport = useRef(900);
  /** Where this left the column. A place that differs is a movement whose event has not come yet. */
  const left = useRef({ top: 0, height: 0 });
  const [, draw] = useReducer((count: number) => count + 1, 0);

  const height = (index: number) => heights.current.get(keys[index] ?? '') ?? guess(index);

  const range = () => {
    const at = anchor.current === null ? -1 : keys.indexOf(anchor.current.key);
    let first: number;
    let last: number;
    if (at < 0) {
      anchor.current = null;
      last = keys.length;
      first = last;
      for (let room = viewport.current + BEYOND; first > 0 && room > 0; ) {
        first -= 1;
        room -= height(first);
      }
    } else {
      first = at;
      for (let room = BEYOND; first > 0 && room > 0; ) {
        first -= 1;
        room -= height(first);
      }
      last = at;
      for (let room = viewport.current + BEYOND; last < keys.length && room > 0; last += 1) room -= height(last);
    }
    return { first, last };
  };

  const { first, last } = range();
  drawn.current = { first, last };
  let above = 0;
  for (let index = 0; index < first; index += 1) above += height(index);
  let below = 0;
  for (let index = last; index < keys.length; index += 1) below += height(index);

  /** Measures what is drawn and puts the place back. */
  const settle = useCallback(() => {
    const box = scroller.current;
    const column = inner.current;
    if (box === null || column === null) return;
    const moved = box.scrollTop - left.current.top;
    if (moved !== 0) {
      if (anchor.current !== null) anchor.current.offset -= moved;
      // At the end, a shorter column moves by itself; only a reader moves up in one that did not shrink.
      else if (moved < 0 && box.scrollHeight >= left.current.height) anchor.current = seenIn(box, column);
    }
    let held: HTMLElement | undefined;
    for (const child of column.children) {
      if (!(child instanceof HTMLElement)) continue;
      const { key } = child.dataset;
      if (key === undefined) continue;
      heights.current.set(key, child.getBoundingClientRect().height);
      if (key === anchor.current?.key) held = child;
    }
    const place =
      anchor.current === null || held === undefined
        ? box.scrollHeight - box.clientHeight
        : held.offsetTop - anchor.current.offset;
    if (Math.abs(box.scrollTop - place) >= 1) box.scrollTop = place;
    left.current = { top: box.scrollTop, height: box.scrollHeight };
  }, []);

  useLayoutEffect(settle);

  const onScroll = () => {
    const box = scroller.current;
    const column = inner.current;
    if (box === null || column === null) return;
    const { scrollTop } = box;
    left.current = { top: scrollTop, height: box.scrollHeight };
    const atEnd = box.scrollHeight - scrollTop - box.clientHeight <= NEAR_END && drawn.current.last === keys.length;
    if (atEnd) anchor.current = null;
    else {
      const seen = seenIn(box, column);
      if (seen !== null) anchor.current = seen;
      else {
        // Dragged to where nothing is drawn yet: found by what the heights are thought to be.
        let top = 0;
        for (let index = 0; index < keys.length; index += 1) {
          const next = top + height(index);
          if (next > scrollTop || index === keys.length - 1) {
            anchor.current = { key: keys[index] ?? '', offset: top - scrollTop };
            break;
          }
          top = next;
        }
      }
    }
    const now = range();
    if (now.first !== drawn.current.first || now.last !== drawn.current.last) draw();
    moved(atEnd, scrollTop);
  };

  useEffect(() => {
    const box = scroller.current;
    const column = inner.current;
    if (box === null || column === null) return;
    const observer = new ResizeObserver(() => {
      if (box.clientHeight !== viewport.current) {
        viewport.current = box.clientHeight;
        draw();
      }
      settle();
    });
    observer.observe(box);
    observer.observe(column);
    return () => observer.disconnect();
  }, [settle]);

  const toEnd = useCallback(() => {
    anchor.current = null;
    draw();
  }, []);

  return { scroller, inner, first, last, above, below, onScroll, toEnd };
}

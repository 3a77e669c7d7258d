import { h, render } from 'preact';
import { part } from './part.ts';
import type { Chat, Shell } from './shell.ts';
import { type Talk, Visitor } from './visitor.ts';
import css from './widget.css';
import { Window } from './window.tsx';
import type { Words } from './words/en.ts';

// For the lazy parts (build.mjs).
export { Component, h } from 'preact';
export { newId } from '../../gateway/client/src/id.ts';
export { Signal } from '../../gateway/client/src/signal.ts';
export * from './avatar.tsx';
export * from './opening.tsx';

/** Called by the loader, once. */
export function mount({ base, workspace, config, host, root, bubble, badge }: Shell, words: Words): Chat {
  const adopted = new Set<string>();
  const adopt = (text: string): void => {
    if (adopted.has(text)) return;
    adopted.add(text);
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(text);
    root.adoptedStyleSheets.push(sheet);
  };
  adopt(css);
  // The tokens hold for Bellhop's own colour; a sheet of its own carries another one through.
  // tidy(colours from tokens.css): compared with what the server says, never painted
  if (config.accent !== '#0f5c63') void part<{ css: string }>('custom').then((custom) => adopt(custom.css));

  const visitor = new Visitor(base, workspace, config, async () => {
    const talk = await part<Talk>('talk');
    adopt(talk.css);
    return talk;
  });
  const room = document.createElement('div');
  root.append(room);
  let shown = false;
  let drawing = false;

  const remember = (open: boolean): void => {
    try {
      if (open) sessionStorage.setItem(`bellhop.${workspace}.open`, '1');
      else sessionStorage.removeItem(`bellhop.${workspace}.open`);
    } catch {
      // Blocked storage: the window is closed again after the next page.
    }
  };

  const draw = (): void => {
    drawing = false;
    const { unread } = visitor;
    badge.textContent = shown || !unread ? '' : unread > 99 ? '99+' : String(unread);
    bubble.ariaLabel = unread ? words.openUnread(unread) : words.open;
    bubble.hidden = shown;
    render(shown ? <Window visitor={visitor} words={words} adopt={adopt} close={chat.close} /> : null, room);
  };
  visitor.changed.on(() => {
    // Many frames in a row, one drawing.
    if (!drawing) queueMicrotask(draw);
    drawing = true;
  });
  document.addEventListener('visibilitychange', () => visitor.changed.tell());

  // The sheet on small screens follows what the on-screen keyboard leaves.
  const { visualViewport } = window;
  const fit = (): void => {
    if (!visualViewport) return;
    host.style.setProperty('--height', `${visualViewport.height}px`);
    host.style.setProperty('--top', `${visualViewport.offsetTop}px`);
  };
  visualViewport?.addEventListener('resize', fit);
  visualViewport?.addEventListener('scroll', fit);
  fit();

  const chat: Chat = {
    open(focus) {
      if (!shown) {
        shown = visitor.watching = true;
        remember(true);
        visitor.socket.start();
        draw();
      }
      if (focus) root.querySelector('textarea')?.focus();
    },
    close() {
      if (!shown) return;
      const focused = root.activeElement;
      shown = visitor.watching = false;
      remember(false);
      draw();
      if (focused) bubble.focus();
      // Nothing to wait for: no connection.
      if (!visitor.waitsForAnswer) visitor.socket.stop();
    },
  };
  if (visitor.waitsForAnswer) visitor.socket.start();
  return chat;
}

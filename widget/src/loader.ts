import css from './bubble.css';
import type { Chat, Config, Shell } from './shell.ts';

declare global {
  interface Window {
    Bellhop?: { open(): void; close(): void };
  }
}

/*
 * The only part that a page loads by itself. It waits until the page has nothing better to do, asks for the
 * workspace's settings and draws the bubble; the chat is loaded when somebody wants it, or when this browser knows of
 * a conversation that may have an answer.
 */
// By the plain snippet this is the script element's own code; by the one that waits for the page's load it is imported.
const script = (document.currentScript ?? document.querySelector('[data-bellhop]')) as HTMLScriptElement;
const { workspace, bellhop } = script.dataset;
const base = script.src || (bellhop as string);

/** What the bubble says when loading fails: the only sentence needed before the catalogue is there. */
const failures: Record<string, string> = {
  en: 'No connection. Try again.',
  de: 'Keine Verbindung. Nochmal?',
  ar: 'أعد المحاولة.',
};
const spoken = navigator.language.slice(0, 2);
const language = failures[spoken] ? spoken : 'en';

/** What this browser remembers; nothing where storage is blocked. */
function kept(area: 'localStorage' | 'sessionStorage', key: string): string | null {
  try {
    return window[area].getItem(`bellhop.${workspace}.${key}`);
  } catch {
    return null;
  }
}

let shell: Shell | undefined;
let failed: HTMLElement;
let chat: Promise<Chat> | undefined;
let tries = 0;
/** Opened by the page before the bubble was there. */
let wanted = false;

function element(name: string, className: string): HTMLElement {
  const made = document.createElement(name);
  made.className = className;
  return made;
}

/** A fragment makes a failed address a new one: some browsers remember the failure. */
// biome-ignore lint/suspicious/noExplicitAny: the parts' types are not worth loading them here.
function part(name: string): Promise<any> {
  return import(`${new URL(`${ASSETS + name}.${HASH}.js`, base)}${tries ? `#${tries}` : ''}`);
}

/** The chat itself and its words, loaded once. */
function load(ready: Shell): Promise<Chat> {
  chat ??= Promise.all([part('widget'), part(language)]).then(([{ mount }, { words }]) => mount(ready, words));
  chat.catch(() => {
    chat = undefined;
    tries++;
  });
  return chat;
}

async function open(focus: boolean): Promise<void> {
  wanted = true;
  if (!shell) return;
  try {
    (await load(shell)).open(focus);
    failed.textContent = '';
  } catch {
    failed.textContent = failures[language] as string;
  }
}

async function begin(): Promise<void> {
  let config: Config;
  try {
    const answer = await fetch(new URL(`/api/v1/widget/${workspace}`, base), { credentials: 'omit' });
    if (answer.status === 404) return console.warn('Bellhop: unknown workspace');
    if (!answer.ok) throw answer;
    config = await answer.json();
  } catch {
    // Nobody asked for the chat yet: try later, quietly.
    setTimeout(begin, 30_000);
    return;
  }
  const host = document.createElement('div');
  const root = host.attachShadow({ mode: 'open' });
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(css);
  root.adoptedStyleSheets = [sheet];
  host.className = config.position;
  host.style.setProperty('--accent', config.accent);
  host.style.setProperty('--on-accent', config.accent_text);

  const bubble = element('button', 'bubble') as HTMLButtonElement;
  bubble.type = 'button';
  bubble.ariaLabel = 'Chat';
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  const path = document.createElementNS(svg.namespaceURI, 'path');
  path.setAttribute('d', 'M12 4a8 8 0 1 1-3.6 15.1L4 20l1-4A8 8 0 0 1 12 4z');
  svg.append(path);
  bubble.append(svg);
  const badge = element('span', 'badge');
  failed = element('div', 'failed');
  failed.role = 'status';
  root.append(bubble, badge, failed);
  document.body.append(host);

  const made: Shell = { base, workspace: workspace as string, config, host, root, bubble, badge };
  shell = made;
  bubble.onclick = () => void open(true);
  // Half a second's lead: whoever points at it is likely to press.
  bubble.onpointerenter = () => void load(made).catch(() => {});
  if (wanted) void open(true);
  else if (kept('sessionStorage', 'open')) void open(false);
  else if (kept('localStorage', 'live')) load(made).catch(() => {});
}

if (workspace && !window.Bellhop) {
  window.Bellhop = {
    open: () => void open(true),
    close: () => {
      wanted = false;
      chat?.then((one) => one.close());
    },
  };
  const whenIdle = (): void => {
    // Safari has none.
    if ('requestIdleCallback' in window) requestIdleCallback(() => void begin(), { timeout: 3_000 });
    else setTimeout(begin, 200);
  };
  if (document.readyState === 'complete') whenIdle();
  else addEventListener('load', whenIdle);
}

// What reaches an agent who looks elsewhere: the count in title and icon, a short sound, a notification. Permission is
// asked for when a message came while the page was hidden, never before.

import { preference } from '../preferences.ts';
import { t } from '../words.ts';

/** The browser's answer so far; "unsupported" where there are no notifications. */
export function mayNotify(): NotificationPermission | 'unsupported' {
  return 'Notification' in globalThis ? Notification.permission : 'unsupported';
}

/** Asks; true when notifications may be shown. */
export async function askPermission(): Promise<boolean> {
  if (mayNotify() === 'unsupported') return false;
  try {
    return (await Notification.requestPermission()) === 'granted';
  } catch {
    return false;
  }
}

/** Shows a notification if the agent wants them; pressing it brings the page to the front. */
export function notify(name: string, words: string, tag: string, pressed: () => void): void {
  if (preference('notify') !== 'on' || mayNotify() !== 'granted') return;
  try {
    const shown = new Notification(t('alert.title', { name }), { body: words, tag });
    shown.onclick = () => {
      window.focus();
      pressed();
      shown.close();
    };
  } catch {
    // Android's Chrome shows them from a service worker only; title and icon still tell.
  }
}

let audio: AudioContext | undefined;

/** Two soft tones, 0.3 s. Made here, so that no file is fetched. */
export function ring(): void {
  if (preference('sound') !== 'on') return;
  try {
    audio ??= new AudioContext();
    const begin = audio.currentTime;
    for (const [delay, pitch] of [
      [0, 660],
      [0.11, 880],
    ] as const) {
      const tone = audio.createOscillator();
      const loud = audio.createGain();
      tone.frequency.value = pitch;
      loud.gain.setValueAtTime(0, begin + delay);
      loud.gain.linearRampToValueAtTime(0.08, begin + delay + 0.01);
      loud.gain.exponentialRampToValueAtTime(0.0001, begin + delay + 0.2);
      tone.connect(loud).connect(audio.destination);
      tone.start(begin + delay);
      tone.stop(begin + delay + 0.22);
    }
  } catch {
    // No sound device, or the page was never touched: the browser forbids sound then.
  }
}

let drawn = -1;

/** The page's icon: the mark, with the count of unread conversations in a badge. */
export function drawIcon(unread: number): void {
  if (unread === drawn) return;
  drawn = unread;
  const size = 64;
  const canvas = document.createElement('canvas');
  canvas.width = size;
  canvas.height = size;
  const paint = canvas.getContext('2d');
  if (paint === null) return;
  const style = getComputedStyle(document.documentElement);
  const token = (name: string) => style.getPropertyValue(name).trim();
  // tidy(colours from tokens.css): the mark is the same on light and dark browser frames, whatever theme the page has
  paint.fillStyle = '#0f5c63';
  paint.beginPath();
  paint.roundRect(0, 0, size, size, 18);
  paint.fill();
  paint.strokeStyle = '#ffffff';
  paint.lineWidth = 5;
  paint.lineCap = 'round';
  paint.beginPath();
  paint.moveTo(15, 43);
  paint.lineTo(49, 43);
  paint.stroke();
  paint.beginPath();
  paint.arc(32, 42, 13, Math.PI, 0);
  paint.stroke();
  if (unread > 0) {
    paint.fillStyle = token('--bh-badge');
    paint.beginPath();
    paint.arc(46, 18, 18, 0, Math.PI * 2);
    paint.fill();
    paint.fillStyle = token('--bh-on-badge');
    paint.font = `bold 26px ${token('--bh-font')}`;
    paint.textAlign = 'center';
    paint.textBaseline = 'middle';
    paint.fillText(unread > 9 ? '9+' : String(unread), 46, 19);
  }
  const link = document.querySelector<HTMLLinkElement>('link[rel="icon"]');
  if (link !== null) link.href = canvas.toDataURL('image/png');
}

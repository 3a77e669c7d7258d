// What speaks up only when it matters: the connection, short words about the last act, the offer to notify.

import { useEffect, useState } from 'react';
import { useLive, useSignal } from '../live/use.ts';
import { prefer, preference } from '../preferences.ts';
import { t, type WordKey } from '../words.ts';
import { askPermission, mayNotify, ring } from './alerts.ts';

/** A drop that is mended within this time is not worth a word, ms. */
const PATIENCE_MS = 1_500;

export function ConnectionBar() {
  const live = useLive();
  useSignal(live.socket.changed);
  const { state, farewell } = live.socket;
  const broken = state !== 'open';
  const [late, setLate] = useState(false);
  useEffect(() => {
    setLate(false);
    if (!broken) return;
    const timer = setTimeout(() => setLate(true), PATIENCE_MS);
    return () => clearTimeout(timer);
  }, [broken]);

  let words: WordKey | undefined;
  let act: { words: WordKey; act: () => void } | undefined;
  if (state === 'stopped' && farewell?.code === 4012) {
    words = 'bar.reload';
    act = { words: 'bar.reload.do', act: () => location.reload() };
  } else if (state === 'stopped' && farewell !== null && farewell.code !== 4015) {
    words = 'bar.failed';
    act = { words: 'bar.retry', act: () => live.socket.retry() };
  } else if (broken && late && state === 'offline') words = 'bar.offline';
  else if (broken && late) {
    words = live.socket.welcome === null ? 'bar.connecting' : 'bar.reconnecting';
    if (state === 'waiting') act = { words: 'bar.retry', act: () => live.socket.retry() };
  }
  return (
    <div role="status" className="bar-place">
      {words !== undefined && (
        <p className="bar">
          <span>{t(words)}</span>
          {act !== undefined && (
            <button type="button" className="link" onClick={act.act}>
              {t(act.words)}
            </button>
          )}
        </p>
      )}
    </div>
  );
}

export function ToastStack() {
  const live = useLive();
  useSignal(live.toasts.changed);
  return (
    <div className="toasts">
      {(['done', 'bad'] as const).map((tone) => (
        <div key={tone} role={tone === 'bad' ? 'alert' : 'status'}>
          {live.toasts.shown
            .filter((toast) => toast.tone === tone)
            .map((toast) => (
              <div key={toast.id} className={`toast ${toast.tone}`}>
                {tone === 'bad' && (
                  <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
                    <path d="M8 1.8 14.6 13.5H1.4ZM8 6.2v3.3M8 11.4v.1" />
                  </svg>
                )}
                <span dir="auto">{toast.words}</span>
                {toast.action !== undefined && (
                  <button
                    type="button"
                    className="link"
                    onClick={() => {
                      live.toasts.dismiss(toast.id);
                      toast.action?.act();
                    }}
                  >
                    {toast.action.words}
                  </button>
                )}
                {tone === 'bad' && (
                  <button type="button" className="link" onClick={() => live.toasts.dismiss(toast.id)}>
                    {t('toast.dismiss')}
                  </button>
                )}
              </div>
            ))}
        </div>
      ))}
    </div>
  );
}

/** Made once, when a message has come while the page was hidden and nothing told of it. */
export function NotifyOffer() {
  const live = useLive();
  const [offered, setOffered] = useState(false);
  const [blocked, setBlocked] = useState(false);
  useEffect(
    () =>
      live.knocked.on(() => {
        if (!document.hidden || preference('offered') === 'yes') return;
        if (preference('notify') !== undefined || preference('sound') !== undefined) return;
        setOffered(true);
      }),
    [live],
  );
  if (!offered) return null;
  const answer = (told: () => void) => {
    prefer('offered', 'yes');
    told();
    setOffered(false);
  };
  return (
    <div className="offer" role="status">
      <p>{t(blocked ? 'alert.blocked' : 'alert.offer')}</p>
      {!blocked && mayNotify() !== 'unsupported' && (
        <button
          type="button"
          className="button primary"
          onClick={async () => {
            const granted = await askPermission();
            prefer('notify', granted ? 'on' : 'off');
            prefer('offered', 'yes');
            if (!granted) {
              setBlocked(true);
              return;
            }
            prefer('sound', 'on');
            setOffered(false);
          }}
        >
          {t('alert.notify')}
        </button>
      )}
      <button
        type="button"
        className="button"
        onClick={() =>
          answer(() => {
            prefer('sound', 'on');
            ring();
          })
        }
      >
        {t('alert.sound')}
      </button>
      <button type="button" className="button quiet" onClick={() => answer(() => {})}>
        {t('alert.no')}
      </button>
    </div>
  );
}

// Which page is shown, who is logged in, and what is alive while someone is.

import { Component, lazy, type ReactNode, Suspense, useCallback, useEffect, useReducer, useState } from 'react';
import { ApiError, me as askMe, type Me } from './api.ts';
import { Inbox } from './inbox/inbox.tsx';
import { Live } from './live/live.ts';
import { LiveContext } from './live/use.ts';
import { FailedPage, Skeleton } from './pages/frame.tsx';
import { go, usePath } from './router.ts';
import { t } from './words.ts';

// Pages that an agent at work does not need are loaded when they are opened.
const LoginPage = lazy(() => import('./pages/login.tsx').then((page) => ({ default: page.LoginPage })));
const SetupPage = lazy(() => import('./pages/account.tsx').then((page) => ({ default: page.SetupPage })));
const InvitePage = lazy(() => import('./pages/account.tsx').then((page) => ({ default: page.InvitePage })));
const ResetPage = lazy(() => import('./pages/account.tsx').then((page) => ({ default: page.ResetPage })));
const MissingPage = lazy(() => import('./pages/account.tsx').then((page) => ({ default: page.MissingPage })));
const SettingsPage = lazy(() => import('./pages/settings.tsx').then((page) => ({ default: page.SettingsPage })));

type Who = { at: 'asking' } | { at: 'failed' } | { at: 'out'; ended: boolean } | { at: 'in'; me: Me };

/** Where someone goes after log-in: back to the page of this app that they wanted. */
function wanted(): string {
  const next = new URLSearchParams(location.search).get('next');
  return next !== null && /^\/inbox(\/|$)/.test(next) ? next : '/inbox';
}

export function App() {
  const path = usePath();
  const [who, setWho] = useState<Who>({ at: 'asking' });
  const [, respeak] = useReducer((count: number) => count + 1, 0);
  const [live, setLive] = useState<Live>();
  const inside = path === '/' || path === '/inbox' || path.startsWith('/inbox/') || path === '/inbox/settings';

  const leave = useCallback((ended: boolean) => {
    setWho((before) => (before.at === 'out' ? before : { at: 'out', ended }));
    go(`/login?next=${encodeURIComponent(location.pathname)}`, 'replace');
  }, []);

  // Asked by the effect below, once for each time that `who` becomes `asking`.
  const ask = useCallback(() => {
    askMe().then(
      (me) => setWho({ at: 'in', me }),
      (error: unknown) => {
        if (error instanceof ApiError && error.status === 401) setWho({ at: 'out', ended: false });
        else setWho({ at: 'failed' });
      },
    );
  }, []);

  const known = who.at === 'in' ? who.me.member.id : undefined;
  useEffect(() => {
    if (inside && who.at === 'asking') ask();
    if (inside && who.at === 'out') leave(who.ended);
    if (path === '/' && known !== undefined) go('/inbox', 'replace');
  }, [inside, who, ask, leave, path, known]);

  // One connection per log-in, kept while going between inbox and settings.
  const me = who.at === 'in' ? who.me : undefined;
  // biome-ignore lint/correctness/useExhaustiveDependencies: another member is another life; a new name is not.
  useEffect(() => {
    if (me === undefined) return;
    const made = new Live(me);
    const end = made.ended.on(() => leave(true));
    made.start();
    setLive(made);
    return () => {
      end();
      made.stop();
      setLive(undefined);
    };
  }, [known, leave]);

  const enter = useCallback((next: Me) => {
    setWho({ at: 'in', me: next });
    go(wanted(), 'replace');
  }, []);

  return (
    <Guard>
      <Suspense fallback={<Opening />}>
        {path === '/setup' ? (
          <SetupPage done={(next) => setWho({ at: 'in', me: next })} enter={() => go('/inbox', 'replace')} />
        ) : path === '/invite' ? (
          <InvitePage done={enter} />
        ) : path === '/reset' ? (
          <ResetPage done={enter} />
        ) : path === '/login' ? (
          <LoginPage ended={who.at === 'out' && who.ended} done={enter} />
        ) : !inside ? (
          <MissingPage />
        ) : who.at === 'failed' ? (
          <FailedPage
            title={t('page.failed')}
            more={t('page.failed.more')}
            action={t('page.retry')}
            act={() => setWho({ at: 'asking' })}
          />
        ) : me === undefined || live === undefined ? (
          <Opening />
        ) : path === '/inbox/settings' ? (
          <SettingsPage
            me={me}
            changed={(next) => setWho({ at: 'in', me: next })}
            out={() => leave(true)}
            spoken={respeak}
          />
        ) : (
          <LiveContext value={live}>
            <Inbox me={me} out={() => leave(true)} />
          </LiveContext>
        )}
      </Suspense>
    </Guard>
  );
}

function Opening() {
  return (
    <main className="opening">
      <Skeleton lines={3} label={t('page.loading')} />
    </main>
  );
}

/** A fault in a part of the page must not take the drafts or the way back with it. */
class Guard extends Component<{ children: ReactNode }, { broken: boolean }> {
  override state = { broken: false };

  static getDerivedStateFromError() {
    return { broken: true };
  }

  override render() {
    if (!this.state.broken) return this.props.children;
    return (
      <FailedPage
        title={t('app.failed')}
        more={t('app.failed.more')}
        action={t('app.reload')}
        act={() => location.reload()}
      />
    );
  }
}

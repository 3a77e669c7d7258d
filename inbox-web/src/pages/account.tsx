// The three pages that a link opens: set up, join by invite, choose a new password. Each looks at its token first, so
// that nobody fills in a form for a dead link.

import { type FormEvent, useEffect, useRef, useState } from 'react';
import { ApiError, api, keepCsrf, type MadeInvite, type Me, type Workspace } from '../api.ts';
import { dropToken, linkToken } from '../router.ts';
import { t } from '../words.ts';
import { Copyable, Field, Problem, Submit, sentence } from './field.tsx';
import { Dead, FailedPage, Go, Sheet, Skeleton } from './frame.tsx';
import { goodEmail, goodName, goodPassword } from './rules.ts';

type Look<T> = { at: 'loading' } | { at: 'dead' } | { at: 'failed' } | { at: 'good'; found: T };

/** Asks once whether the link is still good. */
function useLook<T>(path: string, token: string): [Look<T>, () => void] {
  const [look, setLook] = useState<Look<T>>({ at: 'loading' });
  const [turn, setTurn] = useState(0);
  // biome-ignore lint/correctness/useExhaustiveDependencies: `turn` asks again.
  useEffect(() => {
    let gone = false;
    setLook({ at: 'loading' });
    if (token === '') {
      setLook({ at: 'dead' });
      return;
    }
    api<T>('POST', path, { token }).then(
      (found) => {
        if (!gone) setLook({ at: 'good', found });
      },
      (error: unknown) => {
        const dead = error instanceof ApiError && error.status >= 400 && error.status < 429;
        if (!gone) setLook({ at: dead ? 'dead' : 'failed' });
      },
    );
    return () => {
      gone = true;
    };
  }, [path, token, turn]);
  return [look, () => setTurn(turn + 1)];
}

type Wrong = Partial<Record<'workspace_name' | 'name' | 'email' | 'password', string>>;

/** Which field the server blames, in this page's words. */
function blame(error: unknown): Wrong | undefined {
  if (!(error instanceof ApiError) || error.field === undefined) return undefined;
  return { [error.field]: sentence(error) };
}

export function SetupPage({ done, enter }: { done: (me: Me) => void; enter: () => void }) {
  const [token] = useState(linkToken);
  const [look, again] = useLook<{ ok: true }>('/setup/look', token);
  const [workspace, setWorkspace] = useState('');
  const [name, setName] = useState('');
  const [email, setEmail] = useState('');
  const [password, setPassword] = useState('');
  const [wrong, setWrong] = useState<Wrong>({});
  const [problem, setProblem] = useState<string>();
  const [busy, setBusy] = useState(false);
  const [made, setMade] = useState<{ me: Me; demo: string | undefined }>();
  const first = useRef<HTMLInputElement>(null);
  const ready = look.at === 'good';
  useEffect(() => {
    if (ready) first.current?.focus();
  }, [ready]);

  if (made !== undefined) return <SetupDone {...made} enter={enter} />;
  if (look.at === 'loading') return <Waiting title={t('setup.title')} />;
  if (look.at === 'dead') return <Dead title={t('dead.setup')} more={t('dead.setup.more')} />;
  if (look.at === 'failed') return <Broken again={again} />;

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    if (busy) return;
    const found: Wrong = {};
    if (!goodName(workspace)) found.workspace_name = t('field.wrong.name');
    if (!goodName(name)) found.name = t('field.wrong.name');
    if (!goodEmail(email.trim())) found.email = t('field.wrong.email');
    if (!goodPassword(password)) found.password = t('field.wrong.password');
    setWrong(found);
    setProblem(undefined);
    if (Object.keys(found).length > 0) return;
    setBusy(true);
    try {
      const me = keepCsrf(
        await api<Me>('POST', '/setup', {
          token,
          workspace_name: workspace.trim(),
          name: name.trim(),
          email: email.trim(),
          password,
        }),
      );
      dropToken();
      done(me);
      // Asked before the page turns, so that it stands still; a server without the demo page has no such step.
      const demo = await api<Workspace>('GET', '/workspace').then(
        (workspace) => workspace.demo_url,
        () => undefined,
      );
      setMade({ me, demo });
    } catch (error) {
      const field = blame(error);
      if (field === undefined) setProblem(sentence(error));
      else setWrong(field);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Sheet title={t('setup.title')} lead={t('setup.lead')}>
      <form onSubmit={(event) => void submit(event)} noValidate>
        <Field
          label={t('setup.workspace')}
          name="workspace_name"
          hint={t('setup.workspace.hint')}
          wrong={wrong.workspace_name}
          autoComplete="organization"
          value={workspace}
          change={setWorkspace}
          focus={first}
          required
        />
        <Field
          label={t('setup.name')}
          name="name"
          hint={t('setup.name.hint')}
          wrong={wrong.name}
          autoComplete="name"
          value={name}
          change={setName}
          required
        />
        <Credentials {...{ email, setEmail, password, setPassword, wrong }} />
        <Problem text={problem} />
        <Submit busy={busy}>{t('setup.submit')}</Submit>
      </form>
    </Sheet>
  );
}

function Credentials(props: {
  email: string;
  setEmail: (text: string) => void;
  password: string;
  setPassword: (text: string) => void;
  wrong: Wrong;
  fixed?: boolean;
}) {
  return (
    <>
      <Field
        label={t('login.email')}
        name="email"
        type="email"
        dir="ltr"
        autoComplete="username"
        wrong={props.wrong.email}
        value={props.email}
        change={props.setEmail}
        disabled={props.fixed ?? false}
        required
      />
      <Field
        label={t('setup.password')}
        name="password"
        type="password"
        dir="ltr"
        autoComplete="new-password"
        hint={t('setup.password.hint')}
        wrong={props.wrong.password}
        value={props.password}
        change={props.setPassword}
        required
      />
    </>
  );
}

function SetupDone({ me, demo, enter }: { me: Me; demo: string | undefined; enter: () => void }) {
  return (
    <Sheet title={t('setup.done', { name: me.workspace.name })} lead={t('setup.done.lead')}>
      <ol className="steps">
        <li>
          <h2>{t('setup.snippet')}</h2>
          <p className="hint">{t('setup.snippet.more')}</p>
          <Copyable text={me.snippet} label={t('settings.snippet')} />
        </li>
        {demo !== undefined && (
          <li>
            <h2>{t('setup.demo')}</h2>
            <p className="hint">{t('setup.demo.more')}</p>
            <a className="button" href={demo} target="_blank" rel="noopener">
              {t('setup.demo.open')}
            </a>
          </li>
        )}
        <li>
          <h2>{t('setup.invite')}</h2>
          <p className="hint">{t('setup.invite.more')}</p>
          <QuickInvite />
        </li>
      </ol>
      <button type="button" className="button primary" onClick={enter}>
        {t('setup.enter')}
      </button>
    </Sheet>
  );
}

function QuickInvite() {
  const [link, setLink] = useState<string>();
  const [problem, setProblem] = useState<string>();
  const [busy, setBusy] = useState(false);
  const make = async () => {
    if (busy) return;
    setBusy(true);
    setProblem(undefined);
    try {
      setLink((await api<MadeInvite>('POST', '/invites', { role: 'agent' })).link);
    } catch (error) {
      setProblem(sentence(error));
    } finally {
      setBusy(false);
    }
  };
  if (link !== undefined) return <Copyable text={link} label={t('setup.invite')} />;
  return (
    <>
      <Problem text={problem} />
      <button type="button" className="button" onClick={() => void make()}>
        {t('setup.invite.make')}
      </button>
    </>
  );
}

type Invited = { workspace: { name: string }; email?: string; role: string };

export function InvitePage({ done }: { done: (me: Me) => void }) {
  const [token] = useState(linkToken);
  const [look, again] = useLook<Invited>('/invites/look', token);
  const [name, setName] = useState('');
  const [email, setEmail] = useState('');
  const [password, setPassword] = useState('');
  const [wrong, setWrong] = useState<Wrong>({});
  const [problem, setProblem] = useState<string>();
  const [busy, setBusy] = useState(false);
  const first = useRef<HTMLInputElement>(null);
  const ready = look.at === 'good';
  useEffect(() => {
    if (ready) first.current?.focus();
  }, [ready]);

  if (look.at === 'loading') return <Waiting title={t('page.loading')} />;
  if (look.at === 'dead') return <Dead title={t('dead.invite')} more={t('dead.invite.more')} />;
  if (look.at === 'failed') return <Broken again={again} />;
  const address = look.found.email ?? email;

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    if (busy) return;
    const found: Wrong = {};
    if (!goodName(name)) found.name = t('field.wrong.name');
    if (!goodEmail(address.trim())) found.email = t('field.wrong.email');
    if (!goodPassword(password)) found.password = t('field.wrong.password');
    setWrong(found);
    setProblem(undefined);
    if (Object.keys(found).length > 0) return;
    setBusy(true);
    try {
      const body = { token, name: name.trim(), email: address.trim(), password };
      const me = keepCsrf(await api<Me>('POST', '/invites/accept', body));
      dropToken();
      done(me);
    } catch (error) {
      const field = blame(error);
      if (error instanceof ApiError && error.code === 'login_failed') setProblem(t('invite.wrong'));
      else if (field === undefined) setProblem(sentence(error));
      else setWrong(field);
      setBusy(false);
    }
  };
  return (
    <Sheet title={t('invite.title', { name: look.found.workspace.name })} lead={t('invite.lead')}>
      <form onSubmit={(event) => void submit(event)} noValidate>
        <Field
          label={t('setup.name')}
          name="name"
          hint={t('setup.name.hint')}
          wrong={wrong.name}
          autoComplete="name"
          value={name}
          change={setName}
          focus={first}
          required
        />
        <Credentials
          {...{ email: address, setEmail, password, setPassword, wrong }}
          fixed={look.found.email !== undefined}
        />
        <p className="hint">{t('invite.have')}</p>
        <Problem text={problem} />
        <Submit busy={busy}>{t('invite.submit')}</Submit>
      </form>
    </Sheet>
  );
}

export function ResetPage({ done }: { done: (me: Me) => void }) {
  const [token] = useState(linkToken);
  const [password, setPassword] = useState('');
  const [wrong, setWrong] = useState<string>();
  const [problem, setProblem] = useState<string>();
  const [dead, setDead] = useState(token === '');
  const [busy, setBusy] = useState(false);
  const first = useRef<HTMLInputElement>(null);
  useEffect(() => first.current?.focus(), []);

  if (dead) return <Dead title={t('dead.reset')} more={t('dead.reset.more')} />;
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    if (busy) return;
    setProblem(undefined);
    setWrong(goodPassword(password) ? undefined : t('field.wrong.password'));
    if (!goodPassword(password)) return;
    setBusy(true);
    try {
      const me = keepCsrf(await api<Me>('POST', '/password/reset', { token, password }));
      dropToken();
      done(me);
    } catch (error) {
      if (error instanceof ApiError && error.code === 'link_dead') setDead(true);
      else if (error instanceof ApiError && error.field === 'password') setWrong(sentence(error));
      else setProblem(sentence(error));
      setBusy(false);
    }
  };
  return (
    <Sheet title={t('reset.title')} lead={t('reset.lead')}>
      <form onSubmit={(event) => void submit(event)} noValidate>
        <Field
          label={t('setup.password')}
          name="password"
          type="password"
          dir="ltr"
          autoComplete="new-password"
          hint={t('setup.password.hint')}
          wrong={wrong}
          value={password}
          change={setPassword}
          focus={first}
          required
        />
        <Problem text={problem} />
        <Submit busy={busy}>{t('reset.submit')}</Submit>
      </form>
    </Sheet>
  );
}

function Waiting({ title }: { title: string }) {
  return (
    <Sheet title={title}>
      <Skeleton lines={5} label={t('page.loading')} />
    </Sheet>
  );
}

function Broken({ again }: { again: () => void }) {
  return <FailedPage title={t('page.failed')} more={t('page.failed.more')} action={t('page.retry')} act={again} />;
}

/** An address that this app does not know. */
export function MissingPage() {
  return (
    <Sheet title={t('page.missing')} lead={t('page.missing.more')}>
      <Go to="/inbox" className="button primary">
        {t('page.to_inbox')}
      </Go>
    </Sheet>
  );
}

// Settings of the workspace, its members, invites and keys, and of this browser. Every part loads and fails by itself.

import { type FormEvent, type ReactNode, useCallback, useEffect, useId, useState } from 'react';
import {
  ApiError,
  api,
  type Invite,
  type Key,
  keepCsrf,
  type MadeInvite,
  type Me,
  type Member,
  type Workspace,
} from '../api.ts';
import { askPermission, mayNotify } from '../inbox/alerts.ts';
import { prefer, preferences } from '../preferences.ts';
import { date, day, exact } from '../time.ts';
import { LANGUAGES, type Language, speak, t, wantedLanguage } from '../words.ts';
import { Copyable, Field, Problem, Submit, sentence } from './field.tsx';
import { Failed, Go, Skeleton } from './frame.tsx';
import { goodEmail, goodName, goodOrigin, inkOn } from './rules.ts';

type Loaded<T> = { at: 'loading' } | { at: 'failed' } | { at: 'good'; value: T };

/** Loads one answer; `again` loads it anew while the old one stays shown. */
function useLoaded<T>(path: string): [Loaded<T>, () => void, (value: T) => void] {
  const [loaded, setLoaded] = useState<Loaded<T>>({ at: 'loading' });
  const load = useCallback(() => {
    api<T>('GET', path).then(
      (value) => setLoaded({ at: 'good', value }),
      () => setLoaded((before) => (before.at === 'good' ? before : { at: 'failed' })),
    );
  }, [path]);
  useEffect(load, [load]);
  const set = useCallback((value: T) => setLoaded({ at: 'good', value }), []);
  return [loaded, load, set];
}

function Part(props: { title: string; hint?: string; children: ReactNode }) {
  const id = useId();
  return (
    <section className="part" aria-labelledby={id}>
      <div className="part-head">
        <h2 id={id}>{props.title}</h2>
        {props.hint !== undefined && <p className="hint">{props.hint}</p>}
      </div>
      <div className="part-body">{props.children}</div>
    </section>
  );
}

function Body<T>({
  loaded,
  again,
  children,
}: {
  loaded: Loaded<T>;
  again: () => void;
  children: (value: T) => ReactNode;
}) {
  if (loaded.at === 'loading') return <Skeleton lines={3} label={t('page.loading')} />;
  if (loaded.at === 'failed') {
    return <Failed title={t('page.failed')} more={t('page.failed.more')} action={t('page.retry')} act={again} />;
  }
  return <>{children(loaded.value)}</>;
}

export function SettingsPage(props: { me: Me; changed: (me: Me) => void; out: () => void; spoken: () => void }) {
  const owner = props.me.member.role === 'owner';
  const [workspace, loadWorkspace, setWorkspace] = useLoaded<Workspace>('/workspace');
  useEffect(() => {
    document.title = `${t('settings.title')} · ${props.me.workspace.name}`;
  }, [props.me.workspace.name]);
  return (
    <main className="settings">
      <header className="settings-head">
        <Go to="/inbox" className="button quiet">
          <span className="arrow" aria-hidden="true" />
          {t('settings.back')}
        </Go>
        <h1>{t('settings.title')}</h1>
      </header>
      <Part title={t('settings.workspace')} {...(owner ? {} : { hint: t('settings.agent_only') })}>
        <Body loaded={workspace} again={loadWorkspace}>
          {(value) => (
            <WorkspaceForm
              workspace={value}
              owner={owner}
              saved={(next) => {
                setWorkspace(next);
                props.changed(keepCsrf({ ...props.me, workspace: { id: next.id, name: next.name } }));
              }}
            />
          )}
        </Body>
      </Part>
      <Part title={t('settings.snippet')} hint={t('settings.snippet.hint')}>
        <Copyable text={props.me.snippet} label={t('settings.snippet')} />
        {workspace.at === 'good' && (
          <>
            <p className="hint">{t('settings.csp')}</p>
            <Copyable text={workspace.value.content_security_policy} label={t('settings.csp.label')} />
          </>
        )}
        {workspace.at === 'good' && workspace.value.demo_url !== undefined && (
          <a className="button" href={workspace.value.demo_url} target="_blank" rel="noopener">
            {t('setup.demo.open')}
          </a>
        )}
      </Part>
      <MembersPart me={props.me} owner={owner} />
      {owner && <InvitesPart />}
      {owner && <KeysPart />}
      <BrowserPart spoken={props.spoken} />
      <AccountPart out={props.out} />
    </main>
  );
}

type WorkspaceWrong = Partial<Record<'name' | 'accent' | 'allowed_origins' | 'agent_cap' | 'greeting', string>>;

function WorkspaceForm(props: { workspace: Workspace; owner: boolean; saved: (workspace: Workspace) => void }) {
  const was = props.workspace;
  const [name, setName] = useState(was.name);
  const [greeting, setGreeting] = useState(was.greeting);
  const [accent, setAccent] = useState(was.accent);
  const [position, setPosition] = useState(was.position);
  const [origins, setOrigins] = useState(was.allowed_origins.join('\n'));
  const [cap, setCap] = useState(String(was.agent_cap));
  const [wrong, setWrong] = useState<WorkspaceWrong>({});
  const [problem, setProblem] = useState<string>();
  const [busy, setBusy] = useState(false);
  const [saved, setSaved] = useState(false);
  const group = useId();
  const sure = /^#[0-9a-f]{6}$/i.test(accent);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    if (busy) return;
    const allowed = origins.split(/\s+/).filter((line) => line !== '');
    const most = Number(cap);
    const found: WorkspaceWrong = {};
    if (!goodName(name)) found.name = t('field.wrong.name');
    if (!sure) found.accent = t('settings.accent.wrong');
    if (!allowed.every(goodOrigin) || allowed.length > 50) found.allowed_origins = t('settings.origins.wrong');
    if (!Number.isInteger(most) || most < 1 || most > 1000) found.agent_cap = t('settings.cap.wrong');
    setWrong(found);
    setProblem(undefined);
    setSaved(false);
    if (Object.keys(found).length > 0) return;
    setBusy(true);
    try {
      const body = {
        name: name.trim(),
        greeting: greeting.trim(),
        accent: accent.toLowerCase(),
        position,
        allowed_origins: allowed,
        agent_cap: most,
      };
      props.saved(await api<Workspace>('PATCH', '/workspace', body));
      setSaved(true);
    } catch (error) {
      if (error instanceof ApiError && error.field !== undefined) setWrong({ [error.field]: sentence(error) });
      else setProblem(sentence(error));
    } finally {
      setBusy(false);
    }
  };

  return (
    <form onSubmit={(event) => void submit(event)} onChange={() => setSaved(false)} noValidate>
      <fieldset disabled={!props.owner}>
        <Field label={t('settings.name')} name="name" value={name} change={setName} wrong={wrong.name} />
        <Field
          label={t('settings.greeting')}
          name="greeting"
          hint={t('settings.greeting.hint')}
          value={greeting}
          change={setGreeting}
          wrong={wrong.greeting}
          maxLength={300}
          lines={2}
        />
        <div className="pair">
          <Field
            label={t('settings.accent')}
            name="accent"
            dir="ltr"
            hint={t('settings.accent.hint')}
            value={accent}
            change={setAccent}
            wrong={wrong.accent}
            maxLength={7}
          />
          <div className="swatch">
            <input
              type="color"
              aria-label={t('settings.accent')}
              value={sure ? accent.toLowerCase() : was.accent}
              onChange={(event) => setAccent(event.target.value)}
            />
            {sure && (
              <span className="swatch-sample" style={{ background: accent, color: inkOn(accent) }}>
                {t('settings.accent.sample')}
              </span>
            )}
          </div>
        </div>
        <fieldset className="field">
          <legend>{t('settings.position')}</legend>
          <div className="radios">
            {(['right', 'left'] as const).map((side) => (
              <label key={side}>
                <input
                  type="radio"
                  name={group}
                  value={side}
                  checked={position === side}
                  onChange={() => setPosition(side)}
                />
                {t(side === 'right' ? 'settings.position.right' : 'settings.position.left')}
              </label>
            ))}
          </div>
        </fieldset>
        <Field
          label={t('settings.origins')}
          name="allowed_origins"
          dir="ltr"
          hint={t('settings.origins.hint')}
          value={origins}
          change={setOrigins}
          wrong={wrong.allowed_origins}
          lines={3}
        />
        <Field
          label={t('settings.cap')}
          name="agent_cap"
          type="number"
          dir="ltr"
          hint={t('settings.cap.hint')}
          value={cap}
          change={setCap}
          wrong={wrong.agent_cap}
        />
        {props.owner && (
          <>
            <Problem text={problem} />
            <div className="save">
              <Submit busy={busy}>{t('settings.save')}</Submit>
              <p role="status" className="hint">
                {saved ? t('settings.saved') : ''}
              </p>
            </div>
          </>
        )}
      </fieldset>
    </form>
  );
}

function MembersPart({ me, owner }: { me: Me; owner: boolean }) {
  const [loaded, again] = useLoaded<{ members: Member[] }>('/members');
  const [asked, setAsked] = useState<string>();
  const [problem, setProblem] = useState<{ id: string; text: string }>();
  const remove = async (member: Member) => {
    setProblem(undefined);
    try {
      await api('DELETE', `/members/${member.id}`);
      setAsked(undefined);
      again();
    } catch (error) {
      setProblem({ id: member.id, text: sentence(error) });
    }
  };
  return (
    <Part title={t('settings.members')} {...(owner ? { hint: t('settings.members.hint') } : {})}>
      <Body loaded={loaded} again={again}>
        {({ members }) => (
          <ul className="rows">
            {members.map((member) => (
              <li key={member.id} className="row-wide">
                <div className="row-words">
                  <span className="row-name" dir="auto">
                    {member.id === me.member.id ? t('team.you', { name: member.name }) : member.name}
                  </span>
                  <span className="hint" dir="ltr">
                    {member.email}
                  </span>
                </div>
                <span className="hint">
                  {t(member.role === 'owner' ? 'settings.role.owner' : 'settings.role.agent')}
                </span>
                {owner && member.id !== me.member.id && asked !== member.id && (
                  <button
                    type="button"
                    className="button quiet"
                    aria-label={t('settings.remove.yes', { name: member.name })}
                    onClick={() => setAsked(member.id)}
                  >
                    {t('settings.remove')}
                  </button>
                )}
                {asked === member.id && (
                  <fieldset className="sure">
                    <legend className="unseen">{t('settings.remove')}</legend>
                    <p>{t('settings.remove.sure', { name: member.name })}</p>
                    <button type="button" className="button danger" onClick={() => void remove(member)}>
                      {t('settings.remove.yes', { name: member.name })}
                    </button>
                    <button type="button" className="button" onClick={() => setAsked(undefined)}>
                      {t('settings.cancel')}
                    </button>
                  </fieldset>
                )}
                <Problem text={problem?.id === member.id ? problem.text : undefined} />
              </li>
            ))}
          </ul>
        )}
      </Body>
    </Part>
  );
}

function InvitesPart() {
  const [loaded, again] = useLoaded<{ invites: Invite[] }>('/invites');
  const [email, setEmail] = useState('');
  const [wrong, setWrong] = useState<string>();
  const [made, setMade] = useState<MadeInvite>();
  const [problem, setProblem] = useState<string>();
  const [busy, setBusy] = useState(false);
  const make = async (event: FormEvent) => {
    event.preventDefault();
    if (busy) return;
    const address = email.trim();
    setProblem(undefined);
    setWrong(address === '' || goodEmail(address) ? undefined : t('field.wrong.email'));
    if (address !== '' && !goodEmail(address)) return;
    setBusy(true);
    try {
      setMade(
        await api<MadeInvite>('POST', '/invites', { role: 'agent', ...(address === '' ? {} : { email: address }) }),
      );
      setEmail('');
      again();
    } catch (error) {
      setProblem(sentence(error));
    } finally {
      setBusy(false);
    }
  };
  const revoke = async (invite: Invite) => {
    setProblem(undefined);
    try {
      await api('DELETE', `/invites/${invite.id}`);
      if (made?.id === invite.id) setMade(undefined);
      again();
    } catch (error) {
      setProblem(sentence(error));
    }
  };
  return (
    <Part title={t('settings.invites')} hint={t('settings.invites.hint')}>
      <Body loaded={loaded} again={again}>
        {({ invites }) => (
          <>
            {invites.length === 0 && <p className="none">{t('settings.invites.none')}</p>}
            <ul className="rows">
              {invites.map((invite) => (
                <li key={invite.id} className="row-wide">
                  <div className="row-words">
                    <span className="row-name" dir="auto">
                      {invite.email ?? t('settings.invites.anyone')}
                    </span>
                    <span className="hint" title={exact(invite.expires_at)}>
                      {t('settings.invites.expires', { date: date(invite.expires_at, Date.now()) })}
                    </span>
                  </div>
                  <button
                    type="button"
                    className="button quiet"
                    aria-label={`${t('settings.revoke')}: ${invite.email ?? t('settings.invites.anyone')}`}
                    onClick={() => void revoke(invite)}
                  >
                    {t('settings.revoke')}
                  </button>
                </li>
              ))}
            </ul>
          </>
        )}
      </Body>
      {made !== undefined && (
        <div className="made">
          <p>{t('settings.invites.made')}</p>
          <Copyable text={made.link} label={t('settings.invites.make')} />
        </div>
      )}
      <form onSubmit={(event) => void make(event)} noValidate className="inline">
        <Field
          label={t('settings.invites.email')}
          name="email"
          type="email"
          dir="ltr"
          hint={t('settings.invites.email.hint')}
          wrong={wrong}
          value={email}
          change={setEmail}
        />
        <Problem text={problem} />
        <Submit busy={busy}>{t('settings.invites.make')}</Submit>
      </form>
    </Part>
  );
}

function KeysPart() {
  const [loaded, again] = useLoaded<{ keys: Key[] }>('/keys');
  const [name, setName] = useState('');
  const [wrong, setWrong] = useState<string>();
  const [made, setMade] = useState<{ id: string; key: string }>();
  const [problem, setProblem] = useState<string>();
  const [busy, setBusy] = useState(false);
  const make = async (event: FormEvent) => {
    event.preventDefault();
    if (busy) return;
    setProblem(undefined);
    setWrong(goodName(name) ? undefined : t('field.wrong.name'));
    if (!goodName(name)) return;
    setBusy(true);
    try {
      setMade(await api<{ id: string; key: string }>('POST', '/keys', { name: name.trim() }));
      setName('');
      again();
    } catch (error) {
      setProblem(sentence(error));
    } finally {
      setBusy(false);
    }
  };
  const revoke = async (key: Key) => {
    setProblem(undefined);
    try {
      await api('DELETE', `/keys/${key.id}`);
      if (made?.id === key.id) setMade(undefined);
      again();
    } catch (error) {
      setProblem(sentence(error));
    }
  };
  return (
    <Part title={t('settings.keys')} hint={t('settings.keys.hint')}>
      <Body loaded={loaded} again={again}>
        {({ keys }) => (
          <>
            {keys.length === 0 && <p className="none">{t('settings.keys.none')}</p>}
            <ul className="rows">
              {keys.map((key) => (
                <li key={key.id} className="row-wide">
                  <div className="row-words">
                    <span className="row-name" dir="auto">
                      {key.name}
                    </span>
                    <span className="hint" title={exact(key.created_at)}>
                      {t('settings.keys.since', { date: day(key.created_at, Date.now()) })}
                    </span>
                  </div>
                  <button
                    type="button"
                    className="button quiet"
                    aria-label={`${t('settings.revoke')}: ${key.name}`}
                    onClick={() => void revoke(key)}
                  >
                    {t('settings.revoke')}
                  </button>
                </li>
              ))}
            </ul>
          </>
        )}
      </Body>
      {made !== undefined && (
        <div className="made">
          <p>{t('settings.keys.made')}</p>
          <Copyable text={made.key} label={t('settings.keys')} />
        </div>
      )}
      <form onSubmit={(event) => void make(event)} noValidate className="inline">
        <Field label={t('settings.keys.name')} name="key_name" wrong={wrong} value={name} change={setName} />
        <Problem text={problem} />
        <Submit busy={busy}>{t('settings.keys.make')}</Submit>
      </form>
    </Part>
  );
}

function BrowserPart({ spoken }: { spoken: () => void }) {
  const [language, setLanguage] = useState<Language>(wantedLanguage);
  const [sound, setSound] = useState(preferences().sound === 'on');
  const [notify, setNotify] = useState(preferences().notify === 'on' && mayNotify() === 'granted');
  const [blocked, setBlocked] = useState(false);
  const [singles, setSingles] = useState(preferences().singles !== 'off');
  const id = useId();
  return (
    <Part title={t('settings.browser')}>
      <div className="field">
        <label htmlFor={id}>{t('settings.language')}</label>
        <select
          id={id}
          value={language}
          onChange={(event) => {
            const next = event.target.value as Language;
            setLanguage(next);
            prefer('language', next);
            void speak(next).then(spoken);
          }}
        >
          {Object.entries(LANGUAGES).map(([code, name]) => (
            <option key={code} value={code} lang={code}>
              {name}
            </option>
          ))}
        </select>
      </div>
      <div>
        <label className="tick">
          <input
            type="checkbox"
            checked={singles}
            aria-describedby={`${id}-singles`}
            onChange={(event) => {
              setSingles(event.target.checked);
              prefer('singles', event.target.checked ? 'on' : 'off');
            }}
          />
          {t('settings.singles')}
        </label>
        <p id={`${id}-singles`} className="hint">
          {t('settings.singles.hint')}
        </p>
      </div>
      <label className="tick">
        <input
          type="checkbox"
          checked={sound}
          onChange={(event) => {
            setSound(event.target.checked);
            prefer('sound', event.target.checked ? 'on' : 'off');
          }}
        />
        {t('settings.sound')}
      </label>
      <label className="tick">
        <input
          type="checkbox"
          checked={notify}
          onChange={async (event) => {
            const wanted = event.target.checked;
            const granted = wanted && (await askPermission());
            setNotify(granted);
            setBlocked(wanted && !granted);
            prefer('notify', granted ? 'on' : 'off');
          }}
        />
        {t('settings.notify')}
      </label>
      <p role="status" className="hint">
        {blocked ? t('alert.blocked') : ''}
      </p>
    </Part>
  );
}

function AccountPart({ out }: { out: () => void }) {
  const [problem, setProblem] = useState<string>();
  const leave = async (everywhere: boolean) => {
    setProblem(undefined);
    try {
      await api('POST', '/logout', { everywhere });
      out();
    } catch (error) {
      setProblem(sentence(error));
    }
  };
  return (
    <Part title={t('settings.account')} hint={t('settings.everywhere.hint')}>
      <Problem text={problem} />
      <div className="save">
        <button type="button" className="button" onClick={() => void leave(false)}>
          {t('cmd.logout')}
        </button>
        <button type="button" className="button danger" onClick={() => void leave(true)}>
          {t('settings.everywhere')}
        </button>
      </div>
    </Part>
  );
}

// Log-in, and choosing a workspace when a person is a member of several.

import { type FormEvent, useEffect, useRef, useState } from 'react';
import { ApiError, api, type Choice, keepCsrf, type Me } from '../api.ts';
import { t } from '../words.ts';
import { Field, Problem, Submit, sentence } from './field.tsx';
import { Sheet } from './frame.tsx';

export function LoginPage({ ended, done }: { ended: boolean; done: (me: Me) => void }) {
  const [email, setEmail] = useState('');
  const [password, setPassword] = useState('');
  const [choices, setChoices] = useState<readonly Choice[]>([]);
  const [problem, setProblem] = useState<string>();
  const [busy, setBusy] = useState(false);
  const first = useRef<HTMLInputElement>(null);

  useEffect(() => first.current?.focus(), []);

  const login = async (workspace?: string) => {
    if (busy) return;
    setBusy(true);
    setProblem(undefined);
    try {
      const body = { email: email.trim(), password, ...(workspace === undefined ? {} : { workspace }) };
      done(keepCsrf(await api<Me>('POST', '/login', body)));
    } catch (error) {
      if (error instanceof ApiError && error.code === 'choose_workspace') setChoices(error.workspaces);
      else {
        setChoices([]);
        setProblem(sentence(error));
      }
    } finally {
      setBusy(false);
    }
  };

  if (choices.length > 0) {
    return (
      <Sheet title={t('login.choose')} lead={t('login.choose.lead')}>
        <ul className="choices">
          {choices.map((choice) => (
            <li key={choice.id}>
              <button type="button" className="choice" dir="auto" onClick={() => void login(choice.id)}>
                {choice.name}
              </button>
            </li>
          ))}
        </ul>
        <button type="button" className="button quiet" onClick={() => setChoices([])}>
          {t('login.back')}
        </button>
      </Sheet>
    );
  }

  const submit = (event: FormEvent) => {
    event.preventDefault();
    void login();
  };
  return (
    <Sheet title={t('login.title')} lead={ended ? t('login.ended') : t('login.lead')}>
      <form onSubmit={submit}>
        <Field
          label={t('login.email')}
          name="email"
          type="email"
          dir="ltr"
          autoComplete="username"
          value={email}
          change={setEmail}
          focus={first}
          required
        />
        <Field
          label={t('login.password')}
          name="password"
          type="password"
          dir="ltr"
          autoComplete="current-password"
          value={password}
          change={setPassword}
          required
        />
        <Problem text={problem} />
        <Submit busy={busy}>{t('login.submit')}</Submit>
        <p className="hint">{t('login.forgot')}</p>
      </form>
    </Sheet>
  );
}

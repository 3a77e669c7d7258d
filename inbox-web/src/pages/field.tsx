// The parts that every form shares: a labelled field that says what is wrong beside itself, a button that says that it
// works, a text to copy.

import { type ReactNode, type Ref, useEffect, useId, useRef, useState } from 'react';
import { ApiError } from '../api.ts';
import { t } from '../words.ts';

type FieldProps = {
  label: string;
  name: string;
  value: string;
  change: (value: string) => void;
  hint?: string | undefined;
  wrong?: string | undefined;
  type?: 'text' | 'email' | 'password' | 'number';
  autoComplete?: string;
  /** Names, addresses and codes have the direction of their own words. */
  dir?: 'auto' | 'ltr';
  lines?: number;
  required?: boolean;
  maxLength?: number;
  focus?: Ref<HTMLInputElement>;
  disabled?: boolean;
};

export function Field(props: FieldProps) {
  const id = useId();
  const [shown, setShown] = useState(false);
  const says = props.wrong ?? props.hint;
  const shared = {
    id,
    name: props.name,
    value: props.value,
    dir: props.dir ?? 'auto',
    required: props.required ?? false,
    disabled: props.disabled ?? false,
    maxLength: props.maxLength,
    'aria-invalid': props.wrong !== undefined,
    'aria-describedby': says === undefined ? undefined : `${id}-says`,
  };
  return (
    <div className="field">
      <label htmlFor={id}>{props.label}</label>
      {props.lines === undefined ? (
        <div className="field-row">
          <input
            {...shared}
            ref={props.focus}
            type={props.type === 'password' && shown ? 'text' : (props.type ?? 'text')}
            autoComplete={props.autoComplete ?? 'off'}
            spellCheck={false}
            onChange={(event) => props.change(event.target.value)}
          />
          {props.type === 'password' && (
            <button
              type="button"
              className="field-show"
              aria-pressed={shown}
              aria-controls={id}
              onClick={() => setShown(!shown)}
            >
              {t(shown ? 'field.hide' : 'field.show')}
            </button>
          )}
        </div>
      ) : (
        <textarea {...shared} rows={props.lines} onChange={(event) => props.change(event.target.value)} />
      )}
      {says !== undefined && (
        <p id={`${id}-says`} className={props.wrong === undefined ? 'hint' : 'wrong'}>
          {says}
        </p>
      )}
    </div>
  );
}

/** What went wrong, in a sentence for the reader. */
export function sentence(error: unknown): string {
  if (error instanceof ApiError) {
    if (error.code === 'network') return t('error.network');
    if (error.code === 'login_failed') return t('login.failed');
    if (error.code === 'last_owner') return t('settings.last_owner');
    if (error.status === 429) return t('error.rate_limited', { n: error.retryAfterSecs ?? 60 });
    // The server's own sentence knows more than this page does.
    if (error.message !== '') return error.message;
  }
  return t('error.other');
}

/** An error above the button that caused it; announced when it comes. */
export function Problem({ text }: { text: string | undefined }) {
  return (
    <div role="alert" className="problem-place">
      {text !== undefined && <p className="problem">{text}</p>}
    </div>
  );
}

/** The button of a form. While it works it cannot be pressed twice, and its words stay where they are. */
export function Submit({ busy, children }: { busy: boolean; children: ReactNode }) {
  return (
    <button type="submit" className="button primary" aria-disabled={busy} data-busy={busy || undefined}>
      {children}
    </button>
  );
}

/** A text that is there to be copied. */
export function Copyable({ text, label }: { text: string; label: string }) {
  const [state, setState] = useState<'idle' | 'copied' | 'failed'>('idle');
  const field = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    if (state !== 'copied') return;
    const timer = setTimeout(() => setState('idle'), 2_000);
    return () => clearTimeout(timer);
  }, [state]);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setState('copied');
    } catch {
      // No permission, or a page without a secure context: the text is selected, Ctrl+C does the rest.
      field.current?.select();
      setState('failed');
    }
  };
  return (
    <div className="copyable">
      <textarea
        ref={field}
        readOnly
        dir="ltr"
        rows={Math.min(6, Math.ceil(text.length / 36))}
        value={text}
        aria-label={label}
        onFocus={(event) => event.target.select()}
      />
      <button type="button" className="button" onClick={copy}>
        {t(state === 'copied' ? 'copied' : 'copy')}
      </button>
      <p role="status" className="hint">
        {state === 'failed' ? t('copy.failed') : ''}
      </p>
    </div>
  );
}

// The calm frame around the pages before the inbox, and the states that any page can be in.

import { type ReactNode, useEffect, useState } from 'react';
import { go } from '../router.ts';
import { t } from '../words.ts';

/** Bellhop's mark. Decoration: the words beside it say what it is. */
export function Mark() {
  return (
    <svg className="mark" viewBox="0 0 24 24" width="24" height="24" aria-hidden="true" focusable="false">
      <rect className="mark-ground" width="24" height="24" rx="7" />
      <path
        className="mark-line"
        fill="none"
        strokeWidth="1.6"
        strokeLinecap="round"
        strokeLinejoin="round"
        d="M6.5 15.5h11M7.5 15.5a4.5 4.5 0 0 1 9 0M12 11V9.2M10.8 9h2.4"
      />
    </svg>
  );
}

/** A page with one narrow column. */
export function Sheet({ title, lead, children }: { title: string; lead?: string | undefined; children?: ReactNode }) {
  useEffect(() => {
    document.title = `${title} · Bellhop`;
  }, [title]);
  return (
    <main className="sheet">
      <p className="sheet-brand">
        <Mark />
        <span>Bellhop</span>
      </p>
      <h1 dir="auto">{title}</h1>
      {lead !== undefined && <p className="lead">{lead}</p>}
      {children}
    </main>
  );
}

/** True after 300 ms: what is quicker than that needs no skeleton. */
export function useSlow(): boolean {
  const [slow, setSlow] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setSlow(true), 300);
    return () => clearTimeout(timer);
  }, []);
  return slow;
}

const LINES = ['a', 'b', 'c', 'd', 'e', 'f'] as const;

/** A column of grey lines where words will stand; at most six. */
export function Skeleton({ lines, label }: { lines: number; label: string }) {
  const slow = useSlow();
  return (
    <div className="skeleton" role="status" aria-label={label}>
      {slow && LINES.slice(0, lines).map((line) => <span key={line} className="skeleton-line" />)}
    </div>
  );
}

/** What happened, what is kept, and a button that helps. */
export function Failed(props: { title: string; more: string; action: string; act: () => void }) {
  return (
    <div className="state" role="alert">
      <h2>{props.title}</h2>
      <p>{props.more}</p>
      <button type="button" className="button" onClick={props.act}>
        {props.action}
      </button>
    </div>
  );
}

/** The same, for a whole page. */
export function FailedPage(props: { title: string; more: string; action: string; act: () => void }) {
  return (
    <Sheet title={props.title} lead={props.more}>
      <button type="button" className="button primary" onClick={props.act}>
        {props.action}
      </button>
    </Sheet>
  );
}

/** Goes to another page of this app by a real link, so that a middle click works as well. */
export function Go({ to, className, children }: { to: string; className?: string; children: ReactNode }) {
  return (
    <a
      href={to}
      className={className}
      onClick={(event) => {
        if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
        event.preventDefault();
        go(to);
      }}
    >
      {children}
    </a>
  );
}

/** A link that is no longer good. */
export function Dead({ title, more }: { title: string; more: string }) {
  return (
    <Sheet title={title} lead={more}>
      <Go to="/login" className="button primary">
        {t('dead.login')}
      </Go>
    </Sheet>
  );
}

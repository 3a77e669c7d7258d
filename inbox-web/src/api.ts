// The REST side. One entrance: it adds the CSRF header, reads errors into one shape, and tells when a log-in ended.

import type { CloseCode, Id, Role } from '../../gateway/client/src/protocol.ts';

export type Me = {
  person: { name: string; email: string };
  member: { id: Id; name: string; role: Role; available: boolean };
  workspace: { id: Id; name: string };
  csrf: string;
  snippet: string;
};
export type Workspace = {
  id: Id;
  name: string;
  greeting: string;
  accent: string;
  position: 'left' | 'right';
  allowed_origins: string[];
  agent_cap: number;
  snippet: string;
  content_security_policy: string;
  demo_url?: string;
};
export type Member = {
  id: Id;
  name: string;
  email: string;
  role: Role;
  available: boolean;
  online: boolean;
  open: number;
  created_at: number;
};
export type Invite = { id: Id; email?: string; role: Role; created_at: number; expires_at: number };
export type MadeInvite = { id: Id; link: string; expires_at: number };
export type Key = { id: Id; name: string; created_at: number };
export type Choice = { id: Id; name: string };

/** An answer that is not a success. `code` is `network` when there was none. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly field: string | undefined;
  readonly retryAfterSecs: number | undefined;
  readonly workspaces: readonly Choice[];

  constructor(
    status: number,
    code: string,
    message: string,
    more: {
      field?: string | undefined;
      retryAfterSecs?: number | undefined;
      workspaces?: readonly Choice[] | undefined;
    } = {},
  ) {
    super(message);
    this.status = status;
    this.code = code;
    this.field = more.field;
    this.retryAfterSecs = more.retryAfterSecs;
    this.workspaces = more.workspaces ?? [];
  }
}

/** Why an agent was sent to the log-in page, so that it can say so. */
export type Ended = CloseCode | 'not_logged_in';

let csrf = '';

/** Keeps the CSRF token of an answer that told one. */
export function keepCsrf(me: Me): Me {
  csrf = me.csrf;
  return me;
}

/** Longest wait for an answer: log-in with argon2id on a busy server takes under 2 s. */
const TIMEOUT_MS = 20_000;

/** Asks the server. Throws `ApiError` for everything that is not a 2xx. */
export async function api<T>(method: 'GET' | 'POST' | 'PATCH' | 'DELETE', path: string, body?: object): Promise<T> {
  const headers: Record<string, string> = { Accept: 'application/json' };
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  if (method !== 'GET' && csrf !== '') headers['X-Bellhop-Csrf'] = csrf;
  let response: Response;
  try {
    response = await fetch(`/api/v1${path}`, {
      method,
      headers,
      credentials: 'same-origin',
      cache: 'no-store',
      signal: AbortSignal.timeout(TIMEOUT_MS),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  } catch {
    throw new ApiError(0, 'network', 'The server cannot be reached.');
  }
  if (response.status === 204) return undefined as T;
  let answer: unknown;
  try {
    answer = await response.json();
  } catch {
    answer = undefined;
  }
  if (response.ok) return answer as T;
  const error = (
    answer as { error?: { code?: string; message?: string; field?: string; workspaces?: Choice[] } } | undefined
  )?.error;
  const retry = Number(response.headers.get('Retry-After') ?? '');
  throw new ApiError(response.status, error?.code ?? 'other', error?.message ?? '', {
    field: error?.field,
    retryAfterSecs: Number.isFinite(retry) && retry > 0 ? retry : undefined,
    workspaces: error?.workspaces,
  });
}

/** Who is logged in; throws `not_logged_in`. */
export async function me(): Promise<Me> {
  return keepCsrf(await api<Me>('GET', '/me'));
}

/** A fresh token for the socket's first frame: good for 60 s, so it is asked for at each connection. */
export async function socketToken(): Promise<string> {
  return (await api<{ token: string }>('POST', '/socket-token', {})).token;
}

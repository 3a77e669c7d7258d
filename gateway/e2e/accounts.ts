// Owner and agents, made over the REST API as the inbox does it (contract: /api/v1/openapi.json).
import type { BrowserContext } from '@playwright/test';
import type { Bellhop } from './server.ts';

export interface Account {
  name: string;
  email: string;
  password: string;
  memberId: string;
  workspaceId: string;
  /** The value of the `bellhop_session` cookie. */
  session: string;
  csrf: string;
  snippet: string;
}

interface Me {
  member: { id: string };
  workspace: { id: string };
  csrf: string;
  snippet: string;
}

/** A request to the API; an answer that is no success is an error with the server's own words. */
export async function api(
  bellhop: Bellhop,
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE',
  path: string,
  options: { body?: unknown; as?: Account } = {},
): Promise<Response> {
  const headers: Record<string, string> = {};
  if (options.body !== undefined) headers['content-type'] = 'application/json';
  if (options.as !== undefined) {
    headers.cookie = `bellhop_session=${options.as.session}`;
    headers['x-bellhop-csrf'] = options.as.csrf;
  }
  const body = options.body === undefined ? null : JSON.stringify(options.body);
  const answer = await fetch(bellhop.url + path, { method, headers, body });
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  return answer;
}

/** Uses the set-up link: the first workspace and its owner. */
export async function setUp(
  bellhop: Bellhop,
  person = { name: 'Olive Owner', email: 'olive@example.com', password: 'correct horse battery' },
  workspace = 'Northwind Tea',
): Promise<Account> {
  const token = bellhop.setupLink.split('#')[1];
  const answer = await api(bellhop, 'POST', '/api/v1/setup', { body: { token, workspace_name: workspace, ...person } });
  return account(answer, person);
}

/** Invites somebody by link and accepts it. */
export async function addAgent(
  bellhop: Bellhop,
  owner: Account,
  person = { name: 'Amir Agent', email: 'amir@example.com', password: 'battery horse correct' },
): Promise<Account> {
  const invite = await api(bellhop, 'POST', '/api/v1/invites', { body: { email: person.email }, as: owner });
  const { link } = (await invite.json()) as { link: string };
  const answer = await api(bellhop, 'POST', '/api/v1/invites/accept', {
    body: { token: link.split('#')[1], ...person },
  });
  return account(answer, person);
}

/** Makes a browser context one in which this person is logged in. */
export async function logIn(context: BrowserContext, bellhop: Bellhop, person: Account): Promise<void> {
  await context.addCookies([
    { name: 'bellhop_session', value: person.session, url: bellhop.url, httpOnly: true, sameSite: 'Lax' },
  ]);
}

async function account(answer: Response, person: { name: string; email: string; password: string }): Promise<Account> {
  const session = answer.headers
    .getSetCookie()
    .map((it) => it.match(/^bellhop_session=([^;]+)/)?.[1])
    .find((it) => it !== undefined);
  if (session === undefined) throw new Error('the answer set no session cookie');
  const me = (await answer.json()) as Me;
  return {
    ...person,
    memberId: me.member.id,
    workspaceId: me.workspace.id,
    session,
    csrf: me.csrf,
    snippet: me.snippet,
  };
}

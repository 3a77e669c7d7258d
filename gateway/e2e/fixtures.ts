// What every browser test starts from: a server of its own, an owner, and browsers that report what went wrong in them.
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { type BrowserContext, type BrowserContextOptions, test as base, expect, type Page } from '@playwright/test';
import { type Account, setUp } from './accounts.ts';
import { Bellhop } from './server.ts';

/** `no network`: the test takes the server or the network away. Else an answer: its status and the path asked for. */
type Trouble = 'no network' | `${number} /${string}`;

interface Fixtures {
  /** Configuration of the test's server beyond the tests' own (`BELLHOP_<SECTION>__<KEY>`). */
  configuration: Record<string, string>;
  /** Runs on temporary data, with the demo page on. */
  bellhop: Bellhop;
  /** The first workspace's owner; the set-up link is used up. */
  owner: Account;
  /**
   * What the test expects to go wrong; it says so before it does. An answer of status 400 or above that was not
   * announced fails the test, and so does an announced one that did not come.
   */
  announced: Set<Trouble>;
  /**
   * Watches all pages of a browser context. Content-Security-Policy reports, uncaught errors, errors on the console,
   * answers that are no success and were not `announced`, dialogs, and requests to anything but the test's server fail
   * the test at its end. The `context` and every context of `another` are watched; `origins` are further servers of the
   * test.
   */
  watch: (context: BrowserContext, origins?: string[]) => Promise<void>;
  /** Another person's browser. */
  another: (options?: BrowserContextOptions) => Promise<BrowserContext>;
}

/** What Chromium itself says of a connection that is not there. */
const NO_NETWORK = /^Failed to load resource: net::ERR_|^WebSocket connection to|net::ERR_/;

/** And of an answer that is no success; the answers are watched themselves. */
const REFUSED = /^Failed to load resource: the server responded with a status of/;

export const test = base.extend<Fixtures>({
  configuration: [{}, { option: true }],
  bellhop: async ({ configuration }, use, info) => {
    const bellhop = await Bellhop.start(configuration);
    await use(bellhop);
    if (info.status !== info.expectedStatus) {
      await info.attach('server.log', { body: bellhop.output.join('\n'), contentType: 'text/plain' });
    }
    await bellhop.remove();
  },
  owner: async ({ bellhop }, use) => {
    await use(await setUp(bellhop));
  },
  // biome-ignore lint/correctness/noEmptyPattern: Playwright reads from the pattern what the fixture needs.
  announced: async ({}, use) => {
    await use(new Set());
  },
  watch: async ({ bellhop, announced }, use) => {
    const complaints: string[] = [];
    const answers = new Set<string>();
    const own = new Set([bellhop.url, bellhop.otherOriginUrl]);
    const watched = new WeakSet<BrowserContext>();
    await use(async (context, origins = []) => {
      for (const origin of origins) own.add(origin);
      if (watched.has(context)) return;
      watched.add(context);
      const fetched = (kind: string, address: string) => {
        const { origin, protocol } = new URL(address.replace(/^ws/, 'http'));
        if (/^https?:$/.test(protocol) && !own.has(origin)) complaints.push(`${kind} of a third party: ${address}`);
      };
      context.on('weberror', (error) => complaints.push(`uncaught: ${error.error().message}`));
      context.on('console', (message) => {
        const text = message.text();
        const isExpected = REFUSED.test(text) || (announced.has('no network') && NO_NETWORK.test(text));
        if (message.type() === 'error' && !isExpected) complaints.push(`console: ${text}`);
      });
      context.on('response', (response) => {
        if (response.status() < 400) return;
        const answer: Trouble = `${response.status()} /${new URL(response.url()).pathname.slice(1)}`;
        answers.add(answer);
        // Whether somebody is logged in is asked by asking who.
        if (answer !== '401 /api/v1/me' && !announced.has(answer)) complaints.push(`answer: ${answer}`);
      });
      context.on('dialog', (dialog) => {
        complaints.push(`dialog: ${dialog.message()}`);
        void dialog.dismiss();
      });
      context.on('request', (request) => fetched('request', request.url()));
      context.on('page', (page) => page.on('websocket', (socket) => fetched('socket', socket.url())));
      // The console says most violations; the event says every one.
      await context.addInitScript(() => {
        addEventListener('securitypolicyviolation', (event) => {
          console.error(`policy: ${event.violatedDirective} refused ${event.blockedURI} ${event.sample}`);
        });
      });
    });
    expect(complaints).toEqual([]);
    const missed = [...announced].filter((one) => one !== 'no network' && !answers.has(one));
    expect(missed, 'announced, and did not come').toEqual([]);
  },
  context: async ({ context, watch }, use) => {
    await watch(context);
    await use(context);
  },
  another: async ({ browser, watch, contextOptions }, use) => {
    const opened: BrowserContext[] = [];
    await use(async (options = {}) => {
      const context = await browser.newContext({ ...contextOptions, ...options });
      opened.push(context);
      await watch(context);
      return context;
    });
    for (const context of opened) await context.close();
  },
});

export { expect };

/**
 * What axe-core finds when nothing moves any more, as one line a violation; run in the page without touching its
 * Content-Security-Policy. What `exclude` selects is left out.
 */
export async function axe(page: Page, exclude: string[] = []): Promise<string[]> {
  const source = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
  await page.evaluate(source);
  return page.evaluate(async (without) => {
    interface Violation {
      id: string;
      impact: string;
      help: string;
      nodes: { target: unknown[] }[];
    }
    const run = (
      globalThis as unknown as { axe: { run(context: { exclude: string[] }): Promise<{ violations: Violation[] }> } }
    ).axe;
    // What fades in has less contrast for that moment. Those that never end do not fade.
    const roots = (root: Document | ShadowRoot): (Document | ShadowRoot)[] => [
      root,
      ...[...root.querySelectorAll('*')].flatMap((it) => (it.shadowRoot ? roots(it.shadowRoot) : [])),
    ];
    const moving = roots(document)
      .flatMap((root) => root.getAnimations())
      .filter((it) => it.effect?.getComputedTiming().endTime !== Number.POSITIVE_INFINITY);
    // One that is taken off the page before its end is over as well.
    await Promise.allSettled(moving.map((it) => it.finished));
    const { violations } = await run.run({ exclude: without });
    return violations.map(
      (it) => `${it.id} (${it.impact}): ${it.help}: ${it.nodes.map((node) => JSON.stringify(node.target)).join(', ')}`,
    );
  }, exclude);
}

/** Keeps a picture of the view (of the `whole` page, if said) among the artefacts of `target/e2e-artefacts/views`. */
export async function picture(page: Page, name: string, whole = false): Promise<void> {
  const artefacts = test.info().config.metadata.artefacts as string;
  await page.screenshot({ path: `${artefacts}/views/${name}.png`, animations: 'disabled', fullPage: whole });
}

// What every browser test starts from: a server of its own, an owner, and pages that report what went wrong in them.
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { test as base, expect, type Page } from '@playwright/test';
import { type Account, setUp } from './accounts.ts';
import { Bellhop } from './server.ts';

interface Fixtures {
  /** Runs on temporary data, with the demo page on. */
  bellhop: Bellhop;
  /** The first workspace's owner; the set-up link is used up. */
  owner: Account;
  /** Pages whose Content-Security-Policy reports and uncaught errors fail the test at its end. */
  watch: (page: Page) => void;
}

export const test = base.extend<Fixtures>({
  // biome-ignore lint/correctness/noEmptyPattern: Playwright reads from the pattern which fixtures are needed.
  bellhop: async ({}, use, info) => {
    const bellhop = await Bellhop.start();
    await use(bellhop);
    if (info.status !== info.expectedStatus) {
      await info.attach('server.log', { body: bellhop.output.join('\n'), contentType: 'text/plain' });
    }
    await bellhop.remove();
  },
  owner: async ({ bellhop }, use) => {
    await use(await setUp(bellhop));
  },
  // biome-ignore lint/correctness/noEmptyPattern: as above.
  watch: async ({}, use) => {
    const complaints: string[] = [];
    await use((page) => {
      page.on('pageerror', (error) => complaints.push(`uncaught: ${error.message}`));
      page.on('console', (message) => {
        // Chromium says refused content and Trusted Types violations on the console, whatever the page does.
        if (/Content Security Policy|TrustedHTML|TrustedScript/.test(message.text())) {
          complaints.push(`policy: ${message.text()}`);
        }
      });
    });
    expect(complaints).toEqual([]);
  },
});

export { expect };

/** What axe-core finds, as one line a violation; run in the page without touching its Content-Security-Policy. */
export async function axe(page: Page): Promise<string[]> {
  const source = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
  await page.evaluate(source);
  return page.evaluate(async () => {
    interface Violation {
      id: string;
      impact: string;
      help: string;
      nodes: { target: unknown[] }[];
    }
    const run = (globalThis as unknown as { axe: { run(): Promise<{ violations: Violation[] }> } }).axe;
    const { violations } = await run.run();
    return violations.map(
      (it) => `${it.id} (${it.impact}): ${it.help}: ${it.nodes.map((node) => JSON.stringify(node.target)).join(', ')}`,
    );
  });
}

/** Keeps a picture of the view among the artefacts of `target/e2e-artefacts/views`. */
export async function picture(page: Page, name: string): Promise<void> {
  const artefacts = test.info().config.metadata.artefacts as string;
  await page.screenshot({ path: `${artefacts}/views/${name}.png` });
}

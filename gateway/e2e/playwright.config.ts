import { fileURLToPath } from 'node:url';
import { defineConfig } from '@playwright/test';

// Everything that a run leaves behind lies in target/, out of git.
const artefacts =
  process.env.BELLHOP_ARTEFACTS ?? fileURLToPath(new URL('../../target/e2e-artefacts', import.meta.url));

export default defineConfig({
  testDir: 'specs',
  outputDir: `${artefacts}/runs`,
  // One at a time: each test has a server and two browsers of its own, and the machine has two cores.
  workers: 1,
  fullyParallel: false,
  // A test that holds only on the second try holds nothing.
  retries: 0,
  forbidOnly: true,
  timeout: 60_000,
  expect: { timeout: 10_000 },
  reporter: [['list'], ['./tally.ts']],
  metadata: { artefacts },
  use: {
    browserName: 'chromium',
    viewport: { width: 1280, height: 800 },
    locale: 'en-GB',
    timezoneId: 'UTC',
    actionTimeout: 10_000,
    trace: 'retain-on-failure',
    screenshot: 'only-on-failure',
    launchOptions: {
      // Debian's; Playwright's own download is not used.
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
      args: [
        // The sandbox needs a user other than root.
        '--no-sandbox',
        // Nothing but the pages under test may use the network.
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-default-apps',
        '--disable-sync',
        '--no-first-run',
        '--no-default-browser-check',
        // Containers give /dev/shm 64 MB.
        '--disable-dev-shm-usage',
      ],
    },
  },
});

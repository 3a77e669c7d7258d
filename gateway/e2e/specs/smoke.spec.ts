import { logIn } from '../accounts.ts';
import { expect, picture, test } from '../fixtures.ts';

test('a new server shows its set-up page, and the link works once', async ({ page, bellhop, watch }) => {
  watch(page);
  await page.goto(bellhop.setupLink);
  await expect(page.getByRole('heading', { name: 'Set up Bellhop' })).toBeVisible();
  await page.getByLabel('Workspace name').fill('Northwind Tea');
  await page.getByLabel('Your name').fill('Olive Owner');
  await page.getByLabel('E-mail').fill('olive@example.com');
  await page.getByLabel('Password').fill('correct horse battery');
  await page.getByRole('button', { name: 'Make the workspace' }).click();
  await expect(page.getByText('Put this line on your site')).toBeVisible();
  await picture(page, 'set-up-done');

  const link = bellhop.setupLink;
  await page.context().clearCookies();
  await page.goto('about:blank');
  await page.goto(link);
  await expect(page.getByText('This set-up link is no longer good')).toBeVisible();
});

test('the demo page carries the bubble, and the inbox opens for who is logged in', async ({
  page,
  bellhop,
  owner,
  watch,
}) => {
  watch(page);
  await page.goto(`${bellhop.url}/demo`);
  // In an open shadow root, which locators pierce.
  await expect(page.locator('button.bubble')).toBeVisible();
  await picture(page, 'demo');

  await logIn(page.context(), bellhop, owner);
  await page.goto(`${bellhop.url}/inbox`);
  await expect(page.getByText('Nothing waits for you')).toBeVisible();
  await picture(page, 'inbox-empty');
});

test('what was set up is there after a kill -9 and a restart', async ({ page, bellhop, owner }) => {
  await bellhop.kill9();
  await bellhop.restart();
  await logIn(page.context(), bellhop, owner);
  await page.goto(`${bellhop.url}/inbox`);
  await expect(page.getByText('Nothing waits for you')).toBeVisible();
});

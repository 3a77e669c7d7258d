import { addAgent } from '../accounts.ts';
import { expect, picture, test } from '../fixtures.ts';
import { Inbox } from '../inbox.ts';

test('a set-up link makes workspace and owner once, and a link brings in a second agent', async ({
  page,
  context,
  bellhop,
  another,
  announced,
}) => {
  announced.add('410 /api/v1/setup/look').add('410 /api/v1/invites/look');
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  const link = bellhop.setupLink;
  await page.goto(link);
  await expect(page.getByRole('heading', { name: 'Set up Bellhop' })).toBeVisible();
  await page.getByLabel('Workspace name').fill('Northwind Tea');
  await page.getByLabel('Your name').fill('Olive Owner');
  await page.getByLabel('E-mail').fill('olive@example.com');
  await page.getByLabel('Password').fill('correct horse battery');
  await page.getByRole('button', { name: 'Make the workspace' }).click();
  await expect(page.getByText('Put this line on your site')).toBeVisible();
  // The token is used up, and does not stay in the history.
  expect(page.url()).toBe(`${bellhop.url}/setup`);

  const copy = page.getByRole('button', { name: 'Copy' });
  await copy.click();
  await expect(page.getByRole('button', { name: 'Copied' })).toBeVisible();
  const snippet = await page.evaluate(() => navigator.clipboard.readText());
  expect(snippet).toMatch(
    /^<script data-workspace="[0-9a-f]{32}" data-bellhop="http:\/\/[\d.:]+">.*import\("http:\/\/[\d.:]+\/bellhop\.js"\)\.catch\(\(\)=>\{\}\)\)<\/script>$/,
  );

  await page.getByRole('button', { name: 'Make an invite link' }).click();
  const invite = await page.getByRole('textbox', { name: 'Invite a colleague' }).inputValue();
  expect(invite).toContain(`${bellhop.url}/invite#`);
  await page.getByRole('button', { name: 'Open the inbox' }).click();
  await expect(page.getByText('Nothing waits for you')).toBeVisible();

  const colleague = await (await another()).newPage();
  await colleague.goto(invite);
  await expect(colleague.getByRole('heading', { name: 'Join Northwind Tea' })).toBeVisible();
  await picture(colleague, 'invite');
  await colleague.getByLabel('Your name').fill('Amir Agent');
  await colleague.getByLabel('E-mail').fill('amir@example.com');
  await colleague.getByLabel('Password').fill('battery horse correct');
  await colleague.getByRole('button', { name: 'Join' }).click();
  await expect(colleague.getByText('Nothing waits for you')).toBeVisible();
  // Each sees the other come, without a reload.
  await expect(page.locator('.team')).toContainText('Amir Agent');
  await expect(colleague.locator('.team')).toContainText('Olive Owner');

  const stranger = await (await another()).newPage();
  await stranger.goto(link);
  await expect(stranger.getByText('This set-up link is no longer good')).toBeVisible();
  await stranger.goto('about:blank');
  await stranger.goto(invite);
  await expect(stranger.getByText('This invite is no longer good')).toBeVisible();
});

test('log-out ends the session, and everywhere means every browser', async ({
  bellhop,
  owner,
  context,
  another,
  announced,
}) => {
  announced.add('401 /api/v1/login');
  const first = await Inbox.of(context, bellhop, owner);
  const second = await Inbox.of(context, bellhop, owner);
  await first.page.getByRole('button', { name: 'Log out' }).click();
  await expect(first.page.getByRole('heading', { name: 'Log in' })).toBeVisible();
  // The other tab of this browser had the same session.
  await expect(second.page.getByRole('heading', { name: 'Log in' })).toBeVisible();

  const logIn = async (inbox: Inbox['page']) => {
    await inbox.getByLabel('E-mail').fill(owner.email);
    await inbox.getByLabel('Password').fill(owner.password);
    await inbox.getByRole('button', { name: 'Log in' }).click();
    await expect(inbox.getByText('Nothing waits for you')).toBeVisible();
  };
  await first.page.getByLabel('E-mail').fill(owner.email);
  await first.page.getByLabel('Password').fill('not the password');
  await first.page.getByRole('button', { name: 'Log in' }).click();
  await expect(first.page.getByText('E-mail and password do not match.')).toBeVisible();
  await logIn(first.page);

  const elsewhere = await (await another()).newPage();
  await elsewhere.goto(`${bellhop.url}/login`);
  await logIn(elsewhere);
  await first.page.getByRole('link', { name: 'Settings' }).click();
  await first.page.getByRole('button', { name: 'Log out everywhere' }).click();
  await expect(first.page.getByRole('heading', { name: 'Log in' })).toBeVisible();
  await expect(elsewhere.getByText('You were logged out.')).toBeVisible();
});

test('a removed agent is out of every tab at once', async ({ bellhop, owner, context, another }) => {
  const amir = await addAgent(bellhop, owner);
  const theirs = await another();
  const tabs = [await Inbox.of(theirs, bellhop, amir), await Inbox.of(theirs, bellhop, amir, '/inbox/open')];
  const { page } = await Inbox.of(context, bellhop, owner);
  await page.getByRole('link', { name: 'Settings' }).click();
  await page.getByRole('button', { name: 'Remove Amir Agent' }).click();
  await page.getByRole('group', { name: 'Remove' }).getByRole('button', { name: 'Remove Amir Agent' }).click();
  await expect(page.getByText(amir.email)).toHaveCount(0);
  for (const tab of tabs) await expect(tab.page.getByText('You were logged out.')).toBeVisible();
  const again = await theirs.newPage();
  await again.goto(`${bellhop.url}/inbox`);
  await expect(again.getByRole('heading', { name: 'Log in' })).toBeVisible();
});

test('every page of the inbox can be reloaded where it is', async ({ bellhop, owner, context }) => {
  const { page } = await Inbox.of(context, bellhop, owner);
  await page.getByRole('link', { name: 'Settings' }).click();
  await expect(page.getByRole('heading', { name: 'Settings' })).toBeVisible();
  await page.reload();
  await expect(page.getByRole('heading', { name: 'Settings' })).toBeVisible();
  for (const view of ['Mine', 'Unassigned', 'All open', 'Resolved']) {
    await page.goto(`${bellhop.url}/inbox`);
    await page.getByRole('link', { name: view }).click();
    await page.reload();
    await expect(page.getByRole('heading', { name: view, level: 1 })).toBeVisible();
  }
});

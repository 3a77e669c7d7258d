import { axe, expect, picture, test } from '../fixtures.ts';
import { Inbox } from '../inbox.ts';

for (const colorScheme of ['light', 'dark'] as const) {
  test.describe(colorScheme, () => {
    test.use({ colorScheme });

    test(`the operator’s link sets a new password once, and ends the other log-ins (${colorScheme})`, async ({
      page,
      bellhop,
      owner,
      another,
      announced,
    }) => {
      announced.add('401 /api/v1/login').add('410 /api/v1/password/reset');
      const elsewhere = await Inbox.of(await another(), bellhop, owner);
      const printed = await bellhop.command('user', 'reset-password', '--email', owner.email);
      const link = printed.trim();
      expect(link.startsWith(`${bellhop.url}/reset#`)).toBe(true);

      await page.goto(link);
      await expect(page.getByRole('heading', { name: 'Choose a new password' })).toBeVisible();
      expect(await axe(page), 'new password').toEqual([]);
      for (const size of [
        { width: 1920, height: 1080 },
        { width: 1280, height: 800 },
        { width: 768, height: 1024 },
        { width: 360, height: 740 },
      ]) {
        await page.setViewportSize(size);
        await picture(page, `inbox-reset-${size.width}-${colorScheme}`);
        expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
      }
      await page.setViewportSize({ width: 1280, height: 800 });

      const save = page.getByRole('button', { name: 'Save and log in' });
      await page.getByLabel('Password').fill('short');
      await save.click();
      await expect(page.getByLabel('Password')).toHaveAttribute('aria-invalid', 'true');
      expect(await axe(page), 'too short').toEqual([]);
      await expect(elsewhere.page.getByText('Nothing waits for you')).toBeVisible();

      const password = 'staple battery horse';
      await page.getByLabel('Password').fill(password);
      await save.click();
      await expect(page.getByText('Nothing waits for you')).toBeVisible();
      expect(page.url()).not.toContain('#');
      await expect(elsewhere.page.getByText('You were logged out.')).toBeVisible();

      // The old password is no good there, the new one is.
      await elsewhere.page.getByLabel('E-mail').fill(owner.email);
      await elsewhere.page.getByLabel('Password').fill(owner.password);
      await elsewhere.page.getByRole('button', { name: 'Log in' }).click();
      await expect(elsewhere.page.getByText('E-mail and password do not match.')).toBeVisible();
      await elsewhere.page.getByLabel('Password').fill(password);
      await elsewhere.page.getByRole('button', { name: 'Log in' }).click();
      await expect(elsewhere.page.getByText('Nothing waits for you')).toBeVisible();

      const late = await (await another()).newPage();
      await late.goto(link);
      await late.getByLabel('Password').fill('somebody else entirely');
      await late.getByRole('button', { name: 'Save and log in' }).click();
      await expect(late.getByText('This reset link is no longer good')).toBeVisible();
      expect(await axe(late), 'dead link').toEqual([]);
      await picture(late, `inbox-reset-dead-${colorScheme}`);
      // It changed nothing.
      await page.reload();
      await expect(page.getByText('Nothing waits for you')).toBeVisible();
    });
  });
}

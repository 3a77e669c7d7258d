// What the widget does to the page that carries it.
import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import { expect, test } from '../fixtures.ts';
import { Widget } from '../widget.ts';

async function serve(listener: RequestListener): Promise<{ url: string; server: Server }> {
  const server = createServer(listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port was given');
  return { url: `http://127.0.0.1:${address.port}`, server };
}

/** How late the slow server of a test answers, ms. Only the order of events is compared, so it may be anything. */
const LATE = 2_000;

/** The plain form, which standing in the page counts into its load event (HTML, "delay the load event"). */
const plain = (url: string, workspace: string) =>
  `<script async src="${url}/bellhop.js" data-workspace="${workspace}"></script>`;

const CASES = [
  {
    promise: 'the host page’s load event does not wait for a Bellhop that is slow in everything',
    isSlow: () => true,
    event: 'load',
    form: 'snippet',
  },
  {
    promise: 'with the plain script element the load event waits for nothing but the loader itself',
    isSlow: (path: string) => path !== '/bellhop.js',
    event: 'load',
    form: 'plain',
  },
  {
    promise: 'with the plain script element the page is interactive without waiting for a slow loader',
    isSlow: () => true,
    event: 'DOMContentLoaded',
    form: 'plain',
  },
] as const;

for (const { promise, isSlow, event, form } of CASES) {
  test(promise, async ({ page, bellhop, owner, context, watch }) => {
    const told: string[] = [];
    const bell = await serve(async (request, response) => {
      const path = request.url ?? '/';
      const answer = await fetch(bellhop.url + path);
      const body = Buffer.from(await answer.arrayBuffer());
      const respond = () => {
        if (isSlow(path)) told.push(`answered ${path}`);
        response.writeHead(answer.status, {
          'content-type': answer.headers.get('content-type') ?? 'text/plain',
          'access-control-allow-origin': '*',
        });
        response.end(body);
      };
      setTimeout(respond, isSlow(path) ? LATE : 0);
    });
    const snippet =
      form === 'plain' ? plain(bell.url, owner.workspaceId) : owner.snippet.replaceAll(bellhop.url, bell.url);
    const shop = await serve((request, response) => {
      if (request.url?.startsWith('/told/')) told.push(request.url.slice(6));
      response.writeHead(200, { 'content-type': 'text/html' });
      response.end(`<!doctype html><title>A shop</title><link rel="icon" href="data:,">${snippet}<h1>A shop</h1>`);
    });
    try {
      await watch(context, [bell.url, shop.url]);
      await page.addInitScript((name) => addEventListener(name, () => void fetch(`/told/${name}`)), event);
      await page.goto(shop.url, { waitUntil: 'commit' });
      // Late, the bubble is there all the same.
      await expect(new Widget(page).bubble).toBeVisible({ timeout: 4 * LATE });
      expect(told).toContain(event);
      expect(told.indexOf(event)).toBeLessThan(told.findIndex((one) => one.startsWith('answered')));
    } finally {
      for (const { server } of [bell, shop]) {
        server.closeAllConnections();
        server.close();
      }
    }
  });
}

test('before it is wanted the widget fetches its loader and settings, and nothing else', async ({
  page,
  context,
  bellhop,
  owner,
}) => {
  const asked: string[] = [];
  const sockets: string[] = [];
  page.on('request', (request) => asked.push(request.url()));
  page.on('websocket', (socket) => sockets.push(socket.url()));
  await page.goto(bellhop.otherOriginUrl);
  const widget = new Widget(page);
  await expect(widget.bubble).toBeVisible();
  await page.waitForLoadState('networkidle');
  expect(asked.filter((url) => !url.startsWith(bellhop.otherOriginUrl) && !url.startsWith('data:'))).toEqual([
    `${bellhop.url}/bellhop.js`,
    `${bellhop.url}/api/v1/widget/${owner.workspaceId}`,
  ]);
  const nothing = async () => {
    expect(await context.cookies()).toEqual([]);
    expect(page.frames()).toHaveLength(1);
    const cookies = await page.evaluate(() => document.cookie);
    expect(cookies).toBe('');
  };
  expect(sockets).toEqual([]);
  expect(await page.evaluate(() => localStorage.length + sessionStorage.length)).toBe(0);
  await nothing();

  // Pointing at it fetches the chat, and still says nothing to the server.
  await widget.bubble.hover();
  await expect.poll(() => asked.some((url) => url.includes('/widget/assets/'))).toBe(true);
  await page.waitForLoadState('networkidle');
  expect(sockets).toEqual([]);
  await widget.open();
  await expect.poll(() => sockets).toHaveLength(1);
  await widget.sent('Hello');
  await nothing();
});

test('a page where Bellhop cannot be reached is a page without a bubble, and nothing worse', async ({
  page,
  context,
  bellhop,
  owner,
  watch,
  announced,
}) => {
  announced.add('no network');
  const shop = await serve((_, response) => {
    response.writeHead(200, { 'content-type': 'text/html' });
    response.end(`<!doctype html><title>A shop</title><link rel="icon" href="data:,">${owner.snippet}<h1>A shop</h1>`);
  });
  try {
    await watch(context, [shop.url]);
    await bellhop.kill9();
    await page.goto(shop.url);
    await expect(page.getByRole('heading', { name: 'A shop' })).toBeVisible();
    await expect(new Widget(page).bubble).toHaveCount(0);
  } finally {
    shop.server.closeAllConnections();
    shop.server.close();
  }
});

test('the host page’s own styles and the widget’s do not touch each other', async ({ page, context, owner, watch }) => {
  const styled = (snippet: string) =>
    `<!doctype html><title>A shop</title><link rel="icon" href="data:,"><style>
     * { color: rgb(255, 0, 0) !important; font-size: 40px !important; margin: 9px !important }
     button { background: rgb(255, 255, 0) !important; display: none !important } div { display: flex !important; opacity: .5 }
     </style>${snippet}<h1>A shop</h1>`;
  const shop = await serve((request, response) => {
    response.writeHead(200, { 'content-type': 'text/html' });
    response.end(styled(request.url === '/without' ? '' : owner.snippet));
  });
  try {
    await watch(context, [shop.url]);
    const measure = () =>
      page.evaluate(() => {
        const box = document.querySelector('h1')?.getBoundingClientRect();
        return [box?.x, box?.y, box?.width, box?.height, document.documentElement.scrollWidth];
      });
    await page.goto(`${shop.url}/without`);
    const without = await measure();
    const widget = await Widget.opened(page, `${shop.url}/with`);
    await widget.sent('Hello');
    expect(await measure()).toEqual(without);
    const bubble = await widget.own.first().evaluate((one) => getComputedStyle(one).fontSize);
    expect(bubble).toBe('15px');
  } finally {
    shop.server.closeAllConnections();
    shop.server.close();
  }
});

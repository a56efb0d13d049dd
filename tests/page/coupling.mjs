// What lies between the writer and the reader: names, troubles, the diary, and that nothing is lost.

import { strict as assert } from 'node:assert';
import { readFileSync, readdirSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { Echo } from './harness.mjs';
import { UNREACHABLE, count, random, test } from './registry.mjs';

// The boxes of the way of a line, as texts.
const stops = (visit) => visit.page.locator('#stops li').allTextContents();
const happened = (visit, words) => visit.shows('entries', words);

// A mirror of `echo`, and a visit to its page.
async function mirrored({ visit, echo }, body) {
  const mirror = new Echo();
  try {
    await mirror.start('--upstream', `${echo.url}data`, '--name', 'mirror-a');
    await visit.open(mirror.url);
    await visit.isConnected();
    await body(mirror);
  } finally {
    await mirror.end();
  }
}

test('the way of a line is drawn, with the names of all who pass it on', { lines: count(1, 9), options: ['--name', 'numbers-0'], complaints: UNREACHABLE }, async ({ visit, echo }) => {
  await visit.shows('stops', /^data.*numbers-0.*this browser connected$/);
  // What a mirror says that has learned the names of its upstream.
  await visit.page.route('**/readyz', async (route) => {
    const answer = await route.fetch();
    const said = await answer.json();
    if (said.name === 'mirror-a') Object.assign(said, { served_by: ['numbers-0', 'mirror-a'], upstream: 'numbers' });
    await route.fulfill({ response: answer, json: said });
  });
  await mirrored({ visit, echo }, async () => {
    await visit.shows('stops', /data at numbers.*numbers-0.*mirror-a mirror, has all.*this browser connected/);
    assert.equal((await stops(visit)).length, 4);
  });
  await visit.page.unrouteAll({ behavior: 'ignoreErrors' });
});

test('a mirror that is cut off says so, and when it is back', { lines: random(300), options: ['--name', 'numbers-0'], complaints: UNREACHABLE }, async ({ visit, echo }) => {
  await mirrored({ visit, echo }, async () => {
    await echo.kill();
    await visit.shows('word', 'Cut off');
    await visit.shows('meaning', /^the upstream is away: ./);
    await happened(visit, /upstream away: /);
    assert.equal(await visit.page.locator('#stops .cut').count(), 1);
    await visit.picture('mirror-cut-off');
    echo.append('12345');
    await echo.start('--name', 'numbers-0');
    await visit.shows('newest', '12345');
    await happened(visit, /upstream back/);
    await visit.isConnected();
    await visit.counted('1');
  });
});

test('a restarted server and a replaced file stand in the diary and in the plot', { lines: random(300), complaints: UNREACHABLE }, async ({ visit, echo }) => {
  await visit.isConnected();
  await visit.page.waitForFunction(() => performance.getEntriesByType('resource').some(({ name }) => name.endsWith('/metrics')));
  await echo.kill();
  await visit.shows('word', 'Reconnecting');
  echo.append('10');
  await echo.start();
  await happened(visit, /gap of [\d.]+ s: no connection/);
  await happened(visit, /server restarted/);
  await visit.counted('1');
  assert.match(await visit.page.locator('#moments').getAttribute('d'), /^M\d+ 0v100/);
  const generation = await visit.text('generation');
  echo.replace(...random(400).slice(300));
  await happened(visit, new RegExp(`file replaced: generation ${generation} to (?!${generation})[0-9a-f]{16}`));
  await visit.shows('count', '100');
  await visit.picture('file-replaced');
});

test('an answer by another replica stands in the diary', { lines: count(1, 9), options: ['--name', 'echo-a'], complaints: UNREACHABLE }, async ({ visit, echo }) => {
  await visit.isConnected();
  await echo.kill();
  await echo.start('--name', 'echo-b');
  await happened(visit, /answered by another replica: echo-a to echo-b/);
  echo.append('10');
  await visit.counted('1');
});

test('what is lost, and what comes twice, is told', { lines: count(1, 9), complaints: UNREACHABLE }, async ({ visit, echo }) => {
  await visit.isConnected();
  await echo.kill();
  // A proxy that loses a line, and sends another one twice.
  await visit.page.route('**/data?offset=*', async (route) => {
    const { pathname, searchParams } = new URL(route.request().url());
    const [generation, at] = searchParams.get('offset').split('_');
    const offset = (n) => `${generation}_${String(+at + n).padStart(at.length, '0')}`;
    assert.equal(pathname, '/data');
    await route.fulfill({ headers: { 'Content-Type': 'text/event-stream' }, body:
      `event: data\nid: ${offset(6)}\ndata: 10\ndata:\n\nevent: data\nid: ${offset(9)}\ndata: 12\ndata: 12\ndata:\n\n` });
  });
  await echo.start();
  await visit.shows('new', '3 lines, 3 B lost, 3 B twice');
  await visit.page.unrouteAll({ behavior: 'ignoreErrors' });
});

test('paused says paused, and how much came', { lines: ['1'] }, async ({ visit, echo }) => {
  await visit.isConnected();
  await visit.page.getByRole('button', { name: 'Pause' }).click();
  await visit.shows('word', 'Paused');
  echo.append('2', '3');
  await visit.shows('meaning', '2 lines came since');
  assert.equal(await visit.text('newest'), '1');
  await visit.page.getByRole('button', { name: 'Resume' }).click();
  await visit.shows('newest', '3');
});

test('before there is a file, it says what it waits for', { complaints: UNREACHABLE }, async ({ visit }) => {
  await visit.shows('word', 'Waiting');
  await visit.shows('meaning', /the file can't be served: ./);
  assert(await visit.page.locator('#series').isHidden());
});

test('a hidden tab gives its stream back, and catches up', { lines: ['1'] }, async ({ visit, echo }) => {
  await visit.isConnected();
  const clients = async (n) => {
    for (const deadline = Date.now() + 20_000; ;) {
      const figures = await (await fetch(`${echo.url}metrics`)).text();
      if (figures.includes(`\necho_live_clients ${n}\n`)) return;
      assert(Date.now() < deadline, `not ${n} clients`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  const show = (isHidden) => visit.page.evaluate((isHidden) => {
    Object.defineProperty(document, 'hidden', { value: isHidden, configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
  }, isHidden);
  await clients(1);
  await show(true);
  await clients(0);
  echo.append('2', '3');
  await show(false);
  await visit.shows('newest', '3');
  await visit.counted('2');
  await clients(1);
});

test('packed, all of the page is less than 40 kB', { lines: ['1'] }, async () => {
  const folder = 'echo/src/routes/page';
  const packed = readdirSync(folder).map((name) => gzipSync(readFileSync(`${folder}/${name}`)).length);
  assert(packed.reduce((sum, size) => sum + size) <= 40_000, String(packed));
});

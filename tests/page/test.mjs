// The tests of the page at /. See `run`.

import { strict as assert } from 'node:assert';
import { get } from 'node:http';
import { statSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs';
import { Echo, Visit, generate, launch, text } from './harness.mjs';
import { PHONE, UNREACHABLE, count, random, test, tests } from './registry.mjs';
import './coupling.mjs';
import './viewer.mjs';

// --- Numbers

test('numbers appear as they are written, and the plot grows', { lines: count(1, 5) }, async ({ visit, echo }) => {
  await visit.isConnected();
  await visit.shows('newest', '5');
  assert.equal(await visit.dots(), 5);
  for (const number of count(6, 12)) {
    echo.append(number);
    await visit.shows('newest', number);
    assert.equal(await visit.dots(), +number);
  }
  assert.deepEqual((await visit.plotted()).map(Math.round).map((n) => Math.abs(n - 6) < 20), Array(12).fill(true));
  assert.equal(await visit.text('lines'), text(count(1, 12)));
  assert.equal(await visit.text('count'), '12');
  await visit.counted('7');
  assert.equal(await visit.text('size'), '27 B');
});

test('numbers of the generator appear', { lines: null }, async ({ visit, echo }) => {
  await visit.shows('word', 'Waiting');
  const generator = generate(echo.file);
  try {
    await visit.shows('word', 'Live');
    await visit.shows('new', /^([2-9]\d|\d{3,}) lines, none lost, none twice$/); // ten come in a second
    await visit.shows('rate', /^[0-9.]+ per second$/);
    assert.match(await visit.text('newest'), /^\d+$/);
  } finally {
    generator.kill();
  }
});

test('the dots are where the numbers are', { lines: ['0', '32767', '16384'] }, async ({ visit }) => {
  await visit.isConnected();
  assert.deepEqual((await visit.plotted()).map(Math.round), [0, 32767, 16384].map((n) => Math.round(Math.round(n / 32.767) * 32.767)));
});

test('numbers that are equally likely are judged so, and others not', { lines: random(10_000) }, async ({ visit, echo }) => {
  await visit.shows('distribution-text', /^10,000 numbers.* as chance makes it/);
  echo.append(...Array(1000).fill('7'));
  await visit.shows('distribution-text', /^11,000 numbers.* too uneven for chance/);
  echo.replace(...count(1, 30_000));
  await visit.shows('newest', '30000');
  await visit.shows('distribution-text', /too uneven for chance/); // the last 64 KiB are the upper half
});

test('an age tells how long the newest line has been there', { lines: ['1'], clock: true }, async ({ visit, echo }) => {
  await visit.isConnected();
  await visit.page.clock.fastForward('00:45');
  await visit.shows('age', /^(4[5-9]|[5-9]\d|1[01]\d) s ago$/);
  const passed = (Date.now() - statSync(echo.file).mtimeMs) / 1000;
  const age = parseInt(await visit.text('age'));
  assert(age <= 45 + passed + 2, `after ${passed} s and 45 it says ${age} s`);
  await visit.shows('word', 'Stale');
  assert.match(await visit.page.title(), /^Stale: data$/);
  echo.append('2');
  await visit.shows('age', /^(just now|. s ago)$/);
  await visit.shows('word', 'Live');
  assert.equal(await visit.page.title(), 'data');
});

// --- Other text

test('other text shows as its last lines', { lines: ['<b>bold</b> & "quoted"', 'Käse', '', '12'], file: 'app.log' }, async ({ visit, echo }) => {
  await visit.isConnected();
  assert.equal(await visit.text('lines'), '<b>bold</b> & "quoted"\nKäse\n\n12\n');
  for (const id of ['number', 'series', 'distribution']) assert(await visit.page.locator(`#${id}`).isHidden(), id);
  echo.append(...count(1, 30).map((n) => `line ${n}`));
  await visit.shows('lines', `<b>bold</b> & "quoted"\nKäse\n\n12\n${text(count(1, 30).map((n) => `line ${n}`))}`);
  echo.append(...count(1, 24)); // all that is shown are numbers
  await visit.shows('newest', '24');
  assert(await visit.page.locator('#series').isVisible());
});

test('a file name can hold anything', { lines: ['1'], file: '<b> "x" %41 ü?#&.txt' }, async ({ visit, echo }) => {
  assert.equal(await visit.text('file'), 'The file');
  assert.equal(await visit.page.locator('h1').textContent(), '<b> "x" %41 ü?#&.txt');
  echo.append('2');
  await visit.shows('newest', '2');
});

test('a line without end takes bounded memory', { lines: ['x'.repeat(300_000)] }, async ({ visit, echo }) => {
  await visit.isConnected();
  assert.equal((await visit.text('lines')).length, 8001);
  echo.append('y'.repeat(300_000));
  await visit.shows('lines', /\ny{8000}\n$/);
});

// --- What may happen to the server

test('a restart is survived without a line lost or doubled', { lines: count(1, 100), complaints: UNREACHABLE }, async ({ visit, echo }) => {
  await visit.isConnected();
  await echo.kill();
  await visit.shows('word', 'Reconnecting');
  echo.append(...count(101, 110));
  await echo.start();
  await visit.isConnected();
  await visit.shows('newest', '110');
  echo.append('111');
  await visit.shows('newest', '111');
  assert.equal(await visit.text('lines'), text(count(1, 111)));
  assert.equal(await visit.dots(), 111);
  assert.equal(await visit.text('count'), '111');
  await visit.counted('11');
});

test('a restart after which the file is another one is survived', { lines: count(1, 100), complaints: UNREACHABLE }, async ({ visit, echo }) => {
  await visit.isConnected();
  await echo.kill();
  echo.replace(...count(201, 230));
  await visit.shows('word', 'Reconnecting');
  await echo.start();
  await visit.shows('newest', '230'); // by way of a 410, after which an EventSource gives up
  await visit.isConnected();
  assert.equal(await visit.dots(), 30);
  echo.append('231');
  await visit.shows('newest', '231');
});

test('a restart after which there is no file is survived', { lines: count(1, 100), complaints: UNREACHABLE }, async ({ visit, echo }) => {
  await visit.isConnected();
  await echo.kill();
  unlinkSync(echo.file);
  await echo.start();
  await visit.shows('word', 'Waiting'); // by way of a 503, after which an EventSource gives up
  echo.append('5');
  await visit.shows('newest', '5');
  await visit.shows('word', 'Live');
  assert.equal(await visit.dots(), 1);
});

test('a server without room for more readers is asked again', { lines: ['1'], options: ['--max-live', '1'], complaints: UNREACHABLE }, async ({ visit, echo }) => {
  await visit.isConnected();
  await echo.kill();
  await visit.context.setOffline(true); // until another reader has taken the only place
  await echo.start('--max-live', '1');
  const other = await new Promise((resolve) => get(`${echo.url}data?follow`, (answer) => answer.on('data', () => resolve(answer))));
  const refused = visit.page.waitForResponse((answer) => answer.url().includes('live=sse') && answer.status() === 503);
  await visit.context.setOffline(false);
  await refused;
  echo.append('2');
  await visit.shows('newest', '2'); // nothing is live, but it reads on whenever it tries
  await visit.shows('word', 'Reconnecting');
  other.destroy();
  await visit.isConnected();
  await visit.counted('1');
});

test('a server that hangs is noticed', { lines: ['1'], clock: true, complaints: UNREACHABLE }, async ({ visit, echo }) => {
  await visit.isConnected();
  echo.signal('SIGSTOP');
  await visit.page.clock.fastForward('01:30');
  await visit.shows('word', 'Reconnecting');
  echo.signal('SIGCONT');
  await visit.page.clock.fastForward('00:05');
  await visit.shows('word', 'Stale'); // the clock says that much has passed since the newest line
  echo.append('2');
  await visit.shows('word', 'Live');
});

// --- What may happen to the file

test('a file that is missing appears', { complaints: UNREACHABLE }, async ({ visit, echo }) => {
  await visit.shows('word', 'Waiting');
  assert.equal(await visit.text('newest'), '–');
  echo.append('17');
  await visit.shows('newest', '17');
  await visit.shows('word', 'Live');
});

test('a file that is empty gets its first lines', { lines: null }, async ({ visit, echo }) => {
  await visit.shows('meaning', 'the file has no line yet');
  echo.append('17');
  await visit.shows('newest', '17');
  await visit.shows('word', 'Live');
  assert.equal(await visit.text('count'), '1');
});

test('a file that is emptied begins anew', { lines: count(1, 50) }, async ({ visit, echo }) => {
  await visit.isConnected();
  truncateSync(echo.file);
  await visit.shows('word', 'Waiting');
  await visit.shows('newest', '–');
  assert.equal(await visit.dots(), 0);
  echo.append('3', '4');
  await visit.shows('lines', '3\n4\n');
  await visit.shows('word', 'Live');
  assert.equal(await visit.text('count'), '2');
});

test('a file that is replaced begins anew', { lines: count(1, 50) }, async ({ visit, echo }) => {
  await visit.isConnected();
  const generation = await visit.text('generation');
  echo.replace(...count(201, 210));
  await visit.shows('lines', text(count(201, 210)));
  assert.equal(await visit.dots(), 10);
  assert.notEqual(await visit.text('generation'), generation);
  echo.append('211');
  await visit.shows('newest', '211');
});

// --- Much of it

test('of a file of 100 MB the end is asked for', { lines: random(100_000), times: 180 }, async ({ visit, echo }) => {
  await visit.isConnected();
  assert.equal(await visit.dots(), 120);
  await visit.shows('count', /^about 1[78]([.]\d)? million$/);
  assert.match(await visit.text('size'), /^10\d\.\d MB$/);
  echo.append('4711');
  await visit.shows('newest', '4711');
  assert(visit.received > 65_536 && visit.received < 150_000, `${visit.received} bytes were received`);
});

test('millions of lines leave no more memory behind than a few', { lines: random(20_000) }, async ({ visit, echo }) => {
  const used = async () => {
    await visit.network.send('HeapProfiler.collectGarbage');
    const { usedSize } = await visit.network.send('Runtime.getHeapUsage');
    const { nodes } = await visit.network.send('Memory.getDOMCounters');
    return { heap: usedSize, nodes };
  };
  await visit.isConnected();
  const before = await used();
  for (let batch = 1; batch <= 4; batch++) {
    const lines = random(500_000);
    echo.append(lines.join('\n'), String(batch));
    await visit.shows('newest', String(batch));
  }
  await visit.counted('2,000,004');
  const after = await used();
  assert.equal(await visit.dots(), 120);
  assert.equal((await visit.text('lines')).split('\n').length, 2001);
  assert(after.heap < before.heap + 1_000_000, `the heap grew from ${before.heap} to ${after.heap} bytes`);
  assert(after.nodes < before.nodes + 200, `the document grew from ${before.nodes} to ${after.nodes} nodes`);
});

// --- For everyone

test('without JavaScript there are the last lines and links', { lines: [...count(1, 30), '<script>alert(1)</script>'], context: { javaScriptEnabled: false } }, async ({ visit }) => {
  const { page } = visit;
  assert.equal(await visit.text('lines'), text([...count(8, 30), '<script>alert(1)</script>']));
  assert(await page.locator('noscript p').isVisible(), 'the note');
  for (const id of ['state', 'pause', 'now', 'series', 'distribution']) assert(await page.locator(`#${id}`).isHidden(), id);
  const links = page.getByRole('navigation').getByRole('link');
  for (const link of await links.all()) {
    const address = new URL(await link.getAttribute('href'), page.url());
    if (!address.search) assert.equal((await page.request.get(address.href)).status(), 200, address.href);
  }
  assert.equal(await links.count(), 5);
  await page.locator('noscript a').click();
  await page.getByRole('link', { name: 'The file' }).click();
  assert.equal(new URL(page.url()).pathname, '/data');
});

for (const [name, context] of Object.entries({ 'a wide light window': {}, 'a dark window': { colorScheme: 'dark' }, 'a phone': PHONE, 'a dark phone': { ...PHONE, colorScheme: 'dark' } })) {
  for (const [kind, lines] of Object.entries({ numbers: random(500), text: ['a log', 'x'.repeat(2000)] })) {
    test(`${kind} in ${name}: nothing overflows, and axe finds nothing`, { lines, context }, async ({ visit }) => {
      await visit.isConnected();
      const { scrolled, width, isDark, moving } = await visit.page.evaluate(() => ({
        scrolled: document.documentElement.scrollWidth,
        width: document.documentElement.clientWidth,
        isDark: getComputedStyle(document.documentElement).backgroundColor.match(/\d+/)[0] < 128,
        moving: document.getAnimations().length,
      }));
      assert(scrolled <= width, `${scrolled} px in a window of ${width} px`);
      assert.equal(isDark, context.colorScheme === 'dark');
      assert.equal(moving, 0);
      assert.deepEqual(await visit.accessibilityProblems(), []);
    });
  }
}

test('the plots say in words what they show', { lines: random(500) }, async ({ visit }) => {
  await visit.isConnected();
  await visit.page.getByRole('img', { name: /^As they come The last 120, the newest at the right: from .* to .*, on average / }).waitFor();
  await visit.page.getByRole('img', { name: /^How they are distributed 500 numbers\. .*χ² is / }).waitFor();
});

test('a break of a moment is not worth a word', { lines: ['1'], clock: true, complaints: UNREACHABLE }, async ({ visit, echo }) => {
  const { page } = visit;
  await visit.isConnected();
  echo.append('2');
  await visit.shows('newest', '2');
  await visit.shows('word', 'Live'); // however long it took to come here
  await page.evaluate(() => {
    window.words = [];
    const word = document.getElementById('word');
    new MutationObserver(() => window.words.push(word.textContent)).observe(word, { childList: true });
  });
  await page.clock.pauseAt(Date.now() + 2000); // however long the restart takes
  const broken = page.waitForEvent('requestfailed');
  await echo.kill();
  await broken;
  await echo.start();
  let isTrying = false;
  page.on('request', (request) => { isTrying ||= request.method() === 'HEAD'; });
  const back = page.waitForResponse((answer) => answer.url().includes('live=sse') && answer.status() === 200);
  while (!isTrying) await page.clock.runFor(50); // to the time at which it tries again
  await back;
  await page.clock.resume();
  echo.append('3');
  await visit.shows('newest', '3');
  assert.deepEqual(await page.evaluate(() => window.words), []);
});

test('what is announced is the state, and only when it changes', { lines: ['1'], complaints: UNREACHABLE }, async ({ visit, echo }) => {
  await visit.isConnected();
  echo.append('2');
  await visit.shows('word', 'Live'); // however long it took to come here
  await visit.shows('newest', '2');
  assert.equal(await visit.page.locator('[aria-live], [role=alert], [role=log], [role=status]').count(), 1);
  await visit.page.evaluate(() => {
    window.announced = [];
    const status = document.querySelector('[role=status]');
    new MutationObserver(() => window.announced.push(status.textContent)).observe(status, { childList: true, characterData: true, subtree: true });
  });
  for (const number of count(3, 10)) {
    echo.append(number);
    await visit.shows('newest', number);
  }
  assert.deepEqual(await visit.page.evaluate(() => window.announced), []);
  await echo.kill();
  await visit.shows('word', 'Reconnecting');
  assert.deepEqual(await visit.page.evaluate(() => window.announced), ['Reconnecting the connection is lost, trying again']);
});

test('by keyboard it can be paused', { lines: ['1'] }, async ({ visit, echo }) => {
  await visit.isConnected();
  for (const id of ['view', 'pause']) {
    await visit.page.keyboard.press('Tab');
    assert.equal(await visit.page.evaluate(() => document.activeElement.id), id);
  }
  await visit.page.keyboard.press('Enter');
  await visit.shows('pause', 'Resume');
  echo.append('2');
  await visit.shows('meaning', '1 line came since');
  assert.equal(await visit.text('newest'), '1');
  await visit.page.keyboard.press('Space');
  await visit.shows('pause', 'Pause');
  await visit.shows('newest', '2');
});

test('below a path that a proxy gives it, the page works the same', { lines: ['1'] }, async ({ visit, echo }) => {
  await visit.page.route('**/some/where/**', (route) => route.continue({ url: route.request().url().replace('/some/where/', '/') }));
  await visit.open(`${echo.url}some/where/`);
  await visit.isConnected();
  echo.append('2');
  await visit.shows('newest', '2');
});

// --- The run

const LIMIT = 120_000; // milliseconds for a test
const SIDE_BY_SIDE = 3; // tests, which wait more than they work

// Plays a test to its end, or to its limit.
async function run(test, browser) {
  const echo = new Echo(test.file);
  const visit = new Visit();
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`it is not over after ${LIMIT / 1000} s`)), LIMIT);
  });
  try {
    await Promise.race([play(test, { echo, visit }, browser), limit]);
  } finally {
    clearTimeout(timer);
    await visit.end().finally(() => echo.end());
  }
}

async function play({ lines, times, options, context, clock, complaints, body }, { echo, visit }, browser) {
  if (lines === null || lines.length) writeFileSync(echo.file, text(lines ?? []).repeat(times));
  await echo.start(...options);
  await visit.begin(browser, context);
  if (clock) await visit.page.clock.install();
  await visit.open(echo.url);
  await body({ visit, echo });
  if (context.javaScriptEnabled !== false) await visit.check(complaints);
}

// Plays the tests, some side by side, and tells the results in the order of the tests. Returns whether all passed.
async function runAll(chosen, browser) {
  const results = [];
  let begun = 0, told = 0, passed = 0;
  const work = async () => {
    while (begun < chosen.length) {
      const i = begun++;
      const { name } = chosen[i];
      const error = await run(chosen[i], browser).then(() => null, (error) => error);
      if (!error) passed++;
      results[i] = error ? `FAILED - ${name}: ${error.message}` : `ok - ${name}`;
      while (results[told]) console.log(results[told++]);
    }
  };
  await Promise.all(Array.from({ length: SIDE_BY_SIDE }, work));
  console.log(`${passed} passed, ${chosen.length - passed} failed`);
  return passed === chosen.length;
}
async function screenshot(file, browser) {
  const echo = new Echo();
  writeFileSync(echo.file, text(random(600)));
  await echo.start();
  const generator = generate(echo.file, '2s');
  const visit = new Visit();
  await visit.begin(browser, { viewport: { width: 1200, height: 900 } });
  await visit.open(echo.url);
  await visit.counted('6');
  await visit.shows('rate', '0.5 per second');
  await visit.page.screenshot({ path: file, fullPage: true });
  generator.kill();
  await visit.end();
  await echo.end();
}

// What a failed test still waited for ends with its page, and must not end the run.
process.on('unhandledRejection', () => {});

const browser = await launch();
try {
  if (process.argv[2] === '--screenshot') {
    await screenshot(process.argv[3], browser);
  } else {
    const chosen = tests.filter(({ name }) => name.includes(process.argv[2] ?? ''));
    process.exitCode = await runAll(chosen, browser) ? 0 : 1;
  }
} finally {
  // What hangs in the browser must not hang here.
  await Promise.race([browser.close(), new Promise((resolve) => { setTimeout(resolve, 5_000); })]);
}
process.exit();

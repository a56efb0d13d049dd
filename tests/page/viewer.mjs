// The viewer of a log: what stands in the document, what is read when one scrolls, the filter, colours and trees.

import { strict as assert } from 'node:assert';
import { PHONE, count, test } from './registry.mjs';

const log = (from, to) => count(from, to).map((n) => `line ${n.padStart(7, '0')} of the log`);
const MANY = log(1, 60_000);

// What a web server logs, as JSON.
const requestLog = (lines) => count(1, lines).map((n) => {
  const [path, failed] = [n % 10 ? `/items/${n * 7 % 90}` : `/pay/${n / 10}`, n % 50 === 0];
  return JSON.stringify({
    time: new Date(1_767_225_600_000 + n * 137).toISOString(), level: failed ? 'error' : 'info', path,
    answer: { status: failed ? 502 : 200, ms: 3 + n * 31 % 40, ...(failed && { upstream: 'pay-1' }) },
  });
});

// The viewer as a reader sees it.
function viewer({ page }) {
  const lines = page.locator('#lines');
  return {
    lines,
    rows: () => lines.evaluate((box) => box.querySelectorAll('.line').length),
    first: () => lines.evaluate((box) => box.querySelector('.line').textContent),
    last: () => lines.evaluate((box) => [...box.querySelectorAll('.line')].at(-1).textContent),
    // Scrolls there, and returns the first line that is seen then, and where, before the page has read anything.
    scroll: (to) => lines.evaluate((box, to) => {
      box.scrollTop = to === 'end' ? box.scrollHeight : to;
      const { top } = box.getBoundingClientRect();
      const row = [...box.querySelectorAll('.line')].find((row) => row.getBoundingClientRect().bottom > top + 1);
      return { text: row.textContent, top: row.getBoundingClientRect().top - top };
    }, to),
    isAtEnd: () => lines.evaluate((box) => box.scrollHeight - box.scrollTop - box.clientHeight < 8),
    // Where a line is that was seen stays, to the pixels that a browser rounds to.
    stays: async ({ text, top }) => {
      const now = await lines.evaluate((box, text) => {
        const row = [...box.querySelectorAll('.line')].find((row) => row.textContent === text);
        return row && row.getBoundingClientRect().top - box.getBoundingClientRect().top;
      }, text);
      assert(Math.abs(now - top) < 2, `${text.trim()} was at ${top} px and is at ${now} px`);
    },
    // No line is missing between the first and the last, and there are not more than it may keep.
    isWhole: async () => {
      const numbers = (await lines.textContent()).match(/\d{7}/g).map(Number);
      assert.deepEqual(numbers, numbers.map((_, i) => numbers[0] + i));
      assert(numbers.length <= 2000, `${numbers.length} lines`);
    },
    until: (expression, argument) => page.waitForFunction(expression, argument),
  };
}

const firstIs = (text) => document.querySelector('#lines .line')?.textContent === text;
const lastIs = (text) => [...document.querySelectorAll('#lines .line')].at(-1)?.textContent === text;
const firstIsNot = (text) => document.querySelector('#lines .line').textContent !== text;
const lastIsNot = (text) => [...document.querySelectorAll('#lines .line')].at(-1).textContent !== text;

test('of a long log 2,000 lines are kept, and it sticks to the newest', { lines: MANY, file: 'app.log' }, async ({ visit, echo }) => {
  await visit.isConnected();
  const view = viewer(visit);
  await view.until(lastIs, `${MANY.at(-1)}\n`);
  assert(await view.isAtEnd());
  echo.append(...log(60_001, 64_000));
  await view.until(lastIs, `${log(64_000, 64_000)[0]}\n`);
  assert(await view.isAtEnd());
  assert.equal(await view.rows(), 2000);
  assert.equal(await view.first(), `${log(62_001, 62_001)[0]}\n`);
});

test('it sticks to the newest line when its box gets smaller', { lines: MANY, file: 'app.log' }, async ({ visit }) => {
  await visit.isConnected();
  const view = viewer(visit);
  await view.until(lastIs, `${MANY.at(-1)}\n`);
  await view.lines.evaluate((box) => new Promise((done) => {
    requestAnimationFrame(() => { // as when a line comes, and the words beside the box change
      box.scrollTop -= 1;
      Object.assign(box.style, { minHeight: 0, height: `${box.clientHeight - 60}px` });
      requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(done)));
    });
  }));
  assert(await view.isAtEnd());
  assert(await visit.page.locator('#to-newest').isHidden());
});

test('older lines are read as one scrolls up, where what is seen stays', { lines: MANY, file: 'app.log' }, async ({ visit, echo }) => {
  await visit.isConnected();
  const view = viewer(visit);
  await view.until(lastIs, `${MANY.at(-1)}\n`);
  const before = await view.first();
  const seen = await view.scroll(250);
  await view.until(firstIsNot, before);
  await view.stays(seen);
  echo.append('one more');
  await visit.shows('to-newest', /^(1 newer|Newest) ↓$/);
  await view.stays(seen);
  await visit.page.locator('#to-newest').click();
  await view.until(lastIs, 'one more\n');
  assert(await view.isAtEnd());
  assert(await visit.page.locator('#to-newest').isHidden());
  echo.append('and another');
  await view.until(lastIs, 'and another\n');
});

test('one can scroll from the newest line to the first, and back', { lines: log(1, 12_000), file: 'app.log' }, async ({ visit }) => {
  await visit.isConnected();
  const view = viewer(visit);
  for (let first; (first = await view.first()) !== `${log(1, 1)[0]}\n`;) {
    const seen = await view.scroll(0);
    await view.until(firstIsNot, first);
    await view.stays(seen);
    await view.isWhole();
  }
  assert.equal(await view.first(), `${log(1, 1)[0]}\n`);
  assert.equal(await view.rows(), 2000);
  for (let last; (last = await view.last()) !== `${log(12_000, 12_000)[0]}\n`;) {
    const seen = await view.scroll('end');
    await view.until(lastIsNot, last);
    await view.stays(seen);
    await view.isWhole();
  }
  assert.equal(await view.last(), `${log(12_000, 12_000)[0]}\n`);
  assert.equal(await view.rows(), 2000);
});

test('what comes while one reads older lines is read as one scrolls down, also after a pause', { lines: log(1, 5000), file: 'app.log' }, async ({ visit, echo }) => {
  await visit.isConnected();
  const view = viewer(visit);
  await view.until(lastIs, `${log(5000, 5000)[0]}\n`);
  await visit.page.getByRole('button', { name: 'Pause' }).click();
  echo.append(...log(5001, 5100));
  await visit.shows('meaning', '100 lines came since');
  const before = await view.first();
  await view.scroll(0);
  await view.until(firstIsNot, before); // the last lines made room
  await visit.page.getByRole('button', { name: 'Resume' }).click();
  echo.append(...log(5101, 12_000));
  await visit.counted('7,000');
  for (let last; (last = await view.last()) !== `${log(12_000, 12_000)[0]}\n`;) {
    await view.scroll('end');
    await view.until(lastIsNot, last);
    await view.isWhole();
  }
  assert.equal(await view.last(), `${log(12_000, 12_000)[0]}\n`);
  await view.scroll('end');
  await visit.page.locator('#to-newest').waitFor({ state: 'hidden' });
  echo.append(...log(12_001, 12_001));
  await view.until(lastIs, `${log(12_001, 12_001)[0]}\n`);
});

test('a filter finds a text, or a regular expression, in lines that were never loaded', { lines: [...log(1, 20), 'Needle <1>', ...MANY], file: 'app.log' }, async ({ visit, echo }) => {
  await visit.isConnected();
  const view = viewer(visit);
  await visit.page.getByRole('searchbox').fill('needle');
  await visit.shows('lines', 'Needle <1>\n');
  assert.equal(await view.lines.locator('mark').textContent(), 'Needle');
  await visit.shows('lines-text', '1 line with a match');
  echo.append('no match', 'another needle');
  await visit.shows('lines', 'Needle <1>\nanother needle\n');
  await visit.page.getByRole('searchbox').fill('/^n\\w+ <\\d>/i');
  await visit.shows('lines', 'Needle <1>\n');
  await visit.page.getByRole('searchbox').fill('/(/');
  await visit.shows('lines-text', /Invalid regular expression/);
  await visit.page.getByRole('searchbox').fill('');
  await view.until(lastIs, 'another needle\n');
  assert(await view.rows() > 1000);
});

test('with a filter no match is left out, however fast the lines come', { lines: log(1, 10), file: 'app.log' }, async ({ visit, echo }) => {
  await visit.isConnected();
  await visit.page.getByRole('searchbox').fill('needle');
  await visit.shows('lines-text', '0 lines with a match');
  echo.append('a needle', ...log(11, 30_000), 'another needle');
  await visit.shows('lines', 'a needle\nanother needle\n');
  await visit.shows('lines-text', '2 lines with a match');
});

test('colours are shown, and levels tinted, also in JSON', { lines: [
  '\x1b[31mred\x1b[0m \x1b[1;38;5;40mgreen\x1b[m \x1b[48;2;0;0;255mon blue\x1b[0m\x1b[2K\x1b]0;title\x07 end',
  '2026-01-01 ERROR broken', 'WARN: low', '{"level":"error","msg":"x"}', '{"level":40}', '{"severity":"WARNING"}', 'no error here',
], file: 'app.log' }, async ({ visit }) => {
  await visit.isConnected();
  const view = viewer(visit);
  const row = (n) => view.lines.locator('.line').nth(n);
  assert.equal(await row(0).textContent(), 'red green on blue end\n');
  for (const [style, text] of [['.c1', 'red'], ['.bold.c2', 'green'], ['.g12', 'on blue']]) {
    assert.equal(await row(0).locator(style).textContent(), text, style);
  }
  const levels = await view.lines.locator('.line').evaluateAll((rows) => rows.map((row) => row.className.replace('line', '').trim()));
  assert.deepEqual(levels, ['', 'error', 'warn', 'error', 'warn', 'warn', '']);
  assert.deepEqual(await visit.accessibilityProblems(), []);
});

test('a line of JSON opens as a tree, by a click or by keys', { lines: ['{"a":{"b":[1,null,"x"]},"c":true}', '{not json}'], file: 'app.log' }, async ({ visit }) => {
  await visit.isConnected();
  const view = viewer(visit);
  assert.equal(await view.lines.locator('.open').count(), 1);
  await view.lines.locator('.line').first().click();
  assert.equal(await view.lines.locator('.tree').textContent(), 'a: {1}b: [3]0: 11: null2: "x"c: true');
  assert.deepEqual(await visit.accessibilityProblems(), []);
  await view.lines.focus();
  await visit.page.keyboard.press('Enter');
  await visit.page.keyboard.press('Enter');
  await view.until(() => !document.querySelector('.tree'));
});

test('a log of JSON is filtered by a path, and what matches opens as a tree', { lines: requestLog(400), file: 'app.log' }, async ({ visit, echo }) => {
  await visit.isConnected();
  const view = viewer(visit);
  await visit.page.getByRole('searchbox').fill('/"path":"\\/pay/');
  await visit.shows('lines-text', '40 lines with a match');
  assert.equal(await view.rows(), 40);
  assert.equal(await view.lines.locator('.line.error').count(), 8);
  echo.append(...requestLog(420).slice(400));
  await visit.shows('lines-text', '42 lines with a match');
  await view.lines.locator('.line.error').last().click();
  assert.match(await view.lines.locator('.tree').textContent(), /status: 502.*upstream: "pay-1"/);
  await view.lines.locator('.tree').evaluate((tree) => tree.scrollIntoView(false));
  await visit.picture('json-log');
});

test('a selection lasts while lines come, and wrapping can be turned off', { lines: [...log(1, 50), 'x'.repeat(3000)], file: 'app.log' }, async ({ visit, echo }) => {
  await visit.isConnected();
  const view = viewer(visit);
  await view.lines.evaluate((box) => getSelection().selectAllChildren(box.querySelectorAll('.line')[20]));
  echo.append(...log(51, 99));
  await view.until(lastIs, `${log(99, 99)[0]}\n`);
  assert.equal((await visit.page.evaluate(() => String(getSelection()))).trim(), log(21, 21)[0]);
  const isWide = () => view.lines.evaluate((box) => box.scrollWidth > box.clientWidth);
  assert.equal(await isWide(), false);
  await visit.page.getByLabel('Wrap').uncheck();
  assert.equal(await isWide(), true);
});

test('lines are copied and downloaded', { lines: ['\x1b[31mred\x1b[0m', 'two'], file: 'app.log', context: { permissions: ['clipboard-read', 'clipboard-write'] } }, async ({ visit }) => {
  await visit.isConnected();
  const view = viewer(visit);
  await visit.page.evaluate(() => { // it says so for a moment only
    const button = document.getElementById('copy');
    window.said = [];
    new MutationObserver(() => window.said.push(button.textContent)).observe(button, { childList: true });
  });
  await visit.page.getByRole('button', { name: 'Copy' }).click();
  await view.until(() => window.said[0] === 'Copied');
  assert.equal(await visit.page.evaluate(() => navigator.clipboard.readText()), 'red\ntwo\n');
  const download = visit.page.waitForEvent('download');
  await visit.page.getByRole('link', { name: 'Download' }).click();
  assert.equal((await download).suggestedFilename(), 'app.log');
});

test('10,000 lines a second do not freeze it, and it says how many it left out', { lines: log(1, 10), file: 'app.log' }, async ({ visit, echo }) => {
  await visit.isConnected();
  await visit.page.evaluate(() => {
    [window.longest, window.last] = [0, performance.now()];
    setInterval(() => {
      window.longest = Math.max(window.longest, performance.now() - window.last);
      window.last = performance.now();
    }, 20);
  });
  for (let second = 0; second < 3; second++) {
    for (let tenth = 0; tenth < 10; tenth++) {
      const from = 11 + second * 10_000 + tenth * 1000;
      echo.append(...log(from, from + 999));
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
  await visit.counted('30,000');
  assert(await visit.page.evaluate(() => window.longest) < 5_000, 'the page stood still');
  echo.append(...log(1, 100_000));
  await visit.counted('130,000');
  await visit.shows('lines-text', /^[\d,]+ came too fast to be shown/);
  assert.equal(await viewer(visit).rows(), 2000);
});

test('numbers can be shown as text', { lines: count(1, 300) }, async ({ visit, echo }) => {
  await visit.isConnected();
  await visit.page.getByRole('button', { name: 'Show as text' }).click();
  assert(await visit.page.locator('#series').isHidden());
  echo.append('301');
  await viewer(visit).until(lastIs, '301\n');
  await visit.page.getByRole('button', { name: 'Show as numbers' }).click();
  assert.equal(await visit.dots(), 120);
});

test('on a phone the newest line is seen on arrival', { lines: log(1, 500), file: 'app.log', context: PHONE }, async ({ visit }) => {
  await visit.isConnected();
  const view = viewer(visit);
  await view.until(firstIs, `${log(1, 1)[0]}\n`);
  const { bottom, height } = await view.lines.locator('.line').last()
    .evaluate((row) => ({ bottom: row.getBoundingClientRect().bottom, height: innerHeight }));
  assert(bottom <= height, `it ends at ${bottom} px in a window of ${height} px`);
});

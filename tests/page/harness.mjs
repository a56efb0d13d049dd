// What the tests are written in: a browser, echo as a child process over a file in a folder of its own, and a runner.

import { strict as assert } from 'node:assert';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const require = createRequire(process.env.PAGE_TEST_MODULES);
const { chromium } = require('playwright-core');
const AXE = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

const PATIENCE = 20_000; // milliseconds that anything may take; only a failing test waits that long

// A file with these lines.
export function text(lines) {
  return lines.map((line) => `${line}\n`).join('');
}

export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'],
  });
}

export class Echo {
  folder = mkdtempSync(join(tmpdir(), 'appcoup-page-'));
  address = '127.0.0.1:0';

  constructor(name = 'data') {
    this.file = join(this.folder, name);
  }

  // Starts the server, at the same address if it ran before.
  async start(...options) {
    for (const deadline = Date.now() + PATIENCE; !this.isOver;) {
      const command = ['--file', this.file, '--listen', this.address, ...options];
      this.child = spawn(join(process.env.PROGRAMS, 'echo'), command, { stdio: ['ignore', 'ignore', 'pipe'] });
      let log = '';
      for await (const line of createInterface(this.child.stderr)) {
        log += `${line}\n`;
        const [, address] = /listening on http:\/\/(\S+)/.exec(line) ?? [];
        if (!address) continue;
        this.address = address;
        this.url = `http://${address}/`;
        this.child.stderr.resume(); // or it would block when the pipe is full
        return this;
      }
      // The port may have gone to another program meanwhile, for a moment.
      assert(this.address !== '127.0.0.1:0' && Date.now() < deadline, log);
    }
  }

  signal(name) {
    this.child.kill(name);
  }

  async kill() {
    if (!this.child || this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exit = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await exit;
  }

  append(...lines) {
    appendFileSync(this.file, text(lines));
  }

  // Puts another file in the place of this one, as a rotation does.
  replace(...lines) {
    const other = join(this.folder, '.other');
    writeFileSync(other, text(lines));
    renameSync(other, this.file);
  }

  async end() {
    this.isOver = true;
    this.child?.kill('SIGCONT');
    await this.kill();
    rmSync(this.folder, { recursive: true });
  }
}

// A page in a context of its own, and what the browser has to say about it.
export class Visit {
  complaints = [];
  received = 0; // bytes

  async begin(browser, options = {}) {
    this.context = await browser.newContext(options);
    this.context.setDefaultTimeout(PATIENCE);
    this.page = await this.context.newPage();
    this.page.on('console', (message) => this.complaints.push(`${message.type()}: ${message.text()}`));
    this.page.on('pageerror', (error) => this.complaints.push(`uncaught: ${error.message}`));
    this.network = await this.context.newCDPSession(this.page);
    this.network.on('Network.dataReceived', ({ dataLength }) => { this.received += dataLength; });
    await this.network.send('Network.enable');
  }

  async end() {
    await this.context?.close();
  }

  async open(url) {
    await this.page.goto(url);
    // A reload would lose it.
    await this.page.evaluate(() => { window.isSamePage = true; });
  }

  text(id) {
    return this.page.locator(`#${id}`).textContent();
  }

  // Waits until the text of the element is `expected`, or matches it.
  async shows(id, expected) {
    const source = expected instanceof RegExp ? expected.source : null;
    try {
      await this.page.waitForFunction(([id, text, source]) => {
        const found = document.getElementById(id).textContent;
        return source === null ? found === text : new RegExp(source).test(found);
      }, [id, String(expected), source]);
    } catch {
      const found = JSON.stringify(await this.text(id));
      assert.fail([`#${id} is ${found} and not ${expected}`, ...this.complaints].join('; '));
    }
  }

  // Waits until so many lines came since the page was opened, each once.
  counted(lines) {
    return this.shows('new', `${lines} line${lines === '1' ? '' : 's'}, none lost, none twice`);
  }

  // Waits until the page follows the file. On a slow machine that may have grown stale meanwhile.
  isConnected() {
    return this.shows('word', /^(Live|Stale)$/);
  }

  // How many dots the plot has.
  dots() {
    return this.page.locator('#dots').evaluate((path) => (path.getAttribute('d') ?? '').split('M').length - 1);
  }

  // The dots as numbers.
  async plotted() {
    const path = await this.page.locator('#dots').getAttribute('d');
    return [...path.matchAll(/M\S+ (\S+)h/g)].map(([, y]) => (100 - y) * 327.67);
  }

  // A picture of this moment, for the documents, if a folder for them is named.
  async picture(name) {
    if (process.env.PICTURES) await this.page.screenshot({ path: join(process.env.PICTURES, `${name}.png`), fullPage: true });
  }

  async accessibilityProblems() {
    await this.page.evaluate(AXE);
    const { violations } = await this.page.evaluate(() => window.axe.run());
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
  }

  // The page was not loaded anew, and the browser found nothing to complain about, save what was `expected`.
  async check(expected) {
    assert.deepEqual(this.complaints.filter((complaint) => !expected?.test(complaint)), [], 'what the browser says');
    assert(await this.page.evaluate(() => window.isSamePage), 'the page was loaded anew');
  }
}

export function generate(file, interval = '100ms') {
  return spawn(join(process.env.PROGRAMS, 'generator'), ['--file', file, '--interval', interval], { stdio: 'ignore' });
}

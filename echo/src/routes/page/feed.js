// The connection: reads the end of the file and follows it from there. Whatever happens to the connection, the server or
// the file, it begins again by itself, and goes on where it was if that is near.

import { events } from './events.js';
import { linesOf } from './lines.js';

const TAIL = 65_536; // bytes of the file's end that are asked for at first
const NEAR = 1 << 20; // bytes that are caught up with; of more, only the end is asked for
const EMPTY = '0000000000000000'; // the generation of a file without a line
// In milliseconds:
const PATIENCE = 10_000; // for an answer
const SILENCE = 60_000; // of a stream that must be dead: the server sends a comment every 15 s
const SOONEST = 500, LATEST = 4_000; // between two tries, of which each waits up to twice as long as the one before

// An offset is a generation and a position, as docs/http.md says.
function parse(offset) {
  const at = offset.lastIndexOf('_');
  return [offset.slice(0, at), +offset.slice(at + 1)];
}

// Who answered: the names of all that the answer passed, the file's server first.
export function namesOf(answer) {
  return (answer.headers.get('X-Served-By') ?? '').split(',').map((name) => name.trim()).filter(Boolean);
}

export class Feed {
  generation = null; // of the file that was read, null before
  position = 0; // up to where
  offset = '-1'; // the same, as the server says it
  wait = SOONEST;
  heardAt = 0;

  // `listener` is told: linked(names), lost(how), began({ generation, before, end, lines, from, age }), caughtUp(age),
  // skipped(bytes), and came(text, from, to).
  constructor(url, listener) {
    [this.url, this.listener] = [url, listener];
  }

  // Connects, until `stop` is called.
  start() {
    this.stop();
    const abort = this.abort = new AbortController();
    this.run(abort.signal);
  }

  stop() {
    clearTimeout(this.timer);
    this.abort?.abort();
    this.abort = null;
  }

  // Ends a connection on which nothing was heard for too long.
  check() {
    if (!this.abort || !this.heardAt || Date.now() - this.heardAt < SILENCE) return;
    this.listener.lost('broken');
    this.again();
  }

  again() {
    this.stop();
    this.heardAt = 0;
    this.timer = setTimeout(() => this.start(), this.wait * (0.5 + Math.random() / 2)); // not all pages at once
    this.wait = Math.min(this.wait * 2, LATEST);
  }

  async run(signal) {
    try {
      await this.arrive(signal);
      await this.follow(signal);
      if (!signal.aborted) this.listener.lost('ended');
    } catch (error) {
      if (!signal.aborted) this.listener.lost(error.status === 503 ? 'refused' : 'broken');
    }
    if (!signal.aborted) this.again();
  }

  async ask(request, expected, signal) {
    const signals = AbortSignal.any([signal, AbortSignal.timeout(PATIENCE)].filter(Boolean));
    const answer = await fetch(this.url, { ...request, cache: 'no-store', signal: signals });
    if (answer.status === expected) return answer;
    throw Object.assign(new Error(`${this.url} answered ${answer.status}`), { status: answer.status });
  }

  // Goes to where the file ends, unless we are near.
  async arrive(signal) {
    const head = await this.ask({ method: 'HEAD' }, 200, signal);
    const offset = head.headers.get('Stream-Next-Offset');
    const [latest, end] = parse(offset);
    const date = (name) => Date.parse(head.headers.get(name));
    const age = end > 0 ? date('Date') - date('Last-Modified') || 0 : null;
    const isSame = latest === this.generation || (this.generation === EMPTY && this.position === 0);
    if (isSame && end - this.position <= NEAR) {
      if (end > this.position) await this.catchUp(offset, signal);
      this.generation = latest;
      this.listener.caughtUp(age);
      return;
    }
    const skipped = isSame ? end - this.position : 0;
    await this.jump(offset, age, signal);
    if (skipped) this.listener.skipped(skipped);
  }

  // Goes on to `offset`, even where there is no room for one more stream.
  async catchUp(offset, signal) {
    const [from, [, end]] = [this.position, parse(offset)];
    const bytes = await this.read(from, end, signal);
    [this.position, this.offset] = [end, offset];
    this.listener.came(new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes), from, end);
  }

  async jump(offset, age, signal) {
    const [latest, end] = parse(offset);
    const start = Math.max(0, end - TAIL);
    const bytes = start < end ? await this.read(start, end, signal) : new Uint8Array();
    const isWhole = start === 0 || !bytes.subarray(0, -1).includes(10); // a line that is longer than all we ask for
    const before = this.generation;
    [this.generation, this.position, this.offset] = [latest, end, offset];
    this.listener.began({ generation: latest, before, end, age, ...linesOf(bytes, start, isWhole), start });
  }

  // The bytes of the file from `start` to `end`, if it is still the one that is followed.
  async read(start, end, signal) {
    const answer = await this.ask({ headers: { Range: `bytes=${start}-${end - 1}` } }, 206, signal);
    return new Uint8Array(await answer.arrayBuffer());
  }

  async follow(signal) {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), PATIENCE);
    const answer = await fetch(`${this.url}?offset=${this.offset}&live=sse`, {
      cache: 'no-store', signal: AbortSignal.any([signal, late.signal]),
    }).finally(() => clearTimeout(timer));
    if (answer.status !== 200) throw new Error(`the stream was answered ${answer.status}`);
    this.wait = SOONEST;
    this.heardAt = Date.now();
    this.listener.linked(namesOf(answer));
    for await (const event of events(answer.body)) {
      if (signal.aborted) return;
      this.heardAt = Date.now();
      if (event.name === 'reset') return;
      if (event.name === 'data') this.take(event);
    }
  }

  take({ id, data }) {
    const from = this.position;
    [this.generation, this.position] = parse(id);
    this.offset = id;
    this.listener.came(data, from, this.position);
  }
}

// The viewer: a stretch of the file as lines. It grows at its end while that is looked at; older and newer lines are read
// by ranges as one scrolls. What stands in the document is bounded, however long the file is.

import { plain } from './ansi.js';
import { Filter } from './filter.js';
import { linesOf } from './lines.js';
import { Rows } from './rows.js';

const MOST = 2_000; // lines in the document
const STEP = 1_000; // lines that one scrolls on by: the rest of the document stays, and what is seen with it
const CHUNK = 131_072; // bytes that are read at once
const LONGEST = 1 << 21; // bytes of a line beyond which its parts are taken for lines
const ENOUGH = 100; // matches that are looked for at once,
const SEARCHED = 16 << 20; // in so many bytes
const NEAR = 300; // pixels from an edge at which more is read
const AT_END = 8; // pixels that do not count

export class Log {
  filter = new Filter();
  from = 0; // what is examined of the file: from here
  to = 0; // to here
  end = 0; // where the file ends
  isAttached = true; // whether lines that come go on where the document ends
  isAtEnd = true; // whether the reader looks at the newest lines
  isBusy = false;
  leftOut = 0; // lines that came too fast to be shown
  newer = 0; // lines that came while older ones were looked at
  pending = []; // lines with a match that came since the last `draw`,
  missed = 0; // and how many before them were too many to be kept

  // `read` gives the bytes from one position to another, `changed` is called when what can be said of it has changed.
  constructor(container, read, changed) {
    [this.container, this.read, this.changed] = [container, read, changed];
    this.rows = new Rows(container);
    container.addEventListener('scroll', () => this.scrolled(), { passive: true });
    new ResizeObserver(() => { if (this.isAtEnd) this.toBottom(); }).observe(container);
  }

  // Begins anew, with `lines` that are `from` to `end`.
  begin({ lines, from, end }) {
    this.epoch = {}; // what is being read is of no use any more
    this.rows.clear();
    [this.from, this.to, this.end, this.newer, this.leftOut] = [lines.at(-MOST)?.start ?? from, from, end, 0, 0];
    [this.pending, this.missed, this.isAttached, this.isAtEnd, this.isBusy] = [lines.slice(-MOST), 0, true, true, false];
  }

  // Takes lines that came; the file ends at `end` now. They are seen at the next `draw`.
  take(lines, end) {
    this.end = end;
    const wanted = this.filter.isActive ? lines.filter(({ text }) => this.filter.find(plain(text))) : lines;
    if (!this.isAttached) {
      this.newer += wanted.length;
      return;
    }
    for (const line of wanted) this.pending.push(line);
    this.missed += this.pending.splice(0, Math.max(0, this.pending.length - MOST)).length;
  }

  draw() {
    if (!this.isAttached) return;
    const { pending, missed } = this;
    const isHeld = !this.isAtEnd || this.isSelected();
    if (isHeld && this.rows.length + missed + pending.length > MOST) {
      this.detach();
      this.changed();
      return;
    }
    this.to = this.end;
    if (!pending.length) return;
    [this.pending, this.missed] = [[], 0];
    this.leftOut += missed;
    this.rows.add(pending, this.filter, MOST);
    this.from = this.rows.trimTop(MOST) ?? this.from;
    if (this.isAtEnd) this.toBottom();
    this.changed();
  }

  // Leaves what came since the last `draw`, and what comes, to be read when one scrolls there.
  detach() {
    this.newer += this.missed + this.pending.length;
    [this.pending, this.missed, this.isAttached, this.isAtEnd] = [[], 0, false, false];
  }

  isSelected() {
    const selection = getSelection();
    return !selection.isCollapsed && this.container.contains(selection.anchorNode);
  }

  toBottom() {
    this.container.scrollTop = this.container.scrollHeight;
  }

  scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.container;
    const below = scrollHeight - scrollTop - clientHeight;
    this.isAtEnd = this.isAttached && below <= AT_END;
    if (scrollTop < NEAR && this.from > 0 && scrollHeight > clientHeight) this.older();
    else if (below < NEAR && !this.isAttached) this.forward();
    this.changed();
  }

  // Looks for lines with other words, from the newest on.
  async search(words) {
    this.filter = new Filter(words);
    await this.newest();
    if (this.rows.length < ENOUGH) await this.older();
  }

  // Goes back to the end of the file.
  newest() {
    this.isBusy = false;
    return this.reading(async (isStale) => {
      const { end } = this;
      const { lines, from, to } = await this.stretch(Math.max(0, end - CHUNK), end);
      if (isStale()) return;
      this.rows.clear();
      [this.to, this.newer, this.pending, this.missed, this.isAtEnd] = [to, 0, [], 0, true];
      this.from = this.addBefore(lines, from, MOST);
      this.isAttached = to === this.end;
      while (!this.isAttached && !isStale()) await this.forwardOnce(isStale, MOST);
      this.toBottom();
    });
  }

  // Reads what is before, where the first line keeps its place on the screen.
  older() {
    return this.reading(async (isStale) => {
      let found = 0;
      for (let searched = 0; this.from > 0 && found < ENOUGH && searched < SEARCHED; searched += CHUNK) {
        const end = this.from;
        const { lines, from } = await this.stretch(Math.max(0, end - CHUNK), end);
        if (isStale()) return;
        if (this.from !== end) continue; // meanwhile lines came, and others went
        const most = this.isAtEnd ? MOST - this.rows.length : STEP;
        if (most <= 0) return;
        const below = this.container.scrollHeight - this.container.scrollTop;
        found -= this.rows.length;
        this.from = this.addBefore(lines, from, most);
        found += this.rows.length;
        this.container.scrollTop = this.container.scrollHeight - below;
        if (this.isAtEnd) this.toBottom();
        const cut = this.rows.trimBottom(MOST);
        if (cut === null) continue;
        this.detach();
        this.to = cut;
      }
    });
  }

  // Adds the last of `lines`, which begin at `from`, before the others; returns from where on.
  addBefore(lines, from, most) {
    const taken = this.rows.add(lines, this.filter, most, true);
    return taken < lines.length ? lines.at(-taken).start : from;
  }

  // Reads what is behind.
  forward() {
    return this.reading(async (isStale) => {
      await this.forwardOnce(isStale, STEP);
    });
  }

  async forwardOnce(isStale, most) {
    const { lines, to } = await this.stretch(this.to, Math.min(this.end, this.to + CHUNK), true);
    if (isStale()) return;
    const taken = this.rows.add(lines, this.filter, most);
    this.to = taken < lines.length ? lines[taken].start : to;
    const height = this.container.scrollHeight;
    const start = this.rows.trimTop(MOST);
    if (start !== null) [this.from, this.container.scrollTop] = [start, this.container.scrollTop - (height - this.container.scrollHeight)];
    this.isAttached = this.to === this.end;
    if (this.isAttached) this.newer = 0;
  }

  // The whole lines between two positions; if there is none, more is read.
  async stretch(start, end, isForward = false) {
    for (let size = CHUNK; ; size *= 2) {
      const bytes = await this.read(start, end);
      const isWhole = isForward || start === 0 || size >= LONGEST;
      const found = linesOf(bytes, start, isWhole);
      if (found.to > found.from || start === 0 && !isForward || isForward && end === this.end || size >= LONGEST) {
        return found.to > found.from ? found : { ...found, from: start, to: end };
      }
      if (isForward) end = Math.min(this.end, end + size);
      else start = Math.max(0, start - size);
    }
  }

  // Reads one thing at a time, and forgets it if the file has become another one meanwhile.
  async reading(work) {
    if (this.isBusy) return;
    const epoch = this.epoch = {};
    this.isBusy = true;
    this.problem = null;
    this.changed();
    try {
      await work(() => this.epoch !== epoch);
    } catch (error) {
      if (this.epoch === epoch) this.problem = error;
    }
    if (this.epoch === epoch) this.isBusy = false;
    this.changed();
  }

  // The text of the line that `element` shows, without its colours.
  find(element) {
    return plain(this.rows.find(element)?.text ?? '');
  }
}

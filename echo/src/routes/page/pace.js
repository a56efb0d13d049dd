// How fast lines come.

const WINDOW = 30; // whole seconds over which the rate is taken
const GAPS = 9; // between lines, of which the median is what is usual

export class Pace {
  perSecond = new Array(WINDOW + 1).fill(0); // lines that came, by the second modulo its length
  latest = 0;
  gaps = [];

  begin() {
    this.since ??= this.second();
  }

  came(lines) {
    const now = Date.now();
    if (this.arrivedAt) this.gaps = this.gaps.concat(now - this.arrivedAt).slice(-GAPS);
    this.arrivedAt = now;
    this.perSecond[this.second() % this.perSecond.length] += lines;
  }

  get usualGap() {
    return this.gaps.toSorted((a, b) => a - b)[this.gaps.length >> 1] ?? 0;
  }

  // The lines of the last seconds, and how many seconds these are.
  get window() {
    const seconds = Math.min(WINDOW, this.second() - this.since);
    return [this.perSecond.reduce((sum, n) => sum + n, 0) - this.perSecond[this.latest % this.perSecond.length], seconds];
  }

  // The present second. Those that passed since the last call came with nothing.
  second() {
    const now = Math.floor(Date.now() / 1000);
    for (this.latest = Math.max(this.latest, now - this.perSecond.length); this.latest < now;) {
      this.perSecond[++this.latest % this.perSecond.length] = 0;
    }
    return now;
  }
}

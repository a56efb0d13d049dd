// Counts what came against the offsets: each event says where in the file it ends, so that its length can be checked.

import { bytes, exactly, some } from './wording.js';

const encoder = new TextEncoder();

export class Ledger {
  lines = 0;
  lost = 0; // bytes
  twice = 0; // bytes
  unchecked = 0; // events with bytes that are no text
  skipped = 0; // bytes that were too many to fetch

  // Text came that is `from` to `to` in the file, and `ended` lines with it.
  take(text, from, to, ended) {
    this.lines += ended;
    const difference = to - from - (text.length === to - from ? text.length : encoder.encode(text).length);
    if (difference === 0) return;
    if (text.includes('\ufffd')) this.unchecked++;
    else if (difference > 0) this.lost += difference;
    else this.twice -= difference;
  }

  get isClean() {
    return this.lost === 0 && this.twice === 0;
  }

  get words() {
    const parts = [some(this.lines, 'line'), this.lost ? `${bytes(this.lost)} lost` : 'none lost',
      this.twice ? `${bytes(this.twice)} twice` : 'none twice'];
    if (this.skipped) parts.push(`${bytes(this.skipped)} skipped`);
    if (this.unchecked) parts.push(`${exactly(this.unchecked)} not checked, as they hold bytes that are no text`);
    return parts.join(', ');
  }
}

// The lines that stand in the document, and where in the file each begins. They are added and taken away at the ends, and
// never made anew, so that a selection lasts.

import { elementOf } from './line.js';

export class Rows {
  rows = []; // { element, start, text }

  constructor(container) {
    this.container = container;
  }

  get length() {
    return this.rows.length;
  }

  // Adds the lines that are wanted, behind the others or before them, from there on and `most` of them. Returns how many
  // of the lines it looked at.
  add(lines, filter, most, isBefore = false) {
    const rows = [];
    let taken = 0;
    for (; taken < lines.length && rows.length < most; taken++) {
      const { text, start } = lines[isBefore ? lines.length - 1 - taken : taken];
      const element = elementOf(text, filter);
      if (element) rows.push({ element, start, text });
    }
    if (isBefore) rows.reverse();
    const elements = document.createDocumentFragment();
    for (const { element } of rows) elements.append(element);
    if (isBefore) this.container.prepend(elements);
    else this.container.append(elements);
    this.rows = isBefore ? rows.concat(this.rows) : this.rows.concat(rows);
    return taken;
  }

  // Takes rows away from the top until at most `most` are left and it is known where the first begins. Returns where, or
  // null if nothing was taken away.
  trimTop(most) {
    let cut = Math.max(0, this.rows.length - most);
    if (cut === 0) return null;
    while (cut < this.rows.length - 1 && this.rows[cut].start === null) cut++;
    for (const { element } of this.rows.splice(0, cut)) element.remove();
    return this.rows[0]?.start ?? null;
  }

  // The same at the bottom; returns where the first begins that was taken away.
  trimBottom(most) {
    let cut = most;
    if (cut >= this.rows.length) return null;
    while (cut > 0 && this.rows[cut].start === null) cut--;
    const gone = this.rows.splice(cut);
    for (const { element } of gone) element.remove();
    return gone[0].start;
  }

  clear() {
    this.rows = [];
    this.container.replaceChildren();
  }

  find(element) {
    return this.rows.find((row) => row.element === element);
  }
}

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

  // Adds the lines that are wanted, behind the others.
  add(lines, filter) {
    const rows = [];
    for (const line of lines) {
      const element = elementOf(line.text, filter);
      if (element) rows.push({ element, ...line });
    }
    this.container.append(...rows.map(({ element }) => element));
    this.rows = this.rows.concat(rows);
  }

  // Adds the last `most` of the lines that are wanted, before the others. Returns how many that are and, if there may be more,
  // where the first of them begins.
  addBefore(lines, filter, most) {
    const rows = [];
    let at = lines.length;
    while (at > 0 && rows.length < most) {
      const element = elementOf(lines[--at].text, filter);
      if (element) rows.unshift({ element, ...lines[at] });
    }
    this.container.prepend(...rows.map(({ element }) => element));
    this.rows = rows.concat(this.rows);
    return { count: rows.length, start: at > 0 ? lines[at].start : null };
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

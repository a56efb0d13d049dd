// Cuts what comes into lines that know where in the file they begin.

export const LONGEST = 8_000; // characters of a line that are kept

const encoder = new TextEncoder();

// The lines that end in a stretch of the file; a part of a line is kept for the next stretch.
export class Lines {
  rest = '';
  start = null; // where the rest begins, null if that is not known

  // Takes text that is `from` to `to` in the file. Of text in which bytes were replaced, only the first position is known.
  push(text, from, to) {
    const isAscii = text.length === to - from;
    const isExact = isAscii || encoder.encode(text).length === to - from;
    if (!this.rest) this.start = from;
    let at = from;
    const pieces = text.split('\n');
    const last = pieces.pop();
    const lines = pieces.map((piece) => {
      const line = { text: (this.rest + piece).slice(0, LONGEST), start: this.start };
      at += (isAscii ? piece.length : encoder.encode(piece).length) + 1;
      [this.rest, this.start] = ['', isExact ? at : null];
      return line;
    });
    this.rest = (this.rest + last).slice(0, LONGEST);
    return lines;
  }
}

// The whole lines in `bytes`, which are at `from` in the file, and where they begin and end. What stands before the first
// newline is the rest of a line, unless `from` is the start of one.
export function linesOf(bytes, from, isStart) {
  const first = isStart ? 0 : bytes.indexOf(10) + 1;
  const lines = [];
  let at = first;
  for (let end; (end = bytes.indexOf(10, at)) >= 0; at = end + 1) {
    const text = decode(bytes.subarray(at, Math.min(end, at + 4 * LONGEST)));
    lines.push({ text: text.slice(0, LONGEST), start: from + at });
  }
  return { lines, from: from + first, to: from + at };
}

function decode(bytes) {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes).replace(/\r$/, '');
}

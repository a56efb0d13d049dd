// The colours that a program means for a terminal (ECMA-48, SGR), as parts of a line with classes.

// Every control sequence: CSI with its parameters and its end, OSC, and what is left of others.
const SEQUENCE = /\x1b(?:\[([0-?]*)[ -/]*([@-~]?)|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~]?)/g;
const ATTRIBUTES = { 1: 'bold', 2: 'faint', 3: 'italic', 4: 'underline', 9: 'struck' };
const ENDS = { 22: ['bold', 'faint'], 23: ['italic'], 24: ['underline'], 29: ['struck'] };

// Cuts a line into parts, `{ text, style }`, where the style is a list of classes.
export function partsOf(line) {
  if (!line.includes('\x1b')) return [{ text: line, style: '' }];
  const parts = [];
  let style = new Map(), at = 0;
  const push = (end) => end > at && parts.push({ text: line.slice(at, end), style: [...style.values()].join(' ') });
  for (const sequence of line.matchAll(SEQUENCE)) {
    push(sequence.index);
    at = sequence.index + sequence[0].length;
    if (sequence[2] === 'm') style = change(style, sequence[1].split(/[;:]/).map(Number));
  }
  push(line.length);
  return parts;
}

// The line without them.
export function plain(line) {
  return line.replace(SEQUENCE, '');
}

function change(before, codes) {
  let style = new Map(before);
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i];
    if (code === 0) style = new Map();
    else if (ATTRIBUTES[code]) style.set(ATTRIBUTES[code], ATTRIBUTES[code]);
    else if (ENDS[code]) ENDS[code].forEach((name) => style.delete(name));
    else if (code === 38 || code === 48) {
      style.set(code, `${code === 38 ? 'c' : 'g'}${extended(codes.slice(i + 1))}`);
      i += codes[i + 1] === 5 ? 2 : 4;
    } else if (code === 39 || code === 49) style.delete(code - 1);
    else if (code >= 30 && code < 38 || code >= 90 && code < 98) style.set(38, `c${code < 40 ? code - 30 : code - 82}`);
    else if (code >= 40 && code < 48 || code >= 100 && code < 108) style.set(48, `g${code < 50 ? code - 40 : code - 92}`);
  }
  return style;
}

// The nearest of the 16 colours, which can be read in both schemes.
function extended([kind, n, green, blue]) {
  if (kind === 2) return nearest(n, green, blue);
  if (!(n >= 16)) return n || 0;
  if (n >= 232) return n < 244 ? 8 : 7;
  const cube = n - 16;
  return nearest(Math.floor(cube / 36) * 51, Math.floor(cube / 6) % 6 * 51, cube % 6 * 51);
}

function nearest(red, green, blue) {
  const most = Math.max(red, green, blue);
  if (most < 64) return 0;
  const bit = (value) => value > most / 2 ? 1 : 0;
  return bit(red) + 2 * bit(green) + 4 * bit(blue) + (most > 215 ? 8 : 0);
}

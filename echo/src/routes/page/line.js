// Makes a line of the file an element: colours, how grave it is, marks where the filter matches, a button for JSON.

import { partsOf } from './ansi.js';
import { make } from './dom.js';

const GRAVE = [['error', /\b(ERROR|FATAL|CRITICAL|PANIC|EMERG|ALERT)\b|^[EF]\d{4} /], ['warn', /\b(WARN|WARNING)\b|^W\d{4} /]];
const HEAD = 200; // characters in which a level stands

// The element for a line that is wanted, or null.
export function elementOf(line, filter) {
  const parts = partsOf(line);
  const text = parts.map((part) => part.text).join('');
  const found = filter.find(text);
  if (!found) return null;
  const json = text.startsWith('{') ? parseJson(text) : null;
  const element = make('span', `line ${json ? levelOf(json) : gravityOf(text)}`);
  if (json) element.append(opener());
  element.append(...marked(parts, found), '\n');
  return element;
}

export function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null; // it only looks like JSON
  }
}

function opener() {
  const button = make('button', 'open');
  button.type = 'button';
  button.tabIndex = -1; // reached by Enter and the arrow keys, or Tab would have two thousand stops
  button.setAttribute('aria-label', 'As a tree');
  button.setAttribute('aria-expanded', 'false');
  return button;
}

function gravityOf(text) {
  const head = text.slice(0, HEAD);
  return GRAVE.find(([, pattern]) => pattern.test(head))?.[0] ?? '';
}

// The level as the usual libraries write it: a word, or a number as in pino and bunyan.
function levelOf(json) {
  const level = json.level ?? json.severity ?? json.lvl ?? json.levelname ?? json['log.level'] ?? json.log?.level ?? '';
  if (typeof level === 'number') return level >= 50 ? 'error' : level >= 40 ? 'warn' : '';
  const word = String(level).toUpperCase();
  return gravityOf(word === 'ERR' ? 'ERROR' : word);
}

// The parts as nodes, cut where a match begins or ends.
function marked(parts, found) {
  const nodes = [];
  let at = 0;
  for (const { text, style } of parts) {
    const cuts = [0, ...found.flat().map((cut) => cut - at).filter((cut) => cut > 0 && cut < text.length), text.length];
    for (let i = 1; i < cuts.length; i++) {
      const [start, end] = [cuts[i - 1], cuts[i]];
      const isFound = found.some(([from, to]) => from <= at + start && at + end <= to && from < to);
      nodes.push(node(text.slice(start, end), style, isFound));
    }
    at += text.length;
  }
  return nodes;
}

function node(text, style, isFound) {
  const inner = isFound ? make('mark', '', text) : text;
  return style ? make('span', style, inner) : inner;
}

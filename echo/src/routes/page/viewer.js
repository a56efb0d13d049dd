// What surrounds the viewer: the filter, the buttons, the keys, and what is said of the lines.

import { $, set } from './dom.js';
import { parseJson } from './line.js';
import { Log } from './log.js';
import { treeOf } from './tree.js';
import { exactly, some } from './wording.js';

const TYPING = 200; // milliseconds without a key after which the filter is applied

export function viewerOf(read) {
  const log = new Log($('lines'), read, () => describe(log));
  let typing;
  $('filter').oninput = () => {
    clearTimeout(typing);
    typing = setTimeout(() => log.search($('filter').value), TYPING);
  };
  $('wrap').onchange = () => $('lines').classList.toggle('unwrapped', !$('wrap').checked);
  $('to-newest').onclick = () => {
    if (log.isAttached) log.isAtEnd = true;
    else log.newest();
    log.toBottom();
    $('lines').focus();
  };
  $('copy').onclick = () => copy();
  $('lines').onclick = ({ target }) => clicked(log, target);
  $('lines').onkeydown = (event) => pressed(event);
  return log;
}

function describe(log) {
  const { filter, rows, leftOut, newer } = log;
  const parts = [];
  if (filter.problem) parts.push(filter.problem);
  else if (filter.isActive) parts.push(`${some(rows.length, 'line')} with a match${log.isBusy ? ', searching' : ''}`);
  if (leftOut) parts.push(`${exactly(leftOut)} came too fast to be shown: scroll up to read them`);
  if (log.problem) parts.push(`lines cannot be read now: ${log.problem.message}`);
  set('lines-text', parts.join(' · '));
  $('filter').setAttribute('aria-invalid', String(filter.problem !== null));
  const isAtEnd = log.isAtEnd && log.isAttached;
  if (isAtEnd && document.activeElement === $('to-newest')) $('lines').focus();
  $('to-newest').hidden = isAtEnd;
  set('to-newest', newer ? `${exactly(newer)} newer ↓` : 'Newest ↓');
}

// Copies what is seen. The clipboard is only for pages that came by TLS or from this machine; others select and copy.
async function copy() {
  const selection = getSelection();
  if (navigator.clipboard) await navigator.clipboard.writeText($('lines').textContent);
  else {
    selection.selectAllChildren($('lines'));
    document.execCommand('copy');
    selection.removeAllRanges();
  }
  set('copy', 'Copied');
  setTimeout(() => set('copy', 'Copy'), 1_500);
}

function clicked(log, target) {
  const line = target.closest('.line');
  const button = line?.querySelector('.open');
  if (!button || target.closest('.tree') || !getSelection().isCollapsed) return;
  const tree = line.querySelector('.tree');
  button.setAttribute('aria-expanded', String(!tree));
  if (tree) tree.remove();
  else line.append(treeOf(parseJson(log.find(line))));
}

// Enter goes to the newest line that is JSON, the arrows from one to the next, Escape back.
function pressed(event) {
  const buttons = [...$('lines').querySelectorAll('.open')];
  const at = buttons.indexOf(document.activeElement);
  const to = { Enter: at < 0 ? buttons.at(-1) : null, ArrowUp: buttons[at - 1], ArrowDown: buttons[at + 1], Escape: $('lines') }[event.key];
  if (!to || at < 0 && event.key !== 'Enter') return;
  to.focus();
  event.preventDefault();
}

// The lines that the server sent with the page, for the first sight.
export function firstLines() {
  return $('lines').textContent.split('\n').slice(0, -1).map((text) => ({ text, start: null }));
}

// Draws the way of a line, from the file to this browser: one box for each program that passes it on.

import { make } from './dom.js';
import { bytes, duration } from './wording.js';

// Draws `names`, the servers from the file's to the one that answers here, with what `/readyz` says of the last.
export function drawWay(list, { file, names, ready, isCut, isConnected }) {
  const isMirror = isMirroring(ready);
  const hops = names.length ? names : ['echo'];
  const stops = [{ kind: 'file', name: file, note: isMirror && ready.upstream ? `at ${ready.upstream}` : 'what a writer appends to' }];
  if (isMirror && hops.length === 1) stops.push({ kind: 'server', name: ready.upstream ?? 'upstream', note: 'serves it' });
  hops.forEach((name, i) => {
    const isLast = i === hops.length - 1;
    const note = isLast && isMirror ? lag(ready) : i === 0 ? 'serves it' : 'mirrors it';
    stops.push({ kind: isMirror && isLast ? 'mirror' : 'server', name, note, isCut: isCut && isLast });
  });
  stops.push({ kind: 'browser', name: 'this browser', note: isConnected ? 'connected' : 'not connected', isCut: !isConnected });
  const drawn = JSON.stringify(stops);
  if (list.dataset.drawn === drawn) return;
  list.dataset.drawn = drawn;
  list.replaceChildren(...stops.map(box));
}

export function isMirroring(ready) {
  return ready?.upstream_lag_bytes != null;
}

function lag({ upstream_lag_seconds: seconds, upstream_lag_bytes: missing }) {
  if (!missing && seconds < 1) return 'mirror, has all';
  return `mirror, ${missing ? `${bytes(missing)} and ` : ''}${duration(seconds * 1000)} behind`;
}

function box({ kind, name, note, isCut }) {
  const item = make('li', `${kind}${isCut ? ' cut' : ''}`, make('strong', '', name), ' ', make('small', '', note));
  if (isCut) item.prepend(make('span', 'unseen', 'cut off: '));
  return item;
}

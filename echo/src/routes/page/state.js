// What the page says of itself: one word, and what it means.

import { some } from './wording.js';

const BLINK = 1_500; // milliseconds: the longest break that is not worth a word, as when a stream ends and the next begins
const STALE = 10_000; // milliseconds: the least age of a newest line that is worth a word

// `link` is one of connecting, open, broken, refused; `ready` is what /readyz said last.
export function stateOf({ link, brokenFor, isPaused, waiting, position, age, usualGap, ready }) {
  const isBroken = link === 'broken' && brokenFor >= BLINK;
  if (isPaused) {
    const came = waiting ? `${some(waiting, 'line')} came since` : 'nothing came since';
    return ['Paused', isBroken ? `${came}; the connection is lost` : came];
  }
  if (link === 'connecting') return ['Connecting', ''];
  if (link === 'refused') return ['Waiting', ready?.reason ?? 'the server has nothing to show at the moment'];
  if (isBroken) return ['Reconnecting', 'the connection is lost, trying again'];
  if (ready?.upstream_trouble) return ['Cut off', `the upstream is away: ${ready.upstream_trouble}`];
  if (position === 0) return ['Waiting', 'the file has no line yet'];
  if (age > Math.max(STALE, 5 * usualGap)) return ['Stale', 'connected, but no new line has come for a while'];
  return ['Live', 'new lines appear as they are written'];
}

export { BLINK };

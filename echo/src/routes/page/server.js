// What the server says of itself.

import { namesOf } from './feed.js';

const PATIENCE = 5_000; // milliseconds for an answer

// What `/readyz` says, whether it is ready or not; null if it does not say anything.
export async function readiness() {
  const answer = await ask('./readyz');
  const ready = await answer?.json().catch(() => null);
  return ready ? { served_by: namesOf(answer), ...ready } : null;
}

// When the process that answers as `name` began, in Unix seconds; null if that cannot be told.
export async function startOf(name) {
  const answer = await ask('./metrics');
  if (!answer?.ok || namesOf(answer).at(-1) !== name) return null; // another replica answers
  const [, seconds] = /^process_start_time_seconds (\S+)$/m.exec(await answer.text().catch(() => '')) ?? [];
  return seconds ? +seconds : null;
}

function ask(path) {
  return fetch(path, { cache: 'no-store', signal: AbortSignal.timeout(PATIENCE) }).catch(() => null);
}

// How figures are written.

export const exactly = new Intl.NumberFormat('en').format;
const roughly = new Intl.NumberFormat('en', { maximumSignificantDigits: 2 }).format;
export const briefly = new Intl.NumberFormat('en', { maximumSignificantDigits: 3, notation: 'compact', compactDisplay: 'long' })
  .format;

export function some(n, unit) {
  return `${exactly(n)} ${unit}${n === 1 ? '' : 's'}`;
}

export function ago(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  for (const [unit, length] of [['days', 86_400], ['h', 3600], ['min', 60]]) {
    if (seconds >= 2 * length) return `${Math.floor(seconds / length)} ${unit} ago`;
  }
  return seconds === 0 ? 'just now' : `${seconds} s ago`;
}

export function duration(milliseconds) {
  return milliseconds < 9_950 ? `${(milliseconds / 1000).toFixed(1)} s` : `${exactly(Math.round(milliseconds / 1000))} s`;
}

export function rate(came, seconds) {
  if (came === 0) return `none in ${seconds} s`;
  return came < 0.1 * seconds ? `${roughly(came / seconds * 60)} per minute` : `${roughly(came / seconds)} per second`;
}

export function bytes(n) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const unit = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, n)) / 3));
  return `${unit === 0 ? exactly(n) : (n / 1000 ** unit).toPrecision(4)} ${units[unit]}`;
}

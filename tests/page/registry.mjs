// The tests, as they are told by the files that this program loads.

export const tests = [];

// A test that gets a running echo over a file with `lines`, so many `times`, and a visit to its page.
export function test(name, { lines = [], times = 1, file = 'data', options = [], context = {}, clock = false, complaints = null }, body) {
  tests.push({ name, lines, times, file, options, context, clock, complaints, body });
}

export const PHONE = { viewport: { width: 320, height: 640 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
// What the browser itself says when the server does not answer, or with an error.
export const UNREACHABLE = /^error: Failed to load resource: (net::ERR_|the server responded with a status of (410|503))/;
export const count = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => String(from + i));
// Numbers as chance makes them, the same each time, or one run in a thousand would be judged otherwise.
export const random = (n) => {
  let state = 1;
  return Array.from({ length: n }, () => {
    for (const [left, by] of [[true, 13], [false, 17], [true, 5]]) state ^= left ? state << by : state >>> by;
    return String(state >>> 17);
  });
};

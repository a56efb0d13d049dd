// Shows the end of the file, follows the file from there, and draws what comes. Whatever happens to the connection, the
// server or the file, the page begins again by itself: see `begin`. It remembers a fixed amount, however long it is open.

const TAIL = 65536; // bytes of the file's end that are asked for
const SHOWN = 120; // numbers in the plot, the width of its viewBox
const BARS = 32; // in the distribution, the width of its viewBox
const NUMBERS = 32768; // that a line can hold: 0 to 32767
const LINES = 24; // that are shown as text
const LONGEST = 1000; // characters of a line that are shown
const GAPS = 9; // between lines, of which the median is what is usual
const WINDOW = 30; // whole seconds over which the rate is taken
// In milliseconds:
const PATIENCE = 10_000; // for an answer
const SILENCE = 80_000; // of a stream that must be dead: the server ends each after 65 s, and begins with an event
const BLINK = 1_500; // the longest break that is not worth a word, as when a stream ends and the next begins
const STALE = 10_000; // the least age of a newest line that is worth a word
const SOONEST = 500, LATEST = 4_000; // between two tries, of which each waits twice as long as the one before

const $ = (id) => document.getElementById(id);
const FILE = $('file').href;
const NAME = document.title;
const exactly = new Intl.NumberFormat('en').format;
const roughly = new Intl.NumberFormat('en', { maximumSignificantDigits: 2 }).format;
const briefly = new Intl.NumberFormat('en', { maximumSignificantDigits: 3, notation: 'compact', compactDisplay: 'long' })
  .format;

// What is shown of the file, and where in it we are.
let generation, position, numbers, counts, lines, rest, count, isEstimate;
// What happened since the page was opened.
let added = 0, newestAt, arrivedAt, gaps = [], followedSince;
const perSecond = new Array(WINDOW + 1).fill(0); // lines that came, by the second modulo its length
let latestSecond = 0;
// The connection, in one of: connecting, open, broken, refused.
let source, link = 'connecting', brokenAt = 0, heardAt = 0, wait = SOONEST, isPaused = false, isDue = false;

function forget() {
  [generation, position, count, isEstimate] = [null, 0, 0, false];
  [numbers, lines, rest] = [[], [], ''];
  counts = new Array(BARS).fill(0);
}

// Takes text that follows what was taken before, and returns how many lines end in it.
function take(text) {
  const whole = (rest + text).split('\n');
  rest = whole.pop().slice(0, LONGEST);
  for (const line of whole) {
    if (!isNumber(line)) continue;
    numbers.push(+line);
    counts[Math.floor(line / NUMBERS * BARS)]++;
  }
  numbers.splice(0, numbers.length - SHOWN);
  lines = lines.concat(whole.slice(-LINES).map((line) => line.slice(0, LONGEST))).slice(-LINES);
  count += whole.length;
  return whole.length;
}

function isNumber(line) {
  return /^\d{1,5}$/.test(line) && line < NUMBERS;
}

// An offset is a generation and a position, as docs/http.md says.
function parse(offset) {
  const at = offset.lastIndexOf('_');
  return [offset.slice(0, at), +offset.slice(at + 1)];
}

// --- The connection

// Reads the end of the file and follows it from there: at first, and whenever a stream of events can't go on. The
// browser itself takes up a stream that broke off, but gives up for good when that is answered with an error.
async function begin() {
  try {
    const head = await ask({ method: 'HEAD' }, 200);
    const offset = head.headers.get('Stream-Next-Offset');
    await catchUp(...parse(offset));
    const age = Date.parse(head.headers.get('Date')) - Date.parse(head.headers.get('Last-Modified'));
    if (position > 0) newestAt = Date.now() - (age || 0);
    follow(offset);
  } catch (error) {
    breakOff(error.status === 503 ? 'refused' : 'broken');
  }
  draw();
}

async function ask(request, expected) {
  const answer = await fetch(FILE, { ...request, cache: 'no-store', signal: AbortSignal.timeout(PATIENCE) });
  if (answer.status === expected) return answer;
  throw Object.assign(new Error(`${FILE} answered ${answer.status}`), { status: answer.status });
}

// Reads up to `end`: on from where we are, if that is near, and else the last bytes. Should another file take the name
// between two requests, then its generation is unknown to the stream that is opened next, and all begins again.
async function catchUp(latest, end) {
  const isFirst = generation === undefined;
  const goesOn = latest === generation && position <= end && end - position <= TAIL;
  const start = goesOn ? position : Math.max(0, end - TAIL);
  const answer = start < end ? await ask({ headers: { Range: `bytes=${start}-${end - 1}` } }, 206) : null;
  let text = answer ? await answer.text() : '';
  if (!goesOn) {
    forget();
    if (start > 0) text = text.slice(text.indexOf('\n') + 1) || text; // the rest of a line, unless that is all
  }
  const taken = take(text);
  if (!goesOn && start > 0) [count, isEstimate] = [Math.round(end / (end - start) * taken), true];
  if (!isFirst) added += taken;
  [generation, position] = [latest, end];
}

function follow(offset) {
  source = new EventSource(`${FILE}?offset=${offset}&live=sse`);
  heardAt = Date.now();
  source.onopen = () => {
    [link, wait, heardAt] = ['open', SOONEST, Date.now()];
    followedSince ??= second();
    drawState();
  };
  source.onerror = () => {
    if (source.readyState === EventSource.CLOSED) breakOff('broken');
    else lost('broken');
  };
  source.addEventListener('control', () => { heardAt = Date.now(); });
  source.addEventListener('data', (event) => {
    const taken = take(event.data);
    [generation, position] = parse(event.lastEventId);
    arrived(taken);
    drawSoon();
  });
  source.addEventListener('reset', beginAgain); // another file has taken the name
}

function breakOff(how) {
  lost(how);
  beginAgain();
}

function beginAgain() {
  source?.close();
  source = null;
  setTimeout(begin, wait * (0.5 + Math.random() / 2)); // not all pages at once
  wait = Math.min(wait * 2, LATEST);
}

function lost(how) {
  if (link === 'open') brokenAt = Date.now();
  link = how;
  drawState();
}

function arrived(taken) {
  const now = Date.now();
  if (arrivedAt) gaps = gaps.concat(now - arrivedAt).slice(-GAPS);
  newestAt = arrivedAt = heardAt = now;
  added += taken;
  perSecond[second() % perSecond.length] += taken;
}

// The present second. Those that passed since the last call came with nothing.
function second() {
  const now = Math.floor(Date.now() / 1000);
  for (latestSecond = Math.max(latestSecond, now - perSecond.length); latestSecond < now;) {
    perSecond[++latestSecond % perSecond.length] = 0;
  }
  return now;
}

// --- What is seen

function drawSoon() {
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => {
    isDue = false;
    draw();
  });
}

function draw() {
  drawState();
  if (isPaused) return;
  const isText = !lines.every(isNumber);
  for (const id of ['number', 'series', 'distribution']) $(id).hidden = isText;
  drawLines();
  set('newest', lines.at(-1) ?? '–');
  drawFigures();
  if (isText) return;
  drawSeries();
  drawDistribution();
}

function drawLines() {
  const text = lines.map((line) => `${line}\n`);
  if ($('lines').textContent === text.join('')) return;
  $('lines').replaceChildren(...text.map((line) => {
    const element = document.createElement('span'); // for an indent where it goes on
    element.textContent = line;
    return element;
  }));
}

function drawState() {
  const usualGap = gaps.toSorted((a, b) => a - b)[gaps.length >> 1] ?? 0;
  let [word, meaning] = ['Live', 'new lines appear as they are written'];
  if (link === 'connecting') {
    [word, meaning] = ['Connecting', ''];
  } else if (link === 'refused') {
    [word, meaning] = ['Waiting', 'the server has nothing to show at the moment'];
  } else if (link === 'broken' && Date.now() - brokenAt >= BLINK) {
    [word, meaning] = ['Reconnecting', 'the connection is lost, trying again'];
  } else if (position === 0) {
    [word, meaning] = ['Waiting', 'the file has no line yet'];
  } else if (Date.now() - newestAt > Math.max(STALE, 5 * usualGap)) {
    [word, meaning] = ['Stale', 'connected, but no new line has come for a while'];
  }
  set('word', word);
  set('meaning', meaning);
  $('state').dataset.word = word;
  document.title = word === 'Live' ? NAME : `${word}: ${NAME}`;
}

function drawFigures() {
  const seconds = Math.min(WINDOW, second() - followedSince);
  const came = perSecond.reduce((sum, n) => sum + n, 0) - perSecond[latestSecond % perSecond.length];
  const isKnown = generation != null;
  set('age', position > 0 && newestAt ? ago(Date.now() - newestAt) : '–');
  set('rate', seconds >= 3 ? rate(came, seconds) : '–');
  set('new', isKnown ? exactly(added) : '–');
  set('count', isKnown ? (isEstimate ? `about ${briefly(count)}` : exactly(count)) : '–');
  set('size', isKnown ? bytes(position) : '–');
  set('generation', generation ?? '–');
}

function drawSeries() {
  const x = (i) => SHOWN - numbers.length + i + 0.5;
  const y = (number) => (100 - number / (NUMBERS - 1) * 100).toFixed(1);
  const points = numbers.map((number, i) => `${x(i)} ${y(number)}`);
  const dots = points.map((point) => `M${point}h.01`); // a line of hardly any length is hardly more than its round ends
  $('thread').setAttribute('d', points.length > 1 ? `M${points.join('L')}` : '');
  $('dots').setAttribute('d', dots.join(''));
  $('newest-dot').setAttribute('d', dots.at(-1) ?? '');
  const mean = numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
  set('series-text', numbers.length === 0 ? 'No number yet.' : `The last ${exactly(numbers.length)}, the newest at the right: `
    + `from ${exactly(Math.min(...numbers))} to ${exactly(Math.max(...numbers))}, on average ${exactly(Math.round(mean))}.`);
}

function drawDistribution() {
  const total = counts.reduce((sum, n) => sum + n, 0);
  const expected = total / BARS;
  const band = 2 * Math.sqrt(expected * (1 - 1 / BARS)); // two standard deviations, which hold 19 of 20
  const top = Math.ceil(Math.max(1, expected + 2 * band, ...counts));
  const y = (n) => (100 - n / top * 100).toFixed(2);
  $('bars').setAttribute('d', counts.map((n, i) => `M${i + 0.1} 100V${y(n)}h.8V100z`).join(''));
  const isEnough = total >= 5 * BARS; // for the band and the test, by the usual rule
  $('band').setAttribute('d', isEnough ? `M0 ${y(expected + band)}H${BARS}V${y(Math.max(0, expected - band))}H0z` : '');
  $('expected').setAttribute('d', `M0 ${y(expected)}H${BARS}`);
  set('top', exactly(top));
  set('distribution-text', !isEnough ? `${exactly(total)} numbers: too few to judge.`
    : `${exactly(total)} numbers. Dashed: ${exactly(Math.round(expected))} a bar, if all are equally likely; `
    + `19 of 20 bars should end in the band. ${judge(expected)}`);
}

// Pearson's test. By Wilson and Hilferty, the cube root of χ² by its degrees of freedom is nearly normal.
function judge(expected) {
  const chi2 = counts.reduce((sum, n) => sum + (n - expected) ** 2, 0) / expected;
  const degrees = BARS - 1, variance = 2 / (9 * degrees);
  const deviations = (Math.cbrt(chi2 / degrees) - (1 - variance)) / Math.sqrt(variance);
  let verdict = 'as even as chance makes it';
  if (deviations > 2) verdict = 'uneven, as chance makes it now and then';
  if (deviations > 3.3) verdict = 'too uneven for chance';
  if (deviations < -3.3) verdict = 'more even than chance makes it';
  return `χ² is ${exactly(Math.round(chi2))} at ${degrees} degrees of freedom: ${verdict}.`;
}

// Leaves alone what stays, so that selections stay and a screen reader has nothing to tell.
function set(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}

function ago(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  for (const [unit, length] of [['days', 86_400], ['h', 3600], ['min', 60]]) {
    if (seconds >= 2 * length) return `${Math.floor(seconds / length)} ${unit} ago`;
  }
  return seconds === 0 ? 'just now' : `${seconds} s ago`;
}

function rate(came, seconds) {
  if (came === 0) return `none in ${seconds} s`;
  return came < 0.1 * seconds ? `${roughly(came / seconds * 60)} per minute` : `${roughly(came / seconds)} per second`;
}

function bytes(n) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const unit = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, n)) / 3));
  return `${unit === 0 ? n : (n / 1000 ** unit).toPrecision(4)} ${units[unit]}`;
}

// --- From the start

forget();
take($('lines').textContent);
generation = undefined; // those lines are only for the first sight
for (const id of ['state', 'pause', 'now']) $(id).hidden = false;
$('pause').onclick = () => {
  isPaused = !isPaused;
  set('pause', isPaused ? 'Resume' : 'Pause');
  draw();
};
setInterval(() => {
  if (source && Date.now() - heardAt > SILENCE) breakOff('broken');
  drawState();
  drawSoon();
}, 1000);
draw();
begin();

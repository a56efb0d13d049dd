// The page at work: it puts what comes from the feed into the viewer, the plots, the ledger and the diary, and draws them.
// It remembers a fixed amount, however long it is open.

import { Diary } from './diary.js';
import { $, set } from './dom.js';
import { Feed } from './feed.js';
import { Ledger } from './ledger.js';
import { Lines } from './lines.js';
import { Pace } from './pace.js';
import { Plots, isNumber } from './plots.js';
import { readiness, startOf } from './server.js';
import { BLINK, stateOf } from './state.js';
import { firstLines, viewerOf } from './viewer.js';
import { drawWay } from './way.js';
import { ago, briefly, bytes, duration, exactly, rate } from './wording.js';

const RECENT = 24; // lines that must be numbers for the plots to be shown
const NAME = document.title;

const feed = new Feed($('file').href, { linked, lost, began, caughtUp, skipped, came });
const log = viewerOf((start, end) => feed.read(start, end));
const [diary, ledger, pace, plots] = [new Diary($('entries')), new Ledger(), new Pace(), new Plots()];

// What is known of the file.
let lines = new Lines(), recent = [], count = 0, isEstimate = false, newestAt = null;
// The connection, in one of: connecting, open, broken, refused.
let link = 'connecting', brokenAt = 0, refused = false, names = [], startedAt = null;
let ready = null, isAsking = false, trouble = null;
// The reader's wishes.
let isPaused = false, waiting = 0, wantsText = false, isDue = false;

// --- What the feed tells

async function linked(by) {
  const brokenFor = link === 'broken' || link === 'refused' ? Date.now() - brokenAt : 0;
  const [was, is] = [names.at(-1), by.at(-1)];
  [link, names] = ['open', by];
  pace.begin();
  drawSoon();
  if (was && is !== was) note(`answered by another replica: ${was} to ${is ?? 'one without a name'}`);
  if (brokenFor > BLINK) note(`gap of ${duration(brokenFor)}${refused ? ': the file could not be served' : ': no connection'}`, 'bad');
  refused = false;
  const began = await startOf(is);
  if (began && startedAt && was === is && began !== startedAt) note(`server restarted${is ? `: ${is}` : ''}`);
  startedAt = began;
}

function lost(how) {
  if (how === 'refused') refused = true;
  if (how === 'refused' || how === 'broken') askReadiness();
  if (link === 'open') brokenAt = Date.now();
  link = how === 'refused' ? 'refused' : link === 'connecting' && how === 'ended' ? link : 'broken';
  drawSoon();
}

function began({ generation, before, end, age, lines: last, from, start }) {
  const isSame = before === generation;
  if (before !== null && !isSame) note(`file replaced: generation ${before} to ${generation}`, 'bad');
  lines = new Lines();
  plots.forget();
  [recent, count, isEstimate] = [[], last.length, start > 0];
  if (isEstimate) count = Math.round(end / (end - start) * last.length);
  newestAt = age === null ? null : Date.now() - age;
  plots.take(last);
  remember(last);
  log.begin({ lines: last, from, end });
  drawSoon();
}

function caughtUp(age) {
  if (age !== null) newestAt = Date.now() - age;
}

function skipped(size) {
  ledger.skipped += size;
  note(`${bytes(size)} came meanwhile and were not fetched`);
}

function came(text, from, to) {
  const ended = lines.push(text, from, to);
  ledger.take(text, from, to, ended.length);
  pace.came(ended.length);
  plots.take(ended);
  remember(ended);
  log.take(ended, to);
  newestAt = Date.now();
  count += ended.length;
  if (isPaused) waiting += ended.length;
  drawSoon();
}

function remember(ended) {
  recent = recent.concat(ended.slice(-RECENT)).slice(-RECENT);
}

function note(words, tone) {
  diary.note(words, plots.seen, tone);
}

// --- What the server says of itself

async function askReadiness() {
  if (isAsking || document.hidden) return;
  isAsking = true;
  const said = await readiness();
  isAsking = false;
  if (!said) return; // the feed tells what is to be told of a server that does not answer
  ready = said;
  if (!names.length || said.served_by.at(-1) === names.at(-1)) names = said.served_by; // a mirror may have learned more
  const now = said.upstream_trouble ?? null;
  if (now && !trouble) note(`upstream away: ${now}`, 'bad');
  if (!now && trouble) note('upstream back', 'good');
  trouble = now;
  drawSoon();
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
  const hasLines = feed.position > 0 || recent.length > 0;
  const areNumbers = recent.every(({ text }) => isNumber(text));
  const hasPlots = hasLines && areNumbers && !wantsText;
  for (const id of ['number', 'series', 'distribution']) $(id).hidden = !hasPlots;
  $('view').hidden = !hasLines || !areNumbers;
  document.body.classList.toggle('text', !hasPlots);
  log.draw();
  set('newest', recent.at(-1)?.text ?? '–');
  drawFigures();
  if (areNumbers) plots.draw(diary.moments);
}

function drawState() {
  const [word, meaning] = stateOf({
    link, isPaused, waiting, ready,
    brokenFor: Date.now() - brokenAt,
    position: feed.position,
    age: Date.now() - newestAt,
    usualGap: pace.usualGap,
  });
  set('word', word);
  set('meaning', meaning);
  $('state').dataset.word = word;
  document.title = word === 'Live' ? NAME : `${word}: ${NAME}`;
  drawWay($('stops'), { file: NAME, names, ready, isCut: trouble !== null, isConnected: word !== 'Reconnecting' && link !== 'connecting' });
}

function drawFigures() {
  const [inWindow, seconds] = pace.window;
  const isKnown = feed.generation !== null;
  set('age', feed.position > 0 && newestAt ? ago(Date.now() - newestAt) : '–');
  set('rate', seconds >= 3 ? rate(inWindow, seconds) : '–');
  set('new', isKnown ? ledger.words : '–');
  $('new').className = ledger.isClean ? '' : 'bad';
  set('count', isKnown ? (isEstimate ? `about ${briefly(count)}` : exactly(count)) : '–');
  set('size', isKnown ? bytes(feed.position) : '–');
  set('generation', feed.generation ?? '–');
}

// --- From the start

function pause() {
  [isPaused, waiting] = [!isPaused, 0];
  set('pause', isPaused ? 'Resume' : 'Pause');
  draw();
}

// A browser has six connections for each server: a tab that nobody sees gives its own back.
function showOrHide() {
  if (document.hidden) feed.stop();
  else feed.start();
  askReadiness();
}

function begin() {
  const first = firstLines();
  remember(first);
  plots.take(first);
  log.begin({ lines: first, from: 0, end: 0 });
  for (const id of ['state', 'pause', 'now', 'way', 'tools']) $(id).hidden = false;
  $('pause').onclick = pause;
  $('view').onclick = () => {
    wantsText = !wantsText;
    set('view', wantsText ? 'Show as numbers' : 'Show as text');
    draw();
    if (log.isAtEnd) log.toBottom();
  };
  document.addEventListener('visibilitychange', showOrHide);
  setInterval(() => {
    feed.check();
    askReadiness();
    drawSoon();
  }, 1000);
  draw();
  showOrHide();
}

begin();

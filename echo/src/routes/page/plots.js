// Draws numbers: as they come, and how they are distributed.

import { $, set } from './dom.js';
import { exactly } from './wording.js';

const SHOWN = 120; // numbers in the plot, the width of its viewBox
const BARS = 32; // in the distribution, the width of its viewBox
const NUMBERS = 32768; // that a line can hold: 0 to 32767

export function isNumber(line) {
  return /^\d{1,5}$/.test(line) && line < NUMBERS;
}

export class Plots {
  seen = 0; // numbers since the page was opened

  constructor() {
    this.forget();
  }

  forget() {
    this.numbers = [];
    this.counts = new Array(BARS).fill(0);
  }

  take(lines) {
    for (const { text } of lines) {
      if (!isNumber(text)) continue;
      this.numbers.push(+text);
      this.counts[Math.floor(text / NUMBERS * BARS)]++;
      this.seen++;
    }
    this.numbers.splice(0, this.numbers.length - SHOWN);
  }

  // Draws all, with a line at each of the `moments`, which count the numbers that came before.
  draw(moments) {
    this.drawSeries(moments);
    this.drawDistribution();
  }

  drawSeries(moments) {
    const { numbers } = this;
    const x = (i) => SHOWN - numbers.length + i + 0.5;
    const y = (number) => (100 - number / (NUMBERS - 1) * 100).toFixed(1);
    const points = numbers.map((number, i) => `${x(i)} ${y(number)}`);
    const dots = points.map((point) => `M${point}h.01`); // a line of hardly any length is hardly more than its round ends
    const marks = moments.map((at) => SHOWN - (this.seen - at)).filter((at) => at >= 0);
    $('thread').setAttribute('d', points.length > 1 ? `M${points.join('L')}` : '');
    $('dots').setAttribute('d', dots.join(''));
    $('newest-dot').setAttribute('d', dots.at(-1) ?? '');
    $('moments').setAttribute('d', marks.map((at) => `M${at} 0v100`).join(''));
    const mean = numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
    set('series-text', numbers.length === 0 ? 'No number yet.' : `The last ${exactly(numbers.length)}, the newest at the right: `
      + `from ${exactly(Math.min(...numbers))} to ${exactly(Math.max(...numbers))}, on average ${exactly(Math.round(mean))}.`
      + (marks.length ? ` Vertical: what happened, as the diary says.` : ''));
  }

  drawDistribution() {
    const { counts } = this;
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
      + `19 of 20 bars should end in the band. ${judge(counts, expected)}`);
  }
}

// Pearson's test. By Wilson and Hilferty, the cube root of χ² by its degrees of freedom is nearly normal.
function judge(counts, expected) {
  const chi2 = counts.reduce((sum, n) => sum + (n - expected) ** 2, 0) / expected;
  const degrees = BARS - 1, variance = 2 / (9 * degrees);
  const deviations = (Math.cbrt(chi2 / degrees) - (1 - variance)) / Math.sqrt(variance);
  let verdict = 'as even as chance makes it';
  if (deviations > 2) verdict = 'uneven, as chance makes it now and then';
  if (deviations > 3.3) verdict = 'too uneven for chance';
  if (deviations < -3.3) verdict = 'more even than chance makes it';
  return `χ² is ${exactly(Math.round(chi2))} at ${degrees} degrees of freedom: ${verdict}.`;
}

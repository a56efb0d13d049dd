// What happened while one looked: a short list, each entry with its time.

import { make } from './dom.js';

const KEPT = 30; // entries

const clock = new Intl.DateTimeFormat('en', { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });

export class Diary {
  moments = []; // where in the numbers that came each entry belongs, for the plot

  constructor(list) {
    this.list = list;
  }

  // Notes what happened; `at` counts the numbers that came before, `tone` is good or bad.
  note(words, at, tone = '') {
    const time = make('time', '', clock.format(new Date()));
    time.dateTime = new Date().toISOString();
    this.list.prepend(make('li', tone, time, ' ', words));
    while (this.list.children.length > KEPT) this.list.lastChild.remove();
    this.moments = [...this.moments, at].slice(-KEPT);
    this.list.parentElement.hidden = false;
  }
}

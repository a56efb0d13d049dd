// Which lines are wanted: those with a text, in whatever case, or those that match /a regular expression/flags.

export class Filter {
  problem = null; // why it can't be understood

  constructor(words = '') {
    const [, pattern, flags] = /^\/(.+)\/([imsu]*)$/.exec(words) ?? [];
    const escaped = words.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
    try {
      if (words) this.pattern = pattern ? new RegExp(pattern, `${flags}g`) : new RegExp(escaped, 'gi');
    } catch (error) {
      this.problem = error.message;
    }
  }

  get isActive() {
    return Boolean(this.pattern);
  }

  // Where `text` matches, as [start, end]; null if it does not.
  find(text) {
    if (!this.pattern) return [];
    const found = Array.from(text.matchAll(this.pattern), ({ index, 0: { length } }) => [index, index + length]);
    return found.length ? found : null;
  }
}

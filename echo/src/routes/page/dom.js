// The few things that every part does with the document.

export const $ = (id) => document.getElementById(id);

// Leaves alone what stays, so that selections stay and a screen reader has nothing to tell.
export function set(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}

export function make(tag, className, ...content) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...content);
  return element;
}

// A JSON value as a tree that opens and closes.

import { make } from './dom.js';

const MOST = 500; // values that are shown

export function treeOf(value) {
  const left = { count: MOST };
  return make('span', 'tree', ...members(value, left));
}

function members(value, left) {
  const nodes = [];
  for (const [key, member] of Object.entries(value)) {
    if (left.count-- <= 0) return [...nodes, make('span', 'leaf', '…')];
    nodes.push(branch(key, member, left));
  }
  return nodes;
}

function branch(key, value, left) {
  const name = make('span', 'key', `${key}: `);
  if (value === null || typeof value !== 'object') return make('span', 'leaf', name, make('span', typeof value, JSON.stringify(value)));
  const size = Array.isArray(value) ? `[${value.length}]` : `{${Object.keys(value).length}}`;
  const details = make('details', '', make('summary', '', name, size), ...members(value, left));
  details.open = true;
  return details;
}

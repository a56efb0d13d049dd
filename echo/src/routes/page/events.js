// Reads server-sent events from the body of an answer, by the rules of the HTML standard; the server ends lines with \n.

// Yields an event for each block, `{ name, id, data }`; a comment is an event without data.
export async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (let rest = ''; ;) {
      const { value, done } = await reader.read();
      if (done) return;
      const blocks = (rest + value).split('\n\n');
      rest = blocks.pop();
      yield* blocks.map(parse);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parse(block) {
  const event = { name: '', id: null, data: null };
  const lines = [];
  for (const line of block.split('\n')) {
    const [field, value] = cut(line);
    if (field === 'event') event.name = value;
    else if (field === 'id') event.id = value;
    else if (field === 'data') lines.push(value);
  }
  if (lines.length) event.data = lines.join('\n');
  return event;
}

function cut(line) {
  const colon = line.indexOf(':');
  if (colon < 0) return [line, ''];
  return [line.slice(0, colon), line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1)];
}

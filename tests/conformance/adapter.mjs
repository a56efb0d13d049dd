// What the suite writes becomes files, and what it reads is read from the real echo: a folder and a server for each stream.
//
// echo serves whole lines, and what the suite writes need not be lines. So each write gets MARK and a newline at its end, and they
// are taken out of what is passed on. The type that a stream was made with is put back; all else of an answer is echo's.

import { spawn } from 'node:child_process';
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { createInterface } from 'node:readline';

const MARK = '\x1e\x1e\x1e';

export async function adapter(program, folder) {
  const streams = new Map();
  const nowhere = await echo(program, `${folder}/nowhere`); // what is asked of a stream that is not there
  const anywhere = await echo(program, `${folder}/data`, '--allow-origin', '*'); // a preflight, which names no stream that is there
  const server = createServer(async (asked, answer) => {
    const path = new URL(asked.url, 'http://adapter').pathname;
    const stream = streams.get(path);
    try {
      if (asked.method === 'PUT') await create(asked, answer, path);
      else if (asked.method === 'POST' && stream) await append(asked, answer, stream);
      else if (asked.method === 'DELETE' && stream) {
        streams.delete(path);
        stream.process.kill('SIGKILL');
        answer.writeHead(204, await fields(stream)).end();
      } else if (asked.method === 'POST' || asked.method === 'DELETE') answer.writeHead(404).end();
      else pass(asked, answer, asked.method === 'OPTIONS' ? anywhere : stream ?? nowhere);
    } catch (error) {
      if (!answer.headersSent) answer.writeHead(500);
      answer.end(String(error));
    }
  });

  async function create(asked, answer, path) {
    const content = await body(asked);
    const type = asked.headers['content-type'] ?? 'application/octet-stream';
    const there = streams.get(path);
    if (there) return answer.writeHead(same(there.type, type) ? 200 : 409, await fields(there)).end();
    const own = `${folder}/${streams.size}-${Date.now()}`;
    mkdirSync(own);
    writeFileSync(`${own}/data`, content.length ? line(content) : '');
    const stream = { ...(await echo(program, `${own}/data`)), file: `${own}/data`, type, sequence: '' };
    streams.set(path, stream);
    answer.writeHead(201, { ...(await fields(stream)), location: `http://${asked.headers.host}${path}` }).end();
  }

  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  const close = () => [nowhere, anywhere, ...streams.values()].forEach(({ process }) => process.kill('SIGKILL'));
  return { url: `http://127.0.0.1:${server.address().port}`, close };
}

async function append(asked, answer, stream) {
  const content = await body(asked);
  const sequence = asked.headers['stream-seq'];
  const type = asked.headers['content-type'];
  if (!content.length || !type) return answer.writeHead(400).end();
  if (!same(stream.type, type) || (sequence !== undefined && sequence <= stream.sequence)) return answer.writeHead(409).end();
  stream.sequence = sequence ?? stream.sequence;
  appendFileSync(stream.file, line(content));
  answer.writeHead(204, await fields(stream)).end();
}

// Passes a question on to echo, and its answer back.
function pass(asked, answer, stream) {
  const { search } = new URL(asked.url, 'http://adapter');
  const onward = request(
    { host: '127.0.0.1', port: stream.port, method: asked.method, path: `/data${search}`, headers: asked.headers, agent: false },
    (got) => {
      const headers = { ...got.headers };
      const events = headers['content-type']?.startsWith('text/event-stream');
      if (stream.type && got.statusCode === 200 && !events) headers['content-type'] = stream.type;
      delete headers['content-length'];
      delete headers['transfer-encoding'];
      answer.writeHead(got.statusCode, headers);
      answer.flushHeaders();
      let held = '';
      got.setEncoding('latin1');
      got.on('data', (text) => {
        held += text;
        const whole = events ? held.lastIndexOf('\n\n') + 2 : 0; // an event at a time; other answers as a whole
        if (whole > 1) {
          answer.write(Buffer.from(held.slice(0, whole).replaceAll(/\x1e{3}\ndata: ?/g, ''), 'latin1'));
          held = held.slice(whole);
        }
      });
      got.on('end', () => answer.end(Buffer.from(held.replaceAll(`${MARK}\n`, ''), 'latin1')));
      got.on('error', () => answer.destroy());
    },
  );
  onward.on('error', () => answer.destroy());
  answer.on('close', () => onward.destroy());
  onward.end();
}

// What an answer to a writer says: the end of the stream, and what echo adds to every answer.
async function fields(stream) {
  if (stream.process.killed) return {};
  const { headers } = await fetch(`http://127.0.0.1:${stream.port}/data?offset=now`);
  const names = ['stream-next-offset', 'x-content-type-options', 'cross-origin-resource-policy'];
  return { 'content-type': stream.type, ...Object.fromEntries(names.map((name) => [name, headers.get(name)])) };
}

async function echo(program, file, ...options) {
  const process = spawn(program, ['--file', file, '--listen', '127.0.0.1:0', ...options], { stdio: ['ignore', 'ignore', 'pipe'] });
  const log = createInterface(process.stderr);
  for await (const line of log) {
    const port = /listening on http:\/\/[^:]+:(\d+)/.exec(line)?.[1];
    if (port) {
      process.stderr.resume();
      return { process, port };
    }
  }
  throw new Error('echo has ended before it listened');
}

async function body(asked) {
  const parts = [];
  for await (const part of asked) parts.push(part);
  return Buffer.concat(parts);
}

const line = (content) => Buffer.concat([content, Buffer.from(`${MARK}\n`)]);
const same = (one, other) => one.toLowerCase() === other.toLowerCase();

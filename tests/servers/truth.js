// SPDX-License-Identifier: Apache-2.0
// What a Node server of the matrix logs, and the truth about it.
'use strict';
const fs = require('fs');
const http = require('http');

const truth = fs.openSync(process.env.TRUTH, 'a');
const [host, port] = process.env.UPSTREAM.split(':');

function info(fd, line, id) {
  const bytes = Buffer.from(line + '\n');
  for (let at = 0; at < bytes.length;) {
    try {
      at += fs.writeSync(fd, bytes, at);
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error; // the pipe is full
    }
  }
  fs.writeSync(truth, JSON.stringify({line, id: id || null}) + '\n');
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const call = () => new Promise((resolve, reject) => {
  http.get({host, port, path: '/'}, (answer) => answer.resume().on('end', resolve)).on('error', reject);
});

// The lines of a request to /KIND/TOKEN; `body` is read between them.
async function work(path, id, body = []) {
  const [, kind, token] = path.split('/');
  info(2, `${token} begin`, id);
  for await (const _ of body);
  if (kind === 'call') await call();
  await pause(1);
  info(1, `${token} works`, id);
  await pause(1);
  info(2, `${token} done`, id);
  return token + '\n';
}

function start() {
  info(2, 'start-up');
  let n = 0;
  setInterval(() => info(2, `heartbeat ${++n}`), 5);
}

module.exports = {HEADER: 'x-baseten-request-id', start, work};

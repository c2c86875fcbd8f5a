// SPDX-License-Identifier: Apache-2.0
// Node: one thread, no unit that is known after an await. FRAMEWORK=express puts express in front.
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

async function work(request, response) {
  const [, kind, token] = request.url.split('/');
  const id = request.headers['x-baseten-request-id'];
  info(2, `${token} begin`, id);
  for await (const _ of request);
  if (kind === 'call') await call();
  await pause(1);
  info(1, `${token} works`, id);
  await pause(1);
  info(2, `${token} done`, id);
  response.end(token + '\n');
}

let handler = work;
if (process.env.FRAMEWORK === 'express') {
  handler = require('express')();
  handler.all('/:kind/:token', work);
}
info(2, 'start-up');
let n = 0;
setInterval(() => info(2, `heartbeat ${++n}`), 5);
http.createServer(handler).listen(+process.env.PORT, '127.0.0.1', 256);

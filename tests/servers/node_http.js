// SPDX-License-Identifier: Apache-2.0
// Node: one thread, no unit that is known after an await. FRAMEWORK=express puts express in front.
'use strict';
const http = require('http');
const truth = require('./truth.js');

async function work(request, response) {
  response.end(await truth.work(request.url, request.headers[truth.HEADER], request));
}

let handler = work;
if (process.env.FRAMEWORK === 'express') {
  handler = require('express')();
  handler.all('/:kind/:token', work);
}
truth.start();
http.createServer(handler).listen(+process.env.PORT, '127.0.0.1', 256);

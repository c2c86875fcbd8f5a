// SPDX-License-Identifier: Apache-2.0
// gRPC in Node (@grpc/grpc-js). One method that takes and gives bytes; what to do is in x-path.
'use strict';
const grpc = require('@grpc/grpc-js');
const truth = require('./truth.js');

const bytes = (value) => value;
const method = {path: '/reqtap.Calls/Do', requestStream: false, responseStream: false, requestSerialize: bytes,
  requestDeserialize: bytes, responseSerialize: bytes, responseDeserialize: bytes};

function serve(call, answer) {
  const first = (name) => call.metadata.get(name)[0];
  truth.work(first('x-path'), first(truth.HEADER)).then((text) => answer(null, Buffer.from(text)), answer);
}

const server = new grpc.Server();
server.addService({do: method}, {do: serve});
server.bindAsync(`127.0.0.1:${process.env.PORT}`, grpc.ServerCredentials.createInsecure(), (error) => {
  if (error) throw error;
  truth.start();
  if (server.start.length === 0) server.start();
});

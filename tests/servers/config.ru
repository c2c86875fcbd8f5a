# SPDX-License-Identifier: Apache-2.0
# puma: a reactor reads slow requests, a pool's thread reads the others and serves.
require 'json'
require 'net/http'

TRUTH = File.open(ENV['TRUTH'], 'a').tap { |file| file.sync = true }

def info(fd, line, id = nil)
  fd.syswrite("#{line}\n")
  TRUTH.syswrite(JSON.generate({ line: line, id: id }) + "\n")
end

2.times do |name|
  Thread.new do
    n = 0
    loop do
      info($stderr, "heartbeat #{name} #{n += 1}")
      sleep 0.005
    end
  end
end

run(lambda do |env|
  _, kind, token = env['PATH_INFO'].split('/')
  id = env['HTTP_X_BASETEN_REQUEST_ID']
  env['rack.input'].read
  info($stderr, "#{token} begin", id)
  Net::HTTP.get(URI("http://#{ENV['UPSTREAM']}/")) if kind == 'call'
  info($stdout, "#{token} works", id)
  info($stderr, "#{token} done", id)
  [200, { 'content-length' => (token.size + 1).to_s }, ["#{token}\n"]]
end)

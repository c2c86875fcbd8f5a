// SPDX-License-Identifier: Apache-2.0
// gRPC in C++: KIND=sync, whose threads each take a call, work on it and answer; KIND=async, whose
// threads take events; or KIND=callback.
// One method that takes and gives bytes; what to do is in the call's x-path: no code is generated.
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/server_callback_handlers.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/method_handler.h>

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "truth.hpp"

using grpc::ByteBuffer;
using grpc::internal::RpcMethod;
using grpc::internal::RpcServiceMethod;

static std::string header(grpc::ServerContextBase *context, const char *name)
{
	auto found = context->client_metadata().find(name);

	return found == context->client_metadata().end() ? "" : std::string(found->second.data(), found->second.size());
}

static grpc::Status serve(grpc::ServerContextBase *context, ByteBuffer *answer)
{
	const std::string path = header(context, "x-path"), id = header(context, "x-baseten-request-id");
	const std::string token = path.substr(path.rfind('/') + 1);

	info(2, token + " begin", id);
	std::this_thread::sleep_for(std::chrono::milliseconds(path.find("/slow/") == 0 ? 60 : 1));
	info(1, token + " works", id);
	info(2, token + " done", id);
	grpc::Slice slice(token);
	*answer = ByteBuffer(&slice, 1);
	return grpc::Status::OK;
}

class Sync : public grpc::Service {
public:
	Sync()
	{
		using Handler = grpc::internal::RpcMethodHandler<Sync, ByteBuffer, ByteBuffer, ByteBuffer, ByteBuffer>;

		AddMethod(new RpcServiceMethod("/reqtap.Calls/Do", RpcMethod::NORMAL_RPC, new Handler(
			[](Sync *, grpc::ServerContext *context, const ByteBuffer *, ByteBuffer *answer) {
				return serve(context, answer);
			}, this)));
	}
};

class Callback : public grpc::Service {
public:
	Callback()
	{
		AddMethod(new RpcServiceMethod("/reqtap.Calls/Do", RpcMethod::NORMAL_RPC, nullptr));
		MarkMethodCallback(0, new grpc::internal::CallbackUnaryHandler<ByteBuffer, ByteBuffer>(
			[](grpc::CallbackServerContext *context, const ByteBuffer *, ByteBuffer *answer) {
				auto *reactor = context->DefaultReactor();
				reactor->Finish(serve(context, answer));
				return reactor;
			}));
	}
};

/* One call, by its events: it is there, its message has come, its answer has gone. */
class AsyncCall {
public:
	AsyncCall(grpc::AsyncGenericService *service, grpc::ServerCompletionQueue *queue)
		: service(service), queue(queue), stream(&context)
	{
		service->RequestCall(&context, &stream, queue, queue, this);
	}

	void go_on(bool ok)
	{
		step++;
		if (step == 1 && ok) {
			new AsyncCall(service, queue);
			stream.Read(&message, this);
		} else if (step == 2) {
			auto status = serve(&context, &message);
			stream.WriteAndFinish(message, grpc::WriteOptions(), status, this);
		} else {
			delete this;
		}
	}

private:
	grpc::AsyncGenericService *service;
	grpc::ServerCompletionQueue *queue;
	grpc::GenericServerContext context;
	grpc::GenericServerAsyncReaderWriter stream;
	ByteBuffer message;
	int step = 0;
};

static void take_events(grpc::ServerCompletionQueue *queue)
{
	void *call;
	bool ok;

	while (queue->Next(&call, &ok))
		static_cast<AsyncCall *>(call)->go_on(ok);
}

static void serve_async(grpc::ServerBuilder *builder)
{
	grpc::AsyncGenericService service;
	std::vector<std::unique_ptr<grpc::ServerCompletionQueue>> queues;
	std::vector<std::thread> threads;

	builder->RegisterAsyncGenericService(&service);
	for (int i = 0; i < 4; i++)
		queues.push_back(builder->AddCompletionQueue());
	auto server = builder->BuildAndStart();
	for (auto &queue : queues) {
		for (int i = 0; i < 8; i++) /* waiting for calls, as a server has them */
			new AsyncCall(&service, queue.get());
		threads.emplace_back(take_events, queue.get());
	}
	server->Wait();
}

int main()
{
	grpc::ServerBuilder builder;
	const std::string kind = getenv("KIND");
	Callback callback;
	Sync sync;

	truth_fd = open(getenv("TRUTH"), O_WRONLY | O_APPEND | O_CREAT, 0644);
	info(2, "start-up");
	for (int i = 0; i < 2; i++)
		std::thread(beat, i).detach();
	builder.AddListeningPort(std::string("127.0.0.1:") + getenv("PORT"), grpc::InsecureServerCredentials());
	if (kind == "async") {
		serve_async(&builder);
		return 0;
	}
	if (kind == "sync")
		builder.RegisterService(&sync);
	else
		builder.RegisterService(&callback);
	builder.BuildAndStart()->Wait();
}

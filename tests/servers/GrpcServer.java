// SPDX-License-Identifier: Apache-2.0
import io.grpc.HandlerRegistry;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.ServerCall;
import io.grpc.ServerMethodDefinition;
import io.grpc.Status;
import io.grpc.netty.NettyServerBuilder;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetSocketAddress;
import java.util.concurrent.Executors;

/** gRPC in Java: Netty's threads read and write, a pool's work. Messages are bytes: no code is generated. */
final class GrpcServer {
	private static final Metadata.Key<String> ID = Metadata.Key.of(Truth.HEADER, Metadata.ASCII_STRING_MARSHALLER);

	private static final MethodDescriptor.Marshaller<byte[]> BYTES = new MethodDescriptor.Marshaller<byte[]>() {
		@Override
		public InputStream stream(byte[] value) {
			return new ByteArrayInputStream(value);
		}

		@Override
		public byte[] parse(InputStream stream) {
			try {
				return stream.readAllBytes();
			} catch (IOException e) {
				throw Status.INTERNAL.withCause(e).asRuntimeException();
			}
		}
	};

	private static ServerCall.Listener<byte[]> start(ServerCall<byte[], byte[]> call, Metadata headers) {
		call.request(1);
		return new ServerCall.Listener<byte[]>() {
			@Override
			public void onHalfClose() {
				String path = "/" + call.getMethodDescriptor().getFullMethodName();
				try {
					byte[] answer = Truth.work(path, headers.get(ID));
					if (call.isCancelled())
						return;
					call.sendHeaders(new Metadata());
					call.sendMessage(answer);
					call.close(Status.OK, new Metadata());
				} catch (IOException e) {
					call.close(Status.INTERNAL.withCause(e), new Metadata());
				}
			}
		};
	}

	public static void main(String[] args) throws Exception {
		HandlerRegistry all = new HandlerRegistry() {
			@Override
			public ServerMethodDefinition<?, ?> lookupMethod(String name, String authority) {
				MethodDescriptor<byte[], byte[]> method = MethodDescriptor.newBuilder(BYTES, BYTES)
					.setType(MethodDescriptor.MethodType.UNARY).setFullMethodName(name).build();
				return ServerMethodDefinition.create(method, GrpcServer::start);
			}
		};
		Truth.heartbeats();
		NettyServerBuilder.forAddress(new InetSocketAddress("127.0.0.1", Truth.PORT))
			.executor(Executors.newFixedThreadPool(Truth.POOL)).fallbackHandlerRegistry(all).build().start()
			.awaitTermination();
	}
}

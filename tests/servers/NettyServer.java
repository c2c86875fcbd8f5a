// SPDX-License-Identifier: Apache-2.0
import io.netty.bootstrap.ServerBootstrap;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.ChannelOption;
import io.netty.channel.SimpleChannelInboundHandler;
import io.netty.channel.nio.NioEventLoopGroup;
import io.netty.channel.socket.SocketChannel;
import io.netty.channel.socket.nio.NioServerSocketChannel;
import io.netty.handler.codec.http.DefaultFullHttpResponse;
import io.netty.handler.codec.http.FullHttpRequest;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpObjectAggregator;
import io.netty.handler.codec.http.HttpResponseStatus;
import io.netty.handler.codec.http.HttpServerCodec;
import io.netty.handler.codec.http.HttpUtil;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.util.concurrent.DefaultEventExecutorGroup;
import io.netty.util.concurrent.EventExecutorGroup;

/** Netty: an event loop reads and writes for all, an executor's threads work between the two. */
final class NettyServer {
	static final class Work extends SimpleChannelInboundHandler<FullHttpRequest> {
		@Override
		protected void channelRead0(ChannelHandlerContext context, FullHttpRequest request) throws Exception {
			byte[] body = Truth.work(request.uri(), request.headers().get(Truth.HEADER));
			DefaultFullHttpResponse response = new DefaultFullHttpResponse(
					HttpVersion.HTTP_1_1, HttpResponseStatus.OK, Unpooled.wrappedBuffer(body));

			HttpUtil.setContentLength(response, body.length);
			context.writeAndFlush(response);
		}

		@Override
		public void exceptionCaught(ChannelHandlerContext context, Throwable cause) {
			context.close(); /* the client is gone */
		}
	}

	public static void main(String[] args) throws InterruptedException {
		EventExecutorGroup executor = new DefaultEventExecutorGroup(Truth.POOL);

		Truth.heartbeats();
		new ServerBootstrap()
				.group(new NioEventLoopGroup(2))
				.channel(NioServerSocketChannel.class)
				.option(ChannelOption.SO_BACKLOG, 256)
				.childHandler(new ChannelInitializer<SocketChannel>() {
					@Override
					protected void initChannel(SocketChannel channel) {
						channel.pipeline().addLast(new HttpServerCodec(), new HttpObjectAggregator(1 << 20));
						channel.pipeline().addLast(executor, new Work());
					}
				})
				.bind("127.0.0.1", Truth.PORT).sync().channel().closeFuture().sync();
	}
}

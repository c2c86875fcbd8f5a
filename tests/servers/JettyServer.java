// SPDX-License-Identifier: Apache-2.0
import java.io.IOException;
import javax.servlet.http.HttpServletRequest;
import javax.servlet.http.HttpServletResponse;
import org.eclipse.jetty.server.Request;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.server.handler.AbstractHandler;
import org.eclipse.jetty.util.thread.QueuedThreadPool;

/** Jetty: its threads take turns at selecting; who selects may then serve what it found. */
final class JettyServer {
	static final class Work extends AbstractHandler {
		@Override
		public void handle(String target, Request base, HttpServletRequest request, HttpServletResponse response)
				throws IOException {
			request.getInputStream().readAllBytes();
			byte[] body = Truth.work(target, request.getHeader(Truth.HEADER));
			base.setHandled(true);
			response.setContentLength(body.length);
			response.getOutputStream().write(body);
		}
	}

	public static void main(String[] args) throws Exception {
		/* a selector, an acceptor and a reserved thread are the pool's, too */
		Server server = new Server(new QueuedThreadPool(Truth.POOL + 4, Truth.POOL + 4));
		ServerConnector connector = new ServerConnector(server, 1, 1);

		connector.setHost("127.0.0.1");
		connector.setPort(Truth.PORT);
		connector.setAcceptQueueSize(256);
		server.addConnector(connector);
		server.setHandler(new Work());
		Truth.heartbeats();
		server.start();
		server.join();
	}
}

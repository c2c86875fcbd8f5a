// SPDX-License-Identifier: Apache-2.0
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.concurrent.Executors;

/** The JDK's own server with a pool: the dispatcher selects, a pool thread reads and serves. */
final class JdkServer {
	static void handle(HttpExchange exchange) throws IOException {
		exchange.getRequestBody().readAllBytes();
		byte[] body = Truth.work(exchange.getRequestURI().getPath(), exchange.getRequestHeaders().getFirst(Truth.HEADER));
		exchange.sendResponseHeaders(200, body.length);
		exchange.getResponseBody().write(body);
		exchange.close();
	}

	public static void main(String[] args) throws IOException {
		HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Truth.PORT), 256);
		server.createContext("/", JdkServer::handle);
		server.setExecutor(Executors.newFixedThreadPool(Truth.POOL));
		Truth.heartbeats();
		server.start();
	}
}
